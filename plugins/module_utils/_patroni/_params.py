# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""Turn the module's parameters into the desired state: fill in defaults and refuse bad input."""

from __future__ import annotations

import grp
import os
import pwd
import re
import typing as t
from dataclasses import replace

from ansible.module_utils import distro

from .._errors import PatroniInstallError
from .._files import read_text
from .._paths import Names
from .._types import ROOT_PATH, Account
from ._constraints import decode, parse_limits
from ._desired import Desired, Limit, Patience, Sources
from ._sources import check_credentials, find_credentials

if t.TYPE_CHECKING:
    from .._host import Host

# The names that distributions use for themselves in ID or ID_LIKE (os-release(5)).
_FAMILIES = (("debian", {"debian"}), ("redhat", {"rhel", "fedora", "centos"}))
_USUAL_HOMES = {"debian": "/var/lib/postgresql", "redhat": "/var/lib/pgsql"}
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
    account = _account(params, family, host, check_mode=check_mode)
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
        sources=_sources(params, account, host),
        force=params["force"],
        keep=_not_negative(params, "keep"),
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
    sources = replace(desired.sources, constraints=None, limits=())
    desired = replace(desired, version=None, python=None, extras=(), sources=sources)
    if _VERSION.fullmatch(params["return_to"]):
        return replace(desired, version=params["return_to"])
    return replace(desired, return_to=names.one(_path(params, "return_to", None)))


def _entry(names: Names, path: str) -> str:
    """Return the canonical path of an entry in a directory, without following the entry itself."""
    directory, _slash, last = path.rpartition("/")
    return f"{names.one(directory or '/').rstrip('/')}/{last}"


def _check_directories(desired: Desired, host: Host, names: Names) -> None:
    """Refuse directories whose purposes conflict.

    Raises:
        PatroniInstallError: a system directory would belong to the account, the unit would be in a directory that
            belongs to it, or root would run files that the account can rewrite.
    """
    account = desired.account
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


def _sources(params: Params, account: Account, host: Host) -> Sources:
    """Read where packages come from.

    Raises:
        PatroniInstallError: a named source is not available to the account.
    """
    urls = [value for value in (params["index_url"], *params["find_links"]) if value is not None]
    for value in urls:
        if not value.isprintable():
            raise PatroniInstallError("index_url, find_links: must not contain characters that cannot be printed")
    told = (value for name, value in os.environ.items() if name.startswith("PIP_") or name.lower().endswith("_proxy"))
    plain = (value for value in urls if not find_credentials([value]))
    host.hide(find_credentials((*urls, *told)), but=plain)
    check_credentials(urls)
    for link in params["find_links"]:
        if ":" not in link:
            _checked_path("find_links", link)
    if params["index_url"] is not None and "://" not in params["index_url"]:
        raise PatroniInstallError("index_url: must be a URL such as https://index.example.com/simple")
    if params["no_index"] and not params["find_links"]:
        raise PatroniInstallError("no_index: requires find_links, which names where packages come from")
    path = _path(params, "constraints", None) if params["constraints"] else None
    limits: tuple[Limit, ...] = ()
    if path and not account.assumed:
        with host.identity(account):
            limits = _limits(path, account)
    links, machine = tuple(params["find_links"]), os.uname().machine
    return Sources(params["index_url"], links, params["no_index"], path, limits, machine)


def _limits(path: str, account: Account) -> tuple[Limit, ...]:
    """Read the limits in a constraints file and in the files that it names.

    Raises:
        PatroniInstallError: the account cannot read one of them.
    """
    limits: list[Limit] = []
    left, read = [path], set()
    while left:
        file = left.pop(0)
        if os.path.realpath(file) in read:
            continue
        read.add(os.path.realpath(file))
        text = read_text(file)
        if text is None:
            raise PatroniInstallError(
                f"constraints: {account.name} must be able to read {file}, and cannot; put the file there first"
            )
        found, nested = parse_limits(decode(text.encode("utf-8", "surrogateescape")), file)
        limits += found
        left += map(os.path.normpath, nested)
    return tuple(limits)


