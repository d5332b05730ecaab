# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""The errors that end a run: each becomes one ``fail_json``, in the module's main()."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from ._types import Completed, Done, Step


class PatroniInstallError(Exception):
    """The host's state or the options prevent the requested change.

    The message says what was found, what is needed and what to do.

    Attributes:
        done: the steps carried out before the failure, in order.
        failed_step: the step that failed; None if the planning itself failed.
    """

    done: tuple[Done, ...] = ()
    failed_step: Step | None = None

    def details(self) -> dict[str, object]:
        """Return what the failed result contains in addition to the message and the steps."""
        return {}


class CommandError(PatroniInstallError):
    """A command ended with a non-zero code, or could not be started."""

    def __init__(self, message: str, completed: Completed) -> None:
        super().__init__(message)
        self.completed = completed

    def details(self) -> dict[str, object]:
        return {
            "cmd": list(self.completed.argv),
            "rc": self.completed.rc,
            "stdout": self.completed.stdout,
            "stderr": self.completed.stderr,
        }
