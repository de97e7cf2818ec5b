# SPDX-License-Identifier: Apache-2.0
"""Differences beyond files: sockets, the kernel, execution, subjects and days to come."""

from __future__ import annotations

import dataclasses
import datetime as dt
import random

import pytest

from guard.analysis.evaluate import decide
from guard.plan.agree import net_bytes
from guard.plan.changes import Direction, OperationChange, PolicyChange, SubjectChange
from guard.plan.compare import compare
from guard.plan.compare_operations import operation_of
from guard.plan.languages import net
from guard.policy.diagnostic import Diagnostic
from guard.policy.findings import Findings
from guard.policy.model import NetOperation, PathOperation, Policy
from guard.policy.operation_text import words
from guard.policy.operations import operation
from guard.policy.parse import parse_text
from guard.wire.layout import NetVerb
from tests.plan.make_net import net_policies, operations_near

CONNECT = "net: {default: deny, rules: [{allow: connect, proto: tcp, to: %s, port: 443}]}"
EVERY = (
    "file: {default: allow, rules: [{deny: [write, list, append, create, delete, rename,"
    " link, setattr, lock, ioctl, mkdev, mkfifo, mksock], path: '/**'}]}"
)
ONE, TWO = "a1" * 32, "b2" * 32

HEAD = "version: 1\nname: p\nmode: enforce\nsubject: {exe: /bin/x}\n"


def parsed(text: str, head: str = HEAD) -> Policy:
    diagnostics: list[Diagnostic] = []
    (one,) = parse_text(head + text, "p.yaml", diagnostics)
    assert diagnostics == []
    return one


def lines(old: str, new: str) -> list[str]:
    found = compare([parsed(old)], [parsed(new)])
    return [
        f"{each.direction.value} {'nameless' if each.nameless else words(each.operation)}"
        for each in found
        if isinstance(each, OperationChange)
    ]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            CONNECT % "10.0.0.0/8",
            CONNECT % "10.0.0.0/7",
            ["loosens connect tcp 11.0.0.0:443"],
        ),
        (
            "net: {default: allow, rules: [{deny: bind, proto: tcp, port: 80-90}]}",
            "net: {default: allow, rules: [{deny: bind, proto: tcp, port: 80-89}]}",
            ["loosens bind tcp 10.0.0.1:90"],
        ),
        (
            "net: {default: allow, rules: [{deny: create, family: [packet, alg]}]}",
            "net: {default: allow, rules: [{deny: create, family: packet}]}",
            ["loosens create alg 0"],
        ),
        (
            "net: {default: allow, rules: [{deny: connect, abstract: 'a*'}]}",
            "net: {default: allow, rules: [{deny: connect, abstract: 'a?*'}]}",
            ["loosens connect unix @a"],
        ),
        (
            "net: {default: allow, rules: [{deny: connect, unix: /run/a}]}",
            "net: {default: allow, rules: [{deny: connect, unix: /run/b}]}",
            ["loosens connect unix /run/a", "tightens connect unix /run/b"],
        ),
        ("kernel: {deny: [ptrace, mount]}", "kernel: {deny: [ptrace]}", ["loosens mount"]),
        (
            "exec: {default: deny, rules: [{allow: map, path: anonymous}]}",
            "exec: {default: deny}",
            ["tightens map anonymous"],
        ),
        (
            "file: {default: deny, rules: [{allow: read, path: '/**'}]}",
            EVERY,
            ["loosens nameless"] * 14,
        ),
    ],
)
def test_a_change_of_any_section_is_told_by_an_operation(
    old: str, new: str, told: list[str]
) -> None:
    assert lines(old, new) == told
    assert lines(old, old) == []


def test_the_same_addresses_in_other_words_are_no_difference() -> None:
    one = "net: {default: deny, rules: [{allow: connect, proto: tcp, to: 10.0.0.0/8, port: 1-9}]}"
    other = (
        "net: {default: deny, rules: [{allow: connect, proto: tcp, to: 10.0.0.0/9,"
        " port: [1-4, 5-9]}, {allow: connect, proto: tcp, to: 10.128.0.0/9, port: 1-9}]}"
    )
    assert lines(one, other) == []


