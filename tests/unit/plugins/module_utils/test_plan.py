# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every decision of the plan: what is desired and what is observed, and all the steps between."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from ansible_collections.pgedge.platform.plugins.module_utils._errors import PatroniInstallError
from ansible_collections.pgedge.platform.plugins.module_utils._patroni._desired import Limit, Sources
from ansible_collections.pgedge.platform.plugins.module_utils._patroni._login_shell import PROFILE, render_profile
from ansible_collections.pgedge.platform.plugins.module_utils._patroni._observed import (
    Configuration,
    Pip,
    Pipx,
    Service,
    Tools,
)
from ansible_collections.pgedge.platform.plugins.module_utils._patroni._plan import digest, plan
from ansible_collections.pgedge.platform.plugins.module_utils._patroni._steps import (
    BuildEnvironment,
    CreateDirectory,
    ExposeExecutables,
    InstallPackages,
    InstallPipx,
    KeepEnvironment,
    RefreshPackageLists,
    ReloadSystemd,
    RemoveDirectory,
    RemoveEnvironment,
    RemoveExecutables,
    RemoveProfile,
    RemoveUnit,
    SetAttributes,
    SwitchEnvironment,
    WriteProfile,
    WriteUnit,
)
from ansible_collections.pgedge.platform.plugins.module_utils._patroni._unit import render_unit
from ansible_collections.pgedge.platform.plugins.module_utils._types import PathState, Place
from ansible_collections.pgedge.platform.tests.unit.plugins.models import (
    ACCOUNT,
    BIN_DIR,
    CONFIG_DIR,
    EXTRAS,
    GENERATIONS,
    GID,
    HOME,
    LEGACY,
    MISSING,
    PIPX_HOME,
    POINTER,
    UID,
    UNIT_PATH,
    bare,
    built,
    desired,
    directory,
    environment,
    generation,
    link,
    links,
    missing_place,
    observed,
    unit,
)

PYTHON = "/usr/bin/python3.11"
PIPX = Pipx("/usr/bin/pipx", "1.1.0")
WITH_PIPX = Tools(pipx=PIPX)
DEFAULT_REQUIREMENT = "patroni[psycopg2-binary,etcd]"


def own_folder(path, mode=0o755):
    """A directory of the account, created as the account."""
    return CreateDirectory(path, UID, GID, mode, True)


def given_folder(path, gid=GID, mode=0o755):
    """A directory of the account, created by root in a place that the account cannot write to."""
    return CreateDirectory(path, UID, gid, mode, False)


def root_folder(path):
    return CreateDirectory(path, 0, 0, 0o755, False)


def build(number, wanted=DEFAULT_REQUIREMENT, extras=EXTRAS, python=None):
    return BuildEnvironment(generation(number), wanted, extras, python)


def switch(number, bin_dir=BIN_DIR, as_account=True):
    return SwitchEnvironment(POINTER, built(number), bin_dir, as_account)


def write_unit(wanted=None, changed_at=None):
    return WriteUnit(UNIT_PATH, render_unit(wanted or desired()), 0, 0, 0o644, changed_at)


HOME_FOLDERS = tuple(own_folder(f"{HOME}/.local{rest}") for rest in ("", "/share", "/share/pipx", "/bin"))
# What a first installation does, once there is a pipx.
REST_OF_FIRST = (
    *HOME_FOLDERS,
    build(1),
    switch(1),
    write_unit(),
    ReloadSystemd(),
    given_folder(CONFIG_DIR, mode=0o700),
)


@pytest.mark.parametrize(
    ("wanted", "tools", "prerequisites"),
    [
        pytest.param({}, Tools(), (InstallPackages(("pipx",)),), id="debian"),
        pytest.param(
            {},
            Tools(package_known=False),
            (RefreshPackageLists(), InstallPackages(("pipx",))),
            id="debian, package not known",
        ),
        pytest.param({}, Tools(package_known=False, pipx=PIPX), (), id="debian, pipx there"),
        pytest.param(
            {"pipx_version": "1.7.1"}, Tools(), (InstallPackages(("pipx",)),), id="debian, a version of pipx for RHEL"
        ),
        pytest.param(
            {"family": "redhat"},
            Tools(pip=Pip(PYTHON, "python3-pip")),
            (InstallPackages(("python3-pip",)), InstallPipx("pipx", PYTHON)),
            id="redhat",
        ),
        pytest.param(
            {"family": "redhat"}, Tools(pip=Pip(PYTHON)), (InstallPipx("pipx", PYTHON),), id="redhat, pip there"
        ),
        pytest.param(
            {"family": "redhat", "pipx_version": "1.11.1"},
            Tools(pip=Pip(PYTHON)),
            (InstallPipx("pipx==1.11.1", PYTHON),),
            id="redhat, a version of pipx",
        ),
        pytest.param({"family": "redhat"}, Tools(pipx=PIPX), (), id="redhat, pipx there"),
    ],
)
def test_first_installation(wanted, tools, prerequisites):
    assert plan(desired(**wanted), bare(tools=tools)) == (*prerequisites, *REST_OF_FIRST)


