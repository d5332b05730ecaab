# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts that comparisons start from, each made when it is first asked for and kept as an image."""

from __future__ import annotations

import functools
import typing as t

import mirror
from commands import BARE_INSTALL, NEW, OLD
from controller import Controller
from lab import Host, Lab


class Images:
    """Names of images.

    Attributes:
        fresh: as other roles leave a host; pip asks the real index, and apt has its lists.

    Args:
        index: the URL of the local index; without one, the real one is asked everywhere.
    """

    def __init__(self, lab: Lab, fresh: str, index: str | None) -> None:
        self._lab = lab
        self._index = index
        self.fresh = fresh

    @functools.cached_property
    def warm(self) -> str:
        """Fresh, but pip asks the local index, and Debian's packages are downloaded."""
        index = self._index
        return self._made("warm", self.fresh, lambda host: mirror.use(host, index)) if index else self.fresh

    @functools.cached_property
    def role(self) -> str:
        """Warm, and Patroni installed by the role."""
        return self._made("role", self.warm, self._play("role.yml", NEW))

    @functools.cached_property
    def tasks(self) -> str:
        """The same, and what tasks by hand change on it."""
        return self._made("tasks", self.role, self._play("tasks.yml", NEW))

    @functools.cached_property
    def old_role(self) -> str:
        """Warm, and an older Patroni installed by the role."""
        return self._made("old-role", self.warm, self._play("role.yml", OLD))

    @functools.cached_property
    def old_pipx(self) -> str:
        """Warm, and an older Patroni installed by pipx alone."""
        return self._made("old-pipx", self.warm, lambda host: host.shell(BARE_INSTALL.replace(NEW, OLD)))

    def _play(self, playbook: str, version: str) -> t.Callable[[Host], object]:
        return lambda host: Controller(self._lab, [host]).play(playbook, changed=True, patroni_version=version)

    def _made(self, name: str, source: str, change: t.Callable[[Host], object]) -> str:
        host = self._lab.boot(source)
        change(host)
        return self._lab.keep(host, name)
