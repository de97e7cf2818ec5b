# SPDX-License-Identifier: Apache-2.0
"""System calls on names that Python has no function for."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

# include/uapi/linux/fs.h
EXCHANGE = 2

# include/uapi/linux/fcntl.h
_AT_FDCWD = -100
_AT_SYMLINK_FOLLOW = 0x400

_C = ctypes.CDLL(None, use_errno=True)


def renameat2(old: Path, new: Path, flags: int) -> None:
    """Rename with flags."""
    names = (os.fsencode(old), os.fsencode(new))
    if _C.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], flags):
        raise OSError(ctypes.get_errno(), "renameat2")


def link_descriptor(fd: int, new: Path) -> None:
    """Give an open file a (further) name."""
    old = f"/proc/self/fd/{fd}".encode()
    if _C.linkat(_AT_FDCWD, old, _AT_FDCWD, os.fsencode(new), _AT_SYMLINK_FOLLOW):
        raise OSError(ctypes.get_errno(), "linkat")
