# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where packages come from: pip's settings, credentials."""

from __future__ import annotations

import glob
import json
import os
import shutil
import subprocess
import sys
from urllib.parse import quote

import pytest

from ansible_collections.pgedge.platform.plugins.module_utils._errors import PatroniInstallError
from ansible_collections.pgedge.platform.plugins.module_utils._patroni import _sources
from ansible_collections.pgedge.platform.plugins.module_utils._patroni._desired import Sources


@pytest.mark.parametrize(
    ("sources", "added"),
    [
        pytest.param(Sources(), {}, id="pip's own"),
        pytest.param(
            Sources(index_url="https://u:p@example.org/simple"),
            # pip would write them into the command line of the build of a package.
            {"PIP_INDEX_URL": "https://example.org/simple"},
            id="index, without its credentials",
        ),
        pytest.param(
            Sources(find_links=("/srv/my wheels", "https://example.org/a b"), no_index=True),
            # pip splits the list at white space.
            {"PIP_FIND_LINKS": "file:///srv/my%20wheels https://example.org/a%20b", "PIP_NO_INDEX": "1"},
            id="links, and no index",
        ),
        pytest.param(
            # pip reads the encoding of a path, and not that of a URL.
            Sources(constraints="/srv/é#constraints.txt"),
            {"PIP_CONSTRAINT": "/srv/é#constraints.txt"},
            id="constraints",
        ),
        pytest.param(
            Sources(constraints="/srv/my constraints.txt"),
            {"PIP_CONSTRAINT": "file:///srv/my%20constraints.txt"},
            id="constraints with a blank",
        ),
    ],
)
def test_pip_environment(sources, added):
    assert _sources.pip_environment(sources) == {
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_PREFER_BINARY": "1",
        # Against what /etc/pip.conf may say.
        "PIP_DRY_RUN": "0",
        "PIP_NO_DEPS": "0",
        "PIP_REQUIRE_VIRTUALENV": "0",
        "PIP_ROOT": "/",
        "PIP_USER": "0",
        **added,
    }


def test_a_question_is_for_an_installation_whichever_pip_is_asked():
    sources = Sources(index_url="https://u:p@example.org/simple")

    assert _sources.pip_query_environment(sources, "/t/netrc") == {
        **_sources.pip_environment(sources, "/t/netrc"),
        "PIP_USER": "0",
        "PIP_REQUIRE_VIRTUALENV": "0",
        "PIP_BREAK_SYSTEM_PACKAGES": "1",
        "PIP_QUIET": "0",
    }


def test_netrc_carries_each_credential_once():
    sources = Sources(
        index_url="https://me:p%40ss@example.org/simple",
        find_links=("https://me:p%40ss@example.org/wheels", "https://token@mirror.example.org/", "/srv/wheels"),
    )

    assert _sources.netrc_text(sources) == (
        'machine example.org login me password p@ss\nmachine mirror.example.org login token password ""\n'
    )
    assert _sources.netrc_text(Sources(index_url="https://example.org/simple")) == ""
    assert _sources.pip_environment(sources, "/run/netrc")["NETRC"] == "/run/netrc"


