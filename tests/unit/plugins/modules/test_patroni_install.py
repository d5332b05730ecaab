# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as a whole, on a machine whose commands are a script."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from ansible_collections.pgedge.platform.plugins.module_utils import _files, _host
from ansible_collections.pgedge.platform.plugins.module_utils._patroni import _kept
from ansible_collections.pgedge.platform.tests.unit.plugins.environments import add_distribution
from ansible_collections.pgedge.platform.tests.unit.plugins.machine import GID, UID, Call, Machine

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
APT_UPDATE = ["apt-get", "update"]
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
DPKG_CONFIGURE = ["dpkg", "--force-confdef", "--force-confold", "--configure", "-a"]
DNF_INSTALL = [
    "dnf",
    "--assumeyes",
    "--setopt=install_weak_deps=False",
    "--setopt=exit_on_lock=True",
    "--setopt=*.skip_if_unavailable=True",
    "install",
    "python3-pip",
]

UNREACHABLE = """\
E: Failed to fetch http://deb.example.org/debian/pool/main/p/python-pipx/pipx_1.1.0-1_all.deb  Unable to connect to \
deb.example.org:80:
E: Some files failed to download
"""
LOCKED = """\
E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?
"""
STALE = """\
E: Failed to fetch http://deb.example.org/debian/pool/main/p/python-pipx/pipx_1.1.0-1_all.deb  404  Not Found
E: Some files failed to download
"""
DPKG_INTERRUPTED = "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.\n"
UPDATE_UNREACHABLE = """\
W: Failed to fetch http://deb.example.org/debian/dists/bookworm/InRelease  Could not resolve 'deb.example.org'
W: Some index files failed to download. They have been ignored, or old ones used instead.
"""
DEAD_SOURCE = """\
Err:4 http://apt.example.com/third gone Release
  404  Not Found [IP: 192.0.2.80 80]
"""
DEAD_REPOSITORY = """\
Errors during downloading metadata for repository 'third':
  - Status code: 404 for http://rpm.example.com/el9/repodata/repomd.xml
Ignoring repositories: third
"""
DNF_UNKNOWN = "No match for argument: python3-pip\nError: Unable to find a match: python3-pip\n"
PIPX_OFFLINE = """\
Some possibly relevant errors from pip install:
    ERROR: Could not find a version that satisfies the requirement patroni[etcd] (from versions: none)
    ERROR: No matching distribution found for patroni[etcd]

Error installing patroni from spec 'patroni[etcd]'.
"""
WRONG_VERSION = """\
Some possibly relevant errors from pip install:
    ERROR: Ignored the following yanked versions: 4.0.0
    ERROR: Could not find a version that satisfies the requirement patroni==9.9.9 (from versions: 3.0.1, 3.3.10, \
3.3.11, 4.0.9, 4.0.10, 4.0.11, 4.1.3, 4.1.4, 4.1.5)
    ERROR: No matching distribution found for patroni==9.9.9

Error installing patroni from spec 'patroni[psycopg2-binary,etcd]==9.9.9'.
"""


@pytest.fixture
def make_machine(tmp_path, monkeypatch, capsys):
    """Make machines; the process is as before when the test ends."""
    umask = os.umask(0o022)
    environment = dict(os.environ)
    yield lambda family="debian", root=True: Machine(tmp_path, monkeypatch, capsys, family, root)
    os.umask(umask)
    os.environ.clear()
    os.environ.update(environment)


@pytest.fixture
def machine(make_machine):
    """A host of the Debian family, with nothing on it but the account and the lists of packages."""
    made = make_machine()
    made.know_packages()
    return made


@pytest.fixture
def installed(machine):
    """A host as the module leaves it, at the first generation."""
    machine.tool("pipx")
    machine.run(*first_installation(machine))
    return machine


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


def redhat_from_nothing(machine):
    pip, pipx = f"{machine.base}/usr/bin/pip3", f"{machine.base}/usr/local/bin/pipx"
    return [
        show(),
        show(),
        Call(DNF_INSTALL, variables=DNF, effect=lambda: machine.tool("pip3")),
        Call(
            [pip, "install", "pipx"],
            variables=pip_as_root(machine),
            effect=lambda: machine.tool("pipx", "/usr/local/bin"),
        ),
        pipx_version(pipx),
        pipx_install(machine, pipx=pipx),
        *checks(machine),
        RELOAD,
        shown(machine),
    ]


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
    machine.tool("pip3")
    calls = redhat_from_nothing(machine)
    del calls[2]
    calls[2] = calls[2]._replace(argv=[*calls[2].argv[:-1], "pipx==1.11.1"])

    result = machine.run(*calls, pipx_version="1.11.1")

    assert steps(result) == [("install_pipx", "pipx==1.11.1"), *first_steps(machine)]


def test_pipx_there(machine):
    machine.tool("pipx")

    result = machine.run(*first_installation(machine))

    assert steps(result) == first_steps(machine)
    assert_installed(machine)


