# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One name for each directory, whatever links and mounts lead to it."""

from __future__ import annotations

import contextlib
import os
from types import SimpleNamespace

import pytest

from ansible_collections.pgedge.platform.plugins.module_utils import _paths
from ansible_collections.pgedge.platform.plugins.module_utils._paths import Names, moved
from ansible_collections.pgedge.platform.tests.unit.plugins.models import ACCOUNT


class FakeHost:
    """A host on which only the account may look into a directory."""

    def __init__(self, private=None):
        self._private = private
        self.is_account = False

    def either(self, _account, look):
        try:
            return look()
        except PermissionError:
            with self.identity(_account):
                return look()

    @contextlib.contextmanager
    def identity(self, _account):
        self.is_account = True
        yield
        self.is_account = False


@pytest.fixture
def base(tmp_path):
    """``real/deep``, and links to it of every kind."""
    top = os.path.realpath(str(tmp_path))
    os.makedirs(f"{top}/real/deep")
    for name, target in (
        ("link", f"{top}/real"),
        ("relative", "real"),
        ("climbing", "real/deep/.."),
        ("chain", "link"),
        ("slashes", f"{top}//real/./deep/../"),
        ("dangling", f"{top}/real/new"),
        ("circle", "circle"),
    ):
        os.symlink(target, f"{top}/{name}")
    return top


@pytest.mark.parametrize(
    ("path", "one"),
    [
        ("real/deep", "real/deep"),
        ("link/deep", "real/deep"),
        ("relative/deep", "real/deep"),
        ("climbing/deep", "real/deep"),
        ("chain/deep/x/y", "real/deep/x/y"),
        ("slashes/deep", "real/deep"),
        ("dangling/x", "real/new/x"),
        ("circle/x", "circle/x"),
        ("new/x", "new/x"),
    ],
)
def test_links(base, path, one):
    assert Names(FakeHost(), ACCOUNT).one(f"{base}/{path}") == f"{base}/{one}"


def test_root_of_all_directories():
    assert Names(FakeHost(), ACCOUNT).one("/") == "/"
    assert Names(FakeHost(), ACCOUNT).walk("/") == ("/", ("/",))


def test_what_holds_a_link_is_passed_on_the_way(base):
    """Whoever can write there can lead the path elsewhere."""
    os.makedirs(f"{base}/home")
    os.symlink(f"{base}/real", f"{base}/home/inner")
    os.symlink(f"{base}/home/inner", f"{base}/outer")

    resolved, passed = Names(FakeHost(), ACCOUNT).walk(f"{base}/outer/deep")

    assert resolved == f"{base}/real/deep"
    assert {f"{base}/home", f"{base}/real", f"{base}/real/deep"} <= set(passed)


@pytest.fixture
def mounted(base, monkeypatch):
    """A bind mount: ``mount`` is ``real`` again, but for what is mounted below it."""
    os.makedirs(f"{base}/mount/deep")
    os.makedirs(f"{base}/mount/other")
    os.makedirs(f"{base}/real/other")
    real_stat = os.stat
    same = {f"{base}/mount": f"{base}/real", f"{base}/mount/deep": f"{base}/real/deep"}
    fake = SimpleNamespace(**{name: getattr(os, name) for name in ("path", "readlink")})
    fake.stat = lambda path: real_stat(same.get(path, path))
    monkeypatch.setattr(_paths, "os", fake)
    return base


def test_bind_mount(mounted):
    names = Names(FakeHost(), ACCOUNT, f"{mounted}/real")

    assert names.one(f"{mounted}/mount/deep/new") == f"{mounted}/real/deep/new"
    assert names.one(f"{mounted}/mount/new") == f"{mounted}/real/new"
    assert names.same(f"{mounted}/mount", f"{mounted}/real")
    assert names.lies_in(f"{mounted}/mount/deep/x", f"{mounted}/real")


def test_the_name_that_was_asked_for_first_stands(mounted):
    assert Names(FakeHost(), ACCOUNT, f"{mounted}/mount").one(f"{mounted}/real/x") == f"{mounted}/mount/x"


def test_what_is_mounted_below_one_name_only_keeps_its_own(mounted):
    names = Names(FakeHost(), ACCOUNT, f"{mounted}/real")

    assert names.one(f"{mounted}/mount/other/x") == f"{mounted}/mount/other/x"


@pytest.mark.parametrize(
    ("path", "directory", "lies"),
    [
        ("real", "real", True),
        ("real/deep/new", "link", True),
        ("link/deep", "real", True),
        ("real", "real/deep", False),
        ("really", "real", False),
        ("new/x", "new", True),
    ],
)
def test_lies_in(base, path, directory, lies):
    assert Names(FakeHost(), ACCOUNT).lies_in(f"{base}/{path}", f"{base}/{directory}") is lies


def test_places_that_are_not_there_are_not_the_same(base):
    names = Names(FakeHost(), ACCOUNT)

    assert not names.same(f"{base}/gone", f"{base}/gone-too")
    assert names.same(f"{base}/gone", f"{base}/real/../gone")


def test_home_that_root_cannot_enter(base, monkeypatch):
    """As on NFS that is exported with root_squash."""
    host = FakeHost()
    real = {name: getattr(os, name) for name in ("stat", "readlink")}

    def guarded(name):
        def look(path):
            if path.startswith(f"{base}/real/") and not host.is_account:
                raise PermissionError
            return real[name](path)

        return look

    fake = SimpleNamespace(path=os.path, stat=guarded("stat"), readlink=guarded("readlink"))
    os.symlink("deep", f"{base}/real/share")
    monkeypatch.setattr(_paths, "os", fake)

    names = Names(host, ACCOUNT)

    assert names.one(f"{base}/link/share/pipx") == f"{base}/real/deep/pipx"
    assert names.is_directory(f"{base}/real/deep")


@pytest.mark.parametrize(
    ("path", "origin", "place", "there"),
    [
        ("/a/b", "/a", "/c", "/c/b"),
        ("/a", "/a", "/c", "/c"),
        ("/a/b", "/", "/", "/a/b"),
        ("/a/b", "/a", "/", "/b"),
        ("/b", "/", "/c", "/c/b"),
    ],
)
def test_moved(path, origin, place, there):
    assert moved(path, origin, place) == there
