# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever is the database account must not become root through this module: attacks on real hosts.

What an attack must not reach is photographed before and after; whether the module refuses or copes is up to it.
"""

from __future__ import annotations

import json
import random
import re
import shlex
import typing as t
from contextlib import contextmanager

import pytest
from lab import CONFIGURATION, LAID_OUT, UNIT, Host, Result, driver, read_result

pytestmark = [pytest.mark.hosts, pytest.mark.usefixtures("hosts")]

OLD, NEW = "4.0.11", "4.1.5"
SAVED = "/var/tmp/saved-home"
WHEELS = "/var/tmp/wheels"
# Nothing is downloaded: what matters here is whose hand does what.
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": WHEELS}
# Root's files, with owner, mode, kind, target and, of files, the time of their last change.
PHOTOGRAPH = f"""
find /etc /root /opt /srv /usr/local /usr/lib/systemd /home \
  -path {LAID_OUT} -prune -o -path {UNIT} -prune -o -path '*/__pycache__*' -prune -o \
  \\( -type d -printf '%p %u:%g %m %y\\n' -o -printf '%p %u:%g %m %y %l %T@\\n' \\) | sort
sha256sum /etc/shadow
find $(getent passwd postgres | cut -d : -f 6) -user root
"""


@pytest.fixture(scope="module")
def prepared(hosts: dict[str, Host]) -> t.Iterator[Host]:
    """A host with Patroni in a home of its own, in memory, and a copy of that home."""
    host = hosts["debian12"]
    owner = "uid=$(id -u postgres),gid=$(id -g postgres)"
    host.shell(
        f"mkdir -p {SAVED} /etc/cron.daily; mount -t tmpfs -o size=1g,mode=0700 none {SAVED} && "
        f"mount -t tmpfs -o size=1g,mode=0700,{owner} none {host.home}"
    )
    try:
        assert not host.install(version=OLD).get("failed")
        # Run as root, it would compile files into the account's home.
        pip = f"{host.pipx_home}/shared/bin/python -m pip"
        host.shell(
            f"PYTHONDONTWRITEBYTECODE=1 {pip} wheel --quiet --wheel-dir {WHEELS} "
            f"'patroni[psycopg2-binary,etcd]=={OLD}' pip setuptools"
        )
        host.shell(f"rm -rf {host.home}/.cache; cp -a {host.home}/. {SAVED}")
        yield host
    finally:
        host.shell(f"umount {host.home} {SAVED}; rm -rf {SAVED} {WHEELS}; rmdir /etc/cron.daily 2>/dev/null || true")


@pytest.fixture
def host(prepared: Host) -> t.Iterator[Host]:
    """The same host, put back as it was at the end."""
    yield prepared
    install = shlex.join(driver({}))
    restored = prepared.shell(
        f"cd {prepared.home} && chmod 700 . && find . -mindepth 1 -delete; cp -a {SAVED}/. . && {install}"
    )
    assert read_result(restored)["version"] == OLD


@contextmanager
def unharmed(host: Host) -> t.Iterator[None]:
    """No file owned by root changes, none appears there, and none appears in the account's home."""
    before = host.shell(PHOTOGRAPH).splitlines()
    assert not [line for line in before if line.startswith(host.home)]
    yield
    after, _mark, unit = host.shell(
        f"{PHOTOGRAPH}echo ---; stat -c '%U %G %a %h' {UNIT} && cat {UNIT} || true"
    ).partition("---\n")
    assert sorted(set(before) ^ set(after.splitlines())) == []
    if unit:
        assert unit.splitlines()[0] == "root root 644 1"
        assert unit.count("\nExec") == 2
        assert "\nUser=postgres\n" in unit


# One process starts, and forks for each set of options: starting Python costs more than the module.
IN_A_ROW = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
import driver
from ansible.module_utils import basic
for options in json.loads(sys.argv[2]):
    child = os.fork()
    if child == 0:
        driver.run_module(json.dumps(options))
    os.waitpid(child, 0)
    print(flush=True)
    print("next", flush=True)
