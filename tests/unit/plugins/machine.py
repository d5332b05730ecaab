# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine for the module as a whole: its files are real and lie in one directory, its commands are a script.

What differs between root and an ordinary account is decided here, so that the tests are the same for both.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import grp
import json
import os
import pwd
import stat
import sys
import typing as t
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
from ansible.module_utils import basic, distro

from ansible_collections.pgedge.platform.plugins.module_utils import _host, _processes, _selinux
from ansible_collections.pgedge.platform.plugins.module_utils._patroni import (
    _apply,
    _index,
    _login_shell,
    _params,
    _pipx,
    _probe,
    _retry,
)
from ansible_collections.pgedge.platform.plugins.modules import patroni_install
from ansible_collections.pgedge.platform.tests.unit.plugins.environments import make_environment, make_interpreter

UID, GID = 64111, 64113
DISTRIBUTIONS = {
    "debian": ("debian", "", "Debian GNU/Linux 12 (bookworm)"),
    "redhat": ("rocky", "rhel centos fedora", "Rocky Linux 9.6 (Blue Onyx)"),
    "arch": ("arch", "", "Arch Linux"),
}
HOMES = {"redhat": "/var/lib/pgsql"}
# Commands that change nothing; all others are to run under the lock.
LOOKING = (
    "systemctl show",
    "apt-cache show",
    "pipx --version",
    "pip install --dry-run",
    "pip download",
    "-m venv",
    "-c import sys;",
    "-c import os, sys; print(",
    "-c import os, sys, sysconfig\n",
)
# Of the files of an account, unless a test says otherwise.
USUAL_LABEL = "system_u:object_r:postgresql_db_t:s0"
# As selinuxfs numbers them.
PERMISSIONS = {
    "file/perms/execute": "15",
    "file/perms/execute_no_trans": "18",
    "file/perms/entrypoint": "19",
    "process/perms/transition": "2",
}
# Variables of the caller's session that no program may get, whatever it is.
SESSION = {
    "APT_CONFIG": "/root/apt.conf",
    "DCS_URL": "etcd://127.0.0.1:9",
    "DPKG_ROOT": "/mnt",
    "LANG": "de_DE.UTF-8",
    "LANGUAGE": "de",
    "LC_MESSAGES": "de_DE.UTF-8",
    "LD_PRELOAD": "/nowhere.so",
    "LOGLEVEL": "debug",
    "LOGNAME": "deploy",
    "PATRONICTL_CONFIG_FILE": "/etc/patroni/patroni.yaml",
    "PATRONI_NAME": "other",
    "PGDATA": "/data",
    "PIPX_DEFAULT_PYTHON": "python3.99",
    "PIPX_HOME": "/root/pipx",
    "PIP_PRE": "1",
    "PIP_PREFIX": "/mnt",
    "PIP_REQUIRE_VIRTUALENV": "1",
    "PIP_TARGET": "/mnt",
    "PIP_USER": "1",
    "PYTHONPATH": "/root/lib",
    "SYSTEMD_OFFLINE": "1",
    "USER": "deploy",
    "VIRTUAL_ENV": "/root/venv",
    "XDG_CONFIG_HOME": "/root/.config",
}


@contextlib.contextmanager
def module_args(arguments: t.Mapping[str, t.Any]) -> t.Iterator[None]:
    """Hand arguments to AnsibleModule, on every ansible-core."""
    try:
        from ansible.module_utils.testing import patch_module_args
    except ImportError:
        text = json.dumps({"ANSIBLE_MODULE_ARGS": dict(arguments)})
        with mock.patch.object(basic, "_ANSIBLE_ARGS", text.encode()):
            yield
    else:
        with patch_module_args(dict(arguments)):
            yield