def patience(params: Params) -> Patience:
    """Build the retry and timeout limits.

    Raises:
        PatroniInstallError: a limit is negative.
    """
    return Patience(**{name: _not_negative(params, name) for name in ("lock_timeout", "retries", "retry_delay")})


def _not_negative(params: Params, name: str) -> int:
    value: int = params[name]
    if value < 0:
        raise PatroniInstallError(f"{name}: must be 0 or more, got {value}")
    return value


def _family(identifier: str, like: str, pretty: str) -> tuple[str, str]:
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
        _checked_path("python", python)
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
    return _checked_path(name, params[name] if params[name] is not None else default)


def _checked_path(name: str, value: str | None) -> str:
    if not value or not value.startswith("/"):
        raise PatroniInstallError(f"{name}: must be an absolute path, got {value!r}")
    if ".." in value.split("/"):
        raise PatroniInstallError(f"{name}: must not contain '..', got {value!r}")
    if not value.isprintable():
        raise PatroniInstallError(f"{name}: must not contain characters that cannot be printed, got {value!r}")
    path = "/" + os.path.normpath(value).strip("/")
    if path == "/":
        raise PatroniInstallError(f"{name}: must not be the root directory, got {value!r}")
    return path


def _config_path(value: str | None, config_dir: str) -> str:
    value = _USUAL_CONFIG_FILE if value is None else value
    if "/" not in value and value not in ("", ".", ".."):
        value = f"{config_dir}/{value}"
    return _checked_path("config_file", value)


def _unit_path(params: Params) -> str:
    path = _path(params, "unit_path", None)
    if not re.fullmatch(r"[A-Za-z0-9:_][A-Za-z0-9:_.\\-]*\.service", path.rpartition("/")[2]):
        raise PatroniInstallError(f"unit_path: must end in the name of a unit such as patroni.service, got {path!r}")
    return path


def _account(params: Params, family: str, host: Host, *, check_mode: bool) -> Account:
    """Look up the account.

    Raises:
        PatroniInstallError: the account is missing, has no home, or the module cannot switch to it.
    """
    name = params["user"]
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        if not check_mode:
            raise PatroniInstallError(
                f"user: the account {name} does not exist; the role init_server creates it"
            ) from None
        return _assume_account(params, family, host)
    if not host.root and found.pw_uid != os.geteuid():
        raise PatroniInstallError(
            f"installing Patroni for {name} needs root: run with become: true; "
            "without root, user must be the account that runs the module"
        )
    home = os.path.normpath(found.pw_dir)
    group, gid = _group(params["group"], found.pw_gid)
    account = Account(name, found.pw_uid, found.pw_gid, home, group, gid)
    if not Names(host, account).is_directory(home):
        raise PatroniInstallError(
            f"user: the home {found.pw_dir} of the account {name} does not exist; the role init_server creates it"
        )
    if found.pw_uid == 0:
        host.warn(f"user: {name} is root, and Postgres does not run as root")
    return account


def _group(name: str | None, primary: int) -> tuple[str, int]:
    try:
        found = grp.getgrnam(name) if name else grp.getgrgid(primary)
    except KeyError:
        raise PatroniInstallError(
            f"group: the group {name or primary} does not exist; create it first, or name another"
        ) from None
    return found.gr_name, found.gr_gid


def _assume_account(params: Params, family: str, host: Host) -> Account:
    name = params["user"]
    home = _USUAL_HOMES[family] if name == "postgres" else f"/home/{name}"
    host.warn(
        f"the account {name} does not exist yet; check mode assumes that the role init_server "
        f"creates it, with the home {home}"
    )
    return Account(name, -1, -1, home, params["group"] or name, -1, assumed=True)
