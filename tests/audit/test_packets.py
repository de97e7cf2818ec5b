# SPDX-License-Identifier: Apache-2.0
"""Events of the ingress filter become records of packets."""

from __future__ import annotations

import json
import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.audit.decode import DecodeError
from guard.audit.objects import PacketObject, Verdict
from guard.audit.packets import PacketRecorder
from guard.audit.record import UNKNOWN, PacketRecord, Resolution
from guard.audit.render_json import JsonRenderer
from guard.wire.ingress import EVENT, Fragment, Reason
from guard.wire.ingress import Verdict as Decided
from tests.audit.samples import ORIGIN, fixed_clock
from tests.audit.test_schema import VALIDATOR

RULE = Resolution("edge", "enforce", "no-telnet", "edge.yaml", 9, None, ())
TCP, UDP, ICMP, ESP = 6, 17, 1, 50

VALUES: dict[str, int] = {
    "boot_ns": 5_000_042_000,
    "sequence": 7,
    "suppressed": 41,
    "generation": 4,
    "slot": 64,
    "ifindex": 2,
    "cpu": 1,
    "length": 60,
    "source_port": 5555,
    "destination_port": 23,
    "vlan": 0,
    "verdict": Decided.DROP,
    "enforced": 1,
    "reason": Reason.RULE,
    "family": 4,
    "protocol": TCP,
    "tcp_flags": 0b10,
    "fragment": Fragment.WHOLE,
    "readable": 7,
    "head_size": 4,
}


def wire_packet(
    source: str = "192.0.2.1", destination: str = "198.51.100.2", **values: int
) -> bytes:
    record = bytearray(EVENT.size)
    for name, value in {**VALUES, **values}.items():
        field = EVENT.fields[name]
        struct.pack_into("<" + field.code, record, field.offset, value)
    for name, text in (("source", source), ("destination", destination)):
        number = int(ip_address(text))
        halves = number >> 64, number & (2**64 - 1)
        struct.pack_into("<2Q", record, EVENT.fields[name].offset, *halves)
    at = EVENT.fields["head"].offset
    record[at : at + 4] = b"\x01\x02\x03\x04"
    return bytes(record)


class FakePacketIndex:
    def resolve(self, slot: int, reason: int) -> Resolution:
        if slot != 64:
            raise LookupError(slot)
        assert 0 <= reason < 256
        return RULE


recorder = PacketRecorder(
    fixed_clock(),
    lambda generation: FakePacketIndex() if generation == 4 else None,
    {2: b"eth0"}.get,
)


def record_of(source: str = "192.0.2.1", **values: int) -> PacketRecord:
    return recorder.record(wire_packet(source, **values))


def test_a_dropped_segment() -> None:
    record = record_of()
    assert (record.verdict, record.reason, record.suppressed) == (Verdict.DENIED, "policy", 41)
    assert (record.cpu, record.sequence, record.time) == (1, 7, "2026-03-16T09:05:05.000042Z")
    assert record.resolution == RULE
    assert record.object == PacketObject(
        b"eth0",
        "tcp",
        "192.0.2.1",
        5555,
        "198.51.100.2",
        23,
        tcp_flags=("syn",),
        length=60,
        head=b"\x01\x02\x03\x04",
    )


def test_ipv6_addresses_are_canonical() -> None:
    raw = wire_packet("2001:db8::1", "fe80::1", family=6)
    record = recorder.record(raw)
    assert (record.object.source, record.object.destination) == ("2001:db8::1", "fe80::1")


def test_icmp_has_a_type_and_no_ports() -> None:
    what = record_of(protocol=ICMP, destination_port=8).object
    assert (what.protocol, what.icmp_type) == ("icmp", 8)
    assert (what.source_port, what.destination_port, what.tcp_flags) == (None, None, None)


def test_what_could_not_be_read_is_null() -> None:
    nothing = record_of(readable=0).object
    assert (nothing.source, nothing.protocol, nothing.destination_port) == (None, None, None)
    assert record_of(readable=1).object.source == "192.0.2.1"
    no_ports = record_of(readable=3).object
    assert (no_ports.protocol, no_ports.destination_port, no_ports.tcp_flags) == ("tcp", None, None)
    assert record_of(family=0).object.source is None
    assert record_of(protocol=ESP).object.destination_port is None


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ({"verdict": Decided.DROP}, Verdict.DENIED),
        ({"verdict": Decided.DROP, "enforced": 0}, Verdict.WOULD_DENY),
        ({"verdict": Decided.TX}, Verdict.DENIED),
        ({"verdict": Decided.ABORTED}, Verdict.DENIED),
        ({"verdict": Decided.PASS}, Verdict.ALLOWED),
        ({"verdict": Decided.REDIRECT}, Verdict.ALLOWED),
        ({"verdict": Decided.TX, "reason": Reason.SYN_COOKIE}, Verdict.ALLOWED),
    ],
)
def test_the_verdict_is_what_happened(values: dict[str, int], verdict: Verdict) -> None:
    assert record_of(**values).verdict is verdict


def test_reasons_are_words() -> None:
    assert record_of(reason=Reason.DEFAULT).reason == "policy"
    assert record_of(reason=Reason.TINY_FRAGMENT).reason == "tiny-fragment"
    assert record_of(reason=200).reason == "reason-200"


def test_fragments_vlans_and_interfaces() -> None:
    what = record_of(fragment=Fragment.LATER, vlan=100, ifindex=9).object
    assert (what.fragment, what.vlan, what.interface) == ("later", 100, b"9")


@pytest.mark.parametrize("values", [{"generation": 5}, {"slot": 65}])
def test_what_no_index_knows_is_recorded_all_the_same(values: dict[str, int]) -> None:
    assert record_of(**values).resolution == UNKNOWN


def test_too_few_bytes_are_no_event() -> None:
    with pytest.raises(DecodeError, match="223 bytes"):
        recorder.record(wire_packet()[:-1])


@given(st.binary(min_size=EVENT.size, max_size=EVENT.size + 8))
def test_random_events_make_records_as_the_schema_says(raw: bytes) -> None:
    line = JsonRenderer(ORIGIN).packet(recorder.record(raw))
    assert line.isascii() and b"\n" not in line
    VALIDATOR.validate(json.loads(line))
