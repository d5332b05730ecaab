# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A package index on this machine, with what the index offers now and the installations need."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import socket
import subprocess
import tempfile
import typing as t
from pathlib import Path

from commands import REQUIREMENT
from lab import BIN, BUILD, Host, Lab, call, wait


def requirements(version: str, *more: str) -> list[str]:
    """What is installed, with what pipx itself and the building of source packages take; each for one download."""
    return [f"'{REQUIREMENT}=={version}'", "pip setuptools wheel", *more]


def fill(host: Host, wanted: t.Sequence[str]) -> Path:
    """Download, with the host's own Python and pip, the files that installing each requirement takes; once.

    Source packages stay what they are on the index, with what building them takes.
    """
    python = host.shell("python3 -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])'").strip()
    folder = BUILD / f"packages-{python}-{hashlib.sha256(repr(wanted).encode()).hexdigest()[:8]}"
    if folder.is_dir():
        return folder
    script = "apt-get install --yes --no-install-recommends python3-venv\ncd $(mktemp -d)\npython3 -m venv venv\n"
    script += "venv/bin/pip install --quiet --upgrade pip\n"
    for requirement in dict.fromkeys(wanted):
        script += f"venv/bin/pip download --quiet --prefer-binary --dest /opt/packages {requirement}\n"
    host.shell(script)
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as temporary:
        call("docker", "cp", f"{host.container}:/opt/packages", temporary)
        shutil.move(f"{temporary}/packages", folder)
    return folder


@contextlib.contextmanager
def served(lab: Lab, folder: Path) -> t.Iterator[str]:
    """Serve a directory as an index to the hosts, and yield its URL."""
    with socket.socket() as probe:
        probe.bind((lab.gateway, 0))
        port = probe.getsockname()[1]
    options = ["--port", str(port), "--interface", lab.gateway, "--disable-fallback", "--backend", "simple-dir"]
    with open(lab.folder / "index.log", "w", encoding="utf-8") as log:
        server = subprocess.Popen(
            [BIN / "pypi-server", "run", *options, folder], stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        wait("the index to answer", lambda: _answers(lab.gateway, port))
        yield f"http://{lab.gateway}:{port}/simple/"
    finally:
        server.terminate()
        server.wait(timeout=30)


def _answers(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=1):
        return True
    return False


def use(host: Host, url: str) -> None:
    """Let pip on a host ask the index, and keep there the Debian packages that an installation takes."""
    address = url.partition("//")[2].partition(":")[0]
    host.shell(
        f"printf '[global]\\nindex-url = {url}\\ntrusted-host = {address}\\n' > /etc/pip.conf\n"
        "apt-get install --yes --no-install-recommends --download-only pipx"
    )
