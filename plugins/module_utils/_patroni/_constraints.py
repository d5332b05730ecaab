# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.


"""What a pip constraints file allows, in the forms that people, pip-compile and uv write. Pure.

Anything that cannot be evaluated from the text alone is left to pip.
"""

from __future__ import annotations

import re
import typing as t

from .._versions import allows, normalized_name
from ._desired import Limit

if t.TYPE_CHECKING:
    from ._desired import Sources

# Byte order marks. The order matters: the second begins with the fourth.
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_DECLARED = re.compile(rb"#.*coding[:=]\s*([-\w.]+)")
_COMMENT = re.compile(r"(^|\s+)#.*$")
_NESTED = re.compile(r"(?:-[cr]\s*|--(?:constraint|requirement)(?:\s*=\s*|\s+))(.+)")
_CLAUSE = r"(?:===|~=|==|!=|<=|>=|<|>)\s*[^\s,;()]+"
_CLAUSES = rf"{_CLAUSE}(?:\s*,\s*{_CLAUSE})*\s*,?"
_REQUIREMENT = re.compile(
    r"(?P<name>[A-Z0-9](?:[\w.-]*[A-Z0-9])?)\s*(?:\[[^\]]*\])?\s*"
    rf"(?:(?P<specifier>{_CLAUSES})|\(\s*(?P<enclosed>{_CLAUSES})\s*\))\s*(?:;\s*(?P<marker>.+))?",
    re.ASCII | re.IGNORECASE,
)
_TOKEN = re.compile(
    r"\s*(?:'(?P<single>[^']*)'|\"(?P<double>[^\"]*)\"|(?P<operator>===|~=|==|!=|<=|>=|<|>|not\s+in\b|(?:in|and|or)\b)"
    r"|(?P<parenthesis>[()])|(?P<name>[a-z_.]+))\s*"
)
_TEXTS = (
    "extra",
    "implementation_name",
    "os_name",
    "platform_machine",
    "platform_python_implementation",
    "platform_system",
    "sys_platform",
)
_FULL_VERSIONS = ("python_full_version", "implementation_version")


class _Unclear(Exception):
    """A marker that only pip can evaluate."""


def decode(raw: bytes) -> str:
    """Decode text as pip does: by its byte order mark, by the encoding that its first lines declare, or as UTF-8."""
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            return raw.replace(mark, b"", 1).decode(encoding, "replace")
    declared = next(filter(None, map(_DECLARED.match, raw.split(b"\n")[:2])), None)
    try:
        return raw.decode(declared.group(1).decode("ascii") if declared else "utf-8", "replace")
    except LookupError:
        return raw.decode("utf-8", "replace")


def parse_limits(text: str, file: str) -> tuple[tuple[Limit, ...], tuple[str, ...]]:
    """Parse the limits in a file, and the paths of the files that it includes, resolved against its directory.

    Args:
        file: the path that the text was read from.
    """
    limits, nested = [], []
    for line in _logical_lines(text):
        # pip substitutes variables from its own environment, and a URL does not name a version.
        if re.search(r"\$\{[A-Z0-9_]+\}", line):
            continue
        included = _NESTED.fullmatch(line)
        requirement = _REQUIREMENT.fullmatch(re.sub(r"\s+-.*$", "", line))
        if included:
            path = included.group(1).strip().strip("'\"")
            nested += [] if ":" in path else [path if path.startswith("/") else f"{file.rpartition('/')[0]}/{path}"]
        elif requirement:
            specifier = requirement.group("specifier") or requirement.group("enclosed")
            limits.append(
                Limit(
                    normalized_name(requirement.group("name")),
                    re.sub(r"\s+", "", specifier).strip(","),
                    requirement.group("marker") or "",
                    file,
                    line,
                )
            )
    return tuple(limits), tuple(nested)


def _logical_lines(text: str) -> t.Iterator[str]:
    """Join lines that end in a backslash, and remove comments."""
    begun = ""
    for line in text.splitlines():
        if re.match(r"\s*#", line):
            # A comment ends a continued line.
            line = "" if begun else line
        if line.endswith("\\"):
            begun += line[:-1]
            continue
        yield _COMMENT.sub("", begun + line).strip()
        begun = ""
    yield _COMMENT.sub("", begun).strip()


