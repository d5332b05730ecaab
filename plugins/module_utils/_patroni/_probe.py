# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""Observe the host without changing it. Files within the account's reach are read as the account."""

from __future__ import annotations

import os
import time
import typing as t

from .. import _selinux
from .._errors import PatroniInstallError
from .._files import look, read_text, ways
from .._paths import Names
from .._types import Label, PathState, Place, is_within
from .._variables import NOTHING
from . import _answers, _commands, _login_shell, _sources
from ._desired import SWITCH
from ._drift import environment_drift
from ._environment import read_environment, shared_libraries_problem
from ._exec_start import Unit, configuration_of_process, programs_of_unit
from ._interpreter import resolve_python
from ._kept import examine, read_kept
from ._observed import Configuration, Environment, Kept, Observed, Service, Tools, named_version
from ._pipx import find_pip, find_pipx, parse_interpreter

if t.TYPE_CHECKING:
    from .._host import Host
    from ._desired import Desired

# The directories that systemd searches for units, in order of precedence (systemd.unit(5)).
_UNIT_DIRECTORIES = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
_APT_LISTS = "/var/lib/apt/lists"


def probe(desired: Desired, host: Host, *, known: Observed | None = None) -> Observed:
    """Observe everything the plan needs.

    A process is started only to query systemd about the unit and, if an environment must be built, to check the tools.

    Args:
        known: an earlier observation of this run; the tools and the index are not queried again.
    """
    names = Names(host, desired.account, desired.pipx_home, desired.bin_dir)
    observed = _probe_files(desired, host, names)
    observed = observed._replace(service=_probe_service(desired, host, observed.unit, names))
    if desired.state == "absent":
        return _probe_users(desired, host, names, observed)
    observed = observed._replace(configuration=_probe_configuration(desired, host, observed))
    environment = observed.environment
    python = known.python if known else resolve_python(desired, host, environment)
    # For constraints with hashes, see expect_offer(); they name the version.
    if desired.state == "latest" and environment is not None and not desired.sources.hashed:
        from . import _index

        newest = known.newest if known else _index.newest(desired, environment, python, host)
        observed = observed._replace(newest=newest)
    observed = observed._replace(python=python)
    drift = environment_drift(desired, environment, newest=observed.newest, python=python)
    observed = examine(desired, host, observed, change_due=drift is not None, known=known)
    used = observed.returning or environment
    _expect_return(desired, observed, drift)
    if drift is None or observed.returning is not None:
        return observed._replace(python_version=used.python_version if used else None)
    tools = known.tools if known and known.tools else _probe_tools(desired, host)
    _expect_netrc(desired, tools, python, host)
    made_with = python or (tools.pipx.python if tools.pipx else None)
    in_use = environment.python if environment and environment.problem is None else None
    return observed._replace(tools=tools, python_version=named_version(made_with), interpreter=made_with or in_use)


def _expect_return(desired: Desired, observed: Observed, drift: str | None) -> None:
    """Refuse to return to an environment that is not kept.

    Raises:
        PatroniInstallError: the requested environment is not kept, or does not work.
    """
    if desired.return_to is None or drift is None or observed.returning is not None:
        return
    asked = desired.shown(desired.return_to)
    in_use = observed.environment
    if in_use is not None and in_use.path == desired.return_to:
        raise PatroniInstallError(
            f"return_to: {asked} is in use and does not work: {drift}; run without return_to to repair it"
        )
    cause = observed.unusable.get(desired.return_to)
    if cause is not None:
        raise PatroniInstallError(f"return_to: {asked} no longer works: {cause}; run without return_to")
    kept = ", ".join(f"{desired.shown(kept.path)} ({kept.version})" for kept in observed.kept) or "none"
    raise PatroniInstallError(f"return_to: {asked} is not kept on this host; kept are: {kept}")


def _probe_files(desired: Desired, host: Host, names: Names) -> Observed:
    account = desired.account
    environments: tuple[Environment, ...] = ()
    executables: dict[str, PathState] = {}
    pointer = PathState()
    generations: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()
    kept: tuple[Kept, ...] = ()
    chosen = None
    profile = look(_login_shell.PROFILE, content=True)
    if not account.assumed:
        with host.identity(account):
            executables = _read_executables(desired.bin_dir, names)
            environments = _read_environments(desired, executables, names)
            pointer = _read_pointer(desired, names)
            generations = _read_generations(desired)
            chosen = _choose(desired, environments)
            kept = read_kept(generations, chosen.path if chosen else None)
            retired = _retired(desired, environments, chosen, generations, kept)
    return Observed(
        root=host.root,
        environment=chosen,
        executables=executables,
        bin_dir=_probe_place(desired, desired.bin_dir, host, names),
        pipx_home=_probe_place(desired, desired.pipx_home, host, names, for_account=True),
        config_dir=_probe_place(desired, desired.config_dir, host, names),
        unit_dir=_probe_place(desired, desired.unit_dir, host, names),
        unit=look(desired.unit_path, content=True),
        profile=profile,
        profile_dir=_probe_profile_dir(desired, host, names) if desired.login_shell or profile.exists else None,
        pointer=pointer,
        next_generation=_next_generation(desired, generations),
        retired=retired,
        unfit_label=_probe_label(desired, chosen, host, names) if chosen else None,
        kept=kept,
    )


