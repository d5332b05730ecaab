# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role through ansible-runner, as AWX and execution environments run it, on a real host."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import ansible_runner
import pytest
from lab import BIN, Host, steps

pytestmark = pytest.mark.hosts

PLAYBOOK = """
- hosts: pgedge
  gather_facts: false
  collections:
    - pgedge.platform
  roles:
    - install_patroni
"""


@pytest.fixture
def project(tmp_path: Path, hosts: dict[str, Host]) -> Path:
    """A directory as ansible-runner takes it: a project, and an inventory of one host."""
    inventory = (
        f"[pgedge]\n{hosts['debian12'].container}"
        " ansible_connection=community.docker.docker ansible_python_interpreter=/usr/bin/python3\n"
    )
    for name, text in (("project/patroni.yml", PLAYBOOK), ("inventory/hosts", inventory)):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_text(text, "utf-8")
    return tmp_path


@pytest.fixture
def run(project: Path, collections: Path, monkeypatch: pytest.MonkeyPatch) -> t.Callable[[str], ansible_runner.Runner]:
    """Run the playbook, with the options of ansible-playbook."""
    # ansible-runner looks for ansible-playbook there.
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    settings = {"ANSIBLE_COLLECTIONS_PATH": str(collections), "ANSIBLE_HOME": str(project / "ansible")}

    def run(options: str) -> ansible_runner.Runner:
        return ansible_runner.run(
            private_data_dir=str(project), playbook="patroni.yml", cmdline=options, envvars=settings, quiet=True
        )

    return run


def result_of(done: ansible_runner.Runner) -> dict[str, t.Any]:
    """What the role's one task returned."""
    assert done.status == "successful", done.stdout.read()
    finished = (event["event_data"] for event in done.events if event["event"] == "runner_on_ok")
    (event,) = (event for event in finished if event["resolved_action"] == "pgedge.platform.patroni_install")
    return event["res"]


def test_role(run: t.Callable[[str], ansible_runner.Runner], hosts: dict[str, Host]) -> None:
    planned = result_of(run("--check --diff"))
    installed = result_of(run("--diff"))
    again = result_of(run("--diff"))

    assert planned["changed"]
    assert planned["diff"]
    assert steps(installed) == steps(planned)
    assert hosts["debian12"].version() == installed["version"]
    assert not again["changed"]
