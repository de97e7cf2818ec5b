# SPDX-License-Identifier: Apache-2.0
"""The words for what a rule allows or denies, each with its meaning: one table a section.

The parser, its messages, the JSON Schema and the manual all come from here.
A word's bit comes from lsm/wire.h; the word is that name in lower case.
Knows nothing of YAML.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Generic, NamedTuple, TypeVar

from guard.wire.layout import KernelOp, NetVerb, PathVerb

_T = TypeVar("_T", bound=IntEnum)

FILE_VERBS: dict[PathVerb, str] = {
    PathVerb.READ: "open a file for reading its contents",
    PathVerb.WRITE: "open a file for writing, or truncate it by any route; holds append",
    PathVerb.LIST: "open a directory, which shows the names in it",
    PathVerb.APPEND: "open a file for writing at its end only (O_APPEND)",
    PathVerb.CREATE: "make a name: file, directory, symlink, a link's or a rename's new name",
    PathVerb.DELETE: "remove a file or directory, or have a rename put another in its place",
    PathVerb.RENAME: "take this name away from a file or directory by a rename",
    PathVerb.LINK: "give a file a further name by a hard link",
    PathVerb.SETATTR: "change mode, owner, times, extended attributes or ACLs",
    PathVerb.LOCK: "lock a file by flock, fcntl or a lease",
    PathVerb.IOCTL: "ioctl on a device node",
    PathVerb.MKDEV: "make a block or character device node",
    PathVerb.MKFIFO: "make a named pipe",
    PathVerb.MKSOCK: "make a UNIX socket's node, by mknod or bind",
}

EXEC_VERBS: dict[PathVerb, str] = {
    PathVerb.EXEC: "execute a program; of a script, the script and its interpreter",
    PathVerb.MAP: "map as executable code, as libraries are, or make memory executable",
}

NET_VERBS: dict[NetVerb, str] = {
    NetVerb.CREATE: "make a socket or a pair of them",
    NetVerb.BIND: "give a socket its local address",
    NetVerb.LISTEN: "wait for connections; the local address counts",
    NetVerb.ACCEPT: "take a connection; the local address counts",
    NetVerb.CONNECT: "connect to a remote address, TCP fast open included",
    NetVerb.SEND: "send a datagram to an address given with it",
}

KERNEL_OPS: dict[KernelOp, str] = {
    KernelOp.PTRACE: "trace, or read or change the memory of, another process; take its files",
    KernelOp.SIGNAL: "send a signal to a process outside of the policy",
    KernelOp.MOUNT: "mount, remount, move or bind a mount",
    KernelOp.UMOUNT: "unmount",
    KernelOp.PIVOT_ROOT: "change the root mount",
    KernelOp.CHROOT: "change the root directory",
    KernelOp.MODULE: "load a kernel module, or have the kernel load one",
    KernelOp.FIRMWARE: "have the kernel load firmware from a file",
    KernelOp.KEXEC: "load another kernel to boot",
    KernelOp.BPF: "the bpf system call",
    KernelOp.PERF: "open a performance event",
    KernelOp.USERNS: "make a user namespace",
    KernelOp.TIME: "set the clock or the time zone",
    KernelOp.KEYS: "make or use keys in key rings",
    KernelOp.IO_URING: "set up io_uring",
    KernelOp.SWAP: "turn swap areas on or off",
    KernelOp.REBOOT: "reboot, halt or power off",
    KernelOp.SYSLOG: "read or clear the kernel's log",
    **{op: f"use CAP_{op.name[4:]}" for op in KernelOp if op.name.startswith("CAP_")},
}

IMPLIED: dict[PathVerb, PathVerb] = {PathVerb.WRITE: PathVerb.APPEND}
"""What a verb brings with it: who may write anywhere in a file may write at its end."""

_FILE_HINTS: dict[str, str] = {
    "open": "read",
    "r": "read",
    "w": "write",
    "rw": "read, write",
    "modify": "write",
    "truncate": "write",
    "readdir": "list",
    "ls": "list",
    "unlink": "delete",
    "remove": "delete",
    "rmdir": "delete",
    "mkdir": "create",
    "symlink": "create",
    "move": "rename",
    "chmod": "setattr",
    "chown": "setattr",
    "utime": "setattr",
    "setxattr": "setattr",
    "mknod": "mkdev, mkfifo, mksock",
    "flock": "lock",
}

_EXEC_HINTS: dict[str, str] = {
    "execute": "exec",
    "execve": "exec",
    "run": "exec",
    "x": "exec",
    "mmap": "map",
    "map-exec": "map",
    "mprotect": "map",
}

_NET_HINTS: dict[str, str] = {
    "socket": "create",
    "sendto": "send",
    "sendmsg": "send",
    "server": "bind, listen, accept",
    "client": "connect",
}

_KERNEL_HINTS: dict[str, str] = {
    "insmod": "module",
    "process_vm_readv": "ptrace",
    "kill": "signal",
    "unmount": "umount",
    "unshare": "userns",
    "settime": "time",
    "dmesg": "syslog",
    "perf_event_open": "perf",
    "swapon": "swap",
    "keyctl": "keys",
}


class Verbs(NamedTuple, Generic[_T]):
    """One section's words: ``words`` to their members, ``meanings`` of these.

    ``hints`` are words that people try, and what says it here. ``planned`` are
    kept for operations that no program gates yet.
    """

    section: str
    noun: str
    words: Mapping[str, _T]
    meanings: Mapping[_T, str]
    hints: Mapping[str, str]
    planned: frozenset[str] = frozenset()


def _words(meanings: Mapping[_T, str]) -> dict[str, _T]:
    return {member.name.lower(): member for member in meanings}


def _all(meanings: Mapping[_T, str]) -> dict[str, str]:
    every = ", ".join(_words(meanings))
    return {"all": every, "any": every, "*": every}


FILE = Verbs(
    "file",
    "verb",
    _words(FILE_VERBS),
    FILE_VERBS,
    {**_FILE_HINTS, **_all(FILE_VERBS)},
    frozenset(("stat",)),
)
EXEC = Verbs("exec", "verb", _words(EXEC_VERBS), EXEC_VERBS, {**_EXEC_HINTS, **_all(EXEC_VERBS)})
NET = Verbs(
    "net",
    "verb",
    _words(NET_VERBS),
    NET_VERBS,
    {**_NET_HINTS, **_all(NET_VERBS)},
    frozenset(("recv",)),
)
KERNEL = Verbs("kernel", "operation", _words(KERNEL_OPS), KERNEL_OPS, _KERNEL_HINTS)
