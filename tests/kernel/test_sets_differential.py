# SPDX-License-Identifier: Apache-2.0
"""The kernel decides about acts of every section what tables and model say, for tasks under
several policies at once, by label and by group.

Quick by default; GUARD_KERNEL_CASES asks for more (make test-kernel-differential: 5 000).
"""

from __future__ import annotations

import collections
import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from guard.analysis.evaluate import decide
from guard.errors import GuardError
from guard.plan.agree import operation_section, tables_verdict
from guard.plan.build import build_plan
from guard.plan.plan import Plan
from guard.policy.model import Mode, Policy, Subject
from guard.wire.layout import KernelOp, Section
from tests.kernel.acts import (
    CAPABILITIES,
    KERNEL_OPS,
    Act,
    World,
    attempt_all,
    make_world,
    some_acts,
)
from tests.kernel.harness import Enforcer, Record
from tests.kernel.lab import tmpfs
from tests.kernel.sockets import loopback_up
from tests.plan.make import patterns, span
from tests.plan.make_sets import (
    EXEC_VERBS,
    FILE_VERBS,
    NAMES,
    kernel_section,
    net_section,
    path_section,
    random_paths,
)

pytestmark = pytest.mark.kernel

SEED = int(os.environ.get("GUARD_TEST_SEED", "20"))
CASES = int(os.environ.get("GUARD_KERNEL_CASES", "600"))
PER_TASK = 100
MOUNTPOINT = Path("/tmp/guard-sets")
GROUP = 54321


def policy_set(rng: random.Random, world: World, paths: Sequence[bytes]) -> list[Policy]:
    """Policies for tasks that are labelled by hand, and one now and then for a group."""
    top = os.fsdecode(world.top)
    tried = (*KERNEL_OPS, KernelOp.CAP_SYS_CHROOT)
    always = tuple(op for op in CAPABILITIES if op is not KernelOp.CAP_SYS_CHROOT)
    found = []
    for place in range(rng.choice((1, 2, 2, 3, 4))):
        subject = Subject(patterns(("/none/such",)), False, True, span())
        if place and rng.random() < 0.3:
            subject = Subject((), False, False, span(), groups=patterns((str(GROUP),)))
        has = [rng.random() < (1 if place == 0 else 0.6) for _ in range(4)]
        kernel = kernel_section(rng, tried, always)
        found.append(
            Policy(
                f"p{place}",
                rng.choice((Mode.ENFORCE, Mode.ENFORCE, Mode.ENFORCE, Mode.AUDIT)),
                subject,
                path_section(rng, FILE_VERBS, paths, top) if has[0] else None,
                "test.yaml",
                span(),
                exec=path_section(rng, EXEC_VERBS, paths, top) if has[1] else None,
                net=net_section(rng, paths, top) if has[2] else None,
                kernel=kernel if has[3] else None,
            )
        )
    return found


def expected(plan: Plan, mask: int, act: Act) -> tuple[bool, set[tuple[str, str | None]]]:
    """Whether an act is refused, and the policies and rules that a record may then name.
    The tables and the model must agree on it.
    """
    refused = False
    blamed: set[tuple[str, str | None]] = set()
    for one in act.asks:
        enforced = tables_verdict(plan, mask, one).enforced
        model = 0
        for bit, policy in enumerate(plan.policies):
            said = decide(policy, one)
            if said.allowed or not mask >> bit & 1:
                continue
            blamed |= {(policy.name, rule.id) for rule in said.deciding} or {(policy.name, None)}
            model |= (policy.mode is Mode.ENFORCE) << bit
        assert enforced == model, (one, mask)
        refused |= bool(model)
    return refused, blamed


def told(record: Record) -> tuple[str, str | None]:
    rule = record["rule"]
    return record["policy"]["name"], rule["id"] if rule else None


def test_the_kernel_decides_about_every_section_as_tables_and_model_do(
    enforcer: Enforcer,
) -> None:
    loopback_up()
    rng = random.Random(SEED)  # noqa: S311 - tests want the same again
    met: collections.Counter[tuple[Section, bool]] = collections.Counter()
    joined = sets = refused_sets = 0
    with tmpfs(MOUNTPOINT) as top:
        paths = random_paths(rng, 70)
        world = make_world(top, NAMES, paths)
        while met.total() < CASES:
            policies = policy_set(rng, world, paths)
            enforcer.session.policies = tuple(policies)
            try:
                enforcer.session.refresh()
            except GuardError:
                refused_sets += 1
                continue
            sets += 1
            plan = build_plan(policies)
            by_label = sum(1 << bit for bit, one in enumerate(policies) if one.subject.exe)
            for grouped in (False, True):
                label = by_label & rng.randrange(1 << len(policies)) | 1
                mask = label | ((1 << len(policies)) - 1 & ~by_label if grouped else 0)
                acts = some_acts(rng, world, policies, PER_TASK)
                groups = [7, GROUP] if grouped else [7]
                got = enforcer.attempt(attempt_all, acts, groups, label=label)
                assert got.errno == 0, got
                world.tidy()
                for act in acts:
                    act.close()
                wanted = [expected(plan, mask, act) for act in acts]
                for act, (refused, _), error in zip(acts, wanted, got.value, strict=True):
                    assert bool(error) == refused, (act, error, mask, policies)
                    met[operation_section(act.asks[-1]), refused] += 1
                joined += len(acts) * (mask.bit_count() > 1)
                assert_recorded(got.records, acts, wanted)
    said = ", ".join(
        f"{section.name.lower()} {met[section, False] + met[section, True]}"
        f" ({met[section, True]} refused)"
        for section in Section
    )
    print(
        f"seed {SEED}, {os.uname().release}: {met.total()} acts compared: {said};"
        f" {joined} under several policies; {sets} sets, {refused_sets} refused"
    )
    assert refused_sets < max(3, sets), "most sets were too large to be put in force"
    for section in Section:
        both = met[section, False], met[section, True]
        # A few sets may be one-sided by chance, many may not.
        least = sum(both) * 0.1 if CASES >= 2000 else 0
        assert min(both) > least, f"{section.name} is too one-sided: {both}"


def assert_recorded(
    records: Sequence[Record],
    acts: Sequence[Act],
    wanted: Sequence[tuple[bool, set[tuple[str, str | None]]]],
) -> None:
    """Every refusal left a record, in their order, and it names one that refused it.

    The kernel section's may leave several: what a call falls back to is judged too.
    """
    denied = [one for one in records if one["verdict"] == "denied"]
    plain = [one for one in denied if not one["event"].startswith("kernel.")]
    refused = [
        (act, blamed)
        for act, (was, blamed) in zip(acts, wanted, strict=True)
        if was and operation_section(act.asks[0]) is not Section.KERNEL
    ]
    assert len(plain) == len(refused)
    for record, (act, blamed) in zip(plain, refused, strict=True):
        assert told(record) in blamed, (act, record)
    of_kernel = sum(
        was
        for act, (was, _) in zip(acts, wanted, strict=True)
        if operation_section(act.asks[0]) is Section.KERNEL
    )
    assert len(denied) - len(plain) >= of_kernel
