# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judgments of the probe that no process and no other account is needed for."""

from __future__ import annotations

import contextlib
import os
from types import SimpleNamespace

import pytest

from ansible_collections.pgedge.platform.plugins.module_utils._paths import Names
from ansible_collections.pgedge.platform.plugins.module_utils._patroni import _probe
from ansible_collections.pgedge.platform.plugins.module_utils._types import PathState
from ansible_collections.pgedge.platform.tests.unit.plugins.models import (
    ACCOUNT,
    GENERATIONS,
    desired,
    environment,
    generation,
)


class FakeHost:
    """A host on which directories are writable to root, and to the account if the test says so."""

    def __init__(self, monkeypatch, account_writes, root=True, root_writes=True):
        self.root = root
        self._is_account = not root

        def may_write(path):
            return path in account_writes if self._is_account else root_writes

        for judgment in ("_may_write", "_is_controlled"):
            monkeypatch.setattr(_probe, judgment, may_write)

    def either(self, _account, look):
        return look()

    @contextlib.contextmanager
    def identity(self, _account):
        former, self._is_account = self._is_account, True
        yield
        self._is_account = former


@pytest.fixture
def base(tmp_path):
    (tmp_path / "home" / "there").mkdir(parents=True)
    return str(tmp_path)


def probe_place(path, host, account=ACCOUNT, typed=None, for_account=False):
    asked = desired(account=account, typed={path: typed} if typed else {})
    return _probe._probe_place(asked, path, host, Names(host, account), for_account=for_account)


def found_place(base, path, host, **also):
    """The kind, what is missing, whether the account controls it, or the way to it, and whether it is writable."""
    place = probe_place(f"{base}{path}", host, **also)
    missing = tuple(step[len(base) :] for step in place.missing)
    return place.state.kind, missing, place.account_controls, place.way_controlled, place.writable


@pytest.mark.parametrize(
    ("path", "account_writes", "for_account", "found"),
    [
        pytest.param(
            "/home/there", ["/home"], False, ("directory", (), True, True, False), id="the way is the account's"
        ),
        pytest.param(
            "/home/there",
            ["/home", "/home/there"],
            False,
            ("directory", (), True, True, True),
            id="all is the account's",
        ),
        pytest.param(
            "/home/there",
            ["/home/there"],
            False,
            ("directory", (), True, False, True),
            id="owned by the account, the parents are not",
        ),
        pytest.param("/home/there", [], False, ("directory", (), False, False, True), id="root's"),
        pytest.param(
            "/home/there", [], True, ("directory", (), False, False, False), id="owned by root, written by the account"
        ),
        pytest.param(
            "/home/a/b",
            ["/home"],
            False,
            ("missing", ("/home/a", "/home/a/b"), True, True, True),
            id="missing in a home",
        ),
        pytest.param(
            "/opt/b",
            [],
            True,
            ("missing", ("/opt", "/opt/b"), False, False, True),
            id="missing in a directory owned by root",
        ),
    ],
)
def test_place(base, monkeypatch, path, account_writes, for_account, found):
    host = FakeHost(monkeypatch, [f"{base}{writable}" for writable in account_writes])

    assert found_place(base, path, host, for_account=for_account) == found


@pytest.mark.parametrize(
    ("account_writes", "found"),
    [
        pytest.param(["/home"], ("missing", ("/home/a",), True, True, True), id="its own directory"),
        pytest.param([], ("missing", ("/home/a",), False, False, False), id="directory of another account"),
    ],
)
def test_place_without_root(base, monkeypatch, account_writes, found):
    host = FakeHost(monkeypatch, [f"{base}{path}" for path in account_writes], root=False)

    assert found_place(base, "/home/a", host) == found


def test_place_that_root_cannot_write_either(base, monkeypatch):
    # As on a filesystem that is mounted read-only.
    host = FakeHost(monkeypatch, [], root_writes=False)

    assert found_place(base, "/opt", host) == ("missing", ("/opt",), False, False, False)


def test_place_of_an_assumed_account(base, monkeypatch):
    account = ACCOUNT._replace(home=f"{base}/home/new", assumed=True)
    host = FakeHost(monkeypatch, [])

    place = probe_place(f"{base}/home/new/.local/bin", host, account)

    # What leads to the home comes with the account.
    assert place.missing == (f"{base}/home/new/.local", f"{base}/home/new/.local/bin")
    assert (place.account_controls, place.writable) == (True, True)


def test_place_behind_a_link_of_the_account_s(base, monkeypatch):
    # The account could point it somewhere else while root works there.
    os.makedirs(f"{base}/opt/pipx")
    os.symlink(f"{base}/opt", f"{base}/home/link")
    host = FakeHost(monkeypatch, [f"{base}/home"])

    assert found_place(base, "/opt/pipx", host)[2:4] == (False, False)
    assert found_place(base, "/opt/pipx", host, typed=f"{base}/home/link/pipx")[2:4] == (True, True)
    assert found_place(base, "/home/link/pipx", host)[2:4] == (True, True)


def test_place_behind_a_link_into_a_directory_of_the_account(base, monkeypatch):
    os.symlink(f"{base}/home", f"{base}/link")
    host = FakeHost(monkeypatch, [f"{base}/home"])

    assert found_place(base, "/link/there", host)[2:4] == (True, True)


