# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bare commands that the role is measured against, and the versions of Patroni."""

from __future__ import annotations

from lab import HOME

OLD, NEW = "4.0.11", "4.1.5"
_PIPX = (
    f"cd {HOME}; setpriv --reuid=postgres --regid=postgres --init-groups env HOME={HOME} "
    f"PIPX_HOME={HOME}/.local/share/pipx PIPX_BIN_DIR={HOME}/.local/bin pipx install"
)
REQUIREMENT = "patroni[psycopg2-binary,etcd]"
BARE_INSTALL = (
    f"DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends pipx; {_PIPX} '{REQUIREMENT}=={NEW}'"
)
BARE_UPGRADE = f"{_PIPX} --force '{REQUIREMENT}=={NEW}'"
