# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Architecture: which file may import which, which one may act, and that documentation and code agree."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.pgedge.platform.plugins.module_utils._patroni import _apply
from ansible_collections.pgedge.platform.plugins.module_utils._types import Step
from ansible_collections.pgedge.platform.plugins.modules import patroni_install

CHECKOUT = Path(__file__).resolve().parents[4]
PLUGINS = CHECKOUT / "plugins"
UTILS = PLUGINS / "module_utils"
FILES = {path.stem: path for path in sorted(UTILS.rglob("_*.py")) if path.stem != "__init__"}
ROOMS = {room: ast.parse(path.read_text("utf-8")) for room, path in FILES.items()}
SHARED = sorted(room for room, path in FILES.items() if path.parent == UTILS)
MODULE = ast.parse((PLUGINS / "modules" / "patroni_install.py").read_text("utf-8"))
SOURCES = {**ROOMS, "patroni_install": MODULE}

PURE = (
    "_answers",
    "_causes",
    "_commands",
    "_constraints",
    "_desired",
    "_drift",
    "_exec_start",
    "_login_shell",
    "_observed",
    "_plan",
    "_report",
    "_steps",
    "_types",
    "_unit",
    "_variables",
    "_versions",
)
DATA = {"_desired", "_observed", "_steps", "_types"}
HARMLESS = {"__future__", "dataclasses", "hashlib", "re", "shlex", "typing", "urllib.parse"}


