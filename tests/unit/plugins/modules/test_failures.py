# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module on a simulated machine: commands that fail, wait or are repeated, and the messages about them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.pgedge.platform.plugins.module_utils._patroni import _apply
from ansible_collections.pgedge.platform.tests.unit.plugins.machine import Call
from ansible_collections.pgedge.platform.tests.unit.plugins.modules.calls import (
    APT,
    APT_CACHE,
    APT_INSTALL,
    CONFLICT,
    RELOAD,
    WANTED,
    WRONG_VERSION,
    assert_installed,
    debian_from_nothing,
    failing,
    first_installation,
    first_steps,
    folders,
    pipx_install,
    pipx_variables,
    redhat_from_nothing,
    repeated,
    show,
    shown,
    steps,
    upgrade,
)

APT_UPDATE = ["apt-get", "update"]
DPKG_CONFIGURE = ["dpkg", "--force-confdef", "--force-confold", "--configure", "-a"]
UNREACHABLE = """\
E: Failed to fetch http://deb.example.org/debian/pool/main/p/python-pipx/pipx_1.1.0-1_all.deb  Unable to connect to \
deb.example.org:80:
E: Some files failed to download
"""
LOCKED = """\
E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?
"""
STALE = """\
E: Failed to fetch http://deb.example.org/debian/pool/main/p/python-pipx/pipx_1.1.0-1_all.deb  404  Not Found
E: Some files failed to download
"""
DPKG_INTERRUPTED = "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.\n"
UPDATE_UNREACHABLE = """\
W: Failed to fetch http://deb.example.org/debian/dists/bookworm/InRelease  Could not resolve 'deb.example.org'
W: Some index files failed to download. They have been ignored, or old ones used instead.
"""
DEAD_SOURCE = """\
Err:4 http://apt.example.com/third gone Release
  404  Not Found [IP: 192.0.2.80 80]
"""
DEAD_REPOSITORY = """\
Errors during downloading metadata for repository 'third':
  - Status code: 404 for http://rpm.example.com/el9/repodata/repomd.xml
Ignoring repositories: third
"""
DNF_UNKNOWN = "No match for argument: python3-pip\nError: Unable to find a match: python3-pip\n"
PIPX_OFFLINE = """\
Some possibly relevant errors from pip install:
    ERROR: Could not find a version that satisfies the requirement patroni[etcd] (from versions: none)
    ERROR: No matching distribution found for patroni[etcd]

Error installing patroni from spec 'patroni[etcd]'.
"""
DOES_NOT_RUN = f"{WANTED} was installed but does not run as postgres: no"


@pytest.mark.parametrize(
    ("index", "message", "failed"),
    [
        pytest.param(3, "apt-get ended with code 1: no", "install_packages", id="apt-get"),
        pytest.param(5, "pipx ended with code 1: no", "build_environment", id="pipx install"),
        pytest.param(6, DOES_NOT_RUN, "build_environment", id="patroni --version"),
        pytest.param(7, DOES_NOT_RUN, "build_environment", id="patronictl version"),
        pytest.param(8, DOES_NOT_RUN, "build_environment", id="imports"),
        pytest.param(9, "systemctl ended with code 1: no", "reload_systemd", id="daemon-reload"),
    ],
)
def test_command_that_fails(machine, index, message, failed):
    calls = failing(debian_from_nothing(machine), index, err="first line\nno\n")

    result = machine.run(*calls, fails=True)

    whole = [("install_packages", "pipx"), *first_steps(machine)]
    done = [action for action, _target in whole].index(failed)
    assert result["msg"] == message
    assert result["failed_step"] == dict(zip(("action", "target"), whole[done]))
    assert steps(result) == whole[:done]
    assert result["changed"] is (done > 0)
    assert (result["rc"], result["stdout"], result["stderr"]) == (1, "", "first line\nno\n")
    assert result["cmd"] == [*(machine.switched if calls[-1].as_account else []), *calls[-1].argv]
    if failed == "build_environment":
        assert os.listdir(f"{machine.pipx_home}/patroni") == []
        assert not os.path.lexists(machine.pointer)


