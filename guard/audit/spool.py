# SPDX-License-Identifier: Apache-2.0
"""The writing end of the spool: batches onto the disk, bounded, whatever the disk does.

Knows segments, seals and limits; nothing of rings and sinks, and of records
only that they are lines. What it asks of the system goes through ``Disk``.

The law, per series and for every reader, asserted in tests under injected faults:

    offered = written + lost (spool-full)
    written = acknowledged + spooled + expired + too-old + damaged

A write that did not end well is cut off again; what a crash left behind is cut
off when the spool is next opened, so every segment ends with a sealed batch.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from guard.audit.chain import BATCH_LIMIT, Block, Head, block, seal
from guard.audit.spool_cursor import Position, load_all
from guard.audit.spool_disk import Disk
from guard.audit.spool_evict import Held, choose, costs, too_old
from guard.audit.spool_files import AGES, DENIALS, HEADS, SERIES, segment_path
from guard.audit.spool_heads import encode_heads
from guard.audit.spool_losses import Losses, SpoolCause, SpoolLoss
from guard.audit.spool_open import Opened, encode_ages, keep_aside, open_directory
from guard.audit.spool_series import is_sound
from guard.audit.spool_sync import BackgroundSync

# Ages of segments on disk may be this much too young after a crash.
AGES_SECONDS = 60.0

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the spool keeps, and how well.

    ``bytes`` of all segments together; ``age`` in seconds that guard ran since
    a segment was closed; a segment is closed when it has ``segment_bytes`` or
    ``segment_age`` seconds after it was begun. ``sync_each``: every batch is on
    the disk before the ring gets its room back; else every ``sync_seconds``.
    """

    bytes: int = 1 << 30
    age: float = 30 * 86400.0
    segment_bytes: int = 8 << 20
    segment_age: float = 3600.0
    sync_each: bool = False
    sync_seconds: float = 1.0

    def __post_init__(self) -> None:
        """Raises ValueError if the spool could not hold a segment of each series and one more."""
        if self.segment_bytes * 4 > self.bytes:
            raise ValueError(
                f"a spool of {self.bytes} bytes is too small for segments of {self.segment_bytes}: "
                f"it must hold at least four"
            )


@dataclass(slots=True)
class _Live:
    """What is written to in one series; ``file`` is -1 until the next batch."""

    head: Head
    file: int = -1
    held: Held | None = None
    begun: float = 0.0
    dirty: bool = False


