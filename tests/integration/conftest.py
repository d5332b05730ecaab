# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests on real hosts share: an engine, images, the built collection, and booted hosts.

PGEDGE_REQUIRE_ENGINE=1 makes a failure of what would otherwise be skipped.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import typing as t
import warnings
from pathlib import Path

import pytest
from lab import BIN, CHECKOUT, Host, Kept, install_collection, miss
from machines import Image, Machine, built

IMAGES = {
    "debian12": "MOLECULE_IMAGE_DEBIAN12",
    "debian13": "MOLECULE_IMAGE_DEBIAN13",
    "el9": "MOLECULE_IMAGE_EL9",
}
# Their systemd wants cgroup v2 alone, which not every engine has.
WITHOUT_SYSTEMD = ("testing", "fedora")
BUILD_TOOLS = {"mmdebstrap": "mmdebstrap", "rpmbuild": "rpm", "createrepo_c": "createrepo-c"}

Molecule = t.Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker engine that answers."""
    if shutil.which("docker") is None:
        miss("no docker command was found")
    info = subprocess.run(
        ["docker", "info", "--format", "{{.ServerVersion}}"], capture_output=True, text=True, check=False
    )
    if info.returncode != 0 or not info.stdout.strip():
        miss(f"no Docker engine answers: {info.stderr.strip()}")


@pytest.fixture(scope="session")
def images(engine: None) -> None:
    """The hosts' images, except those whose place others take."""
    build_images(*(name for name, variable in IMAGES.items() if not os.environ.get(variable)))


def build_images(*wanted: str) -> None:
    if not wanted:
        return
    missing = [package for tool, package in BUILD_TOOLS.items() if shutil.which(tool) is None]
    if missing:
        miss(f"building the hosts' images needs the packages {', '.join(missing)}")
    subprocess.run([CHECKOUT / "tests" / "images" / "build", *wanted], check=True)


@pytest.fixture(scope="session")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection as a user gets it: built, and installed from its tarball."""
    top = tmp_path_factory.mktemp("built")
    subprocess.run([BIN / "ansible-galaxy", "collection", "build", CHECKOUT, "--output-path", top], check=True)
    (tarball,) = top.glob("*.tar.gz")
    install_collection(tarball, top / "collections")
    return top / "collections"


@pytest.fixture(scope="module")
def newest(engine: None, collections: Path) -> t.Iterator[dict[str, Host]]:
    """Debian testing and a stand-in for Fedora, without systemd."""
    build_images(*WITHOUT_SYSTEMD)
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(Host(name).without_systemd(collections)) for name in WITHOUT_SYSTEMD}


@pytest.fixture(scope="session")
def molecule(collections: Path, tmp_path_factory: pytest.TempPathFactory) -> Molecule:
    """Run molecule with directories of its own."""
    top = tmp_path_factory.mktemp("molecule")

    def run(verb: str, *arguments: str, scenario: str = "default", **more: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(collections),
            "ANSIBLE_HOME": str(top / "ansible"),
            "MOLECULE_EPHEMERAL_DIRECTORY": str(top / scenario),
            "NO_COLOR": "1",
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            **more,
        }
        done = subprocess.run(
            [BIN / "molecule", verb, "--scenario-name", scenario, *arguments],
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

    return run


@pytest.fixture(scope="session")
def kept(images: None, molecule: Molecule, collections: Path) -> t.Iterator[dict[str, Kept]]:
    """Hosts with the account, and with the module's code laid out for the driver, to be booted by their names."""
    hosts: dict[str, Kept] = {}
    try:
        boot(molecule)
        for name in IMAGES:
            host = Host(name)
            host.lay_out(collections)
            hosts[name] = host.keep()
    finally:
        molecule("destroy")
    yield hosts
    subprocess.run(
        ["docker", "rmi", "--force", *(one["Image"] for one in hosts.values())], stdout=subprocess.DEVNULL, check=True
    )


def boot(molecule: Molecule) -> None:
    """Boot the hosts, with the account; once more, and said so, where the machine was too busy for it."""
    for last in (False, True):
        for verb in ("create", "prepare"):
            done = molecule(verb)
            # In the message too, because a short summary shows no more than that.
            reason = f"molecule {verb} failed: {done.stdout[-3000:]}"
            if done.returncode != 0:
                break
        else:
            return
        assert not last, reason
        warnings.warn(reason, stacklevel=1)
        molecule("destroy")


@pytest.fixture(scope="module")
def hosts(kept: dict[str, Kept]) -> t.Iterator[dict[str, Host]]:
    """Booted hosts, which no other module of tests has used."""
    booted = {name: Host(name) for name in kept}
    try:
        for name, host in booted.items():
            # A session that was killed may have left it.
            host.remove()
            host.boot_kept(kept[name])
        for host in booted.values():
            host.wait()
        yield booted
    finally:
        for host in booted.values():
            host.remove()


@pytest.fixture(scope="module")
def image() -> Image:
    return built("bookworm")


@pytest.fixture(scope="module")
def enforcing(image: Image, collections: Path) -> t.Iterator[Machine]:
    """A machine that enforces SELinux, with the module's code laid out for the driver."""
    with Machine(image) as machine:
        machine.lay_out(collections)
        yield machine


_FIGURES: dict[str, list[dict[str, t.Any]]] = {}


@pytest.fixture(scope="session")
def figures() -> t.Callable[..., None]:
    """Keep a row of figures for the tables at the end of the run."""

    def keep(table: str, **row: t.Any) -> None:
        _FIGURES.setdefault(table, []).append(row)

    return keep


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where tests run in several processes, hand the figures to the one that prints them."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["figures"] = _FIGURES


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: t.Any) -> None:
    # A process that was killed hands over nothing.
    for table, rows in getattr(node, "workeroutput", {}).get("figures", {}).items():
        _FIGURES.setdefault(table, []).extend(rows)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name, rows in _FIGURES.items():
        terminalreporter.section(name)
        columns = list(rows[0])
        cells = [columns, *([str(row[column]) for column in columns] for row in rows)]
        widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
        for line in cells:
            text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            terminalreporter.write_line(text.rstrip())
