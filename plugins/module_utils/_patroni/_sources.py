# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""Package sources: pip's settings and their credentials. Nothing is run here."""

from __future__ import annotations

import re
import typing as t
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from .._errors import PatroniInstallError

if t.TYPE_CHECKING:
    from ._desired import Sources

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


def pip_environment(sources: Sources, netrc: str | None = None) -> dict[str, str]:
    """Return the variables that set pip's package sources.

    Variables, because they apply to every pip that pipx or the build of a package starts, and because every account
    can read a command line. pip itself writes its URLs into one when it builds from source, so credentials are removed
    from the URLs.

    Args:
        netrc: the path of a file with the text from netrc_text().
    """
    links = (_without_credentials(link) if ":" in link else _file_url(link) for link in sources.find_links)
    chosen = {
        "NETRC": netrc,
        "PIP_INDEX_URL": _without_credentials(sources.index_url) if sources.index_url else None,
        # pip splits the list at white space.
        "PIP_FIND_LINKS": " ".join(link.replace(" ", "%20") for link in links),
        "PIP_NO_INDEX": "1" if sources.no_index else None,
        "PIP_CONSTRAINT": _unsplit(sources.constraints) if sources.constraints else None,
    }
    return {**PIP_ENVIRONMENT, **{name: value for name, value in chosen.items() if value}}


def pip_query_environment(sources: Sources, netrc: str | None = None) -> dict[str, str]:
    """Return the variables for a pip that only queries: the same sources as for an installation, for any pip.

    A pip outside an environment may be configured to refuse installations outside one. That can be overridden because
    nothing is installed. pip must not be quiet because its output is parsed.
    """
    return {**pip_environment(sources, netrc), "PIP_BREAK_SYSTEM_PACKAGES": "1", "PIP_QUIET": "0"}


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