@pytest.fixture
def wheel(machine):
    """A pipx that Python runs, and the system's wheel of pip."""
    Path(machine.tool("pipx")).write_text("#!/usr/bin/python3\nimport pipx\n", "utf-8")
    path = Path(machine.base, "usr/share/python-wheels/pip-23.0.1-py3-none-any.whl")
    path.parent.mkdir(parents=True)
    path.touch()
    return str(path)


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
    pip, pipx = machine.tool("pip3"), machine.tool("pipx", "/usr/local/bin")
    broken = pipx_version(pipx, rc=1, out="", err="ModuleNotFoundError: No module named 'pipx'\n")

    result = machine.run(
        show(),
        broken,
        show(),
        Call([pip, "install", "pipx"], out="Requirement already satisfied: pipx\n", variables=pip_as_root(machine)),
        broken,
        Call([pip, "install", "--ignore-installed", "pipx"], variables=pip_as_root(machine)),
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
    ("family", "calls", "looked"),
    [
        pytest.param("debian", debian_from_nothing, [show(), Call(APT_CACHE)], id="debian"),
        pytest.param("redhat", redhat_from_nothing, [show()], id="redhat"),
    ],
)
def test_check_mode_changes_nothing_and_shows_what_the_real_run_does(make_machine, family, calls, looked):
    machine = make_machine(family)
    machine.know_packages()
    before = machine.tree()

    planned = machine.run(*looked, check=True)
    unchanged = machine.tree() == before
    done = machine.run(*calls(machine))

    assert unchanged
    assert planned["steps"] == done["steps"]
    assert planned["changed"] is done["changed"] is True
    assert planned["msg"] == f"Patroni would be installed in {machine.pointer}"
    assert (planned["version"], done["version"]) == (None, "4.1.5")


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

    assert result["steps"][:2] == [
        {"action": "create_directory", "target": f"{linked_home}/.local"},
        {"action": "create_directory", "target": f"{linked_home}/.local/share"},
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


# Environment variables


NETWORK = {"https_proxy": "http://proxy.example.org:3128", "NO_PROXY": "localhost", "SSL_CERT_FILE": "/etc/pki/ca.crt"}
OF_PIP = {"PIP_EXTRA_INDEX_URL": "https://example.org/simple", "PIP_CERT": "/etc/pki/ca.crt", "NETRC": "/etc/netrc"}
OF_THE_TASK = {**NETWORK, **OF_PIP, "TMPDIR": "/var/tmp/big"}


@pytest.mark.parametrize(
    ("family", "script", "inherited"),
    [
        ("debian", "debian_from_nothing", {"apt-get install": NETWORK, "pipx install": OF_THE_TASK}),
        (
            "redhat",
            "redhat_from_nothing",
            {"dnf --assumeyes": NETWORK, "pip3 install": {**NETWORK, **OF_PIP}, "pipx install": OF_THE_TASK},
        ),
    ],
)
def test_variables_of_the_task_reach_the_programs_that_need_them(make_machine, monkeypatch, family, script, inherited):
    """Those that no program may get are in the session of every test (SESSION of the machine)."""
    machine = make_machine(family)
    machine.know_packages()
    for name, value in OF_THE_TASK.items():
        monkeypatch.setenv(name, value)
    calls = []
    for call in globals()[script](machine):
        more = inherited.get(" ".join([os.path.basename(call.argv[0]), *call.argv[1:2]]), {})
        calls.append(call._replace(variables={**call.variables, **more}))

    machine.run(*calls)


def python_version(python, version):
    return Call([str(python), "-c", "import sys; print(*sys.version_info[:2])"], out=f"{version}\n", as_account=True)


@pytest.mark.parametrize("check", [True, False])
def test_token_without_a_password_that_the_python_of_pipx_cannot_read(machine, check):
    """Otherwise every download would be refused, after all retries."""
    pipx = machine.tool("pipx")
    Path(pipx).write_text("#! /usr/bin/python3.9 -s\n", "utf-8")
    before = machine.tree()

    result = machine.run(
        show(),
        pipx_version(pipx),
        python_version("/usr/bin/python3.9", "3 9"),
        check=check,
        fails=True,
        index_url="https://t0ken@example.org/simple",
    )

    assert "unless the Python is 3.11 or newer; /usr/bin/python3.9 is 3.9" in result["msg"]
    assert result["steps"] == []
    assert machine.tree() == before


def test_token_without_a_password_that_the_chosen_python_cannot_read(machine):
    pipx = machine.tool("pipx")
    Path(pipx).write_text("#! /usr/bin/python3.11 -s\n", "utf-8")
    old = machine.tool("python3.10")
    asked = [python_version("/usr/bin/python3.11", "3 11"), python_version(old, "3 10")]
    calls = [show(), ask_interpreter(old, old), pipx_version(pipx), *asked]

    result = machine.run(*calls, fails=True, python="python3.10", index_url="https://t0ken@example.org/simple")

    assert f"{old} is 3.10" in result["msg"]


@pytest.mark.parametrize("family", ["debian", "redhat"])
def test_token_without_a_password_before_pipx_is_there(make_machine, family):
    machine = make_machine(family)
    machine.know_packages()
    python = machine.tool("python3")
    asked = [Call(APT_CACHE)] if family == "debian" else []

    result = machine.run(
        show(),
        *asked,
        python_version(python, "3 9"),
        fails=True,
        index_url="https://t0ken@example.org/simple",
    )

    assert f"{python} is 3.9" in result["msg"]


def test_token_without_a_password_for_a_python_that_can_read_it(machine):
    pipx = machine.tool("pipx")
    python = machine.tool("python3")

    result = machine.run(
        show(),
        pipx_version(pipx),
        python_version(python, "3 11"),
        check=True,
        index_url="https://t0ken@example.org/simple",
    )

    assert steps(result) == first_steps(machine)


def test_sources_reach_pip_and_their_credentials_are_told_to_nobody(machine):
    machine.tool("pipx")
    url = "https://me:s3cret@example.org/simple"
    calls = first_installation(machine)
    given = calls[3]._replace(
        rc=1,
        err=f"ERROR: 403 Client Error for url: {url}\n",
        effect=None,
        variables={
            **calls[3].variables,
            "PIP_INDEX_URL": "https://example.org/simple",
            "NETRC": f"{machine.generation(1)}/netrc",
        },
    )

    result = machine.run(*calls[:3], given, fails=True, index_url=url)

    assert "403 Client Error" in result["stderr"]
    assert "s3cret" not in str(result)


@pytest.mark.parametrize("folder", ["{home}/wheels", "{base}/srv/wheels"])
def test_wheelhouse_serves_root_only_where_the_account_cannot_change_it(make_machine, folder):
    machine = make_machine("redhat")
    wheels = folder.format(home=machine.home, base=machine.base)
    os.makedirs(wheels)
    own = wheels.startswith(machine.home)

    result = machine.run(show(), check=True, fails=own, find_links=[wheels], no_index=True)

    if own:
        assert result["msg"].startswith(
            f"find_links, constraints: postgres can change {wheels}, and root would install"
        )
    else:
        assert steps(result)[:2] == [("install_packages", "python3-pip"), ("install_pipx", "pipx")]


def test_directory_of_wheels_is_not_secret(machine):
    result = machine.run(show(), Call(APT_CACHE), check=True, find_links=[machine.home])

    assert result["venv"] == machine.pointer


def test_credentials_of_a_bad_option_are_told_to_nobody(machine):
    result = machine.run(fails=True, index_url="https://me:s3cret@example.org/simple", retries=-1)

    assert "s3cret" not in str(result)


def test_umask_of_the_caller_does_not_matter(machine):
    os.umask(0o077)
    machine.tool("pipx")

    machine.run(*first_installation(machine))

    assert_installed(machine)


# What fails


def failing(calls, index, **answers):
    """The calls up to one that fails."""
    return [*calls[:index], calls[index]._replace(**{"rc": 1, "out": "", "effect": None, **answers})]


DOES_NOT_RUN = f"{WANTED} was installed but does not run as postgres: no"


@pytest.mark.parametrize(
    ("index", "message", "failed"),
    [
        pytest.param(3, "apt-get ended with code 1: no", "install_packages", id="apt-get"),
        pytest.param(5, "pipx ended with code 1: no", "build_environment", id="pipx install"),
        pytest.param(6, DOES_NOT_RUN, "build_environment", id="patroni --version"),
        pytest.param(7, DOES_NOT_RUN, "build_environment", id="patronictl version"),
        pytest.param(8, DOES_NOT_RUN, "build_environment", id="imports"),
        pytest.param(9, "systemctl ended with code 1: no", "reload_systemd", id="daemon-reload"),
    ],
)
def test_command_that_fails(machine, index, message, failed):
    calls = failing(debian_from_nothing(machine), index, err="first line\nno\n")

    result = machine.run(*calls, fails=True)

    whole = [("install_packages", "pipx"), *first_steps(machine)]
    done = [action for action, _target in whole].index(failed)
    assert result["msg"] == message
    assert result["failed_step"] == dict(zip(("action", "target"), whole[done]))
    assert steps(result) == whole[:done]
    assert result["changed"] is (done > 0)
    assert (result["rc"], result["stdout"], result["stderr"]) == (1, "", "first line\nno\n")
    assert result["cmd"] == [*(machine.switched if calls[-1].as_account else []), *calls[-1].argv]
    if failed == "build_environment":
        assert os.listdir(f"{machine.pipx_home}/patroni") == []
        assert not os.path.lexists(machine.pointer)


@pytest.mark.parametrize(
    ("index", "message", "failed"),
    [
        pytest.param(2, "dnf ended with code 1: no", "install_packages", id="dnf"),
        pytest.param(3, "pip3 ended with code 1: no", "install_pipx", id="pip3"),
    ],
)
def test_command_that_fails_on_redhat(make_machine, index, message, failed):
    machine = make_machine("redhat")

    result = machine.run(*failing(redhat_from_nothing(machine), index, err="no\n"), fails=True)

    assert (result["msg"], result["failed_step"]["action"]) == (message, failed)
    assert steps(result) == [("install_packages", "python3-pip"), ("install_pipx", "pipx")][: index - 2]


def test_command_that_says_nothing(machine):
    result = machine.run(*failing(debian_from_nothing(machine), 3, rc=100), fails=True)

    assert result["msg"] == "apt-get ended with code 100: no output"


def test_command_that_is_killed(machine):
    result = machine.run(*failing(debian_from_nothing(machine), 3, rc=-9, err="no\n"), fails=True)

    assert result["msg"] == "apt-get was killed by signal 9: no"


def test_command_that_cannot_be_started(machine):
    def missing():
        raise FileNotFoundError(2, "No such file or directory", "apt-get")

    result = machine.run(*failing(debian_from_nothing(machine), 3, effect=missing), fails=True)

    assert (result["rc"], result["cmd"]) == (127, APT_INSTALL)
    assert result["msg"] == "apt-get ended with code 127: [Errno 2] No such file or directory: 'apt-get'"


@pytest.mark.parametrize("index", range(3, 9))
def test_next_run_after_a_failure_ends_well(machine, index):
    machine.run(*failing(debian_from_nothing(machine), index), fails=True)
    machine.tool("pipx")

    machine.run(*first_installation(machine))

    assert_installed(machine)


def test_next_run_after_a_reload_that_failed_reloads(machine):
    machine.run(*failing(debian_from_nothing(machine), 9), fails=True)

    result = machine.run(show(), show(), RELOAD, shown(machine))

    assert steps(result) == [("reload_systemd", "systemd"), ("create_directory", machine.config_dir)]
    assert_installed(machine)


def test_packages_that_bring_no_pipx(machine):
    calls = debian_from_nothing(machine)[:4]
    calls[3] = calls[3]._replace(effect=None)

    result = machine.run(*calls, fails=True)

    assert result["msg"] == (
        "pipx was installed, but postgres still cannot run any; set pipx_executable to one that it can run"
    )
    assert steps(result) == [("install_packages", "pipx"), *folders(machine)]


def test_pipx_that_believes_it_has_done(machine):
    machine.tool("pipx")
    calls = first_installation(machine, effect=None, out="'patroni' already seems to be installed.\n")[:4]

    result = machine.run(*calls, fails=True)

    assert result["msg"] == (
        f"pipx created an incomplete environment: its interpreter {machine.built(1)}/bin/python is missing"
    )
    assert not os.path.lexists(machine.generation(1))


def test_failing_to_write_a_file_is_told(machine, monkeypatch):
    machine.tool("pipx")
    rename = os.rename

    def full(source, path):
        if path == machine.unit_path:
            raise OSError(28, "No space left on device")
        rename(source, path)

    monkeypatch.setattr(os, "rename", full)
    result = machine.run(*first_installation(machine)[:-2], fails=True)

    assert result["msg"] == f"write_unit {machine.unit_path}: [Errno 28] No space left on device"
    assert result["failed_step"] == {"action": "write_unit", "target": machine.unit_path}
    assert steps(result) == first_steps(machine)[:-3]
    assert os.listdir(os.path.dirname(machine.unit_path)) == []


# Transient failures


def repeated(calls, index, times, **answers):
    """The same calls, one of which fails several times first."""
    failed = failing(calls, index, **answers)[-1]
    return [*calls[:index], *[failed] * times, *calls[index:]]


def test_transient_failure_is_retried(machine):
    result = machine.run(*repeated(debian_from_nothing(machine), 3, 2, rc=100, err=UNREACHABLE), retry_delay=7)

    assert machine.clock.slept == [7, 7]
    assert steps(result) == [("install_packages", "pipx"), *first_steps(machine)]


def test_transient_failures_exhaust_the_retries(machine):
    calls = repeated(debian_from_nothing(machine), 3, 3, rc=100, err=UNREACHABLE)[:6]

    result = machine.run(*calls, fails=True, retries=2, retry_delay=7)

    assert machine.clock.slept == [7, 7]
    assert result["msg"] == "apt-get ended with code 100: E: Some files failed to download"


def test_no_retries(machine):
    calls = failing(debian_from_nothing(machine), 3, rc=100, err=UNREACHABLE)

    machine.run(*calls, fails=True, retries=0)

    assert machine.clock.slept == []


def test_what_pipx_left_of_a_transient_failure_is_removed_before_the_next_try(machine):
    machine.tool("pipx")
    left = Path(machine.built(1), "half")
    calls = first_installation(machine)
    failed = calls[3]._replace(rc=1, err="ReadTimeoutError: Read timed out.\n", effect=lambda: left.mkdir(parents=True))
    seen = []

    def make():
        seen.append(left.exists())
        machine.environment(machine.built(1))

    machine.run(*calls[:3], failed, calls[3]._replace(effect=make), *calls[4:])

    assert (seen, machine.clock.slept) == ([False], [20])


def with_pip_log(machine, *lines):
    """What pip leaves in its own log while it fails."""
    path = Path(machine.generation(1), "pip.log")
    stamped = [f"2026-11-25T05:25:54,426 {line}\n" for line in lines]
    return lambda: path.write_text("".join(stamped), "utf-8")


UNREAD = "Could not fetch URL https://index.example.org/simple/{}/: {} - skipping"


def test_index_that_does_not_answer_is_retried(machine):
    # pipx passes on only pip's last words, and those do not name the cause.
    machine.tool("pipx")
    log = with_pip_log(machine, UNREAD.format("patroni", "connection error: [Errno 111] Connection refused"))

    machine.run(*repeated(first_installation(machine), 3, 1, err=PIPX_OFFLINE, effect=log))

    assert machine.clock.slept == [20]
    assert not os.path.lexists(f"{machine.generation(1)}/pip.log")


@pytest.mark.parametrize("status", ["401 Client Error: Unauthorized", "403 Client Error: Forbidden"])
def test_index_that_refuses_fails_at_once(machine, status):
    machine.tool("pipx")
    log = with_pip_log(machine, UNREAD.format("patroni", status))

    result = machine.run(*failing(first_installation(machine), 3, err=PIPX_OFFLINE, effect=log), fails=True)

    assert machine.clock.slept == []
    assert result["msg"] == (
        f"pipx ended with code 1: https://index.example.org/simple/patroni/: {status}; the package index offered "
        "nothing for patroni[etcd]: check that the index is reachable and has it, and that index_url, find_links and "
        "their credentials are correct"
    )


def test_wheelhouse_without_a_build_requirement_names_it(machine):
    machine.tool("pipx")
    lacks = "ERROR: Could not find a version that satisfies the requirement setuptools>=40.8.0 (from versions: none)"
    log = with_pip_log(machine, lacks, "ERROR: Failed to build 'python-etcd' when installing build dependencies")
    variables = {
        **pipx_variables(machine),
        "PIP_FIND_LINKS": "file:///srv/wheels",
        "PIP_NO_INDEX": "1",
    }
    calls = failing(first_installation(machine), 3, err="Error installing patroni.\n", effect=log, variables=variables)

    result = machine.run(*calls, fails=True, no_index=True, find_links=["/srv/wheels"])

    assert machine.clock.slept == []
    assert result["msg"] == (
        "pipx ended with code 1: pip found no file for setuptools>=40.8.0; find_links contain no file for "
        "setuptools>=40.8.0 that fits this Python; add one, see docs/offline.md"
    )


def test_what_pip_said_is_told_though_pipx_keeps_it_to_its_log(machine):
    machine.tool("pipx")
    log = with_pip_log(machine, "Error: pg_config executable not found.", "ERROR: Failed building wheel for psycopg2")

    result = machine.run(*failing(first_installation(machine), 3, err="Error installing.\n", effect=log), fails=True)

    assert result["msg"] == "pipx ended with code 1: Error: pg_config executable not found."
    assert result["stderr"].endswith("ERROR: Failed building wheel for psycopg2\n")


def test_pip_of_root_is_heard_as_well(make_machine):
    machine = make_machine("redhat")
    calls = redhat_from_nothing(machine)

    def write_log():
        Path(machine.temporary, "pip.log").write_text(
            UNREAD.format("pipx", "401 Client Error: Unauthorized") + "\n", "utf-8"
        )

    none = "ERROR: Could not find a version that satisfies the requirement pipx (from versions: none)\n"
    result = machine.run(*failing(calls, 3, err=none, effect=write_log), fails=True)

    assert result["msg"] == (
        "pip3 ended with code 1: https://index.example.org/simple/pipx/: 401 Client Error: Unauthorized"
    )


def test_certificate_that_is_not_trusted_fails_at_once(machine):
    machine.tool("pipx")
    untrusted = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate\n"

    machine.run(*failing(first_installation(machine), 3, err=untrusted + PIPX_OFFLINE), fails=True)

    assert machine.clock.slept == []


def test_wrong_version_fails_at_once_with_what_there_is(installed):
    calls = upgrade(installed, "9.9.9")[:3]
    wrong = pipx_install(installed, 2, f"{WANTED}==9.9.9", rc=1, err=WRONG_VERSION)
    before = installed.tree()

    result = installed.run(*calls, wrong, fails=True, version="9.9.9")

    assert installed.clock.slept == []
    assert result["msg"] == (
        f"the package index offers no {WANTED}==9.9.9 for this Python; the newest versions that it offers are "
        "3.3.10, 3.3.11, 4.0.9, 4.0.10, 4.0.11, 4.1.3, 4.1.4, 4.1.5"
    )
    assert (result["changed"], result["steps"]) == (False, [])
    # The installed one stays as it is; only the directory of the generations was touched.
    touched = f"{installed.pipx_home}/patroni"
    assert {**installed.tree(), touched: 0} == {**before, touched: 0}


def test_another_apt_is_waited_for(machine):
    result = machine.run(*repeated(debian_from_nothing(machine), 3, 4, rc=100, err=LOCKED))

    assert machine.clock.slept == [2, 2, 2, 2]
    assert result["changed"] is True


def test_another_apt_is_not_waited_for_longer_than_asked(machine):
    waiting = [argument.replace("300", "5") for argument in APT_INSTALL]
    calls = repeated(debian_from_nothing(machine), 3, 4, rc=100, err=LOCKED, argv=waiting)[:7]

    result = machine.run(*calls, fails=True, lock_timeout=5)

    assert machine.clock.slept == [2, 2, 2]
    assert result["msg"].startswith("apt-get ended with code 100: E: Unable to acquire the dpkg frontend lock")


def test_another_dnf_is_waited_for(make_machine):
    machine = make_machine("redhat")
    locked = "metadata already locked by 21228\n  The application with PID 21228 is: dnf\n"

    machine.run(*repeated(redhat_from_nothing(machine), 2, 1, rc=200, err=locked))

    assert machine.clock.slept == [2]


def test_package_lists_that_are_missing_are_refreshed(make_machine):
    machine = make_machine()
    calls = debian_from_nothing(machine)
    calls[1:2] = []
    calls.insert(2, Call(APT_UPDATE, variables=APT))

    result = machine.run(*calls)

    assert steps(result)[:2] == [("refresh_package_lists", "apt"), ("install_packages", "pipx")]


def test_package_lists_that_do_not_know_pipx_are_refreshed(machine):
    calls = debian_from_nothing(machine)
    calls[1] = calls[1]._replace(rc=100, err="E: No packages found\n")
    calls.insert(3, Call(APT_UPDATE, variables=APT))

    result = machine.run(*calls)

    assert steps(result)[:2] == [("refresh_package_lists", "apt"), ("install_packages", "pipx")]


def test_apt_update_that_fails(make_machine):
    machine = make_machine()
    malformed = "E: Malformed entry 1 in list file /etc/apt/sources.list.d/x.list (Component)\n"
    update = Call(APT_UPDATE, variables=APT, rc=100, err=f"{malformed}E: The list of sources could not be read.\n")

    result = machine.run(show(), show(), update, Call(APT_CACHE, rc=100), fails=True)

    assert result["msg"] == f"apt-get ended with code 100: {malformed.strip()}"
    assert result["failed_step"] == {"action": "refresh_package_lists", "target": "apt"}


def test_apt_update_that_reached_nothing_is_retried(make_machine):
    # It ends with code 0 and warnings then, and the installation would say that there is no such package.
    machine = make_machine()
    calls = debian_from_nothing(machine)
    update = Call(APT_UPDATE, variables=APT)
    calls[1:2] = []
    calls[2:2] = [update._replace(err=UPDATE_UNREACHABLE), Call(APT_CACHE, rc=100), update]

    machine.run(*calls)

    assert machine.clock.slept == [20]


@pytest.mark.parametrize(
    "answer", [pytest.param({"err": UPDATE_UNREACHABLE}, id="unreachable"), pytest.param({"rc": 100}, id="gone")]
)
def test_apt_update_that_missed_only_what_others_offer_is_good_enough(make_machine, answer):
    machine = make_machine()
    calls = debian_from_nothing(machine)
    calls[1:2] = []
    calls[2:2] = [Call(APT_UPDATE, variables=APT, out=DEAD_SOURCE, **answer), Call(APT_CACHE)]

    machine.run(*calls)

    assert machine.clock.slept == []


def test_apt_update_that_missed_what_offers_pipx_names_the_source(make_machine):
    machine = make_machine()
    update = Call(APT_UPDATE, variables=APT, rc=100, out=DEAD_SOURCE)

    result = machine.run(show(), show(), update, Call(APT_CACHE, rc=100), fails=True)

    assert result["msg"] == (
        "no package source that could be read offers pipx, and these could not be read: "
        "http://apt.example.com/third gone Release: 404  Not Found [IP: 192.0.2.80 80]; repair or remove them, or "
        "install pipx yourself and name it in pipx_executable"
    )
    assert machine.clock.slept == []


def test_apt_update_that_is_locked_is_waited_for(make_machine):
    # The lists that are there may know pipx: they are still the old ones.
    machine = make_machine()
    calls = debian_from_nothing(machine)
    locked = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)\n"
    update = Call(APT_UPDATE, variables=APT)
    calls[1:2] = []
    calls[2:2] = [update._replace(rc=100, err=locked), update]

    machine.run(*calls)

    assert machine.clock.slept == [2]


