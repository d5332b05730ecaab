# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The output that README shows is what the code gives for such a host, as Ansible prints it."""

from __future__ import annotations

import re

import yaml
from ansible.plugins.callback import CallbackBase

from ansible_collections.pgedge.platform.plugins.module_utils._patroni._plan import plan
from ansible_collections.pgedge.platform.plugins.module_utils._patroni._report import success
from ansible_collections.pgedge.platform.tests.unit.docs.pages import CHECKOUT, blocks
from ansible_collections.pgedge.platform.tests.unit.plugins.models import bare, desired, observed

PREVIEW, SECOND = (block.text for block in blocks("README.md") if block.heading == "What you see")
(TASK,) = yaml.safe_load((CHECKOUT / "roles/install_patroni/tasks/main.yml").read_text("utf-8"))
HEADER = f"TASK [pgedge.platform.install_patroni : {TASK['name']}] "
RECAP = r"^PLAY RECAP \*+\npg1.example.com +: ok=2 +changed={} +unreachable=0 +failed=0 .*\n\Z"


def printed(before):
    """What Ansible prints below the task in check mode with --diff."""
    wanted = desired()
    result = success(wanted, before, plan(wanted, before), after=None, pipx=None)
    status = "changed" if result["changed"] else "ok"
    return f"{CallbackBase()._get_diff(result['diff'])}{status}: [pg1.example.com]\n\n"


def assert_shows(text, output):
    """Each part of a text, between the lines that mark an omission, is in the output, and in that order."""
    head, _newline, rest = text.partition("\n")
    body, recap = re.split(r"(?=^PLAY RECAP)", rest, flags=re.MULTILINE)
    assert head.rstrip("*") == HEADER
    at = 0
    for part in re.split(r"^\.\.\.\n", body, flags=re.MULTILINE):
        found = output.find(part, at)
        assert found >= 0, f"not in the output, or not in this order:\n{part}"
        at = found + len(part)
    assert at == len(output)
    assert body.startswith(output[:10])
    return recap


def test_preview():
    recap = assert_shows(PREVIEW, printed(bare()))

    assert re.search(RECAP.format(1), recap)


def test_second_run():
    recap = assert_shows(SECOND, printed(observed()))

    assert re.search(RECAP.format(0), recap)
