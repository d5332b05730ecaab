# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""Determine the contents of an environment, and whether it runs, from its files alone: no process is started."""

from __future__ import annotations

import json
import os
import re
import typing as t

from .._files import identity_of, is_executable, read_text
from .._versions import normalized_name
from ._desired import ASKED_PYTHON
from ._drift import ESSENTIAL
from ._observed import Environment, named_version

# The account can write anything into its files, so values from them are used only if they have the expected form.
_VERSION = re.compile(r"[0-9][A-Za-z0-9.+_-]*")
_EXTRA = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# A requirement without a URL: an index can resolve no other kind.
_REQUIREMENT = re.compile(
    r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?:\[[A-Za-z0-9._, -]*\])?"
    r"(?: *(?:===?|~=|!=|<=?|>=?) *[A-Za-z0-9.*+!_-]+ *,?)*"
)
_LONGEST_REQUIREMENT = 200
# pip marks packages that were requested by name, not installed as a dependency (PEP 376).
_REQUESTED = "REQUESTED"
# Packages that belong to the environment itself and are not additions to it.
_TOOLS = {"pip", "setuptools", "wheel", "patroni"}
_EXECUTABLE = re.compile(r"patroni[A-Za-z0-9_-]*")


class _Broken(Exception):
    """The reason why the environment does not run."""


def read_environment(path: str, extras: t.Sequence[str]) -> Environment:
    """Read the environment at a path, and check it for the desired extras."""
    recorded = _read_record(path)
    main = recorded.get("main_package", {})
    version = main.get("package_version")
    python = _interpreter(path)
    missing: tuple[str, ...] = ()
    versions: dict[str, str] = {}
    executables: tuple[str, ...] = ()
    offers: tuple[str, ...] = ()
    requested: dict[str, str | None] = {}
    problem = None
    python_version = None
    try:
        packages = _site_packages(path, python)
        python_version = packages.split("/")[-2].replace("python", "", 1)
        info = _distribution(packages, "patroni")
        version = info.rpartition("/patroni-")[2][: -len(".dist-info")]
        executables = _executables(info)
        versions = _versions(packages)
        missing = _missing_extras(versions, info, extras)
        offers = _offered_extras(info)
        requested = _requested(packages, info, (*_recorded_extras(main), *extras))
        _check_files(packages)
        _check_scripts(path)
    except _Broken as broken:
        problem = str(broken)
    injected, stuck = _injected(recorded, versions if problem is None else None, requested)
    return Environment(
        path=path,
        version=version if isinstance(version, str) and _VERSION.fullmatch(version) else None,
        extras=_recorded_extras(main),
        missing=missing,
        versions=versions,
        python=python,
        asked_python=_asked_python(path, recorded),
        python_version=python_version,
        problem=problem,
        executables=executables,
        injected=injected,
        stuck=stuck,
        offers=offers,
        changed_at=_changed_at(path),
    )


def read_executables(path: str) -> tuple[str, ...]:
    """List the executables that Patroni provides in the environment at a path; empty if that is incomplete."""
    try:
        return _executables(_distribution(_site_packages(path, _interpreter(path)), "patroni"))
    except _Broken:
        return ()


def shared_libraries_problem(path: str) -> str | None:
    """Describe what is wrong with the environment that all pipx environments share, which contains their pip.

    If an interrupted run left it incomplete, pipx itself does not notice, and then fails every time.
    """
    if not os.path.lexists(path):
        return None
    try:
        _shared_pip(path)
    except _Broken as broken:
        return str(broken)
    return None


def find_shared_pip(path: str) -> str | None:
    """Find the pip in the environment that all pipx environments share; None if that is incomplete."""
    try:
        return _shared_pip(path)
    except _Broken:
        return None


def _shared_pip(path: str) -> str:
    packages = _site_packages(path, _interpreter(path))
    _distribution(packages, "pip")
    _check_files(packages)
    return f"{packages}/pip"


def _read_record(path: str) -> dict[str, t.Any]:
    """Read the metadata that pipx recorded, which is optional: its format differs between versions of pipx."""
    try:
        record = json.loads(read_text(f"{path}/pipx_metadata.json") or "")
        return record if isinstance(record.get("main_package"), dict) else {}
    except (ValueError, AttributeError, RecursionError):
        return {}


