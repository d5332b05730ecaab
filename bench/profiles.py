# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where it goes: the tasks of a re-run, the programs of an installation, the parts of the payload. One run each."""

from __future__ import annotations

import ast
import base64
import io
import re
import typing as t
import zipfile
import zlib
from collections import Counter
from pathlib import PurePosixPath

from cases import PLAYS, TRACED, payload
from commands import BARE_INSTALL, BARE_UPGRADE, NEW
from controller import Controller, measure
from images import Images
from lab import Lab
from programs import STRACE, read_programs
from results import Results

_TASK = re.compile(r"^(.*?) -{3,} ([\d.]+)s$", re.MULTILINE)
_ARCHIVE = re.compile(r"[A-Za-z0-9+/]{1000,}=*")


def profile(lab: Lab, results: Results, images: Images) -> None:
    _tasks(lab, results, images)
    for subject, start, bare in (
        ("installation", (images.warm, images.warm), BARE_INSTALL),
        ("upgrade", (images.old_role, images.old_pipx), BARE_UPGRADE),
    ):
        host = lab.boot(start[0])
        controller = Controller(lab, [host])
        controller.play("role.yml", changed=True, patroni_version=NEW, **TRACED)
        results.profile[f"{subject} by the role"] = _rows(host.trace())
        lab.remove(host)
        host = lab.boot(start[1])
        host.shell(f"cat > /run/bare <<'END'\nset -e\n{bare}\nEND")
        measure(host.ssh(f"{STRACE} bash /run/bare"))
        results.profile[f"{subject} by bare commands"] = _rows(host.trace())
        lab.remove(host)


def _parts(sent: str) -> dict[str, list[int]]:
    """Divide a payload into the files of the collection and those of ansible-core.

    Returns:
        The compressed bytes of each part, and those of its code alone.
    """
    (archive,) = _ARCHIVE.findall(sent)
    parts: Counter[str] = Counter()
    alone: Counter[str] = Counter()
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(archive))) as files:
        for file in files.infolist():
            name = PurePosixPath(file.filename).name if "/pgedge/" in file.filename else "ansible-core"
            parts[name] += file.compress_size
            alone[name] += len(zlib.compress(_code_alone(files.read(file)).encode()))
    return {name: [size, alone[name]] for name, size in parts.most_common()}


def _code_alone(source: bytes) -> str:
    """Leave out comments, docstrings and what ansible-doc reads."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    tree.body = [node for node in tree.body if not _is_documentation(node)]
    return ast.unparse(tree)


def _is_documentation(node: ast.stmt) -> bool:
    names = [target.id for target in getattr(node, "targets", []) if isinstance(target, ast.Name)]
    return names in (["DOCUMENTATION"], ["EXAMPLES"], ["RETURN"])


def _rows(trace: str) -> list[list[t.Any]]:
    return [[program.words, round(program.begin, 3), round(program.seconds, 3)] for program in read_programs(trace)]


def _tasks(lab: Lab, results: Results, images: Images) -> None:
    """Divide a re-run into its tasks, as Ansible counts them, and what comes before and after."""
    host = lab.boot(images.role)
    controller = Controller(lab, [host])
    controller.play("ping.yml", changed=False)
    for name, playbook in PLAYS.items():
        run = controller.play(
            playbook, changed=False, settings={"ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.profile_tasks"}
        )
        tasks = [(title.strip(), float(seconds)) for title, seconds in _TASK.findall(run.output)]
        rest = run.seconds - sum(seconds for _title, seconds in tasks)
        rows = [("ansible-playbook, outside of tasks", rest), *tasks]
        results.profile[f"re-run, {name}"] = [[title, 0.0, round(seconds, 3)] for title, seconds in rows]
    results.payload = _parts(payload(controller, host, "role.yml"))
    lab.remove(host)
