# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that are built, and what is read in the output of the real tools.

The output was recorded with apt 2.6, dnf 4.14, pip 23.2 and pipx 1.1.0, 1.7.1 and 1.18.4; names of hosts were replaced
and repeated lines left out.
"""

from __future__ import annotations

import pytest

from ansible_collections.pgedge.platform.plugins.module_utils import _commands
from ansible_collections.pgedge.platform.plugins.module_utils._model import Sources

APT_INSTALL = ["apt-get", "install", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"]


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        pytest.param(
            _commands.show_unit("patroni.service"),
            [
                "systemctl",
                "show",
                "--property=NeedDaemonReload,FragmentPath,ActiveState,UnitFileState,"
                "ExecMainStartTimestampMonotonic,MainPID",
                "patroni.service",
            ],
            id="show unit",
        ),
        pytest.param(_commands.daemon_reload(), ["systemctl", "daemon-reload"], id="daemon-reload"),
        pytest.param(
            _commands.apt_show("pipx"), ["apt-cache", "show", "--no-all-versions", "pipx"], id="apt-cache show"
        ),
        pytest.param(_commands.apt_update(), ["apt-get", "update"], id="apt-get update"),
        pytest.param(_commands.apt_install(("pipx",), 300), [*APT_INSTALL, "pipx"], id="apt-get install"),
        pytest.param(_commands.apt_install(("a", "b"), 300), [*APT_INSTALL, "a", "b"], id="apt-get install, two"),
        pytest.param(
            _commands.dnf_install(("python3-pip",)),
            [
                "dnf",
                "--assumeyes",
                "--setopt=install_weak_deps=False",
                "--setopt=exit_on_lock=True",
                "install",
                "python3-pip",
            ],
            id="dnf install",
        ),
        pytest.param(_commands.dpkg_configure(), ["dpkg", "--configure", "-a"], id="dpkg --configure"),
        pytest.param(
            _commands.pip_install("/usr/bin/pip3", "pipx==1.7.1"),
            ["/usr/bin/pip3", "install", "pipx==1.7.1"],
            id="pip install",
        ),
        pytest.param(
            _commands.pip_install("/usr/bin/pip3", "pipx", again=True),
            ["/usr/bin/pip3", "install", "--ignore-installed", "pipx"],
            id="pip install again",
        ),
        pytest.param(
            _commands.pip_index_versions("/e"),
            ["/e/bin/python", "-m", "pip", "index", "versions", "patroni"],
            id="pip index",
        ),
        pytest.param(
            _commands.pipx_install("/usr/bin/pipx", "patroni[etcd]==4.1.5", None),
            ["/usr/bin/pipx", "install", "patroni[etcd]==4.1.5"],
            id="pipx install",
        ),
        pytest.param(
            _commands.pipx_install("/usr/bin/pipx", "patroni", "python3.12"),
            ["/usr/bin/pipx", "install", "--python", "python3.12", "patroni"],
            id="pipx install, interpreter named",
        ),
    ],
)
def test_argv(command, argv):
    assert command == argv


@pytest.mark.parametrize(
    ("pipx", "names"),
    [
        ("0.16.4", ["pip", "setuptools", "wheel"]),
        ("1.1.0", ["pip", "setuptools", "wheel"]),
        ("1.2.1", ["pip", "setuptools", "wheel"]),
        ("1.3.0", ["pip"]),
        ("1.10.0", ["pip"]),
        ("1.18.4", ["pip"]),
        ("2.0", ["pip"]),
    ],
)
def test_shared_libraries_hold_what_each_pipx_puts_there(pipx, names):
    venv, install = _commands.make_shared_libraries("/usr/bin/python3", "/p/shared", "/w/pip-23.whl", pipx)

    assert venv == ["/usr/bin/python3", "-m", "venv", "--without-pip", "/p/shared"]
    options = ["--quiet", "--retries=0", "--no-compile"]
    assert install == ["/p/shared/bin/python", "/w/pip-23.whl/pip", "install", *options, *names]


@pytest.mark.parametrize(
    ("script", "python"),
    [
        ("#!/usr/bin/python3\nimport sys\n", "/usr/bin/python3"),
        ("#! /usr/bin/python3.9 -sP\n", "/usr/bin/python3.9"),
        ("#!/opt/pipx/bin/python\n", "/opt/pipx/bin/python"),
        ("#!/usr/bin/env python3\n", None),
        ("#!/bin/sh\n", None),
        ("#!/usr/bin/pythonic\n", None),
        ("import sys\n#!/usr/bin/python3\n", None),
        ("\x7fELF", None),
        ("", None),
    ],
)
def test_interpreter_of_a_script(script, python):
    assert _commands.parse_interpreter(script) == python


def test_pipx_environment():
    assert _commands.pipx_environment("/home/pg/pipx/patroni/3", "/home/pg/pipx/shared", Sources()) == {
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_PREFER_BINARY": "1",
        "PIPX_DEFAULT_BACKEND": "pip",
        "USE_EMOJI": "0",
        "PIPX_HOME": "/home/pg/pipx/patroni/3",
        "PIPX_BIN_DIR": "/home/pg/pipx/patroni/3/bin",
        "PIPX_MAN_DIR": "/home/pg/pipx/patroni/3/man",
        "PIPX_COMPLETION_DIR": "/home/pg/pipx/patroni/3/completion",
        "PIPX_SHARED_LIBS": "/home/pg/pipx/shared",
    }


@pytest.mark.parametrize(
    ("sources", "added"),
    [
        pytest.param(Sources(), {}, id="pip's own"),
        pytest.param(
            Sources(index_url="https://u:p@example.org/simple"),
            # pip would write them into the command line of the build of a package.
            {"PIP_INDEX_URL": "https://example.org/simple"},
            id="index, without its credentials",
        ),
        pytest.param(
            Sources(find_links=("/srv/my wheels", "https://example.org/a b"), no_index=True),
            # pip splits the list at white space.
            {"PIP_FIND_LINKS": "file:///srv/my%20wheels https://example.org/a%20b", "PIP_NO_INDEX": "1"},
            id="links, and no index",
        ),
        pytest.param(
            Sources(constraints="/srv/my constraints.txt"),
            {"PIP_CONSTRAINT": "file:///srv/my%20constraints.txt"},
            id="constraints",
        ),
    ],
)
def test_pip_environment(sources, added):
    assert _commands.pip_environment(sources) == {
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_PREFER_BINARY": "1",
        **added,
    }


@pytest.mark.parametrize(
    ("text", "pins"),
    [
        ("", {}),
        ("patroni==4.1.5\n", {"patroni": "4.1.5"}),
        ("  Psycopg2_Binary == 2.9.9  # pinned\n", {"psycopg2-binary": "2.9.9"}),
        ("a===1.0\n", {"a": "1.0"}),
        ("# a==1\n-r other.txt\na>=1\na~=1.0\na==1.*\na!=1\na==1,<2\na @ file:///x\n", {}),
        # Whether a condition holds is for pip to judge.
        ("a==1; python_version < '3.8'\n", {}),
        ("a==1 --hash=sha256:x\n", {}),
    ],
)
def test_parse_pins(text, pins):
    assert _commands.parse_pins(text) == pins


@pytest.mark.parametrize(
    ("extras", "imported"),
    [
        pytest.param(("psycopg2-binary", "etcd"), "import psycopg2, patroni.dcs.etcd", id="the default"),
        pytest.param(("psycopg2", "psycopg2-binary"), "import psycopg2", id="each module once"),
        pytest.param(("psycopg3", "unheard-of"), "import psycopg", id="an extra that is not known"),
        pytest.param(("all", "unheard-of"), None, id="none that is known"),
        pytest.param((), None, id="none"),
    ],
)
def test_checks(extras, imported):
    last = [["/e/bin/python", "-c", imported]] if imported else []

    assert _commands.checks("/e", extras) == [["/e/bin/patroni", "--version"], ["/e/bin/patronictl", "version"], *last]


def test_netrc_carries_each_credential_once():
    sources = Sources(
        index_url="https://me:p%40ss@example.org/simple",
        find_links=("https://me:p%40ss@example.org/wheels", "https://token@mirror.example.org/", "/srv/wheels"),
    )

    assert _commands.netrc_text(sources) == (
        "machine example.org login me password p@ss\nmachine mirror.example.org login token password \n"
    )
    assert _commands.netrc_text(Sources(index_url="https://example.org/simple")) == ""
    assert _commands.pip_environment(sources, "/run/netrc")["NETRC"] == "/run/netrc"


SHOWN = """\
MainPID=0
ExecMainStartTimestampMonotonic=0
ActiveState=inactive
FragmentPath=/etc/systemd/system/patroni.service
UnitFileState=disabled
NeedDaemonReload=no
"""


@pytest.mark.parametrize(
    ("text", "properties"),
    [
        pytest.param(
            SHOWN,
            {
                "MainPID": "0",
                "ExecMainStartTimestampMonotonic": "0",
                "ActiveState": "inactive",
                "FragmentPath": "/etc/systemd/system/patroni.service",
                "UnitFileState": "disabled",
                "NeedDaemonReload": "no",
            },
            id="of a unit",
        ),
        pytest.param("FragmentPath=\nX=a=b\n", {"FragmentPath": "", "X": "a=b"}, id="empty, and a second sign"),
        pytest.param("", {}, id="nothing"),
    ],
)
def test_parse_properties(text, properties):
    assert _commands.parse_properties(text) == properties


PIP_INDEX = """\
patroni (4.1.5)
Available versions: 4.1.5, 4.1.4, 4.1.3, 4.1.2, 4.1.1, 4.1.0, 4.0.11, 4.0.10
  INSTALLED: 4.0.5
  LATEST:    4.1.5
