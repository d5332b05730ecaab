# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual machines: Debian 12 that enforces SELinux, and the next Debian."""

from __future__ import annotations

import contextlib
import functools
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
from lab import CONFIGURATION, ROLE, UNIT, actions
from machines import Machine, built, denials, own, unit_text, usable_version
from test_faults import NEW, OLD, UNREACHABLE

pytestmark = [pytest.mark.machine]

# Under Debian's policy systemd may execute this one; under the stricter one it may not.
LABEL_OF_THE_HOME = "postgresql_db_t"


def apply_role(machine: Machine, collections: Path, directory: Path, **variables: str) -> str:
    """Run the role as an operator does, over ssh and with sudo, and return what it printed."""
    settings = [f"--extra-vars={name}={value}" for name, value in variables.items()]
    done = machine.play(collections, directory, ROLE, *settings)
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
    return machine.shell(f"stat --dereference --format %C {machine.venv}/bin/patroni").split(":")[2]


def install_by_hand(machine: Machine) -> None:
    """Install Patroni with pipx as the account, as people do without the module."""
    variables = (f"HOME={machine.home}", f"PIPX_HOME={machine.pipx_home}", f"PIPX_BIN_DIR={machine.bin_dir}")
    wanted = f"patroni[psycopg2-binary,etcd]=={OLD}"
    machine.shell("command -v pipx || { apt-get -q update && apt-get -qy install --no-install-recommends pipx; }")
    machine.run("env", *variables, "pipx", "install", wanted, user="postgres")


def test_enforcing(enforcing: Machine, collections: Path, tmp_path: Path, figures: t.Callable[..., None]) -> None:
    """The life of an installation under Debian's policy."""
    machine = enforcing
    role = functools.partial(apply_role, machine, collections, tmp_path)
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

    elsewhere = "/opt/patroni/bin"
    assert "changed=1 " in role(patroni_version=OLD, patroni_bin_dir=elsewhere)
    assert "changed=0 " in role(patroni_version=OLD, patroni_bin_dir=elsewhere)
    assert start(machine).state == "active"
    assert f"{elsewhere}/patroni" in machine.run("systemctl", "show", "--property=ExecStart", "patroni").stdout
    assert "changed=1 " in role(patroni_version=OLD)
    machine.run("systemctl", "stop", "patroni")

    machine.shell(f"restorecon -RF {machine.home}")
    assert label(machine) == LABEL_OF_THE_HOME
    ordinary = role(patroni_version=OLD)
    assert "changed=0 " in ordinary
    assert "WARNING" not in ordinary
    # As the kernel told the module, systemd may execute that as well.
    assert start(machine).state == "active"
    machine.run("systemctl", "stop", "patroni")

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


def test_stricter_policy(enforcing: Machine, collections: Path, tmp_path: Path) -> None:
    """Without the label the service cannot start; an installation sets it, and an ordinary run repairs it."""
    machine = enforcing
    role = functools.partial(apply_role, machine, collections, tmp_path)
    machine.install(state="absent")
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
    assert "changed=1 " in role(patroni_state="absent")
    assert "changed=0 " in role(patroni_state="absent")
    assert usable_version(machine) is None
    assert unit_text(machine) is None
    assert all(LABEL_OF_THE_HOME in line for line in own(denials(machine)))


@pytest.mark.thorough
@pytest.mark.parametrize("policy", ["Debian's", "stricter"])
def test_adopted(enforcing: Machine, policy: str) -> None:
    """What pipx made without the module gets the label where it needs it."""
    machine = enforcing
    needed = policy == "stricter"
    with stricter_policy(machine) if needed else contextlib.nullcontext():
        assert not machine.install(state="absent").get("failed")
        install_by_hand(machine)
        assert label(machine) == LABEL_OF_THE_HOME
        adopted = machine.install(version=OLD)
        configure(machine)

        assert "build_environment" not in actions(adopted)
        assert ("set_label" in actions(adopted)) == needed
        assert label(machine) == ("bin_t" if needed else LABEL_OF_THE_HOME)
        assert start(machine).state == "active"
        assert machine.install(version=OLD)["changed"] is False
        machine.run("systemctl", "stop", "patroni")


@pytest.mark.thorough
def test_next_debian(collections: Path, tmp_path: Path, figures: t.Callable[..., None]) -> None:
    """Debian testing: a newer Python, pipx and systemd, and cgroup v2 alone."""
    with Machine(built("testing"), selinux=False) as machine:
        role = functools.partial(apply_role, machine, collections, tmp_path)
        assert "changed=1 " in role(patroni_version=OLD)
        assert "changed=0 " in role(patroni_version=OLD)
        assert "changed=1 " in role(patroni_version=NEW)
        machine.run("systemd-analyze", "verify", "--man=no", UNIT)
        configure(machine)
        assert start(machine).state == "active"
        machine.run("systemctl", "stop", "patroni")
        assert "changed=1 " in role(patroni_state="absent")
        python, systemd, cgroup = machine.shell(
            "python3 -V; systemctl --version | head -n 1; stat --file-system --format %T /sys/fs/cgroup"
        ).splitlines()
        assert cgroup == "cgroup2fs"
        figures("Debian testing", python=python, systemd=systemd, boot=f"{machine.boots[0]:.0f} s")
