# SPDX-License-Identifier: Apache-2.0
"""One failing sink is nothing to the others, and everything lost is counted."""

from __future__ import annotations

from collections.abc import Sequence

from guard.audit.sinks import FanOut, SinkCounts, SinkLoss
from tests.audit.samples import ListSink


class BuggySink(ListSink):
    """Raises what no sink should, at every call."""

    def emit(self, _batch: Sequence[bytes]) -> None:
        raise ZeroDivisionError

    def flush(self) -> None:
        raise ZeroDivisionError

    def close(self) -> None:
        raise ZeroDivisionError


def test_a_sinks_bug_stops_no_other_sink() -> None:
    before, after = ListSink(), ListSink()
    fan = FanOut({"before": before, "buggy": BuggySink(), "after": after})
    fan.emit([b"1", b"2"])
    fan.flush()
    fan.close()
    assert before.lines == after.lines == [b"1", b"2"]
    assert before.closed and after.closed
    assert fan.counts() == {
        "before": SinkCounts(taken=2),
        "buggy": SinkCounts(lost=2, unsafe=2),
        "after": SinkCounts(taken=2),
    }


def test_a_sink_that_takes_a_part_is_counted_by_line() -> None:
    sink = ListSink()
    fan = FanOut({"s": sink})
    sink.refuse = 1
    fan.emit([b"1", b"2", b"3"])
    assert fan.counts() == {"s": SinkCounts(taken=2, lost=1)}
    assert sink.lines == [b"1", b"2"]


def test_a_failure_is_told_when_it_begins_and_when_it_ends() -> None:
    sink = ListSink()
    fan = FanOut({"s": sink})
    fan.emit([b"1"])
    assert fan.losses() == []
    sink.refuse = 9
    fan.emit([b"2", b"3"])
    assert fan.losses() == [SinkLoss("s", 2, "refused")]
    fan.emit([b"4"])
    fan.emit([b"5"])
    assert fan.losses() == []
    sink.refuse = 0
    fan.emit([b"6"])
    assert fan.losses() == [SinkLoss("s", 2, "refused")]
    assert fan.losses() == []


def test_a_failure_that_lasts_is_told_in_the_end() -> None:
    sink = ListSink()
    fan = FanOut({"s": sink})
    sink.refuse = 9
    fan.emit([b"1"])
    fan.losses()
    fan.emit([b"2"])
    assert fan.losses(everything=True) == [SinkLoss("s", 1, "refused")]


def test_no_lines_are_no_call() -> None:
    fan = FanOut({"buggy": BuggySink()})
    fan.emit([])
    assert fan.counts() == {"buggy": SinkCounts()}
