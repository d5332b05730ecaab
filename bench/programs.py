# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading what strace saw of the programs that a run started: how many, which, and how long each took."""

from __future__ import annotations

import re
import typing as t
from pathlib import PurePosixPath

STRACE = "strace -f -q --seccomp-bpf -ttt -s 200 -z -e trace=execve -e signal=none -o /run/trace"
_STARTED = re.compile(r"(\d+) +([\d.]+) execve\(\"[^\"]*\", \[(.*?)\](?:\.\.\.)?, ")
_ENDED = re.compile(r"(\d+) +([\d.]+) \+\+\+ ")
_SHOWN = 5


class Program(t.NamedTuple):
    """A program that ran.

    Attributes:
        words: the first words of its command line, directories left out.
        begin, seconds: when it began after the first, and how long it ran.
    """

    words: str
    begin: float
    seconds: float


def read_programs(trace: str) -> list[Program]:
    """Read a trace, in the order in which the programs began; one that executed another counts separately."""
    running: dict[str, tuple[str, float]] = {}
    programs: list[Program] = []
    first: float | None = None

    def end(pid: str, at: float) -> None:
        if pid in running:
            words, began = running.pop(pid)
            programs.append(Program(words, began - (first or 0.0), at - began))

    for line in trace.splitlines():
        started, ended = _STARTED.match(line), _ENDED.match(line)
        if started:
            pid, at = started.group(1), float(started.group(2))
            first = at if first is None else first
            end(pid, at)
            running[pid] = (_shortened(re.findall(r'"((?:[^"\\]|\\.)*)"', started.group(3))), at)
        elif ended:
            end(ended.group(1), float(ended.group(2)))
    return sorted(programs, key=lambda program: program.begin)


def _shortened(words: t.Sequence[str]) -> str:
    """Name a command by its first words, without directories."""
    plain = (PurePosixPath(word).name if word.startswith("/") else word for word in words)
    short = [word if len(word) <= 40 and "\\n" not in word else "..." for word in plain]
    return " ".join(short[:_SHOWN])
