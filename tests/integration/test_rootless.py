# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role for real on this machine: real pipx, real package index, no container engine, no file of root touched.

First the quick start of README, up to the preview; then the demo's playbook, step by step, as the account that runs the
tests; then `make demo` as a whole, in a copy of the checkout, as an account that may write nothing else.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from lab import BIN, CHECKOUT, steps

MYSELF = pwd.getpwuid(os.getuid())
# There on every system, with a home that is not its own to write.
UNPRIVILEGED = "daemon"


def run(*argv: str | Path, **options) -> str:
    """Run a command and return what it printed; a failure shows all of it."""
    done = subprocess.run(argv, text=True, capture_output=True, check=False, **options)
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def look_at_home(account: pwd.struct_passwd) -> set[tuple[str, int]]:
    """What pip and pipx keep in a home when nobody tells them otherwise, with the time of each change."""
    places = [Path(account.pw_dir, name) for name in (".cache/pip", ".cache/pipx", ".local")]
    paths = [path for place in places if place.exists() for path in (place, *place.rglob("*"))]
    return {(str(path), path.lstat().st_mtime_ns) for path in paths}


def test_quick_start(tmp_path):
    """What README says, typed into one shell; its hosts are this machine, on which the preview changes nothing."""
    section = (CHECKOUT / "README.md").read_text("utf-8").partition("## Quick start\n")[2].partition("\n## ")[0]
    prepare, install, apply = re.findall(r"^```console\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    inventory, playbook = re.findall(r"^```yaml\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    typed = re.findall(r"^\$ (.*)$", prepare + install + apply, re.MULTILINE)
    (clone,) = (command for command in typed if command.startswith("git clone "))
    preview = typed[-2]
    assert preview.endswith("--check --diff")
    checkout = tmp_path / clone.rpartition("/")[2]
    shutil.copytree(CHECKOUT, checkout, ignore=shutil.ignore_patterns(".*", "collections", "*.pyc"))
    (checkout / "hosts.yml").write_text(inventory, "utf-8")
    (checkout / "patroni.yml").write_text(playbook, "utf-8")
    typed = [command for command in typed[:-2] if command != clone]
    if os.getuid() == 0:
        here = f"ansible_connection=local ansible_become=false ansible_python_interpreter={sys.executable}"
        typed.append(f"{preview} -e '{here}'")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "VIRTUAL"))}

    shown = run("bash", "-ec", "\n".join(typed), cwd=tmp_path, env={**environment, "HOME": str(tmp_path / "home")})

    (version,) = re.findall(r"^version: (.+)$", (CHECKOUT / "galaxy.yml").read_text("utf-8"), re.MULTILINE)
    assert f"pgedge.platform:{version} was installed successfully" in shown
    if os.getuid() == 0:
        assert len(re.findall(r"^pg\d.example.com .* unreachable=0 +failed=0 ", shown, re.MULTILINE)) == 3
        assert "+++ after: /etc/systemd/system/patroni.service" in shown


@pytest.fixture(scope="module")
def collections(tmp_path_factory):
    """The collection as a user gets it: built, and installed from the tarball."""
    top = tmp_path_factory.mktemp("collection")
    env = {**os.environ, "ANSIBLE_HOME": str(top / "ansible")}
    galaxy = [BIN / "ansible-galaxy", "collection"]
    run(*galaxy, "build", CHECKOUT, "--output-path", top, env=env)
    (tarball,) = top.glob("*.tar.gz")
    # Without --force it would count as installed where the checkout is on the collections' path.
    run(*galaxy, "install", tarball, "--force", "--offline", "--collections-path", top / "collections", env=env)
    return top / "collections"


@pytest.fixture(scope="module")
def demo_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("rootless") / "demo"
    path.mkdir(mode=0o755)
    return path


@pytest.fixture(scope="module")
def play(collections, demo_dir):
    """Run the demo's playbook and return what the module returned."""
    env = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_HOME": str(demo_dir.parent / "ansible"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
    }
    playbook = [
        BIN / "ansible-playbook",
        *("--inventory", CHECKOUT / "demo" / "inventory.yml"),
        *("--extra-vars", json.dumps({"demo_dir": str(demo_dir)})),
        CHECKOUT / "demo" / "playbook.yml",
    ]

    def play(*options):
        report = json.loads(run(*playbook, *options, env=env, umask=0o022))
        results = [task["hosts"]["localhost"] for task in report["plays"][0]["tasks"]]
        (result,) = [result for result in results if "steps" in result]
        return result

    return play


@pytest.fixture(scope="module")
def results(play, demo_dir):
    """What the module returned in check mode, in the real run and in two runs after it."""
    home = look_at_home(MYSELF)
    return {
        "planned": play("--check", "--diff"),
        "left_by_plan": {path.name for path in demo_dir.iterdir()},
        "first": play("--diff"),
        "second": play("--diff"),
        "second_planned": play("--check", "--diff"),
        "home": (home, look_at_home(MYSELF)),
    }


def test_check_mode_shows_the_steps_of_the_real_run(results):
    assert results["planned"]["changed"]
    assert results["planned"]["steps"]
    assert steps(results["planned"]) == steps(results["first"])


def test_check_mode_changes_nothing(results):
    ansibles_own = {"tmp"}
    assert results["left_by_plan"] <= ansibles_own


@pytest.mark.parametrize("name", ["second", "second_planned"])
def test_second_run_changes_nothing(results, name):
    assert results["first"]["changed"]
    assert not results[name]["changed"]
    assert results[name]["steps"] == []
    assert results[name]["version"] == results["first"]["version"]


def test_patroni_runs_in_the_version_returned(results, demo_dir):
    version = results["first"]["version"]

    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert run(demo_dir / "bin" / "patroni", "--version").strip() == f"patroni {version}"
    assert run(demo_dir / "bin" / "patronictl", "version").strip() == f"patronictl version {version}"


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("bin", "drwxr-xr-x"),
        ("config", "drwx------"),
        ("patroni.service", "-rw-r--r--"),
        ("pipx", "drwxr-xr-x"),
        ("pipx/venvs/patroni", "drwxr-xr-x"),
    ],
)
def test_mode(results, demo_dir, path, mode):
    assert stat.filemode((demo_dir / path).stat().st_mode) == mode


def test_everything_belongs_to_the_account(results, demo_dir):
    owners = {(path.lstat().st_uid, path.lstat().st_gid) for path in demo_dir.rglob("*")}

    assert owners == {(MYSELF.pw_uid, MYSELF.pw_gid)}


def test_unit_starts_the_installed_patroni_as_the_account(results, demo_dir):
    unit = (demo_dir / "patroni.service").read_text("utf-8")

    assert f"User={MYSELF.pw_name}\n" in unit
    assert f"{demo_dir}/bin/patroni" in unit
    assert f"{demo_dir}/config/patroni.yaml" in unit


def test_nothing_is_written_to_the_account_s_home(results, demo_dir):
    before, after = results["home"]
    assert after == before
    # It may have been there before; pip keeps its files where the playbook says.
    assert any((demo_dir / "cache" / "pip").iterdir())


def test_the_client_of_each_configuration_store_starts(results, play, demo_dir):
    stores = ["consul", "etcd", "etcd3", "exhibitor", "kubernetes", "raft", "zookeeper"]

    changed = play("--extra-vars", json.dumps({"patroni_extras": ["psycopg2-binary", *stores]}))

    assert changed["version"] == results["first"]["version"]
    imports = "".join(f"import patroni.dcs.{store}\n" for store in stores)
    run(demo_dir / "pipx" / "venvs" / "patroni" / "bin" / "python", "-I", "-W", "ignore", "-c", imports)


@pytest.fixture
def ordinary_account():
    """Options of subprocess that make a command run as an account without root's power, and that account."""
    if MYSELF.pw_uid != 0:
        return MYSELF, {}
    account = pwd.getpwnam(UNPRIVILEGED)
    return account, {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


@pytest.fixture
def checkout_copy(ordinary_account):
    """A copy of the checkout that belongs to the account, without what make and the tools have made."""
    account, _options = ordinary_account
    with tempfile.TemporaryDirectory(prefix="pgedge-platform-") as top:
        # pytest's own temporary directories are closed to other accounts.
        Path(top).chmod(0o755)
        copy = Path(top, "checkout")
        shutil.copytree(CHECKOUT, copy, ignore=shutil.ignore_patterns(".*", "collections", "tests", "*.pyc"))
        for path in (copy, *copy.rglob("*")):
            os.chown(path, account.pw_uid, account.pw_gid)
        yield copy


def test_make_demo_as_an_account_that_may_write_nothing_else(ordinary_account, checkout_copy):
    account, identity = ordinary_account
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MAKE"))}
    env = {**inherited, "HOME": account.pw_dir, "LOGNAME": account.pw_name, "USER": account.pw_name}
    env.pop("PIP_CACHE_DIR", None)
    if identity:
        # Root's own choice of Python may lie in root's home.
        env["PATH"] = os.defpath
        env.pop("PYTHON", None)

    output = run("make", "demo", cwd=checkout_copy, env=env, umask=0o022, **identity)

    assert re.search(r"^localhost +: ok=\d+ +changed=1 ", output, re.MULTILINE), output
    assert re.search(r"^localhost +: ok=\d+ +changed=0 ", output, re.MULTILINE), output
    assert re.search(r"^patroni \d+\.\d+\.\d+$", output, re.MULTILINE), output
