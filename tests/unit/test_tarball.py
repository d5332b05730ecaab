# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tests/tarball.py finds links that lead nowhere once the collection is packed."""

from __future__ import annotations

import pytest

from ansible_collections.pgedge.platform.tests.tarball import dead_links

PAGES = {
    "README.md": "# Title\n",
    "docs/index.md": "# Index\n",
    "docs/a/b.md": '## One thing\n<a id="x"></a>',
    "LICENSE": "",
}


@pytest.mark.parametrize(
    ("page", "link"),
    [
        ("README.md", "#title"),
        ("README.md", "https://example.com/docs/index.md"),
        ("docs/index.md", "a/b.md#one-thing"),
        ("docs/index.md", "../LICENSE"),
        ("docs/a/b.md", "../index.md"),
        ("docs/a/b.md", "#x"),
    ],
)
def test_a_link_that_works(page, link):
    assert dead_links({**PAGES, page: f"{PAGES[page]}\n[text]({link})\n"}) == []


@pytest.mark.parametrize(
    ("page", "link", "reason"),
    [
        ("README.md", "docs/index.md", "must be absolute"),
        ("README.md", "#other", "there is no such anchor"),
        ("docs/index.md", "../CONTRIBUTING.md", "is not in the tarball"),
        ("docs/index.md", "a/b.md#another-thing", "there is no such anchor"),
        ("docs/a/b.md", "index.md", "is not in the tarball"),
    ],
)
def test_a_link_that_does_not(page, link, reason):
    assert dead_links({**PAGES, page: f"{PAGES[page]}\n[text][name]\n\n[name]: {link}\n"}) == [
        f"{page}: {link}: {reason}"
    ]
