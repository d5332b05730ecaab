# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Constraints with hashes: the pip that takes them, what pip and pipx get, and refusals before anything changes."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from ansible_collections.pgedge.platform.tests.unit.plugins.machine import Call
from ansible_collections.pgedge.platform.tests.unit.plugins.modules.calls import (
    WANTED,
    ask_pip,
    failing,
    first_installation,
    pipx_variables,
    pipx_version,
    redhat_from_nothing,
    share_pip,
    show,
    shown,
    steps,
)

PIP = "pip==26.3 --hash=sha256:" + 64 * "1"
PATRONI = "patroni==4.1.5 --hash=sha256:" + 64 * "2"


@pytest.fixture
def hashed(machine):
    """A machine with pipx and a constraints file with hashes."""
    machine.tool("pipx")
    Path(machine.base, "usr/bin/pipx").write_text(f"#!{machine.interpreter}\n", "utf-8")
    return constraints(machine, PIP, PATRONI)


def constraints(machine, *lines):
    file = Path(machine.base, "c.txt")
    file.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return str(file)


def installation(machine, file, *, required=True, missing=True, seen=None):
    """The calls of a first installation."""
    extra = {"PIP_REQUIRE_HASHES": "1", "PIP_BUILD_CONSTRAINT": file} if required else {}
    variables = {**pipx_variables(machine), **extra, "PIP_CONSTRAINT": file}
    shared, lines = f"{machine.pipx_home}/shared", f"{machine.pipx_home}/patroni/1/pip.txt"
    make = Call(
        [str(machine.interpreter), "-I", "-m", "venv", shared],
        as_account=True,
        effect=lambda: share_pip(machine),
    )
    bring = Call(
        [
            *(f"{shared}/bin/python", "-m", "pip", "install", "--quiet", "--no-compile", "--no-deps"),
            *("--require-hashes", "--requirement", lines),
        ],
        variables={**variables, "PIP_CONSTRAINT": "/dev/null", "PIP_BUILD_CONSTRAINT": "/dev/null"},
        as_account=True,
        effect=lambda: seen.append(Path(lines).read_text("utf-8")) if seen is not None else None,
    )
    calls = first_installation(machine, wanted=f"{WANTED}==4.1.5")
    calls[3] = calls[3]._replace(variables=variables)
    return [*calls[:3], *([make] if missing else []), bring, *calls[3:]]


@pytest.mark.parametrize("required", [True, False], ids=["required", "in the constraints"])
def test_the_pip_that_takes_hashes_comes_first_and_is_checked_itself(machine, hashed, required):
    seen = []
    result = machine.run(
        *installation(machine, hashed, required=required, seen=seen), constraints=hashed, require_hashes=required
    )

    assert seen == [f"{PIP}\n"]
    assert result["version"] == "4.1.5"
    assert not os.path.lexists(f"{machine.generation(1)}/pip.txt")


def test_the_pip_of_pipx_is_brought_up_to_date_where_it_is(machine, hashed):
    share_pip(machine)

    machine.run(*installation(machine, hashed, missing=False), constraints=hashed, require_hashes=True)


def test_a_pip_with_another_hash_is_not_used(machine, hashed):
    refused = "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. ...\n    pip==26.3 from "
    refused += "https://index.example.com/pip-26.3-py3-none-any.whl#sha256=11 (from -r pip.txt (line 1)):\n"
    calls = failing(installation(machine, hashed), 4, err=refused)

    result = machine.run(*calls, fails=True, constraints=hashed, require_hashes=True)

    assert result["msg"] == (
        "python ended with code 1: pip-26.3-py3-none-any.whl, which was offered for pip==26.3, does not match a hash "
        "in the constraints"
    )
    assert not os.path.lexists(machine.pointer)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([PIP], "{file} must pin patroni with == and a hash"),
        ([PATRONI, "pip==26.3"], "{file} must pin pip with == and a hash"),
        ([PATRONI, "pip>=26.3 --hash=sha256:00"], "{file} must pin pip with == and a hash"),
        ([PATRONI, "pip==26.0.1 --hash=sha256:00"], "{file} pins pip to 26.0.1, but only 26.1 and newer take hashes"),
    ],
    ids=["no Patroni", "no hash of pip", "no version of pip", "an older pip"],
)
@pytest.mark.parametrize("check", [False, True], ids=["run", "check mode"])
def test_constraints_that_cannot_be_enough_are_refused_before_anything_changes(machine, hashed, check, lines, message):
    file = constraints(machine, *lines)
    before = machine.tree()
    looks = show(), pipx_version(f"{machine.base}/usr/bin/pipx")

    result = machine.run(*looks, fails=True, check=check, constraints=file, require_hashes=True)

    assert f"require_hashes: {message.format(file=file)}" in result["msg"]
    assert machine.tree() == before


