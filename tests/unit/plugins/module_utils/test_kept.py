# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environments that are kept: their records, which of them is returned to, and what goes."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.pgedge.platform.plugins.module_utils._patroni import _kept
from ansible_collections.pgedge.platform.plugins.module_utils._patroni._desired import Limit, Sources
from ansible_collections.pgedge.platform.plugins.module_utils._patroni._drift import replaces, surplus
from ansible_collections.pgedge.platform.plugins.module_utils._patroni._observed import Kept, Service, Tools
from ansible_collections.pgedge.platform.plugins.module_utils._patroni._plan import digest, plan
from ansible_collections.pgedge.platform.plugins.module_utils._patroni._report import success
from ansible_collections.pgedge.platform.plugins.module_utils._patroni._steps import (
    BuildEnvironment,
    KeepEnvironment,
    ReloadSystemd,
    RemoveEnvironment,
    SwitchBack,
    SwitchEnvironment,
    WriteUnit,
)
from ansible_collections.pgedge.platform.plugins.module_utils._patroni._unit import render_unit
from ansible_collections.pgedge.platform.plugins.module_utils._types import Completed
from ansible_collections.pgedge.platform.tests.unit.plugins.models import (
    BIN_DIR,
    EXTRAS,
    LEGACY,
    POINTER,
    UNIT_PATH,
    built,
    desired,
    environment,
    generation,
    link,
    observed,
    unit,
)

SINCE = "2026-11-25T13:14:49Z"
RECORD = {"version": "4.0.11", "size": 4096, "left_at": 1795612489.5, "unit": None, "unit_changed_at": 0.0}


def kept(number, version="4.0.11", **changes):
    return Kept(built(number), version, 4096, 1795612489.5, SINCE)._replace(**changes)


def earlier(number=1, version="4.0.11", **changes):
    """An environment that was kept, as it is read."""
    return environment(built(number), version=version, **changes)


# Records


@pytest.fixture
def generations(tmp_path):
    """Make generations with a record each; the text of one stands for itself."""

    def make(records):
        for name, record in records.items():
            path = tmp_path / name
            (path / "venvs" / "patroni").mkdir(parents=True)
            text = record if isinstance(record, str) else json.dumps(record)
            (path / "kept.json").write_text(text, "utf-8")
        return [str(tmp_path / name) for name in records]

    return make


def test_generation_used_last_comes_first(generations):
    paths = generations(
        {
            "2": {**RECORD, "left_at": 30.0},
            "10": {**RECORD, "left_at": 20.0},
            "9": {**RECORD, "left_at": 20.0},
            "3": {**RECORD, "left_at": 40.0},
        }
    )

    found = _kept.read_kept(paths, f"{paths[3]}/venvs/patroni")

    assert [os.path.basename(kept.path[: -len("/venvs/patroni")]) for kept in found] == ["2", "10", "9"]


def test_record_is_read(generations):
    (path,) = generations({"1": {**RECORD, "unit": "a" * 64, "unit_changed_at": 7.5}})

    assert _kept.read_kept([path], None) == (
        Kept(f"{path}/venvs/patroni", "4.0.11", 4096, RECORD["left_at"], SINCE, "a" * 64, 7.5),
    )


@pytest.mark.parametrize(
    "record",
    [
        "",
        "\0",
        "[]",
        "7",
        "{}",
        "[" * 100000,
        *(json.dumps({key: value for key, value in RECORD.items() if key != lost}) for lost in RECORD),
        *(
            {**RECORD, **wrong}
            for wrong in (
                {"version": "\x1b[2J"},
                {"version": "4" * 200},
                {"version": None},
                {"size": -1},
                {"size": 10**30},
                {"size": "x"},
                {"left_at": -1},
                {"left_at": 1e300},
                {"left_at": float("nan")},
                {"left_at": float("inf")},
                {"unit": "x"},
                {"unit": ["a" * 64]},
                {"unit_changed_at": 10**400},
                {"unit_changed_at": "now"},
            )
        ),
    ],
)
def test_invalid_record(generations, record):
    assert _kept.read_kept(generations({"1": record}), None) == ()


@pytest.mark.parametrize("name", ["switch", "x1"])
def test_invalid_generation(generations, name):
    assert _kept.read_kept(generations({name: RECORD}), None) == ()


