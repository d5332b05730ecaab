# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every check of the project. `nox` runs all of them, `nox -s NAME` one, and what follows `--` goes to its tool.

Tags: `static` and `core`, the latter once per ansible-core, change only .build; `real` installs for real. Most
run in the development environment, .venv, which make brings up to date.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

import antsibull_nox
import nox

CHECKOUT = Path(__file__).resolve().parent
BIN = CHECKOUT / ".venv" / "bin"
BUILD = CHECKOUT / ".build"
CHECKED = CHECKOUT / "collections" / "ansible_collections" / "pgedge" / "platform"
INSTALLED = BUILD / "collections" / "ansible_collections" / "pgedge" / "platform"
RELEASE = BUILD / "release"
CLUSTER_TEST = "tests/integration/test_cluster.py"
SITE_TEST = "tests/integration/test_site.py"
# A machine for each, so that two emulated processors run at the same time.
MACHINE_TESTS = ("tests/integration/test_machine.py", "tests/integration/test_power.py")
DURATIONS = "--durations=40"
SHORT = os.environ.get("PGEDGE_SHORT") == "1"
# Marked as thorough is what shows little more than another test, and takes minutes.
THOROUGH = "not thorough" if SHORT else ""
HOSTS = " and ".join(filter(None, ("hosts", THOROUGH)))
HOST_TESTS = ("tests/integration", "-m", HOSTS, f"--ignore={CLUSTER_TEST}")
# What is checked for types besides the plugins: directories to import from, and patterns of files.
TYPED = [
    (
        ("bench", "docs/_site", "tests/unit/docs"),
        ("noxfile.py", "bench/*.py", "docs/_site/*.py", "scripts/*.py", "tests/*.py"),
    ),
    (("tests/integration", "tests/unit/docs"), ("tests/integration/[!t]*.py", "extensions/molecule/*/files/*.py")),
    (
        (),
        tuple(
            f"{CHECKED.relative_to(CHECKOUT)}/tests/unit/plugins/{name}.py"
            for name in ("environments", "machine", "models")
        ),
    ),
]
SCRIPTS = [
    ".ci/run",
    "demo/run",
    "extensions/molecule/cluster/look_around",
    "tests/images/build",
    "tests/images/machine",
]

sys.path.insert(0, str(CHECKOUT / "tests"))
import ansible_test  # noqa: E402
import matrix  # noqa: E402

nox.needs_version = ">=2024.10.9"
nox.options.envdir = ".build/nox"
nox.options.default_venv_backend = "none"
nox.options.error_on_external_run = True

# What the tools keep stays in the checkout, not in the caller's home.
os.environ.update(ANSIBLE_HOME=str(BUILD / "ansible"), ANSIBLE_COLLECTIONS_PATH=str(BUILD / "collections"))
os.environ.setdefault("PIP_CACHE_DIR", str(CHECKOUT / ".cache" / "pip"))
os.environ.setdefault("UV_CACHE_DIR", str(CHECKOUT / ".cache" / "uv"))
# A make that calls nox has no share in the jobs of the one that nox calls.
os.environ.pop("MAKEFLAGS", None)
os.environ["PATH"] = f"{BIN}{os.pathsep}{os.environ['PATH']}"

antsibull_nox.load_antsibull_nox_toml()

each_core = nox.parametrize("core", [nox.param(core, id=core.line) for core in matrix.chosen()])


def make(session: nox.Session, *targets: str) -> None:
    session.run("make", "--silent", ".venv/dev.stamp", *targets, external=True)


def run(session: nox.Session, *command: str | Path, env: dict[str, str] | None = None) -> None:
    session.run(*command, env=env, external=True)


def read_documentation(session: nox.Session, ansible_doc: str, env: dict[str, str] | None = None) -> None:
    for kind, name in (("module", "patroni_install"), ("role", "install_patroni")):
        session.run(ansible_doc, "--type", kind, f"pgedge.platform.{name}", external=True, silent=True, env=env)


@nox.session(tags=["static"], requires=["lint", "docs-check", "license-check", "extra-checks"])
def antsibull(_session: nox.Session) -> None:
    """All that antsibull-nox checks, see antsibull-nox.toml."""


@nox.session(tags=["static"])
def shell(session: nox.Session) -> None:
    """Style of shell scripts: shellcheck."""
    make(session)
    run(session, "shellcheck", *SCRIPTS)


