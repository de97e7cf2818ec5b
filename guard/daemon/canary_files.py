# SPDX-License-Identifier: Apache-2.0
"""What a canary does at each hook of the file and exec gates.

All of it on a file system in memory that the canary's process makes for itself
and that is mounted nowhere: what a canary is not denied is gone with the
process. Each function raises PermissionError with EACCES exactly where the hook denies.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import socket
import stat
import struct
import termios
from collections.abc import Callable

from guard.kernel.syscalls import Calls

# struct posix_acl_xattr, version 2: user::rw-, group::r--, other::r--.
_ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, permissions, 0xFFFFFFFF)
    for tag, permissions in ((0x01, 6), (0x04, 4), (0x20, 4))
)
_ACL_NAME = "system.posix_acl_access"

# include/uapi/linux/mount.h
_FSCONFIG_CMD_CREATE = 6

# include/uapi/linux/fs.h: FS_IOC_SETFLAGS, FS_NODUMP_FL
_SETFLAGS = 0x40086602
_NODUMP = struct.pack("=q", 0x40)

_PAGE = mmap.PAGESIZE
_PRIVATE_MEMORY = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


def _place(calls: Calls) -> int:
    """A directory on a file system of the process's own, as a descriptor."""
    context = calls("fsopen", b"tmpfs", 0)
    calls("fsconfig", context, _FSCONFIG_CMD_CREATE, None, None, 0)
    return calls("fsmount", context, 0, 0)


def _file(calls: Calls, flags: int = os.O_RDWR) -> tuple[int, int]:
    """The directory, and a file in it, open."""
    place = _place(calls)
    return place, os.open("file", flags | os.O_CREAT, 0o600, dir_fd=place)


def _create(calls: Calls) -> None:
    _file(calls)


def _mkdir(calls: Calls) -> None:
    os.mkdir("new", dir_fd=_place(calls))


def _symlink(calls: Calls) -> None:
    os.symlink("nowhere", "new", dir_fd=_place(calls))


def _mknod(calls: Calls) -> None:
    os.mknod("new", stat.S_IFIFO | 0o600, dir_fd=_place(calls))


def _unlink(calls: Calls) -> None:
    os.unlink("file", dir_fd=_file(calls)[0])


def _rmdir(calls: Calls) -> None:
    place = _place(calls)
    os.mkdir("new", dir_fd=place)
    os.rmdir("new", dir_fd=place)


def _rename(calls: Calls) -> None:
    place, _ = _file(calls)
    os.rename("file", "new", src_dir_fd=place, dst_dir_fd=place)


def _link(calls: Calls) -> None:
    place, _ = _file(calls)
    os.link("file", "new", src_dir_fd=place, dst_dir_fd=place)


def _setattr(calls: Calls) -> None:
    os.fchmod(_file(calls)[1], 0o400)


def _setxattr(calls: Calls) -> None:
    os.setxattr(_file(calls)[1], "trusted.guard", b"canary")


def _removexattr(calls: Calls) -> None:
    os.removexattr(_file(calls)[1], "trusted.guard")


def _set_acl(calls: Calls) -> None:
    os.setxattr(_file(calls)[1], _ACL_NAME, _ACL)


def _remove_acl(calls: Calls) -> None:
    os.removexattr(_file(calls)[1], _ACL_NAME)


def _set_flags(calls: Calls) -> None:
    fcntl.ioctl(_file(calls)[1], _SETFLAGS, _NODUMP)


def _lock(calls: Calls) -> None:
    fcntl.flock(_file(calls)[1], fcntl.LOCK_SH)


def _ioctl(_: Calls) -> None:
    # Not a terminal, which only whoever is not denied is told.
    with open("/dev/null", "rb") as device:
        fcntl.ioctl(device, termios.TCGETS, bytes(64))


def _fcntl(calls: Calls) -> None:
    fcntl.fcntl(_file(calls, os.O_RDWR | os.O_APPEND)[1], fcntl.F_SETFL, 0)


def _map_append(calls: Calls) -> None:
    fd = _file(calls, os.O_RDWR | os.O_APPEND)[1]
    os.truncate(fd, _PAGE)
    mmap.mmap(fd, _PAGE).close()


def _receive(calls: Calls) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        socket.send_fds(ours, [b"x"], [_file(calls)[1]])
        _, received, _, _ = socket.recv_fds(theirs, 1, 1)
    if not received:
        raise PermissionError(errno.EACCES, "the descriptor did not come")


def _execute(_: Calls) -> None:
    # Neither a program nor a script, which only whoever is not denied is told.
    fd = os.memfd_create("canary")
    os.write(fd, b"\0")
    os.execve(fd, ["canary"], {})  # noqa: S606 - the exec is what is tested


def _map(_: Calls) -> None:
    protection = mmap.PROT_READ | mmap.PROT_EXEC
    mmap.mmap(-1, _PAGE, flags=_PRIVATE_MEMORY, prot=protection).close()


def _protect(calls: Calls) -> None:
    at = calls("mmap", 0, _PAGE, mmap.PROT_READ, _PRIVATE_MEMORY, -1, 0)
    calls("mprotect", at, _PAGE, mmap.PROT_READ | mmap.PROT_EXEC)


DRIVERS: dict[str, Callable[[Calls], object]] = {
    "guard_inode_create": _create,
    "guard_inode_mkdir": _mkdir,
    "guard_inode_symlink": _symlink,
    "guard_inode_mknod": _mknod,
    "guard_inode_unlink": _unlink,
    "guard_inode_rmdir": _rmdir,
    "guard_inode_rename": _rename,
    "guard_security_inode_rename": _rename,
    "guard_inode_link": _link,
    "guard_inode_setattr_old": _setattr,
    "guard_inode_setattr": _setattr,
    "guard_inode_setxattr": _setxattr,
    "guard_inode_removexattr": _removexattr,
    "guard_inode_set_acl": _set_acl,
    "guard_inode_remove_acl": _remove_acl,
    "guard_inode_file_setattr": _set_flags,
    "guard_file_lock": _lock,
    "guard_file_ioctl": _ioctl,
    "guard_file_fcntl": _fcntl,
    "guard_mmap_append": _map_append,
    "guard_security_mmap_append": _map_append,
    "guard_file_receive": _receive,
    "guard_exec_judge": _execute,
    "guard_mmap_exec": _map,
    "guard_security_mmap_exec": _map,
    "guard_mprotect_exec": _protect,
}
"""By program, because several can be on one hook."""