@pytest.mark.parametrize(
    ("wanted", "extras", "written"),
    [
        pytest.param({"version": "4.0.5"}, EXTRAS, f"{DEFAULT_REQUIREMENT}==4.0.5", id="a version"),
        pytest.param({"state": "latest"}, EXTRAS, DEFAULT_REQUIREMENT, id="the newest"),
        pytest.param({"extras": ()}, (), "patroni", id="no extras"),
        pytest.param({"extras": ("psycopg3",)}, ("psycopg3",), "patroni[psycopg3]", id="another extra"),
    ],
)
def test_first_installation_takes_what_is_asked_for(wanted, extras, written):
    steps = plan(desired(**wanted), bare(tools=WITH_PIPX))

    assert steps == tuple(build(1, written, extras) if step == build(1) else step for step in REST_OF_FIRST)


def test_interpreter_is_handed_on_as_it_was_named():
    steps = plan(desired(python="python3.12"), bare(tools=WITH_PIPX))

    assert build(1, python="python3.12") in steps


def test_unit_is_not_announced_where_systemd_does_not_run():
    steps = plan(desired(), bare(tools=WITH_PIPX, service=Service()))

    assert steps == tuple(step for step in REST_OF_FIRST if step != ReloadSystemd())


# The probe inspects the tools only if an environment must be built.
@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        pytest.param({}, observed(), id="as the module leaves it"),
        pytest.param({"state": "latest"}, observed(newest="4.1.5"), id="the newest"),
        pytest.param({"version": "4.1.5"}, observed(), id="the version"),
        pytest.param({}, observed(service=Service()), id="no systemd"),
        pytest.param({}, observed(service=Service(managed=True, active=True, enabled=True)), id="in service"),
        pytest.param({}, observed(executables={**links(), "other": link("/usr/bin/other")}), id="a foreign link"),
        pytest.param(
            {},
            observed(environment=environment(POINTER), executables=links(POINTER), pointer=directory()),
            id="made by pipx alone",
        ),
        pytest.param(
            {}, observed(environment=environment(LEGACY), executables=links(LEGACY), pointer=MISSING), id="legacy"
        ),
        pytest.param(
            {},
            observed(environment=environment("/opt/venv"), executables=links("/opt/venv"), pointer=MISSING),
            id="somebody else's that works",
        ),
    ],
)
def test_nothing_to_do(wanted, found):
    assert plan(desired(**wanted), found) == ()


@pytest.mark.parametrize(
    ("wanted", "found", "steps"),
    [
        pytest.param(
            {"version": "4.1.6"},
            {},
            (build(2, f"{DEFAULT_REQUIREMENT}==4.1.6"), switch(2), RemoveEnvironment(generation(1))),
            id="upgrade",
        ),
        pytest.param(
            {"version": "4.0.5"},
            {},
            (build(2, f"{DEFAULT_REQUIREMENT}==4.0.5"), switch(2), RemoveEnvironment(generation(1))),
            id="downgrade",
        ),
        pytest.param(
            {"state": "latest"},
            {"newest": "4.1.6"},
            (build(2, f"{DEFAULT_REQUIREMENT}==4.1.6"), switch(2), RemoveEnvironment(generation(1))),
            id="latest",
        ),
        pytest.param(
            {"extras": ("psycopg2-binary", "consul")},
            {"environment": environment(missing=("consul",))},
            (
                build(2, "patroni[psycopg2-binary,consul,etcd]==4.1.5", extras=("psycopg2-binary", "consul", "etcd")),
                switch(2),
                RemoveEnvironment(generation(1)),
            ),
            id="an extra is missing, those that are there stay",
        ),
        pytest.param(
            {"python": "python3.12"},
            {},
            (
                build(2, f"{DEFAULT_REQUIREMENT}==4.1.5", python="python3.12"),
                switch(2),
                RemoveEnvironment(generation(1)),
            ),
            id="another interpreter",
        ),
        pytest.param(
            {},
            {"environment": environment(version="4.0.5", extras=("etcd", "aws"), problem="its interpreter is missing")},
            (
                build(2, "patroni[psycopg2-binary,etcd,aws]==4.0.5", extras=("psycopg2-binary", "etcd", "aws")),
                switch(2),
                RemoveEnvironment(generation(1)),
            ),
            id="repair at the same version and extras",
        ),
        pytest.param(
            {"sources": Sources(limits=(Limit("click", "==8.1"),))},
            {},
            (build(2, f"{DEFAULT_REQUIREMENT}==4.1.5"), switch(2), RemoveEnvironment(generation(1))),
            id="constraints on what comes with it",
        ),
        pytest.param(
            {"sources": Sources(limits=(Limit("patroni", "==4.0.5"),))},
            {},
            (build(2, f"{DEFAULT_REQUIREMENT}==4.0.5"), switch(2), RemoveEnvironment(generation(1))),
            id="constraints on Patroni itself",
        ),
        pytest.param(
            {"sources": Sources(limits=(Limit("patroni", "<4.1"),))},
            {},
            (build(2), switch(2), RemoveEnvironment(generation(1))),
            id="a range that the version lies beyond",
        ),
        pytest.param(
            {"sources": Sources(limits=(Limit("patroni", "<4.2"), Limit("click", "<8")))},
            {},
            (build(2, f"{DEFAULT_REQUIREMENT}==4.1.5"), switch(2), RemoveEnvironment(generation(1))),
            id="a range that the version lies in",
        ),
        pytest.param(
            {"sources": Sources(limits=(Limit("patroni", "==4.0.5", 'python_version < "3.11"'),))},
            {"python_version": "3.11"},
            (build(2, f"{DEFAULT_REQUIREMENT}==4.1.5"), switch(2), RemoveEnvironment(generation(1))),
            id="constraints for another Python",
        ),
        pytest.param(
            {},
            {"environment": environment(version=None, extras=(), problem="it does not contain a complete patroni")},
            (build(2), switch(2), RemoveEnvironment(generation(1))),
            id="repair of what cannot tell its version",
        ),
        pytest.param(
            {"version": "4.1.5"},
            {"environment": environment(version="4.0.5", problem="its interpreter is missing")},
            (build(2, f"{DEFAULT_REQUIREMENT}==4.1.5"), switch(2), RemoveEnvironment(generation(1))),
            id="repair at the version that is asked for",
        ),
        pytest.param(
            {"state": "latest"},
            {"environment": environment(version="4.0.5", problem="its interpreter is missing")},
            (build(2), switch(2), RemoveEnvironment(generation(1))),
            id="repair at the newest version",
        ),
        pytest.param(
            {"version": "4.1.6"},
            {"service": Service(managed=True, active=True, environment=built(1))},
            (
                build(2, f"{DEFAULT_REQUIREMENT}==4.1.6"),
                KeepEnvironment(built(1), generation(1), "4.1.5", digest(unit().text), 900.0),
                switch(2),
            ),
            id="what the service runs in stays",
        ),
        pytest.param(
            {"version": "4.1.6"},
            {"service": Service(managed=True, active=True, environment=built(11))},
            (build(2, f"{DEFAULT_REQUIREMENT}==4.1.6"), switch(2), RemoveEnvironment(generation(1))),
            id="what the service runs in is not what is named likewise",
        ),
        pytest.param(
            {"version": "4.1.6"},
            {"environment": environment(POINTER), "pointer": directory(), "next_generation": generation(1)},
            (build(1, f"{DEFAULT_REQUIREMENT}==4.1.6"), switch(1)),
            id="made by pipx alone, replaced by the switch",
        ),
        pytest.param(
            {"version": "4.1.6"},
            {"environment": environment(LEGACY), "pointer": MISSING, "next_generation": generation(1)},
            (build(1, f"{DEFAULT_REQUIREMENT}==4.1.6"), switch(1), RemoveEnvironment(LEGACY)),
            id="legacy",
        ),
        pytest.param(
            {"version": "4.1.6"},
            {"environment": environment("/opt/venv"), "pointer": MISSING, "next_generation": generation(1)},
            (build(1, f"{DEFAULT_REQUIREMENT}==4.1.6"), switch(1)),
            id="somebody else's stays",
        ),
        pytest.param(
            {"version": "4.1.6"},
            {"retired": (generation(3), f"{GENERATIONS}/switch"), "next_generation": generation(4)},
            (
                build(4, f"{DEFAULT_REQUIREMENT}==4.1.6"),
                switch(4),
                RemoveEnvironment(generation(3)),
                RemoveEnvironment(f"{GENERATIONS}/switch"),
                RemoveEnvironment(generation(1)),
            ),
            id="what an interrupted run left",
        ),
        pytest.param(
            {"version": "4.1.6"},
            {"tools": WITH_PIPX._replace(shared_damaged=True)},
            (
                RemoveDirectory(f"{PIPX_HOME}/shared"),
                build(2, f"{DEFAULT_REQUIREMENT}==4.1.6"),
                switch(2),
                RemoveEnvironment(generation(1)),
            ),
            id="pipx's shared libraries are damaged",
        ),
    ],
)
def test_environment_is_built_next_to_the_one_in_use(wanted, found, steps):
    assert plan(desired(**wanted), observed(**{"tools": WITH_PIPX, **found})) == steps


