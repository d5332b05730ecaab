# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From parameters to what is desired: defaults, and every refusal."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd

import pytest
from ansible.module_utils import distro

from ansible_collections.pgedge.platform.plugins.module_utils._errors import PatroniInstallError
from ansible_collections.pgedge.platform.plugins.module_utils._patroni import _params
from ansible_collections.pgedge.platform.plugins.module_utils._patroni._desired import Desired, Limit, Patience, Sources
from ansible_collections.pgedge.platform.plugins.module_utils._types import Account
from ansible_collections.pgedge.platform.plugins.modules.patroni_install import ARGUMENT_SPEC

DEFAULTS = {name: option.get("default") for name, option in ARGUMENT_SPEC.items()}

DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nID=debian\n'
ROCKY = 'PRETTY_NAME="Rocky Linux 9.6 (Blue Onyx)"\nNAME="Rocky Linux"\nID="rocky"\nID_LIKE="rhel centos fedora"\n'


class FakeHost:
    """The part of Host that reading parameters takes."""

    def __init__(self, root=True):
        self.root = root
        self.warnings = []
        self.hidden = set()
        self.shown = set()
        self.identities = []

    def warn(self, message):
        self.warnings.append(message)

    def hide(self, secrets, *, but):
        self.hidden |= set(secrets)
        self.shown |= set(but)

    def either(self, _account, look):
        return look()

    @contextlib.contextmanager
    def identity(self, account):
        self.identities.append(account.name)
        yield


@pytest.fixture
def system(monkeypatch, tmp_path):
    """Let the module find itself on the system whose os-release is this."""

    def pretend(os_release):
        path = tmp_path / "os-release"
        path.write_text(os_release, "utf-8")
        found = distro.LinuxDistribution(
            include_lsb=False, os_release_file=str(path), distro_release_file=str(tmp_path / "none")
        )
        for name in ("id", "like", "name"):
            monkeypatch.setattr(_params.distro, name, getattr(found, name))

    pretend(DEBIAN)
    return pretend


@pytest.fixture
def home(monkeypatch, tmp_path, system):
    """The home of a postgres account on a host whose root runs the module."""
    # pipx writes paths with links resolved, and so they are compared.
    folder = os.path.realpath(str(tmp_path / "postgresql"))
    os.mkdir(folder)
    users = {
        "postgres": (111, 113, folder),
        "root": (0, 0, folder),
        "homeless": (112, 113, f"{folder}/gone"),
        "groupless": (114, 999, folder),
        "slashed": (115, 113, f"{folder}//x/../"),
    }
    groups = {"postgres": 113, "root": 0, "dba": 200}

    def user(name):
        uid, gid, path = users[name]
        return pwd.struct_passwd((name, "x", uid, gid, "", path, "/bin/bash"))

    def group_of(gid):
        name = {number: name for name, number in groups.items()}[gid]
        return grp.struct_group((name, "x", gid, []))

    monkeypatch.setattr(pwd, "getpwnam", user)
    monkeypatch.setattr(grp, "getgrnam", lambda name: group_of(groups[name]))
    monkeypatch.setattr(grp, "getgrgid", group_of)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "getegid", lambda: 0)
    return folder


def desire(host=None, check_mode=False, **params):
    return _params.desire({**DEFAULTS, **params}, host or FakeHost(), check_mode=check_mode)


def refusal(host=None, check_mode=False, **params):
    with pytest.raises(PatroniInstallError) as refused:
        desire(host, check_mode, **params)
    return str(refused.value)


class Recorded(dict):
    """Parameters that remember which of them were read."""

    def __init__(self, values):
        super().__init__(values)
        self.read = set()

    def __getitem__(self, name):
        self.read.add(name)
        return super().__getitem__(name)


def test_every_option_is_read(home):
    params = Recorded(DEFAULTS)

    _params.desire(params, FakeHost(), check_mode=False)
    _params.patience(params)

    assert params.read == set(DEFAULTS)


