# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module on a simulated machine: package sources, their credentials, and the variables that programs inherit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.pgedge.platform.tests.unit.plugins.machine import Call
from ansible_collections.pgedge.platform.tests.unit.plugins.modules.calls import (
    APT_CACHE,
    ask_interpreter,
    ask_pip,
    assert_installed,
    debian_from_nothing,
    first_installation,
    first_steps,
    pipx_version,
    redhat_from_nothing,
    show,
    steps,
)

NETWORK = {"https_proxy": "http://proxy.example.org:3128", "NO_PROXY": "localhost", "SSL_CERT_FILE": "/etc/pki/ca.crt"}
OF_PIP = {"PIP_EXTRA_INDEX_URL": "https://example.org/simple", "PIP_CERT": "/etc/pki/ca.crt", "NETRC": "/etc/netrc"}
OF_THE_TASK = {**NETWORK, **OF_PIP, "PIP_CACHE_DIR": "/var/tmp/cache", "TMPDIR": "/var/tmp/big"}


@pytest.mark.parametrize(
    ("family", "script", "inherited"),
    [
        ("debian", debian_from_nothing, {"apt-get install": NETWORK, "pipx install": OF_THE_TASK}),
        (
            "redhat",
            redhat_from_nothing,
            {"dnf install": NETWORK, "python3.11 install": {**NETWORK, **OF_PIP}, "pipx install": OF_THE_TASK},
        ),
    ],
)
def test_variables_of_the_task_reach_the_programs_that_need_them(make_machine, monkeypatch, family, script, inherited):
    """Those that no program may get are in the session of every test (SESSION of the machine)."""
    machine = make_machine(family)
    machine.know_packages()
    for name, value in OF_THE_TASK.items():
        monkeypatch.setenv(name, value)
    calls = []
    for call in script(machine):
        more = inherited.get(f"{os.path.basename(call.argv[0])} install", {}) if "install" in call.argv else {}
        calls.append(call._replace(variables={**call.variables, **more}))

    machine.run(*calls)


def python_version(python, version):
    return Call([str(python), "-c", "import sys; print(*sys.version_info[:2])"], out=f"{version}\n", as_account=True)


@pytest.mark.parametrize("check", [True, False])
def test_token_without_a_password_that_the_python_of_pipx_cannot_read(machine, check):
    """Otherwise every download would be refused, after all retries."""
    pipx = machine.tool("pipx")
    Path(pipx).write_text("#! /usr/bin/python3.9 -s\n", "utf-8")
    before = machine.tree()

    result = machine.run(
        show(),
        pipx_version(pipx),
        python_version("/usr/bin/python3.9", "3 9"),
        check=check,
        fails=True,
        index_url="https://t0ken@example.org/simple",
    )

    assert "unless the Python is 3.11 or newer; /usr/bin/python3.9 is 3.9" in result["msg"]
    assert result["steps"] == []
    assert machine.tree() == before


def test_token_without_a_password_that_the_chosen_python_cannot_read(machine):
    pipx = machine.tool("pipx")
    Path(pipx).write_text("#! /usr/bin/python3.11 -s\n", "utf-8")
    old = machine.tool("python3.10")
    asked = [python_version("/usr/bin/python3.11", "3 11"), python_version(old, "3 10")]
    calls = [show(), ask_interpreter(old, old), pipx_version(pipx), *asked]

    result = machine.run(*calls, fails=True, python="python3.10", index_url="https://t0ken@example.org/simple")

    assert f"{old} is 3.10" in result["msg"]


@pytest.mark.parametrize("family", ["debian", "redhat"])
def test_token_without_a_password_before_pipx_is_there(make_machine, family):
    machine = make_machine(family)
    machine.know_packages()
    debian = family == "debian"
    python = machine.tool("python3") if debian else machine.interpreter

    result = machine.run(
        show(),
        Call(APT_CACHE) if debian else ask_pip(python),
        python_version(python, "3 9"),
        fails=True,
        index_url="https://t0ken@example.org/simple",
    )

    assert f"{python} is 3.9" in result["msg"]


def test_token_without_a_password_for_a_python_that_can_read_it(machine):
    pipx = machine.tool("pipx")
    python = machine.tool("python3")

    result = machine.run(
        show(),
        pipx_version(pipx),
        python_version(python, "3 11"),
        check=True,
        index_url="https://t0ken@example.org/simple",
    )

    assert steps(result) == first_steps(machine)


def test_sources_reach_pip_and_their_credentials_are_told_to_nobody(machine):
    machine.tool("pipx")
    url = "https://me:s3cret@example.org/simple"
    calls = first_installation(machine)
    given = calls[3]._replace(
        rc=1,
        err=f"ERROR: 403 Client Error for url: {url}\n",
        effect=None,
        variables={
            **calls[3].variables,
            "PIP_INDEX_URL": "https://example.org/simple",
            "NETRC": f"{machine.generation(1)}/netrc",
        },
    )

    result = machine.run(*calls[:3], given, fails=True, index_url=url)

    assert "403 Client Error" in result["stderr"]
    assert "403 Client Error" in str(machine.logged)
    assert "s3cret" not in machine.shown(result)
    assert "s3cret" not in str(machine.logged)


@pytest.mark.parametrize("folder", ["{home}/wheels", "{base}/srv/wheels"])
def test_wheelhouse_serves_root_only_where_the_account_cannot_change_it(make_machine, folder):
    machine = make_machine("redhat")
    wheels = folder.format(home=machine.home, base=machine.base)
    os.makedirs(wheels)
    own = wheels.startswith(machine.home)

    asked = ask_pip(machine.interpreter)
    result = machine.run(show(), asked, check=True, fails=own, find_links=[wheels], no_index=True)

    if own:
        assert result["msg"].startswith(
            f"find_links, constraints: postgres can change {wheels}, and root would install"
        )
    else:
        assert steps(result)[:2] == [("install_packages", "python3-pip"), ("install_pipx", "pipx")]


def test_directory_of_wheels_is_not_secret(machine):
    result = machine.run(show(), Call(APT_CACHE), check=True, find_links=[machine.home])

    assert result["venv"] == machine.pointer


def test_credentials_of_a_bad_option_are_told_to_nobody(machine):
    result = machine.run(fails=True, index_url="https://me:s3cret@example.org/simple", retries=-1)

    assert "s3cret" not in machine.shown(result)


def test_umask_of_the_caller_does_not_matter(machine):
    os.umask(0o077)
    machine.tool("pipx")

    machine.run(*first_installation(machine))

    assert_installed(machine)
