# SPDX-License-Identifier: Apache-2.0
"""Every way to falsify a trail is found, and the record is named."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.audit.chain import Head, block, read_seal, seal, without_seal
from guard.audit.checkpoint import Checkpoint, Line, checkpoints
from guard.audit.verify import Finding, Flaw, Report, verify


def record(number: int, **members: Any) -> bytes:
    told = {
        "schema": 2,
        "event": "file.open",
        "host": {"name": "web", "id": "h", "boot": "b"},
        "epoch": "e",
        "cpu": 0,
        "seq": number,
        "verdict": "denied",
        **members,
    }
    return json.dumps(told, separators=(",", ":")).encode()


def trail(sizes: Iterable[int], series: str = "denials") -> tuple[bytes, Head]:
    """Batches of these sizes, numbered through, and the head behind them."""
    head, data, number = Head(), b"", 0
    for size in sizes:
        body, tail, head = seal(series, block([record(number + at) for at in range(size)]), head)
        data += bytes(body) + tail
        number += size
    return data, head


def lines(data: bytes, file: str = "f") -> list[Line]:
    split = data.split(b"\n")
    if not split[-1]:
        split.pop()
    return [Line(file, at, text) for at, text in enumerate(split, 1)]


def checkpoint(head: Head, series: str = "denials") -> Checkpoint:
    where = Line("kept", 1, b"{}")
    return Checkpoint(series, head.n, head.first, head.hash, None, None, "T", where)


def judged(data: bytes, head: Head | None = None) -> Report:
    known = [checkpoint(head)] if head else []
    return verify(lines(data), known, lambda _one: None)


SIZES = st.lists(st.integers(1, 6), min_size=1, max_size=6)


def names(finding: Finding, ordinal: int) -> bool:
    """Whether a finding is about this record."""
    if finding.record == f"h/b/e/0/{ordinal}":
        return True
    return (
        finding.first is not None
        and finding.last is not None
        and finding.first <= ordinal <= finding.last
    )


@given(SIZES)
def test_a_whole_trail_has_no_finding(sizes: list[int]) -> None:
    data, head = trail(sizes)
    report = judged(data, head)
    assert report.findings == []
    assert (report.records, report.batches) == (sum(sizes), len(sizes))
    assert report.heads == {"denials": head}


@settings(deadline=None, max_examples=300)
@given(SIZES, st.data())
def test_a_changed_byte_is_found_and_its_record_named(
    sizes: list[int], data: st.DataObject
) -> None:
    whole, head = trail(sizes)
    at = data.draw(st.integers(0, len(whole) - 1))
    change = data.draw(st.integers(1, 255))
    changed = bytearray(whole)
    changed[at] ^= change
    ordinal = whole[:at].count(b"\n")
    report = judged(bytes(changed), head)
    assert report.findings, (at, change)
    if whole[at] == 10:  # two records became one line: the one, the other, or both
        assert any(names(one, ordinal) or names(one, ordinal + 1) for one in report.findings)
    else:
        assert any(names(one, ordinal) or one.number == ordinal + 1 for one in report.findings), (
            report.findings
        )


@settings(deadline=None, max_examples=200)
@given(SIZES, st.data())
def test_a_removed_record_is_found_and_named(sizes: list[int], data: st.DataObject) -> None:
    whole, head = trail(sizes)
    kept = whole.splitlines(keepends=True)
    at = data.draw(st.integers(0, len(kept) - 1))
    left = lines(b"".join(kept[:at] + kept[at + 1 :]))
    report = verify(left, [checkpoint(head)], lambda _one: None, whole=True)
    assert any(names(one, at) for one in report.findings), report.findings


@settings(deadline=None, max_examples=200)
@given(SIZES, st.data())
def test_a_repeated_record_is_found(sizes: list[int], data: st.DataObject) -> None:
    whole, head = trail(sizes)
    kept = whole.splitlines(keepends=True)
    at = data.draw(st.integers(0, len(kept) - 1))
    where = data.draw(st.integers(0, len(kept)))
    report = judged(b"".join([*kept[:where], kept[at], *kept[where:]]), head)
    near = {at, where, where - 1, where + 1}
    assert any(
        any(names(one, ordinal) for ordinal in near) or one.number - 1 in near
        for one in report.findings
    ), report.findings


@settings(deadline=None, max_examples=200)
@given(SIZES.filter(lambda sizes: sum(sizes) > 1), st.data())
def test_two_records_exchanged_are_found_and_named(sizes: list[int], data: st.DataObject) -> None:
    whole, head = trail(sizes)
    kept = whole.splitlines(keepends=True)
    one = data.draw(st.integers(0, len(kept) - 2))
    other = data.draw(st.integers(one + 1, len(kept) - 1))
    kept[one], kept[other] = kept[other], kept[one]
    report = judged(b"".join(kept), head)
    assert any(names(each, one) or names(each, other) for each in report.findings), report.findings


@settings(deadline=None, max_examples=200)
@given(SIZES, st.data())
def test_a_trail_cut_anywhere_is_found_and_the_missing_named(
    sizes: list[int], data: st.DataObject
) -> None:
    whole, head = trail(sizes)
    at = data.draw(st.integers(0, len(whole) - 2))
    report = judged(whole[:at], head)
    last = head.first - 1
    assert any(one.flaw is Flaw.TRUNCATED and names(one, last) for one in report.findings)


@settings(deadline=None, max_examples=200)
@given(SIZES.filter(lambda sizes: len(sizes) > 1), st.data())
def test_batches_removed_or_exchanged_are_found(sizes: list[int], data: st.DataObject) -> None:
    whole, head = trail(sizes)
    batches: list[bytes] = [b""]
    for line in whole.splitlines(keepends=True):
        batches[-1] += line
        if read_seal(line[:-1]):
            batches.append(b"")
    batches.pop()
    at = data.draw(st.integers(0, len(batches) - 2))
    first = sum(sizes[:at])
    report = judged(b"".join(batches[:at] + batches[at + 1 :]), head)
    if at:  # without its first batch, a trail merely begins later
        assert any(one.flaw is Flaw.REMOVED and names(one, first) for one in report.findings)
    else:
        assert report.begins["denials"].n == 1
    batches[at], batches[at + 1] = batches[at + 1], batches[at]
    report = judged(b"".join(batches), head)
    assert any(names(one, first) for one in report.findings), report.findings


@settings(deadline=None, max_examples=100)
@given(SIZES.filter(lambda sizes: len(sizes) > 1), st.data())
def test_a_batch_sealed_anew_over_other_records_is_found(
    sizes: list[int], data: st.DataObject
) -> None:
    """Who has no key can seal, but what follows knows another hash, or a checkpoint does."""
    whole, head = trail(sizes)
    kept = lines(whole)
    at = data.draw(st.integers(0, len(sizes) - 1))
    first = sum(sizes[:at])
    sealed = kept[first + sizes[at] - 1].text
    old = read_seal(sealed)
    assert old is not None
    texts = [line.text for line in kept[first : first + sizes[at] - 1]]
    texts.append(without_seal(sealed, old))
    texts[0] = texts[0].replace(b"file.open", b"file.look")
    body, tail, _ = seal("denials", block(texts), Head(old.n, old.first, old.prev))
    forged = bytes(body) + tail
    before = b"".join(line.text + b"\n" for line in kept[:first])
    after = b"".join(line.text + b"\n" for line in kept[first + sizes[at] :])
    report = judged(before + forged + after, head)
    assert any(one.flaw is Flaw.FORGED for one in report.findings)


def test_messages_name_record_batch_and_place() -> None:
    whole, head = trail([3, 2])
    texts = whole.splitlines(keepends=True)
    changed = judged(b"".join([texts[0], texts[1].replace(b"open", b"look"), *texts[2:]]), head)
    assert [(one.number, one.message) for one in changed.findings] == [
        (2, "record 1 of denials (h/b/e/0/1) was changed")
    ]
    removed = judged(b"".join([texts[0], *texts[2:]]), head)
    assert [one.message for one in removed.findings] == [
        "record 1 of denials (batch 0, place 2) is missing here"
    ]
    moved = judged(b"".join([texts[1], texts[0], *texts[2:]]), head)
    assert [one.message for one in moved.findings] == [
        "record 1 of denials (h/b/e/0/1) is at place 1 of its batch and belongs at 2",
        "record 0 of denials (h/b/e/0/0) is at place 2 of its batch and belongs at 1",
    ]
    cut = judged(b"".join(texts[:3]), head)
    assert [one.message for one in cut.findings] == [
        (
            "denials ends before record 3, but the checkpoint at kept:1 (T) knows records up to 4: "
            "2 records are missing at the end"
        )
    ]
    gone = judged(b"".join(texts[:3]) + trail([3, 2, 1])[0].split(b"\n", 5)[5])
    assert [one.message for one in gone.findings] == [
        "batch 1 is of denials (records 3 to 4) missing before this one"
    ]


def test_a_log_of_two_series_is_judged_batch_by_batch() -> None:
    denials, _ = trail([2, 1])
    others, _ = trail([3], "others")
    first, rest = denials.split(b"\n", 2)[:2], denials.split(b"\n", 2)[2]
    report = judged(b"\n".join(first) + b"\n" + others + rest)
    assert report.findings == []
    assert set(report.heads) == {"denials", "others"}


def test_a_checkpoint_that_its_key_did_not_sign_is_told() -> None:
    whole, head = trail([2])
    kept = checkpoint(head)._replace(signature="00")
    report = verify(lines(whole), [kept], lambda _one: False)
    assert [one.message for one in report.findings] == [
        "the checkpoint of denials at batch 1 is not signed by the key"
    ]


def test_checkpoints_are_found_among_the_records() -> None:
    said = {"series": "denials", "n": 1, "records": 2, "head": "ab", "key": None, "signature": None}
    text = record(0, event="audit.checkpoint", time="T", checkpoint=said)
    junk = [b'{"event":"audit.checkpoint"', b'{"event":"audit.checkpoint","checkpoint":{"n":"x"}}']
    (one,) = checkpoints(Line("f", at, line) for at, line in enumerate([*junk, text]))
    assert (one.series, one.n, one.records, one.head, one.time) == ("denials", 1, 2, "ab", "T")


@pytest.mark.parametrize("text", [b"", b"\xff" * 90, b"{}" * 99, b"\n" * 20_000])
def test_what_is_no_trail_at_all_is_told_and_not_held_in_memory(text: bytes) -> None:
    report = judged(text)
    assert bool(report.findings) == bool(text)


@settings(max_examples=200)
@given(st.binary(max_size=400))
def test_garbage_never_raises(garbage: bytes) -> None:
    whole, head = trail([2, 2])
    judged(whole + garbage, head)
    judged(garbage + whole, head)


def test_the_manuals_own_check_agrees() -> None:
    manual = Path(__file__).parents[2] / "docs" / "manual" / "trail.md"
    code = manual.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - our own manual
    whole, head = trail([3])
    assert names["digest"]([line.text for line in lines(whole)]) == head.hash
