# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""One canonical name for each directory, despite links, bind mounts, and ".." inside a link.

Plans compare paths as text, so two names of one directory would be planned as two directories.
"""

from __future__ import annotations

import os
import stat
import typing as t

from ._errors import PatroniInstallError
from ._files import ways

if t.TYPE_CHECKING:
    from ._host import Host
    from ._types import Account

_Seen = t.TypeVar("_Seen")

# The maximum number of links that the kernel follows in one path (path_resolution(7)).
_MOST_LINKS = 40


def checked_path(name: str, value: str | None) -> str:
    """Return the value of a path option, absolute and without superfluous slashes.

    Raises:
        PatroniInstallError: it is relative, climbs with "..", or contains a control character.
    """
    if not value or not value.startswith("/"):
        raise PatroniInstallError(f"{name}: must be an absolute path, got {value!r}")
    if ".." in value.split("/"):
        raise PatroniInstallError(f"{name}: must not contain '..', got {value!r}")
    if not value.isprintable():
        raise PatroniInstallError(f"{name}: must not contain characters that cannot be printed, got {value!r}")
    path = "/" + os.path.normpath(value).strip("/")
    if path == "/":
        raise PatroniInstallError(f"{name}: must not be the root directory, got {value!r}")
    return path


def moved(path: str, origin: str, place: str) -> str:
    """Rebase a path from one directory onto another."""
    return os.path.normpath(f"{place}/{path[len(origin) :]}").replace("//", "/", 1)


class Names:
    """The names of the requested directories, as seen by root or, if root has no access, by the account.

    Root cannot enter a home on NFS that is exported with root_squash. Each path is read only once, because the same few
    paths lead to all the requested ones.
    """

    def __init__(self, host: Host, account: Account, *first: str) -> None:
        """Start with the paths whose names take precedence when a later one leads to the same directory."""
        self._host = host
        self._account = account
        self._chosen: dict[tuple[int, int] | None, str] = {}
        self._walked: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._targets: dict[str, str | None] = {}
        self._found: dict[str, os.stat_result | None] = {}
        for path in first:
            self.one(path)

    def walk(self, path: str) -> tuple[str, tuple[str, ...]]:
        """Follow a path as the kernel does.

        Returns:
            The path without links, and every directory that the kernel traverses, including those that hold a link.
        """
        if path not in self._walked:
            self._walked[path] = self._walk(path)
        return self._walked[path]

    def _walk(self, path: str) -> tuple[str, tuple[str, ...]]:
        current, passed, links = "/", ["/"], 0
        pending = path.split("/")[::-1]
        while pending:
            name = pending.pop()
            if name == "..":
                current = os.path.dirname(current)
            if name in ("", ".", ".."):
                continue
            step = os.path.join(current, name)
            target = self._target(step) if links < _MOST_LINKS else None
            if target is None:
                current = step
                passed.append(step)
                continue
            links += 1
            current = "/" if target.startswith("/") else current
            pending.extend(target.split("/")[::-1])
        return current, tuple(dict.fromkeys(passed))

    def one(self, path: str) -> str:
        """Return the canonical name of a path's target: without links, and by the route that was requested first."""
        resolved = self.walk(path)[0]
        existing = next(step for step in ways(resolved)[::-1] if self.is_directory(step))
        name = next(self._others(existing), existing)
        for step in ways(name):
            identity = self._identity(step)
            if identity is not None:
                self._chosen.setdefault(identity, step)
        return moved(resolved, existing, name)

    def lies_in(self, path: str, directory: str) -> bool:
        """Return whether a path is the given directory or is inside it, under any names."""
        path, directory = self.walk(path)[0], self.walk(directory)[0]
        if directory in ways(path):
            return True
        identity = self._identity(directory)
        return identity is not None and any(self._identity(step) == identity for step in ways(path))

    def same(self, left: str, right: str) -> bool:
        """Return whether two paths lead to the same place."""
        if self.walk(left)[0] == self.walk(right)[0]:
            return True
        identity = self._identity(left)
        return identity is not None and identity == self._identity(right)

    def is_directory(self, path: str) -> bool:
        found = self._stat(path)
        return found is not None and stat.S_ISDIR(found.st_mode)

    def _others(self, directory: str) -> t.Iterator[str]:
        """Yield the names that a directory has through previously chosen names, the innermost first."""
        identity = self._identity(directory)
        for step in ways(directory)[::-1]:
            known = self._identity(step)
            if known not in self._chosen:
                continue
            other = moved(directory, step, self._chosen[known])
            # A file system mounted below one name may not be mounted below the other.
            if self._identity(other) == identity:
                yield other

    def _target(self, path: str) -> str | None:
        if path not in self._targets:
            self._targets[path] = self._look(lambda: os.readlink(path))
        return self._targets[path]

    def _stat(self, path: str) -> os.stat_result | None:
        if path not in self._found:
            self._found[path] = self._look(lambda: os.stat(path))
        return self._found[path]

    def _look(self, look: t.Callable[[], _Seen]) -> _Seen | None:
        try:
            return self._host.either(self._account, look)
        except OSError:
            return None

    def _identity(self, path: str) -> tuple[int, int] | None:
        found = self._stat(path)
        return (found.st_dev, found.st_ino) if found else None
