# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw the pictures of terminals in docs/images from real runs. `make pictures` calls it, with the collection built.

preview.svg       the preview of docs/install.md, for this machine, which it does not change
second-run.svg    a second run, after an installation without root in a temporary directory
site-upgrade.svg  the end of an upgrade of two clusters, which `make cluster-test` records

A picture that cannot be drawn here stays as it is, and is named.
"""

from __future__ import annotations

import io
import os
import pwd
import re
import shlex
import subprocess
import sys
import tempfile
import typing as t
from pathlib import Path

import yaml
from rich.console import Console
from rich.text import Text

CHECKOUT = Path(__file__).resolve().parents[2]
IMAGES = CHECKOUT / "docs" / "images"
RECORDING = CHECKOUT / ".build" / "recordings" / "site-upgrade.ansi"
HOST = "pg1.example.com"
# Rich's own format loads a font from the network.
SVG = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" xml:space="preserve">
<style>
.{unique_id}-matrix {{
  font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: {char_height}px;
  line-height: {line_height}px;
}}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


class NotDrawnError(Exception):
    """This machine cannot draw the picture; the message says why."""


def documented(heading: str, language: str) -> str:
    """The first example of a language below a heading of docs/install.md."""
    section = (CHECKOUT / "docs" / "install.md").read_text("utf-8").partition(f"\n## {heading}\n")[2]
    found = re.search(rf"^```{language}\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    if found is None:
        sys.exit(f"docs/install.md: no {language} example below {heading}")
    return found[1].removeprefix("$ ")


def record(example: str, directory: Path, variables: dict[str, t.Any], *prefix: str) -> str:
    """Run a command of the page against one host, which is this machine, and return it with its colored output."""
    command = documented(example, "console").strip()
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "is_ha_cluster": True}
    inventory = {"pgedge": {"hosts": {HOST: None}, "vars": {**here, **variables}}}
    (directory / "hosts.yml").write_text(yaml.safe_dump(inventory), "utf-8")
    (directory / "patroni.yml").write_text(documented("Write a playbook", "yaml"), "utf-8")
    environment = {
        **os.environ,
        "ANSIBLE_FORCE_COLOR": "1",
        "ANSIBLE_HOME": str(directory / "ansible"),
        "HOME": str(directory),
        # A host has no pipx of a virtual environment.
        "PATH": os.defpath,
        "PIP_CACHE_DIR": str(directory / "cache"),
    }
    program, *arguments = shlex.split(command)
    done = subprocess.run(
        [*prefix, str(Path(sys.executable).parent / program), *arguments],
        cwd=directory,
        env=environment,
        umask=0o022,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{command}\n{done.stdout}")
    return f"$ {command}\n{done.stdout}"


def database_account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        raise NotDrawnError("there is no account postgres on this machine") from None


def preview() -> str:
    database_account()
    if os.geteuid():
        raise NotDrawnError("only root can preview changes to system directories")
    with tempfile.TemporaryDirectory() as directory:
        return record("Preview", Path(directory), {})


def second_run() -> str:
    variables = yaml.safe_load((CHECKOUT / "demo" / "inventory.yml").read_text("utf-8"))["all"]["vars"]
    with tempfile.TemporaryDirectory() as directory:
        variables["demo_dir"] = directory
        prefix: tuple[str, ...] = ()
        if os.geteuid() == 0:
            # The role warns if Patroni would run as root, so root bears the name of the database account.
            account = database_account()
            prefix = ("unshare", f"--map-user={account.pw_uid}", f"--map-group={account.pw_gid}")
        record("Apply", Path(directory), variables, *prefix)
        return record("Apply", Path(directory), variables, *prefix)


def site_upgrade() -> str:
    if not RECORDING.exists():
        raise NotDrawnError(f"no {RECORDING.relative_to(CHECKOUT)}, which `make cluster-test` writes")
    command, _newline, output = RECORDING.read_text("utf-8").partition("\n")
    _before, table, end = output.rpartition("TASK [Show the members]")
    if not table:
        raise NotDrawnError("the recorded upgrade did not come to its table")
    return f"{command}\n...\n\n{table}{end}"


PICTURES = {"preview.svg": preview, "second-run.svg": second_run, "site-upgrade.svg": site_upgrade}


def draw(recorded: str) -> str:
    """Draw a terminal as wide as the longest line."""
    lines = Text.from_ansi(recorded.strip()).split()
    for line in lines:
        line.rstrip()
    width = max(line.cell_len for line in lines)
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for line in lines:
        console.print(line)
    return console.export_svg(title="", code_format=SVG)


def main() -> None:
    for name, recording in PICTURES.items():
        try:
            (IMAGES / name).write_text(draw(recording()), "utf-8")
        except NotDrawnError as reason:
            print(f"docs/images/{name}: not drawn, {reason}")


if __name__ == "__main__":
    main()
