# SPDX-License-Identifier: Apache-2.0
"""Sets that change while the filter runs: added to, taken from, replaced, listed, tidied.

What is added goes where the filter looks it up by hash, in place and without a
new generation, whether it has an end or not. What a policy or its file gave a
set is in the tables: taking from that, and replacing a set, builds new tables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from guard.daemon.ingress import Filter
from guard.daemon.session import process_start
from guard.errors import HostError
from guard.kernel.timed import NEVER, Entry, Put, Timed
from guard.plan.set_file import Prefixes, columns, join
from guard.policy.ingress import Prefix
from guard.policy.prefixes import overlap, shown
from guard.wire.ingress import Limit

# Prefixes that a sentence names.
_TOLD = 3


@dataclass(frozen=True)
class Added:
    """What became of an addition; ``overlaps``: a sentence for each kind of overlap."""

    put: Put
    overlaps: tuple[str, ...]


def require_set(found: Filter, name: str) -> None:
    """Raise HostError when the policy has no such set."""
    known = [one.name for one in found.state.section.sets]
    if name not in known:
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise HostError(
            f"the ingress policy {found.state.policy!r} has no set {name!r}",
            remedy=f"{hint}its sets: {', '.join(known) or 'none'}",
        )


def add(found: Filter, name: str, some: Sequence[Prefix], seconds: int | None) -> Added:
    """Put prefixes into a set, for so many seconds or for good.

    Raises HostError, and changes nothing, when the set cannot take any; single
    prefixes that there was no room for are in the result.
    """
    require_set(found, name)
    which = _take_entries(found, name)
    ticks = found.kernel.constants.ticks
    end = NEVER if seconds is None else found.kernel.now() + seconds * ticks
    timed = Timed(found.kernel)
    try:
        put = timed.put(which, some, end)
    finally:
        timed.close()
    return Added(put, tuple(_overlaps(found, name, some)))


def _take_entries(found: Filter, name: str) -> int:
    """The set's bit among those with entries; it gets one, and tables that know it, if need be."""
    state = found.state
    if name in state.timed:
        return state.timed.index(name)
    if "" not in state.timed and len(state.timed) >= Limit.TIMED_SETS:
        raise HostError(
            f"{int(Limit.TIMED_SETS)} sets take entries at run time already, and there is room"
            f" for no more: {', '.join(state.timed)}",
            remedy=f"put the prefixes into one of these, or use `guard set replace {name}`",
        )
    if not any(name in rule.match.source_sets for rule in state.section.rules):
        raise HostError(
            f"no rule has the set {name!r} as a source, so entries at run time would do nothing",
            remedy=f'use `from: "@{name}"` in a rule; sets of destinations take'
            " `guard set replace` only",
        )
    bit = state.timed.index("") if "" in state.timed else len(state.timed)
    timed = (*state.timed[:bit], name, *state.timed[bit + 1 :])
    found.apply(replace(state, timed=timed))
    return bit


def delete(found: Filter, name: str, some: Sequence[Prefix]) -> tuple[int, list[Prefix]]:
    """Take prefixes out of a set: how many were there, and those that were not.

    A prefix is taken out as it was put in; part of a larger one cannot be.
    """
    require_set(found, name)
    state = found.state
    gone: set[Prefix] = set()
    if name in state.timed:
        timed = Timed(found.kernel)
        try:
            gone.update(timed.take(state.timed.index(name), some))
        finally:
            timed.close()
    asked = set(some)
    base = list(state.sets[name])
    kept = [one for one in base if one not in asked]
    if len(kept) < len(base):
        gone.update(asked.intersection(base))
        found.apply(replace(state, sets={**state.sets, name: columns(kept)}))
    return len(gone), [one for one in some if one not in gone]


def replace_set(found: Filter, name: str, content: Prefixes) -> tuple[int, int]:
    """Give a set other content altogether; how many it had and has.

    Takes effect at once for all of it. Raises GuardError; then the set is as it was.
    """
    require_set(found, name)
    state = found.state
    content = join(name, [content])
    before = len(state.sets[name])
    found.apply(replace(state, sets={**state.sets, name: content}))
    if name in state.timed:
        timed = Timed(found.kernel)
        try:
            before += timed.clear(state.timed.index(name))
        finally:
            timed.close()
    return before, len(content)


def entries(found: Filter, name: str) -> tuple[Prefixes, list[tuple[Prefix, int | None]]]:
    """A set's content: what its policy or `replace` gave it, and the entries of run time.

    Each of these with the seconds that it has left, None for no end.
    """
    require_set(found, name)
    state = found.state
    if name not in state.timed:
        return state.sets[name], []
    timed = Timed(found.kernel)
    try:
        live = timed.entries(state.timed.index(name))
    finally:
        timed.close()
    now, ticks = found.kernel.now(), found.kernel.constants.ticks
    return state.sets[name], [
        (one.prefix, None if one.end >= NEVER else max(0, one.end - now) // ticks) for one in live
    ]


def tidy(found: Filter) -> None:
    """Sweep, unless a process attends the filter: that one records what ended."""
    pid, started = found.state.attendant
    if not pid or process_start(pid) != started:
        sweep(found)


def sweep(found: Filter) -> dict[str, list[Prefix]]:
    """Tidy away entries that have ended, and count them; by set.

    They ended in the filter when their time came; this is the book-keeping.
    """
    if not found.state.timed:
        return {}
    timed = Timed(found.kernel)
    try:
        over = timed.sweep()
    finally:
        timed.close()
    if not over:
        return {}
    ended: dict[str, list[Prefix]] = {}
    for one in over:
        ended.setdefault(_name(found, one), []).append(one.prefix)
    counts = Counter(dict(found.state.expired))
    counts.update({name: len(some) for name, some in ended.items()})
    found.state = replace(found.state, expired=dict(counts))
    found.write()
    return ended


def _name(found: Filter, one: Entry) -> str:
    names = found.state.timed
    return names[one.set] if one.set < len(names) else f"#{one.set}"


def _overlaps(found: Filter, name: str, some: Sequence[Prefix]) -> list[str]:
    """Sentences about other sets that have some of the same addresses."""
    if len(some) > _LOOKED_AT:
        return []
    told = []
    for other, content in found.state.sets.items():
        if other == name or len(content) > _LOOKED_AT:
            continue
        both = _common(some, content)
        if both:
            listed = ", ".join(shown(one) for one in both[:_TOLD])
            more = f" and {len(both) - _TOLD} more" if len(both) > _TOLD else ""
            told.append(f"the set {other!r} has {listed}{more}, too; where rules differ, deny wins")
    return told


# Prefixes that are compared one by one to tell of overlaps.
_LOOKED_AT = 1000


def _common(some: Iterable[Prefix], others: Iterable[Prefix]) -> list[Prefix]:
    listed = list(others)
    # An address of the set in question, or all of it: what both have.
    found = []
    for one in some:
        for other in listed:
            both = overlap(one, other)
            if both is not None:
                found.append(both)
                break
    return found


def parse_seconds(text: str) -> int | None:
    """Seconds of ``90``, ``90s``, ``15m``, ``1h``, ``7d``; None when it is none of these."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    number, unit = (text[:-1], text[-1:]) if text[-1:] in units else (text, "s")
    if not (number.isascii() and number.isdigit() and 0 < len(number) <= 9):
        return None
    return int(number) * units[unit] or None