def test_fresh_lists_are_used_though_a_source_is_dead(machine):
    calls = repeated(debian_from_nothing(machine), 3, 1, rc=100, err=STALE)
    calls.insert(4, Call(APT_UPDATE, variables=APT, rc=100, out=DEAD_SOURCE))

    result = machine.run(*calls)

    assert machine.clock.slept == []
    assert steps(result) == [("install_packages", "pipx"), *first_steps(machine)]


def test_lists_that_stay_stale_are_refreshed_once(machine):
    calls = repeated(debian_from_nothing(machine), 3, 2, rc=100, err=STALE)[:5]
    calls.insert(4, Call(APT_UPDATE, variables=APT))

    result = machine.run(*calls, fails=True)

    assert result["msg"].startswith("apt-get ended with code 100: E: Failed to fetch http://deb.example.org/")


def test_apt_is_helped_with_one_thing_after_the_other(machine):
    calls = repeated(debian_from_nothing(machine), 3, 2, rc=100, err=STALE)
    calls[3] = calls[3]._replace(err=DPKG_INTERRUPTED)
    calls.insert(4, Call(DPKG_CONFIGURE, variables=APT))
    calls.insert(6, Call(APT_UPDATE, variables=APT))

    assert machine.run(*calls)["changed"] is True


def test_dpkg_that_cannot_be_helped(machine):
    calls = repeated(debian_from_nothing(machine), 3, 1, rc=100, err=DPKG_INTERRUPTED)[:4]
    broken = "dpkg: error processing package a (--configure):\n installed a package post-installation script failed\n"
    calls.append(Call(DPKG_CONFIGURE, variables=APT, rc=1, err=broken))

    result = machine.run(*calls, fails=True)

    assert result["msg"] == f"dpkg ended with code 1: {' '.join(broken.split())}"


