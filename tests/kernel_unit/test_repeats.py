# SPDX-License-Identifier: Apache-2.0
"""What user space writes and reads of the counting of repeated events."""

from __future__ import annotations

import os
import struct

from guard.kernel import repeats
from guard.kernel.libbpf import Libbpf
from guard.kernel.repeats import DEFAULT, EVERY, Merging, Repeats
from guard.wire.layout import ALLOWANCE, MERGING


class Maps(Libbpf):
    """Two maps, by their descriptors: 0 the allowances, 1 what was told."""

    def __init__(self) -> None:
        self.values = {0: bytes(2 * repeats.POLICIES * ALLOWANCE.size)}

    def map_lookup(self, fd: int, _key: bytes, size: int, _what: str) -> bytes | None:
        value = self.values.get(fd)
        assert value is None or len(value) == size
        return value

    def map_update(self, fd: int, _key: bytes, value: bytes, _what: str) -> None:
        self.values[fd] = value

    def limit(self, at: int, count: int) -> None:
        value = bytearray(self.values[0])
        offset = at * ALLOWANCE.size + ALLOWANCE.fields["limited"].offset
        struct.pack_into("=Q", value, offset, count)
        self.values[0] = bytes(value)


def settings(merging: Merging) -> dict[str, int]:
    value = merging.pack()
    assert len(value) == MERGING.size
    return {
        name: struct.unpack_from("=Q", value, MERGING.fields[name].offset)[0]
        for name in ("interval_ns", "burst_ns", "merge")
    }


def test_a_rate_is_a_time_between_events_and_a_second_of_them_is_saved_up() -> None:
    assert settings(Merging(rate=1000)) == {
        "interval_ns": 1_000_000,
        "burst_ns": 1_000_000_000,
        "merge": 1,
    }
    assert settings(EVERY)["interval_ns"] == settings(EVERY)["merge"] == 0
    assert settings(DEFAULT)["interval_ns"] == 20_000


def test_no_two_instances_have_one_secret() -> None:
    assert DEFAULT.pack()[:16] != DEFAULT.pack()[:16]


def test_limits_are_told_once_by_policy_and_kind_and_by_a_successor_no_more() -> None:
    maps = Maps()
    counted = Repeats(maps, -1, 0, 1)
    assert counted.limited() == {}
    maps.limit(3, 5)
    maps.limit(repeats.POLICIES + 3, 7)
    assert counted.limited() == {(3, False): 5, (3, True): 7}
    counted.note({(3, False): 5})
    assert counted.limited() == {(3, True): 7}
    counted.note(counted.limited())
    maps.limit(3, 6)
    assert Repeats(maps, -1, 0, 1).limited() == {(3, False): 1}


def test_the_descriptors_are_closed() -> None:
    ends = [os.open("/", os.O_RDONLY) for _ in range(3)]
    Repeats(Maps(), *ends).close()
    assert [end for end in ends if os.path.exists(f"/proc/self/fd/{end}")] == []
