# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module on a simulated machine: a first installation, and what it finds on hosts of all kinds."""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path

import pytest

from ansible_collections.pgedge.platform.plugins.module_utils._patroni import _pipx
from ansible_collections.pgedge.platform.tests.unit.plugins.environments import add_distribution
from ansible_collections.pgedge.platform.tests.unit.plugins.machine import GID, UID, Call
from ansible_collections.pgedge.platform.tests.unit.plugins.modules.calls import (
    APT_CACHE,
    DNF,
    DNF_INSTALL,
    RELOAD,
    WANTED,
    ask_interpreter,
    ask_pip,
    assert_installed,
    checks,
    debian_from_nothing,
    exposed,
    first_installation,
    first_steps,
    links,
    pip_as_root,
    pip_install_pipx,
    pipx_install,
    pipx_variables,
    pipx_version,
    redhat_from_nothing,
    show,
    shown,
    steps,
    upgrade,
)


def test_debian_with_nothing_there(machine):
    result = machine.run(*debian_from_nothing(machine))

    assert steps(result) == [("install_packages", "pipx"), *first_steps(machine)]
    assert {name: result[name] for name in ("changed", "version", "previous_version", "restart_required")} == {
        "changed": True,
        "version": "4.1.5",
        "previous_version": None,
        "restart_required": False,
    }
    assert result["pipx"] == {"path": f"{machine.base}/usr/bin/pipx", "version": "1.1.0"}
    assert (result["venv"], result["bin_dir"]) == (machine.pointer, machine.bin_dir)
    assert machine.warnings == []
    assert_installed(machine)


def test_redhat_with_nothing_there(make_machine):
    machine = make_machine("redhat")

    result = machine.run(*redhat_from_nothing(machine))

    assert steps(result) == [("install_packages", "python3-pip"), ("install_pipx", "pipx"), *first_steps(machine)]
    assert result["pipx"] == {"path": f"{machine.base}/usr/local/bin/pipx", "version": "1.1.0"}
    assert_installed(machine)


def test_redhat_with_pip_there(make_machine):
    machine = make_machine("redhat")
    calls = redhat_from_nothing(machine)
    calls[1] = ask_pip(machine.interpreter, "3.11 pip ")
    del calls[3]
    calls[3] = calls[3]._replace(argv=[*calls[3].argv[:-1], "pipx==1.11.1"])

    result = machine.run(*calls, pipx_version="1.11.1")

    assert steps(result) == [("install_pipx", "pipx==1.11.1"), *first_steps(machine)]


FINE, NONE, OLD = "3.12 pip ", "3.12 none ", "3.6 pip "
MANAGED = "3.12 pip /usr/lib/python3.12/EXTERNALLY-MANAGED"