def test_prerequisites_come_before_an_upgrade():
    steps = plan(desired(version="4.1.6"), observed(tools=Tools(package_known=False)))

    assert steps == (
        RefreshPackageLists(),
        InstallPackages(("pipx",)),
        build(2, f"{DEFAULT_REQUIREMENT}==4.1.6"),
        switch(2),
        RemoveEnvironment(generation(1)),
    )


@pytest.mark.parametrize(
    ("found", "steps"),
    [
        pytest.param(
            {"retired": (generation(2),)}, (RemoveEnvironment(generation(2)),), id="left by an interrupted run"
        ),
        pytest.param(
            {"retired": (generation(2),), "service": Service(managed=True, active=True, environment=built(2))},
            (),
            id="left, but the service runs in it",
        ),
        pytest.param({"retired": (LEGACY,)}, (RemoveEnvironment(LEGACY),), id="legacy"),
        pytest.param(
            {"pointer": link(built(3))},
            (SwitchEnvironment(POINTER, built(1), BIN_DIR, True),),
            id="the pointer leads elsewhere",
        ),
        pytest.param(
            {"pointer": MISSING, "executables": {}},
            (SwitchEnvironment(POINTER, built(1), BIN_DIR, True),),
            id="interrupted before the switch",
        ),
        pytest.param(
            {"executables": {}}, (ExposeExecutables(BIN_DIR, POINTER, True),), id="interrupted after the switch"
        ),
        pytest.param(
            {"executables": links(built(1), "patroni")},
            (ExposeExecutables(BIN_DIR, POINTER, True),),
            id="patronictl is missing",
        ),
        pytest.param(
            {"executables": {}, "bin_dir": missing_place(BIN_DIR, account_controls=True)},
            (own_folder(BIN_DIR), ExposeExecutables(BIN_DIR, POINTER, True)),
            id="bin_dir is missing",
        ),
        pytest.param(
            {"executables": {}, "bin_dir": Place(BIN_DIR, directory(0, 0))},
            (ExposeExecutables(BIN_DIR, POINTER, False),),
            id="bin_dir is root's",
        ),
        pytest.param(
            {"executables": links("/usr")},
            (ExposeExecutables(BIN_DIR, POINTER, True),),
            id="links lead to another that does not serve",
        ),
        pytest.param(
            {"environment": environment(LEGACY), "pointer": MISSING, "executables": {}},
            (ExposeExecutables(BIN_DIR, LEGACY, True),),
            id="legacy, not exposed",
        ),
        pytest.param(
            {"pointer": directory(), "service": Service(managed=True, active=True, environment=POINTER)},
            (),
            id="the service still runs in what pipx alone had made there",
        ),
        pytest.param(
            {
                "pointer": directory(),
                "executables": links(POINTER),
                "service": Service(managed=True, active=True, environment=POINTER),
            },
            (ExposeExecutables(BIN_DIR, built(1), True),),
            id="the same, and the new one is not exposed",
        ),
        pytest.param(
            {"pointer": directory()},
            (SwitchEnvironment(POINTER, built(1), BIN_DIR, True),),
            id="the same, after its restart",
        ),
    ],
)
def test_environment_is_pointed_to(found, steps):
    assert plan(desired(), observed(**found)) == steps


