# SPDX-License-Identifier: Apache-2.0
"""What the spool's tests share: a disk that fails on demand, and sums of a spool's law."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from unittest import mock

from guard.audit.spool import Spool
from guard.audit.spool_disk import Disk
from guard.audit.spool_losses import NEVER_WRITTEN, SpoolLoss
from guard.audit.spool_reader import SpoolReader


class PowerCut(BaseException):
    """The machine went down at this call; nothing after it happened."""


class QuickDisk(Disk):
    """Does not wait for the disk: the system under these tests never goes down."""

    def sync(self, file: int) -> None:
        pass

    def sync_directory(self, path: Path) -> None:
        pass


class FaultyDisk(QuickDisk):
    """Counts calls that change something and fails when told to.

    ``cut_at``: at the n-th such call, do half of it and raise PowerCut.
    ``room``: bytes that writes may still take before ENOSPC; None: no limit;
    removing files gives their bytes back. ``broken``: errno of every write.
    ``tear``: the next write stops half way, and the one after it fails.
    """

    def __init__(self, cut_at: int | None = None, room: int | None = None) -> None:
        self.calls = 0
        self.cut_at = cut_at
        self.room = room
        self.broken = 0
        self.truncate_fails = False
        self.tear = False
        self._torn = False

    def _step(self) -> bool:
        self.calls += 1
        return self.cut_at is not None and self.calls == self.cut_at

    def write(self, file: int, data: memoryview) -> int:
        cut = self._step()
        if self.broken:
            raise OSError(self.broken, os.strerror(self.broken))
        if self._torn:
            self._torn = False
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        size = len(data)
        self.tear, self._torn = False, self.tear
        if cut or self._torn:
            size //= 2
        if self.room is not None:
            size = min(size, self.room)
            if not size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.room -= size
        done = super().write(file, data[:size])
        if cut:
            raise PowerCut
        return done

    def truncate(self, file: int, size: int) -> None:
        if self._step():
            raise PowerCut
        if self.truncate_fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if self.room is not None:
            self.room += self.size(file) - size
        super().truncate(file, size)

    def unlink(self, path: Path) -> None:
        if self._step():
            raise PowerCut
        size = path.stat().st_size
        super().unlink(path)
        if self.room is not None:
            self.room += size

    def rename(self, old: Path, new: Path) -> None:
        if self._step():
            raise PowerCut
        super().rename(old, new)

    def overwrite(self, path: Path, data: bytes) -> None:
        if self._step():
            raise PowerCut
        super().overwrite(path, data)

    def open_to_append(self, path: Path) -> int:
        if self._step():
            raise PowerCut
        return super().open_to_append(path)


def numbered(numbers: Iterable[int], size: int = 0) -> list[bytes]:
    """A line for each number, ``size`` bytes longer than need be."""
    return [json.dumps({"number": number, "x": "y" * size}).encode() for number in numbers]


def numbers(lines: Iterable[bytes]) -> list[int]:
    """The numbers of ``numbered`` lines; others are left out."""
    told = (json.loads(line) for line in lines)
    return [one["number"] for one in told if "number" in one]


def report(loss: SpoolLoss) -> bytes:
    """A loss as a record."""
    return json.dumps({"lost": loss._asdict()}).encode()


def read_all(reader: SpoolReader, at_once: int = 7) -> list[bytes]:
    """Everything there is now, acknowledged."""
    lines: list[bytes] = []
    while batch := reader.read(at_once, 1 << 20):
        lines += batch.records
        reader.ack(batch.end)
        if not batch.records:
            return lines
    return lines


def assert_law(spool: Spool, reader: SpoolReader, offered: dict[str, int]) -> None:
    """offered = written + never written; written = acknowledged + spooled + lost, per series."""
    for series, count in offered.items():
        never = sum(spool.losses.total(cause, series) for cause in NEVER_WRITTEN)
        assert count == spool.written(series) + never, series
        place = reader.acked.place(series)
        spooled = spool.written(series) - place.next
        assert spool.written(series) == (
            place.since + place.had() + spooled + place.expired + place.damaged
        )


@contextlib.contextmanager
def nothing_left() -> Iterator[None]:
    """Ends every spool and reader made within, as the kernel ends those of a killed process.

    Tests kill collectors by leaving them; a process that lives on keeps their
    descriptors and threads. Also a decorator, for each example of a property.
    """
    spools: list[Spool] = []
    readers: list[SpoolReader] = []
    make_spool, make_reader = Spool.__init__, SpoolReader.__init__

    def spool(self: Spool, *given: object, **named: object) -> None:
        make_spool(self, *given, **named)  # type: ignore[arg-type]
        spools.append(self)

    def reader(self: SpoolReader, *given: object, **named: object) -> None:
        make_reader(self, *given, **named)  # type: ignore[arg-type]
        readers.append(self)

    try:
        with (
            mock.patch.object(Spool, "__init__", spool),
            mock.patch.object(SpoolReader, "__init__", reader),
        ):
            yield
    finally:
        for one in readers:
            one.close()
        for each in spools:
            end(each)


def end(spool: Spool) -> None:
    """Closes what it has open and writes nothing: an orderly close has already done so."""
    spool._sync.close()
    mine = os.fspath(spool._directory)
    live = [each.file for each in spool._live.values() if each.file >= 0]
    for file in (spool._lock, spool._names, *live):
        # A number that was closed may be somebody else's file by now.
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{file}").startswith(mine):
                os.close(file)
