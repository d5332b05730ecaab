# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw the picture of a benchmark; as a command, from its JSON file: plot.py bench.json bench.png."""

from __future__ import annotations

import json
import statistics
import sys
import typing as t
from pathlib import Path

import matplotlib as mpl
import report

# Needs no screen.
mpl.use("Agg")
from matplotlib import pyplot as plt

Samples = t.Mapping[str, t.Any]

_BLUE, _GREY, _ORANGE = "#1f6fb2", "#6b7078", "#c77f3a"
# Each panel of bars: its title, and its bars from top to bottom: case, candidate, name and color.
_PANELS = {
    "Run with nothing to do": (
        ("rerun", "ping", "ansible.builtin.ping", _GREY),
        ("rerun", "module", "module", "#7fb4dc"),
        ("rerun", "role", "role", _BLUE),
        ("rerun", "tasks", "the same work\nas tasks", _ORANGE),
        ("rerun", "tasks, skipping", "tasks that only check\nthat Patroni exists", _ORANGE),
    ),
    "First installation": (
        ("installation, local index", "role", "role,\nlocal index", _BLUE),
        ("installation, local index", "bare commands", "apt-get and pipx,\nlocal index", _ORANGE),
        ("installation, real index", "role", "role,\npublic index", _BLUE),
        ("installation, real index", "bare commands", "apt-get and pipx,\npublic index", _ORANGE),
    ),
    "Upgrade": (
        ("upgrade", "role", "role", _BLUE),
        ("upgrade", "bare commands", "pipx install\n--force", _ORANGE),
    ),
}
_FORKS = (10, 50)
# The lines of the fleet; the role in check mode takes as long as the role.
_LINES = {
    "ping": ("ansible.builtin.ping", _GREY),
    "module": ("module", "#7fb4dc"),
    "role, unvalidated": ("role without the task that\nvalidates its variables", "#4390c9"),
    "role": ("role", _BLUE),
}


def draw(data: Samples, path: Path) -> None:
    """Draw bars of the comparisons (medians, with every sample as a dot), and the fleet as lines."""
    samples = data["samples"]
    panels = {title: [row for row in bars if row[0] in samples] for title, bars in _PANELS.items()}
    panels = {title: bars for title, bars in panels.items() if bars}
    fleets = {forks: _fleet(samples, forks) for forks in _FORKS}
    fleets = {forks: fleet for forks, fleet in fleets.items() if fleet}
    rows: list[dict[t.Any, t.Any]] = [row for row in (panels, fleets) if row]
    # What one run costs is a table only.
    if not rows:
        return
    figure = plt.figure(figsize=(13.5, 3.9 * len(rows)), layout="constrained")
    places = figure.subfigures(len(rows), 1, squeeze=False, hspace=0.04)[:, 0]
    for place, row in zip(places, rows, strict=True):
        axes = place.subplots(1, len(row), squeeze=False, sharey=row is fleets)[0]
        for axis, (key, value) in zip(axes, row.items(), strict=True):
            axis.spines[["top", "right"]].set_visible(False)
            if row is fleets:
                _lines(axis, key, value)
            else:
                _bars(axis, key, value, samples)
        if row is fleets:
            # After the last line, since the panels share the axis.
            axes[0].set_ylim(bottom=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    # No date and no version in the file: the same figures give the same bytes.
    figure.savefig(path, dpi=110, metadata={"Software": None, "Source": report.digest(data)})
    plt.close(figure)


def _bars(axis: t.Any, title: str, bars: t.Sequence[tuple[str, str, str, str]], samples: Samples) -> None:
    bars = [row for row in bars if row[1] in samples[row[0]]]
    for place, (case, candidate, _name, color) in enumerate(bars):
        taken = samples[case][candidate]["seconds"]
        median = statistics.median(taken)
        axis.barh(place, median, color=color)
        axis.plot(taken, [place] * len(taken), "k.", markersize=4, alpha=0.6)
        axis.annotate(f"{median:.2f} s", (max(taken), place), (5, 0), textcoords="offset points", va="center")
    axis.set_yticks(range(len(bars)), [name for _case, _candidate, name, _color in bars])
    axis.invert_yaxis()
    axis.margins(x=0.2)
    axis.set_xlabel("seconds (bars: median, dots: each round)")
    axis.set_title(title)


def _fleet(samples: Samples, forks: int) -> dict[int, t.Any]:
    """The candidates by the number of hosts."""
    ending = f", forks {forks}"
    return {
        int(case.removesuffix(ending).removeprefix("fleet of ")): candidates
        for case, candidates in samples.items()
        if case.endswith(ending)
    }


def _lines(axis: t.Any, forks: int, fleet: t.Mapping[int, t.Any]) -> None:
    ends = {}
    for candidate, (name, color) in _LINES.items():
        if all(candidate in candidates for candidates in fleet.values()):
            medians = [statistics.median(candidates[candidate]["cpu_seconds"]) for candidates in fleet.values()]
            axis.plot(list(fleet), medians, marker="o", markersize=3, color=color)
            ends[name] = (medians[-1], color)
    for name, (end, color) in ends.items():
        axis.annotate(name, (max(fleet), end), (7, 0), textcoords="offset points", va="center", color=color)
    axis.set_xlabel("hosts in the inventory")
    axis.set_ylabel("CPU time of the controller in seconds")
    axis.set_title(f"Run with nothing to do, {forks} hosts at a time ({forks} forks)")


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text("utf-8")), Path(sys.argv[2]))
