# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order in which the playbooks act on a site, and what they do when something fails.

The site is a file, and the programs of its hosts are stand-ins (site/fake.py): they record what would harm a cluster.
The scenario "cluster" shows the same on real clusters.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
from lab import CHECKOUT

OLD, NEW = "4.0.11", "4.1.5"


@dataclass
class Site:
    """Two clusters of three hosts in one group, of the same scope."""

    directory: Path

    def read(self) -> dict[str, t.Any]:
        return t.cast("dict[str, t.Any]", json.loads((self.directory / "site.json").read_text("utf-8")))

    def change(self, host: str, **changes: object) -> None:
        state = self.read()
        state["hosts"][host].update(changes)
        self.write(state)

    def write(self, state: dict[str, t.Any]) -> None:
        (self.directory / "site.json").write_text(json.dumps(state), "utf-8")

    def play(self, *arguments: str, playbook: str = "pgedge.platform.upgrade_patroni", **environment: str) -> str:
        """Run a playbook; return what it printed, with the exit code in the first line."""
        pause_note = f"{self.directory}/{{{{ inventory_hostname }}}}.note"
        settings = {"patroni_pause_note": pause_note, "patroni_restart_timeout": 2, "ansible_become": False}
        ran = subprocess.run(
            [
                f"{os.path.dirname(sys.executable)}/ansible-playbook",
                playbook,
                "--inventory=hosts.yml",
                f"--extra-vars={json.dumps(settings)}",
                *arguments,
            ],
            cwd=self.directory,
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(self.directory / "collections"),
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_LOCALHOST_WARNING": "0",
                "ANSIBLE_FORKS": "6",
                "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        (self.directory / "printed.txt").write_text(ran.stdout + ran.stderr, "utf-8")
        # Long messages are wrapped.
        return f"{ran.returncode}\n" + re.sub(r"\n {5,}", " ", ran.stdout + ran.stderr)

    @property
    def log(self) -> list[list[str]]:
        return t.cast("list[list[str]]", self.read()["log"])

    def restarted(self) -> list[tuple[str, str]]:
        return [(entry[1], entry[2]) for entry in self.log if entry[0] == "restart"]

    def running(self) -> dict[str, str]:
        return {name: host["runs"] for name, host in self.read()["hosts"].items()}

    def expect_no_harm(self) -> None:
        state = self.read()
        assert state["harm"] == []
        assert [cluster["paused"] for cluster in state["clusters"]] == [False, False]
        assert {name: host["runs"] for name, host in state["hosts"].items() if not host["runs"]} == {}
        assert list(self.directory.glob("*.note")) == []


def host(role: str = "Replica") -> dict[str, t.Any]:
    state = "running" if role == "Leader" else "streaming"
    return {"role": role, "state": state, "runs": OLD, "installed": OLD, "kept": []}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    here = Path(__file__).parent / "site"
    collection = tmp_path / "collections" / "ansible_collections" / "pgedge" / "platform"
    (collection / "roles").mkdir(parents=True)
    for name in ("playbooks", "plugins", "meta", "galaxy.yml"):
        (collection / name).symlink_to(CHECKOUT / name)
    (collection / "roles" / "install_patroni").symlink_to(here / "role")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("patroni_install", "runuser", "systemctl", "journalctl"):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {here}/fake.py {name} "$@"\n')
        (programs / name).chmod(0o755)
    ssh = programs / "ssh"
    ssh.write_text(
        f'#!/bin/sh\nwhile [ $# -gt 2 ]; do shift; done\n[ ! -e {tmp_path}/$1.lost ] || exit 255\nexec sh -c "$2"\n'
    )
    ssh.chmod(0o755)
    (tmp_path / "patroni.yaml").touch()
    names = [f"pg{number}" for number in range(1, 7)]
    for name in names:
        python = tmp_path / f"python-{name}"
        python.write_text(
            "#!/bin/sh\n"
            f"export FAKE_HOST={name} FAKE_SITE={tmp_path}/site.json PATH={programs}:$PATH\n"
            f'exec {sys.executable} "$@"\n'
        )
        python.chmod(0o755)
    variables = {"ansible_connection": "local", "patroni_config_dir": str(tmp_path)}
    hosts = {name: {"ansible_python_interpreter": str(tmp_path / f"python-{name}")} for name in names}
    (tmp_path / "hosts.yml").write_text(json.dumps({"pgedge": {"hosts": hosts, "vars": variables}}))
    found = Site(tmp_path)
    found.write(
        {
            "clusters": [{"hosts": names[:3], "paused": False}, {"hosts": names[3:], "paused": False}],
            "hosts": {name: host("Leader" if name in ("pg2", "pg4") else "Replica") for name in names},
            "log": [],
            "harm": [],
        }
    )
    return found


@pytest.mark.thorough
def test_cluster_by_cluster_and_the_leader_last(site: Site) -> None:
    printed = site.play(f"--extra-vars=patroni_version={NEW}")

    assert printed.startswith("0\n"), printed
    assert site.restarted() == [(name, NEW) for name in ("pg1", "pg3", "pg2", "pg5", "pg6", "pg4")]
    site.expect_no_harm()


@pytest.mark.thorough
def test_several_clusters_in_step(site: Site) -> None:
    printed = site.play(f"--extra-vars=patroni_version={NEW} patroni_clusters_at_once=2")

    assert printed.startswith("0\n"), printed
    order = [name for name, _version in site.restarted()]
    assert [set(order[start : start + 2]) for start in (0, 2, 4)] == [{"pg1", "pg5"}, {"pg3", "pg6"}, {"pg2", "pg4"}]
    site.expect_no_harm()


@pytest.mark.thorough
def test_check_mode_changes_nothing(site: Site) -> None:
    before = site.read()

    printed = site.play(f"--extra-vars=patroni_version={NEW}", "--check")

    assert printed.startswith("0\n"), printed
    assert printed.count("would be restarted here") == 6
    assert site.read() == before


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"not_offered": [NEW]}, f"Patroni {NEW} is not ready on pg6: the index offers no {NEW}"),
        (
            {"service": {"KillMode": "mixed"}},
            "is not ready on pg6: KillMode of the service must be process, and is mixed",
        ),
        ({"faults": {"/venv": ["etcd3.hosts x is wrong"]}}, "is not ready on pg6: it rejects"),
    ],
)
def test_nothing_is_restarted_if_one_host_is_not_ready(site: Site, changes: dict[str, t.Any], told: str) -> None:
    site.change("pg6", **changes)
    if "faults" in changes:
        # The one that runs finds nothing: it is looked at before it is replaced.
        site.change("pg6", faults={}, faults_later=changes["faults"])

    printed = site.play(f"--extra-vars=patroni_version={NEW}")

    assert printed.startswith("2\n"), printed
    assert told in printed
    assert site.restarted() == []
    assert {host["installed"] for host in site.read()["hosts"].values()} == {OLD}
    site.expect_no_harm()


