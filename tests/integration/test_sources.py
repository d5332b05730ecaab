# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Package sources that fail in part, and package work that leaves services and configuration files alone."""

from __future__ import annotations

import typing as t
from urllib.parse import urlsplit

import pytest
from lab import Host, actions

pytestmark = [pytest.mark.hosts, pytest.mark.usefixtures("hosts")]

VERSION = "4.1.5"
# Nothing listens on this port of the host.
DEAD_REPOSITORY = r"[third]\nname=Third\nbaseurl=http://127.0.0.1:9/el9\nskip_if_unavailable=0\ngpgcheck=0\n"
# A package whose script restarts a service and whose configuration file was changed, half-way through its upgrade.
INTERRUPT = r"""
set -e
cd "$(mktemp -d)"
for version in 1 2; do
    mkdir -p $version/DEBIAN $version/etc
    printf 'Package: interrupted\nVersion: %s\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: a\n' \
        $version > $version/DEBIAN/control
    echo /etc/interrupted.conf > $version/DEBIAN/conffiles
    echo "version $version" > $version/etc/interrupted.conf
    printf '#!/bin/sh\nset -e\nsystemctl --system daemon-reload\ndeb-systemd-invoke restart witness.service\n' \
        > $version/DEBIAN/postinst
    chmod 755 $version/DEBIAN/postinst
    dpkg-deb --build $version $version.deb
done
dpkg --install 1.deb
echo changed > /etc/interrupted.conf
dpkg --unpack 2.deb
touch /var/lib/dpkg/updates/0001
"""
# The lists name a file that no mirror has, and there are newer lists.
STALE = r"""
cd /var/lib/apt/lists
sed --in-place 's,^\(Filename: .*/pipx_\).*,\1gone.deb,' *_Packages
sed --in-place '/main.binary-amd64.Packages/s/^ ......../ 00000000/' *_InRelease
touch --date=2020-01-01 *_InRelease
"""
# A service that runs a program which was replaced since: needrestart finds it outdated.
WITNESS = r"""
set -e
rm -f /usr/local/bin/witness
cp /usr/bin/sleep /usr/local/bin/witness
printf '[Service]\nExecStart=/usr/local/bin/witness infinity\n' > /etc/systemd/system/witness.service
systemctl daemon-reload
systemctl restart witness
rm /usr/local/bin/witness
cp /usr/bin/sleep /usr/local/bin/witness
"""


def mirror(host: Host) -> str:
    """The URL of the mirror that a host has."""
    return host.shell("grep --only-matching --max-count=1 'http[^ ]*' /etc/apt/sources.list").strip()


def add_dead_source(host: Host) -> None:
    """Name a suite that is gone."""
    host.shell(f"echo 'deb {mirror(host)} gone main' > /etc/apt/sources.list.d/dead.list")


def started(host: Host) -> str:
    return host.shell("systemctl show --property=MainPID,ExecMainStartTimestampMonotonic witness")


@pytest.fixture
def debian(hosts: dict[str, Host]) -> t.Iterator[Host]:
    """A host that needs pipx from apt, has no lists of packages, and whose name server can be taken away."""
    host = hosts["debian12"]
    host.install(state="absent", force=True)
    host.shell("apt-get purge --yes pipx || true; rm -rf /var/lib/apt/lists/*; cp /etc/resolv.conf /root/resolv.conf")
    yield host
    host.shell("cat /root/resolv.conf > /etc/resolv.conf; rm -f /etc/apt/sources.list.d/dead.list")


def test_dead_source_among_others(debian: Host) -> None:
    add_dead_source(debian)

    result = debian.install(version=VERSION)

    assert not result.get("failed"), result
    assert actions(result)[:2] == ["refresh_package_lists", "install_packages"]
    assert debian.works()


