# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""Package sources: the options, the variables with which pip gets them, constraints, and credentials."""

from __future__ import annotations

import contextlib
import os
import re
import typing as t
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from .._errors import PatroniInstallError
from .._files import read_text, remove_file, write_private
from .._paths import checked_path
from ._constraints import decode, parse_limits
from ._desired import Limit, Sources

if t.TYPE_CHECKING:
    from .._host import Host
    from .._types import Account

PIP_ENVIRONMENT = {
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
    # If a driver has no wheel for its newest release, an older wheel is better than a build without a compiler.
    "PIP_PREFER_BINARY": "1",
    # pip's configuration files apply, for the index and the certificates. Their settings for how and where to install
    # are meant for people who run pip manually. A variable overrides a file unless the variable is empty, so a target
    # or a prefix cannot be unset like this.
    "PIP_DRY_RUN": "0",
    "PIP_NO_DEPS": "0",
    "PIP_REQUIRE_VIRTUALENV": "0",
    "PIP_ROOT": "/",
    "PIP_USER": "0",
}
# The first Python that supports quotes and escapes in netrc(5).
NETRC_PYTHON = (3, 11)


class _Login(t.NamedTuple):
    """The login in a URL.

    Attributes:
        names: the host, as newer and older versions of pip look it up; the two differ for an IPv6 address.
    """

    names: tuple[str, ...]
    name: str
    password: str


