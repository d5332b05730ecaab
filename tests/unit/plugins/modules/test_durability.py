# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module on a simulated machine: the order in which changes reach the disk."""

from __future__ import annotations

import os
import shutil

from ansible_collections.pgedge.platform.tests.unit.plugins.modules.calls import (
    RELOAD,
    in_this_order,
    show,
    shown,
    upgrade,
)


def test_upgrade_is_durable_before_it_is_used(installed, writes):
    venvs = os.path.dirname(installed.pointer)

    installed.run(*upgrade(installed, "4.0.11"), version="4.0.11", keep=0)

    generations = f"{installed.pipx_home}/patroni"
    switch = f"{generations}/switch"
    assert in_this_order(
        writes,
        ("sync_filesystem", generations),
        ("exchange", installed.pointer),
        ("fsync", venvs),
        ("fsync", installed.bin_dir),
        ("remove_tree", switch),
        ("fsync", generations),
        ("remove_tree", installed.generation(1)),
        ("fsync", generations),
    ), writes
    before = writes[: writes.index(("exchange", installed.pointer))]
    assert not [path for name, path in before if name == "remove_tree" and path != switch]
    assert [name for name, _path in writes].count("sync_filesystem") == 1


def test_links_and_unit_are_durable_before_they_are_used(installed, writes):
    shutil.rmtree(installed.bin_dir)
    os.unlink(installed.unit_path)
    directory, name = os.path.split(installed.unit_path)

    installed.run(shown(installed), shown(installed), RELOAD, shown(installed))

    assert in_this_order(
        writes,
        ("fsync", installed.bin_dir),
        ("fsync", os.path.dirname(installed.bin_dir)),
        ("sync_filesystem", installed.pointer),
        ("replace_link", f"{installed.bin_dir}/patroni"),
        ("fsync", installed.bin_dir),
        ("fsync", f"{directory}/.{name}.new"),
        ("rename", f"{directory}/.{name}.new"),
        ("fsync", directory),
    ), writes


def test_removal_is_durable(installed, writes):
    installed.run(shown(installed), shown(installed), RELOAD, show(), state="absent")

    assert in_this_order(
        writes,
        ("remove_file", f"{installed.bin_dir}/patroni"),
        ("fsync", installed.bin_dir),
        ("remove_tree", installed.pointer),
        ("fsync", os.path.dirname(installed.pointer)),
        ("remove_file", installed.unit_path),
        ("fsync", os.path.dirname(installed.unit_path)),
    ), writes


def test_run_without_change_waits_for_no_disk(installed, writes):
    installed.run(shown(installed))

    assert writes == []
