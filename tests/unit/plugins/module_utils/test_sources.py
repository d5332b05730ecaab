# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where packages come from: pip's settings, credentials, constraints."""

from __future__ import annotations

import pytest

from ansible_collections.pgedge.platform.plugins.module_utils import _sources
from ansible_collections.pgedge.platform.plugins.module_utils._model import Sources


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
            Sources(constraints="/srv/my constraints.txt"),
            {"PIP_CONSTRAINT": "file:///srv/my%20constraints.txt"},
            id="constraints",
        ),
    ],
)
def test_pip_environment(sources, added):
    assert _sources.pip_environment(sources) == {
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_PREFER_BINARY": "1",
        **added,
    }


@pytest.mark.parametrize(
    ("text", "pins"),
    [
        ("", {}),
        ("patroni==4.1.5\n", {"patroni": "4.1.5"}),
        ("  Psycopg2_Binary == 2.9.9  # pinned\n", {"psycopg2-binary": "2.9.9"}),
        ("a===1.0\n", {"a": "1.0"}),
        ("# a==1\n-r other.txt\na>=1\na~=1.0\na==1.*\na!=1\na==1,<2\na @ file:///x\n", {}),
        # Whether a condition holds is for pip to judge.
        ("a==1; python_version < '3.8'\n", {}),
        ("a==1 --hash=sha256:x\n", {}),
    ],
)
def test_parse_pins(text, pins):
    assert _sources.parse_pins(text) == pins


def test_netrc_carries_each_credential_once():
    sources = Sources(
        index_url="https://me:p%40ss@example.org/simple",
        find_links=("https://me:p%40ss@example.org/wheels", "https://token@mirror.example.org/", "/srv/wheels"),
    )

    assert _sources.netrc_text(sources) == (
        "machine example.org login me password p@ss\nmachine mirror.example.org login token password \n"
    )
    assert _sources.netrc_text(Sources(index_url="https://example.org/simple")) == ""
    assert _sources.pip_environment(sources, "/run/netrc")["NETRC"] == "/run/netrc"


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
