# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plain data that flows through the module: the desired state, the observed state, and the steps between them.

Nothing here touches a machine. Paths are absolute, owners are numeric, modes are permission bits.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

ENVIRONMENT_MODE = 0o755
CONFIG_DIR_MODE = 0o700
UNIT_MODE = 0o644
# The file in an environment that records which interpreter was requested.
ASKED_PYTHON = "asked_python"
# The name, among the generations, of the link that is about to be put in place.
SWITCH = "switch"
# The directories that root searches for commands: sudo's secure_path, which lacks some of them, and login(1).
ROOT_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


@dataclass(frozen=True)
class Account:
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


@dataclass(frozen=True)
class Limit:
    """The limit that a line of a constraints file sets for a distribution.

    Attributes:
        name: the normalized name of the distribution.
        specifier: in the format of PEP 440, such as ==4.0.7 or <4.1,>=4.0.
        marker: the condition under which the line applies (PEP 508); empty if it always applies.
        file: the file that contains the line.
    """

    name: str
    specifier: str
    marker: str = ""
    file: str = ""


@dataclass(frozen=True)
class Sources:
    """Where packages come from; URLs may contain credentials, so commands get them only in their environment.

    Attributes:
        constraints: the path of a constraints file on the host.
        limits: the limits in this file and in those that it names.
        machine: the hardware name that the system reports; a line may depend on it.
    """

    index_url: str | None = None
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    constraints: str | None = None
    limits: tuple[Limit, ...] = ()
    machine: str = ""

    @property
    def local(self) -> tuple[str, ...]:
        """Return the sources that are paths on the host."""
        links = tuple(link for link in self.find_links if ":" not in link)
        return (*links, self.constraints) if self.constraints else links


@dataclass(frozen=True)
class Desired:
    """The desired state, with all defaults resolved.

    Paths use one name for each directory: without links, and without the second name that a bind mount creates.

    Attributes:
        legacy_environment: where pipx before 1.3 puts the environment by default.
        config_chosen: the operator chose config_path; otherwise a configuration that the unit names takes precedence.
        typed: the operator's name for each directory, by its name in the plan.
    """

    state: str
    family: str
    distribution: str
    account: Account
    extras: tuple[str, ...]
    bin_dir: str
    pipx_home: str
    config_dir: str
    config_path: str
    unit_path: str
    unit_uid: int
    unit_gid: int
    legacy_environment: str
    config_chosen: bool = True
    typed: t.Mapping[str, str] = field(default_factory=dict)
    version: str | None = None
    python: str | None = None
    pipx_executable: str | None = None
    pipx_version: str | None = None
    sources: Sources = field(default_factory=Sources)
    force: bool = False
    keep: int = 1
    return_to: str | None = None

    @property
    def environment(self) -> str:
        """The path of the environment, whatever the default of this pipx is: a link to the generation in use."""
        return f"{self.pipx_home}/venvs/patroni"

    @property
    def generations(self) -> str:
        """The directory of the environments that were built, each in a numbered directory of its own.

        An environment never changes its path, so processes started in it keep finding their own files, not those of
        the next one.
        """
        return f"{self.pipx_home}/patroni"

    def generation_of(self, environment: str) -> str | None:
        """Return the generation that contains an environment; None if the environment was not built here."""
        path, _venvs, rest = environment.rpartition("/venvs/")
        return path if rest == "patroni" and path.rpartition("/")[0] == self.generations else None

    def shown(self, path: str) -> str:
        """Return the operator's name for a path, for messages, results and the unit."""
        leading = [name for name in self.typed if f"{path}/".startswith(f"{name}/")]
        if not leading:
            return path
        longest = max(leading, key=len)
        return path.replace(longest, self.typed[longest], 1)

    def owns(self, path: str) -> bool:
        """Return whether a path is inside an environment of this installation."""
        own = (self.environment, self.generations, self.legacy_environment)
        return any(path.startswith(f"{directory}/") for directory in own)

    @property
    def shared_libraries(self) -> str:
        """Where pipx keeps the pip of all its environments."""
        return f"{self.pipx_home}/shared"

    @property
    def unit_dir(self) -> str:
        return self.unit_path.rpartition("/")[0]

    @property
    def unit_name(self) -> str:
        return self.unit_path.rpartition("/")[2]


@dataclass(frozen=True)
class Patience:
    """Retry and timeout limits. Times are in seconds."""

    lock_timeout: int = 300
    retries: int = 5
    retry_delay: int = 20


@dataclass(frozen=True)
class Completed:
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


@dataclass(frozen=True)
class PathState:
    """The state of a path; links are not followed.

    Attributes:
        kind: one of missing, file, directory, link, other.
        text: the content of a file, if it was requested.
        target: where a link leads, as written in the link.
        changed_at: when the content last changed, in seconds since the epoch.
    """

    kind: str = "missing"
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


@dataclass(frozen=True)
class Place:
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


