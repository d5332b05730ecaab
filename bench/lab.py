# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts to measure on: containers that boot systemd and are reached over ssh, as an operator reaches hosts."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from programs import STRACE

CHECKOUT = Path(__file__).resolve().parents[1]
BUILD = CHECKOUT / ".build" / "bench"
COLLECTIONS = CHECKOUT / ".build" / "collections"
BIN = Path(sys.executable).parent
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
MOUNTED_CERTIFICATES = "/etc/ssl/certs/machine-ca-certificates.crt"
HOME = "/var/lib/postgresql"
# Interpreters for Ansible on a host: one writes down what it takes, one runs below strace.
MEASURED_PYTHON, TRACED_PYTHON = "/usr/local/bin/measured-python", "/usr/local/bin/traced-python"
_MEASURE = "/usr/local/lib/measured_python.py"
_PATIENCE_SECONDS = 120
# As the platform's other roles leave a host: an account for Postgres, and one with sudo for the operator.
_PREPARATION = r"""
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install --yes --no-install-recommends openssh-server
groupadd --system postgres
useradd --system --gid postgres --home-dir /var/lib/postgresql --create-home --shell /bin/bash postgres
chmod 0700 /var/lib/postgresql
useradd --create-home --shell /bin/bash deploy
install -d -m 0700 -o deploy -g deploy /home/deploy/.ssh
install -m 0600 -o deploy -g deploy /tmp/key.pub /home/deploy/.ssh/authorized_keys
echo 'deploy ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/deploy
printf '[global]\ncert = %s\n' "$CERTIFICATES" > /etc/pip.conf
chmod 0755 /usr/local/bin/measured-python /usr/local/bin/traced-python
# 50 forks connect at once; sshd would drop some of them before they have authenticated.
echo 'MaxStartups 200' > /etc/ssh/sshd_config.d/bench.conf
"""


class BenchError(Exception):
    """A run did not do what it should have done, so that its time means nothing."""