@pytest.mark.parametrize(
    ("index", "message", "failed"),
    [
        pytest.param(3, "dnf ended with code 1: no", "install_packages", id="dnf"),
        pytest.param(4, "python3.11 ended with code 1: no", "install_pipx", id="pip"),
    ],
)
def test_command_that_fails_on_redhat(make_machine, index, message, failed):
    machine = make_machine("redhat")

    result = machine.run(*failing(redhat_from_nothing(machine), index, err="no\n"), fails=True)

    assert (result["msg"], result["failed_step"]["action"]) == (message, failed)
    assert steps(result) == [("install_packages", "python3-pip"), ("install_pipx", "pipx")][: index - 3]


def test_command_that_says_nothing(machine):
    result = machine.run(*failing(debian_from_nothing(machine), 3, rc=100), fails=True)

    assert result["msg"] == "apt-get ended with code 100: no output"


def test_command_that_is_killed(machine):
    result = machine.run(*failing(debian_from_nothing(machine), 3, rc=-9, err="no\n"), fails=True)

    assert result["msg"] == "apt-get was killed by signal 9: no"


def test_command_that_cannot_be_started(machine):
    def missing():
        raise FileNotFoundError(2, "No such file or directory", "apt-get")

    result = machine.run(*failing(debian_from_nothing(machine), 3, effect=missing), fails=True)

    assert (result["rc"], result["cmd"]) == (127, APT_INSTALL)
    assert result["msg"] == "apt-get ended with code 127: [Errno 2] No such file or directory: 'apt-get'"


@pytest.mark.parametrize("index", range(3, 9))
def test_next_run_after_a_failure_ends_well(machine, index):
    machine.run(*failing(debian_from_nothing(machine), index), fails=True)
    machine.tool("pipx")

    machine.run(*first_installation(machine))

    assert_installed(machine)


def test_next_run_after_a_reload_that_failed_reloads(machine):
    machine.run(*failing(debian_from_nothing(machine), 9), fails=True)

    result = machine.run(show(), show(), RELOAD, shown(machine))

    assert steps(result) == [("reload_systemd", "systemd"), ("create_directory", machine.config_dir)]
    assert_installed(machine)


def test_packages_that_bring_no_pipx(machine):
    calls = debian_from_nothing(machine)[:4]
    calls[3] = calls[3]._replace(effect=None)

    result = machine.run(*calls, fails=True)

    assert result["msg"] == (
        "pipx was installed, but postgres still cannot run any; set pipx_executable to one that it can run"
    )
    assert steps(result) == [("install_packages", "pipx"), *folders(machine)]


def test_pipx_that_believes_it_has_done(machine):
    machine.tool("pipx")
    calls = first_installation(machine, effect=None, out="'patroni' already seems to be installed.\n")[:4]

    result = machine.run(*calls, fails=True)

    assert result["msg"] == (
        f"pipx created an incomplete environment: its interpreter {machine.built(1)}/bin/python is missing"
    )
    assert not os.path.lexists(machine.generation(1))


def test_failing_to_write_a_file_is_told(machine, monkeypatch):
    machine.tool("pipx")
    rename = os.rename

    def full(source, path):
        if path == machine.unit_path:
            raise OSError(28, "No space left on device")
        rename(source, path)

    monkeypatch.setattr(os, "rename", full)
    result = machine.run(*first_installation(machine)[:-2], fails=True)

    assert result["msg"] == f"write_unit {machine.unit_path}: [Errno 28] No space left on device"
    assert result["failed_step"] == {"action": "write_unit", "target": machine.unit_path}
    assert steps(result) == first_steps(machine)[:-3]
    assert os.listdir(os.path.dirname(machine.unit_path)) == []


def test_transient_failure_is_retried(machine):
    result = machine.run(*repeated(debian_from_nothing(machine), 3, 2, rc=100, err=UNREACHABLE), retry_delay=7)

    assert machine.clock.slept == [7, 7]
    assert steps(result) == [("install_packages", "pipx"), *first_steps(machine)]


