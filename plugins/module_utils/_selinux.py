# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""Check whether the loaded SELinux policy lets systemd execute a file, and find the label with which it does.

The kernel is queried through selinuxfs, as described in selinux(8) and security_compute_av(3). No process is started.
"""

from __future__ import annotations

import os

_FILESYSTEM = "/sys/fs/selinux"
_ATTRIBUTE = "security.selinux"
_SYSTEMD = "/proc/1/attr/current"
# Every policy lets systemd execute files of this type.
_EXECUTABLE_TYPE = "bin_t"
_ANSWER_BYTES = 4096


def read_label(path: str) -> str | None:
    """Read a file's label; None if SELinux is off or the file has none."""
    if not os.path.exists(f"{_FILESYSTEM}/access"):
        return None
    try:
        label = os.getxattr(path, _ATTRIBUTE, follow_symlinks=False).rstrip(b"\0").decode()
    except (OSError, ValueError):
        return None
    return label if label.count(":") > 1 else None


def write_label(path: str, label: str) -> None:
    """Give a file a label.

    Raises:
        OSError: the policy, or the file system, does not allow it.
    """
    os.setxattr(path, _ATTRIBUTE, label.encode() + b"\0", follow_symlinks=False)


def executable_label(label: str) -> str:
    """Return the label that a file needs in place of another one; only the type differs."""
    user, role, _type, *level = label.split(":", 3)
    return ":".join((user, role, _EXECUTABLE_TYPE, *level))


def systemd_may_execute(label: str) -> bool:
    """Return whether systemd may start a service from a file with this label.

    If the kernel does not answer, only the usual type is accepted. In permissive mode the answer is still that of the
    policy, because the mode may change at any time.
    """
    if label == executable_label(label):
        return True
    try:
        systemd = _read(_SYSTEMD)
        service = _ask("create", f"{systemd} {label} {_class_number('process')}")
        if service == systemd:
            return _allows(systemd, label, "file", "execute", "execute_no_trans")
        started = _allows(systemd, label, "file", "execute") and _allows(systemd, service, "process", "transition")
        return started and _allows(service, label, "file", "entrypoint")
    except (OSError, ValueError):
        return False


def _allows(source: str, target: str, kind: str, *permissions: str) -> bool:
    """Return whether the policy allows all of these permissions; the kernel returns one bit per existing permission."""
    allowed = int(_ask("access", f"{source} {target} {_class_number(kind)} ffffffff").split()[0], 16)
    numbers = (int(_read(f"{_FILESYSTEM}/class/{kind}/perms/{name}")) for name in permissions)
    return all(allowed & 1 << number - 1 for number in numbers)


def _class_number(kind: str) -> str:
    return _read(f"{_FILESYSTEM}/class/{kind}/index")


def _ask(name: str, question: str) -> str:
    """Write a question, and read the answer from the same descriptor."""
    descriptor = os.open(f"{_FILESYSTEM}/{name}", os.O_RDWR | os.O_CLOEXEC)
    try:
        os.write(descriptor, question.encode())
        return os.pread(descriptor, _ANSWER_BYTES, 0).rstrip(b"\0").decode()
    finally:
        os.close(descriptor)


def _read(path: str) -> str:
    with open(path, "rb") as stream:
        return stream.read().strip(b"\0\n").decode()