OLD_TEXT = "[Service]\nType=notify\n"


@pytest.mark.parametrize(
    ("found", "steps"),
    [
        pytest.param({"unit": MISSING}, (write_unit(), ReloadSystemd()), id="missing"),
        pytest.param({"unit": unit(OLD_TEXT)}, (write_unit(), ReloadSystemd()), id="another text"),
        pytest.param(
            {"unit": unit()._replace(text=None)}, (write_unit(), ReloadSystemd()), id="a text that is unreadable"
        ),
        pytest.param({"unit": unit(uid=UID)}, (write_unit(changed_at=900.0), ReloadSystemd()), id="another owner"),
        pytest.param({"unit": unit(gid=GID)}, (write_unit(changed_at=900.0), ReloadSystemd()), id="another group"),
        pytest.param({"unit": unit(mode=0o664)}, (write_unit(changed_at=900.0), ReloadSystemd()), id="another mode"),
        pytest.param({"unit": unit(OLD_TEXT, uid=UID)}, (write_unit(), ReloadSystemd()), id="another text and owner"),
        pytest.param({"unit": unit(uid=UID), "service": Service()}, (write_unit(changed_at=900.0),), id="no systemd"),
        pytest.param(
            {"service": Service(managed=True, needs_reload=True)}, (ReloadSystemd(),), id="written, but not reloaded"
        ),
        pytest.param(
            {"unit": unit(OLD_TEXT), "service": Service(managed=True, needs_reload=True)},
            (write_unit(), ReloadSystemd()),
            id="one reload is enough",
        ),
        pytest.param(
            {"unit": MISSING, "unit_dir": missing_place("/etc/systemd/system")},
            (root_folder("/etc/systemd/system"), write_unit(), ReloadSystemd()),
            id="its directory is missing",
        ),
    ],
)
def test_unit(found, steps):
    assert plan(desired(), observed(**found)) == steps


def test_unit_of_an_account_that_runs_without_root():
    mine = unit(uid=UID, gid=GID)

    assert plan(desired(unit_uid=UID, unit_gid=GID), observed(root=False, unit=mine)) == ()


DBA = ACCOUNT._replace(group="dba", group_gid=200)


@pytest.mark.parametrize(
    ("wanted", "place", "steps"),
    [
        pytest.param({}, missing_place(CONFIG_DIR), (given_folder(CONFIG_DIR, mode=0o700),), id="missing"),
        pytest.param(
            {"account": DBA, "config_dir": CONFIG_DIR},
            missing_place(CONFIG_DIR),
            (given_folder(CONFIG_DIR, gid=200, mode=0o700),),
            id="missing, another group",
        ),
        pytest.param(
            {"config_dir": "/srv/pg/patroni"},
            missing_place("/srv/pg/patroni", "/srv/pg", "/srv/pg/patroni"),
            (root_folder("/srv/pg"), given_folder("/srv/pg/patroni", mode=0o700)),
            id="the way is missing too",
        ),
        pytest.param(
            {"config_dir": f"{HOME}/etc/patroni"},
            missing_place(f"{HOME}/etc/patroni", f"{HOME}/etc", f"{HOME}/etc/patroni", account_controls=True),
            (own_folder(f"{HOME}/etc"), own_folder(f"{HOME}/etc/patroni", mode=0o700)),
            id="missing in the account's home",
        ),
        pytest.param(
            {}, Place(CONFIG_DIR, directory()), (SetAttributes(CONFIG_DIR, UID, GID, 0o700, False),), id="another mode"
        ),
        pytest.param(
            {},
            Place(CONFIG_DIR, directory(0, 0, 0o700)),
            (SetAttributes(CONFIG_DIR, UID, GID, 0o700, False),),
            id="another owner",
        ),
        pytest.param(
            {"account": DBA},
            Place(CONFIG_DIR, directory(mode=0o700)),
            (SetAttributes(CONFIG_DIR, UID, 200, 0o700, False),),
            id="another group",
        ),
        pytest.param(
            # As the account it could not be given away, nor to a group that the account is not in.
            {},
            Place(CONFIG_DIR, directory(0, GID, 0o770), account_controls=True),
            (SetAttributes(CONFIG_DIR, UID, GID, 0o700, False),),
            id="the account may write to it, but not to what leads there",
        ),
        pytest.param(
            {"config_dir": f"{HOME}/etc"},
            Place(f"{HOME}/etc", directory(mode=0o750), account_controls=True, way_controlled=True),
            (SetAttributes(f"{HOME}/etc", UID, GID, 0o700, True),),
            id="in the account's home",
        ),
    ],
)
def test_configuration_directory(wanted, place, steps):
    asked = desired(**wanted)
    same_unit = unit(render_unit(asked))

    assert plan(asked, observed(config_dir=place, unit=same_unit)) == steps


