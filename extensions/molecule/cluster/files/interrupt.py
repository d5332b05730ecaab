# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills runs of the playbook upgrade_patroni at random moments; after each, one more run must succeed.

The runs upgrade one cluster, then the other one, then return both in step.

The working directory is that of the inventory. Prints one line with the result; ends with an error if the run after a
kill fails.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import signal
import subprocess
import sys
import time

# Two such times pass until a run takes a mark of a pause for that of an interrupted run.
RESTART_TIMEOUT = 20


def start(hosts: str, version: str) -> subprocess.Popen[str]:
    command = ["ansible-playbook", "pgedge.platform.upgrade_patroni", "--inventory=hosts.yml"]
    settings = (
        f"patroni_hosts={hosts} patroni_version={version} patroni_clusters_at_once=2 "
        f"patroni_restart_timeout={RESTART_TIMEOUT}"
    )
    return subprocess.Popen(
        [*command, f"--extra-vars={settings}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(hosts: str, version: str) -> tuple[str, float]:
    began = time.monotonic()
    run = start(hosts, version)
    printed = run.communicate()[0]
    if run.returncode:
        sys.exit(f"a run that was not killed ended with code {run.returncode}:\n{printed}")
    return printed, time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--versions", required=True)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    newer, older = options.versions.split(",")
    draw = random.Random(options.seed)  # noqa: S311
    changes = [("zone1", newer), ("zone2", newer), ("pgedge", older)]
    finish(*changes[-1])
    seconds = [finish(*change)[1] for change in changes]
    kills, resumed = 0, 0
    for change, whole in itertools.cycle(zip(changes, seconds, strict=True)):
        run = start(*change)
        try:
            run.communicate(timeout=draw.uniform(0, whole))
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            run.communicate()
            kills += 1
        resumed += "resuming it now" in finish(*change)[0]
        if kills >= options.count:
            break
    finish(*changes[-1])
    if kills >= len(changes) and not resumed:
        sys.exit(f"none of {kills} interruptions (seed {options.seed}) left a cluster paused; choose another seed")
    print(f"{kills} interruptions (seed {options.seed}), {resumed} of which left a cluster paused")


if __name__ == "__main__":
    main()
