# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tests/prose.py checks what people read, and leaves code and quotations alone."""

from __future__ import annotations

import pytest

from ansible_collections.pgedge.platform.tests import prose

RULES, EXCLUDED = prose.read_rules()

MARKDOWN = """\
A folder.
Code such as `a folder`, and [a link](folder/page.md).

```console
$ ls folder
```
It goes
on. <!-- a folder -->
"""

PYTHON = '''\
"""A folder."""

folder = "a folder"  # a folder


def function():
    """No problem.

    A folder, but not ``folder``.
    """
    return f"{folder} is a folder"  # prose: quoted
'''


def lines(path, text):
    return [(finding.line, finding.text) for finding in prose.check(path, text, RULES)]


def test_every_rule_finds_its_example():
    assert prose.wrong_examples(RULES) == []


def test_a_wrong_example_is_found():
    assert prose.wrong_examples([RULES[0]._replace(finds="nothing")]) == [RULES[0].pattern.pattern]
    assert prose.wrong_examples([RULES[0]._replace(passes=RULES[0].finds)]) == [RULES[0].pattern.pattern]


def test_of_a_page_all_but_code():
    assert lines("docs/page.md", MARKDOWN) == [(1, "folder"), (7, "goes on")]


def test_of_shipped_python_comments_docstrings_and_messages():
    assert lines("plugins/module.py", PYTHON) == [(1, "folder"), (3, "folder"), (3, "folder"), (9, "folder")]


def test_of_a_test_comments_and_docstrings():
    assert lines("tests/test_module.py", PYTHON) == [(1, "folder"), (3, "folder"), (9, "folder")]


@pytest.mark.parametrize("path", ["tasks/main.yml", "Makefile", "run.sh"])
def test_of_everything_else_all_lines_that_quote_nobody(path):
    assert lines(path, "# It goes\n# on.\nname: a folder\nmsg: a folder  # prose: quoted\n") == [
        (1, "goes on"),
        (3, "folder"),
    ]


def test_a_finding_says_what_to_write():
    (finding,) = prose.check("docs/page.md", "A folder.\n", RULES)

    assert str(finding) == "docs/page.md:1: 'folder': write directory"
