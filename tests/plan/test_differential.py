# SPDX-License-Identifier: Apache-2.0
"""The compiled tables decide what the reference evaluator decides."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.analysis.evaluate import decide, rule_matches, subject_applies
from guard.plan.aliases import Alias, Start
from guard.plan.build import build_plan
from guard.plan.plan import Plan, StartStates, subjects, verdict
from guard.policy.model import Effect, Mode, PathOperation, PathRule, Policy
from guard.wire.layout import PathVerb
from tests.plan.make import ALLOW, DENY, READ, policy, rule
from tests.plan.strategies import FILE_VERBS, NAMES, PATHS, mutated, near, policies


def compare(plan: Plan, path: bytes, names: list[bytes], start: StartStates | None = None) -> None:
    """One object against the tables: ``path`` in its file system, ``names`` in the host."""
    chosen = plan.policies
    every = (1 << len(chosen)) - 1
    for verb in FILE_VERBS:
        got = verdict(plan, every, verb, path, start)
        for bit, one in enumerate(chosen):
            want = decide(one, PathOperation(verb, ""), names)
            on = 1 << bit
            about = (path, names, verb, one)
            assert bool(got.denied & on) == (not want.allowed), about
            assert bool(got.audited & on) == want.audit, about
            enforced = not want.allowed and one.mode is Mode.ENFORCE
            assert bool(got.enforced & on) == enforced, about
            assert bool(got.by_rule & on) == (not want.allowed and not want.default), about
            attributed = attributed_rules(plan, got.class_ids, bit, verb, one)
            assert all(rule_matches(each, names) for each in attributed), about
            effect = Effect.ALLOW if want.allowed else Effect.DENY
            named = any(each.effect is effect for each in attributed)
            assert named == (not want.default and one.file is not None), about
    applies = subjects(plan, path, start)
    for bit, one in enumerate(chosen):
        assert bool(applies >> bit & 1) == subject_applies(one, *names), (names, one)


def attributed_rules(
    plan: Plan, class_ids: tuple[int, ...], bit: int, verb: PathVerb, owner: Policy
) -> list[PathRule]:
    found = []
    for class_id in class_ids:
        for ref in plan.classes[class_id]:
            if ref.policy == bit and owner.file is not None:
                named = owner.file.rules[ref.rule]
                if verb in named.verbs:
                    found.append(named)
    return found


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_tables_decide_as_the_model_does(data: st.DataObject) -> None:
    chosen = data.draw(policies())
    plan = build_plan(chosen)
    for path in data.draw(st.lists(mutated([b"/", *near(chosen)]), min_size=8, max_size=8)):
        compare(plan, path, [path])


PLACES = st.lists(NAMES, max_size=3).map(lambda names: ("/" + "/".join(names)).encode())


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_an_object_with_several_names_is_matched_by_each(data: st.DataObject) -> None:
    chosen = data.draw(policies(2))
    aliases = st.builds(Alias, st.one_of(st.just(b"/"), PLACES), PLACES)
    start: Start = tuple(data.draw(st.lists(aliases, min_size=1, max_size=3)))
    plan = build_plan(chosen, [start])
    nearby = [b"/", *near(chosen), *(alias.root for alias in start)]
    for path in data.draw(st.lists(st.one_of(mutated(nearby), PATHS), min_size=8, max_size=8)):
        names = [name for alias in start if (name := alias.name(path)) is not None]
        compare(plan, path, names, plan.starts[1])
        compare(plan, path, [], plan.foreign)


def test_only_the_policies_in_the_mask_deny() -> None:
    plan = build_plan(
        [policy(rule(DENY, [READ], "/a")), policy(rule(ALLOW, [READ], "/**"), name="q")]
    )
    assert verdict(plan, 0b10, READ, b"/a").denied == 0
    assert verdict(plan, 0b11, READ, b"/a").denied == 0b01
    assert verdict(plan, 0b01, READ, b"/b").denied == 0b01