@pytest.mark.thorough
@pytest.mark.parametrize(("broken", "upgraded"), [("pg3", ["pg1"]), ("pg2", ["pg1", "pg3"])], ids=["replica", "leader"])
def test_member_that_does_not_come_up_goes_back(site: Site, broken: str, upgraded: list[str]) -> None:
    site.change(broken, fails_with=[NEW])

    printed = site.play(f"--extra-vars=patroni_version={NEW}")

    assert printed.startswith("2\n"), printed
    assert f"{broken} was not upgraded to Patroni {NEW}: 2 seconds after the restart it does not answer" in printed
    assert "ImportError: no module" in printed
    assert f"It was returned to Patroni {OLD}" in printed
    assert site.running() == {f"pg{n}": NEW if f"pg{n}" in upgraded else OLD for n in range(1, 7)}
    hosts = site.read()["hosts"]
    assert {name: one["installed"] for name, one in hosts.items()} == site.running()
    site.expect_no_harm()


@pytest.mark.thorough
def test_member_whose_version_is_not_kept_builds_it_again(site: Site) -> None:
    site.change("pg3", fails_with=[NEW], made_by_pipx=[OLD])

    printed = site.play(f"--extra-vars=patroni_version={NEW}")

    assert printed.startswith("2\n"), printed
    assert f"It was returned to Patroni {OLD}" in printed
    assert site.running()["pg3"] == OLD
    assert ["return", "pg3", OLD] in site.log
    site.expect_no_harm()