def _recorded_extras(main: dict[str, t.Any]) -> tuple[str, ...]:
    matched = re.search(r"\[([^\]]*)\]", str(main.get("package_or_url") or ""))
    names = matched.group(1).split(",") if matched else []
    return tuple(name.strip() for name in names if _EXTRA.fullmatch(name.strip()))


def _injected(
    recorded: dict[str, t.Any], versions: t.Container[str] | None, requested: t.Mapping[str, str | None]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Find packages that were added to Patroni on purpose: requirements, and names of those not from an index.

    Args:
        versions: the installed packages; None if they are unknown, so that only the record counts.
        requested: other packages that pip marks as requested, as requirements by name; None if not from an index.
    """
    found = dict(requested)
    packages = recorded.get("injected_packages")
    for name, package in packages.items() if isinstance(packages, dict) else ():
        wanted = package.get("package_or_url") if isinstance(package, dict) else None
        if _EXTRA.fullmatch(name) and normalized_name(name) not in _TOOLS:
            matched = _REQUIREMENT.fullmatch(str(wanted)[:_LONGEST_REQUIREMENT])
            own = matched is not None and normalized_name(matched.group(1)) == normalized_name(name)
            found[normalized_name(name)] = str(wanted) if own and len(str(wanted)) <= _LONGEST_REQUIREMENT else None
    there = {name: wanted for name, wanted in found.items() if versions is None or name in versions}
    return (
        tuple(wanted for wanted in there.values() if wanted is not None),
        tuple(name for name, wanted in there.items() if wanted is None),
    )


def _requested(packages: str, info: str, extras: t.Iterable[str]) -> dict[str, str | None]:
    """Find packages that pip marks as requested and neither Patroni nor its extras require, by normalized name."""
    chosen = {None, *map(normalized_name, extras)}
    brought = {*_TOOLS, *(name for name, _more, extra in _requirements(info) if extra in chosen)}
    found: dict[str, str | None] = {}
    for entry in sorted(_distributions(packages)):
        name = normalized_name(entry.partition("-")[0])
        if name not in brought and _EXTRA.fullmatch(name) and os.path.exists(f"{packages}/{entry}/{_REQUESTED}"):
            # Packages from a URL or a file have a record of that (PEP 610).
            found[name] = None if os.path.exists(f"{packages}/{entry}/direct_url.json") else name
    return found


def _asked_python(path: str, recorded: dict[str, t.Any]) -> str | None:
    """Read which interpreter was requested; if pipx alone made the environment, newer versions of pipx record it."""
    written = read_text(f"{path}/{ASKED_PYTHON}")
    source = recorded.get("source_interpreter")
    told = source.get("__Path__") if isinstance(source, dict) else None
    return written or (told if isinstance(told, str) else None)


def _changed_at(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def _interpreter(path: str) -> str | None:
    python = os.path.realpath(f"{path}/bin/python")
    return python if is_executable(python) else None


def _site_packages(path: str, python: str | None) -> str:
    if python is None:
        raise _Broken(f"its interpreter {path}/bin/python is missing")
    try:
        found = [name for name in os.listdir(f"{path}/lib") if re.match(r"python3\.\d+$", name)]
    except OSError:
        found = []
    # After a system upgrade, /usr/bin/python3 may be another Python, which does not search the old directory.
    named = named_version(python)
    expected = f"python{named}" if named else (found or ["python3"])[0]
    if expected not in found:
        raise _Broken(f"its packages are not for its interpreter {python}")
    return f"{path}/lib/{expected}/site-packages"


def _distribution(packages: str, name: str) -> str:
    found = [entry for entry in _distributions(packages) if entry.partition("-")[0] == name]
    if len(found) != 1:
        raise _Broken(f"it does not contain a complete {name}")
    return f"{packages}/{found[0]}"


def _distributions(packages: str) -> list[str]:
    try:
        return [name for name in os.listdir(packages) if name.endswith(".dist-info")]
    except OSError as error:
        raise _Broken(f"{packages} cannot be read") from error


def _executables(info: str) -> tuple[str, ...]:
    """List the console scripts, per the entry points specification."""
    section = ""
    names = []
    for line in (read_text(f"{info}/entry_points.txt") or "").splitlines():
        if line.startswith("["):
            section = line.strip()
        elif section == "[console_scripts]" and "=" in line:
            names.append(line.partition("=")[0].strip())
    return tuple(dict.fromkeys((*ESSENTIAL, *filter(_EXECUTABLE.fullmatch, names))))


def _versions(packages: str) -> dict[str, str]:
    """Read the name and version of every distribution from its directory name, as defined by PEP 376."""
    named = (name[: -len(".dist-info")].partition("-") for name in _distributions(packages))
    return {normalized_name(name): version for name, _dash, version in named}


def _missing_extras(present: t.Container[str], info: str, extras: t.Sequence[str]) -> tuple[str, ...]:
    """List the extras that lack a required distribution.

    A requirement with another condition (such as the Python version) is left to pip: evaluating it takes more than
    reading files, and Patroni has no such requirement that matters here.
    """
    lacking = dict.fromkeys(extra for name, more, extra in _requirements(info) if not more and name not in present)
    return tuple(asked for extra in lacking for asked in extras if normalized_name(asked) == extra)


def _headers(info: str) -> list[str]:
    return (read_text(f"{info}/METADATA") or "").partition("\n\n")[0].splitlines()


def _offered_extras(info: str) -> tuple[str, ...]:
    fields = (line.partition(":") for line in _headers(info))
    return tuple(normalized_name(value.strip()) for name, _colon, value in fields if name == "Provides-Extra")


def _requirements(info: str) -> t.Iterator[tuple[str, bool, str | None]]:
    """Yield each requirement: its name, whether it has a condition besides its extra, and that extra."""
    for line in _headers(info):
        matched = re.match(r"Requires-Dist:\s*([\w.-]+)[^;]*(?:;(.*))?$", line)
        if matched is None:
            continue
        condition = matched.group(2) or ""
        extra = re.search(r"extra\s*==\s*['\"]([\w.-]+)['\"]", condition)
        more = bool(condition.replace(extra.group(0), "", 1).strip() if extra else condition.strip())
        yield normalized_name(matched.group(1)), more, normalized_name(extra.group(1)) if extra else None


def _check_files(packages: str) -> None:
    """Check for installed files that are missing or were emptied by a power loss.

    An edited file is not damage: somebody may have patched it. Python recreates compiled files.
    """
    for name in _distributions(packages):
        record = read_text(f"{packages}/{name}/RECORD")
        if not record:
            raise _Broken(f"its list of files {packages}/{name}/RECORD is missing")
        for line in record.splitlines():
            file, _hash, size = [*line.rsplit(",", 2), "", ""][:3]
            file = file.strip('"')
            if not file or file.endswith(".pyc") or "__pycache__" in file:
                continue
            installed = os.path.join(packages, file)
            try:
                emptied = os.stat(installed).st_size == 0 and size not in ("", "0")
            except (OSError, ValueError) as error:
                raise _Broken(f"its file {_shown(os.path.normpath(installed))} is missing") from error
            if emptied:
                raise _Broken(f"its file {_shown(os.path.normpath(installed))} is empty")


def _shown(text: str) -> str:
    """Make text that the account wrote safe to print on a terminal."""
    short = text[:200]
    return short if short.isprintable() else repr(short)


def _check_scripts(path: str) -> None:
    for name in ESSENTIAL:
        script = f"{path}/bin/{name}"
        if not is_executable(script):
            lost = (
                "cannot be executed (its mode, or a filesystem mounted noexec)"
                if os.path.isfile(script)
                else "is missing"
            )
            raise _Broken(f"its executable {script} {lost}")
        first = (read_text(script) or "").partition("\n")[0]
        interpreter = first[2:].strip().partition("\0")[0]
        # A path that is too long for a first line is wrapped in /bin/sh; that form is trusted.
        own = identity_of(os.path.dirname(interpreter)) == identity_of(f"{path}/bin")
        if not first.startswith("#!") or not (own or interpreter == "/bin/sh"):
            raise _Broken(f"its executable {script} names the interpreter {_shown(interpreter)}")