"""


@pytest.mark.parametrize(
    ("text", "versions"),
    [
        pytest.param(PIP_INDEX, "4.1.5 4.1.4 4.1.3 4.1.2 4.1.1 4.1.0 4.0.11 4.0.10", id="several"),
        pytest.param("patroni (4.1.5)\nAvailable versions: 4.1.5\n", "4.1.5", id="one"),
        pytest.param("", "", id="none"),
    ],
)
def test_parse_versions(text, versions):
    assert " ".join(_commands.parse_versions(text)) == versions


PIPX_WRONG_VERSION = """\
creating virtual environment...
installing patroni from spec 'patroni[etcd]==9.9.9'...
Fatal error from pip prevented installation. Full pip output in file:
    /var/lib/postgresql/.local/share/pipx/logs/cmd_2026-11-23_06.29.40_pip_errors.log

Some possibly relevant errors from pip install:
    ERROR: Ignored the following yanked versions: 4.0.0
    ERROR: Could not find a version that satisfies the requirement patroni==9.9.9 (from versions: 0.2, 1.0rc1, 4.0.11, \
4.1.5)
    ERROR: No matching distribution found for patroni==9.9.9

Error installing patroni from spec 'patroni[etcd]==9.9.9'.
"""
PIPX_UNREACHABLE = """\
creating virtual environment...
installing patroni from spec 'patroni[etcd]'...
Fatal error from pip prevented installation. Full pip output in file:
    /var/lib/postgresql/.local/share/pipx/logs/cmd_2026-11-23_06.30.57_pip_errors.log

