# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of an installation on real hosts: watched without pause through every change of it."""

from __future__ import annotations

import os
import statistics
import time
import typing as t
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab import CONFIGURATION, ROLE, UNIT, Host, actions, steps

pytestmark = [pytest.mark.hosts, pytest.mark.usefixtures("hosts")]

OLD, NEW = "4.0.11", "4.1.5"
BROKEN = "99.0"
WHEELS = "/opt/wheels"
ROUNDS = 5
# An address on which nothing listens.
NO_INDEX = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": "/dev/null"}
POLL = """
while [ ! -e {stop} ]; do
  "$@" > /dev/null 2>> {log}.err && echo ok >> {log} || echo failed >> {log}
done
"""


HOSTS = ("debian12", pytest.param("debian13", marks=pytest.mark.thorough), "el9")
# For what takes minutes; all of them with PGEDGE_FAULTS=full.
LONG = pytest.mark.parametrize(
    "host",
    ["debian12", "debian13", "el9"]
    if os.environ.get("PGEDGE_FAULTS") == "full"
    else ["debian12", pytest.param("el9", marks=pytest.mark.thorough)],
    indirect=True,
)


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest, hosts: dict[str, Host]) -> Host:
    return hosts[request.param]


@pytest.fixture
def installed(host: Host) -> Host:
    """A host with the older line of Patroni."""
    assert not host.install(version=OLD).get("failed")
    return host


@contextmanager
def polled(host: Host) -> t.Iterator[dict[str, int]]:
    """Call both executables as the account, each without pause; the counts are there at the end."""
    counts: dict[str, int] = {}
    stop, log = "/tmp/poll.stop", "/tmp/poll.log"
    host.shell(f"rm -f {stop} {log}*")
    commands = (("patroni", "--version"), ("patronictl", "version"))
    pollers = [
        host.start(
            "bash",
            "-c",
            POLL.format(stop=stop, log=f"{log}.{name}"),
            "-",
            f"{host.bin_dir}/{name}",
            word,
            user="postgres",
        )
        for name, word in commands
    ]
    try:
        yield counts
    finally:
        host.shell(f"touch {stop}")
        for poller in pollers:
            poller.communicate(timeout=60)
    lines = host.shell(f"cat {log}.patroni {log}.patronictl").split()
    counts.update(polls=len(lines), failures=lines.count("failed"))
    print(host.shell(f"cat {log}.*.err"))