def test_dead_source_and_stale_lists(debian: Host) -> None:
    debian.shell("apt-get update")
    add_dead_source(debian)
    debian.shell(STALE)

    result = debian.install(version=VERSION)

    assert not result.get("failed"), result
    assert debian.works()


def test_only_a_dead_source(debian: Host) -> None:
    add_dead_source(debian)
    url = mirror(debian)
    debian.shell("mv /etc/apt/sources.list /root/")
    try:
        result = debian.install(version=VERSION)
    finally:
        debian.shell("mv /root/sources.list /etc/apt/")

    assert result["failed"]
    assert f"{url} gone Release: 404  Not Found" in result["msg"]


def test_no_name_server(debian: Host) -> None:
    host = urlsplit(mirror(debian)).hostname
    debian.shell("echo nameserver 127.0.0.1 > /etc/resolv.conf")

    result = debian.install(version=VERSION, retries=0)

    assert result["failed"]
    assert f"Temporary failure resolving '{host}'" in result["msg"]


def test_services_and_configuration_files_are_left_alone(debian: Host) -> None:
    """needrestart restarts services, dpkg was interrupted, and the script of a package restarts a service."""
    debian.shell("apt-get update && apt-get install --yes --no-install-recommends needrestart")
    debian.shell("echo '$nrconf{restart} = q(a);' > /etc/needrestart/conf.d/automatic.conf")
    debian.shell(WITNESS + INTERRUPT)
    # The first version was installed by hand.
    debian.shell(WITNESS)
    before = started(debian)
    try:
        result = debian.install(version=VERSION)

        assert not result.get("failed"), result
        assert started(debian) == before
        assert debian.shell("cat /etc/interrupted.conf") == "changed\n"
        assert debian.shell("dpkg-query --show --showformat='${db:Status-Status}' interrupted") == "installed"
        assert debian.works()
    finally:
        debian.shell("systemctl stop witness; rm /etc/systemd/system/witness.service /usr/local/bin/witness")
        debian.shell("dpkg --purge --force-all interrupted needrestart; systemctl daemon-reload", check=False)


def test_wheelhouse_without_what_a_build_needs(hosts: dict[str, Host]) -> None:
    host = hosts["debian13"]
    assert not host.install(version=VERSION).get("failed")
    host.shell("mkdir -p /srv/wheels && chmod 755 /srv/wheels")
    pip = f"{host.pipx_home}/shared/bin/python -m pip --no-cache-dir"
    host.shell(f"{pip} download --quiet --dest /srv/wheels patroni[psycopg2-binary,etcd3]==4.0.11 pip")
    # python-etcd comes as a source, which takes setuptools to build.
    options = {"version": "4.0.11", "no_index": True, "find_links": ["/srv/wheels"], "retries": 3, "retry_delay": 600}
    host.shell("rm -rf ~postgres/.cache/pip /srv/wheels/setuptools*")
    try:
        result = host.install(**options)
    finally:
        host.shell("rm -r /srv/wheels")

    assert result["failed"]
    assert "pip found no file for setuptools" in result["msg"]
    assert host.version() == VERSION


def test_dead_repository_among_others(hosts: dict[str, Host]) -> None:
    host = hosts["el9"]
    host.shell(f"printf '{DEAD_REPOSITORY}' > /etc/yum.repos.d/third.repo")
    try:
        # First only the dead one is left, then the others are back.
        host.shell("mv /etc/yum.repos.d/baseos.repo /root/; rm -rf /var/cache/dnf")
        failed = host.install(version=VERSION, retries=0)
        host.shell("mv /root/baseos.repo /etc/yum.repos.d/; rm -rf /var/cache/dnf")
        result = host.install(version=VERSION)
    finally:
        host.shell("rm /etc/yum.repos.d/third.repo")

    assert failed["failed"]
    assert "repository 'third': Curl error (7)" in failed["msg"]
    assert not result.get("failed"), result
    assert actions(result)[:2] == ["install_packages", "install_pipx"]
    assert host.works()
