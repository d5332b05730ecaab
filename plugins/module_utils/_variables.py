# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""The variables of the caller's session that a program inherits: only those listed here for its kind.

A list of variables to drop is never complete: each program, in each version, has variables that change its behavior.
"""

from __future__ import annotations

import typing as t

Inherited = t.FrozenSet[str]

# For programs that only read, and for checks of Patroni, which treats every PATRONI_* variable as configuration.
NOTHING: Inherited = frozenset()

_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
# For apt and dnf, which find certificates through their own configuration, or as the TLS library does.
NETWORK: Inherited = frozenset(
    (
        *_PROXIES,
        *(name.upper() for name in _PROXIES),
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "CURL_CA_BUNDLE",
        "REQUESTS_CA_BUNDLE",
    )
)

# How pip reaches its index, and which files it accepts. The module's options determine which versions are installed
# and where, so variables that determine either (PIP_PRE, PIP_USER, PIP_TARGET, ...) are not listed.
PIP: Inherited = NETWORK | {
    "NETRC",
    "PIP_BUILD_CONSTRAINT",
    "PIP_CERT",
    "PIP_CLIENT_CERT",
    "PIP_CONFIG_FILE",
    "PIP_CONSTRAINT",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_INDEX_URL",
    "PIP_KEYRING_PROVIDER",
    "PIP_NO_BINARY",
    "PIP_NO_INDEX",
    "PIP_ONLY_BINARY",
    "PIP_PROXY",
    "PIP_REQUIRE_HASHES",
    "PIP_RETRIES",
    "PIP_TIMEOUT",
    "PIP_TRUSTED_HOST",
    "PIP_UPLOADED_PRIOR_TO",
    # System certificates (truststore), or those of an older pip (legacy-certs).
    "PIP_USE_DEPRECATED",
    "PIP_USE_FEATURE",
}

# A build by the account needs space, which a small /tmp or home may lack. Not for root, which would write where these
# lead, and install from such a cache.
BUILD: Inherited = PIP | {"PIP_CACHE_DIR", "PIP_NO_CACHE_DIR", "TMPDIR"}


def variables(
    session: t.Mapping[str, str], inherit: Inherited, *, home: str, user: str, more: t.Mapping[str, str]
) -> dict[str, str]:
    """Return all variables that a program gets.

    The fixed locale keeps messages in the language in which the module searches them for causes.

    Args:
        session: the caller's variables.
        home: the home of the user that runs the program; sudo may have kept the caller's.
        more: variables that the module itself sets; they take precedence over the session.
    """
    passed = {name: value for name, value in session.items() if name in inherit or name == "PATH"}
    return {**passed, "LC_ALL": "C.UTF-8", **more, "HOME": home, "USER": user, "LOGNAME": user}
