# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other processes: where they were started from, and the locks that they hold."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ansible_collections.pgedge.platform.plugins.module_utils import _processes


def test_a_python_is_found_by_what_it_has_loaded(tmp_path):
    """It was started through a link, which leads elsewhere by now."""
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "x.so").write_bytes(b"x")
    link = tmp_path / "link"
    link.symlink_to("1")
    script = "import mmap, sys; f = open(sys.argv[1], 'rb'); m = mmap.mmap(f.fileno(), 0, prot=1); print(); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script, f"{link}/x.so"], **pipes) as process:
        process.stdout.readline()
        link.unlink()

        found = _processes.origins()

        process.communicate(b"\n")
    assert os.path.realpath(tmp_path / "1") in found
    assert os.path.dirname(sys.executable) in found


LOCKING = """
import fcntl, sys
stream = open(sys.argv[1], "w")
getattr(fcntl, sys.argv[2])(stream, fcntl.LOCK_EX)
print(flush=True)
input()
"""


@pytest.mark.parametrize("call", ["flock", "lockf"])
def test_holders_of_a_lock_are_named(tmp_path, call):
    locked, other = tmp_path / "locked", tmp_path / "other"
    other.touch()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", LOCKING, str(locked), call], **pipes) as process:
        process.stdout.readline()

        found, none = _processes.lock_holders(str(locked)), _processes.lock_holders(str(other))

        process.communicate(b"\n")
    assert [holder.partition(" (python")[0] for holder in found] == [f"process {process.pid}"]
    assert none == []
    assert _processes.lock_holders(str(locked)) == []


def test_the_holder_is_who_inherited_the_lock(tmp_path):
    """Its parent, which locked the file, has been killed."""
    locked = tmp_path / "locked"
    script = (
        "import fcntl, os, signal, sys, time; f = os.open(sys.argv[1], os.O_CREAT); fcntl.flock(f, fcntl.LOCK_EX)\n"
        "if os.fork(): os.kill(os.getpid(), signal.SIGKILL)\n"
        "print(os.getpid(), flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script, str(locked)], **pipes) as process:
        heir = int(process.stdout.readline())
        process.wait()

        (found,) = _processes.lock_holders(str(locked))

        process.stdin.close()
    assert found.startswith(f"process {heir} (")
