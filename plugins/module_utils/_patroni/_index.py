# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.


"""Query the package index: pip itself answers what an installation would choose. Nothing is changed.

Any pip that runs with the available Python is enough, so the state of the environment in use does not matter.
"""

from __future__ import annotations

import contextlib
import glob
import tempfile
import typing as t

from .. import _files
from .._errors import CommandError
from .._variables import BUILD, NOTHING
from .._versions import meets, same_version
from . import _answers, _causes, _commands, _sources
from ._environment import find_shared_pip
from ._steps import BuildEnvironment

if t.TYPE_CHECKING:
    from .._host import Host
    from .._types import Completed, Step
    from ._desired import Desired
    from ._observed import Environment, Observed

# Where the Python of Debian and Red Hat keeps the files that ensurepip installs.
_PIP_WHEELS = "/usr/share/python-wheels/pip-*.whl"
# Not the temporary directory of the caller's session, which may be accessible only to root.
_TEMPORARY = "/tmp"  # noqa: S108 - mkdtemp() makes a directory there that nobody else can enter


def find_pip_wheel() -> str | None:
    """Find the pip that came with the system Python."""
    return max(glob.glob(_PIP_WHEELS), default=None)


def newest(desired: Desired, environment: Environment, python: str | None, host: Host) -> str | None:
    """Return the newest Patroni available from the index; None if the environment must be rebuilt anyway.

    No answer is newer than the one for Patroni alone. If that version is already installed, the more expensive query
    that includes all dependencies is skipped.

    Args:
        python: the requested interpreter, links resolved; None if the environment's interpreter is enough.

    Raises:
        CommandError: the index does not answer.
    """
    interpreter = python or environment.python
    if interpreter is None or environment.problem:
        return None
    alone = _chosen(_ask(desired, interpreter, "patroni", host, alone=True), "patroni")
    if same_version(alone, environment.version or ""):
        return alone
    extras = tuple(dict.fromkeys((*desired.extras, *environment.extras)))
    wanted = _commands.requirement(None, extras)
    return _chosen(_ask(desired, interpreter, wanted, host, alone=False), wanted)


def expect_offer(desired: Desired, observed: Observed, steps: t.Sequence[Step], host: Host) -> None:
    """Check that the index offers the requested version if not installed, so that check mode fails as a real run would.

    This cannot be determined if there is no Python yet to install it for, or if the constraints have hashes: only the
    pip that a build brings takes them from there, and an answer may require running files of the index.

    Raises:
        CommandError: the index has no such version, it conflicts with the constraints, or the index does not answer.
    """
    build = next((step for step in steps if isinstance(step, BuildEnvironment)), None)
    interpreter = observed.interpreter
    if not desired.version or build is None or interpreter is None or desired.account.assumed:
        return
    if desired.sources.hashed:
        return
    if observed.environment and meets(observed.environment.version or "", desired.version):
        return
    completed = _ask(desired, interpreter, build.requirement, host, alone=False)
    if completed.rc != 0:
        wanted = f"patroni=={desired.version}"
        offered = _causes.parse_offered(completed.output)
        conflict = _causes.parse_conflict(completed.output)
        if offered:
            raise CommandError(f"version: {_causes.not_offered(wanted, offered)}", completed)
        if conflict:
            raise CommandError(f"version: {_causes.in_conflict(wanted, conflict)}", completed)
    _chosen(completed, build.requirement)


def _chosen(completed: Completed, wanted: str) -> str:
    """Read which Patroni pip chose.

    Raises:
        CommandError: it chose none.
    """
    version = _answers.parse_chosen(completed.stdout) if completed.rc == 0 else None
    if version:
        return version
    conflict = _causes.parse_conflict(completed.output)
    if conflict:
        raise CommandError(_causes.in_conflict(wanted, conflict), completed)
    raise CommandError(
        f"cannot find out which Patroni the package index offers: {_causes.parse_cause(completed.output)}", completed
    )


def _ask(desired: Desired, python: str, requirement: str, host: Host, *, alone: bool) -> Completed:
    """Let pip itself choose, so that all its settings apply. The first pip that answers is used.

    A pip other than the one that installs is queried about Patroni alone, because an older pip may not be able to build
    the dependencies.
    """
    account = desired.account
    with _directory(desired, host) as directory, _sources.netrc_file(
        desired.sources, directory, host, account, as_account=True
    ) as netrc:
        variables = _sources.pip_query_environment(desired.sources, netrc)
        for pip, installs in _pips(desired, python, directory, host):
            argv = _commands.pip_ask(pip, requirement, alone=alone or not installs)
            completed = host.run(argv, inherit=BUILD, account=account, environment=variables)
            if "no such option: --dry-run" in completed.output:
                argv = _commands.pip_download(pip, requirement, f"{directory}/packages")
                completed = host.run(argv, inherit=BUILD, account=account, environment=variables)
            if _answers.is_pip_answer(completed.rc, completed.output):
                break
    return completed


def _pips(desired: Desired, python: str, directory: str, host: Host) -> t.Iterator[tuple[list[str], bool]]:
    """Yield each pip that a Python may be able to run, and whether it is the one that installs.

    The faster ones come first: pipx's pip, the system pip, the interpreter's own pip, and a newly created one.
    """
    legacy = desired.legacy_environment[: -len("/venvs/patroni")]
    with host.identity(desired.account):
        shared = filter(None, (find_shared_pip(path) for path in (desired.shared_libraries, f"{legacy}/shared")))
        place = next(shared, None)
    if place:
        yield _commands.pip_of(python, place), True
    wheel = find_pip_wheel()
    if wheel:
        yield _commands.pip_of(python, f"{wheel}/pip"), False
    yield _commands.pip_of(python), False
    made = host.run(_commands.make_environment(python, f"{directory}/venv"), inherit=NOTHING, account=desired.account)
    if made.rc == 0:
        yield _commands.pip_of(f"{directory}/venv/bin/python"), False


@contextlib.contextmanager
def _directory(desired: Desired, host: Host) -> t.Iterator[str]:
    """Provide a directory that only the account can enter, for the duration of a query."""
    with host.identity(desired.account):
        path = tempfile.mkdtemp(prefix="patroni_install-", dir=_TEMPORARY)
    try:
        yield path
    finally:
        with host.identity(desired.account):
            _files.remove_tree(path)
