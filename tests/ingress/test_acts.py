# SPDX-License-Identifier: Apache-2.0
"""What rules do besides letting in and dropping: limits, answers, records, hand-overs."""

from __future__ import annotations

import struct

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet

from guard.plan.ingress.build import build
from guard.policy.ingress import Action, Default, FlowMatch, Limit, Per, Target, Unit
from guard.wire.ingress import Limit as Most
from guard.wire.ingress import Reason
from tests.ingress.make import HOST, frame, named, port, prefix, put, rule, section
from tests.ingress.native import ABORTED, DROP, PASS, SEED, TX, Filter

HERE, PEER, OTHER = "192.0.2.1", "198.51.100.7", "198.51.100.8"
HERE6, PEER6 = "2001:db8::1", "2001:db8:1::7"
_WORD = 2**64 - 1


def _udp(source: str = PEER, size: int = 8) -> bytes:
    return frame(IP(src=source, dst=HERE) / UDP(sport=1, dport=2) / bytes(size - 8))


def _verdicts(filter_: Filter, frames: list[bytes]) -> list[int]:
    return [outcome.verdict for outcome in filter_.run(frames)]


def test_a_rules_limit_lets_its_burst_in_and_no_more(loaded: Filter) -> None:
    made = section(rule("a1", Action.LIMIT, limit=Limit(1, 5)))
    plan = put(loaded, made)
    assert _verdicts(loaded, [_udp()] * 8) == [PASS] * 5 + [DROP] * 3
    slot = plan.slots["/a1"]
    counts = loaded.counts(slot)
    assert (counts["packets"], counts["over_packets"]) == (5, 3)
    assert loaded.run([_udp(OTHER)])[0].reason == Reason.RATE
    # The bucket outlives a switch, and a full one is what a new rule begins with.
    put(loaded, made, plan.slots)
    assert _verdicts(loaded, [_udp()]) == [DROP]
    loaded.update("ingress_rates", slot, bytes(8))
    assert _verdicts(loaded, [_udp()]) == [PASS]
    loaded.update("ingress_rates", slot, bytes(8))


def test_a_sources_limit_is_its_own(loaded: Filter) -> None:
    put(loaded, section(rule("a2", Action.LIMIT, limit=Limit(1, 2, Per.SOURCE))))
    assert _verdicts(loaded, [_udp()] * 3) == [PASS, PASS, DROP]
    assert _verdicts(loaded, [_udp(OTHER)] * 3) == [PASS, PASS, DROP]


def test_a_flood_of_forged_sources_lets_nobody_off(loaded: Filter) -> None:
    # A packet of 28 bytes takes 28 seconds to be forgiven: longer than the flood.
    limit = Limit(1, 60, Per.SOURCE, Unit.BYTES)
    put(loaded, section(rule("a3", Action.LIMIT, limit=limit)))
    assert _verdicts(loaded, [_udp()] * 3) == [PASS, PASS, DROP]
    one = bytearray(_udp())
    flood = []
    for i in range(20000):
        one[26:30] = (10 << 24 | i).to_bytes(4, "big")
        flood.append(bytes(one))
    assert _verdicts(loaded, flood).count(PASS) > 15000
    assert _verdicts(loaded, [_udp()]) == [DROP]


def test_a_limit_may_count_bytes(loaded: Filter) -> None:
    limit = Limit(100, 1000, Per.SOURCE, Unit.BYTES)
    put(loaded, section(rule("a4", Action.LIMIT, limit=limit)))
    # 528 bytes of IP each: one fits into 1000, two do not; 428 do.
    big, small = _udp(size=508), _udp(size=408)
    assert _verdicts(loaded, [big, big, small, small]) == [PASS, DROP, PASS, DROP]


