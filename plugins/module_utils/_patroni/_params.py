# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""Turn the module's parameters into the desired state: fill in defaults and refuse bad input."""

from __future__ import annotations

import os
import re
import typing as t

from ansible.module_utils import distro

from .._errors import PatroniInstallError
from .._paths import Names, checked_path
from .._types import ROOT_PATH
from ._account import find_account
from ._desired import Desired, Family, Patience
from ._sources import read_sources

if t.TYPE_CHECKING:
    from .._host import Host

# The names that distributions use for themselves in ID or ID_LIKE (os-release(5)).
_FAMILIES: tuple[tuple[Family, set[str]], ...] = (
    ("debian", {"debian"}),
    ("redhat", {"rhel", "fedora", "centos"}),
)
_USUAL_CONFIG_FILE = "patroni.yaml"
# PEP 440, without parts that its comparison ignores, and without forms that do not name a single release.
_VERSION = re.compile(r"\d+(\.\d+)*((a|b|rc)\d+)?(\.post\d+)?(\.dev\d+)?(\+[a-z0-9]+([._-][a-z0-9]+)*)?", re.ASCII)
# PEP 685.
_EXTRA = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")

# System directories that an option could name by mistake; their parent directories are refused as well.
_SYSTEM_DIRECTORIES = (
    "/boot",
    "/dev",
    "/etc/default",
    "/etc/profile.d",
    "/etc/systemd/system",
    "/home",
    "/lib",
    "/media",
    "/mnt",
    "/opt",
    "/proc",
    "/root",
    "/run/systemd",
    "/srv",
    "/sys",
    "/usr/lib",
    "/usr/local/lib",
    "/usr/share",
    "/var/lib",
    "/var/log",
    "/var/tmp",  # noqa: S108 - it is only compared
)
_ACCOUNT_NAME = re.compile(r"[^\s:/-][^\s:/]*")

Params = t.Mapping[str, t.Any]


def desire(params: Params, host: Host, *, check_mode: bool) -> Desired:
    """Build the desired state, or refuse the parameters.

    Raises:
        PatroniInstallError: an option's value is not allowed, or the host lacks something that another role provides.
    """
    family, distribution = _family(distro.id(), distro.like(), distro.name(pretty=True))
    _check_words(params)
    account = find_account(params["user"], params["group"], family, host, check_mode=check_mode)
    home = account.home
    names = Names(host, account, home, f"{home}/.local/bin", f"{home}/.local/share/pipx")
    typed = {
        "bin_dir": _path(params, "bin_dir", f"{home}/.local/bin"),
        "pipx_home": _path(params, "pipx_home", f"{home}/.local/share/pipx"),
        "config_dir": _path(params, "config_dir", None),
        "unit_path": _unit_path(params),
    }
    # A configuration directory or a unit that is itself a link is refused later, so it is not followed here.
    planned = {
        option: _entry(names, path) if option in ("config_dir", "unit_path") else names.one(path)
        for option, path in typed.items()
    }
    unit_dir, typed_unit_dir = (path.rpartition("/")[0] for path in (planned["unit_path"], typed["unit_path"]))
    shown = {names.one(home): home, unit_dir: typed_unit_dir, **{planned[option]: typed[option] for option in typed}}
    desired = Desired(
        state=params["state"],
        family=family,
        distribution=distribution,
        account=account,
        extras=tuple(dict.fromkeys(params["extras"])),
        bin_dir=planned["bin_dir"],
        pipx_home=planned["pipx_home"],
        config_dir=planned["config_dir"],
        config_path=_config_path(params["config_file"], typed["config_dir"]),
        config_chosen=params["config_file"] is not None,
        unit_path=planned["unit_path"],
        unit_uid=os.geteuid(),
        unit_gid=os.getegid(),
        legacy_environment=f"{names.one(f'{home}/.local/pipx')}/venvs/patroni",
        typed=shown,
        version=params["version"],
        python=params["python"],
        pipx_executable=_path(params, "pipx_executable", None) if params["pipx_executable"] else None,
        pipx_version=params["pipx_version"],
        sources=read_sources(params, account, host),
        force=params["force"],
        keep=_not_negative(params, "keep"),
        login_shell=params["login_shell"] and params["state"] != "absent",
    )
    _check_directories(desired, host, names)
    return _returning(desired, params, names)


def _returning(desired: Desired, params: Params, names: Names) -> Desired:
    """Drop the options that describe an environment if a return to an earlier one is requested.

    Raises:
        PatroniInstallError: the state is not 'present'.
    """
    if not params["return_to"]:
        return desired
    if desired.state != "present":
        raise PatroniInstallError(f"return_to: can only be used with state=present, not state={desired.state}")
    sources = desired.sources._replace(constraints=None, limits=())
    desired = desired._replace(version=None, python=None, extras=(), sources=sources)
    if _VERSION.fullmatch(params["return_to"]):
        return desired._replace(version=params["return_to"])
    return desired._replace(return_to=names.one(_path(params, "return_to", None)))


def _entry(names: Names, path: str) -> str:
    """Return the canonical path of an entry in a directory, without following the entry itself."""
    directory, _slash, last = path.rpartition("/")
    return f"{names.one(directory or '/').rstrip('/')}/{last}"


