# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read from the files of an environment, whole or damaged."""

from __future__ import annotations

import json
import os

import pytest

from ansible_collections.pgedge.platform.plugins.module_utils._patroni._environment import (
    read_environment,
    read_executables,
    shared_libraries_problem,
)
from ansible_collections.pgedge.platform.plugins.module_utils._patroni._observed import Environment
from ansible_collections.pgedge.platform.tests.unit.plugins.environments import (
    ENTRY_POINTS,
    add_distribution,
    make_environment,
    make_interpreter,
    remove,
    write_record,
)

EXTRAS = ("psycopg2-binary", "etcd")
PACKAGES = "lib/python3.11/site-packages"
INFO = f"{PACKAGES}/patroni-4.1.5.dist-info"


@pytest.fixture
def interpreter(tmp_path):
    return make_interpreter(tmp_path / "usr" / "bin" / "python3.11")


@pytest.fixture
def venv(tmp_path, interpreter):
    """An environment that works."""
    return make_environment(tmp_path / "patroni", interpreter)


def read(venv, extras=EXTRAS):
    return read_environment(str(venv), extras)


def problem(venv):
    return read(venv).problem


def test_healthy(venv, interpreter):
    os.utime(str(venv), (1000.5, 1000.5))

    assert read(venv) == Environment(
        path=str(venv),
        version="4.1.5",
        extras=EXTRAS,
        versions={"patroni": "4.1.5", "psycopg2-binary": "2.9.13", "python-etcd": "0.4.5"},
        python=str(interpreter),
        python_version="3.11",
        executables=("patroni", "patronictl", "patroni_aws"),
        offers=("aws", "etcd", "etcd3", "consul", "kubernetes", "raft", "all", "psycopg2-binary"),
        changed_at=1000.5,
    )


@pytest.mark.parametrize("version", ["4.1.6rc1", "4.0.11", "4.1.5.post1", "4.1.5+local.1"])
def test_version_is_that_of_the_distribution(tmp_path, interpreter, version):
    venv = make_environment(tmp_path / "patroni", interpreter, version=version)
    write_record(venv, {"package_version": "3.3.3"})

    assert (read(venv).version, problem(venv)) == (version, None)


def test_nothing_there(tmp_path):
    nowhere = tmp_path / "gone"

    assert read(nowhere) == Environment(path=str(nowhere), problem=f"its interpreter {nowhere}/bin/python is missing")


def test_interpreter_is_gone(venv, interpreter):
    interpreter.unlink()

    found = read(venv)

    assert found.problem == f"its interpreter {venv}/bin/python is missing"
    # The repair keeps the installed packages, which pipx recorded.
    assert (found.python, found.version, found.extras) == (None, "4.1.5", EXTRAS)


def test_interpreter_is_not_executable(venv, interpreter):
    interpreter.chmod(0o644)

    assert problem(venv) == f"its interpreter {venv}/bin/python is missing"


def test_interpreter_is_another_python_since(venv, tmp_path):
    newer = make_interpreter(tmp_path / "usr" / "bin" / "python3.13")
    remove(venv / "bin" / "python")
    (venv / "bin" / "python").symlink_to(newer)

    assert problem(venv) == f"its packages are not for its interpreter {newer}"


def test_interpreter_without_a_number_is_trusted(venv, tmp_path):
    plain = make_interpreter(tmp_path / "opt" / "bin" / "python")
    remove(venv / "bin" / "python")
    (venv / "bin" / "python").symlink_to(plain)

    assert (problem(venv), read(venv).python) == (None, str(plain))


@pytest.mark.parametrize("gone", ["lib", PACKAGES])
def test_packages_are_gone(venv, interpreter, gone):
    remove(venv / gone)

    assert problem(venv) in (
        f"its packages are not for its interpreter {interpreter}",
        f"{venv}/{PACKAGES} cannot be read",
    )


