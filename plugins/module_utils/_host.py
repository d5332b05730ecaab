# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""All access to commands and user identities: the only module that calls run_command or switches identity."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import select
import sys
import time
import typing as t

from ._errors import PatroniInstallError
from ._files import identity_of, is_executable, ways
from ._processes import lock_holders, login_user, origins
from ._types import ROOT_PATH, Account, Completed
from ._variables import Inherited, variables

try:
    from ansible.module_utils.secrets import register_secrets
except ImportError:
    # ansible-core before 2.22 hides what no_log_values has, and later ones what is registered.
    def register_secrets(_values: t.Iterable[str], /) -> None:
        pass


if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

_Found = t.TypeVar("_Found")

_POLL_SECONDS = 1.0
_USE_POLL_SECONDS = 0.1
_SAID_EVERY_SECONDS = 30.0
_NOT_STARTED = 127


class Wait:
    """A wait that ends at some time, and says in the log what it is for: when it begins, and from time to time."""

    def __init__(self, log: t.Callable[[str], None], timeout: float) -> None:
        self._log = log
        self._deadline = time.monotonic() + timeout
        self._say_at = 0.0

    def goes_on(self, reason: str, seconds: float) -> bool:
        """Sleep, and return whether to look again; False if the time is over.

        Args:
            reason: what the wait is for, for the log.
        """
        now = time.monotonic()
        if now >= self._deadline:
            return False
        if now >= self._say_at:
            self._log(f"{reason}; gives up in {self._deadline - now:.0f} seconds")
            self._say_at = now + _SAID_EVERY_SECONDS
        time.sleep(seconds)
        return True


