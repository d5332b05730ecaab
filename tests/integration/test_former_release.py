# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that an earlier release of the collection installed are taken over by this one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lab import ROLE, UNIT, Host, install_collection

pytestmark = pytest.mark.hosts

RELEASE = Path(__file__).parent / "releases" / "pgedge-platform-1.0.0.tar.gz"
OLD, NEW = "4.0.11", "4.1.5"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The earlier release, installed from its tarball."""
    path = tmp_path_factory.mktemp("release")
    install_collection(RELEASE, path)
    return path


def changed(host: Host, collections: Path, directory: Path, version: str, *options: str) -> int:
    """Run the role of a release, and return how many tasks changed something."""
    done = host.play(collections, directory, ROLE, f"--extra-vars=patroni_version={version}", "--diff", *options)
    # pytest shows it when the test fails.
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    (count,) = re.findall(r" changed=(\d+) ", done.stdout)
    return int(count)


@pytest.mark.parametrize("name", ["debian12", pytest.param("el9", marks=pytest.mark.thorough)])
def test_taken_over(hosts: dict[str, Host], release: Path, collections: Path, name: str, tmp_path: Path) -> None:
    host = hosts[name]
    host.install(state="absent")
    assert changed(host, release, tmp_path, OLD) == 1
    before = host.run("cat", UNIT).stdout, host.shell(f"realpath {host.venv}")

    assert changed(host, collections, tmp_path, OLD, "--check") == 0
    assert changed(host, collections, tmp_path, OLD) == 0
    assert before == (host.run("cat", UNIT).stdout, host.shell(f"realpath {host.venv}"))

    assert changed(host, collections, tmp_path, NEW) == 1
    # What the earlier release had built is kept, and is switched to without an index.
    offline = "--extra-vars=patroni_index_url=http://127.0.0.1:9/simple patroni_retries=0"
    assert changed(host, collections, tmp_path, OLD, offline) == 1
    assert host.version() == OLD
    assert host.shell(f"realpath {host.venv}") == before[1]
