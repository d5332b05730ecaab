# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""Carry out the steps. A step interrupted at any point leaves the host in a state that the next run can handle."""

from __future__ import annotations

import contextlib
import functools
import os
import time
import typing as t
from dataclasses import replace

from .. import _files, _selinux
from .._errors import CommandError, PatroniInstallError
from .._paths import Names
from .._types import Account, Completed, Step, is_within
from .._variables import BUILD, NETWORK, NOTHING, PIP, Inherited
from .._versions import meets
from . import _commands, _kept, _output, _sources
from ._desired import ASKED_PYTHON, SWITCH, Desired, Patience
from ._drift import ESSENTIAL
from ._environment import read_environment, read_executables
from ._index import find_pip_wheel
from ._observed import Pipx
from ._probe import find_pipx, requested_python
from ._steps import (
    BuildEnvironment,
    CreateDirectory,
    ExposeExecutables,
    InstallPackages,
    InstallPipx,
    KeepEnvironment,
    RefreshPackageLists,
    ReloadSystemd,
    RemoveDirectory,
    RemoveEnvironment,
    RemoveExecutables,
    RemoveUnit,
    SetAttributes,
    SetLabel,
    SwitchBack,
    SwitchEnvironment,
    WriteUnit,
)

if t.TYPE_CHECKING:
    from .._host import Host

_LOCK_POLL_SECONDS = 2.0
_APT_FAILED = 100
# Long enough for a command such as patronictl list to end; one that watches the cluster is not waited for.
_IN_USE_SECONDS = 10


