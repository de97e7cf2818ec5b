# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema and the parser accept and refuse the same documents.

Documents go through JSON, which YAML contains, so that no trap of YAML's
spelling is in the way. What only the parser judges is listed in PARSER_ONLY.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml

from guard.policy.codes import Severity
from guard.policy.diagnostic import Diagnostic
from guard.policy.parse import parse_text
from guard.policy.schema import schema
from guard.policy.vocabulary import FRAGMENT, POLICY
from guard.policy.vocabulary import SHAPES as BELOW
from tests.policy.corpus import BAD, GOOD

PARSER_ONLY = {
    "G020",  # JSON text cannot carry a duplicate key to a validator
    "G124",  # a test that names a rule which is not there
    "G121",  # an id given twice is about two rules at once
    "G200",  # the meaning of a pattern
    "G202",
    "G203",
    "G007",  # nesting, which a validator meets as a value of the wrong kind
    "G010",  # what is in other files
    "G113",  # what no socket is like
    "G114",  # addresses, and the order of a range's ends
    "G125",  # what day it is
    "G130",  # names, which may be defined elsewhere
    "G131",
    "G132",
    "G133",
    "G134",
    "G142",  # what no packet is like
}


class _Loader(yaml.SafeLoader):
    """YAML as its later version reads it: a date is text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def documents() -> list[Any]:
    found = []
    for path in (*GOOD, *BAD):
        try:
            text = path.read_text("utf-8")
            found += [each for each in yaml.load_all(text, _Loader) if each is not None]
        except (yaml.YAMLError, UnicodeDecodeError):
            continue
    return [json.loads(text) for each in found if (text := as_json(each)) is not None]


def as_json(document: Any) -> str | None:
    try:
        return json.dumps(document)
    except TypeError:
        return None


def parser_codes(document: Any) -> set[str]:
    diagnostics: list[Diagnostic] = []
    policies = parse_text(json.dumps(document), "p.json", diagnostics)
    found = {each.code.number for each in diagnostics if each.severity is Severity.ERROR}
    is_fragment = isinstance(document, dict) and "fragment" in document
    assert not policies if is_fragment else bool(policies) is not bool(found)
    if "${" in json.dumps(document):
        found = {"G200" if code == "G201" else code for code in found}  # of a variable's value
    if isinstance(document, dict) and "ingress" in document:
        found = {"G142" if code == "G111" else code for code in found}  # of fields of packets
    return found


VALIDATOR = jsonschema.Draft202012Validator(
    schema(), format_checker=jsonschema.FormatChecker(["date"])
)


def assert_they_agree(document: Any) -> bool:
    found = parser_codes(document)
    accepted = VALIDATOR.is_valid(document)
    if not found or found - PARSER_ONLY:
        assert accepted is not bool(found), (document, found)
        return True
    return False


def test_the_schema_is_a_schema_of_its_dialect() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


def test_every_mapping_is_closed_and_every_key_described() -> None:
    def walk(part: Any) -> Iterator[dict[str, Any]]:
        if isinstance(part, dict):
            if "properties" in part:
                yield part
            for value in part.values():
                yield from walk(value)
        elif isinstance(part, list):
            for value in part:
                yield from walk(value)

    mappings = list(walk(schema()))
    shown = {tuple(mapping["properties"]) for mapping in mappings}
    assert {tuple(key.name for key in shape.keys) for shape in SHAPES} <= shown
    for mapping in mappings:
        assert mapping["additionalProperties"] is False
        assert all(key["description"].endswith(".") for key in mapping["properties"].values())


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_the_schema_accepts_the_good_policies(path: Any) -> None:
    for document in yaml.load_all(path.read_text("utf-8"), _Loader):
        VALIDATOR.validate(document)


def test_they_agree_on_the_corpus() -> None:
    judged = [assert_they_agree(document) for document in documents()]
    assert sum(judged) > 40


VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, 2, 1.5, -1, 80, 65536, "", " ", "x", "read", "write", "deny", "allow",
    "audit", "enforce", "1", "true", "/etc/x", "relative", "file.1", "file.x", "a" * 64, "a" * 65,
    "ä", "a\nb", "-x", [], [[]], {}, ["read"], ["read", "read"], ["/a", "/b"], ["/a", "/a"],
    ["read", "write", "list"], [None], [{}], {"exe": "/x"}, {"host": True}, {"default": "deny"},
    {"deny": "read", "path": "/x"}, [{"deny": "read", "path": "/x"}], "y" * 1024, "y" * 1025,
    [{"do": "read /x", "expect": "deny"}], "read /x", "read /x/", "read x", "wriet /x", "read",
    "delete /x", "read /", "list /a b/..c", "list /a/..", "read //x", "write  /x", "read /x\0",
    "/" + "p" * 4095, "/" + "p" * 4096, "anonymous", "map anonymous", "read anonymous", "ptrace",
    "ptrace /x", "connect tcp 10.0.0.1:80", "connect tcp :80", "bind tcp :80",
    "bind tcp [::]:65536", "connect unix /run/x", "listen unix /run/x", "connect unix @x",
    "create inet stream tcp",
    "create inet", "create tcp", "send icmp 10.0.0.1", "send icmp 10.0.0.1:1", "8080-8090", "80-",
    "2026-12-31", "2026-13-01", "EPERM", "@none", "${NONE}", "${none", "{/a,/b}", "a.service",
    "a/b.service", "@x.service", "/a.slice", "inet", "stream", "tcp", "route", ["ptrace", "bpf"],
    {"deny": "ptrace"}, {"a": ["10.0.0.0/8"]}, {"a": ["/x"]}, {"a b": ["/x"]}, {"A": "x"},
    {"A": []},
    "../x.yaml", "/x.yaml", "x.yaml", "a/./b",
)  # fmt: skip
SHAPES = (POLICY, FRAGMENT, *BELOW.values())
KEYS = sorted({key.name for shape in SHAPES for key in shape.keys} - {"ingress"})
RULE = {"deny": "read", "path": "/x"}
PLAUSIBLE: dict[str, tuple[Any, ...]] = {
    "name": ("x", "a.b_c-9", "0644", "no"),
    "fragment": ("x",),
    "mode": ("audit", "enforce"),
    "subject": (
        {"host": True}, {"exe": "/x", "inherit": True}, {"exe": ["/x", "/y"]}, {"user": ["ann", 0]},
        {"unit": "a.service"}, {"cgroup": ["/a.slice"]}, {"group": 1000},
    ),
    "unit": ("a.service", ["a@*.service", "b.slice"]),
    "cgroup": ("/a.slice", ["/a", "/b/*"]),
    "user": ("ann", 0, 4294967294, ["ann", 1]),
    "group": ("adm", ["adm", 4]),
    "default": ("allow", "deny"),
    "rules": ([RULE], [{"id": "a", "allow": ["list"], "path": ["/"]}]),
    "id": ("x", "file.x", "net"),
    "allow": ("read", ["write"], ["read", "list"], "exec", ["connect", "send"], "cap_bpf"),
    "deny": ("list", ["read", "delete"], "map", ["bind"], ["ptrace", "mount"]),
    "path": ("/x", ["/a/**", "/b"], "anonymous"),
    "except": ("/x", ["/a/**", "/b"], "10.0.0.0/8"),
    "audit": (True, False),
    "kill": (True, False),
    "errno": ("EPERM", "EACCES"),
    "expires": ("2026-12-31", "2099-01-01"),
    "tags": ("T1003.008", ["a", "b:c/d"]),
    "family": ("inet", ["inet", "inet6"], "netlink"),
    "type": ("raw", ["stream", "dgram"]),
    "proto": ("tcp", ["tcp", "udp"], 6, ["route"], 65535),
    "to": ("10.0.0.0/8", ["::1", "@loopback"]),
    "port": (80, ["80", "8080-8090", 443]),
    "unix": ("/run/x", ["/run/*"]),
    "abstract": ("x", ["a*", "b"]),
    "kernel": ({"deny": ["ptrace"]}, {"default": "deny", "rules": [{"allow": "bpf"}]}),
    "net": ({"default": "deny", "rules": [{"allow": "connect", "proto": "tcp", "port": 80}]},),
    "exec": ({"default": "deny", "rules": [{"allow": "map", "path": ["/x", "anonymous"]}]},),
    "file": ({"default": "allow", "rules": [RULE]},),
    "vars": ({"A": "x"}, {"A": ["x", "y"], "b_1": "${A}/z"}),
    "lists": ({"a": ["/x"]}, {"a.b": "/x"}),
    "sets": ({"a": ["10.0.0.0/8", "@loopback"]},),
    "include": ("x.yaml", ["a/b.yaml"]),
    "do": ("read /x", "list /", "write /a/.b/c", "map anonymous", "ptrace", "bind tcp :80"),
    "expect": ("allow", "deny"),
    "rule": ("file.1", "x"),
    "tests": ([{"do": "read /x", "expect": "deny"}],),
    "why": ("because", "yes", "1.10"),
}  # fmt: skip
OTHER_KEYS = ("", "hash", "owner", "Name", "names")


def places(value: Any) -> Iterator[Any]:
    """Every list and mapping in a document."""
    if isinstance(value, dict | list):
        yield value
        for part in value.values() if isinstance(value, dict) else value:
            yield from places(part)


def mutate(document: Any, chance: random.Random) -> None:
    place = chance.choice(list(places(document)))
    if isinstance(place, dict) and place and chance.random() < 0.5:
        key = chance.choice([*place, *PLAUSIBLE])
        place[key] = json.loads(json.dumps(chance.choice(PLAUSIBLE.get(key, (1,)))))
        return
    value = json.loads(json.dumps(chance.choice(VALUES)))
    if isinstance(place, dict):
        kind = chance.random()
        if kind < 0.3 and place:
            del place[chance.choice(list(place))]
        elif kind < 0.8 and place:
            place[chance.choice(list(place))] = value
        else:
            place[chance.choice((*KEYS, *OTHER_KEYS))] = value
    elif place and chance.random() < 0.7:
        place[chance.randrange(len(place))] = value
    else:
        place.append(value)


def test_they_agree_on_thousands_of_mutations() -> None:
    chance = random.Random(3)  # noqa: S311 - mutations, the same in every run
    bad = [json.dumps(each) for each in documents() if isinstance(each, dict)]
    good = [text for text in bad if VALIDATOR.is_valid(json.loads(text))]
    judged = accepted = 0
    for _ in range(4000):
        document = json.loads(chance.choice(chance.choice((good, bad))))
        for _ in range(chance.choice((1, 1, 2))):
            mutate(document, chance)
        judged += assert_they_agree(document)
        accepted += VALIDATOR.is_valid(document)
    assert judged > 3000
    assert 200 < accepted < 3800
