# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual machines for what containers cannot show: a kernel of its own, with SELinux, whose power can be cut.

PGEDGE_ACCEL=tcg skips the trial of KVM.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import typing as t
import warnings
from dataclasses import dataclass
from pathlib import Path

from lab import CHECKOUT, UNIT, Host, miss

QEMU = "qemu-system-x86_64"
TOOLS = {
    QEMU: "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "ssh": "openssh-client",
}
BOOT_SECONDS = 600
# What KVM is given before it counts as one that does not work.
TRIAL_SECONDS, KVM_BOOT_SECONDS = 10, 90
# One processor: emulated ones wait for each other, on a busy machine for most of the time. With -no-reboot a reboot,
# also one after a panic, ends QEMU.
_HARDWARE = ("-smp", "1", "-m", "1024", "-display", "none", "-monitor", "none", "-nodefaults", "-no-reboot")
_KERNEL = "root=/dev/vda rw console=ttyS0 net.ifnames=0 quiet mitigations=off"
_SELINUX = {True: "security=selinux selinux=1 enforcing=1", False: "selinux=0"}
_ACCELERATORS = {
    "kvm": ("-accel", "kvm", "-cpu", "host"),
    # What newer processors have costs more to emulate than it saves.
    "tcg": ("-accel", "tcg,thread=multi", "-cpu", "Nehalem"),
}
# If the test run is killed, its machine ends as well.
_BOUND = ("setpriv", "--pdeathsig", "KILL")


class MachineError(Exception):
    """A machine did not boot, or ended when it should not have."""


@dataclass(frozen=True)
class Image:
    """What tests/images/machine leaves in a directory."""

    directory: Path

    @classmethod
    def build(cls, suite: str = "bookworm") -> Image:
        """Build the image of a suite of Debian, unless this version of it exists already."""
        image = cls(CHECKOUT / ".build" / "machines" / suite)
        subprocess.run([CHECKOUT / "tests" / "images" / "machine", suite, image.directory], check=True)
        return image

    @property
    def disk(self) -> Path:
        return self.directory / "disk.raw"


_CHOSEN: dict[str, str] = {}


def accelerator(image: Image) -> str:
    """Find out, once, whether KVM runs the kernel here; if not, QEMU emulates the processor."""
    if "accelerator" not in _CHOSEN:
        _CHOSEN["accelerator"] = _try_kvm(image)
    return _CHOSEN["accelerator"]


