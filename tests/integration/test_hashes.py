# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Constraints with hashes: files that were tampered with are refused before any of their code runs.

Each of these files leaves a marker on the host as soon as it is imported or built.
"""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import tarfile
import typing as t
import zipfile
from pathlib import Path

import pytest
from bundles import DOCUMENTED_VERSION, documented, make_bundle, make_constraints
from indexes import CA, ENVIRONMENT, download_source, serving
from lab import Host, actions

pytestmark = pytest.mark.hosts

OLD, NEW = "4.0.11", DOCUMENTED_VERSION
MARKERS = "/var/tmp/ran"
# Patroni, something that it depends on, the pip of pipx, a package that is built on the host, and what builds it.
BUILT, BUILDS = "python-etcd", "setuptools"
TAMPERED = ("patroni", "click", "pip", BUILT, BUILDS)
# Two files that pip handles alike.
THOROUGH = pytest.param("click", marks=pytest.mark.thorough)


@pytest.fixture
def host(hosts: dict[str, Host]) -> t.Iterator[Host]:
    """A host with an older Patroni, on which pipx has no pip yet."""
    host = hosts["debian12"]
    # A file that is refused leaves it as it was.
    assert not host.install(version=OLD).get("failed")
    host.shell(f"rm -rf {host.pipx_home}/shared {host.home}/.cache; install --directory --mode=1777 {MARKERS}")
    yield host
    host.shell(f"rm -rf {MARKERS} /srv/*")


@pytest.fixture(scope="module")
def offered(collections: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the public index: what it offers as source only is not a wheel here either."""
    bundle, directory = make_bundle(collections, "debian12", NEW), tmp_path_factory.mktemp("offered")
    known = make_constraints(collections).read_text(encoding="utf-8")
    for wheel in bundle.glob("*.whl"):
        if hashlib.sha256(wheel.read_bytes()).hexdigest() in known:
            shutil.copy(wheel, directory)
        else:
            download_source(bundle / "constraints.txt", name_of(wheel), directory)
    assert [path.suffix for path in directory.iterdir() if name_of(path) == BUILT] == [".gz"]
    return directory


def name_of(path: Path) -> str:
    return re.split(r"-\d", path.name)[0].replace("_", "-").lower()


def tamper(source: Path, target: Path, *names: str) -> None:
    """Copy distributions, some of which get code that leaves a marker."""
    target.mkdir()
    for path in source.iterdir():
        if name_of(path) not in names:
            shutil.copy(path, target)
            continue
        code = f"\nimport pathlib; pathlib.Path('{MARKERS}/{name_of(path)}').touch()\n".encode()
        (spoil_wheel if path.suffix == ".whl" else spoil_source)(path, target / path.name, code)


def spoil_wheel(source: Path, target: Path, code: bytes) -> None:
    """Copy a wheel, with code at the end of the package of its name."""
    with zipfile.ZipFile(source) as read, zipfile.ZipFile(target, "w") as written:
        for entry in read.infolist():
            added = code if entry.filename == f"{name_of(source)}/__init__.py" else b""
            written.writestr(entry, read.read(entry) + added)


def spoil_source(source: Path, target: Path, code: bytes) -> None:
    """Copy a source distribution, with code at the beginning of setup.py."""
    with tarfile.open(source) as read, tarfile.open(target, "w:gz") as written:
        for member in read:
            stream = read.extractfile(member)
            content = stream.read() if stream else b""
            if re.fullmatch(r"[^/]+/setup\.py", member.name):
                content = code + content
                member.size = len(content)
            written.addfile(member, io.BytesIO(content))


def markers(host: Host) -> list[str]:
    return host.shell(f"ls {MARKERS}").split()


def assert_refused(host: Host, result: dict[str, t.Any], name: str) -> None:
    assert result["failed"], result
    assert re.search(rf"{name.replace('-', '[-_]')}\S*, which was offered for .*, does not match a hash", result["msg"])
    assert "build_environment" not in actions(result)
    assert markers(host) == []
    assert (host.works(), host.version()) == (True, OLD)


