# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Units as people write them, and what can be told from them."""

from __future__ import annotations

import pytest

from ansible_collections.pgedge.platform.plugins.module_utils._patroni._exec_start import (
    Unit,
    configuration_of_process,
    lost_settings,
)
from ansible_collections.pgedge.platform.plugins.module_utils._patroni._unit import render_unit
from ansible_collections.pgedge.platform.tests.unit.plugins.models import desired

FILE = "/etc/patroni/patroni.yml"
HOMES = {"postgres": "/var/lib/postgresql"}


def configuration(text):
    return Unit(text).configuration(HOMES)


@pytest.mark.parametrize(
    "command",
    [
        f"/usr/bin/patroni {FILE}",
        f"/usr/local/bin/patroni   {FILE}  ",
        f'"/opt/my patroni/bin/patroni" "{FILE}"',
        f"'/usr/bin/patroni' '{FILE}'",
        f"-/usr/bin/patroni {FILE}",
        f"+/usr/bin/patroni {FILE}",
        f"!!/usr/bin/patroni {FILE}",
        f"@/usr/bin/patroni patroni-main {FILE}",
        f"-@/usr/bin/patroni patroni-main {FILE}",
        f":/usr/bin/patroni {FILE}",
        f"/opt/%n/bin/patroni {FILE}",
        f"/opt/$x/bin/patroni {FILE}",
        f"/usr/bin/patroni \\\n   {FILE}",
        f"/usr/bin/patroni \\\n# the configuration\n; and more\n   {FILE}",
        f"/usr/bin/python3 /usr/local/bin/patroni {FILE}",
        f"/usr/bin/python3 /opt/app/patroni.py {FILE}",
        f"/usr/bin/python3.11 -m patroni {FILE}",
        f"/opt/venv/bin/python -E -s -u -m patroni {FILE}",
        f"/usr/bin/env patroni {FILE}",
        f"/usr/bin/env PATH=/opt/bin:/bin LANG=C /usr/bin/patroni {FILE}",
        f"/usr/bin/env python3 -m patroni {FILE}",
        f"/bin/sh -c '/usr/bin/patroni {FILE}'",
        f"/bin/bash -c 'exec /usr/bin/patroni {FILE}'",
        f'/bin/sh -c "exec /usr/bin/env LANG=C /usr/bin/patroni {FILE}"',
        f'/bin/sh -c "LANG=C exec_free=1 /usr/bin/patroni {FILE}"',
    ],
)
def test_commands_that_tell(command):
    assert configuration(f"[Unit]\nDescription=x\n[Service]\nExecStart={command}\n") == FILE


@pytest.mark.parametrize(
    "command",
    [
        "/usr/bin/patroni",
        "/usr/bin/patroni ${PATRONI_CONFIG}",
        "/usr/bin/patroni $PATRONI_CONFIG",
        "/usr/bin/patroni /etc/patroni/%H.yml",
        "/usr/bin/patroni /etc/patroni/%i.yml",
        f"/usr/bin/patroni --validate-config {FILE}",
        f"/usr/bin/patroni {FILE} --ignore-listen-port",
        f"/usr/bin/patroni {FILE} {FILE}",
        "/usr/bin/patroni --version",
        f"/opt/bin/start-patroni {FILE}",
        f"/usr/bin/numactl --interleave=all /usr/bin/patroni {FILE}",
        f"/usr/bin/env -i /usr/bin/patroni {FILE}",
        f"/bin/sh -c 'cd /x && exec /usr/bin/patroni {FILE}'",
        f"/bin/sh -c '/usr/bin/patroni {FILE} > /var/log/patroni.log'",
        '/bin/sh -c "exec /usr/bin/patroni $$CONFIG"',
        f"/bin/sh -lc '/usr/bin/patroni {FILE}'",
        "/bin/sh -c",
        f"/usr/bin/python3 -c 'import patroni' {FILE}",
        f"/usr/bin/python3 -m pip {FILE}",
        f"/usr/bin/patroni {FILE} ; /bin/true",
        f'/usr/bin/patroni "{FILE}',
        f"/usr/bin/patroni \\x2fetc {FILE}",
        "/usr/bin/patroni /etc/../patroni.yml",
        "/usr/bin/patroni /",
        '/usr/bin/patroni "/etc/a\\nb"',
        '/usr/bin/patroni ""',
        "@/usr/bin/patroni",
        "-",
    ],
)
def test_commands_that_do_not(command):
    assert configuration(f"[Service]\nExecStart={command}\n") is None


