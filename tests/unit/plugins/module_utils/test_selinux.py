# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest

from ansible_collections.pgedge.platform.plugins.module_utils import _selinux

INIT = "system_u:system_r:init_t:s0"
SERVICE = "system_u:system_r:initrc_t:s0"
HOME = "unconfined_u:object_r:user_home_t:s0"
BIN = "unconfined_u:object_r:bin_t:s0"
CLASSES = {"file": "6", "process": "2"}
BITS = {
    ("file", "execute"): 15,
    ("file", "execute_no_trans"): 18,
    ("file", "entrypoint"): 19,
    ("process", "transition"): 2,
}


@pytest.fixture
def policy(tmp_path, monkeypatch):
    """A loaded policy: what is allowed, and in which domain a service starts."""
    allowed, domains = set(), {}
    for (kind, name), bit in BITS.items():
        folder = tmp_path / "class" / kind / "perms"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{bit}", "utf-8")
        (tmp_path / "class" / kind / "index").write_text(CLASSES[kind], "utf-8")
    (tmp_path / "systemd").write_bytes(f"{INIT}\0".encode())
    (tmp_path / "access").touch()

    def ask(name, question):
        source, target, number, *_more = question.split()
        if name == "create":
            assert number == CLASSES["process"]
            return domains.get(target, source)
        (kind,) = (kind for kind, known in CLASSES.items() if known == number)
        bits = sum(
            1 << bit - 1 for (of, name), bit in BITS.items() if (source, target, of, name) in allowed and of == kind
        )
        return f"{bits:x} ffffffff 0 ffffffff 7 0"

    monkeypatch.setattr(_selinux, "_FILESYSTEM", str(tmp_path))
    monkeypatch.setattr(_selinux, "_SYSTEMD", str(tmp_path / "systemd"))
    monkeypatch.setattr(_selinux, "_ask", ask)
    return allowed, domains


EXECUTE = (INIT, HOME, "file", "execute")
STAY = (INIT, HOME, "file", "execute_no_trans")
MOVE = (INIT, SERVICE, "process", "transition")
ENTER = (SERVICE, HOME, "file", "entrypoint")


@pytest.mark.parametrize(
    ("rules", "moves", "may"),
    [
        pytest.param({EXECUTE, STAY}, False, True, id="in systemd's own domain"),
        pytest.param({EXECUTE}, False, False, id="not without a transition"),
        pytest.param({STAY}, False, False, id="no execution"),
        pytest.param({EXECUTE, MOVE, ENTER}, True, True, id="in the service's domain"),
        pytest.param({EXECUTE, MOVE}, True, False, id="no way into that domain"),
        pytest.param({EXECUTE, ENTER}, True, False, id="no transition to it"),
        pytest.param({EXECUTE, STAY, ENTER}, True, False, id="the right of another domain"),
        pytest.param(set(), True, False, id="nothing"),
    ],
)
def test_the_policy_decides(policy, rules, moves, may):
    allowed, domains = policy
    allowed |= rules
    domains.update({HOME: SERVICE} if moves else {})

    assert _selinux.systemd_may_execute(HOME) is may
    # It needs no rule that is asked for.
    assert _selinux.systemd_may_execute(BIN)


@pytest.mark.parametrize("gone", ["systemd", "class/file/index", "class/process/perms/transition"])
def test_a_kernel_that_does_not_tell(policy, tmp_path, gone):
    allowed, domains = policy
    allowed |= {EXECUTE, MOVE, ENTER}
    domains[HOME] = SERVICE
    (tmp_path / gone).unlink()

    assert not _selinux.systemd_may_execute(HOME)
    assert _selinux.systemd_may_execute(BIN)


@pytest.mark.parametrize(
    ("label", "needed"),
    [
        (HOME, BIN),
        ("u:r:postgresql_db_t", "u:r:bin_t"),
        ("u:r:postgresql_db_t:s0-s0:c0.c1023", "u:r:bin_t:s0-s0:c0.c1023"),
        (BIN, BIN),
    ],
)
def test_label_that_is_needed(label, needed):
    assert _selinux.executable_label(label) == needed


@pytest.mark.parametrize(
    ("stored", "label"),
    [
        (f"{HOME}\0".encode(), HOME),
        (HOME.encode(), HOME),
        (b"\xff\xfe", None),
        (b"nonsense", None),
        (OSError(95, "x"), None),
    ],
)
def test_label_of_a_file(policy, monkeypatch, stored, label):
    def read(path, name, *, follow_symlinks):
        assert (path, name, follow_symlinks) == ("/x", "security.selinux", False)
        if isinstance(stored, OSError):
            raise stored
        return stored

    monkeypatch.setattr(os, "getxattr", read, raising=False)

    assert _selinux.read_label("/x") == label


def test_no_label_is_read_where_it_is_off(tmp_path, monkeypatch):
    monkeypatch.setattr(_selinux, "_FILESYSTEM", str(tmp_path / "none"))

    assert _selinux.read_label("/x") is None
