# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual machine of Debian 12 that enforces SELinux."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import subprocess
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import BIN, miss
from lab import CONFIGURATION, actions
from machines import TOOLS, Image, Machine

pytestmark = [pytest.mark.machine]

OLD, NEW = "4.0.11", "4.1.5"
ROLE = """
- hosts: all
  gather_facts: false
  roles:
    - pgedge.platform.install_patroni
"""
# Under Debian's policy systemd may execute this one; under the stricter one it may not.
LABEL_OF_THE_HOME = "postgresql_db_t"
UNREACHABLE: dict[str, t.Any] = {"index_url": "http://127.0.0.1:9/simple", "retries": 0}


@pytest.fixture(scope="module")
def image() -> Image:
    """The machine's disk, if QEMU and what builds the disk are installed."""
    missing = sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})
    if missing:
        miss(f"a virtual machine needs the packages {', '.join(missing)}")
    if os.geteuid() != 0:
        miss("building the disk of a virtual machine needs root")
    return Image.build()


@pytest.fixture(scope="module")
def enforcing(image: Image, collections: Path) -> t.Iterator[Machine]:
    """A machine that enforces SELinux, with the module's code laid out for the driver."""
    with Machine(image) as machine:
        machine.lay_out(collections)
        yield machine


def play(machine: Machine, collections: Path, folder: Path, **variables: str) -> str:
    """Run the role as an operator does, over ssh and with sudo, and return what it printed."""
    (folder / "playbook.yml").write_text(ROLE, "utf-8")
    (folder / "hosts.ini").write_text(machine.inventory(), "utf-8")
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_PIPELINING": "1",
    }
    settings = [f"--extra-vars={name}={value}" for name, value in variables.items()]
    command = [BIN / "ansible-playbook", "--inventory", "hosts.ini", *settings, "playbook.yml"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def configure(machine: Machine) -> None:
    machine.shell(f"cat > /etc/patroni/patroni.yaml <<'EOF'\n{CONFIGURATION}\nEOF")
    machine.shell("chown postgres: /etc/patroni/patroni.yaml; chmod 600 /etc/patroni/patroni.yaml")


@dataclass
class Started:
    """What became of the service: systemd's state, the code that its process ended with, and its domain if it runs."""

    state: str
    code: str
    domain: str
    journal: str


def start(machine: Machine) -> Started:
    """Start the service, and wait until Patroni waits for its etcd, or until systemd could not execute it."""
    waited = """
        systemctl reset-failed patroni
        systemctl restart patroni
        for _ in {1..120}; do
            journal=$(journalctl --unit patroni --output cat \
                _SYSTEMD_INVOCATION_ID=$(systemctl show --property InvocationID --value patroni))
            [[ $journal == *"waiting on etcd"* ]] && break
            systemctl show --property ExecMainStatus --value patroni | grep -qx 203 && break
            sleep 0.5
        done
        systemctl show --property ActiveState --value patroni
        systemctl show --property ExecMainStatus --value patroni
        tr -d '\\0' < /proc/$(systemctl show --property MainPID --value patroni)/attr/current || echo none
        echo
        journalctl --unit patroni --output cat --lines 5
    """
    state, code, domain, journal = machine.shell(waited).split("\n", 3)
    return Started(state, code, domain, journal)


def label(machine: Machine) -> str:
    """The type of the executable that the unit leads to."""
    return machine.shell(f"stat --dereference --format %C {machine.bin_dir}/patroni").split(":")[2]


def denials(machine: Machine) -> list[str]:
    """The denials of the audit log, one a line."""
    found = machine.shell("ausearch --message avc --input /var/log/audit/audit.log --raw", check=False)
    return [line for line in found.splitlines() if "avc:" in line and "denied" in line]


def own(denied: list[str]) -> list[str]:
    """Those that name what the module runs, or what it makes."""
    return [line for line in denied if re.search(r"patroni|python|\bpipx?\b|ansible|postgres", line)]


def test_enforcing(enforcing: Machine, collections: Path, tmp_path: Path, figures: t.Callable[..., None]) -> None:
    """The life of an installation under Debian's policy."""
    machine = enforcing
    role = functools.partial(play, machine, collections, tmp_path)
    assert machine.run("getenforce").stdout.strip() == "Enforcing"
    before = denials(machine)

    began = time.monotonic()
    assert "changed=1 " in role(patroni_version=OLD)
    installed = time.monotonic() - began
    assert "changed=0 " in role(patroni_version=OLD)
    assert label(machine) == "bin_t"
    configure(machine)
    started = start(machine)
    assert (started.state, started.domain.split(":")[2]) == ("active", "initrc_t"), started
    machine.run("systemctl", "stop", "patroni")

    assert "changed=1 " in role(patroni_version=NEW)
    assert start(machine).state == "active"
    assert "changed=1 " in role(patroni_version=OLD, patroni_index_url=UNREACHABLE["index_url"], patroni_retries="0")
    assert machine.version() == OLD
    machine.run("systemctl", "stop", "patroni")

    machine.shell(f"restorecon -RF {machine.home}")
    assert label(machine) == LABEL_OF_THE_HOME
    ordinary = role(patroni_version=OLD)
    assert "changed=0 " in ordinary
    assert "WARNING" not in ordinary
    # As the kernel told the module, systemd may execute that as well.
    assert start(machine).state == "active"
    machine.run("systemctl", "stop", "patroni")

    assert "changed=1 " in role(patroni_state="absent")
    assert "changed=0 " in role(patroni_state="absent")
    denied = denials(machine)
    assert own(denied) == []
    figures(
        "SELinux enforcing",
        policy="Debian's",
        boot=f"{machine.boots[0]:.0f} s",
        installation=f"{installed:.0f} s",
        denials=len(own(denied)),
        of_others=len(denied) - len(before),
    )


@contextlib.contextmanager
def stricter_policy(machine: Machine) -> t.Iterator[None]:
    """Put the policy in force under which systemd may not execute files of the account's home."""
    loaded = machine.shell("echo /etc/selinux/default/policy/policy.*").strip()
    machine.shell(f"cp {loaded} /root/debian.policy && cp /etc/selinux/stricter.policy {loaded} && load_policy")
    try:
        yield
    finally:
        machine.shell(f"cp /root/debian.policy {loaded} && load_policy")


def test_stricter_policy(enforcing: Machine) -> None:
    """Without the label the service cannot start; an installation sets it, and an ordinary run repairs it."""
    machine = enforcing
    with stricter_policy(machine):
        assert "build_environment" in actions(machine.install(version=OLD))
        configure(machine)
        assert label(machine) == "bin_t"
        assert start(machine).state == "active"
        machine.run("systemctl", "stop", "patroni")

        machine.shell(f"restorecon -RF {machine.home}")
        assert label(machine) == LABEL_OF_THE_HOME
        refused = start(machine)
        machine.run("systemctl", "stop", "patroni")
        assert refused.code == "203", refused
        (reason, *_again) = [line for line in denials(machine) if "patroni" in line and LABEL_OF_THE_HOME in line]
        assert "{ execute }" in reason
        assert ":init_t:" in reason

        planned = machine.install(version=OLD, check_mode=True)
        repaired = machine.install(version=OLD)
        assert actions(planned) == actions(repaired) == ["set_label"]
        assert label(machine) == "bin_t"
        assert start(machine).state == "active"
        assert machine.install(version=OLD)["changed"] is False
        machine.run("systemctl", "stop", "patroni")
        assert not machine.install(state="absent").get("failed")
