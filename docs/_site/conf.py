# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration of Sphinx for `make site`: the pages of docs/, and in collection/ those of antsibull-docs.

The pages of docs/ are written to be read on a code host too, so what only the site needs is added here.
"""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import yaml
from docutils import nodes

project = "pgedge.platform"
author = "pgEdge and contributors"
copyright = f"2026 {author}"
release = str(yaml.safe_load((Path(__file__).parents[2] / "galaxy.yml").read_text("utf-8"))["version"])

extensions = ["myst_parser", "sphinx_antsibull_ext"]
# The collection has no plugin that reads environment variables.
exclude_patterns = ["_site", "docsite", "collection/environment_variables.rst"]
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

# Labels of Ansible's own documentation, which the pages of antsibull-docs refer to. A build does not use the network.
ANSIBLE_DOCS = "https://docs.ansible.com/projects/ansible/latest/"
ANSIBLE_LABELS = {"common_return_values": "reference_appendices/common_return_values.html"}
# The pages of the reference, with the page that antsibull-docs makes of the same documentation.
REFERENCE = {
    "reference/patroni_install": "patroni_install_module",
    "reference/install_patroni": "install_patroni_role",
}


def add_contents(_app: t.Any, page: str, source: list[str]) -> None:
    """Add what a code host would show as code or as a broken link: the table of contents, and links to collection/."""
    if page == "index":
        pages = dict.fromkeys(re.findall(r"\]\(([\w/]+)\.md\)", source[0].partition("## Pages")[2]))
        source[0] += "\n```{toctree}\n:hidden:\n\n" + "\n".join([*pages, "collection/index"]) + "\n```\n"
        source[0] = re.sub(
            r"(\| \[reference/install_patroni\.md\].*\n)",
            r"\1| [pgedge.platform](collection/index.rst) "
            r"| How does Ansible's own documentation show the module, the role and the filters? |\n",
            source[0],
        )
    elif page in REFERENCE:
        link = f"[As Ansible's own documentation shows it](../collection/{REFERENCE[page]}.rst)"
        source[0] = re.sub(r"^(# .*\n)", rf"\1\n{link}\n", source[0], count=1, flags=re.MULTILINE)


def link_to_ansible(_app: t.Any, _env: t.Any, node: t.Any, content: t.Any) -> t.Any:
    """Resolve a label of Ansible's own documentation."""
    if node.get("reftarget") not in ANSIBLE_LABELS:
        return None
    target = f"{ANSIBLE_DOCS}{ANSIBLE_LABELS[node['reftarget']]}"
    return nodes.reference("", "", content, internal=False, refuri=target)


def setup(app: t.Any) -> None:
    app.connect("source-read", add_contents)
    app.connect("missing-reference", link_to_ansible)
