# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""Plan the steps from the observed state to the desired one. Pure: it neither reads nor changes the host.

Check mode shows these steps, and a real run carries out the same ones.
"""

from __future__ import annotations

import hashlib
import re
import typing as t
from dataclasses import replace

from .._errors import PatroniInstallError
from .._types import is_within
from .._versions import allows, exact_version, normalized_name
from . import _login_shell
from ._commands import requirement
from ._constraints import contradicted
from ._desired import CONFIG_DIR_MODE, ENVIRONMENT_MODE, UNIT_MODE
from ._drift import ESSENTIAL, can_notify, public_path, surplus, target_extras, target_version, unexposed
from ._observed import OLDEST_PYTHON, named_version
from ._steps import (
    BuildEnvironment,
    CreateDirectory,
    ExposeExecutables,
    InstallPackages,
    InstallPipx,
    KeepEnvironment,
    RefreshPackageLists,
    ReloadSystemd,
    RemoveDirectory,
    RemoveEnvironment,
    RemoveExecutables,
    RemoveProfile,
    RemoveUnit,
    SetAttributes,
    SetLabel,
    SwitchBack,
    SwitchEnvironment,
    WriteProfile,
    WriteUnit,
)
from ._unit import render_unit

if t.TYPE_CHECKING:
    from .._types import Account, Place, Step
    from ._desired import Desired
    from ._observed import Environment, Observed, Tools

# The first pip that takes hashes from a constraints file, and the first Python that it supports.
_HASHING_PIP, _HASHING_PYTHON = "26.1", "3.10"


def plan(desired: Desired, observed: Observed) -> tuple[Step, ...]:
    """Return the ordered steps that turn the observed state into the desired one; empty if there is nothing to do.

    Raises:
        PatroniInstallError: something on the host prevents this; nothing has been changed.
    """
    _refuse_unsafe_unit(desired, observed)
    if desired.state == "absent":
        return tuple(_removal(desired, observed))
    _refuse_contradiction(desired, observed)
    _refuse_obstacles(desired, observed)
    environment = tuple(_environment_steps(desired, observed))
    build = next((step for step in environment if isinstance(step, BuildEnvironment)), None)
    return _without_repeated_directories(
        desired.account,
        (
            *environment,
            *unit_steps(desired, observed, build),
            *_config_steps(desired, observed),
            *_profile_steps(desired, observed),
        ),
    )


def _environment_steps(desired: Desired, observed: Observed) -> t.Iterator[Step]:
    environment = observed.environment
    retired = observed.retired
    left = None
    if observed.returning is not None:
        left = _left(desired, environment)
        yield from _return(desired, observed, observed.returning)
        retired = (*retired, *_replaced(desired, environment, left))
    elif observed.tools is not None:
        left = _left(desired, environment)
        # The constraints are read as the account, which check mode may only assume.
        if desired.sources.require_hashes and not desired.account.assumed:
            _expect_hashes(desired, observed.tools)
        yield from _prerequisites(desired, observed, observed.tools)
        yield from _directories(desired, observed.pipx_home)
        yield from _directories(desired, observed.bin_dir)
        if observed.tools.shared_damaged:
            yield RemoveDirectory(desired.shared_libraries)
        yield from _build(desired, observed)
        retired = (*retired, *_replaced(desired, environment, left))
    elif environment is not None:
        yield from _exposure(desired, observed, environment)
        unfit = observed.unfit_label
        if unfit is not None:
            yield SetLabel(unfit.path, unfit.found, unfit.needed, unfit.account_controls)
    outdated = (desired.generation_of(path) for path in surplus(desired, observed, left))
    for path in (*retired, *(path for path in outdated if path)):
        if not is_within(observed.service.environment or "", path):
            yield RemoveEnvironment(path)


def _left(desired: Desired, environment: Environment | None) -> Environment | None:
    """Return the environment in use if it can be kept: it is complete, and only the pointer to it will change."""
    if environment is None or environment.problem or not environment.version:
        return None
    return environment if desired.generation_of(environment.path) else None


def _replaced(desired: Desired, environment: Environment | None, left: Environment | None) -> t.Iterator[str]:
    """Yield the directory to remove if the environment in use cannot be kept; nothing if it is someone else's."""
    if environment is None or environment is left:
        return
    generation = desired.generation_of(environment.path)
    if generation:
        yield generation
    elif environment.path == desired.legacy_environment:
        yield environment.path