def test_defaults(home):
    host = FakeHost()

    assert desire(host) == Desired(
        state="present",
        family="debian",
        distribution="Debian GNU/Linux 12 (bookworm)",
        account=Account("postgres", 111, 113, home, "postgres", 113),
        extras=("psycopg2-binary", "etcd"),
        bin_dir=f"{home}/.local/bin",
        pipx_home=f"{home}/.local/share/pipx",
        config_dir="/etc/patroni",
        config_path="/etc/patroni/patroni.yaml",
        unit_path="/etc/systemd/system/patroni.service",
        unit_uid=0,
        unit_gid=0,
        legacy_environment=f"{home}/.local/pipx/venvs/patroni",
        typed={
            path: path
            for path in (
                home,
                f"{home}/.local/bin",
                f"{home}/.local/share/pipx",
                "/etc/patroni",
                "/etc/systemd/system",
                "/etc/systemd/system/patroni.service",
            )
        },
        config_chosen=False,
        sources=Sources(machine=os.uname().machine),
    )
    assert host.warnings == []


def test_every_option_is_heeded(home):
    constraints = f"{home}/constraints.txt"
    with open(constraints, "w", encoding="utf-8") as stream:
        stream.write("psycopg2_binary==2.9.9\nclick<9\n")

    wanted = desire(
        state="present",
        version="4.1.5",
        extras=["psycopg3", "etcd3", "psycopg3"],
        group="dba",
        bin_dir="/opt/patroni/bin",
        pipx_home="/opt/pipx",
        config_dir="/srv/patroni",
        config_file="main.yml",
        unit_path="/etc/systemd/system/patroni-main.service",
        pipx_executable="/opt/tools/pipx",
        pipx_version="1.7.1",
        python="python3.12",
        index_url="https://index.example.org/simple",
        find_links=["/srv/wheels", "https://files.example.org"],
        no_index=True,
        constraints=constraints,
        require_hashes=True,
        force=True,
    )

    assert wanted == Desired(
        state="present",
        family="debian",
        distribution="Debian GNU/Linux 12 (bookworm)",
        account=Account("postgres", 111, 113, home, "dba", 200),
        extras=("psycopg3", "etcd3"),
        bin_dir="/opt/patroni/bin",
        pipx_home="/opt/pipx",
        config_dir="/srv/patroni",
        config_path="/srv/patroni/main.yml",
        unit_path="/etc/systemd/system/patroni-main.service",
        unit_uid=0,
        unit_gid=0,
        legacy_environment=f"{home}/.local/pipx/venvs/patroni",
        typed={
            path: path
            for path in (
                home,
                "/opt/patroni/bin",
                "/opt/pipx",
                "/srv/patroni",
                "/etc/systemd/system",
                "/etc/systemd/system/patroni-main.service",
            )
        },
        version="4.1.5",
        python="python3.12",
        pipx_executable="/opt/tools/pipx",
        pipx_version="1.7.1",
        sources=Sources(
            index_url="https://index.example.org/simple",
            find_links=("/srv/wheels", "https://files.example.org"),
            no_index=True,
            constraints=constraints,
            limits=(
                Limit("psycopg2-binary", "==2.9.9", file=constraints, line="psycopg2_binary==2.9.9"),
                Limit("click", "<9", file=constraints, line="click<9"),
            ),
            machine=os.uname().machine,
            require_hashes=True,
        ),
        force=True,
    )


def test_constraints_are_read_with_the_files_that_they_name(home):
    texts = {
        "c.txt": "\ufeffpatroni==4.0.7\r\n-c more/d.txt\n-r e.txt\n-c https://example.org/x.txt\n",
        # Each in a circle, and one file under two names.
        "more/d.txt": "a==1\n-c ../c.txt\n-c ../more/d.txt\n-c link.txt\n",
        "e.txt": "b==1\n",
    }
    os.mkdir(f"{home}/more")
    os.symlink("d.txt", f"{home}/more/link.txt")
    for name, text in texts.items():
        with open(f"{home}/{name}", "w", encoding="utf-8", newline="") as stream:
            stream.write(text)

    read = desire(constraints=f"{home}/c.txt").sources.limits

    assert [(limit.name, limit.file[len(home) :]) for limit in read] == [
        ("patroni", "/c.txt"),
        ("a", "/more/d.txt"),
        ("b", "/e.txt"),
    ]


def test_constraints_that_name_a_file_that_is_not_there(home):
    with open(f"{home}/c.txt", "w", encoding="utf-8") as stream:
        stream.write("-c gone.txt\n")

    assert refusal(constraints=f"{home}/c.txt") == (
        f"constraints: postgres must be able to read {home}/gone.txt, and cannot; put the file there first"
    )


