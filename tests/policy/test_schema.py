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

from guard.policy.diagnostic import Diagnostic
from guard.policy.parse import parse_text
from guard.policy.schema import schema
from guard.policy.vocabulary import FILE, FILE_RULE, POLICY, SUBJECT, TEST
from tests.policy.corpus import BAD, GOOD

PARSER_ONLY = {
    "G020",  # JSON text cannot carry a duplicate key to a validator
    "G124",  # a test that names a rule which is not there
    "G121",  # an id given twice is about two rules at once
    "G200",  # the meaning of a pattern
    "G202",
    "G203",
    "G007",  # nesting, which a validator meets as a value of the wrong kind
}


def documents() -> list[Any]:
    found = []
    for path in (*GOOD, *BAD):
        try:
            text = path.read_text("utf-8")
            found += [each for each in yaml.safe_load_all(text) if each is not None]
        except (yaml.YAMLError, UnicodeDecodeError):
            continue
    return [each for each in found if as_json(each) is not None]


def as_json(document: Any) -> str | None:
    try:
        return json.dumps(document)
    except TypeError:
        return None  # a date


def parser_codes(document: Any) -> set[str]:
    diagnostics: list[Diagnostic] = []
    policies = parse_text(json.dumps(document), "p.json", diagnostics)
    found = {each.code.number for each in diagnostics}
    assert bool(policies) is not bool(found)
    return found


VALIDATOR = jsonschema.Draft202012Validator(schema())


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
    assert len(mappings) == len(SHAPES)
    for mapping in mappings:
        assert mapping["additionalProperties"] is False
        assert all(key["description"].endswith(".") for key in mapping["properties"].values())


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_the_schema_accepts_the_good_policies(path: Any) -> None:
    for document in yaml.safe_load_all(path.read_text("utf-8")):
        VALIDATOR.validate(document)


def test_they_agree_on_the_corpus() -> None:
    judged = [assert_they_agree(document) for document in documents()]
    assert sum(judged) > 40


VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, 2, 1.5, -1, "", " ", "x", "read", "write", "deny", "allow", "audit",
    "enforce", "1", "true", "/etc/x", "relative", "file.1", "file.x", "a" * 64, "a" * 65, "ä",
    "a\nb", "-x", [], [[]], {}, ["read"], ["read", "read"], ["/a", "/b"], ["/a", "/a"],
    ["read", "write", "list"], [None], [{}], {"exe": "/x"}, {"host": True}, {"default": "deny"},
    {"deny": "read", "path": "/x"}, [{"deny": "read", "path": "/x"}], "y" * 1024, "y" * 1025,
    [{"do": "read /x", "expect": "deny"}], "read /x", "read /x/", "read x", "wriet /x", "read",
    "delete /x", "read /", "list /a b/..c", "list /a/..", "read //x", "write  /x", "read /x\0",
    "/" + "p" * 4095, "/" + "p" * 4096,
)  # fmt: skip
SHAPES = (POLICY, SUBJECT, FILE, FILE_RULE, TEST)
KEYS = sorted({key.name for shape in SHAPES for key in shape.keys})
PLAUSIBLE: dict[str, tuple[Any, ...]] = {
    "name": ("x", "a.b_c-9", "0644", "no"),
    "mode": ("audit", "enforce"),
    "subject": ({"host": True}, {"exe": "/x", "inherit": True}, {"exe": ["/x", "/y"]}),
    "default": ("allow", "deny"),
    "rules": ([{"deny": "read", "path": "/x"}], [{"id": "a", "allow": ["list"], "path": ["/"]}]),
    "id": ("x", "file.x", "net"),
    "allow": ("read", ["write"], ["read", "list"]),
    "deny": ("list", ["read", "write"]),
    "path": ("/x", ["/a/**", "/b"]),
    "except": ("/x", ["/a/**", "/b"]),
    "audit": (True, False),
    "do": ("read /x", "list /", "write /a/.b/c"),
    "expect": ("allow", "deny"),
    "rule": ("file.1", "x"),
    "tests": ([{"do": "read /x", "expect": "deny"}],),
    "why": ("because", "yes", "1.10"),
}
OTHER_KEYS = ("", "exec", "kill", "unit", "Name", "names")


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
