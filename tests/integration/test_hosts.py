# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection, built and installed from its tarball, on real systemd hosts that a Docker engine boots."""

from __future__ import annotations

import subprocess
import time
import typing as t

import pytest

pytestmark = pytest.mark.hosts


def containers() -> list[str]:
    listed = subprocess.run(
        ["docker", "ps", "--all", "--filter", "name=^pgedge-platform-test-", "--format", "{{.Names}}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return listed.stdout.split()


def test_scenario(
    images: None,
    molecule: t.Callable[..., subprocess.CompletedProcess[str]],
    capfd: pytest.CaptureFixture[str],
) -> None:
    started = time.monotonic()
    try:
        tested = molecule("test", "--destroy=always")
    finally:
        # Interrupted or failed early, molecule may not have come to it.
        if containers():
            molecule("destroy")

    with capfd.disabled():
        print(f"\nscenario on debian12, debian13 and el9: {time.monotonic() - started:.0f} s")
    assert tested.returncode == 0
    # molecule ignores a step whose playbook it does not find.
    assert "missing=0" in tested.stdout
    assert containers() == []