def test_configuration_directory_of_another_account_below_what_the_account_controls():
    place = Place(CONFIG_DIR, directory(0, 0), account_controls=True, way_controlled=True)

    with pytest.raises(PatroniInstallError) as refused:
        plan(desired(), observed(config_dir=place))

    assert str(refused.value) == (
        f"config_dir: {CONFIG_DIR} must belong to postgres, which can write to a directory on the way, where only its "
        "own identity is safe; name another one, such as /etc/patroni"
    )


def folders(steps):
    return tuple(step for step in steps if isinstance(step, CreateDirectory))


def test_root_creates_directories_outside_the_home_and_the_account_owns_the_last():
    bin_dir = "/opt/patroni/bin"
    place = missing_place(bin_dir, "/opt/patroni", bin_dir)
    asked = desired(bin_dir=bin_dir)

    steps = plan(asked, observed(environment=None, bin_dir=place, tools=WITH_PIPX, unit=unit(render_unit(asked))))

    assert steps == (
        root_folder("/opt/patroni"),
        given_folder(bin_dir),
        build(2),
        switch(2, bin_dir, as_account=True),
    )


def test_bin_dir_of_root_s_is_filled_by_root():
    bin_dir = "/usr/local/bin"
    asked = desired(bin_dir=bin_dir)
    place = Place(bin_dir, directory(0, 0))

    steps = plan(asked, observed(environment=None, bin_dir=place, tools=WITH_PIPX, unit=unit(render_unit(asked))))

    assert steps == (build(2), switch(2, bin_dir, as_account=False))


def test_directory_inside_one_created_for_the_account_is_created_as_the_account():
    asked = desired(bin_dir="/opt/patroni", config_dir="/opt/patroni/etc")
    found = bare(
        tools=WITH_PIPX,
        bin_dir=missing_place("/opt/patroni"),
        config_dir=missing_place("/opt/patroni/etc", "/opt/patroni", "/opt/patroni/etc"),
    )

    made = folders(plan(asked, found))

    assert made[-2:] == (given_folder("/opt/patroni"), own_folder("/opt/patroni/etc", mode=0o700))


def test_what_the_account_makes_has_a_group_that_it_may_give():
    asked = desired(bin_dir="/opt/patroni", config_dir="/opt/patroni/etc/cluster")
    found = bare(
        tools=WITH_PIPX,
        bin_dir=missing_place("/opt/patroni"),
        config_dir=missing_place(
            "/opt/patroni/etc/cluster", "/opt/patroni", "/opt/patroni/etc", "/opt/patroni/etc/cluster"
        ),
    )

    made = folders(plan(asked, found))

    assert made[-3:] == (
        given_folder("/opt/patroni"),
        own_folder("/opt/patroni/etc"),
        own_folder("/opt/patroni/etc/cluster", mode=0o700),
    )


def test_pipx_home_outside_the_home_is_the_account_s():
    asked = desired(pipx_home="/opt/pipx/main")
    found = bare(tools=WITH_PIPX, pipx_home=missing_place("/opt/pipx/main", "/opt/pipx", "/opt/pipx/main"))

    made = folders(plan(asked, found))

    # The generations and pipx's shared libraries are made in it, with the account's hand.
    assert made[:2] == (root_folder("/opt/pipx"), given_folder("/opt/pipx/main"))


def test_assumed_account_gets_the_same_steps():
    account = ACCOUNT._replace(uid=-1, gid=-1, group_gid=-1, assumed=True)

    steps = plan(desired(account=account), bare())

    as_assumed = tuple(
        replace(step, uid=-1, gid=-1) if isinstance(step, CreateDirectory) else step for step in REST_OF_FIRST
    )
    assert steps == (InstallPackages(("pipx",)), *as_assumed)


FILE = PathState("file", 0, 0, 0o755)