def test_record_without_an_environment(generations):
    (path,) = generations({"1": RECORD})
    os.rmdir(f"{path}/venvs/patroni")

    assert _kept.read_kept([path], None) == ()


def test_another_name_of_a_generation(generations, tmp_path):
    (path,) = generations({"1": RECORD})
    os.symlink(path, str(tmp_path / "2"))

    assert [kept.path for kept in _kept.read_kept([path, str(tmp_path / "2")], None)] == [f"{path}/venvs/patroni"]
    _kept.remove_record(str(tmp_path / "2"))
    assert os.path.exists(f"{path}/kept.json")


def test_record_is_written_for_its_owner_alone(generations):
    (path,) = generations({"1": "what an interrupted run left"})
    Path(path, "venvs", "patroni", "file").write_text("x" * 10000, "utf-8")
    os.symlink("/usr", f"{path}/elsewhere")

    _kept.write_record(KeepEnvironment(f"{path}/venvs/patroni", path, "4.1.5", "a" * 64, 7.5))

    (found,) = _kept.read_kept([path], None)
    assert (found.version, found.unit, found.unit_changed_at) == ("4.1.5", "a" * 64, 7.5)
    assert 10000 <= found.size < 100000
    assert stat.S_IMODE(os.stat(f"{path}/kept.json").st_mode) == 0o600
    _kept.remove_record(path)
    _kept.remove_record(path)
    assert _kept.read_kept([path], None) == ()


# Which one is returned to


@pytest.mark.parametrize(
    ("wanted", "found", "in_use", "asked", "answer"),
    [
        pytest.param({"version": "4.0.11"}, {}, {}, {}, True, id="the version"),
        pytest.param({"version": "4.0.10"}, {}, {}, {}, False, id="another version"),
        pytest.param({"version": "4.0.11"}, {"version": "4.0.11+local"}, {}, {}, True, id="a local version"),
        pytest.param({}, {"version": "4.1.5"}, {"problem": "broken"}, {}, True, id="repair"),
        pytest.param({}, {}, {"problem": "broken"}, {}, False, id="repair, another version"),
        pytest.param(
            {}, {}, {"problem": "broken", "version": None}, {}, False, id="repair of what cannot tell its version"
        ),
        pytest.param({"state": "latest"}, {}, {}, {"newest": "4.0.11"}, True, id="newest"),
        pytest.param({"state": "latest"}, {}, {}, {"newest": "4.1.6"}, False, id="a newer one is there"),
        pytest.param({"state": "latest"}, {}, {"problem": "broken"}, {}, False, id="newest, nobody could be asked"),
        pytest.param({"version": "4.0.11"}, {"missing": ("aws",)}, {}, {}, False, id="an extra is missing"),
        pytest.param({"version": "4.0.11"}, {"problem": "broken"}, {}, {}, False, id="broken"),
        pytest.param({"version": "4.0.11"}, {}, {}, {"python": "/usr/bin/python3.12"}, False, id="another interpreter"),
        pytest.param({"version": "4.0.11"}, {}, {}, {"python": "/usr/bin/python3.11"}, True, id="the interpreter"),
        pytest.param({"version": "4.0.11"}, {}, {"injected": ("boto3",)}, {}, False, id="lacks what was injected"),
        pytest.param(
            {"version": "4.0.11"},
            {"injected": ("boto3", "x")},
            {"injected": ("boto3",)},
            {},
            True,
            id="has what was injected",
        ),
        pytest.param(
            {"version": "4.0.11"},
            {"injected": ("boto3",)},
            {"injected": ("boto3==1.35.0",)},
            {},
            False,
            id="was asked for another version of what was injected",
        ),
        pytest.param(
            {"sources": Sources(limits=(Limit("patroni", "==4.0.11"),))},
            {},
            {},
            {},
            True,
            id="constraints on Patroni itself",
        ),
        pytest.param(
            {"version": "4.0.11", "sources": Sources(limits=(Limit("click", "==8.1"),))},
            {"versions": {"click": "8.0"}},
            {},
            {},
            False,
            id="constraints on what comes with it",
        ),
    ],
)
def test_what_replaces_a_build(wanted, found, in_use, asked, answer):
    asked = {"newest": None, "python": None, **asked}

    assert replaces(desired(**wanted), earlier(**found), environment(built(2), **in_use), **asked) is answer


