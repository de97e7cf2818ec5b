# SPDX-License-Identifier: Apache-2.0
"""Certain edits: what is mended, what is left alone, and that nothing gets worse."""

from __future__ import annotations

import random

import pytest

from guard.policy import limits
from guard.policy.findings import certainly, one_slip
from guard.policy.mend import mend
from tests.policy.corpus import BAD, GOOD, codes, included, judge, with_rules


def mended(text: str) -> str:
    return mend("p.yaml", text.encode()).data.decode()


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("raed", "read", True),
        ("red", "read", True),
        ("reads", "read", True),
        ("reed", "read", True),
        ("READ", "read", True),
        ("map_exec", "map-exec", True),
        ("dare", "read", False),
        ("rd", "read", False),
        ("i", "id", False),
        ("modes", "name", False),
    ],
)
def test_one_slip_is_one_letter_or_two_exchanged(word: str, known: str, expected: bool) -> None:
    assert one_slip(word, known) is expected


def test_a_word_between_two_others_is_not_certain() -> None:
    assert certainly("lead", "read", ["read", "list"]) == "read"
    assert certainly("lead", "read", ["read", "load"]) is None
    assert certainly("writing", "write", ["write"]) is None


def test_every_kind_of_certain_edit_is_made_and_comments_stay() -> None:
    text = (
        'version: "1"  # one\nnaem: 0644 # two\nmode: enfroce\nsubject: {host: yes}\n'
        "# three\nfile:\n  default: denny\n  rules:\n    - alow: [raed, list] # four\n"
        "      path: /etc/x\n      why: 2020-01-01\n      audit: 'true'\n"
    )
    assert mended(text) == (
        'version: 1  # one\nname: "0644" # two\nmode: enforce\nsubject: {host: true}\n'
        "# three\nfile:\n  default: deny\n  rules:\n    - allow: [read, list] # four\n"
        '      path: /etc/x\n      why: "2020-01-01"\n      audit: true\n'
    )


def test_a_date_with_quotes_in_it_is_quoted_whole() -> None:
    text = with_rules('- deny: read\n  path: /x\n  why: 2020-01-01 "\\x"')
    after = mended(text)
    assert r'why: "2020-01-01 \"\\x\""' in after
    assert codes(judge(after)) == []


def test_line_ends_and_a_byte_order_mark_stay() -> None:
    data = ("\ufeff" + with_rules("- deny: raed\n  path: /ä")).replace("\n", "\r\n").encode()
    assert mend("p.yaml", data).data == data.replace(b"raed", b"read")


@pytest.mark.parametrize("rule", ["- deny: open\n  path: /x", "- deny: rw\n  path: /x"])
def test_a_word_that_may_mean_several_things_is_left_alone(rule: str) -> None:
    assert mended(with_rules(rule)) == with_rules(rule)


def test_an_edit_that_would_bring_another_error_is_not_made() -> None:
    text = with_rules("- deny: raed\n  pth: /x\n  path: /y")
    after = mended(text)
    assert after == text.replace("raed", "read")
    assert codes(judge(after)) == ["G100"]


def test_a_file_with_more_findings_than_are_shown_is_mended_to_its_end() -> None:
    count = limits.DIAGNOSTICS * 2 + 50
    rules = "\n".join(f"- deny: raed\n  path: /x{number}" for number in range(count))
    result = mend("p.yaml", with_rules(rules).encode())
    assert len(result.done) == count
    assert codes(judge(result.data)) == []


def errors(data: bytes) -> int:
    return sum(code < "G3" for code in codes(judge(data)))


@pytest.mark.parametrize("path", [*BAD, *GOOD], ids=lambda path: path.stem)
def test_the_corpus_gets_better_or_stays_and_a_second_time_changes_nothing(path: object) -> None:
    data = path.read_bytes()  # type: ignore[attr-defined]
    result = mend("p.yaml", data)
    assert (result.data == data) is (not result.done)
    assert errors(result.data) <= errors(data) - len(result.done) or "G009" in codes(judge(data))
    assert mend("p.yaml", result.data) == (result.data, ())


def test_random_damage_is_never_made_worse() -> None:
    chance = random.Random(7)  # noqa: S311 - damage, the same in every run
    made = 0
    for _ in range(300):
        text = list(chance.choice(GOOD).read_text("utf-8"))
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(text) - 1)
            text[at], text[at + 1] = text[at + 1], text[at]
        data = "".join(text).encode()
        result = mend("p.yaml", data, included)
        made += bool(result.done)
        assert errors(result.data) <= errors(data) - len(result.done)
        assert mend("p.yaml", result.data, included) == (result.data, ())
    assert made > 20
