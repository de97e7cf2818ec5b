# SPDX-License-Identifier: Apache-2.0
"""Rules that are called useless are, and those that plainly are get found."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.analysis.evaluate import decide, rule_matches
from guard.analysis.overlap import meeting
from guard.plan.compare import compare
from guard.plan.shadowed import find
from guard.policy.codes import Code
from guard.policy.model import PathOperation, PathRule, Policy
from tests.plan.make import ALLOW, DENY, LIST, READ, WRITE, policy, rule
from tests.plan.strategies import FILE_VERBS, mutated, near, policies


def useless(*rules: PathRule) -> list[str]:
    return [found.message.split("'")[1] for found in find(policy(*rules))]


@pytest.mark.parametrize(
    "rules",
    [
        [rule(DENY, [READ], "/a/**"), rule(ALLOW, [READ], "/a/b", id="x", line=2)],
        [rule(ALLOW, [READ], "/a/b", id="x"), rule(DENY, [READ, WRITE], "/a/**", line=2)],
        [rule(DENY, [READ], "/a/**"), rule(DENY, [READ], "/a/b/*", id="x", line=2)],
        [rule(DENY, [READ], "/a/*"), rule(DENY, [READ], "/a/b", id="x", line=2)],
        [
            rule(DENY, [READ], "/a/b*"),
            rule(DENY, [READ], "/a/[^b]*", line=2),
            rule(DENY, [READ], "/a/?*", id="x", line=3),
        ],
        [
            rule(DENY, [READ], "/a/b"),
            rule(ALLOW, [WRITE], "/a/**", line=2),
            rule(ALLOW, [READ, WRITE], "/a/b", id="x", line=3),
        ],
    ],
)
def test_a_rule_that_others_make_useless_is_found(rules: list[PathRule]) -> None:
    assert useless(*rules) == ["x"]


@pytest.mark.parametrize(
    "rules",
    [
        [rule(DENY, [READ], "/a/**"), rule(ALLOW, [READ], "/a{,/**}", line=2)],
        [rule(DENY, [READ], "/a/**"), rule(DENY, [READ, LIST], "/a/b", line=2)],
        [rule(DENY, [READ], "/a/**"), rule(DENY, [READ], "/a/b", audit=True, line=2)],
        [rule(DENY, [READ], "/a/**", "/a/b"), rule(ALLOW, [READ], "/a/b", line=2)],
        [rule(DENY, [READ], "/a/b"), rule(ALLOW, [READ], "/a/*", line=2)],
    ],
)
def test_a_rule_with_a_meaning_of_its_own_is_let_be(rules: list[PathRule]) -> None:
    assert useless(*rules) == []


def test_of_two_that_do_the_same_only_one_is_useless() -> None:
    assert useless(
        rule(DENY, [READ], "/a/{b,c}", id="first"), rule(DENY, [READ], "/a/[bc]", id="second")
    ) == ["second"]


def test_the_example_is_a_path_and_the_rule_that_decides_it() -> None:
    (found,) = find(policy(rule(DENY, [READ], "/a/**"), rule(ALLOW, [READ], "/a/b/*", line=2)))
    assert found.label == "for example read '/a/b/a'"
    assert (found.related[0].span.line, found.related[0].label) == (1, "denied by this rule anyway")


def test_exceptions_that_leave_nothing_are_proved() -> None:
    (found,) = find(
        policy(rule(DENY, [READ], "/a/*", "/{a,b}/**", id="x"), rule(DENY, [READ], "/a/b", line=2))
    )
    assert (found.code, found.span.line) == (Code.EXCEPT_ALL, 1)


QUIET = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@QUIET
@given(st.data())
def test_without_all_that_is_useless_every_decision_and_record_stays(data: st.DataObject) -> None:
    (one,) = data.draw(policies(1))
    if one.file is None:
        return
    lines = {found.span.line for found in find(one)}
    rest = tuple(each for each in one.file.rules if each.span.line not in lines)
    less = dataclasses.replace(one, file=dataclasses.replace(one.file, rules=rest))
    assert compare([one], [less]) == []
    for path in data.draw(st.lists(mutated([b"/", *near([one])]), min_size=8, max_size=8)):
        for verb in FILE_VERBS:
            operation = PathOperation(verb, "")
            was, now = decide(one, operation, [path]), decide(less, operation, [path])
            assert (was.audit, was.default) == (now.audit, now.default)


@QUIET
@given(st.data())
def test_rules_that_the_sieve_keeps_apart_share_no_path(data: st.DataObject) -> None:
    (one,) = data.draw(policies(1))
    if one.file is None:
        return
    apart = [each for each in one.file.rules if each not in meeting(one)]
    for path in data.draw(st.lists(mutated([b"/", *near([one])]), min_size=8, max_size=8)):
        for lonely in apart:
            if rule_matches(lonely, (path,)):
                others = [each for each in one.file.rules if each is not lonely]
                assert not any(rule_matches(each, (path,)) for each in others)


def test_the_sieve_keeps_a_long_list_of_paths_apart() -> None:
    texts = ["/etc/a", "/etc/b", "/etc/b/c", "/srv/*/x", "/srv2/**", "/etc/b/d*"]
    one = policy(*(rule(DENY, [READ], text, line=at) for at, text in enumerate(texts)))
    assert meeting(one) == []


def together(one: Policy) -> list[str]:
    return [each.paths[0].text for each in meeting(one)]


def test_the_sieve_leaves_together_what_may_meet() -> None:
    texts = ["/etc/a", "/etc/*", "/srv/x/**", "/srv/x/y", "/opt/x", "/opt/x", "/var/*"]
    one = policy(*(rule(DENY, [READ], text, line=at) for at, text in enumerate(texts)))
    assert together(one) == ["/etc/a", "/etc/*", "/srv/x/**", "/srv/x/y", "/opt/x", "/opt/x"]
