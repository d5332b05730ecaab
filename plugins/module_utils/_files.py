# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""Read and change files, with the current identity of the process.

Nothing here follows a link in the last component of a path.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import stat
import typing as t

from ._types import Kind, PathState

_READ_LIMIT = 4 * 1024 * 1024
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_KINDS: dict[int, Kind] = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}


def look(path: str, *, content: bool = False) -> PathState:
    """Return the state of a path, including its text if that is requested and it is a file."""
    try:
        found = os.lstat(path)
        target = os.readlink(path) if stat.S_ISLNK(found.st_mode) else None
    except OSError:
        return PathState()
    kind = _KINDS.get(stat.S_IFMT(found.st_mode), "other")
    text = read_text(path) if content and kind == "file" else None
    return PathState(kind, found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode), text, target, found.st_mtime)


def read_text(path: str) -> str | None:
    """Read a regular file of a sane size; None for anything else, so that a planted pipe cannot block the run."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_size > _READ_LIMIT:
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read(_READ_LIMIT).decode("utf-8", "surrogateescape")


def ways(path: str) -> list[str]:
    """A path and its parent directories as written, outermost first."""
    parts = path.split("/")
    return ["/".join(parts[:count]) or "/" for count in range(1, len(parts) + 1)]


def identity_of(path: str) -> tuple[int, int] | None:
    """Device and inode of the target of a path, the same for all its names; None if it cannot be accessed."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def is_executable(path: str) -> bool:
    """Return whether the current identity may execute the file that a path leads to."""
    return os.path.isfile(path) and os.access(path, os.X_OK)


def make_directory(path: str, uid: int, gid: int, mode: int) -> None:
    """Create one directory; nobody else can enter it before its owner and mode are set."""
    os.mkdir(path, 0o700)
    set_attributes(path, uid, gid, mode)
    sync_directory(os.path.dirname(path))


def set_attributes(path: str, uid: int, gid: int, mode: int) -> None:
    """Set the owner, group and mode of a directory, through a descriptor that no link can redirect."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if (found.st_uid, found.st_gid) != (uid, gid):
            os.fchown(descriptor, uid, gid)
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_private(path: str, text: str) -> None:
    """Write a new file that only its owner can read."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text)


def replace_file(
    path: str,
    text: str,
    uid: int,
    gid: int,
    mode: int,
    *,
    changed_at: float | None = None,
    label: t.Callable[[str], object] | None = None,
) -> None:
    """Replace the file at a path with a new one, completely or not at all.

    A descriptor or hard link that somebody kept to the old file does not lead to the new one.

    Args:
        changed_at: the modification time to set, in seconds since the epoch; by default the current time.
        label: called with the temporary path to set the security context that the final path needs.
    """
    directory, _slash, name = path.rpartition("/")
    temporary = f"{directory}/.{name}.new"
    remove_file(temporary)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(text.encode("utf-8", "surrogateescape"))
            stream.flush()
            os.fchown(stream.fileno(), uid, gid)
            os.fchmod(stream.fileno(), mode)
            if changed_at is not None:
                os.utime(temporary, (changed_at, changed_at))
            if label is not None:
                label(temporary)
            os.fsync(stream.fileno())
        os.rename(temporary, path)
    except BaseException:
        remove_file(temporary)
        raise
    sync_directory(directory)


def replace_link(path: str, target: str) -> None:
    """Point a link at another target, without a moment when it is missing; the caller must sync the directory."""
    directory, _slash, name = path.rpartition("/")
    temporary = f"{directory}/.{name}.new"
    remove_file(temporary)
    os.symlink(target, temporary)
    os.rename(temporary, path)


def remove_file(path: str) -> None:
    """Remove a file or a link, if it exists."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def remove_tree(path: str) -> None:
    """Remove a directory with all its contents, or a link or file in its place, if it exists."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        remove_file(path)


def exchange(left: str, right: str) -> None:
    """Swap two paths in one operation or, if only the left one exists, move it to the right.

    On a filesystem that cannot swap (renameat2(2) fails with EINVAL), three renames are used instead. The right path
    is missing between two of them.
    """
    if not os.path.lexists(right):
        os.rename(left, right)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "renameat2"):
        paths = (os.fsencode(left), os.fsencode(right))
        if libc.renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0:
            return
        code = ctypes.get_errno()
        if code not in (errno.EINVAL, errno.ENOSYS):
            raise OSError(code, os.strerror(code), left)
    aside = f"{left}.old"
    os.rename(right, aside)
    os.rename(left, right)
    os.rename(aside, left)


def sync_directory(path: str) -> None:
    """Make changes to the entries of a directory (created, renamed, removed) survive a power loss."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_filesystem(path: str) -> None:
    """Make everything written to the filesystem of a directory survive a power loss.

    One call covers the thousands of files of an environment; an fsync for each would mean a wait for each.
    Otherwise the data of a new file is written up to 30 seconds after it is closed (ext4(5), commit and auto_da_alloc).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "syncfs"):
        os.sync()
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if libc.syncfs(descriptor) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), path)
    finally:
        os.close(descriptor)
