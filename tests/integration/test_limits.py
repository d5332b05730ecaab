# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that set limits: success, or a clear message and nothing lost."""

from __future__ import annotations

import re
import subprocess
import time
import typing as t
from contextlib import contextmanager

import pytest
from lab import UNIT, Host, actions, driver, read_result

pytestmark = [pytest.mark.hosts, pytest.mark.usefixtures("hosts")]

OLD, NEW = "4.0.11", "4.1.5"
SMALL = "/opt/limits"
OPTIONS = {
    "pipx_home": f"{SMALL}/pipx",
    "bin_dir": f"{SMALL}/bin",
    "config_dir": "/etc/limits",
    "unit_path": "/etc/systemd/system/limits.service",
}
# Locks a file as apt and dpkg do, says so, and keeps it until its input ends.
HOLD = """
import fcntl, sys
stream = open(sys.argv[1], "a")
fcntl.lockf(stream, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""
# Completes every connection and never answers.
SILENT = """
import socket, sys
server = socket.create_server(("127.0.0.1", 8765))
print("listening", flush=True)
sys.stdin.read()
"""


FOLLOW_MODULES = "journalctl --follow MODULE=basic.py"
FOLLOW = "journalctl --follow --identifier=ansible-pgedge.platform.patroni_install"
# Serves files, but only when the log says that a second try failed.
LATE = """
import functools, http.server, subprocess, sys, threading
log = subprocess.Popen([*sys.argv[2].split(), "--lines=0"], stdout=subprocess.PIPE, text=True)
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])

def serve():
    next(line for line in log.stdout if "; try 2 of" in line)
    http.server.ThreadingHTTPServer(("127.0.0.1", 8765), handler).serve_forever()

