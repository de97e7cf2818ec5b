# SPDX-License-Identifier: Apache-2.0
"""What changes beside the tables: a policy's trial, and the count of refused packets by source.

Whoever writes holds the instance's lock. Layouts: lsm/xdp/wire.h. Knows nothing
of policies.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from guard.errors import HostError
from guard.kernel.ingress import CURRENT, SLACK, Ingress, table
from guard.kernel.libbpf import Libbpf
from guard.wire.ingress import CONTROL, TOP_COUNT, TOP_KEY, Limit

_FIRST, _SECOND = struct.pack("=I", 0), struct.pack("=I", 1)
_KEY, _COUNT = struct.Struct(TOP_KEY.format()), struct.Struct(TOP_COUNT.format())


class Refused(NamedTuple):
    """Packets of one source that one counter slot (a rule's, or a reason's) refused."""

    source: str
    slot: int
    packets: int
    bytes: int


def begin_trial(ingress: Ingress, deadline: float, fresh: Sequence[int]) -> None:
    """Have the next generation hold until ``deadline`` (seconds, CLOCK_BOOTTIME) only.

    After that the filter itself goes back to the generation in force now, and
    interfaces ``fresh`` (indexes) to none at all: no process is needed for it.
    Where no generation is in force, all go to none. Raises HostError, LibbpfError.
    """
    if len(fresh) > Limit.FRESH:
        raise HostError(
            f"a policy on trial may filter {int(Limit.FRESH)} interfaces that were not"
            f" filtered before, and this one names {len(fresh)}",
            remedy="leave out --confirm, or add interfaces in several steps",
        )
    libbpf = ingress.libbpf
    now = _inner(ingress, _FIRST)
    if now is None:
        libbpf.map_delete(ingress.maps[CURRENT], _SECOND, "trial")
    else:
        try:
            libbpf.map_update(ingress.maps[CURRENT], _SECOND, _u32(now), "trial")
        finally:
            os.close(now)
    padded = [*fresh, *[0] * (int(Limit.FRESH) - len(fresh))]
    _write(ingress, deadline=int(deadline * 1e9), fresh=padded)


def begin_first_trial(ingress: Ingress, deadline: float) -> None:
    """The same for a filter that is not attached yet: before it there was none."""
    ingress.libbpf.map_delete(ingress.maps[CURRENT], _SECOND, "trial")
    _write(ingress, deadline=int(deadline * 1e9), fresh=[0] * int(Limit.FRESH))


def end_trial(ingress: Ingress) -> None:
    """The generation in force holds for good."""
    if _read(ingress)["deadline"]:
        _write(ingress, deadline=0)
        ingress.libbpf.map_delete(ingress.maps[CURRENT], _SECOND, "trial")


def is_on_trial(ingress: Ingress) -> bool:
    """Whether the filter would go back at a deadline."""
    return bool(_read(ingress)["deadline"])


def carry_over(ingress: Ingress, into: Ingress) -> None:
    """Give programs of a larger size class what an ended trial would go back to."""
    fd = _inner(ingress, _SECOND)
    if fd is None:
        return
    try:
        size = (1 << ingress.constants.bits) + SLACK
        data = ingress.libbpf.map_lookup(fd, _FIRST, size, "trial") or b""
    finally:
        os.close(fd)
    bits = into.constants.bits
    fd = table(into.libbpf, data[: 1 << bits], bits)
    try:
        into.libbpf.map_update(into.maps[CURRENT], _SECOND, _u32(fd), "trial")
    finally:
        os.close(fd)


def count_sources(ingress: Ingress) -> None:
    """Begin to count refused packets by source, from 0."""
    libbpf, fd = ingress.libbpf, ingress.maps["ingress_top"]
    _write(ingress, top=0)
    for key in libbpf.map_keys(fd, _KEY.size):
        libbpf.map_delete(fd, key, "sources")
    _write(ingress, top=1, unnamed=0)


def is_counting(ingress: Ingress) -> bool:
    """Whether refused packets are counted by source now."""
    return bool(_read(ingress)["top"])


def counted_sources(ingress: Ingress, stop: bool = True) -> tuple[list[Refused], int]:
    """What was counted since ``count_sources``, the most first, and the packets of sources
    that there was no room for. ``stop``: counting ends."""
    libbpf, fd = ingress.libbpf, ingress.maps["ingress_top"]
    if stop:
        _write(ingress, top=0)
    found = []
    for key in libbpf.map_keys(fd, _KEY.size):
        raw = libbpf.map_lookup(fd, key, _COUNT.size, "sources")
        if raw is None:
            continue
        high, low, slot, family = _KEY.unpack(key)
        source = IPv4Address(low) if family == 4 else IPv6Address(high << 64 | low)
        found.append(Refused(str(source), slot, *_COUNT.unpack(raw)))
    found.sort(key=lambda one: (-one.packets, one.source, one.slot))
    return found, int(_read(ingress)["unnamed"])  # type: ignore[call-overload]


def _inner(ingress: Ingress, slot: bytes) -> int | None:
    """A descriptor of the generation in a slot, None if there is none."""
    libbpf: Libbpf = ingress.libbpf
    raw = libbpf.map_lookup(ingress.maps[CURRENT], slot, 4, "generation")
    return None if raw is None else libbpf.map_by_id(struct.unpack("=I", raw)[0])


def _read(ingress: Ingress) -> dict[str, object]:
    raw = ingress.libbpf.map_lookup(
        ingress.maps["ingress_control"], _FIRST, CONTROL.size, "control"
    )
    found: dict[str, object] = {}
    for name, field in CONTROL.fields.items():
        values = struct.unpack_from(
            f"={field.count}{field.code}", raw or bytes(CONTROL.size), field.offset
        )
        found[name] = values[0] if field.count == 1 else list(values)
    return found


def _write(ingress: Ingress, **changes: int | list[int]) -> None:
    made = bytearray(CONTROL.size)
    for name, value in {**_read(ingress), **changes}.items():
        field = CONTROL.fields[name]
        values = value if isinstance(value, list) else [value]
        struct.pack_into(f"={field.count}{field.code}", made, field.offset, *values)
    ingress.libbpf.map_update(ingress.maps["ingress_control"], _FIRST, bytes(made), "control")


def _u32(number: int) -> bytes:
    return struct.pack("=I", number)
