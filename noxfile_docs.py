# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of the documentation, the changelog and the license lines, as sessions of their own."""

from __future__ import annotations

import os
from pathlib import Path

import nox

CHECKOUT = Path(__file__).resolve().parent
BIN = CHECKOUT / ".venv" / "bin"
BUILD = CHECKOUT / ".build"
COLLECTION_PATH = "collections/ansible_collections/pgedge/platform"
INSTALLED = BUILD / "collections" / "ansible_collections" / "pgedge" / "platform"

os.environ.update(ANSIBLE_HOME=str(BUILD / "ansible"), ANSIBLE_COLLECTIONS_PATH=str(BUILD / "collections"))
os.environ["PATH"] = f"{BIN}{os.pathsep}{os.environ['PATH']}"


def make(session: nox.Session, *targets: str) -> None:
    session.run("make", "--silent", ".venv/dev.stamp", *targets, external=True)


def run(session: nox.Session, *command: str | Path, env: dict[str, str] | None = None) -> None:
    session.run(*command, env=env, external=True)


@nox.session(venv_backend="none")
def docs(session: nox.Session) -> None:
    """Documentation: ansible-doc and antsibull-docs take it, the reference is current, the site builds."""
    make(session, "build")
    for kind, name in (("module", "patroni_install"), ("role", "install_patroni")):
        session.run("ansible-doc", "--type", kind, f"pgedge.platform.{name}", external=True, silent=True)
    # It logs to the home of whoever calls it.
    home = {"HOME": str(BUILD)}
    run(session, "antsibull-docs", "lint-collection-docs", "--plugin-docs", INSTALLED, env=home)
    run(session, "python", "docs/_site/make_reference.py", "--check")
    make(session, "site")


@nox.session(venv_backend="none")
def changelog(session: nox.Session) -> None:
    """Changelog: fragments in order, and CHANGELOG.md as antsibull-changelog writes it."""
    make(session, COLLECTION_PATH)
    BUILD.mkdir(exist_ok=True)
    with session.chdir(COLLECTION_PATH):
        run(session, "antsibull-changelog", "lint")
        run(session, "antsibull-changelog", "generate", "--output", BUILD / "CHANGELOG.md")
    run(session, "diff", "-u", "CHANGELOG.md", BUILD / "CHANGELOG.md")


@nox.session(venv_backend="none")
def licenses(session: nox.Session) -> None:
    """License lines in every file: reuse."""
    make(session)
    run(session, "reuse", "lint", "--lines")
