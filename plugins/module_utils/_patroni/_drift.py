# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""Differences between the observed and the desired state: pure functions that the probe and the plan share."""

from __future__ import annotations

import typing as t

from .._versions import allows, exact_version, meets, same_version
from ._constraints import applicable, contradicted

if t.TYPE_CHECKING:
    from ._desired import Desired
    from ._observed import Environment, Observed


# The executables that every installation needs.
ESSENTIAL = ("patroni", "patronictl")


def can_notify(version: str | None, distributions: t.Container[str]) -> bool:
    """Return whether a Patroni notifies systemd when it is up: 4.1 or newer, with systemd-python installed.

    Args:
        version: its version; None for the newest one.
        distributions: the normalized names of the distributions installed with it.
    """
    # Pre-releases of 4.1 do so as well.
    recent = version is None or allows(">=4.1.dev0", version) is not False
    return recent and "systemd-python" in distributions


def environment_drift(
    desired: Desired, environment: Environment | None, *, newest: str | None = None, python: str | None = None
) -> str | None:
    """Explain why an environment must be built; None if this one matches the desired state.

    Args:
        newest: the newest version that the index offers, if that is the desired one.
        python: the desired interpreter, links resolved; None if any is acceptable.
    """
    if environment is None:
        return "it does not exist"
    if environment.problem:
        return environment.problem
    if desired.return_to and environment.path != desired.return_to:
        return "return_to names another environment"
    version = environment.version or ""
    if desired.version and not meets(version, desired.version):
        return f"its version is {version}"
    if newest and not same_version(newest, version):
        return f"its version is {version} and the newest is {newest}"
    if environment.missing:
        return f"it lacks the extras {', '.join(environment.missing)}"
    if python and python != environment.python:
        return f"its interpreter is {environment.python}"
    for limit in applicable(desired.sources, environment.python_version):
        found = environment.versions.get(limit.name)
        if found and allows(limit.specifier, found) is False:
            wanted = exact_version(limit.specifier) or limit.specifier
            return f"its {limit.name} is {found} and the constraints require {wanted}"
    return None


def unexposed(observed: Observed, environment: Environment) -> tuple[str, ...]:
    """List the executables of the environment that C(bin_dir) does not lead to.

    Someone else's file with the name of a non-essential executable is left alone, as pipx does.
    """
    names = []
    for name in environment.executables:
        state = observed.executables.get(name)
        if state is not None and state.kind != "link" and name not in ESSENTIAL:
            continue
        if state is None or state.target != f"{environment.path}/bin/{name}":
            names.append(name)
    return tuple(names)


def public_path(desired: Desired, observed: Observed, environment: Environment) -> str:
    """Return the public path of an environment: that of the pointer, if it leads to the environment."""
    return desired.environment if observed.pointer.target == environment.path else environment.path


def target_version(
    desired: Desired, environment: Environment | None, newest: str | None, python: str | None
) -> str | None:
    """Return the version for a new environment; None for the newest in the index.

    A repair keeps the version, because nobody requested another one.

    Args:
        python: the version of the Python that the environment is for.
    """
    kept = environment.version if environment and desired.state == "present" else None
    if kept and contradicted(desired.sources, python, "patroni", kept):
        kept = None
    limits = (limit for limit in applicable(desired.sources, python) if limit.name == "patroni")
    pinned = next(filter(None, (exact_version(limit.specifier) for limit in limits)), None)
    return desired.version or newest or pinned or kept


def target_extras(desired: Desired, environment: Environment | None) -> tuple[str, ...]:
    """Return the extras for a new environment; existing ones stay, because nobody requested their removal."""
    if desired.return_to:
        return ()
    return tuple(dict.fromkeys((*desired.extras, *(environment.extras if environment else ()))))


def replaces(
    desired: Desired, kept: Environment, environment: Environment | None, *, newest: str | None, python: str | None
) -> bool:
    """Return whether a kept environment can replace the one that would otherwise be built.

    Args:
        kept: the kept one, read with the extras for a new environment.
        environment: the one in use.
        newest, python: as for environment_drift.
    """
    if desired.return_to:
        return kept.path == desired.return_to
    version = target_version(desired, environment, newest, kept.python_version)
    if version is None or not meets(kept.version or "", version):
        return False
    injected = environment.injected if environment else ()
    drift = environment_drift(desired, kept, newest=newest, python=python)
    return drift is None and set(injected) <= set(kept.injected)


def surplus(desired: Desired, observed: Observed, left: Environment | None = None) -> tuple[str, ...]:
    """List the kept environments beyond the number to keep, except the one that the service runs in.

    Args:
        left: the environment that is about to be kept as well, ahead of the others.
    """
    keep, returning = desired.keep, observed.returning.path if observed.returning else None
    paths = [left.path] if left else []
    paths += [kept.path for kept in observed.kept if kept.path != returning]
    return tuple(path for path in paths[keep:] if path != observed.service.environment)