class Host:
    """The machine that the module runs on.

    Attributes:
        root: whether the module runs as root and can switch to the account.
    """

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module
        self.root = os.geteuid() == 0
        self._lock: int | None = None
        os.umask(0o022)

    @property
    def temporary_directory(self) -> str:
        """A directory for this run only, which Ansible removes."""
        return str(self._module.tmpdir)

    @property
    def verbose(self) -> bool:
        """Whether Ansible was called with -v."""
        return bool(self._module._verbosity)

    @property
    def python(self) -> str:
        """The interpreter that runs the module, links resolved; in a virtual environment, its base interpreter."""
        return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)

    def warn(self, message: str) -> None:
        self._module.warn(message)

    def log(self, message: str) -> None:
        """Write one line to the system log; Ansible replaces secrets.

        The account chooses some names that occur in it, and must not be able to forge a line with them.
        """
        shown = (char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in message)
        self._module.log("".join(shown))

    @staticmethod
    def requester() -> str:
        """Name the user that the module runs for: the one who logged in, or called sudo, else the present one."""
        return login_user() or os.environ.get("SUDO_USER") or _present_identity()[1]

    def hide(self, secrets: t.Iterable[str], *, but: t.Iterable[str] = ()) -> None:
        """Keep secrets out of the result, whichever command prints them.

        Args:
            but: values of options that are hidden as a whole but contain no secret.
        """
        secrets = set(secrets)
        self._module.no_log_values.difference_update(but)
        self._module.no_log_values.update(secrets)
        register_secrets(secrets)

    def run(
        self,
        argv: t.Sequence[str],
        *,
        inherit: Inherited,
        account: Account | None = None,
        environment: t.Mapping[str, str] | None = None,
    ) -> Completed:
        """Run a command to completion, with the current identity or as an account, without a shell.

        A command that cannot be started returns code 127, as it would in a shell.

        Args:
            inherit: the variables of the caller's session that the command gets; see _variables.
            environment: additional variables for the command.
        """
        home, user = (account.home, account.name) if account is not None else _present_identity()
        wanted = variables(os.environ, inherit, home=home, user=user, more=environment or {})
        command = list(argv)
        if account is not None and self._must_switch(account):
            command = [
                self.require("setpriv", "util-linux"),
                f"--reuid={account.uid}",
                f"--regid={account.gid}",
                "--init-groups",
                "--",
                *command,
            ]
        try:
            with _no_session():
                rc, out, err = self._module.run_command(
                    command,
                    environ_update=wanted,
                    # Not the home: root may not be able to enter it, and pipx takes a file or directory there with the
                    # name of a package for that package.
                    cwd="/",
                    umask=0o022,
                    expand_user_and_vars=False,
                    handle_exceptions=False,
                    pass_fds=None if self._lock is None else (self._lock,),
                    before_communicate_callback=_end_once_read,
                )
        except OSError as error:
            rc, out, err = _NOT_STARTED, "", str(error)
        return Completed(os.path.basename(argv[0]), tuple(command), rc, out, err)

    @contextlib.contextmanager
    def identity(self, account: Account) -> t.Iterator[None]:
        """Access files as the account, so that the kernel refuses whatever the account itself may not do."""
        if not self._must_switch(account):
            yield
            return
        groups, gid = os.getgroups(), os.getgid()
        os.setgroups(os.getgrouplist(account.name, account.gid))
        # The real IDs too: access(2) checks those, and before glibc 2.33 there is no other check.
        os.setresgid(account.gid, account.gid, gid)
        os.setresuid(account.uid, account.uid, 0)
        try:
            yield
        finally:
            os.setresuid(0, 0, 0)
            os.setresgid(gid, gid, gid)
            os.setgroups(groups)

    def acting(self, account: Account, as_account: bool) -> t.ContextManager[None]:
        """Use the identity of the account, or keep the current one."""
        return self.identity(account) if as_account else contextlib.nullcontext()

    def either(self, account: Account, look: t.Callable[[], _Found]) -> _Found:
        """Access a file with the current identity or, if the kernel refuses that, as the account.

        Root cannot enter a home on NFS that is exported with root_squash.
        """
        try:
            return look()
        except PermissionError:
            with self.identity(account):
                return look()

    def _must_switch(self, account: Account) -> bool:
        return self.root and account.uid != 0 and not account.assumed

    @contextlib.contextmanager
    def lock(self, account: Account, timeout: int) -> t.Iterator[None]:
        """Hold the lock shared by runs for the same account. It is on its home, so that no file is left behind.

        Commands inherit the lock. If this process is killed, its commands may still be running, and the next run waits.

        Raises:
            PatroniInstallError: another run holds the lock for longer than timeout, in seconds.
        """
        with self.identity(account):
            descriptor = os.open(account.home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._wait_for_lock(descriptor, account, timeout)
            self._lock = descriptor
            yield
        finally:
            self._lock = None
            os.close(descriptor)

    def _wait_for_lock(self, descriptor: int, account: Account, timeout: int) -> None:
        wait = self.wait(timeout)
        while not _try_lock(descriptor):
            holders = ", ".join(lock_holders(descriptor)) or "another process"
            if not wait.goes_on(f"waiting for another run for {account.name} to end, in {holders}", _POLL_SECONDS):
                raise PatroniInstallError(
                    f"another run has been installing Patroni for {account.name} for more than {timeout} seconds; "
                    "wait for it to end, or raise lock_timeout"
                )

    def wait(self, timeout: float) -> Wait:
        """Begin a wait that ends after timeout seconds."""
        return Wait(self.log, timeout)

    def in_use(self, path: str, account: Account) -> bool:
        """Return whether a process was started from inside a directory of the account, under any name."""
        # With hidepid only root sees the processes of others, and on NFS only the account sees the files.
        started_from = origins()
        with self.identity(account):
            identity = identity_of(path)
            places = set(map(os.path.realpath, started_from))
            return identity is not None and any(
                identity == identity_of(step) for place in places for step in ways(place)
            )

    def wait_until_unused(self, path: str, account: Account, timeout: int) -> bool:
        """Wait until no process uses the directory; False if timeout seconds have passed."""
        wait = self.wait(timeout)
        while self.in_use(path, account):
            if not wait.goes_on(f"waiting until no process runs in {path}", _USE_POLL_SECONDS):
                return False
        return True

    @staticmethod
    def find_all(name: str, *directories: str) -> list[str]:
        """Find executables in the caller's PATH, the usual directories (sudo's secure_path lacks some) and others."""
        path = dict.fromkeys((*os.environ.get("PATH", "").split(os.pathsep), *ROOT_PATH, *directories))
        candidates = (os.path.join(directory, name) for directory in path if directory.startswith("/"))
        return [candidate for candidate in candidates if is_executable(candidate)]

    def find(self, name: str) -> str | None:
        """Find the first executable with a name."""
        return next(iter(self.find_all(name)), None)

    def require(self, name: str, package: str) -> str:
        """Find an executable that the system must have.

        Raises:
            PatroniInstallError: it was not found.
        """
        found = self.find(name)
        if found is None:
            raise PatroniInstallError(f"{name} was not found; install the package {package}")
        return found

    def label(self, path: str, final: str) -> None:
        """Set the SELinux context of a file to that of its final path; does nothing if SELinux is off."""
        if self._module.selinux_enabled():
            context = self._module.selinux_default_context(final)
            self._module.set_context_if_different(path, context, False)


@contextlib.contextmanager
def _no_session() -> t.Iterator[None]:
    """Hide the caller's variables: run_command passes on all of them and cannot leave any out."""
    session = dict(os.environ)
    os.environ.clear()
    try:
        yield
    finally:
        os.environ.update(session)


def _end_once_read(process: t.Any) -> None:
    """Let a process count as running until its output has been read, and as ended as soon as it has closed it.

    After a second without output, run_command asks whether the process has ended, and then reads no more: on a busy
    host, a process may print and end between the two. When the output is closed, it asks twice: a process that ends
    between the two costs a second of waiting.

    Args:
        process: the subprocess.Popen of run_command.
    """
    poll = process.poll
    pipes = select.poll()
    pipes.register(process.stdout, select.POLLIN)
    pipes.register(process.stderr, select.POLLIN)

    def poll_once_read() -> int | None:
        code: int | None = poll()
        events = [event for _pipe, event in pipes.poll(0)]
        if any(event & select.POLLIN for event in events):
            return None
        closed = len(events) == 2
        return int(process.wait()) if closed else code

    process.poll = poll_once_read


def _present_identity() -> tuple[str, str]:
    """Return the home and name of the account that runs the module; sudo may have kept the caller's variables."""
    try:
        found = pwd.getpwuid(os.geteuid())
    except KeyError:
        return "/", str(os.geteuid())
    return found.pw_dir, found.pw_name


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