def _probe_label(desired: Desired, environment: Environment, host: Host, names: Names) -> Label | None:
    """Describe the label of an environment's Patroni if SELinux prevents systemd from starting it."""
    path = f"{environment.path}/bin/patroni"
    with host.identity(desired.account):
        label = _selinux.read_label(path)
    if label is None or _selinux.systemd_may_execute(label):
        return None
    with host.identity(desired.account):
        controlled = bool(_controlled(names, path))
    return Label(path, label, _selinux.executable_label(label), controlled)


def _read_executables(bin_dir: str, names: Names) -> dict[str, PathState]:
    """Describe the entries of a directory.

    Directories in link targets have their canonical name (see _paths).
    """
    try:
        entries = os.listdir(bin_dir)
    except OSError:
        return {}
    found = {}
    for name in entries:
        state = look(f"{bin_dir}/{name}")
        if state.kind == "link":
            directory, _slash, last = os.path.join(bin_dir, state.target or "").rpartition("/")
            state = state._replace(target=f"{names.one(directory)}/{last}")
        found[name] = state
    return found


def _read_pointer(desired: Desired, names: Names) -> PathState:
    state = look(desired.environment)
    return state._replace(target=names.one(desired.environment)) if state.kind == "link" else state


def _read_environments(
    desired: Desired, executables: t.Mapping[str, PathState], names: Names
) -> tuple[Environment, ...]:
    """Read every environment that may be in use: the target of the link, and the usual locations."""
    target = executables["patroni"].target if "patroni" in executables else None
    linked = target[: -len("/bin/patroni")] if target and target.endswith("/bin/patroni") else None
    places = (linked, desired.environment, desired.legacy_environment)
    paths = dict.fromkeys(names.one(place) for place in places if place)
    return tuple(read_environment(path, desired.extras) for path in paths if os.path.isdir(path))


def _read_generations(desired: Desired) -> tuple[str, ...]:
    """List the generations and the leftovers of an interrupted switch; other entries next to them belong to others."""
    try:
        names = sorted(os.listdir(desired.generations))
    except OSError:
        return ()
    return tuple(f"{desired.generations}/{name}" for name in names if name.isdecimal() or name.startswith(SWITCH))


def _next_generation(desired: Desired, generations: t.Iterable[str]) -> str:
    names = (path.rpartition("/")[2] for path in generations)
    last = max((int(name) for name in names if name.isdecimal()), default=0)
    return f"{desired.generations}/{last + 1}"


def _choose(desired: Desired, environments: tuple[Environment, ...]) -> Environment | None:
    """Choose an environment that matches the desired state, else one that works, else any."""
    fitting = [environment for environment in environments if environment_drift(desired, environment) is None]
    running = [environment for environment in environments if environment.problem is None]
    return next(iter((*fitting, *running, *environments)), None)


def _retired(
    desired: Desired,
    environments: tuple[Environment, ...],
    chosen: Environment | None,
    generations: tuple[str, ...],
    kept: tuple[Kept, ...],
) -> tuple[str, ...]:
    """List the paths of this installation that are neither in use nor kept, or all of its paths for a removal."""
    there = [environment.path for environment in environments]
    if desired.state == "absent":
        own = (desired.environment, desired.legacy_environment, *generations)
        return tuple(path for path in own if os.path.lexists(path))
    in_use = chosen.path if chosen else ""
    staying = {desired.generation_of(environment.path) for environment in kept}
    unused = [path for path in generations if not is_within(in_use, path) and path not in staying]
    if is_within(in_use, desired.generations) and desired.legacy_environment in there:
        unused.append(desired.legacy_environment)
    return tuple(unused)


