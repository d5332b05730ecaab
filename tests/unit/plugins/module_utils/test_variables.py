# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each kind of program inherits."""

from __future__ import annotations

import pytest

from ansible_collections.pgedge.platform.plugins.module_utils import _variables
from ansible_collections.pgedge.platform.tests.unit.plugins.machine import SESSION

KINDS = ("NOTHING", "NETWORK", "PIP", "BUILD")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", sorted(set(SESSION) - {"LOGNAME", "USER"}))
def test_what_changes_the_meaning_of_a_program_reaches_none(kind, name):
    assert name not in passed(kind, {name: "x"})


def passed(kind, session):
    """What of a session a kind of program gets."""
    got = _variables.variables(session, getattr(_variables, kind), home="/home/pg", user="pg", more={})
    assert got.pop("LC_ALL") == "C.UTF-8"
    assert (got.pop("HOME"), got.pop("USER"), got.pop("LOGNAME")) == ("/home/pg", "pg", "pg")
    return got


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("PATH", "NOTHING"),
        ("http_proxy", "NETWORK"),
        ("HTTPS_PROXY", "NETWORK"),
        ("all_proxy", "NETWORK"),
        ("NO_PROXY", "NETWORK"),
        ("SSL_CERT_FILE", "NETWORK"),
        ("SSL_CERT_DIR", "NETWORK"),
        ("REQUESTS_CA_BUNDLE", "NETWORK"),
        ("CURL_CA_BUNDLE", "NETWORK"),
        ("PIP_INDEX_URL", "PIP"),
        ("PIP_EXTRA_INDEX_URL", "PIP"),
        ("PIP_FIND_LINKS", "PIP"),
        ("PIP_NO_INDEX", "PIP"),
        ("PIP_CERT", "PIP"),
        ("PIP_CLIENT_CERT", "PIP"),
        ("PIP_CONFIG_FILE", "PIP"),
        ("PIP_CONSTRAINT", "PIP"),
        ("PIP_PROXY", "PIP"),
        ("PIP_REQUIRE_HASHES", "PIP"),
        ("PIP_TRUSTED_HOST", "PIP"),
        ("PIP_DEFAULT_TIMEOUT", "PIP"),
        ("PIP_USE_FEATURE", "PIP"),
        ("NETRC", "PIP"),
        ("PIP_CACHE_DIR", "BUILD"),
        ("PIP_NO_CACHE_DIR", "BUILD"),
        ("TMPDIR", "BUILD"),
    ],
)
def test_what_a_program_needs_reaches_it(name, first):
    reached = [kind for kind in KINDS if passed(kind, {name: "x"}) == {name: "x"}]

    assert reached == list(KINDS[KINDS.index(first) :])


def test_what_the_module_says_wins_over_the_session():
    session = {"PIP_INDEX_URL": "https://session.example.org", "LC_ALL": "de_DE.UTF-8", "HOME": "/home/deploy"}
    more = {"PIP_INDEX_URL": "https://option.example.org"}

    got = _variables.variables(session, _variables.PIP, home="/root", user="root", more=more)

    assert got == {**more, "LC_ALL": "C.UTF-8", "HOME": "/root", "USER": "root", "LOGNAME": "root"}