@pytest.mark.parametrize(
    ("wanted", "found", "message"),
    [
        pytest.param(
            {},
            observed(executables={**links(), "patroni": FILE}),
            f"{BIN_DIR}/patroni must be a link or missing, and is a file that pipx did not make; move it away as "
            "postgres, or choose another bin_dir",
            id="a foreign patroni",
        ),
        pytest.param(
            {},
            observed(executables={**links(), "patronictl": directory()}),
            f"{BIN_DIR}/patronictl must be a link or missing, and is a directory that pipx did not make; move it away "
            "as postgres, or choose another bin_dir",
            id="a foreign patronictl",
        ),
        pytest.param(
            {},
            bare(config_dir=Place(CONFIG_DIR, link("/srv/patroni"))),
            f"config_dir: {CONFIG_DIR} must not be a link, and leads to /srv/patroni; name the directory that is meant",
            id="config_dir is a link",
        ),
        pytest.param(
            {},
            bare(config_dir=Place(CONFIG_DIR, FILE)),
            f"config_dir: {CONFIG_DIR} must be a directory or missing, and is a file; name another path",
            id="config_dir is a file",
        ),
        pytest.param(
            {},
            observed(unit=link("/dev/null")),
            f"unit_path: {UNIT_PATH} must not be a link, and leads to /dev/null; name the file that is meant",
            id="the unit is masked",
        ),
        pytest.param(
            {},
            observed(unit=directory()),
            f"unit_path: {UNIT_PATH} must be a file or missing, and is a directory; name another path",
            id="the unit is a directory",
        ),
        pytest.param(
            {"unit_path": f"{HOME}/patroni.service"},
            observed(unit_dir=Place(HOME, directory(), account_controls=True)),
            f"unit_path: {HOME}/patroni.service lies in a directory that postgres can write to, and whoever writes the "
            "unit becomes root; choose one owned by root, such as /etc/systemd/system",
            id="the account controls the unit",
        ),
        pytest.param(
            {"state": "absent", "unit_path": f"{HOME}/patroni.service"},
            observed(unit_dir=Place(HOME, directory(), account_controls=True)),
            f"unit_path: {HOME}/patroni.service lies in a directory that postgres can write to, and whoever writes the "
            "unit becomes root; choose one owned by root, such as /etc/systemd/system",
            id="the account controls the unit to remove",
        ),
        pytest.param(
            {},
            bare(root=False),
            "no pipx was found, and installing one needs root: run with become, "
            "or name a pipx that this account can run in pipx_executable",
            id="no pipx, no root",
        ),
    ],
)
def test_refused(wanted, found, message):
    with pytest.raises(PatroniInstallError) as refused:
        plan(desired(**wanted), found)

    assert str(refused.value) == message


def test_root_installs_nothing_that_the_account_could_change_meanwhile():
    found = bare(tools=Tools(pip=Pip(PYTHON), unsafe_sources=("/srv/wheels", "/srv/pins.txt")))

    with pytest.raises(PatroniInstallError) as refused:
        plan(desired(family="redhat"), found)

    assert str(refused.value) == (
        "find_links, constraints: postgres can change /srv/wheels, /srv/pins.txt, and root would install pipx from "
        "there; choose a directory that belongs to root, or name a pipx in pipx_executable"
    )


def test_unit_where_the_account_that_runs_the_module_can_write_is_fine():
    asked = desired(unit_path=f"{HOME}/patroni.service", unit_uid=UID, unit_gid=GID)
    place = Place(HOME, directory(), account_controls=True)
    mine = unit(render_unit(asked), uid=UID, gid=GID)

    assert plan(asked, observed(root=False, unit_dir=place, unit=mine)) == ()


def test_unit_where_root_is_the_account_is_fine():
    root = ACCOUNT._replace(name="root", uid=0, gid=0, group="root", group_gid=0)
    asked = desired(account=root)
    found = observed(
        unit_dir=Place("/etc/systemd/system", directory(0, 0), account_controls=True),
        unit=unit(render_unit(asked)),
        config_dir=Place(CONFIG_DIR, directory(0, 0, 0o700)),
    )

    assert plan(asked, found) == ()


NOT_WRITABLE = {
    "pipx_home": Place(PIPX_HOME, directory(0, 0), writable=False),
    "bin_dir": Place(BIN_DIR, directory(0, 0), writable=False),
    "unit_dir": Place("/etc/systemd/system", directory(0, 0), writable=False),
    "config_dir": missing_place(CONFIG_DIR, writable=False),
}


BY_ROOT = (
    "{option}: root must be able to write to {path}, and cannot (a read-only or immutable filesystem); "
    "remount it writable, or choose another path"
)
BY_ACCOUNT = (
    "{option}: postgres must be able to write to {path}, and cannot (its mode, or a read-only filesystem); "
    "choose a directory that belongs to it"
)
WITHOUT_ROOT = (
    "{option}: postgres must be able to write to {path}, and cannot (its mode, or a read-only filesystem); "
    "run as root (become: true)"
)


@pytest.mark.parametrize("root", [True, False], ids=["root", "no root"])
@pytest.mark.parametrize(
    ("option", "needed_for", "place", "controlled", "message"),
    [
        pytest.param(
            "pipx_home", {"environment": None, "tools": WITH_PIPX}, "pipx_home", False, BY_ACCOUNT, id="pipx_home"
        ),
        pytest.param("bin_dir", {"environment": None, "tools": WITH_PIPX}, "bin_dir", False, BY_ROOT, id="bin_dir"),
        pytest.param("bin_dir", {"executables": {}}, "bin_dir", False, BY_ROOT, id="bin_dir, to expose"),
        pytest.param("bin_dir", {"executables": {}}, "bin_dir", True, BY_ACCOUNT, id="bin_dir, in the account's hand"),
        pytest.param("unit_path", {"unit": MISSING}, "unit_dir", False, BY_ROOT, id="unit_path"),
        pytest.param("config_dir", {}, "config_dir", False, BY_ROOT, id="config_dir"),
    ],
)
def test_refused_where_it_cannot_be_written(option, needed_for, place, controlled, message, root):
    """No remedy hands the account a directory that it cannot write."""
    found = observed(root=root, **{**needed_for, place: NOT_WRITABLE[place]._replace(account_controls=controlled)})

    with pytest.raises(PatroniInstallError) as refused:
        plan(desired(), found)

    expected = message if root else WITHOUT_ROOT
    assert str(refused.value) == expected.format(option=option, path=NOT_WRITABLE[place].path)


@pytest.mark.parametrize("place", ["pipx_home", "bin_dir", "unit_dir"])
def test_what_is_not_written_need_not_be_writable(place):
    assert plan(desired(), observed(**{place: NOT_WRITABLE[place]})) == ()