def test_all_limits_that_match_must_have_room(loaded: Filter) -> None:
    one = FlowMatch(sources=(prefix("198.51.100.0/24"),))
    two = FlowMatch(sources=(prefix("198.51.0.0/16"),))
    limits = (
        rule("wide", Action.LIMIT, two, limit=Limit(1, 100)),
        rule("narrow", Action.LIMIT, one, limit=Limit(1, 2)),
    )
    put(loaded, section(*limits))
    assert _verdicts(loaded, [_udp()] * 3) == [PASS, PASS, DROP]
    put(loaded, section(*limits, rule("no", Action.DENY, one)))
    assert loaded.run([_udp()])[0].reason == Reason.RULE


def _answer(filter_: Filter, packet: Packet) -> tuple[int, Packet]:
    outcome, out = filter_.answer(frame(packet))
    return outcome.verdict, Ether(out)


def _right(packet: Packet) -> Packet:
    """The same with its lengths and checksums made by scapy."""
    again = Ether(bytes(packet))
    for layer in (IP, IPv6, TCP, ICMP, ICMPv6DestUnreach):
        if layer in again:
            for member in ("chksum", "cksum", "len", "plen"):
                if member in again[layer].fields:
                    delattr(again[layer], member)
    return Ether(bytes(again))


@pytest.mark.parametrize("family", [4, 6])
def test_a_rejected_segment_is_answered_by_a_reset(loaded: Filter, family: int) -> None:
    put(loaded, section(rule("r", Action.REJECT)))
    ip = IP(src=PEER, dst=HERE) if family == 4 else IPv6(src=PEER6, dst=HERE6)
    syn = ip / TCP(sport=1234, dport=80, seq=1000, flags="S", options=[("MSS", 1460)])
    verdict, out = _answer(loaded, syn)
    assert verdict == TX
    assert (out.src, out.dst) == ("02:00:00:00:00:02", "02:00:00:00:00:01")
    assert (out[1].src, out[1].dst) == (ip.dst, ip.src)
    assert (out[TCP].sport, out[TCP].dport) == (80, 1234)
    assert (str(out[TCP].flags), out[TCP].seq, out[TCP].ack) == ("RA", 0, 1001)
    assert bytes(out) == bytes(_right(out))
    data = ip / TCP(sport=1234, dport=80, seq=1000, ack=77, flags="PA") / b"hello"
    verdict, out = _answer(loaded, data)
    assert (verdict, str(out[TCP].flags), out[TCP].seq) == (TX, "R", 77)
    assert bytes(out) == bytes(_right(out))


def test_a_rejected_datagram_is_answered_by_unreachable(loaded: Filter) -> None:
    put(loaded, section(rule("r", Action.REJECT)))
    sent = IP(src=PEER, dst=HERE) / UDP(sport=7, dport=9) / b"data"
    verdict, out = _answer(loaded, sent)
    assert (verdict, out[ICMP].type, out[ICMP].code) == (TX, 3, 13)
    assert bytes(out[ICMP].payload) == bytes(sent)[:28]
    assert bytes(out) == bytes(_right(out))
    sent6 = IPv6(src=PEER6, dst=HERE6) / UDP(sport=7, dport=9) / b"data"
    verdict, out = _answer(loaded, sent6)
    assert (verdict, out[ICMPv6DestUnreach].code) == (TX, 1)
    assert bytes(out[ICMPv6DestUnreach].payload) == bytes(sent6)[:48]
    assert bytes(out) == bytes(_right(out))


def test_a_tagged_packet_is_answered_with_its_tag(loaded: Filter) -> None:
    put(loaded, section(rule("r", Action.REJECT)))
    tagged = Ether() / Dot1Q(vlan=5) / IP(src=PEER, dst=HERE) / TCP(dport=1, flags="S")
    outcome, out = loaded.answer(bytes(tagged))
    assert outcome.verdict == TX
    assert Ether(out)[Dot1Q].vlan == 5
    assert bytes(out) == bytes(_right(Ether(out)))


