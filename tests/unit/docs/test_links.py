# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation hangs together: no link leads nowhere, and the tables that people read say what the code says."""

from __future__ import annotations

import html
import json
import re

import pytest

from ansible_collections.pgedge.platform.plugins.modules.patroni_install import ARGUMENT_SPEC
from ansible_collections.pgedge.platform.tests.unit.docs.pages import (
    CHECKOUT,
    PAGES,
    anchors,
    links,
    prose,
    read,
    tables,
    targets,
    undefined_links,
)


def test_the_pages_are_found():
    assert {"README.md", "docs/index.md", "docs/reference/patroni_install.md"} < set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for link in links(page):
        path, _hash, anchor = link.partition("#")
        target = (CHECKOUT / page).parent.joinpath(path).resolve() if path else CHECKOUT / page
        assert target.exists(), f"{page}: {link}"
        if anchor:
            assert anchor in anchors(str(target.relative_to(CHECKOUT))), f"{page}: {link}"


@pytest.mark.parametrize("page", PAGES)
def test_named_links_are_defined_and_used(page):
    assert undefined_links(page) == set()


def test_links_of_the_readme_work_outside_of_the_checkout():
    """Galaxy shows the page, and the tarball lacks some of the files."""
    assert all(link.startswith(("https://", "#")) for link in targets(read("README.md")))


def test_every_page_of_the_site_is_on_the_landing_page():
    pages = {page[len("docs/") :] for page in PAGES if page.startswith("docs/")} - {"index.md"}

    assert pages <= set(links("docs/index.md"))


def options_of_the_readme() -> dict[str, str]:
    (table,) = (rows for rows in tables("README.md") if rows[0][:2] == ["Option", "Default"])
    return {name: default for names, default, _meaning in table[1:] for name in re.findall(r"`(\w+)`", names)}


def options_of_the_reference(page: str, title: str) -> dict[str, str]:
    """The type and the default of each option."""
    (table,) = (rows for rows in tables(page) if rows[0][0] == title)
    return {re.sub(r"<a [^>]*></a>|`", "", name): shape for name, shape, _meaning in table[1:]}


@pytest.mark.parametrize("name", sorted(options_of_the_readme()))
def test_readme_names_the_default(name):
    default = ARGUMENT_SPEC[name].get("default")
    shown = options_of_the_readme()[name]

    if default is not None:
        literal = f"[{', '.join(default)}]" if isinstance(default, list) else json.dumps(default).strip('"')
        assert shown == f"`{literal}`"
    else:
        assert "`" not in shown or shown.startswith("`~user/")


def test_reference_lists_every_option():
    module = options_of_the_reference("docs/reference/patroni_install.md", "Option")
    role = options_of_the_reference("docs/reference/install_patroni.md", "Variable")

    assert set(module) == set(ARGUMENT_SPEC) > set(options_of_the_readme())
    assert set(role) == {f"patroni_{name}" for name in ARGUMENT_SPEC} | {"is_ha_cluster", "pg_home"}


@pytest.mark.parametrize("name", sorted(ARGUMENT_SPEC))
def test_reference_names_the_default(name):
    default = ARGUMENT_SPEC[name].get("default")
    _type, separator, shown = options_of_the_reference("docs/reference/patroni_install.md", "Option")[name].partition(
        "<br>"
    )

    assert bool(separator) is (default is not None)
    assert shown == ("" if default is None else f"`{default if isinstance(default, str) else json.dumps(default)}`")


def test_the_picture_is_drawn_from_its_source():
    source = (CHECKOUT / "docs/images/overview.dot").read_text("utf-8")
    labels = [line.strip() for label in re.findall(r'label="([^"]*)"', source) for line in label.split("\\n")]
    drawn = re.findall(r"<text[^>]*>([^<]*)</text>", (CHECKOUT / "docs/images/overview.svg").read_text("utf-8"))

    assert sorted(labels) == sorted(html.unescape(text).strip() for text in drawn)
    assert "images/overview.svg" in prose("docs/index.md")


@pytest.mark.parametrize("page", ["docs/reference/patroni_install.md", "docs/reference/install_patroni.md"])
def test_reference_says_where_it_comes_from(page):
    assert read(page).startswith("<!-- Written by `make reference`")
