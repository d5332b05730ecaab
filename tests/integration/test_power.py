# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual machine of Debian 12 whose power is cut during and after changes.

By default a few cuts; PGEDGE_FAULTS=full makes more, and PGEDGE_SEED another draw of their moments.
"""

from __future__ import annotations

import random
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
from lab import driver, steps
from machines import Image, Machine, denials, own, unit_text, usable_version
from test_faults import FULL, NEW, OLD, SEED, UNREACHABLE, Sweep, debris, put_at_start

pytestmark = [pytest.mark.machine]

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
    assert own(denials(enforcing)) == []
    assert_survived(figures, str(STORAGES[0]), change, {moment: [outcome]})


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