Some possibly relevant errors from pip install:
    ERROR: Could not find a version that satisfies the requirement patroni[etcd] (from versions: none)
    ERROR: No matching distribution found for patroni[etcd]

Error installing patroni from spec 'patroni[etcd]'.
"""


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        pytest.param(PIPX_WRONG_VERSION, ("0.2", "1.0rc1", "4.0.11", "4.1.5"), id="another version"),
        pytest.param(PIPX_UNREACHABLE, (), id="none"),
        pytest.param("", (), id="no output"),
    ],
)
def test_parse_offered(text, offered):
    assert _commands.parse_offered(text) == offered


@pytest.mark.parametrize(
    ("text", "path"),
    [
        pytest.param(
            PIPX_WRONG_VERSION,
            "/var/lib/postgresql/.local/share/pipx/logs/cmd_2026-11-23_06.29.40_pip_errors.log",
            id="named",
        ),
        pytest.param("Full pip output in file:\n    relative.log\n", None, id="no path"),
        pytest.param("", None, id="no output"),
    ],
)
def test_parse_pip_log(text, path):
    assert _commands.parse_pip_log(text) == path


PIP_RETRYING = (
    "WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) "
    "after connection broken by "
)
PIP_NONE = """
ERROR: Could not find a version that satisfies the requirement pipx (from versions: none)
ERROR: No matching distribution found for pipx
"""
PIP_REFUSED = (
    PIP_RETRYING + "'NewConnectionError('<pip._vendor.urllib3.connection.HTTPConnection object at 0x7fcbb45872d0>: "
    "Failed to establish a new connection: [Errno 111] Connection refused')': /simple/pipx/" + PIP_NONE
)
PIP_UNKNOWN_HOST = (
    PIP_RETRYING + "'NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection object at 0x7fb960df17d0>: "
    "Failed to establish a new connection: [Errno -2] Name or service not known')': /simple/pipx/" + PIP_NONE
)
PIP_SILENT_HOST = (
    PIP_RETRYING + "'ReadTimeoutError(\"HTTPConnectionPool(host='127.0.0.1', port=8096): Read timed out. "
    "(read timeout=2.0)\")': /simple/pipx/" + PIP_NONE
)
PIP_UNTRUSTED = (
    "Could not fetch URL https://example.org/simple/pipx/: There was a problem confirming the ssl certificate: "
    "HTTPSConnectionPool(host='example.org', port=443): Max retries exceeded with url: /simple/pipx/ (Caused by "
    "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed "
    "certificate (_ssl.c:1006)'))) - skipping\n"
    + PIP_RETRYING
    + "'SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed "
    "certificate (_ssl.c:1006)'))': /simple/pipx/" + PIP_NONE
)
PIPX_INCOMPLETE_DOWNLOAD = """\
creating virtual environment...
installing patroni...
Fatal error from pip prevented installation. Full pip output in file:
    /var/lib/postgresql/.local/share/pipx/logs/cmd_2026-11-23_06.33.10_pip_errors.log

