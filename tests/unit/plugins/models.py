# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is desired and what is observed, of a host where all is well: tests name only what differs."""

from __future__ import annotations

import typing as t

from ansible_collections.pgedge.platform.plugins.module_utils._patroni._desired import Desired
from ansible_collections.pgedge.platform.plugins.module_utils._patroni._observed import (
    Environment,
    Observed,
    Service,
    Tools,
)
from ansible_collections.pgedge.platform.plugins.module_utils._patroni._unit import render_unit
from ansible_collections.pgedge.platform.plugins.module_utils._types import Account, PathState, Place

UID, GID = 111, 113
HOME = "/var/lib/postgresql"
BIN_DIR = f"{HOME}/.local/bin"
PIPX_HOME = f"{HOME}/.local/share/pipx"
GENERATIONS = f"{PIPX_HOME}/patroni"
POINTER = f"{PIPX_HOME}/venvs/patroni"
LEGACY = f"{HOME}/.local/pipx/venvs/patroni"
CONFIG_DIR = "/etc/patroni"
UNIT_PATH = "/etc/systemd/system/patroni.service"
EXTRAS = ("psycopg2-binary", "etcd")
ACCOUNT = Account("postgres", UID, GID, HOME, "postgres", GID)

MISSING = PathState()


def desired(**changes: t.Any) -> Desired:
    """Patroni as the module's defaults ask for it, on Debian, as root; but no earlier environment is kept."""
    return Desired(
        state="present",
        family="debian",
        distribution="Debian GNU/Linux 12 (bookworm)",
        account=ACCOUNT,
        extras=EXTRAS,
        bin_dir=BIN_DIR,
        pipx_home=PIPX_HOME,
        config_dir=CONFIG_DIR,
        config_path=f"{CONFIG_DIR}/patroni.yaml",
        unit_path=UNIT_PATH,
        unit_uid=0,
        unit_gid=0,
        legacy_environment=LEGACY,
        keep=0,
    )._replace(**changes)


def directory(uid: int = UID, gid: int = GID, mode: int = 0o755) -> PathState:
    return PathState("directory", uid, gid, mode)


def link(target: str) -> PathState:
    return PathState("link", UID, GID, 0o777, target=target)


def generation(number: int) -> str:
    return f"{GENERATIONS}/{number}"


def built(number: int) -> str:
    """The environment of a generation."""
    return f"{generation(number)}/venvs/patroni"


def links(environment: str = built(1), *names: str) -> dict[str, PathState]:
    """The links to Patroni's executables, as bin_dir has them."""
    return {name: link(f"{environment}/bin/{name}") for name in names or ("patroni", "patronictl")}


def environment(path: str = built(1), **changes: t.Any) -> Environment:
    """An environment that works."""
    return Environment(
        path=path,
        version="4.1.5",
        extras=EXTRAS,
        python="/usr/bin/python3.11",
        executables=("patroni", "patronictl"),
        changed_at=1000.0,
    )._replace(**changes)


def unit(text: str | None = None, **changes: t.Any) -> PathState:
    """The unit's file as desired, if its text is not given."""
    return PathState(
        "file", 0, 0, 0o644, text=render_unit(desired()) if text is None else text, changed_at=900.0
    )._replace(**changes)


def missing_place(path: str, *missing: str, account_controls: bool = False, writable: bool = True) -> Place:
    """A missing directory, with the missing directories above it."""
    return Place(
        path,
        MISSING,
        missing or (path,),
        account_controls=account_controls,
        way_controlled=account_controls,
        writable=writable,
    )


def observed(**changes: t.Any) -> Observed:
    """A host as the module leaves it."""
    return Observed(
        root=True,
        environment=environment(),
        executables=links(),
        bin_dir=Place(BIN_DIR, directory(), account_controls=True),
        pipx_home=Place(PIPX_HOME, directory(), account_controls=True),
        config_dir=Place(CONFIG_DIR, directory(mode=0o700)),
        unit_dir=Place(UNIT_PATH.rpartition("/")[0], directory(0, 0)),
        unit=unit(),
        service=Service(managed=True),
        pointer=link(built(1)),
        next_generation=generation(2),
    )._replace(**changes)


def bare(**changes: t.Any) -> Observed:
    """A host on which nothing of it is there, but the account."""
    ways = {
        "bin_dir": missing_place(BIN_DIR, f"{HOME}/.local", BIN_DIR, account_controls=True),
        "pipx_home": missing_place(
            PIPX_HOME,
            *(f"{HOME}/.local{rest}" for rest in ("", "/share", "/share/pipx")),
            account_controls=True,
        ),
        "config_dir": missing_place(CONFIG_DIR),
    }
    nothing: dict[str, t.Any] = {
        "environment": None,
        "executables": {},
        "unit": MISSING,
        "pointer": MISSING,
        "next_generation": generation(1),
        "tools": Tools(),
    }
    return observed(**{**ways, **nothing, **changes})