def test_dead_repository_is_named_when_the_others_do_not_offer_the_package(make_machine):
    machine = make_machine("redhat")
    calls = failing(redhat_from_nothing(machine), 2, out=DEAD_REPOSITORY, err=DNF_UNKNOWN)

    result = machine.run(*calls, fails=True)

    assert result["msg"] == (
        "no package source that could be read offers python3-pip, and these could not be read: repository 'third': "
        "Status code: 404 for http://rpm.example.com/el9/repodata/repomd.xml; repair or remove them, or install pipx "
        "yourself and name it in pipx_executable"
    )
    assert machine.clock.slept == []


def test_repositories_that_do_not_offer_the_package(make_machine):
    machine = make_machine("redhat")

    result = machine.run(*failing(redhat_from_nothing(machine), 2, err=DNF_UNKNOWN), fails=True)

    assert result["msg"] == (
        "Rocky Linux 9.6 (Blue Onyx) offers no package python3-pip in its enabled repositories; enable the one that "
        "holds it (RHEL has none before it is registered), or install pipx yourself and name it in pipx_executable"
    )


@pytest.mark.parametrize(
    ("err", "remedy"),
    [
        pytest.param(STALE, APT_UPDATE, id="the lists are stale"),
        pytest.param(DPKG_INTERRUPTED, DPKG_CONFIGURE, id="dpkg was interrupted"),
    ],
)
def test_apt_is_helped_at_once(machine, err, remedy):
    calls = repeated(debian_from_nothing(machine), 3, 1, rc=100, err=err)
    calls.insert(4, Call(remedy, variables=APT))

    result = machine.run(*calls)

    assert machine.clock.slept == []
    assert steps(result) == [("install_packages", "pipx"), *first_steps(machine)]


def test_package_that_the_system_does_not_offer(machine):
    calls = failing(debian_from_nothing(machine), 3, rc=100, err="E: Unable to locate package pipx\n")

    result = machine.run(*calls, fails=True)

    assert result["msg"] == (
        "Debian GNU/Linux 12 (bookworm) offers no package pipx in its enabled components; enable the one that holds "
        "it (universe on Ubuntu), or install pipx yourself and name it in pipx_executable"
    )


# Two runs at once


