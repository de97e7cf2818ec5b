# SPDX-License-Identifier: Apache-2.0
"""Sinks on this host: a log file with rotation, and standard output.

Knows files. Lines are whole whatever happens: see guard.audit.sink_file.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from guard.audit.sink_file import FileSink, StdoutSink
from guard.audit.sinks import SinkError
from guard.ship.extras import require_extra
from guard.ship.sink import DELIVERED, Message, Outcome, Unavailable

_SUFFIXES = {"none": "", "gzip": ".gz", "zstd": ".zst"}


@dataclass(frozen=True, slots=True)
class Rotation:
    """When a file is renamed to PATH.1 (and that to PATH.2, …) and another begun.

    At ``size`` bytes, or ``after`` seconds if not None; ``keep`` old files are
    kept, compressed as ``compression`` says: gzip, zstd or none.
    """

    size: int = 100 << 20
    after: float | None = None
    keep: int = 10
    compression: str = "gzip"


class RotatedFile:
    """Appends lines to ``path``, on the disk before they count as delivered.

    ``clock`` is monotonic. A file that somebody else renamed or removed is
    noticed, and the path's own is gone on with.
    """

    def __init__(self, path: Path, rotation: Rotation, clock: Callable[[], float]) -> None:
        self._path = path
        self._rotation = rotation
        self._clock = clock
        if rotation.compression == "zstd":
            require_extra("zstandard", "zstd")
        try:
            self._file = FileSink(path)
        except OSError as error:
            raise Unavailable(f"{path}: {error.strerror}") from None
        self._begun = clock()

    def send(self, batch: Sequence[Message]) -> Outcome:
        """As in Sink."""
        try:
            self._turn(sum(len(message.body) + 1 for message in batch))
        except (OSError, SinkError) as error:
            raise Unavailable(f"{self._path} cannot be rotated: {error}") from None
        try:
            self._file.emit([message.body for message in batch])
            outcome = DELIVERED
        except SinkError as error:
            outcome = _rest(batch, error)
        try:
            self._file.flush()
        except SinkError as error:
            raise Unavailable(str(error)) from None
        return outcome

    def close(self) -> None:
        """As in Sink."""
        self._file.close()

    def _turn(self, more: int) -> None:
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            self._file.reopen()
            self._begun = self._clock()
            return
        if not self._file.is_at(there):
            self._file.reopen()
            self._begun = self._clock()
        size = os.stat(self._path).st_size
        after = self._rotation.after
        old = after is not None and self._clock() - self._begun >= after
        if size and (size + more > self._rotation.size or old):
            self._rotate()

    def _rotate(self) -> None:
        keep = self._rotation.keep
        for suffix in _SUFFIXES.values():
            for number in range(keep, 0, -1):
                old = self._numbered(number, suffix)
                if not old.exists():
                    continue
                if number == keep:
                    old.unlink()
                else:
                    os.rename(old, self._numbered(number + 1, suffix))
        if keep:
            first = self._numbered(1, "")
            os.rename(self._path, first)
            self._compress(first)
        else:
            self._path.unlink()
        self._file.reopen()
        self._begun = self._clock()

    def _numbered(self, number: int, suffix: str) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}{suffix}")

    def _compress(self, path: Path) -> None:
        """Replaces the file by a compressed one; without room for that it stays as it is."""
        suffix = _SUFFIXES[self._rotation.compression]
        if not suffix:
            return
        beside = path.with_name(f".{path.name}.new")
        try:
            with open(path, "rb") as plain, open(beside, "wb", opener=_private) as file:
                if suffix == ".gz":
                    with gzip.GzipFile("", "wb", 6, file) as packed:
                        shutil.copyfileobj(plain, packed, 1 << 18)
                else:
                    zstandard = require_extra("zstandard", "zstd")
                    zstandard.ZstdCompressor(3).copy_stream(plain, file)
                file.flush()
                os.fsync(file.fileno())
            os.rename(beside, path.with_name(path.name + suffix))
        except OSError:
            with contextlib.suppress(OSError):
                beside.unlink()
            return
        path.unlink()


class Stdout:
    """Writes lines to standard output. Whoever reads it must read on."""

    def __init__(self, file: int = 1) -> None:
        self._sink = StdoutSink(file)

    def send(self, batch: Sequence[Message]) -> Outcome:
        """As in Sink."""
        try:
            self._sink.emit([message.body for message in batch])
        except SinkError as error:
            return _rest(batch, error)
        return DELIVERED

    def close(self) -> None:
        """The descriptor is the process's own and stays open."""


def _rest(batch: Sequence[Message], error: SinkError) -> Outcome:
    """Lines are written in order, so those that a file sink lost are the last ones."""
    return Outcome(again=range(len(batch) - error.lost, len(batch)), because=str(error))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
