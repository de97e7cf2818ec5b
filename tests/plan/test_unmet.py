# SPDX-License-Identifier: Apache-2.0
"""Policies that can never both be met are found, and what is told of them is so."""

from __future__ import annotations

import dataclasses
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.analysis.evaluate import decide
from guard.plan.unmet import find
from guard.policy.codes import Code
from guard.policy.diagnostic import Diagnostic
from guard.policy.model import Effect, Mode, PathOperation, Policy
from guard.policy.parse import parse_text
from tests.plan.make import ALLOW, DENY, READ, WRITE, policy, rule
from tests.plan.make_net import net_policies, operations_near
from tests.plan.strategies import FILE_VERBS, mutated, near, policies


def parsed(*subjects: str, body: tuple[str, str]) -> list[Policy]:
    text = "---\n".join(
        f"version: 1\nname: p{at}\nmode: enforce\nsubject: {{{subject}}}\n{own}\n"
        for at, (subject, own) in enumerate(zip(subjects, body, strict=True))
    )
    diagnostics: list[Diagnostic] = []
    return list(parse_text(text, "p.yaml", diagnostics))


def codes(*subjects: str, body: tuple[str, str]) -> list[str]:
    return [each.code.number for each in find(parsed(*subjects, body=body))]


MAY = "kernel: {default: deny, rules: [{allow: ptrace}]}"
MAY_NOT = "kernel: {deny: [ptrace]}"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("exe: /bin/x", "host: true", ["G341"]),
        ("exe: /bin/x", "exe: '/bin/*'", ["G341"]),
        ("exe: '/bin/*'", "exe: /bin/x", []),
        ("exe: /bin/x", "exe: /bin/y", []),
        ("'exe': /bin/x, inherit: true", "exe: '/bin/*'", []),
        ("'exe': /bin/x, inherit: true", "exe: '/bin/*', inherit: true", ["G341"]),
        ("unit: a.service", "unit: '*.service'", ["G341"]),
        ("unit: a.service", "cgroup: /system.slice", []),
        ("user: a", "user: [a, b]", ["G341"]),
        ("user: [a, b]", "user: a", []),
        ("user: a", "group: a", []),
        ("exe: /bin/x", "user: a", []),
        ("host: true", "exe: /bin/x", []),
    ],
)
def test_a_rule_is_vain_where_every_task_of_it_is_under_the_other_policy(
    one: str, other: str, expected: list[str]
) -> None:
    assert codes(one, other, body=(MAY, MAY_NOT)) == expected


NET = "net: {default: deny, rules: [{allow: %s}]}"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ((NET % "connect, proto: tcp, port: 1", NET % "connect, proto: tcp, port: 2"), ["G342"]),
        ((NET % "connect, proto: tcp, port: 1", NET % "connect, proto: tcp, port: 1-2"), []),
        ((NET % "connect, abstract: 'a*'", NET % "connect, abstract: '*b'"), []),
        ((NET % "connect, unix: /run/a", NET % "connect, unix: /run/b"), ["G342"]),
        ((NET % "connect, to: 10.0.0.0/8", NET % "connect, to: 11.0.0.0/8"), ["G342"]),
        ((MAY, "kernel: {default: deny, rules: [{allow: mount}]}"), ["G342"]),
        ((MAY, "kernel: {default: deny}"), []),
        ((MAY, "net: {default: deny}"), []),
    ],
)
def test_sections_with_nothing_in_common_are_told_where_some_task_is_under_both(
    body: tuple[str, str], expected: list[str]
) -> None:
    assert codes("exe: [/bin/x, /bin/y]", "exe: [/bin/y, /bin/z]", body=body) == expected
    assert codes("exe: [/bin/x]", "exe: [/bin/z]", body=body) == []


