# SPDX-License-Identifier: Apache-2.0
"""Events that the kernel counts instead of sending (lsm/repeat.h): settings, flush, limits.

Knows maps and programs; nothing of records or policies' names.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

from guard.kernel.libbpf import MAP_TYPE_ARRAY, Libbpf
from guard.kernel.pins import Instance
from guard.wire.layout import ALLOWANCE, MERGING, Limit

# The variables of lsm/repeat.bpf.c: struct guard_merging, and every policy's allowance.
SETTINGS = ".data.merging"
ALLOWED = ".data.allowed"
SLOTS = "guard_slots"

FLUSH = "guard_flush"
"""The program that sends what was counted."""

PINS = ("limits_told",)
"""A map besides the programs' own: the numbers of limited events that were reported."""

POLICIES = int(Limit.POLICIES)

# As many events a second of one policy as a collector with half a core writes down, and as
# many again saved up: no honest program comes near, and a flood of ever new objects is
# stopped before it costs the machine more than it costs the flooder.
RATE = 50_000
BURST_SECONDS = 1.0

_ZERO = struct.pack("=I", 0)
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Merging:
    """How events are held back. ``rate``: events a second of each policy; 0: no limit.

    ``merge``: repeats of an event are counted and sent once a second.
    """

    merge: bool = True
    rate: int = RATE

    def pack(self) -> bytes:
        """struct guard_merging, with a fresh secret."""
        interval = _NS // self.rate if self.rate else 0
        burst = int(BURST_SECONDS * _NS)
        # guard_merging.secret: two words that only this instance's programs know.
        return os.urandom(16) + struct.pack("=QQQ", interval, burst, self.merge)


DEFAULT = Merging()

EVERY = Merging(merge=False, rate=0)
"""Each event is sent at once."""


@dataclass(slots=True)
class Repeats:
    """The counting of one instance. ``told``: limited events that were reported already."""

    libbpf: Libbpf
    program: int
    allowed: int
    told: int

    def flush(self) -> None:
        """Send what was counted since the last call, as far as the rings have room."""
        self.libbpf.run(self.program, "flush of repeated events")

    def limited(self) -> dict[tuple[int, bool], int]:
        """Events that were neither sent nor counted as repeats since they were last ``note``d.

        By policy's bit and whether they were refused.
        """
        raw = self.libbpf.map_lookup(self.allowed, _ZERO, _SIZE, "allowances") or bytes(_SIZE)
        counts = [limited for _, limited in struct.iter_unpack(ALLOWANCE.format(), raw)]
        before = _told(self.libbpf, self.told)
        return {
            (at % POLICIES, at >= POLICIES): count - known
            for at, (count, known) in enumerate(zip(counts, before, strict=True))
            if count > known
        }

    def note(self, told: dict[tuple[int, bool], int]) -> None:
        """Remember, for whoever comes after this process too, that these were reported."""
        counts = list(_told(self.libbpf, self.told))
        for (bit, refused), count in told.items():
            counts[bit + POLICIES if refused else bit] += count
        self.libbpf.map_update(self.told, _ZERO, _COUNTS.pack(*counts), "reported limits")

    def close(self) -> None:
        """Close the descriptors."""
        for fd in (self.program, self.allowed, self.told):
            os.close(fd)


_COUNTS = struct.Struct(f"={2 * POLICIES}Q")
_SIZE = 2 * POLICIES * ALLOWANCE.size

assert MERGING.size == len(EVERY.pack())


def begin(libbpf: Libbpf, handle: int, into: Instance, merging: Merging) -> None:
    """Set up the counting of a loaded object before it is attached, and pin its parts.

    Raises LibbpfError.
    """
    configure(libbpf, libbpf.map_fd(libbpf.object_map(handle, SETTINGS)), merging)
    libbpf.pin(libbpf.program_fd(libbpf.object_program(handle, FLUSH)), into.program(FLUSH))
    told = libbpf.map_create(MAP_TYPE_ARRAY, "guard_told", len(_ZERO), _COUNTS.size, 1)
    try:
        libbpf.pin(told, into.map(PINS[0]))
    finally:
        os.close(told)


def configure(libbpf: Libbpf, settings: int, merging: Merging) -> None:
    """Have events held back in this way from now on. Raises LibbpfError.

    Whoever reads the settings meanwhile counts one event as of a kind of its own. What
    was counted under others is sent by the next flushes.
    """
    libbpf.map_update(settings, _ZERO, merging.pack(), "merging")


def attend(libbpf: Libbpf, instance: Instance) -> Repeats:
    """The counting of a pinned instance, this process's or another's. Raises LibbpfError."""
    opened: list[int] = []
    try:
        for pin in (instance.program(FLUSH), instance.map("allowed"), *map(instance.map, PINS)):
            opened.append(libbpf.open_pin(pin))
    except BaseException:
        for fd in opened:
            os.close(fd)
        raise
    return Repeats(libbpf, *opened)


def _told(libbpf: Libbpf, fd: int) -> tuple[int, ...]:
    raw = libbpf.map_lookup(fd, _ZERO, _COUNTS.size, "reported limits")
    return _COUNTS.unpack(raw or bytes(_COUNTS.size))
