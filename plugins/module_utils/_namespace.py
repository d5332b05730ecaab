# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A private mount namespace, in which one folder of an account lies over another.

What is built there carries the final absolute paths, while every other process still sees what was there before.
The namespace belongs to this process alone: when the process ends, by whatever cause, nothing of it is left.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import typing as t

_CLONE_NEWNS = 0x00020000
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_PRIVATE = 0x40000


def namespaces_permitted() -> bool:
    """Whether this process may make a mount namespace; tried in a child, so that nothing changes here."""
    child = os.fork()
    if child == 0:
        try:
            _enter()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


@contextlib.contextmanager
def laid_over(
    source: str, target: str, owner: int, identity: t.Callable[[], t.ContextManager[None]]
) -> t.Iterator[None]:
    """Lay one folder over another for this process and the commands it starts.

    Both are opened with the owner's identity and must be the owner's: mounted over a folder of somebody else's,
    his files would be believed by commands that root starts in here.

    Args:
        owner: the numeric id of the account that both folders must belong to.
        identity: switches to that account.

    Raises:
        OSError: the kernel refuses, or a folder is not the owner's.
    """
    former = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    cwd = os.getcwd()
    try:
        _enter()
        try:
            with contextlib.ExitStack() as opened:
                with identity():
                    below = _open_directory(target, owner, opened)
                    above = _open_directory(source, owner, opened)
                _mount(f"/proc/self/fd/{above}", f"/proc/self/fd/{below}", _MS_BIND)
            yield
        finally:
            _check(_libc().setns(former, _CLONE_NEWNS))
            os.chdir(cwd)
    finally:
        os.close(former)


def _enter() -> None:
    _check(_libc().unshare(_CLONE_NEWNS))
    _mount("none", "/", _MS_REC | _MS_PRIVATE)


def _open_directory(path: str, owner: int, opened: contextlib.ExitStack) -> int:
    descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    opened.callback(os.close, descriptor)
    if os.fstat(descriptor).st_uid != owner:
        raise OSError(f"{path} does not belong to the account")
    return descriptor


def _mount(source: str, target: str, flags: int) -> None:
    _check(_libc().mount(os.fsencode(source), os.fsencode(target), None, ctypes.c_ulong(flags), None))


def _check(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
