# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to the index get the answer that an installation would; constraints hold in the forms that tools write."""

from __future__ import annotations

import typing as t

import pytest
from lab import Host, actions

pytestmark = [pytest.mark.hosts, pytest.mark.usefixtures("hosts")]

OLD, NEW = "4.0.11", "4.1.5"
CONSTRAINTS = "/srv/constraints/c.txt"
FORMS = {
    "marker": f'patroni=={OLD} ; python_version >= "3.8"',
    "a line per Python": f"patroni==3.3.0 ; python_version < '3.8'\npatroni=={OLD} ; python_version >= '3.8'",
    "nested": "-c other.txt",
    "hashes": f"patroni=={OLD} \\\n    --hash=sha256:{'0' * 64} \\\n    --hash=sha256:{'1' * 64}\n    # via -r x.in",
    "mark of UTF-8": f"\ufeffpatroni=={OLD}",
    "extras": f"patroni[etcd3] == {OLD}  # until next year",
    "range": "Patroni >=4.0,<4.1",
}


def write(host: Host, lines: str) -> None:
    host.shell(f"mkdir -p -m 755 /srv/constraints; cat > {CONSTRAINTS} <<'END'\n{lines}\nEND\n")


@pytest.fixture(scope="module")
def host(hosts: dict[str, Host]) -> Host:
    """A host with the older line of Patroni."""
    host = hosts["debian12"]
    assert not host.install(version=OLD).get("failed")
    host.shell("mkdir -p -m 755 /srv/constraints; echo 'patroni<4.1' > /srv/constraints/other.txt")
    return host


@pytest.fixture(scope="module")
def el9(hosts: dict[str, Host]) -> Host:
    """A host whose pipx came with pip, and that has no pip among the system's wheels."""
    host = hosts["el9"]
    assert not host.install(version=OLD).get("failed")
    return host


@pytest.mark.parametrize("damage", ["{pipx_home}/shared", "{venv}/lib/python3*/site-packages/patroni/__init__.py"])
def test_the_environment_in_use_is_damaged(host: Host, damage: str) -> None:
    host.shell(f"rm -r {damage.format(pipx_home=host.pipx_home, venv=host.venv)}")

    planned = host.install(check_mode=True, version=NEW)
    newest = host.install(check_mode=True, state="latest")

    for result in (planned, newest):
        assert not result.get("failed"), result
        assert "build_environment" in actions(result)
    # Whole again, for what comes next.
    assert not host.install(version=OLD, force=True).get("failed")
    assert host.version() == OLD


def test_a_version_that_no_index_has(host: Host) -> None:
    result = host.install(check_mode=True, version="4.0.99")

    assert result["failed"]
    assert result["msg"].startswith("version: the package index offers no patroni==4.0.99 for this Python")


@pytest.mark.parametrize("name", ["host", "el9"])
def test_latest_under_constraints(request: pytest.FixtureRequest, name: str) -> None:
    host: Host = request.getfixturevalue(name)
    write(host, "patroni<4.1")
    options: dict[str, t.Any] = {"state": "latest", "constraints": CONSTRAINTS}

    planned = host.install(check_mode=True, **options)
    first = host.install(**options)
    again = host.install(**options)

    assert not planned.get("failed"), planned
    assert not first.get("failed"), first
    assert planned["changed"] is first["changed"]
    assert planned["version"] == first["version"] == host.version()
    assert first["version"].startswith("4.0.")
    assert again["changed"] is False, again


def test_a_version_against_the_constraints(host: Host) -> None:
    write(host, "patroni<4.1")

    for check_mode in (True, False):
        result = host.install(check_mode=check_mode, version=NEW, constraints=CONSTRAINTS)

        assert result["failed"]
        assert result["msg"] == f"version: {NEW} contradicts patroni<4.1 in {CONSTRAINTS}; change one of them"
        assert (result["changed"], result["steps"]) == (False, [])


def test_demands_that_exclude_each_other(host: Host) -> None:
    """Of what Patroni needs, and a package that it has had from its first release on."""
    write(host, "python-dateutil<1")

    planned = host.install(check_mode=True, version=NEW, constraints=CONSTRAINTS)
    run = host.install(version=NEW, constraints=CONSTRAINTS)

    assert planned["failed"]
    assert run["failed"]
    assert planned["msg"].startswith("version: pip found no compatible versions for patroni"), planned["msg"]
    assert run["msg"].startswith("pip found no compatible versions for patroni"), run["msg"]
    assert host.version().startswith("4.0.")


def test_constraints_in_the_forms_of_tools(host: Host) -> None:
    assert not host.install(version=NEW).get("failed")
    for form, lines in FORMS.items():
        write(host, lines)

        result = host.install(check_mode=True, constraints=CONSTRAINTS)

        assert not result.get("failed"), (form, result)
        assert "build_environment" in actions(result), form
    # pip reads the last of them in the same way, and then nothing is left to do.
    result = host.install(constraints=CONSTRAINTS)
    assert not result.get("failed"), result
    assert host.version().startswith("4.0.")
    assert host.install(constraints=CONSTRAINTS)["changed"] is False