def test_installation_broke_off_before_patroni(venv):
    remove(venv / INFO)

    found = read(venv)

    assert (found.problem, found.version) == ("it does not contain a complete patroni", "4.1.5")


def test_upgrade_in_place_broke_off(venv):
    add_distribution(venv / PACKAGES, "patroni-4.0.5", {})

    assert problem(venv) == "it does not contain a complete patroni"


@pytest.mark.parametrize(
    "file",
    ["patroni/ctl.py", "patroni/__init__.py", "psycopg2_binary/core.py", "patroni-4.1.5.dist-info/METADATA"],
)
def test_file_is_gone(venv, file):
    (venv / PACKAGES / file).unlink()

    assert problem(venv) == f"its file {venv}/{PACKAGES}/{file} is missing"


def test_script_of_the_record_is_gone(venv):
    (venv / "bin" / "patroni_aws").unlink()

    assert problem(venv) == f"its file {venv}/bin/patroni_aws is missing"


@pytest.mark.parametrize("file", ["patroni/ctl.py", "python_etcd/core.py", "patroni-4.1.5.dist-info/entry_points.txt"])
def test_file_was_emptied_by_a_power_loss(venv, file):
    (venv / PACKAGES / file).write_text("", "utf-8")

    assert problem(venv) == f"its file {venv}/{PACKAGES}/{file} is empty"


@pytest.mark.parametrize("name", ["patroni-4.1.5", "psycopg2_binary-2.9.13"])
def test_record_was_emptied_by_a_power_loss(venv, name):
    (venv / PACKAGES / f"{name}.dist-info" / "RECORD").write_text("", "utf-8")

    assert problem(venv) is not None


@pytest.mark.parametrize("name", ["patroni-4.1.5", "psycopg2_binary-2.9.13"])
def test_pip_broke_off_before_the_record(venv, name):
    # pip writes it last.
    (venv / PACKAGES / f"{name}.dist-info" / "RECORD").unlink()

    assert problem(venv) is not None


def test_file_with_a_comma_in_its_name_is_found(venv):
    add_distribution(venv / PACKAGES, "other-1", {"other.py": ""})
    (venv / PACKAGES / "a,b.py").write_text("x", "utf-8")
    with (venv / PACKAGES / "other-1.dist-info" / "RECORD").open("a") as record:
        record.write('"a,b.py",sha256=x,1\n')

    assert problem(venv) is None


def test_compiled_files_may_be_missing_and_edited_ones_stay(venv):
    (venv / PACKAGES / "patroni" / "ctl.py").write_text("# patched by the operator\n", "utf-8")
    assert not (venv / PACKAGES / "patroni" / "__pycache__" / "ctl.cpython-311.pyc").exists()

    assert problem(venv) is None


@pytest.mark.parametrize("name", ["patroni", "patronictl"])
def test_script_is_not_executable(venv, name):
    (venv / "bin" / name).chmod(0o644)

    assert problem(venv) == (
        f"its executable {venv}/bin/{name} cannot be executed (its mode, or a filesystem mounted noexec)"
    )


@pytest.mark.parametrize(
    ("first_line", "names"),
    [
        pytest.param("#!/usr/bin/python3", "/usr/bin/python3", id="the system's Python"),
        pytest.param(
            "#!/var/lib/pgsql/venvs/patroni/bin/python", "/var/lib/pgsql/venvs/patroni/bin/python", id="moved"
        ),
        pytest.param("", "", id="none"),
    ],
)
def test_script_names_another_interpreter(venv, first_line, names):
    (venv / "bin" / "patroni").write_text(f"{first_line}\nimport sys\n", "utf-8")

    assert problem(venv) == f"its executable {venv}/bin/patroni names the interpreter {names}"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("#!{venv}/bin/python\n", id="plain"),
        pytest.param("#!{venv}/bin/python3 -E\n", id="with an option"),
        # pip wraps a command that is too long for a first line, or contains a space.
        pytest.param("#!/bin/sh\n'''exec' {venv}/bin/python \"$0\" \"$@\"\n' '''\n", id="wrapped in /bin/sh"),
    ],
)
def test_script_of_its_own(venv, text):
    (venv / "bin" / "patroni").write_text(text.format(venv=venv), "utf-8")

    assert problem(venv) is None


