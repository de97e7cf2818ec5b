# SPDX-License-Identifier: Apache-2.0
"""Entries that sets got at run time, most with an end: written where the filter reads them.

The filter looks a source up by a keyed hash (lsm/xdp/rows.h, timed_sets) and
compares the end with the clock itself, so an entry ends in time whether or not
anyone tidies up. A hash says nothing about what was hashed: a second map,
place by place beside the first, has the prefixes for people.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from guard.errors import HostError
from guard.kernel.ingress import Ingress
from guard.kernel.libbpf import F_MMAPABLE, MAP_TYPE_ARRAY
from guard.policy.ingress import Prefix
from guard.policy.prefixes import BITS
from guard.wire.ingress import PROBE, Limit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    _U64 = NDArray[np.uint64]

ENTRIES = "set_entries"
"""The pin of the map for people."""

NEVER = (1 << 63) - 1
"""The end of an entry that has none."""

WAYS = 4  # of struct ingress_timed_bucket
_BUCKETS = int(Limit.TIMED_BUCKETS)
_COLUMNS = 3  # high, low, about
_WORD = (1 << 64) - 1
_PROBE = struct.Struct(PROBE.format())


class Entry(NamedTuple):
    """One entry; ``end`` is in jiffies. ``set`` is the set's bit."""

    set: int
    prefix: Prefix
    end: int


class Put(NamedTuple):
    """What became of entries: new, renewed, and those that there was no room for."""

    added: int
    renewed: int
    refused: tuple[Prefix, ...]


