# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""Read a unit that somebody else wrote: which configuration it starts Patroni with, and its other settings.

Anything that cannot be read from the text with certainty, such as a variable, is not guessed.
"""

from __future__ import annotations

import re
import typing as t

_SETTING = re.compile(r"[A-Za-z]+\.[A-Za-z0-9]+")
# Prefixes of the command in ExecStart= (systemd.service(5)).
_PREFIXES = "@-:+!|"
# From systemd.syntax(7), without the numeric ones: nobody writes a path with them.
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " "}
_ESCAPED = re.compile(r"\\([abfnrtvs\\\"'])")
# One word of a command line; a quote in the middle of a word is part of it.
_WORD = re.compile(
    r"""\s*(?: "(?P<double>(?:[^"\\]|\\.)*)" | '(?P<single>(?:[^'\\]|\\.)*)' | (?P<bare>[^\s"'](?:[^\s\\]|\\.)*) )
    (?=\s|$)""",
    re.VERBOSE,
)
# Python options that take no value and do not select what to run.
_PYTHON_FLAGS = re.compile(r"-[BEIOPRSbdqsuv]+")
# An sh command that only starts a program: no variable, no pattern, no second command.
_PLAIN_SHELL = re.compile(r"(?:exec\s+)?([\w./@%+,:= -]+)")
# The command with which _unit.py starts an executable whose path systemd does not accept in any quoting.
_SHELL_START = 'exec "$0" "$1"'


class _Unclear(Exception):
    """The text is not conclusive."""


class Unit:
    """The settings of a unit file, as systemd reads them."""

    def __init__(self, text: str) -> None:
        self.settings = tuple(_settings(text))

    def values(self, section: str, name: str) -> list[str]:
        """The values of a setting; an empty value resets those before it."""
        values: list[str] = []
        for found_section, found_name, value in self.settings:
            if (found_section, found_name) == (section, name):
                values = [*values, value] if value else []
        return values

    def configuration(self, homes: t.Mapping[str, str]) -> str | None:
        """The absolute path of the configuration that Patroni is started with; None if the text is not conclusive.

        Args:
            homes: the home directories of accounts by name, for a working directory of ~.
        """
        commands = self.values("Service", "ExecStart")
        if len(commands) != 1:
            return None
        try:
            argument = _argument(_words(commands[0]))
        except _Unclear:
            return None
        return _sound(argument if argument.startswith("/") else self._from_working_directory(argument, homes))

    def _from_working_directory(self, path: str, homes: t.Mapping[str, str]) -> str | None:
        directory = (self.values("Service", "WorkingDirectory") or ["/"])[-1].lstrip("-").strip('"')
        if directory == "~":
            directory = homes.get((self.values("Service", "User") or ["root"])[-1], "")
        if not directory.startswith("/") or "%" in directory:
            return None
        return f"{directory.rstrip('/')}/{path}"


def configuration_of_process(words: t.Sequence[str], directory: str | None) -> str | None:
    """The absolute path of the configuration in a Patroni command line; None if that is not conclusive.

    Args:
        directory: the working directory of the process.
    """
    try:
        argument = _argument(list(words))
    except _Unclear:
        return None
    return _sound(argument if argument.startswith("/") or not directory else f"{directory.rstrip('/')}/{argument}")


def programs_of_unit(text: str) -> tuple[str, ...]:
    """Every absolute path in the commands of a unit, including those in a shell script.

    To overlook nothing, the result may contain words that are not paths.
    """
    unit = Unit(text)
    lines = [value for section, name, value in unit.settings if section == "Service" and name.startswith("Exec")]
    found: list[str] = []
    for line in lines:
        quoted = [left or right for left, right in re.findall(r"\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'", line)]
        words = [*quoted, *re.split(r"[\s\"'=;&|()<>]+", line.replace("\\", ""))]
        plain = (_ESCAPED.sub(_unescaped, word).replace("%%", "%").lstrip(_PREFIXES) for word in words)
        found.extend(word for word in plain if word.startswith("/"))
    return tuple(dict.fromkeys(found))


def _sound(path: str | None) -> str | None:
    """Return the path if the option config_file would accept it too; otherwise None."""
    sound = path and path.startswith("/") and path.strip("/") and path.isprintable() and ".." not in path.split("/")
    return path if sound else None


def lost_settings(old: str, new: str) -> tuple[str, ...]:
    """List the settings of one unit that another one lacks or sets to a different value, as Section.Name.

    Values are left out because they may be secret.
    """
    kept = {(section, name, _plain(value)) for section, name, value in Unit(new).settings}
    lost = (
        f"{section}.{name}"
        for section, name, value in Unit(old).settings
        if value and (section, name, _plain(value)) not in kept and name not in ("Description", "Documentation")
    )
    return tuple(name for name in dict.fromkeys(lost) if _SETTING.fullmatch(name))


def _plain(value: str) -> str:
    return value.replace('"', "")


def _settings(text: str) -> t.Iterator[tuple[str, str, str]]:
    """Yield the section, name and value of each setting, with continued lines joined."""
    section = begun = ""
    for line in text.splitlines():
        if line.strip().startswith(("#", ";")):
            continue
        if line.endswith("\\"):
            begun += f"{line[:-1]} "
            continue
        whole, begun = f"{begun}{line}".strip(), ""
        if whole.startswith("[") and whole.endswith("]"):
            section = whole[1:-1]
        elif "=" in whole:
            name, _equals, value = whole.partition("=")
            yield section, name.strip(), value.strip()


def _words(command: str) -> list[str]:
    """Split a command line as systemd does, without the prefixes and without a name for the process."""
    bare = command.lstrip(_PREFIXES)
    prefixes = command[: len(command) - len(bare)]
    words: list[str] = []
    position = 0
    while bare[position:].strip():
        matched = _WORD.match(bare, position)
        if matched is None:
            raise _Unclear
        position = matched.end()
        text = next(text for text in matched.groups() if text is not None)
        if matched.lastgroup == "bare" and text == ";":
            raise _Unclear
        if "\\" in _ESCAPED.sub("", text):
            raise _Unclear
        words.append(_expanded(_ESCAPED.sub(_unescaped, text), variables=bool(words) and ":" not in prefixes))
    if "@" in prefixes:
        del words[1:2]
    return words


def _unescaped(matched: re.Match[str]) -> str:
    return _ESCAPES.get(matched.group(1), matched.group(1))


def _expanded(word: str, *, variables: bool) -> str:
    """Unescape %% and $$ in a word; mark a specifier or a variable with NUL, which no path contains."""
    word = re.sub("%(%?)", lambda matched: matched.group(1) or "\0", word)
    return re.sub(r"\$(\$?)", lambda matched: matched.group(1) or "\0", word) if variables else word


def _argument(words: list[str]) -> str:
    """The only argument of Patroni in a command, even if another program starts Patroni."""
    if not words:
        raise _Unclear
    name = words[0].rpartition("/")[2]
    if name == "env":
        return _argument(_after_variables(words[1:]))
    if name in ("sh", "bash", "dash") and len(words) > 2 and words[1] == "-c":
        return _argument(_of_shell(words[2:]))
    if re.fullmatch(r"python[\d.]*", name):
        return _argument(_of_python(words[1:]))
    if name not in ("patroni", "patroni.py") or len(words) != 2 or words[1].startswith("-") or "\0" in words[1]:
        raise _Unclear
    return words[1]


def _after_variables(words: list[str]) -> list[str]:
    while words and re.match(r"\w+=", words[0]):
        words = words[1:]
    return words


def _of_shell(words: list[str]) -> list[str]:
    script, *more = words
    if script == _SHELL_START:
        return more
    matched = _PLAIN_SHELL.fullmatch(script)
    if more or matched is None:
        raise _Unclear
    return _after_variables(matched.group(1).split())


def _of_python(words: list[str]) -> list[str]:
    while words and _PYTHON_FLAGS.fullmatch(words[0]):
        words = words[1:]
    if words[:2] == ["-m", "patroni"]:
        return words[1:]
    return words