@pytest.mark.parametrize(
    ("found", "chosen", "package"),
    [
        pytest.param({"asked": FINE}, "asked", None, id="asked for"),
        pytest.param({"linked": FINE}, "asked", None, id="asked for through a link"),
        pytest.param({"asked": NONE}, "asked", "python3.12-pip", id="asked for, without pip"),
        pytest.param({"asked": "3.9 none "}, "asked", "python39-pip", id="asked for, of a module of RHEL 8"),
        pytest.param({"asked": OLD, "own": FINE}, "own", None, id="asked for, but too old"),
        pytest.param({"asked": "", "own": FINE}, "own", None, id="asked for, but does not run"),
        pytest.param({"asked": MANAGED, "own": FINE}, "own", None, id="asked for, but reserved for packages"),
        pytest.param({"built": None, "own": FINE}, "own", None, id="built by the site: root does not run it"),
        pytest.param({"theirs": None, "own": FINE}, "own", None, id="the account's: root does not run it"),
        pytest.param({"named": None, "own": FINE}, "own", None, id="a link to another program: root does not run it"),
        pytest.param({"own": FINE}, "own", None, id="of the module"),
        pytest.param({"own": NONE}, "own", "python3.12-pip", id="of the module, without pip"),
        pytest.param({"own": OLD, "system": "3.9 none "}, "system", "python3-pip", id="of the system"),
        pytest.param({"private": None, "system": FINE}, "system", None, id="of the module, for root alone"),
    ],
)
def test_python_that_pipx_is_installed_for(make_machine, monkeypatch, found, chosen, package):
    machine = make_machine("redhat")
    places = {
        "asked": "/usr/bin/python3.12",
        "linked": "/usr/local/bin/python",
        "built": "/opt/python/bin/python3.12",
        "theirs": f"{machine.home}/bin/python3.12"[len(machine.base) :],
        "named": "/opt/python3",
        "own": "/usr/bin/python3.11",
        "private": "/root/python/bin/python3.11",
        "system": "/usr/bin/python3.9",
    }
    pythons = {name: machine.tool(path.rpartition("/")[2], os.path.dirname(path)) for name, path in places.items()}
    for link, target in (("linked", pythons["asked"]), ("named", machine.setpriv)):
        os.unlink(pythons[link])
        os.symlink(target, pythons[link])
    os.chmod(pythons["private"], 0o700)
    own = pythons["private" if "private" in found else "own"]
    monkeypatch.setattr(sys, "_base_executable", own)
    monkeypatch.setattr(_pipx, "_SYSTEM_PYTHONS", (f"{machine.base}/usr/libexec/platform-python", pythons["system"]))
    (asked,) = [pythons[name] for name in found if name not in ("own", "private", "system")] or [None]
    calls = [
        show(),
        *([ask_interpreter(asked, os.path.realpath(asked))] if asked else []),
        *(ask_pip(os.path.realpath(pythons[name]), answer) for name, answer in found.items() if answer is not None),
    ]

    planned = machine.run(*calls, check=True, python=asked)

    assert steps(planned)[: 2 if package else 1] == [
        *([("install_packages", package)] if package else []),
        ("install_pipx", "pipx"),
    ]
    pip = pip_install_pipx(pythons[chosen])
    refused = machine.run(
        *calls,
        *calls[:1],
        *([Call([*DNF_INSTALL[:-1], package], variables=DNF)] if package else []),
        Call(pip, variables=pip_as_root(machine), rc=1, err="no\n"),
        python=asked,
        fails=True,
    )
    assert refused["cmd"] == pip


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (OLD, "no pip of Python 3.8 or newer to install it: install pip for the Python that runs this module, or name"),
        (MANAGED, "/usr/lib/python3.12/EXTERNALLY-MANAGED forbids pip to install one for "),
    ],
)
def test_python_for_which_pip_cannot_install_pipx(make_machine, answer, message, check):
    machine = make_machine("redhat")
    before = machine.tree()

    result = machine.run(show(), ask_pip(machine.interpreter, answer), check=check, fails=True)

    assert message in result["msg"]
    assert "pipx_executable" in result["msg"]
    assert machine.tree() == before


def test_pipx_next_to_the_python_that_runs_the_module(make_machine, monkeypatch):
    machine = make_machine("redhat")
    python, pipx = (machine.tool(name, "/opt/python/bin") for name in ("python3.12", "pipx"))
    monkeypatch.setattr(sys, "_base_executable", python)

    result = machine.run(show(), pipx_version(pipx), check=True)

    assert steps(result) == first_steps(machine)


def test_pipx_there(machine):
    machine.tool("pipx")

    result = machine.run(*first_installation(machine))

    assert steps(result) == first_steps(machine)
    assert_installed(machine)


