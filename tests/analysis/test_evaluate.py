# SPDX-License-Identifier: Apache-2.0
"""The reference evaluator against meanings written out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.analysis.evaluate import Decision, decide, matches, subject_applies
from guard.policy.model import PathOperation, Policy
from guard.policy.patterns import Wild, expand
from guard.wire.layout import PathVerb
from tests.plan.make import ALLOW, DENY, LIST, READ, WRITE, policy, rule
from tests.plan.strategies import GLOBS, PATHS


def ask(policy: Policy, verb: PathVerb, *names: bytes) -> Decision:
    """The decision about an object that has these names."""
    return decide(policy, PathOperation(verb, ""), names)


@pytest.mark.parametrize(
    ("glob", "yes", "no"),
    [
        ("/", ["/"], ["/a"]),
        ("/**", ["/", "/a", "/a/b"], []),
        ("/etc/**", ["/etc/a", "/etc/a/b"], ["/etc", "/etca", "/"]),
        ("/etc{,/**}", ["/etc", "/etc/a"], ["/etcetera"]),
        ("/a/*", ["/a/b", "/a/bc"], ["/a", "/a/b/c"]),
        ("/a/?", ["/a/b"], ["/a", "/a/bc"]),
        ("/**/x", ["/x", "/a/x", "/a/b/x"], ["/ax", "/x/a"]),
        ("/a/**/b", ["/a/b", "/a/c/b", "/a/c/d/b"], ["/ab", "/a/cb"]),
        ("/**/**/x", ["/x", "/a/x"], ["/ax"]),
        ("/a**b", ["/ab", "/a/b", "/axx/yb"], ["/a", "/ba"]),
        ("/[a-c]x", ["/ax", "/cx"], ["/dx", "/x"]),
        ("/[^a]", ["/b", "/c"], ["/a", "/", "/bb"]),
        ("/[!a-c]", ["/d"], ["/b"]),
        ("/[a-]", ["/a", "/-"], ["/b"]),
        ("/{a,b{c,d}}x", ["/ax", "/bcx", "/bdx"], ["/bx", "/x"]),
        ("/[{,]", ["/{", "/,"], ["/a"]),
        (r"/\*\{", ["/*{"], ["/a{"]),
        ("/\u00e9*", ["/\u00e9", "/\u00e9a"], ["/e"]),
        ("/a.b", ["/a.b"], ["/axb"]),
        ("/{**,x}/y", ["/y", "/x/y", "/a/b/y"], ["/ay"]),
        ("/a{*,b}*", ["/a", "/ac"], ["/a/c"]),
        ("/a\n*", ["/a\n", "/a\nb"], ["/a"]),
    ],
)
def test_a_glob_matches_what_its_meaning_says(glob: str, yes: list[str], no: list[str]) -> None:
    assert [path for path in yes if not matches(glob, path.encode())] == []
    assert [path for path in no if matches(glob, path.encode())] == []


def test_bytes_that_are_not_utf8_are_bytes() -> None:
    assert matches("/?", b"/\xff")
    assert matches("/*", b"/\xff\xfe")
    assert not matches("/?", "/\u00e9".encode())


def test_deny_beats_allow_in_any_order() -> None:
    for rules in (
        (rule(ALLOW, [READ], "/a/**"), rule(DENY, [READ], "/a/b")),
        (rule(DENY, [READ], "/a/b"), rule(ALLOW, [READ], "/a/**")),
    ):
        one = policy(*rules)
        assert not ask(one, READ, b"/a/b").allowed
        assert ask(one, READ, b"/a/c").allowed
        assert ask(one, READ, b"/a/b").deciding[0].effect is DENY


def test_a_verb_that_no_rule_has_gets_the_default() -> None:
    one = policy(rule(ALLOW, [READ], "/a"))
    answer = ask(one, WRITE, b"/a")
    assert (answer.allowed, answer.default, answer.rules) == (False, True, ())
    assert ask(policy(default=ALLOW), WRITE, b"/a").allowed


def test_an_except_takes_out_of_its_own_rule_only() -> None:
    one = policy(
        rule(DENY, [READ], "/a/**", "/a/b/**", id="first"),
        rule(DENY, [READ], "/a/b/c", id="second"),
        default=ALLOW,
    )
    assert ask(one, READ, b"/a/b/x").allowed
    assert [r.id for r in ask(one, READ, b"/a/b/c").deciding] == ["second"]
    assert [r.id for r in ask(one, READ, b"/a/x").deciding] == ["first"]


def test_audit_is_asked_for_by_rules_that_match() -> None:
    one = policy(rule(ALLOW, [LIST], "/a", audit=True))
    assert ask(one, LIST, b"/a").audit
    assert not ask(one, READ, b"/a").audit
    assert not ask(one, LIST, b"/b").audit


def test_a_policy_without_a_file_section_gates_no_file() -> None:
    answer = ask(policy(default=None), READ, b"/a")
    assert answer.allowed
    assert answer.section is None


def test_any_name_of_an_object_can_match_and_no_name_matches_nothing() -> None:
    one = policy(rule(ALLOW, [READ], "/mnt/**"))
    assert ask(one, READ, b"/srv/x", b"/mnt/x").allowed
    assert not ask(one, READ, b"/srv/x").allowed
    assert not ask(one, READ).allowed


def test_a_subject_is_its_executables_or_every_task() -> None:
    assert subject_applies(policy(exe=["/usr/bin/*"]), b"/usr/bin/x")
    assert not subject_applies(policy(exe=["/usr/bin/*"]), b"/usr/bin/x/y")
    assert subject_applies(policy(host=True), b"/anything")


@settings(max_examples=150, deadline=None)
@given(GLOBS, PATHS)
def test_the_evaluator_and_the_pattern_reader_mean_the_same(glob: str, path: bytes) -> None:
    tokens = [_match(list(one), path) for one in expand(glob)]
    assert any(tokens) == matches(glob, path)


def _match(tokens: list[object], path: bytes) -> bool:
    """A third matcher, by plain recursion over tokens."""
    if not tokens:
        return not path
    first, rest = tokens[0], tokens[1:]
    if first is Wild.DIRS:
        ends = [0] + [at + 1 for at, byte in enumerate(path) if byte == ord("/")]
        return any(_match(rest, path[at:]) for at in ends)
    if first in (Wild.STAR, Wild.GLOBSTAR):
        limit = len(path)
        if first is Wild.STAR and b"/" in path:
            limit = path.index(b"/")
        return any(_match(rest, path[at:]) for at in range(limit + 1))
    if not path:
        return False
    hit = path[0] in first if isinstance(first, frozenset) else path[0] == first
    return hit and _match(rest, path[1:])


def test_generated_paths_are_canonical() -> None:
    @settings(max_examples=50, deadline=None)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        path = data.draw(PATHS)
        assert path.startswith(b"/")
        assert b"//" not in path
        assert path == b"/" or not path.endswith(b"/")

    check()
