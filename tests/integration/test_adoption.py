# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts on which somebody has set something up: nothing of it is lost in silence, and nothing is taken from it."""

from __future__ import annotations

import typing as t
import zipfile
from pathlib import Path

import pytest
from lab import CONFIGURATION, UNIT, Host, actions

pytestmark = [pytest.mark.hosts, pytest.mark.usefixtures("hosts")]

OLD, NEW = "4.0.11", "4.1.5"
WHEELS = "/opt/stand-in"
THEIRS = """\
[Unit]
Description=Patroni
[Service]
Type=simple
User=postgres
Group=postgres
LimitNOFILE=65536
{more}
ExecStart={command}
KillMode=process
[Install]
WantedBy=multi-user.target
"""
SECOND = {"unit_path": "/etc/systemd/system/patroni-b.service", "config_dir": "/etc/patroni-b"}


@pytest.fixture
def host(hosts: dict[str, Host]) -> t.Iterator[Host]:
    """A host with the older line of Patroni."""
    host = hosts["debian12"]
    assert not host.install(version=OLD).get("failed")
    yield host
    host.shell("systemctl stop patroni; rm -f /etc/patroni/*")


def warned(result: dict[str, t.Any]) -> str:
    return "\n".join(map(str, result.get("warnings", [])))


@pytest.mark.parametrize(
    ("command", "more"),
    [
        ("{bin_dir}/patroni /etc/patroni/patroni.yml", ""),
        ("-/bin/sh -c 'exec {bin_dir}/patroni /etc/patroni/patroni.yml'", ""),
        ("{bin_dir}/patroni ${{CONF}}", "Environment=CONF=/etc/patroni/patroni.yml"),
        ("/usr/bin/nice -n 1 {bin_dir}/patroni patroni.yml", "WorkingDirectory=/etc/patroni"),
    ],
)
def test_a_unit_keeps_its_configuration(host: Host, command: str, more: str) -> None:
    text = THEIRS.format(command=command.format(bin_dir=host.bin_dir), more=more)
    config = "/etc/patroni/patroni.yml"
    for path, content in ((UNIT, text), (config, CONFIGURATION)):
        host.run("bash", "-c", f"cat > {path} <<'EOF'\n{content}\nEOF")
    host.shell(f"chown postgres: {config}; systemctl daemon-reload; systemctl start patroni")
    host.shell(
        "until tr '\\0' ' ' < /proc/$(systemctl show --value -p MainPID patroni)/cmdline | grep patroni.yml; do :; done"
    )

    planned = host.install(check_mode=True)
    result = host.install()

    assert actions(result) == actions(planned) == ["write_unit", "reload_systemd"]
    assert "Service.LimitNOFILE" in warned(planned)
    assert result["restart_required"] is True
    assert result["config_file"] == config
    host.shell("systemctl restart patroni")
    host.shell("tr '\\0' ' ' < /proc/$(systemctl show --value -p MainPID patroni)/cmdline | grep patroni.yml")
    assert host.install()["changed"] is False


def test_injected_packages_move_along(host: Host) -> None:
    variables = f"HOME={host.home} PIPX_HOME={host.pipx_home} PIPX_BIN_DIR={host.bin_dir}"
    host.shell(f"cd /; env {variables} pipx inject --include-apps patroni 'cowsay>=5'", user="postgres")
    host.shell(f"cd /; {host.venv}/bin/python -m pip install tabulate", user="postgres")

    planned = host.install(version=NEW, check_mode=True)
    result = host.install(version=NEW)

    assert actions(planned) == actions(result)
    assert "cowsay>=5" in planned["msg"]
    assert "injected: cowsay>=5, tabulate" in result["diff"][0]["after"]
    host.run(f"{host.venv}/bin/python", "-c", "import cowsay, tabulate", user="postgres")
    host.run(f"{host.bin_dir}/cowsay", "-t", "moo", user="postgres")
    assert host.version() == NEW
    assert host.install(version=NEW)["changed"] is False

    gone = host.install(version=OLD, no_index=True, find_links=[WHEELS], retries=0)
    assert gone["failed"]
    assert host.version() == NEW
    host.install(state="absent")


