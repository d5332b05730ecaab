# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module on a simulated machine: removal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.pgedge.platform.plugins.module_utils import _host
from ansible_collections.pgedge.platform.tests.unit.plugins.machine import GID, UID
from ansible_collections.pgedge.platform.tests.unit.plugins.modules.calls import (
    ACTIVE,
    RELOAD,
    show,
    shown,
    steps,
)


@pytest.mark.parametrize(
    ("rest", "text"),
    [
        ("etc/systemd/system/patroni-b.service", "ExecStart={bin_dir}/patroni /etc/patroni-b/patroni.yaml"),
        ("etc/systemd/system/patroni@.service", 'ExecStart="{bin_dir}/patroni" "/etc/patroni-%i/patroni.yaml"'),
        ("usr/lib/systemd/system/ha.service", "ExecStartPre=/bin/true\nExecStart={pointer}/bin/python -m patroni /x"),
        ("etc/systemd/system/ha.service.d/10.conf", "ExecStart=\nExecStart=-/bin/sh -c '{bin_dir}/patroni /x'"),
        ("etc/systemd/system/backup.service", "ExecStart=/usr/bin/env A=b {generation}/bin/patroni_barman"),
        ("etc/systemd/system/other.service", "ExecStart={base}/usr/local/bin/ha /x"),
    ],
)
def test_absent_leaves_an_environment_that_another_unit_uses(installed, rest, text):
    os.symlink(f"{installed.bin_dir}/patroni", f"{installed.base}/usr/local/bin/ha")
    other = Path(installed.base, rest)
    os.makedirs(str(other.parent), exist_ok=True)
    names = {"base": installed.base, "bin_dir": installed.bin_dir, "pointer": installed.pointer}
    other.write_text(f"[Service]\n{text.format(generation=installed.built(1), **names)}\n", "utf-8")

    planned = installed.run(shown(installed), state="absent", check=True)
    result = installed.run(shown(installed), shown(installed), RELOAD, show(), state="absent")

    assert steps(planned) == steps(result)
    assert [step for step in steps(result) if step[0] != "remove_executables"] == [
        ("remove_unit", installed.unit_path),
        ("reload_systemd", "systemd"),
    ]
    assert result["msg"] == (
        f"{installed.unit_path} is removed; Patroni 4.1.5 stays in {installed.pointer}, because {other} uses it"
    )
    assert os.readlink(installed.pointer) == installed.built(1)
    again = installed.run(show(), state="absent")
    assert again["msg"] == f"nothing to do: Patroni 4.1.5 stays in {installed.pointer}, because {other} uses it"


@pytest.mark.parametrize(
    ("rest", "text"),
    [
        ("etc/systemd/system/other.service", "ExecStart=/usr/bin/patroni /etc/patroni/patroni.yaml"),
        ("etc/systemd/system/other.service", "# ExecStart={bin_dir}/patroni /x"),
        ("usr/lib/systemd/system/patroni.service", "ExecStart={bin_dir}/patroni /x"),
        ("etc/systemd/system/patroni.service.d/local.conf", "ExecStartPre={bin_dir}/patroni --validate-config /x"),
        ("etc/systemd/system/other.timer", "ExecStart={bin_dir}/patroni /x"),
    ],
)
def test_absent_is_not_kept_by_units_of_other_things(installed, rest, text):
    other = Path(installed.base, rest)
    os.makedirs(str(other.parent), exist_ok=True)
    other.write_text(f"[Service]\n{text.format(bin_dir=installed.bin_dir)}\n", "utf-8")

    result = installed.run(shown(installed), shown(installed), RELOAD, show(), state="absent")

    assert ("remove_directory", installed.generation(1)) in steps(result)


@pytest.mark.parametrize("systemd", [True, False])
def test_absent_while_processes_run_in_the_environment(installed, monkeypatch, systemd):
    monkeypatch.setattr(_host, "origins", lambda: {f"{installed.built(1)}/bin"})
    installed.systemd = systemd
    asks = [shown(installed)] if systemd else []

    result = installed.run(*asks, state="absent", fails=True)

    assert result["msg"] == (
        f"processes run in {installed.pointer}; Patroni is removed only after they have ended, or with force: true"
    )
    forced = installed.run(*asks, state="absent", force=True, check=True)
    assert ("remove_directory", installed.generation(1)) in steps(forced)


def test_unit_of_the_account_s_is_taken_from_it(installed):
    installed.kernel.give(installed.unit_path, UID, GID, 0o664)
    written = os.stat(installed.unit_path)

    result = installed.run(shown(installed), shown(installed), RELOAD, shown(installed))

    assert steps(result) == [("write_unit", installed.unit_path), ("reload_systemd", "systemd")]
    assert installed.look(installed.unit_path) == (0, 0, 0o644)
    now = os.stat(installed.unit_path)
    assert now.st_ino != written.st_ino
    assert abs(now.st_mtime - written.st_mtime) < 0.001


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        ({"active": "active"}, "active"),
        ({"active": "activating"}, "active"),
        ({"enabled": "enabled-runtime"}, "enabled"),
        (ACTIVE, "active and enabled"),
    ],
)
def test_absent_is_refused_while_in_service(installed, answers, found):
    before = installed.tree()

    result = installed.run(shown(installed, **answers), fails=True, state="absent")

    assert result["msg"].startswith(f"patroni.service is {found}; Patroni is removed only after")
    assert installed.tree() == before


@pytest.mark.parametrize(
    ("answers", "params"),
    [pytest.param({}, {}, id="out of service"), pytest.param(ACTIVE, {"force": True}, id="in service, by force")],
)
def test_absent(installed, answers, params):
    os.symlink("/usr/bin/other", f"{installed.bin_dir}/other")
    Path(installed.config_dir, "patroni.yaml").write_text("scope: x\n", "utf-8")

    result = installed.run(
        shown(installed, **answers), shown(installed, **answers), RELOAD, show(), state="absent", **params
    )

    assert steps(result) == [
        ("remove_executables", installed.bin_dir),
        ("remove_directory", installed.pointer),
        ("remove_directory", installed.generation(1)),
        ("remove_unit", installed.unit_path),
        ("reload_systemd", "systemd"),
    ]
    assert (result["version"], result["previous_version"], result["restart_required"]) == (None, "4.1.5", False)
    assert os.listdir(installed.bin_dir) == ["other"]
    assert os.listdir(installed.pipx_home) == ["venvs"]
    assert os.listdir(f"{installed.pipx_home}/venvs") == []
    assert os.listdir(installed.config_dir) == ["patroni.yaml"]
    assert not os.path.lexists(installed.unit_path)


def test_absent_twice(installed):
    installed.run(shown(installed), shown(installed), RELOAD, show(), state="absent")

    result = installed.run(show(), state="absent")

    assert (result["changed"], result["msg"]) == (False, "nothing to do: Patroni is absent")