@pytest.fixture
def other_run(installed):
    """Another run for the same account, which holds the lock."""
    descriptor = os.open(installed.home, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield descriptor
    os.close(descriptor)


def test_second_run_waits_and_then_finds_nothing_to_do(installed, other_run):
    os.chmod(installed.config_dir, 0o500)

    def end():
        os.chmod(installed.config_dir, 0o700)
        fcntl.flock(other_run, fcntl.LOCK_UN)

    installed.clock.while_asleep = end
    result = installed.run(shown(installed), shown(installed), shown(installed))

    assert installed.clock.slept == [1]
    assert (result["changed"], result["steps"]) == (False, [])


def test_second_run_does_not_wait_for_ever(installed, other_run):
    os.chmod(installed.config_dir, 0o500)

    result = installed.run(shown(installed), fails=True, lock_timeout=3)

    assert installed.clock.slept == [1, 1, 1]
    assert result["msg"] == (
        "another run has been installing Patroni for postgres for more than 3 seconds; "
        "wait for it to end, or raise lock_timeout"
    )


@pytest.mark.parametrize("check", [False, True], ids=["nothing to do", "check mode"])
def test_run_that_changes_nothing_takes_no_lock(installed, other_run, check):
    if check:
        os.chmod(installed.config_dir, 0o500)

    result = installed.run(shown(installed), check=check)

    assert (result["changed"], installed.clock.slept) == (check, [])


# The whole life


def test_upgrade(installed):
    result = installed.run(*upgrade(installed, "4.1.6"), version="4.1.6")

    assert steps(result) == [
        ("build_environment", f"{WANTED}==4.1.6"),
        ("keep_environment", installed.built(1)),
        ("switch_environment", installed.pointer),
    ]
    assert (result["previous_version"], result["version"]) == ("4.1.5", "4.1.6")
    assert result["msg"] == f"Patroni 4.1.6 is installed in {installed.pointer} (was 4.1.5)"
    assert_installed(installed, 2, kept=[1])


def test_upgrade_that_breaks_leaves_the_old_one(installed):
    calls = upgrade(installed, "4.1.6")

    result = installed.run(*failing(calls, 4, err="ImportError: broken release\n"), fails=True, version="4.1.6")

    assert result["msg"] == (f"{WANTED}==4.1.6 was installed but does not run as postgres: ImportError: broken release")
    assert (result["changed"], result["steps"]) == (False, [])
    assert_installed(installed)


ASKING = {
    **PIP,
    "PIP_USER": "0",
    "PIP_REQUIRE_VIRTUALENV": "0",
    "PIP_BREAK_SYSTEM_PACKAGES": "1",
    "PIP_QUIET": "0",
}
NO_PIP = {"rc": 1, "err": "/usr/bin/python3.11: No module named pip\n"}
CONFLICT = """\
The conflict is caused by:
    patroni 4.1.6 depends on click>=5.0
    The user requested (constraint) click<5

To fix this you could try to:
"""


def share_pip(machine):
    """Have what pipx shares among its environments, and return its pip."""
    packages = Path(machine.pipx_home, "shared/lib/python3.11/site-packages")
    with machine.kernel.account_acts():
        os.makedirs(str(packages))
        os.makedirs(f"{machine.pipx_home}/shared/bin")
        os.symlink(machine.interpreter, f"{machine.pipx_home}/shared/bin/python")
        add_distribution(packages, "pip-26.3", {"pip/__init__.py": "", "pip/__main__.py": "run\n"})
    return [f"{packages}/pip"]


@pytest.fixture
def pip(installed):
    """The pip that pipx shares on an installed host, as it is run."""
    return share_pip(installed)


def asks(machine, pip, requirement=None, python=None, variables=None, **answer):
    """A question to the index: about Patroni alone, or about a requirement and all that it needs."""
    run = [str(python or machine.interpreter), "-I", "-B", *pip, "install", "--dry-run", "--ignore-installed"]
    about = [requirement] if requirement else ["--no-deps", "patroni"]
    if "out" in answer:
        answer["out"] = f"Collecting patroni\nWould install {answer['out']}\n"
    return Call([*run, *about], variables=variables or ASKING, as_account=True, **answer)


def test_the_newest_is_there(installed, pip):
    result = installed.run(shown(installed), asks(installed, pip, out="patroni-4.1.5"), state="latest")

    assert (result["version"], result["changed"]) == ("4.1.5", False)
    assert not os.path.exists(installed.asking)


@pytest.mark.parametrize("newest", ["4.1.6", "4.0.11"])
def test_the_newest_is_another(installed, pip, newest):
    calls = upgrade(installed, newest)
    calls[1:1] = [
        asks(installed, pip, out="patroni-4.1.7"),
        # With what it depends on, under the constraints.
        asks(installed, pip, WANTED, out=f"click-8.1 patroni-{newest}"),
    ]

    result = installed.run(*calls, state="latest")

    assert (result["version"], result["changed"]) == (newest, True)


def test_the_newest_that_goes_with_the_rest_is_there(installed, pip):
    calls = asks(installed, pip, out="patroni-4.1.6"), asks(installed, pip, WANTED, out="click-4.1 patroni-4.1.5")

    assert installed.run(shown(installed), *calls, state="latest")["changed"] is False


def test_latest_when_the_index_gives_no_answer(installed, pip):
    index = asks(installed, pip, rc=1, err="ERROR: No matching distribution found for patroni\n")

    result = installed.run(shown(installed), index, fails=True, state="latest")

    assert result["msg"] == (
        "cannot find out which Patroni the package index offers: ERROR: No matching distribution found for patroni"
    )
    assert result["rc"] == 1
    assert not os.path.exists(installed.asking)


def test_latest_when_nothing_goes_together(installed, pip):
    first = asks(installed, pip, out="patroni-4.1.6")
    second = Call([*asks(installed, pip, WANTED).argv], out=CONFLICT, err="ERROR: ResolutionImpossible\n", rc=1)

    result = installed.run(
        shown(installed), first, second._replace(variables=ASKING, as_account=True), fails=True, state="latest"
    )

    assert result["msg"] == (
        f"pip found no compatible versions for {WANTED}: patroni 4.1.6 depends on click>=5.0; "
        "The user requested (constraint) click<5; change the version or the constraints"
    )


def test_the_question_does_not_rest_on_the_environment_in_use(installed):
    """The libraries that pipx shares are gone, and with them the pip of the environment."""
    wheel = Path(installed.base, "usr/share/python-wheels/pip-23.0.1-py3-none-any.whl")
    os.makedirs(str(wheel.parent))
    wheel.touch()
    answer = asks(installed, [f"{wheel}/pip"], out="patroni-4.1.5")

    assert installed.run(shown(installed), answer, state="latest")["changed"] is False


def test_the_next_pip_is_asked_where_one_does_not_run(installed, pip):
    made = Call([str(installed.interpreter), "-I", "-m", "venv", f"{installed.asking}/venv"], as_account=True)
    calls = [
        asks(installed, pip, rc=1, err="SyntaxError: invalid syntax\n"),
        asks(installed, ["-m", "pip"], **NO_PIP),
        made,
        asks(installed, ["-m", "pip"], python=f"{installed.asking}/venv/bin/python", out="patroni-4.1.5"),
    ]

    assert installed.run(shown(installed), *calls, state="latest")["changed"] is False


def test_no_pip_runs(installed):
    made = Call([str(installed.interpreter), "-I", "-m", "venv", f"{installed.asking}/venv"], as_account=True, rc=1)

    result = installed.run(shown(installed), asks(installed, ["-m", "pip"], **NO_PIP), made, fails=True, state="latest")

    assert result["msg"].endswith("which Patroni the package index offers: /usr/bin/python3.11: No module named pip")


def test_an_older_pip_is_asked_by_a_download(installed):
    run = [str(installed.interpreter), "-I", "-B", "-m", "pip"]
    saved = f"{installed.asking}/packages"
    calls = [
        asks(installed, ["-m", "pip"], rc=2, err="\nno such option: --dry-run\n"),
        Call(
            [*run, "download", "--no-deps", "--dest", saved, "patroni"],
            out=f"Saved {saved}/patroni-4.1.5-py3-none-any.whl\n",
            variables=ASKING,
            as_account=True,
        ),
    ]

    assert installed.run(shown(installed), *calls, state="latest")["changed"] is False


def test_credentials_reach_a_question_unseen(installed, pip):
    netrc = f"{installed.asking}/netrc"
    held = {}

    def look():
        held["netrc"] = (Path(netrc).read_text("utf-8"), installed.look(netrc)[2])

    variables = {**ASKING, "NETRC": netrc, "PIP_INDEX_URL": "https://example.org/simple"}
    answer = asks(installed, pip, variables=variables, out="patroni-4.1.5", effect=look)

    installed.run(shown(installed), answer, state="latest", index_url="https://u:secret@example.org/simple")

    assert held["netrc"] == ("machine example.org login u password secret\n", 0o600)
    assert not os.path.exists(installed.asking)


def test_check_mode_asks_the_index_for_the_version(installed, pip):
    looks = upgrade(installed, "4.1.6")[:2]
    wanted = f"{WANTED}==4.1.6"
    missing = (
        "ERROR: Could not find a version that satisfies the requirement patroni[etcd]==4.1.6 (from versions: 4.0, 5)"
    )
    before = installed.tree()

    planned = installed.run(*looks, asks(installed, pip, wanted, out="patroni-4.1.6"), check=True, version="4.1.6")
    absent = installed.run(
        *looks, asks(installed, pip, wanted, rc=1, err=missing), fails=True, check=True, version="4.1.6"
    )
    refused = installed.run(
        *looks,
        asks(installed, pip, wanted, rc=1, err=f"{CONFLICT}ERROR: ResolutionImpossible\n"),
        fails=True,
        check=True,
        version="4.1.6",
    )

    assert (planned["changed"], planned["version"]) == (True, "4.1.6")
    assert absent["msg"] == (
        "version: the package index offers no patroni==4.1.6 for this Python; the newest versions that it "
        "offers are 4.0, 5"
    )
    assert refused["msg"] == (
        "version: pip found no compatible versions for patroni==4.1.6: patroni 4.1.6 depends on click>=5.0; "
        "The user requested (constraint) click<5; change the version or the constraints"
    )
    assert absent["steps"] == refused["steps"] == []
    assert installed.tree() == before


def test_check_mode_asks_with_the_python_of_pipx(machine):
    """There is no environment yet."""
    pipx = machine.tool("pipx")
    Path(pipx).write_text(f"#! {machine.interpreter} -I\nrun\n", "utf-8")
    answer = asks(
        machine, ["-m", "pip"], f"--no-deps {WANTED}==9.9.9".split()[1], rc=1, err=WRONG_VERSION.replace("    ", "")
    )
    answer.argv.insert(-1, "--no-deps")

    result = machine.run(show(), pipx_version(pipx), answer, fails=True, check=True, version="9.9.9")

    assert result["msg"].startswith("version: the package index offers no patroni==9.9.9 for this Python")


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("line", ["patroni==4.0.7", "patroni<4.1", "patroni==4.0.7 ; python_version >= '3.8'"])
def test_a_version_against_the_constraints_is_refused_before_anything_changes(installed, check, line):
    constraints = Path(installed.base, "c.txt")
    constraints.write_text(f"{line}\n", "utf-8")
    pipx = Path(installed.base, "usr/bin/pipx")
    pipx.write_text(f"#!{installed.interpreter}\n", "utf-8")
    before = installed.tree()

    looks = shown(installed), pipx_version(str(pipx))
    result = installed.run(*looks, fails=True, check=check, version="4.1.5", constraints=str(constraints))

    assert result["msg"] == f"version: 4.1.5 contradicts {line.partition(' ')[0]} in {constraints}; change one of them"
    assert (result["changed"], result["steps"]) == (False, [])
    assert installed.tree() == before


def test_a_label_that_was_lost_is_set_again(installed):
    labels = installed.load_policy("bin_t")
    script = f"{installed.built(1)}/bin/patroni"

    planned = installed.run(shown(installed), check=True)
    # Planned again under the lock, and looked at afterwards.
    result = installed.run(*[shown(installed)] * 3)
    again = installed.run(shown(installed))

    assert steps(planned) == steps(result) == [("set_label", script)]
    assert planned["diff"] == result["diff"]
    assert [(entry["before"], entry["after"]) for entry in result["diff"]] == [
        ("system_u:object_r:postgresql_db_t:s0\n", "system_u:object_r:bin_t:s0\n")
    ]
    assert labels == {script: "system_u:object_r:bin_t:s0"}
    assert result["msg"] == f"Patroni 4.1.5 is repaired in {installed.pointer}: set_label"
    assert again["changed"] is False
    assert installed.warnings == []


def test_a_label_that_systemd_may_execute_is_left(installed):
    labels = installed.load_policy("bin_t", "postgresql_db_t")

    assert installed.run(shown(installed))["changed"] is False
    assert labels == {}
    assert installed.warnings == []


def test_an_environment_is_labeled_when_it_is_built(installed):
    labels = installed.load_policy("bin_t")

    result = installed.run(*upgrade(installed, "4.1.6"), version="4.1.6")

    assert "set_label" not in [action for action, _target in steps(result)]
    assert labels == {f"{installed.built(2)}/bin/patroni": "system_u:object_r:bin_t:s0"}


def test_a_label_that_cannot_be_set(installed, monkeypatch):
    installed.load_policy("bin_t")

    def refuse(*_arguments, **_named):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "setxattr", refuse)

    result = installed.run(*[shown(installed)] * 2, fails=True)

    assert result["msg"] == f"set_label {installed.built(1)}/bin/patroni: [Errno 95] Operation not supported"
    assert (result["changed"], result["steps"]) == (False, [])


def test_check_mode_does_not_query_the_index_for_the_installed_version(installed):
    assert installed.run(shown(installed), check=True, version="4.1.5")["changed"] is False


def test_half_made_environment_of_pipx_is_repaired(machine):
    machine.tool("pipx")
    half = machine.environment(machine.pointer)
    (half / "bin" / "patroni").unlink()

    result = machine.run(
        show(),
        pipx_version(f"{machine.base}/usr/bin/pipx"),
        show(),
        pipx_install(machine, wanted=f"{WANTED}==4.1.5"),
        *checks(machine),
        RELOAD,
        shown(machine),
    )

    assert [step for step in steps(result) if step[0] != "create_directory"] == [
        ("build_environment", f"{WANTED}==4.1.5"),
        ("switch_environment", machine.pointer),
        ("write_unit", machine.unit_path),
        ("reload_systemd", "systemd"),
    ]
    assert os.readlink(machine.pointer) == machine.built(1)
    assert os.listdir(f"{machine.pipx_home}/patroni") == ["1"]


