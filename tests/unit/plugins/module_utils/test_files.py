# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at files and changing them."""

from __future__ import annotations

import ctypes
import errno
import os
import stat

import pytest

from ansible_collections.pgedge.platform.plugins.module_utils import _files
from ansible_collections.pgedge.platform.plugins.module_utils._types import PathState

UID, GID = os.geteuid(), os.getegid()


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path)


def write(path, text="text\n", mode=0o644):
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)
    os.chmod(path, mode)
    return path


def read(path):
    with open(path, encoding="utf-8") as stream:
        return stream.read()


def mode_of(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_look_at_nothing(folder):
    assert _files.look(f"{folder}/gone") == PathState()
    assert _files.look(f"{write(folder + '/file')}/below") == PathState()


@pytest.mark.parametrize(("content", "text"), [(False, None), (True, "text\n")])
def test_look_at_a_file(folder, content, text):
    path = write(f"{folder}/file", mode=0o640)
    os.utime(path, (5, 1000.25))

    assert _files.look(path, content=content) == PathState("file", UID, GID, 0o640, text, None, 1000.25)


def test_look_at_a_directory(folder):
    path = f"{folder}/directory"
    os.mkdir(path)
    os.chmod(path, 0o1700)
    os.utime(path, (5, 1000))

    assert _files.look(path, content=True) == PathState("directory", UID, GID, 0o1700, changed_at=1000.0)


@pytest.mark.parametrize("target", ["file", "gone", "/etc"])
def test_look_at_a_link(folder, target):
    write(f"{folder}/file")
    os.symlink(target, f"{folder}/link")

    found = _files.look(f"{folder}/link", content=True)

    assert (found.kind, found.target, found.text) == ("link", target, None)


def test_look_at_a_pipe(folder):
    os.mkfifo(f"{folder}/pipe", 0o600)

    found = _files.look(f"{folder}/pipe", content=True)

    assert (found.kind, found.text, found.mode) == ("other", None, 0o600)


def test_read_text(folder):
    assert _files.read_text(write(f"{folder}/file", "ä\n")) == "ä\n"
    assert _files.read_text(write(f"{folder}/empty", "")) == ""


def test_read_text_keeps_undecodable_bytes(folder):
    with open(f"{folder}/file", "wb") as stream:
        stream.write(b"a\xff\x00")

    assert _files.read_text(f"{folder}/file") == "a\udcff\x00"


def test_read_text_follows_a_link(folder):
    write(f"{folder}/file", "x")
    os.symlink("file", f"{folder}/link")

    assert _files.read_text(f"{folder}/link") == "x"


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda path: None, id="missing"),
        pytest.param(os.mkdir, id="a directory"),
        # Opened without a writer it would block for ever.
        pytest.param(os.mkfifo, id="a pipe"),
        pytest.param(lambda path: os.symlink(path, path), id="a link to itself"),
        pytest.param(lambda path: os.truncate(write(path), _files._READ_LIMIT + 1), id="huge"),
    ],
)
def test_read_text_of_a_special_or_oversized_file(folder, make):
    make(f"{folder}/path")

    assert _files.read_text(f"{folder}/path") is None


@pytest.mark.parametrize(("mode", "executable"), [(0o755, True), (0o644, False)], ids=["executable", "not executable"])
def test_is_executable(folder, mode, executable):
    write(f"{folder}/file", mode=mode)
    os.symlink("file", f"{folder}/link")

    assert _files.is_executable(f"{folder}/file") is executable
    assert _files.is_executable(f"{folder}/link") is executable


def test_directory_and_nothing_are_not_executable(folder):
    os.symlink("gone", f"{folder}/link")

    assert [_files.is_executable(path) for path in (folder, f"{folder}/gone", f"{folder}/link")] == [False] * 3


def test_make_directory_whatever_the_umask(folder):
    former = os.umask(0o077)
    try:
        _files.make_directory(f"{folder}/new", UID, GID, 0o755)
    finally:
        os.umask(former)

    assert mode_of(f"{folder}/new") == 0o755


def test_make_directory_over_something(folder):
    os.symlink("/etc", f"{folder}/link")

    with pytest.raises(FileExistsError):
        _files.make_directory(f"{folder}/link", UID, GID, 0o700)


def test_set_attributes_changes_what_differs(folder, monkeypatch):
    chowned = []
    monkeypatch.setattr(os, "fchown", lambda _descriptor, uid, gid: chowned.append((uid, gid)))

    _files.set_attributes(folder, UID, GID, 0o700)
    assert (mode_of(folder), chowned) == (0o700, [])

    _files.set_attributes(folder, UID + 1, GID, 0o750)
    assert (mode_of(folder), chowned) == (0o750, [(UID + 1, GID)])


