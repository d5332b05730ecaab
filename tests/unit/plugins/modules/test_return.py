# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module on a simulated machine: environments that are kept, and the return to them."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from ansible_collections.pgedge.platform.plugins.module_utils._patroni import _kept
from ansible_collections.pgedge.platform.tests.unit.plugins.environments import add_distribution
from ansible_collections.pgedge.platform.tests.unit.plugins.modules.calls import (
    ACTIVE,
    RELOAD,
    WANTED,
    asks,
    assert_installed,
    checks,
    in_this_order,
    kept,
    share_pip,
    show,
    shown,
    steps,
    upgrade,
)


@pytest.fixture
def at_work(installed):
    """A process that runs in the first generation, as patronictl list --watch does."""
    script = f"{installed.built(1)}/bin/python"
    process = subprocess.Popen([script, "30"], executable="/bin/sleep", env={})
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if Path(f"/proc/{process.pid}/cmdline").read_bytes().startswith(script.encode()):
            break
    yield process
    process.kill()
    process.wait()


def test_environment_is_not_taken_from_what_still_runs_in_it(installed, at_work):
    result = installed.run(*upgrade(installed, "4.1.6"), version="4.1.6", keep=0)

    assert [action for action, _target in steps(result)] == ["build_environment", "switch_environment"]
    assert installed.warnings == [
        f"did not remove {installed.generation(1)}: a process still runs in it; the next run removes it"
    ]
    assert sum(installed.clock.slept) == pytest.approx(10, abs=0.2)
    assert os.path.isdir(installed.built(1))

    at_work.kill()
    at_work.wait()
    installed.run(shown(installed), shown(installed), shown(installed))
    assert_installed(installed, 2)


def test_environment_of_the_service_is_kept_until_its_restart(installed, at_work):
    running = {"active": "active", "enabled": "enabled", "pid": at_work.pid}
    calls = [
        call._replace(out=shown(installed, **running).out) if call.argv[0] == "systemctl" else call
        for call in upgrade(installed, "4.1.6")
    ]

    result = installed.run(*calls, version="4.1.6", keep=0)

    expected = ["build_environment", "keep_environment", "switch_environment"]
    assert [action for action, _target in steps(result)] == expected
    assert result["restart_required"] is True
    assert (installed.warnings, installed.clock.slept) == ([], [])

    again = installed.run(shown(installed, **running), keep=0)
    assert (again["changed"], again["restart_required"]) == (False, True)

    at_work.kill()
    at_work.wait()
    restarted = [shown(installed, active="active", enabled="enabled")] * 3
    assert steps(installed.run(*restarted, keep=0)) == [("remove_environment", installed.generation(1))]
    assert_installed(installed, 2)


@pytest.fixture
def upgraded(installed):
    """A host with 4.1.6 in use, at the second generation, and the first one kept."""
    installed.run(*upgrade(installed, "4.1.6"), version="4.1.6")
    return installed


def returning(machine, number=1, answer=None, **failed):
    """The calls of a return: what is looked at, and the proofs, which change nothing.

    Args:
        failed: what the last proof answers; the return ends there.
    """
    proofs = [call._replace(variables={"PYTHONDONTWRITEBYTECODE": "1"}) for call in checks(machine, number)]
    answer = answer or shown(machine)
    if failed:
        return [answer, *proofs[:-1], proofs[-1]._replace(**{"rc": 1, **failed})]
    return [answer, *proofs, answer, answer]


def since(machine, number=1):
    """When a generation was left, as its record has it."""
    record = json.loads(Path(machine.generation(number), "kept.json").read_text("utf-8"))
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record["left_at"]))


def test_return_starts_only_the_verification(upgraded):
    when = since(upgraded)

    result = upgraded.run(*returning(upgraded), version="4.1.5")

    assert steps(result) == [
        ("keep_environment", upgraded.built(2)),
        ("switch_back", f"4.1.5, kept since {when}"),
    ]
    assert (result["previous_version"], result["version"], result["venv"]) == ("4.1.6", "4.1.5", upgraded.pointer)
    told = f"Patroni is switched back to 4.1.5, kept since {when}, in {upgraded.pointer} (was 4.1.6)"
    assert result["msg"] == told
    assert "pipx" not in result
    assert kept(result) == [("4.1.6", upgraded.built(2))]
    assert_installed(upgraded, 1, kept=[2])
    assert not os.path.exists(f"{upgraded.generation(1)}/kept.json")
    assert upgraded.run(shown(upgraded), version="4.1.5")["changed"] is False


def test_return_and_forth(upgraded):
    upgraded.run(*returning(upgraded), version="4.1.5")
    upgraded.run(*returning(upgraded, 2), version="4.1.6")

    assert_installed(upgraded, 2, kept=[1])
    assert upgraded.warnings == []


