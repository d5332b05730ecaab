# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""Other processes, as the kernel describes them in /proc."""

from __future__ import annotations

import contextlib
import os
import pwd

_PATH_MAX = 4096
_LOGIN_UID = "/proc/self/loginuid"
_NO_LOGIN = 0xFFFFFFFF


def origins() -> set[str]:
    """The directories that processes were started from, by their command lines and the libraries that a Python loaded.

    If the executable is a script in an environment, the first word of the command line is the interpreter in that
    environment, while the file that runs is a system file. A Python that was started through a link is recognized by
    its libraries, because the link may lead elsewhere by now.
    """
    found: set[str] = set()
    for entry in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{entry}/cmdline", "rb") as stream:
                found.add(os.fsdecode(stream.read(_PATH_MAX).partition(b"\0")[0]))
            # Other processes are skipped because a database has many.
            if os.path.basename(os.readlink(f"/proc/{entry}/exe")).startswith("python"):
                with open(f"/proc/{entry}/maps", "rb") as stream:
                    found.update(os.fsdecode(line.split(None, 5)[-1].rstrip()) for line in stream if b".so" in line)
    return {os.path.dirname(path) for path in found if path.startswith("/")}


def login_user() -> str | None:
    """Name the user whose login led to this process, through any number of sudo and su; None if that is unknown.

    PAM records it (pam_loginuid(8)), and the kernel keeps it (proc_pid_loginuid(5)).
    """
    try:
        with open(_LOGIN_UID, encoding="ascii") as stream:
            uid = int(stream.read())
        return None if uid == _NO_LOGIN else pwd.getpwuid(uid).pw_name
    except (OSError, ValueError, KeyError):
        return None


def lock_holders(file: str | int) -> list[str]:
    """Describe the processes that hold a lock on a file, such as "process 812 (apt-get)"; see proc_locks(5).

    A process that inherited the lock from one that has ended is not in that list, but has the file open.

    Args:
        file: its path, which need not exist, or a descriptor.
    """
    try:
        found = os.stat(file)
    except OSError:
        return []
    locked = _locked(found.st_ino)
    holders = [pid for pid in locked if _has_open(pid, found)]
    if locked and not holders:
        holders = [pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if _has_open(pid, found)]
    return [_described(pid) for pid in sorted(holders)]


def _locked(inode: int) -> set[int]:
    """Return the processes that locked a file of this number, on any filesystem.

    The device in the list cannot be compared: overlayfs and btrfs show another one to programs.
    """
    holders: set[int] = set()
    with contextlib.suppress(OSError), open("/proc/locks", encoding="ascii") as stream:
        for line in stream:
            words = line.split()
            # A process that waits for the lock has an arrow in its line.
            if words[1] != "->" and words[5].rpartition(":")[2] == str(inode):
                holders.add(int(words[4]))
    return holders


def _has_open(pid: int, found: os.stat_result) -> bool:
    with contextlib.suppress(OSError):
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if os.path.samestat(os.stat(f"/proc/{pid}/fd/{descriptor}"), found):
                    return True
    return False


def _described(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as stream:
            name = stream.read().strip()
    except OSError:
        return f"process {pid}"
    return f"process {pid} ({name if name.isprintable() else repr(name)})"