@pytest.mark.thorough
def test_leader_that_cannot_go_back_leaves_its_cluster_paused(site: Site) -> None:
    site.change("pg2", fails_with=[NEW, OLD])

    printed = site.play(f"--extra-vars=patroni_version={NEW}")

    assert printed.startswith("2\n"), printed
    assert "failed as well" in printed
    assert "still paused" in printed
    state = site.read()
    assert [cluster["paused"] for cluster in state["clusters"]] == [True, False]
    assert state["harm"] == []


@pytest.mark.thorough
def test_leader_that_is_forgotten_leaves_its_cluster_paused(site: Site) -> None:
    site.change("pg2", fails_with=[NEW, OLD], forgotten=True)

    printed = site.play(f"--extra-vars=patroni_version={NEW}")

    assert printed.startswith("2\n"), printed
    for told in ("The upgrade stopped", "failed as well", "still paused", "Repair the leader first"):
        assert told in printed, told
    assert "was paused before this run" not in printed
    assert [cluster["paused"] for cluster in site.read()["clusters"]] == [True, False]


@pytest.mark.thorough
def test_host_that_is_lost_while_it_restarts_does_not_leave_its_cluster_paused(site: Site) -> None:
    site.change("pg3", lost_at_restart=True)
    over_ssh = {
        "ansible_connection": "ssh",
        "ansible_ssh_executable": str(site.directory / "bin" / "ssh"),
        "ansible_ssh_transfer_method": "piped",
        "ansible_pipelining": True,
    }

    printed = site.play(f"--extra-vars={json.dumps({**over_ssh, 'patroni_version': NEW})}")

    assert not printed.startswith("0\n"), printed
    assert f"pg3 was not upgraded to Patroni {NEW}: the host became unreachable" in printed
    assert f"Returning to Patroni {OLD} failed as well: the host became unreachable" in printed
    assert "still paused" not in printed
    state = site.read()
    assert state["harm"] == []
    assert [cluster["paused"] for cluster in state["clusters"]] == [False, False]
    assert ["resume", "pg1"] in state["log"]
    # Its next run there finds the mark of a pause that has ended, and removes it.
    assert [note.name for note in site.directory.glob("*.note")] == ["pg3.note"]


@pytest.mark.thorough
def test_pause_that_somebody_else_began_meanwhile_stays(site: Site) -> None:
    site.change("pg3", paused_meanwhile=True)

    printed = site.play(f"--extra-vars=patroni_version={NEW}")

    assert printed.startswith("2\n"), printed
    assert f"pg3 was not upgraded to Patroni {NEW}: its cluster was paused by somebody else during this run" in printed
    assert site.restarted() == [("pg1", NEW)]
    state = site.read()
    assert [cluster["paused"] for cluster in state["clusters"]] == [True, False]
    assert {name: one["installed"] for name, one in state["hosts"].items()} == site.running()
    assert list(site.directory.glob("*.note")) == []


