# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two real clusters with a DCS and Postgres: deployed, upgraded while a client writes, and failed over."""

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
# What is kept where clusters keep their state makes no difference to the other kinds of clusters and interruptions.
DCS = ["etcd", *(pytest.param(name, marks=pytest.mark.thorough) for name in ("zookeeper", "raft"))]


@pytest.mark.parametrize("dcs", DCS)
def test_cluster(
    dcs: str,
    images: None,
    molecule: t.Callable[..., subprocess.CompletedProcess[str]],
    figures: t.Callable[..., None],
    tmp_path: Path,
) -> None:
    full = FULL and dcs == "etcd"
    try:
        tested = molecule(
            "test",
            "--destroy=always",
            scenario="cluster",
            PGEDGE_FIGURES=str(tmp_path),
            PGEDGE_SIDE_EFFECT="side_effect_all.yml" if full else "side_effect.yml",
            MOLECULE_CLUSTER_DCS=dcs,
        )
    finally:
        # Interrupted, molecule may not have come to it.
        molecule("destroy", scenario="cluster")

    measured = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(tmp_path.glob("*.json"))]
    for row in measured:
        figures(f"cluster on {dcs}: writes of a client", **row)
    RECORDINGS.mkdir(parents=True, exist_ok=True)
    recorded = [shutil.copy(path, RECORDINGS) for path in tmp_path.glob("*.ansi")]
    assert tested.returncode == 0
    # molecule ignores a step whose playbook it does not find.
    assert "missing=0" in tested.stdout
    assert len(measured) == (19 if full else 4)
    assert len(recorded) == 1
