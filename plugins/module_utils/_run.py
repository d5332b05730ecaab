# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way through the rooms: params, probe, plan, apply, report."""

from __future__ import annotations

import typing as t

from ansible_collections.pgedge.platform.plugins.module_utils import _report
from ansible_collections.pgedge.platform.plugins.module_utils._apply import Applier
from ansible_collections.pgedge.platform.plugins.module_utils._params import desire, patience
from ansible_collections.pgedge.platform.plugins.module_utils._plan import plan
from ansible_collections.pgedge.platform.plugins.module_utils._probe import expect_offer, probe

if t.TYPE_CHECKING:
    from ansible_collections.pgedge.platform.plugins.module_utils._host import Host
    from ansible_collections.pgedge.platform.plugins.module_utils._model import Observed, Pipx
    from ansible_collections.pgedge.platform.plugins.module_utils._params import Params


def run(params: Params, host: Host, *, check_mode: bool) -> dict[str, t.Any]:
    """Bring the host to what the parameters ask for, or show how; the result is the module's.

    Raises:
        PatroniInstallError: it cannot be done, and the error says why.
    """
    limits = patience(params)
    desired = desire(params, host, check_mode=check_mode)
    before = probe(desired, host)
    steps = plan(desired, before)
    if check_mode:
        expect_offer(desired, before, host)
    pipx = _pipx(before)
    after = None if check_mode else before
    if steps and not check_mode:
        with host.lock(desired.account, limits.lock_timeout):
            # Another run may have come first.
            before = probe(desired, host, known=before)
            applier = Applier(desired, limits, host, _pipx(before))
            steps = applier.apply(plan(desired, before))
            pipx = applier.pipx
            after = probe(desired, host, known=before)
    if after is not None and after.environment is not None:
        host.warn_of_label(f"{after.environment.path}/bin/patroni")
    return _report.success(desired, before, steps, after=after, pipx=pipx)


def _pipx(observed: Observed) -> Pipx | None:
    return observed.tools.pipx if observed.tools else None
