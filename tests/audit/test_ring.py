# SPDX-License-Identifier: Apache-2.0
"""The ring reader on a ring in plain memory, wrapping included."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.audit.ring import BUSY, RingCorrupt, RingReader
from tests.audit.samples import Ring

# What a producer and a consumer do, in any order.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.binary(max_size=200)),
        st.tuples(st.just("discard"), st.binary(max_size=200)),
        st.tuples(st.just("drain"), st.integers(1, 5)),
    ),
    max_size=60,
)


@given(STEPS, st.integers(0, 2**50).map(lambda n: n * 8))
def test_every_committed_record_comes_out_once_in_order_across_any_wrap(
    steps: list[tuple[str, object]], start: int
) -> None:
    ring = Ring(512, start)
    reader = ring.reader()
    sent: list[bytes] = []
    got: list[bytes] = []
    for what, value in steps:
        if what == "drain":
            got += reader.drain(value)
            reader.release()
        elif what == "send":
            if ring.send(value):
                sent.append(value)
        else:
            at = ring.reserve(value)
            if at is not None:
                ring.commit(at, discard=True)
    while batch := reader.drain(3):
        got += batch
    reader.release()
    assert got == sent
    assert ring.consumed() == ring.produced()


def test_a_record_under_way_holds_back_those_behind_it() -> None:
    ring = Ring()
    reader = ring.reader()
    ring.send(b"first")
    under_way = ring.reserve(b"second")
    ring.send(b"third")
    assert reader.drain(9) == [b"first"]
    assert reader.drain(9) == []
    ring.commit(under_way)
    assert reader.drain(9) == [b"second", b"third"]


def test_room_comes_back_only_by_release() -> None:
    ring = Ring(64)
    reader = ring.reader()
    assert ring.send(b"x" * 48)
    assert reader.drain(9) == [b"x" * 48]
    assert not ring.send(b"y" * 48)
    reader.release()
    assert ring.send(b"y" * 48)


def test_what_was_not_released_is_the_next_readers() -> None:
    ring = Ring()
    ring.send(b"a")
    ring.send(b"b")
    first = ring.reader()
    assert first.drain(1) == [b"a"]
    first.release()
    assert first.drain(1) == [b"b"]
    assert ring.reader().drain(9) == [b"b"]
    first.rewind()
    assert first.drain(9) == [b"b"]


def test_backlog_counts_headers_and_padding() -> None:
    ring = Ring()
    reader = ring.reader()
    ring.send(b"123")
    assert reader.backlog() == 16
    reader.drain(1)
    assert reader.backlog() == 0


def test_a_length_beyond_the_producer_is_refused() -> None:
    ring = Ring()
    ring.send(b"12345678")
    struct.pack_into("=I", ring.producer, ring.PAGE, 4000)
    with pytest.raises(RingCorrupt):
        ring.reader().drain(1)


def test_a_producer_more_than_a_ring_ahead_is_refused() -> None:
    ring = Ring(64)
    struct.pack_into("=Q", ring.producer, 0, 72)
    with pytest.raises(RingCorrupt):
        ring.reader().drain(1)


def test_a_busy_record_may_announce_any_length() -> None:
    ring = Ring()
    at = ring.reserve(b"12345678")
    struct.pack_into("=I", ring.producer, ring.PAGE + at, 4000 | BUSY)
    assert ring.reader().drain(1) == []


@pytest.mark.parametrize("data", [0, 8, 2 * 4095, 3 * 4096])
def test_a_mapping_that_is_no_ring_twice_is_refused(data: int) -> None:
    with pytest.raises(ValueError, match="not a ring twice"):
        RingReader(memoryview(bytearray(4096)), memoryview(bytes(4096 + data)), page=4096)