def test_the_documented_way(host: Host, collections: Path, tmp_path: Path) -> None:
    constraints = make_constraints(collections)
    shutil.copy(constraints, tmp_path)
    playbook = documented("Verify every file by its hash", "yaml", "docs/offline.md")

    done = host.play(collections, tmp_path, playbook)

    assert done.returncode == 0, done.stdout
    assert (host.works(), host.version()) == (True, NEW)
    (pinned,) = re.findall(r"^pip==(\S+)", constraints.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert host.shell(f"{host.pipx_home}/shared/bin/python -m pip --version", user="postgres").split()[1] == pinned
    again = host.install(constraints=f"/srv/{constraints.name}", require_hashes=True, keep=1)
    assert again["changed"] is False


@pytest.mark.parametrize("name", ["patroni", THOROUGH, "pip", BUILT, BUILDS])
def test_an_index_with_another_file(host: Host, collections: Path, offered: Path, tmp_path: Path, name: str) -> None:
    tamper(offered, tmp_path / "index", name)
    with serving([tmp_path / "index"], host) as index:
        result = install_from(host, index, tmp_path, make_constraints(collections), require_hashes=True)

    assert_refused(host, result, name)


@pytest.mark.parametrize("name", ["patroni", THOROUGH, "pip"])
def test_a_wheelhouse_with_another_file(host: Host, collections: Path, tmp_path: Path, name: str) -> None:
    tamper(make_bundle(collections, "debian12", NEW), tmp_path / "wheelhouse", name)
    host.copy(tmp_path / "wheelhouse", "/srv/wheelhouse")

    result = host.install(
        find_links=["/srv/wheelhouse"],
        no_index=True,
        constraints="/srv/wheelhouse/constraints.txt",
        require_hashes=True,
        retries=0,
    )

    assert_refused(host, result, name)


def test_a_file_without_a_hash(host: Host, collections: Path, tmp_path: Path) -> None:
    bundle = make_bundle(collections, "debian12", NEW)
    text = (bundle / "constraints.txt").read_text(encoding="utf-8")
    (tmp_path / "c.txt").write_text(re.sub(r"(?m)^(click==\S+) .*", r"\1", text), encoding="utf-8")
    host.copy(bundle, "/srv/wheelhouse")
    host.copy(tmp_path / "c.txt", "/srv/c.txt")

    result = host.install(
        find_links=["/srv/wheelhouse"], no_index=True, constraints="/srv/c.txt", require_hashes=True, retries=0
    )

    assert "the constraints do not pin click with a hash" in result["msg"]
    assert (host.works(), host.version()) == (True, OLD)


def test_without_hashes_each_of_these_files_would_have_run(
    host: Host, collections: Path, offered: Path, tmp_path: Path
) -> None:
    text = make_constraints(collections).read_text(encoding="utf-8")
    plain = tmp_path / "plain.txt"
    plain.write_text("".join(f"{pin}\n" for pin in re.findall(r"(?m)^\S+==\S+", text)), encoding="utf-8")
    tamper(offered, tmp_path / "index", *TAMPERED)
    with serving([tmp_path / "index"], host) as index:
        result = install_from(host, index, tmp_path, plain)

    assert result["changed"], result
    assert markers(host) == sorted(TAMPERED)


def install_from(host: Host, index: t.Any, directory: Path, constraints: Path, **options: t.Any) -> dict[str, t.Any]:
    (directory / "ca.pem").write_bytes(index.ca)
    host.copy(directory / "ca.pem", CA)
    host.copy(constraints, "/srv/c.txt")
    return host.install(
        index_url=index.url("/simple/"), constraints="/srv/c.txt", retries=0, environment=ENVIRONMENT, **options
    )
