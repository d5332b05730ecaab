# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a wheelhouse: all that a host without internet needs to install Patroni from.

Run it on a machine that reaches a package index. The directory then holds, as wheels for the host's Python and machine,
Patroni with the extras, pip, setuptools and wheel for pipx to work with, and pipx itself, and constraints.txt, which
pins all of it. If that Python has a pip that takes hashes from constraints, these have the hash of each wheel. What the
index offers as source only is built here.

With --constraints-only, it writes only such a file, with the hashes of the files in the index.

Needs Python 3.11 or newer with pip 25.1 and uv: python3 -m pip install --upgrade pip uv
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

# pipx keeps a pip for its environments: up to date by its own demand, and older ones want the other two as well.
TOOLS = ("pip>=23.1", "setuptools", "wheel")
# The first Python with a pip (26.1) that takes hashes from a constraints file; any other refuses such a file.
HASHING_PYTHON = (3, 10)
# Drivers that are compiled: better an older release with a wheel than the newest without.
WHEELS_ONLY = ("psycopg2-binary", "psycopg-binary")
# The oldest C library among the systems that have Python 3.8 or newer: EL 8's glibc 2.28.
GLIBC_MINOR = 28


class BundleError(Exception):
    """The bundle cannot be made."""


def main() -> None:
    options = parse_arguments()
    try:
        make(options)
    except (BundleError, OSError) as error:
        sys.exit(f"{Path(sys.argv[0]).name}: {error}; no bundle was made")
    if options.constraints_only:
        text = options.directory.read_text(encoding="utf-8")
        print(f"{options.directory}: {text.count('==')} packages, {text.count('--hash')} hashes")
        return
    wheels = list(options.directory.glob("*.whl"))
    size = sum(wheel.stat().st_size for wheel in wheels)
    print(f"{options.directory}: {len(wheels)} wheels, {size / 1e6:.1f} MB, and constraints.txt")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--python", required=True, type=python_version, help="the host's Python, such as 3.9")
    parser.add_argument("--machine", default="x86_64", choices=["x86_64", "aarch64"], help="the host's: uname -m")
    parser.add_argument("--version", help="of Patroni; by default the newest for that Python")
    parser.add_argument("--extras", default="psycopg2-binary,etcd", help="of Patroni; by default %(default)s")
    parser.add_argument("--pipx-version", help="for the RHEL family; by default the newest for that Python")
    parser.add_argument("--constraints-only", action="store_true", help="write only the constraints, into a file")
    parser.add_argument("directory", type=Path, help="the directory to create, or the file")
    return parser.parse_args()


def python_version(text: str) -> str:
    if not re.fullmatch(r"3\.\d+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form 3.9")
    return text


def make(options: argparse.Namespace) -> None:
    """Make the bundle next to its place, and move it there when it is complete.

    Raises:
        BundleError: it cannot be made; nothing is left.
    """
    directory = options.directory.absolute()
    if directory.exists():
        raise BundleError(f"{directory} already exists; remove it, or choose another name")
    directory.parent.mkdir(parents=True, exist_ok=True)
    if options.constraints_only:
        hashes = ["--generate-hashes"] if takes_hashes(options) else []
        directory.write_text(resolve(options, *hashes), encoding="utf-8")
        directory.chmod(0o644)
        return
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}-") as work:
        bundle, sources = Path(work, "bundle"), Path(work, "sources")
        bundle.mkdir(mode=0o755)
        sources.mkdir()
        constraints = bundle / "constraints.txt"
        constraints.write_text(resolve(options), encoding="utf-8")
        download(constraints, sources, options)
        for wheel in sources.glob("*.whl"):
            wheel.rename(bundle / wheel.name)
        build(sources, bundle)
        if takes_hashes(options):
            constraints.write_text(with_hashes(constraints.read_text(encoding="utf-8"), bundle), encoding="utf-8")
        # Other accounts must be able to read it, whatever the umask.
        for path in bundle.iterdir():
            path.chmod(0o644)
        bundle.chmod(0o755)
        os.rename(bundle, directory)


def takes_hashes(options: argparse.Namespace) -> bool:
    return tuple(map(int, options.python.split("."))) >= HASHING_PYTHON


def with_hashes(constraints: str, bundle: Path) -> str:
    """Add to each line the hash of its wheel."""
    wheels = {normalized(path.name.partition("-")[0]): path.read_bytes() for path in bundle.glob("*.whl")}
    return "".join(
        f"{line} --hash=sha256:{hashlib.sha256(wheels[normalized(line.partition('==')[0])]).hexdigest()}\n"
        for line in constraints.splitlines()
    )


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def resolve(options: argparse.Namespace, *more: str) -> str:
    """Pin everything for the host's Python, one NAME==VERSION a line.

    By uv, because pip judges the conditions of requirements by the Python that runs it.
    """
    pinned = f"=={options.version}" if options.version else ""
    pipx = f"pipx=={options.pipx_version}" if options.pipx_version else "pipx"
    wanted = (f"patroni[{options.extras}]{pinned}", *TOOLS, pipx)
    return run(
        *("uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--python", sys.executable, *more),
        *("--python-version", options.python),
        *("--python-platform", f"{options.machine}-manylinux_2_{GLIBC_MINOR}"),
        *(word for name in WHEELS_ONLY for word in ("--only-binary", name)),
        "-",
        text="\n".join(wanted),
    )


def download(constraints: Path, folder: Path, options: argparse.Namespace) -> None:
    """Download what is pinned: wheels for the host, and sources where the index has no such wheel."""
    tags = (f"manylinux_2_{minor}_{options.machine}" for minor in range(GLIBC_MINOR, 16, -1))
    run(
        *("pip", "download", "--quiet", "--no-deps", "--dest", str(folder), "--requirement", str(constraints)),
        *("--implementation", "cp", "--python-version", options.python),
        *(f"--platform={tag}" for tag in (*tags, f"manylinux2014_{options.machine}")),
    )


def build(sources: Path, folder: Path) -> None:
    """Build wheels from the sources that were downloaded.

    Raises:
        BundleError: a wheel came out that only machines like this one could use.
    """
    archives = [str(path) for path in sorted(sources.iterdir())]
    if not archives:
        return
    built = sources / "built"
    run("pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(built), *archives)
    for wheel in built.iterdir():
        if not wheel.name.endswith("-none-any.whl"):
            raise BundleError(
                f"the index has no {wheel.name.partition('-')[0]} as a wheel for the host, and the one that was built "
                f"here fits this machine only ({wheel.name}); leave out the extra that needs it"
            )
        wheel.rename(folder / wheel.name)


def run(tool: str, *arguments: str, text: str | None = None) -> str:
    """Run a tool of this Python, and return what it printed.

    Raises:
        BundleError: it is not there, or it failed; its own words tell why.
    """
    done = subprocess.run(
        [sys.executable, "-m", tool, *arguments], input=text, capture_output=True, text=True, check=False
    )
    if f"No module named {tool}" in done.stderr:
        raise BundleError(f"{sys.executable} has no {tool}: {sys.executable} -m pip install {tool}")
    if done.returncode != 0:
        raise BundleError(f"{tool} {arguments[0]} failed:\n{done.stderr.strip()}\n")
    return done.stdout


if __name__ == "__main__":
    main()
