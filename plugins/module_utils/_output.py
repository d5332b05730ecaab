# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judging what commands print: the cause of a failure, and whether it passes by itself. Nothing is run here."""

from __future__ import annotations

import re
import typing as t

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


def parse_answer_of_interpreter(output: str) -> str | None:
    """Read the file of a Python 3; None if it is no such. Of a wrapper that prints more, the last line counts."""
    matched = re.fullmatch(r"3 (/.+)", (output.strip().splitlines() or [""])[-1])
    return matched.group(1) if matched else None


def parse_properties(text: str) -> dict[str, str]:
    """Read what C(systemctl show) prints."""
    return {name: value for name, _sign, value in (line.partition("=") for line in text.splitlines())}


def parse_versions(text: str) -> tuple[str, ...]:
    """Read what C(pip index versions patroni) lists, which is the newest first."""
    matched = re.search(r"Available versions:(.*)", text)
    return tuple(matched.group(1).replace(",", " ").split()) if matched else ()


def parse_python_version(text: str) -> tuple[int, ...]:
    """Read what python_version() of _commands asks; empty if that is no version."""
    matched = re.fullmatch(r"(\d+) (\d+)", text.strip())
    return tuple(map(int, matched.groups())) if matched else ()


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
