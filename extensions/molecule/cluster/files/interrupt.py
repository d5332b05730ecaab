# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills runs of the playbook upgrade_patroni at random moments; after each, one more run has to end well.

The working directory is that of the inventory. Prints one line with the result; ends with an error if the run after a
kill fails.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time

# So that a mark of a pause is old enough soon, see the playbook.
RESTART_TIMEOUT = 20


def start(version: str) -> subprocess.Popen[str]:
    command = ["ansible-playbook", "pgedge.platform.upgrade_patroni", "--inventory=hosts.yml"]
    settings = f"patroni_version={version} patroni_clusters_at_once=2 patroni_restart_timeout={RESTART_TIMEOUT}"
    return subprocess.Popen(
        [*command, f"--extra-vars={settings}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(version: str) -> tuple[str, float]:
    began = time.monotonic()
    run = start(version)
    printed = run.communicate()[0]
    if run.returncode:
        sys.exit(f"the run after a kill ended with code {run.returncode}:\n{printed}")
    return printed, time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--versions", required=True)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    newer, older = options.versions.split(",")
    draw = random.Random(options.seed)  # noqa: S311
    _printed, whole = finish(older)
    kills, resumed = 0, 0
    while kills < options.count:
        version = older if kills % 2 else newer
        run = start(version)
        try:
            run.communicate(timeout=draw.uniform(0, whole))
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            run.communicate()
            kills += 1
        printed, took = finish(version)
        # Without what another run may have had to wait for.
        whole = min(whole, took) if took > whole / 2 else whole
        resumed += "resuming it now" in printed
    print(f"{kills} interruptions (seed {options.seed}), {resumed} of which left a cluster paused")


if __name__ == "__main__":
    main()
