# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grouping hosts into clusters, the problems that prevent an upgrade, and the order of the restarts."""

from __future__ import annotations

import json

import pytest

from ansible_collections.pgedge.platform.plugins.plugin_utils._clusters import (
    cause,
    describe,
    new_faults,
    state_of,
    table,
)


def printed(found, rc=0, stderr=""):
    return {"rc": rc, "stdout": found if isinstance(found, str) else json.dumps(found), "stderr": stderr}


def row(member, role="Replica", state="streaming", zone=1, **more):
    return {
        "Cluster": "demo",
        "Member": member,
        "Host": f"10.0.{zone}.{member[-1]}",
        "Role": role,
        "State": state,
        **more,
    }


def answer(name, version="4.0.11", **rest):
    return {"name": name, "scope": "demo", "patroni": {"patroni": {"version": version}, "state": "running", **rest}}


def look(host, rows, *, member=None, version="4.0.11", plan=None, rest=None, **more):
    """The facts that a playbook sets for a healthy host."""
    return {
        "host": host,
        "plan": {"previous_version": version, "version": version, "changed": False, **(plan or {})},
        "asked": printed(answer(member or host, version, **(rest or {}))),
        "listed": printed(rows),
        "by_hand": "patronictl",
        **more,
    }


ROWS = (row("pg1"), row("pg2", "Leader", "running"), row("pg3"))
SECOND = [row("pg1", zone=2), row("pg2", zone=2), row("pg3", "Leader", "running", zone=2)]


def cluster(rows=ROWS, prefix="", **more):
    return [look(f"{prefix}{one['Member']}", rows, member=one["Member"], **more) for one in rows]


def described(looks, at_once=1):
    return describe(looks, [one["host"] for one in looks], at_once)


def problems(looks):
    return described(looks)["problems"]


def test_clusters_of_the_same_scope_and_names_are_distinguished_by_their_addresses():
    site = described([*cluster(SECOND, "b-"), *cluster(ROWS, "a-")])

    assert site["problems"] == []
    assert [one["hosts"] for one in site["clusters"]] == [["b-pg1", "b-pg2", "b-pg3"], ["a-pg1", "a-pg3", "a-pg2"]]
    assert [host for host, member in site["members"].items() if member["leads"]] == ["b-pg3", "a-pg2"]
    assert site["members"]["a-pg1"] == {
        "cluster": "demo (pg1, pg2, pg3)",
        "name": "pg1",
        "version": "4.0.11",
        "leads": False,
        "paused": False,
        "left_paused": False,
        "peers": ["a-pg3", "a-pg2"],
    }


def test_the_replica_that_would_take_over_comes_after_the_others():
    rows = [row("pg1", "Leader", "running"), row("pg2", "Sync Standby"), row("pg3"), row("pg4", "Quorum Standby")]

    assert described(cluster(rows))["clusters"][0]["hosts"] == ["pg3", "pg4", "pg2", "pg1"]


@pytest.mark.parametrize(
    ("at_once", "order"),
    [
        (1, [["pg1"], ["pg3"], ["pg2"], ["b-pg1"], ["b-pg2"], ["b-pg3"], ["c-pg1"]]),
        (2, [["pg1", "b-pg1"], ["pg3", "b-pg2"], ["pg2", "b-pg3"], ["c-pg1"]]),
        (9, [["pg1", "b-pg1", "c-pg1"], ["pg3", "b-pg2"], ["pg2", "b-pg3"]]),
        (0, [["pg1"], ["pg3"], ["pg2"], ["b-pg1"], ["b-pg2"], ["b-pg3"], ["c-pg1"]]),
    ],
)
def test_waves(at_once, order):
    alone = [row("pg1", "Leader", "running", zone=3)]

    assert described([*cluster(), *cluster(SECOND, "b-"), *cluster(alone, "c-")], at_once)["waves"] == order


def test_no_hosts_no_clusters():
    nothing = {"waves": [], "clusters": [], "members": {}, "problems": [], "left_paused": [], "rows": []}

    assert described([]) == nothing
    assert described([{"host": "pg1", "skipped": True}]) == nothing


# Health