def shared_libraries(machine, wheel):
    """The calls that make pipx's shared libraries."""
    path = f"{machine.pipx_home}/shared"

    def make():
        os.makedirs(f"{path}/bin")
        os.symlink(machine.interpreter, f"{path}/bin/python")

    def fill():
        add_distribution(Path(path, "lib/python3.11/site-packages"), "pip-26.3", {"pip/__init__.py": ""})

    options = ["--quiet", "--retries=0", "--no-compile", "pip", "setuptools", "wheel"]
    common = {"variables": pipx_variables(machine), "as_account": True}
    return [
        Call(["/usr/bin/python3", "-m", "venv", "--without-pip", path], effect=make, **common),
        Call([f"{path}/bin/python", f"{wheel}/pip", "install", *options], effect=fill, **common),
    ]


def test_shared_libraries_are_made_once_and_with_the_wheel_of_the_system(machine, wheel):
    calls = first_installation(machine)

    result = machine.run(*calls[:3], *shared_libraries(machine, wheel), *calls[3:])

    assert steps(result) == first_steps(machine)
    assert machine.look(f"{machine.pipx_home}/shared") == (UID, GID, 0o755)
    machine.run(*upgrade(machine, "4.1.6"), version="4.1.6")


@pytest.mark.parametrize("failing", [0, 1])
def test_shared_libraries_that_cannot_be_made_are_left_to_pipx(machine, wheel, failing):
    calls, making = first_installation(machine), shared_libraries(machine, wheel)
    making[failing] = making[failing]._replace(rc=1)

    def pipx_makes_them():
        assert not os.path.lexists(f"{machine.pipx_home}/shared")
        calls[3].effect()

    result = machine.run(*calls[:3], *making[: failing + 1], calls[3]._replace(effect=pipx_makes_them), *calls[4:])

    assert steps(result) == first_steps(machine)
    assert machine.warnings == []


def test_pipx_there_on_redhat(make_machine):
    machine = make_machine("redhat")
    machine.tool("pipx")

    assert steps(machine.run(*first_installation(machine))) == first_steps(machine)


def test_pipx_that_pip_takes_for_installed_is_installed_again(make_machine):
    machine = make_machine("redhat")
    python, pipx = machine.interpreter, machine.tool("pipx", "/usr/local/bin")
    broken = pipx_version(pipx, rc=1, out="", err="ModuleNotFoundError: No module named 'pipx'\n")

    result = machine.run(
        show(),
        broken,
        ask_pip(python, "3.11 pip "),
        show(),
        Call(pip_install_pipx(python), out="Requirement already satisfied: pipx\n", variables=pip_as_root(machine)),
        broken,
        Call(pip_install_pipx(python, "--ignore-installed"), variables=pip_as_root(machine)),
        pipx_version(pipx),
        pipx_install(machine, pipx=pipx),
        *checks(machine),
        RELOAD,
        shown(machine),
    )

    assert steps(result) == [("install_pipx", "pipx"), *first_steps(machine)]
    assert machine.warnings[0].startswith(f"ignoring {pipx}: it does not run as postgres: ModuleNotFoundError")


def test_no_systemd(machine):
    machine.tool("pipx")
    machine.systemd = False
    calls = [call for call in first_installation(machine) if call.argv[0] != "systemctl"]

    result = machine.run(*calls)

    assert steps(result) == [step for step in first_steps(machine) if step[0] != "reload_systemd"]


def test_systemd_that_does_not_answer_is_told_of_the_unit_all_the_same(machine):
    machine.tool("pipx")
    calls = [call._replace(rc=1, out="") if call.argv[1] == "show" else call for call in first_installation(machine)]

    assert steps(machine.run(*calls)) == first_steps(machine)


@pytest.mark.parametrize("check", [False, True], ids=["real", "check mode"])
def test_everything_there(installed, check):
    before = installed.tree()

    result = installed.run(shown(installed), check=check)

    assert (result["changed"], result["steps"], result["diff"]) == (False, [], [])
    assert result["msg"] == f"nothing to do: Patroni 4.1.5 in {installed.pointer}"
    assert "pipx" not in result
    assert installed.tree() == before