"""


def in_a_row(
    host: Host,
    option_sets: t.Sequence[dict[str, t.Any]],
    *,
    check_mode: bool = False,
    environment: t.Mapping[str, str] | None = None,
) -> list[Result]:
    """Run the module with each set of options; a result is empty if there was none."""
    modes = {"_ansible_check_mode": check_mode, "_ansible_diff": True}
    settings = [f"{name}={value}" for name, value in (environment or {}).items()]
    wanted = json.dumps([{**options, **modes} for options in option_sets])
    done = host.run("env", *settings, "python3", "-c", IN_A_ROW, LAID_OUT, wanted)
    results = [read_result(output) for output in done.stdout.split("\nnext\n")[:-1]]
    assert len(results) == len(option_sets), done.stderr
    return results


def attempt(host: Host, *option_sets: dict[str, t.Any]) -> list[Result]:
    """Run the module with each set of options; a failure is to have a message."""
    results = in_a_row(host, [{"retries": 0, **options} for options in option_sets], environment=OFFLINE)
    assert all(result["msg"] for result in results)
    return results


LINKS = {
    # id: what the account does in its home, and how the messages of an installation and of a removal begin
    "patroni in bin_dir leads to shadow": (
        "ln -sfn /etc/shadow .local/bin/patroni",
        f"Patroni {OLD} is repaired",
        f"Patroni {OLD} is removed",
    ),
    "patroni's temporary name in bin_dir leads to shadow": (
        "ln -s /etc/shadow .local/bin/.patroni.new; rm .local/bin/patroni",
        f"Patroni {OLD} is repaired",
        f"Patroni {OLD} is removed",
    ),
    "patroni's temporary name in bin_dir is a folder": (
        "mkdir -p .local/bin/.patroni.new/x; rm .local/bin/patroni",
        "expose_executables ",
        f"Patroni {OLD} is removed",
    ),
    "bin_dir leads to /etc": (
        "rm -r .local/bin; ln -s /etc .local/bin",
        "unit_path: /etc/systemd/system/patroni.service must not be in",
        "unit_path: /etc/systemd/system/patroni.service must not be in",
    ),
    "bin_dir leads to a folder that root executes": (
        "rm -r .local/bin; ln -s /etc/cron.daily .local/bin",
        "bin_dir: postgres must be able to write",
        f"Patroni {OLD} is removed",
    ),
    "bin_dir leads there, in folders without write permission": (
        "rm -r .local/bin; ln -s /etc/cron.daily .local/bin; chmod 555 .local . ",
        "bin_dir: postgres must be able to write",
        f"Patroni {OLD} is removed",
    ),
    "bin_dir is to be made in /etc": (
        "rm -r .local/bin; ln -s /etc/made .local/bin",
        "bin_dir: postgres must be able to write",
        f"Patroni {OLD} is removed",
    ),
    "bin_dir leads to root's PATH": (
        "rm -r .local/bin; ln -s /usr/local/bin .local/bin",
        "bin_dir: /var/lib/postgresql/.local/bin must not be on root's PATH",
        "bin_dir: /var/lib/postgresql/.local/bin must not be on root's PATH",
    ),
    ".local leads to /etc": (
        "mv .local away; ln -s /etc .local",
        "pipx_home: postgres must be able to write",
        "Patroni is removed",
    ),
    ".local leads to /root": (
        "mv .local away; ln -s /root .local",
        "pipx_home: postgres must be able to write",
        "Patroni is removed",
    ),
    "pipx_home leads to /etc": (
        "mv .local/share/pipx away; ln -s /etc .local/share/pipx",
        "unit_path: /etc/systemd/system/patroni.service must not be in",
        "unit_path: /etc/systemd/system/patroni.service must not be in",
    ),
    "pipx_home is to be made in /etc": (
        "mv .local/share/pipx away; ln -s /etc/systemd/system/ssh.service.d .local/share/pipx",
        "pipx_home: postgres must be able to write",
        "Patroni is removed",
    ),
    "pipx_home is to be made there, in folders without write permission": (
        "mv .local/share/pipx away; ln -s /etc/systemd/system/ssh.service.d .local/share/pipx; "
        "chmod 555 .local/share .local .",
        "pipx_home: postgres must be able to write",
        "Patroni is removed",
    ),
    "venvs leads to /etc": (
        "cd .local/share/pipx; mv venvs away; ln -s /etc venvs",
        "switch_environment ",
        "remove_directory ",
    ),
    "the environment leads to /etc": (
        "cd .local/share/pipx; ln -sfn /etc venvs/patroni",
        f"Patroni {OLD} is reinstalled",
        f"Patroni {OLD} is removed",
    ),
    "the generations lead to /etc": (
        "cd .local/share/pipx; mv patroni away; ln -s /etc patroni",
        "build_environment ",
        "Patroni is removed",
    ),
    "a generation leads to /etc": (
        "cd .local/share/pipx; ln -s /etc patroni/7",
        f"Patroni {OLD} is repaired",
        f"Patroni {OLD} is removed",
    ),
    "the next pointer leads to /etc": (
        "cd .local/share/pipx; ln -s /etc patroni/switch",
        f"Patroni {OLD} is repaired",
        f"Patroni {OLD} is removed",
    ),
    "pipx's shared libraries lead to /root": (
        "cd .local/share/pipx; mv shared away; ln -s /root shared",
        "nothing to do",
        f"Patroni {OLD} is removed",
    ),
    "links go round in circles": (
        "cd .local/share/pipx; ln -sfn patroni venvs/patroni; rm -r shared; ln -s shared shared",
        f"Patroni {OLD} is installed",
        f"Patroni {OLD} is removed",
    ),
}


@pytest.mark.parametrize(("plant", "installed", "removed"), LINKS.values(), ids=LINKS.keys())
def test_planted_links(host: Host, plant: str, installed: str, removed: str) -> None:
    with unharmed(host):
        host.shell(f"cd {host.home}; {plant}", user="postgres")
        results = attempt(host, {"version": OLD}, {"state": "absent"})
    for result, message in zip(results, (installed, removed), strict=True):
        assert result["msg"].startswith(message)


CONTENT = {
    "pipes": "for f in $P/pipx_metadata.json $I/entry_points.txt $I/RECORD $I/METADATA $P/bin/patroni; "
    "do rm $f; mkfifo $f; done",
    "a device's worth of text": "truncate -s 1G $P/pipx_metadata.json $I/RECORD $I/entry_points.txt",
    "hostile names of executables": "printf '[console_scripts]\\n../../../../../../etc/patroni = a:b\\n"
    "patroni;id = a:b\\npatroni\\x1b[2J = a:b\\n/etc/patroni = a:b\\npatroni_evil = a:b\\n' > $I/entry_points.txt",
    "hostile names of distributions": "mkdir \"$S/$(printf 'evil\\n[Service]\\xff-1.0\\n.dist-info')\" $S/-.dist-info",
    "two of Patroni": "mkdir \"$S/$(printf 'patroni-9\\x1b[2J.dist-info')\"",
    "zeros in the list of files": "printf 'a\\0b,,\\n/etc/shadow,,\\n../../../../../../../etc/shadow,,\\n' "
    ">> $I/RECORD",
    "zeros in a first line": "printf '#!/x\\0\\xff\\x1b[2J/y\\n' > $P/bin/patroni",
    "a record that leads elsewhere": "ln -sf /etc/shadow $P/pipx_metadata.json; ln -sf /etc/shadow $I/METADATA",
    "a record too deep to read": "printf '%0.s[' {1..99999} > $P/pipx_metadata.json",
    "a record of hostile extras": 'printf \'{"main_package": {"package_version": "4\\\\n--index-url=x", '
    '"package_or_url": "patroni[a b,--pip-args,etcd;x,../..]==1"}}\' > $P/pipx_metadata.json; rm $S/patroni/api.py',
}


@pytest.mark.parametrize("plant", CONTENT.values(), ids=CONTENT.keys())
def test_planted_content(host: Host, plant: str) -> None:
    with unharmed(host):
        host.shell(
            f"P=$(readlink {host.venv}); S=$(echo $P/lib/python3*/site-packages); I=$(echo $S/patroni-*.dist-info); "
            f"{plant}",
            user="postgres",
        )
        looked = host.install(check_mode=True)
        assert not looked.get("failed"), looked
        assert not re.search(r"[\x00-\x09\x0b-\x1f]", "".join(entry["before"] for entry in looked["diff"])), looked
        for result in attempt(host, {"version": OLD, "lock_timeout": 10}, {"state": "absent"}):
            assert not result.get("failed"), result


@pytest.mark.parametrize("plant", ["chown", "hard link", "held open", "writable", "temporary name"])
def test_a_unit_in_the_account_s_hand(host: Host, plant: str) -> None:
    """A host that was set up with a unit owned by the account, which kept a way to it."""
    # On the filesystem of the unit, which the home in memory is not.
    kept = "/var/tmp/kept"
    holder = None
    with unharmed(host):
        if plant == "writable":
            host.shell(f"chmod 666 {UNIT}")
        elif plant == "temporary name":
            host.shell(f"chmod 600 {UNIT}; ln -s /etc/shadow {UNIT.replace('patroni.service', '.patroni.service.new')}")
        else:
            host.shell(f"chown postgres {UNIT}")
        if plant == "hard link":
            host.run("ln", UNIT, kept, user="postgres")
        if plant == "held open":
            script = f"exec 3>> {UNIT}; touch {kept}; while [ ! -e {kept}.go ]; do :; done; echo ExecStartPre=+/x >&3"
            holder = host.start("bash", "-c", script, user="postgres")
            host.shell(f"until [ -e {kept} ]; do :; done")
        result = host.install()
        assert [step["action"] for step in result["steps"]] == ["write_unit", "reload_systemd"]
        if plant == "hard link":
            host.shell(f"echo ExecStartPre=+/x >> {kept}", user="postgres")
        if holder is not None:
            host.shell(f"touch {kept}.go", user="postgres")
            assert holder.wait(timeout=30) == 0
        assert "ExecStartPre" not in host.run("cat", UNIT).stdout
        host.shell(f"rm -f {kept}*")


@pytest.mark.parametrize(
    ("plant", "options"),
    [
        pytest.param("ln -s /root {home}/conf", {"config_dir": "{home}/conf"}, id="a link to root's home"),
        pytest.param("ln -s /etc {home}/conf", {"config_dir": "{home}/conf/made"}, id="to be made in etc"),
        pytest.param("ln -s / {home}/conf", {"config_dir": "{home}/conf/root"}, id="the way leads to root's home"),
        pytest.param(
            "ln -s / {home}/conf; chmod 555 {home}", {"config_dir": "{home}/conf/root"}, id="the same, not writable"
        ),
        pytest.param("mkdir {home}/u", {"unit_path": "{home}/u/x.service"}, id="a unit in a directory of the account"),
        pytest.param(
            "mkdir {home}/u; chmod 555 {home}/u {home}",
            {"unit_path": "{home}/u/x.service"},
            id="a unit in a directory of the account, not writable",
        ),
        pytest.param(
            "ln -s /etc/systemd/system {home}/u", {"unit_path": "{home}/u/x.service"}, id="a unit behind a link"
        ),
        pytest.param("ln -s /usr/local/bin {home}/b", {"bin_dir": "{home}/b"}, id="a link to root's PATH"),
        pytest.param("ln -s /etc/shadow {home}/c", {"constraints": "{home}/c"}, id="constraints are root's secret"),
        pytest.param("mkfifo {home}/c", {"constraints": "{home}/c"}, id="constraints are a pipe"),
        pytest.param("printf '#!/bin/sh\\nexit 1\\n' > {home}/p", {"pipx_executable": "{home}/p"}, id="no pipx"),
    ],
)
def test_planted_links_where_options_lead(host: Host, plant: str, options: dict[str, str]) -> None:
    (option,) = options
    with unharmed(host):
        host.shell(plant.format(home=host.home), user="postgres")
        wanted = {name: text.format(home=host.home) for name, text in options.items()}
        (result,) = attempt(host, {"version": NEW, **wanted})
        assert result["failed"]
        assert option in result["msg"]


HOSTILE: list[tuple[str, dict[str, t.Any]]] = [
    *(
        (option, {option: value})
        for option in ("bin_dir", "pipx_home", "config_dir", "unit_path", "pipx_executable", "constraints")
        for value in (
            "/opt/x\nExecStartPre=+/bin/sh/patroni.service",
            "/opt/x\0/patroni.service",
            "relative/patroni.service",
        )
    ),
    *(
        (option, {option: value})
        for option in ("bin_dir", "unit_path")
        for value in ("/opt/x\rUser=root/patroni.service", "/opt/\u2028x/patroni.service", "/opt/../etc/x.service", "/")
    ),
    *(("config_file", {"config_file": value}) for value in ("x\nUser=root", "../x", "", "..", "a/b", "/x\n")),
    *(
        (option, {option: value})
        for option in ("version", "pipx_version")
        for value in ("4.0 --index-url=http://x", "4.0;x", "-r/etc/shadow", "4.0\n", "==4.0", "4.*", "http://x/y", "")
    ),
    *(("extras", {"extras": [value]}) for value in ("etcd];x", "etcd,x]==1", "-", "", "etcd\n", "a b", "../x")),
    ("version", {"version": NEW, "state": "latest"}),
    ("version", {"version": NEW, "state": "absent"}),
    ("bin_dir", {"bin_dir": "/usr/local/bin"}),
    ("bin_dir", {"bin_dir": "/usr/local/./bin//"}),
    ("bin_dir", {"bin_dir": "/bin"}),
    ("config_dir", {"config_dir": "/etc"}),
    ("config_dir", {"config_dir": "/root"}),
    ("config_dir", {"config_dir": "/usr/local/bin"}),
    ("config_dir", {"config_dir": "/etc/systemd/system"}),
    ("unit_path", {"unit_path": "/etc/systemd/system"}),
    ("unit_path", {"unit_path": "/etc/systemd/system/patroni.txt"}),
    ("unit_path", {"unit_path": "/etc/systemd/system/-Hevil.service"}),
    ("unit_path", {"unit_path": "/etc/systemd/system/a b.service"}),
    ("unit_path", {"unit_path": "/etc/systemd/system/%n.service"}),
    ("unit_path", {"unit_path": "/etc/patroni/patroni.service"}),
    ("unit_path", {"unit_path": "/opt/made/bin/patroni.service", "bin_dir": "/opt/made/bin"}),
    ("unit_path", {"unit_path": "/etc/made/patroni.service", "config_dir": "/etc/made"}),
    ("unit_path", {"unit_path": "/tmp/patroni.service"}),
    ("pipx_home", {"pipx_home": "/etc"}),
    ("user", {"user": "nobody-of-that-name"}),
    ("user", {"user": "post\0gres"}),
    ("user", {"user": "postgres\nUser=root"}),
    ("user", {"user": ""}),
    ("group", {"group": "nobody-of-that-name"}),
    ("group", {"group": "post\0gres"}),
    ("python", {"python": "/usr/bin/no-python"}),
    ("python", {"python": "/usr/bin/\0"}),
    ("python", {"python": "--help"}),
    ("pipx_executable", {"pipx_executable": "/usr/bin/false"}),
    ("pipx_executable", {"pipx_executable": "/usr/bin/no-pipx"}),
    ("constraints", {"constraints": "/etc/shadow"}),
    ("index_url", {"index_url": "http://x\nPIP_TRUSTED_HOST=x"}),
    ("index_url", {"index_url": "--trusted-host=x"}),
    ("find_links", {"find_links": ["relative-folder"]}),
    ("find_links", {"find_links": ["/opt/../etc"]}),
    ("find_links", {"find_links": ["/opt/x\n--trusted-host=x"]}),
    ("no_index", {"no_index": True}),
    ("lock_timeout", {"lock_timeout": -1}),
    ("retries", {"retries": -1}),
    ("retry_delay", {"retry_delay": -1}),
]


def test_hostile_options(host: Host) -> None:
    """Each is refused before anything changes, and the message names the option."""
    wrong = []
    with unharmed(host):
        home = host.shell(f"find {host.home} -printf '%p %C@\\n' | sort | sha256sum")
        # Make a build necessary, so that everything is inspected that only a build inspects.
        build = {"python": "/usr/bin/python3", "extras": ["aws"]}
        sets = [options if options.get("state") else {**build, **options} for _option, options in HOSTILE]
        for (option, options), result in zip(HOSTILE, in_a_row(host, sets), strict=True):
            if not (result.get("failed") and option in result["msg"] and not result["changed"] and not result["steps"]):
                wrong.append((options, result.get("msg")))
        assert host.shell(f"find {host.home} -printf '%p %C@\\n' | sort | sha256sum") == home
    assert wrong == []


@pytest.mark.parametrize("name", ["pipx", "python"])
def test_executables_of_the_account_s_run_as_the_account(host: Host, name: str) -> None:
    """A pipx in the account's own directory if the system has none, and the interpreter of the environment."""
    trap = "#!/bin/sh\\nid -u >> /tmp/who\\ntouch /etc/pwned\\necho 9.9\\n"
    path = f"{host.bin_dir}/pipx" if name == "pipx" else f"$(readlink {host.venv})/bin/python"
    with unharmed(host):
        host.shell(f"rm -f {path}; printf '{trap}' > {path}; chmod 755 {path}", user="postgres")
        host.shell("rm -f /tmp/who; mv /usr/bin/pipx /usr/bin/pipx.away")
        try:
            attempt(host, {"state": "latest"}, {"version": NEW, "pipx_executable": f"{host.bin_dir}/pipx"})
        finally:
            host.shell("mv /usr/bin/pipx.away /usr/bin/pipx")
    assert set(host.shell("cat /tmp/who").split()) == {host.shell("id -u postgres").strip()}
    host.shell("rm /tmp/who")


