# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The unit's text, as a whole."""

from __future__ import annotations

import pytest

from ansible_collections.pgedge.platform.plugins.module_utils._patroni._unit import render_unit
from ansible_collections.pgedge.platform.tests.unit.plugins.models import ACCOUNT, desired

DEFAULT = """\
# Written by pgedge.platform.patroni_install, which replaces it whenever it differs.
# Local settings belong in patroni.service.d/*.conf beside it; those are never touched.

[Unit]
Description=Patroni, high availability for PostgreSQL
Documentation=https://patroni.readthedocs.io/
After=syslog.target network.target

[Service]
Type=simple
User=postgres
Group=postgres
EnvironmentFile=-/etc/patroni_env.conf
Environment=MALLOC_ARENA_MAX=1 PG_MALLOC_ARENA_MAX=
ExecStart="/var/lib/postgresql/.local/bin/patroni" "/etc/patroni/patroni.yaml"
ExecReload=/bin/kill -s HUP $MAINPID
KillMode=process
TimeoutSec=30
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
DEFAULT_START = 'ExecStart="/var/lib/postgresql/.local/bin/patroni" "/etc/patroni/patroni.yaml"'


def test_default():
    assert render_unit(desired()) == DEFAULT


# systemd takes quotes and backslashes in an argument, but in the path of an executable under no quoting.
SHELL = r'''ExecStart=/bin/sh -c "exec \"$$0\" \"$$1\""'''


@pytest.mark.parametrize(
    ("bin_dir", "config_path", "start"),
    [
        pytest.param(
            "/opt/my patroni/bin",
            "/etc/my patroni/p.yaml",
            r'ExecStart="/opt/my patroni/bin/patroni" "/etc/my patroni/p.yaml"',
            id="space",
        ),
        pytest.param(
            '/opt/a"b', '/etc/a"b/p.yaml', SHELL + r' "/opt/a\"b/patroni" "/etc/a\"b/p.yaml"', id="double quote"
        ),
        pytest.param(
            "/opt/a'b", "/etc/a'b/p.yaml", SHELL + """ "/opt/a'b/patroni" "/etc/a'b/p.yaml\"""", id="single quote"
        ),
        pytest.param(
            "/opt/a\\b", "/etc/a\\b/p.yaml", SHELL + r' "/opt/a\\b/patroni" "/etc/a\\b/p.yaml"', id="backslash"
        ),
        pytest.param(
            '/opt/a\\"b', "/etc/p.yaml", SHELL + r' "/opt/a\\\"b/patroni" "/etc/p.yaml"', id="backslash and quote"
        ),
        pytest.param(
            "/opt/100%n", "/etc/100%n/p.yaml", r'ExecStart="/opt/100%%n/patroni" "/etc/100%%n/p.yaml"', id="percent"
        ),
        pytest.param(
            # systemd expands variables in arguments, not in the path of what it starts (systemd.service(5)).
            "/opt/$HOME",
            "/etc/${HOME}/p.yaml",
            r'ExecStart="/opt/$HOME/patroni" "/etc/$${HOME}/p.yaml"',
            id="dollar",
        ),
        pytest.param(
            "/opt/datenbänke",
            "/etc/база/p.yaml",
            'ExecStart="/opt/datenbänke/patroni" "/etc/база/p.yaml"',
            id="unicode",
        ),
        pytest.param("/opt/{0}", "/etc/{user}/p", 'ExecStart="/opt/{0}/patroni" "/etc/{user}/p"', id="braces"),
    ],
)
def test_paths_are_quoted_for_systemd(bin_dir, config_path, start):
    rendered = render_unit(desired(bin_dir=bin_dir, config_path=config_path))

    assert rendered == DEFAULT.replace(DEFAULT_START, start)


def test_type_of_a_patroni_that_notifies():
    assert render_unit(desired(), notify=True) == DEFAULT.replace("Type=simple", "Type=notify")


def test_another_configuration():
    rendered = render_unit(desired(), "/etc/patroni/main.yml")

    assert rendered == DEFAULT.replace("/etc/patroni/patroni.yaml", "/etc/patroni/main.yml")


def test_account_and_group():
    account = ACCOUNT._replace(name="pg%x", group="dba")

    rendered = render_unit(desired(account=account))

    assert rendered == DEFAULT.replace("User=postgres\nGroup=postgres", "User=pg%%x\nGroup=dba")


def test_drop_ins_are_named_after_the_unit():
    rendered = render_unit(desired(unit_path="/etc/systemd/system/patroni-main.service"))

    assert rendered == DEFAULT.replace("patroni.service.d", "patroni-main.service.d")
