# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""Build environments with pipx, and verify them, with the identity of the account."""

from __future__ import annotations

import contextlib
import functools
import os
import typing as t

from .. import _files
from .._errors import CommandError, PatroniInstallError
from .._variables import BUILD, NOTHING, PIP
from .._versions import meets
from . import _causes, _commands, _kept, _sources
from ._desired import ASKED_PYTHON
from ._environment import read_environment
from ._index import find_pip_wheel
from ._interpreter import requested_python
from ._pipx import (
    find_pipx,
    install_hashed,
    make_shared_libraries,
    parse_interpreter,
    pip_log,
    pipx_environment,
    pipx_inject,
    pipx_install,
)
from ._retry import expect_success, run_patiently

if t.TYPE_CHECKING:
    from .._host import Host
    from .._types import Completed
    from ._desired import Desired, Patience
    from ._observed import Pipx
    from ._steps import BuildEnvironment, InstallPipx


class Builder:
    """Builds the environments of one plan, and installs pipx if there is none.

    Attributes:
        pipx: the pipx used for the build, found beforehand or after its installation.
    """

    def __init__(self, desired: Desired, patience: Patience, host: Host, pipx: Pipx | None = None) -> None:
        self.pipx = pipx
        self._desired = desired
        self._patience = patience
        self._host = host

    def install_pipx(self, step: InstallPipx) -> None:
        with self._netrc(self._host.temporary_directory) as netrc:
            sources = _sources.pip_environment(self._desired.sources, netrc)
            if self._desired.sources.hashed:
                # This pip may be too old to take hashes from constraints.
                sources["PIP_CONSTRAINT"] = f"{self._host.temporary_directory}/constraints.txt"
                _files.write_private(sources["PIP_CONSTRAINT"], _sources.without_hashes(self._desired.sources))
            log = pip_log(self._host.temporary_directory)
            environment = {**sources, "PIP_ROOT_USER_ACTION": "ignore", "PIP_LOG": log}
            install = functools.partial(
                run_patiently,
                self._host,
                self._patience,
                environment=environment,
                inherit=PIP,
                examine=lambda completed: _with_pip_log(completed, log),
            )
            install(_commands.pip_install(step.python, step.requirement))
            self.pipx = find_pipx(self._desired, self._host)
            if self.pipx is None:
                # pip treats a partial installation left by an interrupted run as installed.
                install(_commands.pip_install(step.python, step.requirement, again=True))

    def build(self, step: BuildEnvironment) -> None:
        """Create an environment in its generation, and verify it.

        Raises:
            PatroniInstallError: it cannot be created, or does not work.
        """
        self._install(step)
        self._inject(step)
        self._check(step)
        self._note_python(step)

    def _install(self, step: BuildEnvironment) -> None:
        if self.pipx is None:
            self.pipx = find_pipx(self._desired, self._host)
        if self.pipx is None:
            raise PatroniInstallError(
                f"pipx was installed, but {self._desired.account.name} still cannot run any; "
                "set pipx_executable to one that it can run"
            )
        argv = pipx_install(self.pipx.path, step.requirement, step.python)
        try:
            with self._pipx_environment(step) as environment:
                self._make_shared_libraries(self.pipx, step, environment)
                self._run(argv, environment, lambda completed: self._examine(step, completed))
        except CommandError as error:
            raise self._explain(step, error) from error

    def _make_shared_libraries(self, pipx: Pipx, step: BuildEnvironment, environment: t.Mapping[str, str]) -> None:
        """Save pipx from installing and compiling a pip that it replaces immediately.

        See docs/performance.md for the time saved. Newer pipx also runs that pip from its wheel, but does not find
        Debian's wheel. If something is missing or fails, pipx proceeds in its own way.
        """
        account, path = self._desired.account, self._desired.shared_libraries
        with self._host.identity(account):
            python = parse_interpreter(_files.read_text(pipx.path) or "")
            missing = not os.path.lexists(path)
        lines = [limit.line for limit in self._desired.sources.limits if limit.name == "pip" and limit.hashed]
        if lines:
            if missing:
                argv = _commands.make_environment(python or "python3", path)
                expect_success(self._host.run(argv, inherit=NOTHING, account=account))
            self._install_hashed_pip(step, lines, environment)
            return
        wheel = find_pip_wheel()
        if wheel is None or python is None or not missing:
            return
        for argv in make_shared_libraries(python, path, wheel, pipx.version or ""):
            if self._host.run(argv, inherit=BUILD, account=account, environment=environment).rc != 0:
                with self._host.identity(account):
                    _files.remove_tree(path)
                return

    def _install_hashed_pip(
        self, step: BuildEnvironment, lines: t.Sequence[str], environment: t.Mapping[str, str]
    ) -> None:
        """Bring the pip that takes hashes from constraints, with its own hash checked by the pip that is there.

        An older pip refuses such constraints, but accepts the same lines as requirements.

        Args:
            lines: the lines about pip in the constraints.

        Raises:
            CommandError: the hash does not match, or the index does not answer.
        """
        file = f"{step.generation}/pip.txt"
        variables = {**environment, "PIP_CONSTRAINT": os.devnull, "PIP_BUILD_CONSTRAINT": os.devnull}
        with self._host.identity(self._desired.account):
            _files.write_private(file, "".join(f"{line}\n" for line in lines))
        argv = install_hashed(self._desired.shared_libraries, file)
        self._run(argv, variables, lambda completed: self._read_pip_log(step, completed))
        with self._host.identity(self._desired.account):
            _files.remove_file(file)

    def _run(
        self,
        argv: t.Sequence[str],
        environment: t.Mapping[str, str],
        examine: t.Callable[[Completed], Completed],
    ) -> None:
        """Run a part of a build as the account, until it succeeds or patience ends.

        Raises:
            CommandError: it failed.
        """
        account = self._desired.account
        run_patiently(self._host, self._patience, argv, environment, account, inherit=BUILD, examine=examine)

    def _explain(self, step: BuildEnvironment, error: CommandError) -> CommandError:
        """Distinguish packages missing from an index or a wheelhouse from an index that did not answer."""
        output = error.completed.output
        offered, missing = _causes.parse_offered(output), _causes.parse_missing(output)
        conflict = _causes.parse_conflict(output)
        if offered:
            return CommandError(_causes.not_offered(step.requirement, offered), error.completed)
        if conflict:
            return CommandError(_causes.in_conflict(step.requirement, conflict), error.completed)
        if missing is None:
            return error
        if self._desired.sources.no_index:
            return CommandError(
                f"{error}; find_links contain no file for {missing} that fits this Python; add one, see "
                "docs/offline.md",
                error.completed,
            )
        return CommandError(
            f"{error}; the package index offered nothing for {missing}: check that the index is reachable and has it, "
            "and that index_url, find_links and their credentials are correct",
            error.completed,
        )

    def _inject(self, step: BuildEnvironment) -> None:
        """Install in the new environment the packages that someone added to the previous one.

        Raises:
            CommandError: they can no longer be installed, and no one requested their removal.
        """
        if not step.injected or self.pipx is None:
            return
        account = self._desired.account
        argv = pipx_inject(self.pipx.path, step.injected)
        try:
            with self._pipx_environment(step) as environment:
                self._run(argv, environment, lambda completed: self._read_pip_log(step, completed))
        except CommandError as error:
            raise CommandError(
                f"{', '.join(step.injected)}, which somebody added to the environment in use, cannot be "
                f"installed with {step.requirement}: {_causes.parse_cause(error.completed.output)}; make it available, "
                f"or remove it first, as {account.name}, with 'pip uninstall' in that environment",
                error.completed,
            ) from error

    def _check(self, step: BuildEnvironment) -> None:
        """Verify, as the account, that the new environment works.

        Raises:
            CommandError: it does not work.
        """
        with self._host.identity(self._desired.account):
            built = read_environment(step.path, step.extras)
        if built.problem:
            raise PatroniInstallError(f"pipx created an incomplete environment: {built.problem}")
        if step.injected and step.version and not meets(built.version or "", step.version):
            raise PatroniInstallError(
                f"{', '.join(step.injected)}, which somebody added to the environment in use, leads to "
                f"Patroni {built.version} instead of {step.version}; remove it first, as "
                f"{self._desired.account.name}, with 'pip uninstall' in that environment"
            )
        _kept.warn_of_lacking_extras(self._host, built, step.extras)
        failed = _kept.failed_check(self._desired, self._host, built, step.extras)
        if failed is not None:
            raise CommandError(
                f"{step.requirement} was installed but does not run as {self._desired.account.name}: "
                f"{_causes.parse_cause(failed.output)}",
                failed,
            )

    def _note_python(self, step: BuildEnvironment) -> None:
        """Record the requested interpreter: behind a wrapper or a shim, the environment does not show it."""
        with self._host.identity(self._desired.account):
            request = requested_python(self._desired, self._host) if step.python else None
            if request is not None:
                _files.write_private(f"{step.path}/{ASKED_PYTHON}", request)

    @contextlib.contextmanager
    def _pipx_environment(self, step: BuildEnvironment) -> t.Iterator[dict[str, str]]:
        """Provide the variables with which pipx works in the generation, for as long as it needs the credentials."""
        desired = self._desired
        with self._netrc(step.generation, as_account=True) as netrc:
            variables = _sources.pip_environment(desired.sources, netrc)
            yield {**variables, **pipx_environment(step.generation, desired.shared_libraries)}

    def _netrc(self, directory: str, *, as_account: bool = False) -> t.ContextManager[str | None]:
        desired = self._desired
        return _sources.netrc_file(desired.sources, directory, self._host, desired.account, as_account=as_account)

    def _examine(self, step: BuildEnvironment, completed: Completed) -> Completed:
        """Add pip's log, which is removed with the generation, to a failure, and clean up for another try."""
        examined = self._read_pip_log(step, completed)
        if completed.rc != 0:
            with self._host.identity(self._desired.account):
                _files.remove_tree(step.path)
        return examined

    def _read_pip_log(self, step: BuildEnvironment, completed: Completed) -> Completed:
        with self._host.identity(self._desired.account):
            return _with_pip_log(completed, pip_log(step.generation))


def _with_pip_log(completed: Completed, log: str) -> Completed:
    """Add the contents of pip's log to a failure, and remove the log."""
    said = _files.read_text(log) if completed.rc != 0 else None
    _files.remove_file(log)
    if not said:
        return completed
    return completed._replace(stderr=f"{completed.stderr}\n{_causes.parse_pip_log(said)}")
