# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module on a simulated machine: runs without root."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from ansible_collections.pgedge.platform.tests.unit.plugins.machine import GID, UID
from ansible_collections.pgedge.platform.tests.unit.plugins.modules.calls import (
    WANTED,
    first_installation,
    folders,
    pipx_version,
    steps,
)


@pytest.fixture
def rootless(make_machine):
    """The account itself runs the module, and every path is its own."""
    machine = make_machine(root=False)
    machine.systemd = False
    machine.tool("pipx")
    return machine


def own_paths(machine):
    return {
        "config_dir": f"{machine.home}/etc",
        "unit_path": f"{machine.home}/units/patroni.service",
    }


def test_without_root(rootless):
    calls = [call for call in first_installation(rootless) if call.argv[0] != "systemctl"]

    result = rootless.run(*calls, **own_paths(rootless))

    assert steps(result) == [
        *folders(rootless),
        ("build_environment", WANTED),
        ("switch_environment", rootless.pointer),
        ("create_directory", f"{rootless.home}/units"),
        ("write_unit", f"{rootless.home}/units/patroni.service"),
        ("create_directory", f"{rootless.home}/etc"),
    ]
    assert rootless.look(f"{rootless.home}/units/patroni.service") == (UID, GID, 0o644)
    assert rootless.run(**own_paths(rootless))["changed"] is False


def test_without_root_and_pipx(rootless):
    Path(rootless.base, "usr/bin/pipx").unlink()

    result = rootless.run(fails=True, **own_paths(rootless))

    assert result["msg"].startswith("no pipx was found, and installing one needs root: run with become")


def test_without_root_and_pipx_on_the_rhel_family(make_machine):
    machine = make_machine(root=False, family="redhat")
    machine.systemd = False

    result = machine.run(fails=True, **own_paths(machine))

    assert result["msg"].startswith("no pipx was found, and installing one needs root: run with become")


def test_without_root_where_only_root_can_write(rootless):
    paths = {**own_paths(rootless), "unit_path": rootless.unit_path}

    result = rootless.run(pipx_version(f"{rootless.base}/usr/bin/pipx"), fails=True, **paths)

    assert result["msg"] == (
        f"unit_path: postgres must be able to write to {os.path.dirname(rootless.unit_path)}, and cannot "
        "(its mode, or a read-only filesystem); run as root (become: true)"
    )


def test_without_root_for_another_account(rootless, monkeypatch):
    other = pwd.struct_passwd(("postgres", "x", UID + 1, GID, "", rootless.home, "/bin/bash"))
    monkeypatch.setattr(pwd, "getpwnam", {"postgres": other}.__getitem__)

    result = rootless.run(fails=True)

    assert result["msg"] == (
        "installing Patroni for postgres needs root: run with become: true; "
        "without root, user must be the account that runs the module"
    )