@pytest.mark.parametrize(
    ("writable", "owner", "controlled"),
    [
        pytest.param(False, 0, False, id="root's"),
        pytest.param(True, 0, True, id="owned by root, and writable"),
        # The owner of a directory can make it writable at any moment.
        pytest.param(False, 1234, True, id="somebody else's"),
        pytest.param(False, FileNotFoundError, False, id="not there"),
        pytest.param(False, PermissionError, True, id="not to be seen"),
    ],
)
def test_is_controlled(monkeypatch, writable, owner, controlled):
    def look(_path):
        if isinstance(owner, type):
            raise owner
        return SimpleNamespace(st_uid=owner)

    monkeypatch.setattr(_probe, "_may_write", lambda _path: writable)
    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", look)
        found = _probe._is_controlled("/x")

    assert found is controlled


ETC, RUN, USR = (f"{folder}/systemd/system/patroni.service" for folder in ("/etc", "/run", "/usr/lib"))
FILE = PathState("file", 0, 0, 0o644)


@pytest.mark.parametrize(
    ("shown", "path", "unit", "needed"),
    [
        pytest.param({"FragmentPath": ETC, "NeedDaemonReload": "no"}, ETC, FILE, False, id="read"),
        pytest.param({"FragmentPath": ETC, "NeedDaemonReload": "yes"}, ETC, FILE, True, id="changed since"),
        pytest.param({"FragmentPath": ""}, ETC, FILE, True, id="written, not read"),
        pytest.param({"FragmentPath": USR}, ETC, FILE, True, id="one that it hides was read"),
        pytest.param({"FragmentPath": ETC}, USR, FILE, False, id="one that hides it was read"),
        pytest.param({"FragmentPath": RUN}, ETC, FILE, True, id="one of the run time was read"),
        pytest.param(
            {"FragmentPath": "/elsewhere/patroni.service"}, ETC, FILE, False, id="one from elsewhere was read"
        ),
        pytest.param({"FragmentPath": ETC}, ETC, PathState(), True, id="removed, still known"),
        pytest.param({"FragmentPath": ""}, ETC, PathState(), False, id="nothing there, nothing known"),
        pytest.param({"FragmentPath": USR}, ETC, PathState(), False, id="nothing there, another known"),
    ],
)
def test_needs_reload(shown, path, unit, needed):
    assert _probe._needs_reload(shown, path, shown["FragmentPath"], unit) is needed


@pytest.mark.parametrize("counted", ["", "0", "n/a", "[not set]"])
def test_service_that_never_started(counted):
    assert _probe._started_at({"ExecMainStartTimestampMonotonic": counted}) == 0.0


@pytest.mark.parametrize("command", [[""], ["(sd-pam)"]])
def test_service_without_a_process_runs_nowhere(command):
    assert _probe._service_environment(command, None) is None


@pytest.mark.parametrize(
    ("names", "following"),
    [
        ([], "1"),
        (["1"], "2"),
        (["2", "10", "9"], "11"),
        (["7", "switch", "x12", "-3"], "8"),
    ],
)
def test_next_generation(names, following):
    assert _probe._next_generation(desired(), [f"{GENERATIONS}/{name}" for name in names]) == generation(int(following))


FITTING = environment("/a")
OTHER_VERSION = environment("/b", version="4.0.5")
BROKEN = environment("/c", problem="its interpreter is missing")


@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        pytest.param((), None, id="none"),
        pytest.param((BROKEN, OTHER_VERSION, FITTING), FITTING, id="the one that is as desired"),
        pytest.param((FITTING, FITTING._replace(path="/d")), FITTING, id="the first of two"),
        pytest.param((BROKEN, OTHER_VERSION), OTHER_VERSION, id="one that runs"),
        pytest.param((BROKEN,), BROKEN, id="any"),
    ],
)
def test_choice_among_environments(there, chosen):
    assert _probe._choose(desired(version="4.1.5"), there) == chosen


def test_directories_of_executables_are_resolved(tmp_path, monkeypatch):
    real, bin_dir = tmp_path / "real" / "bin", tmp_path / "bin"
    real.mkdir(parents=True)
    bin_dir.mkdir()
    os.symlink("real", str(tmp_path / "pointer"))
    os.symlink(str(tmp_path / "pointer" / "bin" / "patroni"), str(bin_dir / "patroni"))
    os.symlink("../pointer/bin/x", str(bin_dir / "relative"))
    (bin_dir / "patronictl").write_text("")
    (bin_dir / "foreign").write_text("")

    found = _probe._read_executables(str(bin_dir), Names(FakeHost(monkeypatch, []), ACCOUNT))

    base = os.path.realpath(str(tmp_path))
    assert {name: (state.kind, state.target) for name, state in found.items()} == {
        "patroni": ("link", f"{base}/real/bin/patroni"),
        "relative": ("link", f"{base}/real/bin/x"),
        "patronictl": ("file", None),
        "foreign": ("file", None),
    }


def test_executables_of_a_missing_directory(tmp_path):
    assert _probe._read_executables(str(tmp_path / "gone"), None) == {}
