# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Identify the Patroni clusters of a site and the problems that prevent their upgrade.

The input is the results of commands on each host; nothing is run here.
"""

from __future__ import annotations

import itertools
import json
import re
import typing as t
from dataclasses import dataclass, field

_Row = t.Mapping[str, t.Any]

# From this version on, Patroni reports a replica that follows as "streaming", before as "running".
_TELLS_STREAMING = (3, 0, 4)
_WELL_REPLICA = ("streaming", "in archive recovery")
_LEADERS = ("Leader", "Standby Leader")
# The order of the restarts: a replica that would take over comes after the others.
_ORDER = ("Replica", "Quorum Standby", "Sync Standby")
# How much of a journal or an output is shown.
_SHOWN_LINES = 5
_SHOWN_CHARACTERS = 300
_TELLING = re.compile(
    r"error|exception|fatal|critical|failed|failure|refused|denied|cannot|can't|not found", re.IGNORECASE
)


@dataclass(frozen=True)
class Host:
    """The state of one host.

    Attributes:
        name: the host in the inventory.
        problem: the reason why it could not be inspected, as a sentence.
        plan: the result of patroni_install in check mode.
        answer: the output of ask_member.py.
        silence: the reason why "answer" is empty.
        rows: the output of "patronictl list" on this host.
        blindness: the reason why "rows" is empty.
        marked: this playbook paused the cluster and was interrupted before it resumed it.
        by_hand: the patronictl command for the operator.
        said_to_be: the name of the member, if the inventory sets it.
        unit: the name of the service's unit.
        unit_state: its ActiveState in systemd; empty if it is not known.
        applied: whether the plan was applied and the service restarted.
    """

    name: str
    problem: str = ""
    plan: _Row = field(default_factory=dict)
    answer: _Row = field(default_factory=dict)
    silence: str = ""
    rows: tuple[_Row, ...] = ()
    blindness: str = ""
    marked: bool = False
    by_hand: str = ""
    said_to_be: str = ""
    unit: str = "patroni.service"
    unit_state: str = ""
    applied: bool = False

    @property
    def member(self) -> str:
        return self.said_to_be or str(self.answer.get("name") or "")

    @property
    def rest(self) -> _Row:
        """The answer of the REST API of the member's Patroni."""
        return t.cast("_Row", self.answer.get("patroni") or {})

    @property
    def version(self) -> str:
        """The running version; empty if Patroni does not answer."""
        return _version_in(self.rest)

    @property
    def row(self) -> _Row:
        """The member's own row in the list of its cluster."""
        return _row_of(self.rows, self.member)


def read_host(look: t.Mapping[str, t.Any]) -> Host:
    """Read the facts that the playbook set for a host.

    Args:
        look: "host", and as far as the inspection came "problem", "plan" (the result of patroni_install), "asked"
            and "listed" (results of commands), "marked", "member", "unit", "unit_state", "applied" and "by_hand".
    """
    answer, silence = _read_json(look.get("asked"), dict)
    rows, blindness = _read_json(look.get("listed"), list)
    problem = str(look.get("problem") or "")
    if not problem and not _was_inspected(look):
        problem = (
            "it could not be reached; check the connection, or exclude all hosts of its cluster from patroni_hosts"
        )
    return Host(
        name=str(look["host"]),
        problem=problem,
        plan=look.get("plan") or {},
        answer=answer or {},
        silence=str((answer or {}).get("silence") or silence),
        rows=tuple(rows or ()),
        blindness=blindness,
        marked=bool(look.get("marked")),
        by_hand=str(look.get("by_hand") or "patronictl"),
        said_to_be=str(look.get("member") or ""),
        unit=str(look.get("unit") or "patroni.service"),
        unit_state=str(look.get("unit_state") or ""),
        applied=bool(look.get("applied")),
    )


def _was_inspected(look: t.Mapping[str, t.Any]) -> bool:
    return "listed" in look or ("plan" in look and look["plan"].get("previous_version") is None)


def _read_json(result: t.Mapping[str, t.Any] | None, kind: type) -> tuple[t.Any, str]:
    """Parse the JSON output of a command, or return None and the reason."""
    try:
        found = json.loads((result or {}).get("stdout") or "")
    except ValueError:
        return None, cause(result or {}, 1)[0]
    return (found, "") if isinstance(found, kind) else (None, "the format of its answer is unknown")


def _row_of(rows: t.Iterable[_Row], member: str) -> _Row:
    return next((row for row in rows if row.get("Member") == member), {})


def _leaders_in(rows: t.Iterable[_Row]) -> list[str]:
    return [str(row.get("Member")) for row in rows if row.get("Role") in _LEADERS]