def _keep(desired: Desired, observed: Observed) -> t.Iterator[Step]:
    """Record that the environment in use is complete, if it will be kept, so that a run can return to it."""
    left = _left(desired, observed.environment)
    generation = desired.generation_of(left.path) if left else None
    if left is None or generation is None or left.path in surplus(desired, observed, left):
        return
    unit = observed.unit
    yield KeepEnvironment(left.path, generation, left.version or "", digest(unit.text), unit.changed_at)


def digest(text: str | None) -> str | None:
    """Return a hash that identifies a text without storing it."""
    return None if text is None else hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _return(desired: Desired, observed: Observed, environment: Environment) -> t.Iterator[Step]:
    _require_writable("pipx_home", observed.pipx_home, desired, observed)
    _require_writable("bin_dir", observed.bin_dir, desired, observed)
    yield from _directories(desired, observed.bin_dir)
    yield from _keep(desired, observed)
    yield SwitchBack(
        desired.environment,
        environment.path,
        desired.bin_dir,
        _account_acts(observed.bin_dir),
        desired.generation_of(environment.path) or "",
        environment.version or "",
        next((kept.since for kept in observed.kept if kept.path == environment.path), ""),
    )


def _exposure(desired: Desired, observed: Observed, environment: Environment) -> t.Iterator[Step]:
    """Expose an environment that matches the desired state, if it is not exposed or only partly."""
    acts = _account_acts(observed.bin_dir)
    missing = unexposed(observed, environment)
    if missing:
        _require_writable("bin_dir", observed.bin_dir, desired, observed)
        yield from _directories(desired, observed.bin_dir)
    built = is_within(environment.path, desired.generations)
    if built and observed.pointer.target != environment.path and observed.service.environment != desired.environment:
        yield SwitchEnvironment(desired.environment, environment.path, desired.bin_dir, acts)
    elif missing:
        yield ExposeExecutables(desired.bin_dir, public_path(desired, observed, environment), acts)


def _prerequisites(desired: Desired, observed: Observed, tools: Tools) -> t.Iterator[Step]:
    if tools.pipx is not None:
        return
    if not observed.root:
        raise PatroniInstallError(
            "no pipx was found, and installing one needs root: run with become, "
            "or name a pipx that this account can run in pipx_executable"
        )
    if desired.family == "debian":
        if not tools.package_known:
            yield RefreshPackageLists()
        yield InstallPackages(("pipx",))
        return
    if tools.unsafe_sources:
        raise PatroniInstallError(
            f"find_links, constraints: {desired.account.name} can change {', '.join(tools.unsafe_sources)}, and root "
            "would install pipx from there; choose a directory that belongs to root, or name a pipx in pipx_executable"
        )
    if tools.pip is None:
        raise PatroniInstallError(
            f"no pipx was found, and no pip of Python {OLDEST_PYTHON} or newer to install it: install pip for the "
            "Python that runs this module, or name a pipx in pipx_executable"
        )
    if tools.pip.marker:
        raise PatroniInstallError(
            f"no pipx was found, and {tools.pip.marker} forbids pip to install one for {tools.pip.python}: install "
            "pipx from a package or into an environment of its own, and name it in pipx_executable"
        )
    if tools.pip.package:
        yield InstallPackages((tools.pip.package,))
    pinned = f"=={desired.pipx_version}" if desired.pipx_version else ""
    yield InstallPipx(f"pipx{pinned}", tools.pip.python)