def test_transient_failures_exhaust_the_retries(machine):
    calls = repeated(debian_from_nothing(machine), 3, 3, rc=100, err=UNREACHABLE)[:6]

    result = machine.run(*calls, fails=True, retries=2, retry_delay=7)

    assert machine.clock.slept == [7, 7]
    assert result["msg"] == "apt-get ended with code 100: E: Some files failed to download"


def test_no_retries(machine):
    calls = failing(debian_from_nothing(machine), 3, rc=100, err=UNREACHABLE)

    machine.run(*calls, fails=True, retries=0)

    assert machine.clock.slept == []


def test_what_pipx_left_of_a_transient_failure_is_removed_before_the_next_try(machine):
    machine.tool("pipx")
    left = Path(machine.built(1), "half")
    calls = first_installation(machine)
    failed = calls[3]._replace(rc=1, err="ReadTimeoutError: Read timed out.\n", effect=lambda: left.mkdir(parents=True))
    seen = []

    def make():
        seen.append(left.exists())
        machine.environment(machine.built(1))

    machine.run(*calls[:3], failed, calls[3]._replace(effect=make), *calls[4:])

    assert (seen, machine.clock.slept) == ([False], [20])


def with_pip_log(machine, *lines):
    """What pip leaves in its own log while it fails."""
    path = Path(machine.generation(1), "pip.log")
    stamped = [f"2026-11-25T05:25:54,426 {line}\n" for line in lines]
    return lambda: path.write_text("".join(stamped), "utf-8")


UNREAD = "Could not fetch URL https://index.example.org/simple/{}/: {} - skipping"


def test_index_that_does_not_answer_is_retried(machine):
    # pipx passes on only pip's last words, and those do not name the cause.
    machine.tool("pipx")
    log = with_pip_log(machine, UNREAD.format("patroni", "connection error: [Errno 111] Connection refused"))

    machine.run(*repeated(first_installation(machine), 3, 1, err=PIPX_OFFLINE, effect=log))

    assert machine.clock.slept == [20]
    assert not os.path.lexists(f"{machine.generation(1)}/pip.log")


@pytest.mark.parametrize("status", ["401 Client Error: Unauthorized", "403 Client Error: Forbidden"])
def test_index_that_refuses_fails_at_once(machine, status):
    machine.tool("pipx")
    log = with_pip_log(machine, UNREAD.format("patroni", status))

    result = machine.run(*failing(first_installation(machine), 3, err=PIPX_OFFLINE, effect=log), fails=True)

    assert machine.clock.slept == []
    assert result["msg"] == (
        f"pipx ended with code 1: https://index.example.org/simple/patroni/: {status}; the package index offered "
        "nothing for patroni[etcd]: check that the index is reachable and has it, and that index_url, find_links and "
        "their credentials are correct"
    )


def test_wheelhouse_without_a_build_requirement_names_it(machine):
    machine.tool("pipx")
    lacks = "ERROR: Could not find a version that satisfies the requirement setuptools>=40.8.0 (from versions: none)"
    log = with_pip_log(machine, lacks, "ERROR: Failed to build 'python-etcd' when installing build dependencies")
    variables = {
        **pipx_variables(machine),
        "PIP_FIND_LINKS": "file:///srv/wheels",
        "PIP_NO_INDEX": "1",
    }
    calls = failing(first_installation(machine), 3, err="Error installing patroni.\n", effect=log, variables=variables)

    result = machine.run(*calls, fails=True, no_index=True, find_links=["/srv/wheels"])

    assert machine.clock.slept == []
    assert result["msg"] == (
        "pipx ended with code 1: pip found no file for setuptools>=40.8.0; find_links contain no file for "
        "setuptools>=40.8.0 that fits this Python; add one, see docs/offline.md"
    )


def test_what_pip_said_is_told_though_pipx_keeps_it_to_its_log(machine):
    machine.tool("pipx")
    log = with_pip_log(machine, "Error: pg_config executable not found.", "ERROR: Failed building wheel for psycopg2")

    result = machine.run(*failing(first_installation(machine), 3, err="Error installing.\n", effect=log), fails=True)

    assert result["msg"] == "pipx ended with code 1: Error: pg_config executable not found."
    assert result["stderr"].endswith("ERROR: Failed building wheel for psycopg2\n")