def _version_in(rest: _Row) -> str:
    """Read the version in an answer of the REST API; empty if there is none."""
    return str((rest.get("patroni") or {}).get("version") or "")


def cause(result: t.Mapping[str, t.Any], lines: int = _SHOWN_LINES) -> list[str]:
    """Return the lines of a command's output, or of a journal, that explain a failure.

    Args:
        result: the result of the command; without return code and output if the host was unreachable.
        lines: the maximum number of lines; the last ones are returned.
    """
    if "rc" not in result:
        return ["the host became unreachable" if result.get("unreachable") else "the command was not run"]
    if result["rc"] == 124:
        return ["it did not answer in time"]
    return decisive(f"{result.get('stdout', '')}\n{result.get('stderr', '')}", lines)


def decisive(text: str, lines: int = _SHOWN_LINES) -> list[str]:
    """Select the lines of an output or a journal that explain a failure best, in their order.

    Frames of tracebacks and progress messages are omitted.
    """
    told: list[str] = []
    framed = False
    for line in text.splitlines():
        if line.startswith("Traceback ") or line.strip().startswith("Traceback (most"):
            framed = True
            continue
        if framed and line.startswith((" ", "\t")):
            continue
        framed = False
        stripped = line.strip()
        if stripped and not re.search(r"\b(INFO|DEBUG)\b", stripped):
            told.append(stripped[:_SHOWN_CHARACTERS])
    told = list(dict.fromkeys(told))
    return ([line for line in told if _TELLING.search(line)] or told or ["no output"])[-lines:]


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:3]))


def is_well(row: _Row, version: str = "") -> bool:
    """Whether a member is healthy: a leader that runs, or a replica that follows.

    Args:
        version: the version of the member's Patroni, if it is known.
    """
    state = str(row.get("State") or "")
    if row.get("Role") == "Leader":
        return state == "running"
    older = row.get("Role") == "Standby Leader" or (bool(version) and _number(version) < _TELLS_STREAMING)
    return state in _WELL_REPLICA or (older and state == "running")


def state_of(listed: t.Mapping[str, t.Any], asked: t.Mapping[str, t.Any], member: str = "") -> dict[str, t.Any]:
    """Return the state of a cluster and of one of its members, as needed before and after a restart.

    Args:
        listed: the result of "patronictl list --format=json" at any member of the cluster.
        asked: the result of ask_member.py at this member.

    Returns:
        Of the member "version" (empty if it does not answer), "paused" and "running" (both from its own answer) and
        "well"; of the cluster "scope", "leader" (a member, or empty) and "all_well".
    """
    rows = _read_json(listed, list)[0] or []
    rest = (_read_json(asked, dict)[0] or {}).get("patroni") or {}
    version = _version_in(rest)
    leaders = _leaders_in(rows)
    # The list may date from before a restart. Since 3.0, Patroni reports 0 until it reaches its configuration store.
    running = bool(version) and rest.get("state") == "running" and rest.get("dcs_last_seen") != 0
    return {
        "version": version,
        "paused": bool(rest.get("pause")),
        "running": running,
        "well": running and is_well(_row_of(rows, member), version),
        "scope": str(rows[0].get("Cluster")) if rows else "",
        "leader": leaders[0] if leaders else "",
        "all_well": len(leaders) == 1 and all(is_well(row, version) for row in rows),
    }


@dataclass(frozen=True)
class Cluster:
    """The hosts of one cluster, replicas first and the leader last."""

    scope: str
    hosts: tuple[Host, ...]
    rows: tuple[_Row, ...]

    @property
    def title(self) -> str:
        """The name of the cluster in messages; several clusters may have the same scope."""
        return f"{self.scope} ({', '.join(str(row.get('Member')) for row in self.rows)})"

    @property
    def leader(self) -> Host | None:
        return next((host for host in self.hosts if host.row.get("Role") in _LEADERS), None)

    @property
    def _is_paused(self) -> bool:
        return any(host.rest.get("pause") for host in self.hosts)

    @property
    def paused(self) -> bool:
        """Whether its operators paused it."""
        return self._is_paused and not self.left_paused

    @property
    def left_paused(self) -> bool:
        """Whether an interrupted run paused it, and not its operators."""
        return self._is_paused and any(host.marked for host in self.hosts)


def _identities(rows: t.Iterable[_Row]) -> frozenset[tuple[str, str]]:
    """Name and address of each member: two clusters may share scope and names, but not addresses."""
    return frozenset((str(row.get("Member")), str(row.get("Host"))) for row in rows)


