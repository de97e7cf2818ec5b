# SPDX-License-Identifier: Apache-2.0
"""Useless rules of the exec and net sections: what is called so is, and planted ones are found."""

from __future__ import annotations

import dataclasses
import random

import pytest

from guard.analysis import overlap_net
from guard.analysis.evaluate import decide, net_matches
from guard.plan.compare import compare
from guard.plan.shadowed import find
from guard.policy.diagnostic import Diagnostic
from guard.policy.model import Effect, NetRule, Policy
from guard.policy.parse import parse_text
from tests.plan.make_net import net_policies, operations_near

HEAD = "version: 1\nname: p\nmode: enforce\nsubject: {exe: /bin/x}\n"


def parsed(text: str) -> Policy:
    diagnostics: list[Diagnostic] = []
    (one,) = parse_text(HEAD + text, "p.yaml", diagnostics)
    return one


def found(section: str, default: str, *rules: str) -> list[tuple[str, str | None]]:
    lines = "".join(f"    - {{{rule}}}\n" for rule in rules)
    one = parsed(f"{section}:\n  default: {default}\n  rules:\n{lines}")
    return [(each.message.split("'")[1], each.label) for each in find(one)]


@pytest.mark.parametrize(
    ("default", "rules", "example"),
    [
        (
            "deny",
            [
                "allow: connect, to: 10.0.0.0/8",
                "id: x, allow: connect, proto: tcp, to: 10.1.0.0/16",
            ],
            "for example connect tcp",
        ),
        (
            "deny",
            ["id: x, allow: connect, proto: tcp, port: 443", "deny: connect, proto: tcp"],
            "for example connect tcp",
        ),
        (
            "allow",
            [
                "deny: create, family: [packet, alg]",
                "id: x, deny: create, family: alg, type: dgram",
            ],
            "for example create alg dgram",
        ),
        (
            "allow",
            ["deny: connect, abstract: 'a*'", "id: x, deny: connect, abstract: ab"],
            "for example connect unix @ab",
        ),
        (
            "allow",
            ["deny: connect, unix: /run/**", "id: x, deny: connect, unix: /run/x"],
            "for example connect unix '/run/x'",
        ),
    ],
)
def test_a_net_rule_that_others_make_useless_is_found(
    default: str, rules: list[str], example: str
) -> None:
    ((name, label),) = found("net", default, *rules)
    assert name == "x"
    assert label is not None and label.startswith(example)


@pytest.mark.parametrize(
    "rules",
    [
        ["deny: connect, to: 10.0.0.0/8, except: 10.1.0.0/16", "deny: connect, to: 10.1.2.0/24"],
        ["deny: connect, proto: mptcp", "deny: connect, proto: tcp, port: 1", "deny: bind"],
        ["deny: bind, proto: tcp, port: 80-90", "deny: [bind, listen], proto: tcp, port: 80"],
        ["deny: connect, unix: /run/x", "deny: connect, abstract: run/x"],
    ],
)
def test_a_net_rule_with_a_meaning_of_its_own_is_let_be(rules: list[str]) -> None:
    names = [name for name, _ in found("net", "allow", *rules)]
    one = parsed("net:\n  default: allow\n  rules:\n" + "".join(f"    - {{{r}}}\n" for r in rules))
    for name in names:  # MPTCP is in a denial of TCP: the rule about it is none of its own
        assert (name == "net.2" and "mptcp" in rules[1]) or name == "net.1"
        assert _without(one, {name}) is not one


def test_exec_rules_are_judged_as_file_rules_are() -> None:
    assert found(
        "exec",
        "deny",
        "allow: [exec, map], path: '/usr/**'",
        "id: x, allow: map, path: '/usr/lib/*.so'",
        "allow: map, path: anonymous",
    ) == [("x", "for example map '/usr/lib/.so'")]
    assert found(
        "exec", "allow", "deny: [exec, map], path: anonymous", "id: x, deny: map, path: anonymous"
    ) == [("x", "for example map anonymous")]


def _without(one: Policy, ids: set[str]) -> Policy:
    assert one.net is not None
    rules = tuple(rule for rule in one.net.rules if rule.id not in ids)
    return dataclasses.replace(one, net=dataclasses.replace(one.net, rules=rules))


def test_without_all_that_is_useless_every_decision_on_sockets_stays() -> None:
    rng = random.Random(3)  # noqa: S311 - a failure must come again
    removed = 0
    for _ in range(60):
        (one,) = net_policies(rng, 1)
        ids = {each.message.split("'")[1] for each in find(one)}
        removed += len(ids)
        less = _without(one, ids)
        assert compare([one], [less]) == []
        for asked in operations_near(rng, [one], 60):
            was, now = decide(one, asked), decide(less, asked)
            if (asked.address is None and asked.name is None) or asked.name is None:
                assert (was.allowed, was.audit) == (now.allowed, now.audit), asked
    assert removed > 20  # else nothing is shown


def test_a_planted_useless_rule_is_found() -> None:
    rng = random.Random(4)  # noqa: S311
    planted = 0
    for _ in range(60):
        (one,) = net_policies(rng, 1)
        assert one.net is not None
        rule = rng.choice(one.net.rules)
        if rule.audit:
            continue
        narrower = dataclasses.replace(rule, id="planted", verbs=rule.verbs[:1])
        if rule.ports:
            narrower = dataclasses.replace(narrower, ports=rule.ports[:1])
        if rule.to:
            narrower = dataclasses.replace(narrower, to=rule.to[-1:])
        section = dataclasses.replace(one.net, rules=(*one.net.rules, narrower))
        names = [each.message.split("'")[1] for each in find(dataclasses.replace(one, net=section))]
        planted += 1
        assert "planted" in names
    assert planted > 30


def test_net_rules_that_the_sieve_keeps_apart_share_no_operation() -> None:
    rng = random.Random(6)  # noqa: S311
    apart = 0
    for _ in range(80):
        (one,) = net_policies(rng, 1)
        assert one.net is not None
        kept = overlap_net.meeting(one.net.rules)
        lonely = [rule for rule in one.net.rules if rule not in kept]
        apart += len(lonely)
        for asked in operations_near(rng, [one], 60):
            for rule in lonely:
                if asked.verb in rule.verbs and net_matches(rule, asked):
                    others = [each for each in one.net.rules if each is not rule]
                    assert not any(_hits(each, rule, asked) for each in others)
    assert apart > 20


def _hits(other: NetRule, rule: NetRule, asked: object) -> bool:
    return asked.verb in other.verbs and net_matches(other, asked)  # type: ignore[attr-defined,arg-type]


def test_the_sieve_costs_no_square() -> None:
    texts = "".join(
        f"    - {{allow: connect, proto: tcp, to: 10.{n // 250}.{n % 250}.0/24, port: 443}}\n"
        for n in range(1000)
    )
    one = parsed("net:\n  default: deny\n  rules:\n" + texts)
    assert one.net is not None and one.net.default is Effect.DENY
    assert overlap_net.meeting(one.net.rules) == []
