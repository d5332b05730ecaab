# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module on a simulated machine: queries of the package index."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.pgedge.platform.tests.unit.plugins.machine import Call
from ansible_collections.pgedge.platform.tests.unit.plugins.modules.calls import (
    ASKING,
    CONFLICT,
    WANTED,
    WRONG_VERSION,
    asks,
    pipx_version,
    show,
    shown,
    upgrade,
)

NO_PIP = {"rc": 1, "err": "/usr/bin/python3.11: No module named pip\n"}


def test_the_newest_is_there(installed, pip):
    result = installed.run(shown(installed), asks(installed, pip, out="patroni-4.1.5"), state="latest")

    assert (result["version"], result["changed"]) == ("4.1.5", False)
    assert not os.path.exists(installed.asking)


@pytest.mark.parametrize("newest", ["4.1.6", "4.0.11"])
def test_the_newest_is_another(installed, pip, newest):
    calls = upgrade(installed, newest)
    calls[1:1] = [
        asks(installed, pip, out="patroni-4.1.7"),
        # With what it depends on, under the constraints.
        asks(installed, pip, WANTED, out=f"click-8.1 patroni-{newest}"),
    ]

    result = installed.run(*calls, state="latest")

    assert (result["version"], result["changed"]) == (newest, True)


def test_the_newest_that_goes_with_the_rest_is_there(installed, pip):
    calls = asks(installed, pip, out="patroni-4.1.6"), asks(installed, pip, WANTED, out="click-4.1 patroni-4.1.5")

    assert installed.run(shown(installed), *calls, state="latest")["changed"] is False


def test_latest_when_the_index_gives_no_answer(installed, pip):
    index = asks(installed, pip, rc=1, err="ERROR: No matching distribution found for patroni\n")

    result = installed.run(shown(installed), index, fails=True, state="latest")

    assert result["msg"] == (
        "cannot find out which Patroni the package index offers: ERROR: No matching distribution found for patroni"
    )
    assert result["rc"] == 1
    assert not os.path.exists(installed.asking)


def test_latest_when_nothing_goes_together(installed, pip):
    first = asks(installed, pip, out="patroni-4.1.6")
    second = Call([*asks(installed, pip, WANTED).argv], out=CONFLICT, err="ERROR: ResolutionImpossible\n", rc=1)

    result = installed.run(
        shown(installed), first, second._replace(variables=ASKING, as_account=True), fails=True, state="latest"
    )

    assert result["msg"] == (
        f"pip found no compatible versions for {WANTED}: patroni 4.1.6 depends on click>=5.0; "
        "The user requested (constraint) click<5; change the version or the constraints"
    )


def test_the_question_does_not_rest_on_the_environment_in_use(installed):
    """The libraries that pipx shares are gone, and with them the pip of the environment."""
    wheel = Path(installed.base, "usr/share/python-wheels/pip-23.0.1-py3-none-any.whl")
    os.makedirs(str(wheel.parent))
    wheel.touch()
    answer = asks(installed, [f"{wheel}/pip"], out="patroni-4.1.5")

    assert installed.run(shown(installed), answer, state="latest")["changed"] is False


def test_the_next_pip_is_asked_where_one_does_not_run(installed, pip):
    made = Call([str(installed.interpreter), "-I", "-m", "venv", f"{installed.asking}/venv"], as_account=True)
    calls = [
        asks(installed, pip, rc=1, err="SyntaxError: invalid syntax\n"),
        asks(installed, ["-m", "pip"], **NO_PIP),
        made,
        asks(installed, ["-m", "pip"], python=f"{installed.asking}/venv/bin/python", out="patroni-4.1.5"),
    ]

    assert installed.run(shown(installed), *calls, state="latest")["changed"] is False


def test_no_pip_runs(installed):
    made = Call([str(installed.interpreter), "-I", "-m", "venv", f"{installed.asking}/venv"], as_account=True, rc=1)

    result = installed.run(shown(installed), asks(installed, ["-m", "pip"], **NO_PIP), made, fails=True, state="latest")

    assert result["msg"].endswith("which Patroni the package index offers: /usr/bin/python3.11: No module named pip")