def _expect_hashes(desired: Desired, tools: Tools) -> None:
    """Refuse what a build could not check by hashes; pip itself refuses the files of other distributions.

    Raises:
        PatroniInstallError: the constraints lack hashes that every build needs, or a tool cannot check them.
    """
    file = desired.sources.constraints
    if file is None:
        raise PatroniInstallError(
            f"return_to: {desired.version} is not kept on this host, and require_hashes does not allow building it "
            "without constraints; set version, and constraints with its hashes, instead"
        )
    pins = {limit.name: exact_version(limit.specifier) for limit in desired.sources.limits if limit.hashed}
    for name in ("patroni", "pip"):
        if pins.get(name) is None:
            raise PatroniInstallError(
                f"require_hashes: {file} must pin {name} with == and a hash; scripts/make_bundle.py makes such a file"
            )
    if allows(f">={_HASHING_PIP}", pins["pip"] or "") is False:
        raise PatroniInstallError(
            f"require_hashes: {file} pins pip to {pins['pip']}, but only {_HASHING_PIP} and newer take hashes from "
            "constraints; pin a newer one"
        )
    if tools.pipx is None and desired.family == "redhat":
        raise PatroniInstallError(
            "require_hashes: there is no pipx, and pip would install it without checking hashes; install pipx in "
            "another way first"
        )
    python = named_version(tools.pipx.python) if tools.pipx else None
    if python and allows(f">={_HASHING_PYTHON}", python) is False:
        raise PatroniInstallError(
            f"require_hashes: pipx runs with Python {python}, for which there is no pip that takes hashes from "
            f"constraints; install a pipx that runs with {_HASHING_PYTHON} or newer, and name it in pipx_executable"
        )


def _build(desired: Desired, observed: Observed) -> t.Iterator[Step]:
    _require_writable("pipx_home", observed.pipx_home, desired, observed)
    _require_writable("bin_dir", observed.bin_dir, desired, observed)
    environment = observed.environment
    extras = target_extras(desired, environment)
    wanted = requirement(target_version(desired, environment, observed.newest, observed.python_version), extras)
    injected = environment.injected if environment else ()
    build = BuildEnvironment(observed.next_generation, wanted, extras, desired.python, injected)
    yield build
    yield from _keep(desired, observed)
    yield SwitchEnvironment(desired.environment, build.path, desired.bin_dir, _account_acts(observed.bin_dir))


def _notifies(observed: Observed, build: BuildEnvironment | None) -> bool:
    """Return whether the Patroni that the unit will start notifies systemd when it is up."""
    if build is not None:
        brought = {normalized_name(re.split(r"[^\w.-]", wanted, maxsplit=1)[0]) for wanted in build.injected}
        if {"systemd", "all"} & set(map(normalized_name, build.extras)):
            brought.add("systemd-python")
        return can_notify(build.version, brought)
    environment = observed.returning or observed.environment
    return environment is not None and can_notify(environment.version, environment.versions)


def unit_steps(desired: Desired, observed: Observed, build: BuildEnvironment | None = None) -> t.Iterator[Step]:
    """Yield the steps that bring the unit to its desired state.

    Args:
        build: the environment that the unit will start; by default the installed one. What an index offers is only an
            assumption until the environment is built; the unit is then planned again from the result.
    """
    yield from _directories(desired, observed.unit_dir, uid=desired.unit_uid, gid=desired.unit_gid)
    config = observed.configuration.path if observed.configuration else None
    text = render_unit(desired, config, notify=_notifies(observed, build))
    unit = observed.unit
    # Only a new file is safe from a descriptor or a hard link that its previous owner kept, so the unit is also
    # rewritten if only its attributes differ.
    if unit.text != text or not unit.has(desired.unit_uid, desired.unit_gid, UNIT_MODE):
        _require_writable("unit_path", observed.unit_dir, desired, observed)
        changed_at = unit.changed_at if unit.text == text else _returning_unit(observed, text)
        yield WriteUnit(desired.unit_path, text, desired.unit_uid, desired.unit_gid, UNIT_MODE, changed_at)
        if observed.service.managed:
            yield ReloadSystemd()
    elif observed.service.needs_reload:
        yield ReloadSystemd()


