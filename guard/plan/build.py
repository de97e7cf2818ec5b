# SPDX-License-Identifier: Apache-2.0
"""Policies to a Plan: the whole order of compiling, written once.

Pure: the same policies and starts give the same bytes. Compiling makes many
small objects that live to the end, so a caller in a hurry may switch the
cyclic garbage collector off around it; nothing here makes cycles.
"""

from __future__ import annotations

from collections.abc import Sequence

from guard.plan.aliases import ANONYMOUS, HOST, Start
from guard.plan.automaton import Automaton
from guard.plan.byteclasses import byte_classes
from guard.plan.errors import PlanError
from guard.plan.grouping import group, single
from guard.plan.pack import Classes, RowKey, pack
from guard.plan.plan import CELL, Gated, Masks, Plan, Size, StartStates
from guard.plan.units import (
    SUBJECT,
    Glob,
    Ref,
    Unit,
    cgroup_units,
    globs,
    net_units,
    path_units,
    rule_at,
    rule_verbs,
    section_rules,
    subject_units,
    wants_other_errno,
)
from guard.policy.model import (
    Effect,
    KernelRule,
    Mode,
    Policy,
    Rule,
)
from guard.wire.layout import Column, Limit, Section


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
    paths = path_units(policies)
    executables = subject_units(policies)
    operations = net_units(policies)
    control_groups = cgroup_units(policies)
    alternatives = read_all([*paths, *executables, *operations, *control_groups])
    names = (HOST, ANONYMOUS, *starts)
    # What lies before a root that is mounted somewhere is told apart by its bytes.
    roots: list[list[Glob]] = [[(alias.root, ()) for alias in start] for start in names]
    classes_of_bytes = byte_classes(
        glob for one in (*alternatives.values(), *roots) for glob in one
    )
    automata = group(paths, alternatives, classes_of_bytes, names)
    subject = single(executables, alternatives, classes_of_bytes, names)
    others = [
        single(units, alternatives, classes_of_bytes, (HOST,))
        for units in (operations, control_groups)
    ]
    every = (*automata, subject, *others)
    classes = Classes(lambda refs: class_row(policies, refs))
    classes.id(())
    packed = pack(
        [(one.minimal, one.refs) for one in every],
        classes,
        classes_of_bytes.count,
    )
    *groups, subject_starts, net_start, cgroup_start = packed.starts
    states = [
        StartStates(subject_starts[at], tuple(one[at] for one in groups))
        for at in range(len(names))
    ]
    return Plan(
        policies=tuple(policies),
        masks=policy_masks(policies),
        group_mask=tuple(_mask(one) for one in automata),
        names=(names[0], *names[2:]),
        starts=(states[0], *states[2:]),
        foreign=StartStates(packed.dead, (packed.dead,) * len(automata)),
        anonymous=states[1],
        net=net_start[0],
        cgroups=cgroup_start[0],
        kernel=kernel_rows(policies),
        column=tuple((Column.SLASH + column) * CELL for column in classes_of_bytes.column),
        stride=(Column.SLASH + classes_of_bytes.count) * CELL,
        classes=tuple(classes.refs),
        rows=len(classes.rows),
        data=packed.data,
        sizes=tuple(Size(one.explored, one.minimal.count) for one in every),
    )


def policy_masks(policies: Sequence[Policy]) -> Masks:
    """The masks of struct guard_root."""

    def mask(members: Sequence[bool]) -> int:
        return sum(1 << bit for bit, member in enumerate(members) if member)

    def gated(section: Section) -> Gated:
        defaults = [
            found.default if (found := policy.sections[section]) is not None else None
            for policy in policies
        ]
        return Gated(
            mask([default is not None for default in defaults]),
            mask([default is Effect.DENY for default in defaults]),
        )

    return Masks(
        enforce=mask([policy.mode is Mode.ENFORCE for policy in policies]),
        host=mask([policy.subject.host for policy in policies]),
        inherit=mask([policy.subject.inherit for policy in policies]),
        exe=mask([bool(policy.subject.exe) for policy in policies]),
        cgroup=mask([bool(policy.subject.cgroups or policy.subject.units) for policy in policies]),
        ids=mask([bool(policy.subject.users or policy.subject.groups) for policy in policies]),
        contents=mask([bool(policy.subject.contents) for policy in policies]),
        sections=tuple(gated(section) for section in Section),
    )


def class_row(policies: Sequence[Policy], refs: tuple[Ref, ...]) -> RowKey:
    """The masks of a set of rules, per verb: the members of struct guard_verb_row."""
    masks = [[0] * 5 for _ in range(Limit.VERBS)]
    for ref in refs:
        if ref.rule == SUBJECT:
            masks[0][0] |= 1 << ref.policy
            continue
        rule = rule_at(policies, ref)
        for verb in rule_verbs(rule):
            _add(masks[verb], rule, 1 << ref.policy)
    return tuple((one[0], one[1], one[2], one[3], one[4]) for one in masks)


def kernel_rows(policies: Sequence[Policy]) -> RowKey:
    """The same per operation on the kernel, of which no object is looked at."""
    masks = [[0] * 5 for _ in range(Limit.KERNEL_OPS)]
    for bit, policy in enumerate(policies):
        for rule in section_rules(policy, Section.KERNEL):
            assert isinstance(rule, KernelRule)
            for op in rule.ops:
                _add(masks[op], rule, 1 << bit)
    return tuple((one[0], one[1], one[2], one[3], one[4]) for one in masks)


def _add(masks: list[int], rule: Rule, bit: int) -> None:
    """Add what one rule says to a struct guard_verb_row."""
    masks[rule.effect is Effect.DENY] |= bit
    if rule.audit:
        masks[2] |= bit
    if rule.kill:
        masks[3] |= bit
    if wants_other_errno(rule):
        masks[4] |= bit


def read_all(units: Sequence[Unit]) -> dict[str, list[Glob]]:
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
