# SPDX-License-Identifier: Apache-2.0
"""Lines into file descriptors: a log file, and standard output.

Knows files and errno; nothing of what lines say. Rotation, compression and
fsync's rhythm are others' business.
"""

from __future__ import annotations

import errno
import os
import select
import stat
from collections.abc import Sequence
from pathlib import Path

from guard.audit.sinks import SinkError


class FileSink:
    """Appends lines to a regular file, made with mode 0600; one write per batch.

    Must be the file's only writer. After a disk has filled up amid a line, the
    torn line is cut off again, so every line in the file is whole. What was
    torn by a crash stays as it is, but ends where the next line begins.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _open(path)
        self._mend = _is_torn(self._file)
        self._closed = False

    def emit(self, batch: Sequence[bytes]) -> None:
        """Appends the lines. Raises SinkError with the number that are not in the file."""
        try:
            _write(self._file, batch, self._mend)
            self._mend = False
        except _Stopped as stop:
            self._mend = not self._cut_off(stop.torn) if stop.torn else self._mend and not stop.any
            raise SinkError(f"{self._path}: {stop.because}", stop.lost) from None

    def flush(self) -> None:
        """Waits until the disk has it (fdatasync). Raises SinkError, with no line counted lost."""
        try:
            os.fdatasync(self._file)
        except OSError as error:
            raise SinkError(f"{self._path}: {error.strerror}", 0) from None

    def reopen(self) -> None:
        """Goes on in the file that the path names now, as after its rotation.

        If that cannot be opened, raises SinkError and goes on in the old one.
        """
        try:
            file = _open(self._path)
        except OSError as error:
            raise SinkError(f"{self._path}: {error.strerror}", 0) from None
        os.close(self._file)
        self._file = file
        self._mend = _is_torn(file)

    def is_at(self, there: os.stat_result) -> bool:
        """Whether this is the file that lines go to: False after somebody renamed it."""
        own = os.fstat(self._file)
        return (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino)

    def close(self) -> None:
        """Closes the file."""
        if not self._closed:
            self._closed = True
            os.close(self._file)

    def _cut_off(self, torn: int) -> bool:
        """Removes the last ``torn`` bytes, if they are the file's last; whether it did."""
        try:
            end = os.lseek(self._file, 0, os.SEEK_CUR)
            if end != os.fstat(self._file).st_size:
                return False
            os.ftruncate(self._file, end - torn)
        except OSError:
            return False
        return True


class StdoutSink:
    """Writes lines to an inherited descriptor, which it does not close.

    Somebody may have put it into non-blocking mode (it is shared with whoever
    else has the terminal or pipe open): then a full one is waited for, up to
    ``patience_ms`` milliseconds each time, before lines count as lost. In
    blocking mode a reader that stops reading stops the caller, and the ring
    fills; enforcement does not wait for either.
    """

    def __init__(self, file: int = 1, patience_ms: int = 1000) -> None:
        self._file = file
        self._patience_ms = patience_ms
        self._torn = False

    def emit(self, batch: Sequence[bytes]) -> None:
        """Writes the lines. Raises SinkError with the number not written whole."""
        try:
            _write(self._file, batch, self._torn, self._patience_ms)
            self._torn = False
        except _Stopped as stop:
            self._torn = bool(stop.torn) or (self._torn and not stop.any)
            raise SinkError(f"standard output: {stop.because}", stop.lost) from None

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """The descriptor is the process's own and stays open."""


class _Stopped(Exception):
    """A batch that was not written to its end.

    ``lost`` lines are not whole in the file; ``torn`` bytes at its end are the
    beginning of one; ``any``: at least a byte was written.
    """

    def __init__(self, because: str, lost: int, torn: int, any_written: bool) -> None:
        self.because = because
        self.lost = lost
        self.torn = torn
        self.any = any_written


def _write(file: int, batch: Sequence[bytes], after_torn: bool, patience_ms: int = 0) -> None:
    """Writes the lines, each with a newline, and before them one if a torn line is there."""
    if not batch:
        return
    data = b"\n".join(batch) + b"\n"
    if after_torn:
        data = b"\n" + data
    done = 0
    rest = memoryview(data)
    while done < len(data):
        try:
            done += os.write(file, rest[done:])
        except BlockingIOError:
            if not _writable(file, patience_ms):
                raise _stopped("full for too long", batch, data, done, after_torn) from None
        except OSError as error:
            because = error.strerror or str(error)
            raise _stopped(because, batch, data, done, after_torn) from None


def _stopped(
    because: str, batch: Sequence[bytes], data: bytes, done: int, after_torn: bool
) -> _Stopped:
    whole = data.count(b"\n", 0, done)
    torn = done - (data.rfind(b"\n", 0, done) + 1)
    if after_torn and whole:
        whole -= 1
    return _Stopped(because, len(batch) - whole, torn, done > 0)


def _writable(file: int, patience_ms: int) -> bool:
    poll = select.poll()
    poll.register(file, select.POLLOUT)
    return bool(poll.poll(patience_ms))


def _open(path: Path) -> int:
    """Opens for reading and appending, never through a symbolic link, never waiting.

    O_NONBLOCK has no meaning for regular files; a FIFO would block here
    without it. Raises OSError.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    file = os.open(path, flags, 0o600)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return file


def _is_torn(file: int) -> bool:
    size = os.fstat(file).st_size
    return size > 0 and os.pread(file, 1, size - 1) != b"\n"