def _returning_unit(observed: Observed, text: str) -> float | None:
    """Return when the unit that is restored together with its environment was written.

    That unit started the processes running in the environment.
    """
    for kept in observed.kept:
        if observed.returning is not None and kept.path == observed.returning.path and kept.unit == digest(text):
            return kept.unit_changed_at
    return None


def _config_steps(desired: Desired, observed: Observed) -> t.Iterator[Step]:
    account = desired.account
    place = observed.config_dir
    if not place.state.exists:
        _require_writable("config_dir", place, desired, observed)
        yield from _directories(desired, place, gid=account.group_gid, mode=CONFIG_DIR_MODE)
    elif not place.state.has(account.uid, account.group_gid, CONFIG_DIR_MODE):
        if observed.root and place.way_controlled and place.state.uid != account.uid:
            raise PatroniInstallError(
                f"config_dir: {desired.shown(place.path)} must belong to {account.name}, which can write to a "
                "directory on the way, where only its own identity is safe; name another one, such as /etc/patroni"
            )
        yield SetAttributes(place.path, account.uid, account.group_gid, CONFIG_DIR_MODE, place.way_controlled)


def _profile_steps(desired: Desired, observed: Observed) -> t.Iterator[Step]:
    """Yield the steps that bring the file for login shells to its desired state, or remove it if it is not desired."""
    path, found, place = _login_shell.PROFILE, observed.profile, observed.profile_dir
    own = _login_shell.is_own(desired, found.text)
    if place is None or (not desired.login_shell and not (own and observed.root)):
        return
    text = _profile(desired, observed)
    if desired.login_shell and found.text == text and found.has(0, 0, _login_shell.MODE):
        return
    if not observed.root:
        raise PatroniInstallError(f"login_shell: only root can write {path}; run with become: true")
    if found.exists and not own:
        raise PatroniInstallError(
            f"login_shell: {path} exists and was not written together with {desired.shown(desired.unit_path)}; "
            "move it away"
        )
    if place.account_controls or not place.writable:
        raise PatroniInstallError(
            f"login_shell: root, and only root, must be able to write to {place.path}; repair its owner and mode, or "
            "remount a read-only filesystem"
        )
    if not desired.login_shell:
        yield RemoveProfile(path)
        return
    yield from _directories(desired, place, uid=0, gid=0)
    yield WriteProfile(path, text)


def _profile(desired: Desired, observed: Observed) -> str:
    config = observed.configuration.path if observed.configuration else desired.config_path
    return _login_shell.render_profile(desired, config)


def _removal(desired: Desired, observed: Observed) -> t.Iterator[Step]:
    service = observed.service
    if (service.active or service.enabled) and not desired.force:
        found = " and ".join(
            word for word, holds in (("active", service.active), ("enabled", service.enabled)) if holds
        )
        raise PatroniInstallError(
            f"{desired.unit_name} is {found}; Patroni is removed only after "
            f"'systemctl disable --now {desired.unit_name}', or with force: true"
        )
    if observed.busy and not observed.users and not desired.force:
        raise PatroniInstallError(
            f"processes run in {observed.busy}; Patroni is removed only after they have ended, or with force: true"
        )
    if not observed.users:
        yield from _profile_steps(desired, observed)
    linked = tuple(sorted(name for name, state in observed.executables.items() if desired.owns(state.target or "")))
    if linked and not observed.bin_dir_used:
        yield RemoveExecutables(desired.bin_dir, linked, _account_acts(observed.bin_dir))
    for path in () if observed.users else observed.retired:
        yield RemoveDirectory(path)
    if observed.unit.kind == "file":
        yield RemoveUnit(desired.unit_path)
        if service.managed:
            yield ReloadSystemd()
    elif service.needs_reload:
        yield ReloadSystemd()


def _account_acts(place: Place) -> bool:
    """Return whether entries of the directory are created as the account: it can write there, or will own it."""
    return place.account_controls or bool(place.missing)