pip seemed to fail to build package:
    patroni

Some possibly relevant errors from pip install:
    error: incomplete-download

Error installing patroni.
"""
PIPX_DISK_FULL = """\
  File "/usr/lib/python3/dist-packages/pipx/util.py", line 693, in subprocess_post_check_handle_pip_error
    with _ERROR_LOG_LOCK, error_file.open("a", encoding="utf-8") as error_fh:
OSError: [Errno 28] No space left on device
"""

APT_LOCKED = """\
Waiting for cache lock: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 8297 (apt-get)...
E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?
"""
APT_LISTS_LOCKED = """\
Reading package lists...
E: Could not get lock /var/lib/apt/lists/lock. It is held by process 8394 (apt-get)
E: Unable to lock directory /var/lib/apt/lists/
"""
APT_NOT_PERMITTED = """\
E: Could not open lock file /var/lib/dpkg/lock-frontend - open (30: Read-only file system)
E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), are you root?
"""
APT_REFUSED = """\
Err:1 http://deb.example.org/debian bookworm/main amd64 python3-packaging all 23.0-1
  Could not connect to 127.0.0.1:9 (127.0.0.1). - connect (111: Connection refused)
E: Failed to fetch http://deb.example.org/debian/pool/main/p/python-packaging/python3-packaging_23.0-1_all.deb  Could \
not connect to 127.0.0.1:9 (127.0.0.1). - connect (111: Connection refused)
E: Some files failed to download
"""
APT_UPDATE_UNKNOWN_HOST = """\
Err:1 http://deb.example.org/debian bookworm InRelease
  Could not resolve 'deb.example.org'