def clusters_of(hosts: t.Iterable[Host]) -> list[Cluster]:
    """Group the hosts into clusters, by the members that each host lists."""
    found: list[tuple[set[tuple[str, str]], list[Host]]] = []
    for host in hosts:
        seen = set(_identities(host.rows))
        if not seen:
            continue
        together = [host]
        for other in [group for group in found if group[0] & seen]:
            found.remove(other)
            seen |= other[0]
            together = [*other[1], *together]
        found.append((seen, together))
    return [_cluster(group) for _seen, group in found]


def _cluster(hosts: t.Sequence[Host]) -> Cluster:
    rows = {(row.get("Member"), row.get("Host")): row for host in hosts for row in host.rows}
    scope = next(str(row.get("Cluster") or "") for row in rows.values())
    return Cluster(
        scope, tuple(sorted(hosts, key=_place)), tuple(sorted(rows.values(), key=lambda r: str(r["Member"])))
    )


def _place(host: Host) -> int:
    role = host.row.get("Role")
    return _ORDER.index(role) if role in _ORDER else len(_ORDER)


def problems_of(hosts: t.Sequence[Host], clusters: t.Sequence[Cluster]) -> list[str]:
    """Return all problems that prevent an upgrade of these clusters, one sentence each."""
    found = [sentence for host in hosts for sentence in _host_problems(host)]
    told = {host.member for host in hosts if not host.row}
    return found + [sentence for cluster in clusters for sentence in _cluster_problems(cluster, told)]


def _host_problems(host: Host) -> t.Iterator[str]:
    if host.problem:
        yield f"{host.name}: {host.problem}"
    elif host.plan.get("previous_version") is None:
        yield (
            f"{host.name}: Patroni is not installed; install it with the role install_patroni, or exclude the host "
            "from patroni_hosts"
        )
    elif host.blindness:
        yield (
            f"{host.name}: it cannot list the members of its cluster: {host.blindness}; check its configuration store, "
            f"then run '{host.by_hand} list' there"
        )
    elif not host.version:
        yield (
            f"{host.name}: its Patroni does not answer: {host.silence}; check 'systemctl status {host.unit}' and its "
            "REST API there"
        )
    elif not host.row:
        yield (
            f"{host.name}: its configuration names the member {host.member}, which its cluster does not have; set "
            "patroni_member for this host"
        )
    elif host.unit_state not in ("active", ""):
        yield (
            f"{host.name}: its Patroni must run as the service {host.unit}, which is {host.unit_state}; set "
            "patroni_unit_path to the unit that runs it"
        )
    elif host.applied and host.version != host.plan.get("version"):
        yield (
            f"{host.name}: Patroni {host.plan.get('version')} is installed, but its service still runs {host.version}"
        )


def _cluster_problems(cluster: Cluster, told: t.Collection[str]) -> t.Iterator[str]:
    """Return the problems of a cluster, without those of members whose host already has a problem."""
    title = f"the cluster {cluster.title}"
    if any("Group" in row for row in cluster.rows):
        yield f"{title} is a Citus cluster, which this playbook does not support; upgrade it by hand, group by group"
        return
    here = [host.member for host in cluster.hosts if host.row]
    missing = [str(row["Member"]) for row in cluster.rows if row["Member"] not in (*here, *told)]
    if missing:
        yield (
            f"{title} is incomplete in this run, without a host for {', '.join(missing)}; add the missing hosts to "
            "patroni_hosts, or run without --limit"
        )
    for member in dict.fromkeys(here):
        names = [host.name for host in cluster.hosts if host.member == member]
        if len(names) > 1:
            yield f"{title}: {' and '.join(names)} are the same member, {member}; remove one from the inventory"
    if len({_identities(host.rows) for host in cluster.hosts}) > 1:
        yield f"{title}: its hosts do not list the same members; wait until they do, then run this playbook again"
    leaders = _leaders_in(cluster.rows)
    if len(leaders) != 1:
        yield f"{title} must have one leader, and has {' and '.join(leaders) or 'none'}"
    versions = {host.member: host.version for host in cluster.hosts}
    units = {host.member: host.unit for host in cluster.hosts}
    for row in cluster.rows:
        if not is_well(row, versions.get(str(row["Member"]), "")):
            role, wanted = str(row.get("Role")).lower(), "running" if row.get("Role") in _LEADERS else "streaming"
            yield (
                f"{title}: {row['Member']} ({role}) must be {wanted}, and its state is '{row.get('State')}'; check "
                f"'journalctl -u {units.get(row['Member'], 'patroni.service')}' there"
            )


def waves(clusters: t.Sequence[Cluster], at_once: int) -> list[list[str]]:
    """Return the order of the restarts: each wave has one member of each of at most at_once clusters."""
    step = max(1, at_once)
    found = []
    for start in range(0, len(clusters), step):
        orders = [cluster.hosts for cluster in clusters[start : start + step]]
        found += [[host.name for host in wave if host is not None] for wave in itertools.zip_longest(*orders)]
    return found