def test_dead_interpreter_is_repaired_at_the_same_version(installed):
    python = Path(installed.built(1), "bin", "python")
    python.unlink()
    python.symlink_to("/usr/bin/python3.99")

    result = installed.run(*upgrade(installed, "4.1.5"))

    assert steps(result)[0] == ("build_environment", f"{WANTED}==4.1.5")
    assert result["msg"] == (
        f"Patroni 4.1.5 is reinstalled in {installed.pointer}: "
        f"its interpreter {installed.built(1)}/bin/python is missing"
    )
    assert_installed(installed, 2)


def test_environment_of_an_older_pipx_is_adopted(machine):
    legacy = f"{machine.home}/.local/pipx/venvs/patroni"
    machine.environment(legacy)
    os.makedirs(machine.bin_dir)
    for name in ("patroni", "patronictl", "patroni_aws"):
        os.symlink(f"{legacy}/bin/{name}", f"{machine.bin_dir}/{name}")
    Path(machine.unit_path).write_text("[Service]\nUser=postgres\n", "utf-8")
    machine.kernel.give(machine.unit_path, UID, GID, 0o644)

    result = machine.run(shown(machine), shown(machine), RELOAD, shown(machine))

    assert steps(result) == [
        ("write_unit", machine.unit_path),
        ("reload_systemd", "systemd"),
        ("create_directory", machine.config_dir),
    ]
    assert result["venv"] == legacy
    assert machine.look(machine.unit_path) == (0, 0, 0o644)

    labels = machine.load_policy("bin_t")
    labeled = machine.run(*[shown(machine)] * 3)

    assert steps(labeled) == [("set_label", f"{legacy}/bin/patroni")]
    assert labels == {f"{legacy}/bin/patroni": "system_u:object_r:bin_t:s0"}


THEIRS = """\
[Unit]
Description=Patroni
[Service]
User=postgres
Group=postgres
Environment=PGPASSWORD=secret
LimitNOFILE=65536
ExecStart=-/usr/bin/env {bin_dir}/patroni {config}
KillMode=process
"""


@pytest.fixture
def adopted(installed):
    """A host whose unit and configuration somebody else made."""
    config = f"{installed.config_dir}/patroni.yml"
    Path(config).write_text("scope: x\n", "utf-8")
    Path(installed.unit_path).write_text(THEIRS.format(bin_dir=installed.bin_dir, config=config), "utf-8")
    return installed


def test_unit_of_somebody_else_keeps_its_configuration(adopted):
    config = f"{adopted.config_dir}/patroni.yml"

    planned = adopted.run(shown(adopted), check=True)
    result = adopted.run(shown(adopted), shown(adopted), RELOAD, shown(adopted))

    assert steps(result) == steps(planned) == [("write_unit", adopted.unit_path), ("reload_systemd", "systemd")]
    assert result["config_file"] == planned["config_file"] == config
    assert f' "{config}"\n' in Path(adopted.unit_path).read_text("utf-8")
    told = (
        f"{adopted.unit_path} was not written by this module and is replaced, without its settings "
        "Service.Environment, Service.LimitNOFILE, Service.ExecStart; "
        f"put those that you still need into {adopted.unit_path}.d/local.conf"
    )
    assert adopted.warnings == [told, told]
    assert adopted.run(shown(adopted))["changed"] is False


def test_config_file_comes_before_the_configuration_in_use(adopted):
    result = adopted.run(shown(adopted), shown(adopted), RELOAD, shown(adopted), config_file="patroni.yaml")

    assert result["config_file"] == f"{adopted.config_dir}/patroni.yaml"
    assert adopted.warnings[1:] == [
        f"the unit names the configuration {adopted.config_dir}/patroni.yaml, which does not exist; found instead: "
        f"{adopted.config_dir}/patroni.yml; set config_file to use one of these"
    ]


def test_configuration_in_use_that_is_gone(adopted):
    os.rename(f"{adopted.config_dir}/patroni.yml", f"{adopted.config_dir}/patroni.yaml")

    result = adopted.run(shown(adopted), shown(adopted), RELOAD, shown(adopted))

    assert result["config_file"] == f"{adopted.config_dir}/patroni.yaml"


def test_configuration_that_the_unit_does_not_tell(adopted):
    unit = Path(adopted.unit_path)
    unit.write_text(unit.read_text("utf-8").replace(f"{adopted.config_dir}/patroni.yml", "$CONFIG"), "utf-8")

    result = adopted.run(shown(adopted), check=True)

    assert result["config_file"] == f"{adopted.config_dir}/patroni.yaml"
    assert adopted.warnings[1] == (
        f"cannot tell from the command in {adopted.unit_path} which configuration Patroni uses, so the unit will name "
        f"{adopted.config_dir}/patroni.yaml; set config_file if it uses another one"
    )


def inject(machine, *wanted, number=2, **answers):
    return Call(
        [f"{machine.base}/usr/bin/pipx", "inject", "--force", "patroni", *wanted],
        variables=pipx_variables(machine, number),
        as_account=True,
        **answers,
    )


@pytest.fixture
def injected(installed):
    """A host on which somebody injected boto3."""
    record = Path(installed.built(1), "pipx_metadata.json")
    recorded = {**json.loads(record.read_text("utf-8")), "injected_packages": {"boto3": {"package_or_url": "boto3>1"}}}
    record.write_text(json.dumps(recorded), "utf-8")
    with installed.kernel.account_acts():
        add_distribution(Path(installed.built(1), "lib/python3.11/site-packages"), "boto3-1.4", {})
    os.symlink(f"{installed.pointer}/bin/jp.py", f"{installed.bin_dir}/jp.py")
    return installed


def test_injected_packages_move_along(injected):
    def effect():
        Path(injected.built(2), "bin", "jp.py").touch()

    planned = injected.run(
        shown(injected),
        pipx_version(f"{injected.base}/usr/bin/pipx"),
        asks(injected, share_pip(injected), f"{WANTED}==4.1.4", out="patroni-4.1.4"),
        check=True,
        version="4.1.4",
    )
    calls = upgrade(injected, "4.1.4")
    result = injected.run(*calls[:4], inject(injected, "boto3>1", effect=effect), *calls[4:], version="4.1.4")

    assert steps(result) == steps(planned)
    again = "(was 4.1.5), again with boto3>1"
    assert result["msg"] == f"Patroni 4.1.4 is installed in {injected.pointer} {again}"
    assert planned["msg"] == f"Patroni 4.1.4 would be installed in {injected.pointer} {again}"
    for told in (planned["diff"][0], result["diff"][0]):
        assert "injected: boto3>1\n" in told["before"]
        assert "injected: boto3>1\n" in told["after"]
    assert links(injected.bin_dir)["jp.py"] == f"{injected.pointer}/bin/jp.py"


def test_injected_package_that_cannot_be_installed_any_more(injected):
    calls = upgrade(injected, "4.1.4")
    said = "ERROR: No matching distribution found for boto3>1\n"

    result = injected.run(
        *calls[:4], inject(injected, "boto3>1", err=said, rc=1), fails=True, version="4.1.4", retries=0
    )

    assert result["msg"] == (
        "boto3>1, which somebody added to the environment in use, cannot be installed with "
        f"{WANTED}==4.1.4: ERROR: No matching distribution found for boto3>1; make it available, "
        "or remove it first, as postgres, with 'pip uninstall' in that environment"
    )
    assert os.readlink(injected.pointer) == injected.built(1)
    assert os.listdir(f"{injected.pipx_home}/patroni") == ["1"]


def replace_patroni(environment, version):
    """Have pip install another Patroni into an environment."""
    packages = Path(environment, "lib/python3.11/site-packages")
    for info in packages.glob("patroni-*.dist-info"):
        shutil.rmtree(str(info))
    entry_points = {f"patroni-{version}.dist-info/entry_points.txt": "[console_scripts]\npatroni = x\n"}
    add_distribution(packages, f"patroni-{version}", entry_points)


def test_injected_package_that_brings_another_patroni(injected):
    calls = upgrade(injected, "4.1.4")
    bring = inject(injected, "boto3>1", effect=lambda: replace_patroni(injected.built(2), "4.0.9"))

    result = injected.run(*calls[:4], bring, fails=True, version="4.1.4")

    assert result["msg"] == (
        "boto3>1, which somebody added to the environment in use, leads to Patroni 4.0.9 instead of "
        "4.1.4; remove it first, as postgres, with 'pip uninstall' in that environment"
    )
    assert os.readlink(injected.pointer) == injected.built(1)


SYSTEMD = {"extras": ["psycopg2-binary", "etcd", "systemd"]}


@pytest.mark.parametrize(("version", "kind"), [("4.1.4", "notify"), ("4.0.11", "simple")])
def test_unit_follows_a_change_of_version(installed, version, kind):
    """The unit is planned with the environment, and follows what became of it."""
    wanted = f"patroni[psycopg2-binary,etcd,systemd]=={version}"
    built = Path(installed.built(2), "lib/python3.11/site-packages")

    def make():
        installed.environment(installed.built(2), version=version)
        if kind == "notify":
            add_distribution(built, "systemd_python-235", {})

    calls = upgrade(installed, version)
    calls[3] = pipx_install(installed, 2, wanted, effect=make)
    changed = [RELOAD] if kind == "notify" else []
    result = installed.run(*calls[:7], *changed, *calls[7:], version=version, **SYSTEMD)

    if kind == "simple":
        assert installed.warnings == ["Patroni 4.0.11 does not have the extras systemd, so they are left out"]
    assert f"\nType={kind}\n" in Path(installed.unit_path).read_text("utf-8")
    assert (("write_unit", installed.unit_path) in steps(result)) is (kind == "notify")
    assert installed.run(shown(installed), version=version, **SYSTEMD)["changed"] is False


