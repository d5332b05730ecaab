# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""The account that owns and runs Patroni, and its group."""

from __future__ import annotations

import grp
import os
import pwd
import typing as t

from .._errors import PatroniInstallError
from .._paths import Names
from .._types import Account

if t.TYPE_CHECKING:
    from .._host import Host
    from ._desired import Family

_USUAL_HOMES = {"debian": "/var/lib/postgresql", "redhat": "/var/lib/pgsql"}


def find_account(name: str, group_name: str | None, family: Family, host: Host, *, check_mode: bool) -> Account:
    """Look up the account that owns Patroni. Check mode assumes one that does not exist yet.

    Args:
        group_name: the group of the service; None for the primary group of the account.

    Raises:
        PatroniInstallError: the account is missing, has no home, or the module cannot switch to it.
    """
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        if not check_mode:
            raise PatroniInstallError(
                f"user: the account {name} does not exist; the role init_server creates it"
            ) from None
        return _assume_account(name, group_name, family, host)
    if not host.root and found.pw_uid != os.geteuid():
        raise PatroniInstallError(
            f"installing Patroni for {name} needs root: run with become: true; "
            "without root, user must be the account that runs the module"
        )
    home = os.path.normpath(found.pw_dir)
    group, gid = _find_group(group_name, found.pw_gid)
    account = Account(name, found.pw_uid, found.pw_gid, home, group, gid)
    if not Names(host, account).is_directory(home):
        raise PatroniInstallError(
            f"user: the home {found.pw_dir} of the account {name} does not exist; the role init_server creates it"
        )
    if found.pw_uid == 0:
        host.warn(f"user: {name} is root, and Postgres does not run as root")
    return account


def _find_group(name: str | None, primary: int) -> tuple[str, int]:
    try:
        found = grp.getgrnam(name) if name else grp.getgrgid(primary)
    except KeyError:
        raise PatroniInstallError(
            f"group: the group {name or primary} does not exist; create it first, or name another"
        ) from None
    return found.gr_name, found.gr_gid


def _assume_account(name: str, group_name: str | None, family: Family, host: Host) -> Account:
    home = _USUAL_HOMES[family] if name == "postgres" else f"/home/{name}"
    host.warn(
        f"the account {name} does not exist yet; check mode assumes that the role init_server "
        f"creates it, with the home {home}"
    )
    return Account(name, -1, -1, home, group_name or name, -1, assumed=True)
