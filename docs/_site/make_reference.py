# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write docs/reference/ from the documentation in the code: Markdown, which a code host and Sphinx both show.

    python docs/_site/make_reference.py           write the pages
    python docs/_site/make_reference.py --check   fail if they are not what would be written

ansible-doc must find the collection (ANSIBLE_COLLECTIONS_PATH).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import typing as t
from pathlib import Path

import jinja2
from antsibull_docs_parser import dom, md
from antsibull_docs_parser.format import LinkProvider
from antsibull_docs_parser.parser import Context, parse
from generated import update

HERE = Path(__file__).parent
PAGES = HERE.parent / "reference"
MODULE, ROLE = "pgedge.platform.patroni_install", "pgedge.platform.install_patroni"


class Links(LinkProvider):
    """Where on these pages an option or a returned value is described."""

    def plugin_link(self, plugin: dom.PluginIdentifier) -> str | None:
        return page_name(plugin.fqcn) if plugin.fqcn in (MODULE, ROLE) else None

    def plugin_option_like_link(
        self, plugin: dom.PluginIdentifier, entrypoint: str | None, what: str, name: list[str], current_plugin: bool
    ) -> str | None:
        page = "" if current_plugin else self.plugin_link(plugin) or ""
        return f"{page}#{what}-{'-'.join(name)}"


class Markdown(md.MDFormatter):
    """Markdown that also reads well unrendered: code in backticks, and no escape that nothing needs."""

    @staticmethod
    def _format_option_like(part: dom.OptionNamePart | dom.ReturnValuePart, url: str | None) -> str:
        text = code(part.name if part.value is None else f"{part.name}={part.value}")
        return f"[{text}]({url})" if url else text

    def format_code(self, part: dom.CodePart) -> str:
        return code(part.text)

    def format_env_variable(self, part: dom.EnvVariablePart) -> str:
        return code(part.name)

    def format_option_value(self, part: dom.OptionValuePart) -> str:
        return code(part.value)

    def format_plugin(self, part: dom.PluginPart, url: str | None) -> str:
        return f"[{part.plugin.fqcn}]({url})" if url else code(part.plugin.fqcn)

    def format_text(self, part: dom.TextPart) -> str:
        return re.sub(r"([\\*_<>|`\[\]])", r"\\\1", part.text)


def code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


def page_name(fqcn: str) -> str:
    return f"{fqcn.rpartition('.')[2]}.md"


def renderer(fqcn: str, kind: str) -> t.Callable[[str | list[str]], list[str]]:
    """Make the function that turns Ansible's markup into paragraphs of Markdown."""
    context = Context(
        current_plugin=dom.PluginIdentifier(fqcn=fqcn, type=kind), role_entrypoint="main" if kind == "role" else None
    )

    def render(texts: str | list[str]) -> list[str]:
        paragraphs = parse(texts, context, errors="exception")
        return [
            md.to_md([one], Markdown(), Links(), current_plugin=context.current_plugin).replace("\n", " ")
            for one in paragraphs
        ]

    return render


def documented(fqcn: str, kind: str) -> dict[str, t.Any]:
    """Get the documentation from ansible-doc, which checks and completes it."""
    command = ["ansible-doc", "--type", kind, "--json", fqcn]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return t.cast("dict[str, t.Any]", found[fqcn])


def pages() -> dict[str, str]:
    """Render the pages, by the names of their files."""
    environment = jinja2.Environment(  # noqa: S701 - it writes Markdown
        loader=jinja2.FileSystemLoader(HERE), trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(code=code)
    template = environment.get_template("reference.md.j2")
    module, role = documented(MODULE, "module"), documented(ROLE, "role")
    main = role["entry_points"]["main"]
    return {
        page_name(MODULE): template.render(
            fqcn=MODULE,
            kind="module",
            doc=module["doc"],
            values=module["return"],
            examples=module["examples"],
            md=renderer(MODULE, "module"),
            other=(ROLE, page_name(ROLE)),
        ),
        page_name(ROLE): template.render(
            fqcn=ROLE,
            kind="role",
            doc=main,
            values={},
            examples="",
            md=renderer(ROLE, "role"),
            other=(MODULE, page_name(MODULE)),
        ),
    }


if __name__ == "__main__":
    sys.exit(update({PAGES / name: text for name, text in pages().items()}, directory=PAGES))
