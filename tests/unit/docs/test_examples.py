# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every command and playbook of the documentation is tied to a test.

A block that is new on a page fails here until it stands below, with the test that runs it.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import typing as t

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.pgedge.platform.plugins.modules import patroni_install
from ansible_collections.pgedge.platform.tests.unit.docs.pages import CHECKOUT, PAGES, Block, blocks

TRIED = "tests/integration/test_documentation.py"
QUICK_START = "tests/integration/test_rootless.py"
# The tests that read the one block of a language below a heading of a page and run it: what runs is what is written.
READ = {
    ("docs/install.md", "Install the collection", "console"): TRIED,
    ("docs/install.md", "Write an inventory", "yaml"): TRIED,
    ("docs/install.md", "Write a playbook", "yaml"): TRIED,
    ("docs/install.md", "Preview", "console"): TRIED,
    ("docs/install.md", "Apply", "console"): TRIED,
    ("docs/install.md", "Set options", "yaml"): TRIED,
    ("docs/install.md", "Use the module without the role", "yaml"): TRIED,
    ("docs/lifecycle.md", "What is inside", "console"): TRIED,
    ("docs/lifecycle.md", "When to restart", "yaml"): TRIED,
    ("docs/offline.md", "Make a bundle", "console"): "tests/integration/bundles.py",
    ("docs/offline.md", "Install from the bundle", "yaml"): "tests/integration/test_offline.py",
    ("docs/offline.md", "Verify every file by its hash", "console"): "tests/integration/bundles.py",
    ("docs/offline.md", "Verify every file by its hash", "yaml"): "tests/integration/test_hashes.py",
    ("docs/offline.md", "A private index", "yaml"): "tests/integration/test_private_index.py",
    ("docs/troubleshooting.md", "Troubleshooting", "console"): TRIED,
}
# Playbooks that are a file which a test runs, but for `become`.
BASIC = "extensions/molecule/default/documented/basic_usage"
TAKEN = {
    ("roles/install_patroni/README.md", "install_patroni"): BASIC,
    ("docs/cluster.md", "Deploy"): BASIC,
    ("docs/performance.md", "In a large fleet"): "bench/playbooks/unvalidated.yml",
}
CLUSTER = "extensions/molecule/cluster"
UPGRADE = "ansible-playbook pgedge.platform.upgrade_patroni -i hosts.yml -e patroni_version="
PATRONICTL = "runuser -u postgres -- /var/lib/postgresql/.local/bin/patronictl -c /etc/patroni/patroni.yaml"
# Commands that start tests, or that tests give as they stand: where they are given.
GIVEN = {
    "make demo": "tests/integration/test_rootless.py",
    "make test": ".ci/run",
    "make merge INTO=../pgedge-ansible CHECK=1": "tests/unit/scripts/test_merge.py",
    "make merge INTO=../pgedge-ansible": "tests/unit/scripts/test_merge.py",
    "journalctl --follow --identifier=ansible-pgedge.platform.patroni_install": "tests/integration/test_limits.py",
    "journalctl --follow MODULE=basic.py": "tests/integration/test_limits.py",
    f"{UPGRADE}4.1.5 --check --diff": f"{CLUSTER}/upgrade.yml",
    f"{UPGRADE}4.1.5": f"{CLUSTER}/upgrade.yml",
    f"{UPGRADE}4.0.11": f"{CLUSTER}/upgrade.yml",
    f"{PATRONICTL} list": f"{CLUSTER}/verify.yml",
    "ansible-playbook pgedge.platform.patroni_report -i hosts.yml": f"{CLUSTER}/verify.yml",
}
# The checkout that the pages start from: its address is the one that the collection's metadata gives.
METADATA = yaml.safe_load((CHECKOUT / "galaxy.yml").read_text("utf-8"))
REPOSITORY = METADATA["repository"]
CLONED = {f"git clone {REPOSITORY}", f"cd {REPOSITORY.rpartition('/')[2]}"}
# `make` and pytest on a developer's machine: what they name must exist.
DEVELOPERS = re.compile(r"(PGEDGE_(REQUIRE_ENGINE=1|FAULTS=full) )?(make( [a-z-]+)?|\.venv/bin/pytest .*)")
# What no test here can run, by its beginning, with the page and the words by which it says so.
NOT_RUN = {
    "semanage fcontext ": ("docs/security.md", "without a test that repeats it"),
}
# Described, not run.
FRAGMENTS = {("CONTRIBUTING.md", "Changelog")}
REFERENCE = {
    ("docs/reference/patroni_install.md", "Examples"),
}
NOT_EXAMPLES = {"text"}