def test_directories_have_one_name_and_messages_have_the_other(home):
    os.mkdir(f"{home}/data")
    os.symlink(f"{home}/data", f"{home}/.local")

    wanted = desire()

    assert (wanted.pipx_home, wanted.bin_dir, wanted.legacy_environment) == (
        f"{home}/data/share/pipx",
        f"{home}/data/bin",
        f"{home}/data/pipx/venvs/patroni",
    )
    assert wanted.shown(wanted.bin_dir) == f"{home}/.local/bin"
    assert wanted.shown(f"{wanted.pipx_home}/venvs/patroni") == f"{home}/.local/share/pipx/venvs/patroni"
    assert wanted.shown("/etc/patroni") == "/etc/patroni"


@pytest.mark.parametrize(
    "way",
    [
        pytest.param("{base}/link/conf", id="a link"),
        pytest.param("{base}/relative/conf", id="a relative link"),
        pytest.param("{base}/climbing/conf", id="a link that climbs"),
        pytest.param("{base}/chain/conf", id="a link to a link"),
    ],
)
def test_configuration_directory_and_unit_behind_links(home, tmp_path, way):
    base = os.path.realpath(str(tmp_path))
    os.makedirs(f"{base}/real/deep")
    os.symlink(f"{base}/real", f"{base}/link")
    os.symlink("real", f"{base}/relative")
    os.symlink("real/deep/..", f"{base}/climbing")
    os.symlink("link", f"{base}/chain")
    typed = way.format(base=base)

    wanted = desire(config_dir=typed, unit_path=f"{typed}-units/patroni.service")

    assert wanted.config_dir == f"{base}/real/conf"
    assert wanted.unit_path == f"{base}/real/conf-units/patroni.service"
    assert wanted.config_path == f"{typed}/patroni.yaml"
    assert wanted.shown(wanted.config_dir) == typed
    assert wanted.shown(wanted.unit_path) == f"{typed}-units/patroni.service"


def test_configuration_directory_that_is_a_link_is_not_followed(home, tmp_path):
    (tmp_path / "real").mkdir()
    os.symlink("real", str(tmp_path / "conf"))

    assert desire(config_dir=str(tmp_path / "conf")).config_dir.endswith("/conf")


def os_release(pretty, identifier, like=""):
    return f'PRETTY_NAME="{pretty}"\nNAME="{pretty}"\nID={identifier}\nID_LIKE="{like}"\n'


@pytest.mark.parametrize(
    ("release", "family", "distribution"),
    [
        pytest.param(DEBIAN, "debian", "Debian GNU/Linux 12 (bookworm)", id="Debian"),
        pytest.param(os_release("Ubuntu 24.04.1 LTS", "ubuntu", "debian"), "debian", "Ubuntu 24.04.1 LTS", id="Ubuntu"),
        pytest.param(os_release("Linux Mint 22", "linuxmint", "ubuntu debian"), "debian", "Linux Mint 22", id="Mint"),
        pytest.param(
            os_release("Red Hat Enterprise Linux 9.4 (Plow)", "rhel", "fedora"),
            "redhat",
            "Red Hat Enterprise Linux 9.4 (Plow)",
            id="RHEL",
        ),
        pytest.param(ROCKY, "redhat", "Rocky Linux 9.6 (Blue Onyx)", id="Rocky"),
        pytest.param(
            os_release("AlmaLinux 9.4", "almalinux", "rhel centos fedora"), "redhat", "AlmaLinux 9.4", id="Alma"
        ),
        pytest.param(
            os_release("Oracle Linux Server 9.4", "ol", "fedora"), "redhat", "Oracle Linux Server 9.4", id="Oracle"
        ),
        pytest.param(
            os_release("Amazon Linux 2023", "amzn", "fedora"), "redhat", "Amazon Linux 2023", id="Amazon Linux 2023"
        ),
        pytest.param(
            os_release("CentOS Stream 9", "centos", "rhel fedora"), "redhat", "CentOS Stream 9", id="CentOS Stream"
        ),
        pytest.param(os_release("Fedora Linux 40", "fedora"), "redhat", "Fedora Linux 40", id="Fedora"),
    ],
)
def test_family(home, system, release, family, distribution):
    system(release)

    wanted = desire()

    assert (wanted.family, wanted.distribution) == (family, distribution)


