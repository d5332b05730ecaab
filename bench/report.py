# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the samples say: figures with their aims, and tables. Pure functions of what was kept as JSON."""

from __future__ import annotations

import hashlib
import json
import operator
import re
import statistics
import typing as t

BEGIN, END = "<!-- made by make bench: {} -->", "<!-- end: {} -->"
_LINEAR = 1.10
_SHOWN_SECONDS = 0.25
_EMPTY_BYTES = 10
_UNITS = {
    "seconds": ("elapsed", "s"),
    "on_host_seconds": ("elapsed on the host", "s"),
    "on_host_cpu_seconds": ("host's CPU", "s"),
    "cpu_seconds": ("controller's CPU", "s"),
    "peak_mib": ("controller's peak memory", "MiB"),
    "controller_cpu_seconds": ("controller's CPU", "s"),
    "controller_peak_mib": ("controller's peak memory", "MiB"),
    "host_cpu_seconds": ("host's CPU", "s"),
    "host_peak_mib": ("host's peak memory", "MiB"),
    "payload_bytes": ("payload", "bytes"),
    "programs": ("programs started on the host", ""),
}


class Figure(t.NamedTuple):
    """A ratio of medians.

    Attributes:
        low, high: the least and the greatest ratio of a round.
        aim: "<=" or ">=" and the bound; None where none was set.
    """

    what: str
    value: float
    low: float
    high: float
    aim: t.Optional[t.Tuple[str, float]]  # noqa: UP006, UP045 - read on the Pythons of the unit tests

    @property
    def reached(self) -> bool | None:
        if self.aim is None:
            return None
        sign, bound = self.aim
        return self.value <= bound if sign == "<=" else self.value >= bound


def figures(data: t.Mapping[str, t.Any]) -> list[Figure]:
    """Compute every ratio that the samples allow, in the order of the comparisons."""
    samples = data["samples"]
    found: list[Figure | None] = [
        _ratio(samples, "rerun", "seconds", "role", "ping", ("<=", 1.10)),
        _ratio(samples, "rerun", "seconds", "role, unvalidated", "ping"),
        _ratio(samples, "rerun", "seconds", "module", "ping"),
        _ratio(samples, "rerun", "seconds", "tasks", "role", (">=", 2.5)),
        _ratio(samples, "rerun", "seconds", "tasks, skipping", "role"),
    ]
    for case in ("installation, local index", "installation, real index"):
        found.append(_ratio(samples, case, "seconds", "role", "bare commands", ("<=", 1.03)))
        found.append(_ratio(samples, case, "on_host_seconds", "role", "bare commands", ("<=", 1.0)))
        found.append(_ratio(samples, case, "on_host_cpu_seconds", "role", "bare commands"))
    for quantity in ("seconds", "on_host_seconds", "on_host_cpu_seconds"):
        found.append(_ratio(samples, "upgrade", quantity, "role", "bare commands"))
    found.append(_ratio(samples, "cost", "payload_bytes", "role", "ping", ("<=", 1.25)))
    for quantity in ("programs", "host_cpu_seconds", "host_peak_mib", "controller_cpu_seconds", "controller_peak_mib"):
        found.append(_ratio(samples, "cost", quantity, "role", "ping"))
    found.append(_ratio(samples, "cost", "controller_cpu_seconds", "module", "ping"))
    aims_of = {"role": ("<=", 1.15), "role, check mode": ("<=", 1.15), "role, unvalidated": None, "module": None}
    for case in _largest_fleets(samples):
        for candidate, aim in aims_of.items():
            for quantity in ("cpu_seconds", "seconds"):
                found.append(_ratio(samples, case, quantity, candidate, "ping", aim))
    for forks in (10, 50):
        found += [_growth(samples, forks, "role", ("<=", _LINEAR)), _growth(samples, forks, "ping")]
    return [figure for figure in found if figure is not None]


def _largest_fleets(samples: t.Mapping[str, t.Any]) -> list[str]:
    fleets = [case for case in samples if case.startswith("fleet of ")]
    largest = max(map(_size, fleets), default=0)
    return [case for case in fleets if _size(case) == largest]


def _size(case: str) -> int:
    return int(re.findall(r"\d+", case)[0])