Reading package lists...
W: Failed to fetch http://deb.example.org/debian/dists/bookworm/InRelease  Could not resolve 'deb.example.org'
W: Some index files failed to download. They have been ignored, or old ones used instead.
"""
APT_UNAVAILABLE = """\
Err:1 http://deb.example.org/debian bookworm InRelease
  503  Service Unavailable [IP: 127.0.0.1 8099]
Reading package lists...
W: Failed to fetch http://deb.example.org/debian/dists/bookworm/InRelease  503  Service Unavailable [IP: 127.0.0.1 8099]
W: Some index files failed to download. They have been ignored, or old ones used instead.
"""
APT_STALE = """\
Err:1 http://deb.example.org/debian bookworm/main amd64 python3-packaging all 23.0-1
  404  Not Found [IP: 127.0.0.1 8097]
E: Failed to fetch http://deb.example.org/debian/pool/main/p/python-packaging/python3-packaging_23.0-1_all.deb  404  \
Not Found [IP: 127.0.0.1 8097]
E: Some files failed to download
"""
APT_UNKNOWN_PACKAGE = """\
Reading package lists...
Building dependency tree...
Reading state information...
E: Unable to locate package pipx
"""
DPKG_INTERRUPTED = """\
E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.
"""
DNF_LOCKED = """\
metadata already locked by 21228
  The application with PID 21228 is: dnf
    Memory : 1.8 M RSS (2.9 MB VSZ)
    Started: Mon Nov 23 06:33:37 2026 - 00:01 ago
    State  : Sleeping
"""
DNF_WAITING = "Waiting for process with pid 21228 to finish.\n"
DNF_REFUSED = """\
Errors during downloading metadata for repository 'base':
  - Curl error (7): Couldn't connect to server for http://example.org/os/repodata/repomd.xml [Failed to connect to \
example.org port 80 after 0 ms: Couldn't connect to server]
Error: Failed to download metadata for repo 'base': Cannot download repomd.xml: Cannot download repodata/repomd.xml: \
All mirrors were tried
"""
DNF_UNKNOWN_HOST = """\
Errors during downloading metadata for repository 'base':
  - Curl error (6): Couldn't resolve host name for http://example.org/os [Could not resolve host: example.org]
