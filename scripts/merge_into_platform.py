# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Merge this collection into a checkout of the platform's collection, in place of its role install_patroni.

Module, filters, role and playbooks are copied, and the platform's own role is removed. Nothing is written unless the
whole merge can be done: see plan(). A small manifest in the checkout lists the merged files with their digests, so that
a later merge can tell an old copy from a local edit.

Needs Python 3.8 or newer, and git.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import typing as t
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1]
MANIFEST = ".patroni_install_merge.json"
ROLE = "roles/install_patroni"
RUNTIME = "meta/runtime.yml"
# Merged as whole directories, and single files: from where, to where. The license is that of the merged files only.
DIRECTORIES = ("plugins", "playbooks", ROLE)
FILES = {RUNTIME: RUNTIME, "LICENSE": "LICENSES/GPL-3.0-or-later.txt"}
ORIGINS = {target: origin for origin, target in FILES.items()}
LICENSE_ID = "GPL-3.0-or-later"
UPSTREAM = "https://github.com/pgEdge/pgedge-platform"

# What may be replaced: content of https://github.com/pgEdge/pgedge-ansible, by git's id (`git rev-parse COMMIT:PATH`).
KNOWN = {
    ROLE: {"fb9c8991333d652c970bcf041fb807ccf92f9c7e": "c705763"},
    RUNTIME: {"0ebae72b96f972d548daa19d1da1f48b6f6ed625": "c705763"},
}
# The platform's role since it installs Patroni from packages. The other roles there expect the packaged layout.
PACKAGED = {
    "e774abfa4d2d968930b7bf02609768498100f45c": "6e8cb46",
    "54cab120ad01f6babb08e463d261586cc99c62de": "b89d7e1",
}
# Only the platform's collection has these next to install_patroni.
PLATFORM_ROLES = ("role_config", "setup_patroni")


class MergeError(Exception):
    """The merge is refused; one line per reason."""


class Plan(t.NamedTuple):
    """The changes, as paths relative to the checkout; `content` holds every file that is merged."""

    content: dict[str, bytes]
    added: list[str]
    replaced: list[str]
    removed: list[str]
    manifest: bytes | None

    @property
    def empty(self) -> bool:
        return not (self.added or self.replaced or self.removed or self.manifest)


def main(arguments: list[str] | None = None) -> None:
    options = parse_arguments(arguments)
    into = options.into.expanduser().resolve()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    try:
        made = plan(SOURCE, into)
        if not (made.empty or options.check):
            carry_out(made, SOURCE, into)
    except (MergeError, OSError) as error:
        sys.exit(f"{error}\nNothing was changed in {into}.")
    print(report(made, SOURCE, into, options.check))


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="only show what would change")
    parser.add_argument("into", type=Path, help="the checkout of https://github.com/pgEdge/pgedge-ansible")
    return parser.parse_args(arguments)


# Planning: reads both trees, writes nothing


def plan(source: Path, into: Path) -> Plan:
    """Compare the source with the checkout.

    Raises:
        MergeError: this is not the platform's checkout, or a file is neither a known one nor from an earlier merge.
    """
    check_platform(source, into)
    git = Checkout(into)
    content, merged = read_source(source), read_manifest(into)
    present = files_below(into, ROLE)
    theirs = present - set(content) - set(merged)
    problems = list(role_problems(into, git.compare(ROLE), content, merged, theirs))
    added, replaced, removed = [], [], sorted(theirs)

    for path, new in sorted(content.items()):
        target = into / path
        old = target.read_bytes() if target.is_file() and not target.is_symlink() else None
        problem = blocked(into, path)
        if problem:
            problems.append(problem)
        elif old == new:
            continue
        elif old is None and path in merged:
            problems.append(f"{path} must be as the earlier merge left it, but it is gone; restore it")
        elif old is None:
            added.append(path)
        elif digest(old) == merged.get(path) or replaceable(git, path):
            replaced.append(path)
        else:
            problems.append(in_the_way(git, path, path in merged))

    for path in sorted(set(merged) - set(content)):
        target = into / path
        problem = blocked(into, path)
        if problem or (target.exists() and digest(target.read_bytes()) != merged[path]):
            problems.append(problem or in_the_way(git, path, True))
        elif target.exists():
            removed.append(path)

    if problems:
        raise MergeError("\n".join(problems))
    manifest = render_manifest(source, content)
    kept = into / MANIFEST
    current = kept.read_bytes() if kept.exists() else None
    return Plan(content, added, replaced, sorted(removed), None if manifest == current else manifest)


