# SPDX-License-Identifier: Apache-2.0
"""What the spool's writer asks of the operating system, call by call.

Knows system calls only. A layer of its own so that tests can make any of them
fail, stop half way, or be the last one before the power goes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

# Segments may be read by the group of the shipper and written by the collector alone.
FILE_MODE = 0o640
DIRECTORY_MODE = 0o750
# A reader stores its cursor itself.
CURSORS_MODE = 0o770


class Disk:
    """The real one. Every method raises OSError."""

    def open_to_append(self, path: Path) -> int:
        """A regular file for appending, made if it is not there; never through a link."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = os.open(path, flags, FILE_MODE)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return file

    def write(self, file: int, data: memoryview) -> int:
        """Appends some of the data, at least a byte; returns how much."""
        return os.write(file, data)

    def truncate(self, file: int, size: int) -> None:
        """Cuts the file to this size."""
        os.ftruncate(file, size)

    def size(self, file: int) -> int:
        """The file's size in bytes."""
        return os.fstat(file).st_size

    def sync(self, file: int) -> None:
        """Returns when the disk has the file's data."""
        os.fdatasync(file)

    def close(self, file: int) -> None:
        """Closes the file."""
        os.close(file)

    def unlink(self, path: Path) -> None:
        """Removes a name."""
        os.unlink(path)

    def rename(self, old: Path, new: Path) -> None:
        """Gives a file another name."""
        os.rename(old, new)

    def make_directory(self, path: Path, mode: int, group: int | None) -> None:
        """Makes a directory with this mode, or sets the mode of the one that is there.

        What is made in it belongs to ``group`` too, or its readers could not read it.
        """
        path.mkdir(exist_ok=True)
        if group is not None:
            os.chown(path, -1, group)
            mode |= stat.S_ISGID
        os.chmod(path, mode)

    def sync_directory(self, path: Path) -> None:
        """Returns when the disk has the directory's names."""
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def replace(self, path: Path, data: bytes) -> None:
        """Makes ``data`` all of what the file holds: the old or the new, even after a crash."""
        beside = path.with_name(f".{path.name}.new")
        file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[self.write(file, rest) :]
            self.sync(file)
        finally:
            os.close(file)
        self.rename(beside, path)

    def overwrite(self, path: Path, data: bytes) -> None:
        """Writes at the file's beginning, in place: needs no room once the file is there."""
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        try:
            os.pwrite(file, data, 0)
            self.sync(file)
        finally:
            os.close(file)

    def lock(self, path: Path) -> int:
        """Keeps other collectors out until the file returned is closed. BlockingIOError: in use."""
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(file)
            raise
        return file
