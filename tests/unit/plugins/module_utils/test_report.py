# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module's result, from the plan and the observations."""

from __future__ import annotations

import pytest

from ansible_collections.pgedge.platform.plugins.module_utils._errors import CommandError, PatroniInstallError
from ansible_collections.pgedge.platform.plugins.module_utils._patroni._desired import Limit, Sources
from ansible_collections.pgedge.platform.plugins.module_utils._patroni._observed import Pipx, Service
from ansible_collections.pgedge.platform.plugins.module_utils._patroni._report import failure, success
from ansible_collections.pgedge.platform.plugins.module_utils._patroni._steps import (
    BuildEnvironment,
    CreateDirectory,
    ExposeExecutables,
    InstallPackages,
    InstallPipx,
    RefreshPackageLists,
    ReloadSystemd,
    RemoveDirectory,
    RemoveEnvironment,
    RemoveExecutables,
    RemoveUnit,
    SetAttributes,
    SetLabel,
    SwitchEnvironment,
    WriteUnit,
)
from ansible_collections.pgedge.platform.plugins.module_utils._types import Completed, Done, Place
from ansible_collections.pgedge.platform.tests.unit.plugins.models import (
    BIN_DIR,
    CONFIG_DIR,
    EXTRAS,
    GENERATIONS,
    GID,
    LEGACY,
    MISSING,
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
    observed,
    unit,
)

PIPX = Pipx("/usr/bin/pipx", "1.1.0")
REQUIREMENT = "patroni[psycopg2-binary,etcd]"
FIRST = (
    BuildEnvironment(generation(1), REQUIREMENT, EXTRAS, None),
    SwitchEnvironment(POINTER, built(1), BIN_DIR, True),
)
UPGRADE = (
    BuildEnvironment(generation(2), f"{REQUIREMENT}==4.1.6", EXTRAS, None),
    SwitchEnvironment(POINTER, built(2), BIN_DIR, True),
)
WRITE_UNIT = WriteUnit(UNIT_PATH, "new\n", 0, 0, 0o644)
REMOVE_UNIT = RemoveUnit(UNIT_PATH)
TWO_FOLDERS = (
    CreateDirectory("/opt/x", 0, 0, 0o755, False),
    CreateDirectory("/opt/x/bin", UID, GID, 0o755, False),
)
OLD = observed(environment=environment(version="4.1.5"))
NEW = observed(environment=environment(built(2), version="4.1.6"), pointer=link(built(2)))


def report(steps=(), before=OLD, after=None, wanted=None, pipx=None, **more):
    return success(wanted or desired(), before, steps, after=after, pipx=pipx, **more)


def test_nothing_to_do():
    assert report(after=OLD) == {
        "msg": f"nothing to do: Patroni 4.1.5 in {POINTER}",
        "changed": False,
        "diff": [],
        "version": "4.1.5",
        "previous_version": "4.1.5",
        "bin_dir": BIN_DIR,
        "venv": POINTER,
        "unit_path": UNIT_PATH,
        "config_dir": CONFIG_DIR,
        "config_file": f"{CONFIG_DIR}/patroni.yaml",
        "kept": [],
        "steps": [],
        "restart_required": False,
    }


def test_something_done():
    result = report(FIRST, before=bare(), after=OLD, pipx=PIPX)

    assert result == {
        "msg": f"Patroni 4.1.5 is installed in {POINTER}",
        "changed": True,
        "diff": result["diff"],
        "version": "4.1.5",
        "previous_version": None,
        "bin_dir": BIN_DIR,
        "venv": POINTER,
        "pipx": {"path": "/usr/bin/pipx", "version": "1.1.0"},
        "unit_path": UNIT_PATH,
        "config_dir": CONFIG_DIR,
        "config_file": f"{CONFIG_DIR}/patroni.yaml",
        "kept": [],
        "steps": [
            {"action": "build_environment", "target": REQUIREMENT},
            {"action": "switch_environment", "target": POINTER},
        ],
        "restart_required": False,
    }


ABSENT = desired(state="absent")
LEGACY_ONLY = observed(environment=environment(LEGACY), pointer=MISSING)


