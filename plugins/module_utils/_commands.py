# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Building the commands that are run, and reading what they print. Nothing is run here."""

from __future__ import annotations

import re
import typing as t
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from ansible_collections.pgedge.platform.plugins.module_utils._drift import normalized_name

if t.TYPE_CHECKING:
    from ansible_collections.pgedge.platform.plugins.module_utils._model import Sources

# A driver without a wheel for the newest release is better taken from an older wheel than built without a compiler.
PIP_ENVIRONMENT = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_PREFER_BINARY": "1"}
APT_ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive"}

_UNIT_PROPERTIES = (
    "NeedDaemonReload",
    "FragmentPath",
    "ActiveState",
    "UnitFileState",
    "ExecMainStartTimestampMonotonic",
    "MainPID",
)
# What each extra is for, as the module that Python must be able to import.
_EXTRA_IMPORTS = {
    "aws": "boto3",
    "consul": "patroni.dcs.consul",
    "etcd": "patroni.dcs.etcd",
    "etcd3": "patroni.dcs.etcd3",
    "exhibitor": "patroni.dcs.exhibitor",
    "jsonlogger": "pythonjsonlogger",
    "kubernetes": "patroni.dcs.kubernetes",
    "psycopg2": "psycopg2",
    "psycopg2-binary": "psycopg2",
    "psycopg3": "psycopg",
    "raft": "patroni.dcs.raft",
    "systemd": "systemd.daemon",
    "zookeeper": "patroni.dcs.zookeeper",
}

# As apt, dnf, pip and pipx word them. A certificate that is not trusted does not become so by waiting.
_LOCKED = re.compile(
    r"could not get lock|unable to lock|is another process using it\?"
    r"|already locked by|failed to obtain .*lock|waiting for process with pid|another app is currently holding",
    re.IGNORECASE,
)
_HOLDER = re.compile(
    r"could not get lock .* held by .*|\S+ already locked by .*|application with pid .*", re.IGNORECASE
)
_FINAL = re.compile(
    r"\b40[13] (Client )?Error|CERTIFICATE_VERIFY_FAILED|certificate verify failed|No space left on device"
    r"|Read-only file system|404 +Not Found",
    re.IGNORECASE,
)
_TRANSIENT = re.compile(
    r"temporary failure (in name resolution|resolving)|could not resolve|name or service not known"
    r"|failed to establish a new connection|connection (broken|refused|reset|timed out|failed|aborted)"
    r"|could not connect|unable to connect|network is unreachable|no route to host|remote end closed"
    r"|read timed out|timed out|timeout was reached|incompleteread|incomplete read|hash sum mismatch"
    r"|(50[0234]|429) (server|client) error|HTTP error (50[0234]|429)|\b(50[0234]|429)\s+(bad|service|gateway|too many)"
    r"|cannot download|failed to download|failed to fetch|incomplete.download|\(from versions: none\)",
    re.IGNORECASE,
)
# The mirror no longer has the file that the lists name.
_STALE_LISTS = re.compile(r"^E: Failed to fetch .*\b404\b", re.MULTILINE)


def show_unit(name: str) -> list[str]:
    return ["systemctl", "show", f"--property={','.join(_UNIT_PROPERTIES)}", name]


def daemon_reload() -> list[str]:
    return ["systemctl", "daemon-reload"]


def apt_show(package: str) -> list[str]:
    return ["apt-cache", "show", "--no-all-versions", package]


def apt_update() -> list[str]:
    return ["apt-get", "update"]


def apt_install(packages: t.Sequence[str], lock_timeout: int) -> list[str]:
    return [
        "apt-get",
        "install",
        "--yes",
        "--no-install-recommends",
        "-o",
        f"DPkg::Lock::Timeout={lock_timeout}",
        *packages,
    ]


def dnf_install(packages: t.Sequence[str]) -> list[str]:
    """Without exit_on_lock dnf waits for another one for as long as that takes."""
    return [
        "dnf",
        "--assumeyes",
        "--setopt=install_weak_deps=False",
        "--setopt=exit_on_lock=True",
        "install",
        *packages,
    ]


def dpkg_configure() -> list[str]:
    return ["dpkg", "--configure", "-a"]


def pip_install(pip: str, requirement: str, *, again: bool = False) -> list[str]:
    return [pip, "install", *(["--ignore-installed"] if again else []), requirement]


def pip_index_versions(environment: str, *, pre: bool = False) -> list[str]:
    return [f"{environment}/bin/python", "-m", "pip", "index", "versions", *(["--pre"] if pre else []), "patroni"]


def pipx_install(pipx: str, requirement: str, python: str | None) -> list[str]:
    chosen = ["--python", python] if python else []
    return [pipx, "install", *chosen, requirement]


def parse_interpreter(script: str) -> str | None:
    """Read which Python runs a script, such as pipx, from its first line."""
    matched = re.match(r"#! *(/\S*/python[\d.]*)\s", script)
    return matched.group(1) if matched else None


