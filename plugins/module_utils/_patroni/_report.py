# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""Report what was done or would be done: pure functions from the plan to the module's result."""

from __future__ import annotations

import typing as t

from ._desired import Desired
from ._drift import environment_drift, public_path
from ._observed import Kept, Observed, Pipx
from ._steps import (
    DIRECTORIES,
    BuildEnvironment,
    DiffContext,
    KeepEnvironment,
    RemoveDirectory,
    RemoveEnvironment,
    SwitchBack,
    SwitchEnvironment,
    WriteUnit,
)

if t.TYPE_CHECKING:
    from .._errors import PatroniInstallError
    from .._types import DiffEntry, Done, Step

Result = t.Dict[str, t.Any]


def success(
    desired: Desired,
    before: Observed,
    steps: t.Sequence[Step],
    *,
    after: Observed | None,
    pipx: Pipx | None,
    done: t.Sequence[Done] = (),
    verbose: bool = False,
) -> Result:
    """Describe a successful run.

    Args:
        before: the state of the host before the run.
        after: the current state of the host; None in check mode, where the steps determine what it would be.
        pipx: the pipx used for building; None if none was needed.
        done: the same steps with the time that each took; empty in check mode.
        verbose: list the packages of the environment, even if none was put in place.
    """
    injected = next((step.injected for step in steps if isinstance(step, BuildEnvironment)), ())
    built = _built(steps) if after is None else None
    environment = after.environment if after else before.returning or before.environment
    version = environment.version if environment else None
    if built is not None:
        version = built.version
    if desired.state == "absent" and not before.users:
        version, environment = None, None
    context = DiffContext(desired, before, version, _rebuild_reason(desired, before))
    result: Result = {
        "changed": bool(steps),
        "diff": list(_merged(entry for step in steps for entry in step.diff(context))),
        "version": version,
        "previous_version": before.environment.version if before.environment else None,
        "bin_dir": desired.shown(desired.bin_dir),
        "venv": desired.shown(
            desired.environment
            if built or environment is None or environment is before.returning
            else public_path(desired, after or before, environment)
        ),
        "unit_path": desired.shown(desired.unit_path),
        "config_dir": desired.shown(desired.config_dir),
        "config_file": before.configuration.path if before.configuration else desired.config_path,
        "kept": [_described_kept(desired, kept) for kept in _kept(desired, before, after, steps)],
        "steps": [step.describe() for step in done or steps],
        "restart_required": _restart_required(desired, before, after or before, steps),
    }
    listed = environment if after else before.environment
    if listed is not None and (verbose or any(isinstance(one.step, SwitchEnvironment) for one in done)):
        result["packages"] = dict(sorted(listed.versions.items()))
    if pipx is not None:
        result["pipx"] = {"path": pipx.path, "version": pipx.version}
    result["msg"] = _message(desired, before, result, injected, planned=after is None)
    return result


def request(desired: Desired, before: Observed, requester: str) -> str:
    """Describe, for the log, the request, who made it, and the installed version."""
    wanted = {
        "present": _named(desired.version),
        "latest": "the newest Patroni",
        "absent": "the removal of Patroni",
    }[desired.state]
    found = before.environment
    there = f"{_named(found.version)} in {public_path(desired, before, found)}" if found else "no Patroni"
    return f"{requester} asks for {wanted} for {desired.account.name}; there is {there}"


def summary(result: Result) -> str:
    """Describe a run that changed something, for the log."""
    steps = result["steps"]
    if not steps:
        return str(result["msg"])
    each = ", ".join(f"{step['action']} {step['seconds']:.1f}" for step in steps)
    return f"{result['msg']}; {sum(step['seconds'] for step in steps):.1f} seconds ({each})"


def failure(error: PatroniInstallError | OSError) -> Result:
    """Describe a run that ended with an error."""
    if isinstance(error, OSError):
        return {"msg": f"operating system error: {error}", "changed": False, "steps": []}
    result: Result = {
        "msg": str(error),
        "changed": bool(error.done),
        "steps": [step.describe() for step in error.done],
        **error.details(),
    }
    if error.failed_step is not None:
        result["failed_step"] = error.failed_step.describe()
    return result


def _kept(
    desired: Desired, before: Observed, after: Observed | None, steps: t.Sequence[Step]
) -> t.Iterator[Kept | KeepEnvironment]:
    """Yield the kept environments; in check mode those that would be kept, one of which is not recorded yet."""
    if after is not None:
        yield from after.kept
        return
    going = {step.path for step in steps if isinstance(step, (RemoveEnvironment, RemoveDirectory))}
    going.update(step.generation for step in steps if isinstance(step, SwitchBack))
    yield from (step for step in steps if isinstance(step, KeepEnvironment))
    yield from (kept for kept in before.kept if desired.generation_of(kept.path) not in going)


