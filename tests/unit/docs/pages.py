# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages of the documentation, cut into what tests look at: headings, examples, tables and links."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
REPOSITORY = "https://github.com/pgEdge/pgedge-platform"
PATTERNS = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/*.md", "docs/reference/*.md", "roles/*/README.md")
PAGES = sorted(str(path.relative_to(CHECKOUT)) for pattern in PATTERNS for path in CHECKOUT.glob(pattern))


class Block(t.NamedTuple):
    """A fenced block, with the page and the nearest heading that it stands below."""

    page: str
    heading: str
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """What a person types, without the comment behind it."""
        lines = re.findall(r"^[$#] (.*)$", self.text, re.MULTILINE)
        return [re.sub(r"\s+# .*", "", line) for line in lines]


def read(page: str) -> str:
    return (CHECKOUT / page).read_text("utf-8")


def blocks(page: str) -> t.Iterator[Block]:
    heading, language = "", None
    lines: list[str] = []
    for line in read(page).splitlines():
        if language is None and line.startswith("```"):
            language, lines = line[3:], []
        elif language is not None and line == "```":
            yield Block(page, heading, language, "".join(f"{text}\n" for text in lines))
            language = None
        elif language is not None:
            lines.append(line)
        elif line.startswith("#"):
            heading = line.lstrip("# ")
    assert language is None, f"{page}: a block that does not end"


def prose(page: str) -> str:
    """A page without its fenced blocks."""
    return without_blocks(read(page))


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def tables(page: str) -> t.Iterator[list[list[str]]]:
    """The tables of a page: rows of cells, the first the header."""
    rows: list[list[str]] = []
    for line in [*prose(page).splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif rows:
            yield [row for row in rows if set("".join(row)) != {"-"}]
            rows = []


def headings(text: str) -> set[str]:
    """The anchors of a page's headings, named as code hosts do."""
    found = re.findall(r"^#+ (.*)$", without_blocks(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def anchors_in(text: str) -> set[str]:
    """What a link to a page may lead to: headings, and anchors written as HTML."""
    return headings(text) | set(re.findall(r'<a id="([^"]+)">', text))


def anchors(page: str) -> set[str]:
    return anchors_in(read(page))


def targets(text: str) -> list[str]:
    """What a page leads to, in its order."""
    found = re.findall(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$", without_blocks(text), re.MULTILINE)
    return [inline or defined for inline, defined in found]


def links(page: str) -> list[str]:
    """What a page leads to, except other sites; a file of the repository by its path from the page, as others are."""
    up = "../" * page.count("/")
    local = (re.sub(rf"^{re.escape(REPOSITORY)}/(blob|raw)/main/", up, link) for link in targets(read(page)))
    return [link for link in local if "://" not in link]


def undefined_links(page: str) -> set[str]:
    """Names of links, as in ``[text][name]``, that the page does not define, and definitions that it does not use."""
    used = re.findall(r"\]\[([^\]]+)\]", prose(page))
    return set(used) ^ set(re.findall(r"^\[([^\]]+)\]: ", prose(page), re.MULTILINE))