@nox.session(tags=["static"])
def types(session: nox.Session) -> None:
    """Types, of what runs on hosts and of tools, helpers of tests and the benchmark: mypy, strict."""
    make(session, "collection-path")
    run(session, "mypy")
    for directories, patterns in TYPED:
        files = [path for pattern in patterns for path in sorted(CHECKOUT.glob(pattern))]
        run(session, "mypy", *files, env={"MYPYPATH": os.pathsep.join(("collections", "tests", *directories))})


@nox.session(name="ansible-lint", tags=["static"])
def ansible_lint(session: nox.Session) -> None:
    """Role, playbooks and metadata: ansible-lint, profile production."""
    make(session, "build")
    # The roles that stand in for the platform's are the scenarios' own.
    stand_ins = os.pathsep.join(f"extensions/molecule/{folder}/stand_ins" for folder in ("cluster", "shared"))
    run(session, "ansible-lint", env={"ANSIBLE_ROLES_PATH": stand_ins})


@nox.session(tags=["static"])
def pages(session: nox.Session) -> None:
    """Documentation: ansible-doc reads it, generated files are current, links in the tarball work, the site builds."""
    make(session, "build")
    read_documentation(session, "ansible-doc")
    for script in ("make_role", "make_reference"):
        run(session, "python", f"docs/_site/{script}.py", "--check")
    run(session, "python", "tests/tarball.py", *BUILD.glob("*.tar.gz"))
    make(session, "site")


@nox.session(tags=["static"])
def prose(session: nox.Session) -> None:
    """Spelling and wording of all texts: codespell, and the words in tests/prose.yml."""
    make(session)
    listed = session.run("git", "ls-files", "-z", external=True, silent=True)
    # The command is as long as the list of files.
    session.run("codespell", *filter(None, str(listed).split("\0")), external=True, log=False)
    run(session, "python", "tests/prose.py")


@nox.session(tags=["static"])
def changelog(session: nox.Session) -> None:
    """Changelog: fragments in order, and CHANGELOG.md as antsibull-changelog writes it."""
    make(session, "collection-path")
    BUILD.mkdir(exist_ok=True)
    with session.chdir(CHECKED):
        run(session, "antsibull-changelog", "lint")
        run(session, "antsibull-changelog", "generate", "--output", BUILD / "CHANGELOG.md")
    run(session, "diff", "-u", "CHANGELOG.md", BUILD / "CHANGELOG.md")


@nox.session(venv_backend="uv", reuse_venv=True, tags=["static"])
def galaxy(session: nox.Session) -> None:
    """The tarball as Galaxy would import it: galaxy-importer, no error and no warning."""
    make(session, "build")
    session.install("--require-hashes", "-r", "requirements/galaxy.txt")
    (tarball,) = BUILD.glob("*.tar.gz")
    run(session, "python", "tests/galaxy.py", tarball)
    run(session, "ansible-builder", "introspect", BUILD / "collections")


@nox.session(tags=["static"])
def unit(session: nox.Session) -> None:
    """Unit tests, in the development environment: pytest."""
    make(session, "collection-path")
    run(session, "pytest", "--numprocesses=auto", "tests/unit", *session.posargs)


@nox.session(tags=["core"])
@each_core
def sanity(session: nox.Session, core: matrix.Core) -> None:
    """Rules of ansible-core, per line of it: ansible-test sanity."""
    if SHORT and core != matrix.chosen()[-1]:
        reason = "PGEDGE_SHORT=1 checks the rules of the newest line"
        for python in core.targets:
            matrix.record("sanity", core, python, reason)
        session.skip(reason)
    controller, targets = begin(session, "sanity", core, core.targets)
    pythons = [argument for python in targets for argument in ("--target-python", python)]
    run_ansible_test(session, "sanity", core, targets, "--junit", "--controller", controller, *pythons)


@nox.session(tags=["core"])
@each_core
def units(session: nox.Session, core: matrix.Core) -> None:
    """Unit tests, per line of ansible-core and Python of hosts: ansible-test units."""
    controller, targets = begin(session, "units", core, core.runs)
    pythons = [argument for python in targets for argument in ("--target-python", f"venv/{python}")]
    run_ansible_test(session, "units", core, targets, "--requirements", "--controller", controller, *pythons)


