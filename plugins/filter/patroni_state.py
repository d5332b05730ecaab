# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.pgedge.platform.plugins.plugin_utils import _clusters

DOCUMENTATION = r"""
---
name: patroni_state
short_description: Determine the state of a member of a Patroni cluster
version_added: 1.1.0
author: pgEdge (@pgEdge)
description:
  - Reads the answers of the REST API of a member and of C(patronictl list).
  - For the playbooks of this collection.
positional: asked, member
options:
  _input:
    description: The result of C(patronictl list --format=json) at any member.
    type: dict
    required: true
  asked:
    description: The result of the script C(ask_member.py) at the member.
    type: dict
    required: true
  member:
    description: The name of the member.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Check that the member has noticed the pause
  ansible.builtin.assert:
    that: (patroni_listed | pgedge.platform.patroni_state(patroni_asked, 'pg1')).paused
"""

RETURN = r"""
_value:
  description:
    - Of the member, C(version) (empty if it does not answer), C(paused), C(running) and C(well). Of the cluster,
      C(scope), C(leader) and C(all_well).
  type: dict
"""


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"patroni_state": _clusters.state_of}