def stand_in(folder: Path) -> Path:
    """Make a wheel in the place of systemd-python, which takes a compiler."""
    wheel = folder / "systemd_python-999-py3-none-any.whl"
    info = "systemd_python-999.dist-info"
    files = {
        "systemd/__init__.py": "",
        "systemd/daemon.py": "def notify(message):\n    return False\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: systemd-python\nVersion: 999\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD")))
    return wheel


def test_the_unit_follows_what_is_installed(host: Host, tmp_path: Path) -> None:
    host.shell(f"mkdir -p {WHEELS}")
    host.copy(stand_in(tmp_path), WHEELS)
    extras = {"extras": ["psycopg2-binary", "systemd"], "find_links": [WHEELS]}

    def kind() -> str:
        return host.shell(f"grep ^Type= {UNIT}").strip()

    assert not host.install(version=OLD, extras=["psycopg2-binary", "all"]).get("failed")
    assert kind() == "Type=simple"
    for version, expected in ((NEW, "Type=notify"), (OLD, "Type=simple")):
        planned = host.install(version=version, check_mode=True, **extras)
        result = host.install(version=version, **extras)
        assert actions(planned) == actions(result)
        assert (result["version"], kind()) == (version, expected)
        assert host.install(version=version, **extras)["changed"] is False
    host.install(state="absent")


def test_an_interpreter_behind_a_wrapper(host: Host) -> None:
    host.shell("printf '#!/bin/sh\\nexec /usr/bin/python3 \"$@\"\\n' > /usr/local/bin/py; chmod 755 /usr/local/bin/py")
    host.install(state="absent")
    wrapped = {"python": "/usr/local/bin/py", "version": OLD}

    assert host.install(**wrapped)["changed"]
    assert host.install(**wrapped)["changed"] is False
    # Neither does one that was made with the interpreter itself.
    host.install(state="absent")
    host.install(version=OLD)
    assert host.install(**wrapped)["changed"] is False
    # Nor a virtual environment's own.
    host.shell("python3 -m venv --without-pip --copies /opt/v && chmod -R a+rX /opt/v")
    assert host.install(python="/opt/v/bin/python")["changed"] is False
    refused = host.install(python="/usr/bin/env")
    assert "must start a Python 3" in refused["msg"]


def test_two_units_share_an_environment(host: Host) -> None:
    assert not host.install(**SECOND).get("failed")
    planned = host.install(state="absent", check_mode=True, **SECOND)
    removed = host.install(state="absent", **SECOND)
    assert actions(planned) == actions(removed) == ["remove_unit", "reload_systemd"]
    assert f"because {UNIT} uses it" in removed["msg"]
    assert host.works()
    assert host.install(version=OLD)["changed"] is False


def test_processes_in_the_environment_keep_it(host: Host) -> None:
    """Also one that was started through the link, which an upgrade leads elsewhere."""
    former = host.run("readlink", "-f", host.venv).stdout.strip()
    script = "import yaml, time; print(flush=True); time.sleep(600)"
    start = f"nohup {host.venv}/bin/python -c '{script}' > /tmp/started 2> /dev/null & echo $! > /tmp/sleeper"
    host.shell(f"{start}; until test -s /tmp/started; do :; done", user="postgres")
    upgraded = host.install(version=NEW)
    assert "a process still runs in it" in warned(upgraded)
    assert host.run("test", "-e", f"{former}/bin/python", check=False).returncode == 0
    refused = host.install(state="absent")
    assert "processes run in" in refused["msg"]
    assert host.works()
    host.shell("kill $(cat /tmp/sleeper)")
    host.shell("while kill -0 $(cat /tmp/sleeper) 2> /dev/null; do :; done")
    assert host.install(state="absent")["changed"]
