# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines in the states that tests begin with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Fixtures import the collection, because pytest reads this file before its plugin makes the collection importable.


@pytest.fixture
def make_machine(tmp_path, monkeypatch, capsys):
    """Make machines; the process is as before when the test ends."""
    from ansible_collections.pgedge.platform.tests.unit.plugins.machine import Machine

    umask = os.umask(0o022)
    environment = dict(os.environ)
    yield lambda family="debian", root=True: Machine(tmp_path, monkeypatch, capsys, family, root)
    os.umask(umask)
    os.environ.clear()
    os.environ.update(environment)


@pytest.fixture
def machine(make_machine):
    """A host of the Debian family, with nothing on it but the account and the lists of packages."""
    made = make_machine()
    made.know_packages()
    return made


@pytest.fixture
def installed(machine):
    """A host as the module leaves it, at the first generation."""
    from ansible_collections.pgedge.platform.tests.unit.plugins.modules.calls import first_installation

    machine.tool("pipx")
    machine.run(*first_installation(machine))
    return machine


@pytest.fixture
def wheel(machine):
    """A pipx that Python runs, and the system's wheel of pip."""
    Path(machine.tool("pipx")).write_text("#!/usr/bin/python3\nimport pipx\n", "utf-8")
    path = Path(machine.base, "usr/share/python-wheels/pip-23.0.1-py3-none-any.whl")
    path.parent.mkdir(parents=True)
    path.touch()
    return str(path)


@pytest.fixture
def pip(installed):
    """The pip that pipx shares on an installed host, as it is run."""
    from ansible_collections.pgedge.platform.tests.unit.plugins.modules.calls import share_pip

    return share_pip(installed)


@pytest.fixture
def writes(installed, monkeypatch):
    """What makes changes durable, and what depends on it, as it happens: (operation, what to)."""
    from ansible_collections.pgedge.platform.plugins.module_utils import _files
    from ansible_collections.pgedge.platform.plugins.module_utils._patroni import _kept

    seen = []

    def watch(owner, name, shown):
        real = getattr(owner, name)

        def watched(*arguments, **more):
            seen.append((name, shown(*arguments)))
            return real(*arguments, **more)

        monkeypatch.setattr(owner, name, watched)

    def synced(descriptor):
        return os.readlink(f"/proc/self/fd/{descriptor}")

    watch(os, "fsync", synced)
    watch(_files, "sync_filesystem", str)
    watch(_files, "exchange", lambda _left, right: right)
    watch(_files, "replace_link", lambda path, _target: path)
    watch(_files, "remove_file", str)
    watch(_kept, "remove_file", str)
    watch(_files, "remove_tree", str)
    watch(os, "rename", lambda source, _target: source)
    return seen