@pytest.mark.parametrize(
    ("arguments", "message", "version", "previous", "venv"),
    [
        pytest.param(
            {"before": bare(), "steps": FIRST},
            f"Patroni would be installed in {POINTER}",
            None,
            None,
            POINTER,
            id="first, planned",
        ),
        pytest.param(
            {"steps": UPGRADE},
            f"Patroni 4.1.6 would be installed in {POINTER} (was 4.1.5)",
            "4.1.6",
            "4.1.5",
            POINTER,
            id="upgrade, planned",
        ),
        pytest.param(
            {"steps": UPGRADE, "after": NEW},
            f"Patroni 4.1.6 is installed in {POINTER} (was 4.1.5)",
            "4.1.6",
            "4.1.5",
            POINTER,
            id="upgrade",
        ),
        pytest.param(
            {"before": LEGACY_ONLY, "steps": UPGRADE},
            f"Patroni 4.1.6 would be installed in {POINTER} (was 4.1.5)",
            "4.1.6",
            "4.1.5",
            POINTER,
            id="upgrade of a legacy one, planned",
        ),
        pytest.param(
            {"before": LEGACY_ONLY, "after": LEGACY_ONLY},
            f"nothing to do: Patroni 4.1.5 in {LEGACY}",
            "4.1.5",
            "4.1.5",
            LEGACY,
            id="legacy",
        ),
        pytest.param(
            {
                "before": observed(environment=environment(problem="its interpreter is missing")),
                "steps": (BuildEnvironment(generation(2), f"{REQUIREMENT}==4.1.5", EXTRAS, None),),
                "after": OLD,
            },
            f"Patroni 4.1.5 is reinstalled in {POINTER}: its interpreter is missing",
            "4.1.5",
            "4.1.5",
            POINTER,
            id="repair",
        ),
        pytest.param(
            {
                "before": observed(
                    environment=environment(version=None, problem="it does not contain a complete patroni")
                ),
                "steps": FIRST,
            },
            f"Patroni would be reinstalled in {POINTER}: it does not contain a complete patroni",
            None,
            None,
            POINTER,
            id="repair of what is half-made, planned",
        ),
        pytest.param(
            {"steps": (BuildEnvironment(generation(2), f"{REQUIREMENT}==4.1.5", EXTRAS, "python3.13"),)},
            f"Patroni 4.1.5 would be reinstalled in {POINTER}: its interpreter is /usr/bin/python3.11",
            "4.1.5",
            "4.1.5",
            POINTER,
            id="another interpreter, planned",
        ),
        pytest.param(
            {"steps": (WRITE_UNIT,)},
            f"Patroni 4.1.5 would be repaired in {POINTER}: write_unit",
            "4.1.5",
            "4.1.5",
            POINTER,
            id="unit, planned",
        ),
        pytest.param(
            {"steps": (*TWO_FOLDERS, WRITE_UNIT), "after": OLD},
            f"Patroni 4.1.5 is repaired in {POINTER}: create_directory, write_unit",
            "4.1.5",
            "4.1.5",
            POINTER,
            id="unit",
        ),
        pytest.param(
            {"wanted": ABSENT, "steps": (REMOVE_UNIT,)},
            "Patroni 4.1.5 would be removed",
            None,
            "4.1.5",
            POINTER,
            id="removal, planned",
        ),
        pytest.param(
            {"wanted": ABSENT, "steps": (REMOVE_UNIT,), "after": bare()},
            "Patroni 4.1.5 is removed",
            None,
            "4.1.5",
            POINTER,
            id="removal",
        ),
        pytest.param(
            {"wanted": ABSENT, "steps": (REMOVE_UNIT,), "before": bare(), "after": bare()},
            "Patroni is removed",
            None,
            None,
            POINTER,
            id="removal of a rest",
        ),
        pytest.param(
            {"wanted": ABSENT, "before": bare(), "after": bare()},
            "nothing to do: Patroni is absent",
            None,
            None,
            POINTER,
            id="absent already",
        ),
    ],
)
def test_message_and_versions(arguments, message, version, previous, venv):
    result = report(**arguments)

    assert (result["msg"], result["version"], result["previous_version"], result["venv"]) == (
        message,
        version,
        previous,
        venv,
    )


def entry(header, before, after):
    return {"before_header": header, "after_header": header, "before": before, "after": after}


def attributes(owner, group, mode):
    return f"owner: {owner}\ngroup: {group}\nmode: {mode}\n"


OFFERED = environment(executables=("patroni", "patronictl", "patroni_aws"))


