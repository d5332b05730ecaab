# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that the module is expected to run, for the scripted machine."""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.pgedge.platform.plugins.module_utils._patroni import _commands
from ansible_collections.pgedge.platform.tests.unit.plugins.environments import add_distribution
from ansible_collections.pgedge.platform.tests.unit.plugins.machine import GID, UID, Call

PIP = {
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_DRY_RUN": "0",
    "PIP_NO_DEPS": "0",
    "PIP_NO_INPUT": "1",
    "PIP_PREFER_BINARY": "1",
    "PIP_REQUIRE_VIRTUALENV": "0",
    "PIP_ROOT": "/",
    "PIP_USER": "0",
}
PIP_AS_ROOT = {**PIP, "PIP_ROOT_USER_ACTION": "ignore"}
DNF = {"SYSTEMD_OFFLINE": "1"}
APT = {
    **DNF,
    "DEBIAN_FRONTEND": "noninteractive",
    "APT_LISTCHANGES_FRONTEND": "none",
    "NEEDRESTART_MODE": "l",
    "NEEDRESTART_SUSPEND": "1",
}
WANTED = "patroni[psycopg2-binary,etcd]"
APT_CACHE = ["apt-cache", "show", "--no-all-versions", "pipx"]
APT_INSTALL = [
    "apt-get",
    "install",
    "--yes",
    "--no-install-recommends",
    "-o",
    "DPkg::Lock::Timeout=300",
    "-o",
    "DPkg::Options::=--force-confdef",
    "-o",
    "DPkg::Options::=--force-confold",
    "pipx",
]
DNF_INSTALL = [
    "dnf",
    "--assumeyes",
    "--setopt=install_weak_deps=False",
    "--setopt=exit_on_lock=True",
    "--setopt=*.skip_if_unavailable=True",
    "install",
    "python3-pip",
]
WRONG_VERSION = """\
Some possibly relevant errors from pip install:
    ERROR: Ignored the following yanked versions: 4.0.0
    ERROR: Could not find a version that satisfies the requirement patroni==9.9.9 (from versions: 3.0.1, 3.3.10, \
3.3.11, 4.0.9, 4.0.10, 4.0.11, 4.1.3, 4.1.4, 4.1.5)
    ERROR: No matching distribution found for patroni==9.9.9

Error installing patroni from spec 'patroni[psycopg2-binary,etcd]==9.9.9'.
"""


def show(loaded="", active="inactive", enabled="disabled", reload="no", started=0, pid=0, rc=0):
    """What systemd is asked in every run, and what it answers."""
    properties = "NeedDaemonReload,FragmentPath,ActiveState,UnitFileState,ExecMainStartTimestampMonotonic,MainPID"
    return Call(
        ["systemctl", "show", f"--property={properties}", "patroni.service"],
        out=f"MainPID={pid}\nExecMainStartTimestampMonotonic={started}\nActiveState={active}\nFragmentPath={loaded}\n"
        f"UnitFileState={enabled}\nNeedDaemonReload={reload}\n",
        rc=rc,
    )


def shown(machine, **answers):
    """The same, of a unit that systemd has read."""
    return show(loaded=machine.unit_path, **answers)


RELOAD = Call(["systemctl", "daemon-reload"])
ASK = (
    "import os, sys; print('%d %s' % (sys.version_info[0], "
    "os.path.realpath(getattr(sys, '_base_executable', None) or sys.executable)))"
)


def ask_interpreter(python, found=None, **answers):
    """Ask which interpreter a file starts."""
    return Call([python, "-c", ASK], out=f"3 {found}\n", as_account=True, **answers)


def pipx_version(pipx, **answers):
    return Call([pipx, "--version"], **{"out": "1.1.0\n", "as_account": True, **answers})


