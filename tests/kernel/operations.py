# SPDX-License-Identifier: Apache-2.0
"""Operations on the kernel as processes try them: one call for each word of the section.

Each call, when nothing denies it, succeeds or fails with an errno that is not
EPERM and EACCES, and leaves the guest as it was.
"""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Callable
from pathlib import Path

from guard.kernel.syscalls import Calls
from tests.kernel import calls

_AT_FDCWD = -100
_PERF_DUMMY = struct.pack("<IIQ", 1, 128, 9).ljust(128, b"\0")
_ADJTIMEX_READ = bytes(208)
_CMD_SIZE_BUFFER = 10
_RB_CAD_OFF = 0x00000000


def target() -> int:
    """The pid of the process that this one was forked from: outside its policies."""
    return os.getppid()


def read_memory() -> None:
    """Attach by way of /proc/PID/mem."""
    with open(f"/proc/{target()}/mem", "rb"):
        pass


def module_from_file() -> None:
    """finit_module of a file that is none."""
    with open(__file__, "rb") as stream:
        Calls()("finit_module", stream.fileno(), b"", 0)


def swap_on() -> None:
    """swapon of what is no swap space."""
    calls.by_number(167, os.fsencode(__file__), 0)


def reboot() -> None:
    """reboot(2) that only turns ctrl-alt-del off, which the guest does not have."""
    calls.by_number(169, 0xFEE1DEAD, 672274793, _RB_CAD_OFF, None)


def give_away() -> None:
    """Give a file of one's own to another user."""
    path = Path(f"/tmp/guard-test-{os.getpid()}")
    path.touch()
    try:
        os.chown(path, 12345, -1)
    finally:
        path.unlink()


def perf() -> None:
    """A software event that counts nothing."""
    os.close(Calls()("perf_event_open", _PERF_DUMMY, 0, -1, -1, 0))


def ring() -> None:
    """An io_uring."""
    os.close(Calls()("io_uring_setup", 1, bytes(120)))


def new_mount_api() -> None:
    """fsopen: a file system's context, without the mount system call."""
    os.close(calls.by_number(430, b"tmpfs", 0))


OPERATIONS: dict[str, tuple[str, Callable[[], object]]] = {
    "ptrace": ("ptrace", read_memory),
    "signal": ("signal", lambda: os.kill(target(), 0)),
    "a real signal": ("signal", lambda: os.kill(target(), signal.SIGURG)),
    "mount": ("mount", lambda: Calls()("mount", b"none", b"/", b"no-such-kind", 0, None)),
    "move_mount": ("mount", lambda: Calls()("move_mount", _AT_FDCWD, b"/", _AT_FDCWD, b"/", 0)),
    "fsopen": ("mount", new_mount_api),
    "umount": ("umount", lambda: Calls()("umount2", b"/", 4)),
    "pivot_root": ("pivot_root", lambda: Calls()("pivot_root", b"/", b"/")),
    "chroot": ("chroot", lambda: os.chroot("/")),
    "init_module": ("module", lambda: Calls()("init_module", bytes(4096), 4096, b"")),
    "finit_module": ("module", module_from_file),
    "bpf": ("bpf", lambda: Calls()("bpf", 0x7FFF, bytes(128), 128)),
    "perf": ("perf", perf),
    "userns": ("userns", lambda: Calls()("unshare", calls.NEWUSER)),
    "settimeofday": ("time", lambda: Calls()("settimeofday", None, None)),
    "keys": ("keys", lambda: Calls()("add_key", b"user", b"guard-test", b"x", 1, -2)),
    "io_uring": ("io_uring", ring),
    "swap": ("swap", swap_on),
    "reboot": ("reboot", reboot),
    "syslog": ("syslog", lambda: Calls()("syslog", _CMD_SIZE_BUFFER, None, 0)),
    "cap_sys_chroot": ("cap_sys_chroot", lambda: os.chroot("/")),
    "cap_chown": ("cap_chown", give_away),
}
"""For each test's name, the policy's word and the call."""
