# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has been measured: samples by case, candidate and unit, taken in turns."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass, field

Candidate = t.Callable[[], "dict[str, float]"]


@dataclass
class Results:
    """Samples as they come in, and what else a page tells of the run.

    Attributes:
        samples: by case and candidate and quantity, in the order in which they were taken.
        profile: by subject, what took the time: rows of a name, when it began and how long it took, in seconds.
        payload: by part of what Ansible sends, its compressed bytes, and those of its code alone.
    """

    samples: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)
    profile: dict[str, list[list[t.Any]]] = field(default_factory=dict)
    payload: dict[str, list[int]] = field(default_factory=dict)

    def add(self, case: str, candidate: str, quantities: t.Mapping[str, float]) -> None:
        for quantity, value in quantities.items():
            self.samples.setdefault(case, {}).setdefault(candidate, {}).setdefault(quantity, []).append(value)


def in_turns(results: Results, case: str, candidates: t.Mapping[str, Candidate], rounds: int) -> None:
    """Measure candidates A, B, C, A, B, C, ..., so that what else the machine does meets them all alike."""
    for number in range(1, rounds + 1):
        for name, candidate in candidates.items():
            started = time.monotonic()
            quantities = candidate()
            results.add(case, name, quantities)
            shown = "  ".join(f"{quantity} {value:.2f}" for quantity, value in quantities.items())
            spent = time.monotonic() - started
            print(f"{case}  {number}/{rounds}  {name}: {shown}  (took {spent:.1f} s)", flush=True)