def test_unit_follows_what_the_index_gave(machine):
    """Which version is the newest is only known when it is there."""
    machine.tool("pipx")
    calls = first_installation(machine, wanted="patroni[psycopg2-binary,etcd,systemd]", made={"version": "4.0.11"})

    planned = machine.run(*calls[:2], check=True, **SYSTEMD)
    result = machine.run(*calls, RELOAD, shown(machine), **SYSTEMD)

    assert (
        "\nType=notify\n"
        in next(told for told in planned["diff"] if told["before_header"] == machine.unit_path)["after"]
    )
    assert "\nType=simple\n" in Path(machine.unit_path).read_text("utf-8")
    assert [step for step in steps(result) if step[0] == "write_unit"] == [("write_unit", machine.unit_path)]
    assert machine.run(shown(machine), **SYSTEMD)["changed"] is False


def wrap(machine, name="py"):
    wrapper = Path(machine.base, "usr/local/bin", name)
    wrapper.write_text('#!/bin/sh\nexec python3.11 "$@"\n', "utf-8")
    wrapper.chmod(0o755)
    return str(wrapper)


def test_interpreter_behind_a_wrapper(machine):
    machine.tool("pipx")
    python = wrap(machine)
    calls = first_installation(machine, chosen=("--python", python))

    machine.run(calls[0], ask_interpreter(python, machine.interpreter), *calls[1:], python=python)
    assert machine.run(shown(machine), python=python)["changed"] is False

    # Another file under its name may start another interpreter; here it does not.
    os.utime(python, (1, 1))
    asked_again = machine.run(shown(machine), ask_interpreter(python, machine.interpreter), python=python)
    assert asked_again["changed"] is False


def test_wrapper_that_starts_another_interpreter(installed):
    python = wrap(installed)
    pipx = pipx_version(f"{installed.base}/usr/bin/pipx")

    result = installed.run(
        shown(installed), ask_interpreter(python, "/usr/bin/python3.12"), pipx, check=True, python=python
    )

    assert steps(result)[0] == ("build_environment", f"{WANTED}==4.1.5")


@pytest.mark.parametrize(
    ("answers", "cause"),
    [
        ({"rc": 2, "err": "env: invalid option -- 'c'\n"}, "env: invalid option -- 'c'"),
        ({"rc": 127, "err": "pyenv: py: command not found\n"}, "pyenv: py: command not found"),
        ({"out": "2 /usr/bin/python2.7\n"}, "2 /usr/bin/python2.7"),
        ({"out": "hello\n"}, "hello"),
        ({"out": ""}, "no output"),
    ],
)
def test_interpreter_that_is_not_python_3(installed, answers, cause):
    python = wrap(installed)
    asks = Call([python, "-c", ASK], as_account=True, **answers)

    result = installed.run(shown(installed), asks, fails=True, python=python)

    assert result["msg"] == f"python: {python} must start a Python 3 for postgres, and does not: {cause}"
    assert result["steps"] == []


@pytest.mark.parametrize(
    ("rest", "text"),
    [
        ("etc/systemd/system/patroni-b.service", "ExecStart={bin_dir}/patroni /etc/patroni-b/patroni.yaml"),
        ("etc/systemd/system/patroni@.service", 'ExecStart="{bin_dir}/patroni" "/etc/patroni-%i/patroni.yaml"'),
        ("usr/lib/systemd/system/ha.service", "ExecStartPre=/bin/true\nExecStart={pointer}/bin/python -m patroni /x"),
        ("etc/systemd/system/ha.service.d/10.conf", "ExecStart=\nExecStart=-/bin/sh -c '{bin_dir}/patroni /x'"),
        ("etc/systemd/system/backup.service", "ExecStart=/usr/bin/env A=b {generation}/bin/patroni_barman"),
        ("etc/systemd/system/other.service", "ExecStart={base}/usr/local/bin/ha /x"),
    ],
)
def test_absent_leaves_an_environment_that_another_unit_uses(installed, rest, text):
    os.symlink(f"{installed.bin_dir}/patroni", f"{installed.base}/usr/local/bin/ha")
    other = Path(installed.base, rest)
    os.makedirs(str(other.parent), exist_ok=True)
    names = {"base": installed.base, "bin_dir": installed.bin_dir, "pointer": installed.pointer}
    other.write_text(f"[Service]\n{text.format(generation=installed.built(1), **names)}\n", "utf-8")

    planned = installed.run(shown(installed), state="absent", check=True)
    result = installed.run(shown(installed), shown(installed), RELOAD, show(), state="absent")

    assert steps(planned) == steps(result)
    assert [step for step in steps(result) if step[0] != "remove_executables"] == [
        ("remove_unit", installed.unit_path),
        ("reload_systemd", "systemd"),
    ]
    assert result["msg"] == (
        f"{installed.unit_path} is removed; Patroni 4.1.5 stays in {installed.pointer}, because {other} uses it"
    )
    assert os.readlink(installed.pointer) == installed.built(1)
    again = installed.run(show(), state="absent")
    assert again["msg"] == f"nothing to do: Patroni 4.1.5 stays in {installed.pointer}, because {other} uses it"


@pytest.mark.parametrize(
    ("rest", "text"),
    [
        ("etc/systemd/system/other.service", "ExecStart=/usr/bin/patroni /etc/patroni/patroni.yaml"),
        ("etc/systemd/system/other.service", "# ExecStart={bin_dir}/patroni /x"),
        ("usr/lib/systemd/system/patroni.service", "ExecStart={bin_dir}/patroni /x"),
        ("etc/systemd/system/patroni.service.d/local.conf", "ExecStartPre={bin_dir}/patroni --validate-config /x"),
        ("etc/systemd/system/other.timer", "ExecStart={bin_dir}/patroni /x"),
    ],
)
def test_absent_is_not_kept_by_units_of_other_things(installed, rest, text):
    other = Path(installed.base, rest)
    os.makedirs(str(other.parent), exist_ok=True)
    other.write_text(f"[Service]\n{text.format(bin_dir=installed.bin_dir)}\n", "utf-8")

    result = installed.run(shown(installed), shown(installed), RELOAD, show(), state="absent")

    assert ("remove_directory", installed.generation(1)) in steps(result)


@pytest.mark.parametrize("systemd", [True, False])
def test_absent_while_processes_run_in_the_environment(installed, monkeypatch, systemd):
    monkeypatch.setattr(_host, "_origins", lambda: {f"{installed.built(1)}/bin"})
    installed.systemd = systemd
    asks = [shown(installed)] if systemd else []

    result = installed.run(*asks, state="absent", fails=True)

    assert result["msg"] == (
        f"processes run in {installed.pointer}; Patroni is removed only after they have ended, or with force: true"
    )
    forced = installed.run(*asks, state="absent", force=True, check=True)
    assert ("remove_directory", installed.generation(1)) in steps(forced)


def test_unit_of_the_account_s_is_taken_from_it(installed):
    installed.kernel.give(installed.unit_path, UID, GID, 0o664)
    written = os.stat(installed.unit_path)

    result = installed.run(shown(installed), shown(installed), RELOAD, shown(installed))

    assert steps(result) == [("write_unit", installed.unit_path), ("reload_systemd", "systemd")]
    assert installed.look(installed.unit_path) == (0, 0, 0o644)
    now = os.stat(installed.unit_path)
    assert now.st_ino != written.st_ino
    assert abs(now.st_mtime - written.st_mtime) < 0.001


@pytest.mark.parametrize(
    ("uid", "gid", "mode"),
    [
        pytest.param(UID, GID, 0o755, id="another mode"),
        pytest.param(0, 0, 0o700, id="root's"),
        pytest.param(0, GID, 0o770, id="owned by root, and the account may write to it"),
        pytest.param(0, 0, 0o777, id="everybody's"),
        pytest.param(UID, 64200, 0o700, id="another group"),
    ],
)
def test_configuration_directory_is_corrected(installed, uid, gid, mode):
    installed.kernel.give(installed.config_dir, uid, gid, mode)

    result = installed.run(shown(installed), shown(installed), shown(installed))

    assert steps(result) == [("set_attributes", installed.config_dir)]
    assert installed.look(installed.config_dir) == (UID, GID, 0o700)


def test_configuration_directory_gets_a_group_that_the_account_is_not_in(installed):
    unit = Path(installed.unit_path)
    unit.write_text(unit.read_text("utf-8").replace("Group=postgres", "Group=dba"), "utf-8")

    result = installed.run(shown(installed), shown(installed), shown(installed), group="dba")

    assert steps(result) == [("set_attributes", installed.config_dir)]
    assert installed.look(installed.config_dir) == (UID, 64200, 0o700)


def test_names_that_the_account_planted_are_not_linked_by_root(installed):
    bin_dir = f"{installed.base}/opt/bin"
    os.makedirs(bin_dir)
    entry_points = Path(installed.built(1), "lib/python3.11/site-packages/patroni-4.1.5.dist-info/entry_points.txt")
    with entry_points.open("a", encoding="utf-8") as planted:
        planted.write("[console_scripts]\n../../../etc/profile.d/x.sh = a:b\nsudo = a:b\n")
    os.mkdir(f"{installed.base}/etc/profile.d")

    installed.run(shown(installed), shown(installed), RELOAD, shown(installed), bin_dir=bin_dir)

    assert os.listdir(f"{installed.base}/etc/profile.d") == []
    assert links(bin_dir) == exposed(installed)


