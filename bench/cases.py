# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The comparisons: what is measured against what, on which hosts, and what each run must have done."""

from __future__ import annotations

import typing as t

from commands import NEW, REQUIREMENT
from controller import Controller, Run, measure
from images import Images
from lab import HOME, MEASURED_PYTHON, TRACED_PYTHON, BenchError, Host, Lab
from programs import read_programs
from results import Candidate, Results, in_turns

# Runs a script in a host below the interpreter that measures, as the module is run.
_SCRIPT = "/opt/script"
_TIMED = f"""cd /; {MEASURED_PYTHON} -c 'import subprocess; subprocess.run(["bash", "{_SCRIPT}"], check=True)'"""
MEASURED: dict[str, t.Any] = {"ansible_python_interpreter": MEASURED_PYTHON}
TRACED: dict[str, t.Any] = {"ansible_python_interpreter": TRACED_PYTHON}
# Hosts that a fleet of any size is spread over.
_FLEET_HOSTS = 4
PLAYS = {"ping": "ping.yml", "module": "module.yml", "role, unvalidated": "unvalidated.yml", "role": "role.yml"}


def rerun(lab: Lab, results: Results, images: Images, rounds: int) -> None:
    """Run again what has nothing to do."""
    with_role, with_tasks = lab.boot(images.role), lab.boot(images.tasks)
    role, tasks = Controller(lab, [with_role]), Controller(lab, [with_tasks])

    def play(controller: Controller, playbook: str, **variables: t.Any) -> Candidate:
        return lambda: {"seconds": controller.play(playbook, changed=False, **variables).seconds}

    version = {"patroni_version": NEW}
    candidates = {
        **{name: play(role, playbook) for name, playbook in PLAYS.items()},
        "tasks": play(tasks, "tasks.yml", **version),
        "tasks, skipping": play(tasks, "tasks.yml", skip_installed=True, **version),
    }
    for candidate in candidates.values():
        # Opens the connections.
        candidate()
    in_turns(results, "rerun", candidates, rounds)
    for host in (with_role, with_tasks):
        host.works(NEW)
        lab.remove(host)


def change(lab: Lab, results: Results, case: str, images: t.Mapping[str, str], bare: str, rounds: int) -> None:
    """Change a host with the role and with bare commands, each round on new hosts from the same images.

    Two times are taken of each: as seen from this machine, of the whole play or of ssh, and on the host alone.

    Args:
        images: what "role" and "bare commands" start from.
    """

    def by_role() -> dict[str, float]:
        host = lab.boot(images["role"])
        controller = Controller(lab, [host])
        controller.play("ping.yml", changed=False)
        run = controller.play("role.yml", changed=True, patroni_version=NEW, **MEASURED)
        on_host = host.usage()
        host.works(NEW)
        controller.play("role.yml", changed=False, patroni_version=NEW)
        lab.remove(host)
        return _both_sides(run, on_host)

    def by_commands() -> dict[str, float]:
        host = lab.boot(images["bare commands"])
        host.shell(f"cat > {_SCRIPT} <<'END'\nset -e\n{bare}\nEND")
        run = measure(host.ssh(_TIMED))
        on_host = host.usage()
        host.works(NEW)
        lab.remove(host)
        return _both_sides(run, on_host)

    in_turns(results, case, {"bare commands": by_commands, "role": by_role}, rounds)


def _both_sides(run: Run, on_host: t.Mapping[str, float]) -> dict[str, float]:
    return {
        "seconds": run.seconds,
        "on_host_seconds": on_host["seconds"],
        "on_host_cpu_seconds": on_host["cpu_seconds"],
    }


def savings(lab: Lab, results: Results, images: Images, rounds: int) -> None:
    """Take out of `pipx install`, one by one, what may be waste; each time into an empty directory of one host.

    What pip cached goes too: it builds source packages only once.
    """
    host = lab.boot(images.warm)
    host.shell(f"apt-get install --yes --no-install-recommends pipx; {_NEWER_PIPX}; {_BUILD_WHEELS}")

    def variant(before: str = "", environment: str = "", after: str = "", pipx: str = "pipx") -> Candidate:
        script = (
            f"set -e; cd {HOME}; rm -rf s .cache; export HOME={HOME} PIPX_HOME={HOME}/s "
            f"PIPX_BIN_DIR={HOME}/s/bin PIPX_DEFAULT_BACKEND=pip {environment}\n"
            f"{before}\n{pipx} install '{REQUIREMENT}=={NEW}'\n{after}\n"
        )

        def run() -> dict[str, float]:
            host.shell(f"cat > {_SCRIPT} <<'END'\n{script}END")
            host.shell(_TIMED, user="postgres")
            if host.shell(f"{HOME}/s/bin/patroni --version", user="postgres").split()[-1] != NEW:
                raise BenchError(f"{script}: it does not work")
            return {"on_host_seconds": (used := host.usage())["seconds"], "on_host_cpu_seconds": used["cpu_seconds"]}

        return run

    shared = (
        f"python3 -m venv --without-pip {HOME}/s/shared\n{HOME}/s/shared/bin/python $(ls {_WHEEL_OF_PIP})/pip install"
    )
    compiled, uncompiled = (f"{shared} --quiet {option} pip setuptools wheel" for option in ("", "--no-compile"))
    compile_all = f"python3 -m compileall -q -j 0 {HOME}/s/venvs/patroni/lib"
    with_uv = f"PIPX_DEFAULT_BACKEND=uv UV_NO_CACHE=1 UV_DEFAULT_INDEX=$({_INDEX}) PATH={_NEWER}:$PATH"
    in_turns(
        results,
        "savings",
        {
            "pipx install": variant(),
            "shared libraries by the wheel": variant(compiled),
            "as the module": variant(uncompiled),
            "as the module, nothing compiled": variant(uncompiled, environment="PIP_NO_COMPILE=1"),
            "as the module, compiled on all cores": variant(
                uncompiled, environment="PIP_NO_COMPILE=1", after=compile_all
            ),
            "as the module, sources built": variant(uncompiled, environment=f"PIP_FIND_LINKS={_WHEELS}"),
            "pipx 1.18.4": variant(pipx=f"{_NEWER}/pipx"),
            "pipx 1.18.4 with uv": variant(environment=with_uv, pipx=f"{_NEWER}/pipx"),
        },
        rounds,
    )
    lab.remove(host)


