# SPDX-License-Identifier: Apache-2.0
"""What a canary does at each hook of the kernel gate: a call that reaches the hook and,
not denied there, fails with another errno or changes nothing.

Run in a process of its own. Each function raises PermissionError exactly where
the hook denies; other OSErrors are what the call comes to after the hook.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable

from guard.kernel.syscalls import Calls
from guard.wire.layout import Hook

_AT_FDCWD = -100
_MNT_EXPIRE = 4  # with the root: refused after the hook, and does nothing (do_umount)
_SYSLOG_SIZE_BUFFER = 10
_PTRACE_TRACEME = 0
_PERF_SOFTWARE_DUMMY = struct.pack("<IIQ", 1, 128, 9).ljust(128, b"\0")
_CLONE_NEWUSER = 0x10000000
_KEY_SPEC_PROCESS_KEYRING = -2
_KEY_SPEC_USER_KEYRING = -4
_KEYCTL_DESCRIBE = 6
_FSPICK_NO_AUTOMOUNT = 4
_FSCONFIG_CMD_RECONFIGURE = 7

# No command of bpf(2) has this number: it is looked at after the hook.
_NO_BPF_COMMAND = 0x7FFF

# Longer than an ELF header, and none.
_NO_MODULE = bytes(4096)


def _read_memory(_: Calls) -> None:
    with open(f"/proc/{os.getppid()}/mem", "rb"):
        pass


def _recv_traceme(calls: Calls) -> None:
    calls("ptrace", _PTRACE_TRACEME, 0, 0, 0)


def _use_capability(_: Calls) -> None:
    try:
        os.chroot("/")
    except PermissionError as error:
        # Whoever asks for a capability is told yes or no, and makes an errno of its own.
        raise PermissionError(errno.EACCES, error.strerror) from error


def _use_key(calls: Calls) -> None:
    try:
        calls("keyctl", _KEYCTL_DESCRIBE, _KEY_SPEC_USER_KEYRING, None, 0, 0)
    except OSError as error:
        # A key that may not be looked at is as good as not there (lookup_user_key).
        if error.errno == errno.ENOKEY:
            raise PermissionError(errno.EACCES, error.strerror) from error
        raise


def _reconfigure(calls: Calls) -> None:
    fd = calls("fspick", _AT_FDCWD, b"/proc", _FSPICK_NO_AUTOMOUNT)
    try:
        calls("fsconfig", fd, _FSCONFIG_CMD_RECONFIGURE, None, None, 0)
    finally:
        os.close(fd)


def _load_module_file(calls: Calls) -> None:
    with open(__file__, "rb") as stream:
        calls("finit_module", stream.fileno(), b"", 0)


def _perf(calls: Calls) -> None:
    os.close(calls("perf_event_open", _PERF_SOFTWARE_DUMMY, 0, -1, -1, 0))


def _ring(calls: Calls) -> None:
    os.close(calls("io_uring_setup", 1, bytes(120)))


DRIVERS: dict[Hook, Callable[[Calls], object]] = {
    Hook.PTRACE_ACCESS_CHECK: _read_memory,
    Hook.TASK_KILL: lambda _: os.kill(os.getppid(), 0),
    Hook.SB_MOUNT: lambda calls: calls("mount", b"none", b"/", b"guard-canary", 0, None),
    Hook.MOVE_MOUNT: lambda calls: calls("move_mount", _AT_FDCWD, b"/", _AT_FDCWD, b"/", 0),
    Hook.SB_REMOUNT: _reconfigure,
    Hook.SB_UMOUNT: lambda calls: calls("umount2", b"/", _MNT_EXPIRE),
    Hook.SB_PIVOTROOT: lambda calls: calls("pivot_root", b"/", b"/"),
    Hook.PATH_CHROOT: lambda _: os.chroot("/"),
    Hook.KERNEL_READ_FILE: _load_module_file,
    Hook.KERNEL_LOAD_DATA: lambda calls: calls("init_module", _NO_MODULE, len(_NO_MODULE), b""),
    Hook.BPF: lambda calls: calls("bpf", _NO_BPF_COMMAND, bytes(128), 128),
    Hook.PERF_EVENT_OPEN: _perf,
    Hook.USERNS_CREATE: lambda calls: calls("unshare", _CLONE_NEWUSER),
    Hook.SETTIME: lambda calls: calls("settimeofday", None, None),
    Hook.KEY_ALLOC: lambda calls: calls(
        "add_key", b"user", b"guard-canary", b"x", 1, _KEY_SPEC_PROCESS_KEYRING
    ),
    Hook.KEY_PERMISSION: _use_key,
    Hook.SYSLOG: lambda calls: calls("syslog", _SYSLOG_SIZE_BUFFER, None, 0),
    Hook.INODE_INIT_SECURITY_ANON: _ring,
    Hook.CAPABLE: _use_capability,
    Hook.PTRACE_TRACEME: _recv_traceme,
}
"""The hooks that a process can try by itself. KERNEL_MODULE_REQUEST is not among them: whether
the kernel's own request was refused does not show in any errno."""
