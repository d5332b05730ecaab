# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plain data that flows through the module: what is desired, what is observed, and the steps between.

Nothing here touches a machine. Paths are absolute, owners are numeric, modes are permission bits.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

ENVIRONMENT_MODE = 0o755
CONFIG_DIR_MODE = 0o700
UNIT_MODE = 0o644
# In an environment, the file that says which interpreter was asked for.
ASKED_PYTHON = "asked_python"
# Among the generations, the name of what is about to be put in place.
SWITCH = "switch"
# What root finds by name: sudo's secure_path, which lacks some of them, and login(1).
ROOT_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


@dataclass(frozen=True)
class Account:
    """The account that owns and runs Patroni, with the group of its service.

    Attributes:
        assumed: the account does not exist yet; check mode goes on with the family's usual home.
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
    """What a line of a constraints file allows of a distribution.

    Attributes:
        name: of the distribution, normalized.
        specifier: as PEP 440 has it, such as ==4.0.7 or <4.1,>=4.0.
        marker: where the line counts (PEP 508); empty where it does everywhere.
        file: the file that the line stands in.
    """

    name: str
    specifier: str
    marker: str = ""
    file: str = ""


@dataclass(frozen=True)
class Sources:
    """Where packages come from; URLs may hold credentials, so that they go into the environment of commands only.

    Attributes:
        constraints: the path of a constraints file on the host.
        limits: what this file, and those that it names, allow.
        machine: what the system calls its hardware, on which a line may depend.
    """

    index_url: str | None = None
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    constraints: str | None = None
    limits: tuple[Limit, ...] = ()
    machine: str = ""

    @property
    def local(self) -> tuple[str, ...]:
        """The paths on the host among them."""
        links = tuple(link for link in self.find_links if ":" not in link)
        return (*links, self.constraints) if self.constraints else links


@dataclass(frozen=True)
class Desired:
    """The state that the host shall be in, every default filled in.

    Paths have one name for each directory: without links, and without the second name that a bind mount gives.

    Attributes:
        legacy_environment: where pipx before 1.3 puts the environment when left to itself.
        config_chosen: the operator chose config_path; otherwise a configuration that the unit names comes before it.
        typed: what the operator calls each directory, by its name in the plan.
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
        """Where the environment is found, whatever this pipx's own default is: a link to the generation in use."""
        return f"{self.pipx_home}/venvs/patroni"

    @property
    def generations(self) -> str:
        """The folder of the environments that were built, each in a numbered folder of its own.

        An environment never changes its path, so what started in it keeps finding its own files, not those of the
        next one.
        """
        return f"{self.pipx_home}/patroni"

    def generation_of(self, environment: str) -> str | None:
        """The generation that holds an environment; None for an environment that was not built here."""
        path, _venvs, rest = environment.rpartition("/venvs/")
        return path if rest == "patroni" and path.rpartition("/")[0] == self.generations else None

    def shown(self, path: str) -> str:
        """The name of a path as the operator calls it, for messages, results and the unit."""
        leading = [name for name in self.typed if f"{path}/".startswith(f"{name}/")]
        if not leading:
            return path
        longest = max(leading, key=len)
        return path.replace(longest, self.typed[longest], 1)

    def owns(self, path: str) -> bool:
        """Whether a path leads into an environment of this installation."""
        own = (self.environment, self.generations, self.legacy_environment)
        return any(path.startswith(f"{folder}/") for folder in own)

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
    """How long to bear with what passes by itself. Times are in seconds."""

    lock_timeout: int = 300
    retries: int = 5
    retry_delay: int = 20


@dataclass(frozen=True)
class Completed:
    """A command that has ended.

    Attributes:
        program: the name of what was run, without what switched the account for it.
        argv: all that was run.
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
    """What lies at a path; links are not followed.

    Attributes:
        kind: one of missing, file, directory, link, other.
        text: the content, of a file whose content was asked for.
        target: where a link leads, as it is written in the link.
        changed_at: when the content changed last, in seconds since the epoch.
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
        """Whether owner, group and permission bits are these."""
        return (self.uid, self.gid, self.mode) == (uid, gid, mode)


@dataclass(frozen=True)
class Place:
    """A directory that is needed, and what of the way to it is missing.

    Attributes:
        missing: the components to be created, outermost first.
        account_controls: the account can write to the folder or to one on the way, so that only its own identity is
            safe in there.
        way_controlled: the account can write to one on the way, so that only its own identity is safe with the folder.
        writable: whoever acts there (see above) may create entries in the innermost folder that exists.
    """

    path: str
    state: PathState
    missing: tuple[str, ...] = ()
    account_controls: bool = False
    way_controlled: bool = False
    writable: bool = True


