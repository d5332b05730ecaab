# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's variables, its one task and the module's options say the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ansible_collections.pgedge.platform.plugins.modules import patroni_install

ROLE = Path(__file__).resolve().parents[3] / "roles" / "install_patroni"
OF_THE_PLATFORM = {"is_ha_cluster", "pg_home"}

MODULE_OPTIONS = yaml.safe_load(patroni_install.DOCUMENTATION)["options"]
ROLE_OPTIONS = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text("utf-8"))["argument_specs"]["main"][
    "options"
]
TASKS = yaml.safe_load((ROLE / "tasks" / "main.yml").read_text("utf-8"))


def test_role_documents_every_module_option_and_no_other():
    expected = {"patroni_" + name for name in MODULE_OPTIONS} | OF_THE_PLATFORM

    assert set(ROLE_OPTIONS) == expected


@pytest.mark.parametrize("name", sorted(MODULE_OPTIONS))
@pytest.mark.parametrize("key", ["type", "elements", "choices", "default", "required"])
def test_role_variable_has_the_shape_of_the_module_option(name, key):
    assert ROLE_OPTIONS["patroni_" + name].get(key) == MODULE_OPTIONS[name].get(key)


@pytest.mark.parametrize("name", sorted(ROLE_OPTIONS))
def test_role_variable_is_documented(name):
    assert ROLE_OPTIONS[name]["description"]
    assert ROLE_OPTIONS[name]["version_added"]


def test_role_is_one_task_that_passes_every_module_option():
    (task,) = TASKS

    assert set(task["pgedge.platform.patroni_install"]) == set(MODULE_OPTIONS)


@pytest.mark.parametrize("name", sorted(MODULE_OPTIONS))
def test_task_passes_the_variable_of_that_name_or_nothing(name):
    value = TASKS[0]["pgedge.platform.patroni_install"][name]

    assert value.startswith("{{ patroni_" + name + " | default(")
    assert value.endswith("omit) }}")
