# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of pipx that are built."""

from __future__ import annotations

import pytest

from ansible_collections.pgedge.platform.plugins.module_utils._patroni import _pipx


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        pytest.param(
            _pipx.pipx_install("/usr/bin/pipx", "patroni[etcd]==4.1.5", None),
            ["/usr/bin/pipx", "install", "patroni[etcd]==4.1.5"],
            id="pipx install",
        ),
        pytest.param(
            _pipx.pipx_install("/usr/bin/pipx", "patroni", "python3.12"),
            ["/usr/bin/pipx", "install", "--python", "python3.12", "patroni"],
            id="pipx install, interpreter named",
        ),
    ],
)
def test_argv(command, argv):
    assert command == argv


@pytest.mark.parametrize(
    ("pipx", "names"),
    [
        ("0.16.4", ["pip", "setuptools", "wheel"]),
        ("1.1.0", ["pip", "setuptools", "wheel"]),
        ("1.2.1", ["pip", "setuptools", "wheel"]),
        ("1.3.0", ["pip"]),
        ("1.10.0", ["pip"]),
        ("1.18.4", ["pip"]),
        ("2.0", ["pip"]),
    ],
)
def test_shared_libraries_hold_what_each_pipx_puts_there(pipx, names):
    venv, install = _pipx.make_shared_libraries("/usr/bin/python3", "/p/shared", "/w/pip-23.whl", pipx)

    assert venv == ["/usr/bin/python3", "-m", "venv", "--without-pip", "/p/shared"]
    options = ["--quiet", "--retries=0", "--no-compile"]
    assert install == ["/p/shared/bin/python", "/w/pip-23.whl/pip", "install", *options, *names]


@pytest.mark.parametrize(
    ("script", "python"),
    [
        ("#!/usr/bin/python3\nimport sys\n", "/usr/bin/python3"),
        ("#! /usr/bin/python3.9 -sP\n", "/usr/bin/python3.9"),
        ("#!/opt/pipx/bin/python\n", "/opt/pipx/bin/python"),
        ("#!/usr/bin/env python3\n", None),
        ("#!/bin/sh\n", None),
        ("#!/usr/bin/pythonic\n", None),
        ("import sys\n#!/usr/bin/python3\n", None),
        ("\x7fELF", None),
        ("", None),
    ],
)
def test_interpreter_of_a_script(script, python):
    assert _pipx.parse_interpreter(script) == python


def test_pipx_environment():
    assert _pipx.pipx_environment("/home/pg/pipx/patroni/3", "/home/pg/pipx/shared") == {
        "PIPX_DEFAULT_BACKEND": "pip",
        "USE_EMOJI": "0",
        "PIPX_HOME": "/home/pg/pipx/patroni/3",
        "PIPX_BIN_DIR": "/home/pg/pipx/patroni/3/bin",
        "PIPX_MAN_DIR": "/home/pg/pipx/patroni/3/man",
        "PIPX_COMPLETION_DIR": "/home/pg/pipx/patroni/3/completion",
        "PIPX_SHARED_LIBS": "/home/pg/pipx/shared",
        "PIP_LOG": "/home/pg/pipx/patroni/3/pip.log",
    }