def test_return_in_check_mode_is_the_return(upgraded):
    before = upgraded.tree()

    planned = upgraded.run(*returning(upgraded)[:-2], check=True, version="4.1.5")

    assert upgraded.tree() == before
    done = upgraded.run(*returning(upgraded), version="4.1.5")
    assert steps(planned) == steps(done)
    for name in ("diff", "version", "venv", "restart_required"):
        assert planned[name] == done[name]
    assert planned["msg"] == done["msg"].replace(" is ", " would be ")
    assert kept(planned) == kept(done)
    assert [(entry["size"], entry["since"]) for entry in planned["kept"]] == [(None, None)]


def test_what_is_kept_is_told_in_a_run_that_changes_nothing(upgraded):
    result = upgraded.run(shown(upgraded))

    (entry,) = result["kept"]
    assert result["changed"] is False
    assert (entry["version"], entry["path"], entry["since"]) == ("4.1.5", upgraded.built(1), since(upgraded))
    assert entry["size"] > 0


def test_what_is_kept_is_not_read_in_a_run_that_changes_nothing(upgraded, monkeypatch):
    read = []
    monkeypatch.setattr(_kept, "read_environment", lambda path, _extras: read.append(path))

    upgraded.run(shown(upgraded))

    assert read == []


def test_kept_environment_that_lost_a_file_is_rebuilt(upgraded):
    lost = Path(upgraded.built(1), "lib/python3.11/site-packages/patroni/ctl.py")
    lost.unlink()

    looks = upgrade(upgraded, "4.1.5", 3)[:2]
    index = asks(upgraded, share_pip(upgraded), f"{WANTED}==4.1.5", out="patroni-4.1.5")
    planned = upgraded.run(*looks, index, check=True, version="4.1.5")
    result = upgraded.run(*upgrade(upgraded, "4.1.5", 3), version="4.1.5")

    assert steps(result) == [
        ("build_environment", f"{WANTED}==4.1.5"),
        ("keep_environment", upgraded.built(2)),
        ("switch_environment", upgraded.pointer),
        ("remove_environment", upgraded.generation(1)),
    ]
    assert steps(planned) == steps(result)
    told = f"the kept environment {upgraded.built(1)} no longer works and is removed: its file {lost} is missing"
    assert set(upgraded.warnings) == {told}
    assert_installed(upgraded, 3, kept=[2])


def test_kept_environment_that_does_not_run_is_rebuilt(upgraded):
    calls = upgrade(upgraded, "4.1.5", 3)
    failed = returning(upgraded, err="ImportError: libpq\n")

    result = upgraded.run(*failed, *calls[1:], version="4.1.5")

    assert [action for action, _target in steps(result)] == [
        "build_environment",
        "keep_environment",
        "switch_environment",
        "remove_environment",
    ]
    assert upgraded.warnings == [
        f"the kept environment {upgraded.built(1)} no longer works and is removed: ImportError: libpq"
    ]
    assert_installed(upgraded, 3, kept=[2])


def test_broken_environment_is_not_what_a_repair_returns_to(upgraded):
    upgraded.run(*returning(upgraded), version="4.1.5")
    upgraded.run(*returning(upgraded, 2), version="4.1.6")
    Path(upgraded.built(2), "lib/python3.11/site-packages/patroni/ctl.py").unlink()

    repaired = upgraded.run(*upgrade(upgraded, "4.1.6", 3))

    assert [action for action, _target in steps(repaired)] == [
        "build_environment",
        "switch_environment",
        "remove_environment",
    ]
    assert_installed(upgraded, 3, kept=[1])


def test_keep_lowered_is_a_change(upgraded):
    result = upgraded.run(*[shown(upgraded)] * 3, keep=0)

    assert steps(result) == [("remove_environment", upgraded.generation(1))]
    assert result["kept"] == []
    assert_installed(upgraded, 2)
    assert upgraded.run(shown(upgraded), keep=0)["changed"] is False


@pytest.mark.parametrize("keep", [0, 1])
def test_change_of_mind_before_the_restart(installed, at_work, keep):
    # Patroni 4.1 with systemd-python notifies systemd, so that the unit changes and comes back as well.
    answer = shown(installed, **ACTIVE, pid=at_work.pid, started=int(time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6))
    changes = upgrade(installed, "4.1.6")
    calls = [call._replace(out=answer.out) if call.argv[0] == "systemctl" else call for call in changes]
    wanted = "patroni[psycopg2-binary,etcd,systemd]==4.1.6"

    def make():
        made = installed.environment(installed.built(2), version="4.1.6")
        add_distribution(made / "lib/python3.11/site-packages", "systemd_python-235", {"systemd/__init__.py": ""})

    calls[3] = calls[3]._replace(argv=[*calls[3].argv[:-1], wanted], effect=make)
    extras = ["psycopg2-binary", "etcd", "systemd"]
    went = installed.run(*calls[:-1], RELOAD, calls[-1], version="4.1.6", extras=extras, keep=keep)
    assert went["restart_required"] is True
    back = returning(installed, answer=answer)

    planned = installed.run(*back[:-2], check=True, version="4.1.5", keep=keep)
    result = installed.run(*back[:-1], RELOAD, back[-1], version="4.1.5", keep=keep)

    actions = [action for action, _target in steps(result)]
    left = ["keep_environment", "switch_back"] if keep else ["switch_back", "remove_environment"]
    assert actions == [*left, "write_unit", "reload_systemd"]
    assert steps(planned) == steps(result)
    assert (planned["restart_required"], result["restart_required"]) == (False, False)
    again = installed.run(answer, version="4.1.5", keep=keep)
    assert (again["changed"], again["restart_required"]) == (False, False)


