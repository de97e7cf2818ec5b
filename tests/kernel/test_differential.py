# SPDX-License-Identifier: Apache-2.0
"""The kernel decides what the tables say, and both what the model says.

Generated policies on generated objects: for every open the errno, and for
every record its masks, its classes and the rule that it is put down to.
"""

from __future__ import annotations

import errno
import functools
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from guard.analysis.evaluate import decide, rule_matches
from guard.audit.decode import Event
from guard.daemon.index import GenerationIndex
from guard.plan.encode import encode
from guard.plan.host import HostPlan
from guard.plan.index import index_plan
from guard.plan.plan import Plan, Verdict, verdict
from guard.policy.model import Effect, PathOperation, Policy
from guard.wire.layout import PathVerb, Reason, Section
from tests.kernel.lab import Attempts, Lab, compile_program, host_plan, loaded, tmpfs
from tests.kernel.lab_objects import policies, tree, unanchored

pytestmark = pytest.mark.kernel

MOUNTPOINT = Path("/tmp/guard-differential")
SEED = int(os.environ.get("GUARD_TEST_SEED", "20"))

READ, WRITE, LIST, APPEND = PathVerb.READ, PathVerb.WRITE, PathVerb.LIST, PathVerb.APPEND
WAYS = {
    os.O_RDONLY: (READ,),
    os.O_WRONLY: (WRITE,),
    os.O_WRONLY | os.O_APPEND: (APPEND,),
    os.O_RDWR: (READ, WRITE),
    os.O_RDONLY | os.O_TRUNC: (READ, WRITE),
}

# Of each policy set: how many policies. One alone, and several on one task.
SETS = (1, 1, 2, 3)
FEWEST = 5000
"""Opens that must have been compared, or this file tests less than it claims."""


@dataclass(frozen=True)
class World:
    """The objects, the instance and the program that opens."""

    lab: Lab
    attempts: Attempts
    device: int
    directories: list[bytes]
    files: list[bytes]
    plans: list[HostPlan]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    program = compile_program("attempts", tmp_path_factory.mktemp("lab"))
    rng = random.Random(SEED)  # noqa: S311 - tests want the same again
    with tmpfs(MOUNTPOINT) as root:
        directories, files = tree(rng, root, directories=150, files=320)
        number = os.stat(root).st_dev
        device = os.major(number) << 20 | os.minor(number)
        inside = directories + files
        sets = [policies(rng, str(root), inside, count) for count in SETS]
        sets.append(unanchored())
        plans = [host_plan(one) for one in sets]
        bits = max(encode(plan, 1).bits for plan in plans)
        with loaded("differential", bits, ring_bytes=64 << 20) as lab, Attempts(program) as opens:
            yield World(lab, opens, device, directories, files, plans)


def host_name(inside: bytes) -> bytes:
    return os.fsencode(MOUNTPOINT) + (inside if inside != b"/" else b"")


@dataclass(frozen=True)
class Expected:
    """What must become of one open: masks as in struct guard_event."""

    path: bytes
    verbs: tuple[PathVerb, ...]
    denied: int
    by_rule: int
    audited: int
    class_ids: tuple[int, ...]


class Decider:
    """Tables and model asked for one task's policies; an AssertionError where they differ."""

    def __init__(self, host: HostPlan, mask: int, device: int) -> None:
        self._host, self._mask, self._device = host, mask, device
        # Each is asked for by several ways to open; walking in Python is slow in a guest.
        self._one = functools.cache(self._ask)

    def _ask(self, path: bytes, verb: PathVerb) -> Verdict:
        plan = self._host.plan
        said = verdict(plan, self._mask, verb, path, self._host.start(self._device))
        model = 0
        for bit, policy in enumerate(plan.policies):
            if (
                self._mask >> bit & 1
                and not decide(policy, PathOperation(verb, ""), [host_name(path)]).allowed
            ):
                model |= 1 << bit
        assert said.denied == model, (path, verb)
        return said

    def together(self, path: bytes, verbs: tuple[PathVerb, ...]) -> Expected:
        said = [self._one(path, verb) for verb in verbs]
        return Expected(
            path,
            verbs,
            _any(one.denied for one in said),
            _any(one.by_rule for one in said),
            _any(one.audited for one in said),
            said[0].class_ids,
        )


