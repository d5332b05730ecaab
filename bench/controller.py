# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of ansible-playbook, measured and checked."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

from lab import BIN, BenchError, Host, Lab

PLAYBOOKS = Path(__file__).parent / "playbooks"
_RECAP = re.compile(r"^(\S+) +: ok=(\d+) +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """What one command took on this machine.

    Attributes:
        seconds: from start to end.
        cpu_seconds: of the command and all that it waited for, in user and system mode.
        peak_kib: the most memory that one of its processes held.
        output: what it printed.
    """

    seconds: float
    cpu_seconds: float
    peak_kib: int
    output: str


def measure(command: list[str], environment: dict[str, str] | None = None, folder: Path | None = None) -> Run:
    """Run a command to its end.

    Raises:
        BenchError: it failed.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _pid, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode != 0:
        raise BenchError(f"{' '.join(command)} ended with {process.returncode}:\n{output}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss, output)


class Controller:
    """Ansible, with a configuration and an inventory of its own.

    Several names may lead to one host: each has a connection of its own, as to a host of its own.
    """

    def __init__(self, lab: Lab, hosts: list[Host], names: int | None = None) -> None:
        self._lab = lab
        self.names = [f"host{number:03}" for number in range(names or len(hosts))]
        lab.inventories += 1
        self._number = lab.inventories
        self.inventory = lab.folder / f"inventory{self._number}.json"
        entries = {
            name: {
                "ansible_host": hosts[number % len(hosts)].address,
                # The names of one host would else share one connection.
                "ansible_control_path": f"{lab.folder}/cp/{self._number}-{name}",
            }
            for number, name in enumerate(self.names)
        }
        group = {"hosts": entries, "vars": {"ansible_user": "deploy", "ansible_become": True}}
        self.inventory.write_text(json.dumps({"pgedge": group}), "utf-8")
        options = [option for option in lab.ssh_options if not option.startswith("ControlPath")]
        (lab.folder / "ansible.cfg").write_text(
            "[defaults]\n"
            "gathering = explicit\n"
            "interpreter_python = /usr/bin/python3\n"
            f"home = {lab.folder}/ansible\n"
            f"collections_path = {lab.collections}\n"
            "nocolor = true\n"
            "[ssh_connection]\n"
            "pipelining = true\n"
            f"ssh_args = {' '.join(f'-o {option}' for option in options)}\n",
            "utf-8",
        )

    def disconnect(self) -> None:
        """End the connections of this inventory."""
        for socket in (self._lab.folder / "cp").glob(f"{self._number}-*"):
            subprocess.run(["ssh", f"-oControlPath={socket}", "-O", "exit", "-"], capture_output=True, check=False)

    def environment(self, **more: str) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        return {
            **inherited,
            "ANSIBLE_CONFIG": f"{self._lab.folder}/ansible.cfg",
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            **more,
        }

    def command(self, playbook: str, *options: str, **variables: t.Any) -> list[str]:
        """Build the command that an operator types."""
        extra = ["--extra-vars", json.dumps(variables)] if variables else []
        return [str(BIN / "ansible-playbook"), "-i", str(self.inventory), *options, *extra, str(PLAYBOOKS / playbook)]

    def play(
        self,
        playbook: str,
        *options: str,
        changed: bool,
        settings: t.Mapping[str, str] | None = None,
        **variables: t.Any,
    ) -> Run:
        """Run a playbook, and see that every host changed, or that none did.

        Raises:
            BenchError: the run was not what it should have been.
        """
        command = self.command(playbook, *options, **variables)
        run = measure(command, self.environment(**(settings or {})), self._lab.folder)
        recap = {name: tuple(map(int, counts)) for name, *counts in _RECAP.findall(run.output)}
        if set(recap) != set(self.names):
            raise BenchError(f"{playbook}: not every host was reached:\n{run.output}")
        for name, (ok, changes, unreachable, failed) in recap.items():
            if not ok or bool(changes) is not changed or unreachable or failed:
                raise BenchError(f"{playbook}: {name} should{'' if changed else ' not'} have changed:\n{run.output}")
        return run