@pytest.mark.parametrize(
    ("release", "found"),
    [
        pytest.param(os_release("Arch Linux", "arch"), "Arch Linux (ID=arch)", id="Arch"),
        pytest.param(
            os_release("openSUSE Leap 15.6", "opensuse-leap", "suse opensuse"),
            # Older releases of the distro library keep the whole name.
            f"openSUSE Leap 15.6 (ID={distro.NORMALIZED_OS_ID.get('opensuse-leap', 'opensuse-leap')})",
            id="SUSE",
        ),
        pytest.param(os_release("Alpine Linux v3.20", "alpine"), "Alpine Linux v3.20 (ID=alpine)", id="Alpine"),
        pytest.param("", "unnamed (ID=?)", id="none"),
    ],
)
def test_other_family_is_refused(home, system, release, found):
    system(release)

    assert refusal() == f"unsupported distribution: {found}; supported are the Debian and RHEL families"


@pytest.mark.parametrize("name", ["version", "pipx_version"])
@pytest.mark.parametrize(
    "value", ["4", "4.1", "4.1.5", "4.1.5rc1", "4.1.5a2", "4.1.5.post1", "4.1.5.dev3", "4.1.5+pgedge.1"]
)
def test_version(home, name, value):
    assert getattr(desire(**{name: value}), name) == value


@pytest.mark.parametrize("name", ["version", "pipx_version"])
@pytest.mark.parametrize(
    "value",
    [
        "",
        "latest",
        ">=4.1",
        "4.1.*",
        "4.1.5 ",
        "4.1.5\n",
        "4.1.5; python_version > '3'",
        "4.1.5 --index-url=http://example.org",
        "--pre",
        "-r/etc/passwd",
        "4..1",
        "\u0664.1",
    ],
)
def test_version_is_refused(home, name, value):
    assert refusal(**{name: value}) == f"{name}: must be an exact PEP 440 version such as 4.1.5, got {value!r}"


@pytest.mark.parametrize("state", ["latest", "absent"])
def test_version_with_another_state_is_refused(home, state):
    assert refusal(version="4.1.5", state=state) == f"version: can only be used with state=present, not state={state}"


@pytest.mark.parametrize("extra", ["etcd", "psycopg2-binary", "psycopg3", "a", "A.b_c-9"])
def test_extra(home, extra):
    assert desire(extras=[extra]).extras == (extra,)


def test_no_extras(home):
    assert desire(extras=[]).extras == ()


@pytest.mark.parametrize(
    "extra", ["", "etcd,aws", "etcd]", "-etcd", "etcd-", "et cd", "etcd\n", "etcd;x", "etcd@http://x"]
)
def test_extra_is_refused(home, extra):
    assert refusal(extras=["etcd", extra]) == f"extras: must be names of extras (PEP 508) such as etcd, got {extra!r}"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        pytest.param(
            {"index_url": "index.example.org"},
            "index_url: must be a URL such as https://index.example.com/simple",
            id="no URL",
        ),
        pytest.param(
            {"index_url": ""},
            "index_url: must be a URL such as https://index.example.com/simple",
            id="empty URL",
        ),
        pytest.param(
            {"index_url": "https://x\n--extra"},
            "index_url, find_links: must not contain characters that cannot be printed",
            id="newline in the URL",
        ),
        pytest.param(
            {"find_links": ["https://example.org", "/srv/a\nb"]},
            "index_url, find_links: must not contain characters that cannot be printed",
            id="newline in a directory",
        ),
        pytest.param(
            {"find_links": ["wheels"]},
            "find_links: must be an absolute path, got 'wheels'",
            id="relative directory",
        ),
        pytest.param(
            {"no_index": True},
            "no_index: requires find_links, which names where packages come from",
            id="no index and no links",
        ),
        pytest.param(
            {"constraints": "constraints.txt"},
            "constraints: must be an absolute path, got 'constraints.txt'",
            id="relative constraints",
        ),
        pytest.param(
            {"constraints": "/nowhere/constraints.txt"},
            "constraints: postgres must be able to read /nowhere/constraints.txt, and cannot; put the file there first",
            id="constraints are missing",
        ),
    ],
)
def test_source_is_refused(home, params, message):
    assert refusal(**params) == message


