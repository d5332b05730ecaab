# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""Find pipx, or the pip to install it with, and build the commands for it."""

from __future__ import annotations

import os
import re
import typing as t

from .._errors import CommandError
from .._files import is_executable, read_text
from .._variables import NOTHING
from .._versions import allows
from . import _answers, _commands
from ._interpreter import find_python
from ._observed import OLDEST_PYTHON, Pip, Pipx

if t.TYPE_CHECKING:
    from .._host import Host
    from ._desired import Desired

# The first that exists is the one of python3-pip: RHEL 8 has the second one lead to any version.
_SYSTEM_PYTHONS = ("/usr/libexec/platform-python", "/usr/bin/python3")
_PACKAGED = "/usr/bin"


def find_pipx(desired: Desired, host: Host) -> Pipx | None:
    """Find a pipx that the account can run: the operator's choice, or one on the usual paths.

    Raises:
        PatroniInstallError: the operator's choice does not run as the account.
    """
    account = desired.account
    with host.identity(account):
        # pip puts it next to a Python that is not from a package.
        found = host.find_all("pipx", f"{account.home}/.local/bin", os.path.dirname(host.python))
    if account.assumed:
        return next((Pipx(path, None) for path in (desired.pipx_executable, *found) if path), None)
    for path in (desired.pipx_executable,) if desired.pipx_executable else found:
        completed = host.run([path, "--version"], inherit=NOTHING, account=account)
        if completed.rc == 0:
            with host.identity(account):
                interpreter = parse_interpreter(read_text(path) or "")
                python = os.path.realpath(interpreter) if interpreter else None
            return Pipx(path, completed.stdout.strip(), python)
        if desired.pipx_executable:
            raise CommandError(f"pipx_executable: {path} does not run as {account.name}; name one that does", completed)
        host.warn(f"ignoring {path}: it does not run as {account.name}: {completed.output.strip()[-200:]}")
    return None


def find_pip(desired: Desired, host: Host) -> Pip | None:
    """Find the pip with which root can install a pipx that the account can run; one with a marker if there is no other.

    Preferred is that of the Python in the option, then of the one that runs the module, then of the host's own.
    """
    marked = None
    for python in dict.fromkeys(filter(None, (_packaged_python(desired, host), host.python, _system_python()))):
        with host.identity(desired.account):
            runs = is_executable(python)
        answer = _answers.parse_pip(host.run(_commands.ask_pip(python), inherit=NOTHING).stdout) if runs else None
        if answer is None:
            continue
        version, present, marker = answer
        package = None if present else _pip_package(python, version)
        if not allows(f">={OLDEST_PYTHON}", version) or not (present or package):
            continue
        found = Pip(python, package, marker)
        if marker is None:
            return found
        marked = marked or found
    return marked


def _packaged_python(desired: Desired, host: Host) -> str | None:
    """Resolve the Python in the option, if it is from a package: root runs no other that the operator did not choose
    for the module, because others may be able to change what it imports.
    """
    found = find_python(desired, host)
    directory, _slash, name = os.path.realpath(found).rpartition("/") if found else ("", "", "")
    return f"{directory}/{name}" if directory == _PACKAGED and re.fullmatch(r"python3[.\d]*", name) else None


def _system_python() -> str | None:
    return next((os.path.realpath(path) for path in _SYSTEM_PYTHONS if os.path.exists(path)), None)


def _pip_package(python: str, version: str) -> str | None:
    """Name the package of the RHEL family that brings the pip of a Python; None if that is not from a package."""
    if python == _system_python():
        return "python3-pip"
    if os.path.dirname(python) != _PACKAGED:
        return None
    # RHEL 8 names those of 3.8 and 3.9 without the dot.
    named = version.replace(".", "") if version in ("3.8", "3.9") else version
    return f"python{named}-pip"


def parse_interpreter(script: str) -> str | None:
    """Read which Python runs a script, such as pipx, from its first line."""
    matched = re.match(r"#! *(/\S*/python[\d.]*)\s", script)
    return matched.group(1) if matched else None


def pipx_install(pipx: str, requirement: str, python: str | None) -> list[str]:
    chosen = ["--python", python] if python else []
    return [pipx, "install", *chosen, requirement]


def pipx_inject(pipx: str, requirements: t.Sequence[str]) -> list[str]:
    """Inject packages; without --force, newer pipx skips those that Patroni also requires and does not record them."""
    return [pipx, "inject", "--force", "patroni", *requirements]


def pipx_environment(generation: str, shared_libraries: str) -> dict[str, str]:
    """Give pipx a separate home for one environment, which makes every pipx use the same layout.

    Everything that pipx exposes stays there too. It is exposed permanently only after the environment is verified.
    """
    return {
        # uv, which newer pipx prefers if it is installed, ignores PIP_* and pip.conf, including a private CA.
        "PIPX_DEFAULT_BACKEND": "pip",
        "USE_EMOJI": "0",
        "PIPX_HOME": generation,
        "PIPX_BIN_DIR": f"{generation}/bin",
        "PIPX_MAN_DIR": f"{generation}/man",
        "PIPX_COMPLETION_DIR": f"{generation}/completion",
        "PIPX_SHARED_LIBS": shared_libraries,
        # The full output: pipx prints only a few lines of it, and pip does not print why an index returned nothing.
        "PIP_LOG": pip_log(generation),
    }


def pip_log(directory: str) -> str:
    return f"{directory}/pip.log"


def install_hashed(path: str, file: str) -> list[str]:
    """Install what a file of requirements lists in an environment, each with a hash."""
    pip = [f"{path}/bin/python", "-m", "pip", "install"]
    return [*pip, "--quiet", "--no-compile", "--no-deps", "--require-hashes", "--requirement", file]


def make_shared_libraries(python: str, path: str, wheel: str, pipx: str) -> list[list[str]]:
    """Create what pipx would create: an environment with the newest pip, shared by all pipx environments.

    Python compiles the files when they are first used, so they are not compiled now.

    Args:
        wheel: the wheel of the pip that does the installation.
        pipx: the version of pipx; up to 1.2, it keeps more than pip there.
    """
    names = ["pip", "setuptools", "wheel"] if re.match(r"0\.|1\.[012]\b", pipx) else ["pip"]
    return [
        [python, "-m", "venv", "--without-pip", path],
        [f"{path}/bin/python", f"{wheel}/pip", "install", "--quiet", "--retries=0", "--no-compile", *names],
    ]
