# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read in the answers of the real tools."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from ansible_collections.pgedge.platform.plugins.module_utils._patroni import _answers, _commands

SHOWN = """\
MainPID=0
ExecMainStartTimestampMonotonic=0
ActiveState=inactive
FragmentPath=/etc/systemd/system/patroni.service
UnitFileState=disabled
NeedDaemonReload=no
"""


@pytest.mark.parametrize(
    ("text", "properties"),
    [
        pytest.param(
            SHOWN,
            {
                "MainPID": "0",
                "ExecMainStartTimestampMonotonic": "0",
                "ActiveState": "inactive",
                "FragmentPath": "/etc/systemd/system/patroni.service",
                "UnitFileState": "disabled",
                "NeedDaemonReload": "no",
            },
            id="of a unit",
        ),
        pytest.param("FragmentPath=\nX=a=b\n", {"FragmentPath": "", "X": "a=b"}, id="empty, and a second sign"),
        pytest.param("", {}, id="nothing"),
    ],
)
def test_parse_properties(text, properties):
    assert _answers.parse_properties(text) == properties


PIP_WOULD = """\
Collecting patroni[etcd]
  Using cached patroni-4.0.7-py3-none-any.whl.metadata (7.2 kB)
Collecting my-patroni (from patroni[etcd])
Would install PyYAML-6.0.4 my-patroni-1.0 patroni-4.0.7 prettytable-3.18.0
"""
PIP_DOWNLOAD = """\
Collecting patroni
  Downloading patroni-4.1.5-py3-none-any.whl (378 kB)
Saved /tmp/patroni_install-x/packages/patroni-4.1.5-py3-none-any.whl
Successfully downloaded patroni
"""


@pytest.mark.parametrize(
    ("text", "version"),
    [
        pytest.param(PIP_WOULD, "4.0.7", id="among others"),
        pytest.param("Would install patroni-4.1.5+corp1\n", "4.1.5+corp1", id="alone, with a local part"),
        pytest.param("Would install Patroni-4.2rc1\n", "4.2rc1", id="in capitals"),
        pytest.param("Would install my-patroni-1.0\n", None, id="another"),
        pytest.param(PIP_DOWNLOAD, "4.1.5", id="downloaded"),
        pytest.param("Saved ./patroni-4.1.5.tar.gz\n", "4.1.5", id="downloaded as source"),
        pytest.param("", None, id="none"),
    ],
)
def test_parse_chosen(text, version):
    assert _answers.parse_chosen(text) == version


@pytest.mark.parametrize(
    ("rc", "text", "is_answer"),
    [
        (0, "", True),
        (1, "ERROR: No matching distribution found for patroni", True),
        (1, "/usr/bin/python3.11: No module named pip", False),
        (1, "Traceback (most recent call last):\nImportError: no name", False),
        (127, "[Errno 2] No such file or directory", False),
    ],
)
def test_is_pip_answer(rc, text, is_answer):
    assert _answers.is_pip_answer(rc, text) is is_answer


def test_the_pip_of_the_present_python_is_found():
    done = subprocess.run(_commands.ask_pip(sys.executable), capture_output=True, text=True, check=True)

    version, present, marker = _answers.parse_pip(done.stdout)

    assert version == "{}.{}".format(*sys.version_info)
    assert present is (importlib.util.find_spec("pip") is not None)
    assert (marker is not None) is Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").exists()


@pytest.mark.parametrize(
    "text", ["", "3.12\n", "3.12 pip\n", "Python 3.12 pip \n", "3.12 None \n", "3.12 pip marker\n"]
)
def test_other_answers_about_pip(text):
    assert _answers.parse_pip(text) is None