@pytest.mark.parametrize(
    ("role", "state", "version", "well"),
    [
        ("Leader", "running", "4.0.11", True),
        ("Leader", "starting", "4.0.11", False),
        ("Leader", "", "4.0.11", False),
        ("Replica", "streaming", "4.0.11", True),
        ("Replica", "in archive recovery", "4.0.11", True),
        ("Replica", "running", "4.0.11", False),
        ("Replica", "running", "3.0.4", False),
        ("Replica", "running", "3.0.3", True),
        ("Sync Standby", "running", "2.1.0", True),
        ("Sync Standby", "streaming", "4.1.5", True),
        ("Quorum Standby", "stopped", "4.1.5", False),
        ("Standby Leader", "streaming", "4.1.5", True),
        ("Standby Leader", "in archive recovery", "4.1.5", True),
        ("Standby Leader", "running", "4.1.5", True),
        ("Standby Leader", "start failed", "4.1.5", False),
    ],
)
def test_health_of_a_member(role, state, version, well):
    rows = [row("pg1", role, state), *([row("pg2", "Leader", "running")] if "Leader" not in role else [])]

    assert state_of(printed(rows), printed(answer("pg1", version)))["all_well"] is well
    assert (problems(cluster(rows, version=version)) == []) is well
    assert state_of(printed(rows), printed(answer("pg1", version)), "pg1")["well"] is well


@pytest.mark.parametrize(
    "listed",
    [
        {},
        {"rc": 1},
        {"rc": 124, "stdout": ""},
        printed("no JSON"),
        printed({}),
        printed([]),
        printed([row("pg1")]),
        printed([row("pg1", "Leader", "running"), row("pg2", "Leader", "running")]),
    ],
)
def test_cluster_without_one_leader_or_with_an_unhealthy_member_is_not_healthy(listed):
    assert state_of(listed, printed(answer("pg1")))["all_well"] is False


CLUSTER = {"scope": "demo", "leader": "pg2", "all_well": True}


def test_state_of_a_member_that_does_not_answer():
    silent = {**CLUSTER, "version": "", "paused": False, "running": False, "well": False}

    assert state_of(printed(ROWS), {"unreachable": True}, "pg1") == silent
    assert state_of(printed(ROWS), printed({"name": "pg1", "silence": "refused"}), "pg1") == silent
    assert state_of({"rc": 1}, {}, "pg1") == {**silent, "scope": "", "leader": "", "all_well": False}


def test_state_of_a_member_that_is_paused():
    asked = printed(answer("pg1", "4.1.5", pause=True))

    assert state_of(printed(ROWS), asked, "pg1") == {
        **CLUSTER,
        "version": "4.1.5",
        "paused": True,
        "running": True,
        "well": True,
    }


def test_list_that_is_older_than_a_restart_does_not_make_a_member_healthy():
    for unready in ({"state": "starting"}, {"dcs_last_seen": 0}):
        state = state_of(printed(ROWS), printed(answer("pg1", **unready)), "pg1")

        assert (state["running"], state["well"]) == (False, False)


# Problems


def without(looks, host):
    return [one for one in looks if one["host"] != host]