def test_credentials_of_sources_and_of_the_task_s_environment_are_hidden(home, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:s3cret@example.org")
    host = FakeHost()

    desire(
        host, index_url="https://us%40er:p%23ss@example.org/simple", find_links=["https://t0ken@example.net", "/srv"]
    )

    assert host.hidden >= {"p%23ss", "p#ss", "t0ken", "s3cret"}
    assert not host.hidden & {"us%40er", "us@er", "me", "/srv"}
    # The options are hidden as a whole; what holds no secret need not be.
    assert host.shown == {"/srv"}


@pytest.mark.parametrize("folder", ["/usr/bin", "/usr/local/bin/", "/sbin"])
def test_bin_dir_on_root_s_path_is_refused(home, folder):
    assert refusal(bin_dir=folder) == (
        f"bin_dir: {folder.rstrip('/')} must not be on root's PATH, because root would run what postgres can rewrite; "
        "choose another directory, such as /opt/patroni/bin"
    )


def test_bin_dir_on_root_s_path_is_refused_behind_a_link(home):
    os.symlink("/usr/bin", f"{home}/link")

    assert "must not be on root's PATH" in refusal(bin_dir=f"{home}/link")


def test_bin_dir_on_root_s_path_is_fine_where_root_is_the_account(home):
    assert desire(user="root", bin_dir="/usr/local/bin").bin_dir == "/usr/local/bin"


@pytest.mark.parametrize(
    ("folder", "holds"),
    [
        pytest.param("/var", "/var/lib (the system)", id="parent of a system directory"),
        pytest.param("/srv", "/srv (the system)", id="system directory"),
        pytest.param("/usr/bin", "/usr/bin (the system)", id="root's PATH"),
        pytest.param("/opt/patroni", "/opt/patroni/bin (bin_dir)", id="bin_dir"),
        pytest.param("/data/pipx", "/data/pipx (pipx_home)", id="pipx_home"),
    ],
)
def test_configuration_directory_of_other_use_is_refused(home, folder, holds):
    assert refusal(config_dir=folder, bin_dir="/opt/patroni/bin", pipx_home="/data/pipx") == (
        f"config_dir: {folder} must not be or contain {holds}, because only postgres could enter it; "
        "choose another directory, such as /etc/patroni"
    )


def test_configuration_directory_that_is_the_home_is_refused(home):
    assert refusal(config_dir=home).startswith(f"config_dir: {home} must not be or contain {home} (user)")


@pytest.mark.parametrize("folder", ["/etc/patroni", "/opt/patroni", "/srv/pg/etc", "/var/lib/patroni", "/etcetera"])
def test_configuration_directory_of_its_own(home, folder):
    assert desire(config_dir=folder).config_dir == folder


@pytest.mark.parametrize(
    ("option", "folder"),
    [("bin_dir", "/opt/patroni"), ("pipx_home", "/opt"), ("config_dir", "/opt/patroni/units"), ("config_dir", "/opt")],
)
def test_unit_in_a_directory_given_to_the_account_is_refused(home, option, folder):
    assert refusal(**{option: folder, "unit_path": "/opt/patroni/units/patroni.service"}) == (
        f"unit_path: /opt/patroni/units/patroni.service must not be in {folder} ({option}), which belongs to "
        "postgres: whoever can write the unit becomes root; choose a directory that belongs to root, such as "
        "/etc/systemd/system"
    )


def test_unit_in_the_home_is_refused(home):
    assert f"must not be in {home} (user), which belongs to postgres" in refusal(
        unit_path=f"{home}/units/patroni.service"
    )


def test_unit_in_the_home_is_fine_without_root(home, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 111)
    path = f"{home}/units/patroni.service"

    assert desire(FakeHost(root=False), unit_path=path).unit_path == path


@pytest.mark.parametrize("name", ["user", "group"])
@pytest.mark.parametrize("value", ["", "-x", "a b", "a\nUser=root", "a:b", "../x", "\x1b[0m"])
def test_name_of_account_or_group_is_refused(home, name, value):
    assert (
        refusal(check_mode=True, **{name: value}) == f"{name}: must be the name of an account or a group, got {value!r}"
    )


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "must be the name or the path of an interpreter"),
        ("python3\n", "must be the name or the path of an interpreter"),
        ("bin/python3", "must be an absolute path"),
        ("/opt/../python3", "must not contain '..'"),
    ],
)
def test_interpreter_is_refused(home, value, reason):
    assert refusal(python=value) == f"python: {reason}, got {value!r}"


