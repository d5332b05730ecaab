# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories with several names, homes that root cannot enter, and when data reaches the disk: on real hosts."""

from __future__ import annotations

import re
import typing as t

import pytest
from lab import UNIT, Host, Result, actions, driver, read_result, steps

pytestmark = [pytest.mark.hosts, pytest.mark.usefixtures("hosts")]

OLD, NEW = "4.0.11", "4.1.5"
# Without the two capabilities by which root reads and writes what its mode forbids.
LIKE_NFS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search")


@pytest.fixture(params=["debian12", pytest.param("el9", marks=pytest.mark.thorough)])
def host(request: pytest.FixtureRequest, hosts: dict[str, Host]) -> t.Iterator[Host]:
    """A host with pipx and without Patroni."""
    chosen = hosts[request.param]
    assert not chosen.install(version=OLD).get("failed")
    chosen.install(state="absent")
    yield chosen
    chosen.install(state="absent", force=True)


@pytest.fixture
def moved_home(host: Host) -> t.Iterator[Host]:
    """The account's home is a link to another directory, and private."""
    host.shell(f"mkdir -p /data && mv {host.home} /data/pg && ln -s /data/pg {host.home} && chmod 700 /data/pg")
    yield host
    host.install(state="absent", force=True)
    host.shell(f"rm {host.home} && mv /data/pg {host.home} && rmdir /data")


def assert_settled(host: Host, first: Result, **options: t.Any) -> None:
    assert not first.get("failed"), first
    assert host.works()
    again = host.install(**options)
    assert (again["changed"], again["steps"]) == (False, []), again


def test_home_behind_a_link(moved_home: Host) -> None:
    host = moved_home
    host.shell(f"rm -rf {host.home}/.local")
    planned = host.install(check_mode=True, version=OLD)
    first = host.install(version=OLD)

    assert steps(first) == steps(planned)
    assert_settled(host, first, version=OLD)
    assert first["bin_dir"] == host.bin_dir
    assert f'ExecStart="{host.bin_dir}/patroni" ' in host.run("cat", UNIT).stdout
    # Whoever names the real directory means the same.
    real = {"bin_dir": "/data/pg/.local/bin", "pipx_home": "/data/pg/.local/share/pipx"}
    assert actions(host.install(version=OLD, **real)) == ["write_unit", "reload_systemd"]
    assert not host.install(version=NEW).get("failed")
    assert host.version() == NEW


def test_bind_mount(host: Host) -> None:
    """The same directories under a second name: nothing is made twice, and nothing in use is removed."""
    host.shell(f"mkdir -p /mnt/pg && mount --bind {host.home} /mnt/pg && rm -rf {host.home}/.local")
    other = {"bin_dir": "/mnt/pg/.local/bin", "pipx_home": "/mnt/pg/.local/share/pipx"}
    try:
        assert_settled(host, host.install(version=OLD, bin_dir=other["bin_dir"]), bin_dir=other["bin_dir"])
        under_both = host.install(version=OLD, **other)
        assert actions(under_both) == []
        assert host.works()
        assert actions(host.install(version=OLD)) == ["write_unit", "reload_systemd"]
        # As a script of the environment does, under the second name.
        interpreter = f"{host.run('readlink', host.venv).stdout.strip()}/bin/python".replace(host.home, "/mnt/pg", 1)
        running = host.start(interpreter, "-c", "import time; print(flush=True); time.sleep(600)")
        assert running.stdout is not None
        running.stdout.readline()
        kept = host.install(version=NEW, **other)
        assert "remove_environment" not in actions(kept)
        host.shell("pkill -f time.sleep.600")
        running.wait(timeout=30)
        host.install(state="absent", force=True, **other)
        assert host.run("test", "-e", host.venv, check=False).returncode != 0
    finally:
        host.shell("umount /mnt/pg && rmdir /mnt/pg")


