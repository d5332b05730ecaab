# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures the role against ping, tasks and bare commands, on hosts in containers that are reached over ssh.

Prints tables, and keeps them with a picture below .build/bench. Needs a Docker engine, and the collection built.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import shutil
import sys
import typing as t
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

import cases
import mirror
import profiles
import report
from commands import BARE_INSTALL, BARE_UPGRADE, NEW, OLD
from images import Images
from lab import BUILD, CHECKOUT, COLLECTIONS, BenchError, Lab, call, lab
from results import Results
from rich.console import Console
from rich.markup import escape
from rich.table import Table

DOCS = CHECKOUT / "docs"
# The short form makes these, and without an index of its own, to end within two minutes.
QUICK = ("rerun", "real", "cost", "fleet")
CASES = ("rerun", "install", "real", "upgrade", "savings", "cost", "fleet", "profile")
SIZES, FORKS = (1, 10, 50, 100), (10, 50)
QUICK_SIZES, QUICK_FORKS, QUICK_PLAYS = (4,), (10,), ("ping", "role")


def main() -> None:
    options = _options()
    if not (options.collections / "ansible_collections/pgedge/platform").is_dir():
        sys.exit("the collection is not built: call this as `make bench`")
    missing = [tool for tool in ("docker", "ssh", "ssh-keygen") if shutil.which(tool) is None]
    if missing:
        sys.exit(f"not found: {', '.join(missing)}; install it (Debian: docker.io, openssh-client)")
    results = Results()
    try:
        with lab(options.prefix, options.image, options.collections) as made:
            facts = _measure(made, options, results)
    except BenchError as error:
        # An hour of measuring may have been right.
        unfinished = BUILD / "unfinished.json"
        _write(asdict(results), unfinished)
        sys.exit(f"error: {error}\nwhat was measured before that is kept in {unfinished}")
    data = {"machine": facts, **asdict(results)}
    _show(data)
    kept = BUILD / ("quick" if options.quick else "full")
    _keep(data, kept)
    if options.publish:
        _publish(data, kept)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of each, to see that all of it works")
    parser.add_argument("--rounds", type=int, help="rounds of each comparison (default: 5, quick: 1)")
    parser.add_argument("--only", choices=CASES, nargs="+", help="the comparisons to make (default: all)")
    parser.add_argument("--publish", action="store_true", help="write the result into docs/")
    parser.add_argument("--image", default=os.environ.get("MOLECULE_IMAGE_DEBIAN12") or "pgedge-platform-test/debian12")
    parser.add_argument("--collections", type=Path, default=COLLECTIONS, help="where the built collection is installed")
    parser.add_argument("--prefix", default="pgedge-platform-bench", help="of the names of containers")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.only = options.only or (QUICK if options.quick else CASES)
    if options.quick and not set(options.only) <= set(QUICK):
        parser.error(f"--quick makes {', '.join(QUICK)} only")
    if options.publish and (options.quick or set(options.only) != set(CASES)):
        parser.error("--publish takes the whole benchmark")
    return options


def _measure(made: Lab, options: argparse.Namespace, results: Results) -> dict[str, t.Any]:
    fresh = made.prepare()
    wanted = [case for case in CASES if case in options.only]
    with contextlib.nullcontext() if options.quick else _index(made, fresh) as index:
        images = Images(made, fresh, index)
        for case in wanted:
            _compare(case, made, results, images, options)
        facts = _facts(made, images.role)
    return {**facts, "comparisons": ", ".join(wanted), "rounds": options.rounds}


@contextlib.contextmanager
def _index(made: Lab, fresh: str) -> t.Iterator[str]:
    """Serve what the comparisons install, and yield the URL."""
    host = made.boot(fresh)
    folder = mirror.fill(host, [*mirror.requirements(NEW), *mirror.requirements(OLD, *cases.OTHER_TOOLS)])
    made.remove(host)
    with mirror.served(made, folder) as url:
        yield url


def _compare(case: str, made: Lab, results: Results, images: Images, options: argparse.Namespace) -> None:
    rounds = options.rounds
    plays = {name: cases.PLAYS[name] for name in QUICK_PLAYS} if options.quick else cases.PLAYS
    if case == "rerun":
        cases.rerun(made, results, images, rounds)
    elif case == "install":
        both = dict.fromkeys(("role", "bare commands"), images.warm)
        cases.change(made, results, "installation, local index", both, BARE_INSTALL, rounds)
    elif case == "real":
        both = dict.fromkeys(("role", "bare commands"), images.fresh)
        cases.change(made, results, "installation, real index", both, BARE_INSTALL, rounds)
    elif case == "upgrade":
        two = {"role": images.old_role, "bare commands": images.old_pipx}
        cases.change(made, results, "upgrade", two, BARE_UPGRADE, rounds)
    elif case == "savings":
        cases.savings(made, results, images, rounds)
    elif case == "cost":
        cases.cost(made, results, images, rounds, plays)
    elif case == "fleet":
        sizes, forks = (QUICK_SIZES, QUICK_FORKS) if options.quick else (SIZES, FORKS)
        cases.fleet(made, results, images, rounds, plays, sizes, forks)
    else:
        profiles.profile(made, results, images)


def _facts(made: Lab, image: str) -> dict[str, t.Any]:
    """What the figures depend on."""
    host = made.boot(image)
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "processor": model,
        "kernel": platform.release(),
        "controller: Python": platform.python_version(),
        "controller: ansible-core": metadata.version("ansible-core"),
        "host": host.shell(". /etc/os-release; echo $PRETTY_NAME").strip(),
        "host: Python": host.shell("python3 --version").split()[-1],
        "host: pipx": host.shell("pipx --version").strip(),
        "host: OpenSSH": host.shell("ssh -V 2>&1").partition(",")[0],
        "Patroni": f"{NEW}, upgraded from {OLD}",
        "Docker engine": call("docker", "version", "--format", "{{.Server.Version}}").strip(),
    }


def _show(data: t.Mapping[str, t.Any]) -> None:
    console = Console(width=max(Console().width, 150))
    for name, table in report.TABLES.items():
        header, *rows = table(data)
        if not rows:
            continue
        shown = Table(*header, title=name)
        for row in rows:
            shown.add_row(*map(escape, row))
        console.print(shown)


def _keep(data: t.Mapping[str, t.Any], directory: Path) -> None:
    # Drawing takes long to load, and nothing above needs it.
    import plot

    _write(data, directory / "bench.json")
    plot.draw(data, directory / "bench.png")
    print(f"kept in {directory}: bench.json, bench.png")


def _write(data: t.Mapping[str, t.Any], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(data, indent=1) + "\n", "utf-8")


def _publish(data: t.Mapping[str, t.Any], kept: Path) -> None:
    page = DOCS / "performance.md"
    page.write_text(report.fill_in(page.read_text("utf-8"), data), "utf-8")
    shutil.copyfile(kept / "bench.json", DOCS / "bench.json")
    shutil.copyfile(kept / "bench.png", DOCS / "images" / "bench.png")


if __name__ == "__main__":
    main()
