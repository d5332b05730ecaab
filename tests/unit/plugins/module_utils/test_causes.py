# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which causes are found in the output of the real tools that failed.

Each file in outputs/ is a failure: the verdict and the cause that are expected, and below a line what was printed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.pgedge.platform.plugins.module_utils._patroni import _causes, _commands

PIP_CONFLICT = """\
Collecting patroni==4.1.4

The conflict is caused by:
    patroni 4.1.4 depends on click>=5.0
    The user requested (constraint) click<5

To fix this you could try to:
1. loosen the range of package versions you've specified
"""


def test_parse_conflict():
    assert _causes.parse_conflict(PIP_CONFLICT) == (
        "patroni 4.1.4 depends on click>=5.0; The user requested (constraint) click<5"
    )
    many = "The conflict is caused by:\n" + "".join(f"    patroni {number} depends on x\n" for number in range(90))
    assert _causes.parse_conflict(many).count("depends on") == 4
    assert _causes.parse_conflict("ERROR: ResolutionImpossible") is None


PIPX_WRONG_VERSION = """\
creating virtual environment...
installing patroni from spec 'patroni[etcd]==9.9.9'...
Fatal error from pip prevented installation. Full pip output in file:
    /var/lib/postgresql/.local/share/pipx/logs/cmd_2026-11-23_06.29.40_pip_errors.log

Some possibly relevant errors from pip install:
    ERROR: Ignored the following yanked versions: 4.0.0
    ERROR: Could not find a version that satisfies the requirement patroni==9.9.9 (from versions: 0.2, 1.0rc1, 4.0.11, \
4.1.5)
    ERROR: No matching distribution found for patroni==9.9.9

Error installing patroni from spec 'patroni[etcd]==9.9.9'.
"""
PIPX_UNREACHABLE = """\
    ERROR: Could not find a version that satisfies the requirement patroni[etcd] (from versions: none)
    ERROR: No matching distribution found for patroni[etcd]
"""


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        pytest.param(PIPX_WRONG_VERSION, ("0.2", "1.0rc1", "4.0.11", "4.1.5"), id="another version"),
        pytest.param(PIPX_UNREACHABLE, (), id="none"),
        pytest.param("", (), id="no output"),
    ],
)
def test_parse_offered(text, offered):
    assert _causes.parse_offered(text) == offered


PIP_LOG = """\
2026-11-25T05:25:54,412 Getting page https://index.example.org/simple/setuptools/
2026-11-25T05:25:54,426 Could not fetch URL https://index.example.org/simple/setuptools/: 404 Client Error: Not Found \
for url: https://index.example.org/simple/setuptools/ - skipping
2026-11-25T05:25:54,430   ERROR: Building wheel for example exited with 1
2026-11-25T05:25:54,430 ERROR: <InstallWheelBuildError: failed-wheel-build-for-install>
2026-11-25T05:25:54,439 Exception information:
2026-11-25T05:25:54,439 Traceback (most recent call last):
2026-11-25T05:25:54,439   File "/x/pip/_internal/resolver.py", line 103, in resolve
2026-11-25T05:25:54,439     state = resolution.resolve(
2026-11-25T05:25:54,439 pip._internal.exceptions.DistributionNotFound: No matching distribution found for setuptools
2026-11-25T05:25:54,440   Traceback (most recent call last):
2026-11-25T05:25:54,440     File "setup.py", line 2, in <module>
2026-11-25T05:25:54,440   ModuleNotFoundError: No module named 'example'
"""
UNREAD = (
    "Could not fetch URL https://index.example.org/simple/setuptools/: 404 Client Error: Not Found for url: "
    "https://index.example.org/simple/setuptools/ - skipping"
)


def test_pip_log_without_what_tells_nothing():
    assert _causes.parse_pip_log(PIP_LOG).splitlines() == [
        UNREAD,
        "Getting page https://index.example.org/simple/setuptools/",
        UNREAD,
        "  ERROR: Building wheel for example exited with 1",
        "  ModuleNotFoundError: No module named 'example'",
    ]


