# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of what is tested, tests/matrix.toml, covers what the collection promises."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

# From Python 3.11 on, which development has.
tomllib = pytest.importorskip("tomllib")

CHECKOUT = Path(__file__).resolve().parents[2]
CORES = tomllib.loads((CHECKOUT / "tests" / "matrix.toml").read_text("utf-8"))["core"]


def number(version):
    return tuple(int(part) for part in version.split("."))


def promised(path, *keys):
    value = yaml.safe_load((CHECKOUT / path).read_text("utf-8"))
    for key in keys:
        value = value[key]
    return number(value.replace(">=", ""))


def test_oldest_core_is_the_promised_one():
    assert number(CORES[0]["line"]) == promised("meta/runtime.yml", "requires_ansible")[:2]


def test_oldest_target_is_the_promised_one():
    targets = {number(python) for core in CORES for python in core["targets"]}

    assert min(targets) == promised("tests/config.yml", "modules", "python_requires")


@pytest.mark.parametrize("core", CORES, ids=lambda core: core["line"])
def test_only_supported_targets_are_run(core):
    assert set(core["runs"]) <= set(core["targets"])


@pytest.mark.parametrize("python", sorted({python for core in CORES for python in core["targets"]}, key=number))
def test_every_target_is_run_twice_and_once_on_a_host(python):
    assert sum(python in core["runs"] for core in CORES) >= 2
    assert sum(python in core["runs"] for core in (CORES[0], CORES[-1])) >= 1


@pytest.mark.parametrize("core", CORES, ids=lambda core: core["line"])
def test_locked_release_is_of_the_line(core):
    locked = (CHECKOUT / "requirements" / f"core-{core['line']}.txt").read_text("utf-8")

    final = "" if core.get("candidate") else " "
    assert re.search(rf"^ansible-core=={re.escape(core['line'])}\.\d+{final}", locked, re.MULTILINE)