PATHS = ("bin_dir", "pipx_home", "config_dir", "unit_path", "pipx_executable")


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("/opt/x.service", "/opt/x.service"),
        ("//opt///x.service/", "/opt/x.service"),
        ("/opt/./x.service", "/opt/x.service"),
        ("/opt/my patroni/..x/x.service", "/opt/my patroni/..x/x.service"),
        ("/opt/база/x.service", "/opt/база/x.service"),
    ],
)
def test_path(home, name, value, read):
    assert getattr(desire(**{name: value}), name) == read


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param("opt/x.service", "must be an absolute path", id="relative"),
        pytest.param("~nobody/x.service", "must be an absolute path", id="unknown home"),
        pytest.param("/opt/../x.service", "must not contain '..'", id="climbing"),
        pytest.param("/opt/x.service/..", "must not contain '..'", id="climbing at the end"),
        pytest.param("/opt/a\nb.service", "must not contain characters that cannot be printed", id="newline"),
        pytest.param("/opt/a\tb.service", "must not contain characters that cannot be printed", id="tab"),
        pytest.param("/opt/a\x1b[0m.service", "must not contain characters that cannot be printed", id="escape"),
        pytest.param("/opt/a\u2028.service", "must not contain characters that cannot be printed", id="separator"),
    ],
)
def test_path_is_refused(home, name, value, reason):
    assert refusal(**{name: value}) == f"{name}: {reason}, got {value!r}"


@pytest.mark.parametrize("name", ["bin_dir", "pipx_home", "config_dir", "unit_path"])
def test_empty_path_is_refused(home, name):
    assert refusal(**{name: ""}) == f"{name}: must be an absolute path, got ''"


def test_root_directory_is_refused_as_configuration_directory(home):
    # The account would become its owner, with mode 0700.
    assert refusal(config_dir="/").startswith("config_dir: must not be the root directory")


@pytest.mark.parametrize(
    ("value", "path"),
    [
        pytest.param("patroni.yaml", "/etc/patroni/patroni.yaml", id="bare"),
        pytest.param("my cluster.yml", "/etc/patroni/my cluster.yml", id="bare, with a space"),
        pytest.param("/srv/patroni.yaml", "/srv/patroni.yaml", id="absolute"),
        pytest.param("/etc/patroni/", "/etc/patroni", id="a directory, which Patroni merges"),
    ],
)
def test_config_file(home, value, path):
    assert desire(config_file=value).config_path == path


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("conf/patroni.yaml", "must be an absolute path"),
        ("./patroni.yaml", "must be an absolute path"),
        ("", "must be an absolute path"),
        (".", "must be an absolute path"),
        ("..", "must be an absolute path"),
        ("/etc/../patroni.yaml", "must not contain '..'"),
    ],
)
def test_config_file_is_refused(home, value, reason):
    assert refusal(config_file=value) == f"config_file: {reason}, got {value!r}"


def test_config_file_with_a_newline_is_refused(home):
    assert refusal(config_file="a\nExecStartPre=x") == (
        "config_file: must not contain characters that cannot be printed, got '/etc/patroni/a\\nExecStartPre=x'"
    )


@pytest.mark.parametrize("name", ["patroni.service", "patroni-16.service", "pat:ro_ni.x.service", "a\\x2db.service"])
def test_unit_name(home, name):
    assert desire(unit_path=f"/etc/systemd/system/{name}").unit_name == name


@pytest.mark.parametrize(
    "name",
    [
        "patroni",
        "patroni.timer",
        ".service/",
        "pat roni.service",
        "patroni@.service",
        "ä.service",
        "-x.service",
        ".x.service",
    ],
)
def test_unit_name_is_refused(home, name):
    path = f"/etc/systemd/system/{name}".rstrip("/")

    assert refusal(unit_path=f"/etc/systemd/system/{name}") == (
        f"unit_path: must end in the name of a unit such as patroni.service, got {path!r}"
    )


@pytest.mark.parametrize("name", ["lock_timeout", "retries", "retry_delay"])
def test_patience(name):
    with pytest.raises(PatroniInstallError) as refused:
        _params.patience({**DEFAULTS, name: -1})

    assert str(refused.value) == f"{name}: must be 0 or more, got -1"
    assert getattr(_params.patience({**DEFAULTS, name: 0}), name) == 0


def test_return_to_leaves_out_what_describes_an_environment(home):
    path = f"{home}/.local/share/pipx/patroni/1/venvs/patroni"

    wanted = desire(return_to=path, version="4.1.5", extras=["etcd"], python="python3.11")

    assert (wanted.return_to, wanted.version, wanted.extras, wanted.python) == (path, None, (), None)


