# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""Build the commands to run. Nothing is run here."""

from __future__ import annotations

import re
import typing as t

# Packages must only install files, not start, stop or restart services. In this mode systemctl does none of that for
# their scripts. systemd supports the variable since version 237.
DNF_ENVIRONMENT = {"SYSTEMD_OFFLINE": "1"}
# Nobody can answer prompts. needrestart, which apt runs at the end, restarts services automatically if configured to.
APT_ENVIRONMENT = {
    **DNF_ENVIRONMENT,
    "DEBIAN_FRONTEND": "noninteractive",
    "APT_LISTCHANGES_FRONTEND": "none",
    "NEEDRESTART_MODE": "l",
    "NEEDRESTART_SUSPEND": "1",
}
# Keep configuration files that somebody changed.
_KEEP_CONFFILES = ("--force-confdef", "--force-confold")

# The mirror no longer has a file that the package lists name.
_STALE_LISTS = re.compile(r"^E: Failed to fetch .*\b404\b", re.MULTILINE)

_UNIT_PROPERTIES = (
    "NeedDaemonReload",
    "FragmentPath",
    "ActiveState",
    "UnitFileState",
    "ExecMainStartTimestampMonotonic",
    "MainPID",
)
_ASK_PIP = """\
import os, sys, sysconfig
from importlib.util import find_spec
try:
    pip = find_spec("pip.__main__")
except ImportError:
    pip = None
marker = os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
print("%d.%d" % sys.version_info[:2], "pip" if pip else "none", marker if os.path.exists(marker) else "")
"""
# The module that Python must be able to import for each extra.
_EXTRA_IMPORTS = {
    "aws": "boto3",
    "consul": "patroni.dcs.consul",
    "etcd": "patroni.dcs.etcd",
    "etcd3": "patroni.dcs.etcd3",
    "exhibitor": "patroni.dcs.exhibitor",
    "jsonlogger": "pythonjsonlogger",
    "kubernetes": "patroni.dcs.kubernetes",
    "psycopg2": "psycopg2",
    "psycopg2-binary": "psycopg2",
    "psycopg3": "psycopg",
    "raft": "patroni.dcs.raft",
    "systemd": "systemd.daemon",
    "zookeeper": "patroni.dcs.zookeeper",
}


def show_unit(name: str) -> list[str]:
    return ["systemctl", "show", f"--property={','.join(_UNIT_PROPERTIES)}", name]


def daemon_reload() -> list[str]:
    return ["systemctl", "daemon-reload"]


def apt_show(package: str) -> list[str]:
    return ["apt-cache", "show", "--no-all-versions", package]


def apt_update() -> list[str]:
    return ["apt-get", "update"]


def apt_install(packages: t.Sequence[str], lock_timeout: int) -> list[str]:
    return [
        "apt-get",
        "install",
        "--yes",
        "--no-install-recommends",
        "-o",
        f"DPkg::Lock::Timeout={lock_timeout}",
        *(argument for option in _KEEP_CONFFILES for argument in ("-o", f"DPkg::Options::={option}")),
        *packages,
    ]


def dnf_install(packages: t.Sequence[str]) -> list[str]:
    """Install packages; without exit_on_lock, dnf waits indefinitely for another dnf.

    A repository that cannot be read does not stop the installation: the others may be enough.
    """
    return [
        "dnf",
        "--assumeyes",
        "--setopt=install_weak_deps=False",
        "--setopt=exit_on_lock=True",
        "--setopt=*.skip_if_unavailable=True",
        "install",
        *packages,
    ]


def dpkg_configure() -> list[str]:
    return ["dpkg", *_KEEP_CONFFILES, "--configure", "-a"]


def pip_install(python: str, requirement: str, *, again: bool = False) -> list[str]:
    return [python, "-m", "pip", "install", *(["--ignore-installed"] if again else []), requirement]


def requirement(version: str | None, extras: tuple[str, ...]) -> str:
    """Format what pipx installs as one PEP 508 requirement."""
    listed = f"[{','.join(extras)}]" if extras else ""
    pinned = f"=={version}" if version else ""
    return f"patroni{listed}{pinned}"


def pip_ask(pip: t.Sequence[str], requirement: str, *, alone: bool) -> list[str]:
    """Query what an installation would choose.

    Args:
        alone: leave out the dependencies; resolving them takes longer.
    """
    return [*pip, "install", "--dry-run", "--ignore-installed", *(["--no-deps"] if alone else []), requirement]


def pip_download(pip: t.Sequence[str], requirement: str, directory: str) -> list[str]:
    """Query a pip before 22.2 about a package without its dependencies."""
    return [*pip, "download", "--no-deps", "--dest", directory, requirement]


def pip_of(python: str, place: str | None = None) -> list[str]:
    """Run pip with a Python that may not have it, leaving no trace in either.

    Args:
        place: the path of the pip package, in a directory or in a wheel; by default the Python's own pip.
    """
    return [python, "-I", "-B", *([place] if place else ["-m", "pip"])]


def make_environment(python: str, path: str) -> list[str]:
    """Create an environment with the pip that came with a Python."""
    return [python, "-I", "-m", "venv", path]


def ask_interpreter(python: str) -> list[str]:
    """Query the version and file of an interpreter or a wrapper; in a virtual environment, of its base interpreter."""
    found = "getattr(sys, '_base_executable', None) or sys.executable"
    return [python, "-c", f"import os, sys; print('%d %s' % (sys.version_info[0], os.path.realpath({found})))"]


def ask_pip(python: str) -> list[str]:
    """Query the version of an interpreter, whether it has pip, and whether pip may install for it (PEP 668).

    Isolated (-I), the Pythons of the RHEL family would not see what pip installed below /usr/local.
    """
    return [python, "-B", "-c", _ASK_PIP]


def python_version(python: str) -> list[str]:
    return [python, "-c", "import sys; print(*sys.version_info[:2])"]


def checks(environment: str, extras: t.Sequence[str]) -> list[list[str]]:
    """Build the commands that verify a new environment: the daemon, the control utility and the extras."""
    modules = list(dict.fromkeys(_EXTRA_IMPORTS[extra] for extra in extras if extra in _EXTRA_IMPORTS))
    imported = [f"{environment}/bin/python", "-c", f"import {', '.join(modules)}"]
    return [
        [f"{environment}/bin/patroni", "--version"],
        [f"{environment}/bin/patronictl", "version"],
        *([imported] if modules else []),
    ]


def apt_remedy(output: str) -> list[str] | None:
    """Return the command after which an installation that apt refused may succeed; None if there is none."""
    if _STALE_LISTS.search(output):
        return apt_update()
    if "dpkg --configure -a" in output:
        return dpkg_configure()
    return None