def read_sources(params: t.Mapping[str, t.Any], account: Account, host: Host) -> Sources:
    """Read the options that say where packages come from.

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
            checked_path("find_links", link)
    if params["index_url"] is not None and "://" not in params["index_url"]:
        raise PatroniInstallError("index_url: must be a URL such as https://index.example.com/simple")
    if params["no_index"] and not params["find_links"]:
        raise PatroniInstallError("no_index: requires find_links, which names where packages come from")
    path = checked_path("constraints", params["constraints"]) if params["constraints"] else None
    limits: tuple[Limit, ...] = ()
    if path and not account.assumed:
        with host.identity(account):
            limits = _read_limits(path, account)
    if params["require_hashes"] and path is None:
        raise PatroniInstallError("require_hashes: requires constraints, the file with the hashes")
    links, machine = tuple(params["find_links"]), os.uname().machine
    return Sources(params["index_url"], links, params["no_index"], path, limits, machine, params["require_hashes"])


def _read_limits(path: str, account: Account) -> tuple[Limit, ...]:
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


def without_hashes(sources: Sources) -> str:
    """Format the limits as a constraints file that any pip takes."""
    markers = (f" ; {limit.marker}" if limit.marker else "" for limit in sources.limits)
    return "".join(f"{limit.name}{limit.specifier}{marker}\n" for limit, marker in zip(sources.limits, markers))


def pip_environment(sources: Sources, netrc: str | None = None) -> dict[str, str]:
    """Return the variables that set pip's package sources.

    Variables, because they apply to every pip that pipx or the build of a package starts, and because every account
    can read a command line. pip itself writes its URLs into one when it builds from source, so credentials are removed
    from the URLs.

    Args:
        netrc: the path of the file that netrc_file() provides.
    """
    links = (_without_credentials(link) if ":" in link else _file_url(link) for link in sources.find_links)
    constraints = _unsplit(sources.constraints) if sources.constraints else None
    chosen = {
        "NETRC": netrc,
        "PIP_INDEX_URL": _without_credentials(sources.index_url) if sources.index_url else None,
        # pip splits the list at white space.
        "PIP_FIND_LINKS": " ".join(link.replace(" ", "%20") for link in links),
        "PIP_NO_INDEX": "1" if sources.no_index else None,
        "PIP_CONSTRAINT": constraints,
        "PIP_REQUIRE_HASHES": "1" if sources.require_hashes else None,
        # Newer pip does not use the other file for what builds a package.
        "PIP_BUILD_CONSTRAINT": constraints if sources.require_hashes else None,
    }
    return {**PIP_ENVIRONMENT, **{name: value for name, value in chosen.items() if value}}


def pip_query_environment(sources: Sources, netrc: str | None = None) -> dict[str, str]:
    """Return the variables for a pip that only queries: the same sources as for an installation, for any pip.

    A pip outside an environment may be configured to refuse installations outside one. That can be overridden because
    nothing is installed. pip must not be quiet because its output is parsed.
    """
    return {**pip_environment(sources, netrc), "PIP_BREAK_SYSTEM_PACKAGES": "1", "PIP_QUIET": "0"}


@contextlib.contextmanager
def netrc_file(
    sources: Sources, directory: str, host: Host, account: Account, *, as_account: bool
) -> t.Iterator[str | None]:
    """Pass credentials to pip in a file that nobody else can read, for as long as pip needs them.

    Yields:
        The path of the file; None if there are no credentials.
    """
    text = netrc_text(sources)
    if not text:
        yield None
        return
    path = f"{directory}/netrc"
    try:
        with host.acting(account, as_account):
            write_private(path, text)
        yield path
    finally:
        with host.acting(account, as_account):
            remove_file(path)


def netrc_text(sources: Sources) -> str:
    """Format the credentials in the URLs as netrc(5) entries; empty if there are none."""
    entries = (_netrc_entry(host, login) for login in _logins(_urls(sources)) for host in login.names)
    return "".join(dict.fromkeys(entries))


def _netrc_entry(host: str, login: _Login) -> str:
    """Format an entry that every Python reads correctly.

    From 3.11 on, a backslash escapes; before that, nothing does. If that makes a difference, there are two lines. Newer
    Pythons treat the second as a comment. Older ones skip only its first word and use the last entry for a host.
    """
    escaped = _netrc_line(host, _escaped(login.name), _escaped(login.password) or '""')
    plain = _netrc_line(host, login.name, login.password)
    if escaped == plain or not _is_plain(login):
        return escaped
    return f"{escaped}#until-python-3.10 {plain}"


def _netrc_line(host: str, name: str, password: str) -> str:
    shown = f" login {name}" if name else ""
    return f"machine {host}{shown} password {password}\n"


def _escaped(word: str) -> str:
    return re.sub(r'([\s\\"])', r"\\\1", word)


def _is_plain(login: _Login) -> bool:
    """Return whether a Python before 3.11 can read it from netrc(5): it supports only ASCII and no quotes."""
    both = f"{login.name}{login.password}"
    return bool(login.password) and both.isascii() and " " not in both


def need_newer_netrc(sources: Sources) -> bool:
    """Return whether a Python before NETRC_PYTHON cannot read the credentials."""
    return not all(map(_is_plain, _logins(_urls(sources))))


def _urls(sources: Sources) -> tuple[str, ...]:
    return (sources.index_url or "", *sources.find_links)


def _logins(urls: t.Iterable[str]) -> list[_Login]:
    """Read the logins in the URLs.

    Raises:
        ValueError: a URL cannot be parsed.
    """
    found = []
    for url in urls:
        parsed = urlsplit(url)
        if parsed.hostname and (parsed.username or parsed.password):
            # Older versions of pip use the part before the first colon.
            names = (_host_name(parsed.hostname), _address(parsed.netloc).partition(":")[0])
            name, password = unquote(parsed.username or ""), unquote(parsed.password or "")
            found.append(_Login(tuple(dict.fromkeys(names)), name, password))
    return found


def _without_credentials(url: str) -> str:
    parsed = urlsplit(url)
    return urlunsplit(parsed._replace(netloc=_address(parsed.netloc)))


def _address(netloc: str) -> str:
    """Return the host and the port, in the form looked up in netrc(5)."""
    return _host_name(netloc.rpartition("@")[2])


def _host_name(text: str) -> str:
    return text.lower() if text.isascii() else text.encode("idna").decode("ascii")


def _unsplit(path: str) -> str:
    """Format a path so that pip does not split it: as a URL only if needed, because pip then ignores the encoding."""
    return _file_url(path) if re.search(r"\s", path) else path


def _file_url(path: str) -> str:
    return f"file://{quote(path)}"


def find_credentials(texts: t.Iterable[str]) -> set[str]:
    """Find the passwords, or tokens used as a name, in URLs in the texts, both as written and decoded."""
    found = set()
    for text in texts:
        for name, password in re.findall(r"://([^/@:\s]*)(?::([^/\s]*))?@", text):
            secret = password or name
            found |= {secret, unquote(secret)}
    return found - {""}


def check_credentials(urls: t.Sequence[str]) -> None:
    """Reject credentials that cannot be written in netrc(5), which passes them to pip unseen.

    Raises:
        PatroniInstallError: a URL cannot be parsed, or a credential cannot be passed to pip.
    """
    try:
        logins = _logins(urls)
        for url in urls:
            _without_credentials(url)
    except ValueError:
        raise PatroniInstallError("index_url, find_links: a value is not a valid URL") from None
    for login in logins:
        if not f"{login.name}{login.password}".isprintable():
            raise PatroniInstallError(
                "index_url, find_links: a login or a password must not contain characters that cannot be printed; "
                "choose another"
            )
    known: dict[str, tuple[str, str]] = {}
    for login in logins:
        for host in login.names:
            if known.setdefault(host, (login.name, login.password)) != (login.name, login.password):
                raise PatroniInstallError(
                    f"index_url, find_links: a host must have one login and one password, but {host} has two; "
                    "use one that may read both, or give the host a second name"
                )