@pytest.mark.parametrize(
    ("step", "before", "entries"),
    [
        pytest.param(
            WRITE_UNIT,
            observed(unit=unit("old\n", uid=UID, gid=GID, mode=0o664)),
            [
                entry(UNIT_PATH, "old\n", "new\n"),
                entry(
                    f"{UNIT_PATH} (attributes)",
                    attributes("postgres", "postgres", "0664"),
                    attributes("root", "root", "0644"),
                ),
            ],
            id="unit replaced",
        ),
        pytest.param(WRITE_UNIT, observed(unit=MISSING), [entry(UNIT_PATH, "", "new\n")], id="unit written"),
        pytest.param(REMOVE_UNIT, observed(unit=unit("old\n")), [entry(UNIT_PATH, "old\n", "")], id="unit removed"),
        pytest.param(
            CreateDirectory(CONFIG_DIR, UID, GID, 0o700, False),
            bare(),
            [entry("directories", "", f"{CONFIG_DIR}  postgres:postgres 0700\n")],
            id="directory created",
        ),
        pytest.param(
            SetAttributes(CONFIG_DIR, UID, GID, 0o700, False),
            observed(config_dir=Place(CONFIG_DIR, directory(1234, 5678, 0o2755))),
            [entry(CONFIG_DIR, attributes("1234", "5678", "2755"), attributes("postgres", "postgres", "0700"))],
            id="attributes set",
        ),
        pytest.param(
            FIRST[0],
            bare(),
            [entry(POINTER, "", "version: the newest that the index offers\nextras: etcd, psycopg2-binary\n")],
            id="first environment",
        ),
        pytest.param(
            UPGRADE[0],
            observed(environment=environment(extras=("etcd",), problem="its interpreter is missing")),
            [
                entry(
                    POINTER,
                    "version: 4.1.5\nextras: etcd\nproblem: its interpreter is missing\n",
                    "version: 4.1.6\nextras: etcd, psycopg2-binary\n",
                )
            ],
            id="environment replaced",
        ),
        pytest.param(
            UPGRADE[0],
            observed(environment=environment(version=None, extras=())),
            [entry(POINTER, "version: unknown\nextras: \n", "version: 4.1.6\nextras: etcd, psycopg2-binary\n")],
            id="unknown environment replaced",
        ),
        pytest.param(
            RemoveDirectory(GENERATIONS), OLD, [entry("directories", f"{GENERATIONS}\n", "")], id="directory removed"
        ),
        pytest.param(
            RemoveExecutables(BIN_DIR, ("patronictl", "patroni"), True),
            OLD,
            [entry(BIN_DIR, "patroni\npatronictl\n", "")],
            id="executables removed",
        ),
        pytest.param(
            InstallPackages(("pipx", "x")), bare(), [entry("packages", "", "pipx\nx\n")], id="packages installed"
        ),
        pytest.param(
            InstallPipx("pipx==1.7", "/usr/bin/python3.9"),
            bare(),
            [entry("packages of pip", "", "pipx==1.7\n")],
            id="pipx installed",
        ),
        pytest.param(
            ExposeExecutables(BIN_DIR, POINTER, True),
            observed(environment=OFFERED),
            [entry(BIN_DIR, "patroni\npatronictl\n", "patroni\npatroni_aws\npatronictl\n")],
            id="executables exposed",
        ),
        pytest.param(
            ExposeExecutables(BIN_DIR, POINTER, True),
            observed(environment=OFFERED, executables={**links(), "other": link("/usr/bin/other")}),
            [entry(BIN_DIR, "patroni\npatronictl\n", "patroni\npatroni_aws\npatronictl\n")],
            id="executables exposed, a foreign link stays",
        ),
        pytest.param(RefreshPackageLists(), bare(), [], id="package lists"),
        pytest.param(ReloadSystemd(), OLD, [], id="reload"),
        pytest.param(UPGRADE[1], OLD, [], id="switch"),
    ],
)
def test_diff(step, before, entries):
    assert report((step,), before=before)["diff"] == entries


def test_diff_tells_of_directories_in_a_row_at_once():
    steps = (*TWO_FOLDERS, WRITE_UNIT, RemoveEnvironment(generation(1)), RemoveDirectory("/x"))

    assert report(steps, before=observed(unit=MISSING))["diff"] == [
        entry("directories", "", "/opt/x  root:root 0755\n/opt/x/bin  postgres:postgres 0755\n"),
        entry(UNIT_PATH, "", "new\n"),
        entry("directories", f"{generation(1)}\n/x\n", ""),
    ]