def test_drift_of_links_is_corrected(installed):
    os.unlink(f"{installed.bin_dir}/patronictl")
    os.symlink("/usr/bin/other", f"{installed.bin_dir}/other")
    os.symlink(f"{installed.pointer}/bin/gone", f"{installed.bin_dir}/gone")

    result = installed.run(shown(installed), shown(installed), shown(installed))

    assert steps(result) == [("expose_executables", installed.bin_dir)]
    assert links(installed.bin_dir) == {**exposed(installed), "other": "/usr/bin/other"}


def test_what_an_interrupted_run_left_is_removed(installed):
    with installed.kernel.account_acts():
        os.makedirs(f"{installed.generation(7)}/venvs/patroni")
        os.symlink(installed.built(7), f"{installed.pipx_home}/patroni/switch")

    result = installed.run(shown(installed), shown(installed), shown(installed))

    assert steps(result) == [
        ("remove_environment", installed.generation(7)),
        ("remove_environment", f"{installed.pipx_home}/patroni/switch"),
    ]
    assert_installed(installed)


@pytest.mark.parametrize("name", ["data", "1.bak", "README"])
def test_foreign_files_next_to_the_generations_stay(installed, name):
    # A pipx_home of /opt or of the home itself makes this a directory that others may use too.
    foreign = Path(installed.pipx_home, "patroni", name)
    foreign.mkdir()

    result = installed.run(shown(installed))
    installed.run(shown(installed), shown(installed), RELOAD, show(), state="absent")

    assert result["changed"] is False
    assert foreign.is_dir()


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


# The way back


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


def kept(result):
    return [(entry["version"], entry["path"]) for entry in result["kept"]]


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
    for name in ("steps", "diff", "version", "venv", "restart_required"):
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
    assert planned["steps"] == result["steps"]
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
    assert planned["steps"] == result["steps"]
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


ACTIVE = {"active": "active", "enabled": "enabled"}


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        ({"active": "active"}, "active"),
        ({"active": "activating"}, "active"),
        ({"enabled": "enabled-runtime"}, "enabled"),
        (ACTIVE, "active and enabled"),
    ],
)
def test_absent_is_refused_while_in_service(installed, answers, found):
    before = installed.tree()

    result = installed.run(shown(installed, **answers), fails=True, state="absent")

    assert result["msg"].startswith(f"patroni.service is {found}; Patroni is removed only after")
    assert installed.tree() == before


@pytest.mark.parametrize(
    ("answers", "params"),
    [pytest.param({}, {}, id="out of service"), pytest.param(ACTIVE, {"force": True}, id="in service, by force")],
)
def test_absent(installed, answers, params):
    os.symlink("/usr/bin/other", f"{installed.bin_dir}/other")
    Path(installed.config_dir, "patroni.yaml").write_text("scope: x\n", "utf-8")

    result = installed.run(
        shown(installed, **answers), shown(installed, **answers), RELOAD, show(), state="absent", **params
    )

    assert steps(result) == [
        ("remove_executables", installed.bin_dir),
        ("remove_directory", installed.pointer),
        ("remove_directory", installed.generation(1)),
        ("remove_unit", installed.unit_path),
        ("reload_systemd", "systemd"),
    ]
    assert (result["version"], result["previous_version"], result["restart_required"]) == (None, "4.1.5", False)
    assert os.listdir(installed.bin_dir) == ["other"]
    assert os.listdir(installed.pipx_home) == ["venvs"]
    assert os.listdir(f"{installed.pipx_home}/venvs") == []
    assert os.listdir(installed.config_dir) == ["patroni.yaml"]
    assert not os.path.lexists(installed.unit_path)


def test_absent_twice(installed):
    installed.run(shown(installed), shown(installed), RELOAD, show(), state="absent")

    result = installed.run(show(), state="absent")

    assert (result["changed"], result["msg"]) == (False, "nothing to do: Patroni is absent")


# Without root


@pytest.fixture
def rootless(make_machine):
    """The account itself runs the module, and every path is its own."""
    machine = make_machine(root=False)
    machine.systemd = False
    machine.tool("pipx")
    return machine


def own_paths(machine):
    return {
        "config_dir": f"{machine.home}/etc",
        "unit_path": f"{machine.home}/units/patroni.service",
    }


def test_without_root(rootless):
    calls = [call for call in first_installation(rootless) if call.argv[0] != "systemctl"]

    result = rootless.run(*calls, **own_paths(rootless))

    assert steps(result) == [
        *folders(rootless),
        ("build_environment", WANTED),
        ("switch_environment", rootless.pointer),
        ("create_directory", f"{rootless.home}/units"),
        ("write_unit", f"{rootless.home}/units/patroni.service"),
        ("create_directory", f"{rootless.home}/etc"),
    ]
    assert rootless.look(f"{rootless.home}/units/patroni.service") == (UID, GID, 0o644)
    assert rootless.run(**own_paths(rootless))["changed"] is False


def test_without_root_and_pipx(rootless):
    Path(rootless.base, "usr/bin/pipx").unlink()

    result = rootless.run(fails=True, **own_paths(rootless))

    assert result["msg"].startswith("no pipx was found, and installing one needs root: run with become")


def test_without_root_where_only_root_can_write(rootless):
    paths = {**own_paths(rootless), "unit_path": rootless.unit_path}

    result = rootless.run(pipx_version(f"{rootless.base}/usr/bin/pipx"), fails=True, **paths)

    assert result["msg"] == (
        f"unit_path: postgres must be able to write to {os.path.dirname(rootless.unit_path)}, and cannot "
        "(its mode, or a read-only filesystem); run as root (become: true)"
    )


def test_without_root_for_another_account(rootless, monkeypatch):
    other = pwd.struct_passwd(("postgres", "x", UID + 1, GID, "", rootless.home, "/bin/bash"))
    monkeypatch.setattr(pwd, "getpwnam", {"postgres": other}.__getitem__)

    result = rootless.run(fails=True)

    assert result["msg"] == (
        "installing Patroni for postgres needs root: run with become: true; "
        "without root, user must be the account that runs the module"
    )


@pytest.fixture
def writes(installed, monkeypatch):
    """What makes changes durable, and what depends on it, as it happens: (operation, what to)."""
    seen = []

    def watch(owner, name, shown):
        real = getattr(owner, name)

        def watched(*arguments, **more):
            seen.append((name, shown(*arguments)))
            return real(*arguments, **more)

        monkeypatch.setattr(owner, name, watched)

    def synced(descriptor):
        return os.readlink(f"/proc/self/fd/{descriptor}")

    watch(os, "fsync", synced)
    watch(_files, "sync_filesystem", str)
    watch(_files, "exchange", lambda _left, right: right)
    watch(_files, "replace_link", lambda path, _target: path)
    watch(_files, "remove_file", str)
    watch(_kept, "remove_file", str)
    watch(_files, "remove_tree", str)
    watch(os, "rename", lambda source, _target: source)
    return seen


def in_this_order(seen, *expected):
    """Whether all that is expected was seen, in this order; what happens between is free."""
    rest = iter(seen)
    return all(wanted in rest for wanted in expected)


def test_upgrade_is_durable_before_it_is_used(installed, writes):
    venvs = os.path.dirname(installed.pointer)

    installed.run(*upgrade(installed, "4.0.11"), version="4.0.11", keep=0)

    switch = f"{installed.pipx_home}/patroni/switch"
    assert in_this_order(
        writes,
        ("sync_filesystem", f"{installed.pipx_home}/patroni"),
        ("exchange", installed.pointer),
        ("fsync", venvs),
        ("fsync", installed.bin_dir),
        ("remove_tree", switch),
        ("remove_tree", installed.generation(1)),
    ), writes
    before = writes[: writes.index(("exchange", installed.pointer))]
    assert not [path for name, path in before if name == "remove_tree" and path != switch]
    assert [name for name, _path in writes].count("sync_filesystem") == 1


def test_links_and_unit_are_durable_before_they_are_used(installed, writes):
    shutil.rmtree(installed.bin_dir)
    os.unlink(installed.unit_path)
    directory, name = os.path.split(installed.unit_path)

    installed.run(shown(installed), shown(installed), RELOAD, shown(installed))

    assert in_this_order(
        writes,
        ("fsync", installed.bin_dir),
        ("fsync", os.path.dirname(installed.bin_dir)),
        ("sync_filesystem", installed.pointer),
        ("replace_link", f"{installed.bin_dir}/patroni"),
        ("fsync", installed.bin_dir),
        ("fsync", f"{directory}/.{name}.new"),
        ("rename", f"{directory}/.{name}.new"),
        ("fsync", directory),
    ), writes


def test_removal_is_durable(installed, writes):
    installed.run(shown(installed), shown(installed), RELOAD, show(), state="absent")

    assert in_this_order(
        writes,
        ("remove_file", f"{installed.bin_dir}/patroni"),
        ("fsync", installed.bin_dir),
        ("remove_tree", installed.pointer),
        ("remove_file", installed.unit_path),
        ("fsync", os.path.dirname(installed.unit_path)),
    ), writes


def test_run_without_change_waits_for_no_disk(installed, writes):
    installed.run(shown(installed))

    assert writes == []