threading.Thread(target=serve, daemon=True).start()
print("following", flush=True)
sys.stdin.read()
log.kill()
"""
# What the log of such a run says, line by line.
TOLD = r"""
Invoked with .*version=4\.1\.5 .*
\S+ asks for Patroni 4\.1\.5 for postgres; there is Patroni 4\.0\.11 in /\S+/venvs/patroni
step 1 of 4: install_packages pipx
apt-get waits for process \d+ \(python3\), which holds /var/lib/dpkg/lock-frontend; gives up in 300 seconds
step 2 of 4: build_environment patroni\[psycopg2-binary,etcd\]==4\.1\.5
pipx: .+; try 1 of 6, the next in 2 seconds
pipx: .+; try 2 of 6, the next in 2 seconds
step 3 of 4: switch_environment /\S+/venvs/patroni
step 4 of 4: remove_environment /\S+
Patroni 4\.1\.5 is installed in /\S+ \(was 4\.0\.11\); \d+\.\d seconds \(install_packages \d.*\)
"""


@contextmanager
def helper(host: Host, script: str, *arguments: str) -> t.Iterator[None]:
    """A Python script that runs in the host until the block ends."""
    command = ["docker", "exec", "--interactive", host.container, "python3", "-c", script, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline()
        try:
            yield
        finally:
            process.stdin.close()


@pytest.fixture(scope="module")
def mounted(hosts: dict[str, Host]) -> t.Iterator[Host]:
    """A host with Patroni on a filesystem of its own."""
    host = hosts["debian12"]
    host.shell(f"mkdir -p {SMALL} && mount -t tmpfs -o size=400m,mode=0755,uid=$(id -u postgres) none {SMALL}")
    try:
        assert not host.install(version=OLD, **OPTIONS).get("failed")
        yield host
    finally:
        host.install(state="absent", **OPTIONS)
        host.shell(f"umount {SMALL}; rm -r {SMALL} /etc/limits")


@pytest.fixture
def remount(mounted: Host) -> t.Iterator[t.Callable[[str], None]]:
    def change(option: str) -> None:
        mounted.run("mount", "-o", f"remount,{option}", SMALL)

    yield change
    change("rw,exec")
    assert mounted.run(f"{SMALL}/bin/patroni", "--version", user="postgres").stdout.split()[-1] == OLD
    assert mounted.install(**OPTIONS)["changed"] is False


def test_read_only(mounted: Host, remount: t.Callable[[str], None]) -> None:
    remount("ro")
    assert mounted.install(**OPTIONS)["changed"] is False
    assert mounted.run(f"{SMALL}/bin/patroni", "--version", user="postgres").stdout.split()[-1] == OLD

    result = mounted.install(version=NEW, **OPTIONS)

    assert result["failed"]
    assert (result["changed"], result["steps"]) == (False, [])
    assert result["msg"].startswith("pipx_home: ")
    assert "read-only" in result["msg"]


def test_noexec(mounted: Host, remount: t.Callable[[str], None]) -> None:
    remount("noexec")

    result = mounted.install(version=NEW, **OPTIONS)

    assert result["failed"]
    assert (result["changed"], result["steps"]) == (False, [])
    assert "noexec" in result["msg"]


@pytest.fixture(scope="module")
def without_pipx(hosts: dict[str, Host]) -> t.Iterator[Host]:
    """A host on which Patroni was installed once, whose package manager is needed again."""
    host = hosts["debian12"]
    assert not host.install(version=OLD).get("failed")
    host.shell("apt-get remove --yes pipx")
    yield host
    host.shell("command -v pipx || apt-get install --yes --no-install-recommends pipx")
    assert host.works()


@pytest.mark.parametrize(("lock", "lists"), [("/var/lib/dpkg/lock-frontend", True), ("/var/lib/apt/lists/lock", False)])
def test_apt_stays_locked(without_pipx: Host, lock: str, lists: bool) -> None:
    """The message names the process that holds the lock, as apt does."""
    host = without_pipx
    if not lists:
        host.shell("mv /var/lib/apt/lists /var/lib/apt/lists.away; mkdir -p /var/lib/apt/lists/partial")
    try:
        with helper(host, HOLD, lock):
            holder = host.shell("pgrep -f lock-frontend\\|lists/lock | head -n 1").strip()
            started = time.monotonic()
            result = host.install(version=NEW, lock_timeout=3)
            assert time.monotonic() - started < 60
    finally:
        if not lists:
            host.shell("rm -r /var/lib/apt/lists; mv /var/lib/apt/lists.away /var/lib/apt/lists")
    assert result["failed"]
    assert result["steps"] == []
    assert "lock" in result["msg"]
    assert f"held by process {holder} (python3)" in result["msg"]
    assert host.works()


def test_apt_is_waited_for(without_pipx: Host) -> None:
    host = without_pipx
    with helper(host, HOLD, "/var/lib/dpkg/lock-frontend"):
        run = host.start_install(version=NEW, lock_timeout=120)
        host.shell("until pgrep -x apt-get; do :; done")
        assert run.poll() is None
    result = read_result(run.communicate(timeout=180)[0])
    assert actions(result)[0] == "install_packages"
    assert result["version"] == NEW


def test_the_log_of_a_run_that_waits(without_pipx: Host) -> None:
    """The lock of apt is held, and the index answers at the third try."""
    host, wheels = without_pipx, "/srv/wheels"
    assert not host.install(version=OLD).get("failed")
    pip = f"PYTHONDONTWRITEBYTECODE=1 {host.pipx_home}/shared/bin/python -m pip"
    host.shell(f"{pip} wheel --quiet --wheel-dir {wheels} 'patroni[psycopg2-binary,etcd]=={NEW}'")
    host.shell("apt-get remove --yes pipx")
    follow = FOLLOW.replace("--follow ", "")
    cursor = host.shell("journalctl --lines=0 --show-cursor").split("cursor: ")[1].strip()
    with helper(host, LATE, wheels, FOLLOW):
        with helper(host, HOLD, "/var/lib/dpkg/lock-frontend"):
            sources = {"find_links": ["http://127.0.0.1:8765/"], "no_index": True}
            run = host.start_install(version=NEW, retry_delay=2, **sources)
            waits = f"until {follow} --after-cursor='{cursor}' | grep -q 'apt-get waits for'; do :; done"
            host.run("timeout", "120", "bash", "-c", waits)
        result = read_result(run.communicate(timeout=180)[0])
    assert result["version"] == NEW
    logged = host.shell(f"{follow} --after-cursor='{cursor}' --output=cat").splitlines()
    print("\n".join(logged))
    for line, pattern in zip(logged, TOLD.split("\n")[1:-1], strict=True):
        assert re.fullmatch(pattern, line)
    host.shell(f"rm -r {wheels}")


def test_the_log_of_a_python_that_writes_to_the_journal_itself(hosts: dict[str, Host]) -> None:
    host = hosts["debian12"]
    assert not host.install(version=OLD).get("failed")
    host.shell("apt-get install --yes --no-install-recommends python3-systemd; chmod 755 /etc/patroni")
    try:
        assert actions(host.install()) == ["set_attributes"]
        logged = host.shell(f"{FOLLOW_MODULES.replace('--follow ', '')} --output=cat").splitlines()
    finally:
        host.shell("apt-get remove --yes python3-systemd")
    assert "ansible-pgedge.platform.patroni_install step 1 of 1: set_attributes /etc/patroni" in logged


def test_dnf_stays_locked(hosts: dict[str, Host]) -> None:
    host = hosts["el9"]
    assert not host.install(version=OLD).get("failed")
    held = "/var/cache/dnf/metadata_lock.pid /var/lib/dnf/rpmdb_lock.pid"
    packages = "/usr/lib/python3/dist-packages"
    try:
        host.shell(f"for f in {packages}/pip /usr/local/bin/pipx; do mv $f $f.away; done")
        # dnf's locks name their holder: any process that is alive.
        host.shell(f"mkdir -p /var/lib/dnf; for f in {held}; do echo 1 > $f; done")
        started = time.monotonic()
        result = host.install(version=NEW, lock_timeout=3, retries=0)
        assert time.monotonic() - started < 60
    finally:
        host.shell(f"rm {held}; for f in {packages}/*.away /usr/local/bin/*.away; do mv $f ${{f%.away}}; done")
    assert result["failed"]
    assert result["steps"] == []
    assert "locked by 1" in result["msg"]
    assert "PID 1" in result["msg"]
    assert host.works()


@pytest.mark.thorough
def test_an_index_that_hangs(hosts: dict[str, Host]) -> None:
    host = hosts["debian13"]
    assert not host.install(version=OLD).get("failed")
    index = {"PIP_INDEX_URL": "http://127.0.0.1:8765/simple", "PIP_DEFAULT_TIMEOUT": "1", "PIP_RETRIES": "1"}
    for options in ({"version": NEW}, {"state": "latest"}):
        with helper(host, SILENT):
            started = time.monotonic()
            result = host.install(environment=index, retries=1, retry_delay=0, **options)
            assert time.monotonic() - started < 90
        assert result["failed"]
        assert (result["changed"], result["steps"]) == (False, [])
        assert "index" in result["msg"] or "timed out" in result["msg"]
    assert host.version() == OLD
    assert host.install()["changed"] is False


def test_umask_and_working_directory_of_the_caller(hosts: dict[str, Host]) -> None:
    host = hosts["debian12"]
    host.install(state="absent")
    command = " ".join(f"'{word}'" for word in driver({"version": OLD}))
    done = host.run("bash", "-c", f"umask 077; mkdir -p /root/private; cd /root/private; exec {command}")
    host.shell("rmdir /root/private")
    assert read_result(done.stdout)["version"] == OLD
    assert host.works()
    assert host.shell(f"find {host.pipx_home} ! -type l ! -perm -444 | head") == ""
    assert host.shell(f"stat -c %a {UNIT}").strip() == "644"


def test_no_systemd(hosts: dict[str, Host]) -> None:
    """A container of a host's files whose first process is not an init, as in builds of images."""
    booted = hosts["debian12"]
    assert not booted.install(version=OLD).get("failed")
    host = Host("debian12")
    host.container = f"{booted.container}-no-systemd"
    image = f"{booted.container}:no-systemd"
    subprocess.run(["docker", "commit", booted.container, image], check=True, capture_output=True)
    try:
        start = ["docker", "run", "--detach", "--name", host.container, "--volumes-from", booted.container]
        subprocess.run([*start, image, "sleep", "infinity"], check=True, capture_output=True)
        assert host.run("test", "-d", "/run/systemd/system", check=False).returncode != 0
        upgraded = host.install(version=NEW)
        assert actions(upgraded) == ["build_environment", "switch_environment", "remove_environment"]
        assert upgraded["restart_required"] is False
        assert host.version() == NEW
        host.shell(f"rm {UNIT}")
        assert actions(host.install()) == ["write_unit"]
        assert host.install()["changed"] is False
        assert actions(host.install(state="absent"))[-1] == "remove_unit"
    finally:
        subprocess.run(["docker", "rm", "--force", host.container], check=False, capture_output=True)
        subprocess.run(["docker", "image", "rm", image], check=False, capture_output=True)
