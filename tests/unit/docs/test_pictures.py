# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures are on a page, show what the code prints, and nothing of the machine on which they were drawn."""

from __future__ import annotations

import html
import re

import pytest

from ansible_collections.pgedge.platform.tests.unit.docs.pages import CHECKOUT, PAGES, blocks, links
from ansible_collections.pgedge.platform.tests.unit.docs.test_readme_output import printed
from ansible_collections.pgedge.platform.tests.unit.plugins.models import bare, observed

IMAGES = CHECKOUT / "docs" / "images"
SVGS = {path.name: path.read_text("utf-8") for path in sorted(IMAGES.glob("*.svg"))}
TERMINALS = sorted(name for name, svg in SVGS.items() if 'class="rich-terminal"' in svg)
# The width that a character has in them.
CHARACTER = 12.2
# Paths on any host that the role manages.
OF_HOSTS = ("/bin/kill", "/etc/patroni", "/etc/systemd/system/patroni.service", "/var/lib/postgresql/")


def drawn(name: str) -> str:
    """The text in the picture of a terminal."""
    lines: dict[float, str] = {}
    for x, y, text in re.findall(r'<text class="[^"]*" x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]*)</text>', SVGS[name]):
        before = lines.get(float(y), "").ljust(round(float(x) / CHARACTER))
        lines[float(y)] = before + html.unescape(text).replace("\xa0", " ")
    return "".join(f"{lines[y].rstrip()}\n" for y in sorted(lines))


def command(heading: str) -> str:
    (block,) = (
        block for block in blocks("docs/install.md") if block.heading == heading and block.language == "console"
    )
    return block.text


def test_the_terminals_are_found():
    assert {"preview.svg", "second-run.svg"} <= set(TERMINALS)


@pytest.mark.parametrize(
    ("name", "heading", "before", "changed"),
    [("preview.svg", "Preview", bare(), 1), ("second-run.svg", "Apply", observed(), 0)],
)
def test_a_picture_shows_what_the_code_prints(name, heading, before, changed):
    shown = drawn(name)

    assert shown.startswith(command(heading))
    assert f" : Install Patroni] ***********************\n{printed(before)}PLAY RECAP " in shown
    assert re.search(rf"^pg1.example.com +: ok=2 +changed={changed} +unreachable=0 +failed=0 ", shown, re.MULTILINE)


@pytest.mark.parametrize("name", TERMINALS)
def test_a_picture_shows_no_path_or_name_of_the_machine_that_drew_it(name):
    shown = drawn(name)
    paths = re.findall(r"(?<![\w.:/])[/~][\w.~/-]+", shown)
    hosts = re.findall(r"^(\S+) +: ok=", shown, re.MULTILINE)

    assert [path for path in paths if not path.startswith(OF_HOSTS)] == []
    assert hosts
    assert [host for host in hosts if not re.fullmatch(r"pg\d(\.example\.com)?", host)] == []


@pytest.mark.parametrize("name", sorted(SVGS))
def test_a_picture_loads_nothing(name):
    assert re.findall(r"@font-face|@import|href=|src:|url\((?!#)", SVGS[name]) == []


def test_every_picture_is_on_a_page():
    shown = {link.rpartition("/")[2] for page in PAGES for link in links(page) if "docs/images/" in f"docs/{link}"}
    pictures = {path.name for path in IMAGES.iterdir()} - {"overview.dot"}

    assert pictures == shown
