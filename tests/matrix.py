# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The matrix of tests/matrix.toml: which of it can run on this machine, and what a run really did.

Usage: python tests/matrix.py table     print what the last runs did, as a table in Markdown
       python tests/matrix.py github    print it as outputs of a job of a GitHub workflow

Interpreters are looked for in the directories of PGEDGE_PYTHONS, on PATH, and among those of pyenv if it is on PATH. A
combination whose Python is not available is named in the output and in the table; PGEDGE_REQUIRE_PYTHONS=1 makes it a
failure. PGEDGE_CORES="2.16 2.21" runs the checks on these lines of ansible-core alone, and the table names the others.
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
import shutil
import subprocess
import sys
import tomllib
import typing as t
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
BUILD = CHECKOUT / ".build"
RECORDS = BUILD / "matrix"
PASSED = "passed"

# Debian's Python lacks ensurepip without python3-venv, and a shim of pyenv answers for no version but its own.
_PROBE = "import ensurepip, os, sys; print('%d.%d' % sys.version_info[:2], os.path.realpath(sys.executable))"


@dataclass(frozen=True)
class Core:
    """A line of ansible-core; the attributes are the columns of tests/matrix.toml."""

    line: str
    ansible: str
    controllers: tuple[str, ...]
    targets: tuple[str, ...]
    runs: tuple[str, ...]
    candidate: bool = False

    @property
    def requirements(self) -> Path:
        return CHECKOUT / "requirements" / f"core-{self.line}.txt"

    @property
    def controller(self) -> str | None:
        """The Python to run it on, of those available."""
        return next(iter(at_hand(self.controllers)), None)

    @property
    def version(self) -> str:
        """The release that is locked."""
        locked = self.requirements.read_text("utf-8").splitlines()
        return next(line.split()[0].partition("==")[2] for line in locked if line.startswith("ansible-core=="))


def read() -> list[Core]:
    table = tomllib.loads((CHECKOUT / "tests" / "matrix.toml").read_text("utf-8"))
    lists = ("controllers", "targets", "runs")
    return [Core(**{**row, **{name: tuple(row[name]) for name in lists}}) for row in table["core"]]


def chosen() -> list[Core]:
    """The lines that PGEDGE_CORES names, separated by spaces; without it, all of them."""
    cores = read()
    names = os.environ.get("PGEDGE_CORES", "").split() or [core.line for core in cores]
    if unknown := set(names) - {core.line for core in cores}:
        sys.exit(f"PGEDGE_CORES: tests/matrix.toml has no line {', '.join(sorted(unknown))}")
    return [core for core in cores if core.line in names]


@functools.cache
def find_python(version: str) -> Path | None:
    """Find an interpreter of a version, like "3.8", that can make virtual environments."""
    for folder in _folders():
        candidate = folder / f"python{version}"
        if not candidate.is_file():
            continue
        answer = subprocess.run([candidate, "-c", _PROBE], capture_output=True, text=True, check=False)
        found, _space, path = answer.stdout.strip().partition(" ")
        if answer.returncode == 0 and found == version:
            return Path(path)
    return None


def at_hand(versions: t.Iterable[str]) -> list[str]:
    return [version for version in versions if find_python(version)]


def missing(versions: t.Iterable[str]) -> list[str]:
    return [version for version in versions if not find_python(version)]


@functools.cache
def _folders() -> list[Path]:
    named = [os.environ.get("PGEDGE_PYTHONS", ""), os.environ["PATH"]]
    folders = [Path(folder) for names in named for folder in names.split(os.pathsep) if folder]
    if shutil.which("pyenv"):
        root = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=True).stdout.strip()
        folders += sorted(Path(root).glob("versions/*/bin"), reverse=True)
    return folders


def link_pythons(versions: t.Iterable[str]) -> Path:
    """Make a directory for PATH in which each available Python has the name that ansible-test looks for."""
    folder = BUILD / "pythons"
    folder.mkdir(parents=True, exist_ok=True)
    for version in at_hand(versions):
        link = folder / f"python{version}"
        link.unlink(missing_ok=True)
        link.symlink_to(t.cast(Path, find_python(version)))
    return folder


def make_environment(core: Core) -> Path:
    """Bring the virtual environment of a line of ansible-core up to date, and return its directory of executables."""
    assert core.controller is not None
    environment = BUILD / "core" / f"{core.line}-python{core.controller}"
    python = environment / "bin" / "python"
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert uv is not None, "uv is one of the development dependencies"
    environment.parent.mkdir(parents=True, exist_ok=True)
    # Two runs may want it at once.
    with environment.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not python.exists():
            found = t.cast(Path, find_python(core.controller))
            subprocess.run([uv, "venv", "--quiet", "--python", found, environment], check=True)
        sync: list[str | Path] = [uv, "pip", "sync", "--quiet", "--require-hashes"]
        sync += ["--python", python, core.requirements]
        subprocess.run(sync, check=True)
    return environment / "bin"


def record(check: str, core: Core, python: str, result: str) -> None:
    """Keep for the table what a check did with a Python of hosts: "passed", or in a few words why not."""
    RECORDS.mkdir(parents=True, exist_ok=True)
    row = {
        "check": check,
        "line": core.line,
        "version": core.version,
        "controller": core.controller or "",
        "python": python,
        "result": result,
    }
    (RECORDS / f"{check}-{core.line}-{python}.json").write_text(json.dumps(row), "utf-8")


def table() -> str:
    """Render what the last runs did."""
    rows = [json.loads(path.read_text("utf-8")) for path in sorted(RECORDS.glob("*.json"))]
    lines = ["| ansible-core | on Python | Check | Hosts' Pythons: passed | not passed |", "|---|---|---|---|---|"]
    for core in read():
        for check in sorted({row["check"] for row in rows if row["line"] == core.line}):
            of_check = [row for row in rows if (row["line"], row["check"]) == (core.line, check)]
            lines.append(_row(core, check, sorted(of_check, key=lambda row: number(row["python"]))))
        if not any(row["line"] == core.line for row in rows):
            lines.append(f"| {core.version} | | | | not run |")
    return "\n".join(lines)


def _row(core: Core, check: str, rows: list[dict[str, str]]) -> str:
    versions, controllers = (", ".join(sorted({row[name] for row in rows})) for name in ("version", "controller"))
    pythons: dict[str, str] = {}
    for row in rows:
        pythons[row["result"]] = ", ".join(filter(None, [pythons.get(row["result"]), row["python"]]))
    passed = pythons.pop(PASSED, "")
    others = "; ".join(f"{names}: {result}" for result, names in pythons.items())
    return f"| {versions} | {controllers} | {check} | {passed} | {others} |"


def number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def github() -> str:
    """Render outputs for a workflow: each line with the Pythons that it needs, and all of them."""
    cores = read()
    include = [{"core": core.line, "pythons": _lines({core.controllers[0], *core.targets})} for core in cores]
    everything = {python for core in cores for python in (*core.controllers, *core.targets)}
    return f"cores={json.dumps({'include': include})}\npythons={json.dumps(_lines(everything))}"


def _lines(versions: set[str]) -> str:
    return "\n".join(sorted(versions, key=number))


def main() -> None:
    commands = {"table": table, "github": github}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    print(commands[sys.argv[1]]())


if __name__ == "__main__":
    main()
