# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A booted host, and the module run on it in ways that a playbook cannot: killed, watched, twice at once."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import ansible
import coverage
import docker
import pytest
from driver import RECORDS

CHECKOUT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
DRIVER = Path(__file__).parent / "driver.py"
LAID_OUT = "/opt/driver"
MODULE = "pgedge.platform.patroni_install"
UNIT = "/etc/systemd/system/patroni.service"
# Patroni itself, kept alive and harmless: its etcd never answers.
CONFIGURATION = """
scope: test
name: test
etcd3: {hosts: "127.0.0.1:9"}
restapi: {listen: "127.0.0.1:8008", connect_address: "127.0.0.1:8008"}
postgresql:
  listen: 127.0.0.1:5432
  connect_address: 127.0.0.1:5432
  data_dir: /tmp/no-data
  authentication: {superuser: {username: x, password: x}, replication: {username: x, password: x}}
"""
ROLE = """
- hosts: all
  gather_facts: false
  roles:
    - pgedge.platform.install_patroni
"""
# What the scenario's other roles do, on a host that no scenario boots.
CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/certs/machine-ca-certificates.crt")
PREPARE = f"""
groupadd --system postgres
useradd --system --gid postgres --home-dir $0 --create-home --shell /bin/bash postgres
chmod 0700 $0
printf '[global]\\ncert = {CERTIFICATES[1]}\\n' > /etc/pip.conf
"""
Result = dict[str, t.Any]
# What the engine's API takes to create a container.
Kept = dict[str, t.Any]
_PATIENCE_SECONDS = 240
# Where to put what the hosts record of the lines that run there; nothing is recorded if it is not set.
COVERAGE = os.environ.get("PGEDGE_COVERAGE")


def miss(reason: str) -> None:
    """End the test for want of something on this machine."""
    if os.environ.get("PGEDGE_REQUIRE_ENGINE") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def install_collection(tarball: Path, path: Path) -> None:
    """Install a collection from its tarball into a path."""
    # Without --force it would count as installed where the checkout is on the collections' path.
    install = ("collection", "install", tarball, "--force", "--offline", "-p", path)
    subprocess.run([BIN / "ansible-galaxy", *install], check=True)