def _try_kvm(image: Image) -> str:
    """Boot the kernel without a disk, so that it panics, which ends QEMU.

    Nested KVM may exist and still stop in the kernel's first instructions.
    """
    if os.environ.get("PGEDGE_ACCEL") == "tcg" or not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    trial = [*_BOUND, QEMU, *_ACCELERATORS["kvm"], *_HARDWARE, "-serial", "stdio"]
    trial += ["-kernel", str(image.directory / "kernel"), "-append", "console=ttyS0 panic=-1"]
    try:
        done = subprocess.run(
            trial, capture_output=True, timeout=TRIAL_SECONDS, stdin=subprocess.DEVNULL, check=False, errors="replace"
        )
    except subprocess.TimeoutExpired:
        return "tcg"
    return "kvm" if done.returncode == 0 and "Unable to mount root" in done.stdout else "tcg"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Machine(Host):
    """A machine on a disk of its own that begins as a copy of another one; it is gone with the context.

    Args:
        image: the kernel, the key, and the disk to begin with.
        cache: QEMU's cache mode of the disk. With any of them a cut loses what the guest did not flush.
        selinux: whether the kernel enforces SELinux, or has none.
        mount: options of the file system, as the kernel takes them for the root.
    """

    def __init__(self, image: Image, *, cache: str = "writeback", selinux: bool = True, mount: str = "") -> None:
        super().__init__("machine")
        self._image = image
        self._cache = cache
        self._selinux = selinux
        self._mount = mount
        self._qemu: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._directory = Path()
        self._kept = Path()
        self.boots: list[float] = []

    def __enter__(self) -> t.Self:
        # Short, because the path of ssh's socket may not be long.
        self._directory = Path(tempfile.mkdtemp(prefix="pgedge-machine."))
        try:
            self._make_disk(self._image.disk, "raw")
            self.boot()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._remove()

    def boot(self) -> None:
        """Start the machine, and wait until systemd has started everything.

        Raises:
            MachineError: it did not come up in time; the message ends with the console's last lines.
        """
        try:
            self._boot(KVM_BOOT_SECONDS if accelerator(self._image) == "kvm" else BOOT_SECONDS)
        except MachineError as error:
            if accelerator(self._image) != "kvm":
                raise
            _CHOSEN["accelerator"] = "tcg"
            warnings.warn(f"KVM boots no machine here, which is emulated from now on: {error}", stacklevel=2)
            self.cut()
            self._boot(BOOT_SECONDS)

    def _boot(self, patience: float) -> None:
        began = time.monotonic()
        self._port = free_port()
        with self._console.open("wb") as console:
            self._qemu = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        while not self._answers():
            if self._qemu.poll() is not None:
                raise MachineError(f"QEMU ended with {self._qemu.returncode}:\n{self.console()}")
            if time.monotonic() - began > patience:
                raise MachineError(f"no ssh after {patience} s:\n{self.console()}")
            time.sleep(0.5)
        self.run("systemctl", "is-system-running", "--wait", check=False)
        self.boots.append(time.monotonic() - began)

    def cut(self) -> None:
        """Cut the power: the guest gets no chance to write anything."""
        if self._qemu is not None:
            self._qemu.send_signal(signal.SIGKILL)
            self._qemu.wait()
            self._qemu = None
        self._hang_up()

    def save(self) -> None:
        """Keep the disk as it is, for `restore`; what was kept before is no longer needed."""
        self.run("sync")
        self.cut()
        kept = self._directory / f"disk.{len(self.boots)}"
        self._disk.rename(kept)
        self._kept = kept

    def restore(self) -> None:
        """Boot with the disk that was kept, whatever became of it since."""
        self.cut()
        self._make_disk(self._kept, "qcow2")
        self.boot()

    def copy(self, source: Path, target: str) -> None:
        """Copy a file or directory into the machine, as `docker cp` names what it makes."""
        target = f"{target}/{source.name}" if self.run("test", "-d", target, check=False).returncode == 0 else target
        packed = ["tar", "--create", "--dereference", "--directory", str(source.parent), source.name]
        # Renamed on the way, because the target's name may be another one.
        unpack = f"mkdir -p {target}.new && tar -x -C {target}.new && mv -T {target}.new/{source.name} {target}"
        with subprocess.Popen(packed, stdout=subprocess.PIPE) as packing:
            subprocess.run(
                self._exec("root", "bash", "-ec", f"{unpack}; rmdir {target}.new"), stdin=packing.stdout, check=True
            )

    def inventory(self) -> str:
        """The line of an inventory by which Ansible reaches the machine as the operator."""
        return (
            f"machine ansible_host=127.0.0.1 ansible_port={self._port} ansible_user=deploy ansible_become=true "
            f"ansible_python_interpreter=/usr/bin/python3 ansible_ssh_common_args='{shlex.join(self._options())}'"
        )

    def console(self) -> str:
        """The last lines of the console."""
        return "\n".join(self._console.read_text("utf-8", "replace").splitlines()[-40:])

    @property
    def _disk(self) -> Path:
        return self._directory / "disk"

    @property
    def _console(self) -> Path:
        return self._directory / "console"

    def _make_disk(self, begin: Path, form: str) -> None:
        create: list[str | Path] = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", form, "-b", begin.resolve()]
        subprocess.run([*create, self._disk], check=True)

    def _command(self) -> list[str | Path]:
        return [
            *_BOUND,
            QEMU,
            *_ACCELERATORS[accelerator(self._image)],
            *_HARDWARE,
            "-serial",
            "stdio",
            "-kernel",
            self._image.directory / "kernel",
            "-initrd",
            self._image.directory / "initrd",
            "-append",
            f"{_KERNEL} {_SELINUX[self._selinux]}" + (f" rootflags={self._mount}" if self._mount else ""),
            "-drive",
            f"file={self._disk},format=qcow2,if=virtio,cache={self._cache}",
            "-netdev",
            f"user,id=net,hostfwd=tcp:127.0.0.1:{self._port}-:22",
            "-device",
            "virtio-net-pci,netdev=net",
            "-device",
            "virtio-rng-pci",
        ]

    def _options(self) -> list[str]:
        """Options of ssh that keep it to this machine's files, and one connection for all commands."""
        settings = (
            f"Port={self._port}",
            f"IdentityFile={self._image.directory}/key",
            "IdentitiesOnly=yes",
            "HostKeyAlias=machine",
            f"UserKnownHostsFile={self._image.directory}/known_hosts",
            "GlobalKnownHostsFile=/dev/null",
            "BatchMode=yes",
            "ConnectTimeout=10",
            "ControlMaster=auto",
            f"ControlPath={self._directory}/%r",
            "ControlPersist=yes",
            "LogLevel=ERROR",
        )
        return ["-F", "/dev/null", *(f"-o{setting}" for setting in settings)]

    def _answers(self) -> bool:
        try:
            return (
                subprocess.run(
                    self._exec("root", "true"), capture_output=True, timeout=20, stdin=subprocess.DEVNULL, check=False
                ).returncode
                == 0
            )
        except subprocess.TimeoutExpired:
            return False

    def _hang_up(self) -> None:
        for user in ("root", "deploy"):
            if (self._directory / user).exists():
                ending = ["ssh", *self._options(), "-O", "exit", f"{user}@127.0.0.1"]
                subprocess.run(ending, capture_output=True, check=False)
            (self._directory / user).unlink(missing_ok=True)

    def _remove(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self._directory)
            stack.callback(self.cut)

    def _exec(self, user: str, *argv: str) -> list[str]:
        command = ["env", "HOME=/", *argv]
        if user != "root":
            command = ["runuser", "-u", user, "--", *command]
        return ["ssh", *self._options(), "root@127.0.0.1", f"cd / && exec {shlex.join(command)}"]