# Until one run builds an environment, in spite of the swaps.
SWAP_ROUNDS = 5
SWAP = """
cd {directory}
while [ ! -e /tmp/swap.stop ]; do
  mv -T {name} {name}.x 2>/dev/null && ln -sT {target} {name} 2>/dev/null
  rm {name} 2>/dev/null; mv -T {name}.x {name} 2>/dev/null
done
"""


@pytest.mark.parametrize(
    ("directory", "name", "target", "builds"),
    [
        (".local/share/pipx", "venvs", "/etc", True),
        pytest.param(".local/share/pipx", "patroni", "/etc", True, marks=pytest.mark.thorough),
        (".local", "bin", "/etc/cron.daily", True),
        # pipx needs these for longer than they stay.
        pytest.param(".local/share", "pipx", "/etc/systemd/system/ssh.service.d", False, marks=pytest.mark.thorough),
        (".", ".local", "/root", False),
    ],
)
def test_directories_swapped_during_the_run(host: Host, directory: str, name: str, target: str, builds: bool) -> None:
    host.shell("rm -f /tmp/swap.stop")
    done: list[str] = []
    with unharmed(host):
        script = SWAP.format(directory=f"{host.home}/{directory}", name=name, target=target)
        swapper = host.start("bash", "-c", script, user="postgres")
        try:
            for _round in range(SWAP_ROUNDS):
                # The account may break its own installation; a run that finds that fails.
                results = attempt(host, *({"version": OLD}, {"state": "absent"}) * 2)
                done += [step["action"] for result in results for step in result.get("steps", ())]
                if not builds or "build_environment" in done:
                    break
        finally:
            host.shell("touch /tmp/swap.stop")
            swapper.wait(timeout=60)
    host.shell("rm /tmp/swap.stop")
    # At least one run came to where root works in what the account swaps.
    assert "build_environment" in done or not builds


