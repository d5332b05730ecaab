# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""Find the interpreter that the operator requested for the environment, and recognize it in later runs."""

from __future__ import annotations

import os
import typing as t

from .._errors import CommandError, PatroniInstallError
from .._files import is_executable
from .._variables import NOTHING
from . import _answers, _commands

if t.TYPE_CHECKING:
    from .._host import Host
    from ._desired import Desired
    from ._observed import Environment


def resolve_python(desired: Desired, host: Host, environment: Environment | None) -> str | None:
    """Find the interpreter that the requested one starts, with links resolved.

    The requested file itself may be a wrapper or a shim. It is run only if the files are not conclusive, so a run that
    changes nothing starts no process for it.

    Raises:
        PatroniInstallError: the requested interpreter is missing, or is not a Python 3.
    """
    if desired.python is None:
        return None
    with host.identity(desired.account):
        found = find_python(desired, host)
        resolved = os.path.realpath(found) if found else None
        if found is None or resolved is None or not is_executable(resolved):
            raise PatroniInstallError(
                f"python: {desired.account.name} cannot run {desired.python} on this host; "
                "install that interpreter first, or name another"
            )
        request = requested_python(desired, host)
    if desired.account.assumed:
        return resolved
    used = environment.python if environment else None
    if environment is not None and used is not None and environment.asked_python in (request, found):
        return used
    if used == resolved:
        return used
    completed = host.run(_commands.ask_interpreter(found), inherit=NOTHING, account=desired.account)
    answer = _answers.parse_answer_of_interpreter(completed.stdout) if completed.rc == 0 else None
    if answer is None:
        from . import _causes

        raise CommandError(
            f"python: {desired.python} must start a Python 3 for {desired.account.name}, and does not: "
            f"{_causes.parse_cause(completed.output)}",
            completed,
        )
    return answer


def requested_python(desired: Desired, host: Host) -> str | None:
    """Identify the requested interpreter by its path and modification time, because a wrapper may change."""
    found = find_python(desired, host)
    try:
        return f"{found} {os.stat(found).st_mtime_ns}" if found else None
    except OSError:
        return None


def find_python(desired: Desired, host: Host) -> str | None:
    """Find the requested interpreter, as it is written or on the PATH."""
    python = desired.python
    return host.find(python) if python and "/" not in python else python