def test_an_older_pip_is_asked_by_a_download(installed):
    run = [str(installed.interpreter), "-I", "-B", "-m", "pip"]
    saved = f"{installed.asking}/packages"
    calls = [
        asks(installed, ["-m", "pip"], rc=2, err="\nno such option: --dry-run\n"),
        Call(
            [*run, "download", "--no-deps", "--dest", saved, "patroni"],
            out=f"Saved {saved}/patroni-4.1.5-py3-none-any.whl\n",
            variables=ASKING,
            as_account=True,
        ),
    ]

    assert installed.run(shown(installed), *calls, state="latest")["changed"] is False


def test_credentials_reach_a_question_unseen(installed, pip):
    netrc = f"{installed.asking}/netrc"
    held = {}

    def look():
        held["netrc"] = (Path(netrc).read_text("utf-8"), installed.look(netrc)[2])

    variables = {**ASKING, "NETRC": netrc, "PIP_INDEX_URL": "https://example.org/simple"}
    answer = asks(installed, pip, variables=variables, out="patroni-4.1.5", effect=look)

    installed.run(shown(installed), answer, state="latest", index_url="https://u:secret@example.org/simple")

    assert held["netrc"] == ("machine example.org login u password secret\n", 0o600)
    assert not os.path.exists(installed.asking)


def test_check_mode_asks_the_index_for_the_version(installed, pip):
    looks = upgrade(installed, "4.1.6")[:2]
    wanted = f"{WANTED}==4.1.6"
    missing = (
        "ERROR: Could not find a version that satisfies the requirement patroni[etcd]==4.1.6 (from versions: 4.0, 5)"
    )
    before = installed.tree()

    planned = installed.run(*looks, asks(installed, pip, wanted, out="patroni-4.1.6"), check=True, version="4.1.6")
    absent = installed.run(
        *looks, asks(installed, pip, wanted, rc=1, err=missing), fails=True, check=True, version="4.1.6"
    )
    refused = installed.run(
        *looks,
        asks(installed, pip, wanted, rc=1, err=f"{CONFLICT}ERROR: ResolutionImpossible\n"),
        fails=True,
        check=True,
        version="4.1.6",
    )

    assert (planned["changed"], planned["version"]) == (True, "4.1.6")
    assert absent["msg"] == (
        "version: the package index offers no patroni==4.1.6 for this Python; the newest versions that it "
        "offers are 4.0, 5"
    )
    assert refused["msg"] == (
        "version: pip found no compatible versions for patroni==4.1.6: patroni 4.1.6 depends on click>=5.0; "
        "The user requested (constraint) click<5; change the version or the constraints"
    )
    assert absent["steps"] == refused["steps"] == []
    assert installed.tree() == before


def test_check_mode_asks_with_the_python_of_pipx(machine):
    """There is no environment yet."""
    pipx = machine.tool("pipx")
    Path(pipx).write_text(f"#! {machine.interpreter} -I\nrun\n", "utf-8")
    answer = asks(
        machine, ["-m", "pip"], f"--no-deps {WANTED}==9.9.9".split()[1], rc=1, err=WRONG_VERSION.replace("    ", "")
    )
    answer.argv.insert(-1, "--no-deps")

    result = machine.run(show(), pipx_version(pipx), answer, fails=True, check=True, version="9.9.9")

    assert result["msg"].startswith("version: the package index offers no patroni==9.9.9 for this Python")


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("line", ["patroni==4.0.7", "patroni<4.1", "patroni==4.0.7 ; python_version >= '3.8'"])
def test_a_version_against_the_constraints_is_refused_before_anything_changes(installed, check, line):
    constraints = Path(installed.base, "c.txt")
    constraints.write_text(f"{line}\n", "utf-8")
    pipx = Path(installed.base, "usr/bin/pipx")
    pipx.write_text(f"#!{installed.interpreter}\n", "utf-8")
    before = installed.tree()

    looks = shown(installed), pipx_version(str(pipx))
    result = installed.run(*looks, fails=True, check=check, version="4.1.5", constraints=str(constraints))

    assert result["msg"] == f"version: 4.1.5 contradicts {line.partition(' ')[0]} in {constraints}; change one of them"
    assert (result["changed"], result["steps"]) == (False, [])
    assert installed.tree() == before
