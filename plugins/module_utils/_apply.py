# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carrying steps out. Each leaves the host in a state that the next run understands, wherever it is interrupted."""

from __future__ import annotations

import os
import time
import typing as t

from ansible_collections.pgedge.platform.plugins.module_utils import _commands, _files
from ansible_collections.pgedge.platform.plugins.module_utils import _model as model
from ansible_collections.pgedge.platform.plugins.module_utils._drift import ESSENTIAL
from ansible_collections.pgedge.platform.plugins.module_utils._environment import read_environment
from ansible_collections.pgedge.platform.plugins.module_utils._errors import CommandError, PatroniInstallError
from ansible_collections.pgedge.platform.plugins.module_utils._namespace import laid_over
from ansible_collections.pgedge.platform.plugins.module_utils._probe import find_pipx

if t.TYPE_CHECKING:
    from ansible_collections.pgedge.platform.plugins.module_utils._host import Host

_LOCK_POLL_SECONDS = 2.0


class Applier:
    """Carries out the steps of one plan.

    Attributes:
        pipx: the pipx that builds, found beforehand or after it was installed.
    """

    def __init__(
        self, desired: model.Desired, patience: model.Patience, host: Host, pipx: model.Pipx | None = None
    ) -> None:
        self.pipx = pipx
        self._desired = desired
        self._patience = patience
        self._host = host

    def apply(self, steps: t.Sequence[model.Step]) -> None:
        """Carry out steps in order.

        Raises:
            PatroniInstallError: a step failed; the error knows which, and which were done before.
        """
        for count, step in enumerate(steps):
            try:
                self._apply_one(step)
            except PatroniInstallError as error:
                error.failed_step, error.done = step, tuple(steps[:count])
                raise
            except OSError as error:
                failure = PatroniInstallError(f"{step.action} {step.target}: {error}")
                failure.failed_step, failure.done = step, tuple(steps[:count])
                raise failure from error

    def _apply_one(self, step: model.Step) -> None:
        method: t.Callable[[model.Step], None] = getattr(self, f"_{step.action}")
        method(step)

    def _refresh_package_lists(self, _step: model.RefreshPackageLists) -> None:
        self._run_patiently(_commands.apt_update(), _commands.APT_ENVIRONMENT)

    def _install_packages(self, step: model.InstallPackages) -> None:
        if self._desired.family == "debian":
            command = _commands.apt_install(step.names, self._patience.lock_timeout)
            try:
                self._run_patiently(command, _commands.APT_ENVIRONMENT)
            except CommandError as error:
                if not _commands.lists_are_stale(error.completed.output):
                    raise self._explain_packages(step, error) from error
                self._run_patiently(_commands.apt_update(), _commands.APT_ENVIRONMENT)
                self._run_patiently(command, _commands.APT_ENVIRONMENT)
        else:
            self._run_patiently(_commands.dnf_install(step.names))

    def _explain_packages(self, step: model.InstallPackages, error: CommandError) -> CommandError:
        if "Unable to locate package" not in error.completed.output:
            return error
        return CommandError(
            f"{self._desired.distribution} offers no package {step.target} in its enabled components; enable the one "
            "that holds it (universe on Ubuntu), or install pipx yourself and name it in pipx_executable",
            error.completed,
        )

    def _install_pipx(self, step: model.InstallPipx) -> None:
        pip = self._host.require("pip3", "python3-pip")
        self._run_patiently(
            _commands.pip_install(pip, step.requirement),
            {**_commands.PIP_ENVIRONMENT, "PIP_ROOT_USER_ACTION": "ignore"},
        )

    def _create_directory(self, step: model.CreateDirectory) -> None:
        with self._host.acting(self._desired.account, step.as_account):
            _files.make_directory(step.path, step.uid, step.gid, step.mode)

    def _set_attributes(self, step: model.SetAttributes) -> None:
        with self._host.acting(self._desired.account, step.as_account):
            _files.set_attributes(step.path, step.uid, step.gid, step.mode)

    def _remove_directory(self, step: model.RemoveDirectory) -> None:
        with self._host.identity(self._desired.account):
            _files.remove_tree(step.path)

    def _restore_environment(self, step: model.RestoreEnvironment) -> None:
        with self._host.identity(self._desired.account):
            _files.remove_tree(step.path)
            os.rename(self._previous, step.path)

    def _build_environment(self, step: model.BuildEnvironment) -> None:
        account = self._desired.account
        staged = f"{self._desired.staging}/venvs"
        self._prepare_staging("venvs")
        try:
            with laid_over(
                staged, f"{self._desired.pipx_home}/venvs", account.uid, lambda: self._host.identity(account)
            ):
                self._run_pipx(step)
                self._check(step)
        except BaseException:
            self._remove_staging()
            raise

    def _switch_environment(self, step: model.SwitchEnvironment) -> None:
        with self._host.identity(self._desired.account):
            staged = f"{self._desired.staging}/venvs/patroni"
            # The time of the switch: a service that started earlier runs older code.
            os.utime(staged)
            _files.exchange(staged, step.path)
            _files.sync_directory(step.path.rpartition("/")[0])
        self._expose(step.bin_dir, step.path, step.as_account)
        self._remove_staging()

    def _replace_environment(self, step: model.ReplaceEnvironment) -> None:
        place = self._desired.environment
        self._prepare_staging()
        with self._host.identity(self._desired.account):
            if os.path.lexists(place):
                os.rename(place, self._previous)
        try:
            self._run_pipx(step)
            self._check(step)
        except BaseException:
            with self._host.identity(self._desired.account):
                _files.remove_tree(place)
                if os.path.lexists(self._previous):
                    os.rename(self._previous, place)
            self._remove_staging()
            raise
        self._expose(step.bin_dir, place, step.as_account)
        self._remove_staging()

    def _expose_executables(self, step: model.ExposeExecutables) -> None:
        self._expose(step.path, step.environment, step.as_account)

    def _remove_executables(self, step: model.RemoveExecutables) -> None:
        with self._host.acting(self._desired.account, step.as_account):
            for name in step.names:
                _files.remove_file(f"{step.path}/{name}")

    def _write_unit(self, step: model.WriteUnit) -> None:
        _files.replace_file(
            step.path,
            step.text,
            step.uid,
            step.gid,
            step.mode,
            changed_at=step.changed_at,
            label=lambda temporary: self._host.label(temporary, step.path),
        )

    def _remove_unit(self, step: model.RemoveUnit) -> None:
        _files.remove_file(step.path)

    def _reload_systemd(self, _step: model.ReloadSystemd) -> None:
        self._must(self._host.run(_commands.daemon_reload()))

    @property
    def _previous(self) -> str:
        return f"{self._desired.staging}/previous"

    def _prepare_staging(self, *folders: str) -> None:
        self._remove_staging()
        with self._host.identity(self._desired.account):
            for folder in ("", "/bin", "/man", *(f"/{name}" for name in folders)):
                os.mkdir(f"{self._desired.staging}{folder}", 0o755)

    def _remove_staging(self) -> None:
        with self._host.identity(self._desired.account):
            _files.remove_tree(self._desired.staging)

    def _run_pipx(self, step: model.BuildEnvironment) -> None:
        if self.pipx is None:
            self.pipx = find_pipx(self._desired, self._host)
        if self.pipx is None:
            raise PatroniInstallError(
                f"no pipx that {self._desired.account.name} can run is there after the installation of one; "
                "name one in pipx_executable"
            )
        argv = _commands.pipx_install(self.pipx.path, step.requirement, step.python)
        environment = _commands.pipx_environment(self._desired.pipx_home, self._desired.staging)
        try:
            self._run_patiently(argv, environment, self._desired.account, clean_up=self._remove_partial)
        except CommandError as error:
            offered = _commands.parse_offered(error.completed.output)
            if not offered:
                raise
            raise CommandError(
                f"the package index offers no {step.requirement} for this Python; "
                f"the newest that it offers are {', '.join(offered[-8:])}",
                error.completed,
            ) from error

    def _remove_partial(self) -> None:
        with self._host.identity(self._desired.account):
            _files.remove_tree(self._desired.environment)

    def _check(self, step: model.BuildEnvironment) -> None:
        """Prove that the new environment works, as the account and at its final path.

        Raises:
            CommandError: it does not.
        """
        place = self._desired.environment
        with self._host.identity(self._desired.account):
            problem = read_environment(place, step.extras).problem
        if problem:
            raise PatroniInstallError(f"pipx made an environment that is not complete: {problem}")
        for command in _commands.checks(place, step.extras):
            completed = self._host.run(command, account=self._desired.account)
            if completed.rc != 0:
                raise CommandError(
                    f"{step.requirement} was installed but does not run as {self._desired.account.name}: "
                    f"{_last_line(completed)}",
                    completed,
                )

    def _expose(self, bin_dir: str, environment: str, as_account: bool) -> None:
        """Link what the environment offers; drop links into it, or into the one before it, that lead nowhere."""
        with self._host.identity(self._desired.account):
            names = read_environment(environment, ()).executables
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
                    folder = os.readlink(link).rpartition("/")[0]
                    if folder in {f"{path}/bin" for path in self._desired.environments}:
                        _files.remove_file(link)

    def _run_patiently(
        self,
        argv: t.Sequence[str],
        environment: t.Mapping[str, str] | None = None,
        account: model.Account | None = None,
        clean_up: t.Callable[[], None] | None = None,
    ) -> None:
        """Run a command that works over the network, or that may find another one at work, until it succeeds.

        Raises:
            CommandError: it failed for a reason that does not pass, or patience is at its end.
        """
        deadline = time.monotonic() + self._patience.lock_timeout
        retries = self._patience.retries
        while True:
            completed = self._host.run(argv, account=account, environment=environment)
            if completed.rc == 0:
                return
            if clean_up is not None:
                clean_up()
            if _commands.is_locked(completed.output) and time.monotonic() < deadline:
                time.sleep(_LOCK_POLL_SECONDS)
            elif _commands.is_transient(completed.output) and retries > 0:
                retries -= 1
                time.sleep(self._patience.retry_delay)
            else:
                self._must(completed)

    @staticmethod
    def _must(completed: model.Completed) -> None:
        if completed.rc != 0:
            raise CommandError(
                f"{completed.program} ended with code {completed.rc}: {_last_line(completed)}", completed
            )


def _last_line(completed: model.Completed) -> str:
    lines = (completed.stderr.strip() or completed.stdout.strip()).splitlines()
    return lines[-1].strip() if lines else "it said nothing"