def make_shared_libraries(python: str, path: str, wheel: str, pipx: str) -> list[list[str]]:
    """Make what pipx makes itself: an environment with the newest pip, which all of its environments share.

    What is not compiled now, Python compiles when it is first used.

    Args:
        wheel: of the pip that runs meanwhile.
        pipx: its version; until 1.2 it keeps more than pip there.
    """
    names = ["pip", "setuptools", "wheel"] if re.match(r"0\.|1\.[012]\b", pipx) else ["pip"]
    return [
        [python, "-m", "venv", "--without-pip", path],
        [f"{path}/bin/python", f"{wheel}/pip", "install", "--quiet", "--retries=0", "--no-compile", *names],
    ]


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


def pipx_environment(
    generation: str, shared_libraries: str, sources: Sources, netrc: str | None = None
) -> dict[str, str]:
    """Give pipx a home of its own for one environment, with the layout that every pipx then keeps.

    What it exposes stays in there too; it is exposed for good only when the environment has proved itself.
    """
    return {
        **pip_environment(sources, netrc),
        # uv, which newer pipx prefers when it is there, ignores PIP_* and pip.conf, a private CA included.
        "PIPX_DEFAULT_BACKEND": "pip",
        "USE_EMOJI": "0",
        "PIPX_HOME": generation,
        "PIPX_BIN_DIR": f"{generation}/bin",
        "PIPX_MAN_DIR": f"{generation}/man",
        "PIPX_COMPLETION_DIR": f"{generation}/completion",
        "PIPX_SHARED_LIBS": shared_libraries,
    }


def checks(environment: str, extras: t.Sequence[str]) -> list[list[str]]:
    """Ask a new environment to prove that it works: daemon, control utility, and what the extras are for."""
    modules = list(dict.fromkeys(_EXTRA_IMPORTS[extra] for extra in extras if extra in _EXTRA_IMPORTS))
    imported = [f"{environment}/bin/python", "-c", f"import {', '.join(modules)}"]
    return [
        [f"{environment}/bin/patroni", "--version"],
        [f"{environment}/bin/patronictl", "version"],
        *([imported] if modules else []),
    ]


def parse_properties(text: str) -> dict[str, str]:
    """Read what C(systemctl show) prints."""
    return {name: value for name, _sign, value in (line.partition("=") for line in text.splitlines())}


def parse_versions(text: str) -> tuple[str, ...]:
    """Read what C(pip index versions patroni) lists, which is the newest first."""
    matched = re.search(r"Available versions:(.*)", text)
    return tuple(matched.group(1).replace(",", " ").split()) if matched else ()


def parse_pins(text: str) -> dict[str, str]:
    """Read the exact versions from a constraints file, by normalized name; what is not exact pip alone can judge."""
    lines = (line.partition("#")[0] for line in text.splitlines())
    matched = (re.match(r"\s*([A-Za-z0-9][\w.-]*)\s*===?\s*([^\s,*]+)\s*$", line) for line in lines)
    return {normalized_name(found.group(1)): found.group(2) for found in matched if found}


def parse_pip_log(text: str) -> str | None:
    """Read where pipx wrote what pip said; of that it prints a few lines only."""
    matched = re.search(r"Full pip output in file:\s+(/.*)", text)
    return matched.group(1).strip() if matched else None


def parse_cause(text: str) -> str:
    """Choose the line that tells best why a command failed.

    That is what names the holder of a lock, else the last line with a lasting cause, else with a passing one, else with
    an error of any kind, else the last at all:
    without an index pip ends with "No matching distribution found", which misleads.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    holders = [found.group(0).rstrip(".") for found in map(_HOLDER.search, lines) if found]
    if holders:
        return "; ".join(dict.fromkeys(holders))
    error = re.compile(r"(E|ERROR|error|fatal|\w*(Error|Exception)):")
    for telling in (_FINAL.search, _TRANSIENT.search, error.match):
        found = [line for line in lines if telling(line) and "from versions" not in line]
        if found:
            return found[-1]
    return lines[-1] if lines else "it said nothing"


def parse_offered(text: str) -> tuple[str, ...]:
    """Read the versions that pip names when it does not find the one that was asked for."""
    matched = re.findall(r"requirement patroni\b.* \(from versions: ([^)]*)\)", text)
    names = matched[-1].split(", ") if matched else []
    return tuple(name for name in names if name != "none")


def not_offered(requirement: str, offered: t.Sequence[str]) -> str:
    """Say that an index lacks what is wanted.

    Args:
        offered: the versions that it has, the newest last.
    """
    newest = ", ".join(offered[-8:])
    return f"the package index offers no {requirement} for this Python; the newest that it offers are {newest}"


def is_locked(output: str) -> bool:
    """Whether a package manager gave up because another one works at the moment."""
    return bool(_LOCKED.search(output))


def is_transient(output: str) -> bool:
    """Whether a download failed for a reason that passes by itself."""
    return bool(_TRANSIENT.search(output)) and not _FINAL.search(output)


def apt_remedy(output: str) -> list[str] | None:
    """Name the command after which an installation that apt refused may succeed; None where there is none."""
    if _STALE_LISTS.search(output):
        return apt_update()
    if "dpkg --configure -a" in output:
        return dpkg_configure()
    return None
