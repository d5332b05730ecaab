# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where packages come from: pip's settings and their credentials, and the constraints. Nothing is run here."""

from __future__ import annotations

import re
import typing as t
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from ansible_collections.pgedge.platform.plugins.module_utils._drift import normalized_name
from ansible_collections.pgedge.platform.plugins.module_utils._errors import PatroniInstallError

if t.TYPE_CHECKING:
    from ansible_collections.pgedge.platform.plugins.module_utils._model import Sources

# A driver without a wheel for the newest release is better taken from an older wheel than built without a compiler.
PIP_ENVIRONMENT = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_PREFER_BINARY": "1"}


def pip_environment(sources: Sources, netrc: str | None = None) -> dict[str, str]:
    """Tell pip where packages come from.

    By variables, because every pip that pipx and the build of a package start heeds them, and because a command line
    can be read by every account. pip itself writes its URLs into one when it builds from source, so credentials do not
    stay in them.

    Args:
        netrc: the path of a file with what netrc_text() gives.
    """
    return _pip_environment(sources, _without_credentials, {"NETRC": netrc})


def pip_query_environment(sources: Sources) -> dict[str, str]:
    """Tell a pip that only asks where packages come from.

    It builds nothing, so that the credentials stay in the variables, which the account and root alone can read.
    """
    return _pip_environment(sources, str, {})


def _pip_environment(
    sources: Sources, shown: t.Callable[[str], str], more: t.Mapping[str, str | None]
) -> dict[str, str]:
    # pip splits the list at white space.
    links = " ".join(shown(link).replace(" ", "%20") if ":" in link else _file_url(link) for link in sources.find_links)
    chosen = {
        **more,
        "PIP_INDEX_URL": shown(sources.index_url) if sources.index_url else None,
        "PIP_FIND_LINKS": links,
        "PIP_NO_INDEX": "1" if sources.no_index else None,
        "PIP_CONSTRAINT": _file_url(sources.constraints) if sources.constraints else None,
    }
    return {**PIP_ENVIRONMENT, **{name: value for name, value in chosen.items() if value}}


def netrc_text(sources: Sources) -> str:
    """Write the credentials of the URLs as netrc(5) has them; empty where there are none."""
    urls = (urlsplit(url) for url in (sources.index_url or "", *sources.find_links))
    entries = (
        f"machine {url.hostname} login {unquote(url.username or '')} password {unquote(url.password or '')}\n"
        for url in urls
        if url.username
    )
    return "".join(dict.fromkeys(entries))


def _without_credentials(url: str) -> str:
    parsed = urlsplit(url)
    return urlunsplit(parsed._replace(netloc=parsed.netloc.rpartition("@")[2]))


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


def check_password(url: str) -> None:
    """Refuse what netrc(5), by which pip learns of it unseen, cannot carry."""
    try:
        password = unquote(urlsplit(url).password or "")
    except ValueError:
        raise PatroniInstallError("index_url, find_links: a value is no URL that can be read") from None
    if not password.isprintable() or set(password) & set(' \\"'):
        raise PatroniInstallError(
            "index_url, find_links: a password with white space, a quote or a backslash cannot be handed to pip "
            "unseen; choose another"
        )


def parse_pins(text: str) -> dict[str, str]:
    """Read the exact versions from a constraints file, by normalized name; what is not exact pip alone can judge."""
    lines = (line.partition("#")[0] for line in text.splitlines())
    matched = (re.match(r"\s*([A-Za-z0-9][\w.-]*)\s*===?\s*([^\s,*]+)\s*$", line) for line in lines)
    return {normalized_name(found.group(1)): found.group(2) for found in matched if found}