def _directories(
    desired: Desired, place: Place, *, uid: int | None = None, gid: int | None = None, mode: int = ENVIRONMENT_MODE
) -> t.Iterator[Step]:
    """Create a directory and its parents if missing: the directory for its owner, parents for the acting identity."""
    account = desired.account
    owner = (account.uid if uid is None else uid, account.gid if gid is None else gid)
    on_the_way = (account.uid, account.gid) if place.account_controls else (desired.unit_uid, desired.unit_gid)
    for path in place.missing:
        last = path == place.path
        yield CreateDirectory(
            path, *(owner if last else on_the_way), mode if last else ENVIRONMENT_MODE, place.account_controls
        )


def _without_repeated_directories(account: Account, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Create each directory only once, and as the account inside a directory created for the account."""
    created: dict[str, CreateDirectory] = {}
    kept: list[Step] = []
    for step in steps:
        if isinstance(step, CreateDirectory):
            if step.path in created:
                continue
            parent = created.get(step.path.rpartition("/")[0])
            if parent is not None and parent.uid == account.uid and not step.as_account:
                gid = account.gid if step.uid == 0 else step.gid
                step = replace(step, uid=account.uid, gid=gid, as_account=True)
            created[step.path] = step
        kept.append(step)
    return tuple(kept)


def _refuse_contradiction(desired: Desired, observed: Observed) -> None:
    if not desired.version:
        return
    limit = contradicted(desired.sources, observed.python_version, "patroni", desired.version)
    if limit:
        demand = f"{limit.name}{limit.specifier}"
        raise PatroniInstallError(
            f"version: {desired.version} contradicts {demand} in {limit.file}; change one of them"
        )


def _refuse_obstacles(desired: Desired, observed: Observed) -> None:
    """Refuse obstacles that no step may remove.

    The account may have planted them behind a link of its own, so no message suggests removing anything.
    """
    for name in ESSENTIAL:
        state = observed.executables.get(name)
        if state is not None and state.kind != "link":
            raise PatroniInstallError(
                f"{desired.shown(desired.bin_dir)}/{name} must be a link or missing, and is a {state.kind} that pipx "
                f"did not make; move it away as {desired.account.name}, or choose another bin_dir"
            )
    for option, path, state, wanted in (
        ("config_dir", desired.shown(desired.config_dir), observed.config_dir.state, "directory"),
        ("unit_path", desired.shown(desired.unit_path), observed.unit, "file"),
    ):
        if state.kind == "link":
            raise PatroniInstallError(
                f"{option}: {path} must not be a link, and leads to {state.target}; name the {wanted} that is meant"
            )
        if state.exists and state.kind != wanted:
            raise PatroniInstallError(
                f"{option}: {path} must be a {wanted} or missing, and is a {state.kind}; name another path"
            )


def _refuse_unsafe_unit(desired: Desired, observed: Observed) -> None:
    if observed.root and desired.account.uid != 0 and observed.unit_dir.account_controls:
        raise PatroniInstallError(
            f"unit_path: {desired.shown(desired.unit_path)} lies in a directory that {desired.account.name} can write "
            "to, and whoever writes the unit becomes root; choose one owned by root, such as /etc/systemd/system"
        )


def _require_writable(option: str, place: Place, desired: Desired, observed: Observed) -> None:
    """Refuse a directory in which the acting identity cannot create anything.

    No remedy gives a directory to the account: one that it cannot write to may be owned by root for a reason.
    """
    if place.writable:
        return
    path, account = desired.shown(place.path), desired.account.name
    root_acts = not place.account_controls and (bool(place.missing) or option != "pipx_home")
    if observed.root and root_acts:
        raise PatroniInstallError(
            f"{option}: root must be able to write to {path}, and cannot (a read-only or immutable filesystem); "
            "remount it writable, or choose another path"
        )
    remedy = "choose a directory that belongs to it" if observed.root else "run as root (become: true)"
    raise PatroniInstallError(
        f"{option}: {account} must be able to write to {path}, and cannot (its mode, or a read-only filesystem); "
        f"{remedy}"
    )
