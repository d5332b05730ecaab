# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""Environments that were in use and are kept, complete, so that a run can return to them.

Each has a record next to it, written before another environment takes its place. A generation without a record was
never in use, or is broken. So a run that changes nothing recognizes the kept environments by one small file each,
without reading them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
import typing as t

from .._files import look, read_text, remove_file, write_private
from .._variables import NOTHING
from .._versions import normalized_name
from . import _commands
from ._drift import replaces, surplus, target_extras
from ._environment import read_environment
from ._observed import Environment, Kept

if t.TYPE_CHECKING:
    from .._host import Host
    from .._types import Completed
    from ._desired import Desired
    from ._observed import Observed
    from ._steps import KeepEnvironment

RECORD = "kept.json"
_VERSION = re.compile(r"[0-9][A-Za-z0-9.+_-]{0,99}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
# Far enough in the future, and within the range of every Python and file system.
_LAST_MOMENT = 2.0**33
_BLOCK = 512
# A read-only check must not leave compiled files behind.
_LOOKING = {"PYTHONDONTWRITEBYTECODE": "1"}


def read_kept(generations: t.Iterable[str], in_use: str | None) -> tuple[Kept, ...]:
    """Read the records of the kept generations, the most recently used one first."""
    found = []
    for generation in generations:
        kept = _read_record(generation)
        if kept is not None and kept.path != in_use:
            found.append((kept.left_at, int(generation.rpartition("/")[2]), kept))
    return tuple(kept for _left_at, _number, kept in sorted(found, key=lambda entry: entry[:2], reverse=True))


def _read_record(generation: str) -> Kept | None:
    """Read one record. The account can write anything there, so the record is validated."""
    path = f"{generation}/venvs/patroni"
    if not generation.rpartition("/")[2].isdecimal() or look(generation).kind != "directory" or not os.path.isdir(path):
        return None
    try:
        record = json.loads(read_text(f"{generation}/{RECORD}") or "")
        version, size, unit = str(record["version"]), int(record["size"]), record["unit"]
        left_at, unit_changed_at = float(record["left_at"]), float(record["unit_changed_at"])
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError):
        return None
    within = all(0 <= moment <= _LAST_MOMENT for moment in (left_at, unit_changed_at)) and 0 <= size < 2**63
    right = within and _VERSION.fullmatch(version) and (unit is None or _DIGEST.fullmatch(str(unit)))
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(left_at)) if right else ""
    return Kept(path, version, size, left_at, since, unit, unit_changed_at) if right else None


def write_record(step: KeepEnvironment) -> None:
    """Write the record of an environment that is about to be replaced, with the identity of the account."""
    record = {
        "version": step.version,
        "size": _size(step.generation),
        "left_at": time.time(),
        "unit": step.unit,
        "unit_changed_at": step.unit_changed_at,
    }
    path = f"{step.generation}/{RECORD}"
    remove_file(path)
    write_private(path, json.dumps(record))


def remove_record(generation: str) -> None:
    """Remove the record, so that the leftovers of an interrupted removal are not taken for complete."""
    if look(generation).kind == "directory":
        with contextlib.suppress(OSError):
            remove_file(f"{generation}/{RECORD}")


def _size(path: str) -> int:
    """Return the disk usage of a directory tree, in bytes."""
    found = 0
    for directory, directories, files in os.walk(path):
        for name in (*directories, *files):
            with contextlib.suppress(OSError):
                found += os.lstat(f"{directory}/{name}").st_blocks * _BLOCK
    return found


def examine(
    desired: Desired, host: Host, observed: Observed, *, change_due: bool, known: Observed | None = None
) -> Observed:
    """Read the kept environments, if there is something to do with them, and choose the one to return to.

    That environment is verified in the same way as a new one.

    Args:
        change_due: the environment in use does not match the desired state.
        known: an earlier observation of this run; its checks are not repeated.
    """
    if not observed.kept or not (change_due or surplus(desired, observed)):
        return observed
    extras = target_extras(desired, observed.environment)
    with host.identity(desired.account):
        environments = [read_environment(kept.path, extras) for kept in observed.kept]
    unusable = {environment.path: environment.problem for environment in environments if environment.problem}
    returning = None
    for environment in environments if change_due else ():
        if environment.path in unusable or not replaces(
            desired, environment, observed.environment, newest=observed.newest, python=observed.python
        ):
            continue
        cause = _cause(desired, host, environment, extras, known)
        if cause is None:
            returning = environment
            break
        unusable[environment.path] = cause
    gone = (desired.generation_of(path) for path in unusable)
    return observed._replace(
        kept=tuple(kept for kept in observed.kept if kept.path not in unusable),
        retired=(*observed.retired, *(path for path in gone if path)),
        returning=returning,
        unusable=unusable,
    )


def _cause(
    desired: Desired, host: Host, environment: Environment, extras: t.Sequence[str], known: Observed | None
) -> str | None:
    """Return why an environment does not work; None if it works."""
    if known is not None and known.returning is not None and known.returning.path == environment.path:
        return None
    if known is not None and environment.path in known.unusable:
        return known.unusable[environment.path]
    failed = failed_check(desired, host, environment, extras or environment.extras, looking=True)
    if failed is None:
        return None
    from . import _causes

    return _causes.parse_cause(failed.output)


def failed_check(
    desired: Desired, host: Host, environment: Environment, extras: t.Sequence[str], *, looking: bool = False
) -> Completed | None:
    """Verify, as the account, that an environment works; return the command that failed, if any.

    Args:
        looking: nothing may be changed, not even by Python.
    """
    lacking = lacking_extras(environment, extras)
    more = _LOOKING if looking else None
    for command in _commands.checks(environment.path, [extra for extra in extras if extra not in lacking]):
        completed = host.run(command, inherit=NOTHING, account=desired.account, environment=more)
        if completed.rc != 0:
            return completed
    return None


def lacking_extras(environment: Environment, extras: t.Iterable[str]) -> list[str]:
    """List the extras that this Patroni does not have; pip ignores them."""
    return [extra for extra in extras if environment.offers and normalized_name(extra) not in environment.offers]


def warn_of_lacking_extras(host: Host, environment: Environment, extras: t.Iterable[str]) -> None:
    lacking = lacking_extras(environment, extras)
    if lacking:
        host.warn(f"Patroni {environment.version} does not have the extras {', '.join(lacking)}, so they are left out")