def _ratio(
    samples: t.Mapping[str, t.Any],
    case: str,
    quantity: str,
    above: str,
    below: str,
    aim: tuple[str, float] | None = None,
) -> Figure | None:
    try:
        tops, bottoms = (samples[case][name][quantity] for name in (above, below))
    except KeyError:
        return None
    rounds = [top / bottom for top, bottom in zip(tops, bottoms)]  # noqa: B905 - not on the oldest Python
    what = f"{case}: {above} / {below}, {_UNITS[quantity][0]}"
    return Figure(what, statistics.median(tops) / statistics.median(bottoms), min(rounds), max(rounds), aim)


def _growth(
    samples: t.Mapping[str, t.Any], forks: int, candidate: str, aim: tuple[str, float] | None = None
) -> Figure | None:
    """What one more host costs the controller among many hosts, against among few; 1 is linear."""
    try:
        costs = {size: samples[f"fleet of {size}, forks {forks}"][candidate]["cpu_seconds"] for size in (1, 50, 100)}
    except KeyError:
        return None

    def marginal(of: t.Callable[[t.Sequence[float]], float]) -> float:
        few, many = ((of(costs[b]) - of(costs[a])) / (b - a) for a, b in ((1, 50), (50, 100)))
        return many / few

    rounds = [marginal(operator.itemgetter(number)) for number in range(len(costs[1]))]
    what = f"fleet, forks {forks}: {candidate}, controller's CPU of a host beyond 50 / up to 50"
    return Figure(what, marginal(statistics.median), min(rounds), max(rounds), aim)


Rows = t.List[t.List[str]]  # noqa: UP006 - read on the Pythons of the unit tests


def aims(data: t.Mapping[str, t.Any]) -> Rows:
    """The ratios as a table, its header first."""
    rows = [["Ratio of medians", "Reached", "Rounds", "Aim", ""]]
    for figure in figures(data):
        verdict = {None: "", True: "reached", False: "**missed**"}[figure.reached]
        aim = " ".join([_SIGNS[figure.aim[0]], f"{figure.aim[1]:.2f}"]) if figure.aim else ""
        spread = f"{figure.low:.2f} to {figure.high:.2f}"
        rows.append([figure.what, f"{figure.value:.2f}", spread, aim, verdict])
    return rows


_SIGNS = {"<=": "at most", ">=": "at least"}

# What operators ask for: a name, the comparison, the quantity, what the role is compared with, and the name of that.
_ASKED = (
    ("Run with nothing to do, elapsed", "rerun", "seconds", "ping", "ping"),
    ("Run with nothing to do, elapsed", "rerun", "seconds", "tasks", "the same work as tasks"),
    ("Run with nothing to do, CPU of the host", "cost", "host_cpu_seconds", "ping", "ping"),
    ("Run with nothing to do, peak memory of the host", "cost", "host_peak_mib", "ping", "ping"),
    ("Run with nothing to do, data sent to a host", "cost", "payload_bytes", "ping", "ping"),
    ("First installation from a local index, elapsed", "installation, local index", "seconds", "bare commands", ""),
    ("First installation from the public index, elapsed", "installation, real index", "seconds", "bare commands", ""),
    ("Upgrade, elapsed", "upgrade", "seconds", "bare commands", "`pipx install --force`"),
    ("100 hosts with nothing to do, 10 forks, elapsed", "fleet of 100, forks 10", "seconds", "ping", "ping"),
    ("the same, CPU of the controller", "fleet of 100, forks 10", "cpu_seconds", "ping", "ping"),
    ("100 hosts with nothing to do, 50 forks, elapsed", "fleet of 100, forks 50", "seconds", "ping", "ping"),
    ("the same, CPU of the controller", "fleet of 100, forks 50", "cpu_seconds", "ping", "ping"),
)
_BARE = "`apt-get install pipx`, `pipx install`"


def summary(data: t.Mapping[str, t.Any]) -> Rows:
    """What operators ask for, as a table, its header first; the spread is of the ratios of single rounds."""
    samples = data["samples"]
    aimed = {figure.what: figure for figure in figures(data)}
    rows = [["Measured", "Role", "Compared with", "", "Ratio", "Rounds", "Target"]]
    for name, case, quantity, other, other_name in _ASKED:
        figure = _ratio(samples, case, quantity, "role", other)
        if figure is None:
            continue
        figure = aimed.get(figure.what, figure)
        unit = _UNITS[quantity][1]
        values = [f"{_number(statistics.median(samples[case][of][quantity]), unit)} {unit}" for of in ("role", other)]
        target = ""
        if figure.aim:
            target = f"{_SIGNS[figure.aim[0]]} {figure.aim[1]:.2f}, {'reached' if figure.reached else '**missed**'}"
        spread = f"{figure.low:.2f} to {figure.high:.2f}"
        rows.append([name, values[0], other_name or _BARE, values[1], f"{figure.value:.2f}", spread, target])
    return rows