def test_links_on_the_way_to_every_path(host: Host) -> None:
    """Made by root, relative, climbing and chained; the unit and the messages keep the name that was typed."""
    host.shell(
        "mkdir -p /srv/real/deep /srv/units && cd /srv && ln -s real/deep/.. climbing && ln -s climbing chain && "
        "echo 'click<9' > /srv/real/pins.txt && ln -s /etc/systemd/system units/system"
    )
    options = {
        "bin_dir": "/srv/chain/patroni/bin",
        "pipx_home": "/srv/climbing/patroni/pipx",
        "config_dir": "/srv/chain/patroni/etc",
        "unit_path": "/srv/units/system/linked.service",
        "constraints": "/srv/chain/pins.txt",
    }
    try:
        first = host.install(version=OLD, **options)
        assert not first.get("failed"), first
        assert "reload_systemd" in actions(first)
        assert [first[name] for name in ("bin_dir", "config_dir", "unit_path")] == [
            options[name] for name in ("bin_dir", "config_dir", "unit_path")
        ]
        text = host.run("cat", "/etc/systemd/system/linked.service").stdout
        assert f'ExecStart="{options["bin_dir"]}/patroni" "{options["config_dir"]}/patroni.yaml"' in text
        assert host.install(version=OLD, **options)["changed"] is False
        assert host.run("/srv/real/patroni/bin/patroni", "--version", user="postgres").stdout.split()[-1] == OLD
    finally:
        host.install(state="absent", force=True, **options)
        host.shell("rm -r /srv/real /srv/climbing /srv/chain /srv/units")


def test_link_of_the_account_s_behind_one_of_root_s(host: Host) -> None:
    """Root's link leads to a link that the account can change: root must not work behind it."""
    host.shell(f"mkdir /srv/good; ln -sfn /srv/good {host.home}/inner", user="root")
    host.shell(f"chown -h postgres {host.home}/inner; ln -s {host.home}/inner /srv/outer")
    try:
        refused = host.install(version=OLD, bin_dir="/srv/outer/bin")
        assert refused["failed"]
        assert "bin_dir: postgres must be able to write to" in refused["msg"]
        assert host.shell("ls /srv/good") == ""
    finally:
        host.shell(f"rm -r /srv/good /srv/outer {host.home}/inner")


def test_home_that_root_cannot_enter(host: Host) -> None:
    host.shell(f"chmod 700 {host.home}; rm -rf {host.home}/.local")
    assert host.run(*LIKE_NFS, "ls", host.home, check=False).returncode != 0

    def run(**options: t.Any) -> Result:
        return read_result(host.run(*LIKE_NFS, *driver(options), check=False).stdout)

    assert_settled(host, run(version=OLD), version=OLD)
    assert run(version=OLD)["changed"] is False
    assert actions(run(version=NEW)) == ["build_environment", "switch_environment", "remove_environment"]
    assert run(state="absent")["changed"]
    assert host.run("test", "-e", host.venv, check=False).returncode != 0


def test_remedies_keep_the_boundary(hosts: dict[str, Host]) -> None:
    """A directory of units that is read-only must not become owned by the account."""
    host = hosts["debian12"]
    host.install(state="absent")
    host.shell("mount --bind /etc/systemd/system /etc/systemd/system && mount -o remount,ro,bind /etc/systemd/system")
    try:
        refused = host.install(version=OLD)
    finally:
        host.shell("umount /etc/systemd/system")
    assert refused["msg"] == (
        "unit_path: root must be able to write to /etc/systemd/system, and cannot (a read-only or immutable "
        "filesystem); remount it writable, or choose another path"
    )
    assert refused["steps"] == []


def test_what_is_pointed_to_is_on_the_disk_first(hosts: dict[str, Host]) -> None:
    """The kernel's own record of an upgrade: sync, switch, sync of the switch, and only then does the old one go."""
    host = hosts["debian12"]
    assert not host.install(version=OLD).get("failed")
    former = host.run("readlink", host.venv).stdout.strip()
    trace = "/tmp/durable"
    host.run(
        *("strace", "-f", "-y", "--seccomp-bpf", "-e", "trace=syncfs,fsync,renameat2,unlinkat", "-o", trace),
        *driver({"version": NEW}),
    )
    lines = host.shell(f"grep -E 'syncfs|fsync|renameat2|{former}' {trace}; rm {trace}").splitlines()
    wanted = (
        rf"syncfs\(\d+<{host.pipx_home}/patroni>\)",
        rf'renameat2\(.*"{host.pipx_home}/patroni/switch", .*"{host.venv}"',
        rf"fsync\(\d+<{host.pipx_home}/venvs>\)",
        rf"fsync\(\d+<{host.bin_dir}>\)",
        rf"unlinkat\(.*{former}",
    )
    first = [next(number for number, line in enumerate(lines) if re.search(call, line)) for call in wanted]
    assert first == sorted(first), lines
    assert sum("syncfs" in line for line in lines) == 1
