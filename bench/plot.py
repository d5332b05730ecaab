# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of what was measured."""

from __future__ import annotations

import re
import statistics
import typing as t
from pathlib import Path

import matplotlib as mpl

# Needs no screen.
mpl.use("Agg")
from matplotlib import pyplot as plt

_BARS = ("rerun", "installation, local index", "installation, real index", "upgrade", "savings")
_COLOURS = {
    "ping": "#8a8f98",
    "module": "#9cc9e8",
    "role, unvalidated": "#5fa3d6",
    "role": "#1f6fb2",
    "role, check mode": "#123f66",
}
_OTHERS = "#c77f3a"
_COLUMNS = 3


def draw(data: t.Mapping[str, t.Any], path: Path) -> None:
    """Draw bars of the comparisons (medians, with every sample as a dot), and the fleet as lines."""
    samples = data["samples"]
    cases = [case for case in _BARS if case in samples]
    fleets = any(case.startswith("fleet") for case in samples)
    # What one run costs is a table only.
    if not cases and not fleets:
        return
    places = len(cases) + fleets
    rows = -(-places // _COLUMNS)
    figure, grid = plt.subplots(rows, _COLUMNS, figsize=(4.5 * _COLUMNS, 4 * rows), squeeze=False)
    axes = list(grid.flat)
    for axis in axes[places:]:
        axis.set_axis_off()
    for axis, case in zip(axes, cases, strict=False):
        _bars(axis, case, samples[case])
    if fleets:
        _lines(axes[places - 1], samples)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    # No date and no version in the file: the same figures give the same bytes.
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _bars(axis: t.Any, case: str, candidates: t.Mapping[str, t.Any]) -> None:
    for place, (name, quantities) in enumerate(candidates.items()):
        taken = quantities.get("seconds") or quantities["on_host_seconds"]
        axis.bar(place, statistics.median(taken), color=_COLOURS.get(name, _OTHERS))
        axis.plot([place] * len(taken), taken, "k.", markersize=4, alpha=0.6)
    axis.set_xticks(range(len(candidates)), list(candidates), rotation=25, ha="right")
    axis.set_ylabel("seconds, median and every round")
    axis.set_title(case)


def _lines(axis: t.Any, samples: t.Mapping[str, t.Any]) -> None:
    for forks, style in ((10, "-"), (50, "--")):
        fleets = {case: value for case, value in samples.items() if case.endswith(f"forks {forks}")}
        sizes = [int(re.findall(r"\d+", case)[0]) for case in fleets]
        for name in (name for name in _COLOURS if all(name in value for value in fleets.values()) and fleets):
            taken = [statistics.median(value[name]["cpu_seconds"]) for value in fleets.values()]
            axis.plot(
                sizes, taken, style, marker="o", markersize=3, color=_COLOURS[name], label=f"{name}, {forks} forks"
            )
    axis.set_xlabel("hosts of the inventory")
    axis.set_ylabel("controller's CPU, seconds")
    axis.set_title("fleet, re-run")
    axis.legend(fontsize=7)
