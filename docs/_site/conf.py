# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sphinx's configuration: the pages of docs/ as a site. They are written to be read on a code host as they are."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import yaml

project = "pgedge.platform"
author = "pgEdge and contributors"
copyright = f"2026 {author}"
release = str(yaml.safe_load((Path(__file__).parents[2] / "galaxy.yml").read_text("utf-8"))["version"])

extensions = ["myst_parser"]
exclude_patterns = ["_site"]
myst_heading_anchors = 3
# The reference links to anchors written as HTML, which MyST does not know. tests/unit/docs checks all links.
suppress_warnings = ["myst.xref_missing"]

html_theme = "alabaster"
html_theme_options = {
    "description": "Highly available Postgres on your own hosts",
    "page_width": "80em",
    "body_max_width": "none",
}
html_show_sourcelink = False


def add_contents(_app: t.Any, page: str, source: list[str]) -> None:
    """Give the site the order of the landing page's links; a table of contents in the page would show as code."""
    if page == "index":
        pages = dict.fromkeys(re.findall(r"\]\(([\w/]+)\.md\)", source[0].partition("## Pages")[2]))
        source[0] += "\n```{toctree}\n:hidden:\n\n" + "\n".join(pages) + "\n```\n"


def setup(app: t.Any) -> None:
    app.connect("source-read", add_contents)
