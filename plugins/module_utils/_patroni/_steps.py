# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""The steps that lead from the observed state to the desired one: plain data, and the changes of each as text.

A kind without fields of its own inherits the methods of a dataclass. It is not decorated, because every run would spend
time on generating them again.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .._types import DiffEntry, PathState, PathStep, Step

if t.TYPE_CHECKING:
    from .._types import Account
    from ._desired import Desired
    from ._observed import Observed

# The header that steps in a row about directories have in common.
DIRECTORIES = "directories"


class DiffContext(t.NamedTuple):
    """What the diff of a step depends on besides the step.

    Attributes:
        before: the state of the host before the run.
        version: the version of Patroni after the run; None if it is not known yet.
        shortfall: why the environment that was found does not match the desired state.
    """

    desired: Desired
    before: Observed
    version: str | None
    shortfall: str


class RefreshPackageLists(Step):
    action = "refresh_package_lists"

    @property
    def target(self) -> str:
        return "apt"


@dataclass(frozen=True)
class InstallPackages(Step):
    action = "install_packages"
    names: tuple[str, ...]

    @property
    def target(self) -> str:
        return " ".join(self.names)

    def diff(self, context: DiffContext) -> t.Iterator[DiffEntry]:
        yield _entry("packages", "", _lines(self.names))


@dataclass(frozen=True)
class InstallPipx(Step):
    """Install pipx with pip, as root, for every account to use."""

    action = "install_pipx"
    requirement: str
    python: str

    @property
    def target(self) -> str:
        return self.requirement

    def diff(self, context: DiffContext) -> t.Iterator[DiffEntry]:
        yield _entry("packages of pip", "", f"{self.requirement}\n")


@dataclass(frozen=True)
class CreateDirectory(PathStep):
    action = "create_directory"
    uid: int
    gid: int
    mode: int
    as_account: bool

    def diff(self, context: DiffContext) -> t.Iterator[DiffEntry]:
        owner, group, mode = _ownership(context.desired.account, self)
        yield _entry(DIRECTORIES, "", f"{self.path}  {owner}:{group} {mode}\n")


@dataclass(frozen=True)
class SetAttributes(PathStep):
    action = "set_attributes"
    uid: int
    gid: int
    mode: int
    as_account: bool

    def diff(self, context: DiffContext) -> t.Iterator[DiffEntry]:
        account, found = context.desired.account, context.before.config_dir.state
        yield _entry(self.path, _attributes(account, found), _attributes(account, self))


@dataclass(frozen=True)
class SetLabel(PathStep):
    """Give a file the SELinux label that lets systemd execute it."""

    action = "set_label"
    before: str
    after: str
    as_account: bool

    def diff(self, context: DiffContext) -> t.Iterator[DiffEntry]:
        yield _entry(f"{self.path} (SELinux label)", f"{self.before}\n", f"{self.after}\n")


class RemoveDirectory(PathStep):
    """Remove a directory that belongs to the account, with the account's identity."""

    action = "remove_directory"

    def diff(self, context: DiffContext) -> t.Iterator[DiffEntry]:
        yield _entry(DIRECTORIES, f"{self.path}\n", "")


class RemoveEnvironment(PathStep):
    """Remove an environment once no process runs in it any more."""

    action = "remove_environment"

    def diff(self, context: DiffContext) -> t.Iterator[DiffEntry]:
        yield _entry(DIRECTORIES, f"{self.path}\n", "")


@dataclass(frozen=True)
class BuildEnvironment(Step):
    """Build and check a new environment next to the one in use.

    Attributes:
        injected: additional packages for it, as requirements.
    """

    action = "build_environment"
    generation: str
    requirement: str
    extras: tuple[str, ...]
    python: str | None
    injected: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        return self.requirement

    @property
    def path(self) -> str:
        """Where pipx puts the environment if the generation is its home."""
        return f"{self.generation}/venvs/patroni"

    @property
    def version(self) -> str | None:
        """The requested version; None for the newest."""
        return self.requirement.partition("==")[2] or None

    def diff(self, context: DiffContext) -> t.Iterator[DiffEntry]:
        new = _described(context.version or "the newest that the index offers", self.extras, self.injected)
        yield _entry(context.desired.environment, _replaced(context, new), new)


@dataclass(frozen=True)
class KeepEnvironment(PathStep):
    """Record that an environment is complete, before another one takes its place.

    Attributes:
        unit: the digest of the current unit; None if there is none.
        unit_changed_at: when that unit was written.
    """

    action = "keep_environment"
    generation: str
    version: str
    unit: str | None = None
    unit_changed_at: float = 0.0

    def diff(self, context: DiffContext) -> t.Iterator[DiffEntry]:
        yield _entry("kept environments", "", f"{self.path}\n")


