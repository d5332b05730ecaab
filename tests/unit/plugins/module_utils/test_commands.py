# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that are built."""

from __future__ import annotations

import pytest

from ansible_collections.pgedge.platform.plugins.module_utils._patroni import _commands

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
]


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        pytest.param(
            _commands.show_unit("patroni.service"),
            [
                "systemctl",
                "show",
                "--property=NeedDaemonReload,FragmentPath,ActiveState,UnitFileState,"
                "ExecMainStartTimestampMonotonic,MainPID",
                "patroni.service",
            ],
            id="show unit",
        ),
        pytest.param(_commands.daemon_reload(), ["systemctl", "daemon-reload"], id="daemon-reload"),
        pytest.param(
            _commands.apt_show("pipx"), ["apt-cache", "show", "--no-all-versions", "pipx"], id="apt-cache show"
        ),
        pytest.param(_commands.apt_update(), ["apt-get", "update"], id="apt-get update"),
        pytest.param(_commands.apt_install(("pipx",), 300), [*APT_INSTALL, "pipx"], id="apt-get install"),
        pytest.param(_commands.apt_install(("a", "b"), 300), [*APT_INSTALL, "a", "b"], id="apt-get install, two"),
        pytest.param(
            _commands.dnf_install(("python3-pip",)),
            [
                "dnf",
                "--assumeyes",
                "--setopt=install_weak_deps=False",
                "--setopt=exit_on_lock=True",
                "--setopt=*.skip_if_unavailable=True",
                "install",
                "python3-pip",
            ],
            id="dnf install",
        ),
        pytest.param(
            _commands.dpkg_configure(),
            ["dpkg", "--force-confdef", "--force-confold", "--configure", "-a"],
            id="dpkg --configure",
        ),
        pytest.param(
            _commands.pip_install("/usr/bin/python3.9", "pipx==1.7.1"),
            ["/usr/bin/python3.9", "-m", "pip", "install", "pipx==1.7.1"],
            id="pip install",
        ),
        pytest.param(
            _commands.pip_install("/usr/bin/python3.9", "pipx", again=True),
            ["/usr/bin/python3.9", "-m", "pip", "install", "--ignore-installed", "pipx"],
            id="pip install again",
        ),
        pytest.param(
            _commands.pip_ask(_commands.pip_of("/py", "/p/pip"), "patroni", alone=True),
            ["/py", "-I", "-B", "/p/pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "patroni"],
            id="a question about Patroni",
        ),
        pytest.param(
            _commands.pip_ask(_commands.pip_of("/py"), "patroni[etcd]==4.1.5", alone=False),
            ["/py", "-I", "-B", "-m", "pip", "install", "--dry-run", "--ignore-installed", "patroni[etcd]==4.1.5"],
            id="a question about all that it needs",
        ),
        pytest.param(
            _commands.pip_download(["pip"], "patroni", "/t/packages"),
            ["pip", "download", "--no-deps", "--dest", "/t/packages", "patroni"],
            id="a question to an older pip",
        ),
        pytest.param(
            _commands.make_environment("/py", "/t/venv"),
            ["/py", "-I", "-m", "venv", "/t/venv"],
            id="an environment to ask with",
        ),
    ],
)
def test_argv(command, argv):
    assert command == argv


@pytest.mark.parametrize(
    ("extras", "imported"),
    [
        pytest.param(("psycopg2-binary", "etcd"), "import psycopg2, patroni.dcs.etcd", id="the default"),
        pytest.param(("psycopg2", "psycopg2-binary"), "import psycopg2", id="each module once"),
        pytest.param(("psycopg3", "unheard-of"), "import psycopg", id="an extra that is not known"),
        pytest.param(("all", "unheard-of"), None, id="none that is known"),
        pytest.param((), None, id="none"),
    ],
)
def test_checks(extras, imported):
    last = [["/e/bin/python", "-c", imported]] if imported else []

    assert _commands.checks("/e", extras) == [["/e/bin/patroni", "--version"], ["/e/bin/patronictl", "version"], *last]


@pytest.mark.parametrize(
    ("version", "extras", "written"),
    [
        (None, (), "patroni"),
        ("4.1.5", (), "patroni==4.1.5"),
        (None, ("etcd",), "patroni[etcd]"),
        ("4.1.5", ("psycopg2-binary", "etcd"), "patroni[psycopg2-binary,etcd]==4.1.5"),
    ],
)
def test_requirement(version, extras, written):
    assert _commands.requirement(version, extras) == written