def test_pip_of_root_is_heard_as_well(make_machine):
    machine = make_machine("redhat")
    calls = redhat_from_nothing(machine)

    def write_log():
        Path(machine.temporary, "pip.log").write_text(
            UNREAD.format("pipx", "401 Client Error: Unauthorized") + "\n", "utf-8"
        )

    none = "ERROR: Could not find a version that satisfies the requirement pipx (from versions: none)\n"
    result = machine.run(*failing(calls, 4, err=none, effect=write_log), fails=True)

    assert result["msg"] == (
        "python3.11 ended with code 1: https://index.example.org/simple/pipx/: 401 Client Error: Unauthorized"
    )


def test_certificate_that_is_not_trusted_fails_at_once(machine):
    machine.tool("pipx")
    untrusted = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate\n"

    machine.run(*failing(first_installation(machine), 3, err=untrusted + PIPX_OFFLINE), fails=True)

    assert machine.clock.slept == []


def test_versions_that_exclude_each_other_fail_at_once_with_the_cause(installed):
    calls = upgrade(installed, "4.1.6")[:3]

    result = installed.run(
        *calls, pipx_install(installed, 2, f"{WANTED}==4.1.6", rc=1, err=CONFLICT), fails=True, version="4.1.6"
    )

    assert installed.clock.slept == []
    assert result["msg"] == (
        f"pip found no compatible versions for {WANTED}==4.1.6: patroni 4.1.6 depends on click>=5.0; "
        "The user requested (constraint) click<5; change the version or the constraints"
    )


def test_wrong_version_fails_at_once_with_what_there_is(installed):
    calls = upgrade(installed, "9.9.9")[:3]
    wrong = pipx_install(installed, 2, f"{WANTED}==9.9.9", rc=1, err=WRONG_VERSION)
    before = installed.tree()

    result = installed.run(*calls, wrong, fails=True, version="9.9.9")

    assert installed.clock.slept == []
    assert result["msg"] == (
        f"the package index offers no {WANTED}==9.9.9 for this Python; the newest versions that it offers are "
        "3.3.10, 3.3.11, 4.0.9, 4.0.10, 4.0.11, 4.1.3, 4.1.4, 4.1.5"
    )
    assert (result["changed"], result["steps"]) == (False, [])
    # The installed one stays as it is; only the directory of the generations was touched.
    touched = f"{installed.pipx_home}/patroni"
    assert {**installed.tree(), touched: 0} == {**before, touched: 0}


def test_another_apt_is_waited_for(machine):
    result = machine.run(*repeated(debian_from_nothing(machine), 3, 4, rc=100, err=LOCKED))

    assert machine.clock.slept == [2, 2, 2, 2]
    assert result["changed"] is True


def test_another_apt_is_not_waited_for_longer_than_asked(machine):
    waiting = [argument.replace("300", "5") for argument in APT_INSTALL]
    calls = repeated(debian_from_nothing(machine), 3, 4, rc=100, err=LOCKED, argv=waiting)[:7]

    result = machine.run(*calls, fails=True, lock_timeout=5)

    assert machine.clock.slept == [2, 2, 2]
    assert result["msg"].startswith("apt-get ended with code 100: E: Unable to acquire the dpkg frontend lock")


def test_another_dnf_is_waited_for(make_machine):
    machine = make_machine("redhat")
    locked = "metadata already locked by 21228\n  The application with PID 21228 is: dnf\n"

    machine.run(*repeated(redhat_from_nothing(machine), 3, 1, rc=200, err=locked))

    assert machine.clock.slept == [2]


def test_another_dnf5_is_waited_for(make_machine, monkeypatch):
    # It would wait without end for the other one.
    machine = make_machine("redhat")
    holders = iter([["process 812 (dnf5)"]] * 3 + [[]])
    monkeypatch.setattr(_apply, "lock_holders", lambda path: next(holders))

    result = machine.run(*redhat_from_nothing(machine))

    assert machine.clock.slept == [2, 2, 2]
    assert result["changed"] is True