def test_script_that_names_the_same_place_through_a_link(venv, tmp_path):
    (tmp_path / "alias").symlink_to(tmp_path)
    (venv / "bin" / "patroni").write_text(f"#!{tmp_path}/alias/patroni/bin/python\n", "utf-8")

    assert problem(venv) is None


def record_text(venv, text):
    (venv / "pipx_metadata.json").write_text(text, "utf-8")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="cut off"),
        pytest.param("[]", id="a list"),
        pytest.param("null", id="null"),
        pytest.param('{"main_package": []}', id="another form"),
        pytest.param('{"pipx_metadata_version": "9.9", "packages": {}}', id="a newer form"),
        pytest.param("[" * 200000, id="nested without end"),
        pytest.param("\x00\xff", id="not a text"),
    ],
)
def test_unreadable_record_of_pipx_is_not_damage(venv, text):
    record_text(venv, text)

    found = read(venv)

    assert (found.problem, found.version, found.extras) == (None, "4.1.5", ())


def test_record_of_pipx_is_missing(venv):
    (venv / "pipx_metadata.json").unlink()

    assert (problem(venv), read(venv).extras) == (None, ())


def test_record_of_pipx_is_a_pipe(venv):
    (venv / "pipx_metadata.json").unlink()
    os.mkfifo(str(venv / "pipx_metadata.json"))

    assert (problem(venv), read(venv).extras) == (None, ())


@pytest.mark.parametrize(
    ("package_or_url", "extras"),
    [
        ("patroni", ()),
        ("patroni[etcd]", ("etcd",)),
        ("patroni[psycopg2-binary,etcd]==4.1.5", ("psycopg2-binary", "etcd")),
        ("patroni[ etcd , aws ]>=4", ("etcd", "aws")),
        ("patroni[]", ()),
        ("patroni[--index-url=http://example.org,etcd]", ("etcd",)),
        ("patroni[etcd;x,$(id),`id`,a b,../../x,@,aws]", ("aws",)),
        ("patroni[etcd\n]", ("etcd",)),
        (None, ()),
        (["patroni[etcd]"], ()),
        ({"a": 1}, ()),
    ],
)
def test_recorded_extras(venv, package_or_url, extras):
    write_record(venv, {"package_version": "4.1.5", "package_or_url": package_or_url})

    assert read(venv).extras == extras


@pytest.mark.parametrize(
    ("recorded", "version"),
    [
        ("4.0.11", "4.0.11"),
        ("4.1.5+local", "4.1.5+local"),
        ("4.1.5; sys_platform == 'x'", None),
        ("4.1.5 --pre", None),
        ("--pre", None),
        ("../4.1.5", None),
        ("4.1.5\n", None),
        ("", None),
        (None, None),
        (["4.1.5"], None),
        (4.1, None),
    ],
)
def test_recorded_version_is_for_what_has_no_other(venv, interpreter, recorded, version):
    interpreter.unlink()
    write_record(venv, {"package_version": recorded})

    assert read(venv).version == version


@pytest.mark.parametrize("name", ["patroni-4.1.5;x.dist-info", "patroni-$(id).dist-info", "patroni-.dist-info"])
def test_hostile_directory_has_no_version(venv, name):
    remove(venv / INFO)
    (venv / PACKAGES / name).mkdir()

    assert read(venv).version is None


