# SPDX-License-Identifier: Apache-2.0
"""The ingress section: read as it is written, kept as JSON, in step with its schema."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.policy import prefixes
from guard.policy.diagnostic import Diagnostic
from guard.policy.ingress import (
    Action,
    AddressSet,
    Default,
    Established,
    FlowMatch,
    IngressSection,
    Limit,
    Per,
    Prefix,
    Range,
    Target,
    TcpFlags,
    Unit,
)
from guard.policy.ingress_json import Unfit, section_json, section_of
from guard.policy.parse import parse_text
from guard.policy.prefixes import Unread
from guard.policy.schema import schema
from guard.policy.vocabulary_ingress import SHAPES
from tests.ingress_front.policies import judged, section

GOOD = Path(__file__).parent.parent / "corpus" / "good" / "ingress.yaml"
HEAD = {"version": 1, "name": "p", "mode": "audit", "subject": {"host": True}}


def whole() -> IngressSection:
    (policy,) = parse_text(GOOD.read_bytes(), "ingress.yaml", [])
    assert policy.ingress is not None
    return policy.ingress


def net(text: str) -> Prefix:
    one = prefixes.read(text)
    assert isinstance(one, Prefix)
    return one


def test_every_word_of_the_language_is_read_to_what_it_means() -> None:
    made = whole()
    assert made.interfaces == ("eth0", "eth1.100")
    assert (made.default, made.allow_generic, made.syn_cookies) == (Default.DROP, True, True)
    assert made.ethertypes == (0x0806, 0x88CC, 0x9000)
    assert made.established == Established(forwarded=True)
    office, blocklist, banned = made.sets
    assert (office.name, office.prefixes, office.file) == (
        "office",
        (net("192.0.2.0/24"), net("2001:db8:77::/48")),
        None,
    )
    assert (blocklist.prefixes, blocklist.file) == ((net("198.51.100.0/24"),), "blocklist.txt")
    assert (banned.prefixes, banned.file) == ((), None)
    assert [(rule.id, rule.action) for rule in made.rules] == [
        ("ingress.1", Action.DENY),
        ("ssh", Action.ALLOW),
        ("ingress.3", Action.LIMIT),
        ("ingress.4", Action.LIMIT),
        ("ingress.5", Action.REJECT),
        ("ingress.6", Action.DENY),
        ("ingress.7", Action.AUDIT),
        ("ingress.8", Action.REDIRECT),
        ("ingress.9", Action.MIRROR),
        ("ingress.10", Action.DENY),
    ]
    deny, ssh, web, ping, reject, flags, audit, redirect, mirror, fragment = made.rules
    assert deny.match == FlowMatch(source_sets=("blocklist", "banned"))
    assert ssh.match == FlowMatch(
        sources=(net("10.0.0.0/8"),),
        source_sets=("office",),
        source_excepts=(net("10.66.0.0/16"),),
        protocols=(6,),
        destination_ports=(Range(22, 22),),
    )
    assert ssh.why == "the office's networks, without the guests'"
    assert web.limit == Limit(1000, 5000, Per.SOURCE)
    assert web.match.destination_ports == (Range(80, 80), Range(443, 443), Range(8000, 8080))
    assert ping.limit == Limit(100, 100)
    assert (ping.match.icmp_types, ping.match.icmp6_types) == ((8,), (128, 2))
    assert reject.match.family == 6 and reject.match.destination_excepts
    assert flags.match.tcp_flags == (TcpFlags(255, 0), TcpFlags(3, 3), TcpFlags(0x29, 0x29))
    assert (audit.sample, audit.match.source_ports) == (100, (Range(53, 53),))
    assert audit.match.lengths == (Range(512, 65535),)
    assert (redirect.match.protocols, redirect.target) == ((47,), Target(cpu=1))
    assert mirror.target == Target(interface="eth2")
    assert (mirror.match.vlans, mirror.match.interfaces) == ((0, 10, 11, 12), ("eth0",))
    assert fragment.match.fragment is True


def test_the_place_of_every_rule_and_set_is_known() -> None:
    made = whole()
    assert [rule.span.line for rule in made.rules][:3] == [14, 16, 22]
    assert [one.span.line for one in made.sets] == [10, 11, 12]


@pytest.mark.parametrize(
    ("rate", "limit"),
    [
        ("1000/s", Limit(1000, 1000)),
        ("5k/s", Limit(5000, 5000)),
        ("300/m", Limit(5, 5)),
        ("7200/h", Limit(2, 2)),
        ("10MB/s", Limit(10_000_000, 10_000_000, unit=Unit.BYTES)),
        ("1GB/s", Limit(1_000_000_000, 1_000_000_000, unit=Unit.BYTES)),
    ],
)
def test_rates_are_units_a_second(rate: str, limit: Limit) -> None:
    (rule,) = section(f"{{allow: udp, limit: {{rate: {rate}}}}}").rules
    assert rule.limit == limit


def test_established_can_be_off_or_in_part() -> None:
    assert section(more="established: false").established is None
    assert section(more="established: true").established == Established()
    assert section(more="established: {udp: false}").established == Established(udp=False)


def test_modes_say_whether_generic_will_do_and_whether_it_is_wanted() -> None:
    assert [
        (made.allow_generic, made.generic)
        for mode in ("native", "auto", "generic")
        for made in (section(more=f"mode: {mode}"),)
    ] == [(False, False), (True, False), (True, True)]


def test_a_rule_without_any_field_matches_everything() -> None:
    (rule,) = section("{deny: all}").rules
    assert rule.match == FlowMatch()


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (
            "{allow: all, proto: tcp, deny: all}",
            "a rule has deny, reject, redirect, allow",
        ),
        ("{allow: tcp, proto: udp}", "proto and allow both name protocols"),
        ("{deny: all, limit: {rate: 1/s}}", "limit has no meaning with deny"),
        ("{mirror: all, to-cpu: 1}", "a mirror rule sends to an interface, not to a CPU"),
        ("{redirect: all}", "this redirect rule does not say where to"),
        ("{allow: all, to-interface: eth1}", "to-interface has no meaning with allow"),
        ("{redirect: all, to-cpu: 1, to-interface: a}", "a rule sends to an interface or to a CPU"),
        ("{deny: [tcp, all]}", "'all' in deny has every protocol in it"),
        ("{deny: tcp, flags: syn syn}", "the flag 'syn' stands twice"),
        ("{deny: tcp, port: [80, 80]}", "'80' is listed twice in port"),
        ("{deny: all, icmp: echo, port: 1}", "no packet matches this rule: icmp packets have none"),
        ("{deny: all, family: ipv4, from: '::1'}", "the other family of addresses"),
        ("{deny: all, interface: 'eth0/x'}", "no interface can be called 'eth0/x'"),
        ("{deny: all, not-from: '@a'}", "a set cannot stand in not-from: '@a'"),
        ("{deny: all, expires: 2030-01-01}", "'expires' in a rule is not enforced"),
        ("{deny: all, length: -1}", "length cannot be '-1'"),
        ("{deny: all, sample: 007}", "sample cannot be '007'"),
    ],
)
def test_a_rule_that_makes_no_sense_is_told(rules: str, message: str) -> None:
    text = f"interfaces: [gi0]\ndefault: drop\nrules:\n  - {rules}"
    _made, findings, _ = judged(text)
    told = [each.message for each in findings.found]  # type: ignore[attr-defined]
    assert any(message in each for each in told), told


@settings(deadline=None)
@given(st.text(alphabet="0123456789abcdef.:/- %@", max_size=20))
def test_a_text_is_a_prefix_or_is_told_why_not(text: str) -> None:
    one = prefixes.read(text)
    if isinstance(one, Unread):
        assert one.message and 0 <= one.start <= one.end <= max(len(text), 1)
    else:
        assert prefixes.read(prefixes.shown(one)) == one


def test_a_section_survives_its_json() -> None:
    made = whole()
    told = json.loads(json.dumps(section_json(made)))
    assert section_of(told) == made


def test_json_without_newer_members_gets_their_defaults() -> None:
    told = section_json(whole())
    del told["syn_cookies"]
    assert section_of(told) == dataclasses.replace(whole(), syn_cookies=False)


@pytest.mark.parametrize("value", [None, 1, [], {}, {"interfaces": 1}, {"rules": [1]}, "x"])
def test_json_that_is_no_section_is_refused(value: Any) -> None:
    with pytest.raises(Unfit):
        section_of(value)


@settings(deadline=None)
@given(st.data())
def test_damaged_json_gives_a_section_or_is_refused(data: st.DataObject) -> None:
    told = json.loads(json.dumps(section_json(whole())))
    place: Any = told
    while isinstance(place, dict | list) and place:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if data.draw(st.booleans()) or not isinstance(place[key], dict | list) or not place[key]:
            place[key] = data.draw(st.sampled_from([None, 1, -1, "x", [], {}, True, [[1]]]))
            break
        place = place[key]
    with contextlib.suppress(Unfit):
        assert isinstance(section_of(told), IngressSection)


VALIDATOR = jsonschema.Draft202012Validator(schema())
PARSER_ONLY = {"G110", "G111", "G114", "G130", "G140", "G141", "G142", "G020", "G121", "G102"}


def agree(document: Any) -> bool | None:
    """Whether both accept; None where only the parser can tell. Fails where they differ."""
    found: list[Diagnostic] = []
    policies = parse_text(json.dumps(document), "p.json", found)
    codes = {each.code.number for each in found}
    valid = VALIDATOR.is_valid(document)
    if not codes:
        assert valid, (document, next(VALIDATOR.iter_errors(document)).message)
        return bool(policies)
    if codes <= PARSER_ONLY:
        return None
    assert not valid, (document, codes)
    return False


def test_the_schema_is_closed_and_describes_every_key() -> None:
    made = schema()["else"]["properties"]["ingress"]
    assert made["additionalProperties"] is False
    keys = sum(len(shape.keys) for shape, _ in SHAPES)
    assert json.dumps(made).count('"description"') >= keys


VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 70000, 1.5, "", "x", "tcp", "all", "allow", "drop", "80", "80-90",
    "90-80", "@office", "192.0.2.0/24", "::1", "1/s", "native", "syn !ack", "echo", [], {}, ["tcp"],
    [80, "443"], ["192.0.2.1"], {"rate": "1/s"}, {"file": "x"}, [[]], [None], "eth0", "a" * 16,
)  # fmt: skip


def test_parser_and_schema_agree_on_thousands_of_changes() -> None:
    chance = random.Random(7)  # noqa: S311 - the same in every run
    original = json.dumps(yaml.safe_load(GOOD.read_text()))
    assert agree(json.loads(original)) is True
    judged_ = 0
    for _ in range(2500):
        document = json.loads(original)
        place = document["ingress"]
        while chance.random() < 0.8:
            inner = place.values() if isinstance(place, dict) else place
            deeper = [one for one in inner if isinstance(one, dict | list) and one]
            if not deeper:
                break
            place = chance.choice(deeper)
        key = (
            chance.choice(list(place)) if isinstance(place, dict) else chance.randrange(len(place))
        )
        if chance.random() < 0.2:
            del place[key]
        else:
            place[key] = json.loads(json.dumps(chance.choice(VALUES)))
        judged_ += agree(document) is not None
    assert judged_ > 1000


def test_a_set_is_its_prefixes() -> None:
    (one,) = section(more="sets: {a: 192.0.2.0/24}\n").sets
    assert (one.name, one.prefixes) == ("a", (net("192.0.2.0/24"),))
    assert isinstance(one, AddressSet)