def pythons():
    """Every Python there is here, by its version; a pyenv has some that are not on the PATH."""
    places = glob.glob(os.path.expanduser("~/.pyenv/versions/3.*/bin/python3"))
    named = filter(None, (shutil.which(f"python3.{minor}") for minor in range(8, 15)))
    found = {}
    for python in (*named, *places, sys.executable):
        done = subprocess.run(
            [python, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            found[tuple(map(int, done.stdout.split()))] = python
    return {version: python for version, python in found.items() if version >= (3, 8)}


PYTHONS = pythons()
READ = """
import json, netrc, sys
for path in sys.argv[1:]:
    hosts = netrc.netrc(path).hosts
    # As pip does it: who has no login has an account.
    print(json.dumps({host: [found[0] or found[1] or "", found[2] or ""] for host, found in hosts.items()}))
"""
BEYOND_OLD = [("u", "a b"), ("u", "p\u00e4\u20ac"), ("TOKEN", ""), (" u ", " p "), ("m\u00fcller", "\\")]
LOGINS = [
    ("u", "p"),
    ("CORP\\jdoe", "s3cret"),
    ("u", '"a"b\''),
    ("u", "'ab"),
    ("u", '""'),
    ("u", '"'),
    ("u", "#x#"),
    ("#u", "x"),
    ("u", "\\\\a\\b\\"),
    ("u", "%25"),
    ("a@b:c", "d/e?f"),
    ("", "p"),
    ("machine", "login"),
    ("u", "{}[]()<>|;&*$!`~^"),
]


def around(name, password):
    """Sources that need a login, with others before and behind it."""
    index = f"https://{quote(name, safe='')}:{quote(password, safe='')}@Index.example.org:8443/simple"
    return Sources(
        index_url="https://x%5C:y@before.example.org/", find_links=(index, "https://m:n%5C@after.example.org/")
    )


@pytest.mark.parametrize("version", sorted(PYTHONS))
def test_netrc_is_read_as_it_is_meant(tmp_path, version):
    """By every Python there is here, and the entries around it too."""
    logins = LOGINS + BEYOND_OLD if version >= _sources.NETRC_PYTHON else LOGINS
    files = [tmp_path / str(number) for number in range(len(logins))]
    for path, login in zip(files, logins):
        path.write_text(_sources.netrc_text(around(*login)), encoding="utf-8")

    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [PYTHONS[version], "-c", READ, *map(str, files)], check=True, capture_output=True, text=True, env=environment
    )

    others = {"before.example.org": ["x\\", "y"], "after.example.org": ["m", "n\\"]}
    read = [json.loads(line) for line in done.stdout.splitlines()]
    assert read == [{**others, "index.example.org": [name, password]} for name, password in logins]


@pytest.mark.parametrize("login", LOGINS + BEYOND_OLD)
def test_logins_that_only_a_newer_python_reads(login):
    assert _sources.need_newer_netrc(around(*login)) is (login in BEYOND_OLD)


@pytest.mark.parametrize(
    ("url", "names", "shown"),
    [
        ("https://u:p@Example.ORG:8443/Simple", ["example.org"], "https://example.org:8443/Simple"),
        # The second is what pip takes for the host before 25.2.
        ("https://u:p@[2001:DB8::1]:8443/", ["2001:db8::1", "[2001"], "https://[2001:db8::1]:8443/"),
        ("https://u:p@m\u00fcller.example/", ["xn--mller-kva.example"], "https://xn--mller-kva.example/"),
    ],
)
def test_host_is_found_in_netrc_under_the_name_that_pip_looks_up(url, names, shown):
    sources = Sources(index_url=url)

    assert _sources.netrc_text(sources) == "".join(f"machine {name} login u password p\n" for name in names)
    assert _sources.pip_environment(sources)["PIP_INDEX_URL"] == shown


@pytest.mark.parametrize(
    ("urls", "message"),
    [
        (("https://u:p@x/simple", "https://u:p@x:8443/", "https://v:q@y/"), None),
        (("https://u:p@x/simple", "https://x/wheels"), None),
        (("https://u:p@x/a", "https://u:q@x/b"), "but x has two"),
        (("https://u:p@x:1/", "https://v:p@X:2/"), "but x has two"),
        (("https://u:p%0Aq@x/",), "cannot be printed"),
        (("https://u%07:p@x/",), "cannot be printed"),
        (("https://[::1/",), "not a valid URL"),
        (("/srv/wheels", "file:///srv/wheels"), None),
    ],
)
def test_credentials_that_cannot_be_handed_on_are_refused(urls, message):
    if message is None:
        _sources.check_credentials(urls)
        return
    with pytest.raises(PatroniInstallError, match=message):
        _sources.check_credentials(urls)


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        ("https://example.org/simple", set()),
        ("https://user:pass@example.org", {"pass"}),
        ("https://:pass@example.org", {"pass"}),
        ("https://token@example.org", {"token"}),
        ("a https://u:one@x https://u:two@y b", {"one", "two"}),
        ("https://example.org/@scope/x", set()),
        ("mail user@example.org", set()),
        ("https://user:p@ss@example.org", {"p@ss"}),
    ],
)
def test_find_credentials(text, secrets):
    assert _sources.find_credentials([text]) == secrets
