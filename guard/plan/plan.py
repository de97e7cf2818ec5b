# SPDX-License-Identifier: Apache-2.0
"""A compiled policy set, and how its tables decide.

``walk`` and ``verdict`` read the packed bytes exactly as the kernel programs
do, so that what is tested here is what the kernel gets. No host facts beyond
the starts that were asked for.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from guard.plan.aliases import Start
from guard.plan.units import Ref
from guard.policy.model import Policy
from guard.wire.layout import ROW, VERB_ROW, Column, PathVerb, State

CELL = 4
"""Bytes of a cell of a state's row."""


@dataclass(frozen=True, slots=True)
class Masks:
    """Policies as bits, each the field of struct guard_root of the same name."""

    enforce: int
    host: int
    inherit: int
    exe: int
    file: int
    file_default_deny: int


@dataclass(frozen=True, slots=True)
class StartStates:
    """State words where walks for objects of one file system begin."""

    subject: int
    groups: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Size:
    """One automaton's measure: states explored before merging, states in the table."""

    explored: int
    states: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Tables for one policy set.

    ``policies`` are in the order of their bits. ``data`` is what follows struct
    guard_root: rows, then states of ``stride`` bytes each. ``column`` has for
    each byte the offset of its cell in a state. ``classes[id]`` are the rules
    that a class id stands for; id 0 is no rule. Ids are one series over all
    automata. ``starts[i]`` are the states for ``names[i]``; the first is always
    the host's own tree. ``foreign`` is for objects that no name is known of. ``sizes``
    are the file automata's, the subject's last.
    """

    policies: tuple[Policy, ...]
    masks: Masks
    group_mask: tuple[int, ...]
    names: tuple[Start, ...]
    starts: tuple[StartStates, ...]
    foreign: StartStates
    column: tuple[int, ...]
    stride: int
    classes: tuple[tuple[Ref, ...], ...]
    rows: int
    data: bytes
    sizes: tuple[Size, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the tables say to one verb on one object: policies as bits, as in
    struct guard_event, and the class met in each automaton (0 where it was not
    stepped).
    """

    denied: int
    by_rule: int
    enforced: int
    audited: int
    class_ids: tuple[int, ...]


def walk(plan: Plan, start: int, path: bytes) -> int:
    """The state word after a canonical path, read from a start state."""
    state = start
    if path == b"/":
        return state
    for byte in path:
        if state & State.FINAL:
            break
        state = _cell(plan, state + plan.column[byte])
    return state


def state_class(plan: Plan, state: int) -> int:
    """The class id of a state word."""
    return _cell(plan, (state & ~State.FINAL) + Column.CLASS * CELL)


def state_row(plan: Plan, state: int, verb: int) -> tuple[int, int, int, int]:
    """A state's masks for one verb: allow, deny, audit, kill."""
    row = _cell(plan, (state & ~State.FINAL) + Column.ROW * CELL)
    at = row + ROW.fields["verb"].offset + verb * VERB_ROW.size
    allow, deny, audit, kill = struct.unpack_from(VERB_ROW.format(), plan.data, at)
    return allow, deny, audit, kill


def _cell(plan: Plan, offset: int) -> int:
    return int.from_bytes(plan.data[offset : offset + CELL], "little")


def verdict(
    plan: Plan, mask: int, verb: PathVerb, path: bytes, start: StartStates | None = None
) -> Verdict:
    """The tables' decision for a task under the policies ``mask``.

    ``path`` is the path inside the file system that ``start`` belongs to; by
    default a host path.
    """
    states = (start or plan.starts[0]).groups
    allow = deny = audit = 0
    class_ids: list[int] = []
    for group_mask, first in zip(plan.group_mask, states, strict=True):
        if not group_mask & mask:
            class_ids.append(0)
            continue
        state = walk(plan, first, path)
        more_allow, more_deny, more_audit, _ = state_row(plan, state, verb)
        allow |= more_allow
        deny |= more_deny
        audit |= more_audit
        class_ids.append(state_class(plan, state))
    gated = mask & plan.masks.file
    denied = gated & (deny | (plan.masks.file_default_deny & ~allow))
    return Verdict(
        denied,
        denied & deny,
        denied & plan.masks.enforce,
        gated & audit,
        tuple(class_ids),
    )


def subjects(plan: Plan, path: bytes, start: StartStates | None = None) -> int:
    """The policies whose subject is the executable at ``path``, as bits.

    The row of a class of executables has them in verb 0's allow mask.
    """
    state = walk(plan, (start or plan.starts[0]).subject, path)
    return state_row(plan, state, 0)[0]
