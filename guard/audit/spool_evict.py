# SPDX-License-Identifier: Apache-2.0
"""Which segment has to go when there is no room, and what its going costs whom.

Knows segments' numbers and readers' places; touches no file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from guard.audit.spool_cursor import Position
from guard.audit.spool_files import DENIALS, OTHERS


@dataclass(slots=True)
class Held:
    """A segment that the spool holds: records ``first`` up to ``end``, ``size`` bytes.

    ``closed`` is when nothing was added any more, in seconds of the spool's own
    clock (the time that guard ran, so that no set clock makes records old);
    None while it is written to.
    """

    series: str
    first: int
    end: int
    size: int
    closed: float | None


class Cost(NamedTuple):
    """Records that a segment's removal takes from a reader; ``cursor`` None: nobody reads."""

    cursor: str | None
    records: int


def choose(held: Sequence[Held], cursors: Mapping[str, Position], wanted_by: str) -> Held | None:
    """The segment to remove so that the series ``wanted_by`` gets room; None: there is none.

    First what every reader has acknowledged, then others, and denials only for
    denials; the oldest of each first. The segment that ``wanted_by`` itself is
    writing is never chosen: a record must not push out its own batch.
    """

    def rank(one: Held) -> tuple[bool, bool, int] | None:
        if one.closed is None and one.series == wanted_by:
            return None
        spent = is_spent(one, cursors)
        if one.series == DENIALS and not spent and wanted_by != DENIALS:
            return None
        if one.closed is None and one.series == DENIALS:
            return None  # for the sake of others, not even what was acknowledged
        return (not spent, one.series == DENIALS, one.first)

    ranked = [(order, one) for one in held if (order := rank(one)) is not None]
    return min(ranked, key=lambda pair: pair[0])[1] if ranked else None


def too_old(held: Sequence[Held], now: float, age: float) -> list[Held]:
    """Segments closed more than ``age`` seconds ago, others before denials."""
    old = [one for one in held if one.closed is not None and now - one.closed > age]
    return sorted(old, key=lambda one: (one.series != OTHERS, one.first))


def is_spent(one: Held, cursors: Mapping[str, Position]) -> bool:
    """Whether there are readers and all of them have acknowledged all of the segment."""
    return bool(cursors) and all(
        position.place(one.series).next >= one.end for position in cursors.values()
    )


def costs(one: Held, cursors: Mapping[str, Position]) -> list[Cost]:
    """What the readers have not had of a segment, each its own."""
    if not cursors:
        return [Cost(None, one.end - one.first)]
    left = [
        Cost(name, one.end - max(one.first, position.place(one.series).next))
        for name, position in sorted(cursors.items())
    ]
    return [cost for cost in left if cost.records > 0]
