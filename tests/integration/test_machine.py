# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual machine of Debian 12: SELinux enforcing, and the power cut during and after changes.

By default a few cuts; PGEDGE_FAULTS=full makes more, and PGEDGE_SEED another draw of their moments.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import re
import shutil
import subprocess
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import BIN, miss
from lab import CONFIGURATION, UNIT, actions, driver
from machines import TOOLS, Image, Machine
from test_faults import Sweep, debris, put_at_start

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
MOMENTS = ("after", "boundary")
FULL = os.environ.get("PGEDGE_FAULTS") == "full"
SEED = int(os.environ.get("PGEDGE_SEED", "1"))
CUTS_OF_EACH = 4
# ext4 writes the data of new files up to half a minute after they were closed.
LONGEST_WAIT = 60.0
UNREACHABLE: dict[str, t.Any] = {"index_url": "http://127.0.0.1:9/simple", "retries": 0}
INSTALLATION = Sweep("installation", {"version": OLD}, ({"state": "absent"},))
UPGRADE = Sweep("upgrade", {"version": NEW}, ({"version": OLD},))
RETURN = Sweep(
    "return", {"version": NEW, "keep": 1, **UNREACHABLE}, ({"version": NEW, "keep": 1}, {"version": OLD, "keep": 1})
)
NEW_UNIT = Sweep("unit", {"version": NEW, "config_file": "other.yaml"}, ({"version": NEW, "config_file": "one.yaml"},))
REMOVAL = Sweep("removal", {"state": "absent"}, ({"version": NEW},))
# In an order in which each begins with what the one before it has left.
SHORT = ((INSTALLATION, "after"), (UPGRADE, "after"), (RETURN, "after"), (NEW_UNIT, "boundary"))
LONG = tuple(
    (change, moment)
    for change in (INSTALLATION, UPGRADE, RETURN, NEW_UNIT, REMOVAL)
    for moment in MOMENTS
    for _cut in range(CUTS_OF_EACH)
)


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


def play(machine: Machine, collections: Path, directory: Path, **variables: str) -> str:
    """Run the role as an operator does, over ssh and with sudo, and return what it printed."""
    (directory / "playbook.yml").write_text(ROLE, "utf-8")
    (directory / "hosts.ini").write_text(machine.inventory(), "utf-8")
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_HOME": str(directory / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_PIPELINING": "1",
    }
    settings = [f"--extra-vars={name}={value}" for name, value in variables.items()]
    command = [BIN / "ansible-playbook", "--inventory", "hosts.ini", *settings, "playbook.yml"]
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
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


@dataclass
class Outcome:
    """What was found after the boot that followed a cut, and after the two runs that followed the boot."""

    usable: bool
    unit_whole: bool
    converged: bool
    debris: list[str]


def usable_version(machine: Machine) -> str | None:
    """The version that both commands of the account print; what a power loss emptied prints nothing, and succeeds."""
    printed = {
        machine.run(f"{machine.bin_dir}/{name}", argument, user="postgres", check=False).stdout.strip()
        for name, argument in (("patroni", "--version"), ("patronictl", "version"))
    }
    versions = {text.split()[-1] if text else None for text in printed}
    return versions.pop() if len(versions) == 1 else None


def unit_text(machine: Machine) -> str | None:
    done = machine.run("cat", UNIT, check=False)
    return done.stdout if done.returncode == 0 else None


@dataclass
class Power:
    """Cuts the power of a machine during or after a change, and says when it did."""

    machine: Machine
    draw: random.Random

    def after(self, change: Sweep) -> str:
        result = self.machine.install(**change.options)
        assert not result.get("failed"), result
        assert result["changed"], result
        moment = self.draw.choice((0.0, self.draw.uniform(0, 10), self.draw.uniform(0, LONGEST_WAIT)))
        time.sleep(moment)
        self.machine.cut()
        return f"{moment:.1f} s after its end"

    def boundary(self, change: Sweep) -> str:
        """At a boundary of the driver; the change is made once before, to count them."""
        counted = self.machine.run(*driver(change.options, "--count")).stdout
        boundaries = int(counted.split("boundaries ")[1])
        put_at_start(self.machine, change)
        number = self.draw.randint(1, boundaries)
        running = self.machine.start(*driver(change.options, "--pause-at", str(number)))
        assert running.stdout is not None
        for line in running.stdout:
            if line.startswith("paused"):
                break
        self.machine.cut()
        running.wait()
        return f"at boundary {number} of {boundaries}"


def outcome_of(machine: Machine, change: Sweep, versions: set[str | None], units: set[str | None]) -> Outcome:
    """Boot, look, and run twice; an emptied or missing Patroni is usable only where there may be none."""
    machine.boot()
    version, unit = usable_version(machine), unit_text(machine)
    result = machine.install(**change.options)
    wanted = change.options.get("version")
    again = machine.install(**change.options)
    converged = not result.get("failed") and again.get("changed") is False and usable_version(machine) == wanted
    outcome = Outcome(
        usable=version in versions,
        unit_whole=unit in {*units, unit_text(machine)},
        converged=converged,
        debris=debris(machine, change),
    )
    print(change.name, outcome, version, result.get("msg"), [step["action"] for step in result.get("steps", ())])
    return outcome


@pytest.mark.parametrize("cache", ["writeback", "none"] if FULL else ["writeback"])
def test_power_loss(image: Image, collections: Path, cache: str, figures: t.Callable[..., None]) -> None:
    """Wherever a Patroni worked before, one works after the boot, and one run reaches what the lost one was to."""
    draw = random.Random(f"{SEED} {cache}")  # noqa: S311 - repeatable is what is wanted
    rows: dict[tuple[str, str], list[Outcome]] = {}
    with Machine(image, cache=cache, selinux=False) as machine:
        machine.lay_out(collections)
        machine.shell("sync")
        power = Power(machine, draw)
        for change, moment in LONG if FULL else SHORT:
            put_at_start(machine, change)
            former, unit = usable_version(machine), unit_text(machine)
            told = getattr(power, moment)(change)
            versions = {change.options.get("version")} if moment == "after" else {former, change.options.get("version")}
            print(f"{change.name}: cut {told}")
            outcome = outcome_of(machine, change, versions, {unit})
            rows.setdefault((change.name, moment), []).append(outcome)
    for (name, moment), outcomes in rows.items():
        figures(
            f"power cut (seed {SEED})",
            cache=cache,
            change=name,
            cut=moment,
            cuts=len(outcomes),
            usable=sum(outcome.usable for outcome in outcomes),
            unit_whole=sum(outcome.unit_whole for outcome in outcomes),
            converged=sum(outcome.converged for outcome in outcomes),
            debris=sum(len(outcome.debris) for outcome in outcomes),
        )
    found = [outcome for outcomes in rows.values() for outcome in outcomes]
    assert all(outcome.usable and outcome.unit_whole and outcome.converged for outcome in found), rows
    assert not any(outcome.debris for outcome in found), rows