@dataclass(frozen=True)
class Environment:
    """A Python environment that contains, or should contain, Patroni; read only from its files.

    Attributes:
        path: its path, links resolved.
        version: Patroni's version; None if it cannot be determined.
        extras: the extras that pipx recorded.
        missing: the desired extras that lack a distribution.
        versions: the version of each distribution, by normalized name.
        python: the interpreter, links resolved; None if it no longer exists.
        asked_python: the file requested as the interpreter, in the notation of _probe.py; None if unknown.
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
    versions: t.Mapping[str, str] = field(default_factory=dict)
    python: str | None = None
    asked_python: str | None = None
    python_version: str | None = None
    problem: str | None = None
    executables: tuple[str, ...] = ()
    injected: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()
    offers: tuple[str, ...] = ()
    changed_at: float = 0.0


@dataclass(frozen=True)
class Label:
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
class Kept:
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


@dataclass(frozen=True)
class Pipx:
    """A pipx that the account can run; its version is None if the account does not exist yet.

    Attributes:
        python: the interpreter that it runs with and creates environments with, links resolved.
    """

    path: str
    version: str | None
    python: str | None = None


@dataclass(frozen=True)
class Tools:
    """The tools available for building an environment; probed only if one must be built.

    Attributes:
        pip: the system pip3.
        package_known: the package manager lists a package for pipx.
        unsafe_sources: local package sources that the account could change while root installs from them.
        shared_damaged: the environment that all pipx environments share exists but is incomplete.
    """

    pipx: Pipx | None = None
    pip: str | None = None
    package_known: bool = True
    shared_damaged: bool = False
    unsafe_sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Service:
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


@dataclass(frozen=True)
class Configuration:
    """The configuration that the unit starts Patroni with.

    Attributes:
        path: a file, or a directory of them.
        others: the configuration files in config_dir, if the path does not exist.
        unclear: the unit on the host starts Patroni in a way that does not show which configuration it uses.
    """

    path: str
    others: tuple[str, ...] = ()
    unclear: bool = False


@dataclass(frozen=True)
class Observed:
    """The observed state of the host.

    Attributes:
        root: the module runs as root.
        environment: the environment in use, or the closest match.
        executables: the executables in bin_dir, by name; the directory in a link's target is resolved.
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
    """

    root: bool
    environment: Environment | None
    executables: t.Mapping[str, PathState]
    bin_dir: Place
    pipx_home: Place
    config_dir: Place
    unit_dir: Place
    unit: PathState
    service: Service = field(default_factory=Service)
    tools: Tools | None = None
    pointer: PathState = field(default_factory=PathState)
    next_generation: str = ""
    retired: tuple[str, ...] = ()
    unfit_label: Label | None = None
    kept: tuple[Kept, ...] = ()
    returning: Environment | None = None
    unusable: t.Mapping[str, str] = field(default_factory=dict)
    newest: str | None = None
    configuration: Configuration | None = None
    python: str | None = None
    users: tuple[str, ...] = ()
    bin_dir_used: bool = False
    busy: str | None = None
    python_version: str | None = None
    interpreter: str | None = None


@dataclass(frozen=True)
class Step:
    """One change to the host, as data. Each subclass is one kind of change."""

    action: t.ClassVar[str]

    @property
    def target(self) -> str:
        raise NotImplementedError

    def describe(self) -> dict[str, str]:
        return {"action": self.action, "target": self.target}


@dataclass(frozen=True)
class _PathStep(Step):
    path: str

    @property
    def target(self) -> str:
        return self.path


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
class CreateDirectory(_PathStep):
    action = "create_directory"
    uid: int
    gid: int
    mode: int
    as_account: bool


@dataclass(frozen=True)
class SetAttributes(_PathStep):
    action = "set_attributes"
    uid: int
    gid: int
    mode: int
    as_account: bool


@dataclass(frozen=True)
class SetLabel(_PathStep):
    """Give a file the SELinux label that lets systemd execute it."""

    action = "set_label"
    before: str
    after: str
    as_account: bool


@dataclass(frozen=True)
class RemoveDirectory(_PathStep):
    """Remove a directory that belongs to the account, with the account's identity."""

    action = "remove_directory"


@dataclass(frozen=True)
class RemoveEnvironment(_PathStep):
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
class KeepEnvironment(_PathStep):
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
class SwitchEnvironment(_PathStep):
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
class ExposeExecutables(_PathStep):
    """Link the executables of the environment in use, and remove links to those that it no longer has."""

    action = "expose_executables"
    environment: str
    as_account: bool


@dataclass(frozen=True)
class RemoveExecutables(_PathStep):
    action = "remove_executables"
    names: tuple[str, ...]
    as_account: bool


@dataclass(frozen=True)
class WriteUnit(_PathStep):
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
class RemoveUnit(_PathStep):
    action = "remove_unit"


@dataclass(frozen=True)
class ReloadSystemd(Step):
    action = "reload_systemd"

    @property
    def target(self) -> str:
        return "systemd"
