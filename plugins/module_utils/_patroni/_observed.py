# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""The observed state of a host."""

from __future__ import annotations

import re
import typing as t

from .._types import Label, PathState, Place

# The oldest that pipx is installed for. Still older ones have no pipx and pip of the present.
OLDEST_PYTHON = "3.8"


class Environment(t.NamedTuple):
    """A Python environment that contains, or should contain, Patroni; read only from its files.

    Attributes:
        path: its path, links resolved.
        version: Patroni's version; None if it cannot be determined.
        extras: the extras that pipx recorded.
        missing: the desired extras that lack a distribution.
        versions: the version of each distribution, by normalized name.
        python: the interpreter, links resolved; None if it no longer exists.
        asked_python: the file requested as the interpreter, in the notation of _interpreter.py; None if unknown.
        python_version: the version of the Python that its packages are for, such as 3.11; None if it cannot be
            determined.
        problem: why it does not run; None if it runs.
        executables: the names of the executables that Patroni provides.
        injected: packages that were added to Patroni on purpose, as requirements.
        stuck: the names of packages that were added on purpose and cannot be requested from an index again.
        offers: the normalized names of the extras that this Patroni has.
        changed_at: when it was put in place, in seconds since the epoch.
    """

    path: str
    version: str | None = None
    extras: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    versions: t.Mapping[str, str] = {}
    python: str | None = None
    asked_python: str | None = None
    python_version: str | None = None
    problem: str | None = None
    executables: tuple[str, ...] = ()
    injected: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()
    offers: tuple[str, ...] = ()
    changed_at: float = 0.0


class Kept(t.NamedTuple):
    """An environment that was in use and is kept, complete, so that a run can return to it.

    The values come from the record that was written when another environment took its place.

    Attributes:
        path: the path of the environment itself.
        size: the disk usage of its generation, in bytes.
        left_at: when another environment took its place, in seconds since the epoch.
        since: the same time in readable form.
        unit: the digest of the unit at that time; None if there was none.
        unit_changed_at: when that unit was written.
    """

    path: str
    version: str
    size: int
    left_at: float
    since: str
    unit: str | None = None
    unit_changed_at: float = 0.0


class Pipx(t.NamedTuple):
    """A pipx that the account can run; its version is None if the account does not exist yet.

    Attributes:
        python: the interpreter that it runs with and creates environments with, links resolved.
    """

    path: str
    version: str | None
    python: str | None = None


class Pip(t.NamedTuple):
    """The pip with which root can install pipx on the RHEL family.

    Attributes:
        python: the interpreter that it belongs to, links resolved.
        package: the package to install first, because the interpreter has no pip.
        marker: the file that forbids pip to install for this interpreter (PEP 668).
    """

    python: str
    package: str | None = None
    marker: str | None = None


class Tools(t.NamedTuple):
    """The tools available for building an environment; probed only if one must be built.

    Attributes:
        pip: what installs pipx if there is none, on the RHEL family.
        package_known: the package manager lists a package for pipx.
        unsafe_sources: local package sources that the account could change while root installs from them.
        shared_damaged: the environment that all pipx environments share exists but is incomplete.
    """

    pipx: Pipx | None = None
    pip: Pip | None = None
    package_known: bool = True
    shared_damaged: bool = False
    unsafe_sources: tuple[str, ...] = ()


class Service(t.NamedTuple):
    """The unit's state in systemd; the defaults apply to a host without a running systemd.

    Attributes:
        managed: systemd is running and searches for units in the directory of this one.
        started_at: when the main process started, in seconds since the epoch.
        environment: the environment that the main process runs in, links resolved.
        configuration: the configuration that the main process was started with.
    """

    managed: bool = False
    needs_reload: bool = False
    active: bool = False
    enabled: bool = False
    started_at: float = 0.0
    environment: str | None = None
    configuration: str | None = None


class Configuration(t.NamedTuple):
    """The configuration that the unit starts Patroni with.

    Attributes:
        path: a file, or a directory of them.
        others: the configuration files in config_dir, if the path does not exist.
        unclear: the unit on the host starts Patroni in a way that does not show which configuration it uses.
    """

    path: str
    others: tuple[str, ...] = ()
    unclear: bool = False


class Observed(t.NamedTuple):
    """The observed state of the host.

    Attributes:
        root: the module runs as root.
        environment: the environment in use, or the closest match.
        executables: the entries of bin_dir, by name; the directory in a link's target is resolved.
        pointer: the state of the path where the environment is expected.
        next_generation: the directory in which the next environment is built.
        unfit_label: the label of the file that systemd starts; None if systemd may start it.
        retired: environments of this installation that are no longer needed, and the leftovers of an interrupted run.
        kept: earlier environments that are complete, the most recently used one first.
        returning: the kept environment that matches the desired state and was just verified; searched for only if the
            environment in use does not match.
        unusable: those that no longer work, and why; looked for only if something must be done with the kept ones.
        newest: the newest version that the index offers; None if not queried.
        configuration: the configuration for the unit to name; None for the desired one.
        python: the interpreter that the desired one starts, links resolved; None if any is acceptable.
        users: other units that start something from this installation; searched for only before a removal.
        bin_dir_used: one of these units does so through bin_dir.
        busy: the first directory of this installation that processes run in; also searched for only before a removal.
        python_version: the version of the Python that the environment has, or will have if one is built; None if
            unknown.
        interpreter: a Python of that version, if an environment must be built; None if there is none yet.
        profile: the file that sets up login shells.
        profile_dir: its directory; None if no such file is there or desired.
    """

    root: bool
    environment: Environment | None
    executables: t.Mapping[str, PathState]
    bin_dir: Place
    pipx_home: Place
    config_dir: Place
    unit_dir: Place
    unit: PathState
    service: Service = Service()
    tools: Tools | None = None
    pointer: PathState = PathState()
    next_generation: str = ""
    retired: tuple[str, ...] = ()
    unfit_label: Label | None = None
    kept: tuple[Kept, ...] = ()
    returning: Environment | None = None
    unusable: t.Mapping[str, str] = {}
    newest: str | None = None
    configuration: Configuration | None = None
    python: str | None = None
    users: tuple[str, ...] = ()
    bin_dir_used: bool = False
    busy: str | None = None
    python_version: str | None = None
    interpreter: str | None = None
    profile: PathState = PathState()
    profile_dir: Place | None = None


def named_version(python: str | None) -> str | None:
    """Read a Python's version, such as 3.11, from the name of its executable; None if the name does not contain it."""
    matched = re.search(r"/python(3\.\d+)$", python or "")
    return matched.group(1) if matched else None
