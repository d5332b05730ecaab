# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small environments on disk, of the form that pip and pipx give them."""

from __future__ import annotations

import json
import os
import shutil
import typing as t
from pathlib import Path

# What each extra brings, as the name of the distribution's directory.
DISTRIBUTIONS = {
    "psycopg2-binary": "psycopg2_binary-2.9.13",
    "etcd": "python_etcd-0.4.5",
    "etcd3": "python_etcd-0.4.5",
    "consul": "py_consul-1.8.0",
    "raft": "pysyncobj-0.3.14",
}
# From Patroni 4.1.5.
METADATA = """\
Metadata-Version: 2.4
Name: patroni
Version: {version}
Requires-Dist: urllib3!=1.21,>=1.19.1
Requires-Dist: PyYAML
Requires-Dist: py-consul>=1.1.1; python_version >= "3.9"
Provides-Extra: aws
Requires-Dist: boto3; extra == "aws"
Provides-Extra: etcd
Requires-Dist: python-etcd<0.5,>=0.4.3; extra == "etcd"
Provides-Extra: etcd3
Requires-Dist: python-etcd<0.5,>=0.4.3; extra == "etcd3"
Provides-Extra: consul
Requires-Dist: py-consul<1.5.4,>=1.1.1; python_version == "3.6" and extra == "consul"
Provides-Extra: kubernetes
Provides-Extra: raft
Requires-Dist: pysyncobj>=0.3.8; extra == "raft"
Requires-Dist: cryptography>=1.4; extra == "raft"
Provides-Extra: all
Requires-Dist: boto3; extra == "all"
Requires-Dist: python-etcd<0.5,>=0.4.3; extra == "all"
Provides-Extra: psycopg2-binary
Requires-Dist: psycopg2-binary; extra == "psycopg2-binary"

Requires-Dist: not-a-header; extra == "etcd"
"""
ENTRY_POINTS = """\
[console_scripts]
patroni = patroni.__main__:main
patroni_aws = patroni.scripts.aws:main
patronictl = patroni.ctl:ctl

[other_group]
elsewhere = patroni.elsewhere:main
"""
DEFAULT_EXTRAS = ("psycopg2-binary", "etcd")


def make_interpreter(path: Path) -> Path:
    """Make something that can be taken for an interpreter."""
    os.makedirs(str(path.parent), exist_ok=True)
    path.write_text("#!/bin/sh\n", "utf-8")
    path.chmod(0o755)
    return path


def make_environment(
    path: str | Path,
    interpreter: Path,
    *,
    version: str = "4.1.5",
    extras: t.Sequence[str] = DEFAULT_EXTRAS,
    entry_points: str = ENTRY_POINTS,
) -> Path:
    """Make an environment that holds a Patroni, and pipx's record of it."""
    path = Path(path)
    packages = path / "lib" / "python3.11" / "site-packages"
    os.makedirs(str(path / "bin"))
    (path / "bin" / "python").symlink_to(interpreter)
    scripts = {}
    for name in ("patroni", "patroni_aws", "patronictl"):
        script = path / "bin" / name
        script.write_text(f"#!{path}/bin/python -E\nimport sys\n", "utf-8")
        script.chmod(0o755)
        scripts[f"../../../bin/{name}"] = ""
    add_distribution(
        packages,
        f"patroni-{version}",
        {
            "patroni/__init__.py": "",
            "patroni/ctl.py": "# the control utility\n",
            "patroni/__pycache__/ctl.cpython-311.pyc": None,
            f"patroni-{version}.dist-info/METADATA": METADATA.format(version=version),
            f"patroni-{version}.dist-info/entry_points.txt": entry_points,
            **scripts,
        },
    )
    for extra in extras:
        name = DISTRIBUTIONS[extra]
        if not (packages / f"{name}.dist-info").exists():
            module = name.partition("-")[0]
            add_distribution(packages, name, {f"{module}/__init__.py": "", f"{module}/core.py": "pass\n"})
    listed = ",".join(extras)
    write_record(path, {"package_version": version, "package_or_url": f"patroni[{listed}]=={version}"})
    return path


def add_distribution(packages: Path, name: str, files: t.Mapping[str, str | None]) -> None:
    """Install a distribution as pip does: its files, and a RECORD of them with their sizes.

    Args:
        files: texts by paths; None for one that is recorded and not there.
    """
    lines = []
    for file, text in {f"{name}.dist-info/INSTALLER": "pip\n", **files}.items():
        target = packages / file
        if text is not None and not target.exists():
            os.makedirs(str(target.parent), exist_ok=True)
            target.write_text(text, "utf-8")
        size = target.stat().st_size if target.exists() else ""
        lines.append(f"{file},sha256=x,{size}")
    record = f"{name}.dist-info/RECORD"
    (packages / record).write_text("\n".join([*lines, f"{record},,", ""]), "utf-8")


def write_record(path: Path, main_package: t.Mapping[str, t.Any]) -> None:
    """Write pipx's own record of an environment."""
    record = {"main_package": main_package, "pipx_metadata_version": "0.4", "python_version": "Python 3.11.2"}
    (path / "pipx_metadata.json").write_text(json.dumps(record), "utf-8")


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(str(path))
    else:
        os.unlink(str(path))
