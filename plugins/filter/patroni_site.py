# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.pgedge.platform.plugins.plugin_utils import _clusters

DOCUMENTATION = r"""
---
name: patroni_site
short_description: Identify the Patroni clusters of a site
version_added: 1.1.0
author: pgEdge (@pgEdge)
description:
  - Identifies the hosts of each cluster by the members that C(patronictl list) shows on them, and the problems that
    prevent an upgrade.
  - For the playbooks of this collection.
positional: names, at_once
options:
  _input:
    description: The facts C(patroni_look), which the playbook sets for each host; empty for a host that failed before.
    type: list
    elements: dict
    required: true
  names:
    description: The names of the hosts, in the same order.
    type: list
    elements: str
    required: true
  at_once:
    description: The number of clusters that are restarted at the same time.
    type: int
    default: 1
"""

EXAMPLES = r"""
- name: Identify the clusters
  ansible.builtin.set_fact:
    patroni_site: >-
      {{ ansible_play_hosts_all | map('extract', hostvars) | map(attribute='patroni_look', default={})
      | pgedge.platform.patroni_site(ansible_play_hosts_all) }}
  run_once: true
"""

RETURN = r"""
_value:
  description:
    - C(clusters), a list; C(members), by host; C(problems), sentences; C(waves), lists of hosts that are restarted
      together; C(rows), one for each host, for a table.
  type: dict
"""


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"patroni_site": _clusters.describe}
