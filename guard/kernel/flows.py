# SPDX-License-Identifier: Apache-2.0
"""The filter's table of what was seen to leave: how full it is, and whether one flow is in it.

The table holds fingerprints, not addresses: it can be asked about a flow, and
cannot be listed. Layout and hash: lsm/xdp/flows.h.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from guard.kernel.ingress import Ingress
from guard.kernel.ingress_load import FLOW_SECONDS, FLOW_SHIFT
from guard.wire.ingress import FLOW_BUCKET, Limit

_WORD = (1 << 64) - 1
_TIME = 0xFFFF
_WAYS = struct.Struct("=8Q")
_ENDPOINT_MASK = (1 << 64) - 1


class Flow(NamedTuple):
    """A flow from this host's side; addresses of IPv4 are in the low half. ``kind``: protocol."""

    local: int
    remote: int
    local_port: int
    remote_port: int
    kind: int


class Fill(NamedTuple):
    """How many flows are fresh, how many places there are, and the ages of the fresh, in steps
    of ten seconds."""

    fresh: int
    places: int
    ages: tuple[int, ...]


def seconds_left(ingress: Ingress, flow: Flow) -> int | None:
    """How long answers to a flow still come in; None: they do not."""
    seed = ingress.constants.seed
    words = (
        flow.local >> 64,
        flow.local & _ENDPOINT_MASK,
        flow.remote >> 64,
        flow.remote & _ENDPOINT_MASK,
        flow.local_port << 32 | flow.remote_port,
    )
    number = seed[0] ^ flow.kind
    for word in words:
        number = _mix(number, word, seed[1])
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


def fill(ingress: Ingress) -> Fill:
    """How full the table is; reads all of it, a call a bucket."""
    now = ingress.now() >> FLOW_SHIFT & _TIME
    ages = [0] * (FLOW_SECONDS // 10)
    fresh = 0
    for bucket in range(int(Limit.FLOW_BUCKETS)):
        raw = ingress.libbpf.map_lookup(
            ingress.maps["ingress_flows"], struct.pack("=I", bucket), FLOW_BUCKET.size, "flows"
        )
        for entry in _WAYS.unpack(raw or bytes(_WAYS.size)):
            age = _seconds(ingress, now - entry & _TIME)
            if entry and age < FLOW_SECONDS:
                fresh += 1
                ages[age // 10] += 1
    return Fill(fresh, int(Limit.FLOW_BUCKETS) * 8, tuple(ages))


def _seconds(ingress: Ingress, units: int) -> int:
    return (units << FLOW_SHIFT) // ingress.constants.ticks


def _mix(number: int, value: int, key: int) -> int:
    """mix() of lsm/xdp/maps.h."""
    number = (number ^ value) * 0xFF51AFD7ED558CCD & _WORD
    number = (number ^ number >> 33 ^ key) * 0xC4CEB9FE1A85EC53 & _WORD
    return number ^ number >> 29
