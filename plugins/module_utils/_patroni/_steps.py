# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""The steps that lead from the observed state to the desired one, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

from .._types import PathStep, Step


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class InstallPipx(Step):
    """Install pipx with pip, as root, for every account to use."""

    action = "install_pipx"
    requirement: str

    @property
    def target(self) -> str:
        return self.requirement


@dataclass(frozen=True)
class CreateDirectory(PathStep):
    action = "create_directory"
    uid: int
    gid: int
    mode: int
    as_account: bool


@dataclass(frozen=True)
class SetAttributes(PathStep):
    action = "set_attributes"
    uid: int
    gid: int
    mode: int
    as_account: bool


@dataclass(frozen=True)
class SetLabel(PathStep):
    """Give a file the SELinux label that lets systemd execute it."""

    action = "set_label"
    before: str
    after: str
    as_account: bool


@dataclass(frozen=True)
class RemoveDirectory(PathStep):
    """Remove a directory that belongs to the account, with the account's identity."""

    action = "remove_directory"


@dataclass(frozen=True)
class RemoveEnvironment(PathStep):
    """Remove an environment once no process runs in it any more."""

    action = "remove_environment"


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


@dataclass(frozen=True)
class ExposeExecutables(PathStep):
    """Link the executables of the environment in use, and remove links to those that it no longer has."""

    action = "expose_executables"
    environment: str
    as_account: bool


@dataclass(frozen=True)
class RemoveExecutables(PathStep):
    action = "remove_executables"
    names: tuple[str, ...]
    as_account: bool


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


@dataclass(frozen=True)
class RemoveUnit(PathStep):
    action = "remove_unit"


@dataclass(frozen=True)
class ReloadSystemd(Step):
    action = "reload_systemd"

    @property
    def target(self) -> str:
        return "systemd"