@pytest.mark.parametrize(
    ("extras", "missing"),
    [
        pytest.param((), (), id="none asked for"),
        pytest.param(("psycopg2-binary", "etcd"), (), id="there"),
        pytest.param(("etcd3",), (), id="etcd3 brings what etcd does"),
        pytest.param(("PSYCOPG2_Binary",), (), id="written otherwise"),
        pytest.param(("aws",), ("aws",), id="missing"),
        pytest.param(("raft", "aws", "etcd"), ("aws", "raft"), id="two missing"),
        pytest.param(("all",), ("all",), id="all, and boto3 is missing"),
        pytest.param(("kubernetes",), (), id="brings nothing"),
        pytest.param(("consul",), (), id="a further condition is left to pip"),
        pytest.param(("unheard-of",), (), id="not known"),
    ],
)
def test_missing_extras(venv, extras, missing):
    assert read(venv, extras).missing == missing


def test_extra_of_which_a_part_is_there_is_missing(tmp_path, interpreter):
    venv = make_environment(tmp_path / "patroni", interpreter, extras=("raft",))

    assert read(venv, ("raft",)).missing == ("raft",)


@pytest.mark.parametrize(
    ("entry_points", "executables"),
    [
        pytest.param(ENTRY_POINTS, ("patroni", "patronictl", "patroni_aws"), id="of Patroni"),
        pytest.param("", ("patroni", "patronictl"), id="none"),
        pytest.param("[console_scripts]\n# a comment\n\nno sign\n", ("patroni", "patronictl"), id="no entries"),
        pytest.param("patroni_x = a:b\n", ("patroni", "patronictl"), id="outside a section"),
    ],
)
def test_executables(tmp_path, interpreter, entry_points, executables):
    venv = make_environment(tmp_path / "patroni", interpreter, entry_points=entry_points)

    assert read(venv).executables == read_executables(str(venv)) == executables


@pytest.mark.parametrize(
    "name",
    ["../../../etc/cron.d/x", "/etc/profile.d/x.sh", "..", ".", "", "patroni/../x", "a b", "x\x00", "sudo", "python3"],
)
def test_hostile_names_of_executables_are_dropped(tmp_path, interpreter, name):
    # The account can write this file, and root may link these names into a directory of its own.
    hostile = f"[console_scripts]\n{name} = a:b\n"
    venv = make_environment(tmp_path / "patroni", interpreter, entry_points=hostile)

    assert read(venv).executables == read_executables(str(venv)) == ("patroni", "patronictl")


def test_executables_of_a_damaged_environment(venv, interpreter):
    interpreter.unlink()

    assert read_executables(str(venv)) == ()


def test_changed_at_is_kept_when_it_does_not_run(venv, interpreter):
    interpreter.unlink()
    os.utime(str(venv), (77, 77))

    assert read(venv).changed_at == 77.0


@pytest.fixture
def shared(tmp_path, interpreter):
    """pipx's shared libraries, whole."""
    path = tmp_path / "shared"
    (path / "bin").mkdir(parents=True)
    (path / "bin" / "python").symlink_to(interpreter)
    add_distribution(path / PACKAGES, "pip-25.3", {"pip/__init__.py": "", "pip/_vendor/six.py": "pass\n"})
    return path


def test_shared_libraries_that_are_whole(shared):
    assert shared_libraries_problem(str(shared)) is None


def test_shared_libraries_that_are_not_there(tmp_path):
    assert shared_libraries_problem(str(tmp_path / "shared")) is None


def test_shared_libraries_without_interpreter(shared, interpreter):
    interpreter.unlink()

    assert shared_libraries_problem(str(shared)) == f"its interpreter {shared}/bin/python is missing"


def test_shared_libraries_that_are_a_dangling_link(tmp_path):
    (tmp_path / "shared").symlink_to(tmp_path / "gone")

    assert shared_libraries_problem(str(tmp_path / "shared")) is not None


def test_shared_libraries_without_pip(shared):
    remove(shared / PACKAGES / "pip-25.3.dist-info")

    assert shared_libraries_problem(str(shared)) == "it does not contain a complete pip"


