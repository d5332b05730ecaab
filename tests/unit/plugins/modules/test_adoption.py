# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module on a simulated machine: units, packages and interpreters that somebody else set up."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from ansible_collections.pgedge.platform.tests.unit.plugins.environments import add_distribution
from ansible_collections.pgedge.platform.tests.unit.plugins.machine import Call
from ansible_collections.pgedge.platform.tests.unit.plugins.modules.calls import (
    ASK,
    RELOAD,
    WANTED,
    ask_interpreter,
    asks,
    first_installation,
    links,
    pipx_install,
    pipx_variables,
    pipx_version,
    share_pip,
    shown,
    steps,
    upgrade,
)

THEIRS = """\
[Unit]
Description=Patroni
[Service]
User=postgres
Group=postgres
Environment=PGPASSWORD=secret
LimitNOFILE=65536
ExecStart=-/usr/bin/env {bin_dir}/patroni {config}
KillMode=process
"""


@pytest.fixture
def adopted(installed):
    """A host whose unit and configuration somebody else made."""
    config = f"{installed.config_dir}/patroni.yml"
    Path(config).write_text("scope: x\n", "utf-8")
    Path(installed.unit_path).write_text(THEIRS.format(bin_dir=installed.bin_dir, config=config), "utf-8")
    return installed


def test_unit_of_somebody_else_keeps_its_configuration(adopted):
    config = f"{adopted.config_dir}/patroni.yml"

    planned = adopted.run(shown(adopted), check=True)
    result = adopted.run(shown(adopted), shown(adopted), RELOAD, shown(adopted))

    assert steps(result) == steps(planned) == [("write_unit", adopted.unit_path), ("reload_systemd", "systemd")]
    assert result["config_file"] == planned["config_file"] == config
    assert f' "{config}"\n' in Path(adopted.unit_path).read_text("utf-8")
    told = (
        f"{adopted.unit_path} was not written by this module and is replaced, without its settings "
        "Service.Environment, Service.LimitNOFILE, Service.ExecStart; "
        f"put those that you still need into {adopted.unit_path}.d/local.conf"
    )
    assert adopted.warnings == [told, told]
    assert adopted.run(shown(adopted))["changed"] is False


def test_config_file_comes_before_the_configuration_in_use(adopted):
    result = adopted.run(shown(adopted), shown(adopted), RELOAD, shown(adopted), config_file="patroni.yaml")

    assert result["config_file"] == f"{adopted.config_dir}/patroni.yaml"
    assert adopted.warnings[1:] == [
        f"the unit names the configuration {adopted.config_dir}/patroni.yaml, which does not exist; found instead: "
        f"{adopted.config_dir}/patroni.yml; set config_file to use one of these"
    ]


def test_configuration_in_use_that_is_gone(adopted):
    os.rename(f"{adopted.config_dir}/patroni.yml", f"{adopted.config_dir}/patroni.yaml")

    result = adopted.run(shown(adopted), shown(adopted), RELOAD, shown(adopted))

    assert result["config_file"] == f"{adopted.config_dir}/patroni.yaml"


def test_configuration_that_the_unit_does_not_tell(adopted):
    unit = Path(adopted.unit_path)
    unit.write_text(unit.read_text("utf-8").replace(f"{adopted.config_dir}/patroni.yml", "$CONFIG"), "utf-8")

    result = adopted.run(shown(adopted), check=True)

    assert result["config_file"] == f"{adopted.config_dir}/patroni.yaml"
    assert adopted.warnings[1] == (
        f"cannot tell from the command in {adopted.unit_path} which configuration Patroni uses, so the unit will name "
        f"{adopted.config_dir}/patroni.yaml; set config_file if it uses another one"
    )


def inject(machine, *wanted, number=2, **answers):
    return Call(
        [f"{machine.base}/usr/bin/pipx", "inject", "--force", "patroni", *wanted],
        variables=pipx_variables(machine, number),
        as_account=True,
        **answers,
    )


@pytest.fixture
def injected(installed):
    """A host on which somebody injected boto3."""
    record = Path(installed.built(1), "pipx_metadata.json")
    recorded = {**json.loads(record.read_text("utf-8")), "injected_packages": {"boto3": {"package_or_url": "boto3>1"}}}
    record.write_text(json.dumps(recorded), "utf-8")
    with installed.kernel.account_acts():
        add_distribution(Path(installed.built(1), "lib/python3.11/site-packages"), "boto3-1.4", {})
    os.symlink(f"{installed.pointer}/bin/jp.py", f"{installed.bin_dir}/jp.py")
    return installed


