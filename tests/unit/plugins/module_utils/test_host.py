# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door to the machine: identity, search paths, locks."""

from __future__ import annotations

import os
import selectors
import subprocess
from types import SimpleNamespace

import pytest

from ansible.module_utils import basic

from ansible_collections.pgedge.platform.plugins.module_utils import _host
from ansible_collections.pgedge.platform.plugins.module_utils._errors import PatroniInstallError
from ansible_collections.pgedge.platform.plugins.module_utils._host import Host
from ansible_collections.pgedge.platform.plugins.module_utils._types import Completed
from ansible_collections.pgedge.platform.plugins.module_utils._variables import NETWORK, NOTHING
from ansible_collections.pgedge.platform.tests.unit.plugins.environments import make_interpreter
from ansible_collections.pgedge.platform.tests.unit.plugins.machine import Clock, module_args
from ansible_collections.pgedge.platform.tests.unit.plugins.models import ACCOUNT, GID, UID


class FakeModule:
    """The part of AnsibleModule that Host takes."""

    def __init__(self):
        self.runs = []
        self.warnings = []
        self.logged = []
        self.no_log_values = set()

    def warn(self, message):
        self.warnings.append(message)

    def log(self, message):
        self.logged.append(message)

    def run_command(self, argv, **options):
        self.runs.append((argv, options))
        return 0, "out", "err"


@pytest.fixture
def calls(monkeypatch):
    """What the kernel is asked for, in order; it grants all of it."""
    asked = []

    def record(name):
        monkeypatch.setattr(os, name, lambda *arguments: asked.append((name, *arguments)))

    for name in ("setgroups", "setresgid", "setresuid"):
        record(name)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "getgid", lambda: 0)
    monkeypatch.setattr(os, "getgroups", lambda: [0, 4])
    monkeypatch.setattr(os, "getgrouplist", lambda name, gid: [gid, 200])
    return asked


@pytest.fixture
def make_host(monkeypatch):
    """Make the host; the process is as before when the test ends."""
    former = dict(os.environ)
    monkeypatch.setattr(os, "umask", lambda mask: mask)
    yield lambda: Host(FakeModule())
    os.environ.clear()
    os.environ.update(former)


BECOME = [("setgroups", [GID, 200]), ("setresgid", GID, GID, 0), ("setresuid", UID, UID, 0)]
RETURN = [("setresuid", 0, 0, 0), ("setresgid", 0, 0, 0), ("setgroups", [0, 4])]


def test_identity_gives_up_root_last_and_takes_it_back_first(calls, make_host):
    with make_host().identity(ACCOUNT):
        assert calls == BECOME

    assert calls == BECOME + RETURN


def test_identity_is_given_back_after_a_failure(calls, make_host):
    with pytest.raises(ValueError, match="within"), make_host().identity(ACCOUNT):
        raise ValueError("within")

    assert calls[-3:] == RETURN


@pytest.mark.parametrize(
    "account",
    [
        pytest.param(ACCOUNT._replace(uid=0), id="root is the account"),
        pytest.param(ACCOUNT._replace(uid=-1, assumed=True), id="the account is assumed"),
    ],
)
def test_identity_that_need_not_change(calls, make_host, account):
    with make_host().identity(account):
        pass

    assert calls == []


