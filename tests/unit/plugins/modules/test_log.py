# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module writes to the system log, which a person can follow during a run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.pgedge.platform.tests.unit.plugins.modules.calls import (
    WANTED,
    debian_from_nothing,
    failing,
    first_installation,
    repeated,
    shown,
    upgrade,
)

LOCKED = """\
E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 (apt-get)
E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?
"""


def lines(machine):
    """What the module itself wrote; the first line of each run is Ansible's."""
    return [line for line in machine.logged if not line.startswith("Invoked with")]


def test_each_step_is_there_when_it_begins(installed, monkeypatch):
    monkeypatch.setenv("SUDO_USER", "deploy")
    calls = upgrade(installed, "4.1.6")
    seen = []
    calls = [call._replace(effect=watched(call, installed, seen)) for call in calls]

    installed.run(*calls, version="4.1.6")

    build = f"step 1 of 3: build_environment {WANTED}==4.1.6"
    assert build in seen
    assert lines(installed) == [
        f"deploy asks for Patroni 4.1.6 for postgres; there is Patroni 4.1.5 in {installed.pointer}",
        build,
        f"step 2 of 3: keep_environment {installed.built(1)}",
        f"step 3 of 3: switch_environment {installed.pointer}",
        f"Patroni 4.1.6 is installed in {installed.pointer} (was 4.1.5); 12.5 seconds "
        "(build_environment 12.5, keep_environment 0.0, switch_environment 0.0)",
    ]


def watched(call, machine, seen):
    def watch():
        seen[:] = lines(machine)
        if "install" in call.argv:
            machine.clock.sleep(12.5)
        if call.effect is not None:
            call.effect()

    return watch


@pytest.mark.parametrize("check", [False, True], ids=["nothing to do", "check mode"])
def test_a_run_that_changes_nothing_writes_nothing(installed, check):
    if check:
        os.chmod(installed.config_dir, 0o500)

    installed.run(shown(installed), check=check)

    assert lines(installed) == []


def test_each_failed_try_is_there_with_its_cause(machine):
    machine.tool("pipx")
    calls = repeated(first_installation(machine), 3, 2, rc=1, err="ReadTimeoutError: Read timed out.\n")

    machine.run(*calls, retries=3, retry_delay=7)

    tries = [line for line in lines(machine) if "; try " in line]
    assert tries == [
        f"pipx: ReadTimeoutError: Read timed out.; try {number} of 4, the next in 7 seconds" for number in (1, 2)
    ]
    assert machine.clock.slept == [7, 7]


def test_a_lock_is_told_once_in_half_a_minute(machine):
    machine.run(*repeated(debian_from_nothing(machine), 3, 20, rc=100, err=LOCKED))

    waits = [line for line in lines(machine) if "Could not" in line]
    assert waits == [
        f"apt-get: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 (apt-get); "
        f"gives up in {seconds} seconds"
        for seconds in (300, 270)
    ]


def test_a_failure_ends_the_log(machine):
    machine.run(*failing(debian_from_nothing(machine), 3, rc=1, err="E: broken\n"), fails=True)

    assert lines(machine)[-2:] == [
        "step 1 of 10: install_packages pipx",
        "failed: apt-get ended with code 1: E: broken",
    ]


def test_nobody_forges_a_line(installed):
    info = next(Path(installed.built(1)).glob("lib/python*/site-packages/patroni-*.dist-info"))
    info.rename(info.with_name("patroni-4.1.5\nforged.dist-info"))

    installed.run(*upgrade(installed, "4.1.6"), version="4.1.6")

    assert not [line for line in installed.logged if "\n" in line]