def test_what_cannot_be_connected_to_is_no_difference() -> None:
    """Who connects to 0.0.0.0 is judged as for 127.0.0.1."""
    rule = "net: {default: allow, rules: [{deny: [%s], proto: tcp, to: [%s]}]}"
    assert lines(rule % ("connect", "10.0.0.1"), rule % ("connect", "10.0.0.1, 0.0.0.0")) == []
    assert lines(rule % ("listen", "10.0.0.1"), rule % ("listen", "10.0.0.1, '::'")) == []
    assert lines(
        "net: {default: deny, rules: [{allow: bind, proto: tcp, to: 10.0.0.1}]}",
        "net: {default: deny, rules: [{allow: bind, proto: tcp, to: [10.0.0.1, 0.0.0.0]}]}",
    ) == ["loosens bind tcp 0.0.0.0:443"]


def test_a_rule_that_will_expire_is_told_with_the_day() -> None:
    old = parsed("kernel: {default: allow, rules: [{deny: ptrace}]}")
    new = parsed("kernel: {default: allow, rules: [{deny: ptrace, expires: 2999-12-30}]}")
    (found,) = compare([old], [new])
    assert isinstance(found, OperationChange)
    assert (found.direction, found.since) == (Direction.LOOSENS, dt.date(2999, 12, 31))
    assert compare([new], [new]) == []
    (back,) = compare([new], [old])
    assert back.direction is Direction.TIGHTENS


def subjects(old: str, new: str) -> list[tuple[str, str, str, str]]:
    head = "version: 1\nname: p\nmode: enforce\nsubject: {%s}\n"
    made = [parsed("kernel: {deny: [ptrace]}", head % one) for one in (old, new)]
    return [
        (each.direction.value, each.kind, each.witness.decode(), each.outside)
        for each in compare(made[:1], made[1:])
        if isinstance(each, SubjectChange)
    ]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("unit: nginx.service", "unit: nginx.service", []),
        (
            "unit: nginx.service",
            "unit: 'nginx*.service'",
            [("tightens", "cgroup", "/nginxa.service", "")],
        ),
        ("cgroup: '/a/*'", "cgroup: /a/b", [("loosens", "cgroup", "/a/a", "")]),
        ("user: [a, b]", "user: [b]", [("loosens", "user", "a", "")]),
        (
            "group: [a]",
            "group: [b]",
            [("loosens", "group", "a", ""), ("tightens", "group", "b", "")],
        ),
        ("host: true", "user: a", [("loosens", "host", "", "of another user than a")]),
        ("user: a", "host: true", [("tightens", "host", "", "of another user than a")]),
        ("exe: '/**'", "user: a", [("loosens", "exe", "/a", "of another user than a")]),
        (
            "exe: /bin/x",
            "unit: x.service",
            [
                ("loosens", "exe", "/bin/x", "in the control group /"),
                ("tightens", "cgroup", "/x.service", "whose executable is /a"),
            ],
        ),
    ],
)
def test_tasks_that_come_and_go_are_told(
    old: str, new: str, told: list[tuple[str, str, str, str]]
) -> None:
    assert subjects(old, new) == told


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("", "", []),
        (ONE, ONE, []),
        (
            "",
            ONE,
            [
                "tightens: executables with other contents than their sha256 are no longer started",
            ],
        ),
        (
            f"{ONE}, {TWO}",
            "",
            ["loosens: executables with other contents than their sha256 are started now"],
        ),
        (
            ONE,
            TWO,
            [
                f"tightens: an executable with sha256 {ONE} is no longer started",
                f"loosens: an executable with sha256 {TWO} is started",
            ],
        ),
        (f"{ONE}, {TWO}", f"{TWO}, {ONE}", []),
    ],
)
def test_what_executables_may_hold_is_compared(old: str, new: str, told: list[str]) -> None:
    head = "version: 1\nname: p\nmode: enforce\nsubject: {exe: /bin/x%s}\n"
    made = [
        parsed("kernel: {deny: [ptrace]}", head % (f", sha256: [{one}]" if one else ""))
        for one in (old, new)
    ]
    found = compare(made[:1], made[1:])
    assert all(isinstance(each, PolicyChange) for each in found)
    assert [
        f"{each.direction.value}: {each.what}" for each in found if isinstance(each, PolicyChange)
    ] == told


