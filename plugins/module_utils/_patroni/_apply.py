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

from .. import _files, _selinux
from .._errors import CommandError, PatroniInstallError
from .._paths import Names
from .._processes import lock_holders
from .._types import Completed, Done, Step, is_within
from .._variables import NETWORK, NOTHING
from . import _causes, _commands, _kept, _login_shell
from ._build import Builder
from ._desired import SWITCH, Desired, Patience
from ._drift import ESSENTIAL
from ._environment import read_executables
from ._retry import LOCK_POLL_SECONDS, expect_success, run_patiently
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
    RemoveProfile,
    RemoveUnit,
    SetAttributes,
    SetLabel,
    SwitchBack,
    SwitchEnvironment,
    WriteProfile,
    WriteUnit,
)

if t.TYPE_CHECKING:
    from .._host import Host
    from ._observed import Pipx

_APT_FAILED = 100
# Those that apt-get waits for until DPkg::Lock::Timeout.
_APT_LOCKS = ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock")
# That of dnf5 5.4; the older dnf has others, and obeys exit_on_lock.
_DNF_LOCK = "/var/lib/dnf/system-repo.lock"
# Long enough for a command such as patronictl list to end; one that watches the cluster is not waited for.
_IN_USE_SECONDS = 10


class Applier:
    """Carries out the steps of one plan."""

    def __init__(self, desired: Desired, patience: Patience, host: Host, pipx: Pipx | None = None) -> None:
        self._desired = desired
        self._patience = patience
        self._host = host
        self._builder = Builder(desired, patience, host, pipx)

    @property
    def pipx(self) -> Pipx | None:
        """The pipx used for the build, found beforehand or after its installation."""
        return self._builder.pipx

    def apply(self, steps: t.Sequence[Step]) -> tuple[Done, ...]:
        """Carry out steps in order, and return those that were carried out.

        Raises:
            PatroniInstallError: a step failed; the error contains that step and the steps done before it.
        """
        done: list[Done] = []
        for number, step in enumerate(steps, 1):
            self._host.log(f"step {number} of {len(steps)}: {step.action} {step.target}")
            started = time.monotonic()
            try:
                if self._skip_if_in_use(step):
                    continue
                self._carry_out(step)
            except (PatroniInstallError, OSError) as error:
                failure = (
                    error if isinstance(error, PatroniInstallError) else PatroniInstallError(_explained(step, error))
                )
                failure.failed_step, failure.done = step, tuple(done)
                raise failure from error
            done.append(Done(step, time.monotonic() - started))
        return tuple(done)

    def _skip_if_in_use(self, step: Step) -> bool:
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
            run_patiently(
                self._host,
                self._patience,
                _commands.apt_update(),
                _commands.APT_ENVIRONMENT,
                inherit=NETWORK,
                examine=self._examine_update,
            )
        except CommandError as error:
            sources = _causes.parse_sources(error.completed.output)
            if not sources or _causes.is_locked(error.completed.output):
                raise
            raise self._unread("pipx", sources, error) from error

    def _examine_update(self, completed: Completed) -> Completed:
        """Judge apt-get update by its purpose: one dead source makes it fail, but with none reached it succeeds."""
        failed = completed.rc != 0 or _causes.parse_sources(completed.output) or _causes.is_transient(completed.output)
        if not failed or _causes.is_locked(completed.output):
            return completed
        known = self._host.run(_commands.apt_show("pipx"), inherit=NOTHING).rc == 0
        return completed._replace(rc=0 if known else completed.rc or _APT_FAILED)

    @_carry_out.register
    def _install_packages(self, step: InstallPackages) -> None:
        if self._desired.family == "debian":
            self._install_with_apt(step)
            return
        self._wait_for_dnf()
        try:
            run_patiently(
                self._host,
                self._patience,
                _commands.dnf_install(step.names),
                _commands.DNF_ENVIRONMENT,
                inherit=NETWORK,
            )
        except CommandError as error:
            raise self._explain_packages(step.target, error, error.completed.output) from error

    def _install_with_apt(self, step: InstallPackages) -> None:
        """Install packages. If apt names an obstacle, run the remedy and try again, each remedy once."""
        self._tell_who_blocks_apt()
        command = _commands.apt_install(step.names, self._patience.lock_timeout)
        remedies: list[list[str]] = []
        said = ""
        while True:
            try:
                run_patiently(self._host, self._patience, command, _commands.APT_ENVIRONMENT, inherit=NETWORK)
                return
            except CommandError as error:
                remedy = _commands.apt_remedy(error.completed.output)
                if remedy is None or remedy in remedies:
                    raise self._explain_packages(step.target, error, said + error.completed.output) from error
            remedies.append(remedy)
            said += self._help_apt(remedy)

    def _tell_who_blocks_apt(self) -> None:
        """Say in the log what apt-get will wait for, because its own output is available only afterwards."""
        for path in _APT_LOCKS:
            holders = lock_holders(path)
            if holders:
                self._host.log(
                    f"apt-get waits for {', '.join(holders)}, which holds {path}; gives up in "
                    f"{self._patience.lock_timeout} seconds"
                )

    def _wait_for_dnf(self) -> None:
        """Wait until no dnf5 works, which would be waited for without end, whatever exit_on_lock says.

        Raises:
            PatroniInstallError: one still works after lock_timeout seconds.
        """
        wait = self._host.wait(self._patience.lock_timeout)
        while True:
            holders = ", ".join(lock_holders(_DNF_LOCK))
            if not holders:
                return
            if not wait.goes_on(f"dnf must wait for {holders}, which holds {_DNF_LOCK}", LOCK_POLL_SECONDS):
                raise PatroniInstallError(
                    f"Could not get lock {_DNF_LOCK}: it has been held by {holders} for more than "
                    f"{self._patience.lock_timeout} seconds (lock_timeout)"
                )

    def _help_apt(self, remedy: list[str]) -> str:
        """Run the command that apt needs before it can install, and return its output.

        Fresh lists are worth another try even if a source could not be read: the installation shows if they suffice.
        """
        self._host.log(f"apt-get needs this first: {' '.join(remedy)}")
        try:
            run_patiently(self._host, self._patience, remedy, _commands.APT_ENVIRONMENT, inherit=NETWORK)
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
        if not _causes.is_unknown_package(error.completed.output):
            return error
        sources = _causes.parse_sources(said)
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
            f"{_causes.shown(sources)}; repair or remove them, or install pipx yourself and name it in pipx_executable",
            error.completed,
        )

    @_carry_out.register
    def _install_pipx(self, step: InstallPipx) -> None:
        self._builder.install_pipx(step)

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
            # A power loss would bring it back, and the next run would have something to report.
            _files.sync_directory(os.path.dirname(path))

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
            self._builder.build(step)
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
        self._remove_tree(temporary)

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
        self._remove_file(step.path)

    @staticmethod
    def _remove_file(path: str) -> None:
        _files.remove_file(path)
        _files.sync_directory(os.path.dirname(path))

    @_carry_out.register
    def _write_profile(self, step: WriteProfile) -> None:
        label = functools.partial(self._host.label, final=step.path)
        _files.replace_file(step.path, step.text, 0, 0, _login_shell.MODE, label=label)

    @_carry_out.register
    def _remove_profile(self, step: RemoveProfile) -> None:
        self._remove_file(step.path)

    @_carry_out.register
    def _reload_systemd(self, _step: ReloadSystemd) -> None:
        expect_success(self._host.run(_commands.daemon_reload(), inherit=NOTHING))

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


def _explained(step: Step, error: OSError) -> str:
    return f"{step.action} {step.target}: {error}"
