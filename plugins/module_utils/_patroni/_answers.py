# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""Read the answers of commands that are asked about the host. Nothing is run here."""

from __future__ import annotations

import re


def parse_answer_of_interpreter(output: str) -> str | None:
    """Parse the path of a Python 3; None if it is not one. If a wrapper prints more, only the last line counts."""
    matched = re.fullmatch(r"3 (/.+)", (output.strip().splitlines() or [""])[-1])
    return matched.group(1) if matched else None


def parse_properties(text: str) -> dict[str, str]:
    """Parse the output of C(systemctl show)."""
    return {name: value for name, _sign, value in (line.partition("=") for line in text.splitlines())}


def parse_chosen(text: str) -> str | None:
    """Read which version of Patroni pip would install, or has downloaded."""
    installed = re.findall(r"^Would install (?:.* )?patroni-(\S+)", text, re.MULTILINE | re.IGNORECASE)
    saved = re.findall(
        r"^\s*Saved .*/patroni-([^-\s]+?)(?:-\S*\.whl|\.tar\.gz|\.zip)$", text, re.MULTILINE | re.IGNORECASE
    )
    return next(iter((*installed, *saved)), None)


def is_pip_answer(completed_rc: int, text: str) -> bool:
    """Return whether pip itself answered, not a Python that has no pip or cannot run this one."""
    return completed_rc == 0 or bool(re.search(r"^ERROR: ", text, re.MULTILINE))


def parse_python_version(text: str) -> tuple[int, ...]:
    """Parse the output of the command from _commands.python_version(); empty if it is not a version."""
    matched = re.fullmatch(r"(\d+) (\d+)", text.strip())
    return tuple(map(int, matched.groups())) if matched else ()


def parse_pip(text: str) -> tuple[str, bool, str | None] | None:
    """Parse the output of the command from _commands.ask_pip().

    Returns:
        The version of Python, whether it has pip, and the file that forbids pip to install for it; None if the command
        did not say so.
    """
    matched = re.fullmatch(r"(\d+\.\d+) (pip|none) (/.*)?\n?", text)
    return (matched[1], matched[2] == "pip", matched[3]) if matched else None