def applicable(sources: Sources, python: str | None) -> tuple[Limit, ...]:
    """Select the limits that apply to a Python, such as C(3.11); if it is unknown, those that apply to every Python."""
    return tuple(limit for limit in sources.limits if _holds(limit.marker, python, sources.machine))


def contradicted(sources: Sources, python: str | None, name: str, version: str) -> Limit | None:
    """Find the limit that a version of a distribution violates; None if there is none, or if only pip can tell."""
    return next(
        (
            limit
            for limit in applicable(sources, python)
            if limit.name == name and allows(limit.specifier, version) is False
        ),
        None,
    )


def _holds(marker: str, python: str | None, machine: str) -> bool:
    """Return whether a marker (PEP 508) is certainly true."""
    if not marker:
        return True
    facts = {
        "os_name": "posix",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        # Always empty for a constraint.
        "extra": "",
    }
    if python:
        facts.update(dict.fromkeys(("python_version", *_FULL_VERSIONS), python))
    try:
        return _Marker(marker, facts).judge() is True
    except _Unclear:
        return False


class _Marker:
    """The evaluation of one marker: true, false, or None if it cannot be determined."""

    def __init__(self, text: str, facts: t.Mapping[str, str]) -> None:
        self._facts = facts
        self._tokens: list[tuple[str, str]] = []
        position = 0
        while position < len(text):
            matched = _TOKEN.match(text, position)
            if matched is None or matched.lastgroup is None:
                raise _Unclear
            written = matched.group(matched.lastgroup)
            if matched.lastgroup in ("single", "double"):
                self._tokens.append(("text", written))
            else:
                self._tokens.append((matched.lastgroup, " ".join(written.split())))
            position = matched.end()

    def judge(self) -> bool | None:
        verdict = self._any()
        if self._tokens:
            raise _Unclear
        return verdict

    def _any(self) -> bool | None:
        verdicts = [self._all()]
        while self._take("or"):
            verdicts.append(self._all())
        return True if True in verdicts else None if None in verdicts else False

    def _all(self) -> bool | None:
        verdicts = [self._one()]
        while self._take("and"):
            verdicts.append(self._one())
        return False if False in verdicts else None if None in verdicts else True

    def _one(self) -> bool | None:
        if self._take("("):
            verdict = self._any()
            if not self._take(")"):
                raise _Unclear
            return verdict
        left, operator, right = (self._next() for _part in range(3))
        if operator[0] != "operator" or {left[0], right[0]} != {"name", "text"}:
            raise _Unclear
        return self._compare(left, operator[1], right)

    def _compare(self, left: tuple[str, str], operator: str, right: tuple[str, str]) -> bool | None:
        name, text = (left[1], right[1]) if left[0] == "name" else (right[1], left[1])
        fact = self._facts.get(name)
        if fact is None:
            return None
        values = (fact, text) if left[0] == "name" else (text, fact)
        if operator in ("in", "not in"):
            return None if name in _FULL_VERSIONS else (values[0] in values[1]) == (operator == "in")
        if name in _TEXTS:
            return (fact == text) == (operator == "==") if operator in ("==", "!=") else None
        if name in _FULL_VERSIONS:
            return _compare_full(fact, text, operator) if left[0] == "name" else None
        return allows(operator + values[1], values[0])

    def _next(self) -> tuple[str, str]:
        if not self._tokens:
            raise _Unclear
        return self._tokens.pop(0)

    def _take(self, token: str) -> bool:
        taken = bool(self._tokens) and self._tokens[0][0] != "text" and self._tokens[0][1] == token
        if taken:
            self._tokens.pop(0)
        return taken


def _compare_full(python: str, text: str, operator: str) -> bool | None:
    """Compare a Python version of which two numbers are known; None if the result depends on the third."""
    within = f"{text}.".startswith(f"{python}.") and text != f"{python}.*"
    if within and operator in ("==", "!=", "==="):
        return None
    verdicts = {allows(operator + text, f"{python}.{last}") for last in ("0", "9999")}
    return verdicts.pop() if len(verdicts) == 1 else None
