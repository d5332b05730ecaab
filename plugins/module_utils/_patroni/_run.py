# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""Orchestration: params, probe, plan, apply, report."""

from __future__ import annotations

import typing as t

from .._errors import PatroniInstallError
from . import _report
from ._drift import target_extras
from ._exec_start import lost_settings
from ._kept import warn_of_lacking_extras
from ._params import desire, patience
from ._plan import plan, unit_steps
from ._probe import probe
from ._steps import BuildEnvironment, ReloadSystemd, SwitchBack, WriteUnit
from ._unit import HEADER

if t.TYPE_CHECKING:
    from .._host import Host
    from .._types import Done, Step
    from ._apply import Applier
    from ._desired import Desired, Patience
    from ._observed import Observed, Pipx
    from ._params import Params


def run(params: Params, host: Host, *, check_mode: bool) -> dict[str, t.Any]:
    """Bring the host to the requested state, or show the steps for that; return the module's result.

    Raises:
        PatroniInstallError: the request cannot be carried out; the message says why.
    """
    limits = patience(params)
    desired = desire(params, host, check_mode=check_mode)
    before = probe(desired, host)
    steps = plan(desired, before)
    if check_mode and steps:
        from ._index import expect_offer

        expect_offer(desired, before, steps, host)
    if check_mode or not steps:
        _warn(desired, before, steps, host)
        after = None if check_mode else before
        return _report.success(desired, before, steps, after=after, pipx=_pipx(before), verbose=host.verbose)
    host.log(_report.request(desired, before, host.requester()))
    try:
        result = _change(desired, before, limits, host)
    except (PatroniInstallError, OSError) as error:
        host.log(f"failed: {error}")
        raise
    host.log(_report.summary(result))
    return result


def _change(desired: Desired, before: Observed, limits: Patience, host: Host) -> dict[str, t.Any]:
    # Most runs have nothing to do, and the host compiles each file on import.
    from ._apply import Applier

    with host.lock(desired.account, limits.lock_timeout):
        # Another run may have changed the host in the meantime.
        before = probe(desired, host, known=before)
        applier = Applier(desired, limits, host, _pipx(before))
        done = applier.apply(plan(desired, before))
        after = probe(desired, host, known=before)
        corrected = _corrected(desired, after, done)
        if corrected:
            done = (*_without_unit(done), *_apply_more(applier, corrected, done))
            after = probe(desired, host, known=before)
    steps = [one.step for one in done]
    _warn(desired, before, steps, host)
    return _report.success(desired, before, steps, after=after, pipx=applier.pipx, done=done, verbose=host.verbose)


def _corrected(desired: Desired, after: Observed, done: t.Sequence[Done]) -> tuple[Step, ...]:
    """Plan the unit again if the environment that was built differs from what the index suggested."""
    if not any(isinstance(one.step, BuildEnvironment) for one in done):
        return ()
    planned = tuple(step for step in unit_steps(desired, after) if isinstance(step, (WriteUnit, ReloadSystemd)))
    return planned if any(isinstance(step, WriteUnit) for step in planned) else ()


def _without_unit(done: t.Sequence[Done]) -> tuple[Done, ...]:
    return tuple(one for one in done if not isinstance(one.step, (WriteUnit, ReloadSystemd)))


def _apply_more(applier: Applier, more: t.Sequence[Step], done: t.Sequence[Done]) -> tuple[Done, ...]:
    try:
        return applier.apply(more)
    except PatroniInstallError as error:
        error.done = (*done, *error.done)
        raise


def _warn(desired: Desired, before: Observed, steps: t.Sequence[Step], host: Host) -> None:
    """Warn about the loss of anything that somebody else set up."""
    unit, configuration = desired.shown(desired.unit_path), before.configuration
    written = next((step for step in steps if isinstance(step, WriteUnit)), None)
    foreign = before.unit.text and HEADER not in before.unit.text
    if foreign and written is not None:
        lost = ", ".join(lost_settings(before.unit.text or "", written.text))
        if lost:
            host.warn(
                f"{unit} was not written by this module and is replaced, without its settings {lost}; put those "
                f"that you still need into {unit}.d/local.conf"
            )
    for path, cause in before.unusable.items():
        host.warn(f"the kept environment {desired.shown(path)} no longer works and is removed: {cause}")
    back = before.returning if any(isinstance(step, SwitchBack) for step in steps) else None
    if back is not None:
        warn_of_lacking_extras(host, back, target_extras(desired, before.environment))
    there = back.versions if back else ()
    stuck = ", ".join(name for name in before.environment.stuck if name not in there) if before.environment else ""
    if stuck and any(isinstance(step, (BuildEnvironment, SwitchBack)) for step in steps):
        host.warn(
            f"{stuck} in the old environment did not come from an index, so the new one does not have it; "
            "install it again if you still need it"
        )
    if configuration is None:
        return
    if configuration.unclear:
        host.warn(
            f"cannot tell from the command in {unit} which configuration Patroni uses, so the unit will name "
            f"{configuration.path}; set config_file if it uses another one"
        )
    if configuration.others:
        host.warn(
            f"the unit names the configuration {configuration.path}, which does not exist; found instead: "
            f"{', '.join(configuration.others)}; set config_file to use one of these"
        )


def _pipx(observed: Observed) -> Pipx | None:
    return observed.tools.pipx if observed.tools else None