def test_what_must_not_be_answered_is_dropped_and_counted(loaded: Filter) -> None:
    put(loaded, section(rule("r", Action.REJECT)))
    before = loaded.counts(Reason.NO_REPLY)["packets"]
    silent = [
        IP(src=PEER, dst=HERE) / TCP(flags="R"),
        IP(src=PEER, dst="224.0.0.1") / UDP(),
        IP(src="255.255.255.255", dst=HERE) / UDP(),
        IP(src=PEER, dst=HERE) / ICMP(type=3) / IP() / UDP(),
        IP(src=PEER, dst=HERE, frag=20) / (b"x" * 40),
        IPv6(src=PEER6, dst="ff02::1") / UDP(),
        IPv6(src="::", dst=HERE6) / UDP(),
    ]
    assert _verdicts(loaded, [frame(p) for p in silent]) == [DROP] * len(silent)
    assert loaded.counts(Reason.NO_REPLY)["packets"] == before + len(silent)


def test_every_drop_is_recorded_or_counted_as_not(loaded: Filter) -> None:
    match = FlowMatch(protocols=(17,))
    plan = put(loaded, section(rule("e1", Action.DENY, match, sample=4)))
    loaded.events()
    loaded.run([_udp()] * 1000)
    loaded.run([frame(IP(src=PEER, dst=HERE) / TCP(dport=5))])
    events, slot = loaded.events(), plan.slots["/e1"]
    counts = loaded.counts(slot)
    mine = [event for event in events if event["slot"] == slot]
    assert len(mine) == counts["recorded"] > 0
    assert counts["recorded"] + counts["suppressed"] + counts["lost"] == counts["packets"] == 1000
    assert counts["suppressed"] >= 750
    # Each says what went before it; what went after the last waits for the next.
    told = sum(event["suppressed"] for event in mine)
    waiting = counts["turn"] >> 16
    assert told + waiting == counts["suppressed"] and told > 0
    first = mine[0]
    assert (first["source"], first["destination"]) == ((0, 0xC6336407), (0, 0xC0000201))
    assert (first["source_port"], first["destination_port"], first["protocol"]) == (1, 2, 17)
    assert (first["verdict"], first["reason"], first["enforced"]) == (DROP, Reason.RULE, 1)
    assert first["head"][: first["head_size"]] == _udp()[:128]
    assert [e["sequence"] for e in events] == list(
        range(events[0]["sequence"], events[0]["sequence"] + len(events))
    )
    assert events[-1]["reason"] == Reason.DEFAULT


def test_an_audit_rule_records_and_decides_nothing(loaded: Filter) -> None:
    look = rule("look", Action.AUDIT, FlowMatch(destination_ports=port(2)), sample=2)
    plan = put(loaded, section(look, default=Default.ALLOW))
    loaded.events()
    assert _verdicts(loaded, [_udp()] * 6) == [PASS] * 6
    events = loaded.events()
    assert [e["slot"] for e in events] == [plan.slots["/look"]] * 3
    assert [e["verdict"] for e in events] == [PASS] * 3
    assert loaded.counts(plan.slots["/look"])["packets"] == 6
    assert loaded.counts(Reason.DEFAULT)["packets"] >= 6


def test_a_policy_that_only_audits_lets_in_and_says_what_it_would_have_done(
    loaded: Filter,
) -> None:
    for action, verdict in ((Action.DENY, DROP), (Action.REJECT, TX)):
        put(loaded, section(rule("e2", action)), audit=True)
        loaded.events()
        assert _verdicts(loaded, [_udp()]) == [PASS]
        (event,) = loaded.events()
        assert (event["verdict"], event["enforced"]) == (verdict, 0)
    put(loaded, section(), audit=True)
    assert _verdicts(loaded, [_udp(), _udp()[:30]]) == [PASS, PASS]
    reasons = [(e["reason"], e["enforced"]) for e in loaded.events()]
    assert reasons == [(Reason.DEFAULT, 0), (Reason.TRUNCATED, 0)]