def test_without_an_environment_in_use_the_version_must_be_asked_for():
    asked = {"newest": None, "python": None}

    assert replaces(desired(version="4.0.11"), earlier(), None, **asked)
    assert not replaces(desired(), earlier(), None, **asked)


class FakeHost:
    """A host on which environments answer as they are told to."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []
        self.identities = []

    @contextlib.contextmanager
    def identity(self, account):
        self.identities.append(account.name)
        yield

    def run(self, argv, *, account, environment, **_inherit):
        path = argv[0].partition("/bin/")[0]
        self.asked.append((path, account.name, environment))
        rc = self.answers.get(path, 0)
        return Completed("patroni", tuple(argv), rc, "", "ImportError: libpq\n" if rc else "")


@pytest.fixture
def examine(monkeypatch):
    """Examine environments that are described, in place of files; the result has all of them kept before."""

    def run(wanted, *environments, answers=None, change_due=True, known=None, **found):
        read = {one.path: one for one in environments}
        monkeypatch.setattr(_kept, "read_environment", lambda path, _extras: read[path])
        host = FakeHost(answers or {})
        before = observed(environment=environment(built(9)), kept=tuple(map(_kept_of, environments)), **found)
        return host, _kept.examine(desired(**wanted), host, before, change_due=change_due, known=known)

    return run


def _kept_of(one):
    return Kept(one.path, one.version, 4096, 1.0, SINCE)


def test_the_one_that_fits_is_proved_and_returned_to(examine):
    host, found = examine({"version": "4.0.11", "keep": 2}, earlier(2, "4.0.10"), earlier(1))

    assert found.returning == earlier(1)
    assert host.asked == [(built(1), "postgres", {"PYTHONDONTWRITEBYTECODE": "1"})] * 3
    assert (found.unusable, found.retired) == ({}, ())
    assert len(found.kept) == 2


def test_nothing_is_proved_that_does_not_fit(examine):
    host, found = examine({"version": "4.0.9", "keep": 1}, earlier(2, "4.0.10"))

    assert (host.asked, found.returning) == ([], None)


def test_one_that_does_not_run_gives_way_to_the_next(examine):
    host, found = examine({"version": "4.0.11", "keep": 2}, earlier(2), earlier(1), answers={built(2): 1})

    assert found.returning == earlier(1)
    assert found.unusable == {built(2): "ImportError: libpq"}
    assert found.retired == (generation(2),)
    assert [kept.path for kept in found.kept] == [built(1)]
    assert len(host.asked) == 4


def test_what_was_proved_in_this_run_is_not_proved_again(examine):
    _host, known = examine({"version": "4.0.11", "keep": 2}, earlier(2), earlier(1), answers={built(2): 1})

    host, found = examine({"version": "4.0.11", "keep": 2}, earlier(2), earlier(1), known=known)

    assert (found, host.asked) == (known, [])


def test_one_that_broke_in_the_meantime_is_not_returned_to(examine):
    _host, known = examine({"version": "4.0.11", "keep": 2}, earlier(1))

    _host, found = examine({"version": "4.0.11", "keep": 2}, earlier(1, problem="its file x is missing"), known=known)

    assert (found.returning, found.unusable) == (None, {built(1): "its file x is missing"})


@pytest.mark.parametrize(
    ("wanted", "changes", "read"),
    [
        pytest.param({"keep": 2}, {}, False, id="none too many"),
        pytest.param({"keep": 1}, {}, True, id="one too many"),
        pytest.param(
            {"keep": 1}, {"service": Service(environment=built(1))}, False, id="one too many, the service runs in it"
        ),
    ],
)
def test_environments_are_read_only_for_a_reason(examine, wanted, changes, read):
    host, found = examine(wanted, earlier(2), earlier(1, problem="broken"), change_due=False, **changes)

    assert (bool(host.identities), bool(found.unusable)) == (read, read)
    assert (host.asked, found.returning) == ([], None)


@pytest.mark.parametrize(
    ("keep", "left", "gone"),
    [
        (0, False, [3, 2]),
        (1, False, [2]),
        (2, False, []),
        (10**30, False, []),
        (0, True, [4, 3, 2]),
        (1, True, [3, 2]),
        (2, True, [2]),
    ],
)
def test_surplus(keep, left, gone):
    found = observed(kept=(kept(3), kept(2), kept(1)), service=Service(environment=built(1)))
    paths = surplus(desired(keep=keep), found, earlier(4) if left else None)

    assert paths == tuple(built(number) for number in gone)


# The plan

UNIT = digest(unit().text)
BUILD = BuildEnvironment(generation(9), "patroni[psycopg2-binary,etcd]==4.0.11", EXTRAS, None)
SWITCH = SwitchEnvironment(POINTER, built(9), BIN_DIR, True)
KEEP = KeepEnvironment(built(2), generation(2), "4.1.5", UNIT, 900.0)
BACK = SwitchBack(POINTER, built(1), BIN_DIR, True, generation(1), "4.0.11", SINCE)


def host(**changes):
    """A host with the second generation in use."""
    return observed(
        **{
            "environment": environment(built(2)),
            "pointer": link(built(2)),
            "next_generation": generation(9),
            "executables": {name: link(f"{built(2)}/bin/{name}") for name in ("patroni", "patronictl")},
            **changes,
        }
    )


def returnable(**changes):
    """The same, where the first generation was kept and is what is asked for."""
    return host(**{"kept": (kept(1),), "returning": earlier(), **changes})


TOOLS = {"tools": Tools(pipx=object())}


@pytest.mark.parametrize(
    ("keep", "found", "steps"),
    [
        pytest.param(1, host(**TOOLS), (BUILD, KEEP, SWITCH), id="build"),
        pytest.param(0, host(**TOOLS), (BUILD, SWITCH, RemoveEnvironment(generation(2))), id="build, none kept"),
        pytest.param(
            0,
            host(**TOOLS, service=Service(environment=built(2))),
            (BUILD, KEEP, SWITCH),
            id="build, none kept, the service runs in it",
        ),
        pytest.param(
            1, host(**TOOLS, kept=(kept(1),)), (BUILD, KEEP, SWITCH, RemoveEnvironment(generation(1))), id="one goes"
        ),
        pytest.param(2, host(**TOOLS, kept=(kept(1),)), (BUILD, KEEP, SWITCH), id="two stay"),
        pytest.param(
            1,
            host(**TOOLS, kept=(kept(1),), environment=environment(built(2), problem="broken")),
            (replace(BUILD, requirement=BUILD.requirement), SWITCH, RemoveEnvironment(generation(2))),
            id="a broken one does not count, and goes",
        ),
        pytest.param(
            1,
            host(**TOOLS, environment=environment(LEGACY)),
            (BUILD, SWITCH, RemoveEnvironment(LEGACY)),
            id="one of an older pipx is not kept",
        ),
        pytest.param(1, host(**TOOLS, environment=environment("/opt/venv")), (BUILD, SWITCH), id="somebody else's"),
        pytest.param(1, returnable(), (KEEP, BACK), id="return"),
        pytest.param(0, returnable(), (BACK, RemoveEnvironment(generation(2))), id="return, none kept"),
        pytest.param(
            1,
            returnable(kept=(kept(3), kept(1))),
            (KEEP, BACK, RemoveEnvironment(generation(3))),
            id="return past another one",
        ),
        pytest.param(
            1,
            returnable(service=Service(environment=built(1))),
            (KEEP, BACK),
            id="return before a restart",
        ),
        pytest.param(
            0,
            returnable(service=Service(environment=built(2))),
            (KEEP, BACK),
            id="return, none kept, the service runs in what is left",
        ),
        pytest.param(
            1,
            returnable(environment=environment(built(2), problem="broken")),
            (BACK, RemoveEnvironment(generation(2))),
            id="repair by a return",
        ),
        pytest.param(
            1,
            returnable(retired=(generation(5),)),
            (KEEP, BACK, RemoveEnvironment(generation(5))),
            id="return, and what an interrupted run left",
        ),
    ],
)
def test_plan_of_a_change(keep, found, steps):
    assert plan(desired(version="4.0.11", keep=keep), found) == steps


def test_plan_of_a_host_with_too_many():
    found = observed(kept=(kept(4), kept(3), kept(2)))

    assert plan(desired(keep=1), found) == (RemoveEnvironment(generation(3)), RemoveEnvironment(generation(2)))
    assert plan(desired(keep=3), found) == ()


NOTIFY, SIMPLE = (render_unit(desired(), notify=notify) for notify in (True, False))
NOTIFIER = environment(built(2), versions={"systemd-python": "235"})
RUNNING = Service(managed=True, active=True, environment=built(1), started_at=2000.0)


@pytest.mark.parametrize(
    ("recorded", "changed_at", "required"),
    [
        pytest.param(digest(SIMPLE), 900.0, False, id="the unit of that time"),
        pytest.param(digest(SIMPLE), 2500.0, True, id="the unit of that time, which the service had not read"),
        pytest.param(digest("other"), None, True, id="another unit"),
        pytest.param(None, None, True, id="no unit"),
    ],
)
def test_unit_comes_back_with_its_environment(recorded, changed_at, required):
    # Patroni 4.1 with systemd-python notifies systemd, 4.0 does not.
    record = kept(1, unit=recorded, unit_changed_at=900.0 if changed_at is None else changed_at)
    before = returnable(environment=NOTIFIER, kept=(record,), unit=unit(NOTIFY, changed_at=5000.0), service=RUNNING)

    steps = plan(desired(version="4.0.11", keep=1), before)

    written = WriteUnit(UNIT_PATH, SIMPLE, 0, 0, 0o644, changed_at)
    assert steps == (replace(KEEP, unit=digest(NOTIFY), unit_changed_at=5000.0), BACK, written, ReloadSystemd())
    after = host(environment=earlier(), service=RUNNING, unit=unit(SIMPLE, changed_at=changed_at or 6000.0))
    for now in (None, after):
        assert report(steps, before, now)["restart_required"] is required


# The result


def report(steps, before, after=None, **wanted):
    return success(desired(version="4.0.11", keep=1, **wanted), before, steps, after=after, pipx=None)


STEPS = (KEEP, BACK)
DONE = host(environment=earlier(), pointer=link(built(1)), kept=(kept(2, "4.1.5"),))
IN_PLACE = f"switched back to 4.0.11, kept since {SINCE}, in {POINTER}"


def test_result_of_a_return():
    result = report(STEPS, returnable(), DONE)

    assert result["msg"] == f"Patroni is {IN_PLACE} (was 4.1.5)"
    assert (result["version"], result["previous_version"], result["venv"]) == ("4.0.11", "4.1.5", POINTER)
    assert result["kept"] == [{"version": "4.1.5", "path": built(2), "size": 4096, "since": SINCE}]
    assert result["steps"] == [
        {"action": "keep_environment", "target": built(2)},
        {"action": "switch_back", "target": f"4.0.11, kept since {SINCE}"},
    ]
    assert [(entry["before_header"], entry["before"], entry["after"]) for entry in result["diff"]] == [
        ("kept environments", "", f"{built(2)}\n"),
        (
            POINTER,
            "version: 4.1.5\nextras: etcd, psycopg2-binary\n",
            f"version: 4.0.11\nextras: etcd, psycopg2-binary\nkept since: {SINCE}\n",
        ),
    ]


def test_planned_return():
    done, planned = report(STEPS, returnable(), DONE), report(STEPS, returnable())

    assert planned["msg"] == f"Patroni would be {IN_PLACE} (was 4.1.5)"
    assert planned["kept"] == [{"version": "4.1.5", "path": built(2), "size": None, "since": None}]
    assert {**planned, "msg": done["msg"], "kept": done["kept"]} == done


def test_repair_by_a_return_says_what_was_broken():
    before = returnable(environment=environment(built(2), version="4.0.11", problem="its interpreter is missing"))

    assert report((BACK,), before)["msg"] == f"Patroni would be {IN_PLACE}: its interpreter is missing"


@pytest.mark.parametrize(
    ("service", "required"),
    [
        pytest.param(RUNNING, False, id="still runs in it"),
        pytest.param(RUNNING._replace(environment=built(2)), True, id="runs in what is left"),
        pytest.param(RUNNING._replace(active=False), False, id="not active"),
    ],
)
def test_restart_after_a_return(service, required):
    before = returnable(service=service)

    for after in (None, DONE._replace(service=service)):
        assert report(STEPS, before, after)["restart_required"] is required


def test_what_goes_is_not_listed():
    before = host(kept=(kept(4), kept(3)))

    result = report((RemoveEnvironment(generation(3)),), before)

    assert [entry["path"] for entry in result["kept"]] == [built(4)]