@pytest.mark.parametrize(
    ("python", "found", "problem"),
    [
        pytest.param("python3.13", environment(), "its interpreter is /usr/bin/python3.11", id="another interpreter"),
        pytest.param(
            None,
            environment(versions={"urllib3": "1.26"}),
            "its urllib3 is 1.26 and the constraints require 2.0",
            id="constraints",
        ),
        pytest.param(
            "python3.13",
            environment(python="/tmp/\x1b[2J\n"),
            r"'its interpreter is /tmp/\x1b[2J\n'",
            id="a name that the account made up",
        ),
    ],
)
def test_diff_is_never_empty_where_an_environment_is_built(python, found, problem):
    step = BuildEnvironment(generation(2), f"{REQUIREMENT}==4.1.5", EXTRAS, python)
    wanted = desired(sources=Sources(limits=(Limit("urllib3", "==2.0"),)))
    described = "version: 4.1.5\nextras: etcd, psycopg2-binary\n"

    assert report((step,), before=observed(environment=found), wanted=wanted)["diff"] == [
        entry(POINTER, f"{described}problem: {problem}\n", described)
    ]


def test_diff_of_a_real_run_names_the_version_that_came():
    diff = report(FIRST, before=bare(), after=OLD)["diff"]

    assert diff == [entry(POINTER, "", "version: 4.1.5\nextras: etcd, psycopg2-binary\n")]


def running(**changes):
    return Service(**{"managed": True, "active": True, "started_at": 2000.0, "environment": built(1), **changes})


def host(found, service, **changes):
    return observed(environment=found, service=service, **{"unit": unit(changed_at=900.0), **changes})


SET_ATTRIBUTES = SetAttributes(CONFIG_DIR, UID, GID, 0o700, False)
KEPT_UNIT = WriteUnit(UNIT_PATH, "same\n", 0, 0, 0o644, changed_at=900.0)
AT_1000 = environment(changed_at=1000.0)
AT_3000 = environment(changed_at=3000.0)


@pytest.mark.parametrize(
    ("before", "steps", "after", "required"),
    [
        pytest.param(host(AT_1000, running()), (), "before", False, id="started after both"),
        pytest.param(host(AT_3000, running()), (), "before", True, id="started before the environment"),
        pytest.param(
            host(AT_1000, running(), unit=unit(changed_at=3000.0)), (), "before", True, id="started before the unit"
        ),
        pytest.param(host(AT_3000, running(active=False)), (), "before", False, id="not active"),
        pytest.param(host(AT_3000, Service()), (), "before", False, id="no systemd"),
        pytest.param(
            host(AT_1000, running(environment=built(7))), (), "before", True, id="runs in another environment"
        ),
        pytest.param(host(AT_1000, running(environment=None)), (), "before", False, id="runs nobody knows where"),
        pytest.param(host(None, running(environment=built(7))), (), "before", False, id="no environment to compare"),
        pytest.param(host(AT_1000, running()), UPGRADE, None, True, id="upgrade, planned"),
        pytest.param(host(AT_1000, running()), UPGRADE, host(AT_3000, running()), True, id="upgrade"),
        pytest.param(host(AT_1000, running(active=False)), UPGRADE, None, False, id="upgrade, not active, planned"),
        pytest.param(host(AT_1000, running()), (WRITE_UNIT,), None, True, id="unit, planned"),
        pytest.param(host(AT_1000, running()), (WRITE_UNIT,), host(AT_1000, running()), True, id="unit"),
        pytest.param(host(AT_1000, running()), (KEPT_UNIT,), None, False, id="owner of the unit, planned"),
        pytest.param(host(AT_1000, running()), (KEPT_UNIT,), host(AT_1000, running()), False, id="owner of the unit"),
        pytest.param(host(AT_1000, running()), (SET_ATTRIBUTES,), None, False, id="configuration directory"),
        pytest.param(
            host(AT_1000, running()), (RemoveEnvironment(generation(1)),), None, False, id="an old environment goes"
        ),
    ],
)
def test_restart_required(before, steps, after, required):
    now = before if after == "before" else after

    assert report(steps, before=before, after=now)["restart_required"] is required


@pytest.mark.parametrize(
    ("steps", "after", "message"),
    [
        ((), "before", f"nothing to do but restart the service: Patroni 4.1.5 in {POINTER}"),
        (UPGRADE, None, f"Patroni 4.1.6 would be installed in {POINTER} (was 4.1.5); restart the service to use it"),
        (UPGRADE, NEW, f"Patroni 4.1.6 is installed in {POINTER} (was 4.1.5); restart the service to use it"),
        (
            (WRITE_UNIT,),
            None,
            f"Patroni 4.1.5 would be repaired in {POINTER}: write_unit; restart the service to use it",
        ),
    ],
)
def test_message_requests_a_restart_of_the_service(steps, after, message):
    before = host(environment(version="4.1.5", changed_at=3000.0), running())

    assert report(steps, before=before, after=before if after == "before" else after)["msg"] == message


