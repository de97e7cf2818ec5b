# SPDX-License-Identifier: Apache-2.0
"""Policies to a Plan: the whole order of compiling, written once.

Pure: the same policies and starts give the same bytes. Compiling makes many
small objects that live to the end, so a caller in a hurry may switch the
cyclic garbage collector off around it; nothing here makes cycles.
"""

from __future__ import annotations

from collections.abc import Sequence

from guard.plan.aliases import HOST, Start
from guard.plan.automaton import Automaton
from guard.plan.byteclasses import byte_classes
from guard.plan.errors import PlanError
from guard.plan.grouping import group, single
from guard.plan.pack import Classes, RowKey, pack
from guard.plan.plan import CELL, Masks, Plan, Size, StartStates
from guard.plan.units import SUBJECT, Glob, Ref, Unit, file_units, globs, subject_units
from guard.policy.model import Effect, Mode, Policy
from guard.wire.layout import Column, Limit, PathVerb


def build_plan(policies: Sequence[Policy], starts: Sequence[Start] = ()) -> Plan:
    """Compile policies; each one's bit is its place in the sequence.

    ``starts`` are file systems, beyond the host's own tree, to prepare start
    states for. Raises PlanError for what does not fit: too many policies, or
    a pattern that would multiply the states, which the error names.
    """
    if len(policies) > Limit.POLICIES:
        raise PlanError(
            f"{len(policies)} policies, and at most {Limit.POLICIES} can be in force at once",
            policies[Limit.POLICIES].span,
        )
    files = file_units(policies)
    executables = subject_units(policies)
    alternatives = _read_all(files + executables)
    names = (HOST, *starts)
    # What lies before a root that is mounted somewhere is told apart by its bytes.
    roots: list[list[Glob]] = [[(alias.root, ()) for alias in start] for start in names]
    classes_of_bytes = byte_classes(
        glob for one in (*alternatives.values(), *roots) for glob in one
    )
    automata = group(files, alternatives, classes_of_bytes, names)
    subject = single(executables, alternatives, classes_of_bytes, names)
    classes = Classes(lambda refs: class_row(policies, refs))
    classes.id(())
    packed = pack(
        [(one.minimal, one.refs) for one in (*automata, subject)],
        classes,
        classes_of_bytes.count,
    )
    return Plan(
        policies=tuple(policies),
        masks=policy_masks(policies),
        group_mask=tuple(_mask(one) for one in automata),
        names=names,
        starts=tuple(
            StartStates(packed.starts[-1][at], tuple(one[at] for one in packed.starts[:-1]))
            for at in range(len(names))
        ),
        foreign=StartStates(packed.dead, (packed.dead,) * len(automata)),
        column=tuple((Column.SLASH + column) * CELL for column in classes_of_bytes.column),
        stride=(Column.SLASH + classes_of_bytes.count) * CELL,
        classes=tuple(classes.refs),
        rows=len(classes.rows),
        data=packed.data,
        sizes=tuple(Size(one.explored, one.minimal.count) for one in (*automata, subject)),
    )


def policy_masks(policies: Sequence[Policy]) -> Masks:
    """The masks of struct guard_root."""

    def mask(members: Sequence[bool]) -> int:
        return sum(1 << bit for bit, member in enumerate(members) if member)

    return Masks(
        enforce=mask([policy.mode is Mode.ENFORCE for policy in policies]),
        host=mask([policy.subject.host for policy in policies]),
        inherit=mask([policy.subject.inherit for policy in policies]),
        exe=mask([bool(policy.subject.exe) for policy in policies]),
        file=mask([policy.file is not None for policy in policies]),
        file_default_deny=mask(
            [policy.file is not None and policy.file.default is Effect.DENY for policy in policies]
        ),
    )


def class_row(policies: Sequence[Policy], refs: tuple[Ref, ...]) -> RowKey:
    """The masks of a set of rules, per verb: allow, deny, audit, kill."""
    masks = [[0, 0, 0, 0] for _ in PathVerb]
    for ref in refs:
        bit = 1 << ref.policy
        if ref.rule == SUBJECT:
            masks[0][0] |= bit
            continue
        section = policies[ref.policy].file
        assert section is not None, "a rule's policy has a file section"
        rule = section.rules[ref.rule]
        for verb in rule.verbs:
            masks[verb][rule.effect is Effect.DENY] |= bit
            if rule.audit:
                masks[verb][2] |= bit
    return tuple((allow, deny, audit, kill) for allow, deny, audit, kill in masks)


def _read_all(units: Sequence[Unit]) -> dict[str, list[Glob]]:
    """Every pattern's alternatives by text."""
    read: dict[str, list[Glob]] = {}
    for unit in units:
        for pattern in unit.paths + unit.excepts:
            if pattern.text not in read:
                read[pattern.text] = globs(pattern)
    return read


def _mask(automaton: Automaton) -> int:
    mask = 0
    for ref in automaton.refs:
        mask |= 1 << ref.policy
    return mask
