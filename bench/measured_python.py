# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs Python, and writes down what it and its children took.

On a measured host MEASURED_PYTHON runs this, and is Ansible's interpreter in the runs of which this is asked.
"""

import json
import resource
import subprocess
import sys
import time

started = time.monotonic()
done = subprocess.run(["/usr/bin/python3", *sys.argv[1:]], check=False)
seconds = time.monotonic() - started
used = resource.getrusage(resource.RUSAGE_CHILDREN)
with open("/var/tmp/measured.json", "w", encoding="utf-8") as stream:
    json.dump({"seconds": seconds, "cpu_seconds": used.ru_utime + used.ru_stime, "peak_kib": used.ru_maxrss}, stream)
sys.exit(done.returncode)
