# SPDX-License-Identifier: Apache-2.0
"""A compiled policy set, and how its tables decide.

``walk`` and ``verdict`` read the packed bytes exactly as the kernel programs
do, so that what is tested here is what the kernel gets. No host facts beyond
the starts that were asked for.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from guard.plan.aliases import Start
from guard.plan.pack import RowKey, VerbMasks
from guard.plan.units import Ref
from guard.policy.model import Policy
from guard.wire.layout import ROW, VERB_ROW, Column, KernelOp, PathVerb, Section, State

CELL = 4
"""Bytes of a cell of a state's row."""


class Gated(NamedTuple):
    """Policies that gate a section, and those of them that deny by default: struct guard_gated."""

    policies: int
    default_deny: int


@dataclass(frozen=True, slots=True)
class Masks:
    """Policies as bits, each the field of struct guard_root of the same name.

    ``sections`` are in the order of enum guard_section.
    """

    enforce: int
    host: int
    inherit: int
    exe: int
    cgroup: int
    ids: int
    contents: int
    sections: tuple[Gated, ...]


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
    anonymous: StartStates
    net: int
    cgroups: int
    kernel: RowKey
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
    killed: int
    class_ids: tuple[int, ...]


def section_of(verb: PathVerb) -> Section:
    """The section that a verb on paths belongs to: lsm/wire.h's ranges."""
    if verb >= PathVerb.BIND:
        return Section.NET
    return Section.EXEC if verb >= PathVerb.EXEC else Section.FILE


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


def state_row(plan: Plan, state: int, verb: int) -> VerbMasks:
    """A state's masks for one verb: the members of struct guard_verb_row."""
    row = _cell(plan, (state & ~State.FINAL) + Column.ROW * CELL)
    at = row + ROW.fields["verb"].offset + verb * VERB_ROW.size
    allow, deny, audit, kill, other_errno = struct.unpack_from(VERB_ROW.format(), plan.data, at)
    return allow, deny, audit, kill, other_errno


def _cell(plan: Plan, offset: int) -> int:
    return int.from_bytes(plan.data[offset : offset + CELL], "little")


def verdict(
    plan: Plan, mask: int, verb: PathVerb, path: bytes, start: StartStates | None = None
) -> Verdict:
    """The tables' decision for a task under the policies ``mask``.

    ``path`` is the path inside the file system that ``start`` belongs to; by
    default a host path. The word ``anonymous`` is what has no path.
    """
    states = (start or plan.starts[0]).groups
    rows: list[VerbMasks] = []
    class_ids: list[int] = []
    for group_mask, first in zip(plan.group_mask, states, strict=True):
        if not group_mask & mask:
            class_ids.append(0)
            continue
        state = walk(plan, first, path)
        rows.append(state_row(plan, state, verb))
        class_ids.append(state_class(plan, state))
    return _verdict(plan, mask, section_of(verb), rows, tuple(class_ids))


def net_verdict(plan: Plan, mask: int, verb: int, operation: bytes) -> Verdict:
    """The same for an operation on a socket; ``operation`` is its string."""
    state = walk(plan, plan.net, operation)
    row = state_row(plan, state, verb)
    return _verdict(plan, mask, Section.NET, [row], (state_class(plan, state),))


def kernel_verdict(plan: Plan, mask: int, op: KernelOp) -> Verdict:
    """The same for an operation on the kernel."""
    return _verdict(plan, mask, Section.KERNEL, [plan.kernel[op]], ())


def _verdict(
    plan: Plan, mask: int, section: Section, rows: Sequence[VerbMasks], class_ids: tuple[int, ...]
) -> Verdict:
    allow = deny = audit = kill = 0
    for row in rows:
        allow |= row[0]
        deny |= row[1]
        audit |= row[2]
        kill |= row[3]
    gated = plan.masks.sections[section]
    judged = mask & gated.policies
    denied = judged & (deny | (gated.default_deny & ~allow))
    enforced = denied & plan.masks.enforce
    return Verdict(denied, denied & deny, enforced, judged & audit, enforced & kill, class_ids)


def subjects(plan: Plan, path: bytes, start: StartStates | None = None) -> int:
    """The policies whose subject is the executable at ``path``, as bits.

    The row of a class of executables has them in verb 0's allow mask.
    """
    state = walk(plan, (start or plan.starts[0]).subject, path)
    return state_row(plan, state, 0)[0]


def cgroup_subjects(plan: Plan, path: bytes) -> int:
    """The policies whose subject is the control group at ``path``, as bits."""
    return state_row(plan, walk(plan, plan.cgroups, path), 0)[0]
