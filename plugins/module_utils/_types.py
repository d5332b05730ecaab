# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""Plain data that describes a host for any module: accounts, paths, commands, and the steps of a plan.

Nothing here touches a machine. Paths are absolute, owners are numeric, modes are permission bits.

States are named tuples, because every run defines them, and Python takes four times as long to define a frozen
dataclass. Steps are dataclasses: two kinds with the same values differ, and kinds inherit.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

# The directories that root searches for commands: sudo's secure_path, which lacks some of them, and login(1).
ROOT_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")

Kind = t.Literal["missing", "file", "directory", "link", "other"]
# A text before and after a change, each with its header, as Ansible shows it with --diff.
DiffEntry = t.Dict[str, str]


def is_within(path: str, directory: str) -> bool:
    """Return whether a path is a directory or below it, judged by the text of both; see also Names.lies_in()."""
    return f"{path}/".startswith(f"{directory.rstrip('/')}/")


class Account(t.NamedTuple):
    """The account that owns and runs Patroni, with the group of its service.

    Attributes:
        assumed: the account does not exist yet; check mode continues with the family's usual home.
    """

    name: str
    uid: int
    gid: int
    home: str
    group: str
    group_gid: int
    assumed: bool = False


class Completed(t.NamedTuple):
    """A command that has ended.

    Attributes:
        program: the name of the program, without the command that switched to the account.
        argv: the complete command.
    """

    program: str
    argv: tuple[str, ...]
    rc: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return f"{self.stdout}\n{self.stderr}"


class PathState(t.NamedTuple):
    """The state of a path; links are not followed.

    Attributes:
        kind: one of missing, file, directory, link, other.
        text: the content of a file, if it was requested.
        target: where a link leads, as written in the link.
        changed_at: when the content last changed, in seconds since the epoch.
    """

    kind: Kind = "missing"
    uid: int = -1
    gid: int = -1
    mode: int = 0
    text: str | None = None
    target: str | None = None
    changed_at: float = 0.0

    @property
    def exists(self) -> bool:
        return self.kind != "missing"

    def has(self, uid: int, gid: int, mode: int) -> bool:
        """Return whether the owner, group and permission bits match."""
        return (self.uid, self.gid, self.mode) == (uid, gid, mode)


class Place(t.NamedTuple):
    """A required directory, and the missing part of the path to it.

    Attributes:
        missing: the components to create, outermost first.
        account_controls: the account can write to the directory or to one on the way, so only its own identity is safe
            inside it.
        way_controlled: the account can write to one on the way, so only its own identity is safe for the directory.
        writable: the identity that acts there (see above) may create entries in the innermost existing directory.
    """

    path: str
    state: PathState
    missing: tuple[str, ...] = ()
    account_controls: bool = False
    way_controlled: bool = False
    writable: bool = True


class Label(t.NamedTuple):
    """An SELinux label that prevents systemd from starting a file.

    Attributes:
        needed: the label that the file should have.
        account_controls: the account can change the path to the file, so only its own identity is safe there.
    """

    path: str
    found: str
    needed: str
    account_controls: bool


@dataclass(frozen=True)
class Step:
    """One change to the host, as data. Each subclass is one kind of change."""

    action: t.ClassVar[str]

    @property
    def target(self) -> str:
        raise NotImplementedError

    def describe(self) -> dict[str, str]:
        return {"action": self.action, "target": self.target}

    def diff(self, context: t.Any) -> t.Iterator[DiffEntry]:
        """Yield the changes that the step makes; by default none that a text could show.

        Args:
            context: the rest that the texts depend on; each module has its own kind.
        """
        return iter(())


class Done(t.NamedTuple):
    """A step that was carried out, and how long that took, in seconds."""

    step: Step
    seconds: float

    def describe(self) -> dict[str, t.Any]:
        return {**self.step.describe(), "seconds": round(self.seconds, 2)}


@dataclass(frozen=True)
class PathStep(Step):
    path: str

    @property
    def target(self) -> str:
        return self.path