def _any(masks: Iterator[int]) -> int:
    result = 0
    for mask in masks:
        result |= mask
    return result


def masks(count: int, rng: random.Random) -> list[int]:
    """The task's policies: all of the set, and where there are several, some."""
    every = (1 << count) - 1
    return [every] if count == 1 else [every, rng.randrange(1, every)]


def test_the_kernel_decides_as_the_tables_and_the_model_do(world: World) -> None:
    rng = random.Random(SEED)  # noqa: S311 - tests want the same again
    compared = denied = records = 0
    grouped = set()
    for host in world.plans:
        policies_ = host.plan.policies
        world.lab.put(host)
        index = GenerationIndex(index_plan(host))
        grouped.add(len(host.plan.group_mask))
        for mask in masks(len(policies_), rng):
            world.lab.label(world.attempts.pid, mask)
            decider = Decider(host, mask, world.device)
            wanted = [(os.O_RDONLY | os.O_DIRECTORY, one, (LIST,)) for one in world.directories]
            wanted += [(how, one, verbs) for one in world.files for how, verbs in WAYS.items()]
            errors = world.attempts.open_all([(how, host_name(one)) for how, one, _ in wanted])
            expected = [decider.together(path, verbs) for _, path, verbs in wanted]
            for want, error in zip(expected, errors, strict=True):
                assert error == (errno.EACCES if want.denied else 0), (want, error, mask)
            recorded = [want for want in expected if want.denied | want.audited]
            events = world.lab.events()
            assert len(events) == len(recorded)
            for want, event in zip(recorded, events, strict=True):
                assert_record(event, want, mask, world, host.plan)
                assert_attributed(event, want, index, policies_)
            compared += len(wanted)
            denied += sum(1 for want in expected if want.denied)
            records += len(events)
    assert all(one.dropped == 0 for one in world.lab.counters())
    print(f"seed {SEED}: {compared} opens compared, {denied} denied, {records} records")
    assert compared >= FEWEST
    assert compared * 0.1 < denied < compared * 0.9, "too one-sided to prove anything"
    assert len(grouped) > 1, "no policy set needed more than one automaton"


def assert_record(event: Event, want: Expected, mask: int, world: World, plan: Plan) -> None:
    assert event.path == want.path
    assert event.device == world.device
    assert event.flags == 0
    assert event.reason == Reason.POLICY
    assert event.verbs == sum(1 << verb for verb in want.verbs)
    assert event.policies == mask & plan.masks.sections[Section.FILE].policies
    assert event.denied == event.enforced == want.denied
    assert event.by_rule == want.by_rule
    assert event.audited == want.audited
    assert event.error == (-errno.EACCES if want.denied else 0)
    for group, classes in enumerate(want.class_ids):
        if plan.group_mask[group] & mask:
            assert event.class_id[group] == classes


def assert_attributed(
    event: Event, want: Expected, index: GenerationIndex, policies_: Sequence[Policy]
) -> None:
    """The rule named in the record matches the object and has the record's effect."""
    found = index.resolve(event)
    assert index.host_path(event.device, event.path) == host_name(want.path)
    owner = next(one for one in policies_ if one.name == found.policy)
    assert owner.file is not None
    names = [host_name(want.path)]
    if found.rule is None:
        assert owner.file.default is Effect.DENY
        assert any(
            said.default and not said.allowed
            for said in (decide(owner, PathOperation(verb, ""), names) for verb in want.verbs)
        )
        return
    rule = next(one for one in owner.file.rules if one.id == found.rule)
    assert rule_matches(rule, names)
    assert set(rule.verbs) & set(want.verbs)
    assert rule.effect is Effect.DENY if want.denied else rule.audit