@dataclass(frozen=True)
class Environment:
    """A Python environment that holds, or should hold, a Patroni; read from its files alone.

    Attributes:
        path: where it lies, links resolved.
        version: Patroni's version; None when it cannot be told.
        extras: the extras that pipx recorded.
        missing: the desired extras of which a distribution is not there.
        versions: the version of each distribution, by normalized name.
        python: the interpreter, links resolved; None when it is gone.
        asked_python: which file was asked for as the interpreter, as _probe.py writes it down; None if that is unknown.
        python_version: of the Python that its packages are for, such as 3.11; None when that cannot be told.
        problem: why it does not run; None when it does.
        executables: the names of the executables that Patroni brings.
        injected: what was put beside Patroni on purpose, as requirements.
        stuck: the names of what was put there on purpose and cannot be asked of an index again.
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
    """A SELinux label that keeps systemd from starting a file.

    Attributes:
        needed: the one that it should have.
        account_controls: the account can change the way to the file, so that only its own identity is safe there.
    """

    path: str
    found: str
    needed: str
    account_controls: bool


@dataclass(frozen=True)
class Kept:
    """An environment that was in use and stays, complete, for the way back; from what was noted when it was left.

    Attributes:
        path: of the environment itself.
        size: of its generation on the disk, in bytes.
        left_at: when another one took its place, in seconds since the epoch.
        since: the same, for people to read.
        unit: the digest of the unit that was in place then; None if there was none.
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
    """A pipx that the account can run; its version is None while the account is still to be created.

    Attributes:
        python: the interpreter that it runs with, and makes environments with, links resolved.
    """

    path: str
    version: str | None
    python: str | None = None


@dataclass(frozen=True)
class Tools:
    """What building an environment can count on. Looked at only when one has to be built.

    Attributes:
        pip: the pip3 of the system.
        package_known: the package manager knows of a package for pipx.
        unsafe_sources: local sources of packages that the account could change while root installs from them.
        shared_damaged: the environment that pipx shares among its own is there, but not whole.
    """

    pipx: Pipx | None = None
    pip: str | None = None
    package_known: bool = True
    shared_damaged: bool = False
    unsafe_sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Service:
    """What systemd knows of the unit; the default is what a host without a running systemd knows.

    Attributes:
        managed: systemd runs and looks for units where this one lies.
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
    """What the unit starts Patroni with.

    Attributes:
        path: a file, or a directory of them.
        others: if nothing lies there, the configuration files in config_dir.
        unclear: the unit on the host starts Patroni in a way that does not tell which configuration it uses.
    """

    path: str
    others: tuple[str, ...] = ()
    unclear: bool = False


@dataclass(frozen=True)
class Observed:
    """The state that the host is in.

    Attributes:
        root: the module runs with root's power.
        environment: the environment in use, or the one that comes closest.
        executables: what lies in bin_dir under the names of executables; targets of links with their folder resolved.
        pointer: what lies where the environment is to be found.
        next_generation: the folder that the next environment is to be built in.
        unfit_label: of what systemd is to start; None if systemd may start it.
        retired: environments of this installation that are of no use any more, and what an interrupted run left.
        kept: earlier environments that are complete, the one that was in use last first.
        returning: the one of them that is as desired, and has just proved that it works; looked for only if the
            environment in use is not as desired.
        spoiled: those that do not work any more, and why; looked for only if something is to be done with them.
        newest: the newest version that the index offers; None where nobody asked.
        configuration: what the unit is to name; None for what is desired.
        python: the interpreter that the desired one starts, links resolved; None if any will do.
        users: other units that start something of this installation; looked for only if it is to be removed.
        bin_dir_used: one of them does that by way of bin_dir.
        busy: the first directory of this installation that processes run in; looked for only then, too.
        python_version: of the Python that the environment has, or will have if one is built; None where not known.
        interpreter: a Python like that, where an environment has to be built; None where there is none yet.
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
    spoiled: t.Mapping[str, str] = field(default_factory=dict)
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
    """One change to the host, as data. The subclasses say which."""

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
    """Give a file the SELinux label with which systemd may execute it."""

    action = "set_label"
    before: str
    after: str
    as_account: bool


@dataclass(frozen=True)
class RemoveDirectory(_PathStep):
    """Remove a folder of the account's, with the account's identity."""

    action = "remove_directory"


@dataclass(frozen=True)
class RemoveEnvironment(_PathStep):
    """Remove an environment once no process runs in it any more."""

    action = "remove_environment"


@dataclass(frozen=True)
class BuildEnvironment(Step):
    """Build and check a new environment beside the one in use.

    Attributes:
        injected: what else goes into it, as requirements.
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
        """Where pipx puts the environment when the generation is its home."""
        return f"{self.generation}/venvs/patroni"

    @property
    def version(self) -> str | None:
        """The version that is asked for; None for the newest."""
        return self.requirement.partition("==")[2] or None


@dataclass(frozen=True)
class KeepEnvironment(_PathStep):
    """Note that an environment is complete, before another one takes its place.

    Attributes:
        unit: the digest of the unit that is in place; None if there is none.
        unit_changed_at: when that unit was written.
    """

    action = "keep_environment"
    generation: str
    version: str
    unit: str | None = None
    unit_changed_at: float = 0.0


@dataclass(frozen=True)
class SwitchEnvironment(_PathStep):
    """Point to another environment, in one rename, and expose its executables."""

    action = "switch_environment"
    environment: str
    bin_dir: str
    as_account: bool


@dataclass(frozen=True)
class SwitchBack(SwitchEnvironment):
    """Point to an environment that was kept."""

    action = "switch_back"
    generation: str
    version: str
    since: str

    @property
    def target(self) -> str:
        return f"{self.version}, kept since {self.since}"


@dataclass(frozen=True)
class ExposeExecutables(_PathStep):
    """Link the executables of the environment in use, and drop links to what it no longer has."""

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
        changed_at: the time to keep, of a text that stays; None for a text that is new.
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
