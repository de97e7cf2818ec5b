# SPDX-License-Identifier: Apache-2.0
"""Hostile strings become valid JSON on one line of ASCII and lose nothing."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.audit.text import line, member, plain, quoted, sound

# Every code point, surrogates too (st.text leaves them out).
ANY_TEXT = st.lists(
    st.sampled_from('ab"\\\n\0\ud83d\ude00\udcff\u2028é') | st.integers(0, 0x10FFFF).map(chr),
    max_size=12,
).map("".join)

HOSTILE = [
    b"",
    b"plain",
    b'quo"te\\back',
    b"new\nline\r\ttab\0nul\x7f\x1b[31m",
    "räksmörgås 日本 😀".encode(),
    "\u2028\u2029\u0085\u202e".encode(),
    "\ufffd".encode(),
    b"\xff\xfe",
    b"\xc0\xaf",  # overlong
    b"\xed\xa0\x80",  # a surrogate
    b"\xf4\x90\x80\x80",  # above U+10FFFF
    b"a\xe2\x82",  # cut amid a character
]


def recovered(text: str) -> bytes:
    """The original bytes, by the rule that records document."""
    members = orjson.loads(text)
    if "x_hex" in members:
        return bytes.fromhex(members["x_hex"])
    return members["x"].encode()


@pytest.mark.parametrize("raw", HOSTILE)
def test_hostile_bytes_survive(raw: bytes) -> None:
    text = "{" + member("x", raw) + "}"
    assert text.isascii() and text.isprintable()
    assert json.loads(text) == orjson.loads(text)
    assert recovered(text) == raw


@given(st.binary())
def test_any_bytes_survive(raw: bytes) -> None:
    text = "{" + member("x", raw) + "}"
    assert text.isascii() and "\n" not in text
    assert recovered(text) == raw


@given(st.binary())
def test_hex_is_there_only_for_what_is_not_utf8(raw: bytes) -> None:
    try:
        raw.decode()
        exact = True
    except UnicodeDecodeError:
        exact = False
    assert ("x_hex" in orjson.loads("{" + member("x", raw) + "}")) is not exact


@given(ANY_TEXT)
def test_any_text_lone_surrogates_included_is_json_for_strict_parsers(text: str) -> None:
    read = orjson.loads(quoted(text))
    assert read == sound(text)
    if not any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        assert read == text


def test_a_lone_surrogate_is_replaced_and_nothing_else() -> None:
    assert sound("a\udcffb") == "a\ufffdb"


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | ANY_TEXT
    | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(ANY_TEXT, VALUES, max_size=4))
def test_a_line_of_anything_is_one_line_of_strict_json(members: dict[str, object]) -> None:
    text = line(members)
    assert text.isascii() and b"\n" not in text
    assert orjson.loads(text) == json.loads(text)


def test_plain_names_what_json_has_no_number_for() -> None:
    assert plain([float("nan"), float("inf"), 1.5]) == ["nan", "inf", 1.5]
    assert plain({1: {b"x"}}) == {"1": ["x"]}
    assert plain(ValueError("why")) == "why"
