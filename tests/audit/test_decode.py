# SPDX-License-Identifier: Apache-2.0
"""Decoding: what was packed comes out, and nothing else than DecodeError is raised."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.audit.decode import Counters, DecodeError, Decoder, Event, counters
from guard.wire.layout import COUNTERS, EVENT, EventFlag
from tests.audit.samples import EVENT_VALUES, wire_event

NAMES = st.lists(st.binary(min_size=1, max_size=20).filter(lambda n: b"/" not in n), max_size=6)
PATHS = NAMES.map(lambda names: b"/" + b"/".join(names))
decode = Decoder().event


def test_every_field_arrives_under_its_own_name() -> None:
    values = {name: number for number, name in enumerate(EVENT_VALUES, 1000)}
    event = decode(wire_event(class_id=(5, 6, 7, 8), **values))
    for name, number in values.items():
        assert getattr(event, name) == number, name
    assert event.class_id == (5, 6, 7, 8)
    assert event.comm == b"cat"


def test_an_error_is_signed() -> None:
    assert decode(wire_event(error=-13)).error == -13


@given(PATHS, PATHS)
def test_paths_come_out_root_first(path: bytes, exe: bytes) -> None:
    event = decode(wire_event(path, exe))
    assert (event.path, event.exe) == (path, exe)


def test_room_behind_the_paths_is_not_part_of_them() -> None:
    assert decode(wire_event() + b"junk").exe == b"/usr/bin/cat"


def test_a_cut_path_has_no_leading_slash() -> None:
    event = decode(wire_event(b"/b/c", flags=EventFlag.PATH_CUT))
    assert event.path == b"b/c"
    assert event.exe == b"/usr/bin/cat"


def test_of_a_name_that_was_cut_amid_nothing_is_shown() -> None:
    record = bytearray(wire_event(b"/bb/c", exe=b"/", flags=EventFlag.PATH_CUT))
    struct.pack_into("<I", record, EVENT.fields["path_size"].offset, 3)  # "c/b"
    assert decode(bytes(record)).path == b"c"


def test_a_name_without_a_slash_that_is_not_cut_is_refused_with_its_number() -> None:
    record = bytearray(wire_event(b"/bb/c", exe=b"/"))
    struct.pack_into("<I", record, EVENT.fields["path_size"].offset, 3)
    with pytest.raises(DecodeError) as caught:
        decode(bytes(record))
    assert (caught.value.cpu, caught.value.sequence) == (1, 7)


def test_paths_longer_than_the_record_are_refused_with_its_number() -> None:
    with pytest.raises(DecodeError) as caught:
        decode(wire_event()[:-1])
    assert (caught.value.cpu, caught.value.sequence) == (1, 7)


def test_less_than_the_fixed_part_has_no_number() -> None:
    with pytest.raises(DecodeError) as caught:
        decode(bytes(EVENT.size - 1))
    assert (caught.value.cpu, caught.value.sequence) == (None, None)


def test_comm_ends_at_its_first_nul() -> None:
    assert decode(wire_event(comm=b"a\0bc")).comm == b"a"
    assert decode(wire_event(comm=b"x" * 16)).comm == b"x" * 16


def fits(head: bytes, sizes: tuple[int, int], tail: bytes) -> bytes:
    """Random bytes whose paths have a chance to lie inside."""
    record = bytearray(head)
    struct.pack_into("<2I", record, EVENT.fields["path_size"].offset, *sizes)
    return bytes(record) + tail


@given(
    st.one_of(
        st.binary(max_size=300),
        st.builds(
            fits,
            st.binary(min_size=EVENT.size, max_size=EVENT.size),
            st.tuples(st.integers(0, 40), st.integers(0, 40)),
            st.binary(max_size=90),
        ),
    )
)
def test_random_bytes_are_an_event_or_a_decode_error(record: bytes) -> None:
    try:
        event = decode(record)
    except DecodeError:
        return
    assert isinstance(event, Event)
    assert len(event.path) + len(event.exe) <= len(record) - EVENT.size + 2


def test_counters_arrive_under_their_own_names() -> None:
    value = struct.pack(COUNTERS.format(), *range(1, 8))
    assert counters(value) == Counters(
        attempts=1, dropped=2, denied=3, audited=4, unclassified=5, label_failed=6, killed=7
    )
    assert Counters._fields == tuple(COUNTERS.fields)
    with pytest.raises(DecodeError):
        counters(value[:-1])