def _probe_place(desired: Desired, path: str, host: Host, names: Names, *, for_account: bool = False) -> Place:
    """Describe a directory and the path to it.

    Args:
        for_account: the account itself writes there, so root's permissions do not count.
    """
    account = desired.account
    way = ways(path)
    state = host.either(account, lambda: look(path))
    if account.assumed:
        home = names.one(account.home)
        controls = is_within(path, home)
        missing = tuple(step for step in way if not os.path.isdir(step) and not is_within(home, step))
        return Place(path, state, missing, controls)
    existing = [step for step in way if names.is_directory(step)]
    innermost, depth = existing[-1], len(existing)
    missing = tuple(way[depth:])
    # Whoever can change a link on the way can redirect root, so the path as typed is checked too.
    with host.identity(account):
        controlled = {*_controlled(names, path), *_controlled(names, desired.shown(path))}
        account_writes = _may_write(innermost)
    writable = account_writes or (
        host.root and not controlled and _may_write(innermost) and bool(missing or not for_account)
    )
    return Place(path, state, missing, bool(controlled), bool(controlled - {path}), writable)


def _probe_profile_dir(desired: Desired, host: Host, names: Names) -> Place:
    return _probe_place(desired, names.one(_login_shell.PROFILE.rpartition("/")[0]), host, names)


def _controlled(names: Names, path: str) -> set[str]:
    """Return the paths controlled by users other than root among those that the kernel traverses to reach a path."""
    return {step for step in names.walk(path)[1] if _is_controlled(step)}


def _is_controlled(path: str) -> bool:
    """Return whether a user other than root controls a path: its owner can make it writable at any time."""
    try:
        return _may_write(path) or os.stat(path).st_uid != 0
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _may_write(path: str) -> bool:
    return os.access(path, os.W_OK | os.X_OK if os.path.isdir(path) else os.W_OK)


def _probe_users(desired: Desired, host: Host, names: Names, observed: Observed) -> Observed:
    """Find processes and other units that use the installation being removed."""
    users, bin_dir_used = [], False
    for path, text in _units(desired, names):
        programs = [program for program in programs_of_unit(text) if _leads_into(program, desired, names)]
        if programs:
            users.append(path)
            passed = {names.one(step) for program in programs for step in names.walk(program)[1]}
            bin_dir_used = bin_dir_used or desired.bin_dir in passed
    busy = next((path for path in observed.retired if host.in_use(path, desired.account)), None)
    return observed._replace(users=tuple(users), bin_dir_used=bin_dir_used, busy=busy)


def _leads_into(program: str, desired: Desired, names: Names) -> bool:
    """Return whether a program is in this installation or is a link into it.

    An interpreter in the installation is itself a link to the system interpreter.
    """
    directory, _slash, last = program.rpartition("/")
    return desired.owns(f"{names.one(directory or '/')}/{last}") or desired.owns(names.one(program))


def _units(desired: Desired, names: Names) -> t.Iterator[tuple[str, str]]:
    """Yield all service units and their drop-ins, except those of the unit being removed."""
    known = {desired.unit_name, f"{desired.unit_name}.d"}
    for directory in _UNIT_DIRECTORIES:
        for name in _entries(directory):
            path = f"{directory}/{name}"
            if name in known or names.same(path, desired.unit_path):
                continue
            if name.endswith(".service"):
                # systemd ignores units of the same name in later directories.
                known.add(name)
                yield path, read_text(path) or ""
            elif name.endswith(".service.d"):
                for drop_in in _entries(path):
                    yield f"{path}/{drop_in}", read_text(f"{path}/{drop_in}") or ""