CHANGING = re.compile(
    r"^(mkdir|mkdirat|rmdir|symlink|symlinkat|link|linkat|rename|renameat|renameat2|unlink|unlinkat|chmod|fchmod|"
    r"fchmodat|chown|fchown|lchown|fchownat|truncate|ftruncate|utimensat|setxattr|lsetxattr|fsetxattr|mknod|mknodat|"
    r"execve|execveat)\("
)


def test_root_changes_and_executes_nothing_below_the_home(host: Host) -> None:
    """Every process of a run is watched, and every change to a file owned by the account is made as the account."""
    account = host.shell("id -u postgres").strip()
    trace = "/tmp/trace"
    calls = "%process,%file,%desc,setresuid,setreuid,setuid"
    seen: set[str] = set()
    for options in ({"state": "absent"}, {"version": OLD}):
        command = driver(options, environment=OFFLINE)
        host.run("strace", "-f", "-y", "-s", "4096", "--seccomp-bpf", "-e", f"trace={calls}", "-o", trace, *command)
        pattern = r"set(res|re)?uid|clone|fork|exec|\(\"?[^\"]*\"?.*" + re.escape(host.home)
        lines = host.shell(f"grep -E {shlex.quote(pattern)} {trace} | grep -vE '^[0-9]+ +(stat|newfstatat|lstat|read)'")
        by = list(changes_by_identity(lines, host.home))
        assert [line for uid, line in by if uid != account] == []
        seen |= {line.partition("(")[0].split()[-1] for _uid, line in by}
    assert {"execve", "mkdir", "symlink", "rename", "unlink"} <= seen
    host.shell(f"rm {trace}")


