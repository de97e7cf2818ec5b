# SPDX-License-Identifier: Apache-2.0
"""The reference evaluator on code, sockets and the kernel, in the words of policies.

Each rule stands beside operations that it must match and neighbours that it
must not, written out by hand.
"""

from __future__ import annotations

import pytest

from guard.analysis.evaluate import cgroup_applies, decide
from guard.plan.agree import judge
from guard.plan.build import build_plan
from guard.policy.findings import Findings
from guard.policy.load import load
from guard.policy.model import Operation, Policy
from guard.policy.operations import Complaint, operation
from tests.policy.corpus import HEAD


def parsed(text: str) -> Policy:
    loaded = load([("p.yaml", text.encode())])
    assert [found.message for found in loaded.diagnostics] == []
    return loaded.policies[0]


def read(words: str) -> Operation:
    done = operation(words, Findings([]).suggest)
    assert not isinstance(done, Complaint), done
    return done


def net(effect: str, rule: str) -> Policy:
    default = "deny" if effect == "allow" else "allow"
    return parsed(f"{HEAD}net:\n  default: {default}\n  rules: [{{{effect}: {rule}}}]\n")


def matched(policy: Policy, words: str) -> bool:
    """Whether the policy's one rule decides; the tables are asked too, and must agree."""
    return bool(judge(build_plan([policy]), 0, read(words)).deciding)


# The rule; what it matches whether it allows or denies; what it does not match in either case.
NET = {
    "connect, proto: tcp, to: 10.0.0.0/8, port: 8080-8090": (
        ["connect tcp 10.1.2.3:8080", "connect tcp [::ffff:10.1.2.3]:8090"],
        [
            "connect tcp 11.1.2.3:8080",
            "connect tcp 10.1.2.3:8091",
            "connect udp 10.1.2.3:8080",
            "bind tcp 10.1.2.3:8080",
            "connect unix /run/x",
            "connect tcp [::a01:203]:8080",
        ],
    ),
    "connect, to: 0.0.0.0/0": (
        ["connect tcp 1.2.3.4:1", "connect tcp [::ffff:1.2.3.4]:1"],
        ["connect tcp [2001:db8::1]:1", "connect unix @x", "create inet stream"],
    ),
    'connect, to: "::/0"': (
        ["connect tcp [2001:db8::1]:1", "connect tcp [::]:1"],
        ["connect tcp 1.2.3.4:1", "connect tcp [::ffff:1.2.3.4]:1"],
    ),
    'connect, to: "@loopback"': (
        ["connect tcp 127.0.0.1:1", "connect tcp 0.0.0.0:1", "connect tcp [::]:1"],
        ["connect tcp 128.0.0.1:1", "connect tcp [::2]:1"],
    ),
    "connect, family: inet, to: 10.0.0.0/8": (
        ["connect tcp 10.0.0.1:1"],
        ["connect tcp [::ffff:10.0.0.1]:1"],
    ),
    "[connect, send], except: 10.0.0.0/8": (
        ["connect tcp 11.0.0.1:1", "send udp [::1]:53"],
        ["connect tcp 10.0.0.1:1", "connect tcp [::ffff:10.0.0.1]:1", "connect unix /run/x"],
    ),
    "connect, proto: udp": (
        ["connect udp 1.2.3.4:5"],
        ["connect tcp 1.2.3.4:5", "connect unix /run/x", "connect unix @x"],
    ),
    "create, family: netlink, proto: [route, 31]": (
        ["create netlink raw route", "create netlink dgram 31"],
        ["create netlink raw xfrm", "create inet stream", "create packet raw"],
    ),
    "create, proto: tcp": (
        ["create inet stream tcp", "create inet6 stream", "create inet raw tcp"],
        ["create netlink raw xfrm", "create inet dgram", "create unix stream"],
    ),
    "create, family: inet, type: raw": (
        ["create inet raw icmp"],
        ["create inet6 raw icmp", "create inet stream tcp"],
    ),
    "connect, unix: /run/*.sock": (
        ["connect unix /run/x.sock"],
        ["connect unix @/run/x.sock", "bind unix /run/x.sock", "connect tcp 1.2.3.4:5"],
    ),
    "[connect, send], abstract: 'x*'": (
        ["connect unix @x", "send unix @xy", "connect unix dgram @x y"],
        ["connect unix @y", "bind unix @x", "connect unix /x"],
    ),
    "[bind, connect], family: unix": (
        ["bind unix /run/x", "connect unix @x", "bind unix stream @y"],
        ["connect tcp 1.2.3.4:5", "send unix /run/x"],
    ),
    "[listen, accept], family: unix": (
        ["listen unix stream", "accept unix seqpacket"],
        ["listen tcp :80", "bind unix /run/x"],
    ),
    "send, proto: icmp": (["send icmp 1.2.3.4"], ["send udp 1.2.3.4:5"]),
    "bind, proto: tcp, port: 80": (
        ["bind tcp :80", "bind tcp [::]:80", "bind tcp 10.0.0.1:80"],
        ["bind tcp :81", "listen tcp :80", "bind udp :80"],
    ),
}


@pytest.mark.parametrize("effect", ["allow", "deny"])
@pytest.mark.parametrize("rule", NET)
def test_a_net_rule_matches_what_it_says(rule: str, effect: str) -> None:
    policy = net(effect, rule)
    yes, no = NET[rule]
    assert [words for words in yes if not matched(policy, words)] == []
    assert [words for words in no if matched(policy, words)] == []


