# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the project's texts for the words in tests/prose.yml, and say what to write instead.

    python tests/prose.py             check every file that git tracks
    python tests/prose.py FILE ...    check these

What is checked of a file: of Markdown all but code; of Python comments, docstrings, names of tests and, outside of
tests, messages; of everything else all lines. A line that quotes another program is left out if `prose: quoted` is on
it, in a comment.
"""

from __future__ import annotations

import ast
import fnmatch
import io
import re
import subprocess
import sys
import tokenize
import typing as t
from pathlib import Path

import yaml

CHECKOUT = Path(__file__).resolve().parents[1]
RULES = Path(__file__).with_suffix(".yml")
QUOTED = "prose: quoted"
# Tests quote the messages that they expect, so only their comments and docstrings are the project's own text.
QUOTING = ("tests/", "bench/", "extensions/")


class Rule(t.NamedTuple):
    pattern: re.Pattern[str]
    instead: str
    finds: str
    passes: str


class Finding(t.NamedTuple):
    path: str
    line: int
    text: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text!r}: write {self.instead}"


def read_rules(path: Path = RULES) -> tuple[list[Rule], list[str]]:
    """Read the rules, and the patterns of files that are not checked."""
    table = yaml.safe_load(path.read_text("utf-8"))
    # A line may end anywhere in a phrase.
    rules = [
        Rule(compiled(rule["pattern"]), rule["instead"], rule["finds"], rule.get("passes", ""))
        for rule in table["rules"]
    ]
    return rules, table["exclude"]


def compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.replace(" ", r"\s+"), re.IGNORECASE)


def wrong_examples(rules: list[Rule]) -> list[str]:
    """Rules that do not find their example, or that find what they must let pass."""
    return [
        rule.pattern.pattern
        for rule in rules
        if not rule.pattern.search(rule.finds) or (rule.passes and rule.pattern.search(rule.passes))
    ]


def blank(match: re.Match[str]) -> str:
    """Take a text out, and keep the numbers of the lines after it."""
    return "\n" * match[0].count("\n") or " "


def markdown(text: str) -> str:
    for code in (r"^```.*?^```$", r"<!--.*?-->", r"(`+)(?!`).+?(?<!`)\1(?!`)", r"\]\([^)\s]*\)", r"^\[[^\]]+\]: \S+$"):
        text = re.sub(code, blank, text, flags=re.MULTILINE | re.DOTALL)
    return text


def python(text: str, *, messages: bool) -> str:
    """The comments, docstrings and names of tests, and other strings if they are messages, each on its own lines."""
    lines = [""] * (text.count("\n") + 2)

    def keep(first: int, found: str) -> None:
        for offset, line in enumerate(found.splitlines()):
            lines[first - 1 + offset] += f" {line}"

    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            keep(token.start[0], token.string.lstrip("# "))
    tree = ast.parse(text)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            keep(node.lineno, node.name.replace("_", " "))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and (messages or id(node) in docstrings):
            keep(node.lineno, re.sub(r"``?[^`\n]*``?", " ", node.value))
    return "\n".join(lines)


def prose(path: str, text: str) -> str:
    """What people read in a file, on its lines."""
    # The line that is marked, and the one after a mark that has a line of its own.
    marked = [number for number, line in enumerate(text.splitlines()) if QUOTED in line]
    if path.endswith(".md"):
        found = markdown(text)
    elif path.endswith(".py") or text.startswith("#!/usr/bin/env python"):
        found = python(text, messages=not path.startswith(QUOTING))
    else:
        found = re.sub(r"`[^`\n]*`", " ", text)
    lines = found.splitlines()
    for number in marked:
        if number < len(lines):
            lines[number] = ""
    # The marks of comments stand between the words of a sentence.
    return "\n".join(re.sub(r"^(\s*)#+ ?", r"\1", line) for line in lines)


def check(path: str, text: str, rules: list[Rule]) -> list[Finding]:
    found = prose(path, text)
    return sorted(
        Finding(path, found.count("\n", 0, match.start()) + 1, " ".join(match[0].split()), rule.instead)
        for rule in rules
        for match in rule.pattern.finditer(found)
    )


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return [path for path in listed.stdout.split("\0") if path]


def main(arguments: list[str]) -> int:
    rules, exclude = read_rules()
    if wrong := wrong_examples(rules):
        print("these rules are wrong about their examples:", *wrong, sep="\n")
        return 2
    paths = [str(Path(path).resolve().relative_to(CHECKOUT)) for path in arguments] or tracked()
    found: list[Finding] = []
    for path in paths:
        file = CHECKOUT / path
        if file.is_file() and not file.is_symlink() and not any(fnmatch.fnmatch(path, one) for one in exclude):
            try:
                found += check(path, file.read_text("utf-8"), rules)
            except UnicodeDecodeError:
                continue
    print(*found, sep="\n", end="\n" if found else "")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
