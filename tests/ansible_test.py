# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ansible-test needs around it: a tree that is named as it wants, and a home of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import matrix

TOP = matrix.BUILD / "ansible-test"
HOME = TOP / "home"

# ansible-test downloads get-pip from a host of Ansible's. The version that it asks for also comes from the package
# index, through the pip that comes with Python, so that one host less must be reached.
GET_PIP = """\
import subprocess, sys
pip = [sys.executable, "-m", "pip"]
subprocess.run([sys.executable, "-m", "ensurepip"], check=True, stdout=subprocess.DEVNULL)
wanted = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
subprocess.run([*pip, "install", "--quiet", *wanted], check=True)
# What get-pip would not have brought.
surplus = [name for name in ("setuptools", "wheel") if f"--no-{name}" in sys.argv]
subprocess.run([*pip, "uninstall", "-qq", "--yes", *surplus], check=True) if surplus else None
"""


def lay_out_tree(name: str) -> Path:
    """Copy the checkout, without what git ignores, to where ansible-test takes it for the collection."""
    tree = TOP / name / "ansible_collections" / "pgedge" / "platform"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=matrix.CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    shutil.rmtree(tree, ignore_errors=True)
    for path in filter(None, listed.stdout.split("\0")):
        source, target = matrix.CHECKOUT / path, tree / path
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    # In a directory that the checkout's git ignores, ansible-test would find nothing to test, and pass.
    subprocess.run(["git", "init", "--quiet", tree], check=True)
    return tree


def ran(tree: Path, check: str) -> bool:
    """Whether the last run tested anything: ansible-test ends well too when it found nothing."""
    return any((tree / "tests" / "output" / "junit").glob(f"*{check}*.xml"))


def prepare_home(bin_dir: Path) -> None:
    """Make the home in which ansible-test keeps its environments: it passes no settings of pip on but those there."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    settings = {"quiet": "1"} | dict(re.findall(r"^(?:global|:env:)\.([a-z-]+)='(.*)'$", listed, re.MULTILINE))
    pip_conf = HOME / ".config" / "pip" / "pip.conf"
    pip_conf.parent.mkdir(parents=True, exist_ok=True)
    pip_conf.write_text("\n".join(["[global]", *(f"{name} = {value}" for name, value in settings.items())]), "utf-8")

    (source,) = bin_dir.parent.glob("lib/python*/site-packages/ansible_test/_internal/python_requirements.py")
    cache = HOME / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for version in re.findall(r"\bpip='([\d.]+)'", source.read_text("utf-8")):
        (cache / f"get_pip_{version.replace('.', '_')}.py").write_text(GET_PIP, "utf-8")


def environment(bin_dir: Path, pythons: Path) -> dict[str, str]:
    """The environment variables of a run; PATH leads to the Pythons first."""
    path = os.pathsep.join([str(pythons), str(bin_dir), os.environ["PATH"]])
    return {**os.environ, "HOME": str(HOME), "PATH": path}