@pytest.mark.parametrize(
    ("looks", "told"),
    [
        pytest.param(
            [*without(cluster(), "pg3"), {"host": "pg3"}],
            [
                "pg3: it could not be reached; check the connection, or exclude all hosts of its cluster from "
                "patroni_hosts",
                "the cluster demo (pg1, pg2, pg3) is incomplete in this run, without a host for pg3; add the missing "
                "hosts to patroni_hosts, or run without --limit",
            ],
            id="a host that cannot be reached",
        ),
        pytest.param(
            [{"host": "pg1", "plan": {"previous_version": "4.0.11"}}],
            [
                "pg1: it could not be reached; check the connection, or exclude all hosts of its cluster from "
                "patroni_hosts",
            ],
            id="a host that is lost after its plan",
        ),
        pytest.param(
            [{"host": "pg1", "problem": "version: 9 is not offered"}],
            ["pg1: version: 9 is not offered"],
            id="a plan that cannot be made",
        ),
        pytest.param(
            [{"host": "pg1", "plan": {"previous_version": None}}],
            [
                "pg1: Patroni is not installed; install it with the role install_patroni, or exclude the host from "
                "patroni_hosts"
            ],
            id="no Patroni",
        ),
        pytest.param(
            [
                look(
                    "pg1", [], listed=printed("", 1, "Traceback (most recent call last):\n  File x\nEtcdError: no etcd")
                )
            ],
            [
                "pg1: it cannot list the members of its cluster: EtcdError: no etcd; check its configuration store, "
                "then run 'patronictl list' there"
            ],
            id="no configuration store",
        ),
        pytest.param(
            [look("pg1", [], listed={"rc": 124, "stdout": ""})],
            [
                "pg1: it cannot list the members of its cluster: it did not answer in time; check its configuration "
                "store, then run 'patronictl list' there"
            ],
            id="a configuration store that hangs",
        ),
        pytest.param(
            [*without(cluster(), "pg3"), look("pg3", ROWS, asked=printed({"name": "pg3", "silence": "refused"}))],
            [
                "pg3: its Patroni does not answer: refused; check 'systemctl status patroni.service' and its REST API "
                "there",
            ],
            id="a Patroni that does not answer",
        ),
        pytest.param(
            [*without(cluster(), "pg3"), look("pg3", ROWS, member="db3")],
            [
                "pg3: its configuration names the member db3, which its cluster does not have; set patroni_member for "
                "this host",
                "the cluster demo (pg1, pg2, pg3) is incomplete in this run, without a host for pg3; add the missing "
                "hosts to patroni_hosts, or run without --limit",
            ],
            id="another name in the configuration",
        ),
        pytest.param(
            without(cluster(), "pg1"),
            [
                "the cluster demo (pg1, pg2, pg3) is incomplete in this run, without a host for pg1; add the missing "
                "hosts to patroni_hosts, or run without --limit"
            ],
            id="--limit",
        ),
        pytest.param(
            [*cluster(), look("again", ROWS, member="pg1")],
            ["the cluster demo (pg1, pg2, pg3): pg1 and again are the same member, pg1; remove one from the inventory"],
            id="one member under two names",
        ),
        pytest.param(
            cluster([row("pg1"), row("pg2", state="start failed")]),
            [
                "the cluster demo (pg1, pg2) must have one leader, and has none",
                "the cluster demo (pg1, pg2): pg2 (replica) must be streaming, and its state is 'start failed'; check "
                "'journalctl -u patroni.service' there",
            ],
            id="no leader and a member down",
        ),
        pytest.param(
            [*without(cluster(), "pg3"), look("pg3", ROWS[1:])],
            [
                "the cluster demo (pg1, pg2, pg3): its hosts do not list the same members; wait until they do, then "
                "run this playbook again"
            ],
            id="different views",
        ),
        pytest.param(
            [*without(cluster(), "pg3"), look("pg3", ROWS, unit="patroni@17.service", unit_state="inactive")],
            [
                "pg3: its Patroni must run as the service patroni@17.service, which is inactive; set patroni_unit_path "
                "to the unit that runs it"
            ],
            id="another unit",
        ),
        pytest.param(
            [*without(cluster(), "pg3"), look("pg3", ROWS, plan={"version": "4.1.5"}, applied=True)],
            ["pg3: Patroni 4.1.5 is installed, but its service still runs 4.0.11"],
            id="a service that was not restarted",
        ),
        pytest.param(
            cluster([row("pg1", "Leader", "running", Group=0), row("pg2", "Leader", "running", Group=1)]),
            [
                "the cluster demo (pg1, pg2) is a Citus cluster, which this playbook does not support; upgrade it by "
                "hand, group by group"
            ],
            id="Citus",
        ),
    ],
)
def test_problems_come_with_a_remedy(looks, told):
    assert problems(looks) == told


def test_host_that_failed_before_was_not_inspected():
    assert describe([{}], ["pg1"])["problems"] == [
        "pg1: it could not be reached; check the connection, or exclude all hosts of its cluster from patroni_hosts"
    ]


def test_problems_of_all_clusters_are_reported_together():
    told = problems([*without(cluster(), "pg1"), *without(cluster(SECOND, "b-"), "b-pg2")])

    assert [sentence.partition("; ")[0] for sentence in told] == [
        "the cluster demo (pg1, pg2, pg3) is incomplete in this run, without a host for pg1",
        "the cluster demo (pg1, pg2, pg3) is incomplete in this run, without a host for pg2",
    ]


def test_member_in_the_inventory_overrides_the_configuration():
    named = {**look("host3", ROWS, member="other"), "member": "pg3"}

    site = described([*without(cluster(), "pg3"), named])

    assert site["problems"] == []
    assert site["members"]["host3"]["name"] == "pg3"


# Pauses


@pytest.mark.parametrize(
    ("pause", "marked", "paused", "left_paused"),
    [
        (True, False, True, False),
        (True, True, False, True),
        (False, True, False, False),
        (False, False, False, False),
    ],
)
def test_pause_of_this_playbook_or_of_the_operators(pause, marked, paused, left_paused):
    looks = cluster(rest={"pause": True} if pause else {})
    looks[0]["marked"] = marked

    site = described(looks)

    (found,) = site["clusters"]
    assert (found["paused"], found["left_paused"]) == (paused, left_paused)
    named = "the cluster demo (pg1, pg2, pg3) is still paused by an interrupted run of this playbook"
    assert [told.startswith(named) for told in site["left_paused"]] == [True] * left_paused