class Kernel:
    """Who acts, and who owns what, as a kernel would judge it.

    Attributes:
        watches: writing is judged; not while a test sets a machine up.
        breaches: the paths that root wrote in a directory of the account, where a link could have led it anywhere.
    """

    def __init__(self, base: str, home: str, root: bool) -> None:
        self.uid, self.gid = (0, 0) if root else (UID, GID)
        self.breaches: list[str] = []
        self.watches = False
        self._may_return = root
        self._base = base
        self._home = home
        self._owners: dict[tuple[int, int], tuple[int, int]] = {}
        self._real = {name: getattr(os, name) for name in _PATCHED}

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in _PATCHED:
            monkeypatch.setattr(os, name, getattr(self, name))

    @contextlib.contextmanager
    def account_acts(self) -> t.Iterator[None]:
        former, self.uid, self.gid = (self.uid, self.gid), UID, GID
        try:
            yield
        finally:
            self.uid, self.gid = former

    def give(self, path: str, uid: int, gid: int, mode: int) -> None:
        """Set up an owner and a mode."""
        os.chmod(path, mode)
        self._owners[_key(self._real["lstat"](path))] = (uid, gid)

    # What follows stands in for the functions of os.

    def geteuid(self) -> int:
        return self.uid

    def getegid(self) -> int:
        return self.gid

    def getgid(self) -> int:
        return self.gid

    def getgroups(self) -> list[int]:
        return [self.gid]

    def getgrouplist(self, _name: str, gid: int) -> list[int]:
        return [gid]

    def setgroups(self, _groups: t.Sequence[int]) -> None:
        assert self.uid == 0, "only root sets groups"

    def setresgid(self, _real: int, effective: int, _saved: int) -> None:
        assert self.uid == 0, "only root sets groups"
        self.gid = effective

    def setresuid(self, _real: int, effective: int, saved: int) -> None:
        assert self._may_return, "there is no way back to root"
        self.uid, self._may_return = effective, saved == 0

    def lstat(self, path: t.Any, *, dir_fd: int | None = None) -> os.stat_result:
        found = self._real["lstat"](path, dir_fd=dir_fd)
        return self._owned(found, path) if dir_fd is None else found

    def stat(self, path: t.Any, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        found: os.stat_result = self._real["stat"](path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
        if isinstance(path, int) or dir_fd is not None:
            return found
        return self._owned(found, self._resolved(path) if follow_symlinks else path)

    def fstat(self, descriptor: int) -> os.stat_result:
        found = self._real["fstat"](descriptor)
        return self._owned(found, os.readlink(f"/proc/self/fd/{descriptor}"))

    def fchown(self, descriptor: int, uid: int, gid: int) -> None:
        owner = self.fstat(descriptor).st_uid
        if self.uid != 0 and (owner, uid, gid) != (self.uid, self.uid, self.gid):
            raise PermissionError(errno.EPERM, "Operation not permitted")
        self._owners[_key(self._real["fstat"](descriptor))] = (uid, gid)

    def access(self, path: str, mode: int) -> bool:
        try:
            bits = self._real["stat"](path).st_mode
        except OSError:
            return False
        if mode & os.W_OK:
            return self._may_write(self.uid, self._resolved(path))
        return bool(bits & (0o111 if self.uid in (0, self.stat(path).st_uid) else 0o001))

    def mkdir(self, path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        self._judge(path)
        self._real["mkdir"](path, mode, dir_fd=dir_fd)
        self._owners[_key(self._real["lstat"](path))] = (self.uid, self.gid)

    def symlink(self, target: t.Any, path: t.Any, *more: t.Any) -> None:
        self._judge(path)
        self._real["symlink"](target, path, *more)

    def rename(self, source: str, path: str) -> None:
        self._judge(source)
        self._judge(path)
        self._real["rename"](source, path)

    def unlink(self, path: str, *, dir_fd: int | None = None) -> None:
        if dir_fd is None and self.lexists(path):
            self._judge(path)
        self._real["unlink"](path, dir_fd=dir_fd)

    def open(self, path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if flags & os.O_CREAT and dir_fd is None:
            self._judge(path)
        descriptor: int = self._real["open"](path, flags, mode, dir_fd=dir_fd)
        return descriptor

    def lexists(self, path: str) -> bool:
        try:
            self._real["lstat"](path)
        except OSError:
            return False
        return True

    def _resolved(self, path: t.Any) -> str:
        """A path without links, from the kernel: ``os.path.realpath`` would ask this model about every part of it."""
        descriptor = self._real["open"](path, os.O_PATH)
        try:
            return os.readlink(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)

    def _inside(self, path: t.Any) -> bool:
        return f"{os.fsdecode(path)}/".startswith(f"{self._base}/")

    def _owner(self, found: os.stat_result, path: t.Any) -> tuple[int, int]:
        usual = (UID, GID) if f"{os.fsdecode(path)}/".startswith(f"{self._home}/") else (0, 0)
        return self._owners.get(_key(found), usual)

    def _owned(self, found: os.stat_result, path: t.Any) -> os.stat_result:
        if self._inside(path):
            owner = self._owner(found, path)
        elif f"{self._base}/".startswith(f"{os.fsdecode(path)}/"):
            # Whoever runs the tests, root owns the directories that lead to the machine.
            owner = (0, 0)
        else:
            return found
        reduced: t.Any = found.__reduce__()
        values, more = reduced[1]
        return os.stat_result((*values[:4], *owner, *values[6:]), more)

    def _may_write(self, uid: int, path: str) -> bool:
        if uid == 0:
            return True
        if not self._inside(path):
            return False
        found = self._real["lstat"](path)
        owner, group = self._owner(found, path)
        bit = stat.S_IWUSR if owner == UID else stat.S_IWGRP if group == GID else stat.S_IWOTH
        return bool(found.st_mode & bit)

    def _judge(self, path: t.Any) -> None:
        """Refuse what the one who acts may not write; note what root should not have."""
        if not self.watches or not self._inside(path):
            return
        folder = os.path.dirname(os.fsdecode(path))
        if not self._may_write(self.uid, self._resolved(folder)):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        way = [folder]
        while way[-1] != self._base:
            way.append(os.path.dirname(way[-1]))
        if self.uid == 0 and any(self._may_write(UID, step) for step in way if self.lexists(step)):
            self.breaches.append(os.fsdecode(path))


_PATCHED = (
    "geteuid",
    "getegid",
    "getgid",
    "getgroups",
    "getgrouplist",
    "setgroups",
    "setresgid",
    "setresuid",
    "stat",
    "lstat",
    "fstat",
    "fchown",
    "access",
    "mkdir",
    "symlink",
    "rename",
    "unlink",
    "open",
)


def _key(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


class Call(t.NamedTuple):
    """A command that is expected, and what it does.

    Attributes:
        variables: its environment, beyond what every command gets.
        effect: what it does to the files, with the identity of who runs it.
    """

    argv: list[str]
    out: str = ""
    err: str = ""
    rc: int = 0
    variables: t.Mapping[str, str] = {}
    as_account: bool = False
    effect: t.Callable[[], object] | None = None


class Script:
    """Stands in for run_command: every command that is expected, in order, and no other."""

    def __init__(self, machine: Machine, calls: t.Sequence[Call]) -> None:
        self._machine = machine
        self._calls = list(calls)

    def __call__(self, argv: list[str], **options: t.Any) -> tuple[int, str, str]:
        if not self._calls:
            pytest.fail(f"unexpected command: {argv}")
        call = self._calls.pop(0)
        account = self._machine.switched if call.as_account else []
        assert argv == [*account, *call.argv]
        # All that a command inherits is chosen by the module.
        assert dict(os.environ) == {}
        path = {"PATH": f"{self._machine.base}/usr/bin", "LC_ALL": "C.UTF-8"}
        locked = options.pop("pass_fds")
        assert options == {
            "environ_update": {**path, **call.variables, **self._machine.who(call.as_account)},
            "cwd": "/",
            "umask": 0o022,
            "expand_user_and_vars": False,
            "handle_exceptions": False,
            "before_communicate_callback": _host._end_once_read,
        }
        if locked is None:
            looks = any(looking in " ".join(argv) for looking in LOOKING) or "PYTHONDONTWRITEBYTECODE" in call.variables
            assert looks, f"not under the lock: {argv}"
        if call.effect is not None:
            with self._machine.kernel.account_acts() if call.as_account else contextlib.nullcontext():
                call.effect()
        return call.rc, call.out, call.err

    def finish(self) -> None:
        assert self._calls == [], "commands that were expected and not run"


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.while_asleep: t.Callable[[], object] = lambda: None

    def monotonic(self) -> float:
        return sum(self.slept)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.while_asleep()


class Machine:
    """A host of one family, with nothing on it but the account.

    Attributes:
        systemd: whether systemd runs.
        temporary: the directory that Ansible gives to a run.
        warnings: what the module warned of.
        asking: the directory that a question to the index has for as long as it takes.
    """

    def __init__(
        self,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        family: str = "debian",
        root: bool = True,
    ) -> None:
        self.base = os.path.realpath(str(folder / "m"))
        self.home = self.base + HOMES.get(family, "/var/lib/postgresql")
        self.temporary = f"{self.base}/tmp"
        needed = ("/etc/systemd/system", "/usr/bin", "/usr/local/bin")
        for path in (self.home, self.temporary, *(self.base + rest for rest in needed)):
            os.makedirs(path)
        self.kernel = Kernel(self.base, self.home, root)
        self.interpreter = make_interpreter(Path(self.base, "usr/bin/python3.11"))
        self.setpriv = self.tool("setpriv")
        self.switched = [self.setpriv, f"--reuid={UID}", f"--regid={GID}", "--init-groups", "--"] if root else []
        self.systemd = True
        self.warnings: list[str] = []
        self.logged: list[str] = []
        self.secrets: list[str] = []
        self.asking = f"{self.base}.asking"
        self.clock = Clock()
        self._root = root
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self._pretend(family)
        self.kernel.install(monkeypatch)

    @property
    def bin_dir(self) -> str:
        return f"{self.home}/.local/bin"

    @property
    def pipx_home(self) -> str:
        return f"{self.home}/.local/share/pipx"

    @property
    def pointer(self) -> str:
        return f"{self.pipx_home}/venvs/patroni"

    @property
    def config_dir(self) -> str:
        return f"{self.base}/etc/patroni"

    @property
    def unit_path(self) -> str:
        return f"{self.base}/etc/systemd/system/patroni.service"

    def generation(self, number: int) -> str:
        return f"{self.pipx_home}/patroni/{number}"

    def built(self, number: int) -> str:
        return f"{self.generation(number)}/venvs/patroni"

    def tool(self, name: str, folder: str = "/usr/bin") -> str:
        """Put an executable on the machine, and return its path."""
        path = Path(f"{self.base}{folder}/{name}")
        with self.kernel.account_acts() if self.home in str(path) else contextlib.nullcontext():
            return str(make_interpreter(path))

    def who(self, as_account: bool) -> dict[str, str]:
        """The variables that name who runs a command."""
        home, name = (self.home, "postgres") if as_account or not self._root else ("/root", "root")
        return {"HOME": home, "USER": name, "LOGNAME": name}

    def environment(self, path: str, **of: t.Any) -> Path:
        """Make an environment, as pipx does for the account."""
        with self.kernel.account_acts():
            return make_environment(path, self.interpreter, **of)

    def know_packages(self) -> None:
        """Have the lists of packages that apt has downloaded."""
        os.makedirs(f"{self.base}/var/lib/apt/lists", exist_ok=True)
        Path(self.base, "var/lib/apt/lists/deb.example.org_debian_Packages").touch()

    def load_policy(self, *executable: str) -> dict[str, str]:
        """Switch SELinux on.

        Args:
            executable: the types that systemd may execute.

        Returns:
            The labels of files that have another one than is usual.
        """
        system = Path(self.base, "sys/fs/selinux")
        for name in ("access", "class/file/index", "class/process/index", *(f"class/{name}" for name in PERMISSIONS)):
            (system / name).parent.mkdir(parents=True, exist_ok=True)
            (system / name).write_text(PERMISSIONS.get(name[len("class/") :], "1"), "utf-8")
        os.makedirs(f"{self.base}/proc/1/attr")
        Path(self.base, "proc/1/attr/current").write_bytes(b"system_u:system_r:init_t:s0\0")
        labels: dict[str, str] = {}

        def answer(name: str, question: str) -> str:
            if name == "create":
                return "system_u:system_r:initrc_t:s0"
            _source, target, *_more = question.split()
            return "ffffffff 0 0 0 0 0" if target.split(":")[2] in ("initrc_t", *executable) else "0 0 0 0 0 0"

        def write(path: str, name: str, value: bytes, *, follow_symlinks: bool) -> None:
            assert (name, follow_symlinks) == ("security.selinux", False)
            assert self.kernel.uid == self.kernel.lstat(path).st_uid
            labels[path] = value.rstrip(b"\0").decode()

        def read(path: str, name: str, *, follow_symlinks: bool) -> bytes:
            assert (name, follow_symlinks) == ("security.selinux", False)
            os.lstat(path)
            return f"{labels.get(path, USUAL_LABEL)}\0".encode()

        self._monkeypatch.setattr(_selinux, "_ask", answer)
        self._monkeypatch.setattr(os, "getxattr", read)
        self._monkeypatch.setattr(os, "setxattr", write)
        return labels

    def look(self, path: str) -> tuple[int, int, int]:
        """The owner, the group and the mode of what lies at a path."""
        found = os.lstat(path)
        return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)

    def tree(self) -> dict[str, tuple[t.Any, ...]]:
        """All that is on the machine."""
        return {
            f"{folder}/{name}": (*self.look(f"{folder}/{name}"), os.lstat(f"{folder}/{name}").st_mtime)
            for folder, folders, files in os.walk(self.base)
            for name in (*folders, *files)
        }

    def run(self, *calls: Call, check: bool = False, fails: bool = False, **params: t.Any) -> dict[str, t.Any]:
        """Run the module with the commands that are expected, and return its result."""
        script = Script(self, calls)
        self._monkeypatch.setattr(
            basic.AnsibleModule, "run_command", lambda _module, argv, **options: script(argv, **options)
        )
        arguments = {"config_dir": self.config_dir, "unit_path": self.unit_path, **params}
        self._capsys.readouterr()
        self.logged.clear()
        self.kernel.watches = True
        with module_args({**arguments, "_ansible_check_mode": check}), pytest.raises(SystemExit) as ended:
            patroni_install.main()
        self.kernel.watches = False
        out = self._capsys.readouterr().out
        result = json.loads(out)
        self.secrets = result.pop("_ansible_new_secrets", [])
        assert (ended.value.code, result.get("failed", False)) == ((1, True) if fails else (0, False)), result
        script.finish()
        assert self.kernel.breaches == []
        return t.cast("dict[str, t.Any]", result)

    def shown(self, result: dict[str, t.Any]) -> str:
        """What a person sees of a result: from ansible-core 2.22 on, the controller hides what the module names."""
        return functools.reduce(lambda text, secret: text.replace(secret, "$REDACTED$"), self.secrets, str(result))

    def _make_asking(self, **_where: str) -> str:
        os.mkdir(self.asking)
        return self.asking

    def _pretend(self, family: str) -> None:
        """Patch the seams between the module and the system."""
        set_attribute = self._monkeypatch.setattr
        for name, value in zip(("id", "like"), DISTRIBUTIONS[family]):
            set_attribute(distro, name, lambda value=value: value)
        set_attribute(distro, "name", lambda pretty: DISTRIBUTIONS[family][2])
        set_attribute(pwd, "getpwnam", {"postgres": self._account()}.__getitem__)
        root = pwd.struct_passwd(("root", "x", 0, 0, "", "/root", "/bin/bash"))
        set_attribute(pwd, "getpwuid", {0: root, UID: self._account()}.__getitem__)
        set_attribute(grp, "getgrgid", {GID: grp.struct_group(("postgres", "x", GID, []))}.__getitem__)
        set_attribute(grp, "getgrnam", {"dba": grp.struct_group(("dba", "x", 64200, []))}.__getitem__)
        folders = tuple(f"{self.base}/usr{rest}" for rest in ("/local/bin", "/bin"))
        for room in (_host, _params):
            set_attribute(room, "ROOT_PATH", folders)
        set_attribute(_probe, "_APT_LISTS", f"{self.base}/var/lib/apt/lists")
        set_attribute(sys, "_base_executable", str(self.interpreter))
        set_attribute(_pipx, "_PACKAGED", f"{self.base}/usr/bin")
        set_attribute(_pipx, "_SYSTEM_PYTHONS", (str(self.interpreter),))
        set_attribute(_login_shell, "PROFILE", f"{self.base}/etc/profile.d/patroni.sh")
        set_attribute(_index, "_PIP_WHEELS", f"{self.base}/usr/share/python-wheels/pip-*.whl")
        set_attribute(
            _probe, "_UNIT_DIRECTORIES", tuple(f"{self.base}{rest}/systemd/system" for rest in ("/etc", "/usr/lib"))
        )
        isdir = os.path.isdir
        set_attribute(os.path, "isdir", lambda path: self.systemd if path == "/run/systemd/system" else isdir(path))
        clock = SimpleNamespace(sleep=self.clock.sleep, monotonic=self.clock.monotonic)
        for room in (_apply, _host, _retry):
            set_attribute(room, "time", clock)
        set_attribute(basic.AnsibleModule, "warn", lambda _module, message: self.warnings.append(message))
        set_attribute(basic, "has_journal", False)
        if hasattr(basic.AnsibleModule, "_log_to_syslog"):
            set_attribute(basic.AnsibleModule, "_log_to_syslog", lambda _module, message: self.logged.append(message))
        else:
            # ansible-core 2.22 and newer.
            set_attribute(basic._logging, "log_to_system", lambda message, **_more: self.logged.append(message))
        set_attribute(_processes, "_LOGIN_UID", f"{self.base}/proc/self/loginuid")
        set_attribute(basic.AnsibleModule, "selinux_enabled", lambda _module: False)
        set_attribute(_selinux, "_FILESYSTEM", f"{self.base}/sys/fs/selinux")
        set_attribute(_selinux, "_SYSTEMD", f"{self.base}/proc/1/attr/current")
        for name in set(os.environ) - {"PYTEST_CURRENT_TEST"}:
            self._monkeypatch.delenv(name)
        for name, value in {**SESSION, "HOME": os.path.dirname(self.base)}.items():
            self._monkeypatch.setenv(name, value)
        set_attribute(basic.AnsibleModule, "tmpdir", self.temporary)
        set_attribute(_index, "tempfile", SimpleNamespace(mkdtemp=self._make_asking))
        self._monkeypatch.setenv("PATH", f"{self.base}/usr/bin")

    def _account(self) -> pwd.struct_passwd:
        return pwd.struct_passwd(("postgres", "x", UID, GID, "", self.home, "/bin/bash"))