class Timed:
    """The timed entries of one filter, mapped. Whoever writes holds the instance's lock."""

    def __init__(self, ingress: Ingress) -> None:
        """Map both. Raises LibbpfError or OSError."""
        import numpy as np  # noqa: PLC0415 - only who changes sets needs it

        self._ingress = ingress
        self._seed = ingress.constants.seed
        self._close: list[mmap.mmap] = []
        timed = self._mapped(ingress.maps["ingress_timed"], _BUCKETS * WAYS * 16)
        fd = ingress.libbpf.open_pin(ingress.instance.map(ENTRIES))
        try:
            about = self._mapped(fd, _BUCKETS * WAYS * 8 * _COLUMNS)
        finally:
            os.close(fd)
        self._timed: _U64 = np.frombuffer(timed, np.uint64).reshape(_BUCKETS, WAYS, 2)
        self._about: _U64 = np.frombuffer(about, np.uint64).reshape(_BUCKETS, WAYS, _COLUMNS)
        raw = ingress.libbpf.map_lookup(
            ingress.maps["ingress_probes"], bytes(4), _PROBE.size * int(Limit.PROBES), "probes"
        )
        self._probes = [one for one in _PROBE.iter_unpack(raw or b"") if one[3]]

    def _mapped(self, fd: int, size: int) -> mmap.mmap:
        made = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._close.append(made)
        return made

    def put(self, which: int, some: Sequence[Prefix], end: int) -> Put:
        """Give a set entries that end at ``end``; those that it has are renewed.

        Raises HostError, and changes nothing, when the filter has no room for
        another prefix length.
        """
        self._require_probes(which, {(one.family, one.length) for one in some})
        added = renewed = 0
        refused = []
        now = self._ingress.now()
        for one, tag in zip(some, self._tags(which, some), strict=True):
            bucket = (tag >> 40) % _BUCKETS
            place = self._timed[bucket]
            free = empty = -1
            for way in range(WAYS):
                if int(place[way, 0]) == tag and tag:
                    renewed += 1
                    place[way, 1] = end
                    break
                if empty < 0 and not int(place[way, 0]):
                    empty = way
                if free < 0 and int(place[way, 1]) <= now:
                    free = way
            else:
                # What has ended waits to be recorded: its place is the last to be taken.
                free = empty if empty >= 0 else free
                if free < 0:
                    refused.append(one)
                    continue
                about = which << 16 | one.family << 8 | one.length
                self._about[bucket, free] = (one.address >> 64, one.address & _WORD, about)
                # The tag last: until then nobody takes the new end for the old tag's.
                place[free, 0] = 0
                place[free, 1] = end
                place[free, 0] = tag
                added += 1
        return Put(added, renewed, tuple(refused))

    def take(self, which: int, some: Sequence[Prefix]) -> list[Prefix]:
        """Take entries out of a set; those that it had."""
        found = []
        for one, tag in zip(some, self._tags(which, some), strict=True):
            bucket = (tag >> 40) % _BUCKETS
            for way in range(WAYS):
                if int(self._timed[bucket, way, 0]) == tag:
                    self._timed[bucket, way] = 0
                    found.append(one)
        return found

    def clear(self, which: int) -> int:
        """Take all of a set's entries out; how many there were."""
        mine = (self._timed[:, :, 0] != 0) & (self._about[:, :, 2] >> 16 == which)
        self._timed[mine] = 0
        return int(mine.sum())

    def entries(self, which: int | None = None) -> list[Entry]:
        """What is in force now, of one set or of all."""
        live = (self._timed[:, :, 0] != 0) & (self._timed[:, :, 1] > self._ingress.now())
        found = self._read(live)
        return [one for one in found if which is None or one.set == which]

    def sweep(self) -> list[Entry]:
        """Tidy away what has ended; what that was."""
        over = (self._timed[:, :, 0] != 0) & (self._timed[:, :, 1] <= self._ingress.now())
        if not over.any():
            return []
        found = self._read(over)
        self._timed[over] = 0
        return found

    def _read(self, where: NDArray[np.bool_]) -> list[Entry]:
        rows = zip(self._about[where].tolist(), self._timed[where][:, 1].tolist(), strict=True)
        return [
            Entry(about >> 16, Prefix(about >> 8 & 0xFF, high << 64 | low, about & 0xFF), end)
            for (high, low, about), end in rows
        ]

    def _require_probes(self, which: int, lengths: Iterable[tuple[int, int]]) -> None:
        """Have the filter look for these lengths of a set, too."""
        have = {one[2] for one in self._probes}
        new = [
            (*_mask(family, length), salt, family, 1 << which)
            for family, length in sorted(lengths)
            if (salt := _salt(which, family, length)) not in have
        ]
        if not new:
            return
        if len(self._probes) + len(new) > Limit.PROBES:
            raise HostError(
                "entries at run time may have"
                f" {int(Limit.PROBES)} pairs of a set and a prefix length at once,"
                f" and {len(self._probes)} are taken",
                remedy="add prefixes of the lengths that are there already (single addresses,"
                " say), or use `guard set replace`, which has no such limit",
            )
        self._probes += new
        self._ingress.set_probes(b"".join(_PROBE.pack(*one) for one in self._probes))

    def _tags(self, which: int, some: Sequence[Prefix]) -> list[int]:
        tags = []
        for one in some:
            high, low = one.address >> 64, one.address & _WORD
            tag = self._mix(self._mix(self._seed[0], high), low)
            tags.append(self._mix(tag, _salt(which, one.family, one.length)))
        return tags

    def _mix(self, number: int, value: int) -> int:
        """mix() of lsm/xdp/maps.h."""
        number = (number ^ value) * 0xFF51AFD7ED558CCD & _WORD
        number = (number ^ number >> 33 ^ self._seed[1]) * 0xC4CEB9FE1A85EC53 & _WORD
        return number ^ number >> 29

    def close(self) -> None:
        """Let go of the memory."""
        del self._timed, self._about
        for one in self._close:
            one.close()


def create(ingress: Ingress) -> None:
    """Make and pin the map for people, beside the filter's own. Raises LibbpfError."""
    fd = ingress.libbpf.map_create(
        MAP_TYPE_ARRAY, "guard_sets", 4, WAYS * 8 * _COLUMNS, _BUCKETS, F_MMAPABLE
    )
    try:
        ingress.libbpf.pin(fd, ingress.instance.map(ENTRIES))
    finally:
        os.close(fd)


def _salt(which: int, family: int, length: int) -> int:
    return (which + 1) << 16 | family << 8 | length


def _mask(family: int, length: int) -> tuple[int, int]:
    """The prefix's bits, in the halves that the filter has an address in."""
    bits = BITS[family]
    mask = ((1 << length) - 1) << (bits - length)
    return mask >> 64, mask & _WORD
