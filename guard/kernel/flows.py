# SPDX-License-Identifier: Apache-2.0
"""The filter's table of what was seen to leave: its flows, and whether one is in it.

The table holds fingerprints; beside it, in the same places, are the ends of
each flow, for people. A flow is listed only where both agree. Layout and hash:
lsm/xdp/flows.h.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from guard.kernel.ingress import Ingress
from guard.kernel.ingress_load import FLOW_SECONDS, FLOW_SHIFT
from guard.wire.ingress import ENDS, ENDS_BUCKET, FLOW_BUCKET, Limit

_WORD = (1 << 64) - 1
_TIME = 0xFFFF  # FLOW_TIME, lsm/xdp/flows.h
_ASKED_ALL = 2 << 8  # enum flow_kind
_WAYS = struct.Struct(FLOW_BUCKET.format())

PLACES = int(Limit.FLOW_BUCKETS) * FLOW_BUCKET.fields["way"].count
"""Flows that the table has room for."""

_ENDS = struct.Struct(ENDS.format())


class Flow(NamedTuple):
    """A flow from this host's side; addresses of IPv4 are in the low half. ``kind``: protocol."""

    local: int
    remote: int
    local_port: int
    remote_port: int
    kind: int


class Seen(NamedTuple):
    """A flow in the table. ``age``: seconds since it was last seen to leave; ``to_all``: it
    went to a group or to everybody, and anybody may answer, port for port: it has no ends."""

    flow: Flow
    age: int
    to_all: bool


def listed(ingress: Ingress) -> tuple[list[Seen], int]:
    """The flows whose answers come in now, the newest first, and how many have no ends to show.

    Those are datagrams in fragments that come in, and flows that change while this looks.
    """
    now = ingress.now() >> FLOW_SHIFT & _TIME
    found = []
    nameless = 0
    for bucket in range(int(Limit.FLOW_BUCKETS)):
        key = struct.pack("=I", bucket)
        raw = ingress.libbpf.map_lookup(
            ingress.maps["ingress_flows"], key, FLOW_BUCKET.size, "flows"
        )
        ways = _WAYS.unpack(raw or bytes(_WAYS.size))
        if not any(ways):
            continue
        raw = ingress.libbpf.map_lookup(ingress.maps["ingress_ends"], key, ENDS_BUCKET.size, "ends")
        for entry, ends in zip(ways, _ENDS.iter_unpack(raw or b""), strict=False):
            age = _seconds(ingress, now - entry & _TIME)
            if not entry or age >= FLOW_SECONDS:
                continue
            high, low, far_high, far_low, port, far_port, kind = ends
            flow = Flow(high << 64 | low, far_high << 64 | far_low, port, far_port, kind)
            if entry >> 16 == _hash(ingress, flow) >> 16:
                asked_all = bool(kind & _ASKED_ALL)
                found.append(Seen(flow._replace(kind=kind & 0xFF), age, asked_all))
            else:
                nameless += 1
    found.sort(key=lambda one: (one.age, one.flow))
    return found, nameless


def seconds_left(ingress: Ingress, flow: Flow) -> int | None:
    """How long answers to a flow still come in; None: they do not."""
    number = _hash(ingress, flow)
    bucket = (number >> 40) % int(Limit.FLOW_BUCKETS)
    raw = ingress.libbpf.map_lookup(
        ingress.maps["ingress_flows"], struct.pack("=I", bucket), FLOW_BUCKET.size, "flows"
    )
    now = ingress.now() >> FLOW_SHIFT & _TIME
    for entry in _WAYS.unpack(raw or bytes(_WAYS.size)):
        if entry and entry >> 16 == number >> 16:
            left = FLOW_SECONDS - _seconds(ingress, now - entry & _TIME)
            return left if left > 0 else None
    return None


def _hash(ingress: Ingress, flow: Flow) -> int:
    """flow_hash() of lsm/xdp/flows.h."""
    seed = ingress.constants.seed
    words = (
        flow.local >> 64,
        flow.local & _WORD,
        flow.remote >> 64,
        flow.remote & _WORD,
        flow.local_port << 32 | flow.remote_port,
    )
    number = seed[0] ^ flow.kind
    for word in words:
        number = _mix(number, word, seed[1])
    return number


def _seconds(ingress: Ingress, units: int) -> int:
    return (units << FLOW_SHIFT) // ingress.constants.ticks


def _mix(number: int, value: int, key: int) -> int:
    """mix() of lsm/xdp/maps.h."""
    number = (number ^ value) * 0xFF51AFD7ED558CCD & _WORD
    number = (number ^ number >> 33 ^ key) * 0xC4CEB9FE1A85EC53 & _WORD
    return number ^ number >> 29
