# SPDX-License-Identifier: Apache-2.0
"""Differences of policies are all found, and each one really is one."""

from __future__ import annotations

import dataclasses

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.analysis.evaluate import decide, subject_applies
from guard.plan.build import build_plan
from guard.plan.changes import Direction, OperationChange, PolicyChange, SubjectChange
from guard.plan.compare import compare
from guard.plan.plan import Plan, verdict
from guard.plan.product import Product
from guard.policy.model import Mode, PathOperation, Policy
from guard.wire.layout import PathVerb
from tests.plan.make import ALLOW, DENY, LIST, READ, WRITE, policy, rule
from tests.plan.strategies import FILE_VERBS, PATHS, mutated, near, policies


def allowed(one: Policy | None, verb: PathVerb, *path: bytes) -> bool:
    operation = PathOperation(verb, "")
    return one is None or decide(one, operation, path).allowed


def told(change: OperationChange) -> tuple[Direction, PathVerb, bytes]:
    assert isinstance(change.operation, PathOperation)
    path = change.operation.path.encode("utf-8", "surrogateescape")
    return change.direction, change.operation.verb, path


def test_a_policy_does_not_differ_from_itself() -> None:
    one = policy(rule(DENY, [READ], "/a/**", "/a/b"), rule(ALLOW, [READ, LIST], "/**/x*"))
    assert compare([one], [one]) == []


def test_the_same_meaning_in_other_words_is_no_difference() -> None:
    one = policy(rule(DENY, [READ, WRITE], "/a/{b,c}"), rule(ALLOW, [READ], "/**"))
    other = policy(
        rule(ALLOW, [READ], ["/**", "/a/b"]),
        rule(DENY, [WRITE], ["/a/b", "/a/c"]),
        rule(DENY, [READ], "/a/[bc]"),
    )
    assert compare([one], [other]) == []


def test_every_rule_that_went_is_told_with_a_shortest_path() -> None:
    old = policy(
        rule(DENY, [READ], "/a/**", id="a"), rule(DENY, [LIST], "/b", id="b"), default=ALLOW
    )
    new = policy(default=ALLOW)
    found = compare([old], [new])
    assert [
        (*told(each), [rule.id for rule in each.old.deciding])
        for each in found
        if isinstance(each, OperationChange) and each.old is not None
    ] == [(Direction.LOOSENS, LIST, b"/b", ["b"]), (Direction.LOOSENS, READ, b"/a/a", ["a"])]


def test_a_change_of_default_shows_at_the_root() -> None:
    (found,) = [
        each
        for each in compare([policy(default=DENY)], [policy(default=ALLOW)])
        if isinstance(each, OperationChange) and told(each)[1] is READ
    ]
    assert told(found) == (Direction.LOOSENS, READ, b"/")


def test_no_example_is_a_path_that_cannot_be() -> None:
    old = policy(rule(DENY, [READ], ["/a/?", "/a/??", "/a/..?"]), default=ALLOW)
    new = policy(rule(DENY, [READ], ["/a/[^.]", "/a/[^.]?", "/a/?[^.]"]), default=ALLOW)
    (found,) = compare([old], [new])
    assert isinstance(found, OperationChange)
    assert told(found)[2] == b"/a/..a"


def test_subjects_modes_and_whole_policies_that_changed_are_told() -> None:
    old = policy(exe=["/bin/a", "/bin/b"], inherit=True)
    new = policy(exe=["/bin/b", "/bin/c"], mode=Mode.AUDIT)
    found = compare([old], [new])
    assert [
        (each.direction, each.witness) for each in found if isinstance(each, SubjectChange)
    ] == [(Direction.LOOSENS, b"/bin/a"), (Direction.TIGHTENS, b"/bin/c")]
    assert [each.what for each in found if isinstance(each, PolicyChange)] == [
        "mode: enforce became audit",
        "what its tasks execute no longer stays under it",
    ]
    host = policy(host=True)
    wider = [each for each in compare([new], [host]) if isinstance(each, SubjectChange)]
    assert [(each.direction, each.kind, each.outside) for each in wider] == [
        (Direction.TIGHTENS, "host", "whose executable is /a")
    ]
    gone = compare([host], [])
    assert {each.direction for each in gone} == {Direction.LOOSENS}
    verbs = {told(each)[1] for each in gone if isinstance(each, OperationChange)}
    assert verbs == set(FILE_VERBS)


QUIET = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@QUIET
@given(policies())
def test_no_policy_set_differs_from_itself(chosen: list[Policy]) -> None:
    assert compare(chosen, chosen) == []
    # The same rules the other way round are walked, and still nothing is found.
    turned = [
        dataclasses.replace(
            one,
            file=dataclasses.replace(one.file, rules=(*one.file.rules[::-1], *one.file.rules[:1])),
        )
        if one.file is not None
        else one
        for one in chosen
    ]
    assert compare(chosen, turned) == []


@QUIET
@given(st.data())
def test_every_example_differs_and_no_difference_is_missed(data: st.DataObject) -> None:
    old, new = data.draw(policies()), data.draw(policies())
    found = compare(old, new)
    before = {one.name: one for one in old}
    after = {one.name: one for one in new}
    changed = set()
    for each in found:
        was, now = before.get(each.name), after.get(each.name)
        if isinstance(each, OperationChange):
            direction, verb, path = told(each)
            names = () if each.nameless else (path,)
            loosens = allowed(now, verb, *names)
            assert allowed(was, verb, *names) is not loosens
            assert (direction is Direction.LOOSENS) is loosens
            changed.add((each.name, verb, loosens))
        elif isinstance(each, SubjectChange):
            assert was is not None and now is not None
            covered = subject_applies(now, each.witness)
            assert subject_applies(was, each.witness) is not covered
            assert (each.direction is Direction.TIGHTENS) is covered
    for path in data.draw(st.lists(mutated([b"/", *near(old + new)]), min_size=8, max_size=8)):
        for name in before | after:
            for verb in FILE_VERBS:
                verdicts = [allowed(side.get(name), verb, path) for side in (before, after)]
                assert verdicts[0] == verdicts[1] or (name, verb, verdicts[1]) in changed


@QUIET
@given(st.data())
def test_a_reached_combination_is_where_its_path_leads(data: st.DataObject) -> None:
    plan = build_plan(data.draw(policies(2)))
    other = build_plan(data.draw(policies(1)))
    machines = [(one, state) for one in (plan, other) for state in one.starts[0].groups]
    product = Product(machines)
    reached = {}
    for states, key in product.reachable():
        path = product.path(key)
        assert b"\0" not in path and b"//" not in path
        assert path == b"/" or not {b"", b".", b".."} & set(path.split(b"/")[1:])
        reached[_verdicts(plan, path)] = states
    for path in data.draw(st.lists(PATHS, min_size=5, max_size=5)):
        if not {b".", b".."} & set(path.split(b"/")):
            assert _verdicts(plan, path) in reached


def _verdicts(plan: Plan, path: bytes) -> tuple[int, ...]:
    mask = (1 << len(plan.policies)) - 1
    return tuple(verdict(plan, mask, verb, path).denied for verb in FILE_VERBS)