OTHER_TOOLS = ("pipx==1.18.4", "uv==0.13.9")
_NEWER = "/opt/newer/bin"
_NEWER_PIPX = f"python3 -m venv /opt/newer && {_NEWER}/pip install --quiet {' '.join(OTHER_TOOLS)}"
_WHEEL_OF_PIP = "/usr/share/python-wheels/pip-*.whl"
_WHEELS = "/opt/wheels"
_BUILD_WHEELS = f"{_NEWER}/pip wheel --quiet --use-pep517 --no-deps --wheel-dir {_WHEELS} 'python-etcd<0.5' 'ydiff<1.5'"
_INDEX = "sed -n 's/^index-url = //p' /etc/pip.conf"


def fleet(
    lab: Lab,
    results: Results,
    images: Images,
    rounds: int,
    plays: t.Mapping[str, str],
    sizes: t.Sequence[int],
    forks: t.Sequence[int],
) -> None:
    """Run again on many inventory names, which lead to a few hosts; the controller's work is the same."""
    hosts = [lab.boot(images.role) for _number in range(min(max(sizes), _FLEET_HOSTS))]
    for size in sizes:
        controller = Controller(lab, hosts, names=size)
        # Opens the connections.
        controller.play("ping.yml", "--forks=10", changed=False)
        for number in forks:
            limit = f"--forks={number}"
            candidates = {
                **{name: _fleet_run(controller, playbook, limit) for name, playbook in plays.items()},
                "role, check mode": _fleet_run(controller, "role.yml", limit, "--check"),
            }
            in_turns(results, f"fleet of {size}, forks {number}", candidates, rounds)
        controller.disconnect()
    for host in hosts:
        host.works(NEW)
        lab.remove(host)


def _fleet_run(controller: Controller, playbook: str, *options: str) -> Candidate:
    def run() -> dict[str, float]:
        done = controller.play(playbook, *options, changed=False)
        return {"seconds": done.seconds, "cpu_seconds": done.cpu_seconds, "peak_mib": done.peak_kib / 1024}

    return run


def cost(lab: Lab, results: Results, images: Images, rounds: int, plays: t.Mapping[str, str]) -> None:
    """Take apart what one run without change costs a host and the controller."""
    host = lab.boot(images.role)
    controller = Controller(lab, [host])
    for name, playbook in plays.items():
        controller.play(playbook, changed=False)
        results.add("cost", name, {"payload_bytes": len(payload(controller, host, playbook))})

    def spent(playbook: str) -> Candidate:
        def run() -> dict[str, float]:
            plain = controller.play(playbook, changed=False)
            controller.play(playbook, changed=False, **MEASURED)
            on_host = host.usage()
            controller.play(playbook, changed=False, **TRACED)
            return {
                "programs": len(read_programs(host.trace())),
                "host_cpu_seconds": on_host["cpu_seconds"],
                "host_peak_mib": on_host["peak_kib"] / 1024,
                "controller_cpu_seconds": plain.cpu_seconds,
                "controller_peak_mib": plain.peak_kib / 1024,
            }

        return run

    in_turns(results, "cost", {name: spent(playbook) for name, playbook in plays.items()}, rounds)
    lab.remove(host)


def payload(controller: Controller, host: Host, playbook: str) -> str:
    """Get what Ansible sends, by keeping what it would else pipe into Python."""
    host.shell("rm -rf /home/deploy/.ansible /root/.ansible")
    controller.play(playbook, changed=False, settings={"ANSIBLE_KEEP_REMOTE_FILES": "1", "ANSIBLE_PIPELINING": "0"})
    sent = host.shell("find /root /home/deploy -name 'AnsiballZ_*.py'").split()
    if len(sent) != 1:
        raise BenchError(f"{playbook}: {len(sent)} payloads were sent, not one")
    return host.shell(f"cat {sent[0]}")
