# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and versions, compared as pip compares them."""

from __future__ import annotations

import itertools

import pytest

from ansible_collections.pgedge.platform.plugins.module_utils._versions import (
    allows,
    exact_version,
    meets,
    normalized_name,
    same_version,
)


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("4.1.5", "4.1.5", True),
        ("4.1", "4.1.0", True),
        ("4", "4.0.0", True),
        ("v4.1.5", "4.1.5", True),
        ("0!4.1.5", "4.1.5", True),
        ("4.1.5rc1", "4.1.5-RC.1", True),
        ("4.1.5", "4.1.50", False),
        ("4.1", "4.10", False),
        ("4.1.5", "4.1.4", False),
        ("4.1.5", "4.1.5rc1", False),
        ("4.1.5", "4.1.5.post1", False),
        ("4.1.5", "4.1.5+local", False),
        ("1!4.1.5", "4.1.5", False),
        ("0.1", "1", False),
        ("4.1.5", "", False),
        ("4.1.5alpha1", "4.1.5a1", True),
        ("4.1.5-1", "4.1.5.post1", True),
        ("4.1.5+Corp_1", "4.1.5+corp.1", True),
        ("not a version", "not a version", True),
    ],
)
def test_same_version(left, right, same):
    for one, other in ((left, right), (right, left)):
        assert same_version(one, other) is same


@pytest.mark.parametrize(
    ("name", "normalized"),
    [("psycopg2-binary", "psycopg2-binary"), ("Psycopg2_.Binary", "psycopg2-binary"), ("A", "a")],
)
def test_normalized_name(name, normalized):
    assert normalized_name(name) == normalized


@pytest.mark.parametrize(
    ("version", "wanted", "does"),
    [("4.1.5+corp1", "4.1.5", True), ("4.1.5", "4.1.5+corp1", False), ("4.1.5+corp1", "4.1.5+corp1", True)],
)
def test_meets(version, wanted, does):
    assert meets(version, wanted) is does


@pytest.mark.parametrize(
    ("specifier", "allowed", "refused"),
    [
        ("==4.0.7", "4.0.7 4.0.7.0 4.0.7+corp1", "4.0.8 4.0.7rc1 4.0.7.post1"),
        ("===4.0.7", "4.0.7", "4.0.7.0 4.0.7+corp1"),
        ("!=4.0.7", "4.0.8", "4.0.7 4.0.7+corp1"),
        ("==4.0.*", "4 4.0 4.0.7 4.0.0rc1 4.0.7.post1", "4.1 4.10 1!4.0"),
        ("!=4.0.*", "4.1", "4.0.7"),
        ("==1!4.*", "1!4.1", "4.1"),
        ("<4.1", "4.0.11 4.0.99.post1", "4.1 4.1.0 4.1rc1 4.1.dev1 4.2 1!1"),
        ("<4.1rc2", "4.1rc1 4.1a9 4.1.dev1", "4.1rc2 4.1"),
        ("<=4.1", "4.1 4.1.0 4.1rc1 4.1+corp1", "4.1.1 4.1.post1"),
        (">4.1", "4.1.1 4.2rc1", "4.1 4.1.post1 4.1+corp1 4.0.11"),
        (">4.1.post1", "4.1.post2", "4.1.post1 4.1"),
        (">=4.1", "4.1 4.1.0 4.1.post1 4.10", "4.1rc1 4.0.11 4.1.dev1"),
        (">=4.1.dev1", "4.1.dev1 4.1a1.dev2 4.1", "4.0.99"),
        ("~=4.0.5", "4.0.5 4.0.11", "4.0.4 4.1 4.1rc1 5"),
        ("~=4.0", "4.0 4.1.5 4.99", "5.0 3.9 4.0rc1"),
        ("~=4.0.5rc1", "4.0.5rc1 4.0.6", "4.0.5a1 4.1"),
        (">=4.0,<4.1,!=4.0.3", "4.0 4.0.11", "4.0.3 4.1 3.9"),
        ("< 4.1 , >= 4.0", "4.0", "4.1"),
    ],
)
def test_allows(specifier, allowed, refused):
    assert {version: allows(specifier, version) for version in allowed.split()} == dict.fromkeys(allowed.split(), True)
    assert {version: allows(specifier, version) for version in refused.split()} == dict.fromkeys(refused.split(), False)


@pytest.mark.parametrize(
    ("specifier", "version", "verdict"),
    [
        ("<latest", "4.1", None),
        ("<4.1", "unknown", None),
        ("<4.1.*", "4.0", None),
        ("=>4.1", "4.0", None),
        ("4.1", "4.1", None),
        # One clause is enough to refuse.
        ("<latest,<4", "4.1", False),
        ("<latest,>4", "4.1", None),
    ],
)
def test_what_cannot_be_told_is_not_guessed(specifier, version, verdict):
    assert allows(specifier, version) is verdict


@pytest.mark.parametrize(
    ("specifier", "version"),
    [("==4.0.7", "4.0.7"), ("===4.0.7", "4.0.7"), ("==4.0.*", None), (">=4.0.7", None), ("==4.0.7,<5", None)],
)
def test_exact_version(specifier, version):
    assert exact_version(specifier) == version


def test_specifiers_are_judged_as_pip_judges_them():
    """By the library that pip has inside; of what its versions do not agree on, nothing is said."""
    # Older ones take some versions for what they are not.
    pytest.importorskip("packaging", minversion="24")
    specifiers = pytest.importorskip("packaging.specifiers")
    releases, additions = ("4", "4.1.0", "4.10", "1!4"), ("", "rc1", "a2", ".post1", ".dev3", "b1.dev2", "+x.1", "+5")
    versions = [f"{release}{addition}" for release in releases for addition in additions]
    judged = 0
    for operator, limit in itertools.product(
        ("==", "!=", "<", "<=", ">", ">=", "~=", "==="), (*versions, "4.*", "4.1.*", "1!4.*")
    ):
        try:
            specifier = specifiers.SpecifierSet(f"{operator}{limit}")
        except specifiers.InvalidSpecifier:
            continue
        for version in versions:
            verdict = allows(f"{operator}{limit}", version)
            judged += verdict is not None
            assert verdict in (None, specifier.contains(version, prereleases=True)), (version, operator, limit)
    assert judged > 6000