def changes_by_identity(trace: str, home: str) -> t.Iterator[tuple[str, str]]:
    """Yield each change below a directory, and each execution, with the effective uid of the process."""
    lines = [(pid, rest.strip()) for pid, _space, rest in (line.partition(" ") for line in trace.splitlines())]
    born: dict[str, tuple[str, int]] = {}
    for number, (pid, call) in enumerate(lines):
        forked = re.match(r"(?:<\.\.\. )?(?:clone3?|v?fork)\b.* = (\d+)", call)
        if forked:
            born[forked.group(1)] = (pid, number)
    switched: dict[str, list[tuple[int, str]]] = {}
    for number, (pid, call) in enumerate(lines):
        switch = re.match(r"set(?:re|res)?uid\((?:-?\d+, )?(\d+)(?:, -?\d+)?\)? .*= 0", call)
        if switch:
            switched.setdefault(pid, []).append((number, switch.group(1)))

    def identity(pid: str, before: int) -> str:
        known = [uid for number, uid in switched.get(pid, ()) if number < before]
        if known:
            return known[-1]
        return identity(*born[pid]) if pid in born else "0"

    for number, (pid, call) in enumerate(lines):
        first = call.partition(", [")[0] if call.startswith("exec") else call
        creates = call.startswith("open") and re.search(r"O_(CREAT|WRONLY|RDWR|TRUNC)", call)
        if (CHANGING.match(call) or creates) and re.search(rf'["<]{re.escape(home)}/', first):
            yield identity(pid, number), call