def pipx_variables(machine, number=1, pipx_home=None):
    home = pipx_home or machine.pipx_home
    return {
        **PIP,
        "PIPX_DEFAULT_BACKEND": "pip",
        "USE_EMOJI": "0",
        "PIPX_HOME": f"{home}/patroni/{number}",
        "PIPX_BIN_DIR": f"{home}/patroni/{number}/bin",
        "PIPX_MAN_DIR": f"{home}/patroni/{number}/man",
        "PIPX_COMPLETION_DIR": f"{home}/patroni/{number}/completion",
        "PIPX_SHARED_LIBS": f"{home}/shared",
        "PIP_LOG": f"{home}/patroni/{number}/pip.log",
    }


def pipx_install(machine, number=1, wanted=WANTED, pipx=None, chosen=(), pipx_home=None, **answers):
    """pipx, which makes an environment unless it is told otherwise."""
    home = pipx_home or machine.pipx_home
    made = answers.pop("made", {})

    def make():
        machine.environment(f"{home}/patroni/{number}/venvs/patroni", **made)

    return Call(
        [pipx or f"{machine.base}/usr/bin/pipx", "install", *chosen, wanted],
        variables=pipx_variables(machine, number, home),
        as_account=True,
        **{"effect": None if answers.get("rc") else make, **answers},
    )


def checks(machine, number=1, imported="import psycopg2, patroni.dcs.etcd", pipx_home=None):
    """The proofs of a new environment, one call each."""
    path = f"{pipx_home or machine.pipx_home}/patroni/{number}/venvs/patroni/bin"
    return [
        Call([f"{path}/patroni", "--version"], out="patroni 4.1.5\n", as_account=True),
        Call([f"{path}/patronictl", "version"], out="patronictl version 4.1.5\n", as_account=True),
        Call([f"{path}/python", "-c", imported], as_account=True),
    ]


def first_installation(machine, **answers):
    """The calls of a first installation with a pipx that is there."""
    pipx = f"{machine.base}/usr/bin/pipx"
    return [
        show(),
        pipx_version(pipx),
        show(),
        pipx_install(machine, **answers),
        *checks(machine),
        RELOAD,
        shown(machine),
    ]


def upgrade(machine, version, number=2, **answers):
    """The calls of a change to another version."""
    return [
        shown(machine),
        pipx_version(f"{machine.base}/usr/bin/pipx"),
        shown(machine),
        pipx_install(machine, number, f"{WANTED}=={version}", made={"version": version}, **answers),
        *checks(machine, number),
        shown(machine),
    ]


def folders(machine):
    rests = ("", "/share", "/share/pipx", "/bin")
    return [("create_directory", f"{machine.home}/.local{rest}") for rest in rests]


def steps(result):
    return [(step["action"], step["target"]) for step in result["steps"]]


def first_steps(machine):
    return [
        *folders(machine),
        ("build_environment", WANTED),
        ("switch_environment", machine.pointer),
        ("write_unit", machine.unit_path),
        ("reload_systemd", "systemd"),
        ("create_directory", machine.config_dir),
    ]


def links(folder):
    return {name: os.readlink(f"{folder}/{name}") for name in os.listdir(folder) if os.path.islink(f"{folder}/{name}")}


def exposed(machine, environment=None):
    path = environment or machine.pointer
    return {name: f"{path}/bin/{name}" for name in ("patroni", "patronictl", "patroni_aws")}


def assert_installed(machine, number=1, kept=()):
    """Everything that an installation leaves, and nothing beyond it."""
    assert os.readlink(machine.pointer) == machine.built(number)
    assert sorted(os.listdir(f"{machine.pipx_home}/patroni")) == sorted(map(str, (number, *kept)))
    assert links(machine.bin_dir) == exposed(machine)
    assert sorted(os.listdir(machine.bin_dir)) == sorted(exposed(machine))
    assert machine.look(machine.unit_path) == (0, 0, 0o644)
    assert machine.look(machine.config_dir) == (UID, GID, 0o700)
    assert os.listdir(os.path.dirname(machine.unit_path)) == ["patroni.service"]
    for path in (machine.bin_dir, machine.pipx_home, f"{machine.pipx_home}/venvs", f"{machine.home}/.local"):
        assert machine.look(path) == (UID, GID, 0o755)


