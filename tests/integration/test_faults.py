# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kill the module, at each boundary and at random moments; one ordinary run must put everything right.

By default a few kills, drawn with a seed; PGEDGE_FAULTS=full takes every boundary, and PGEDGE_SEED another draw.
"""

from __future__ import annotations

import os
import random
import time
import typing as t
from dataclasses import dataclass, field

import pytest
from lab import UNIT, Host, Result, driver, read_result

pytestmark = [pytest.mark.hosts]

OLD, NEW = "4.0.11", "4.1.5"
FULL = os.environ.get("PGEDGE_FAULTS") == "full"
SEED = int(os.environ.get("PGEDGE_SEED", "1"))
BOUNDARY_KILLS = 2
RANDOM_KILLS = 10 if FULL else 1
# What was kept is switched to without an index.
UNREACHABLE = {"index_url": "http://127.0.0.1:9/simple", "retries": 0}


@dataclass
class Sweep:
    """One change of state, and how it fares under kills; the runs of "start" put the host into the state before it."""

    name: str
    options: dict[str, t.Any]
    start: tuple[dict[str, t.Any], ...]
    kills: int = 0
    converged: int = 0
    usable: int = 0
    debris: list[str] = field(default_factory=list)


SWEEPS = (
    Sweep("installation", {"version": NEW}, ({"state": "absent"},)),
    Sweep("upgrade", {"version": NEW}, ({"version": OLD},)),
    Sweep(
        "return",
        {"version": NEW, "keep": 1, **UNREACHABLE},
        ({"version": NEW, "keep": 1}, {"version": OLD, "keep": 1}),
    ),
    Sweep("removal", {"state": "absent"}, ({"version": OLD},)),
)


def debris(host: Host, sweep: Sweep) -> list[str]:
    """Name what no finished run leaves behind."""
    absent = sweep.options.get("state") == "absent"
    found = host.shell(
        f"cd {host.pipx_home}; ls -d patroni/* venvs/* 2>/dev/null; ls -A {host.bin_dir} | grep -F .new; "
        f"ls -A $(dirname {UNIT}) | grep -F .new; pgrep -u postgres -a",
        check=False,
    ).splitlines()
    generations = [line for line in found if line.startswith("patroni/")]
    expected = [] if absent else ["venvs/patroni", *generations[: 1 + sweep.options.get("keep", 0)]]
    return [line for line in found if line not in expected]


def is_settled(host: Host, sweep: Sweep, result: Result) -> bool:
    """Whether an ordinary run reached the desired state, so that the next one finds nothing to do."""
    if not result or result.get("failed"):
        return False
    again = host.install(**sweep.options)
    if again["changed"] or again.get("failed"):
        return False
    if sweep.options.get("state") == "absent":
        return host.run("test", "-e", UNIT, check=False).returncode != 0
    return host.works() and host.version() == NEW


def put_at_start(host: Host, sweep: Sweep) -> None:
    for options in sweep.start:
        result = host.install(**options)
        assert not result.get("failed"), result


def moments(host: Host, sweep: Sweep, draw: random.Random) -> t.Iterator[list[str]]:
    """Yield the driver's arguments for each kill."""
    put_at_start(host, sweep)
    started = time.monotonic()
    counted = host.run(*driver(sweep.options, "--count")).stdout
    seconds = time.monotonic() - started
    boundaries = int(counted.split("boundaries ")[1])
    chosen = range(1, boundaries + 1)
    if not FULL:
        chosen = sorted(draw.sample(chosen, min(BOUNDARY_KILLS, boundaries)))
    for number in chosen:
        yield ["--kill-at", str(number)]
    for number in range(RANDOM_KILLS):
        moment = ["--kill-after", f"{draw.uniform(0, seconds):.2f}"]
        yield [*moment, "--tree"] if number % 2 else moment


@pytest.mark.parametrize(
    "sweep",
    [
        # Cut off on virtual machines as well.
        pytest.param(sweep, marks=pytest.mark.thorough if sweep.name in ("return", "removal") else ())
        for sweep in SWEEPS
    ],
    ids=lambda sweep: sweep.name,
)
def test_kills(hosts: dict[str, Host], sweep: Sweep, figures: t.Callable[..., None]) -> None:
    host = hosts["debian12"]
    draw = random.Random(f"{SEED} {sweep.name}")  # noqa: S311 - repeatable is what is wanted
    for arguments in moments(host, sweep, draw):
        put_at_start(host, sweep)
        host.run(*driver(sweep.options, *arguments), check=False)
        sweep.kills += 1
        sweep.usable += host.works()
        result = read_result(host.run(*driver(sweep.options), check=False).stdout)
        settled = is_settled(host, sweep, result)
        sweep.converged += settled
        left = debris(host, sweep)
        sweep.debris += left
        if left or not settled:
            print(sweep.name, arguments, left, result.get("msg"), result.get("steps"))
    figures(
        f"kills (seed {SEED})",
        change=sweep.name,
        kills=sweep.kills,
        converged=sweep.converged,
        usable_meanwhile=sweep.usable,
        debris=len(sweep.debris),
    )
    assert sweep.kills >= BOUNDARY_KILLS
    assert sweep.converged == sweep.kills
    assert sweep.debris == []
    if sweep.name in ("upgrade", "return"):
        assert sweep.usable == sweep.kills
