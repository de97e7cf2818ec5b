# SPDX-License-Identifier: Apache-2.0
"""Whole policy sets: who is the subject, and what all its policies together decide about
operations of every section, by the tables and by the evaluator.

Quick by default; GUARD_CASES asks for more (make test-differential: 100 000).
"""

from __future__ import annotations

import collections
import os
import random
import struct

from guard.analysis.evaluate import cgroup_applies, decide, subject_applies
from guard.plan.agree import judge, operation_section, tables_verdict
from guard.plan.encode import encode
from guard.plan.errors import PlanError
from guard.plan.host import HostPlan, build_host_plan
from guard.plan.ids import id_slot
from guard.plan.mounts import parse_mountinfo
from guard.plan.plan import Plan, cgroup_subjects, subjects
from guard.policy.model import Mode, Operation, Policy
from guard.wire.layout import ID, ROOT, IdKind, Limit, Section
from tests.plan.make_sets import Task, operations, policy_set, random_paths, task_near

SEED = int(os.environ.get("GUARD_TEST_SEED", "20"))
CASES = int(os.environ.get("GUARD_CASES", "3000"))
PER_SET, TASKS = 250, 5
MOUNTS = parse_mountinfo(b"1 0 0:2 / / rw - tmpfs none rw\n")


def ids_policies(root: bytes, kind: IdKind, number: int) -> int:
    """What the kernel programs find for a user or group in the encoded tables (lsm/ids.bpf.c)."""
    (multiplier,) = struct.unpack_from("<I", root, ROOT.fields["id_multiplier"].offset)
    found = 0
    for probe in range(Limit.ID_PROBES):
        slot = (id_slot(number, multiplier) + probe) % Limit.ID_SLOTS
        at = ROOT.fields["id"].offset + slot * ID.size
        got, of_kind, policies = struct.unpack_from(ID.format(), root, at)
        if (got, of_kind) == (number, kind):
            found |= policies
    return found


def tables_mask(host: HostPlan, root: bytes, task: Task) -> int:
    """The policies that a task is under, by the tables."""
    plan = host.plan
    mask = plan.masks.host | subjects(plan, task.exe) & plan.masks.exe
    mask |= cgroup_subjects(plan, task.cgroup) & plan.masks.cgroup
    for kind, numbers in ((IdKind.USER, task.users), (IdKind.GROUP, task.groups)):
        for number in numbers:
            mask |= ids_policies(root, kind, number) & plan.masks.ids
    return mask


def applies(policy: Policy, task: Task) -> bool:
    """The same of one policy, by its text."""
    subject = policy.subject
    return (
        subject_applies(policy, task.exe)
        or cgroup_applies(policy, task.cgroup)
        or any(each.text == str(number) for each in subject.users for number in task.users)
        or any(each.text == str(number) for each in subject.groups for number in task.groups)
    )


def compare(plan: Plan, mask: int, operation: Operation) -> bool:
    """Assert that the tables say what each policy of the mask says; whether any denies."""
    got = tables_verdict(plan, mask, operation)
    for bit, policy in enumerate(plan.policies):
        on = 1 << bit
        if not mask & on:
            assert not (got.denied | got.audited) & on, (operation, policy)
            continue
        want = decide(policy, operation)
        about = (operation, policy)
        assert bool(got.denied & on) == (not want.allowed), about
        assert bool(got.audited & on) == want.audit, about
        enforced = not want.allowed and policy.mode is Mode.ENFORCE
        assert bool(got.enforced & on) == enforced, about
        assert bool(got.by_rule & on) == (not want.allowed and not want.default), about
    return bool(got.denied)


def test_tables_decide_as_the_model_does_for_every_section_and_subject() -> None:
    rng = random.Random(SEED)  # noqa: S311 - tests want the same again
    met: collections.Counter[tuple[Section, bool]] = collections.Counter()
    together = sets = refused = 0
    while met.total() < CASES:
        paths = random_paths(rng, 60)
        policies = policy_set(rng, rng.choice((1, 2, 2, 3, 4)), paths)
        try:
            host = build_host_plan(policies, MOUNTS)
        except PlanError:
            refused += 1
            continue
        sets += 1
        root = encode(host, 1).root
        for _ in range(TASKS):
            task = task_near(rng, paths)
            mask = tables_mask(host, root, task)
            for bit, policy in enumerate(policies):
                assert bool(mask >> bit & 1) == applies(policy, task), (task, policy)
            mask = mask or (1 << len(policies)) - 1
            alone = rng.choice([bit for bit in range(len(policies)) if mask >> bit & 1])
            for one in operations(rng, policies, paths, PER_SET // TASKS):
                judge(host.plan, alone, one)  # raises where the two differ, rules included
                met[operation_section(one), compare(host.plan, mask, one)] += 1
                together += mask.bit_count() > 1
    told = ", ".join(
        f"{section.name.lower()} {met[section, False] + met[section, True]}"
        f" ({met[section, True]} denied)"
        for section in Section
    )
    print(
        f"seed {SEED}: {met.total()} compared: {told}; {together} under several policies;"
        f" {sets} sets, {refused} refused as too large"
    )
    for section in Section:
        both = met[section, False], met[section, True]
        assert min(both) > sum(both) * 0.1 > 0, f"{section.name} is too one-sided: {both}"
    assert together > CASES * 0.2
    assert refused < sets / 5


def test_a_difference_is_found() -> None:
    """The comparison can fail: another policy set's tables are no match."""
    rng = random.Random(SEED)  # noqa: S311 - tests want the same again
    wrong = 0
    for _ in range(5):
        paths = random_paths(rng, 60)
        plans = [build_host_plan(policy_set(rng, 1, paths), MOUNTS).plan for _ in range(2)]
        for one in operations(rng, plans[0].policies, paths, 40):
            got = tables_verdict(plans[1], 1, one)
            wrong += bool(got.denied) == decide(plans[0].policies[0], one).allowed
    assert wrong