def test_counters_and_slots_survive_a_switch(loaded: Filter) -> None:
    match = FlowMatch(destination_ports=port(2))
    first = put(loaded, section(rule("c1", Action.DENY, match), rule("c2", Action.ALLOW)))
    loaded.run([_udp()] * 3)
    before = loaded.counts(first.slots["/c1"])["packets"]
    again = section(
        rule("c0", Action.DENY, FlowMatch(destination_ports=port(9))),
        rule("c1", Action.DENY, match),
    )
    second = build(again, {}, HOST, previous_slots=first.slots)
    loaded.swap(second, 2)
    assert second.slots["/c1"] == first.slots["/c1"]
    assert second.slots["/c0"] not in first.slots.values()
    loaded.run([_udp()])
    assert loaded.counts(second.slots["/c1"])["packets"] == before + 1


def test_without_tables_the_fault_is_guards_own(loaded: Filter) -> None:
    alone = Filter(20)
    try:
        outcome = alone.run([_udp()])[0]
        assert (outcome.verdict, outcome.reason) == (ABORTED, Reason.NO_TABLES)
        (event,) = alone.events()
        assert event["reason"] == Reason.NO_TABLES
    finally:
        alone.close()


def test_a_redirect_without_a_target_is_guards_own_fault(loaded: Filter) -> None:
    put(loaded, section(rule("to", Action.REDIRECT, target=Target(interface="lo"))))
    loaded.events()
    outcome = loaded.run([_udp()])[0]
    assert (outcome.verdict, outcome.reason) == (ABORTED, Reason.NO_TARGET)
    assert [e["reason"] for e in loaded.events()] == [Reason.NO_TARGET]


def _mix(number: int, value: int) -> int:
    number = (number ^ value) * 0xFF51AFD7ED558CCD & _WORD
    number = (number ^ number >> 33 ^ SEED[1]) * 0xC4CEB9FE1A85EC53 & _WORD
    return number ^ number >> 29


def test_a_ttl_entry_counts_until_its_end_and_the_kernel_sees_to_that(loaded: Filter) -> None:
    match = FlowMatch(source_sets=("bad",))
    made = section(
        rule("t", Action.DENY, match), default=Default.ALLOW, sets=(named("bad", "203.0.113.0/24"),)
    )
    put(loaded, made, timed=("bad",))
    address, salt = 0xC6336407, 99
    tag = _mix(_mix(_mix(SEED[0], 0), address & 0xFFFFFF00), salt)
    probe = struct.pack("=QQQII", 0, 0xFFFFFF00, salt, 4, 1)
    loaded.update("ingress_probes", 0, probe.ljust(32 * int(Most.PROBES), b"\0"))
    bucket = (tag >> 40) % int(Most.TIMED_BUCKETS)

    def entry(expiry: int) -> None:
        loaded.update(
            "ingress_timed", bucket, bytes(16) + struct.pack("=QQ", tag, expiry) * 1 + bytes(32)
        )

    assert _verdicts(loaded, [_udp()]) == [PASS]
    entry(2**62)
    assert _verdicts(loaded, [_udp(), _udp("198.51.99.7")]) == [DROP, PASS]
    # What the policy itself has in the set stays in it.
    assert _verdicts(loaded, [_udp("203.0.113.5")]) == [DROP]
    entry(1)
    assert _verdicts(loaded, [_udp(), _udp("203.0.113.5")]) == [PASS, DROP]


def test_what_is_let_in_goes_on_to_the_next_program_and_what_is_not_does_not(
    loaded: Filter,
) -> None:
    # The clock's program leaves its mark: it writes the time over a frame's first bytes.
    loaded.update("ingress_parts", 2, struct.pack("=i", loaded.program("guard_ingress_clock")))
    web = rule("n1", Action.ALLOW, FlowMatch(destination_ports=port(2)))
    sent, other = _udp(), frame(IP(src=PEER, dst=HERE) / UDP(sport=1, dport=3))
    put(loaded, section(web), next_program=True)
    outcome, out = loaded.answer(sent)
    assert outcome.verdict == PASS and out[:16] != sent[:16] and out[16:] == sent[16:]
    outcome, out = loaded.answer(other)
    assert outcome.verdict == DROP and out == other
    put(loaded, section(web))
    assert loaded.answer(sent)[1] == sent