@nox.session(tags=["real"])
def rootless(session: nox.Session) -> None:
    """A real installation on this machine, without root: pytest."""
    make(session)
    run(session, "pytest", "tests/integration/test_rootless.py", *session.posargs)


@nox.session(tags=["real"])
def hosts(session: nox.Session) -> None:
    """Real installations on hosts booted in Docker: pytest, molecule."""
    make(session)
    run(session, "pytest", *HOST_TESTS, DURATIONS, *session.posargs)


@nox.session(name="cluster-test")
def cluster_test(session: nox.Session) -> None:
    """Two real clusters, deployed, upgraded while a client writes, and failed over: pytest, molecule."""
    make(session)
    run(session, "pytest", CLUSTER_TEST, SITE_TEST, "-m", "not thorough", DURATIONS, *session.posargs)


@nox.session(default=False)
def coverage(session: nox.Session) -> None:
    """Which lines of the plugins run in the unit tests and on hosts: coverage.py. It takes as long as both."""
    make(session, "collection-path")
    data = BUILD / "coverage"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    run(session, "coverage", "run", f"--data-file={data / 'unit'}", "-m", "pytest", "tests/unit")
    run(session, "coverage", "report", f"--data-file={data / 'unit'}")
    run(session, "pytest", *HOST_TESTS, env={"PGEDGE_COVERAGE": str(data), "PGEDGE_REQUIRE_ENGINE": "1"})
    # In a directory, coverage.py finds only names that begin like that of the result.
    recorded = [data / "unit", *data.glob("host.*")]
    session.run(
        "coverage", "combine", "--keep", "--quiet", f"--data-file={data / 'all'}", *recorded, external=True, log=False
    )
    run(session, "coverage", "report", f"--data-file={data / 'all'}")


@nox.session(name="cluster-test-all", default=False)
def cluster_test_all(session: nox.Session) -> None:
    """The same with every failing upgrade, other kinds of clusters, and interruptions: pytest, molecule."""
    make(session)
    everything = {"PGEDGE_CLUSTER": "full", "PGEDGE_REQUIRE_ENGINE": "1"}
    run(session, "pytest", CLUSTER_TEST, SITE_TEST, *session.posargs, env=everything)


@nox.session(name="machine-test")
def machine_test(session: nox.Session) -> None:
    """Virtual machines: SELinux enforcing, power cuts, and the next Debian: pytest, QEMU."""
    make(session)
    each = ("--numprocesses=2", "--dist=loadfile")
    run(session, "pytest", *MACHINE_TESTS, "-m", THOROUGH, *each, DURATIONS, *session.posargs)


@nox.session(name="fault-test", default=False)
def fault_test(session: nox.Session) -> None:
    """Installations watched and killed on real hosts, at every boundary: pytest."""
    make(session)
    full = {"PGEDGE_FAULTS": "full", "PGEDGE_REQUIRE_ENGINE": "1"}
    tests = [f"tests/integration/test_{name}.py" for name in ("lifecycle", "faults")]
    run(session, "pytest", *tests, *session.posargs, env=full)


@nox.session(name="release-check", default=False)
def release_check(session: nox.Session) -> None:
    """The files of a release, installed with each ansible-core, and used to install Patroni without root."""
    make(session, "collection-path", "site")
    (tarball,) = BUILD.glob("*.tar.gz")
    shutil.rmtree(RELEASE, ignore_errors=True)
    RELEASE.mkdir(parents=True)
    shutil.copy(tarball, RELEASE)
    checksum = hashlib.sha256(tarball.read_bytes()).hexdigest()
    (RELEASE / "SHA256SUMS").write_text(f"{checksum}  {tarball.name}\n", "utf-8")
    with session.chdir(CHECKED):
        run(session, "antsibull-changelog", "generate", "--only-latest", "--output", RELEASE / "NOTES.md")
    for core in matrix.chosen():
        if core.controller:
            use_release(session, core)
            continue
        report = session.error if os.environ.get("PGEDGE_REQUIRE_PYTHONS") == "1" else session.warn
        report(f"ansible-core {core.version}: not run, no Python {' or '.join(core.controllers)} here")
    session.log(f"{RELEASE} has what a release publishes: {', '.join(sorted(os.listdir(RELEASE)))}")


