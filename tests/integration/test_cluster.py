# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two real clusters with etcd and Postgres: deployed, upgraded while a client writes, and failed over."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest

pytestmark = pytest.mark.hosts

# What `make pictures` draws from.
RECORDINGS = Path(__file__).resolve().parents[2] / ".build" / "recordings"
FULL = os.environ.get("PGEDGE_CLUSTER") == "full"
MEASURED = 19 if FULL else 4


def test_cluster(
    images: None,
    molecule: t.Callable[..., subprocess.CompletedProcess[str]],
    figures: t.Callable[..., None],
    tmp_path: Path,
) -> None:
    try:
        tested = molecule(
            "test",
            "--destroy=always",
            scenario="cluster",
            PGEDGE_FIGURES=str(tmp_path),
            PGEDGE_SIDE_EFFECT="side_effect_all.yml" if FULL else "side_effect.yml",
        )
    finally:
        # Interrupted, molecule may not have come to it.
        molecule("destroy", scenario="cluster")

    measured = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(tmp_path.glob("*.json"))]
    for row in measured:
        figures("cluster: writes of a client", **row)
    RECORDINGS.mkdir(parents=True, exist_ok=True)
    recorded = [shutil.copy(path, RECORDINGS) for path in tmp_path.glob("*.ansi")]
    assert tested.returncode == 0
    # molecule ignores a step whose playbook it does not find.
    assert "missing=0" in tested.stdout
    assert len(measured) == MEASURED
    assert len(recorded) == 1
