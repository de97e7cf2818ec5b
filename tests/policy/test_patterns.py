# SPDX-License-Identifier: Apache-2.0
"""Patterns become the tokens that the rules of patterns say."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.policy import limits
from guard.policy.patterns import (
    ANY_BYTE,
    ImpossiblePattern,
    PatternError,
    RelativePattern,
    Token,
    TooManyAlternatives,
    Wild,
    expand,
)

STAR, GLOBSTAR, DIRS = Wild.STAR, Wild.GLOBSTAR, Wild.DIRS


def tokens(*parts: str | Token) -> tuple[Token, ...]:
    made: list[Token] = []
    for part in parts:
        if isinstance(part, str):
            made.extend(part.encode())
        else:
            made.append(part)
    return tuple(made)


@pytest.mark.parametrize(
    ("text", "alternatives"),
    [
        ("/", [tokens("/")]),
        ("/etc/passwd", [tokens("/etc/passwd")]),
        ("/srv/é", [tokens("/srv/é")]),
        ("/*", [tokens("/", STAR)]),
        ("/a?", [tokens("/a", ANY_BYTE)]),
        ("/[ab-d]", [tokens("/", frozenset(b"abcd"))]),
        ("/[^a]", [tokens("/", ANY_BYTE - {97})]),
        ("/[!a]", [tokens("/", ANY_BYTE - {97})]),
        ("/[a-]", [tokens("/", frozenset(b"a-"))]),
        ("/[-a]", [tokens("/", frozenset(b"a-"))]),
        (r"/[\]\-]", [tokens("/", frozenset(b"]-"))]),
        ("/[+-9]", [tokens("/", frozenset(range(43, 58)) - {47})]),
        ("/**", [tokens("/", GLOBSTAR)]),
        ("/a/**", [tokens("/a/", GLOBSTAR)]),
        ("/a**", [tokens("/a", GLOBSTAR)]),
        ("/a/**b", [tokens("/a/", GLOBSTAR, "b")]),
        ("/**/x", [tokens("/", DIRS, "x")]),
        ("/a/**/b", [tokens("/a/", DIRS, "b")]),
        ("/a/**/**/b", [tokens("/a/", DIRS, "b")]),
        ("/a/**/**", [tokens("/a/", GLOBSTAR)]),
        ("/a/**/*", [tokens("/a/", DIRS, STAR)]),
        ("/a/**/b**/c", [tokens("/a/", DIRS, "b", GLOBSTAR, "/c")]),
        ("/etc{,/**}", [tokens("/etc"), tokens("/etc/", GLOBSTAR)]),
        ("/{a,b{c,}}/x", [tokens("/a/x"), tokens("/bc/x"), tokens("/b/x")]),
        ("/{a,a}", [tokens("/a")]),
        ("/{,a}", [tokens("/"), tokens("/a")]),
        ("/{**,a}/x", [tokens("/", DIRS, "x"), tokens("/a/x")]),
        ("/{*,a}*", [tokens("/", STAR), tokens("/a", STAR)]),
        ("/{**,a}*", [tokens("/", GLOBSTAR), tokens("/a", STAR)]),
        (
            "/{*,a}{**,b}",
            [tokens("/", GLOBSTAR), tokens("/", STAR, "b"), tokens("/a", GLOBSTAR), tokens("/ab")],
        ),
        (r"/\*\?\[\{\}\\", [tokens("/*?[{}\\")]),
        ("/a,b$]", [tokens("/a,b$]")]),
        ("{/a,/b}", [tokens("/a"), tokens("/b")]),
    ],
)
def test_a_pattern_becomes_these_tokens(text: str, alternatives: list[tuple[Token, ...]]) -> None:
    assert list(expand(text)) == alternatives


@pytest.mark.parametrize(
    ("text", "kind", "marked"),
    [
        ("", RelativePattern, ""),
        ("etc/x", RelativePattern, "e"),
        ("**/x", RelativePattern, "**"),
        ("{,/a}", RelativePattern, "{,/a}"),
        ("/a/", ImpossiblePattern, "/"),
        ("/a/**/", ImpossiblePattern, "/"),
        ("/a//b", ImpossiblePattern, "//"),
        ("/a/./b", ImpossiblePattern, "."),
        ("/a/..", ImpossiblePattern, ".."),
        (r"/a/\../b", ImpossiblePattern, r"\.."),
        ("/{b,.}/c", ImpossiblePattern, "."),
        ("/a/***", PatternError, "***"),
        ("/{a", PatternError, "{"),
        ("/{a}", PatternError, "{a}"),
        ("/a}", PatternError, "}"),
        ("/[a", PatternError, "["),
        ("/[a-", PatternError, "["),
        ("/[]", PatternError, "[]"),
        ("/[^]", PatternError, "[^]"),
        ("/[z-a]", PatternError, "z-a"),
        ("/[a/]", PatternError, "/"),
        ("/[é]", PatternError, "é"),
        ("/[[:alpha:]]", PatternError, "[:"),
        ("/a\\", PatternError, "\\"),
        (r"/\d", PatternError, r"\d"),
        ("/${HOME}", PatternError, "${"),
        ("/a\0b", PatternError, "\0"),
        ("/\ud800", PatternError, "\ud800"),
        ("/" + "{a,b}" * 11, TooManyAlternatives, "/" + "{a,b}" * 11),
    ],
)
def test_a_pattern_without_meaning_is_refused_at_its_place(
    text: str, kind: type[PatternError], marked: str
) -> None:
    with pytest.raises(PatternError) as caught:
        expand(text)
    assert type(caught.value) is kind
    assert text[caught.value.start : caught.value.end] == marked


def test_as_many_alternatives_as_the_limit_allow_are_given() -> None:
    assert len(expand("/" + "{a,b}" * 10)) == limits.ALTERNATIVES_PER_PATTERN == 1024


def test_a_bomb_of_braces_is_refused_without_expanding_it() -> None:
    with pytest.raises(TooManyAlternatives):
        expand("/" + "{a,b}" * 800)


def test_nested_braces_are_refused_at_the_limit() -> None:
    deep = limits.BRACE_DEPTH
    assert len(expand("/" + "{a,b" * deep + "}" * deep)) == deep + 1
    with pytest.raises(PatternError, match="nested"):
        expand("/" + "{a,b" * (deep + 1) + "}" * (deep + 1))


def test_a_pattern_longer_than_a_path_is_refused() -> None:
    assert expand("/" + "a" * (limits.PATTERN_LENGTH - 1))
    with pytest.raises(PatternError, match="characters"):
        expand("/" + "a" * limits.PATTERN_LENGTH)


@given(st.text(st.sampled_from("/*?[]{},\\.a^!-$é\0"), max_size=24))
def test_any_text_expands_to_sound_tokens_or_is_refused_inside_itself(text: str) -> None:
    try:
        alternatives = expand(text)
    except PatternError as error:
        refused = error
    else:
        refused = None
    if refused is not None:
        assert 0 <= refused.start <= refused.end <= len(text)
        return
    assert len(set(alternatives)) == len(alternatives) > 0
    for sequence in alternatives:
        assert sequence[0] == 47
        for before, token in pairwise(sequence):
            if isinstance(token, frozenset):
                assert token and token <= ANY_BYTE
            if token is DIRS:
                assert before == 47
            if token == 47:
                assert before != 47
            assert not (isinstance(before, Wild) and token in (STAR, GLOBSTAR)) or before is DIRS


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4))
def test_escaped_names_stand_for_their_own_bytes(names: list[str]) -> None:
    def usable(name: str) -> bool:
        return name not in (".", "..") and not set(name) & set("/\0") and name.isprintable()

    names = [name for name in names if usable(name)]
    path = "/" + "/".join(names)
    escaped = "".join(f"\\{char}" if char in "*?[]{},\\$" else char for char in path)
    assert expand(escaped) == (tuple(path.encode()),)


@given(
    st.lists(
        st.sampled_from(
            [
                "/",
                "a",
                "b-",
                "_",
                ".",
                "..",
                "*",
                "**",
                "9",
                "?",
                "[a]",
                "[ab]",
                "[b-d]",
                "[aa]",
                "@",
            ]
        ),
        max_size=9,
    )
)
def test_the_quick_way_for_simple_patterns_reads_them_as_the_other_does(parts: list[str]) -> None:
    text = "/" + "".join(parts)
    try:
        # Equal alternatives are one, and braces are never read the quick way.
        expected = expand(f"{{{text},{text}}}")
    except PatternError as error:
        with pytest.raises(type(error)):
            expand(text)
    else:
        assert expand(text) == expected
