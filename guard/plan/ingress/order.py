# SPDX-License-Identifier: Apache-2.0
"""Which bit each rule gets, and which counter. Order has no meaning but costs time.

Deciding rules are in order of precedence, so that the first bit found decides;
among those of one action, rules that are alike stand together, so that few
words of a row have bits in common with another's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from guard.plan.ingress.errors import IngressError
from guard.policy.ingress import Action, FlowMatch, IngressRule
from guard.wire.ingress import Limit

WORD = 64

PRECEDENCE = {Action.DENY: 0, Action.REJECT: 1, Action.REDIRECT: 2, Action.ALLOW: 3}

OBSERVING = frozenset({Action.AUDIT, Action.MIRROR})

DENIALS = frozenset({Action.DENY, Action.REJECT})

ADMITTING = frozenset({Action.ALLOW, Action.LIMIT, Action.REDIRECT})


@dataclass(frozen=True, slots=True)
class Order:
    """Rules by bit: observers from 0, limits from 64, deciding rules from 128.

    ``bits[i]`` is the bit of the section's rule i; ``words`` counts the words of
    deciding rules, at least one.
    """

    bits: tuple[int, ...]
    words: int

    @property
    def summaries(self) -> int:
        """Summary words: one for 64 words of deciding rules."""
        return -(-self.words // WORD)


def says_only_source(match: FlowMatch) -> bool:
    """Whether a match gives no field besides the source (and its family)."""
    return match == FlowMatch(
        family=match.family,
        sources=match.sources,
        source_sets=match.source_sets,
        source_excepts=match.source_excepts,
    )


def _alike(rule: IngressRule) -> tuple[int, ...]:
    source = rule.match.sources[0] if rule.match.sources else None
    port = rule.match.destination_ports[0].first if rule.match.destination_ports else -1
    if source is None:
        return (-1, 0, 0, port)
    return (source.family, source.length, source.address, port)


def arrange(rules: Sequence[IngressRule]) -> Order:
    """Give every rule its bit. Raises IngressError when there are too many of a kind."""
    observers = [i for i, rule in enumerate(rules) if rule.action in OBSERVING]
    limits = [i for i, rule in enumerate(rules) if rule.action is Action.LIMIT]
    deciding = [i for i, rule in enumerate(rules) if rule.action in PRECEDENCE]
    for what, some, most in (
        ("audit and mirror rules", observers, int(Limit.OBSERVERS)),
        ("limit rules", limits, int(Limit.RATES)),
        ("deciding rules", deciding, int(Limit.WORDS) * WORD),
    ):
        if len(some) > most:
            raise IngressError(
                f"an ingress section has room for {most} {what}, and this one has {len(some)}",
                remedy="put addresses that are treated alike into one rule's list or into a set",
            )
    deciding.sort(key=lambda i: (PRECEDENCE[rules[i].action], *_alike(rules[i]), rules[i].id))
    bits = [0] * len(rules)
    for first, some in ((0, observers), (WORD, limits), (2 * WORD, deciding)):
        for number, i in enumerate(some):
            bits[i] = first + number
    return Order(tuple(bits), max(1, -(-len(deciding) // WORD)))


def allocate_slots(uids: Sequence[str], previous: Mapping[str, int]) -> dict[str, int]:
    """A counter slot for each rule uid; those that had one keep it.

    Slots of uids that went are given away last, so that what still reads them
    sees no other rule's counts for as long as possible. Raises IngressError
    when they run out.
    """
    slots = {uid: previous[uid] for uid in uids if uid in previous}
    taken, ever = set(slots.values()), set(previous.values())
    every = range(int(Limit.FIRST_RULE_SLOT), int(Limit.SLOTS))
    free = iter([*(s for s in every if s not in ever), *sorted(ever - taken)])
    for uid in uids:
        if uid not in slots:
            slot = next(free, None)
            if slot is None:
                raise IngressError(f"there are counters for {len(every)} rules, and no more")
            slots[uid] = slot
    return slots
