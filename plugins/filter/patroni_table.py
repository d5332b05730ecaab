# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.pgedge.platform.plugins.plugin_utils import _clusters

DOCUMENTATION = r"""
---
name: patroni_table
short_description: Format rows as a text table
version_added: 1.1.0
author: pgEdge (@pgEdge)
description:
  - For the playbooks of this collection.
positional: columns
options:
  _input:
    description: The rows, each with the same keys.
    type: list
    elements: dict
    required: true
  columns:
    description: The keys to show; by default those that have a value in any row.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Show the report
  ansible.builtin.debug:
    msg: "{{ patroni_site.rows | pgedge.platform.patroni_table }}"
"""

RETURN = r"""
_value:
  description: The lines of the table.
  type: list
  elements: str
"""


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"patroni_table": _clusters.table}
