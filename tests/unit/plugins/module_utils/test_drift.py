# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judgments that the probe and the plan share."""

from __future__ import annotations

import pytest

from ansible_collections.pgedge.platform.plugins.module_utils._patroni._desired import Limit, Sources
from ansible_collections.pgedge.platform.plugins.module_utils._patroni._drift import (
    can_notify,
    environment_drift,
    public_path,
    unexposed,
)
from ansible_collections.pgedge.platform.plugins.module_utils._types import PathState
from ansible_collections.pgedge.platform.tests.unit.plugins.models import (
    BIN_DIR,
    LEGACY,
    MISSING,
    POINTER,
    built,
    desired,
    directory,
    environment,
    link,
    links,
    observed,
)


@pytest.mark.parametrize(
    ("version", "distributions", "can"),
    [
        ("4.1.5", {"systemd-python"}, True),
        ("4.1.0", {"systemd-python", "patroni"}, True),
        ("4.1", {"systemd-python"}, True),
        ("4.1.0rc1", {"systemd-python"}, True),
        ("5", {"systemd-python"}, True),
        ("4.10.2", {"systemd-python"}, True),
        (None, {"systemd-python"}, True),
        ("4.0.11", {"systemd-python"}, False),
        ("3.3.11", {"systemd-python"}, False),
        ("4", {"systemd-python"}, False),
        ("4.1.5", {"patroni"}, False),
        # Another package, which Patroni does not import.
        ("4.1.5", {"cysystemd", "systemd"}, False),
    ],
)
def test_can_notify(version, distributions, can):
    assert can_notify(version, distributions) is can


@pytest.mark.parametrize(
    ("wanted", "found", "also", "reason"),
    [
        pytest.param({}, environment(), {}, None, id="as desired"),
        pytest.param({}, None, {}, "it does not exist", id="none"),
        pytest.param({"version": "4.1.5"}, environment(), {}, None, id="this version"),
        pytest.param({"version": "4.1"}, environment(version="4.1.0"), {}, None, id="this version, written otherwise"),
        pytest.param({"version": "4.1.4"}, environment(), {}, "its version is 4.1.5", id="a newer version"),
        pytest.param({"version": "4.2.0"}, environment(), {}, "its version is 4.1.5", id="an older version"),
        pytest.param({"state": "latest"}, environment(), {"newest": "4.1.5"}, None, id="the newest"),
        pytest.param(
            {"state": "latest"},
            environment(),
            {"newest": "4.1.6"},
            "its version is 4.1.5 and the newest is 4.1.6",
            id="not the newest",
        ),
        pytest.param(
            {}, environment(missing=("aws", "raft")), {}, "it lacks the extras aws, raft", id="extras are missing"
        ),
        pytest.param({}, environment(), {"python": "/usr/bin/python3.11"}, None, id="this interpreter"),
        pytest.param(
            {},
            environment(),
            {"python": "/usr/bin/python3.12"},
            "its interpreter is /usr/bin/python3.11",
            id="another interpreter",
        ),
        pytest.param(
            {"sources": Sources(limits=(Limit("click", "==8.1"), Limit("click", ">=8"), Limit("not-there", "==1")))},
            environment(versions={"click": "8.1.0"}),
            {},
            None,
            id="as the constraints ask",
        ),
        pytest.param(
            {"sources": Sources(limits=(Limit("click", "==8.1"),))},
            environment(versions={"click": "8.2"}),
            {},
            "its click is 8.2 and the constraints require 8.1",
            id="not as the constraints ask",
        ),
        pytest.param(
            {"sources": Sources(limits=(Limit("patroni", ">=4"), Limit("patroni", "<4.1")))},
            environment(versions={"patroni": "4.1.5"}),
            {},
            "its patroni is 4.1.5 and the constraints require <4.1",
            id="beyond a range",
        ),
        pytest.param(
            {"sources": Sources(limits=(Limit("click", "==8.1", 'python_version < "3.12"'),))},
            environment(versions={"click": "8.2"}, python_version="3.11"),
            {},
            "its click is 8.2 and the constraints require 8.1",
            id="a line for this Python",
        ),
        pytest.param(
            {"sources": Sources(limits=(Limit("click", "==8.1", 'python_version >= "3.12"'),))},
            environment(versions={"click": "8.2"}, python_version="3.11"),
            {},
            None,
            id="a line for another Python",
        ),
        pytest.param(
            {"sources": Sources(limits=(Limit("click", "==8.1", 'platform_release == "6.1"'),))},
            environment(versions={"click": "8.2"}, python_version="3.11"),
            {},
            None,
            id="a line that pip alone can judge",
        ),
        pytest.param(
            {"version": "4.1.4"},
            environment(version=None, missing=("etcd",), problem="it does not contain a complete patroni"),
            {"python": "/usr/bin/python3.12"},
            "it does not contain a complete patroni",
            id="a problem comes before all else",
        ),
    ],
)
def test_environment_drift(wanted, found, also, reason):
    assert environment_drift(desired(**wanted), found, **also) == reason


OFFERED = environment(executables=("patroni", "patronictl", "patroni_aws"))
LINKED = links(built(1), "patroni", "patronictl", "patroni_aws")
FOREIGN_FILE = PathState("file", 0, 0, 0o755)


@pytest.mark.parametrize(
    ("executables", "names"),
    [
        pytest.param(LINKED, (), id="all linked"),
        pytest.param({}, ("patroni", "patronictl", "patroni_aws"), id="none linked"),
        pytest.param({**LINKED, "patroni": link(f"{LEGACY}/bin/patroni")}, ("patroni",), id="linked to another"),
        pytest.param({**LINKED, "patronictl": link(f"{BIN_DIR}/patroni")}, ("patronictl",), id="linked crosswise"),
        pytest.param({**LINKED, "foreign": link("/usr/bin/true")}, (), id="another link next to it"),
        pytest.param({**LINKED, "patroni_aws": FOREIGN_FILE}, (), id="a foreign file under a lesser name"),
        pytest.param({**LINKED, "patroni": FOREIGN_FILE}, ("patroni",), id="a foreign file under patroni"),
    ],
)
def test_unexposed(executables, names):
    assert unexposed(observed(executables=executables), OFFERED) == names


@pytest.mark.parametrize(
    ("found", "pointer", "known"),
    [
        pytest.param(environment(), link(built(1)), POINTER, id="pointed to"),
        pytest.param(environment(), link(built(2)), built(1), id="another is pointed to"),
        pytest.param(environment(), MISSING, built(1), id="no pointer"),
        pytest.param(environment(POINTER), directory(), POINTER, id="made by pipx alone"),
        pytest.param(environment(LEGACY), MISSING, LEGACY, id="made by an older pipx"),
    ],
)
def test_public_path(found, pointer, known):
    assert public_path(desired(), observed(pointer=pointer), found) == known