ALL_RETIRED = (POINTER, GENERATIONS)
REMOVED = (
    RemoveExecutables(BIN_DIR, ("patroni", "patronictl"), True),
    RemoveDirectory(POINTER),
    RemoveDirectory(GENERATIONS),
    RemoveUnit(UNIT_PATH),
    ReloadSystemd(),
)


@pytest.mark.parametrize(
    ("wanted", "found", "steps"),
    [
        pytest.param({}, {}, REMOVED, id="all of it"),
        pytest.param({}, {"service": Service()}, REMOVED[:-1], id="no systemd"),
        pytest.param(
            {"force": True},
            {"service": Service(managed=True, active=True, enabled=True, environment=built(1))},
            REMOVED,
            id="in service, by force",
        ),
        pytest.param(
            {},
            {"executables": {**links(), "other": link("/usr/bin/other"), "patroni_aws": FILE}},
            REMOVED,
            id="foreign links and files stay",
        ),
        pytest.param(
            {},
            {"executables": {"patroni": link("/usr/bin/patroni"), "patronictl": FILE}},
            REMOVED[1:],
            id="foreign ones under Patroni's names stay",
        ),
        pytest.param(
            {},
            {"executables": links(LEGACY), "retired": (LEGACY,)},
            (REMOVED[0], RemoveDirectory(LEGACY), *REMOVED[3:]),
            id="legacy",
        ),
        pytest.param(
            {},
            {"executables": links("/opt/venv"), "retired": ()},
            REMOVED[3:],
            id="somebody else's environment stays, with its links",
        ),
        pytest.param(
            {},
            {"executables": links(), "bin_dir": Place(BIN_DIR, directory(0, 0))},
            (replace(REMOVED[0], as_account=False), *REMOVED[1:]),
            id="bin_dir is root's",
        ),
        pytest.param({}, {"unit": link("/dev/null")}, REMOVED[:3], id="a masked unit stays masked"),
        pytest.param(
            {},
            {"executables": {}, "retired": (), "unit": MISSING, "service": Service(managed=True, needs_reload=True)},
            (ReloadSystemd(),),
            id="interrupted before the reload",
        ),
        pytest.param({}, {"executables": {}, "retired": (), "unit": MISSING}, (), id="nothing there"),
        pytest.param(
            {"force": True}, {"executables": {}, "retired": (), "unit": MISSING}, (), id="nothing there, by force"
        ),
        pytest.param(
            {},
            {
                "executables": {},
                "retired": (),
                "unit": MISSING,
                "config_dir": missing_place(CONFIG_DIR),
                "bin_dir": missing_place(BIN_DIR, account_controls=True),
            },
            (),
            id="nothing there, and no directory is made",
        ),
    ],
)
def test_absent(wanted, found, steps):
    assert plan(desired(state="absent", **wanted), observed(**{"retired": ALL_RETIRED, **found})) == steps


@pytest.mark.parametrize(
    ("active", "enabled", "state"),
    [(True, False, "active"), (False, True, "enabled"), (True, True, "active and enabled")],
)
def test_absent_is_refused_while_in_service(active, enabled, state):
    found = observed(retired=ALL_RETIRED, service=Service(managed=True, active=active, enabled=enabled))

    with pytest.raises(PatroniInstallError) as refused:
        plan(desired(state="absent"), found)

    assert str(refused.value) == (
        f"patroni.service is {state}; Patroni is removed only after "
        "'systemctl disable --now patroni.service', or with force: true"
    )


@pytest.mark.parametrize(
    ("wanted", "found", "kind"),
    [
        pytest.param({"version": "4.1.4"}, {"injected": ("systemd-python>=234",)}, "notify", id="injected"),
        pytest.param({"version": "4.1.4"}, {"extras": ("ALL",)}, "notify", id="an extra that was there"),
        pytest.param({"version": "4.0.11"}, {"extras": ("systemd",)}, "simple", id="a Patroni that cannot notify"),
        pytest.param({"version": "4.1.4"}, {"versions": {"systemd-python": "235"}}, "simple", id="not in the new one"),
        pytest.param({}, {"versions": {"systemd-python": "235"}}, "notify", id="there, and stays"),
        pytest.param({"extras": ("systemd",)}, {"version": "4.0.11", "versions": {}}, "simple", id="asked for in vain"),
    ],
)
def test_the_unit_is_planned_for_the_environment_that_it_will_start(wanted, found, kind):
    steps = plan(desired(**wanted), observed(environment=environment(**found), unit=MISSING, tools=tools(wanted)))

    (text,) = [step.text for step in steps if isinstance(step, WriteUnit)]
    assert f"\nType={kind}\n" in text


def tools(wanted):
    """An environment is built if its version is to change."""
    return Tools(pipx=Pipx("/usr/bin/pipx", "1.1.0")) if "version" in wanted else None


@pytest.mark.parametrize(
    ("specifier", "marker"),
    [("==4.0.7", ""), ("<4.1", ""), ("!=4.1.4", ""), ("~=4.0.5", 'python_version == "3.11"')],
)
@pytest.mark.parametrize("version", ["4.1.4", "4.1.5"])
def test_a_version_that_contradicts_the_constraints_is_refused(specifier, marker, version):
    sources = Sources(limits=(Limit("click", "==8.1"), Limit("patroni", specifier, marker, "/srv/c.txt")))
    wanted = desired(version="4.1.4", sources=sources)
    found = observed(environment=environment(version=version), python_version="3.11", tools=Tools())

    with pytest.raises(PatroniInstallError) as refused:
        plan(wanted, found)

    assert str(refused.value) == (f"version: 4.1.4 contradicts patroni{specifier} in /srv/c.txt; change one of them")


