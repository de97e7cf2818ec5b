# SPDX-License-Identifier: Apache-2.0
"""System calls that Python's library does not have, by number.

For canaries: each call here is made so that it can only fail, or change
nothing. Knows nothing of policies.
"""

from __future__ import annotations

import ctypes
import errno
import os

# arch/x86/entry/syscalls/syscall_64.tbl
NUMBERS = {
    "mount": 165,
    "umount2": 166,
    "pivot_root": 155,
    "settimeofday": 164,
    "syslog": 103,
    "init_module": 175,
    "finit_module": 313,
    "bpf": 321,
    "perf_event_open": 298,
    "add_key": 248,
    "keyctl": 250,
    "unshare": 272,
    "ptrace": 101,
    "io_uring_setup": 425,
    "fspick": 433,
    "fsconfig": 431,
    "move_mount": 429,
    "fsopen": 430,
    "fsmount": 432,
    "mmap": 9,
    "mprotect": 10,
}


class Calls:
    """The C library's syscall(2)."""

    def __init__(self) -> None:
        """Open the C library. Raises OSError where system calls have other numbers."""
        if os.uname().machine != "x86_64":
            raise OSError(errno.ENOSYS, f"system calls of {os.uname().machine} are not known")
        self._syscall = ctypes.CDLL(None, use_errno=True).syscall
        self._syscall.restype = ctypes.c_long

    def __call__(self, name: str, *arguments: int | bytes | None) -> int:
        """Make the call; bytes are passed by address. Raises OSError with the call's errno."""
        passed = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
        result = int(self._syscall(ctypes.c_long(NUMBERS[name]), *passed))
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), name)
        return result