def broken_release(folder: Path) -> Path:
    """Make a wheel of a Patroni that cannot be imported."""
    wheel = folder / f"patroni-{BROKEN}-py3-none-any.whl"
    info = f"patroni-{BROKEN}.dist-info"
    files = {
        "patroni/__init__.py": "",
        "patroni/__main__.py": "raise ImportError('this release is broken')\n",
        "patroni/ctl.py": "raise ImportError('this release is broken')\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: patroni\nVersion: {BROKEN}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\n"
        "patroni = patroni.__main__:main\npatronictl = patroni.ctl:ctl\n",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD")))
    return wheel


@pytest.mark.thorough
@LONG
def test_nobody_sees_a_gap(
    installed: Host, tmp_path: Path, figures: t.Callable[..., None], capfd: pytest.CaptureFixture[str]
) -> None:
    host = installed
    host.shell(f"mkdir -p {WHEELS}")
    host.copy(broken_release(tmp_path), WHEELS)
    packages = f"{host.venv}/lib/python3*/site-packages"

    def change(name: str, *, fails: bool = False, environment: dict[str, str] | None = None, **options: t.Any) -> None:
        with polled(host) as counts:
            result = host.install(environment=environment, **options)
        assert bool(result.get("failed")) is fails, result
        assert result["changed"] is not fails
        figures("polls", change=name, host=host.name, **counts)
        assert counts["polls"] > 0
        assert counts["failures"] == 0

    change("upgrade", version=NEW)
    assert host.version() == NEW
    change("downgrade", version=OLD)
    assert host.version() == OLD
    change("other extras", extras=["psycopg2-binary", "etcd", "aws"])
    # One that neither command imports: the gap would be the test's own otherwise.
    host.shell(f"rm {packages}/patroni/scripts/barman/cli.py")
    change("repair", version=OLD)
    change("wrong version", fails=True, version="4.0.99")
    change("index gone", fails=True, environment=NO_INDEX, version=NEW, retries=0)
    change("broken release", fails=True, environment={"PIP_FIND_LINKS": WHEELS}, version=BROKEN)
    assert host.version() == OLD
    assert not host.install(version=NEW, keep=1).get("failed")
    host.shell(f"rm -rf {host.home}/.cache /var/lib/apt/lists/*")
    change("return", environment=NO_INDEX, version=OLD, keep=1, retries=0)
    assert host.version() == OLD
    change("keep lowered", version=OLD)
    assert host.version() == OLD


@pytest.mark.thorough
@LONG
def test_return_without_an_index(
    installed: Host, collections: Path, tmp_path: Path, figures: t.Callable[..., None]
) -> None:
    """Only a proof and a switch: nothing is built, downloaded or read from a cache."""
    host = installed
    assert not host.install(version=NEW, keep=1).get("failed")
    host.shell(f"rm -rf {host.home}/.cache /var/lib/apt/lists/*")
    options = [f"--extra-vars=patroni_index_url={NO_INDEX['PIP_INDEX_URL']} patroni_retries=0"]
    seconds: dict[str, list[float]] = {"rerun": [], "return": []}
    in_use, kept_version = NEW, OLD
    for _round in range(ROUNDS):
        for name, version in (("rerun", in_use), ("return", kept_version)):
            began = time.monotonic()
            played = host.play(collections, tmp_path, ROLE, *options, f"--extra-vars=patroni_version={version}")
            seconds[name].append(time.monotonic() - began)
            assert played.returncode == 0, played.stdout
            assert f"changed={int(name == 'return')} " in played.stdout
        in_use, kept_version = kept_version, in_use
        assert host.version() == in_use
    (kept,) = host.install(version=in_use, keep=1)["kept"]
    medians = {name: round(statistics.median(taken), 1) for name, taken in seconds.items()}
    figures("seconds of the role, medians", host=host.name, **medians, megabytes_kept=round(kept["size"] / 10**6))


def test_failing_upgrades_tell_the_truth(installed: Host, tmp_path: Path) -> None:
    host = installed
    host.shell(f"mkdir -p {WHEELS}")
    host.copy(broken_release(tmp_path), WHEELS)

    wrong = host.install(version="4.0.99")
    assert "4.1.5" in wrong["msg"]
    gone = host.install(version=NEW, retries=0, environment=NO_INDEX)
    broken = host.install(version=BROKEN, environment={"PIP_FIND_LINKS": WHEELS})
    assert "this release is broken" in broken["msg"]
    for result in (wrong, gone, broken):
        assert result["failed"]
        assert not result["changed"]
        assert result["steps"] == []
        assert result["failed_step"]["action"] == "build_environment"
        assert result["rc"] != 0
    assert host.version() == OLD
    assert host.install()["steps"] == []


def test_full_disk(hosts: dict[str, Host]) -> None:
    host = hosts["debian12"]
    home = "/opt/small"
    host.shell(f"mkdir -p {home} && mount -t tmpfs -o size=140m,mode=0755,uid=$(id -u postgres) none {home}")
    options = {"pipx_home": f"{home}/pipx", "bin_dir": f"{home}/bin", "unit_path": "/etc/systemd/system/small.service"}
    try:
        assert not host.install(version=OLD, **options).get("failed")
        host.shell(f"dd if=/dev/zero of={home}/filler bs=1M || true; truncate -s -8M {home}/filler", user="postgres")
        full = host.install(version=NEW, **options)
        assert full["failed"]
        assert "No space left on device" in full["stderr"] + full["msg"]
        assert full["steps"] == []
        assert host.run(f"{home}/bin/patroni", "--version", user="postgres").stdout.split()[-1] == OLD
        host.shell(f"rm {home}/filler")
        assert host.install(version=NEW, **options)["version"] == NEW
    finally:
        host.install(state="absent", **options)
        host.shell(f"umount {home}")


@pytest.fixture
def running(installed: Host) -> t.Iterator[Host]:
    """A host on which the service runs: the real daemon, waiting for an etcd that never answers."""
    host = installed
    host.run("bash", "-c", f"cat > /etc/patroni/patroni.yaml <<'EOF'\n{CONFIGURATION}\nEOF")
    host.shell("chown postgres: /etc/patroni/patroni.yaml; systemctl restart patroni")
    yield host
    host.shell("systemctl stop patroni; rm /etc/patroni/patroni.yaml")


def service(host: Host, name: str) -> str:
    return host.run("systemctl", "show", "--value", f"--property={name}", "patroni.service").stdout.strip()


def test_the_service_keeps_running(running: Host) -> None:
    host = running
    before = service(host, "MainPID")
    assert before != "0"
    assert host.install(version=OLD)["restart_required"] is False

    assert host.install(version=NEW, check_mode=True)["restart_required"] is True
    upgraded = host.install(version=NEW)
    assert upgraded["restart_required"] is True
    assert "remove_environment" not in actions(upgraded)
    assert (service(host, "MainPID"), service(host, "ActiveState")) == (before, "active")
    # What runs still finds all of its own files.
    interpreter = host.shell(f"tr '\\0' '\\n' < /proc/{before}/cmdline | head -n 1").strip()
    assert host.run(interpreter, "-m", "patroni", "--version", user="postgres").stdout.split()[-1] == OLD
    again = host.install(version=NEW)
    assert (again["changed"], again["restart_required"]) == (False, True)
    refused = host.install(state="absent")
    assert "systemctl disable --now" in refused["msg"]

    host.run("systemctl", "restart", "patroni")
    after = host.install(version=NEW)
    assert actions(after) == ["remove_environment"]
    assert after["restart_required"] is False
    assert host.install(version=NEW)["changed"] is False


def test_two_runs_at_once(installed: Host) -> None:
    host = installed
    runs = [host.start_install(version=NEW) for _run in range(2)]
    output = [run.communicate(timeout=300)[0] for run in runs]
    changed = sorted('"changed": true' in text for text in output)
    assert changed == [False, True], output
    assert host.version() == NEW


def test_a_run_without_change_takes_no_lock(installed: Host) -> None:
    held = installed.start("flock", installed.home, "sleep", "infinity")
    try:
        installed.shell(f"until ! flock --nonblock {installed.home} true; do :; done")
        assert installed.install(version=OLD, lock_timeout=0)["changed"] is False
        waiting = installed.install(version=NEW, lock_timeout=1)
        assert "another run" in waiting["msg"]
    finally:
        installed.shell("pkill -f 'sleep infinity'")
        held.wait(timeout=30)


@LONG
def test_repairs(installed: Host) -> None:
    host = installed
    venv, bin_dir = host.venv, host.bin_dir
    for damage in (
        f"rm {bin_dir}/patronictl",
        f"rm {bin_dir}/patroni",
        f"ln -sfn /usr/bin/python3.0 {venv}/bin/$(readlink {venv}/bin/python)",
        f"rm {venv}/lib/python3*/site-packages/patroni/api.py",
        f": > {venv}/lib/python3*/site-packages/patroni/ha.py",
        f"rm -r {venv}/lib",
        f"rm {venv}/bin/patroni",
        f"rm -r $(readlink {venv})/*; touch $(readlink {venv})/pipx_metadata.json",
    ):
        planned_before = host.shell(damage, user="postgres") or host.install(check_mode=True)
        repaired = host.install()
        assert steps(planned_before) == steps(repaired), damage
        assert repaired["changed"], damage
        assert host.works(), damage
        assert host.install()["changed"] is False, damage
    # Nothing was left to tell the version from by the last of them.
    assert host.install(version=OLD)["version"] == OLD
    for record in ("", "{}", '{"pipx_metadata_version": "9", "main_package": 7}', "\\0"):
        host.shell(f"printf '{record}' > {venv}/pipx_metadata.json", user="postgres")
        assert host.install()["changed"] is False, record


def test_absent(installed: Host) -> None:
    host = installed
    host.shell(f"ln -sf /bin/true {host.bin_dir}/foreign; touch {host.bin_dir}/other", user="postgres")
    planned = host.install(state="absent", check_mode=True)
    removed = host.install(state="absent")
    assert steps(removed) == steps(planned)
    assert removed["changed"]
    assert host.install(state="absent")["changed"] is False
    assert host.shell(f"ls {host.bin_dir}").split() == ["foreign", "other"]
    assert host.shell(f"ls -A {host.pipx_home}/venvs {UNIT} 2>&1", check=False).count("patroni") == 1
    assert host.shell("stat -c %a:%U /etc/patroni").strip() == "700:postgres"
    assert host.install()["changed"]
    host.shell(f"rm {host.bin_dir}/foreign {host.bin_dir}/other")


def test_a_host_that_was_set_up_by_tasks_is_adopted(hosts: dict[str, Host]) -> None:
    """Debian 12, its pipx left to itself, and a unit that the account could rewrite."""
    host = hosts["debian12"]
    host.install(state="absent")
    legacy = f"{host.home}/.local/pipx/venvs/patroni"
    host.shell(
        "cd; mkdir -p ~/.local/pipx; env HOME=$PWD PIPX_HOME=$PWD/.local/pipx PIPX_BIN_DIR=$PWD/.local/bin "
        f"pipx install 'patroni[psycopg2-binary,etcd]=={OLD}'".replace("cd;", f"cd {host.home};"),
        user="postgres",
    )
    host.shell(
        f"echo '[Service]' > {UNIT}; chown postgres {UNIT}; chmod 755 /etc/patroni; touch /etc/patroni/patroni.yaml"
    )

    adopted = host.install()
    assert actions(adopted) == ["write_unit", "reload_systemd", "set_attributes"]
    assert (adopted["version"], adopted["venv"]) == (OLD, legacy)
    assert host.install()["changed"] is False

    upgraded = host.install(version=NEW)
    assert actions(upgraded) == ["build_environment", "switch_environment", "remove_environment"]
    assert upgraded["venv"] == host.venv
    assert host.run("test", "-e", legacy, check=False).returncode != 0
    assert host.works()
    assert host.install()["changed"] is False
    host.shell("rm /etc/patroni/patroni.yaml")


LOGINS = ("su - postgres -c '{}'", "sudo -iu postgres sh -c '{}'", "runuser -l postgres -c '{}'")
ASK = "command -v patronictl; echo $PATRONICTL_CONFIG_FILE"


def test_login_shells(installed: Host) -> None:
    host, path = installed, "/etc/profile.d/patroni.sh"
    found = f"{host.bin_dir}/patronictl\n/etc/patroni/patroni.yaml\n"
    former = host.shell("getent passwd postgres | cut -d : -f 7").strip()
    before = [host.shell(login.format(ASK)) for login in LOGINS]
    written = host.install(login_shell=True)
    try:
        assert actions(written) == ["write_profile"]
        assert host.shell(f"stat -c '%U %G %a' {path}").split() == ["root", "root", "644"]
        assert host.install(login_shell=True)["changed"] is False
        for shell in filter(None, ("/bin/bash", host.shell("command -v dash || true").strip())):
            host.shell(f"usermod --shell {shell} postgres")
            assert [host.shell(login.format(ASK)) for login in LOGINS] == [found] * 3
        # Not for root, and without a message to anybody else.
        assert host.shell(f"su - root -c '{ASK}'") == "\n"
        assert host.run("su", "-", "root", "-c", "true").stderr == ""
    finally:
        host.shell(f"usermod --shell {former} postgres")
    assert actions(host.install()) == ["remove_profile"]
    assert [host.shell(login.format(ASK)) for login in LOGINS] == before
    host.install(login_shell=True)
    assert "remove_profile" in actions(host.install(state="absent"))
    assert host.run("test", "-e", path, check=False).returncode == 1