@dataclass(frozen=True)
class SwitchEnvironment(PathStep):
    """Switch to another environment with a single rename, and expose its executables."""

    action = "switch_environment"
    environment: str
    bin_dir: str
    as_account: bool


@dataclass(frozen=True)
class SwitchBack(SwitchEnvironment):
    """Switch to a kept environment."""

    action = "switch_back"
    generation: str
    version: str
    since: str

    @property
    def target(self) -> str:
        return f"{self.version}, kept since {self.since}"

    def diff(self, context: DiffContext) -> t.Iterator[DiffEntry]:
        back = context.before.returning
        new = _described(self.version, back.extras if back else (), back.injected if back else ())
        yield _entry(context.desired.environment, _replaced(context, new), f"{new}kept since: {self.since}\n")


@dataclass(frozen=True)
class ExposeExecutables(PathStep):
    """Link the executables of the environment in use, and remove links to those that it no longer has."""

    action = "expose_executables"
    environment: str
    as_account: bool

    def diff(self, context: DiffContext) -> t.Iterator[DiffEntry]:
        environment = context.before.environment
        offered = environment.executables if environment else ()
        links = (name for name in offered if name in context.before.executables)
        yield _entry(self.path, _lines(links), _lines(offered))


@dataclass(frozen=True)
class RemoveExecutables(PathStep):
    action = "remove_executables"
    names: tuple[str, ...]
    as_account: bool

    def diff(self, context: DiffContext) -> t.Iterator[DiffEntry]:
        yield _entry(self.path, _lines(self.names), "")


@dataclass(frozen=True)
class WriteUnit(PathStep):
    """Put a new unit file in place.

    Attributes:
        changed_at: the modification time to keep for an existing text; None for a new text.
    """

    action = "write_unit"
    text: str
    uid: int
    gid: int
    mode: int
    changed_at: float | None = None

    def diff(self, context: DiffContext) -> t.Iterator[DiffEntry]:
        account, found = context.desired.account, context.before.unit
        yield _entry(self.path, found.text or "", self.text)
        if found.exists:
            yield _entry(f"{self.path} (attributes)", _attributes(account, found), _attributes(account, self))


class RemoveUnit(PathStep):
    action = "remove_unit"

    def diff(self, context: DiffContext) -> t.Iterator[DiffEntry]:
        yield _entry(self.path, context.before.unit.text or "", "")


@dataclass(frozen=True)
class WriteProfile(PathStep):
    """Put a new file for login shells in place."""

    action = "write_profile"
    text: str

    def diff(self, context: DiffContext) -> t.Iterator[DiffEntry]:
        yield _entry(self.path, context.before.profile.text or "", self.text)


class RemoveProfile(PathStep):
    action = "remove_profile"

    def diff(self, context: DiffContext) -> t.Iterator[DiffEntry]:
        yield _entry(self.path, context.before.profile.text or "", "")


class ReloadSystemd(Step):
    action = "reload_systemd"

    @property
    def target(self) -> str:
        return "systemd"


_Owned = t.Union[PathState, CreateDirectory, SetAttributes, WriteUnit]


def _entry(header: str, before: str, after: str) -> DiffEntry:
    return {"before_header": header, "after_header": header, "before": before, "after": after}


def _lines(names: t.Iterable[str]) -> str:
    return "".join(f"{name}\n" for name in sorted(names))


def _described(version: str, extras: t.Sequence[str], injected: t.Sequence[str]) -> str:
    listed = f"injected: {', '.join(sorted(injected))}\n" if injected else ""
    return f"version: {version}\nextras: {', '.join(sorted(extras))}\n{listed}"


def _replaced(context: DiffContext, new: str) -> str:
    """Describe the environment that was found, and its problem if the new one looks the same."""
    environment = context.before.environment
    if environment is None:
        return ""
    old = _described(environment.version or "unknown", environment.extras, (*environment.injected, *environment.stuck))
    if not environment.problem and old != new:
        return old
    return f"{old}problem: {context.shortfall}\n"


def _attributes(account: Account, state: _Owned) -> str:
    owner, group, mode = _ownership(account, state)
    return f"owner: {owner}\ngroup: {group}\nmode: {mode}\n"


def _ownership(account: Account, state: _Owned) -> tuple[str, str, str]:
    users = {0: "root", account.uid: account.name}
    groups = {0: "root", account.group_gid: account.group}
    return users.get(state.uid, str(state.uid)), groups.get(state.gid, str(state.gid)), f"{state.mode:04o}"
