# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.pgedge.platform.plugins.plugin_utils import _clusters

DOCUMENTATION = r"""
---
name: patroni_cause
short_description: Select the lines of an output that explain a failure
version_added: 1.1.0
author: pgEdge (@pgEdge)
description:
  - Omits tracebacks and progress messages.
  - For the playbooks of this collection.
positional: lines
options:
  _input:
    description: The result of a command, such as C(journalctl).
    type: dict
    required: true
  lines:
    description: The maximum number of lines; the last ones are returned.
    type: int
    default: 5
"""

EXAMPLES = r"""
- name: Show the cause
  ansible.builtin.debug:
    msg: "{{ patroni_journal | pgedge.platform.patroni_cause }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"patroni_cause": _clusters.cause}
