# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that nobody would think of, in check mode: never a traceback, and every refusal names its option.

Nothing is random from run to run: the same sets of options are generated each time.
"""

from __future__ import annotations

import json
import os
import re
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils import basic

from ansible_collections.pgedge.platform.plugins.module_utils._patroni._unit import _TEMPLATE
from ansible_collections.pgedge.platform.plugins.modules import patroni_install
from ansible_collections.pgedge.platform.plugins.modules.patroni_install import ARGUMENT_SPEC
from ansible_collections.pgedge.platform.tests.unit.plugins.machine import Machine, module_args

hypothesis = pytest.importorskip("hypothesis")
some = pytest.importorskip("hypothesis.strategies")

# It keeps tables of characters there.
pytest.importorskip("hypothesis.configuration").set_hypothesis_home_dir(Path(__file__).parents[4] / ".cache/hypothesis")

# ansible-test runs them on each Python; a tenth is enough for each.
SHARE = 10 if "ANSIBLE_CONTROLLER_MIN_PYTHON_VERSION" in os.environ else 1
SETS = {"nothing there": 1600 // SHARE, "installed": 500 // SHARE}
# What one example holds: examples cost more than sets.
AT_ONCE = 5
ANSWERS = {
    ("systemctl", "show"): "MainPID=0\nActiveState=inactive\nUnitFileState=disabled\nNeedDaemonReload=no\n",
    ("apt-cache", "show"): "Package: pipx\n",
    ("pipx", "--version"): "1.1.0\n",
    ("python3.11", "-I"): "Would install patroni-4.1.5\n",
}
# In the middle of what else is valid.
HOSTILE = (
    "\n",
    "\r",
    "\0",
    "\x1b[2J",
    "\u2028",
    "\u202e",
    "\ufeff",
    "..",
    "/../",
    "//",
    " ",
    "%",
    "$",
    "'",
    '"',
    "\\",
    ";",
    "`id`",
    "--index-url=x",
    "\nExecStartPre=+/bin/sh",
    "@",
    ":",
    "{x}",
    "\u732b",
    "\U0001f600",
)


class Ended(BaseException):
    """The module has given its result, which no ``except Exception`` may swallow."""

    def __init__(self, result: dict[str, t.Any]) -> None:
        self.result = result


def words(*known: str) -> t.Any:
    """Valid words, hostile ones, and valid ones with something hostile in them."""
    unusable = some.builds(
        lambda word, at, what: word[: at % (len(word) + 1)] + what + word[at % (len(word) + 1) :],
        some.sampled_from(known),
        some.integers(0, 40),
        some.sampled_from(HOSTILE),
    )
    wild = some.text(some.characters(exclude_categories=["Cs"]), max_size=12)
    return some.one_of(some.sampled_from(known), some.sampled_from(known), unusable, unusable, wild)


def options(machine: Machine) -> t.Any:
    base, home = machine.base, machine.home
    paths = words(
        f"{home}/x",
        f"{home}/.local/bin",
        f"{home}/link/x",
        f"{home}/pipe",
        f"{base}/opt/made/bin",
        f"{base}/usr/local/bin",
        f"{base}/etc",
        f"{base}/etc/patroni",
        f"{base}/etc/file",
        "/",
        "",
        "relative/x",
        "~/x",
        "/proc/self/fd/0",
        "/dev/null",
        "/" + "long/" * 900,
        "/" + "n" * 300,
    )
    units = words(
        f"{base}/etc/systemd/system/patroni.service",
        f"{base}/etc/systemd/system/-Hx.service",
        f"{base}/etc/systemd/system/x.timer",
        f"{home}/x.service",
        f"{base}/opt/made/bin/x.service",
    )
    numbers = some.one_of(some.integers(-2, 3), some.sampled_from([10**30, -(10**30)]))
    simple = {"bool": some.booleans(), "int": numbers}
    every = {
        **{name: simple[spec["type"]] for name, spec in ARGUMENT_SPEC.items() if spec["type"] in simple},
        "state": some.sampled_from(["present", "latest", "absent"]),
        "version": words("4.1.5", "4.0.11", "4", "4.1.5rc1", "1!4.0", ">=4", "4.*", ""),
        "extras": some.lists(words("etcd", "psycopg2-binary", "all", "systemd", "a b", "x]", ""), max_size=3),
        "user": words("postgres", "nobody-there", "root", "0", ""),
        "group": words("dba", "nobody-there", "0", ""),
        "bin_dir": paths,
        "pipx_home": paths,
        "config_dir": paths,
        "config_file": some.one_of(some.none(), words("patroni.yaml", ".", "..", "a/b", ""), paths),
        "unit_path": some.one_of(units, units, paths),
        "pipx_executable": some.one_of(words(f"{base}/usr/bin/pipx"), paths),
        "pipx_version": words("1.11.1", "1", "-r x", ""),
        "python": some.one_of(words("python3.11", "python9", "-", "--help", "./python3", ""), paths),
        "index_url": words(
            "https://u:secret@index.example.com/simple", "https://x", "x", "-i", "://@", "http://:@/", ""
        ),
        "find_links": some.lists(some.one_of(words("https://u:p%40@x/y", "file:///x", "C:x"), paths), max_size=3),
        "constraints": some.one_of(words(f"{base}/constraints.txt"), paths),
        "return_to": some.one_of(words(f"{base}/home/.local/share/pipx/patroni/1/venvs/patroni"), paths),
    }
    assert set(every) == set(ARGUMENT_SPEC), "an option that is not fuzzed"
    names = some.sets(some.sampled_from(sorted(every)), min_size=1, max_size=5)
    return names.flatmap(lambda chosen: some.fixed_dictionaries({name: every[name] for name in sorted(chosen)}))


@pytest.fixture(params=SETS)
def machine(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> t.Iterator[Machine]:
    environment, umask = dict(os.environ), os.umask(0o022)
    made = Machine(tmp_path, monkeypatch, capsys)
    made.know_packages()
    made.tool("pipx")
    os.symlink("/", f"{made.home}/link")
    os.mkfifo(f"{made.home}/pipe")
    Path(made.base, "etc/file").touch()
    Path(made.base, "constraints.txt").write_text("patroni==4.1.5\nurllib3==2.0\n", "utf-8")
    if request.param == "installed":
        made.environment(made.pointer)

    def run_command(_module: t.Any, argv: list[str], **_options: t.Any) -> tuple[int, str, str]:
        command = argv[argv.index("--") + 1 :] if argv[0] == made.setpriv else argv
        known = ANSWERS.get((os.path.basename(command[0]), command[1]))
        assert all(isinstance(word, str) and "\0" not in word for word in argv)
        return (1, "", "denied") if known is None else (0, known, "")

    def end(_module: t.Any, result: dict[str, t.Any]) -> None:
        raise Ended(result)

    monkeypatch.setattr(basic.AnsibleModule, "run_command", run_command)
    monkeypatch.setattr(basic.AnsibleModule, "_return_formatted", end)
    yield made
    os.umask(umask)
    os.environ.clear()
    os.environ.update(environment)


def judge(machine: Machine, chosen: dict[str, t.Any]) -> None:
    """Run the module in check mode, and hold its result to what every result promises."""
    arguments = {"config_dir": machine.config_dir, "unit_path": machine.unit_path, **chosen}
    with module_args({**arguments, "_ansible_check_mode": True, "_ansible_no_log": True}), pytest.raises(Ended) as end:
        patroni_install.main()
    result = end.value.result
    json.dumps(result).encode()
    if result.get("failed"):
        assert any(name in result["msg"] for name in chosen), result["msg"]
        assert (result["changed"], result["steps"]) == (False, [])
        return
    assert result["changed"] is bool(result["steps"])
    for entry in result["diff"]:
        if entry["after_header"] == result["unit_path"] and entry["after"]:
            assert_whole_unit(entry["after"])


def assert_whole_unit(text: str) -> None:
    """Only the template's own lines, and one word for each of the two paths."""
    assert text.count("\n") == _TEMPLATE.count("\n")
    assert [line for line in text.splitlines() if line.startswith("[")] == ["[Unit]", "[Service]", "[Install]"]
    names = [line.partition("=")[0] for line in text.splitlines() if "=" in line and not line.startswith("#")]
    assert (names.count("ExecStart"), names.count("ExecStartPre"), names.count("User")) == (1, 0, 1)
    word = r'"(?:[^"\\%]|\\["\\]|%%)*"'
    shell = r'/bin/sh -c "exec \\"\$\$0\\" \\"\$\$1\\"" '
    assert re.search(rf"^ExecStart=({shell})?{word} {word}$", text, re.MULTILINE), text


def test_any_set_of_options(machine: Machine, request: pytest.FixtureRequest) -> None:
    wanted = SETS[request.node.callspec.params["machine"]]
    tried = 0

    @hypothesis.settings(
        max_examples=wanted // AT_ONCE,
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(some.tuples(*[options(machine)] * AT_ONCE))
    def judge_all(sets: tuple[dict[str, t.Any], ...]) -> None:
        nonlocal tried
        for chosen in sets:
            judge(machine, chosen)
            tried += 1

    before = machine.tree()
    judge_all()
    assert tried >= wanted
    assert machine.tree() == before
