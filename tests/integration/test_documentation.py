# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation, word for word, on hosts; tests/unit/docs knows which example is tested where."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import textwrap
import typing as t
from pathlib import Path

import pytest
from bundles import commands, documented
from lab import BIN, CHECKOUT, Host

pytestmark = pytest.mark.hosts

VERSION = "4.1.5"
NAMES = ("pg1.example.com", "pg2.example.com", "pg3.example.com")


class Controller:
    """A person's controller: a home of its own, in which the collection is installed, and a directory of playbooks."""

    def __init__(self, top: Path, hosts: t.Iterable[Host]) -> None:
        self.folder = top / "playbooks"
        (self.folder / "host_vars").mkdir(parents=True)
        for name, host in zip(NAMES, hosts, strict=True):
            # The documented inventory has addresses; these hosts are containers.
            (self.folder / "host_vars" / f"{name}.yml").write_text(
                f"ansible_connection: community.docker.docker\nansible_host: {host.container}\n"
                "ansible_python_interpreter: /usr/bin/python3\n",
                encoding="utf-8",
            )
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        self.environment = {
            **inherited,
            "HOME": str(top / "home"),
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "ANSIBLE_NOCOLOR": "1",
        }

    def type(self, command: str, folder: Path | None = None) -> str:
        """Run a command as it is documented, and return what it printed."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=folder or self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}:\n{done.stdout}"
        return done.stdout

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")


def changed(output: str) -> dict[str, int]:
    """How many tasks changed something, by host."""
    return {name: int(count) for name, count in re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+) ", output, re.MULTILINE)}


def shown(page: str) -> list[set[str]]:
    """The lines of each output that a page shows, without headers, which are as wide as the terminal."""
    outputs = re.findall(r"^```text\n(.*?)^```$", (CHECKOUT / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [
        {line for line in output.splitlines() if not line.startswith(("TASK", "PLAY", "..."))} for output in outputs
    ]


def lines(output: str) -> set[str]:
    return {line.rstrip() for line in output.splitlines()}


@pytest.fixture(scope="module")
def controller(hosts: dict[str, Host], tmp_path_factory: pytest.TempPathFactory) -> Controller:
    """A controller with the collection, inventory and playbook of the page, put there as the page says."""
    top = tmp_path_factory.mktemp("controller")
    made = Controller(top, hosts.values())
    checkout = top / "checkout"
    shutil.copytree(CHECKOUT, checkout, ignore=shutil.ignore_patterns(".*", "collections", "*.pyc"))
    for command in commands(documented("Install the collection", "console", "docs/install.md")):
        made.type(command, checkout)
    made.write("hosts.yml", documented("Write an inventory", "yaml", "docs/install.md"))
    made.write("patroni.yml", documented("Write a playbook", "yaml", "docs/install.md"))
    return made


def test_the_page_on_installation(controller: Controller, hosts: dict[str, Host]) -> None:
    (look,) = commands(documented("Preview", "console", "docs/install.md"))
    (install,) = commands(documented("Apply", "console", "docs/install.md"))
    (read,) = commands(documented("Troubleshooting", "console", "docs/troubleshooting.md"))

    plan = controller.type(look)
    there = [host.run("test", "-e", host.venv, check=False).returncode for host in hosts.values()]
    first, second = controller.type(install), controller.type(install)
    result = controller.type(read)

    assert changed(plan) == changed(first) == dict.fromkeys(NAMES, 1)
    assert "+++ after: /etc/systemd/system/patroni.service\n" in plan
    assert there == [1, 1, 1]
    # The first host is the one that README shows.
    preview, nothing_to_do = shown("README.md")
    assert preview <= lines(plan)
    assert nothing_to_do <= lines(second)
    assert changed(second) == dict.fromkeys(NAMES, 0)
    assert len(re.findall(r"^    msg: ['\"]?nothing to do: Patroni \d", result, re.MULTILINE)) == len(NAMES)
    assert all(host.works() for host in hosts.values())


def test_the_role_with_variables(controller: Controller, hosts: dict[str, Host]) -> None:
    controller.write("choose.yml", documented("Set options", "yaml", "docs/install.md"))

    first, second = (controller.type("ansible-playbook -i hosts.yml choose.yml") for _run in range(2))

    assert changed(first) == dict.fromkeys(NAMES, 1)
    assert changed(second) == dict.fromkeys(NAMES, 0)
    for host in hosts.values():
        shown = host.run("/opt/patroni/bin/patroni", "--version", user="postgres").stdout
        assert shown == f"patroni {VERSION}\n"


@pytest.mark.parametrize(
    ("page", "heading"),
    [("docs/install.md", "Use the module without the role"), ("docs/lifecycle.md", "When to restart")],
)
def test_tasks(controller: Controller, hosts: dict[str, Host], page: str, heading: str) -> None:
    tasks = textwrap.indent(documented(heading, "yaml", page), "    ")
    controller.write("tasks.yml", f"- hosts: pgedge\n  gather_facts: false\n  tasks:\n{tasks}")

    controller.type("ansible-playbook -i hosts.yml tasks.yml")

    assert {host.version() for host in hosts.values()} == {VERSION}


@pytest.mark.parametrize("name", ["debian12", pytest.param("debian13", marks=pytest.mark.thorough)])
def test_the_bill_of_materials(hosts: dict[str, Host], name: str) -> None:
    host = hosts[name]
    assert not host.install(version=VERSION).get("failed")
    before = host.install()
    (command,) = commands(documented("What is inside", "console", "docs/lifecycle.md"))

    host.shell(f"cd /root && {command}")

    bill = json.loads(host.run("cat", "/root/patroni.cdx.json").stdout)
    assert bill["bomFormat"] == "CycloneDX"
    assert {component["name"]: component["version"] for component in bill["components"]}["patroni"] == VERSION
    assert before["changed"] is host.install()["changed"] is False
