# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the role's argument specs and its task from the options of the module, and from role.yml.

Usage: python docs/_site/make_role.py           write them
       python docs/_site/make_role.py --check   fail if they are not what would be written
"""

from __future__ import annotations

import ast
import math
import re
import sys
import typing as t
from pathlib import Path

import yaml
from generated import CHECKOUT, update

OWN = Path(__file__).with_name("role.yml")
MODULE = CHECKOUT / "plugins" / "modules" / "patroni_install.py"
ROLE = CHECKOUT / "roles" / "install_patroni"
FIRST_VERSION = "1.0.0"
# PyYAML ends a line after the word that reaches this column.
FOLD = 96


class Template(str):
    """A text that YAML quotes."""


class Dumper(yaml.SafeDumper):
    """Writes YAML as yamllint wants it: lists indented, templates in double quotes."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)


Dumper.add_representer(Template, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


def read_module() -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    """Read the documentation of the options, and the argument spec, without importing the module."""
    found = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(MODULE.read_text("utf-8")).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    return yaml.safe_load(found["DOCUMENTATION"])["options"], found["ARGUMENT_SPEC"]


def for_role(text: str) -> str:
    """Write a text about the module as one about the role: its variables have a prefix, and it has no return values."""
    text = re.sub(r"\bO\((\w+)", r"O(patroni_\1", text)
    text = re.sub(r"\bRV\((\w+)\)", r"C(\1) in the result", text)
    return re.sub(r"\b([Tt])he module\b", r"\1he role", text)


def option(name: str, documented: dict[str, t.Any], spec: dict[str, t.Any], own: dict[str, t.Any]) -> dict[str, t.Any]:
    texts = own["descriptions"].get(name) or [for_role(text) for text in documented["description"]]
    kept = {key: value for key, value in documented.items() if key not in ("description", "version_added")}
    secret = {"no_log": True} if spec.get("no_log") else {}
    return {
        "description": texts,
        **kept,
        **secret,
        "version_added": documented.get("version_added", FIRST_VERSION),
    }


def render(content: object, width: float) -> str:
    license_lines = OWN.read_text("utf-8").splitlines()[:3]
    note = (
        "# Written by `make reference` from the documentation of the module and docs/_site/role.yml. Change it there."
    )
    dumped = yaml.dump(content, Dumper=Dumper, sort_keys=False, width=width)
    return "\n".join([*license_lines, note, "---", dumped])


def files() -> dict[Path, str]:
    """Render the files, by their paths."""
    own = yaml.safe_load(OWN.read_text("utf-8"))
    documented, spec = read_module()
    options = {f"patroni_{name}": option(name, documented[name], spec[name], own) for name in documented}
    main = {**own["main"], "options": {**own["options"], **options}}
    arguments = {
        name: Template(f"{{{{ patroni_{name} | default({own['defaults'].get(name, 'omit')}) }}}}")
        for name in documented
    }
    return {
        ROLE / "meta" / "argument_specs.yml": render({"argument_specs": {"main": main}}, FOLD),
        ROLE / "tasks" / "main.yml": render([{**own["task"], "pgedge.platform.patroni_install": arguments}], math.inf),
    }


if __name__ == "__main__":
    sys.exit(update(files()))
