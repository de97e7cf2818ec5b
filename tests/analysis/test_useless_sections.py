# SPDX-License-Identifier: Apache-2.0
"""Useless rules of the ingress and kernel sections: none that is needed is called so."""

from __future__ import annotations

import dataclasses
import random

import pytest

from guard.analysis import ingress_useless, useless
from guard.plan.compare import compare
from guard.plan.compare_ingress import Version, packet_changes
from guard.policy.codes import Code
from guard.policy.diagnostic import Diagnostic
from guard.policy.ingress import Range
from guard.policy.model import Effect, KernelSection, Policy
from guard.policy.parse import parse_text
from guard.wire.layout import KernelOp
from tests.ingress.strategies import section

HEAD = "version: 1\nname: p\nmode: enforce\nsubject: {host: true}\n"


def parsed(text: str) -> Policy:
    diagnostics: list[Diagnostic] = []
    (one,) = parse_text(HEAD + text, "p.yaml", diagnostics)
    return one


def ingress(*rules: str) -> list[tuple[Code, str, str | None]]:
    lines = "".join(f"    - {{{rule}}}\n" for rule in rules)
    one = parsed(f"ingress:\n  interfaces: [eth0]\n  default: drop\n  rules:\n{lines}")
    assert one.ingress is not None
    found = ingress_useless.find(one.ingress)
    return [(each.code, each.message.split("'")[1], each.label) for each in found]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (
            ["deny: all, from: 10.0.0.0/8", "id: x, allow: tcp, port: 22, from: 10.1.0.0/16"],
            [(Code.SHADOWED_RULE, "x", "for example tcp 10.1.0.0:40000 > 10.0.0.1:22 flags syn")],
        ),
        (
            ["allow: tcp, port: 1-100", "id: x, allow: tcp, port: [22, 80]"],
            [
                (
                    Code.SHADOWED_RULE,
                    "x",
                    "for example tcp 198.51.100.7:40000 > 10.0.0.1:22 flags syn",
                )
            ],
        ),
        (
            ["allow: tcp, port: 22", "id: x, allow: tcp, port: 22"],
            [(Code.DUPLICATE_RULE, "x", "again here")],
        ),
        (["deny: all, from: 10.0.0.0/8, not-from: 10.1.0.0/16", "deny: all, from: 10.1.2.3"], []),
        (["allow: tcp, port: 22, limit: {rate: 5/s, burst: 5}", "allow: tcp, port: 22"], []),
        (["allow: tcp", "allow: udp", "deny: tcp, from: 10.0.0.0/8"], []),
        (["audit: tcp, port: 22", "allow: tcp, port: 22"], []),
    ],
)
def test_an_ingress_rule_under_another_is_found_with_a_packet(
    rules: list[str], expected: list[tuple[Code, str, str | None]]
) -> None:
    assert ingress(*rules) == expected


def test_without_the_useless_ingress_rules_every_packet_gets_the_same() -> None:
    planted = 0
    for seed in range(25):
        rng = random.Random(seed)  # noqa: S311 - a failure must come again
        one, _ = section(rng, rng.randrange(1, 7))
        rule = rng.choice(one.rules)
        narrow = dataclasses.replace(rule.match, lengths=rule.match.lengths or (Range(99, 200),))
        more = (*one.rules, dataclasses.replace(rule, id="planted", match=narrow))
        one = dataclasses.replace(one, rules=more)
        ids = {each.message.split("'")[1] for each in ingress_useless.find(one)}
        planted += "planted" in ids
        less = dataclasses.replace(one, rules=tuple(r for r in one.rules if r.id not in ids))
        sets = {each.name: each.prefixes for each in one.sets}
        assert list(packet_changes("p", Version(one, sets), Version(less, sets))) == []
    assert planted > 8


def kernel(one: Policy) -> set[str]:
    told = useless.find(one)
    return {each.message.split("'")[1] for each in told if each.code is not Code.USELESS_SECTION}


def test_a_kernel_rule_that_others_make_useless_is_found() -> None:
    one = parsed(
        "kernel:\n  default: deny\n  rules:\n    - {allow: [mount, umount]}\n"
        "    - {allow: ptrace}\n    - {id: x, allow: [mount, ptrace]}\n"
        "    - {deny: bpf}\n    - {id: z, allow: bpf}\n"
    )
    assert kernel(one) == {"x", "z"}
    labels = {each.label for each in useless.find(one)}
    assert labels == {"for example mount", "for example bpf"}


def test_without_the_useless_kernel_rules_every_operation_is_judged_the_same() -> None:
    rng = random.Random(2)  # noqa: S311
    template = parsed("kernel: {default: deny, rules: [{allow: ptrace}]}")
    assert template.kernel is not None
    (first,) = template.kernel.rules
    removed = 0
    for _ in range(200):
        rules = tuple(
            dataclasses.replace(
                first,
                id=f"r{at}",
                effect=rng.choice(tuple(Effect)),
                ops=tuple(rng.sample(list(KernelOp)[:6], rng.randint(1, 3))),
            )
            for at in range(rng.randint(1, 5))
        )
        made = KernelSection(rng.choice(tuple(Effect)), rules, template.kernel.span)
        one = dataclasses.replace(template, kernel=made)
        ids = kernel(one) & {rule.id for rule in rules}
        less = dataclasses.replace(made, rules=tuple(rule for rule in rules if rule.id not in ids))
        removed += len(ids)
        assert compare([one], [dataclasses.replace(one, kernel=less)]) == []
    assert removed > 100