MODULE = "pgedge.platform.patroni_install"
ROLE = "pgedge.platform.install_patroni"
VARIABLES = yaml.safe_load((CHECKOUT / "roles/install_patroni/meta/argument_specs.yml").read_text("utf-8"))[
    "argument_specs"
]["main"]["options"]

BLOCKS = [block for page in PAGES for block in blocks(page) if block.language not in NOT_EXAMPLES]
CONSOLE = [block for block in BLOCKS if block.language == "console"]
YAML = [block for block in BLOCKS if block.language == "yaml"]


def place(block: Block) -> tuple[str, str]:
    return block.page, block.heading


def name(block: Block) -> str:
    return f"{block.page}: {block.heading}"


RUN = [block for block in BLOCKS if (*place(block), block.language) in READ]
RUN_COMMANDS = {command for block in RUN for command in block.commands}


def test_the_quick_start_is_read_by_its_test():
    tree = ast.parse((CHECKOUT / QUICK_START).read_text("utf-8"))
    literals = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}

    assert {"README.md", "## Quick start\n"} <= literals
    assert len([block for block in CONSOLE if place(block) == ("README.md", "Quick start")]) == 3


def test_the_version_is_the_same_everywhere():
    texts = {path: (CHECKOUT / path).read_text("utf-8") for path in ("pyproject.toml", *PAGES)}
    named = [
        (path, version)
        for path, text in texts.items()
        for pattern in (r"pgedge-platform-([\d.]+)\.tar\.gz", r'^version = "(.+)"$', r"\bversion ([\d.]+) into ")
        for version in re.findall(pattern, text, re.MULTILINE)
    ]

    assert {"pyproject.toml", "README.md", "docs/install.md", "docs/platform.md"} <= {path for path, _version in named}
    assert {version for _path, version in named} == {METADATA["version"]}


def test_the_examples_are_found():
    assert len(CONSOLE) > 10
    assert len(YAML) > 10


def test_there_is_no_other_kind_of_example():
    assert {block.language for block in BLOCKS} == {"console", "yaml"}


@pytest.mark.parametrize("block", CONSOLE, ids=name)
def test_commands_are_tied_to_a_test(block):
    assert block.commands
    for command in block.commands:
        tied = (
            command in RUN_COMMANDS
            or command in GIVEN
            or command in CLONED
            or place(block) == ("README.md", "Quick start")
            or DEVELOPERS.fullmatch(command)
            or command.startswith(tuple(NOT_RUN))
        )
        assert tied, f"{name(block)}: no test is known to run: {command}"


@pytest.mark.parametrize("block", YAML, ids=name)
def test_playbooks_are_tied_to_a_test(block):
    tied = block.text in {run.text for run in RUN} or place(block) in {*TAKEN, *FRAGMENTS, *REFERENCE}
    assert tied, f"{name(block)}: no test is known to run it"


@pytest.mark.parametrize("where", sorted(READ), ids=" ".join)
def test_the_test_reads_the_page(where):
    tree = ast.parse((CHECKOUT / READ[where]).read_text("utf-8"))
    literals = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}

    assert len([block for block in RUN if (*place(block), block.language) == where]) == 1
    assert set(where) <= literals


@pytest.mark.parametrize("where", sorted(TAKEN), ids=" ".join)
def test_the_playbook_is_one_that_a_test_runs(where):
    (block,) = (block for block in YAML if place(block) == where)
    (shown,) = yaml.safe_load(block.text)
    shown.pop("become", None)

    assert [shown] == yaml.safe_load((CHECKOUT / TAKEN[where]).read_text("utf-8"))


@pytest.mark.parametrize("command", sorted(GIVEN))
def test_the_command_is_given(command):
    lines = (CHECKOUT / GIVEN[command]).read_text("utf-8").splitlines()
    # A comment gives no command, and how many jobs make has makes no difference.
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    plain = re.sub(r" --(jobs|output-sync)=\S+", "", text)

    assert command in plain or ", ".join(f'"{word}"' for word in command.split()) in plain