def _described_kept(desired: Desired, kept: Kept | KeepEnvironment) -> Result:
    return {
        "version": kept.version,
        "path": desired.shown(kept.path),
        "size": kept.size if isinstance(kept, Kept) else None,
        "since": kept.since if isinstance(kept, Kept) else None,
    }


def _built(steps: t.Sequence[Step]) -> BuildEnvironment | None:
    return next((step for step in steps if isinstance(step, BuildEnvironment)), None)


def _restart_required(desired: Desired, before: Observed, now: Observed, steps: t.Sequence[Step]) -> bool:
    """Return whether the service runs code or a unit that is older than the installed one."""
    if desired.state == "absent" or not before.service.active:
        return False
    if any(_renews(step) for step in steps):
        return True
    installed = before.returning or now.environment
    if installed and before.service.environment not in (None, installed.path):
        return True
    # In check mode the unit that is restored has not been written yet.
    written = (step.changed_at for step in steps if isinstance(step, WriteUnit))
    unit_changed_at = next(written, None) or now.unit.changed_at
    return before.service.started_at < max(installed.changed_at if installed else 0.0, unit_changed_at)


def _renews(step: Step) -> bool:
    if isinstance(step, WriteUnit):
        return step.changed_at is None
    return isinstance(step, BuildEnvironment)


def _message(desired: Desired, before: Observed, result: Result, injected: t.Sequence[str], *, planned: bool) -> str:
    """Summarize in one line what was done or would be done, and what is left to do."""
    if before.users:
        told = f"{_named(result['version'])} stays in {result['venv']}, because {', '.join(before.users)} uses it"
        removed = f"{result['unit_path']} {'would be' if planned else 'is'} removed"
        return f"{removed}; {told}" if result["changed"] else f"nothing to do: {told}"
    if desired.state == "absent":
        if not result["changed"]:
            return "nothing to do: Patroni is absent"
        return f"{_named(result['previous_version'])} {'would be' if planned else 'is'} removed"
    patroni = _named(None if _switched_back(result) else result["version"])
    if not result["changed"]:
        left = " but restart the service" if result["restart_required"] else ""
        return f"nothing to do{left}: {patroni} in {result['venv']}"
    verb, told = _describe_change(desired, before, result)
    left = "; restart the service to use it" if result["restart_required"] else ""
    again = f", again with {', '.join(injected)}" if injected else ""
    return f"{patroni} {'would be' if planned else 'is'} {verb} in {result['venv']}{told}{again}{left}"


def _named(version: str | None) -> str:
    return f"Patroni {version}" if version else "Patroni"


def _describe_change(desired: Desired, before: Observed, result: Result) -> tuple[str, str]:
    """Return a verb for what was done to Patroni, and the details to add."""
    actions = dict.fromkeys(step["action"] for step in result["steps"])
    previous = result["previous_version"]
    back = _switched_back(result)
    if "build_environment" not in actions and back is None:
        return "repaired", f": {', '.join(actions)}"
    verb = f"switched back to {back}," if back else "installed"
    if before.environment is None:
        return verb, ""
    if previous and result["version"] and previous != result["version"]:
        return verb, f" (was {previous})"
    return verb if back else "reinstalled", f": {_rebuild_reason(desired, before)}"


def _switched_back(result: Result) -> str | None:
    """Return the version that was switched back to, and since when it had been kept."""
    return next((step["target"] for step in result["steps"] if step["action"] == SwitchBack.action), None)


def _rebuild_reason(desired: Desired, before: Observed) -> str:
    """Explain why the environment did not match the desired state; without another reason, it is the interpreter.

    The account can give files and links any name, so the text is made safe for a terminal.
    """
    environment = before.environment
    if environment is None:
        return ""
    drift = environment_drift(desired, environment, newest=before.newest)
    text = drift or f"its interpreter is {environment.python}"
    return text if text.isprintable() else repr(text)


def _merged(entries: t.Iterable[DiffEntry]) -> t.Iterator[DiffEntry]:
    """Merge consecutive entries about directories under one header."""
    last: DiffEntry = {}
    for entry in entries:
        if last and entry["before_header"] == last["before_header"] == DIRECTORIES:
            last["before"] += entry["before"]
            last["after"] += entry["after"]
            continue
        last = entry
        yield last
