# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module on a simulated machine: damage and drift that a run repairs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.pgedge.platform.tests.unit.plugins.machine import GID, UID
from ansible_collections.pgedge.platform.tests.unit.plugins.modules.calls import (
    RELOAD,
    WANTED,
    assert_installed,
    checks,
    exposed,
    links,
    pipx_install,
    pipx_version,
    show,
    shown,
    steps,
    upgrade,
)


def test_a_label_that_was_lost_is_set_again(installed):
    labels = installed.load_policy("bin_t")
    script = f"{installed.built(1)}/bin/patroni"

    planned = installed.run(shown(installed), check=True)
    # Planned again under the lock, and looked at afterwards.
    result = installed.run(*[shown(installed)] * 3)
    again = installed.run(shown(installed))

    assert steps(planned) == steps(result) == [("set_label", script)]
    assert planned["diff"] == result["diff"]
    assert [(entry["before"], entry["after"]) for entry in result["diff"]] == [
        ("system_u:object_r:postgresql_db_t:s0\n", "system_u:object_r:bin_t:s0\n")
    ]
    assert labels == {script: "system_u:object_r:bin_t:s0"}
    assert result["msg"] == f"Patroni 4.1.5 is repaired in {installed.pointer}: set_label"
    assert again["changed"] is False
    assert installed.warnings == []


def test_a_label_that_systemd_may_execute_is_left(installed):
    labels = installed.load_policy("bin_t", "postgresql_db_t")

    assert installed.run(shown(installed))["changed"] is False
    assert labels == {}
    assert installed.warnings == []


def test_an_environment_is_labeled_when_it_is_built(installed):
    labels = installed.load_policy("bin_t")

    result = installed.run(*upgrade(installed, "4.1.6"), version="4.1.6")

    assert "set_label" not in [action for action, _target in steps(result)]
    assert labels == {f"{installed.built(2)}/bin/patroni": "system_u:object_r:bin_t:s0"}


def test_a_label_that_cannot_be_set(installed, monkeypatch):
    installed.load_policy("bin_t")

    def refuse(*_arguments, **_named):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "setxattr", refuse)

    result = installed.run(*[shown(installed)] * 2, fails=True)

    assert result["msg"] == f"set_label {installed.built(1)}/bin/patroni: [Errno 95] Operation not supported"
    assert (result["changed"], result["steps"]) == (False, [])


def test_check_mode_does_not_query_the_index_for_the_installed_version(installed):
    assert installed.run(shown(installed), check=True, version="4.1.5")["changed"] is False


def test_half_made_environment_of_pipx_is_repaired(machine):
    machine.tool("pipx")
    half = machine.environment(machine.pointer)
    (half / "bin" / "patroni").unlink()

    result = machine.run(
        show(),
        pipx_version(f"{machine.base}/usr/bin/pipx"),
        show(),
        pipx_install(machine, wanted=f"{WANTED}==4.1.5"),
        *checks(machine),
        RELOAD,
        shown(machine),
    )

    assert [step for step in steps(result) if step[0] != "create_directory"] == [
        ("build_environment", f"{WANTED}==4.1.5"),
        ("switch_environment", machine.pointer),
        ("write_unit", machine.unit_path),
        ("reload_systemd", "systemd"),
    ]
    assert os.readlink(machine.pointer) == machine.built(1)
    assert os.listdir(f"{machine.pipx_home}/patroni") == ["1"]


def test_dead_interpreter_is_repaired_at_the_same_version(installed):
    python = Path(installed.built(1), "bin", "python")
    python.unlink()
    python.symlink_to("/usr/bin/python3.99")

    result = installed.run(*upgrade(installed, "4.1.5"))

    assert steps(result)[0] == ("build_environment", f"{WANTED}==4.1.5")
    assert result["msg"] == (
        f"Patroni 4.1.5 is reinstalled in {installed.pointer}: "
        f"its interpreter {installed.built(1)}/bin/python is missing"
    )
    assert_installed(installed, 2)


def test_environment_of_an_older_pipx_is_adopted(machine):
    legacy = f"{machine.home}/.local/pipx/venvs/patroni"
    machine.environment(legacy)
    os.makedirs(machine.bin_dir)
    for name in ("patroni", "patronictl", "patroni_aws"):
        os.symlink(f"{legacy}/bin/{name}", f"{machine.bin_dir}/{name}")
    Path(machine.unit_path).write_text("[Service]\nUser=postgres\n", "utf-8")
    machine.kernel.give(machine.unit_path, UID, GID, 0o644)

    result = machine.run(shown(machine), shown(machine), RELOAD, shown(machine))

    assert steps(result) == [
        ("write_unit", machine.unit_path),
        ("reload_systemd", "systemd"),
        ("create_directory", machine.config_dir),
    ]
    assert result["venv"] == legacy
    assert machine.look(machine.unit_path) == (0, 0, 0o644)

    labels = machine.load_policy("bin_t")
    labeled = machine.run(*[shown(machine)] * 3)

    assert steps(labeled) == [("set_label", f"{legacy}/bin/patroni")]
    assert labels == {f"{legacy}/bin/patroni": "system_u:object_r:bin_t:s0"}