def _entries(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def _probe_configuration(desired: Desired, host: Host, observed: Observed) -> Configuration:
    """Choose the configuration that the unit names: the operator's choice, else the one in use, else the usual one."""
    account = desired.account
    path, unclear = desired.config_path, False
    with host.identity(account):
        if observed.unit.kind == "file" and not desired.config_chosen:
            unit = Unit(observed.unit.text or "")
            named = unit.configuration({account.name: account.home}) or observed.service.configuration
            unclear = named is None and bool(unit.values("Service", "ExecStart"))
            if named and os.path.exists(named):
                path = os.path.normpath(named)
        others = () if os.path.exists(path) else _configurations(desired.config_dir)
    return Configuration(path, others, unclear)


def _configurations(directory: str) -> tuple[str, ...]:
    names = (name for name in _entries(directory) if name.endswith((".yml", ".yaml")) and name.isprintable())
    return tuple(f"{directory}/{name}" for name in names)


def _probe_service(desired: Desired, host: Host, unit: PathState, names: Names) -> Service:
    """Query systemd about the unit once, or not at all if systemd is not running or does not search there."""
    unit_path = _as_systemd_names(desired.unit_path, names)
    if os.path.dirname(unit_path) not in _UNIT_DIRECTORIES or not os.path.isdir("/run/systemd/system"):
        return Service()
    completed = host.run(_commands.show_unit(desired.unit_name), inherit=NOTHING)
    if completed.rc != 0:
        return Service(managed=True)
    shown = _answers.parse_properties(completed.stdout)
    process = f"/proc/{shown.get('MainPID', '0')}"
    command = (read_text(f"{process}/cmdline") or "").rstrip("\0").split("\0")
    return Service(
        managed=True,
        needs_reload=_needs_reload(shown, unit_path, _as_systemd_names(shown.get("FragmentPath", ""), names), unit),
        active=shown.get("ActiveState", "inactive") not in ("inactive", "failed"),
        enabled=shown.get("UnitFileState", "").startswith(("enabled", "linked")),
        started_at=_started_at(shown),
        environment=_service_environment(command, names),
        configuration=configuration_of_process(command, look(f"{process}/cwd").target),
    )


def _as_systemd_names(path: str, names: Names) -> str:
    """Return a unit's path with systemd's own name for the directory, if the path uses another name for it."""
    directory, _slash, name = path.rpartition("/")
    known = directory in _UNIT_DIRECTORIES or not directory
    return path if known else next((f"{d}/{name}" for d in _UNIT_DIRECTORIES if names.same(d, directory)), path)


def _needs_reload(shown: t.Mapping[str, str], unit_path: str, loaded: str, unit: PathState) -> bool:
    """Return whether systemd has not read the current unit file: it changed, or an interrupted run did not reload."""
    if shown.get("NeedDaemonReload") == "yes":
        return True
    if not unit.exists:
        return loaded == unit_path
    directories = [path.rpartition("/")[0] for path in (unit_path, loaded)]
    if not loaded:
        return True
    if directories[1] not in _UNIT_DIRECTORIES:
        return False
    return _UNIT_DIRECTORIES.index(directories[0]) < _UNIT_DIRECTORIES.index(directories[1])


def _started_at(shown: t.Mapping[str, str]) -> float:
    """Return when the service's main process started, in epoch seconds; systemd counts microseconds from boot."""
    counted = shown.get("ExecMainStartTimestampMonotonic", "0")
    if not counted.isdigit() or counted == "0":
        return 0.0
    return time.time() - time.clock_gettime(time.CLOCK_MONOTONIC) + int(counted) / 1e6


def _service_environment(command: t.Sequence[str], names: Names) -> str | None:
    """Return the environment of the service's main process, based on the interpreter in its command line."""
    interpreter = command[0]
    return names.one(os.path.dirname(os.path.dirname(interpreter))) if interpreter.startswith("/") else None


def _probe_tools(desired: Desired, host: Host) -> Tools:
    with host.identity(desired.account):
        damaged = shared_libraries_problem(desired.shared_libraries) is not None
    tools = Tools(pipx=find_pipx(desired, host), shared_damaged=damaged)
    if tools.pipx is not None:
        return tools
    if desired.family == "debian":
        known = _lists_there() and host.run(_commands.apt_show("pipx"), inherit=NOTHING).rc == 0
        return tools._replace(package_known=known)
    if not host.root:
        return tools
    unsafe: tuple[str, ...] = ()
    if desired.account.uid != 0 and not desired.account.assumed:
        names = Names(host, desired.account)
        with host.identity(desired.account):
            unsafe = tuple(path for path in desired.sources.local if _controlled(names, path))
    return tools._replace(pip=find_pip(desired, host), unsafe_sources=unsafe)


def _expect_netrc(desired: Desired, tools: Tools, chosen: str | None, host: Host) -> None:
    """Check that every Python whose pip is used for the build can read the credentials in netrc(5).

    Raises:
        PatroniInstallError: a Python is too old, and every download would fail.
    """
    if desired.account.assumed or not _sources.need_newer_netrc(desired.sources):
        return
    with host.identity(desired.account):
        script = read_text(tools.pipx.path) if tools.pipx else None
        own = tools.pip.python if tools.pip else parse_interpreter(script or "") or host.find("python3")
    for python in dict.fromkeys(path for path in (own, chosen) if path):
        completed = host.run(_commands.python_version(python), inherit=NOTHING, account=desired.account)
        version = _answers.parse_python_version(completed.stdout)
        if version and version < _sources.NETRC_PYTHON:
            raise PatroniInstallError(
                "index_url, find_links: a password must not be empty, and neither login nor password may have white "
                f"space or characters beyond ASCII, unless the Python is 3.11 or newer; {python} is "
                f"{'.'.join(map(str, version))}; choose another login, or use a pipx and a python of a newer version"
            )


def _lists_there() -> bool:
    try:
        return any(name.endswith("_Packages") or "_Packages." in name for name in os.listdir(_APT_LISTS))
    except OSError:
        return False
