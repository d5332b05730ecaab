# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Installation on hosts whose network is cut off, from bundles that were made on a machine with one."""

from __future__ import annotations

import re
import subprocess
import sys
import typing as t
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from bundles import DOCUMENTED_VERSION, documented, make_bundle
from lab import BIN, CHECKOUT, Host, actions, steps

MAKE_BUNDLE = CHECKOUT / "scripts" / "make_bundle.py"
OLD, NEW = "4.0.11", DOCUMENTED_VERSION


@contextmanager
def cut_off(host: Host) -> t.Iterator[None]:
    """Take the network from a host, see that it is gone, and give it back."""
    subprocess.run(["docker", "network", "disconnect", "bridge", host.container], check=True)
    try:
        interfaces = re.findall(r"^ *(\S+):", host.run("cat", "/proc/net/dev").stdout, flags=re.MULTILINE)
        assert interfaces == ["lo"]
        yield
    finally:
        subprocess.run(["docker", "network", "connect", "bridge", host.container], check=True)


def sources(version: str) -> dict[str, t.Any]:
    """The module's options that install from the bundle of a version, where the documented playbook puts it."""
    folder = f"/srv/wheelhouse-{version}"
    return {"find_links": [folder], "no_index": True, "constraints": f"{folder}/constraints.txt"}


@pytest.fixture(params=[pytest.param("debian12", marks=pytest.mark.thorough), "el9"])
def bare(request: pytest.FixtureRequest, hosts: dict[str, Host]) -> t.Iterator[Host]:
    """A host without Patroni, and without anything that pip or pipx kept; on the RHEL family without them, too."""
    host = hosts[request.param]
    host.install(state="absent")
    host.shell(f"rm -rf {host.pipx_home} {host.home}/.cache /root/.cache")
    if host.name == "el9":
        # The stand-in's rpm keeps its database in the home of whoever calls it.
        host.shell("for HOME in / /root; do dnf --assumeyes remove python3-pip; done")
        host.shell("rm -rf /usr/local/bin/pipx /usr/local/lib*/python3*")
        assert host.shell("command -v pip3 pipx", check=False) == ""
    else:
        # apt's matter is a mirror within; here it is asked beforehand.
        host.shell("command -v pipx || (apt-get update && apt-get install --yes --no-install-recommends pipx)")
    yield host
    host.shell("rm -rf /srv/wheelhouse-* /srv/*.whl")


@pytest.fixture
def bundles(bare: Host, collections: Path) -> dict[str, Path]:
    """The bundles of two versions for a host."""
    versions = (OLD, NEW)
    with ThreadPoolExecutor() as pool:
        made = pool.map(lambda version: make_bundle(collections, bare.name, version), versions)
        return dict(zip(versions, made, strict=True))


def older_dependency(constraints: str, folder: Path) -> tuple[str, Path]:
    """Download a dependency in a version before the pinned one."""
    (pinned,) = re.findall(r"^click==(\S+)", constraints, flags=re.MULTILINE)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*command, "--python-version", "3.8", "--dest", folder, f"click<{pinned}"], check=True)
    (wheel,) = folder.glob("click-*.whl")
    return pinned, wheel


@pytest.mark.hosts
def test_the_documented_way_and_the_life_after_it(
    bare: Host, bundles: dict[str, Path], collections: Path, tmp_path: Path
) -> None:
    host = bare
    pinned, wheel = older_dependency((bundles[OLD] / "constraints.txt").read_text(), tmp_path)
    host.copy(wheel, f"/srv/{wheel.name}")
    playbook = documented("Install from the bundle", "yaml", "docs/offline.md").replace(NEW, OLD)
    with cut_off(host):
        done = host.play(collections, bundles[OLD].parent, playbook)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"
        assert "changed=2" in done.stdout
        assert (host.works(), host.version()) == (True, OLD)
        assert host.install(**sources(OLD))["changed"] is False

        # A set that drifted from the constraints.
        python = f"{host.venv}/bin/python"
        host.run(python, "-m", "pip", "install", "--no-index", "--no-deps", f"/srv/{wheel.name}", user="postgres")
        planned = host.install(check_mode=True, **sources(OLD))
        repaired = host.install(retries=0, **sources(OLD))
        assert steps(planned) == steps(repaired)
        assert actions(repaired) == ["build_environment", "switch_environment", "remove_environment"]
        assert f"{pinned}\n" in host.shell(f"{python} -m pip show click | grep -w Version", user="postgres")
        assert host.install(**sources(OLD))["changed"] is False

        # A bundle of another version.
        host.copy(bundles[NEW], f"/srv/wheelhouse-{NEW}")
        assert host.install(retries=0, **sources(NEW))["changed"]
        assert (host.works(), host.version()) == (True, NEW)
        assert host.install(**sources(NEW))["changed"] is False

        # What is not in the bundle, and a bundle that is not there.
        missing = host.install(extras=["aws"], retries=0, **sources(NEW))
        assert missing["failed"]
        assert (missing["steps"], host.version()) == ([], NEW)
        gone = host.install(**sources("9.9"))
        assert "constraints" in gone["msg"]


def bundle(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BIN / "python", MAKE_BUNDLE, *arguments], capture_output=True, text=True, check=False)


def test_a_bundle_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    wrong = bundle("--python", "3.9", "--version", "4.0.99", tmp_path / "bundle")
    assert wrong.returncode == 1
    assert "patroni==4.0.99" in wrong.stderr.replace("[etcd]", "").replace("[psycopg2-binary]", "")
    assert "no bundle was made" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    assert bundle("--python", "three", tmp_path / "bundle").returncode == 2
    assert list(tmp_path.iterdir()) == []

    there = tmp_path / "there"
    there.mkdir()
    refused = bundle("--python", "3.9", there)
    assert refused.returncode == 1
    assert "already exists" in refused.stderr
    assert list(tmp_path.iterdir()) == [there]
    assert list(there.iterdir()) == []