class Spool:
    """The writer. There is one per directory, which a lock sees to.

    ``clock`` gives seconds that never step (boot time). ``group`` may read the
    spool and write cursors. Raises OSError if the directory cannot be had,
    SpoolBusy if another collector has it. What is not a spool of this format is
    renamed, with its name and ``.aside-N``: see ``put_aside``.
    """

    def __init__(
        self,
        directory: Path,
        limits: Limits | None = None,
        disk: Disk | None = None,
        clock: Callable[[], float] = time.monotonic,
        group: int | None = None,
    ) -> None:
        self._directory = directory
        self._limits = limits or Limits()
        self._disk = disk or Disk()
        self._clock = clock
        self.losses = Losses()
        opened: Opened = open_directory(directory, self._disk, group)
        self.put_aside = opened.put_aside
        self._lock = opened.lock
        self._held = opened.held
        self._bytes = sum(one.size for one in self._held)
        self._ran_before = opened.ran
        self._started = clock()
        self._live = {name: _Live(opened.heads[name]) for name in SERIES}
        for series, torn in opened.torn.items():
            self.losses.add(SpoolCause.TORN, series, torn.records, detail=torn.detail)
        self._damaged = {name: _damage(one) for name, one in self.cursors().items()}
        self._suspect = any(map(any, self._damaged.values()))
        self._sync = BackgroundSync(self._disk.sync)
        self._names = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._synced = self._aged = self._started
        self.because = ""

    def append(self, series: str, lines: Sequence[bytes]) -> int:
        """Stores the lines in order; returns how many of them are lost for want of room.

        ``because`` says why. Never raises OSError: enforcement goes on with a
        broken disk, and what is lost is counted.
        """
        lost = 0
        for at in range(0, len(lines), BATCH_LIMIT):
            lost += self.append_block(series, block(lines[at : at + BATCH_LIMIT]))
        return lost

    def append_block(self, series: str, records: Block) -> int:
        """As ``append``, for one batch of at most BATCH_LIMIT records with their CRCs."""
        if self._put(series, records):
            return 0
        lost = len(records.sums)
        self.losses.add(SpoolCause.FULL, series, lost, detail=self.because)
        return lost

    def offer(self, series: str, lines: Sequence[bytes]) -> bool:
        """Stores the lines; False: there is no room, and it is no loss: they will come again."""
        return self._put(series, block(lines))

    def tick(self, report: Callable[[SpoolLoss], bytes]) -> None:
        """What is due: flushing, ages, and telling losses. About once a second.

        ``report`` makes a loss's record, which goes to the denials. What has no
        room yet is told when there is.
        """
        now = self._clock()
        due = now - self._synced >= self._limits.sync_seconds and not self._sync.busy()
        if due:
            self._synced = now
        for live in self._live.values():
            if live.held and live.held.end > live.held.first:
                if now - live.begun > self._limits.segment_age:
                    self._close_segment(live)
                elif live.dirty and due:
                    self._sync.submit(live.file)
                    live.dirty = False
        cursors = self.cursors()
        self._see_damage(cursors)
        for old in too_old(self._held, self._ran(), self._limits.age):
            self._evict(old, cursors, SpoolCause.TOO_OLD)
        if now - self._aged >= AGES_SECONDS:
            self._aged = now
            self._write_ages()
        self.tell(report)

    def tell(self, report: Callable[[SpoolLoss], bytes]) -> None:
        """Puts a record for each loss not told yet into the denials, if they fit."""
        pending = self.losses.pending()
        if pending and self.offer(DENIALS, [report(loss) for loss in pending]):
            self.losses.told(pending)

    def written(self, series: str) -> int:
        """Records ever stored in the series; the next one's ordinal."""
        return self._live[series].head.first

    def head(self, series: str) -> Head:
        """Where the series' hash chain stands."""
        return self._live[series].head

    def size(self) -> int:
        """Bytes of all segments."""
        return self._bytes

    def unsafe(self) -> int:
        """How often the disk failed to confirm what was written."""
        return self._sync.failures

    def unsafe_because(self) -> str:
        """What the disk said the last time."""
        return self._sync.because

    def flush(self) -> None:
        """Returns when the disk has what was written, or has said that it has not."""
        for live in self._live.values():
            if live.file >= 0 and live.dirty:
                self._sync.submit(live.file)
                live.dirty = False
        self._sync.close()

    def cursors(self) -> dict[str, Position]:
        """Every reader's acknowledged position; of those that can be read."""
        return load_all(self._directory)

    def close(self) -> None:
        """Flushes and closes. The segments stay as they are for a successor."""
        for live in self._live.values():
            if live.file >= 0:
                self._sync.submit(live.file)
        self._sync.close()
        for live in self._live.values():
            if live.file >= 0:
                self._disk.close(live.file)
                live.file = -1
        self._write_ages()
        os.close(self._names)
        self._disk.close(self._lock)

    def _put(self, series: str, records: Block) -> bool:
        """Stores one batch; False: it is not there, and no part of it."""
        live = self._live[series]
        body, tail, head = seal(series, records, live.head)
        if not self._store(series, live, (body, tail), head):
            return False
        live.head = head
        return True

    def _store(
        self, series: str, live: _Live, parts: Sequence[memoryview | bytes], head: Head
    ) -> bool:
        size = sum(map(len, parts))
        held = live.held
        if held and held.end > held.first and held.size + size > self._limits.segment_bytes:
            self._close_segment(live)
        again = True  # one more try after an error that no eviction mends
        while True:
            if self._bytes + size > self._limits.bytes:
                self.because = f"{self._limits.bytes} bytes are the spool's limit"
                if self._make_room(series):
                    continue
                return False
            try:
                self._write(series, live, parts)
            except OSError as error:
                self.because = error.strerror or str(error)
                if error.errno in _NO_ROOM:
                    if self._make_room(series):
                        continue
                elif again:
                    again = False
                    self._abandon(live)
                    continue
                return False
            assert live.held is not None
            live.held.size += size
            self._bytes += size
            live.held.end = head.first
            live.dirty = True
            return True

    def _write(self, series: str, live: _Live, parts: Sequence[memoryview | bytes]) -> None:
        if live.file < 0:
            path = segment_path(self._directory, series, live.head.first)
            live.file = self._disk.open_to_append(path)
            live.held = Held(series, live.head.first, live.head.first, 0, None)
            live.begun = self._clock()
            self._held.append(live.held)
            self._sync_name()
        assert live.held is not None
        try:
            for part in parts:
                rest = memoryview(part)
                while rest:
                    rest = rest[self._disk.write(live.file, rest) :]
            if self._limits.sync_each:
                self._disk.sync(live.file)
        except OSError:
            if self._disk_size(live) != live.held.size:
                try:
                    self._disk.truncate(live.file, live.held.size)
                except OSError:
                    self._abandon(live)
            raise

    def _sync_name(self) -> None:
        """A file that is on the disk is of no use if its name is not."""
        if self._limits.sync_each:
            self._disk.sync_directory(self._directory)
        else:
            self._sync.submit(self._names)

    def _disk_size(self, live: _Live) -> int:
        try:
            return self._disk.size(live.file)
        except OSError:
            return -1

    def _close_segment(self, live: _Live) -> None:
        assert live.held is not None
        self._sync.submit(live.file)
        self._disk.close(live.file)
        live.held.closed = self._ran()
        live.file, live.held, live.dirty = -1, None, False

    def _abandon(self, live: _Live) -> None:
        """Leaves a segment that cannot be relied on; the next batch begins another."""
        if live.file < 0 or live.held is None:
            return
        held = live.held
        self._close_segment(live)
        if held.end == held.first:  # its successor would have its name
            self._held.remove(held)
            path = segment_path(self._directory, held.series, held.first)
            with contextlib.suppress(OSError):
                self.put_aside.append(keep_aside(self._directory, path, self._disk))

    def _make_room(self, series: str) -> bool:
        """Removes one segment for the sake of a series; False: there is none to remove."""
        cursors = self.cursors()
        chosen = choose(self._held, cursors, series)
        return chosen is not None and self._evict(chosen, cursors, SpoolCause.EXPIRED)

    def _evict(self, one: Held, cursors: dict[str, Position], cause: SpoolCause) -> bool:
        live = self._live[one.series]
        newest = one.end == live.head.first
        path = segment_path(self._directory, one.series, one.first)
        try:
            if newest:  # the chain goes on from what is remembered here
                heads = {name: each.head for name, each in self._live.items()}
                self._disk.overwrite(self._directory / HEADS, encode_heads(heads))
            if self._suspect and not is_sound(path, one.series):
                self.put_aside.append(keep_aside(self._directory, path, self._disk))
            else:
                self._disk.unlink(path)
        except FileNotFoundError:
            pass  # somebody else removed it: gone is gone, and counted below
        except OSError as error:
            self.because = f"{path.name} cannot be removed: {error.strerror}"
            return False
        if live.held is one:
            self._disk.close(live.file)
            live.file, live.held, live.dirty = -1, None, False
        self._held.remove(one)
        self._bytes -= one.size
        for cost in costs(one, cursors):
            self.losses.add(cause, one.series, cost.records, cost.cursor)
        return True

    def _see_damage(self, cursors: dict[str, Position]) -> None:
        for name, position in cursors.items():
            before = self._damaged.get(name, (0,) * len(SERIES))
            now = _damage(position)
            for series, was, there_are in zip(SERIES, before, now, strict=True):
                if there_are > was:
                    self._suspect = True
                    self.losses.add(SpoolCause.DAMAGED, series, there_are - was, name)
            self._damaged[name] = now

    def _ran(self) -> float:
        """The spool's own clock: seconds that guard ran with it, in all its runs."""
        return self._ran_before + self._clock() - self._started

    def _write_ages(self) -> None:
        with contextlib.suppress(OSError):  # on a full disk segments just stay young
            self._disk.replace(self._directory / AGES, encode_ages(self._ran(), self._held))


def _damage(position: Position) -> tuple[int, ...]:
    return tuple(place.damaged for place in position)
