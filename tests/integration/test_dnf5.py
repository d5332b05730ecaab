# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for Fedora, with the real dnf5: working, locked, and with a repository that fails."""

from __future__ import annotations

import contextlib
import typing as t

import pytest
from lab import Host, actions
from test_faults import NEW, OLD

pytestmark = pytest.mark.hosts

LOCKED = "/var/lib/dnf/system-repo.lock"
HOLDER = f"""
import fcntl, signal
with open("{LOCKED}", "a") as stream:
    fcntl.lockf(stream, fcntl.LOCK_EX)
    print("held", flush=True)
    signal.pause()
"""


@pytest.fixture
def fedora(newest: dict[str, Host]) -> Host:
    """Without Patroni, pipx and pip."""
    host = newest["fedora"]
    assert "dnf5" in host.shell("readlink --canonicalize $(command -v dnf)")
    host.install(state="absent")
    host.shell("rm -f /usr/local/bin/pipx; ! rpm --query python3-pip || dnf --assumeyes remove python3-pip")
    return host


@contextlib.contextmanager
def holding(host: Host) -> t.Iterator[None]:
    """Let a process of the host hold dnf5's lock."""
    process = host.start("python3", "-c", HOLDER)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield
    finally:
        host.run("pkill", "--full", LOCKED)
        process.wait()


def test_it_works(fedora: Host) -> None:
    installed = fedora.install(version=OLD)
    assert actions(installed)[:2] == ["install_packages", "install_pipx"]
    assert fedora.install(version=OLD)["changed"] is False
    assert actions(fedora.install(version=NEW)) == ["build_environment", "switch_environment", "remove_environment"]
    assert fedora.version() == NEW


def test_it_stays_locked(fedora: Host) -> None:
    """dnf5 itself would wait without end."""
    with holding(fedora):
        result = fedora.install(lock_timeout=3, retries=0)
    assert result["failed"]
    assert (result["changed"], result["steps"]) == (False, [])
    assert f"Could not get lock {LOCKED}: it has been held by process " in result["msg"]
    assert "(python3)" in result["msg"]


def test_a_repository_fails(fedora: Host) -> None:
    origin = "/etc/yum.repos.d/fedora.repo"
    fedora.shell(f"cp {origin} /root; sed -i 's#^baseurl=.*#baseurl=http://127.0.0.1:9/#' {origin}")
    try:
        result = fedora.install(retries=0)
    finally:
        fedora.shell(f"mv /root/fedora.repo {origin}")
    assert result["failed"]
    assert (result["changed"], result["steps"]) == (False, [])
    assert "python3-pip" in result["msg"]
    assert "127.0.0.1" in result["msg"]
