# SPDX-License-Identifier: Apache-2.0
"""Differences of ingress sections: each is a packet that is treated differently, none is missed."""

from __future__ import annotations

import dataclasses
import random

import pytest

from guard.analysis import ingress_regions
from guard.analysis.ingress import Verdict, World, decide
from guard.analysis.ingress_fields import intervals, without
from guard.analysis.ingress_packet import Packet, read
from guard.analysis.ingress_regions import TooMany
from guard.cli.diff_ingress import as_text
from guard.plan.changes import Direction
from guard.plan.compare_ingress import PacketChange, Version, packet_changes
from guard.policy.diagnostic import Diagnostic
from guard.policy.ingress import IngressSection
from guard.policy.parse import parse_text
from tests.ingress.strategies import frame, section

HEAD = "version: 1\nname: p\nmode: enforce\nsubject: {host: true}\ningress:\n"


def version(text: str) -> Version:
    diagnostics: list[Diagnostic] = []
    (one,) = parse_text(HEAD + text, "p.yaml", diagnostics)
    assert one.ingress is not None
    return Version(one.ingress, {each.name: each.prefixes for each in one.ingress.sets})


def body(*rules: str, head: str = "default: drop", interfaces: str = "eth0") -> str:
    lines = "".join(f"    - {{{rule}}}\n" for rule in rules)
    return f"  interfaces: [{interfaces}]\n  {head}\n" + ("  rules:\n" + lines if rules else "")


def told(old: str, new: str) -> list[str]:
    assert list(packet_changes("p", version(old), version(old))) == []
    found = packet_changes("p", version(old), version(new))
    return [as_text(each)[0].removeprefix("p: ") for each in found]


LIMITED = (
    "tightens: packet tcp 198.51.100.7:40000 > 10.0.0.1:443 flags syn at eth0"
    " is let in up to another limit, or elsewhere"
)
SSH = "id: ssh, allow: tcp, port: 22, from: 192.0.2.0/24"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            body(SSH),
            body(SSH.replace("/24", "/23")),
            ["loosens: packet tcp 192.0.3.0:40000 > 10.0.0.1:22 flags syn at eth0 is let in now"],
        ),
        (
            body(SSH),
            body(SSH + ", not-from: 192.0.2.9"),
            ["tightens: packet tcp 192.0.2.9:40000 > 10.0.0.1:22 flags syn at eth0 is dropped now"],
        ),
        (
            body(SSH, "id: ping, allow: icmp, icmp: echo"),
            body(SSH),
            [
                "tightens: packet icmp 198.51.100.7 > 10.0.0.1 type echo at eth0 is dropped now",
            ],
        ),
        (
            body("id: web, allow: tcp, port: 443, limit: {rate: 10/s, burst: 10}"),
            body("id: web, allow: tcp, port: 443, limit: {rate: 9/s, burst: 10}"),
            [LIMITED],
        ),
        (
            body(SSH),
            body(SSH, interfaces="eth0, eth1"),
            ["tightens: a frame of type 0x88b5 at eth1 is dropped now"],
        ),
    ],
)
def test_a_change_is_told_by_a_packet(old: str, new: str, expected: list[str]) -> None:
    assert told(old, new)[: len(expected)] == expected


def test_the_same_packets_in_other_words_are_no_difference() -> None:
    one = body("allow: tcp, port: 1-9, from: 10.0.0.0/8")
    other = body(
        "allow: tcp, port: [1-4, 5-9], from: 10.0.0.0/9",
        "allow: tcp, port: 1-9, from: 10.128.0.0/9",
    )
    assert told(one, other) == []


def test_what_a_section_recognises_as_return_traffic_is_compared() -> None:
    found = told(body(SSH), body(SSH, head="default: drop\n  established: {udp: false}"))
    assert found
    assert all("packet udp" in each and "as an answer" in each for each in found)
    assert all(each.startswith("tightens") for each in found)


def test_a_section_that_is_gone_lets_everything_in() -> None:
    found = list(packet_changes("p", version(body(SSH)), Version(None, {})))
    assert {each.direction for each in found} == {Direction.LOOSENS}
    assert all(each.new is None for each in found)


def test_too_many_regions_are_an_error_and_never_no_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ingress_regions, "MOST", 3)
    with pytest.raises(TooMany):
        list(packet_changes("p", version(body(SSH)), version(body())))


def test_intervals_are_joined_and_taken_out() -> None:
    assert intervals([(5, 9), (0, 3), (4, 4), (20, 30)]) == [(0, 9), (20, 30)]
    some = [(0, 9), (20, 30), (40, 50)]
    assert without(some, [(0, 1), (5, 25), (45, 60)], 100) == [(2, 4), (26, 30), (40, 44)]
    rng = random.Random(1)  # noqa: S311 - the same intervals each time
    for _ in range(500):
        one, other = (
            intervals((a, a + rng.randrange(6)) for a in rng.sample(range(40), rng.randrange(6)))
            for _ in range(2)
        )
        left = {n for first, last in one for n in range(first, last + 1)}
        left -= {n for first, last in other for n in range(first, last + 1)}
        found = [n for first, last in without(one, other, 60) for n in range(first, last + 1)]
        assert found == sorted(left)


def test_every_example_differs_and_no_difference_of_random_packets_is_missed() -> None:
    differing = 0
    for seed in range(12):
        rng = random.Random(seed)  # noqa: S311 - a failure must come again
        old, world = section(rng, rng.randrange(7))
        new = _mutated(rng, old)
        sets = {one.name: one.prefixes for one in old.sets}
        found = list(packet_changes("p", Version(old, sets), Version(new, sets)))
        directions = {each.direction for each in found if not each.limited}
        for each in found:
            _differs(each, old, new, World(sets, "lo"))
        for _ in range(400):
            packet = read(frame(world))
            for tracked in (False, True):
                here = World(sets, "lo", tracked=_always if tracked else _never)
                before, after = (_let_in(one, packet, here) for one in (old, new))
                differing += before != after
                wanted = Direction.LOOSENS if after else Direction.TIGHTENS
                assert before == after or wanted in directions, (seed, packet)
    assert differing > 100  # else the generator shows nothing


def _always(_packet: Packet) -> bool:
    return True


def _never(_packet: Packet) -> bool:
    return False


def _let_in(one: IngressSection, packet: Packet, world: World) -> bool:
    return decide(one, packet, world).verdict in (Verdict.ALLOW, Verdict.REDIRECT)


def _differs(change: PacketChange, old: IngressSection, new: IngressSection, world: World) -> None:
    if change.limited:
        return
    world = dataclasses.replace(world, tracked=lambda _: bool(change.situation))
    before, after = (_let_in(one, change.packet, world) for one in (old, new))
    assert before is not after
    assert (change.direction is Direction.LOOSENS) is after


def _mutated(rng: random.Random, old: IngressSection) -> IngressSection:
    other, _ = section(rng, 6)
    rules = list(old.rules)
    kind = rng.randrange(4)
    if kind == 0 and rules:
        rules.pop(rng.randrange(len(rules)))
    elif kind == 1 and rules:
        at = rng.randrange(len(rules))
        rules[at] = dataclasses.replace(rng.choice(other.rules), id=rules[at].id)
    elif kind == 2:
        settings = ("tunnels", "unreadable", "fragments", "default")
        return dataclasses.replace(old, **{key: getattr(other, key) for key in settings})
    else:
        rules.append(dataclasses.replace(rng.choice(other.rules), id="new"))
    return dataclasses.replace(old, rules=tuple(rules))