def imported(tree):
    """Name every module that is imported anywhere in a source; those of this collection by the names of their files."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and node.level and not node.module):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.rpartition(".")[2] if node.level else node.module)
    return names


def called(tree):
    """Name every function or method that is called in a source, by the last part of its name."""
    functions = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {getattr(function, "attr", getattr(function, "id", None)) for function in functions}


def callers(*names):
    return {room for room, tree in SOURCES.items() if called(tree) & set(names)}


def test_the_rooms_are_found():
    assert set(PURE) < set(ROOMS)


@pytest.mark.parametrize("room", PURE)
def test_pure_rooms_import_nothing_that_acts(room):
    assert imported(ROOMS[room]) <= HARMLESS | set(PURE) | {"_errors"}


@pytest.mark.parametrize("room", [*PURE, "_errors"])
def test_pure_rooms_open_nothing(room):
    assert not called(ROOMS[room]) & {"open", "exec", "eval", "__import__", "print"}


def test_errors_import_only_data():
    assert imported(ROOMS["_errors"]) <= HARMLESS | {"_types"}


@pytest.mark.parametrize("room", sorted(DATA))
def test_data_imports_only_data(room):
    assert imported(ROOMS[room]) <= HARMLESS | DATA


@pytest.mark.parametrize("room", SHARED)
def test_what_modules_share_imports_nothing_of_one_module(room):
    assert imported(ROOMS[room]).isdisjoint(set(FILES) - set(SHARED))


def test_contributing_lists_each_file_once():
    rows = re.findall(r"^\| (`_.*?) \|", (CHECKOUT / "CONTRIBUTING.md").read_text("utf-8"), re.MULTILINE)
    listed = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]

    assert sorted(listed) == sorted(str(path.relative_to(UTILS)) for path in FILES.values())


@pytest.mark.parametrize(
    ("room", "others"),
    [
        ("_probe", {"_apply", "_build", "_plan", "_report", "_run"}),
        ("_index", {"_apply", "_build", "_plan", "_probe", "_report", "_run"}),
        ("_interpreter", {"_apply", "_build", "_plan", "_probe", "_report", "_run"}),
        ("_pipx", {"_apply", "_build", "_plan", "_probe", "_report", "_run"}),
        ("_apply", {"_plan", "_probe", "_report", "_run"}),
        ("_build", {"_apply", "_plan", "_probe", "_report", "_run"}),
        ("_retry", {"_apply", "_build", "_plan", "_probe", "_report", "_run"}),
        ("_host", {"_apply", "_plan", "_probe", "_report", "_run"}),
        ("_files", {"_apply", "_plan", "_probe", "_report", "_run", "_host"}),
        ("_environment", {"_apply", "_plan", "_probe", "_report", "_run", "_host"}),
        ("_kept", {"_apply", "_build", "_plan", "_probe", "_report", "_run"}),
    ],
)
def test_data_flows_one_way(room, others):
    assert not imported(ROOMS[room]) & others


def test_a_run_with_nothing_to_do_imports_no_more_than_it_needs():
    waiting, loaded = ["patroni_install"], set()
    while waiting:
        room = waiting.pop()
        loaded.add(room)
        at_once = ast.Module([node for node in SOURCES[room].body if isinstance(node, ast.ImportFrom)], [])
        waiting.extend(imported(at_once) & set(ROOMS) - loaded)

    assert set(ROOMS) - loaded == {"_apply", "_build", "_causes", "_index", "_retry"}


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_no_room_imports_the_module(room):
    assert not any("plugins.modules" in name for name in imported(ROOMS[room]))


def test_the_logic_of_the_playbooks_is_pure():
    tree = ast.parse((PLUGINS / "plugin_utils" / "_clusters.py").read_text("utf-8"))

    assert imported(tree) <= HARMLESS | {"itertools", "json"}
    assert not called(tree) & {"open", "exec", "eval", "__import__", "print"}


def test_one_door_to_commands():
    assert callers("run_command") == {"_host"}


def test_no_other_door_to_commands():
    assert not any(imported(tree) & {"subprocess", "multiprocessing", "pty"} for tree in SOURCES.values())
    assert callers("system", "popen", "execv", "execve", "execvp", "posix_spawn") == set()


def test_one_place_switches_identity():
    assert callers(
        "seteuid", "setegid", "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups"
    ) == {"_host"}


def test_one_place_fails_and_one_exits():
    assert callers("fail_json", "exit_json") == {"patroni_install"}


def test_main_is_small():
    main = next(node for node in MODULE.body if isinstance(node, ast.FunctionDef) and node.name == "main")

    assert main.end_lineno - main.lineno < 40


def subclasses(cls):
    for child in cls.__subclasses__():
        yield child
        yield from subclasses(child)


STEPS = sorted({cls for cls in subclasses(Step) if "action" in vars(cls)}, key=lambda cls: cls.__name__)


def test_steps_are_told_apart_by_their_actions():
    assert len({cls.action for cls in STEPS}) == len(STEPS) > 10


@pytest.mark.parametrize("cls", STEPS, ids=lambda cls: cls.__name__)
def test_every_step_is_named_applied_and_documented(cls):
    snake = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
    returned = yaml.safe_load(patroni_install.RETURN)["steps"]["contains"]["action"]["description"]

    assert cls.action == snake
    assert cls in vars(_apply.Applier)["_carry_out"].dispatcher.registry
    assert f"V({cls.action})" in " ".join(returned)


def test_no_other_action_is_documented():
    first = yaml.safe_load(patroni_install.RETURN)["steps"]["contains"]["action"]["description"][0]

    assert set(re.findall(r"V\((\w+)\)", first)) == {cls.action for cls in STEPS}


OPTIONS = yaml.safe_load(patroni_install.DOCUMENTATION)["options"]


def test_every_option_is_documented():
    assert set(OPTIONS) == set(patroni_install.ARGUMENT_SPEC)


@pytest.mark.parametrize("name", sorted(patroni_install.ARGUMENT_SPEC))
@pytest.mark.parametrize("key", ["type", "elements", "choices", "default", "required"])
def test_option_is_documented_as_it_is(name, key):
    assert OPTIONS[name].get(key) == patroni_install.ARGUMENT_SPEC[name].get(key)


def test_examples_use_options_that_there_are():
    tasks = yaml.safe_load(patroni_install.EXAMPLES)
    used = {option for task in tasks for option in task.get("pgedge.platform.patroni_install") or {}}

    assert "version" in used
    assert used <= set(OPTIONS)