def test_injected_packages_move_along(injected):
    def effect():
        Path(injected.built(2), "bin", "jp.py").touch()

    planned = injected.run(
        shown(injected),
        pipx_version(f"{injected.base}/usr/bin/pipx"),
        asks(injected, share_pip(injected), f"{WANTED}==4.1.4", out="patroni-4.1.4"),
        check=True,
        version="4.1.4",
    )
    calls = upgrade(injected, "4.1.4")
    result = injected.run(*calls[:4], inject(injected, "boto3>1", effect=effect), *calls[4:], version="4.1.4")

    assert steps(result) == steps(planned)
    again = "(was 4.1.5), again with boto3>1"
    assert result["msg"] == f"Patroni 4.1.4 is installed in {injected.pointer} {again}"
    assert planned["msg"] == f"Patroni 4.1.4 would be installed in {injected.pointer} {again}"
    for told in (planned["diff"][0], result["diff"][0]):
        assert "injected: boto3>1\n" in told["before"]
        assert "injected: boto3>1\n" in told["after"]
    assert links(injected.bin_dir)["jp.py"] == f"{injected.pointer}/bin/jp.py"


def test_injected_package_that_cannot_be_installed_any_more(injected):
    calls = upgrade(injected, "4.1.4")
    said = "ERROR: No matching distribution found for boto3>1\n"

    result = injected.run(
        *calls[:4], inject(injected, "boto3>1", err=said, rc=1), fails=True, version="4.1.4", retries=0
    )

    assert result["msg"] == (
        "boto3>1, which somebody added to the environment in use, cannot be installed with "
        f"{WANTED}==4.1.4: ERROR: No matching distribution found for boto3>1; make it available, "
        "or remove it first, as postgres, with 'pip uninstall' in that environment"
    )
    assert os.readlink(injected.pointer) == injected.built(1)
    assert os.listdir(f"{injected.pipx_home}/patroni") == ["1"]


def test_injected_package_that_no_index_has_is_named(injected):
    record = Path(injected.built(1), "pipx_metadata.json")
    text = record.read_text("utf-8")
    record.write_text(text.replace("boto3>1", "/srv/boto3-1.4-py3-none-any.whl"), "utf-8")

    result = injected.run(*upgrade(injected, "4.1.4"), version="4.1.4")

    assert result["msg"] == f"Patroni 4.1.4 is installed in {injected.pointer} (was 4.1.5)"
    assert injected.warnings == [
        "boto3 in the old environment did not come from an index, so the new one does not have it; "
        "install it again if you still need it"
    ]


def replace_patroni(environment, version):
    """Have pip install another Patroni into an environment."""
    packages = Path(environment, "lib/python3.11/site-packages")
    for info in packages.glob("patroni-*.dist-info"):
        shutil.rmtree(str(info))
    entry_points = {f"patroni-{version}.dist-info/entry_points.txt": "[console_scripts]\npatroni = x\n"}
    add_distribution(packages, f"patroni-{version}", entry_points)


def test_injected_package_that_brings_another_patroni(injected):
    calls = upgrade(injected, "4.1.4")
    bring = inject(injected, "boto3>1", effect=lambda: replace_patroni(injected.built(2), "4.0.9"))

    result = injected.run(*calls[:4], bring, fails=True, version="4.1.4")

    assert result["msg"] == (
        "boto3>1, which somebody added to the environment in use, leads to Patroni 4.0.9 instead of "
        "4.1.4; remove it first, as postgres, with 'pip uninstall' in that environment"
    )
    assert os.readlink(injected.pointer) == injected.built(1)


SYSTEMD = {"extras": ["psycopg2-binary", "etcd", "systemd"]}


