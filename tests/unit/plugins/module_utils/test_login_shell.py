# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file for login shells, read by the shells themselves."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from ansible_collections.pgedge.platform.plugins.module_utils._patroni._login_shell import is_own, render_profile
from ansible_collections.pgedge.platform.tests.unit.plugins.models import ACCOUNT, desired

CONFIG = "/etc/patroni/patroni.yaml"
PRINT = 'printf "%s\\n" "$PATH" "${PATRONICTL_CONFIG_FILE:-none}"'
SHELLS = [shell for shell in ("sh", "bash", "dash") if shutil.which(shell)]


def read_by(shell, text, path="/usr/bin:/bin", **variables):
    """What the PATH and the configuration are in a shell that has read the text."""
    done = subprocess.run(
        [shutil.which(shell), "-eu", "-c", f"{text}\n{PRINT}"],
        env={"PATH": path, **variables},
        stdout=subprocess.PIPE,
        check=True,
    )
    return done.stdout.decode().splitlines()


def own(**more):
    """The desired state of an installation for the account that runs the test."""
    return desired(account=ACCOUNT._replace(uid=os.getuid()), **more)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", ["/opt/patroni/bin", "/opt/my $HOME/it's", '/opt/`id`"\\/bin', "/opt/*"])
def test_the_account_gets_path_and_configuration(shell, name):
    text = render_profile(own(bin_dir=name), f"{name}/patroni.yaml")

    assert read_by(shell, text) == [f"{name}:/usr/bin:/bin", f"{name}/patroni.yaml"]
    assert read_by(shell, text + text) == [f"{name}:/usr/bin:/bin", f"{name}/patroni.yaml"]


@pytest.mark.parametrize("shell", SHELLS)
def test_what_the_account_has_set_itself_stays(shell):
    text = render_profile(own(bin_dir="/opt/bin"), CONFIG)
    path = "/usr/bin:/opt/bin:/bin"

    assert read_by(shell, text, path, PATRONICTL_CONFIG_FILE="/other") == [path, "/other"]


@pytest.mark.parametrize("shell", SHELLS)
def test_nobody_else_gets_anything(shell):
    text = render_profile(desired(account=ACCOUNT._replace(uid=os.getuid() + 1)), CONFIG)

    assert read_by(shell, text) == ["/usr/bin:/bin", "none"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (render_profile(desired(), CONFIG), True),
        (render_profile(desired(bin_dir="/opt/other"), "/other"), True),
        (render_profile(desired(unit_path="/etc/systemd/system/patroni-b.service"), CONFIG), False),
        (render_profile(desired(unit_path="/opt/units/patroni.service"), CONFIG), False),
        ("PATH=/opt/bin:$PATH\n", False),
        ("", False),
        (None, False),
    ],
)
def test_the_unit_says_whose_file_it_is(text, expected):
    assert is_own(desired(), text) is expected