def call(*command: str | Path, check: bool = True) -> str:
    """Run a command on this machine and return what it printed.

    Raises:
        BenchError: it failed.
    """
    done = subprocess.run(
        [str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if check and done.returncode != 0:
        raise BenchError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


@dataclass
class Host:
    """A booted container.

    Attributes:
        container: its name.
        address: its address in the benchmark's network.
    """

    container: str
    address: str
    lab: Lab

    def shell(self, script: str, *, user: str = "root", check: bool = True) -> str:
        """Run a script in the host through the engine; nothing of this is measured."""
        command = ["docker", "exec", "--user", user, "--workdir", "/", self.container, "bash", "-ec", script]
        return call(*command, check=check)

    def ssh(self, script: str) -> list[str]:
        """Build the command that runs a script as root in the host, as a person would over ssh."""
        options = [f"-o{option}" for option in self.lab.ssh_options]
        return ["ssh", *options, f"deploy@{self.address}", f"sudo bash -ec {_quoted(script)}"]

    def usage(self) -> dict[str, float]:
        """What the last run with MEASURED_PYTHON took: seconds, cpu_seconds and peak_kib."""
        return t.cast(
            "dict[str, float]", json.loads(self.shell("cat /var/tmp/measured.json; rm /var/tmp/measured.json"))
        )

    def trace(self) -> str:
        """What strace saw of the last run with TRACED_PYTHON, or below STRACE."""
        return self.shell("cat /run/trace")

    def works(self, version: str) -> None:
        """See that the account can use Patroni.

        Raises:
            BenchError: it cannot, or it is another version.
        """
        for command in ("patroni --version", "patronictl version"):
            said = self.shell(f"{HOME}/.local/bin/{command}", user="postgres")
            if said.split()[-1:] != [version]:
                raise BenchError(f"{self.container}: {command} said {said!r}, not {version}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


@dataclass
class Lab:
    """What the hosts of one run share: a network, a key of their own, and the images made on the way.

    Attributes:
        prefix: what the name of everything that is made in the engine begins with.
        collections: where the built collection is installed.
        folder: files of this run, gone after it.
        gateway: the address by which hosts reach this machine.
        inventories: how many inventories were made.
    """

    prefix: str
    image: str
    collections: Path
    folder: Path
    gateway: str = ""
    _containers: list[str] = field(default_factory=list)
    _images: list[str] = field(default_factory=list)
    inventories: int = 0
    _count: int = 0

    @property
    def ssh_options(self) -> list[str]:
        """Options of ssh that keep it to files of this run, and one connection for all commands."""
        return [
            f"IdentityFile={self.folder}/key",
            "IdentitiesOnly=yes",
            f"UserKnownHostsFile={self.folder}/known_hosts",
            "GlobalKnownHostsFile=/dev/null",
            "StrictHostKeyChecking=yes",
            "BatchMode=yes",
            "ControlMaster=auto",
            "ControlPersist=600",
            f"ControlPath={self.folder}/cp/%C",
        ]

    def boot(self, image: str | None = None) -> Host:
        """Boot a host and wait until systemd and, unless it is still to be prepared, ssh are up."""
        self._count += 1
        name = f"{self.prefix}{self._count}"
        self._containers.append(name)
        call("docker", "run", "--detach", "--name", name, *_boot_flags(self.prefix), image or self.image, "/sbin/init")
        address = json.loads(call("docker", "inspect", name))[0]["NetworkSettings"]["Networks"][self.prefix]
        host = Host(name, address["IPAddress"], self)
        wait(f"{name} to boot", lambda: host.shell(_IS_RUNNING, check=False).strip() in ("running", "degraded"))
        if image:
            wait(f"{name} to take ssh", lambda: _answers(host.ssh("true")))
        return host

    def keep(self, host: Host, name: str) -> str:
        """Keep a host's files as an image to boot others from, and take the host away."""
        # A clean end, so that no file is in the middle of being written.
        call("docker", "stop", "--time", "30", host.container)
        image = f"{self.prefix}-{name}"
        self._images.append(image)
        call("docker", "commit", host.container, image)
        self.remove(host)
        return image

    def remove(self, host: Host) -> None:
        """Take a host away, with its connection."""
        subprocess.run(
            ["ssh", *(f"-o{option}" for option in self.ssh_options), "-O", "exit", f"deploy@{host.address}"],
            capture_output=True,
            check=False,
        )
        call("docker", "rm", "--force", "--volumes", host.container)
        self._containers.remove(host.container)

    def prepare(self) -> str:
        """Make the image of a host that other roles have prepared."""
        host = self.boot()
        (self.folder / "traced").write_text(f'#!/bin/sh\nexec {STRACE} /usr/bin/python3 "$@"\n', "utf-8")
        (self.folder / "measured").write_text(f'#!/bin/sh\nexec /usr/bin/python3 {_MEASURE} "$@"\n', "utf-8")
        for source, target in (
            (self.folder / "key.pub", "/tmp/key.pub"),
            (Path(__file__).parent / "measured_python.py", _MEASURE),
            (self.folder / "measured", MEASURED_PYTHON),
            (self.folder / "traced", TRACED_PYTHON),
        ):
            call("docker", "cp", source, f"{host.container}:{target}")
        host.shell(f"CERTIFICATES={MOUNTED_CERTIFICATES}\n{_PREPARATION}")
        key = host.shell("cat /etc/ssh/ssh_host_ed25519_key.pub").split()
        (self.folder / "known_hosts").write_text(f"* {key[0]} {key[1]}\n", "utf-8")
        return self.keep(host, "prepared")

    def close(self) -> None:
        """Remove everything from the engine, and end the connections."""
        for socket in (self.folder / "cp").glob("*"):
            if socket.is_socket():
                subprocess.run(["ssh", f"-oControlPath={socket}", "-O", "exit", "-"], capture_output=True, check=False)
        if self._containers:
            call("docker", "rm", "--force", "--volumes", *self._containers, check=False)
        if self._images:
            call("docker", "image", "rm", "--force", *self._images, check=False)
        call("docker", "network", "rm", self.prefix, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


_IS_RUNNING = "systemctl is-system-running || true"


@contextlib.contextmanager
def lab(prefix: str, image: str, collections: Path) -> t.Iterator[Lab]:
    """Make a network and a key; take everything away at the end, whatever happens."""
    # The path of a control socket must be short.
    made = Lab(prefix, image, collections, Path(tempfile.mkdtemp(prefix="bench-", dir="/tmp")))
    try:
        (made.folder / "cp").mkdir(mode=0o700)
        call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "benchmark", "-f", made.folder / "key")
        call("docker", "network", "create", prefix)
        network = json.loads(call("docker", "network", "inspect", prefix))[0]
        made.gateway = network["IPAM"]["Config"][0]["Gateway"]
        yield made
    finally:
        made.close()


def _boot_flags(network: str) -> list[str]:
    """What a container needs to boot systemd; extensions/molecule/shared/tasks/boot.yml says why."""
    # systemd 256 and newer refuse cgroup v1 unless told twice.
    legacy = "SYSTEMD_PROC_CMDLINE=SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1 systemd.unified_cgroup_hierarchy=0"
    version = call("docker", "info", "--format", "{{.CgroupVersion}}").strip()
    return [
        "--network",
        network,
        "--stop-signal=SIGRTMIN+3",
        "--cap-add=ALL",
        "--cap-drop=SYS_RESOURCE",
        "--security-opt=seccomp=unconfined",
        "--security-opt=apparmor=unconfined",
        "--cgroupns=host",
        "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw",
        f"--mount=type=bind,source={CERTIFICATES},target={MOUNTED_CERTIFICATES},readonly",
        "--tmpfs=/run",
        "--tmpfs=/run/lock",
        "--env=container=docker",
        *([f"--env={legacy}"] if version == "1" else []),
    ]


def _answers(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL).returncode == 0


def wait(what: str, condition: t.Callable[[], bool]) -> None:
    """Wait until a condition holds.

    Raises:
        BenchError: it does not within two minutes.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise BenchError(f"waited for {what} in vain")
        time.sleep(0.2)
