# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stands in for runuser, systemctl and journalctl, and for the module, on the hosts of a site that is a file.

Usage: python fake.py PROGRAM ARGUMENTS

The file, named by FAKE_SITE, has what every host runs and has installed; FAKE_HOST says which host this is. What would
harm a cluster is written into it as well, and every command about a cluster, in the order of their arrival.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
from contextlib import contextmanager

HOST = os.environ["FAKE_HOST"]


@contextmanager
def site():
    with open(os.environ["FAKE_SITE"], "r+", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        state = json.load(stream)
        yield state
        stream.seek(0)
        stream.truncate()
        json.dump(state, stream)


def cluster_of(state, host):
    return next(cluster for cluster in state["clusters"] if host in cluster["hosts"])


def rows(state, cluster):
    for name in cluster["hosts"]:
        host = state["hosts"][name]
        # The configuration store forgets a member after its ttl.
        if not host["runs"] and host.get("forgotten"):
            continue
        yield {
            "Cluster": cluster.get("scope", "demo"),
            "Member": host.get("member", name),
            "Host": host.get("address", name),
            "Role": host["role"],
            "State": host["state"] if host["runs"] else "stopped",
            **host.get("row", {}),
        }


def patronictl(state, command, *arguments):
    cluster = cluster_of(state, HOST)
    me = state["hosts"][HOST]
    if me.get("store_down"):
        return 1, "Traceback (most recent call last):\n  File x\nEtcdException: no etcd answers\n"
    if command == "list":
        return 0, json.dumps(list(rows(state, cluster)))
    if command in ("pause", "resume"):
        state["log"].append([command, HOST])
        # Somebody else was quicker.
        cluster["paused"] = cluster["paused"] or me.get("paused_meanwhile", False)
        leader = next(name for name in cluster["hosts"] if state["hosts"][name]["role"] == "Leader")
        if command == "resume" and not state["hosts"][leader]["runs"]:
            state["harm"].append(f"the cluster of {leader} was resumed while its Patroni was down")
        if cluster["paused"] == (command == "pause"):
            return 1, f"Error: Cluster is {'already' if cluster['paused'] else 'not'} paused\n"
        cluster["paused"] = command == "pause"
        sent = f"'{command}' request sent, waiting until it is recognized by all nodes\n"
        if command == me.get("slow_to"):
            return 0, f"{sent}{HOST} members didn't recognized pause state after 10 seconds\n"
        return 0, f"{sent}Success: done\n"
    if command == "version":
        asked = next(name for name in cluster["hosts"] if state["hosts"][name].get("member", name) == arguments[1])
        runs = state["hosts"][asked]["runs"]
        return 0, f"{arguments[1]}: Patroni {runs} PostgreSQL 15\n" if runs else f"{arguments[1]}: failed\n"
    raise SystemExit(f"what is patronictl {command}?")


def ask(state):
    me = state["hosts"][HOST]
    found = {"name": me.get("member", HOST), "scope": "demo"}
    if me["runs"]:
        paused = cluster_of(state, HOST)["paused"] and not me.get("unaware")
        found["patroni"] = {"patroni": {"version": me["runs"]}, "state": "running", "pause": paused}
    else:
        found["silence"] = "connection refused"
    return 0, json.dumps(found)


def restart(state):
    me = state["hosts"][HOST]
    cluster = cluster_of(state, HOST)
    state["log"].append(["restart", HOST, me["installed"]])
    if not cluster["paused"] or me.get("unaware"):
        state["harm"].append(f"{HOST} was restarted in a cluster that is not paused")
    others = [name for name in cluster["hosts"] if name != HOST and not state["hosts"][name]["runs"]]
    if others:
        state["harm"].append(f"{HOST} was restarted while {others} were down")
    me["runs"] = None if me["installed"] in me.get("fails_with", []) else me["installed"]
    if me.get("lost_at_restart"):
        # See the stand-in for ssh.
        open(os.environ["FAKE_SITE"].replace("site.json", f"{HOST}.lost"), "w", encoding="utf-8").close()
    return (0, "") if me["runs"] else (1, "Job failed\n")


def install(state, wanted):
    """Answer as patroni_install does; an environment has the version that its path ends in."""
    me = state["hosts"][HOST]
    former = me["installed"]
    version = wanted["return_to"].rpartition("/")[2] if wanted["return_to"] else wanted["version"] or former
    if version in me.get("not_offered", []) and not wanted["check"]:
        return {"failed": True, "msg": f"the index offers no {version}"}
    kept = [one for one in (me["kept"] if version == former else [former, *me["kept"]]) if one != version][:1]
    if me["runs"] and me["runs"] not in (*kept, version):
        kept.append(me["runs"])
    if not wanted["check"]:
        # An environment that pipx made is not kept.
        me["installed"], me["kept"] = version, [one for one in kept if one not in me.get("made_by_pipx", [])]
        me["faults"] = me.pop("faults_later", me.get("faults", {}))
        if me.pop("paused_at_install", False):
            cluster_of(state, HOST)["paused"] = True
        me["store_down"] = me.get("store_down") or me.pop("store_down_after_install", False)
        if version != former:
            state["log"].append(["return" if wanted["return_to"] else "install", HOST, version])
    return {
        "changed": version != former,
        "previous_version": former,
        "version": version,
        "venv": "/venv",
        "bin_dir": "/bin_dir",
        "config_dir": wanted["config_dir"],
        "config_file": wanted["config_dir"] + "/patroni.yaml",
        "unit_path": "/etc/systemd/system/patroni.service",
        "kept": [{"version": one, "path": f"/generations/{one}"} for one in me["kept"]],
        "restart_required": bool(me["runs"]) and me["runs"] != version,
        "msg": f"Patroni would be installed (was {former})" if version != former else "nothing to do",
    }


def main(name, *argv):
    rc, text = 0, ""
    with site() as state:
        if name == "patroni_install":
            text = json.dumps(install(state, json.loads(argv[0])))
        elif name == "runuser":
            _user, _dashes, program, *rest = argv
            if program.endswith("/patronictl"):
                rc, text = patronictl(state, *rest[1:])
            elif program.endswith("/python"):
                rc, text = ask(state)
            else:
                faults = state["hosts"][HOST].get("faults", {}).get(program.partition("/bin/")[0], [])
                rc, text = int(bool(faults)), "".join(f"{fault}\n" for fault in faults)
        elif name == "systemctl" and argv[0] == "show":
            known = {"KillMode": "process", "ActiveState": "active", **state["hosts"][HOST].get("service", {})}
            text = known[argv[1].partition("=")[2]] + "\n"
        elif name == "systemctl" and argv[0] == "restart":
            rc, text = restart(state)
        elif name == "journalctl":
            text = "Started.\nTraceback (most recent call last):\n  File x\nImportError: no module\n"
    print(text, end="", file=sys.stderr if rc else sys.stdout)
    return rc


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