def check_platform(source: Path, into: Path) -> None:
    expected = f"INTO must be a checkout of the platform's collection, but {into}"
    if not into.is_dir():
        raise MergeError(f"{expected} is not a directory")
    if source == into:
        raise MergeError(f"{expected} is this project")
    files = [into / name for name in ("galaxy.template.yml", "galaxy.yml")]
    galaxy = "\n".join(file.read_text("utf-8") for file in files if file.is_file())
    lines = (r"^namespace: *['\"]?pgedge['\"]? *$", r"^name: *['\"]?platform['\"]? *$")
    if not all(re.search(line, galaxy, re.MULTILINE) for line in lines):
        raise MergeError(f"{expected} has no galaxy.template.yml or galaxy.yml of pgedge.platform")
    for name in PLATFORM_ROLES:
        if not (into / "roles" / name).is_dir():
            raise MergeError(f"{expected} has no roles/{name}")


def role_problems(
    into: Path, role: Comparison, content: dict[str, bytes], merged: dict[str, str], theirs: set[str]
) -> t.Iterator[str]:
    """Say why the role in the checkout cannot be replaced: only what git can bring back is removed."""
    known = names_of(KNOWN[ROLE])
    ours = {path for path in content if (into / path).is_file() and (into / path).read_bytes() == content[path]}
    complete = all(path in ours for path in content if path.startswith(f"{ROLE}/"))
    if not theirs and (merged or complete):
        return
    if role.object_id in PACKAGED:
        yield (
            f"{ROLE} must be the platform's as in {known}, which installs Patroni with pipx, but it is that of"
            f" {PACKAGED[role.object_id]}, which installs packages; the other roles of that version expect the paths"
            " and the service of those packages, which this collection does not provide"
        )
    elif role.object_id not in KNOWN[ROLE]:
        found = f"it has other files: {', '.join(sorted(theirs))}" if theirs else "there is none"
        yield f"{ROLE} must be the platform's as in {known}, or come from an earlier merge, but {found}"
    else:
        changed = theirs & role.changed if merged else role.changed - ours
        yield from map(uncommitted, sorted(changed | (theirs - role.files)))


def replaceable(git: Checkout, path: str) -> bool:
    """Whether a file is the platform's, of a known version, and as git has it."""
    found = git.compare(path)
    return found.object_id in KNOWN.get(path, {}) and not found.changed


def in_the_way(git: Checkout, path: str, merged: bool) -> str:
    if merged:
        return (
            f"{path} must be as the earlier merge left it, but it was edited; restore it, or make the change upstream"
        )
    if git.compare(path).changed:
        return uncommitted(path)
    known = f"the platform's as in {names_of(KNOWN[path])}, or " if path in KNOWN else ""
    return f"{path} must be {known}from an earlier merge, but it is another file"


def uncommitted(path: str) -> str:
    return f"{path} must have no uncommitted changes; commit or discard them"


def blocked(into: Path, path: str) -> str | None:
    """Say why there can be no file at a path: links could lead out of the checkout."""
    target = into / path
    for parent in list(target.relative_to(into).parents)[-2::-1]:
        place = into / parent
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            return f"{parent.as_posix()} must be a directory"
    if target.is_symlink() or (target.exists() and not target.is_file()):
        return f"{path} must be a regular file"
    return None


def names_of(known: dict[str, str]) -> str:
    return " or ".join(sorted(set(known.values())))


class Comparison(t.NamedTuple):
    """A path as git sees it: the object that HEAD has there, its files, and those that differ on disk."""

    object_id: str | None
    files: set[str]
    changed: set[str]


class Checkout:
    """The checkout as git sees it. Nothing is written, not even git's index."""

    def __init__(self, top: Path) -> None:
        self.top = top
        answer = self.ask("rev-parse", "--show-toplevel")
        if answer is None or Path(answer.rstrip("\n")).resolve() != top:
            raise MergeError(f"INTO must be the top directory of a git checkout, but {top} is not one")

    def compare(self, path: str) -> Comparison:
        object_id = self.ask("rev-parse", "--verify", "--quiet", f"HEAD:{path}")
        files = self.ask("ls-tree", "-r", "-z", "--name-only", "HEAD", "--", path)
        status = self.ask("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--", path)
        if files is None or status is None:
            raise MergeError(f"git must be able to read {self.top}, but git ls-tree HEAD or git status fails there")
        changed = {entry[3:] for entry in status.split("\0") if entry}
        return Comparison(object_id and object_id.strip(), set(filter(None, files.split("\0"))), changed)

    def ask(self, *arguments: str) -> str | None:
        """Return what git prints, or None if it fails."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        command = ["git", "-C", str(self.top), *arguments]
        try:
            done = subprocess.run(
                command, env={**inherited, "GIT_OPTIONAL_LOCKS": "0"}, capture_output=True, check=False
            )
        except FileNotFoundError:
            raise MergeError("git must be installed, but there is no git on the PATH") from None
        return os.fsdecode(done.stdout) if done.returncode == 0 else None


# Files and the manifest


def read_source(source: Path) -> dict[str, bytes]:
    """Return every file to merge, by its path in the checkout; editors' own files are left out."""
    found = [path for directory in DIRECTORIES for path in files_below(source, directory)]
    paths = {path: path for path in found if not re.search(r"/\.|~$", path)}
    return {target: (source / path).read_bytes() for path, target in {**paths, **FILES}.items()}