def test_another_dnf5_is_not_waited_for_longer_than_asked(make_machine, monkeypatch):
    machine = make_machine("redhat")
    monkeypatch.setattr(_apply, "lock_holders", lambda path: ["process 812 (dnf5)"])

    result = machine.run(*redhat_from_nothing(machine)[:3], fails=True, lock_timeout=5)

    assert machine.clock.slept == [2, 2, 2]
    assert result["msg"] == (
        "Could not get lock /var/lib/dnf/system-repo.lock: it has been held by process 812 (dnf5) for more than 5 "
        "seconds (lock_timeout)"
    )
    assert (result["changed"], result["steps"]) == (False, [])


def test_package_lists_that_are_missing_are_refreshed(make_machine):
    machine = make_machine()
    calls = debian_from_nothing(machine)
    calls[1:2] = []
    calls.insert(2, Call(APT_UPDATE, variables=APT))

    result = machine.run(*calls)

    assert steps(result)[:2] == [("refresh_package_lists", "apt"), ("install_packages", "pipx")]


def test_package_lists_that_do_not_know_pipx_are_refreshed(machine):
    calls = debian_from_nothing(machine)
    calls[1] = calls[1]._replace(rc=100, err="E: No packages found\n")
    calls.insert(3, Call(APT_UPDATE, variables=APT))

    result = machine.run(*calls)

    assert steps(result)[:2] == [("refresh_package_lists", "apt"), ("install_packages", "pipx")]


def test_apt_update_that_fails(make_machine):
    machine = make_machine()
    malformed = "E: Malformed entry 1 in list file /etc/apt/sources.list.d/x.list (Component)\n"
    update = Call(APT_UPDATE, variables=APT, rc=100, err=f"{malformed}E: The list of sources could not be read.\n")

    result = machine.run(show(), show(), update, Call(APT_CACHE, rc=100), fails=True)

    assert result["msg"] == f"apt-get ended with code 100: {malformed.strip()}"
    assert result["failed_step"] == {"action": "refresh_package_lists", "target": "apt"}


def test_apt_update_that_reached_nothing_is_retried(make_machine):
    # It ends with code 0 and warnings then, and the installation would say that there is no such package.
    machine = make_machine()
    calls = debian_from_nothing(machine)
    update = Call(APT_UPDATE, variables=APT)
    calls[1:2] = []
    calls[2:2] = [update._replace(err=UPDATE_UNREACHABLE), Call(APT_CACHE, rc=100), update]

    machine.run(*calls)

    assert machine.clock.slept == [20]


@pytest.mark.parametrize(
    "answer", [pytest.param({"err": UPDATE_UNREACHABLE}, id="unreachable"), pytest.param({"rc": 100}, id="gone")]
)
def test_apt_update_that_missed_only_what_others_offer_is_good_enough(make_machine, answer):
    machine = make_machine()
    calls = debian_from_nothing(machine)
    calls[1:2] = []
    calls[2:2] = [Call(APT_UPDATE, variables=APT, out=DEAD_SOURCE, **answer), Call(APT_CACHE)]

    machine.run(*calls)

    assert machine.clock.slept == []


def test_apt_update_that_missed_what_offers_pipx_names_the_source(make_machine):
    machine = make_machine()
    update = Call(APT_UPDATE, variables=APT, rc=100, out=DEAD_SOURCE)

    result = machine.run(show(), show(), update, Call(APT_CACHE, rc=100), fails=True)

    assert result["msg"] == (
        "no package source that could be read offers pipx, and these could not be read: "
        "http://apt.example.com/third gone Release: 404  Not Found [IP: 192.0.2.80 80]; repair or remove them, or "
        "install pipx yourself and name it in pipx_executable"
    )
    assert machine.clock.slept == []


def test_apt_update_that_is_locked_is_waited_for(make_machine):
    # The lists that are there may know pipx: they are still the old ones.
    machine = make_machine()
    calls = debian_from_nothing(machine)
    locked = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)\n"
    update = Call(APT_UPDATE, variables=APT)
    calls[1:2] = []
    calls[2:2] = [update._replace(rc=100, err=locked), update]

    machine.run(*calls)

    assert machine.clock.slept == [2]