@pytest.mark.thorough
def test_cluster_that_is_paused_during_the_build_is_not_touched(site: Site) -> None:
    site.change("pg4", paused_at_install=True)

    printed = site.play(f"--extra-vars=patroni_version={NEW}")

    assert printed.startswith("2\n"), printed
    assert "The cluster demo (pg4, pg5, pg6) was paused or resumed by somebody else" in printed
    assert site.restarted() == []
    state = site.read()
    assert [cluster["paused"] for cluster in state["clusters"]] == [False, True]
    assert {one["installed"] for one in state["hosts"].values()} == {OLD}


@pytest.mark.thorough
def test_store_that_fails_during_the_build_leaves_the_running_version_installed(site: Site) -> None:
    site.change("pg5", store_down_after_install=True)

    printed = site.play(f"--extra-vars=patroni_version={NEW}")

    assert printed.startswith("2\n"), printed
    assert "pg5: it cannot list the members of its cluster: EtcdException: no etcd answers" in printed
    assert site.restarted() == []
    assert {one["installed"] for one in site.read()["hosts"].values()} == {OLD}
    site.expect_no_harm()


@pytest.mark.thorough
def test_member_that_is_slow_to_acknowledge_is_not_taken_for_a_failure(site: Site) -> None:
    site.change("pg1", slow_to="resume")

    printed = site.play(f"--extra-vars=patroni_version={NEW}")

    assert printed.startswith("0\n"), printed
    assert set(site.running().values()) == {NEW}
    site.expect_no_harm()


@pytest.mark.thorough
def test_interrupted_pause_is_named_if_another_cluster_is_unwell(site: Site) -> None:
    state = site.read()
    state["clusters"][1]["paused"] = True
    site.write(state)
    (site.directory / "pg5.note").touch()
    site.change("pg1", state="start failed")

    printed = site.play(f"--extra-vars=patroni_version={NEW}")

    assert printed.startswith("2\n"), printed
    assert "the cluster demo (pg4, pg5, pg6) is still paused by an interrupted run of this playbook" in printed
    assert site.log == []


@pytest.mark.thorough
def test_member_that_has_not_noticed_the_pause_is_not_restarted(site: Site) -> None:
    site.change("pg1", unaware=True)

    printed = site.play(f"--extra-vars=patroni_version={NEW}")

    assert printed.startswith("2\n"), printed
    assert "the member does not report the pause of its cluster, so its Patroni was not restarted" in printed
    assert site.restarted() == []
    assert set(site.running().values()) == {OLD}
    site.expect_no_harm()


@pytest.mark.thorough
def test_host_that_failed_in_an_earlier_play(site: Site) -> None:
    plays = [
        {
            "hosts": "pgedge",
            "gather_facts": False,
            "tasks": [{"ansible.builtin.fail": {}, "when": "inventory_hostname == 'pg1'"}],
        },
        {"ansible.builtin.import_playbook": "pgedge.platform.upgrade_patroni"},
    ]
    (site.directory / "both.yml").write_text(json.dumps(plays))

    printed = site.play(f"--extra-vars=patroni_version={NEW}", playbook="both.yml")

    assert printed.startswith("2\n"), printed
    assert "pg1: it could not be reached" in printed
    assert "Nothing was changed" in printed
    assert site.log == []


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (f"patroni_version={NEW} patroni_state=latest", "patroni_state must be present"),
        ("patroni_version=", "patroni_version must be set"),
    ],
)
def test_settings_that_are_refused(site: Site, settings: str, told: str) -> None:
    printed = site.play(f"--extra-vars={settings}")

    assert printed.startswith("2\n"), printed
    assert told in printed
    assert site.log == []


@pytest.mark.thorough
def test_return_that_cannot_be_made_is_told(site: Site) -> None:
    site.change("pg3", fails_with=[NEW], made_by_pipx=[OLD], not_offered=[OLD])

    printed = site.play(f"--extra-vars=patroni_version={NEW}")

    assert printed.startswith("2\n"), printed
    assert f"Returning to Patroni {OLD} failed as well: the index offers no {OLD}" in printed
    state = site.read()
    assert state["harm"] == []
    # Its leader is well, so that the cluster is resumed.
    assert [cluster["paused"] for cluster in state["clusters"]] == [False, False]
    assert list(site.directory.glob("*.note")) == []


