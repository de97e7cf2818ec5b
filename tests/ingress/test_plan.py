# SPDX-License-Identifier: Apache-2.0
"""What the compiler refuses, and what it promises about bits, counters and addresses."""

from __future__ import annotations

import random
from bisect import bisect_right

import pytest

from guard.plan.ingress.addresses import Addresses, cut
from guard.plan.ingress.build import Options, build
from guard.plan.ingress.errors import IngressError
from guard.plan.ingress.order import allocate_slots, arrange
from guard.plan.set_file import columns
from guard.policy.ingress import Action, FlowMatch, Limit, Prefix, Target
from guard.wire.ingress import Limit as Most
from tests.ingress.make import HOST, named, prefix, rule, section

_BITS = {4: 32, 6: 128}


def _refused(made: object, **rest: object) -> tuple[str, str | None]:
    with pytest.raises(IngressError) as caught:
        build(made, {"s": columns([])}, HOST, **rest)  # type: ignore[arg-type]
    return str(caught.value), caught.value.remedy


def test_an_interface_that_is_not_there_is_refused_by_name() -> None:
    one = rule("r", Action.DENY, FlowMatch(interfaces=("eth9",)))
    assert _refused(section(one)) == (
        "there is no interface eth9",
        "`ip link` lists the interfaces; a rule names one that is filtered",
    )


def test_too_many_limits_are_refused() -> None:
    some = [rule(f"r{i}", Action.LIMIT, limit=Limit(1, 1)) for i in range(65)]
    assert _refused(section(*some)) == (
        "an ingress section has room for 64 limit rules, and this one has 65",
        "put addresses that are treated alike into one rule's list or into a set",
    )


def test_a_burst_that_no_bucket_can_keep_is_refused() -> None:
    one = rule("r", Action.LIMIT, limit=Limit(1, 2**40))
    assert _refused(section(one))[0] == (
        "a burst of 1099511627776 at 1 a second would take 1099511627776 seconds to refill, "
        "too long to be kept"
    )


def test_a_mirror_to_a_cpu_is_refused() -> None:
    one = rule("r", Action.MIRROR, target=Target(cpu=1))
    assert _refused(section(one)) == ("a mirror rule copies to an interface, not to a CPU", None)


def test_ttl_entries_and_an_except_do_not_go_together() -> None:
    match = FlowMatch(source_sets=("s",), source_excepts=(prefix("10.0.0.0/8"),))
    assert _refused(section(rule("r", Action.DENY, match)), options=Options(timed=("s",))) == (
        "made.yaml:1:1: set s takes TTL entries, which except cannot leave out",
        "take the exception out of the set, or make the set one without TTL",
    )
    match = FlowMatch(destination_sets=("s",))
    said, _ = _refused(section(rule("r", Action.DENY, match)), options=Options(timed=("s",)))
    assert said == "made.yaml:1:1: set s takes TTL entries, and those are of sources only"


def test_two_rules_of_one_name_are_refused() -> None:
    twice = section(rule("r", Action.DENY), rule("r", Action.ALLOW))
    assert _refused(twice) == ("two ingress rules have the same id", None)


def test_sixteen_thousand_rules_with_two_prefixes_each_fit_the_largest_size() -> None:
    # The most rows that rules can need: a class for each in both fields.
    rules = [
        rule(
            f"r{i}",
            Action.DENY,
            FlowMatch(
                sources=(Prefix(4, i * 3 << 8, 24),), destinations=(Prefix(4, i * 5 << 8, 24),)
            ),
        )
        for i in range(16000)
    ]
    plan = build(section(*rules), {}, HOST)
    assert plan.bits <= 27


def test_deciding_rules_stand_in_the_order_of_precedence() -> None:
    actions = [Action.ALLOW, Action.DENY, Action.REDIRECT, Action.REJECT, Action.AUDIT]
    rules = [
        rule(a.value, a, target=Target(interface="lo") if a is Action.REDIRECT else None)
        for a in actions
    ]
    bits = dict(zip(actions, arrange(rules).bits, strict=True))
    deciding = [Action.DENY, Action.REJECT, Action.REDIRECT, Action.ALLOW]
    assert sorted(deciding, key=lambda a: bits[a]) == deciding
    assert bits[Action.AUDIT] < 64 and bits[Action.DENY] == 128


def test_a_rule_keeps_its_counter_and_a_new_one_gets_one_that_nobody_had() -> None:
    first = allocate_slots(["a", "b"], {})
    second = allocate_slots(["c", "b"], first)
    assert second["b"] == first["b"]
    assert second["c"] not in first.values()
    assert min(first.values()) >= Most.FIRST_RULE_SLOT


def test_counters_run_out_with_an_error() -> None:
    room = int(Most.SLOTS) - int(Most.FIRST_RULE_SLOT)
    names = [str(i) for i in range(room)]
    assert len(set(allocate_slots(names, {}).values())) == room
    with pytest.raises(IngressError, match=f"there are counters for {room} rules, and no more"):
        allocate_slots([*names, "one more"], {})


@pytest.mark.parametrize("seed", range(30))
def test_every_address_is_in_the_class_of_what_covers_it(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - addresses, not secrets
    family = rng.choice((4, 6))
    bits = _BITS[family]

    def some(most: int) -> tuple[Prefix, ...]:
        out = []
        for _ in range(rng.randrange(most)):
            length = rng.choice((0, 1, 2, 3, bits // 2, bits // 2 + 1, bits - 1, bits))
            address = rng.choice((0, 2**bits - 1, rng.getrandbits(bits), 1 << bits // 2))
            out.append(Prefix(family, address >> bits - length << bits - length, length))
        return tuple(out)

    said = [Addresses(some(4), (), some(3)) for _ in range(6)]
    said = [one for one in said if not one.is_any()]
    line = cut(family, said, {})
    starts = [h << 64 | low for h, low in zip(line.high.tolist(), line.low.tolist(), strict=True)]
    assert starts == sorted(set(starts))
    points = {0, 2**bits - 1, *starts, *(s - 1 for s in starts if s)}
    by_class: dict[int, set[int]] = {}
    for point in points:
        covers = {i for i, one in enumerate(said) if _covers(one, point, bits)}
        klass = int(line.classes.of[bisect_right(starts, point)])
        assert by_class.setdefault(klass, covers) == covers
    different = [frozenset(c) for c in by_class.values()]
    assert len(set(different)) == len(different)


def _covers(one: Addresses, address: int, bits: int) -> bool:
    def among(some: tuple[Prefix, ...]) -> bool:
        return any(address >> bits - p.length == p.address >> bits - p.length for p in some)

    return (not one.prefixes or among(one.prefixes)) and not among(one.excepts)


def test_a_set_of_both_families_tells_both_apart() -> None:
    both = named("s", "10.0.0.0/8", "2001:db8::/32")
    made = section(rule("r", Action.DENY, FlowMatch(source_sets=("s",))), sets=(both,))
    facts = build(made, {"s": columns(both.prefixes)}, HOST).facts
    assert (facts["source4_classes"], facts["source6_classes"]) == (2, 2)
