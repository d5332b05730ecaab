# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Installation from a private index, with a password and a certificate authority of its own; the password stays secret.

What is looked through: every command line during a run, results, Ansible's own output, the journal, and files.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bundles import DOCUMENTED_VERSION, documented, make_bundle
from driver import RECORDS
from indexes import CA, ENVIRONMENT, Index, download_source, new_password, serving
from lab import LAID_OUT, Host, Result, actions

pytestmark = pytest.mark.hosts

VERSION = DOCUMENTED_VERSION
DRIVER = f"{LAID_OUT}/driver.py"
# Where a run may have written.
PLACES = ("/etc", "/opt", "/root", "/run", "/srv", "/tmp", "/usr/local", "/var/lib/pgsql", "/var/lib/postgresql")
PLACES += ("/var/log", "/var/tmp", "/dev/shm")
# Writes every command line that it sees to a file; the number of looks comes last.
WATCHER = """
import os, sys, time
seen, looks = set(), 0
while not os.path.exists("/run/watch.stop"):
    for entry in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as stream:
                seen.add(stream.read())
        except OSError:
            pass
    looks += 1
    time.sleep(0.004)
for line in seen:
    print(line.replace(b"\\0", b" ").replace(b"\\n", b" ").decode(errors="replace"))
print(looks)
"""