# What a deny rule covers and an allow rule of the same words does not.
WIDER = {
    "[bind, listen, accept], to: 10.0.0.0/8": [
        "bind tcp :80",
        "listen tcp [::]:80",
        "accept tcp 0.0.0.0:1",
    ],
    "bind, proto: tcp, to: 10.0.0.0/8, port: 80": ["bind tcp :80"],
    "bind, proto: udp, port: 40000": ["bind udp :0"],
    "connect, proto: tcp": ["connect mptcp 10.0.0.1:1"],
    "create, proto: tcp": ["create inet stream mptcp"],
}


@pytest.mark.parametrize("rule", WIDER)
def test_a_denial_covers_the_ways_around_it_and_an_allowance_does_not(rule: str) -> None:
    for words in WIDER[rule]:
        assert matched(net("deny", rule), words)
        assert not matched(net("allow", rule), words)


def test_the_wildcard_stays_a_wildcard_for_a_rule_without_addresses_or_of_other_ports() -> None:
    assert not matched(net("deny", "bind, proto: tcp, to: 10.0.0.0/8, port: 80"), "bind tcp :81")
    assert not matched(net("deny", "bind, proto: tcp, port: 80"), "bind tcp :0")


def test_code_is_judged_by_the_exec_section_and_memory_without_a_name_by_its_word() -> None:
    policy = parsed(
        f"{HEAD}exec:\n  default: deny\n  rules:\n"
        "    - {allow: [exec, map], path: [/usr/bin/*, /usr/lib/**]}\n"
        "    - {id: jit, allow: map, path: anonymous}\n"
    )
    allowed = ["exec /usr/bin/x", "map /usr/lib/x.so", "map anonymous", "read /etc/shadow"]
    denied = ["exec /tmp/x", "exec anonymous", "map /tmp/x.so"]
    assert [words for words in allowed if not decide(policy, read(words)).allowed] == []
    assert [words for words in denied if decide(policy, read(words)).allowed] == []
    assert [rule.id for rule in decide(policy, read("map anonymous")).deciding] == ["jit"]


def test_no_pattern_matches_memory_without_a_name() -> None:
    policy = parsed(f"{HEAD}exec:\n  default: deny\n  rules: [{{allow: map, path: /**}}]\n")
    assert not decide(policy, read("map anonymous")).allowed


def test_who_may_write_may_append_and_not_the_other_way_round() -> None:
    policy = parsed(
        f"{HEAD}file:\n  default: deny\n  rules:\n"
        "    - {allow: write, path: /a}\n    - {allow: append, path: /b}\n"
    )
    assert decide(policy, read("append /a")).allowed
    assert decide(policy, read("append /b")).allowed
    assert not decide(policy, read("write /b")).allowed


def test_denying_write_denies_append() -> None:
    policy = parsed(f"{HEAD}file:\n  default: allow\n  rules: [{{deny: write, path: /a}}]\n")
    assert not decide(policy, read("append /a")).allowed


def test_kernel_operations_by_the_short_and_the_long_form() -> None:
    short = parsed(f"{HEAD}kernel: {{deny: [ptrace, cap_net_admin]}}\n")
    long = parsed(
        f"{HEAD}kernel:\n  default: deny\n  rules:\n    - {{id: a, allow: ptrace, audit: true}}\n"
    )
    assert [decide(short, read(words)).allowed for words in ("ptrace", "cap_net_admin", "bpf")] == [
        False,
        False,
        True,
    ]
    assert [decide(long, read(words)).allowed for words in ("ptrace", "bpf")] == [True, False]
    assert decide(long, read("ptrace")).audit
    assert [rule.id for rule in decide(short, read("ptrace")).deciding] == ["kernel.1"]


def test_a_section_that_is_absent_judges_nothing() -> None:
    policy = parsed(f"{HEAD}kernel: {{deny: ptrace}}\n")
    for words in ("read /x", "exec /x", "connect tcp 1.2.3.4:5", "connect unix /x"):
        decision = decide(policy, read(words))
        assert decision.allowed and decision.section is None


def test_kill_is_asked_for_by_the_rule_that_denies() -> None:
    policy = parsed(
        f"{HEAD}net:\n  default: deny\n  rules:\n"
        "    - {deny: connect, proto: tcp, kill: true}\n    - {deny: connect, proto: udp}\n"
    )
    assert decide(policy, read("connect tcp 1.2.3.4:5")).killed
    assert not decide(policy, read("connect udp 1.2.3.4:5")).killed
    assert not decide(policy, read("create inet stream")).killed


def subject(text: str) -> Policy:
    return parsed(
        f"version: 1\nname: demo\nmode: audit\nsubject: {{{text}}}\nfile: {{default: deny}}\n"
    )


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        (
            "unit: nginx.service",
            ["/system.slice/nginx.service", "/system.slice/nginx.service/worker"],
            ["/", "/system.slice", "/system.slice/xnginx.service", "/a/nginx.service.x"],
        ),
        (
            'unit: ["ssh@*.service", cron.service]',
            ["/system.slice/system-ssh.slice/ssh@1.service", "/cron.service"],
            ["/system.slice/ssh.service"],
        ),
        (
            "cgroup: /user.slice/*",
            ["/user.slice/user-0.slice", "/user.slice/user-0.slice/session-1.scope"],
            ["/user.slice", "/system.slice/user.slice/x"],
        ),
    ],
)
def test_a_control_group_is_the_subject_with_all_below_it(
    text: str, yes: list[str], no: list[str]
) -> None:
    policy = subject(text)
    assert [path for path in yes if not cgroup_applies(policy, path.encode())] == []
    assert [path for path in no if cgroup_applies(policy, path.encode())] == []