@pytest.mark.parametrize(("version", "kind"), [("4.1.4", "notify"), ("4.0.11", "simple")])
def test_unit_follows_a_change_of_version(installed, version, kind):
    """The unit is planned with the environment, and follows what became of it."""
    wanted = f"patroni[psycopg2-binary,etcd,systemd]=={version}"
    built = Path(installed.built(2), "lib/python3.11/site-packages")

    def make():
        installed.environment(installed.built(2), version=version)
        if kind == "notify":
            add_distribution(built, "systemd_python-235", {})

    calls = upgrade(installed, version)
    calls[3] = pipx_install(installed, 2, wanted, effect=make)
    changed = [RELOAD] if kind == "notify" else []
    result = installed.run(*calls[:7], *changed, *calls[7:], version=version, **SYSTEMD)

    if kind == "simple":
        assert installed.warnings == ["Patroni 4.0.11 does not have the extras systemd, so they are left out"]
    assert f"\nType={kind}\n" in Path(installed.unit_path).read_text("utf-8")
    assert (("write_unit", installed.unit_path) in steps(result)) is (kind == "notify")
    assert installed.run(shown(installed), version=version, **SYSTEMD)["changed"] is False


def test_unit_follows_what_the_index_gave(machine):
    """Which version is the newest is only known when it is there."""
    machine.tool("pipx")
    calls = first_installation(machine, wanted="patroni[psycopg2-binary,etcd,systemd]", made={"version": "4.0.11"})

    planned = machine.run(*calls[:2], check=True, **SYSTEMD)
    result = machine.run(*calls, RELOAD, shown(machine), **SYSTEMD)

    assert (
        "\nType=notify\n"
        in next(told for told in planned["diff"] if told["before_header"] == machine.unit_path)["after"]
    )
    assert "\nType=simple\n" in Path(machine.unit_path).read_text("utf-8")
    assert [step for step in steps(result) if step[0] == "write_unit"] == [("write_unit", machine.unit_path)]
    assert machine.run(shown(machine), **SYSTEMD)["changed"] is False


def test_unit_that_follows_and_fails_leaves_what_was_done_in_the_result(machine):
    machine.tool("pipx")
    calls = first_installation(machine, wanted="patroni[psycopg2-binary,etcd,systemd]", made={"version": "4.0.11"})
    refused = RELOAD._replace(rc=1, err="Failed to reload daemon: Access denied\n")

    result = machine.run(*calls, refused, fails=True, **SYSTEMD)

    assert result["failed_step"] == {"action": "reload_systemd", "target": "systemd"}
    assert [action for action, _target in steps(result) if action in ("build_environment", "reload_systemd")] == [
        "build_environment",
        "reload_systemd",
    ]
    assert [action for action, _target in steps(result)].count("write_unit") == 2


def wrap(machine, name="py"):
    wrapper = Path(machine.base, "usr/local/bin", name)
    wrapper.write_text('#!/bin/sh\nexec python3.11 "$@"\n', "utf-8")
    wrapper.chmod(0o755)
    return str(wrapper)


def test_interpreter_behind_a_wrapper(machine):
    machine.tool("pipx")
    python = wrap(machine)
    calls = first_installation(machine, chosen=("--python", python))

    machine.run(calls[0], ask_interpreter(python, machine.interpreter), *calls[1:], python=python)
    assert machine.run(shown(machine), python=python)["changed"] is False

    # Another file under its name may start another interpreter; here it does not.
    os.utime(python, (1, 1))
    asked_again = machine.run(shown(machine), ask_interpreter(python, machine.interpreter), python=python)
    assert asked_again["changed"] is False


def test_wrapper_that_starts_another_interpreter(installed):
    python = wrap(installed)
    pipx = pipx_version(f"{installed.base}/usr/bin/pipx")

    result = installed.run(
        shown(installed), ask_interpreter(python, "/usr/bin/python3.12"), pipx, check=True, python=python
    )

    assert steps(result)[0] == ("build_environment", f"{WANTED}==4.1.5")


@pytest.mark.parametrize(
    ("answers", "cause"),
    [
        ({"rc": 2, "err": "env: invalid option -- 'c'\n"}, "env: invalid option -- 'c'"),
        ({"rc": 127, "err": "pyenv: py: command not found\n"}, "pyenv: py: command not found"),
        ({"out": "2 /usr/bin/python2.7\n"}, "2 /usr/bin/python2.7"),
        ({"out": "hello\n"}, "hello"),
        ({"out": ""}, "no output"),
    ],
)
def test_interpreter_that_is_not_python_3(installed, answers, cause):
    python = wrap(installed)
    asks = Call([python, "-c", ASK], as_account=True, **answers)

    result = installed.run(shown(installed), asks, fails=True, python=python)

    assert result["msg"] == f"python: {python} must start a Python 3 for postgres, and does not: {cause}"
    assert result["steps"] == []