def test_fresh_lists_are_used_though_a_source_is_dead(machine):
    calls = repeated(debian_from_nothing(machine), 3, 1, rc=100, err=STALE)
    calls.insert(4, Call(APT_UPDATE, variables=APT, rc=100, out=DEAD_SOURCE))

    result = machine.run(*calls)

    assert machine.clock.slept == []
    assert steps(result) == [("install_packages", "pipx"), *first_steps(machine)]


def test_lists_that_stay_stale_are_refreshed_once(machine):
    calls = repeated(debian_from_nothing(machine), 3, 2, rc=100, err=STALE)[:5]
    calls.insert(4, Call(APT_UPDATE, variables=APT))

    result = machine.run(*calls, fails=True)

    assert result["msg"].startswith("apt-get ended with code 100: E: Failed to fetch http://deb.example.org/")


def test_apt_is_helped_with_one_thing_after_the_other(machine):
    calls = repeated(debian_from_nothing(machine), 3, 2, rc=100, err=STALE)
    calls[3] = calls[3]._replace(err=DPKG_INTERRUPTED)
    calls.insert(4, Call(DPKG_CONFIGURE, variables=APT))
    calls.insert(6, Call(APT_UPDATE, variables=APT))

    assert machine.run(*calls)["changed"] is True


def test_dpkg_that_cannot_be_helped(machine):
    calls = repeated(debian_from_nothing(machine), 3, 1, rc=100, err=DPKG_INTERRUPTED)[:4]
    broken = "dpkg: error processing package a (--configure):\n installed a package post-installation script failed\n"
    calls.append(Call(DPKG_CONFIGURE, variables=APT, rc=1, err=broken))

    result = machine.run(*calls, fails=True)

    assert result["msg"] == f"dpkg ended with code 1: {' '.join(broken.split())}"


def test_dead_repository_is_named_when_the_others_do_not_offer_the_package(make_machine):
    machine = make_machine("redhat")
    calls = failing(redhat_from_nothing(machine), 3, out=DEAD_REPOSITORY, err=DNF_UNKNOWN)

    result = machine.run(*calls, fails=True)

    assert result["msg"] == (
        "no package source that could be read offers python3-pip, and these could not be read: repository 'third': "
        "Status code: 404 for http://rpm.example.com/el9/repodata/repomd.xml; repair or remove them, or install pipx "
        "yourself and name it in pipx_executable"
    )
    assert machine.clock.slept == []


def test_repositories_that_do_not_offer_the_package(make_machine):
    machine = make_machine("redhat")

    result = machine.run(*failing(redhat_from_nothing(machine), 3, err=DNF_UNKNOWN), fails=True)

    assert result["msg"] == (
        "Rocky Linux 9.6 (Blue Onyx) offers no package python3-pip in its enabled repositories; enable the one that "
        "holds it (RHEL has none before it is registered), or install pipx yourself and name it in pipx_executable"
    )


@pytest.mark.parametrize(
    ("err", "remedy"),
    [
        pytest.param(STALE, APT_UPDATE, id="the lists are stale"),
        pytest.param(DPKG_INTERRUPTED, DPKG_CONFIGURE, id="dpkg was interrupted"),
    ],
)
def test_apt_is_helped_at_once(machine, err, remedy):
    calls = repeated(debian_from_nothing(machine), 3, 1, rc=100, err=err)
    calls.insert(4, Call(remedy, variables=APT))

    result = machine.run(*calls)

    assert machine.clock.slept == []
    assert steps(result) == [("install_packages", "pipx"), *first_steps(machine)]


def test_package_that_the_system_does_not_offer(machine):
    calls = failing(debian_from_nothing(machine), 3, rc=100, err="E: Unable to locate package pipx\n")

    result = machine.run(*calls, fails=True)

    assert result["msg"] == (
        "Debian GNU/Linux 12 (bookworm) offers no package pipx in its enabled components; enable the one that holds "
        "it (universe on Ubuntu), or install pipx yourself and name it in pipx_executable"
    )