@pytest.mark.parametrize(
    ("specifier", "marker"),
    [("==4.1.4", ""), ("<4.1", 'python_version < "3.9"'), ("<4.1", "unheard_of == '1'"), ("<4.1.4+x*", "")],
)
def test_what_only_pip_can_judge_is_not_refused(specifier, marker):
    sources = Sources(limits=(Limit("patroni", specifier, marker, "/srv/c.txt"),))
    found = observed(environment=environment(version="4.1.4"), python_version="3.11")

    assert plan(desired(version="4.1.4", sources=sources), found) == ()


OWN_PROFILE = render_profile(desired(), f"{CONFIG_DIR}/patroni.yaml")
PROFILE_DIR = Place("/etc/profile.d", directory(0, 0))
WRITE_PROFILE = WriteProfile(PROFILE, OWN_PROFILE)


def profile(text=OWN_PROFILE, mode=0o644, uid=0):
    return PathState("file", uid, 0, mode, text)


@pytest.mark.parametrize(
    ("found", "steps"),
    [
        pytest.param(MISSING, (WRITE_PROFILE,), id="missing"),
        pytest.param(profile(), (), id="as desired"),
        pytest.param(profile(OWN_PROFILE + "umask 0\n"), (WRITE_PROFILE,), id="edited"),
        pytest.param(profile(mode=0o600), (WRITE_PROFILE,), id="another mode"),
        pytest.param(profile(uid=UID), (WRITE_PROFILE,), id="another owner"),
    ],
)
def test_file_for_login_shells(found, steps):
    before = observed(environment=environment(), profile=found, profile_dir=PROFILE_DIR)

    assert plan(desired(login_shell=True), before) == steps


def test_file_for_login_shells_names_the_configuration_of_the_unit():
    before = observed(
        environment=environment(),
        unit=unit(render_unit(desired(), "/srv/own.yml")),
        configuration=Configuration("/srv/own.yml"),
        profile_dir=PROFILE_DIR,
    )

    (step,) = plan(desired(login_shell=True), before)

    assert "PATRONICTL_CONFIG_FILE=/srv/own.yml\n" in step.text


def test_directory_of_the_file_for_login_shells_is_created():
    place = Place("/etc/profile.d", MISSING, missing=("/etc/profile.d",))
    before = observed(environment=environment(), profile_dir=place)

    assert plan(desired(login_shell=True), before) == (root_folder("/etc/profile.d"), WRITE_PROFILE)


@pytest.mark.parametrize("state", ["present", "absent"])
@pytest.mark.parametrize(
    ("found", "more", "goes"),
    [
        pytest.param(profile(), {}, True, id="own"),
        pytest.param(profile("umask 077\n"), {}, False, id="of other origin"),
        pytest.param(MISSING, {}, False, id="missing"),
        pytest.param(profile(), {"root": False}, False, id="not root"),
    ],
)
def test_file_for_login_shells_that_is_not_desired(state, found, more, goes):
    before = observed(environment=environment(), profile=found, profile_dir=PROFILE_DIR, **more)

    steps = plan(desired(state=state), before)

    assert (RemoveProfile(PROFILE) in steps) is goes


def test_file_for_login_shells_stays_with_an_environment_that_others_use():
    users = ("/etc/systemd/system/other.service",)
    before = observed(environment=environment(), profile=profile(), profile_dir=PROFILE_DIR, users=users)

    assert RemoveProfile(PROFILE) not in plan(desired(state="absent"), before)


NOT_FOR_ROOT_ALONE = (
    "root, and only root, must be able to write to /etc/profile.d; repair its owner and mode, or remount a read-only "
    "filesystem"
)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (
            {"profile": profile("umask 077\n")},
            "/etc/profile.d/patroni.sh exists and was not written together with /etc/systemd/system/patroni.service; "
            "move it away",
        ),
        (
            {"profile": link("/x")},
            "/etc/profile.d/patroni.sh exists and was not written together with /etc/systemd/system/patroni.service; "
            "move it away",
        ),
        ({"root": False, "profile": MISSING}, "only root can write /etc/profile.d/patroni.sh; run with become: true"),
        ({"profile_dir": PROFILE_DIR._replace(writable=False)}, NOT_FOR_ROOT_ALONE),
        ({"profile_dir": PROFILE_DIR._replace(account_controls=True)}, NOT_FOR_ROOT_ALONE),
    ],
)
def test_file_for_login_shells_that_cannot_be_written(found, message):
    before = observed(environment=environment(), **{"profile_dir": PROFILE_DIR, **found})

    with pytest.raises(PatroniInstallError, match=f"^{re.escape(f'login_shell: {message}')}$"):
        plan(desired(login_shell=True), before)


def test_file_for_login_shells_that_is_right_needs_no_root():
    before = observed(environment=environment(), profile=profile(), profile_dir=PROFILE_DIR, root=False)

    assert plan(desired(login_shell=True), before) == ()


def test_file_for_login_shells_that_cannot_be_removed():
    place = PROFILE_DIR._replace(writable=False)
    before = observed(environment=environment(), profile=profile(), profile_dir=place)

    with pytest.raises(PatroniInstallError, match=f"^{re.escape(f'login_shell: {NOT_FOR_ROOT_ALONE}')}$"):
        plan(desired(), before)