def test_shared_libraries_that_lack_a_file(shared):
    file = shared / PACKAGES / "pip" / "_vendor" / "six.py"
    file.unlink()

    assert shared_libraries_problem(str(shared)) == f"its file {file} is missing"


def test_record_of_the_fixture_is_what_pipx_writes(venv):
    # The other tests rest on it.
    assert json.loads((venv / "pipx_metadata.json").read_text("utf-8"))["main_package"] == {
        "package_version": "4.1.5",
        "package_or_url": "patroni[psycopg2-binary,etcd]==4.1.5",
    }


def inject(venv, **packages):
    """Have pipx's record name injected packages by what was asked for."""
    record = {
        "main_package": {"package_or_url": "patroni[etcd]"},
        "injected_packages": {name.replace("_", "-"): wanted for name, wanted in packages.items()},
    }
    (venv / "pipx_metadata.json").write_text(json.dumps(record), "utf-8")


def ask_for(venv, name, *more):
    """Have pip's marks on a distribution."""
    packages = venv / "lib" / "python3.11" / "site-packages"
    if not (packages / f"{name}.dist-info").exists():
        add_distribution(packages, name, {})
    for mark in ("REQUESTED", *more):
        (packages / f"{name}.dist-info" / mark).touch()


@pytest.mark.parametrize("wanted", ["boto3", "boto3>=1.2", "Boto3[crt] >= 1.2, !=1.3.*", "boto3==1.44.8", "boto3~=1.4"])
def test_injected_as_it_was_asked_for(venv, wanted):
    inject(venv, boto3={"package_or_url": wanted})
    ask_for(venv, "boto3-1.44.8")

    assert (read(venv).injected, read(venv).stuck) == ((wanted,), ())


@pytest.mark.parametrize(
    "wanted",
    [
        "/srv/boto3.whl",
        "git+https://git.example.org/boto3",
        "https://user:secret@example.org/boto3.whl",
        "boto3 @ file:///srv/boto3",
        "--index-url=http://evil.example.org",
        "-r/etc/shadow",
        "other",
        "boto3\n--pre",
        "boto3; python_version > '3'",
        None,
        7,
        ["boto3"],
        f"boto3{' ' * 100000}x",
        f"boto3=={'1' * 300}",
    ],
)
def test_injected_from_no_index_is_named_alone(venv, wanted):
    inject(venv, boto3={"package_or_url": wanted})
    ask_for(venv, "boto3-1.44.8")

    assert (read(venv).injected, read(venv).stuck) == ((), ("boto3",))


@pytest.mark.parametrize("packages", [7, ["boto3"], {"boto3": 7, "a b": {}, "patroni": {"package_or_url": "patroni"}}])
def test_invalid_record_of_injected_packages(venv, packages):
    (venv / "pipx_metadata.json").write_text(json.dumps({"main_package": {}, "injected_packages": packages}), "utf-8")

    assert (read(venv).injected, read(venv).stuck) == ((), ())


def test_injected_and_gone_since(venv):
    inject(venv, boto3={"package_or_url": "boto3"})

    assert read(venv).injected == ()


def test_injected_into_an_environment_that_is_broken(venv):
    inject(venv, boto3={"package_or_url": "boto3"})
    (venv / "bin" / "python").unlink()

    assert read(venv).injected == ("boto3",)


def test_put_there_with_pip_alone(venv):
    ask_for(venv, "patroni-4.1.5")
    ask_for(venv, "pip-26.3")
    ask_for(venv, "python_etcd-0.4.5")
    ask_for(venv, "PyYAML-6.0")
    ask_for(venv, "Some_Thing-1.0")
    ask_for(venv, "local_thing-1.0", "direct_url.json")

    found = read(venv)

    assert (found.injected, found.stuck) == (("some-thing",), ("local-thing",))