def test_the_finding_names_an_operation_a_task_and_what_denies() -> None:
    one = policy(rule(ALLOW, [READ], "/a/*", id="mine", line=5), name="one", exe=["/bin/x"])
    other = policy(rule(DENY, [READ], "/a/**", line=9), name="other", default=ALLOW, host=True)
    (found,) = find([one, other])
    assert (found.code, found.span.line, found.related[0].span.line) == (Code.NEVER_MET, 5, 9)
    assert found.label == "for example read '/a/a' by /bin/x"
    assert found.message == (
        "the rule 'mine' of 'one' allows nothing:"
        " 'other' is for the same tasks and denies all of it"
    )


def test_a_policy_that_only_records_makes_nothing_vain() -> None:
    one = policy(rule(ALLOW, [READ], "/a"), name="one")
    other = policy(rule(DENY, [READ], "/**"), name="other", mode=Mode.AUDIT)
    assert list(find([one, other])) == []
    assert list(find([dataclasses.replace(one, mode=Mode.AUDIT), other])) == []


def test_a_rule_with_one_verb_that_is_met_is_let_be() -> None:
    one = policy(rule(ALLOW, [READ, WRITE], "/a/**"), name="one")
    other = policy(rule(ALLOW, [WRITE], "/a/b/c"), name="other")
    assert [each.message.split("'")[3] for each in find([one, other])] == []


QUIET = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@QUIET
@given(st.data())
def test_what_is_called_vain_is_never_allowed_by_both(data: st.DataObject) -> None:
    chosen = data.draw(policies(3))
    subject = chosen[0].subject
    chosen = [dataclasses.replace(each, subject=subject, mode=Mode.ENFORCE) for each in chosen]
    vain = set()
    for found in find(chosen):
        assert found.code is Code.NEVER_MET  # the subjects are the same
        words = found.message.split("'")
        vain.add((words[3], words[1], words[5]))
    by_name = {each.name: each for each in chosen}
    paths = data.draw(st.lists(mutated([b"/", *near(chosen)]), min_size=10, max_size=10))
    for name, one in by_name.items():
        for each in one.file.rules if one.file else ():
            if each.effect is not Effect.ALLOW:
                continue
            alone = dataclasses.replace(
                one,
                file=dataclasses.replace(one.file, rules=(each,)),  # type: ignore[type-var]
            )
            for other in by_name.values():
                if (name, each.id, other.name) not in vain:
                    continue
                for path in paths:
                    for verb in FILE_VERBS:
                        asked = PathOperation(verb, "")
                        if decide(alone, asked, [path]).rules:
                            assert not decide(other, asked, [path]).allowed


def test_vain_net_rules_are_never_allowed_by_both_and_planted_ones_are_found() -> None:
    rng = random.Random(8)  # noqa: S311 - a failure must come again
    told = 0
    for _ in range(15):
        one, other = net_policies(rng, 2)
        assert one.net is not None and other.net is not None
        denied = rng.choice(one.net.rules)
        planted = dataclasses.replace(denied, effect=Effect.ALLOW, id="planted")
        against = dataclasses.replace(denied, effect=Effect.DENY, id="against")
        one = dataclasses.replace(
            one, net=dataclasses.replace(one.net, rules=(*one.net.rules, planted))
        )
        other = dataclasses.replace(
            other, net=dataclasses.replace(other.net, rules=(*other.net.rules, against))
        )
        found = {each.message.split("'")[1] for each in find([one, other]) if "p0" in each.message}
        section = one.net
        assert section is not None
        vain = [each for each in section.rules if each.id in found]
        told += len(vain)
        for asked in operations_near(rng, [one, other], 80):
            for each in vain:
                alone = dataclasses.replace(one, net=dataclasses.replace(section, rules=(each,)))
                possible = asked.address not in (bytes(4), bytes(16))
                if possible and decide(alone, asked).rules and each.id == "planted":
                    assert not decide(other, asked).allowed
        assert "planted" in found or not _matches_anything(rng, one, planted)
    assert told > 8


def _matches_anything(rng: random.Random, one: Policy, planted: object) -> bool:
    assert one.net is not None
    alone = dataclasses.replace(one, net=dataclasses.replace(one.net, rules=(planted,)))  # type: ignore[arg-type]
    return any(decide(alone, asked).rules for asked in operations_near(rng, [alone], 200))