def test_what_is_not_run_says_so():
    for page, words in NOT_RUN.values():
        assert words in (CHECKOUT / page).read_text("utf-8")


def developers() -> list[str]:
    commands = (command for block in CONSOLE for command in block.commands)
    return sorted({command for command in commands if DEVELOPERS.fullmatch(command)})


@pytest.mark.parametrize("command", developers())
def test_what_a_developer_s_command_names_is_there(command):
    words = [word for word in command.split() if not word.startswith("PGEDGE_")]
    if words[0] == "make":
        makefile = (CHECKOUT / "Makefile").read_text("utf-8")
        assert all(re.search(rf"^{word}:", makefile, re.MULTILINE) for word in words[1:])
        return
    (path,) = (word for word in words if word.startswith("tests/"))
    alternatives = re.fullmatch(r"(.*)\{(.*)\}(.*)", path)
    paths = [path]
    if alternatives:
        before, middle, after = alternatives.groups()
        paths = [f"{before}{word}{after}" for word in middle.split(",")]
    assert all((CHECKOUT / one).is_file() for one in paths)


# What the examples say


def loaded(block: Block) -> list[t.Any]:
    content = yaml.safe_load(block.text)
    return content if isinstance(content, list) else []


def plays(block: Block) -> t.Iterator[dict[str, t.Any]]:
    return (entry for entry in loaded(block) if "hosts" in entry)


def tasks(block: Block) -> t.Iterator[dict[str, t.Any]]:
    yield from (entry for entry in loaded(block) if "hosts" not in entry)
    for play in plays(block):
        yield from (task for key in ("pre_tasks", "tasks", "post_tasks") for task in play.get(key, []))


def plain(options: dict[str, t.Any]) -> dict[str, t.Any]:
    """Options without those whose value only Ansible knows."""
    return {key: value for key, value in options.items() if "{{" not in str(value)}


@pytest.mark.parametrize("block", YAML, ids=name)
def test_options_and_variables_are_valid(block):
    variables: dict[str, t.Any] = {}
    for play in plays(block):
        variables.update(play.get("vars", {}))
    for task in tasks(block):
        if MODULE in task:
            options = task[MODULE] or {}
            assert set(options) <= set(patroni_install.ARGUMENT_SPEC)
            result = ArgumentSpecValidator(patroni_install.ARGUMENT_SPEC).validate(plain(options))
            assert result.error_messages == []
        if "include_role" in str(task) and ROLE in str(task):
            variables.update(task.get("vars", {}))
    known = {key: value for key, value in variables.items() if key.startswith("patroni_")}
    assert set(known) <= set(VARIABLES)
    spec = {
        key: {field: VARIABLES[key][field] for field in ("type", "choices") if field in VARIABLES[key]} for key in known
    }
    assert ArgumentSpecValidator(spec).validate(plain(known)).error_messages == []


def test_ansible_takes_them_for_playbooks(tmp_path):
    examples = [block for block in YAML if loaded(block)]
    for number, block in enumerate(examples):
        above = "" if list(plays(block)) else "- hosts: all\n  tasks:\n"
        indent = "    " if above else ""
        text = above + "".join(f"{indent}{line}\n" for line in block.text.splitlines())
        (tmp_path / f"{number}.yml").write_text(text, "utf-8")
    (tmp_path / "hosts").write_text("[pgedge]\npg1.example.com\n", "utf-8")
    collections = os.path.abspath(patroni_install.__file__).partition(f"{os.sep}ansible_collections{os.sep}")[0]
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": collections,
        "ANSIBLE_HOME": str(tmp_path / "ansible"),
        "ANSIBLE_ROLES_PATH": os.pathsep.join(str(path) for path in CHECKOUT.glob("extensions/molecule/*/stand_ins")),
    }
    command = [sys.executable, "-m", "ansible.cli.playbook", "--syntax-check", "-i", str(tmp_path / "hosts")]
    files = sorted(str(path) for path in tmp_path.glob("*.yml"))

    done = subprocess.run([*command, *files], env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("playbook: ") == len(examples) > 5