# Legal, if unusual: every character that a shell, systemd or a template could take for its own.
ODD = "/opt/a b%n$d'e\"f\\g\u00fc{h};#*"


@pytest.fixture(params=["debian12", pytest.param("debian13", marks=pytest.mark.thorough), "el9"])
def any_host(request: pytest.FixtureRequest, hosts: dict[str, Host]) -> Host:
    return hosts[request.param]


def test_a_service_with_odd_paths_starts(any_host: Host) -> None:
    """systemd finds the unit right, and starts Patroni with the very arguments."""
    host = any_host
    unit = "/etc/systemd/system/odd.service"
    options = {
        "bin_dir": f"{ODD}/bin $NONE",
        "config_dir": f"{ODD}/conf ${{NONE}} $$",
        "config_file": "p %h $HOME.yaml",
        "unit_path": unit,
    }
    config = f"{options['config_dir']}/{options['config_file']}"
    assert not host.install().get("failed")
    try:
        exposed = host.install(**options)
        assert not exposed.get("failed"), exposed
        assert host.install(**options)["changed"] is False
        host.shell(f"cat > {shlex.quote(config)} <<'EOF'\n{CONFIGURATION}\nEOF")
        host.shell(f"chown postgres: {shlex.quote(config)}")
        host.run("systemd-analyze", "verify", unit)
        host.run("systemctl", "start", "odd")
        shown = host.run("systemctl", "show", "--value", "--property=MainPID", "odd").stdout.strip()
        running = host.shell(
            f"until [ $(tr -dc '\\0' < /proc/{shown}/cmdline | wc -c) -ge 3 ]; do :; done; "
            f"tr '\\0' '\\n' < /proc/{shown}/cmdline; stat -c %U /proc/{shown}"
        ).splitlines()
        assert running[1:] == [f"{options['bin_dir']}/patroni", config, "postgres"]
    finally:
        host.run("systemctl", "stop", "odd", check=False)
        # The environment is the ordinary installation's; only what leads to it goes.
        host.shell(f"rm -rf {unit} {shlex.quote(ODD)}; systemctl daemon-reload")
    assert host.install()["changed"] in (True, False)
    assert host.works()


