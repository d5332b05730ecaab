# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module on a host, as its payload would, and kills it where it is told to.

Usage: driver.py [--count | --kill-at N | --pause-at N | --kill-after SECONDS [--tree]] JSON-OPTIONS

A boundary is the moment before or after a step, before or after a command, and before each change to a file. With
--count the number of boundaries is printed at the end, with --kill-at the process kills itself at the Nth, and with
--pause-at it prints "paused" there and waits until its host loses power. With --kill-after it is killed from outside,
and --tree takes what it started with it. If coverage.py lies next to it, it records which lines run.
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import runpy
import signal
import sys
import time
import typing as t

HERE = os.path.dirname(os.path.abspath(__file__))
MODULE = "ansible_collections.pgedge.platform.plugins.modules.patroni_install"
RECORDS = "/var/tmp/coverage-of-plugins"
FILE_CHANGES = ("mkdir", "rename", "symlink", "unlink", "fchown", "fchmod", "fsync", "utime")

_Function = t.Callable[..., t.Any]


class Boundaries:
    def __init__(self, kill_at: int, pause_at: int) -> None:
        self.passed = 0
        self._kill_at = kill_at
        self._pause_at = pause_at

    def cross(self) -> None:
        self.passed += 1
        if self.passed == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.passed == self._pause_at:
            print("paused", flush=True)
            signal.pause()

    def around(self, function: _Function, *, after: bool = True) -> _Function:
        def wrapped(*args: t.Any, **kwargs: t.Any) -> t.Any:
            # Removing a tree goes through thousands of entries, each relative to a directory.
            if "dir_fd" in kwargs:
                return function(*args, **kwargs)
            self.cross()
            result = function(*args, **kwargs)
            if after:
                self.cross()
            return result

        return wrapped


def set_boundaries(boundaries: Boundaries) -> None:
    from ansible_collections.pgedge.platform.plugins.module_utils import _files, _host
    from ansible_collections.pgedge.platform.plugins.module_utils._patroni import _apply

    applier: t.Any = _apply.Applier
    host: t.Any = _host.Host
    begin = applier.apply

    def apply(self: t.Any, steps: t.Any) -> t.Any:
        # Only from here on is anything changed.
        host.run = boundaries.around(host.run)
        for name in FILE_CHANGES:
            setattr(os, name, boundaries.around(getattr(os, name), after=False))
        _files.exchange = boundaries.around(_files.exchange)
        return begin(self, steps)

    applier.apply = apply
    carry_out = vars(applier)["_carry_out"]
    applier._carry_out = boundaries.around(lambda self, step: carry_out.__get__(self)(step))


def record_lines() -> None:
    try:
        import coverage
    except (ImportError, SyntaxError):
        # It is not there, or this Python is older than those that it supports.
        return
    recorder = coverage.Coverage(data_file=f"{RECORDS}/host", data_suffix=True, source=[f"{HERE}/ansible_collections"])
    recorder.start()
    atexit.register(recorder.save)
    atexit.register(recorder.stop)


def run_module(options: str) -> None:
    from ansible.module_utils import basic

    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": json.loads(options)}).encode()
    basic._ANSIBLE_PROFILE = "legacy"
    runpy.run_module(MODULE, run_name="__main__", alter_sys=True)


def kill_after(seconds: float, *, tree: bool, options: str) -> None:
    child = os.fork()
    if child == 0:
        os.setsid()
        run_module(options)
        os._exit(0)
    time.sleep(seconds)
    (os.killpg if tree else os.kill)(child, signal.SIGKILL)
    os.waitpid(child, 0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", action="store_true")
    parser.add_argument("--kill-at", type=int, default=0)
    parser.add_argument("--pause-at", type=int, default=0)
    parser.add_argument("--kill-after", type=float)
    parser.add_argument("--tree", action="store_true")
    parser.add_argument("options")
    arguments = parser.parse_args()
    sys.path.insert(0, HERE)
    record_lines()
    if arguments.kill_after is not None:
        kill_after(arguments.kill_after, tree=arguments.tree, options=arguments.options)
        return
    boundaries = Boundaries(arguments.kill_at, arguments.pause_at)
    if arguments.count or arguments.kill_at or arguments.pause_at:
        set_boundaries(boundaries)
    try:
        run_module(arguments.options)
    finally:
        if arguments.count:
            print(f"boundaries {boundaries.passed}", flush=True)


if __name__ == "__main__":
    main()