def test_set_attributes_does_not_follow_a_link(folder):
    os.mkdir(f"{folder}/directory", 0o755)
    os.symlink("directory", f"{folder}/link")

    with pytest.raises(OSError, match="link"):
        _files.set_attributes(f"{folder}/link", UID, GID, 0o700)

    assert mode_of(f"{folder}/directory") == 0o755


def replace_unit(folder, **also):
    _files.replace_file(f"{folder}/unit", "new ä\n", UID, GID, 0o644, **also)


def test_replace_file_makes_one(folder):
    former = os.umask(0o077)
    try:
        replace_unit(folder)
    finally:
        os.umask(former)

    assert (read(f"{folder}/unit"), mode_of(f"{folder}/unit")) == ("new ä\n", 0o644)
    assert os.listdir(folder) == ["unit"]


def test_replace_file_leaves_what_was_kept_of_the_old_one(folder):
    write(f"{folder}/unit", "old\n", mode=0o666)
    os.link(f"{folder}/unit", f"{folder}/kept")

    replace_unit(folder)

    assert (read(f"{folder}/unit"), read(f"{folder}/kept")) == ("new ä\n", "old\n")
    assert not os.path.samefile(f"{folder}/unit", f"{folder}/kept")
    assert mode_of(f"{folder}/unit") == 0o644


def test_replace_file_replaces_a_link_not_its_target(folder):
    write(f"{folder}/target", "old\n")
    os.symlink("target", f"{folder}/unit")

    replace_unit(folder)

    assert (read(f"{folder}/target"), os.path.islink(f"{folder}/unit")) == ("old\n", False)


def test_replace_file_gives_the_time_that_is_asked_for(folder):
    replace_unit(folder, changed_at=1000.25)

    assert os.stat(f"{folder}/unit").st_mtime == 1000.25


def test_replace_file_does_not_write_through_a_planted_temporary(folder):
    write(f"{folder}/victim", "old\n")
    os.symlink("victim", f"{folder}/.unit.new")

    replace_unit(folder)

    assert (read(f"{folder}/victim"), read(f"{folder}/unit")) == ("old\n", "new ä\n")


def test_replace_file_is_labelled_before_it_is_in_place(folder):
    seen = []

    replace_unit(folder, label=lambda path: seen.append((path, read(path), os.path.lexists(f"{folder}/unit"))))

    assert seen == [(f"{folder}/.unit.new", "new ä\n", False)]


def test_replace_file_is_on_disk_before_it_is_in_place(folder, monkeypatch):
    synced = []
    fsync = os.fsync

    def record(descriptor):
        synced.append((os.fstat(descriptor).st_size, os.path.lexists(f"{folder}/unit")))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    replace_unit(folder)

    # First the whole file, then the directory that now names it.
    assert [synced[0], synced[-1][1]] == [(len("new ä\n".encode()), False), True]