@pytest.mark.parametrize(
    ("uid", "gid", "mode"),
    [
        pytest.param(UID, GID, 0o755, id="another mode"),
        pytest.param(0, 0, 0o700, id="root's"),
        pytest.param(0, GID, 0o770, id="owned by root, and the account may write to it"),
        pytest.param(0, 0, 0o777, id="everybody's"),
        pytest.param(UID, 64200, 0o700, id="another group"),
    ],
)
def test_configuration_directory_is_corrected(installed, uid, gid, mode):
    installed.kernel.give(installed.config_dir, uid, gid, mode)

    result = installed.run(shown(installed), shown(installed), shown(installed))

    assert steps(result) == [("set_attributes", installed.config_dir)]
    assert installed.look(installed.config_dir) == (UID, GID, 0o700)


def test_configuration_directory_gets_a_group_that_the_account_is_not_in(installed):
    unit = Path(installed.unit_path)
    unit.write_text(unit.read_text("utf-8").replace("Group=postgres", "Group=dba"), "utf-8")

    result = installed.run(shown(installed), shown(installed), shown(installed), group="dba")

    assert steps(result) == [("set_attributes", installed.config_dir)]
    assert installed.look(installed.config_dir) == (UID, 64200, 0o700)


def test_names_that_the_account_planted_are_not_linked_by_root(installed):
    bin_dir = f"{installed.base}/opt/bin"
    os.makedirs(bin_dir)
    entry_points = Path(installed.built(1), "lib/python3.11/site-packages/patroni-4.1.5.dist-info/entry_points.txt")
    with entry_points.open("a", encoding="utf-8") as planted:
        planted.write("[console_scripts]\n../../../etc/profile.d/x.sh = a:b\nsudo = a:b\n")
    os.mkdir(f"{installed.base}/etc/profile.d")

    installed.run(shown(installed), shown(installed), RELOAD, shown(installed), bin_dir=bin_dir)

    assert os.listdir(f"{installed.base}/etc/profile.d") == []
    assert links(bin_dir) == exposed(installed)


def test_drift_of_links_is_corrected(installed):
    os.unlink(f"{installed.bin_dir}/patronictl")
    os.symlink("/usr/bin/other", f"{installed.bin_dir}/other")
    os.symlink(f"{installed.pointer}/bin/gone", f"{installed.bin_dir}/gone")
    Path(installed.built(1), "bin", "injected").touch()
    os.symlink(f"{installed.built(1)}/bin/injected", f"{installed.bin_dir}/injected")

    result = installed.run(shown(installed), shown(installed), shown(installed))

    assert steps(result) == [("expose_executables", installed.bin_dir)]
    others = {"other": "/usr/bin/other", "injected": f"{installed.pointer}/bin/injected"}
    assert links(installed.bin_dir) == {**exposed(installed), **others}


def test_file_in_place_of_a_link_that_patroni_does_without_stays(installed):
    os.unlink(f"{installed.bin_dir}/patronictl")
    own = Path(installed.bin_dir, "patroni_aws")
    own.unlink()
    own.write_text("#!/bin/sh\n", "utf-8")

    result = installed.run(*[shown(installed)] * 3)

    assert steps(result) == [("expose_executables", installed.bin_dir)]
    assert own.read_text("utf-8") == "#!/bin/sh\n"
    assert installed.run(shown(installed))["changed"] is False


def test_what_an_interrupted_run_left_is_removed(installed):
    with installed.kernel.account_acts():
        os.makedirs(f"{installed.generation(7)}/venvs/patroni")
        os.symlink(installed.built(7), f"{installed.pipx_home}/patroni/switch")

    result = installed.run(shown(installed), shown(installed), shown(installed))

    assert steps(result) == [
        ("remove_environment", installed.generation(7)),
        ("remove_environment", f"{installed.pipx_home}/patroni/switch"),
    ]
    assert_installed(installed)


@pytest.mark.parametrize("name", ["data", "1.bak", "README"])
def test_foreign_files_next_to_the_generations_stay(installed, name):
    # A pipx_home of /opt or of the home itself makes this a directory that others may use too.
    foreign = Path(installed.pipx_home, "patroni", name)
    foreign.mkdir()

    result = installed.run(shown(installed))
    installed.run(shown(installed), shown(installed), RELOAD, show(), state="absent")

    assert result["changed"] is False
    assert foreign.is_dir()