def test_an_old_python_of_pipx_is_refused(machine, hashed):
    old = Path(machine.base, "usr/bin/python3.9")
    old.write_text("", "utf-8")
    Path(machine.base, "usr/bin/pipx").write_text(f"#!{old}\n", "utf-8")
    looks = show(), pipx_version(f"{machine.base}/usr/bin/pipx")

    result = machine.run(*looks, fails=True, constraints=hashed, require_hashes=True)

    assert "require_hashes: pipx runs with Python 3.9, " in result["msg"]
    assert "3.10 or newer, and name it in pipx_executable" in result["msg"]


def test_the_redhat_family_needs_a_pipx(make_machine):
    redhat = make_machine("redhat")
    file = constraints(redhat, PIP, PATRONI)

    asked = ask_pip(redhat.interpreter)
    result = redhat.run(show(), asked, fails=True, constraints=file, require_hashes=True)

    assert result["msg"].startswith("require_hashes: there is no pipx, and pip would install it without checking")


def test_the_system_pip_gets_the_constraints_without_hashes(make_machine):
    redhat = make_machine("redhat")
    seen, plain = [], f"{redhat.temporary}/constraints.txt"
    file = constraints(redhat, "click==8.1.8 --hash=sha256:00", "tomli<3; python_version < '3.11' --hash=sha256:00")
    calls = redhat_from_nothing(redhat)
    install_pipx = calls[4].effect

    def read():
        seen.append(Path(plain).read_text("utf-8"))
        install_pipx()

    calls[4] = calls[4]._replace(variables={**calls[4].variables, "PIP_CONSTRAINT": plain}, effect=read)
    calls[6] = calls[6]._replace(variables={**calls[6].variables, "PIP_CONSTRAINT": file})

    redhat.run(*calls, constraints=file)

    assert seen == ["click==8.1.8\ntomli<3 ; python_version < '3.11'\n"]


def test_a_version_to_return_to_that_is_not_kept_is_not_built_without_hashes(installed):
    file = constraints(installed, PIP, PATRONI)
    looks = shown(installed), pipx_version(f"{installed.base}/usr/bin/pipx")

    result = installed.run(*looks, fails=True, constraints=file, require_hashes=True, return_to="4.0.11")

    assert result["msg"] == (
        "return_to: 4.0.11 is not kept on this host, and require_hashes does not allow building it without "
        "constraints; set version, and constraints with its hashes, instead"
    )


def test_check_mode_without_the_account_does_not_read_the_constraints(machine, hashed, monkeypatch):
    monkeypatch.setattr(pwd, "getpwnam", {}.__getitem__)

    result = machine.run(show(), check=True, constraints=hashed, require_hashes=True)

    assert ("build_environment", WANTED) in steps(result)


def test_hashes_need_constraints(machine):
    result = machine.run(fails=True, require_hashes=True)

    assert result["msg"] == "require_hashes: requires constraints, the file with the hashes"


@pytest.mark.parametrize("options", [{"state": "latest"}, {"version": "4.1.6"}], ids=["latest", "version"])
def test_no_index_is_asked_by_a_pip_that_does_not_take_hashes(installed, options):
    pipx = Path(installed.base, "usr/bin/pipx")
    pipx.write_text(f"#!{installed.interpreter}\n", "utf-8")
    file = constraints(installed, PIP, PATRONI.replace("4.1.5", "4.1.6"))

    result = installed.run(
        shown(installed), pipx_version(str(pipx)), check=True, constraints=file, require_hashes=True, **options
    )

    assert steps(result)[0] == ("build_environment", f"{WANTED}==4.1.6")