def test_return_to_an_environment_that_is_named_asks_for_nothing_else(upgraded):
    constraints = Path(upgraded.base, "c.txt")
    constraints.write_text("patroni==4.1.6\n", "utf-8")
    asked = {
        "return_to": upgraded.built(1),
        "version": "4.1.6",
        "extras": ["psycopg2-binary", "etcd", "consul"],
        "constraints": str(constraints),
    }

    result = upgraded.run(*returning(upgraded), **asked)

    assert steps(result)[-1] == ("switch_back", f"4.1.5, kept since {result['steps'][-1]['target'].split()[-1]}")
    assert_installed(upgraded, 1, kept=[2])
    again = upgraded.run(shown(upgraded), **asked)
    assert (again["changed"], again["version"]) == (False, "4.1.5")


def test_return_to_a_version_switches_to_what_is_kept(upgraded):
    result = upgraded.run(*returning(upgraded), return_to="4.1.5", version="4.1.6", extras=["consul"])

    assert steps(result)[-1][0] == "switch_back"
    assert_installed(upgraded, 1, kept=[2])


def test_return_to_what_is_not_kept_changes_nothing(upgraded):
    before = upgraded.tree()
    asked = upgraded.built(7)

    result = upgraded.run(shown(upgraded), fails=True, return_to=asked)

    kept_one = f"{upgraded.built(1)} (4.1.5)"
    assert result["msg"] == f"return_to: {asked} is not kept on this host; kept are: {kept_one}"
    assert upgraded.tree() == before


def test_return_to_an_environment_that_does_not_run_changes_nothing(upgraded):
    before = upgraded.tree()

    result = upgraded.run(*returning(upgraded, err="ImportError: libpq\n"), fails=True, return_to=upgraded.built(1))

    assert result["msg"] == (
        f"return_to: {upgraded.built(1)} no longer works: ImportError: libpq; run without return_to"
    )
    assert upgraded.tree() == before


def test_return_to_a_broken_environment_in_use_changes_nothing(upgraded):
    Path(upgraded.built(2), "lib/python3.11/site-packages/patroni/ctl.py").unlink()
    before = upgraded.tree()

    result = upgraded.run(shown(upgraded), fails=True, return_to=upgraded.built(2))

    assert result["msg"].startswith(f"return_to: {upgraded.built(2)} is in use and does not work: ")
    assert result["msg"].endswith("; run without return_to to repair it")
    assert upgraded.tree() == before


def test_absent_removes_what_is_kept(upgraded):
    result = upgraded.run(shown(upgraded), shown(upgraded), RELOAD, show(), state="absent")

    assert [target for action, target in steps(result) if action == "remove_directory"] == [
        upgraded.pointer,
        upgraded.generation(1),
        upgraded.generation(2),
    ]
    assert result["kept"] == []
    assert os.listdir(upgraded.pipx_home) == ["venvs"]


def test_record_is_durable_before_another_environment_is_used(installed, writes):
    installed.run(*upgrade(installed, "4.1.6"), version="4.1.6")
    record = f"{installed.generation(1)}/kept.json"

    assert in_this_order(
        writes,
        ("remove_file", record),
        ("sync_filesystem", f"{installed.pipx_home}/patroni"),
        ("exchange", installed.pointer),
    ), writes


def test_record_goes_before_its_environment(upgraded, writes):
    upgraded.run(*[shown(upgraded)] * 3, keep=0)

    record = f"{upgraded.generation(1)}/kept.json"
    assert in_this_order(writes, ("remove_file", record), ("remove_tree", upgraded.generation(1))), writes


def test_restart_is_required_of_what_was_started_earlier(installed):
    for path in (installed.built(1), installed.unit_path):
        os.utime(path, (time.time() - 100, time.time() - 100))

    def started(seconds_ago):
        return int((time.clock_gettime(time.CLOCK_MONOTONIC) - seconds_ago) * 1e6)

    def required(seconds_ago):
        answer = shown(installed, active="active", enabled="enabled", started=started(seconds_ago))
        return installed.run(answer)["restart_required"]

    assert [required(50), required(150)] == [False, True]