@pytest.mark.thorough
def test_pause_of_the_operators_stays(site: Site) -> None:
    state = site.read()
    state["clusters"][0]["paused"] = True
    site.write(state)

    printed = site.play(f"--extra-vars=patroni_version={NEW}")

    assert printed.startswith("0\n"), printed
    assert "was paused before this run and still is" in printed
    state = site.read()
    assert [cluster["paused"] for cluster in state["clusters"]] == [True, False]
    assert [
        entry for entry in state["log"] if entry[0] in ("pause", "resume") and entry[1] in ("pg1", "pg2", "pg3")
    ] == []
    assert set(site.running().values()) == {NEW}


def test_pause_of_an_interrupted_run_ends(site: Site) -> None:
    state = site.read()
    state["clusters"][1]["paused"] = True
    site.write(state)
    note = site.directory / "pg5.note"
    note.touch()
    os.utime(note, (0, 0))

    printed = site.play(f"--extra-vars=patroni_version={OLD}")

    assert printed.startswith("0\n"), printed
    assert "An interrupted run left the cluster demo (pg4, pg5, pg6) paused" in printed
    assert site.restarted() == []
    site.expect_no_harm()


@pytest.mark.thorough
@pytest.mark.parametrize("seed", [str(seed) for seed in range(10)])
def test_two_imports_in_one_playbook(site: Site, seed: str) -> None:
    imports = [
        {
            "ansible.builtin.import_playbook": "pgedge.platform.upgrade_patroni",
            "vars": {"patroni_hosts": hosts, "patroni_version": NEW},
        }
        for hosts in ("pg1:pg2:pg3", "pg4:pg5:pg6")
    ]
    (site.directory / "both.yml").write_text(json.dumps(imports))

    printed = site.play(playbook="both.yml", PYTHONHASHSEED=seed, ANSIBLE_STRATEGY="free")

    assert printed.startswith("0\n"), printed
    assert [name for name, _version in site.restarted()] == ["pg1", "pg3", "pg2", "pg5", "pg6", "pg4"]
    site.expect_no_harm()


def test_everything_that_is_wrong_is_told_before_anything_changes(site: Site) -> None:
    site.change("pg1", state="start failed")
    site.change("pg5", service={"ActiveState": "inactive"})
    site.change("pg6", store_down=True)

    printed = site.play(f"--extra-vars=patroni_version={NEW}", "--limit=!pg3")

    assert printed.startswith("2\n"), printed
    for told in (
        "Nothing was changed",
        "pg6: it cannot list the members of its cluster: EtcdException: no etcd answers",
        "pg5: its Patroni must run as the service patroni.service, which is inactive; set patroni_unit_path",
        "the cluster demo (pg1, pg2, pg3) is incomplete in this run, without a host for pg3",
        "pg1 (replica) must be streaming, and its state is 'start failed'",
    ):
        assert told in printed, told
    assert "Traceback" not in printed
    assert site.log == []


@pytest.mark.thorough
def test_report(site: Site) -> None:
    site.change("pg3", installed=NEW, kept=[OLD])
    site.change("pg6", runs=None)
    before = site.read()

    printed = site.play("--extra-vars=patroni_report_file=report.json", playbook="pgedge.platform.patroni_report")

    assert printed.startswith("0\n"), printed
    report = json.loads((site.directory / "report.json").read_text())
    rows = {row["host"]: row for row in report["rows"]}
    assert site.read() == before
    assert (rows["pg3"]["installed"], rows["pg3"]["runs"], rows["pg3"]["restart_due"]) == (NEW, OLD, True)
    assert rows["pg6"]["problem"].startswith("its Patroni does not answer")
    assert rows["pg1"]["restart_due"] is False