@pytest.mark.parametrize("after", [None, bare()], ids=["planned", "done"])
def test_no_restart_of_what_is_removed(after):
    result = report((REMOVE_UNIT,), before=host(AT_3000, running()), after=after, wanted=ABSENT)

    assert result["restart_required"] is False


LISTED = observed(environment=environment(versions={"patroni": "4.1.5", "click": "8.5.1"}))


@pytest.mark.parametrize(
    ("after", "steps", "verbose", "listed"),
    [
        pytest.param(LISTED, UPGRADE, False, True, id="another environment"),
        pytest.param(LISTED, (WRITE_UNIT,), False, False, id="the same environment"),
        pytest.param(LISTED, (), False, False, id="nothing to do"),
        pytest.param(LISTED, (), True, True, id="nothing to do, -v"),
        pytest.param(None, UPGRADE, True, True, id="check mode, -v"),
        pytest.param(None, UPGRADE, False, False, id="check mode"),
        pytest.param(bare(), (REMOVE_UNIT,), True, False, id="no environment"),
    ],
)
def test_packages_are_listed_where_they_are_news_or_asked_for(after, steps, verbose, listed):
    done = [Done(step, 0.0) for step in steps] if after else []
    wanted = desired(state="absent") if after and after.environment is None else None

    result = report(steps, before=LISTED, after=after, wanted=wanted, done=done, verbose=verbose)

    assert result.get("packages") == ({"click": "8.5.1", "patroni": "4.1.5"} if listed else None)


def test_failure_before_the_first_step():
    assert failure(PatroniInstallError("bin_dir: no")) == {"msg": "bin_dir: no", "changed": False, "steps": []}


def test_failure_of_a_command():
    command = Completed("pipx", ("/usr/bin/setpriv", "--", "/usr/bin/pipx"), 1, "out", "err")
    error = CommandError("pipx ended with code 1: err", command)
    error.failed_step = FIRST[0]
    error.done = (Done(InstallPackages(("pipx",)), 8.314),)

    assert failure(error) == {
        "msg": "pipx ended with code 1: err",
        "changed": True,
        "steps": [{"action": "install_packages", "target": "pipx", "seconds": 8.31}],
        "failed_step": {"action": "build_environment", "target": REQUIREMENT},
        "cmd": ["/usr/bin/setpriv", "--", "/usr/bin/pipx"],
        "rc": 1,
        "stdout": "out",
        "stderr": "err",
    }


def test_failure_of_the_operating_system():
    message = "operating system error: [Errno 28] No space left on device"

    assert failure(OSError(28, "No space left on device")) == {"msg": message, "changed": False, "steps": []}


def test_failure_of_a_step_that_is_not_a_command():
    error = PatroniInstallError("create_directory /x: denied")
    error.failed_step = RemoveUnit(UNIT_PATH)

    assert failure(error) == {
        "msg": "create_directory /x: denied",
        "changed": False,
        "steps": [],
        "failed_step": {"action": "remove_unit", "target": UNIT_PATH},
    }


@pytest.mark.parametrize(
    ("step", "action", "target"),
    [
        (RefreshPackageLists(), "refresh_package_lists", "apt"),
        (InstallPackages(("a", "b")), "install_packages", "a b"),
        (InstallPipx("pipx", "/usr/bin/python3.9"), "install_pipx", "pipx"),
        (CreateDirectory("/x", 0, 0, 0o755, False), "create_directory", "/x"),
        (SetAttributes("/x", 0, 0, 0o755, False), "set_attributes", "/x"),
        (SetLabel("/x", "a:b:c", "a:b:bin_t", True), "set_label", "/x"),
        (RemoveDirectory("/x"), "remove_directory", "/x"),
        (RemoveEnvironment("/x"), "remove_environment", "/x"),
        (FIRST[0], "build_environment", REQUIREMENT),
        (FIRST[1], "switch_environment", POINTER),
        (ExposeExecutables("/b", "/e", True), "expose_executables", "/b"),
        (RemoveExecutables("/b", ("x",), True), "remove_executables", "/b"),
        (WRITE_UNIT, "write_unit", UNIT_PATH),
        (REMOVE_UNIT, "remove_unit", UNIT_PATH),
        (ReloadSystemd(), "reload_systemd", "systemd"),
    ],
)
def test_steps_are_described(step, action, target):
    assert report((step,))["steps"] == [{"action": action, "target": target}]
