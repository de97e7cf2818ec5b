# SPDX-License-Identifier: Apache-2.0
"""Bytes of the packets' ring → PacketRecord: one decision about a packet, in words.

Knows the ingress filter's wire layout, and asks an index for what only the
loaded policies know. Numbers of these events are counted apart from all
others: their records need an epoch of their own.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

from guard.audit.clock import Clock
from guard.audit.decode import DecodeError
from guard.audit.describe import Memo, protocol_word, word
from guard.audit.objects import PacketObject, Verdict
from guard.audit.record import UNKNOWN, PacketRecord, Resolution
from guard.wire.ingress import EVENT, Fragment, Reason
from guard.wire.ingress import Verdict as Decided

KIND = "packet.ingress"

# Bits of ingress_event.readable.
_ADDRESSES, _PROTOCOL, _PORTS = 1, 2, 4
# RFC 9293, section 3.1, from the lowest bit up.
_TCP_FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr")
_TCP = 6
_ICMP = (1, 58)
_WITH_PORTS = (6, 17, 33, 132, 136)
# A rule or the policy's default decided; for all other reasons their own word.
_BY_POLICY = (Reason.RULE, Reason.DEFAULT)


class PacketIndex(Protocol):
    """What one generation of the ingress filter knows about its rules."""

    def resolve(self, slot: int, reason: int) -> Resolution:
        """The policy and rule that count in this slot. LookupError if there is none."""


class PacketRecorder:
    """Makes records of packets.

    ``index_of`` gives the index of a generation, None if it is forgotten;
    ``interface`` the name of an interface by its number, None if it is gone.
    """

    def __init__(
        self,
        clock: Clock,
        index_of: Callable[[int], PacketIndex | None],
        interface: Callable[[int], bytes | None],
    ) -> None:
        self._clock = clock
        self._index_of = index_of
        self._interface = interface
        self._unpack = struct.Struct(EVENT.format()).unpack_from
        self._reasons = Memo(_reason)
        self._flags = Memo(_tcp_flags)

    def record(self, raw: bytes) -> PacketRecord:
        """The record of one event, which may be longer than the struct.

        Raises DecodeError if it is shorter, and nothing else.
        """
        if len(raw) < EVENT.size:
            raise DecodeError(f"{len(raw)} bytes; a packet's event has at least {EVENT.size}")
        event = dict(zip(_MEMBERS, self._unpack(raw), strict=True))
        return PacketRecord(
            cpu=event["cpu"],
            sequence=event["sequence"],
            boot_ns=event["boot_ns"],
            generation=event["generation"],
            kind=KIND,
            time=self._clock.wall(event["boot_ns"]),
            verdict=_verdict(event),
            reason=self._reasons[event["reason"]],
            flags=(),
            object=self._object(event, raw),
            resolution=self._resolution(event),
            suppressed=event["suppressed"],
        )

    def _object(self, event: dict[str, int], raw: bytes) -> PacketObject:
        readable, protocol = event["readable"], event["protocol"]
        addresses = readable & _ADDRESSES and event["family"]
        known = readable & _PROTOCOL
        ports = known and readable & _PORTS and protocol in _WITH_PORTS
        icmp = known and readable & _PORTS and protocol in _ICMP
        index = event["ifindex"]
        return PacketObject(
            interface=self._interface(index) or b"%d" % index,
            protocol=(protocol_word(protocol) or "0") if known else None,
            source=_address(event, "source") if addresses else None,
            source_port=event["source_port"] if ports else None,
            destination=_address(event, "destination") if addresses else None,
            destination_port=event["destination_port"] if ports else None,
            icmp_type=event["destination_port"] & 0xFF if icmp else None,
            tcp_flags=self._flags[event["tcp_flags"]] if ports and protocol == _TCP else None,
            vlan=event["vlan"] & 0xFFF or None,
            fragment=_FRAGMENTS.get(event["fragment"]),
            length=event["length"],
            head=raw[_HEAD : _HEAD + min(event["head_size"], _HEAD_SIZE)],
        )

    def _resolution(self, event: dict[str, int]) -> Resolution:
        index = self._index_of(event["generation"])
        if index is None:
            return UNKNOWN
        try:
            return index.resolve(event["slot"], event["reason"])
        except LookupError:
            return UNKNOWN


_FRAGMENTS = {int(Fragment.FIRST): "first", int(Fragment.LATER): "later"}
_HEAD = EVENT.fields["head"].offset
_HEAD_SIZE = EVENT.fields["head"].size


def _members() -> tuple[str, ...]:
    """A name for each value that the struct unpacks to; array members get a number."""
    return tuple(
        name if field.count == 1 else f"{name}.{number}"
        for name, field in EVENT.fields.items()
        for number in range(field.count)
    )


_MEMBERS = _members()


def _verdict(event: dict[str, int]) -> Verdict:
    decided = event["verdict"]
    let_in = decided in (Decided.PASS, Decided.REDIRECT) or event["reason"] == Reason.SYN_COOKIE
    if let_in:
        return Verdict.ALLOWED
    return Verdict.DENIED if event["enforced"] else Verdict.WOULD_DENY


def _address(event: dict[str, int], name: str) -> str:
    if event["family"] == 4:
        return str(IPv4Address(event[f"{name}.1"] & 0xFFFFFFFF))
    return str(IPv6Address(event[f"{name}.0"] << 64 | event[f"{name}.1"]))


def _reason(number: int) -> str:
    if number in _BY_POLICY:
        return "policy"
    try:
        return word(Reason(number))
    except ValueError:
        return f"reason-{number}"


def _tcp_flags(mask: int) -> tuple[str, ...]:
    return tuple(flag for bit, flag in enumerate(_TCP_FLAGS) if mask >> bit & 1)
