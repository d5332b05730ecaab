# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Merging into a checkout of the platform: a small one that is made up here, with a source as small."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "merge_into_platform.py"
PLATFORM = {
    "galaxy.template.yml": "namespace: pgedge\nname: platform\nlicense: PostgreSQL\n",
    "meta/runtime.yml": "requires_ansible: '>=2.12.0'\n",
    "roles/role_config/defaults/main.yaml": "is_ha_cluster: false\n",
    "roles/setup_patroni/tasks/main.yaml": "[]\n",
    "roles/install_patroni/defaults/main.yaml": "patroni_config_dir: /etc/patroni\n",
    "roles/install_patroni/tasks/main.yaml": "- include_tasks: install.yaml\n",
    "roles/install_patroni/tasks/install.yaml": "[]\n",
}
SOURCE = {
    "galaxy.yml": "namespace: pgedge\nname: platform\nversion: 1.0.0\n",
    "LICENSE": "the license\n",
    "meta/runtime.yml": "requires_ansible: '>=2.16.0'\n",
    "playbooks/upgrade_patroni.yml": "[]\n",
    "plugins/modules/patroni_install.py": "# the module\n",
    "plugins/modules/__pycache__/patroni_install.pyc": "compiled\n",
    "plugins/module_utils/_plan.py": "# the plan\n",
    "plugins/module_utils/_plan.py~": "of an editor\n",
    "plugins/module_utils/._plan.py.swp": "of an editor\n",
    "roles/install_patroni/tasks/main.yml": "- pgedge.platform.patroni_install:\n",
}
THEIRS = sorted(path for path in PLATFORM if path.startswith("roles/install_patroni/"))

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def write(top: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_text(text, "utf-8")


def git(top: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(top), *identity, *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode()


def commit(top: Path) -> None:
    git(top, "add", "--all")
    git(top, "commit", "--quiet", "--message", "test")


def snapshot(top: Path) -> dict[str, bytes | None]:
    """Every path below a directory, with the content of files; git's own included."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(top.rglob("*"))}


@pytest.fixture
def source(tmp_path):
    write(tmp_path / "source", SOURCE)
    return tmp_path / "source"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    top = tmp_path_factory.mktemp("original")
    write(top, PLATFORM)
    git(top, "init", "--quiet", "--template=")
    commit(top)
    return top


@pytest.fixture
def platform(original, tmp_path):
    return Path(shutil.copytree(original, tmp_path / "platform", symlinks=True))


@pytest.fixture
def script(source, platform, monkeypatch):
    spec = importlib.util.spec_from_file_location("merge_into_platform", str(SCRIPT))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    known = {path: {git(platform, "rev-parse", f"HEAD:{path}").strip(): "c705763"} for path in module.KNOWN}
    monkeypatch.setattr(module, "SOURCE", source)
    monkeypatch.setattr(module, "KNOWN", known)
    monkeypatch.setattr(module.signal, "signal", lambda *_: None)
    return module


@pytest.fixture
def merge(script, platform, capsys):
    def run(*options: str, into: Path = platform) -> str:
        script.main([*options, str(into)])
        return capsys.readouterr().out

    return run


@pytest.fixture
def refuse(merge, platform):
    """Expect a refusal that leaves everything as it is, and return its reasons."""

    def run(into: Path = platform) -> str:
        before = snapshot(into)
        with pytest.raises(SystemExit) as stopped:
            merge(into=into)
        assert snapshot(into) == before
        assert str(stopped.value).endswith(f"Nothing was changed in {into}.")
        return str(stopped.value)

    return run


def test_replaces_the_role_and_says_so(merge, source, platform):
    said = merge()

    for path in ("playbooks/upgrade_patroni.yml", "plugins/modules/patroni_install.py", "meta/runtime.yml"):
        assert (platform / path).read_text("utf-8") == SOURCE[path]
    assert (platform / "LICENSES/GPL-3.0-or-later.txt").read_text("utf-8") == SOURCE["LICENSE"]
    assert [path.name for path in (platform / "roles/install_patroni").rglob("*")] == ["tasks", "main.yml"]
    assert not list(platform.rglob("__pycache__"))
    assert "  add     plugins/modules/patroni_install.py\n" in said
    assert "  replace meta/runtime.yml\n" in said
    assert all(f"  remove  {path}\n" in said for path in THEIRS)
    assert "5 added, 1 replaced, 3 removed." in said


def test_leaves_the_rest_of_the_platform_alone(merge, platform):
    merge()

    kept = set(PLATFORM) - set(THEIRS) - {"meta/runtime.yml"}
    assert {path: (platform / path).read_text("utf-8") for path in kept} == {path: PLATFORM[path] for path in kept}


def test_reminds_of_the_license_until_it_is_there(merge, platform):
    assert "galaxy.template.yml: add GPL-3.0-or-later to `license`" in merge("--check")

    write(platform, {"galaxy.template.yml": "namespace: pgedge\nname: platform\nlicense: [GPL-3.0-or-later]\n"})
    assert "galaxy.template.yml" not in merge()


def test_check_mode_shows_the_same_and_writes_nothing(merge, platform):
    before = snapshot(platform)
    preview = merge("--check")

    assert snapshot(platform) == before
    assert "Nothing was written." in preview
    listed = re.compile(r"^  (?:add|replace|remove) .*$", re.MULTILINE)
    assert listed.findall(preview) == listed.findall(merge())


@pytest.mark.parametrize("committed", [True, False])
def test_a_second_run_has_nothing_to_do(merge, platform, committed):
    merge()
    if committed:
        commit(platform)
    before = snapshot(platform)

    assert merge().startswith("Nothing to do: ")
    assert snapshot(platform) == before


@pytest.mark.parametrize("committed", [True, False])
def test_updates_what_it_merged_and_removes_what_is_gone(merge, source, platform, committed):
    merge()
    if committed:
        commit(platform)
    (source / "plugins/module_utils/_plan.py").unlink()
    write(source, {"plugins/modules/patroni_install.py": "# newer\n", "plugins/filter/patroni_site.py": "# new\n"})

    said = merge()

    assert "  add     plugins/filter/patroni_site.py\n" in said
    assert "  replace plugins/modules/patroni_install.py\n" in said
    assert "  remove  plugins/module_utils/_plan.py\n" in said
    assert (platform / "plugins/modules/patroni_install.py").read_text("utf-8") == "# newer\n"
    assert not (platform / "plugins/module_utils").exists()
    assert merge().startswith("Nothing to do: ")


def test_a_new_version_alone_renews_the_manifest(merge, source, platform):
    merge()
    write(source, {"galaxy.yml": SOURCE["galaxy.yml"].replace("1.0.0", "1.1.0")})

    assert "0 added, 0 replaced, 0 removed." in merge()
    assert json.loads((platform / ".patroni_install_merge.json").read_text("utf-8"))["version"] == "1.1.0"


@pytest.mark.parametrize("committed", [True, False])
def test_refuses_a_merged_file_that_was_edited(merge, refuse, source, platform, committed):
    merge()
    write(platform, {"plugins/modules/patroni_install.py": "# edited\n", "plugins/module_utils/_plan.py": "# edited\n"})
    if committed:
        commit(platform)
    (source / "plugins/module_utils/_plan.py").unlink()

    said = refuse()

    assert "plugins/modules/patroni_install.py must be as the earlier merge left it, but it was edited" in said
    assert "plugins/module_utils/_plan.py must be as the earlier merge left it, but it was edited" in said


def test_refuses_a_merged_file_that_was_deleted(merge, refuse, platform):
    merge()
    (platform / "plugins/modules/patroni_install.py").unlink()

    assert "plugins/modules/patroni_install.py must be as the earlier merge left it, but it is gone" in refuse()


def test_refuses_a_file_added_to_the_role(merge, refuse, platform):
    merge()
    commit(platform)
    write(platform, {"roles/install_patroni/tasks/extra.yml": "[]\n"})

    assert "has other files: roles/install_patroni/tasks/extra.yml" in refuse()


def test_merges_again_after_the_platform_s_files_were_restored(merge, platform):
    merge()
    git(platform, "checkout", "--quiet", "--", ".")

    assert "1 replaced, 3 removed." in merge()


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"files": []}', '{"files": {"../other": "0"}}'])
def test_refuses_a_manifest_that_it_did_not_write(merge, refuse, platform, manifest):
    merge()
    write(platform, {".patroni_install_merge.json": manifest})

    assert ".patroni_install_merge.json must be as the earlier merge left it" in refuse()


@pytest.mark.parametrize(
    ("path", "change"),
    [(path, change) for path in THEIRS for change in ("edited", "removed", "staged")]
    + [("meta/runtime.yml", "edited"), ("meta/runtime.yml", "staged")],
)
def test_refuses_uncommitted_changes(refuse, platform, path, change):
    write(platform, {path: "changed\n"})
    if change == "removed":
        (platform / path).unlink()
    if change == "staged":
        git(platform, "add", path)

    assert f"{path} must have no uncommitted changes" in refuse()


def test_refuses_an_untracked_file_in_the_role(refuse, platform):
    write(platform, {"roles/install_patroni/tasks/own.yaml": "[]\n"})

    assert "roles/install_patroni/tasks/own.yaml must have no uncommitted changes" in refuse()


def test_accepts_uncommitted_changes_elsewhere(merge, platform):
    write(platform, {"roles/setup_patroni/tasks/main.yaml": "changed\n"})

    merge()

    assert (platform / "roles/setup_patroni/tasks/main.yaml").read_text("utf-8") == "changed\n"


def test_refuses_another_role(refuse, platform):
    write(platform, {THEIRS[0]: "changed\n"})
    commit(platform)

    assert "roles/install_patroni must be the platform's as in c705763, or come from an earlier merge" in refuse()


def test_refuses_the_role_that_installs_packages(script, refuse, platform, monkeypatch):
    write(platform, {THEIRS[0]: "changed\n"})
    commit(platform)
    packaged = git(platform, "rev-parse", "HEAD:roles/install_patroni").strip()
    monkeypatch.setattr(script, "PACKAGED", {packaged: "b89d7e1"})

    assert "but it is that of b89d7e1, which installs packages" in refuse()


def test_refuses_a_file_that_is_in_the_way(refuse, platform):
    write(platform, {"plugins/modules/patroni_install.py": "# another module\n"})
    commit(platform)

    assert "plugins/modules/patroni_install.py must be from an earlier merge, but it is another file" in refuse()


def test_refuses_another_runtime_file_and_names_every_reason(refuse, platform):
    write(platform, {"meta/runtime.yml": "plugin_routing: {}\n", THEIRS[0]: "changed\n"})
    commit(platform)

    said = refuse()

    assert "meta/runtime.yml must be the platform's as in c705763, or from an earlier merge" in said
    assert "roles/install_patroni must be the platform's as in c705763" in said


@pytest.mark.parametrize("link", ["plugins", "plugins/modules", "plugins/modules/patroni_install.py", "playbooks"])
def test_refuses_links_that_lead_out(refuse, platform, tmp_path, link):
    outside = tmp_path / "outside"
    outside.mkdir()
    (platform / link).parent.mkdir(parents=True, exist_ok=True)
    os.symlink(str(outside), str(platform / link))
    commit(platform)

    assert re.search(rf"^{link} must be a (directory|regular file)$", refuse(), re.MULTILINE)
    assert not list(outside.iterdir())


def test_refuses_what_is_not_the_platform(merge, refuse, source, platform, tmp_path):
    other = tmp_path / "other"
    write(other, {"galaxy.yml": "namespace: community\nname: general\n"})
    bare = tmp_path / "bare"
    write(bare, {"galaxy.yml": PLATFORM["galaxy.template.yml"]})
    export = tmp_path / "export"
    write(export, PLATFORM)
    inner = platform / "inner"
    write(inner, PLATFORM)

    assert "has no galaxy.template.yml or galaxy.yml of pgedge.platform" in refuse(other)
    assert "has no roles/role_config" in refuse(bare)
    assert "must be the top directory of a git checkout" in refuse(export)
    assert "must be the top directory of a git checkout" in refuse(inner)
    assert "is this project" in refuse(source)
    assert "is not a directory" in refuse(tmp_path / "none")


@pytest.mark.parametrize("broken", ["index", "HEAD"])
def test_refuses_a_checkout_that_git_cannot_read(refuse, platform, broken):
    content = {"index": "damaged", "HEAD": "ref: refs/heads/none\n"}
    (platform / ".git" / broken).write_text(content[broken], "utf-8")

    assert "git must be able to read" in refuse()


def test_must_run_from_a_checkout(refuse, source):
    (source / "galaxy.yml").unlink()

    assert "must run from a checkout of this project" in refuse()


# Four files are moved out of the way; six move in, and the manifest.
@pytest.mark.parametrize("failing", range(1, 12))
def test_an_error_halfway_leaves_everything_as_it_was(script, merge, platform, monkeypatch, failing):
    rename, calls = os.rename, []

    def fail_once(origin, target):
        calls.append(origin)
        if len(calls) == failing:
            raise OSError("the disk is full")
        rename(origin, target)

    monkeypatch.setattr(script.os, "rename", fail_once)
    before = snapshot(platform)

    with pytest.raises(SystemExit, match="the disk is full"):
        merge()

    assert snapshot(platform) == before


def test_an_interrupted_merge_leaves_everything_as_it_was(script, merge, platform, monkeypatch):
    rename, calls = os.rename, []

    def interrupt(origin, target):
        rename(origin, target)
        calls.append(origin)
        if len(calls) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(script.os, "rename", interrupt)
    before = snapshot(platform)

    with pytest.raises(KeyboardInterrupt):
        merge()

    assert snapshot(platform) == before


def test_what_is_executable_stays_so(merge, source, platform):
    (source / "playbooks/upgrade_patroni.yml").chmod(0o755)

    merge()

    assert os.access(str(platform / "playbooks/upgrade_patroni.yml"), os.X_OK)


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize(
    ("command", "given"),
    [
        ("make merge INTO=../pgedge-ansible", '"../pgedge-ansible"'),
        ("make merge INTO=../pgedge-ansible CHECK=1", '--check "../pgedge-ansible"'),
    ],
)
def test_make_hands_on_what_the_page_says(command, given):
    printed = subprocess.run(
        [*command.split(), "--dry-run", "--no-print-directory", "PYTHON=python3"],
        cwd=str(SCRIPT.parents[1]),
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout.decode()

    assert " ".join(printed.split()) == f"python3 scripts/merge_into_platform.py {given}"


def test_the_page_counts_the_files(script):
    checkout = SCRIPT.parents[1]
    # The platform has one of them, meta/runtime.yml.
    added = len(script.read_source(checkout)) - 1

    assert f"{added} added, 1 replaced, 9 removed.\n" in (checkout / "docs" / "platform.md").read_text("utf-8")


def test_the_known_versions_are_git_s_ids(script):
    assert all(re.fullmatch("[0-9a-f]{40}", known) for known in script.PACKAGED)
