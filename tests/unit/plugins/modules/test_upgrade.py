# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module on a simulated machine: upgrades, and two runs at once."""

from __future__ import annotations

import fcntl
import os

import pytest

from ansible_collections.pgedge.platform.tests.unit.plugins.modules.calls import (
    WANTED,
    assert_installed,
    failing,
    shown,
    steps,
    upgrade,
)


@pytest.fixture
def other_run(installed):
    """Another run for the same account, which holds the lock."""
    descriptor = os.open(installed.home, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield descriptor
    os.close(descriptor)


def test_second_run_waits_and_then_finds_nothing_to_do(installed, other_run):
    os.chmod(installed.config_dir, 0o500)

    def end():
        os.chmod(installed.config_dir, 0o700)
        fcntl.flock(other_run, fcntl.LOCK_UN)

    installed.clock.while_asleep = end
    result = installed.run(shown(installed), shown(installed), shown(installed))

    assert installed.clock.slept == [1]
    assert (result["changed"], result["steps"]) == (False, [])


def test_second_run_does_not_wait_for_ever(installed, other_run):
    os.chmod(installed.config_dir, 0o500)

    result = installed.run(shown(installed), fails=True, lock_timeout=3)

    assert installed.clock.slept == [1, 1, 1]
    assert result["msg"] == (
        "another run has been installing Patroni for postgres for more than 3 seconds; "
        "wait for it to end, or raise lock_timeout"
    )


@pytest.mark.parametrize("check", [False, True], ids=["nothing to do", "check mode"])
def test_run_that_changes_nothing_takes_no_lock(installed, other_run, check):
    if check:
        os.chmod(installed.config_dir, 0o500)

    result = installed.run(shown(installed), check=check)

    assert (result["changed"], installed.clock.slept) == (check, [])


def test_upgrade(installed):
    result = installed.run(*upgrade(installed, "4.1.6"), version="4.1.6")

    assert steps(result) == [
        ("build_environment", f"{WANTED}==4.1.6"),
        ("keep_environment", installed.built(1)),
        ("switch_environment", installed.pointer),
    ]
    assert (result["previous_version"], result["version"]) == ("4.1.5", "4.1.6")
    assert result["msg"] == f"Patroni 4.1.6 is installed in {installed.pointer} (was 4.1.5)"
    assert_installed(installed, 2, kept=[1])


def test_upgrade_that_breaks_leaves_the_old_one(installed):
    calls = upgrade(installed, "4.1.6")

    result = installed.run(*failing(calls, 4, err="ImportError: broken release\n"), fails=True, version="4.1.6")

    assert result["msg"] == (f"{WANTED}==4.1.6 was installed but does not run as postgres: ImportError: broken release")
    assert (result["changed"], result["steps"]) == (False, [])
    assert_installed(installed)
