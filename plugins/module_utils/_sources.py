# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where packages come from: pip's settings and their credentials. Nothing is run here."""

from __future__ import annotations

import re
import typing as t
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from ansible_collections.pgedge.platform.plugins.module_utils._errors import PatroniInstallError

if t.TYPE_CHECKING:
    from ansible_collections.pgedge.platform.plugins.module_utils._model import Sources

PIP_ENVIRONMENT = {
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
    # A driver without a wheel for the newest release is better taken from an older wheel than built without a compiler.
    "PIP_PREFER_BINARY": "1",
    # pip's configuration files are heeded, for the index and the certificates. Their settings for how and where to
    # install are meant for people who call pip by hand. A variable wins over a file, unless it is empty, so that a
    # target or a prefix cannot be undone like this.
    "PIP_DRY_RUN": "0",
    "PIP_NO_DEPS": "0",
    "PIP_REQUIRE_VIRTUALENV": "0",
    "PIP_ROOT": "/",
    "PIP_USER": "0",
}
# The first Python that reads netrc(5) with quotes and escapes.
NETRC_PYTHON = (3, 11)


class _Login(t.NamedTuple):
    """What a URL says of who asks.

    Attributes:
        names: the host, as newer and as older versions of pip look it up; they differ for an IPv6 address.
    """

    names: tuple[str, ...]
    name: str
    password: str


def pip_environment(sources: Sources, netrc: str | None = None) -> dict[str, str]:
    """Tell pip where packages come from.

    By variables, because every pip that pipx and the build of a package start heeds them, and because a command line
    can be read by every account. pip itself writes its URLs into one when it builds from source, so credentials do not
    stay in them.

    Args:
        netrc: the path of a file with what netrc_text() gives.
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
    """Tell a pip that only asks where packages come from: as for an installation, whichever pip it is.

    One that does not lie in an environment may be told elsewhere to refuse what is not for one, and nothing is
    installed. An answer that is not printed cannot be read.
    """
    return {**pip_environment(sources, netrc), "PIP_BREAK_SYSTEM_PACKAGES": "1", "PIP_QUIET": "0"}


def netrc_text(sources: Sources) -> str:
    """Write the credentials of the URLs as netrc(5) has them; empty if there are none."""
    entries = (_netrc_entry(host, login) for login in _logins(_urls(sources)) for host in login.names)
    return "".join(dict.fromkeys(entries))


def _netrc_entry(host: str, login: _Login) -> str:
    """Write an entry that every Python reads as it is meant.

    From 3.11 on a backslash escapes, before that nothing does. If that makes a difference, there are two lines. Newer
    Pythons take the second for a comment. Older ones skip its first word only, and their last entry for a host counts.
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
    """Whether a Python before 3.11 can read it from netrc(5): it knows no quotes, and ASCII only."""
    both = f"{login.name}{login.password}"
    return bool(login.password) and both.isascii() and " " not in both


def need_newer_netrc(sources: Sources) -> bool:
    """Whether a Python before NETRC_PYTHON cannot read the credentials."""
    return not all(map(_is_plain, _logins(_urls(sources))))


def _urls(sources: Sources) -> tuple[str, ...]:
    return (sources.index_url or "", *sources.find_links)


def _logins(urls: t.Iterable[str]) -> list[_Login]:
    """Read who the URLs say asks.

    Raises:
        ValueError: one of them cannot be read.
    """
    found = []
    for url in urls:
        parsed = urlsplit(url)
        if parsed.hostname and (parsed.username or parsed.password):
            # Older versions of pip take what stands before the first colon.
            names = (_host_name(parsed.hostname), _address(parsed.netloc).partition(":")[0])
            name, password = unquote(parsed.username or ""), unquote(parsed.password or "")
            found.append(_Login(tuple(dict.fromkeys(names)), name, password))
    return found


def _without_credentials(url: str) -> str:
    parsed = urlsplit(url)
    return urlunsplit(parsed._replace(netloc=_address(parsed.netloc)))


def _address(netloc: str) -> str:
    """Take the host and the port, spelled as they are looked up in netrc(5)."""
    return _host_name(netloc.rpartition("@")[2])


def _host_name(text: str) -> str:
    return text.lower() if text.isascii() else text.encode("idna").decode("ascii")


def _unsplit(path: str) -> str:
    """Write a path so that pip does not split it; of a file that a URL names, pip does not see the encoding."""
    return _file_url(path) if re.search(r"\s", path) else path


def _file_url(path: str) -> str:
    return f"file://{quote(path)}"


def find_credentials(texts: t.Iterable[str]) -> set[str]:
    """Find the passwords, or tokens in the place of a name, in the URLs that texts hold, as written and decoded."""
    found = set()
    for text in texts:
        for name, password in re.findall(r"://([^/@:\s]*)(?::([^/\s]*))?@", text):
            secret = password or name
            found |= {secret, unquote(secret)}
    return found - {""}


def check_credentials(urls: t.Sequence[str]) -> None:
    """Refuse what netrc(5), by which pip learns of it unseen, cannot carry.

    Raises:
        PatroniInstallError: a URL cannot be read, or a credential cannot be handed on.
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
