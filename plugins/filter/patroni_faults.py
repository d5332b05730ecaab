# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.pgedge.platform.plugins.plugin_utils import _clusters

DOCUMENTATION = r"""
---
name: patroni_faults
short_description: Compare the faults that two versions of Patroni find in a configuration
version_added: 1.1.0
author: pgEdge (@pgEdge)
description:
  - A fault that the running version reports as well does not keep Patroni from running, so it is only a warning.
  - For the playbooks of this collection.
positional: before
options:
  _input:
    description: The result of C(patroni --validate-config) of the new version.
    type: dict
    required: true
  before:
    description: The result of the running version.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Check that there is no new fault
  ansible.builtin.assert:
    that: (patroni_checked | pgedge.platform.patroni_faults(patroni_checked_before)).faults == []
"""

RETURN = r"""
_value:
  description: C(faults) and C(warnings), each a list of lines.
  type: dict
"""


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"patroni_faults": _clusters.new_faults}
