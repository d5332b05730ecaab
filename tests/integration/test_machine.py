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
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
from lab import CONFIGURATION, ROLE, UNIT, actions, driver, miss, steps
from machines import TOOLS, Image, Machine
from test_faults import FULL, NEW, OLD, SEED, UNREACHABLE, Sweep, debris, put_at_start

pytestmark = [pytest.mark.machine]

# Under Debian's policy systemd may execute this one; under the stricter one it may not.
LABEL_OF_THE_HOME = "postgresql_db_t"
# ext4 writes the data of new files up to half a minute after they were closed.
LONGEST_WAIT = 60.0
# With pipx and its shared libraries there, which take longer than all the rest.
INSTALLATION = Sweep("installation", {"version": OLD}, ({"version": OLD}, {"state": "absent"}))
UPGRADE = Sweep("upgrade", {"version": NEW, "keep": 1}, ({"version": OLD},))
RETURN = Sweep(
    "return", {"version": NEW, "keep": 1, **UNREACHABLE}, ({"version": NEW, "keep": 1}, {"version": OLD, "keep": 1})
)
NEW_UNIT = Sweep("unit", {"version": NEW, "config_file": "other.yaml"}, ({"version": NEW, "config_file": "one.yaml"},))
REMOVAL = Sweep("removal", {"state": "absent"}, ({"version": NEW},))
# When the power is cut: some time after a run, at a boundary of the driver, or at any moment of a run.
Moment = t.Literal["after", "boundary", "during"]
# In an order in which each begins with what the one before it has left.
SHORT: tuple[tuple[Sweep, Moment], ...] = (
    (UPGRADE, "after"),
    (RETURN, "boundary"),
    (NEW_UNIT, "during"),
    (REMOVAL, "after"),
)
CHANGES = (INSTALLATION, UPGRADE, RETURN, NEW_UNIT, REMOVAL)


@dataclass(frozen=True)
class Storage:
    """How a disk keeps what is written, and how often each change is cut off from it.

    Attributes:
        cache: QEMU's cache mode of the disk.
        mount: the mode of ext4 for the data of files.
    """

    cache: str
    mount: str
    cuts: tuple[Moment, ...]

    def __str__(self) -> str:
        return f"{self.cache} {self.mount}"


STORAGES = (
    Storage("writeback", "data=ordered", ("after", "after", "boundary", "boundary", "during")),
    Storage("none", "data=ordered", ("after", "during")),
    # ext4 then writes a file's name without waiting for its contents.
    Storage("writeback", "data=writeback", ("after", "during")),
)


def built(suite: str) -> Image:
    """The disk of a machine, if QEMU and what builds the disk are installed."""
    missing = sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})
    if missing:
        miss(f"a virtual machine needs the packages {', '.join(missing)}")
    if os.geteuid() != 0:
        miss("building the disk of a virtual machine needs root")
    return Image.build(suite)


@pytest.fixture(scope="module")
def image() -> Image:
    return built("bookworm")


@pytest.fixture(scope="module")
def enforcing(image: Image, collections: Path) -> t.Iterator[Machine]:
    """A machine that enforces SELinux, with the module's code laid out for the driver."""
    with Machine(image) as machine:
        machine.lay_out(collections)
        yield machine


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


@dataclass
class Outcome:
    """What was found after the boot that followed a cut, and after the two runs that followed the boot.

    Attributes:
        converged: the first run reached the desired state, and the second changed nothing; if the power was cut after
            the end of a run, the first one changed nothing either.
    """

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
    """Cuts the power of a machine during or after a change.

    Attributes:
        saved: whether the machine was saved before the change.
    """

    machine: Machine
    change: Sweep
    draw: random.Random
    saved: bool
    boundaries: int = 0
    seconds: float = 0.0

    def begin(self) -> None:
        """Put the machine into the state before the change."""
        if self.saved:
            self.machine.restore()
        else:
            put_at_start(self.machine, self.change)

    def cut(self, moment: Moment) -> str:
        """Make the change and cut the power, and say when."""
        if moment != "after" and not self.boundaries:
            began = time.monotonic()
            counted = self.machine.run(*driver(self.change.options, "--count")).stdout
            self.seconds = time.monotonic() - began
            self.boundaries = int(counted.split("boundaries ")[1])
            self.begin()
        return {"after": self._after, "boundary": self._boundary, "during": self._during}[moment]()

    def _after(self) -> str:
        result = self.machine.install(**self.change.options)
        assert not result.get("failed"), result
        assert result["changed"], result
        seconds = self.draw.choice((0.0, self.draw.uniform(0, 10), self.draw.uniform(0, LONGEST_WAIT)))
        time.sleep(seconds)
        self.machine.cut()
        return f"{seconds:.1f} s after its end"

    def _boundary(self) -> str:
        number = self.draw.randint(1, self.boundaries)
        running = self.machine.start(*driver(self.change.options, "--pause-at", str(number)))
        assert running.stdout is not None
        for line in running.stdout:
            if line.startswith("paused"):
                break
        self.machine.cut()
        running.wait()
        return f"at boundary {number} of {self.boundaries}"

    def _during(self) -> str:
        seconds = self.draw.uniform(0, self.seconds)
        running = self.machine.start(*driver(self.change.options))
        time.sleep(seconds)
        self.machine.cut()
        running.wait()
        return f"{seconds:.1f} s after its begin, of {self.seconds:.1f}"