def built(suite: str) -> Image:
    """The disk of a machine, if QEMU and what builds the disk are installed."""
    missing = sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})
    if missing:
        miss(f"a virtual machine needs the packages {', '.join(missing)}")
    if os.geteuid() != 0:
        miss("building the disk of a virtual machine needs root")
    return Image.build(suite)


def denials(machine: Machine) -> list[str]:
    """The denials of the audit log, one a line."""
    found = machine.shell("ausearch --message avc --input /var/log/audit/audit.log --raw", check=False)
    return [line for line in found.splitlines() if "avc:" in line and "denied" in line]


def own(denied: list[str]) -> list[str]:
    """Those that name what the module runs, or what it makes."""
    return [line for line in denied if re.search(r"patroni|python|\bpipx?\b|ansible|postgres", line)]


def usable_version(machine: Machine) -> str | None:
    """The version that both commands of the account print; what a power loss emptied prints nothing, and succeeds."""
    printed = {
        machine.run(f"{machine.bin_dir}/{name}", argument, user="postgres", check=False).stdout.strip()
        for name, argument in (("patroni", "--version"), ("patronictl", "version"))
    }
    versions = {text.split()[-1] if text else None for text in printed}
    return versions.pop() if len(versions) == 1 else None


def unit_text(machine: Machine) -> str | None:
    done = machine.run("cat", UNIT, check=False)
    return done.stdout if done.returncode == 0 else None
