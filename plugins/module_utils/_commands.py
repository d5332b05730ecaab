# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Building the commands that are run. Nothing is run here."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.pgedge.platform.plugins.module_utils._sources import pip_environment

if t.TYPE_CHECKING:
    from ansible_collections.pgedge.platform.plugins.module_utils._model import Sources

# Packages bring files; they start, stop or restart nothing, which in this mode systemctl does not do for a script of
# theirs. systemd knows the variable since version 237.
DNF_ENVIRONMENT = {"SYSTEMD_OFFLINE": "1"}
# Nobody answers a question. needrestart, which apt runs after it, restarts services by itself if it is set up to.
APT_ENVIRONMENT = {
    **DNF_ENVIRONMENT,
    "DEBIAN_FRONTEND": "noninteractive",
    "APT_LISTCHANGES_FRONTEND": "none",
    "NEEDRESTART_MODE": "l",
    "NEEDRESTART_SUSPEND": "1",
}
# A configuration file that somebody changed stays as it is.
_KEEP_CONFFILES = ("--force-confdef", "--force-confold")

# The mirror no longer has the file that the lists name.
_STALE_LISTS = re.compile(r"^E: Failed to fetch .*\b404\b", re.MULTILINE)

_UNIT_PROPERTIES = (
    "NeedDaemonReload",
    "FragmentPath",
    "ActiveState",
    "UnitFileState",
    "ExecMainStartTimestampMonotonic",
    "MainPID",
)
# What each extra is for, as the module that Python must be able to import.
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
    """Without exit_on_lock dnf waits for another one for as long as that takes.

    A repository that cannot be read is no reason to stop: what the others offer may be enough.
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


def pip_install(pip: str, requirement: str, *, again: bool = False) -> list[str]:
    return [pip, "install", *(["--ignore-installed"] if again else []), requirement]


def requirement(version: str | None, extras: tuple[str, ...]) -> str:
    """Write what pipx installs as one PEP 508 requirement."""
    listed = f"[{','.join(extras)}]" if extras else ""
    pinned = f"=={version}" if version else ""
    return f"patroni{listed}{pinned}"


def pip_ask(pip: t.Sequence[str], requirement: str, *, alone: bool) -> list[str]:
    """Ask what an installation would choose.

    Args:
        alone: leave out what it depends on, which takes longer.
    """
    return [*pip, "install", "--dry-run", "--ignore-installed", *(["--no-deps"] if alone else []), requirement]


def pip_download(pip: t.Sequence[str], requirement: str, folder: str) -> list[str]:
    """Ask a pip before 22.2, about a package alone."""
    return [*pip, "download", "--no-deps", "--dest", folder, requirement]


def pip_of(python: str, place: str | None = None) -> list[str]:
    """Run a pip with a Python that may not have it, without a trace in either.

    Args:
        place: of the package, in a folder or in a wheel; by default the Python's own.
    """
    return [python, "-I", "-B", *([place] if place else ["-m", "pip"])]


def make_environment(python: str, path: str) -> list[str]:
    """Make an environment that has the pip which came with a Python."""
    return [python, "-I", "-m", "venv", path]


def pipx_install(pipx: str, requirement: str, python: str | None) -> list[str]:
    chosen = ["--python", python] if python else []
    return [pipx, "install", *chosen, requirement]


def ask_interpreter(python: str) -> list[str]:
    """Ask an interpreter, or what starts one, for its version and its file; of a virtual environment for that below."""
    found = "getattr(sys, '_base_executable', None) or sys.executable"
    return [python, "-c", f"import os, sys; print('%d %s' % (sys.version_info[0], os.path.realpath({found})))"]


def pipx_inject(pipx: str, requirements: t.Sequence[str]) -> list[str]:
    """Without --force, newer pipx passes over what Patroni brings as well, and does not record it."""
    return [pipx, "inject", "--force", "patroni", *requirements]


def parse_interpreter(script: str) -> str | None:
    """Read which Python runs a script, such as pipx, from its first line."""
    matched = re.match(r"#! *(/\S*/python[\d.]*)\s", script)
    return matched.group(1) if matched else None


def python_version(python: str) -> list[str]:
    return [python, "-c", "import sys; print(*sys.version_info[:2])"]


def make_shared_libraries(python: str, path: str, wheel: str, pipx: str) -> list[list[str]]:
    """Make what pipx makes itself: an environment with the newest pip, which all of its environments share.

    What is not compiled now, Python compiles when it is first used.

    Args:
        wheel: of the pip that runs meanwhile.
        pipx: its version; until 1.2 it keeps more than pip there.
    """
    names = ["pip", "setuptools", "wheel"] if re.match(r"0\.|1\.[012]\b", pipx) else ["pip"]
    return [
        [python, "-m", "venv", "--without-pip", path],
        [f"{path}/bin/python", f"{wheel}/pip", "install", "--quiet", "--retries=0", "--no-compile", *names],
    ]


def pipx_environment(
    generation: str, shared_libraries: str, sources: Sources, netrc: str | None = None
) -> dict[str, str]:
    """Give pipx a home of its own for one environment, with the layout that every pipx then keeps.

    What it exposes stays in there too; it is exposed for good only when the environment has proved itself.
    """
    return {
        **pip_environment(sources, netrc),
        # uv, which newer pipx prefers when it is there, ignores PIP_* and pip.conf, a private CA included.
        "PIPX_DEFAULT_BACKEND": "pip",
        "USE_EMOJI": "0",
        "PIPX_HOME": generation,
        "PIPX_BIN_DIR": f"{generation}/bin",
        "PIPX_MAN_DIR": f"{generation}/man",
        "PIPX_COMPLETION_DIR": f"{generation}/completion",
        "PIPX_SHARED_LIBS": shared_libraries,
        # All that pip says: pipx prints a few lines of it, and pip itself does not print why an index gave nothing.
        "PIP_LOG": pip_log(generation),
    }


def pip_log(directory: str) -> str:
    return f"{directory}/pip.log"


def checks(environment: str, extras: t.Sequence[str]) -> list[list[str]]:
    """Ask a new environment to prove that it works: daemon, control utility, and what the extras are for."""
    modules = list(dict.fromkeys(_EXTRA_IMPORTS[extra] for extra in extras if extra in _EXTRA_IMPORTS))
    imported = [f"{environment}/bin/python", "-c", f"import {', '.join(modules)}"]
    return [
        [f"{environment}/bin/patroni", "--version"],
        [f"{environment}/bin/patronictl", "version"],
        *([imported] if modules else []),
    ]


def apt_remedy(output: str) -> list[str] | None:
    """Name the command after which an installation that apt refused may succeed; None where there is none."""
    if _STALE_LISTS.search(output):
        return apt_update()
    if "dpkg --configure -a" in output:
        return dpkg_configure()
    return None