class Host:
    """A container that boots systemd.

    Attributes:
        home: the home of the account.
        bin_dir, pipx_home: the module's defaults on this host.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.container = f"pgedge-platform-test-{name}"
        self.home = "/var/lib/pgsql" if name in ("el9", "fedora") else "/var/lib/postgresql"
        self.bin_dir = f"{self.home}/.local/bin"
        self.pipx_home = f"{self.home}/.local/share/pipx"
        self.venv = f"{self.pipx_home}/venvs/patroni"

    def run(self, *argv: str, check: bool = True, user: str = "root") -> subprocess.CompletedProcess[str]:
        """Run a command in the host."""
        done = subprocess.run(self._exec(user, *argv), capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"{self.name}: {argv} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def shell(self, script: str, *, user: str = "root", check: bool = True) -> str:
        """Run a script in the host and return what it printed."""
        return self.run("bash", "-c", script, user=user, check=check).stdout

    def start(self, *argv: str, user: str = "root") -> subprocess.Popen[str]:
        """Start a command in the host, and do not wait for it."""
        return subprocess.Popen(
            self._exec(user, *argv),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    def lay_out(self, collections: Path) -> None:
        """Put the module's code and what it needs of ansible-core there, as a module's payload has them."""
        core = Path(ansible.__file__).parent
        self.shell(f"mkdir -p {LAID_OUT}/ansible && touch {LAID_OUT}/ansible/__init__.py")
        for source, target in (
            (core / "module_utils", "ansible/module_utils"),
            (collections / "ansible_collections", "ansible_collections"),
            (DRIVER, "driver.py"),
        ):
            self.copy(source, f"{LAID_OUT}/{target}")

        if COVERAGE:
            self.copy(Path(coverage.__file__).parent, f"{LAID_OUT}/coverage")
            self.run("install", "--directory", "--mode=1777", RECORDS)

    def keep(self) -> Kept:
        """Make an image of the host as it is, and return how to boot another one like it."""
        container = _engine().containers.get(self.container)
        image = container.commit(self.container, "kept")
        return {**container.attrs["Config"], "Image": image.id, "HostConfig": container.attrs["HostConfig"]}

    def boot_kept(self, kept: Kept) -> None:
        """Begin to boot a host like one that was kept."""
        api = _engine().api
        api.create_container_from_config(kept, self.container)
        api.start(self.container)

    def wait(self) -> None:
        """Wait until systemd has started everything."""
        manager = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            state = self.run("busctl", "get-property", *manager, "SystemState", check=False)
            if state.stdout.strip() in ('s "running"', 's "degraded"'):
                return
            assert time.monotonic() < deadline, f"{self.name} does not come up: {state.stdout}{state.stderr}"
            time.sleep(0.2)

    def remove(self) -> None:
        """Remove the host, if it is there."""
        if COVERAGE:
            subprocess.run(
                ["docker", "cp", "--quiet", f"{self.container}:{RECORDS}/.", COVERAGE], capture_output=True, check=False
            )
        subprocess.run(["docker", "rm", "--force", "--volumes", self.container], stdout=subprocess.DEVNULL, check=True)

    @contextlib.contextmanager
    def without_systemd(self, collections: Path) -> t.Iterator[t.Self]:
        """Run the host of the image of its name, with the account; its first process is not an init."""
        volume = f"{CERTIFICATES[0]}:{CERTIFICATES[1]}:ro"
        start = ["docker", "run", "--detach", "--init", "--name", self.container, "--volume", volume]
        self.remove()
        try:
            subprocess.run([*start, f"pgedge-platform-test/{self.name}", "sleep", "infinity"], check=True)
            self.run("bash", "-ec", PREPARE, self.home)
            self.lay_out(collections)
            yield self
        finally:
            self.remove()

    def copy(self, source: Path, target: str) -> None:
        subprocess.run(["docker", "cp", "--quiet", str(source), f"{self.container}:{target}"], check=True)

    def install(
        self, *, check_mode: bool = False, environment: dict[str, str] | None = None, **options: t.Any
    ) -> Result:
        """Run the module, and return its result, a failed one too."""
        done = self.run(*driver(options, check_mode=check_mode, environment=environment), check=False)
        result = read_result(done.stdout)
        assert result, f"{self.name}: the module gave no result: {done.stdout}{done.stderr}"
        return result

    def start_install(self, **options: t.Any) -> subprocess.Popen[str]:
        """Start the module, and do not wait for it."""
        return self.start(*driver(options))

    def works(self) -> bool:
        """Whether the account can use Patroni."""
        commands = (("patroni", "--version"), ("patronictl", "version"))
        return all(
            self.run(f"{self.bin_dir}/{name}", argument, user="postgres", check=False).returncode == 0
            for name, argument in commands
        )

    def version(self) -> str:
        return self.run(f"{self.bin_dir}/patroni", "--version", user="postgres").stdout.split()[-1]

    def inventory(self) -> str:
        """The line of an inventory by which Ansible reaches the host."""
        return (
            f"{self.name} ansible_connection=community.docker.docker ansible_host={self.container} "
            "ansible_python_interpreter=/usr/bin/python3"
        )

    def play(
        self, collections: Path, directory: Path, playbook: str, *options: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a playbook on the host with a built collection, in a directory that holds the files that it names."""
        (directory / "playbook.yml").write_text(playbook, encoding="utf-8")
        (directory / "hosts.ini").write_text(f"[pgedge]\n{self.inventory()}\n", encoding="utf-8")
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(collections),
            "ANSIBLE_HOME": str(directory / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PIPELINING": "1",
        }
        command: list[str | Path] = [BIN / "ansible-playbook", "--inventory", "hosts.ini", *options, "playbook.yml"]
        return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)

    def _exec(self, user: str, *argv: str) -> list[str]:
        return ["docker", "exec", "--user", user, "--workdir", "/", "--env", "HOME=/", self.container, *argv]


def _engine() -> docker.DockerClient:
    # Machines that do other things at the same time need more than the minute that is usual.
    return docker.from_env(timeout=300)


def driver(
    options: dict[str, t.Any],
    *arguments: str,
    check_mode: bool = False,
    environment: dict[str, str] | None = None,
) -> list[str]:
    """Build the command that runs the module in a host; the arguments are the driver's.

    Unless a test says otherwise no earlier environment is kept, so that each test builds what it asks for.
    """
    modes = {"_ansible_check_mode": check_mode, "_ansible_diff": True, "_ansible_module_name": MODULE}
    wanted = {"keep": 0, **options, **modes}
    settings = [f"{name}={value}" for name, value in (environment or {}).items()]
    return ["env", *settings, "python3", f"{LAID_OUT}/driver.py", *arguments, json.dumps(wanted)]


def read_result(output: str) -> Result:
    """Read the JSON that a module prints last; empty where it was killed before."""
    lines = [line for line in output.splitlines() if line.startswith("{")]
    return json.loads(lines[-1]) if lines else {}


def steps(result: Result) -> list[tuple[str, str]]:
    """What was done, or would be, without how long it took."""
    return [(step["action"], step["target"]) for step in result["steps"]]


def actions(result: Result) -> list[str]:
    return [step["action"] for step in result["steps"]]