def test_a_unit_and_its_control_group_are_compared_by_what_they_are() -> None:
    assert subjects("unit: x.service", "cgroup: '/**/x.service'") == []


def test_no_difference_of_sockets_is_missed_and_every_example_is_one() -> None:
    rng = random.Random(5)  # noqa: S311
    asked = 0
    for _ in range(40):
        (old,) = net_policies(rng, 1)
        new = _mutated(rng, old)
        found = compare([old], [new])
        told = set()
        for each in found:
            assert isinstance(each, OperationChange)
            allowed = [decide(one, each.operation).allowed for one in (old, new)]
            assert allowed[0] is not allowed[1]
            assert (each.direction is Direction.LOOSENS) is allowed[1]
            assert isinstance(each.operation, NetOperation | PathOperation)
            told.add((int(each.operation.verb), allowed[1]))
        for operation_ in operations_near(rng, [old, new], 150):
            if operation_.verb in (NetVerb.CONNECT, NetVerb.SEND) and operation_.address in (
                bytes(4),
                bytes(16),
            ):
                continue  # judged as for loopback
            if operation_.name is not None and operation_.verb not in (
                NetVerb.BIND,
                NetVerb.CONNECT,
                NetVerb.SEND,
            ):
                continue  # not judged by name
            if operation_.verb is NetVerb.CREATE and operation_.address is not None:
                continue
            before, after = (decide(one, operation_).allowed for one in (old, new))
            if before != after:
                asked += 1
                assert (int(operation_.verb), after) in told, operation_
        assert compare([new], [new]) == []
    assert asked > 100  # else the generator shows nothing


def _mutated(rng: random.Random, old: Policy) -> Policy:
    assert old.net is not None
    (other,) = net_policies(rng, 1)
    assert other.net is not None
    rules = list(old.net.rules)
    kind = rng.randrange(3)
    if kind == 0:
        rules.pop(rng.randrange(len(rules)))
    elif kind == 1:
        rules.append(dataclasses.replace(rng.choice(other.net.rules), id="new"))
    else:
        at = rng.randrange(len(rules))
        rules[at] = dataclasses.replace(rng.choice(other.net.rules), id=rules[at].id)
    return dataclasses.replace(old, net=dataclasses.replace(old.net, rules=tuple(rules)))


def test_the_language_of_sockets_has_every_operation_that_can_be() -> None:
    language, _ = net()
    rng = random.Random(7)  # noqa: S311
    for asked in operations_near(rng, net_policies(rng, 3), 500):
        phase: int | None = language.start
        for byte in net_bytes(asked):
            assert phase is not None
            phase = language.following(phase, byte)
        assert phase in language.ends, asked
        assert operation_of(asked.verb, net_bytes(asked)).address == asked.address
    mapped = b"/0a1000600506" + b"0" * 20 + b"ffff0a000001"
    phase = language.start
    for byte in mapped:
        phase = None if phase is None else language.following(phase, byte)
    assert phase is None


@pytest.mark.parametrize(
    "text",
    [
        "connect tcp 10.1.2.3:443",
        "send udp [::1]:53",
        "connect tcp [::ffff:10.1.2.3]:80",
        "send icmp 10.1.2.3",
        "listen tcp [::]:80",
        "connect unix /run/x.sock",
        "bind unix @name",
        "send unix stream @name",
        "create inet stream tcp",
        "create netlink raw route",
        "listen unix stream",
        "read /etc/shadow",
        "map anonymous",
        "cap_net_admin",
    ],
)
def test_operations_are_told_in_the_words_that_are_read(text: str) -> None:
    read = operation(text, Findings([]).suggest)
    assert words(read) == text  # type: ignore[arg-type]