def savings(data: t.Mapping[str, t.Any]) -> Rows:
    """How long variants of the installation take on a host, as a table, its header first."""
    taken = {name: of["on_host_seconds"] for name, of in data["samples"].get("savings", {}).items()}
    shown = [[name, *(f"{of(times):.2f}" for of in (statistics.median, min, max))] for name, times in taken.items()]
    return [["Variant", "Median in seconds", "Least", "Greatest"], *shown]


def medians(data: t.Mapping[str, t.Any]) -> Rows:
    """All that was measured, as a table, its header first."""
    rows = [["Comparison", "Of", "Quantity", "Median", "Least to greatest", "Rounds"]]
    for case, candidates in data["samples"].items():
        for candidate, quantities in candidates.items():
            for quantity, taken in quantities.items():
                name, unit = _UNITS[quantity]
                shown = [_number(value, unit) for value in (statistics.median(taken), min(taken), max(taken))]
                median, spread = f"{shown[0]} {unit}".strip(), f"{shown[1]} to {shown[2]}"
                rows.append([case, candidate, name, median, spread, str(len(taken))])
    return rows


def _number(value: float, unit: str) -> str:
    return f"{value:.2f}" if unit == "s" else f"{value:.0f}"


def profile(data: t.Mapping[str, t.Any]) -> Rows:
    """Where the time goes, as a table, its header first; programs that take next to nothing are left out."""
    rows = [["Run", "What", "From", "Seconds"]]
    for subject, entries in data["profile"].items():
        for words, begin, seconds in entries:
            if seconds >= _SHOWN_SECONDS or subject.startswith("re-run"):
                rows.append([subject, f"`{words}`", f"{begin:.1f} s", f"{seconds:.2f}"])
    return rows


def payload(data: t.Mapping[str, t.Any]) -> Rows:
    """What the payload consists of, as a table, its header first; files of no content are left out."""
    parts = {name: sizes for name, sizes in data["payload"].items() if sizes[0] > _EMPTY_BYTES}
    own = [sizes for name, sizes in parts.items() if name != "ansible-core"]
    rows = [["Part", "Bytes, compressed", "Its code alone"]]
    rows += [[f"`{name}`", *map(str, sizes)] for name, sizes in parts.items()]
    sums = [str(sum(sizes[column] for sizes in own)) for column in (0, 1)]
    return [*rows, ["the collection's", *sums]] if own else rows


def machine(data: t.Mapping[str, t.Any]) -> Rows:
    """What it was measured on, as a table, its header first."""
    return [["Fact", "Value"], *([name, str(value)] for name, value in data["machine"].items())]


TABLES: dict[str, t.Callable[[t.Mapping[str, t.Any]], Rows]] = {
    "summary": summary,
    "savings": savings,
    "aims": aims,
    "medians": medians,
    "profile": profile,
    "payload": payload,
    "machine": machine,
}

# The others are printed by `make bench`.
PUBLISHED = ("summary", "savings", "machine")


def markdown(rows: Rows) -> str:
    header, *body = rows
    lines = [header, ["---"] * len(header), *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


PICTURE = """\
![Bars compare a run with nothing to do with a ping and with the same work as tasks, a first installation with apt-get
and pipx, and an upgrade with pipx install --force. Lines show the CPU time of the controller by the number of hosts,
for a ping, the module and the role.](images/bench.png)
"""


def digest(data: t.Mapping[str, t.Any]) -> str:
    """Identify the samples, so that a picture can say which ones it shows."""
    return hashlib.sha256(json.dumps(data["samples"], sort_keys=True).encode()).hexdigest()


def fill_in(page: str, data: t.Mapping[str, t.Any]) -> str:
    """Put the picture and the tables into a page, between their marks.

    Raises:
        ValueError: the page has no place for one of them.
    """
    parts = {"picture": PICTURE, **{name: markdown(TABLES[name](data)) for name in PUBLISHED}}
    for name, text in parts.items():
        begin, end = BEGIN.format(name), END.format(name)
        before, mark, rest = page.partition(f"{begin}\n")
        _old, closing, after = rest.partition(end)
        if not mark or not closing:
            raise ValueError(f"the page lacks the marks {begin} and {end}")
        page = f"{before}{begin}\n\n{text}\n{end}{after}"
    return page