class Applier:
    """Carries out the steps of one plan.

    Attributes:
        pipx: the pipx used for the build, found beforehand or after its installation.
    """

    def __init__(self, desired: Desired, patience: Patience, host: Host, pipx: Pipx | None = None) -> None:
        self.pipx = pipx
        self._desired = desired
        self._patience = patience
        self._host = host

    def apply(self, steps: t.Sequence[Step]) -> tuple[Step, ...]:
        """Carry out steps in order, and return those that were carried out.

        Raises:
            PatroniInstallError: a step failed; the error contains that step and the steps done before it.
        """
        done: list[Step] = []
        for step in steps:
            try:
                if self._may_wait_for_the_next_run(step):
                    continue
                self._carry_out(step)
            except (PatroniInstallError, OSError) as error:
                failure = (
                    error if isinstance(error, PatroniInstallError) else PatroniInstallError(_explained(step, error))
                )
                failure.failed_step, failure.done = step, tuple(done)
                raise failure from error
            done.append(step)
        return tuple(done)

    def _may_wait_for_the_next_run(self, step: Step) -> bool:
        """Return whether a step would remove the files of a process that is still running."""
        if not isinstance(step, RemoveEnvironment) or self._host.wait_until_unused(
            step.path, self._desired.account, _IN_USE_SECONDS
        ):
            return False
        self._host.warn(f"did not remove {step.path}: a process still runs in it; the next run removes it")
        return True

    @functools.singledispatchmethod
    def _carry_out(self, step: Step) -> None:
        raise NotImplementedError(step.action)

    @_carry_out.register
    def _refresh_package_lists(self, _step: RefreshPackageLists) -> None:
        try:
            self._run_patiently(
                _commands.apt_update(), _commands.APT_ENVIRONMENT, inherit=NETWORK, examine=self._examine_update
            )
        except CommandError as error:
            sources = _output.parse_sources(error.completed.output)
            if not sources or _output.is_locked(error.completed.output):
                raise
            raise self._unread("pipx", sources, error) from error

    def _examine_update(self, completed: Completed) -> Completed:
        """Judge apt-get update by its purpose: one dead source makes it fail, but with none reached it succeeds."""
        failed = completed.rc != 0 or _output.parse_sources(completed.output) or _output.is_transient(completed.output)
        if not failed or _output.is_locked(completed.output):
            return completed
        known = self._host.run(_commands.apt_show("pipx"), inherit=NOTHING).rc == 0
        return replace(completed, rc=0 if known else completed.rc or _APT_FAILED)

    @_carry_out.register
    def _install_packages(self, step: InstallPackages) -> None:
        if self._desired.family == "debian":
            self._install_with_apt(step)
            return
        try:
            self._run_patiently(_commands.dnf_install(step.names), _commands.DNF_ENVIRONMENT, inherit=NETWORK)
        except CommandError as error:
            raise self._explain_packages(step.target, error, error.completed.output) from error

    def _install_with_apt(self, step: InstallPackages) -> None:
        """Install packages. If apt names an obstacle, run the remedy and try again, each remedy once."""
        command = _commands.apt_install(step.names, self._patience.lock_timeout)
        remedies: list[list[str]] = []
        said = ""
        while True:
            try:
                self._run_patiently(command, _commands.APT_ENVIRONMENT, inherit=NETWORK)
                return
            except CommandError as error:
                remedy = _commands.apt_remedy(error.completed.output)
                if remedy is None or remedy in remedies:
                    raise self._explain_packages(step.target, error, said + error.completed.output) from error
            remedies.append(remedy)
            said += self._help_apt(remedy)

    def _help_apt(self, remedy: list[str]) -> str:
        """Run the command that apt needs before it can install, and return its output.

        Fresh lists are worth another try even if a source could not be read: the installation shows if they suffice.
        """
        try:
            self._run_patiently(remedy, _commands.APT_ENVIRONMENT, inherit=NETWORK)
        except CommandError as error:
            if remedy != _commands.apt_update():
                raise
            return error.completed.output
        return ""

    def _explain_packages(self, package: str, error: CommandError, said: str) -> CommandError:
        """Distinguish a package that no source offers from sources that could not be read, and name those.

        Args:
            said: the output of all commands involved.
        """
        if not _output.is_unknown_package(error.completed.output):
            return error
        sources = _output.parse_sources(said)
        if sources:
            return self._unread(package, sources, error)
        where = (
            "components; enable the one that holds it (universe on Ubuntu)"
            if self._desired.family == "debian"
            else "repositories; enable the one that holds it (RHEL has none before it is registered)"
        )
        return CommandError(
            f"{self._desired.distribution} offers no package {package} in its enabled {where}, or install pipx "
            "yourself and name it in pipx_executable",
            error.completed,
        )

    @staticmethod
    def _unread(package: str, sources: t.Sequence[str], error: CommandError) -> CommandError:
        return CommandError(
            f"no package source that could be read offers {package}, and these could not be read: "
            f"{_output.shown(sources)}; repair or remove them, or install pipx yourself and name it in pipx_executable",
            error.completed,
        )

    @_carry_out.register
    def _install_pipx(self, step: InstallPipx) -> None:
        pip = self._host.require("pip3", "python3-pip")
        with self._netrc(self._host.temporary_directory) as netrc:
            sources = _sources.pip_environment(self._desired.sources, netrc)
            log = _commands.pip_log(self._host.temporary_directory)
            environment = {**sources, "PIP_ROOT_USER_ACTION": "ignore", "PIP_LOG": log}
            install = functools.partial(
                self._run_patiently,
                environment=environment,
                inherit=PIP,
                examine=lambda completed: self._with_pip_log(completed, log),
            )
            install(_commands.pip_install(pip, step.requirement))
            self.pipx = find_pipx(self._desired, self._host)
            if self.pipx is None:
                # pip treats a partial installation left by an interrupted run as installed.
                install(_commands.pip_install(pip, step.requirement, again=True))

    def _netrc(self, directory: str, *, as_account: bool = False) -> t.ContextManager[str | None]:
        desired = self._desired
        return _sources.netrc_file(desired.sources, directory, self._host, desired.account, as_account=as_account)

    @_carry_out.register
    def _create_directory(self, step: CreateDirectory) -> None:
        with self._host.acting(self._desired.account, step.as_account):
            _files.make_directory(step.path, step.uid, step.gid, step.mode)

    @_carry_out.register
    def _set_attributes(self, step: SetAttributes) -> None:
        with self._host.acting(self._desired.account, step.as_account):
            _files.set_attributes(step.path, step.uid, step.gid, step.mode)

    @_carry_out.register
    def _remove_environment(self, step: RemoveEnvironment) -> None:
        self._remove_tree(step.path)

    def _remove_tree(self, path: str) -> None:
        with self._host.identity(self._desired.account):
            _kept.remove_record(path)
            _files.remove_tree(path)

    @_carry_out.register
    def _remove_directory(self, step: RemoveDirectory) -> None:
        self._remove_tree(step.path)
        if is_within(step.path, self._desired.generations):
            # The directory remains after its last generation is removed, and others may have put something there.
            with self._host.identity(self._desired.account), contextlib.suppress(OSError):
                os.rmdir(self._desired.generations)

    @_carry_out.register
    def _build_environment(self, step: BuildEnvironment) -> None:
        account = self._desired.account
        with self._host.identity(account):
            for path in (self._desired.generations, step.generation):
                os.makedirs(path, 0o755, exist_ok=True)
        try:
            self._run_pipx(step)
            self._inject(step)
            self._check(step)
            self._note_python(step)
            with self._host.identity(account):
                self._label_new(f"{step.path}/bin/patroni")
        except BaseException:
            with self._host.identity(account):
                _files.remove_tree(step.generation)
            raise

    @staticmethod
    def _label_new(path: str) -> None:
        """Label the file that systemd starts, even if systemd may start it already, so that every host is the same."""
        label = _selinux.read_label(path)
        if label is None or label == _selinux.executable_label(label):
            return
        try:
            _selinux.write_label(path, _selinux.executable_label(label))
        except OSError:
            if not _selinux.systemd_may_execute(label):
                raise

    @_carry_out.register
    def _set_label(self, step: SetLabel) -> None:
        with self._host.acting(self._desired.account, step.as_account):
            _selinux.write_label(step.path, step.after)

    @_carry_out.register
    def _keep_environment(self, step: KeepEnvironment) -> None:
        with self._host.identity(self._desired.account):
            _kept.write_record(step)

    @_carry_out.register
    def _switch_back(self, step: SwitchBack) -> None:
        account = self._desired.account
        with self._host.identity(account):
            self._label_new(f"{step.environment}/bin/patroni")
        self._switch_environment(step)
        with self._host.identity(account):
            # The record is written again when this environment is replaced. If the environment breaks before that, it
            # must not be taken for complete.
            _kept.remove_record(step.generation)

    @_carry_out.register
    def _switch_environment(self, step: SwitchEnvironment) -> None:
        # Among the generations, so that it is found and removed if this run does not get that far.
        temporary = f"{self._desired.generations}/{SWITCH}"
        directory = os.path.dirname(step.path)
        with self._host.identity(self._desired.account):
            _files.remove_tree(temporary)
            os.symlink(step.environment, temporary)
            os.makedirs(directory, 0o755, exist_ok=True)
            # The pointer's target must be on disk before the pointer itself.
            _files.sync_filesystem(self._desired.generations)
        if self._may_replace(step):
            with self._host.identity(self._desired.account):
                _files.exchange(temporary, step.path)
                _files.sync_directory(directory)
            self._expose(step.bin_dir, step.path, step.as_account)
        with self._host.identity(self._desired.account):
            _files.remove_tree(temporary)

    def _may_replace(self, step: SwitchEnvironment) -> bool:
        """Return whether the pointer can be put in place now: not while an environment in use occupies its path.

        Replacing such an environment, which was made by pipx alone, would remove the files of processes running in it.
        Processes started from now on already find the new one.
        """
        if os.path.islink(step.path) or not os.path.lexists(step.path):
            return True
        self._expose(step.bin_dir, step.environment, step.as_account)
        return self._host.wait_until_unused(step.path, self._desired.account, _IN_USE_SECONDS)

    @_carry_out.register
    def _expose_executables(self, step: ExposeExecutables) -> None:
        with self._host.identity(self._desired.account):
            _files.sync_filesystem(step.environment)
        self._expose(step.path, step.environment, step.as_account)

    @_carry_out.register
    def _remove_executables(self, step: RemoveExecutables) -> None:
        with self._host.acting(self._desired.account, step.as_account):
            for name in step.names:
                _files.remove_file(f"{step.path}/{name}")
            _files.sync_directory(step.path)

    @_carry_out.register
    def _write_unit(self, step: WriteUnit) -> None:
        _files.replace_file(
            step.path,
            step.text,
            step.uid,
            step.gid,
            step.mode,
            changed_at=step.changed_at,
            label=lambda temporary: self._host.label(temporary, step.path),
        )

    @_carry_out.register
    def _remove_unit(self, step: RemoveUnit) -> None:
        _files.remove_file(step.path)
        _files.sync_directory(os.path.dirname(step.path))

    @_carry_out.register
    def _reload_systemd(self, _step: ReloadSystemd) -> None:
        self._must(self._host.run(_commands.daemon_reload(), inherit=NOTHING))

    def _run_pipx(self, step: BuildEnvironment) -> None:
        if self.pipx is None:
            self.pipx = find_pipx(self._desired, self._host)
        if self.pipx is None:
            raise PatroniInstallError(
                f"pipx was installed, but {self._desired.account.name} still cannot run any; "
                "set pipx_executable to one that it can run"
            )
        argv = _commands.pipx_install(self.pipx.path, step.requirement, step.python)
        try:
            with self._pipx_environment(step) as environment:
                self._make_shared_libraries(self.pipx, environment)
                self._run_patiently(
                    argv,
                    environment,
                    self._desired.account,
                    inherit=BUILD,
                    examine=lambda completed: self._examine_pipx(step, completed),
                )
        except CommandError as error:
            raise self._explain_pipx(step, error) from error

    @contextlib.contextmanager
    def _pipx_environment(self, step: BuildEnvironment) -> t.Iterator[dict[str, str]]:
        """Provide the variables with which pipx works in the generation, for as long as it needs the credentials."""
        desired = self._desired
        with self._netrc(step.generation, as_account=True) as netrc:
            variables = _sources.pip_environment(desired.sources, netrc)
            yield {**variables, **_commands.pipx_environment(step.generation, desired.shared_libraries)}

    def _explain_pipx(self, step: BuildEnvironment, error: CommandError) -> CommandError:
        """Distinguish packages missing from an index or a wheelhouse from an index that did not answer."""
        output = error.completed.output
        offered, missing = _output.parse_offered(output), _output.parse_missing(output)
        conflict = _output.parse_conflict(output)
        if offered:
            return CommandError(_output.not_offered(step.requirement, offered), error.completed)
        if conflict:
            return CommandError(_output.in_conflict(step.requirement, conflict), error.completed)
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

    def _make_shared_libraries(self, pipx: Pipx, environment: t.Mapping[str, str]) -> None:
        """Save pipx from installing and compiling a pip that it replaces immediately.

        See docs/performance.md for the time saved. Newer pipx also runs that pip from its wheel, but does not find
        Debian's wheel. If something is missing or fails, pipx proceeds in its own way.
        """
        account, path = self._desired.account, self._desired.shared_libraries
        wheel = find_pip_wheel()
        with self._host.identity(account):
            python = _commands.parse_interpreter(_files.read_text(pipx.path) or "")
            if wheel is None or python is None or os.path.lexists(path):
                return
        for argv in _commands.make_shared_libraries(python, path, wheel, pipx.version or ""):
            if self._host.run(argv, inherit=BUILD, account=account, environment=environment).rc != 0:
                with self._host.identity(account):
                    _files.remove_tree(path)
                return

    def _note_python(self, step: BuildEnvironment) -> None:
        """Record the requested interpreter: behind a wrapper or a shim, the environment does not show it."""
        with self._host.identity(self._desired.account):
            request = requested_python(self._desired, self._host) if step.python else None
            if request is not None:
                _files.write_private(f"{step.path}/{ASKED_PYTHON}", request)

    def _inject(self, step: BuildEnvironment) -> None:
        """Install in the new environment the packages that someone added to the previous one.

        Raises:
            CommandError: they can no longer be installed, and no one requested their removal.
        """
        if not step.injected or self.pipx is None:
            return
        account = self._desired.account
        argv = _commands.pipx_inject(self.pipx.path, step.injected)
        try:
            with self._pipx_environment(step) as environment:
                self._run_patiently(
                    argv,
                    environment,
                    account,
                    inherit=BUILD,
                    examine=lambda completed: self._read_pip_log(step, completed),
                )
        except CommandError as error:
            raise CommandError(
                f"{', '.join(step.injected)}, which somebody added to the environment in use, cannot be "
                f"installed with {step.requirement}: {_output.parse_cause(error.completed.output)}; make it available, "
                f"or remove it first, as {account.name}, with 'pip uninstall' in that environment",
                error.completed,
            ) from error

    def _examine_pipx(self, step: BuildEnvironment, completed: Completed) -> Completed:
        """Add pip's log, which is removed with the generation, to a failure, and clean up for another try."""
        examined = self._read_pip_log(step, completed)
        if completed.rc != 0:
            with self._host.identity(self._desired.account):
                _files.remove_tree(step.path)
        return examined

    def _read_pip_log(self, step: BuildEnvironment, completed: Completed) -> Completed:
        with self._host.identity(self._desired.account):
            return self._with_pip_log(completed, _commands.pip_log(step.generation))

    @staticmethod
    def _with_pip_log(completed: Completed, log: str) -> Completed:
        """Add the contents of pip's log to a failure, and remove the log."""
        said = _files.read_text(log) if completed.rc != 0 else None
        _files.remove_file(log)
        if not said:
            return completed
        return replace(completed, stderr=f"{completed.stderr}\n{_output.parse_pip_log(said)}")

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
                f"{_output.parse_cause(failed.output)}",
                failed,
            )

    def _expose(self, bin_dir: str, environment: str, as_account: bool) -> None:
        """Link the environment's executables, and remove dangling links into it or into the previous environment."""
        directories = Names(self._host, self._desired.account, self._desired.pipx_home)
        with self._host.identity(self._desired.account):
            names = read_executables(os.path.realpath(environment))
        with self._host.acting(self._desired.account, as_account):
            for name in names:
                link, target = f"{bin_dir}/{name}", f"{environment}/bin/{name}"
                if name not in ESSENTIAL and os.path.lexists(link) and not os.path.islink(link):
                    continue
                if not os.path.islink(link) or os.readlink(link) != target:
                    _files.replace_link(link, target)
            for name in os.listdir(bin_dir):
                link = f"{bin_dir}/{name}"
                if os.path.islink(link) and name not in names:
                    directory, _slash, last = os.path.join(bin_dir, os.readlink(link)).rpartition("/")
                    if self._desired.owns(f"{directories.one(directory)}/{last}"):
                        self._renew_link(link, f"{environment}/bin/{last}")
            _files.sync_directory(bin_dir)

    @staticmethod
    def _renew_link(link: str, target: str) -> None:
        """Point the link of an injected executable to the environment in use; remove it if it has none."""
        if not os.path.lexists(target):
            _files.remove_file(link)
        elif os.readlink(link) != target:
            _files.replace_link(link, target)

    def _run_patiently(
        self,
        argv: t.Sequence[str],
        environment: t.Mapping[str, str] | None = None,
        account: Account | None = None,
        *,
        inherit: Inherited,
        examine: t.Callable[[Completed], Completed] = lambda completed: completed,
    ) -> None:
        """Run a command that uses the network, or that another process may block, until it succeeds.

        Args:
            inherit: the variables of the caller's session that the command gets.
            examine: inspects each result, and may return another in its place.

        Raises:
            CommandError: it failed for a permanent reason, or the limits of patience are reached.
        """
        deadline = time.monotonic() + self._patience.lock_timeout
        retries = self._patience.retries
        while True:
            completed = examine(self._host.run(argv, inherit=inherit, account=account, environment=environment))
            if completed.rc == 0:
                return
            if _output.is_locked(completed.output) and time.monotonic() < deadline:
                time.sleep(_LOCK_POLL_SECONDS)
            elif _output.is_transient(completed.output) and retries > 0:
                retries -= 1
                time.sleep(self._patience.retry_delay)
            else:
                self._must(completed)

    @staticmethod
    def _must(completed: Completed) -> None:
        if completed.rc != 0:
            ended = f"ended with code {completed.rc}" if completed.rc >= 0 else f"was killed by signal {-completed.rc}"
            raise CommandError(f"{completed.program} {ended}: {_output.parse_cause(completed.output)}", completed)


def _explained(step: Step, error: OSError) -> str:
    return f"{step.action} {step.target}: {error}"