def describe(looks: t.Iterable[t.Mapping[str, t.Any]], names: t.Iterable[str], at_once: int = 1) -> dict[str, t.Any]:
    """Describe a site by the state of its hosts.

    Args:
        looks: the facts of each host, see read_host; with "skipped" if it is not part of a cluster, and empty if the
            host failed before its inspection.
        names: the hosts in the same order.
        at_once: the number of clusters that are restarted at the same time.

    Returns:
        "clusters", their "members" by host, all "problems", a sentence for each cluster that an interrupted run
        "left_paused", the "waves" of the restarts, and "rows" for a table.
    """
    hosts = [read_host({"host": name, **look}) for name, look in zip(names, looks) if not look.get("skipped")]
    clusters = clusters_of(hosts)
    return {
        "waves": waves(clusters, at_once),
        "clusters": [
            {
                "title": cluster.title,
                "hosts": [host.name for host in cluster.hosts],
                "paused": cluster.paused,
                "left_paused": cluster.left_paused,
            }
            for cluster in clusters
        ],
        "members": {host.name: _member(host, cluster) for cluster in clusters for host in cluster.hosts},
        "problems": problems_of(hosts, clusters),
        "left_paused": [
            f"the cluster {cluster.title} is still paused by an interrupted run of this playbook, which its next run "
            f"ends; to end it now, run on {cluster.hosts[0].name}: {cluster.hosts[0].by_hand} resume"
            for cluster in clusters
            if cluster.left_paused
        ],
        "rows": [_report(host, cluster) for cluster in clusters for host in cluster.hosts]
        + [_report(host, None) for host in hosts if not host.rows],
    }


def _member(host: Host, cluster: Cluster) -> dict[str, t.Any]:
    return {
        "cluster": cluster.title,
        "name": host.member,
        "version": host.version,
        "leads": host is cluster.leader,
        "paused": cluster.paused,
        "left_paused": cluster.left_paused,
        "peers": [other.name for other in cluster.hosts if other is not host],
    }


def _report(host: Host, cluster: Cluster | None) -> dict[str, t.Any]:
    """Return the row of a host in the table for operators."""
    plan = host.plan
    installed = plan.get("version" if host.applied else "previous_version")
    differs = bool(host.version and installed and host.version != installed)
    problems = list(_host_problems(host))
    return {
        "cluster": cluster.title if cluster else "",
        "host": host.name,
        "role": str(host.row.get("Role") or "").lower(),
        "state": str(host.row.get("State") or "") + (", paused" if host.rest.get("pause") else ""),
        "installed": installed or "",
        "runs": host.version,
        "restart_due": differs if plan.get("changed") else bool(plan.get("restart_required")),
        "would_change": str(plan.get("msg") or "") if plan.get("changed") and not host.applied else "",
        "problem": problems[0].partition(": ")[2] if problems else "",
    }


def table(rows: t.Sequence[t.Mapping[str, t.Any]], columns: t.Sequence[str] | None = None) -> list[str]:
    """Format rows as a text table, one line each.

    Args:
        columns: the columns to show; by default those that have a value in any row.
    """
    names = list(columns or [name for name in (rows[0] if rows else ()) if any(row[name] for row in rows)])
    texts = [[name.replace("_", " ") for name in names]]
    texts += [[_text(row[name]) for name in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip() for line in texts]
    return [*lines[:1], "  ".join("-" * width for width in widths), *lines[1:]]


def _text(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def new_faults(now: t.Mapping[str, t.Any], before: t.Mapping[str, t.Any]) -> dict[str, list[str]]:
    """Compare the faults that two versions of Patroni find in a configuration.

    A fault that the running version finds too does not keep it from running, so it is only a warning. A port in use is
    not a fault in the configuration of a running member.

    Args:
        now, before: the results of "patroni --validate-config" of the new and of the running version.
    """
    # The wording differs between versions, but each line starts with the setting.
    known = {fault.split()[0] for fault in _faults(before)}
    found = _faults(now)
    return {
        "faults": [fault for fault in found if fault.split()[0] not in known],
        "warnings": [fault for fault in found if fault.split()[0] in known],
    }


def _faults(result: t.Mapping[str, t.Any]) -> list[str]:
    text = f"{result.get('stdout', '')}\n{result.get('stderr', '')}"
    # An answer that is missing or none of a validation is a fault as well.
    if result.get("rc") == 124 or "Traceback (most" in text or (result.get("rc") and not text.strip()):
        return cause(result, 1)
    lines = text.splitlines()
    return [line.strip() for line in lines if line.strip() and not re.search(r"port \d+ is already in use", line, re.I)]
