# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/troubleshooting.md has every message of the module, and no other.

Messages are read from the code as templates, with ``...`` where a value goes, as the page writes them.
"""

from __future__ import annotations

import ast
import itertools
import re
import typing as t

from ansible_collections.pgedge.platform.tests.unit.docs.pages import CHECKOUT, headings, read, tables

PAGE = "docs/troubleshooting.md"
# Whose first argument an operator reads.
TELLING_CALLS = {"PatroniInstallError", "CommandError", "_Broken", "warn"}
# What makes a text that is handed to one of those, or to the result.
TELLING_FUNCTIONS = {"not_offered", "in_conflict", "environment_drift", "_explained", "failure"}
# Told in other words: by the version before (was ...), or not at all if Patroni was not installed.
NOT_TOLD = {"it does not exist", "its version is ...", "its version is ... and the newest is ..."}
# Arguments that one of those functions makes, or that were handed on.
MADE_ELSEWHERE = {
    "_causes.not_offered(step.requirement, offered)",
    "_causes.in_conflict(step.requirement, conflict)",
    "_causes.in_conflict(wanted, conflict)",
    "_explained(step, error)",
    "message",
    "str(broken)",
}

Texts = t.List[str]


def alternatives(function: ast.AST | None, name: str) -> ast.expr | None:
    """What a function assigns to a name, if that is one text or another."""
    assigned = [
        node.value
        for node in ast.walk(function or ast.Module([], []))
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == name
    ]
    return assigned[0] if len(assigned) == 1 and isinstance(assigned[0], ast.IfExp) else None


def templates(node: ast.expr, function: ast.AST | None) -> Texts:
    """Every text that an expression can be, with ``...`` for a value; none for one that is made elsewhere."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.IfExp):
        both = [templates(branch, function) for branch in (node.body, node.orelse)]
        return both[0] + both[1] if all(both) else []
    if isinstance(node, ast.Name):
        chosen = alternatives(function, node.id)
        return templates(chosen, function) if chosen is not None else []
    if isinstance(node, ast.JoinedStr):
        parts = [
            templates(part.value, function) or ["..."] if isinstance(part, ast.FormattedValue) else [part.value]
            for part in node.values
        ]
        return ["".join(chosen) for chosen in itertools.product(*parts)]
    return []


def functions(tree: ast.AST) -> t.Iterator[tuple[ast.AST | None, ast.AST]]:
    """Every node of a module with the innermost function that it is in."""

    def walk(node: ast.AST, function: ast.AST | None) -> t.Iterator[tuple[ast.AST | None, ast.AST]]:
        for child in ast.iter_child_nodes(node):
            inner = child if isinstance(child, ast.FunctionDef) else function
            yield inner, child
            yield from walk(child, inner)

    return walk(tree, None)


def told() -> set[str]:
    """Every message in the code."""
    found = set()
    for path in sorted((CHECKOUT / "plugins").rglob("*.py")):
        for function, node in functions(ast.parse(path.read_text("utf-8"))):
            name = getattr(function, "name", None)
            if isinstance(node, ast.Call) and node.args:
                called = getattr(node.func, "attr", getattr(node.func, "id", None))
                if called in TELLING_CALLS:
                    texts = templates(node.args[0], function)
                    source = ast.get_source_segment(path.read_text("utf-8"), node.args[0])
                    assert texts or source in MADE_ELSEWHERE, f"{path.name}: {source}"
                    found.update(texts)
            elif name in TELLING_FUNCTIONS and isinstance(node, ast.Return) and node.value is not None:
                found.update(templates(node.value, function))
                found.update(
                    text
                    for key, value in zip(getattr(node.value, "keys", []), getattr(node.value, "values", []))
                    if getattr(key, "value", None) == "msg"
                    for text in templates(value, function)
                )
    return found - NOT_TOLD


def explained() -> Texts:
    """Every message on the page, in its order."""
    cells = (row[0] for rows in tables(PAGE) if rows[0][0] == "Message" for row in rows[1:])
    return [re.sub(r"^(<a [^>]*></a>)?`|`$", "", cell) for cell in cells]


MESSAGES = told()
# A template made only of a value and a template that another function makes.
COMBINED = {
    "version: ...": [
        "version: the package index offers no ... for this Python; the newest versions that it offers are ...",
        "version: pip found no compatible versions for ...: ...; change the version or the constraints",
    ]
}


def test_messages_are_found():
    assert len(MESSAGES) > 60
    assert "user: the account ... does not exist; the role init_server creates it" in MESSAGES
    assert "its executable ... is missing" in MESSAGES
    assert "... was killed by signal ...: ..." in MESSAGES


def test_every_message_is_explained_and_no_other():
    expected = {text for message in MESSAGES for text in COMBINED.get(message, [message])}

    assert expected - set(explained()) == set()
    assert set(explained()) - expected == set()


def test_no_message_is_explained_twice():
    assert len(set(explained())) == len(explained())


def test_each_has_a_cause_and_a_remedy():
    rows = [row for table in tables(PAGE) for row in table]

    assert all(len(row) == 3 and all(row) for row in rows)


def test_each_row_has_an_anchor():
    """It is chosen once, not made from the message, so a link outlives the wording."""
    first = [row[0] for rows in tables(PAGE) for row in rows[1:]]
    found = [re.match(r'<a id="([a-z0-9]+(?:-[a-z0-9]+)*)"></a>\S', cell) for cell in first]

    assert [cell for cell, match in zip(first, found) if not match] == []
    names = [match.group(1) for match in found if match]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 40 for name in names)
    assert set(names) & headings(read(PAGE)) == set()