def test_everything_there_and_no_systemd_starts_no_process(installed):
    installed.systemd = False

    assert installed.run()["changed"] is False


CHECKED = ("msg", "changed", "steps", "restart_required", "bin_dir", "venv", "unit_path", "config_dir")


@pytest.mark.parametrize(
    ("family", "calls"),
    [
        pytest.param("debian", debian_from_nothing, id="debian"),
        pytest.param("redhat", redhat_from_nothing, id="redhat"),
    ],
)
def test_check_mode_changes_nothing_and_shows_what_the_real_run_does(make_machine, family, calls):
    machine = make_machine(family)
    machine.know_packages()
    before = machine.tree()

    planned = machine.run(*calls(machine)[:2], check=True)
    unchanged = machine.tree() == before
    done = machine.run(*calls(machine))

    assert unchanged
    assert steps(planned) == steps(done)
    assert planned["changed"] is done["changed"] is True
    assert planned["msg"] == f"Patroni would be installed in {machine.pointer}"
    assert (planned["version"], done["version"]) == (None, "4.1.5")


def test_check_mode_without_the_account_that_could_change_a_wheelhouse(make_machine, monkeypatch):
    machine = make_machine("redhat")
    monkeypatch.setattr(pwd, "getpwnam", {}.__getitem__)
    wheels = f"{machine.base}/srv/wheels"
    os.makedirs(wheels)

    result = machine.run(show(), ask_pip(machine.interpreter), check=True, find_links=[wheels], no_index=True)

    assert steps(result)[:2] == [("install_packages", "python3-pip"), ("install_pipx", "pipx")]


def test_check_mode_without_the_account(machine, monkeypatch):
    monkeypatch.setattr(pwd, "getpwnam", {}.__getitem__)

    result = machine.run(show(), Call(APT_CACHE), check=True)

    home = "/var/lib/postgresql"
    assert steps(result) == [
        ("install_packages", "pipx"),
        *(("create_directory", f"{home}/.local{rest}") for rest in ("", "/share", "/share/pipx", "/bin")),
        ("build_environment", WANTED),
        ("switch_environment", f"{home}/.local/share/pipx/venvs/patroni"),
        ("write_unit", machine.unit_path),
        ("reload_systemd", "systemd"),
        ("create_directory", machine.config_dir),
    ]
    assert len(machine.warnings) == 1
    assert "init_server" in machine.warnings[0]


def test_missing_account(machine, monkeypatch):
    monkeypatch.setattr(pwd, "getpwnam", {}.__getitem__)

    result = machine.run(fails=True)

    assert result["msg"] == "user: the account postgres does not exist; the role init_server creates it"
    assert (result["changed"], result["steps"]) == (False, [])
    assert "failed_step" not in result


def test_unsupported_system(make_machine):
    result = make_machine("arch").run(fails=True)

    assert result["msg"] == (
        "unsupported distribution: Arch Linux (ID=arch); supported are the Debian and RHEL families"
    )


def test_bad_option(machine):
    result = machine.run(fails=True, bin_dir="opt/bin")

    assert result["msg"] == "bin_dir: must be an absolute path, got 'opt/bin'"


def test_every_option_of_a_first_installation(machine):
    pipx = machine.tool("pipx", "/opt/tools")
    python = machine.tool("python3.12")
    bin_dir = f"{machine.base}/opt/patroni/bin"

    result = machine.run(
        show(),
        ask_interpreter(python, python),
        pipx_version(pipx),
        show(),
        pipx_install(
            machine,
            wanted="patroni[raft]==4.0.11",
            pipx=pipx,
            chosen=("--python", "python3.12"),
            made={"version": "4.0.11", "extras": ("raft",)},
        ),
        *checks(machine, imported="import patroni.dcs.raft"),
        RELOAD,
        shown(machine),
        version="4.0.11",
        extras=["raft"],
        group="dba",
        bin_dir=bin_dir,
        config_file="main.yml",
        pipx_executable=pipx,
        python="python3.12",
    )

    assert result["version"] == "4.0.11"
    assert links(bin_dir) == exposed(machine)
    assert machine.look(f"{machine.base}/opt/patroni") == (0, 0, 0o755)
    assert machine.look(bin_dir) == (UID, GID, 0o755)
    assert machine.look(machine.config_dir) == (UID, 64200, 0o700)
    unit = Path(machine.unit_path).read_text("utf-8")
    assert f'ExecStart="{bin_dir}/patroni" "{machine.config_dir}/main.yml"\n' in unit
    assert "Group=dba\n" in unit