def outcome_of(power: Power, moment: Moment) -> Outcome:
    """Cut the power, boot, look, and run twice; an emptied Patroni is usable only where there may be none."""
    machine, change = power.machine, power.change
    wanted = change.options.get("version")
    power.begin()
    former, unit = usable_version(machine), unit_text(machine)
    told = power.cut(moment)

    machine.boot()
    version, found = usable_version(machine), unit_text(machine)
    result = machine.install(**change.options)
    again = machine.install(**change.options)
    outcome = Outcome(
        usable=version in ({wanted} if moment == "after" else {former, wanted}),
        unit_whole=found in {unit, unit_text(machine)},
        converged=usable_version(machine) == wanted
        and not result.get("failed")
        and not (moment == "after" and result.get("changed"))
        and again.get("changed") is False,
        debris=debris(machine, change),
    )
    done = steps(result) if "steps" in result else result.get("msg")
    print(f"{change.name}, cut {told}: {version}, {done}, {outcome}", flush=True)
    return outcome


def assert_survived(
    figures: t.Callable[..., None], storage: str, change: Sweep, outcomes: dict[Moment, list[Outcome]]
) -> None:
    found = [outcome for several in outcomes.values() for outcome in several]
    figures(
        f"power cuts (seed {SEED})",
        disk=storage,
        change=change.name,
        **{moment: len(outcomes.get(moment, ())) for moment in t.get_args(Moment)},
        usable=sum(outcome.usable for outcome in found),
        unit_whole=sum(outcome.unit_whole for outcome in found),
        converged=sum(outcome.converged for outcome in found),
        debris=sum(len(outcome.debris) for outcome in found),
    )
    assert all(outcome.usable and outcome.unit_whole and outcome.converged for outcome in found), found
    assert not any(outcome.debris for outcome in found), found


@pytest.mark.parametrize(("change", "moment"), SHORT, ids=[f"{change.name}-{moment}" for change, moment in SHORT])
def test_power_loss(enforcing: Machine, change: Sweep, moment: Moment, figures: t.Callable[..., None]) -> None:
    """Wherever a Patroni worked before, one works after the boot, and one run reaches what the lost one was to."""
    draw = random.Random(f"{SEED} {change.name}")  # noqa: S311 - repeatable is what is wanted
    outcome = outcome_of(Power(enforcing, change, draw, saved=False), moment)
    assert_survived(figures, str(STORAGES[0]), change, {moment: [outcome]})


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
    # What the other tests did before.
    assert own(denials(machine)) == []
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


@pytest.fixture(scope="module", params=STORAGES, ids=str)
def stored(image: Image, collections: Path, request: pytest.FixtureRequest) -> t.Iterator[tuple[Machine, Storage]]:
    """A machine with the module's code, on a disk of each kind."""
    storage: Storage = request.param
    with Machine(image, cache=storage.cache, mount=storage.mount, selinux=False) as machine:
        mode = storage.mount.partition("=")[2]
        assert f"with {mode} data mode" in machine.run("journalctl", "--dmesg").stdout
        machine.lay_out(collections)
        yield machine, storage


@pytest.mark.skipif(not FULL, reason="PGEDGE_FAULTS=full makes more cuts")
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_power_losses(stored: tuple[Machine, Storage], change: Sweep, figures: t.Callable[..., None]) -> None:
    machine, storage = stored
    draw = random.Random(f"{SEED} {storage} {change.name}")  # noqa: S311 - repeatable is what is wanted
    put_at_start(machine, change)
    machine.save()
    power = Power(machine, change, draw, saved=True)
    outcomes: dict[Moment, list[Outcome]] = {}
    for moment in storage.cuts:
        outcomes.setdefault(moment, []).append(outcome_of(power, moment))
    assert_survived(figures, str(storage), change, outcomes)


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