def files_below(top: Path, directory: str) -> set[str]:
    """The files of a directory, without those that Python leaves there."""
    found = (path for path in (top / directory).rglob("*") if path.is_symlink() or not path.is_dir())
    return {path.relative_to(top).as_posix() for path in found if "__pycache__" not in path.parts}


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def version_of(source: Path) -> str:
    if not (source / "galaxy.yml").is_file():
        raise MergeError(f"This must run from a checkout of this project, but {source} has no galaxy.yml")
    (version,) = re.findall(r"^version: *(.+?) *$", (source / "galaxy.yml").read_text("utf-8"), re.MULTILINE)
    return str(version)


def render_manifest(source: Path, content: dict[str, bytes]) -> bytes:
    manifest = {
        "comment": "Files merged by merge_into_platform.py. Edit them upstream, and merge again.",
        "source": UPSTREAM,
        "version": version_of(source),
        "files": {path: digest(text) for path, text in sorted(content.items())},
    }
    return (json.dumps(manifest, indent=2) + "\n").encode()


def read_manifest(into: Path) -> dict[str, str]:
    """Return the digests of the files of the earlier merge; empty without one."""
    path = into / MANIFEST
    if not path.exists():
        return {}
    try:
        files = json.loads(path.read_bytes())["files"]
        outside = [name for name in files if os.path.isabs(name) or ".." in Path(name).parts]
    except (ValueError, KeyError, TypeError, AttributeError):
        files, outside = None, []
    if not isinstance(files, dict) or outside:
        raise MergeError(f"{MANIFEST} must be as the earlier merge left it, but it cannot be read; restore it")
    return files


# Writing


def carry_out(made: Plan, source: Path, into: Path) -> None:
    """Write everything next to its place, then move it there; after an error or a signal, move everything back."""
    with tempfile.TemporaryDirectory(prefix=".patroni-merge-", dir=into) as work:
        new, old = Path(work, "new"), Path(work, "old")
        written = [*made.added, *made.replaced]
        for path in written:
            stage(new / path, made.content[path])
            shutil.copymode(source / ORIGINS.get(path, path), new / path)
        if made.manifest is not None:
            stage(new / MANIFEST, made.manifest)
            written.append(MANIFEST)
        moves = [(into / path, old / path) for path in [*made.replaced, *made.removed]]
        if made.manifest is not None and (into / MANIFEST).exists():
            moves.append((into / MANIFEST, old / MANIFEST))
        moves += [(new / path, into / path) for path in written]
        done: list[tuple[Path, Path]] = []
        try:
            for move in moves:
                done.append(move)
                rename(*move)
        except BaseException:
            try:
                for before, after in reversed(done):
                    if after.exists() and not before.exists():
                        rename(after, before)
                remove_empty_directories(into, made.added)
            except OSError as error:
                sys.exit(f"{error}\nThe merge stopped halfway; git status in {into} shows what it changed.")
            raise
    remove_empty_directories(into, made.removed)


def stage(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def rename(origin: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    os.rename(origin, target)


def remove_empty_directories(into: Path, paths: t.Iterable[str]) -> None:
    for path in paths:
        for parent in (into / path).parents:
            if parent == into or not parent.is_dir() or any(parent.iterdir()):
                break
            parent.rmdir()


def report(made: Plan, source: Path, into: Path, check: bool) -> str:
    version = version_of(source)
    if made.empty:
        return f"Nothing to do: {into} holds the files of version {version}."
    lines = [f"{'Would merge' if check else 'Merged'} version {version} into {into}:"]
    for verb, paths in (("add", made.added), ("replace", made.replaced), ("remove", made.removed)):
        lines += [f"  {verb:8}{path}" for path in paths]
    lines.append(f"{len(made.added)} added, {len(made.replaced)} replaced, {len(made.removed)} removed.")
    lines.append("Nothing was written." if check else "Look at it with git status and git diff, then commit it.")
    template = into / "galaxy.template.yml"
    if template.is_file() and LICENSE_ID not in template.read_text("utf-8"):
        lines.append(f"galaxy.template.yml: add {LICENSE_ID} to `license`, because the merged files have that license.")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