def test_return_to_a_version_goes_before_the_version(home):
    wanted = desire(return_to="4.0.11", version="4.1.5", extras=["etcd"], python="python3.11")

    assert (wanted.return_to, wanted.version, wanted.extras, wanted.python) == (None, "4.0.11", (), None)


@pytest.mark.parametrize("state", ["absent", "latest"])
def test_return_to_is_for_what_is_present(home, state):
    assert refusal(return_to="/x", state=state) == f"return_to: can only be used with state=present, not state={state}"


def test_keep(home):
    assert refusal(keep=-1) == "keep: must be 0 or more, got -1"
    assert [desire(keep=keep).keep for keep in (0, 3)] == [0, 3]
    assert desire().keep == 1


def test_patience_by_default():
    assert _params.patience(DEFAULTS) == Patience(lock_timeout=300, retries=5, retry_delay=20)


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize(
    ("params", "message"),
    [
        pytest.param(
            {"user": "homeless"},
            "user: the home {home}/gone of the account homeless does not exist; the role init_server creates it",
            id="home missing",
        ),
        pytest.param(
            {"group": "nobodys"},
            "group: the group nobodys does not exist; create it first, or name another",
            id="group missing",
        ),
        pytest.param(
            {"user": "groupless"},
            "group: the group 999 does not exist; create it first, or name another",
            id="primary group missing",
        ),
    ],
)
def test_account_is_refused(home, params, message, check_mode):
    assert refusal(check_mode=check_mode, **params) == message.format(home=home)


def test_missing_account_is_refused(home):
    host = FakeHost()

    assert refusal(host, user="pgsql") == "user: the account pgsql does not exist; the role init_server creates it"
    assert host.warnings == []


def test_home_is_read_without_superfluous_parts(home):
    assert desire(user="slashed").account.home == home


@pytest.mark.parametrize(
    ("release", "user", "assumed"),
    [
        pytest.param(DEBIAN, "postgres", "/var/lib/postgresql", id="debian"),
        pytest.param(ROCKY, "postgres", "/var/lib/pgsql", id="redhat"),
        pytest.param(DEBIAN, "patroni", "/home/patroni", id="another account"),
    ],
)
def test_check_mode_assumes_a_missing_account(monkeypatch, home, system, release, user, assumed):
    def nobody(name):
        raise KeyError(name)

    system(release)
    monkeypatch.setattr(pwd, "getpwnam", nobody)
    host = FakeHost()

    wanted = desire(host, check_mode=True, user=user)

    assert wanted.account == Account(user, -1, -1, assumed, user, -1, assumed=True)
    assert wanted.bin_dir == f"{assumed}/.local/bin"
    assert host.warnings == [
        f"the account {user} does not exist yet; check mode assumes that the role init_server "
        f"creates it, with the home {assumed}"
    ]


def test_assumed_account_keeps_the_group_that_is_named(home):
    assert desire(check_mode=True, user="pgsql", group="dba").account.group == "dba"


def test_without_root_another_account_is_refused(home, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert refusal(FakeHost(root=False)) == (
        "installing Patroni for postgres needs root: run with become: true; "
        "without root, user must be the account that runs the module"
    )


def test_without_root_the_own_account_is_fine(home, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 111)
    monkeypatch.setattr(os, "getegid", lambda: 113)
    host = FakeHost(root=False)

    wanted = desire(host)

    assert (wanted.account.name, wanted.unit_uid, wanted.unit_gid) == ("postgres", 111, 113)
    assert host.warnings == []


def test_root_as_the_account_is_warned_of(home):
    host = FakeHost()

    assert desire(host, user="root").account.uid == 0
    assert host.warnings == ["user: root is root, and Postgres does not run as root"]


def test_login_shell(home):
    assert [desire(login_shell=wanted).login_shell for wanted in (False, True)] == [False, True]
    assert desire(login_shell=True, state="absent").login_shell is False
    assert desire(user="root").login_shell is False
    assert refusal(user="root", login_shell=True) == (
        "login_shell: must be false for root, whose shells must find the commands of the system alone"
    )
    assert desire(bin_dir="/opt/a:b").bin_dir == "/opt/a:b"
    assert refusal(bin_dir="/opt/a:b", login_shell=True) == (
        "bin_dir: /opt/a:b must not contain ':', which separates the directories of PATH; choose another directory, "
        "or set login_shell: false"
    )
