# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles for hosts without internet, made as docs/offline.md says, once for all tests; and that page's examples."""

from __future__ import annotations

import functools
import os
import re
import subprocess
from pathlib import Path

from lab import BIN, CHECKOUT

DOCUMENTED_PYTHON, DOCUMENTED_VERSION = "3.11", "4.1.5"
PYTHONS = {"debian12": "3.11", "el9": "3.9"}


def documented(heading: str, language: str, page: str) -> str:
    """The one example of a language below a heading of a page."""
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    section = re.split(r"^##? ", re.split(rf"^##? {heading}\n", text, flags=re.MULTILINE)[1], flags=re.MULTILINE)[0]
    example: str
    (example,) = re.findall(rf"^```{language}\n(.*?)^```$", section, flags=re.DOTALL | re.MULTILINE)
    return example


def commands(example: str) -> list[str]:
    """What a person types, of an example in the console."""
    return [line.removeprefix("$ ") for line in example.splitlines() if line.startswith("$ ")]


@functools.cache
def make_bundle(collections: Path, host: str, version: str) -> Path:
    """Run the documented commands for a host's Python; the archive is next to the directory that it returns."""
    top = collections.parent / "bundles" / f"{host}-{version}"
    top.mkdir(parents=True)
    for command in commands(documented("Make a bundle", "console", "docs/offline.md"))[1:]:
        _type(command.replace(DOCUMENTED_PYTHON, PYTHONS[host]).replace(DOCUMENTED_VERSION, version), collections, top)
    return top / f"wheelhouse-{version}"


@functools.cache
def make_constraints(collections: Path) -> Path:
    """Run the documented command for constraints with hashes, for Debian 12's Python."""
    top = collections.parent / "constraints"
    top.mkdir()
    (command,) = commands(documented("Verify every file by its hash", "console", "docs/offline.md"))
    _type(command, collections, top)
    return top / f"constraints-{DOCUMENTED_VERSION}.txt"


def _type(command: str, collections: Path, directory: Path) -> None:
    """Run a documented command on the controller."""
    command = command.replace("~/.ansible/collections", str(collections))
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", command], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
