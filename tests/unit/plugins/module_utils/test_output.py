# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read in the output of the real tools.

The output was recorded with apt 2.6, dnf 4.14, pip 23.2 and pipx 1.1.0, 1.7.1 and 1.18.4; names of hosts were replaced
and repeated lines left out.
"""

from __future__ import annotations

import pytest

from ansible_collections.pgedge.platform.plugins.module_utils import _commands, _output

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
    assert _output.parse_properties(text) == properties


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
    assert " ".join(_output.parse_versions(text)) == versions


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
    assert _output.parse_offered(text) == offered


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
    assert _output.parse_pip_log(text) == path


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
    assert _output.is_locked(output) is locked


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
    assert _output.is_transient(output) is transient


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
    assert _output.parse_cause(output) == cause


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
