# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark in its short form: every run did what it should have done. How long it took is not judged."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from lab import BIN, CHECKOUT, miss

pytestmark = [pytest.mark.hosts, pytest.mark.thorough]

KEPT = CHECKOUT / ".build" / "bench" / "quick"


def test_the_short_form(images: None, collections: Path) -> None:
    if shutil.which("ssh") is None:
        miss("the benchmark needs the package openssh-client")
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, CHECKOUT / "bench" / "run.py", "--quick", "--collections", collections]
    options = ["--prefix", "pgedge-platform-test-bench"]

    done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True, check=False)

    print(done.stdout)
    assert done.returncode == 0, done.stderr
    measured = json.loads((KEPT / "bench.json").read_text("utf-8"))["samples"]
    assert {"rerun", "installation, real index", "cost", "fleet of 4, forks 10"} <= set(measured)
    assert set(measured["rerun"]) == {"ping", "module", "role, unvalidated", "role", "tasks", "tasks, skipping"}
    assert (KEPT / "bench.png").read_bytes().startswith(b"\x89PNG")