Error: Failed to download metadata for repo 'base': Cannot prepare internal mirrorlist: Curl error (6): Couldn't \
resolve host name for http://example.org/os [Could not resolve host: example.org]
"""
DNF_UNKNOWN_PACKAGE = """\
No match for argument: python3-pip
Error: Unable to find a match: python3-pip
"""


@pytest.mark.parametrize(
    ("output", "locked"),
    [
        pytest.param(APT_LOCKED, True, id="apt"),
        pytest.param(APT_LISTS_LOCKED, True, id="apt, lists"),
        pytest.param(DNF_LOCKED, True, id="dnf"),
        pytest.param(DNF_WAITING, True, id="dnf, waiting"),
        pytest.param(APT_NOT_PERMITTED, False, id="apt, not permitted"),
        pytest.param(APT_REFUSED, False, id="apt, unreachable"),
        pytest.param(APT_UNKNOWN_PACKAGE, False, id="apt, unknown package"),
        pytest.param(DPKG_INTERRUPTED, False, id="dpkg was interrupted"),
        pytest.param(PIPX_WRONG_VERSION, False, id="pipx, wrong version"),
        pytest.param("", False, id="no output"),
    ],
)
def test_is_locked(output, locked):
    assert _commands.is_locked(output) is locked


@pytest.mark.parametrize(
    ("output", "transient"),
    [
        pytest.param(APT_REFUSED, True, id="apt, unreachable"),
        pytest.param(APT_UPDATE_UNKNOWN_HOST, True, id="apt, host not resolved"),
        pytest.param(APT_UNAVAILABLE, True, id="apt, 503"),
        pytest.param(DNF_REFUSED, True, id="dnf, unreachable"),
        pytest.param(DNF_UNKNOWN_HOST, True, id="dnf, host not resolved"),
        pytest.param(PIP_REFUSED, True, id="pip, unreachable"),
        pytest.param(PIP_UNKNOWN_HOST, True, id="pip, host not resolved"),
        pytest.param(PIP_SILENT_HOST, True, id="pip, no answer"),
        # pipx keeps pip's warnings to its log: this is all that it prints of an index that cannot be reached.
        pytest.param(PIPX_UNREACHABLE, True, id="pipx, unreachable"),
        pytest.param(PIPX_INCOMPLETE_DOWNLOAD, True, id="pipx, download broke off"),
        pytest.param(PIPX_WRONG_VERSION, False, id="pipx, wrong version"),
        pytest.param(PIPX_DISK_FULL, False, id="pipx, disk full"),
        pytest.param(PIP_UNTRUSTED, False, id="pip, certificate not trusted"),
        pytest.param(APT_UNKNOWN_PACKAGE, False, id="apt, unknown package"),
        # Waiting does not bring the file back; fresh lists do.
        pytest.param(APT_STALE, False, id="apt, stale lists"),
        pytest.param(DNF_UNKNOWN_PACKAGE, False, id="dnf, unknown package"),
        pytest.param("", False, id="no output"),
    ],
)
def test_is_transient(output, transient):
    assert _commands.is_transient(output) is transient


@pytest.mark.parametrize(
    ("output", "remedy"),
    [
        pytest.param(APT_STALE, ["apt-get", "update"], id="stale lists"),
        pytest.param(DPKG_INTERRUPTED, ["dpkg", "--configure", "-a"], id="dpkg was interrupted"),
        pytest.param(APT_REFUSED, None, id="unreachable"),
        pytest.param(APT_UNKNOWN_PACKAGE, None, id="unknown package"),
        pytest.param("", None, id="no output"),
    ],
)
def test_apt_remedy(output, remedy):
    assert _commands.apt_remedy(output) == remedy


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        pytest.param(
            APT_LOCKED,
            "Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 8297 (apt-get)",
            id="apt, locked",
        ),
        pytest.param(DNF_UNKNOWN_PACKAGE, "Error: Unable to find a match: python3-pip", id="dnf"),
        pytest.param(
            PIPX_WRONG_VERSION, "ERROR: No matching distribution found for patroni==9.9.9", id="pipx, its own words"
        ),
        # Without an index pip ends with "No matching distribution found", which misleads.
        pytest.param(
            f"{PIPX_UNREACHABLE}\nPIP STDERR\n----------\n{PIP_REFUSED}",
            PIP_REFUSED.splitlines()[0],
            id="pipx, with what pip said",
        ),
        pytest.param(PIP_UNTRUSTED, PIP_UNTRUSTED.splitlines()[1], id="a lasting cause comes before a passing one"),
        pytest.param(PIPX_DISK_FULL, "OSError: [Errno 28] No space left on device", id="pipx, disk full"),
        pytest.param("one\n\n  two  \n\n", "two", id="no word of an error"),
        pytest.param(" \n", "it said nothing", id="nothing"),
    ],
)
def test_parse_cause(output, cause):
    assert _commands.parse_cause(output) == cause
