# SPDX-License-Identifier: Apache-2.0
"""Judges a trail: which records were removed, changed, added, reordered or cut off.

Knows lines, seals and checkpoints; opens no file and holds no key (a caller
gives the function that checks signatures).

What is found, and by what: a changed, removed, added or moved record inside a
batch by the CRCs in its seal; a changed seal, or CRCs adjusted to a changed
record, by the batch's hash; a removed, replaced or moved batch by the hash that
its successor continues; a cut end by a checkpoint that knows of more. What
nothing finds: an end cut back to the last checkpoint that the judge has. So
checkpoints are to be kept where the host's root cannot reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from guard.audit.chain import GENESIS, Head, Seal, crc_of, holds, read_seal, without_seal
from guard.audit.checkpoint import Checkpoint, Line, line_id

# Unsealed lines that are held while their seal is looked for; beyond it the
# seal is gone, and memory is not to grow with somebody's file.
PENDING_LIMIT = 8192

# Of records that are in no batch, how many are named one by one.
NAMED_LIMIT = 100


class Flaw(StrEnum):
    """What is wrong."""

    CHANGED = "changed"
    REMOVED = "removed"
    ADDED = "added"
    REORDERED = "reordered"
    REPEATED = "repeated"
    FORGED = "forged"
    TRUNCATED = "truncated"
    SIGNATURE = "signature"


class Finding(NamedTuple):
    """One thing that is wrong.

    ``first`` and ``last`` are the ordinals of the records in the series that it
    concerns, None if they cannot be told; ``record`` is the id of the record
    itself or, where it is gone, None. ``message`` is for people and complete.
    """

    flaw: Flaw
    file: str
    number: int
    series: str | None
    first: int | None
    last: int | None
    record: str | None
    message: str


@dataclass(slots=True)
class Report:
    """What a trail turned out to be. ``series``: per chain, the first batch seen and the head."""

    findings: list[Finding] = field(default_factory=list)
    records: int = 0
    batches: int = 0
    begins: dict[str, Head] = field(default_factory=dict)
    heads: dict[str, Head] = field(default_factory=dict)
    checkpoints: int = 0
    signed: dict[str, Checkpoint] = field(default_factory=dict)


def verify(
    lines: Iterable[Line],
    known: Iterable[Checkpoint],
    is_signed: Callable[[Checkpoint], bool | None],
    whole: bool = False,
) -> Report:
    """Judges the lines of a trail, in the order of their files.

    ``known`` are all checkpoints to hold the trail against: its own and those
    kept elsewhere. ``is_signed`` tells whether a checkpoint's signature holds,
    None if it cannot be told (no key given): it is believed then, as what
    contradicts it is worth a look either way. ``whole``: each chain has to
    begin with its first record; otherwise ``Report.begins`` says where it does,
    as the beginnings of spools expire.
    """
    judge = _Judge(known, is_signed, whole)
    for line in lines:
        judge.line(line)
    return judge.end()


class _Judge:
    def __init__(
        self,
        known: Iterable[Checkpoint],
        is_signed: Callable[[Checkpoint], bool | None],
        whole: bool,
    ) -> None:
        self._whole = whole
        self._report = Report()
        self._pending: list[Line] = []
        self._last = Line("-", 0, b"")
        self._known: dict[str, dict[int, Checkpoint]] = {}
        for one in known:
            self._report.checkpoints += 1
            good = is_signed(one)
            if good is False:
                self._say(
                    Flaw.SIGNATURE,
                    one.line,
                    None,
                    None,
                    None,
                    f"the checkpoint of {one.series} at batch {one.n} is not signed by the key"
                    if one.signature
                    else f"the checkpoint of {one.series} at batch {one.n} has no signature",
                    line_id(one.line.text),
                )
                continue
            self._known.setdefault(one.series, {})[one.n] = one
            newest = self._report.signed.get(one.series)
            if good and (newest is None or newest.n < one.n):
                self._report.signed[one.series] = one

    def line(self, line: Line) -> None:
        self._last = line
        self._pending.append(line)
        seal = read_seal(line.text)
        if seal is not None:
            self._batch(seal)
        elif len(self._pending) > PENDING_LIMIT:
            self._unsealed(f"{PENDING_LIMIT} records follow without a seal")

    def end(self) -> Report:
        if self._pending:
            self._unsealed("records without a seal end the trail", Flaw.TRUNCATED)
        for series, known in sorted(self._known.items()):
            head = self._report.heads.get(series)
            newest = known[max(known)]
            if head is None or newest.n > head.n:
                first = head.first if head else 0
                last = newest.records - 1
                self._say(
                    Flaw.TRUNCATED,
                    self._last,
                    series,
                    first,
                    last,
                    f"{series} ends before record {first}, but the checkpoint at "
                    f"{newest.line.file}:{newest.line.number} ({newest.time}) knows records up to "
                    f"{last}: {_many(last - first + 1)} missing at the end",
                    None,
                )
        return self._report

    def _batch(self, seal: Seal) -> None:
        report = self._report
        sealed = self._pending[-1]
        report.batches += 1
        mine = self._lines_of(seal)
        bare = [line.text for line in mine[:-1]] + [without_seal(sealed.text, seal)]
        report.records += len(mine)
        expected = report.heads.get(seal.series)
        if expected is not None and seal.n < expected.n:
            self._earlier(seal, sealed, mine)
            return
        if not holds(seal, bare) or len(bare) != seal.records:
            self._inside(seal, mine, bare)
        if expected is None:
            report.begins[seal.series] = Head(seal.n, seal.first, seal.prev)
            if seal.n == 0 and (seal.prev != GENESIS or seal.first):
                self._forged(seal, sealed, "it is the first batch and continues another")
            if seal.n and self._whole:
                self._follows(seal, sealed, Head())
        else:
            self._follows(seal, sealed, expected)
        report.heads[seal.series] = seal.head()
        known = self._known.get(seal.series, {}).get(seal.n + 1)
        if known is not None and (known.head, known.records) != (
            seal.hash,
            seal.first + seal.records,
        ):
            where = f"{known.line.file}:{known.line.number}"
            self._forged(seal, sealed, f"the checkpoint at {where} knows another batch")

    def _lines_of(self, seal: Seal) -> list[Line]:
        """The pending lines that belong to a seal: as many as it says, and what is too many.

        Lines too many are the batch's own unless one before them should have
        had a seal, which only the next batch's number tells.
        """
        mine, self._pending = self._pending, []
        expected = self._report.heads.get(seal.series)
        whole = expected is None or seal.n == expected.n
        if not whole and len(mine) > seal.records:
            cut = len(mine) - seal.records
            for line in mine[:cut]:
                self._say(
                    Flaw.CHANGED,
                    line,
                    None,
                    None,
                    None,
                    "the seal of this record's batch is broken or gone",
                    line_id(line.text),
                )
            mine = mine[cut:]
        return mine

    def _earlier(self, seal: Seal, sealed: Line, mine: list[Line]) -> None:
        first, last = seal.first, seal.first + seal.records - 1
        self._say(
            Flaw.REPEATED,
            mine[0],
            seal.series,
            first,
            last,
            f"batch {seal.n} of {seal.series} (records {first} to {last}) comes after batch "
            f"{self._report.heads[seal.series].n - 1}: it was moved here or is here twice",
            line_id(sealed.text),
        )

    def _follows(self, seal: Seal, sealed: Line, expected: Head) -> None:
        if seal.n > expected.n:
            first, last = expected.first, seal.first - 1
            self._say(
                Flaw.REMOVED,
                sealed,
                seal.series,
                first,
                last,
                f"{_batches(expected.n, seal.n - 1)} of {seal.series} "
                f"(records {first} to {last}) missing before this one",
                None,
            )
        elif (seal.prev, seal.first) != (expected.hash, expected.first):
            self._forged(seal, sealed, "it does not continue the batch before it")

    def _inside(self, seal: Seal, mine: list[Line], bare: list[bytes]) -> None:
        """Names what is wrong within a batch whose hash does not hold."""
        sums = seal.sums()
        if len(seal.crc) != 8 * seal.records:
            self._forged(seal, mine[-1], "its seal contradicts itself")
            return
        own = [crc_of(text) for text in bare]
        if own == sums:
            self._forged(seal, mine[-1], "its hash does not hold")
        elif holds(_with_sums(seal, own), bare):
            self._forged(seal, mine[-1], "its seal was changed; its records are as they were")
        elif sorted(own) == sorted(sums):
            for at, (crc, right) in enumerate(zip(own, sums, strict=True)):
                if crc != right:
                    where = sums.index(crc)
                    self._record(
                        Flaw.REORDERED,
                        mine[at],
                        seal,
                        where,
                        f"is at place {at + 1} of its batch and belongs at {where + 1}",
                    )
        else:
            self._compare(seal, mine, own, sums)

    def _compare(self, seal: Seal, mine: list[Line], own: list[int], sums: list[int]) -> None:
        from difflib import SequenceMatcher  # noqa: PLC0415 - for flawed trails only

        matcher = SequenceMatcher(None, sums, own, autojunk=False)
        for what, low, high, begin, end in matcher.get_opcodes():
            if what == "equal":
                continue
            both = min(high - low, end - begin)
            for step in range(both):
                self._record(Flaw.CHANGED, mine[begin + step], seal, low + step, "was changed")
            beside = mine[min(begin + both, len(mine) - 1)]
            for at in range(low + both, high):
                self._say(
                    Flaw.REMOVED,
                    beside,
                    seal.series,
                    seal.first + at,
                    seal.first + at,
                    f"record {seal.first + at} of {seal.series} (batch {seal.n}, place {at + 1}) "
                    f"is missing here",
                    None,
                )
            for at in range(begin + both, end):
                line = mine[at]
                self._say(
                    Flaw.ADDED,
                    line,
                    seal.series,
                    None,
                    None,
                    f"this record is not of batch {seal.n} of {seal.series}: it was added",
                    line_id(line.text),
                )

    def _record(self, flaw: Flaw, line: Line, seal: Seal, at: int, what: str) -> None:
        ordinal = seal.first + at
        name = line_id(line.text)
        called = f" ({name})" if name else ""
        message = f"record {ordinal} of {seal.series}{called} {what}"
        self._say(flaw, line, seal.series, ordinal, ordinal, message, name)

    def _forged(self, seal: Seal, line: Line, because: str) -> None:
        first, last = seal.first, seal.first + seal.records - 1
        message = f"batch {seal.n} of {seal.series} (records {first} to {last}) was forged: "
        self._say(
            Flaw.FORGED, line, seal.series, first, last, message + because, line_id(line.text)
        )

    def _unsealed(self, because: str, flaw: Flaw = Flaw.CHANGED) -> None:
        pending, self._pending = self._pending, []
        self._report.records += len(pending)
        for line in pending[:NAMED_LIMIT]:
            self._say(flaw, line, None, None, None, f"{because}: this is one", line_id(line.text))
        more = len(pending) - NAMED_LIMIT
        if more > 0:
            line = pending[NAMED_LIMIT]
            self._say(flaw, line, None, None, None, f"{because}: {more} more from here on", None)

    def _say(
        self,
        flaw: Flaw,
        line: Line,
        series: str | None,
        first: int | None,
        last: int | None,
        message: str,
        record: str | None,
    ) -> None:
        self._report.findings.append(
            Finding(flaw, line.file, line.number, series, first, last, record, message)
        )


def _with_sums(seal: Seal, sums: list[int]) -> Seal:
    crc = b"".join(b"%08x" % one for one in sums)
    return seal._replace(text=seal.text.replace(seal.crc, crc, 1), crc=crc)


def _many(count: int) -> str:
    return f"{count} record is" if count == 1 else f"{count} records are"


def _batches(first: int, last: int) -> str:
    return f"batch {first} is" if first == last else f"batches {first} to {last} are"
