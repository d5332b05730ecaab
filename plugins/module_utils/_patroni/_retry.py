# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""Run commands that may succeed only later, within the limits of patience."""

from __future__ import annotations

import time
import typing as t

from .._errors import CommandError
from . import _causes

if t.TYPE_CHECKING:
    from .._host import Host
    from .._types import Account, Completed
    from .._variables import Inherited
    from ._desired import Patience

LOCK_POLL_SECONDS = 2.0


def run_patiently(
    host: Host,
    patience: Patience,
    argv: t.Sequence[str],
    environment: t.Mapping[str, str] | None = None,
    account: Account | None = None,
    *,
    inherit: Inherited,
    examine: t.Callable[[Completed], Completed] = lambda completed: completed,
) -> None:
    """Run a command that uses the network, or that another process may block, until it succeeds.

    Args:
        inherit: the variables of the caller's session that the command gets.
        examine: inspects each result, and may return another in its place.

    Raises:
        CommandError: it failed for a permanent reason, or the limits of patience are reached.
    """
    wait = host.wait(patience.lock_timeout)
    failures = 0
    while True:
        completed = examine(host.run(argv, inherit=inherit, account=account, environment=environment))
        if completed.rc == 0:
            return
        told = f"{completed.program}: {_causes.parse_cause(completed.output)}"
        if _causes.is_locked(completed.output) and wait.goes_on(told, LOCK_POLL_SECONDS):
            continue
        if not _causes.is_transient(completed.output) or failures == patience.retries:
            expect_success(completed)
        failures += 1
        host.log(f"{told}; try {failures} of {patience.retries + 1}, the next in {patience.retry_delay} seconds")
        time.sleep(patience.retry_delay)


def expect_success(completed: Completed) -> None:
    """Check that a command succeeded.

    Raises:
        CommandError: it failed.
    """
    if completed.rc != 0:
        ended = f"ended with code {completed.rc}" if completed.rc >= 0 else f"was killed by signal {-completed.rc}"
        raise CommandError(f"{completed.program} {ended}: {_causes.parse_cause(completed.output)}", completed)
