# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module on a real host, with the oldest and the newest ansible-core and each Python that a host may have.

tests/matrix.toml lists them. The host borrows the machine's Pythons, and Debian testing has the newest; those not
available are skipped by name, or fail with PGEDGE_REQUIRE_PYTHONS=1.
"""

from __future__ import annotations

import json
import os
import subprocess
import typing as t
from pathlib import Path

import matrix
import pytest
from lab import BIN, CERTIFICATES, CHECKOUT, Host

SCENARIO = CHECKOUT / "extensions" / "molecule" / "default"
LENDING, NEWEST = Host("matrix"), Host("testing")
# What the module imports beyond the pure Python of the standard library.
PROBE = "import ctypes, fcntl, grp, pwd, select, sys; print('%d.%d' % sys.version_info[:2])"

pytestmark = pytest.mark.hosts


def edges() -> list[matrix.Core]:
    """The oldest and the newest line; where they cannot run here, also those that can."""
    lines = matrix.read()
    here = [core for core in lines if core.controller] or lines
    return list(dict.fromkeys([lines[0], here[0], here[-1], lines[-1]]))


COMBINATIONS = [(core, python) for core in edges() for python in core.runs]


def prefix(python: str) -> Path | None:
    """The directory that an interpreter can be lent with, or None if it is part of the machine's own system."""
    found = matrix.find_python(python)
    folder = found.parents[1] if found else None
    return None if folder in (Path("/"), Path("/usr")) else folder


def playbook(bin_dir: Path, *arguments: str | Path, collections: Path, top: Path, limit: Host = LENDING) -> None:
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_HOME": str(top / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_ROLES_PATH": str(SCENARIO.parent / "shared" / "stand_ins"),
    }
    inventory = ("--inventory", top / "hosts.json", "--limit", limit.name)
    command = [bin_dir / "ansible-playbook", *inventory, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("matrix")


@pytest.fixture(scope="module")
def lending(images: None, collections: Path, top: Path) -> t.Iterator[Host]:
    """A Debian 12 with the account, and with the machine's Pythons below /opt/pythons."""
    lent = {python: prefix(python) for _core, python in COMBINATIONS}
    mounts = [{"source": str(path), "target": f"/opt/pythons/{python}"} for python, path in lent.items() if path]
    everywhere = {
        "ansible_connection": "community.docker.docker",
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    variables = {
        "account_home": LENDING.home,
        "host_image": os.environ.get("MOLECULE_IMAGE_DEBIAN12") or "pgedge-platform-test/debian12",
        "host_mounts": mounts,
        "machine_ca_bundle": CERTIFICATES[1],
    }
    hosts = {host.name: {"ansible_host": host.container} for host in (LENDING, NEWEST)}
    hosts[LENDING.name].update(variables)
    inventory = {"pgedge": {"hosts": hosts, "vars": everywhere}}
    (top / "hosts.json").write_text(json.dumps(inventory), "utf-8")
    try:
        # What a killed run left would have the Pythons of that time.
        for name in ("destroy", "create", "prepare"):
            playbook(BIN, SCENARIO / f"{name}.yml", collections=collections, top=top)
        # A Python may have a library of its own, which it looks for where it lay on the machine.
        script = "ls -d /opt/pythons/*/lib > /etc/ld.so.conf.d/pythons.conf; ldconfig"
        LENDING.shell(script)
        yield LENDING
    finally:
        playbook(BIN, SCENARIO / "destroy.yml", collections=collections, top=top)


def interpreter(host: Host, python: str) -> str | None:
    """The path of a Python in the host, its own or a lent one, if it runs there."""
    for path in ("/usr/bin/python3", f"/opt/pythons/{python}/bin/python{python}"):
        if host.run(path, "-c", PROBE, check=False).stdout.strip() == python:
            return path
    return None


def lack(core: matrix.Core, python: str, reason: str) -> t.NoReturn:
    matrix.record("hosts", core, python, reason)
    (pytest.fail if os.environ.get("PGEDGE_REQUIRE_PYTHONS") == "1" else pytest.skip)(reason)


@pytest.mark.parametrize(
    ("core", "python"),
    [
        # The oldest Python with the oldest line, and the newest with the newest, are enough for every run.
        pytest.param(
            core,
            python,
            marks=() if python in (COMBINATIONS[0][1], COMBINATIONS[-1][1]) else pytest.mark.thorough,
            id=f"core {core.line}, Python {python}",
        )
        for core, python in COMBINATIONS
    ],
)
def test_install(
    core: matrix.Core, python: str, lending: Host, newest: dict[str, Host], collections: Path, top: Path
) -> None:
    if core.controller is None:
        lack(core, python, f"no Python {' or '.join(core.controllers)} here")
    paths = ((host, interpreter(host, python)) for host in (newest[NEWEST.name], lending))
    host, path = next((found for found in paths if found[1]), (lending, None))
    if path is None:
        lack(core, python, f"no Python {python} here that a host has or can be lent")
    wanted = {"ansible_python_interpreter": path, "wanted_core": core.version, "wanted_python": python}

    result = "failed"
    try:
        arguments = (Path(__file__).with_name("matrix.yml"), "--extra-vars", json.dumps(wanted))
        playbook(matrix.make_environment(core), *arguments, collections=collections, top=top, limit=host)
        result = matrix.PASSED
    finally:
        matrix.record("hosts", core, python, result)


def test_pipx_for_the_python_that_runs_the_module(lending: Host, collections: Path, top: Path) -> None:
    """A host like RHEL 8, whose pip3 belongs to an old Python, and a site that brings a newer one."""
    core = next(core for core in reversed(edges()) if core.controller)
    python = "3.12"
    if interpreter(lending, python) is None:
        lack(core, python, f"no Python {python} here that the host can be lent")
    prepare = f"""
        cp -a /opt/pythons/{python} /opt/site
        rm -f /opt/site/bin/pipx
        cp /usr/lib/os-release /tmp
        printf '%s\\n' ID=rocky 'ID_LIKE="rhel fedora"' VERSION_ID=8.10 > /usr/lib/os-release
        printf '#!/bin/sh\\ntouch /tmp/pip3-was-run\\n' > /usr/bin/pip3
        chmod +x /usr/bin/pip3
        ! test -e /usr/bin/pipx || mv /usr/bin/pipx /usr/bin/pipx.away
    """
    restore = """
        rm -r /opt/site /usr/bin/pip3
        cp /tmp/os-release /usr/lib
        ! test -e /usr/bin/pipx.away || mv /usr/bin/pipx.away /usr/bin/pipx
    """
    wanted = {
        "ansible_python_interpreter": f"/opt/site/bin/python{python}",
        "wanted_core": core.version,
        "wanted_python": python,
    }
    try:
        lending.run("bash", "-ec", prepare)
        arguments = (Path(__file__).with_name("matrix.yml"), "--extra-vars", json.dumps(wanted))
        playbook(matrix.make_environment(core), *arguments, collections=collections, top=top)
        looked = "head -n 1 /opt/site/bin/pipx; ls /tmp/pip3-was-run"
        assert lending.shell(looked, check=False).splitlines() == [f"#!/opt/site/bin/python{python}"]
    finally:
        lending.run("bash", "-ec", restore)
