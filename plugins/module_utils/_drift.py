# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where what was observed falls short of what is desired: pure judgements that the probe and the plan share."""

from __future__ import annotations

import typing as t

from ansible_collections.pgedge.platform.plugins.module_utils._constraints import applicable, contradicted
from ansible_collections.pgedge.platform.plugins.module_utils._versions import (
    allows,
    exact_version,
    meets,
    same_version,
)

if t.TYPE_CHECKING:
    from ansible_collections.pgedge.platform.plugins.module_utils._model import Desired, Environment, Observed


# What an installation cannot do without.
ESSENTIAL = ("patroni", "patronictl")


def can_notify(version: str | None, distributions: t.Container[str]) -> bool:
    """Whether a Patroni tells systemd that it is up: from 4.1 on, with systemd-python beside it.

    Args:
        version: its version; None for the newest one.
        distributions: the normalized names of the distributions beside it.
    """
    # Candidates for that release do it as well.
    recent = version is None or allows(">=4.1.dev0", version) is not False
    return recent and "systemd-python" in distributions


def environment_drift(
    desired: Desired, environment: Environment | None, *, newest: str | None = None, python: str | None = None
) -> str | None:
    """Say why an environment has to be built; None where this one does.

    Args:
        newest: the newest version that the index offers, where that is what is desired.
        python: the desired interpreter, links resolved; None where any will do.
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
    """Name the executables of the environment that C(bin_dir) does not lead to.

    A file of someone else's under the name of a lesser executable is left alone, as pipx does.
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
    """The path under which an environment is known: where it is to be found, if that leads to it."""
    return desired.environment if observed.pointer.target == environment.path else environment.path


def target_version(
    desired: Desired, environment: Environment | None, newest: str | None, python: str | None
) -> str | None:
    """The version that a new environment is to have; None for the newest of the index.

    A repair keeps the version: nobody asked to lose it.

    Args:
        python: the version of the Python that it is for.
    """
    kept = environment.version if environment and desired.state == "present" else None
    if kept and contradicted(desired.sources, python, "patroni", kept):
        kept = None
    limits = (limit for limit in applicable(desired.sources, python) if limit.name == "patroni")
    pinned = next(filter(None, (exact_version(limit.specifier) for limit in limits)), None)
    return desired.version or newest or pinned or kept


def target_extras(desired: Desired, environment: Environment | None) -> tuple[str, ...]:
    """The extras that a new environment is to have: nobody asked to lose those that were there."""
    if desired.return_to:
        return ()
    return tuple(dict.fromkeys((*desired.extras, *(environment.extras if environment else ()))))


def replaces(
    desired: Desired, kept: Environment, environment: Environment | None, *, newest: str | None, python: str | None
) -> bool:
    """Whether an environment that was kept is what would be built otherwise.

    Args:
        kept: the one that was kept, read with the extras that a new environment is to have.
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
    """Name the kept environments beyond the number that stays; what the service runs in is not for the taking.

    Args:
        left: the environment that is about to be kept as well, ahead of the others.
    """
    keep, returning = desired.keep, observed.returning.path if observed.returning else None
    paths = [left.path] if left else []
    paths += [kept.path for kept in observed.kept if kept.path != returning]
    return tuple(path for path in paths[keep:] if path != observed.service.environment)