def test_pipx_home_outside_the_home(machine):
    machine.tool("pipx")
    pipx_home = f"{machine.base}/opt/pipx"

    result = machine.run(
        show(),
        pipx_version(f"{machine.base}/usr/bin/pipx"),
        show(),
        pipx_install(machine, pipx_home=pipx_home),
        *checks(machine, pipx_home=pipx_home),
        RELOAD,
        shown(machine),
        pipx_home=pipx_home,
    )

    assert result["venv"] == f"{pipx_home}/venvs/patroni"
    assert os.readlink(result["venv"]) == f"{pipx_home}/patroni/1/venvs/patroni"


@pytest.fixture
def linked_home(machine):
    """A host on which the account's home is a link to another directory."""
    machine.tool("pipx")
    real = f"{machine.base}/data/pg"
    os.makedirs(os.path.dirname(real))
    os.rename(machine.home, real)
    os.symlink(real, machine.home)
    return real


def test_home_behind_a_link(machine, linked_home):
    real = f"{linked_home}/.local/share/pipx"
    calls = first_installation(machine)
    calls[3] = pipx_install(machine, pipx_home=real)
    calls[4:7] = checks(machine, pipx_home=real)

    result = machine.run(*calls)

    assert steps(result)[:2] == [
        ("create_directory", f"{linked_home}/.local"),
        ("create_directory", f"{linked_home}/.local/share"),
    ]
    assert (result["bin_dir"], result["venv"]) == (machine.bin_dir, machine.pointer)
    assert f'ExecStart="{machine.bin_dir}/patroni" ' in Path(machine.unit_path).read_text("utf-8")
    assert machine.run(shown(machine))["changed"] is False


def test_operator_s_pipx_that_does_not_run(machine):
    pipx = machine.tool("pipx", "/opt/tools")

    result = machine.run(show(), pipx_version(pipx, rc=126, out="", err="denied\n"), fails=True, pipx_executable=pipx)

    assert result["msg"] == (f"pipx_executable: {pipx} does not run as postgres; name one that does")
    assert (result["rc"], result["stderr"], result["cmd"][-2:]) == (126, "denied\n", [pipx, "--version"])


def test_pipx_that_does_not_run_is_ignored_if_another_one_does(machine):
    broken, works = machine.tool("pipx"), machine.tool("pipx", "/usr/local/bin")
    calls = first_installation(machine)
    calls[1:2] = [pipx_version(broken, rc=1, out="", err="no module\n"), pipx_version(works)]
    calls[4] = pipx_install(machine, pipx=works)

    result = machine.run(*calls)

    assert result["pipx"]["path"] == works
    assert steps(result) == first_steps(machine)
    assert machine.warnings == [f"ignoring {broken}: it does not run as postgres: no module"]


def test_pipx_of_the_account_is_found(machine):
    pipx = machine.tool("pipx", machine.home[len(machine.base) :] + "/.local/bin")

    result = machine.run(show(), pipx_version(pipx), check=True)

    assert result["pipx"] == {"path": pipx, "version": "1.1.0"}


def test_interpreter_that_is_not_there(machine):
    result = machine.run(show(), fails=True, python="python3.99")

    assert result["msg"] == (
        "python: postgres cannot run python3.99 on this host; install that interpreter first, or name another"
    )
