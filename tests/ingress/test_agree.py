# SPDX-License-Identifier: Apache-2.0
"""The reference evaluator and the loaded program agree on random sections and frames.

A few thousand frames here; `make test-ingress-differential` compares a million.
"""

from __future__ import annotations

import random
import struct
from collections import Counter
from dataclasses import replace

from guard.plan.ingress.build import Host, build
from guard.plan.set_file import columns
from guard.policy.ingress import Action, Prefix
from guard.wire import ingress as wire
from tests.ingress import agree, strategies
from tests.ingress.native import Filter

FRAMES = 6000


def test_the_evaluator_and_the_kernel_agree_on_random_packets() -> None:
    filter_ = Filter(agree.BITS)
    try:
        told, seen = agree.run(FRAMES, 20261123, filter_)
    finally:
        filter_.close()
    assert told == []
    # What was not met was not compared.
    met = {what.split("/")[1] for what in seen}
    assert met >= {
        "RULE",
        "DEFAULT",
        "TRUNCATED",
        "MALFORMED",
        "TAGS",
        "EXTENSIONS",
        "TINY_FRAGMENT",
        "FRAGMENT",
        "TUNNEL",
        "NOT_IP",
        "ETHERTYPE",
        "EMPTY",
    }
    assert {"DROP/RULE", "ALLOW/RULE", "REJECT/RULE", "REDIRECT/RULE"} <= set(seen)


def test_they_agree_where_rows_are_packed_and_where_a_section_has_many_words() -> None:
    rng = random.Random(7)  # noqa: S311 - frames, not secrets
    drawn, world = strategies.section(rng, 560)
    sources = [rng.getrandbits(rng.choice((32, 32, 128))) for _ in drawn.rules]
    rules = tuple(
        replace(
            one,
            action=one.action if one.action in _DECIDING else Action.ALLOW,
            limit=None,
            target=None,
            match=replace(
                one.match,
                family=None,
                sources=(_prefix(source, rng),),
                source_sets=(),
                source_excepts=(),
                protocols=(),
                interfaces=(),
            ),
        )
        for one, source in zip(drawn.rules, sources, strict=True)
    )
    section = replace(drawn, rules=rules, sets=drawn.sets)
    world.addresses = {
        4: [s for s in sources if s < 2**32],
        6: [s for s in sources if s >= 2**32],
    }
    frames = [strategies.frame(world) for _ in range(600)]
    sets = {one.name: columns(one.prefixes) for one in section.sets}
    plan = build(section, sets, Host({"lo": 1, "other0": 77}, 250))
    root = wire.ROOT.fields["source4"].offset + wire.INTERVALS.fields["packed"].offset
    assert struct.unpack_from("<I", plan.data, root) == (1,)
    filter_ = Filter(24)
    try:
        seen: Counter[str] = Counter()
        told = agree.compare(filter_, section, [f for f in frames if len(f) >= agree.LEAST], seen)
    finally:
        filter_.close()
    assert told == []
    assert seen["DROP/RULE"] > 5


_DECIDING = {Action.DENY, Action.REJECT, Action.ALLOW}


def _prefix(source: int, rng: random.Random) -> Prefix:
    family, bits = (4, 32) if source < 2**32 else (6, 128)
    length = bits - rng.choice((0, 0, 0, 4))
    return Prefix(family, source >> bits - length << bits - length, length)