@pytest.mark.parametrize(
    ("text", "path"),
    [
        pytest.param("", None, id="empty"),
        pytest.param(f"[Unit]\nExecStart=/usr/bin/patroni {FILE}\n", None, id="another section"),
        pytest.param(f"[Service]\n# ExecStart=/usr/bin/patroni {FILE}\n", None, id="a comment"),
        pytest.param(f"[Service]\nExecStart = /usr/bin/patroni {FILE}\n", FILE, id="white space"),
        pytest.param(f"[Service]\r\nExecStart=/usr/bin/patroni {FILE}\r\n", FILE, id="line ends of DOS"),
        pytest.param(
            f"[Service]\nExecStart=/usr/bin/patroni /a\nExecStart=\nExecStart=/usr/bin/patroni {FILE}\n",
            FILE,
            id="taken back",
        ),
        pytest.param(f"[Service]\nExecStart=/usr/bin/patroni {FILE}\nExecStart=\n", None, id="taken back for nothing"),
        pytest.param(f"[Service]\nExecStart=/bin/true\nExecStart=/usr/bin/patroni {FILE}\n", None, id="two commands"),
        pytest.param("[Service]\nExecStart=/usr/bin/patroni /etc/patroni\n", "/etc/patroni", id="a directory"),
        pytest.param("[Service]\nExecStart=/usr/bin/patroni a.yml\n", "/a.yml", id="relative"),
        pytest.param(
            "[Service]\nWorkingDirectory=/etc/patroni/\nExecStart=/usr/bin/patroni a.yml\n",
            "/etc/patroni/a.yml",
            id="relative to the working directory",
        ),
        pytest.param(
            "[Service]\nUser=postgres\nWorkingDirectory=~\nExecStart=/usr/bin/patroni a.yml\n",
            "/var/lib/postgresql/a.yml",
            id="relative to the home",
        ),
        pytest.param(
            "[Service]\nUser=else\nWorkingDirectory=~\nExecStart=/usr/bin/patroni a.yml\n", None, id="an unknown home"
        ),
        pytest.param(
            "[Service]\nWorkingDirectory=%S\nExecStart=/usr/bin/patroni a.yml\n", None, id="relative to a specifier"
        ),
        pytest.param(
            r'[Service]\nExecStart=/usr/bin/patroni "/etc/a b/100%%/$$x\"\\.yml"'.replace(r"\n", "\n", 1),
            '/etc/a b/100%/$x"\\.yml',
            id="quoted",
        ),
        pytest.param("[Service]\nExecStart=:/usr/bin/patroni /etc/$x.yml\n", "/etc/$x.yml", id="no variables"),
    ],
)
def test_units(text, path):
    assert configuration(text) == path


@pytest.mark.parametrize("bin_dir", ["/opt/bin", "/opt/my bin", "/opt/a'b", '/opt/a"b', "/opt/a\\b", "/opt/%n/$x"])
@pytest.mark.parametrize("path", [FILE, "/etc/my p/a.yml", "/etc/a'b", '/etc/a"b', "/etc/a\\n", "/etc/%h/$HOME/${x}"])
def test_what_the_module_writes_is_read_again(bin_dir, path):
    assert configuration(render_unit(desired(bin_dir=bin_dir), path)) == path


@pytest.mark.parametrize(
    ("words", "directory", "path"),
    [
        (["/v/bin/python", "/v/bin/patroni", FILE], "/", FILE),
        (["/usr/bin/python3", "-m", "patroni", FILE], None, FILE),
        (["/v/bin/python", "/v/bin/patroni", "patroni.yml"], "/etc/patroni", FILE),
        (["/v/bin/python", "/v/bin/patroni", "patroni.yml"], "/", "/patroni.yml"),
        (["/v/bin/python", "/v/bin/patroni", "patroni.yml"], None, None),
        (["/v/bin/python", "/v/bin/patroni", "../patroni.yml"], "/etc", None),
        (["/v/bin/python", "/v/bin/patroni"], "/", None),
        (["/usr/lib/postgresql/15/bin/postgres", "-D", FILE], "/", None),
        ([""], None, None),
    ],
)
def test_a_running_process_tells(words, directory, path):
    assert configuration_of_process(words, directory) == path


def test_lost_settings_are_named_without_their_values():
    ours = render_unit(desired())
    theirs = (
        "[Unit]\nDescription=mine\nAfter=network.target etcd.service\n[Service]\nUser=postgres\nGroup=postgres\n"
        "Environment=PGPASSWORD=secret\nLimitNOFILE=65536\nLimitNOFILE=\nKillMode=process\n"
        f"ExecStart=/var/lib/postgresql/.local/bin/patroni {desired().config_path}\n\x1b[2J=x\n"
        "[Install]\nWantedBy=multi-user.target\n"
    )

    assert lost_settings(theirs, ours) == ("Unit.After", "Service.Environment", "Service.LimitNOFILE")
    assert lost_settings(ours, ours) == ()
