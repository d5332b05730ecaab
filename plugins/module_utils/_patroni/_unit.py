# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""The text of the systemd unit, as a function of the desired state."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from ._desired import Desired

# With Type=notify, systemd's start timeout repeatedly kills a Patroni that cannot notify
# (patroni/patroni issues 3480, 3482 and 3591), so the type depends on the installed packages.
_TEMPLATE = """\
# Written by pgedge.platform.patroni_install, which replaces it whenever it differs.
# Local settings belong in {name}.d/*.conf beside it; those are never touched.

[Unit]
Description=Patroni, high availability for PostgreSQL
Documentation=https://patroni.readthedocs.io/
After=syslog.target network.target

[Service]
Type={type}
User={user}
Group={group}
EnvironmentFile=-/etc/patroni_env.conf
Environment=MALLOC_ARENA_MAX=1 PG_MALLOC_ARENA_MAX=
ExecStart={command}
ExecReload=/bin/kill -s HUP $MAINPID
KillMode=process
TimeoutSec=30
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""


HEADER = "# Written by pgedge.platform.patroni_install"


def render_unit(desired: Desired, config_path: str | None = None, *, notify: bool = False) -> str:
    """Render the unit that runs the Patroni in C(bin_dir) with a configuration, as the account.

    Args:
        config_path: the configuration; by default the desired one.
        notify: whether that Patroni notifies systemd when it is up.
    """
    return _TEMPLATE.format(
        name=desired.unit_name,
        type="notify" if notify else "simple",
        user=desired.account.name.replace("%", "%%"),
        group=desired.account.group.replace("%", "%%"),
        command=_command(f"{desired.shown(desired.bin_dir)}/patroni", config_path or desired.config_path),
    )


def _command(executable: str, config: str) -> str:
    argument = _quote(config).replace("$", "$$")
    if not set("'\"\\") & set(executable):
        return f"{_quote(executable)} {argument}"
    # systemd accepts such a character in an argument, but never in the path of an executable, even if quoted.
    return f'/bin/sh -c "exec \\"$$0\\" \\"$$1\\"" {_quote(executable).replace("$", "$$")} {argument}'


def _quote(path: str) -> str:
    """Quote one word of a command line as systemd.syntax(7) and systemd.unit(5) require.

    Variables are expanded in arguments but not in the path of the executable, so the caller must double "$".
    """
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