@pytest.fixture(scope="module")
def index(hosts: dict[str, Host], collections: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """The bundles as an index, where one package is source only, as on the public one."""
    sources = tmp_path_factory.mktemp("sources")
    directories = [make_bundle(collections, name, VERSION) for name in ("debian12", "el9")]
    download_source(directories[0] / "constraints.txt", "python-etcd", sources)
    served = tmp_path_factory.mktemp("served")
    for path in (*sources.iterdir(), *(wheel for directory in directories for wheel in directory.glob("*.whl"))):
        if not path.name.startswith("python_etcd-") or path.parent == sources:
            (served / path.name).write_bytes(path.read_bytes())
    with serving([served], hosts["debian12"]) as index:
        (served.parent / "private-ca.pem").write_bytes(index.ca)
        for name in ("debian12", "el9"):
            hosts[name].copy(served.parent / "private-ca.pem", CA)
        yield index


@pytest.fixture
def debian(hosts: dict[str, Host], index: Index) -> Host:
    host = hosts["debian12"]
    host.install(state="absent")
    host.shell(f"rm -rf {host.home}/.cache")
    return host


@pytest.fixture
def el9(hosts: dict[str, Host], index: Index) -> Host:
    """A host of the RHEL family without pipx."""
    host = hosts["el9"]
    host.install(state="absent")
    host.shell(f"rm -rf {host.pipx_home} {host.home}/.cache /root/.cache /usr/local/bin/pipx /usr/local/lib*/python3*")
    return host


@contextmanager
def watched(host: Host, index: Index, *more: str) -> Iterator[list[str]]:
    """Look through a host while something is done, and after it; what was said is for the caller to add.

    Args:
        more: other passwords that must not be seen.
    """
    forms = [form for password in (None, *more) for form in index.forms(password)]
    host.shell("rm -f /run/watch.stop")
    cursor = host.shell("journalctl --show-cursor --lines=0 | sed -n 's/^-- cursor: //p'").strip()
    watcher = host.start("python3", "-c", WATCHER)
    said: list[str] = []
    try:
        yield said
    finally:
        host.shell("touch /run/watch.stop")
        output = watcher.communicate(timeout=60)[0].splitlines()
        host.shell("rm /run/watch.stop")
    assert int(output[-1]) > 100
    assert any("pip" in line for line in output)
    journal = host.run("journalctl", "--all", "--output=export", f"--after-cursor={cursor}").stdout
    assert "Invoked with" in journal
    # The driver is the tests' own: it gets the options as an argument.
    lines = [line for text in (*output, journal, *said) for line in text.splitlines() if DRIVER not in line]
    assert [line for line in lines if any(form in line for form in forms)] == []
    assert files_with(host, forms) == []


def files_with(host: Host, words: list[str]) -> list[str]:
    search = ["grep", "--recursive", "--text", "--files-with-matches", "--fixed-strings", "--file=-"]
    # The journal's own files were looked through by journalctl; coverage.py records the driver's argument.
    search += ["--exclude-dir=journal", f"--exclude-dir={Path(RECORDS).name}", *PLACES]
    found = subprocess.run(
        ["docker", "exec", "--interactive", "--env", "LC_ALL=C", host.container, *search],
        input="\n".join(words),
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.splitlines()


def said_by(result: Result) -> str:
    """A result as text, which names and values alike are searched in."""
    return json.dumps(result, ensure_ascii=False)


def test_the_search_finds_the_secret_of_the_index(debian: Host, index: Index) -> None:
    host = debian
    planted = f"{host.home}/planted"
    for form in index.forms()[:2]:
        subprocess.run(
            ["docker", "exec", "--interactive", host.container, "tee", planted],
            input=f"x{form}x",
            text=True,
            check=True,
            capture_output=True,
        )
        assert files_with(host, index.forms()) == [planted]
    host.run("rm", planted)


def test_the_module(debian: Host, index: Index) -> None:
    host = debian
    # pip, for pipx to work with, must come from the index too.
    host.shell(f"rm -rf {host.pipx_home}")
    asked = len(index.asked)
    options = {"index_url": index.url("/simple/"), "retries": 0, "environment": ENVIRONMENT}
    with watched(host, index) as said:
        result = host.install(**options)
        said.append(said_by(result))
        assert result.get("failed") is None, result
        assert host.install(**options)["changed"] is False
        newest = host.install(state="latest", **options)
        said.append(said_by(newest))
    assert (newest["changed"], newest["version"]) == (False, VERSION)
    assert (host.works(), host.version()) == (True, VERSION)
    assert {"patroni", "pip", "psycopg2-binary", "python-etcd", "setuptools"} <= projects(index.asked[asked:])


def projects(asked: list[str]) -> set[str]:
    """The projects of which the index was asked."""
    return {path.split("/")[2] for path in asked if path.startswith("/simple/")}


def test_refusals(debian: Host, index: Index) -> None:
    host = debian
    other = new_password()
    with watched(host, index, other) as said:
        version = host.install(index_url=index.url("/simple/"), version="4.0.99", retries=0, environment=ENVIRONMENT)
        password = host.install(index_url=index.url("/simple/", other), retries=0, environment=ENVIRONMENT)
        said += [said_by(version), said_by(password)]
    assert f"the newest versions that it offers are {VERSION}" in version["msg"]
    assert "index_url, find_links and their credentials are correct" in password["msg"]
    for result in (version, password):
        assert result["failed"]
        assert "build_environment" not in actions(result)

    untrusted = host.install(index_url=index.url("/simple/"), retries=0)
    assert "CERTIFICATE_VERIFY_FAILED" in said_by(untrusted)


def test_find_links(debian: Host, index: Index) -> None:
    host = debian
    with watched(host, index) as said:
        options = {"find_links": [index.url("/packages/")], "no_index": True, "retries": 0}
        result = host.install(environment=ENVIRONMENT, **options)
        # Another way to ask: nothing is built.
        newest = host.install(environment=ENVIRONMENT, state="latest", **options)
        other = host.install(environment=ENVIRONMENT, check_mode=True, version="4.0.99", **options)
        said += map(said_by, (result, newest, other))
    assert result.get("failed") is None, result
    assert host.works()
    assert (newest.get("failed"), newest["changed"], newest["version"]) == (None, False, VERSION), newest
    assert f"the newest versions that it offers are {VERSION}" in other["msg"]


@pytest.mark.thorough
def test_uv_is_not_used(debian: Host, index: Index) -> None:
    """A pipx that prefers uv if it is installed, and uv ignores pip's settings."""
    host = debian
    try:
        host.shell("python3 -m venv /opt/newer && /opt/newer/bin/pip install --quiet pipx==1.18.4 uv")
        host.shell("ln -s /opt/newer/bin/uv /usr/local/bin/uv")
        with watched(host, index) as said:
            result = host.install(
                index_url=index.url("/simple/"),
                pipx_executable="/opt/newer/bin/pipx",
                retries=0,
                environment=ENVIRONMENT,
            )
            said.append(said_by(result))
        assert result.get("failed") is None, result
        assert result["pipx"]["version"] == "1.18.4"
        assert host.works()
    finally:
        host.shell("rm -rf /usr/local/bin/uv /opt/newer")


def test_ansible(el9: Host, index: Index, collections: Path, tmp_path: Path) -> None:
    """The documented playbook, with all that Ansible can say; pip installs pipx itself from the index."""
    host = el9
    (tmp_path / "secrets.yml").write_text(json.dumps({"index_password": index.password}), encoding="utf-8")
    (tmp_path / "private-ca.pem").write_bytes(index.ca)
    playbook = documented("A private index", "yaml", "docs/offline.md").replace("packages.example.com", index.address)
    asked = len(index.asked)
    with watched(host, index) as said:
        done = host.play(collections, tmp_path, playbook, "--extra-vars=@secrets.yml", "--diff", "-vvv")
        said.append(f"{done.stdout}{done.stderr}")
    assert done.returncode == 0, done.stdout
    assert (host.works(), host.version()) == (True, VERSION)
    assert {"patroni", "pipx", "psycopg2-binary", "python-etcd", "setuptools"} <= projects(index.asked[asked:])