@pytest.mark.parametrize("name", ["fchown", "fsync", "utime", "rename"])
def test_replace_file_that_fails_leaves_all_as_it_was(folder, monkeypatch, name):
    def fail(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    write(f"{folder}/unit", "old\n")
    monkeypatch.setattr(os, name, fail)

    with pytest.raises(OSError, match="No space left"):
        replace_unit(folder, changed_at=5.0)

    assert (os.listdir(folder), read(f"{folder}/unit")) == (["unit"], "old\n")


def test_replace_link(folder):
    for target in ("one", "two"):
        _files.replace_link(f"{folder}/link", target)
        assert os.readlink(f"{folder}/link") == target

    assert os.listdir(folder) == ["link"]


def test_replace_link_replaces_a_file_and_a_left_over(folder):
    write(f"{folder}/link")
    os.symlink("left over", f"{folder}/.link.new")

    _files.replace_link(f"{folder}/link", "one")

    assert (os.listdir(folder), os.readlink(f"{folder}/link")) == (["link"], "one")


def test_remove_file(folder):
    write(f"{folder}/file")
    os.symlink("file", f"{folder}/link")

    _files.remove_file(f"{folder}/link")
    assert os.listdir(folder) == ["file"]

    _files.remove_file(f"{folder}/file")
    _files.remove_file(f"{folder}/file")
    assert os.listdir(folder) == []


@pytest.fixture
def tree(folder):
    """A directory with something in it, and a link in it that leads out of it."""
    os.makedirs(f"{folder}/tree/inner")
    os.mkdir(f"{folder}/outside")
    write(f"{folder}/outside/precious")
    write(f"{folder}/tree/inner/file")
    os.symlink(f"{folder}/outside", f"{folder}/tree/inner/link")
    return f"{folder}/tree"


def test_remove_tree(folder, tree):
    _files.remove_tree(tree)

    assert (os.listdir(folder), os.listdir(f"{folder}/outside")) == (["outside"], ["precious"])


def test_remove_tree_of_a_link_does_not_follow_it(folder, tree):
    os.symlink("tree", f"{folder}/link")

    _files.remove_tree(f"{folder}/link")

    assert (sorted(os.listdir(folder)), os.listdir(tree)) == (["outside", "tree"], ["inner"])


@pytest.mark.parametrize("make", [write, lambda path: None], ids=["a file", "nothing"])
def test_remove_tree_of_what_is_none(folder, make):
    make(f"{folder}/path")

    _files.remove_tree(f"{folder}/path")

    assert os.listdir(folder) == []


class LibcWithout:
    """A C library that has no renameat2, as that of an old system."""


class LibcThatRefuses:
    """A C library whose renameat2 the kernel or the filesystem refuses."""

    def __init__(self, code):
        self.code = code

    def renameat2(self, *_args):
        ctypes.set_errno(self.code)
        return -1


@pytest.fixture(params=["in one rename", "EINVAL", "ENOSYS", "no renameat2"])
def renaming(request, monkeypatch):
    """Every way in which two paths are exchanged."""
    if request.param == "no renameat2":
        monkeypatch.setattr(ctypes, "CDLL", lambda *_args, **_kwargs: LibcWithout())
    elif request.param != "in one rename":
        monkeypatch.setattr(ctypes, "CDLL", lambda *_args, **_kwargs: LibcThatRefuses(getattr(errno, request.param)))
    return request.param


def test_exchange(folder, tree, renaming):
    os.symlink("new", f"{folder}/link")

    _files.exchange(f"{folder}/link", tree)

    assert os.readlink(tree) == "new"
    assert os.listdir(f"{folder}/link") == ["inner"]
    assert sorted(os.listdir(folder)) == ["link", "outside", "tree"]


def test_exchange_with_nothing_on_the_right(folder, tree, renaming):
    _files.exchange(tree, f"{folder}/new")

    assert sorted(os.listdir(folder)) == ["new", "outside"]


def test_exchange_with_a_dangling_link_on_the_right(folder, tree, renaming):
    os.symlink("gone", f"{folder}/link")

    _files.exchange(tree, f"{folder}/link")

    assert (os.listdir(f"{folder}/link"), os.readlink(tree)) == (["inner"], "gone")


def test_exchange_that_is_not_permitted_leaves_all_as_it_was(folder, tree, monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda *_args, **_kwargs: LibcThatRefuses(errno.EACCES))
    write(f"{folder}/file")

    with pytest.raises(PermissionError):
        _files.exchange(f"{folder}/file", tree)

    assert (sorted(os.listdir(folder)), os.listdir(tree)) == (["file", "outside", "tree"], ["inner"])


def test_sync_directory(folder, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}")))

    _files.sync_directory(folder)

    assert synced == [os.path.realpath(folder)]


def test_sync_filesystem(folder, monkeypatch):
    synced = []

    class Libc:
        def syncfs(self, descriptor):
            synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
            return 0

    monkeypatch.setattr(ctypes, "CDLL", lambda *_args, **_kwargs: Libc())

    _files.sync_filesystem(folder)

    assert synced == [folder]


def test_sync_filesystem_of_the_real_system(folder):
    _files.sync_filesystem(folder)


def test_sync_filesystem_that_cannot_write_fails(folder, monkeypatch):
    class Libc:
        def syncfs(self, _descriptor):
            ctypes.set_errno(errno.EIO)
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *_args, **_kwargs: Libc())

    with pytest.raises(OSError, match="Input/output error") as failed:
        _files.sync_filesystem(folder)
    assert failed.value.filename == folder


def test_sync_filesystem_where_libc_knows_no_such_call_syncs_all(folder, monkeypatch):
    synced = []
    monkeypatch.setattr(ctypes, "CDLL", lambda *_args, **_kwargs: object())
    monkeypatch.setattr(os, "sync", lambda: synced.append(True))

    _files.sync_filesystem(folder)

    assert synced == [True]