def test_pages_that_could_not_be_read_are_kept_of_a_long_log():
    log = _causes.parse_pip_log(PIP_LOG + "x" * 20000)

    assert log.splitlines()[0] == UNREAD
    assert len(log) < 9000


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        pytest.param(PIPX_UNREACHABLE, "patroni[etcd]", id="what was asked for"),
        pytest.param(
            "ERROR: Could not find a version that satisfies the requirement urllib3!=1.21,>=1.19.1 (from patroni) "
            "(from versions: none)",
            "urllib3!=1.21,>=1.19.1",
            id="a dependency",
        ),
        pytest.param(
            "ERROR: Could not find a version that satisfies the requirement setuptools>=40.8.0 (from versions: none)",
            "setuptools>=40.8.0",
            id="of a build",
        ),
        pytest.param(PIPX_WRONG_VERSION, None, id="there are versions, and others"),
        pytest.param("", None, id="no output"),
    ],
)
def test_parse_missing(text, missing):
    assert _causes.parse_missing(text) == missing


# Failures as the programs tell them: most were made on hosts, with apt 2.6, dnf 4.14, dnf5 5.4, pip 23 to 26 and pipx
# 1.1; some were written after public reports. Names of hosts were replaced, and lines that tell nothing left out.
FAILURES = {path.stem: path.read_text("utf-8") for path in sorted((Path(__file__).parent / "outputs").glob("*.txt"))}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
def test_failure_is_judged(failure):
    head, _line, output = failure.partition("\n---\n")
    expected = dict(line.split(": ", 1) for line in head.splitlines())

    locked, transient = _causes.is_locked(output), _causes.is_transient(output)

    assert ("locked" if locked else "transient" if transient else "final") == expected["verdict"]
    assert _causes.parse_cause(output) == expected["cause"]


def test_there_are_failures_of_every_program_and_verdict():
    programs = {name.split("-")[0] for name in FAILURES}
    verdicts = {text.split("\n", 1)[0] for text in FAILURES.values()}

    assert programs >= {"apt", "dpkg", "dnf", "dnf5", "pip", "pipx"}
    assert verdicts == {"verdict: locked", "verdict: transient", "verdict: final"}
    assert len(FAILURES) > 100


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        pytest.param("one\n\n  two  \n\n", "two", id="no word of an error"),
        pytest.param(" \n", "no output", id="nothing"),
        # An index that lacks what another one has is no reason for what fails later.
        pytest.param(f"{UNREAD}\nerror: no command 'cc'\n", "error: no command 'cc'", id="an index lacks something"),
    ],
)
def test_cause_when_little_is_told(output, cause):
    assert _causes.parse_cause(output) == cause


def test_only_a_few_sources_are_named():
    assert _causes.shown(("a", "b", "c", "d", "e")) == "a; b; c; and 2 more"


@pytest.mark.parametrize(
    ("name", "unknown"),
    [
        ("apt-install-no-lists", True),
        ("apt-install-no-candidate", True),
        ("dnf-unknown-package", True),
        ("dnf-nothing-in-the-rest", True),
        ("dnf-not-registered", True),
        ("dnf5-unknown-package", True),
        ("apt-install-stale-lists", False),
        ("dnf-not-signed", False),
    ],
)
def test_is_unknown_package(name, unknown):
    assert _causes.is_unknown_package(FAILURES[name]) is unknown


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("apt-install-stale-lists", ["apt-get", "update"]),
        (
            "apt-install-dpkg-interrupted",
            ["dpkg", "--force-confdef", "--force-confold", "--configure", "-a"],
        ),
        ("apt-install-proxy-dead", None),
        ("apt-install-no-lists", None),
    ],
)
def test_apt_remedy(name, remedy):
    assert _commands.apt_remedy(FAILURES[name]) == remedy