# What people see


def test_rows_of_a_report():
    rows = described(
        [
            *cluster(rest={"pause": True}, plan={"restart_required": True}),
            {"host": "new", "plan": {"previous_version": None, "changed": True, "msg": "Patroni would be installed"}},
            {"host": "lost"},
        ]
    )["rows"]

    assert rows[1] == {
        "cluster": "demo (pg1, pg2, pg3)",
        "host": "pg3",
        "role": "replica",
        "state": "streaming, paused",
        "installed": "4.0.11",
        "runs": "4.0.11",
        "restart_due": True,
        "would_change": "",
        "problem": "",
    }
    assert [(one["host"], one["would_change"], one["problem"][:26]) for one in rows[3:]] == [
        ("new", "Patroni would be installed", "Patroni is not installed; "),
        ("lost", "", "it could not be reached; c"),
    ]


def test_restart_is_due_if_another_version_runs():
    looks = cluster(plan={"previous_version": "4.1.5", "version": "4.1.6", "changed": True, "restart_required": True})

    assert [one["restart_due"] for one in described(looks)["rows"]] == [True] * 3
    looks = cluster(plan={"version": "4.1.6", "changed": True, "restart_required": True})
    assert [one["restart_due"] for one in described(looks)["rows"]] == [False] * 3


def test_table():
    rows = [
        {"host": "pg1", "restart_due": True, "runs": ""},
        {"host": "pgedge2", "restart_due": False, "runs": "4.1.5"},
    ]

    assert table(rows, ["host", "restart_due", "runs"]) == [
        "host     restart due  runs",
        "-------  -----------  -----",
        "pg1      yes",
        "pgedge2  no           4.1.5",
    ]
    assert table([], ["host"]) == ["host", "----"]


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ({"unreachable": True, "msg": "no route"}, ["the host became unreachable"]),
        ({}, ["the command was not run"]),
        (printed("one\n", 124), ["it did not answer in time"]),
        (printed("one\n", 1, "Error: two\n"), ["Error: two"]),
    ],
)
def test_cause_of_a_failed_command(result, told):
    assert cause(result) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ["no output"]),
        ("one\ntwo\n", ["one", "two"]),
        ("2026-11-25 INFO: no action\nStarted.\n", ["Started."]),
        ("Traceback (most recent call last):\n  File x\n    raise\nValueError: bad\nmore\n", ["ValueError: bad"]),
        (
            "Started\npatroni: error: unrecognized\nMain process exited\nFailed with result 'exit-code'\n",
            ["patroni: error: unrecognized", "Failed with result 'exit-code'"],
        ),
        (
            "error 1\nerror 1\nerror 2\n" + "".join(f"error {i}\n" for i in range(3, 9)),
            [f"error {i}" for i in range(4, 9)],
        ),
        ("x" * 1000, ["x" * 300]),
    ],
)
def test_decisive_lines(text, told):
    assert cause(printed(text)) == told


def test_faults_of_a_configuration():
    before = printed("etcd3.hosts x didn't pass validation: 'x is not reachable'\n", 1)
    now = printed(
        "restapi.listen 10.0.1.1:8008 didn't pass validation: Port 8008 is already in use.\n"
        "etcd3.hosts x didn't pass validation: x is not reachable\n"
        "postgresql.bin_dir /x didn't pass validation: it is no directory\n",
        1,
    )

    assert new_faults(now, before) == {
        "faults": ["postgresql.bin_dir /x didn't pass validation: it is no directory"],
        "warnings": ["etcd3.hosts x didn't pass validation: x is not reachable"],
    }
    assert new_faults(printed(""), before) == {"faults": [], "warnings": []}
    # An answer that is missing, or is none of a validation, is a fault.
    assert new_faults(printed("", 124), printed(""))["faults"] == ["it did not answer in time"]
    assert new_faults(printed("", 1), printed(""))["faults"] == ["no output"]
    crash = "Traceback (most recent call last):\n  File x\nImportError: no module\n"
    assert new_faults(printed("", 1, crash), printed(""))["faults"] == ["ImportError: no module"]
    # Up to 2.1.6 it ended with code 0 whatever it had found.
    assert new_faults({**now, "rc": 0}, printed(""))["faults"][0].startswith("etcd3.hosts")
