# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection, built and installed from its tarball, on real systemd hosts that a Docker engine boots.

PGEDGE_REQUIRE_ENGINE=1 makes a failure of what would otherwise be skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
IMAGES = {
    "debian12": "MOLECULE_IMAGE_DEBIAN12",
    "debian13": "MOLECULE_IMAGE_DEBIAN13",
    "el9": "MOLECULE_IMAGE_EL9",
}
BUILD_TOOLS = {"mmdebstrap": "mmdebstrap", "rpmbuild": "rpm", "createrepo_c": "createrepo-c"}

pytestmark = pytest.mark.hosts


def miss(reason: str) -> None:
    """End the test for want of something on this machine."""
    if os.environ.get("PGEDGE_REQUIRE_ENGINE") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def engine() -> None:
    """A Docker engine that answers."""
    if shutil.which("docker") is None:
        miss("no docker command was found")
    info = subprocess.run(
        ["docker", "info", "--format", "{{.ServerVersion}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if info.returncode != 0 or not info.stdout.strip():
        miss(f"no Docker engine answers: {info.stderr.strip()}")


@pytest.fixture(scope="module")
def images(engine: None) -> None:
    """The hosts' images, except those whose place others take."""
    wanted = [name for name, variable in IMAGES.items() if not os.environ.get(variable)]
    if not wanted:
        return
    missing = [package for tool, package in BUILD_TOOLS.items() if shutil.which(tool) is None]
    if missing:
        miss(f"building the hosts' images needs the packages {', '.join(missing)}")
    subprocess.run([CHECKOUT / "tests" / "images" / "build", *wanted], check=True)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What molecule runs with: the collection as a user gets it, and folders of its own."""
    top = tmp_path_factory.mktemp("hosts")
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(top / "collections"),
        "ANSIBLE_HOME": str(top / "ansible"),
        "MOLECULE_EPHEMERAL_DIRECTORY": str(top / "molecule"),
        "NO_COLOR": "1",
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    }
    galaxy = ["ansible-galaxy", "collection"]
    subprocess.run([*galaxy, "build", CHECKOUT, "--output-path", top], env=environment, check=True)
    (tarball,) = top.glob("*.tar.gz")
    subprocess.run(
        [*galaxy, "install", tarball, "--offline", "-p", top / "collections"],
        env=environment,
        check=True,
    )
    return environment


def molecule(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [BIN / "molecule", *arguments],
        cwd=CHECKOUT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    # pytest shows it when the test fails.
    print(done.stdout)
    return done


def containers() -> list[str]:
    listed = subprocess.run(
        ["docker", "ps", "--all", "--filter", "name=^pgedge-platform-test-", "--format", "{{.Names}}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return listed.stdout.split()


def test_scenario(images: None, environment: dict[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    try:
        tested = molecule(environment, "test", "--destroy=always")
    finally:
        # Interrupted or failed early, molecule may not have come to it.
        if containers():
            molecule(environment, "destroy")

    with capfd.disabled():
        print(f"\nhosts: {', '.join(IMAGES)}: {time.monotonic() - started:.0f} s")
    assert tested.returncode == 0
    # molecule passes over a step whose playbook it does not find.
    assert "missing=0" in tested.stdout
    assert containers() == []