def test_identity_without_root(calls, make_host, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with make_host().identity(ACCOUNT):
        pass

    assert calls == []


@pytest.mark.parametrize(("as_account", "asked"), [(True, BECOME + RETURN), (False, [])])
def test_acting(calls, make_host, as_account, asked):
    with make_host().acting(ACCOUNT, as_account):
        pass

    assert calls == asked


@pytest.fixture
def session(monkeypatch):
    """The caller's variables."""
    for name in set(os.environ) - {"PYTEST_CURRENT_TEST"}:
        monkeypatch.delenv(name)
    found = {"PATH": "/usr/bin", "HOME": "/home/deploy", "https_proxy": "http://proxy:1", "LOGLEVEL": "debug"}
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.mark.parametrize(
    ("account", "home", "user"),
    [pytest.param(None, "/root", "root", id="root"), pytest.param(ACCOUNT, ACCOUNT.home, "postgres", id="account")],
)
def test_command_gets_chosen_variables_alone(calls, make_host, monkeypatch, session, account, home, user):
    monkeypatch.setattr(Host, "find", lambda *_names: "/usr/bin/setpriv")
    monkeypatch.setattr(_host.pwd, "getpwuid", lambda uid: SimpleNamespace(pw_name="root", pw_dir="/root"))
    host = make_host()
    seen = []
    host._module.run_command = lambda argv, **options: seen.append((dict(os.environ), options)) or (0, "", "")

    host.run(["apt-get"], inherit=NETWORK, account=account, environment={"A": "b"})

    ((left, options),) = seen
    assert left == {}
    assert options["environ_update"] == {
        "PATH": "/usr/bin",
        "https_proxy": "http://proxy:1",
        "LC_ALL": "C.UTF-8",
        "A": "b",
        "HOME": home,
        "USER": user,
        "LOGNAME": user,
    }


def test_variables_are_back_after_a_command_whatever_happens(make_host, monkeypatch, session):
    host = make_host()
    before = dict(os.environ)

    def fail(_argv, **_options):
        raise SystemExit(1)

    monkeypatch.setattr(host._module, "run_command", fail)
    with pytest.raises(SystemExit):
        host.run(["apt-get"], inherit=NOTHING)

    assert dict(os.environ) == before


def test_command_of_one_whom_the_system_does_not_know(make_host, monkeypatch, session):
    """Such as an account of a directory that does not answer."""
    host = make_host()
    monkeypatch.setattr(os, "geteuid", lambda: 64999)
    monkeypatch.setattr(_host.pwd, "getpwuid", {}.__getitem__)

    host.run(["systemctl"], inherit=NOTHING)

    ((_argv, options),) = host._module.runs
    assert (options["environ_update"]["HOME"], options["environ_update"]["USER"]) == ("/", "64999")


def test_completed_command_tells_the_program_and_all_that_was_run(calls, make_host, monkeypatch):
    monkeypatch.setattr(Host, "find", lambda *_names: "/usr/bin/setpriv")

    completed = make_host().run(["/usr/bin/pipx", "--version"], inherit=NOTHING, account=ACCOUNT)

    argv = ("/usr/bin/setpriv", f"--reuid={UID}", f"--regid={GID}", "--init-groups", "--", "/usr/bin/pipx", "--version")
    assert completed == Completed("pipx", argv, 0, "out", "err")


@pytest.mark.parametrize("channel", [1, 2], ids=["stdout", "stderr"])
def test_output_is_read_that_comes_while_run_command_gives_up_waiting(monkeypatch, make_host, tmp_path, channel):
    """On a busy host, the module may not run between its wait for output and its look at the process."""
    select, go = selectors.PollSelector.select, tmp_path / "go"
    waited = []

    def run_again_late(selector, _timeout):
        events = select(selector, 0)
        if not events:
            waited.append(True)
            go.touch()
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        return events

    host = with_real_run_command(make_host())
    monkeypatch.setattr(selectors.PollSelector, "select", run_again_late)

    ended = host.run(["sh", "-c", f"until test -e {go}; do :; done; echo said >&{channel}"], inherit=NOTHING)

    assert waited
    assert (ended.rc, ended.output.strip()) == (0, "said")


def test_a_process_that_ends_while_run_command_asks_for_it_is_not_waited_for(monkeypatch, make_host, tmp_path):
    """Between the end of its output and its own end, run_command asks twice whether it has ended."""
    select, poll, go = selectors.PollSelector.select, subprocess.Popen.poll, tmp_path / "go"
    asked, waited_for = [], []

    def end_once_asked(process):
        code = poll(process)
        asked.append(code)
        go.touch()
        if code is None:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        return code

    def remember(selector, timeout):
        waited_for.append(len(selector.get_map()))
        return select(selector, timeout)

    host = with_real_run_command(make_host())
    monkeypatch.setattr(subprocess.Popen, "poll", end_once_asked)
    monkeypatch.setattr(selectors.PollSelector, "select", remember)

    ended = host.run(["sh", "-c", f"echo said; exec >&- 2>&-; until test -e {go}; do :; done; exit 3"], inherit=NOTHING)

    assert (asked[0], ended.rc, ended.output.strip()) == (None, 3, "said")
    assert 0 not in waited_for


def with_real_run_command(host):
    with module_args({}):
        host._module = basic.AnsibleModule(argument_spec={})
    return host


def test_hidden_words_are_handed_to_ansible(make_host, monkeypatch):
    registered = []
    monkeypatch.setattr(_host, "register_secrets", registered.extend)
    host = make_host()
    host._module.no_log_values = {"https://me:s3cret@example.org", "/srv/wheels"}

    host.hide({"s3cret"}, but=["/srv/wheels"])

    # The latter since ansible-core 2.22, which hides nothing else.
    assert host._module.no_log_values == {"https://me:s3cret@example.org", "s3cret"}
    assert registered == ["s3cret"]


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Three directories: one on the caller's PATH, one on the PATH of root, and one more."""
    paths = [str(tmp_path / name) for name in ("path", "system", "more")]
    monkeypatch.setenv("PATH", f"{paths[0]}:relative::{paths[0]}")
    monkeypatch.setattr(_host, "ROOT_PATH", (paths[1],))
    return [tmp_path / name for name in ("path", "system", "more")]


@pytest.mark.parametrize("first", [0, 1, 2, 3])
def test_find_all(folders, first):
    for folder in folders[first:]:
        make_interpreter(folder / "tool")

    assert Host.find_all("tool", str(folders[2])) == [str(folder / "tool") for folder in folders[first:]]


def test_find_takes_the_first(folders, make_host):
    for folder in folders:
        make_interpreter(folder / "tool")

    assert make_host().find("tool") == str(folders[0] / "tool")


def test_find_ignores_files_that_cannot_be_executed(folders, make_host):
    (folders[0] / "tool").mkdir(parents=True)
    make_interpreter(folders[1] / "tool").chmod(0o644)
    make_interpreter(folders[2] / "tool")

    assert make_host().find("tool") is None
    assert Host.find_all("tool", str(folders[2])) == [str(folders[2] / "tool")]


def test_find_does_not_look_in_the_working_directory(folders, make_host, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_interpreter(tmp_path / "relative" / "tool")
    make_interpreter(tmp_path / "tool")

    assert make_host().find("tool") is None


def test_require(folders, make_host):
    with pytest.raises(PatroniInstallError) as refused:
        make_host().require("tool", "tool-utils")

    assert str(refused.value) == "tool was not found; install the package tool-utils"


@pytest.mark.parametrize("enabled", [True, False])
def test_label_of_the_final_path(make_host, enabled):
    host, seen = make_host(), []
    host._module.selinux_enabled = lambda: enabled
    host._module.selinux_default_context = lambda path: f"context of {path}"
    host._module.set_context_if_different = lambda path, context, changed: seen.append((path, context))

    host.label("/x/.unit.new", "/x/unit")

    assert seen == ([("/x/.unit.new", "context of /x/unit")] if enabled else [])


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(_host, "time", SimpleNamespace(sleep=clock.sleep, monotonic=clock.monotonic))
    return clock


def test_a_wait_says_what_it_is_for_at_once_and_every_half_minute(make_host, clock):
    host = make_host()
    wait = host.wait(70)

    while wait.goes_on(f"waiting since {clock.monotonic():.0f}", 10):
        pass

    assert clock.slept == [10] * 7
    assert host._module.logged == [
        "waiting since 0; gives up in 70 seconds",
        "waiting since 30; gives up in 40 seconds",
        "waiting since 60; gives up in 10 seconds",
    ]


def test_a_wait_for_the_lock_names_the_run_that_holds_it(make_host, clock, monkeypatch, tmp_path):
    account = ACCOUNT._replace(home=str(tmp_path), uid=0)
    first, second = make_host(), make_host()

    with first.lock(account, 0), pytest.raises(PatroniInstallError, match="than 5 seconds"), second.lock(account, 5):
        pass

    (line,) = second._module.logged
    assert line.startswith(f"waiting for another run for postgres to end, in process {os.getpid()} (")
    assert line.endswith("; gives up in 5 seconds")
    assert first._module.logged == []
