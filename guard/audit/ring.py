# SPDX-License-Identifier: Apache-2.0
"""Takes records out of a BPF ring buffer through its mapped memory, many at a time.

Knows the ring's layout and nothing of what the records hold, of programs or
of maps beyond the one file descriptor.

The layout (kernel/bpf/ringbuf.c; tools/lib/bpf/ringbuf.c): the map's file has
one page that the consumer writes (its position), then one page that the
kernel writes (the producer's position), then the data, mapped twice in a row
so that a record which wraps is contiguous. Each record begins with an 8-byte
header: u32 length with two flag bits, u32 page offset. The next record begins
at the following multiple of 8.

Positions and lengths are read by aligned loads of their own size
(``memoryview.cast``; ``struct`` with ``<`` assembles bytes and can tear). x86
keeps loads in order and stores in order, which is what the kernel's
acquire/release pairs ask for there. On weaker machines (arm64) these loads
have to move into C before this module may be used.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable

# include/uapi/linux/bpf.h: BPF_RINGBUF_BUSY_BIT, _DISCARD_BIT, _HDR_SZ.
BUSY = 1 << 31
DISCARD = 1 << 30
HEADER = 8


class RingCorrupt(Exception):
    """The ring's positions or lengths contradict each other: reading on would guess."""


class RingReader:
    """The consumer's end of one ring. There must be only one per ring.

    ``drain`` copies records out, ``release`` gives their room back to the
    kernel. A consumer that dies in between leaves the records to its
    successor, so release after the records are safe.

    ``consumer`` is the writable page; ``producer`` is the read-only page of
    ``page`` bytes followed by the data twice. ``fileno`` becomes readable when
    a record is committed (epoll); waiting on it is the caller's business.
    """

    def __init__(
        self,
        consumer: memoryview,
        producer: memoryview,
        fileno: int = -1,
        page: int = mmap.PAGESIZE,
        close: Callable[[], None] | None = None,
    ) -> None:
        data_bytes = len(producer) - page
        size = data_bytes // 2
        if data_bytes <= 0 or data_bytes % 2 or size & (size - 1) or size % 8:
            raise ValueError(f"{data_bytes} bytes after the producer page are not a ring twice")
        self._consumer = consumer.cast("B")[:8].cast("Q")
        self._producer = producer.cast("B")[:8].cast("Q")
        self._data = producer.cast("B")[page:]
        self._lengths = self._data.cast("I")
        self._size = size
        self._page = page
        self._mapped = producer.obj if isinstance(producer.obj, mmap.mmap) else None
        self._taken = self._consumer[0]
        self._fileno = fileno
        self._close = close
        # The last drain stopped before a record that its producer has not committed:
        # what lies behind it is not missing.
        self.blocked = False

    def fileno(self) -> int:
        """The map's file descriptor, for epoll; -1 for a ring that is only memory."""
        return self._fileno

    def drain(self, limit: int) -> list[bytes]:
        """Up to ``limit`` committed records, oldest first, not yet released.

        Stops before a record that its producer has not committed, even if later
        ones are: the kernel's order is the ring's. Discarded records are
        stepped over and do not count. Raises RingCorrupt if a record reaches
        beyond what the producer has reserved.
        """
        taken = self._taken
        produced = self._producer[0]
        mask = self._size - 1
        if produced - taken > self._size:
            raise RingCorrupt(f"producer at {produced}, consumer at {taken}, ring of {self._size}")
        start = taken & mask
        bounds: list[tuple[int, int]] = []
        lengths = self._lengths
        self.blocked = False
        while taken < produced and len(bounds) < limit:
            at = taken & mask
            length = lengths[at >> 2]
            if length >= DISCARD:  # BUSY or DISCARD
                if length & BUSY:
                    self.blocked = True
                    break
                length &= DISCARD - 1
            else:
                # Relative to this span's start, which is where the copy begins.
                begin = taken - self._taken + HEADER
                bounds.append((begin, begin + length))
            taken += (length + HEADER + 7) & ~7
            if taken > produced:
                raise RingCorrupt(f"record of {length} bytes reaches beyond position {produced}")
        # One copy for the span; slices of bytes are cheaper than slices of views.
        span = self._data[start : start + taken - self._taken].tobytes()
        self._taken = taken
        return [span[begin:end] for begin, end in bounds]

    @property
    def memory(self) -> mmap.mmap | None:
        """The producer's mapping, whose slices are bytes; None for a ring that is not mapped."""
        return self._mapped

    def stretch(self, limit: int) -> tuple[int, int, int]:
        """Committed records of one length that lie in a row: where, how far apart, how many.

        The first is at that offset of ``memory``, its header behind it. They
        may be read in place until they are released; ``take`` says that they
        were. No records: the count is 0, or the next one is one that ``drain``
        has to look at (discarded, not committed).
        """
        taken = self._taken
        produced = self._producer[0]
        ahead = produced - taken
        if ahead > self._size:
            raise RingCorrupt(f"producer at {produced}, consumer at {taken}, ring of {self._size}")
        at = taken & self._size - 1
        if not ahead or (length := self._lengths[at >> 2]) >= DISCARD:
            return 0, 0, 0
        stride = (length + HEADER + 7) & ~7
        if stride > ahead:
            raise RingCorrupt(f"record of {length} bytes reaches beyond position {produced}")
        count = min(ahead // stride, limit)
        # Headers before records: whoever sees a length sees what it is the length of.
        lengths = self._lengths[at >> 2 : at + count * stride >> 2 : stride >> 2].tolist()
        if lengths.count(length) != count:
            count = next(n for n, other in enumerate(lengths) if other != length)
        return self._page + at + HEADER, stride, count

    def take(self, size: int) -> None:
        """So many bytes behind those taken so far are taken, as if drained."""
        self._taken += size

    def release(self) -> None:
        """Gives the room of everything drained so far back to the kernel."""
        self._consumer[0] = self._taken

    def rewind(self) -> None:
        """Forgets what was drained and not released: the next drain yields it again."""
        self._taken = self._consumer[0]

    def backlog(self) -> int:
        """Bytes between the consumer and the producer, headers included."""
        return self._producer[0] - self._taken

    def close(self) -> None:
        """Lets go of the memory. The ring itself lives on with its map."""
        for view in (self._consumer, self._producer, self._lengths, self._data):
            view.release()
        if self._close is not None:
            self._close()


def map_ring(fileno: int, size: int) -> RingReader:
    """The ring whose map is open at ``fileno`` and holds ``size`` bytes (its max_entries).

    The descriptor stays the caller's. Raises OSError if the map cannot be
    mapped, for one because the process may not.
    """
    if size < mmap.PAGESIZE or size & (size - 1):
        raise ValueError(f"ring size {size} is not a power of two of at least one page")
    page = mmap.PAGESIZE
    consumer = mmap.mmap(fileno, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    try:
        producer = mmap.mmap(fileno, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
    except BaseException:
        consumer.close()
        raise
    views = memoryview(consumer), memoryview(producer)

    def close() -> None:
        for view in views:
            view.release()
        consumer.close()
        producer.close()

    return RingReader(*views, fileno=fileno, close=close)
