# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that is taken to the next release of Debian loses the Python of its Patroni, and gets it back by one run."""

from __future__ import annotations

import pytest
from lab import Host, actions
from test_faults import OLD

pytestmark = pytest.mark.hosts

FULL_UPGRADE = """
export DEBIAN_FRONTEND=noninteractive
sed --in-place --regexp-extended 's/bookworm/trixie/g' /etc/apt/sources.list
apt-get -q update
apt-get -qy -o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-unsafe-io full-upgrade
"""


@pytest.mark.thorough
def test_debian_12_becomes_13(hosts: dict[str, Host]) -> None:
    host = hosts["debian12"]
    assert not host.install(version=OLD).get("failed")
    host.run("bash", "-ec", FULL_UPGRADE)
    assert host.shell(". /etc/os-release; echo $VERSION_ID") == "13\n"
    assert not host.works()

    planned = host.install(check_mode=True)
    repaired = host.install()

    assert actions(planned) == actions(repaired)
    assert "build_environment" in actions(repaired)
    assert host.works()
    assert host.version() == OLD
    assert host.install()["changed"] is False