def legal_paths(draw: random.Random) -> dict[str, str]:
    """Draw a set of paths that the module accepts."""

    def part() -> str:
        alphabet = "ab1 %$'\"\\\u00fc\u732b;#*?~{}[]()&|<>!`^=@,:+-._"
        name = "".join(draw.choices(alphabet, k=draw.randint(1, 12)))
        return name if name.strip(".") else "x"

    top = f"/opt/drawn/{part()}"
    return {
        "bin_dir": f"{top}/{part()}/bin",
        "config_dir": f"{top}/{part()}/conf",
        "config_file": part(),
        "unit_path": f"/etc/systemd/system/drawn-{draw.randrange(10**6)}.service",
    }


@pytest.mark.parametrize("name", ["debian12", "el9"])
def test_systemd_accepts_every_unit(hosts: dict[str, Host], name: str) -> None:
    host = hosts[name]
    draw = random.Random(4)  # noqa: S311
    texts: dict[str, str] = {}
    assert not host.install().get("failed")
    lines = host.run("cat", UNIT).stdout.count("\n")
    try:
        drawn = [legal_paths(draw) for _example in range(50)]
        for options, planned in zip(drawn, in_a_row(host, drawn, check_mode=True), strict=True):
            assert planned.get("diff"), (options, planned)
            (entry,) = (entry for entry in planned["diff"] if entry["after_header"] == options["unit_path"])
            texts[options["unit_path"]] = entry["after"]
            assert entry["after"].count("\n") == lines
        made = (
            f"mkdir -p {path}; ln -s /bin/true {path}/patroni" for path in (shlex.quote(o["bin_dir"]) for o in drawn)
        )
        host.shell("\n".join(made))
        host.shell("\n".join(f"cat > {path} <<'EOF'\n{text}EOF" for path, text in texts.items()))
        verified = host.run("systemd-analyze", "verify", *texts, check=False)
        assert verified.returncode == 0, verified.stderr
        assert "drawn-" not in verified.stderr
    finally:
        host.shell("rm -rf /opt/drawn /etc/systemd/system/drawn-*")


def test_directories_created_by_root(any_host: Host) -> None:
    """Root owns those on the way, the account owns the last."""
    host = any_host
    options = {"bin_dir": "/opt/patroni/made/bin", "config_dir": "/opt/patroni/conf/x"}
    assert not host.install().get("failed")
    try:
        assert not host.install(**options).get("failed")
        found = host.shell("umask 077; stat -c '%n %U:%G %a' $(find /opt/patroni -type d | sort)").splitlines()
        assert found == [
            "/opt/patroni root:root 755",
            "/opt/patroni/conf root:root 755",
            "/opt/patroni/conf/x postgres:postgres 700",
            "/opt/patroni/made root:root 755",
            "/opt/patroni/made/bin postgres:postgres 755",
        ]
        assert host.shell("find /opt/patroni/made/bin -type l ! -user postgres") == ""
    finally:
        host.shell("rm -rf /opt/patroni")
        assert not host.install().get("failed")
