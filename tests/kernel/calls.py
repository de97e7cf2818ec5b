# SPDX-License-Identifier: Apache-2.0
"""System calls that Python 3.11 has no function for. x86-64's and arm64's numbers."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

# include/uapi/asm-generic/unistd.h: the same on all architectures since 424.
_OPEN_TREE = 428
_OPENAT2 = 437

# include/uapi/linux/sched.h
NEWNS = 0x00020000
NEWUSER = 0x10000000
NEWPID = 0x20000000

# include/uapi/linux/mount.h
_KINDS = {"bind": 4096 | 16384, "move": 8192}
_REC, _PRIVATE = 16384, 1 << 18
_DETACH = 2
_OPEN_TREE_CLONE = 1

_HANDLE_BYTES = 128  # MAX_HANDLE_SZ, include/linux/exportfs.h

_C = ctypes.CDLL(None, use_errno=True)


def _done(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def mount(source: str | Path, target: str | Path, kind: str, options: str = "") -> None:
    """Mount a file system of a kind, or bind or move what is there."""
    flags = _KINDS.get(kind, 0)
    name = None if flags else kind.encode()
    _done(
        _C.mount(os.fsencode(source), os.fsencode(target), name, flags, options.encode() or None),
        f"mount {kind} at {target}",
    )


def unmount(target: str | Path) -> None:
    """Take a mount off, in use or not."""
    _done(_C.umount2(os.fsencode(target), _DETACH), f"umount {target}")


def unshare(flags: int) -> None:
    """Leave name spaces for new ones."""
    _done(_C.unshare(flags), "unshare")


def unshare_mounts() -> None:
    """A mount name space of its own, whose changes nobody else sees."""
    unshare(NEWNS)
    _done(_C.mount(b"none", b"/", None, _REC | _PRIVATE, None), "make mounts private")


def openat2(path: str, flags: int) -> None:
    """Open and close."""
    how = struct.pack("=QQQ", flags, 0, 0)  # struct open_how
    os.close(_done(_C.syscall(_OPENAT2, -100, os.fsencode(path), how, len(how)), "openat2"))


def open_tree_clone(path: str) -> int:
    """A detached copy of a mount, as a descriptor."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC
    return _done(_C.syscall(_OPEN_TREE, -100, os.fsencode(path), flags), "open_tree")


def handle(path: str | Path) -> bytes:
    """A file's handle: struct file_handle."""
    buffer = ctypes.create_string_buffer(struct.pack("=Ii", _HANDLE_BYTES, 0), 8 + _HANDLE_BYTES)
    number = ctypes.c_int()
    _done(
        _C.name_to_handle_at(-100, os.fsencode(path), buffer, ctypes.byref(number), 0),
        "name_to_handle_at",
    )
    return buffer.raw


def open_handle(directory: str | Path, handle: bytes, flags: int = os.O_RDONLY) -> int:
    """The file of a handle, opened; ``directory`` is on its file system."""
    where = os.open(directory, os.O_RDONLY)
    try:
        return _done(_C.open_by_handle_at(where, handle, flags), "open_by_handle_at")
    finally:
        os.close(where)


def open_by_handle(path: str) -> None:
    """Open and close a file by its handle."""
    os.close(open_handle(os.path.dirname(path), handle(path)))


def drop_names() -> None:
    """Have the kernel forget the names and inodes that nobody uses."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("2")


def by_number(number: int, *arguments: int | bytes | None) -> int:
    """A system call by its number; bytes are passed by address. Raises OSError."""
    passed = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    return _done(_C.syscall(ctypes.c_long(number), *passed), f"system call {number}")