def use_release(session: nox.Session, core: matrix.Core) -> None:
    """Install the tarball into an empty path, read all of its documentation, and install Patroni with it twice."""
    bin_dir = matrix.make_environment(core)
    top = BUILD / "release-used" / core.line
    shutil.rmtree(top, ignore_errors=True)
    (top / "demo").mkdir(mode=0o755, parents=True)
    env = {"ANSIBLE_COLLECTIONS_PATH": str(top / "collections"), "ANSIBLE_HOME": str(top / "ansible")}
    galaxy = (bin_dir / "ansible-galaxy", "collection", "install", "--offline", "-p", top / "collections")
    run(session, *galaxy, *RELEASE.glob("*.tar.gz"), env=env)
    read_documentation(session, str(bin_dir / "ansible-doc"), env)
    for playbook in ("upgrade_patroni", "patroni_report"):
        run(session, bin_dir / "ansible-playbook", "--syntax-check", f"pgedge.platform.{playbook}", env=env)
    variables = {"demo_dir": str(top / "demo"), "patroni_pipx_executable": str(BIN / "pipx")}
    play = ("--inventory", "demo/inventory.yml", "--extra-vars", json.dumps(variables), "demo/playbook.yml")
    for changed in ("changed=1 ", "changed=0 "):
        output = session.run(str(bin_dir / "ansible-playbook"), *play, external=True, silent=True, env=env)
        if changed not in str(output):
            session.error(f"ansible-core {core.version}: wanted {changed}, and the run printed:\n{output}")


@nox.session(default=False)
def lock(session: nox.Session) -> None:
    """Renew requirements/*.txt: the newest release of everything that development needs."""
    make(session)
    for group in ("demo", "dev", "galaxy"):
        compile_requirements(session, f"requirements/{group}.txt", "3.11", "--generate-hashes", "--group", group)
    compile_requirements(session, "tests/unit/requirements.txt", "3.8", "--group", "unit")
    for core in matrix.read():
        wanted = BUILD / "core.in"
        first = "0a1" if core.candidate else "0"
        wanted.write_text(f"ansible-core~={core.line}.{first}\nansible~={core.ansible}.{first}\n", "utf-8")
        oldest = min(core.controllers, key=matrix.number)
        compile_requirements(session, str(core.requirements), oldest, "--generate-hashes", str(wanted))


def compile_requirements(session: nox.Session, output: str, python: str, *arguments: str) -> None:
    # A lock file names no index: each machine has its own.
    plain = ("--no-emit-index-url", "--no-emit-find-links", "--no-annotate", "--custom-compile-command", "make lock")
    universal = ("--universal", "--python-version", python)
    run(
        session, "uv", "pip", "compile", "--quiet", "--upgrade", *universal, *plain, *arguments, "--output-file", output
    )


def begin(session: nox.Session, check: str, core: matrix.Core, wanted: tuple[str, ...]) -> tuple[str, list[str]]:
    """Say which Python runs the check and which it is for; name those that are not available."""
    make(session)
    lacking = matrix.missing(wanted) if core.controller else list(wanted)
    for python in lacking:
        reason = f"no Python {python if core.controller else ' or '.join(core.controllers)} here"
        matrix.record(check, core, python, reason)
        session.warn(f"ansible-core {core.version}, {check} for Python {python}: not run, {reason}")
    if lacking and os.environ.get("PGEDGE_REQUIRE_PYTHONS") == "1":
        session.error("PGEDGE_REQUIRE_PYTHONS=1: every Python of tests/matrix.toml is wanted")
    if len(lacking) == len(wanted):
        session.skip("nothing of it can run here")
    return f"origin:python={core.controller}", [python for python in wanted if python not in lacking]


def run_ansible_test(session: nox.Session, check: str, core: matrix.Core, targets: list[str], *arguments: str) -> None:
    bin_dir = matrix.make_environment(core)
    tree = ansible_test.lay_out_tree(f"{check}-{core.line}")
    ansible_test.prepare_home(bin_dir)
    env = ansible_test.environment(bin_dir, matrix.link_pythons({*core.controllers, *core.targets}))
    result = "failed"
    try:
        with session.chdir(tree):
            run(session, bin_dir / "ansible-test", check, "--color", "no", *arguments, *session.posargs, env=env)
        if not ansible_test.ran(tree, check):
            session.error(f"ansible-test {check} found nothing to test")
        result = matrix.PASSED
    finally:
        # Arguments may have narrowed the run.
        for python in () if session.posargs else targets:
            matrix.record(check, core, python, result)