def pip_as_root(machine):
    return {**PIP, "PIP_ROOT_USER_ACTION": "ignore", "PIP_LOG": f"{machine.temporary}/pip.log"}


def debian_from_nothing(machine):
    pipx = f"{machine.base}/usr/bin/pipx"
    return [
        show(),
        Call(APT_CACHE),
        show(),
        Call(APT_INSTALL, variables=APT, effect=lambda: machine.tool("pipx")),
        pipx_version(pipx),
        pipx_install(machine),
        *checks(machine),
        RELOAD,
        shown(machine),
    ]


def ask_pip(python, answer="3.11 none "):
    return Call(_commands.ask_pip(str(python)), out=f"{answer}\n")


def pip_install_pipx(python, *more):
    return [str(python), "-m", "pip", "install", *more, "pipx"]


def redhat_from_nothing(machine):
    pipx = f"{machine.base}/usr/local/bin/pipx"
    return [
        show(),
        ask_pip(machine.interpreter),
        show(),
        Call(DNF_INSTALL, variables=DNF),
        Call(
            pip_install_pipx(machine.interpreter),
            variables=pip_as_root(machine),
            effect=lambda: machine.tool("pipx", "/usr/local/bin"),
        ),
        pipx_version(pipx),
        pipx_install(machine, pipx=pipx),
        *checks(machine),
        RELOAD,
        shown(machine),
    ]


def failing(calls, index, **answers):
    """The calls up to one that fails."""
    return [*calls[:index], calls[index]._replace(**{"rc": 1, "out": "", "effect": None, **answers})]


# What pip prints if no versions go together.
CONFLICT = """\
The conflict is caused by:
    patroni 4.1.6 depends on click>=5.0
    The user requested (constraint) click<5

To fix this you could try to:
"""

ASKING = {
    **PIP,
    "PIP_USER": "0",
    "PIP_REQUIRE_VIRTUALENV": "0",
    "PIP_BREAK_SYSTEM_PACKAGES": "1",
    "PIP_QUIET": "0",
}


def repeated(calls, index, times, **answers):
    """The same calls, one of which fails several times first."""
    failed = failing(calls, index, **answers)[-1]
    return [*calls[:index], *[failed] * times, *calls[index:]]


def share_pip(machine):
    """Have what pipx shares among its environments, and return its pip."""
    packages = Path(machine.pipx_home, "shared/lib/python3.11/site-packages")
    with machine.kernel.account_acts():
        os.makedirs(str(packages))
        os.makedirs(f"{machine.pipx_home}/shared/bin")
        os.symlink(machine.interpreter, f"{machine.pipx_home}/shared/bin/python")
        add_distribution(packages, "pip-26.3", {"pip/__init__.py": "", "pip/__main__.py": "run\n"})
    return [f"{packages}/pip"]


def asks(machine, pip, requirement=None, python=None, variables=None, **answer):
    """A question to the index: about Patroni alone, or about a requirement and all that it needs."""
    run = [str(python or machine.interpreter), "-I", "-B", *pip, "install", "--dry-run", "--ignore-installed"]
    about = [requirement] if requirement else ["--no-deps", "patroni"]
    if "out" in answer:
        answer["out"] = f"Collecting patroni\nWould install {answer['out']}\n"
    return Call([*run, *about], variables=variables or ASKING, as_account=True, **answer)


def kept(result):
    return [(entry["version"], entry["path"]) for entry in result["kept"]]


ACTIVE = {"active": "active", "enabled": "enabled"}


def in_this_order(seen, *expected):
    """Whether all that is expected was seen, in this order; what happens between is free."""
    rest = iter(seen)
    return all(wanted in rest for wanted in expected)
