# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file for login shells, in the life of an installation on a simulated machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.pgedge.platform.tests.unit.plugins.machine import UID
from ansible_collections.pgedge.platform.tests.unit.plugins.modules.calls import (
    RELOAD,
    first_installation,
    first_steps,
    show,
    shown,
    steps,
)


@pytest.fixture
def profile(machine):
    """The path of the file."""
    return Path(machine.base, "etc/profile.d/patroni.sh")


@pytest.fixture
def with_profile(installed, profile):
    """An installation with the file."""
    profile.parent.mkdir()
    installed.run(*[shown(installed)] * 3, login_shell=True)
    assert installed.look(str(profile)) == (0, 0, 0o644)
    return installed


def test_first_installation_writes_it_last(machine, profile):
    machine.tool("pipx")

    result = machine.run(*first_installation(machine), login_shell=True)

    made = [("create_directory", str(profile.parent)), ("write_profile", str(profile))]
    assert steps(result) == [*first_steps(machine), *made]
    assert machine.look(str(profile)) == (0, 0, 0o644)
    assert f'"$(/usr/bin/id -u)" = {UID} ]' in profile.read_text("utf-8")
    assert result["diff"][-1]["after"] == profile.read_text("utf-8")
    assert machine.run(shown(machine), login_shell=True)["changed"] is False


def test_without_the_option_nothing_is_written(installed, profile):
    assert installed.run(shown(installed))["changed"] is False
    assert not profile.exists()


def test_drift_is_repaired(with_profile, profile):
    text = profile.read_text("utf-8")
    profile.write_text(f"{text}umask 0\n", "utf-8")

    result = with_profile.run(*[shown(with_profile)] * 3, login_shell=True)

    assert steps(result) == [("write_profile", str(profile))]
    assert profile.read_text("utf-8") == text
    assert (result["diff"][0]["before"], result["diff"][0]["after"]) == (f"{text}umask 0\n", text)


def test_without_the_option_it_goes(with_profile, profile):
    result = with_profile.run(*[shown(with_profile)] * 3)

    assert steps(result) == [("remove_profile", str(profile))]
    assert not profile.exists()


def test_it_goes_with_the_installation(with_profile, profile):
    result = with_profile.run(
        shown(with_profile), shown(with_profile), RELOAD, show(), state="absent", login_shell=True
    )

    assert ("remove_profile", str(profile)) in steps(result)
    assert os.listdir(str(profile.parent)) == []


def test_a_file_of_other_origin_stays(installed, profile):
    profile.parent.mkdir()
    profile.write_text("umask 077\n", "utf-8")

    refused = installed.run(shown(installed), fails=True, login_shell=True)

    assert refused["msg"].startswith(f"login_shell: {profile} exists and was not written together with")
    assert installed.run(shown(installed))["changed"] is False
    assert profile.read_text("utf-8") == "umask 077\n"