def _check_directories(desired: Desired, host: Host, names: Names) -> None:
    """Refuse directories whose purposes conflict.

    Raises:
        PatroniInstallError: a system directory would belong to the account, the unit would be in a directory that
            belongs to it, root would run files that the account can rewrite, or bin_dir cannot be on a PATH.
    """
    account = desired.account
    if desired.login_shell and account.uid == 0:
        raise PatroniInstallError(
            f"login_shell: must be false for {account.name}, whose shells must find the commands of the system alone"
        )
    if desired.login_shell and ":" in desired.shown(desired.bin_dir):
        raise PatroniInstallError(
            f"bin_dir: {desired.shown(desired.bin_dir)} must not contain ':', which separates the directories of PATH; "
            "choose another directory, or set login_shell: false"
        )
    own = {"user": account.home, "bin_dir": desired.bin_dir, "pipx_home": desired.pipx_home}
    for option, directory in (*own.items(), ("config_dir", desired.config_dir)):
        if host.root and account.uid != 0 and names.lies_in(desired.unit_dir, directory):
            raise PatroniInstallError(
                f"unit_path: {desired.shown(desired.unit_path)} must not be in {desired.shown(directory)} ({option}), "
                f"which belongs to {account.name}: whoever can write the unit becomes root; choose a directory that "
                "belongs to root, such as /etc/systemd/system"
            )
    system = (("the system", directory) for directory in (*ROOT_PATH, *_SYSTEM_DIRECTORIES))
    for option, directory in (*own.items(), ("unit_path", desired.unit_dir), *system):
        if names.lies_in(directory, desired.config_dir):
            raise PatroniInstallError(
                f"config_dir: {desired.shown(desired.config_dir)} must not be or contain {desired.shown(directory)} "
                f"({option}), because only {account.name} could enter it; choose another directory, such as "
                "/etc/patroni"
            )
    if host.root and account.uid != 0 and any(names.same(desired.bin_dir, directory) for directory in ROOT_PATH):
        raise PatroniInstallError(
            f"bin_dir: {desired.shown(desired.bin_dir)} must not be on root's PATH, because root would run what "
            f"{account.name} can rewrite; choose another directory, such as /opt/patroni/bin"
        )


def patience(params: Params) -> Patience:
    """Build the retry and timeout limits.

    Raises:
        PatroniInstallError: a limit is negative.
    """
    return Patience(**{name: _not_negative(params, name) for name in Patience._fields})


def _not_negative(params: Params, name: str) -> int:
    value: int = params[name]
    if value < 0:
        raise PatroniInstallError(f"{name}: must be 0 or more, got {value}")
    return value


def _family(identifier: str, like: str, pretty: str) -> tuple[Family, str]:
    """Determine the family of a distribution from os-release.

    Raises:
        PatroniInstallError: the distribution belongs to neither family.
    """
    words = {identifier, *like.split()}
    for family, names in _FAMILIES:
        if words & names:
            return family, pretty
    raise PatroniInstallError(
        f"unsupported distribution: {pretty or 'unnamed'} (ID={identifier or '?'}); "
        "supported are the Debian and RHEL families"
    )


def _check_words(params: Params) -> None:
    for name in ("version", "pipx_version"):
        value = params[name]
        if value is not None and not _VERSION.fullmatch(value):
            raise PatroniInstallError(f"{name}: must be an exact PEP 440 version such as 4.1.5, got {value!r}")
    for name in ("user", "group"):
        value = params[name]
        if value is not None and not (_ACCOUNT_NAME.fullmatch(value) and value.isprintable()):
            raise PatroniInstallError(f"{name}: must be the name of an account or a group, got {value!r}")
    python = params["python"]
    if python is not None and (not python or not python.isprintable()):
        raise PatroniInstallError(f"python: must be the name or the path of an interpreter, got {python!r}")
    if python and "/" in python:
        checked_path("python", python)
    for extra in params["extras"]:
        if not _EXTRA.fullmatch(extra):
            raise PatroniInstallError(f"extras: must be names of extras (PEP 508) such as etcd, got {extra!r}")
    if params["version"] and params["state"] != "present":
        raise PatroniInstallError(f"version: can only be used with state=present, not state={params['state']}")


def _path(params: Params, name: str, default: str | None) -> str:
    """Read a path option; the result is absolute and has no superfluous slashes.

    Raises:
        PatroniInstallError: the path is relative, or contains ".." or a control character.
    """
    return checked_path(name, params[name] if params[name] is not None else default)


def _config_path(value: str | None, config_dir: str) -> str:
    value = _USUAL_CONFIG_FILE if value is None else value
    if "/" not in value and value not in ("", ".", ".."):
        value = f"{config_dir}/{value}"
    return checked_path("config_file", value)


def _unit_path(params: Params) -> str:
    path = _path(params, "unit_path", None)
    if not re.fullmatch(r"[A-Za-z0-9:_][A-Za-z0-9:_.\\-]*\.service", path.rpartition("/")[2]):
        raise PatroniInstallError(f"unit_path: must end in the name of a unit such as patroni.service, got {path!r}")
    return path
