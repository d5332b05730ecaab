# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Telling what was done, or would be: pure functions from the plan to the module's result."""

from __future__ import annotations

import typing as t

from ansible_collections.pgedge.platform.plugins.module_utils import _model as model
from ansible_collections.pgedge.platform.plugins.module_utils._drift import public_path

if t.TYPE_CHECKING:
    from ansible_collections.pgedge.platform.plugins.module_utils._errors import PatroniInstallError

Result = t.Dict[str, t.Any]


def success(
    desired: model.Desired,
    before: model.Observed,
    steps: t.Sequence[model.Step],
    *,
    after: model.Observed | None,
    pipx: model.Pipx | None,
) -> Result:
    """Describe a run that ended well.

    Args:
        before: the host as it was found.
        after: the host as it is now; None in check mode, where the steps say what it would be.
        pipx: the pipx that builds; None where none was needed.
    """
    built = _built(steps) if after is None else None
    environment = after.environment if after else before.environment
    version = environment.version if environment else None
    if built is not None:
        version = _pinned(built)
    if desired.state == "absent":
        version, environment = None, None
    result: Result = {
        "changed": bool(steps),
        "diff": [entry for step in steps for entry in _diff(step, desired, before, version)],
        "version": version,
        "previous_version": before.environment.version if before.environment else None,
        "bin_dir": desired.bin_dir,
        "venv": desired.environment
        if built or environment is None
        else public_path(desired, after or before, environment),
        "unit_path": desired.unit_path,
        "config_dir": desired.config_dir,
        "steps": [step.describe() for step in steps],
        "restart_required": _restart_required(desired, before, after or before, steps),
    }
    if pipx is not None:
        result["pipx"] = {"path": pipx.path, "version": pipx.version}
    result["msg"] = _message(desired, result, planned=after is None)
    return result


def failure(error: PatroniInstallError | OSError) -> Result:
    """Describe a run that ended with an error."""
    if isinstance(error, OSError):
        return {"msg": f"the system refused: {error}", "changed": False, "steps": []}
    result: Result = {
        "msg": str(error),
        "changed": bool(error.done),
        "steps": [step.describe() for step in error.done],
        **error.details(),
    }
    if error.failed_step is not None:
        result["failed_step"] = error.failed_step.describe()
    return result


def _built(steps: t.Sequence[model.Step]) -> model.BuildEnvironment | None:
    return next((step for step in steps if isinstance(step, model.BuildEnvironment)), None)


def _pinned(step: model.BuildEnvironment) -> str | None:
    return step.requirement.partition("==")[2] or None


def _restart_required(
    desired: model.Desired, before: model.Observed, now: model.Observed, steps: t.Sequence[model.Step]
) -> bool:
    """Whether the service runs code or a unit that is older than what is installed."""
    if desired.state == "absent" or not before.service.active:
        return False
    if any(_renews(step) for step in steps):
        return True
    installed = now.environment
    if installed and before.service.environment not in (None, installed.path):
        return True
    return before.service.started_at < max(installed.changed_at if installed else 0.0, now.unit.changed_at)


def _renews(step: model.Step) -> bool:
    if isinstance(step, model.WriteUnit):
        return step.changed_at is None
    return isinstance(step, model.BuildEnvironment)


def _message(desired: model.Desired, result: Result, *, planned: bool) -> str:
    name = f"Patroni {result['version']}" if result["version"] else "Patroni"
    if desired.state == "absent":
        if not result["changed"]:
            return "nothing to do: Patroni is absent"
        return "Patroni would be removed" if planned else "Patroni is removed"
    if not result["changed"]:
        return f"nothing to do: {name} in {result['venv']}"
    installed = any(step["action"] in ("build_environment",) for step in result["steps"])
    verb = "installed" if installed else "put right"
    previous = result["previous_version"]
    was = f" (was {previous})" if installed and previous and previous != result["version"] else ""
    return f"{name} {'would be' if planned else 'is'} {verb} in {result['venv']}{was}"


def _diff(
    step: model.Step, desired: model.Desired, before: model.Observed, version: str | None
) -> t.Iterator[dict[str, str]]:
    """Yield what a step changes, as texts before and after."""
    if isinstance(step, model.WriteUnit):
        yield _entry(step.path, before.unit.text or "", step.text)
        if before.unit.exists:
            yield _entry(f"{step.path} (attributes)", _attributes(desired, before.unit), _attributes(desired, step))
    elif isinstance(step, model.RemoveUnit):
        yield _entry(step.path, before.unit.text or "", "")
    elif isinstance(step, model.CreateDirectory):
        yield _entry(step.path, "", _attributes(desired, step))
    elif isinstance(step, model.SetAttributes):
        yield _entry(step.path, _attributes(desired, before.config_dir.state), _attributes(desired, step))
    elif isinstance(step, model.BuildEnvironment):
        new = _described(version or "the newest that the index offers", step.extras)
        yield _entry(desired.environment, _environment(before.environment), new)
    elif isinstance(step, (model.RemoveDirectory, model.RemoveEnvironment, model.RemoveExecutables)):
        yield _entry(step.path, _lines(getattr(step, "names", ("present",))), "")
    elif isinstance(step, (model.InstallPackages, model.InstallPipx)):
        yield _entry(step.action, "", f"{step.target}\n")
    elif isinstance(step, model.ExposeExecutables):
        offered = before.environment.executables if before.environment else ()
        links = (name for name in offered if name in before.executables)
        yield _entry(step.path, _lines(links), _lines(offered))


def _lines(names: t.Iterable[str]) -> str:
    return "".join(f"{name}\n" for name in sorted(names))


def _entry(header: str, before: str, after: str) -> dict[str, str]:
    return {"before_header": header, "after_header": header, "before": before, "after": after}


def _environment(environment: model.Environment | None) -> str:
    if environment is None:
        return ""
    problem = f"problem: {environment.problem}\n" if environment.problem else ""
    return _described(environment.version or "unknown", environment.extras) + problem


def _described(version: str, extras: t.Sequence[str]) -> str:
    return f"version: {version}\nextras: {', '.join(sorted(extras))}\n"


def _attributes(
    desired: model.Desired, state: model.PathState | model.WriteUnit | model.CreateDirectory | model.SetAttributes
) -> str:
    account = desired.account
    users = {0: "root", account.uid: account.name}
    groups = {0: "root", account.group_gid: account.group}
    owner = users.get(state.uid, str(state.uid))
    group = groups.get(state.gid, str(state.gid))
    return f"owner: {owner}\ngroup: {group}\nmode: {state.mode:04o}\n"
