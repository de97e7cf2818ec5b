# SPDX-License-Identifier: Apache-2.0
"""A sink's worker: what it does when a receiver is down, slow, picky, or half cut off."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.ship.sink import Message, Outcome, Refused, Unavailable
from guard.ship.worker import Plan, Turn, split
from tests.ship.support import Bench, lines, message


def test_records_are_delivered_in_order_and_acknowledged_batch_by_batch(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lines(*range(25)))
    bench.settle()
    assert bench.sink.taken == list(range(25))
    assert [len(batch) for batch in bench.sink.batches] == [10, 10, 5]
    assert bench.spool.acked == 25
    assert bench.told == []
    bench.assert_law()


def test_an_idle_worker_waits_as_long_as_it_was_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path, plan=Plan(wait=2.5))
    assert bench.worker.step() == 2.5
    assert bench.worker.stats.up


def test_nothing_is_acknowledged_before_the_receiver_has_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lines(*range(5)))
    bench.sink.answers = [lambda _: _raise(Unavailable("the connection was cut"))]
    bench.worker.step()
    bench.worker.step()
    assert bench.spool.acked == 0
    assert bench.worker.stats.in_hand == 5
    bench.worker.close()
    assert bench.spool.acked == 0


def test_a_sink_that_is_down_for_an_hour_costs_few_tries_and_no_record(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lines(*range(500)))
    bench.sink.down = "siem:6514: Connection refused"
    bench.run(3600)
    stats = bench.worker.stats
    assert not stats.up and stats.because == "siem:6514: Connection refused"
    # Waits grow to a minute, half of it random (here always a half of that half): 45 s.
    assert 80 <= bench.sink.made <= 90
    assert bench.spool.acked == 0
    assert bench.turns() == [Turn.FAILING]
    bench.sink.down = ""
    bench.run(60)
    assert bench.sink.taken == list(range(500))
    assert bench.spool.acked == 500
    assert bench.turns() == [Turn.FAILING, Turn.RECOVERED]
    recovered = bench.told[1]
    assert recovered.because == "siem:6514: Connection refused"
    assert 3550 < recovered.seconds < 3700
    assert recovered.count == bench.sink.made - 1
    assert bench.worker.stats.up and bench.worker.stats.failing_since == 0
    bench.assert_law()


def test_a_receiver_that_asks_for_a_pause_gets_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lines(0))
    bench.sink.answers = [lambda _: _raise(Unavailable("HTTP 429", retry_after=300))]
    bench.worker.step()
    assert bench.worker.step() == 300


def test_a_receiver_cannot_ask_for_more_than_an_hour(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lines(0))
    bench.sink.answers = [lambda _: _raise(Unavailable("HTTP 429", retry_after=1e9))]
    bench.worker.step()
    assert bench.worker.step() == 3600


def test_the_sink_is_made_anew_after_a_failure(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lines(0))
    bench.sink.answers = [lambda _: _raise(Unavailable("cut"))]
    bench.run(5)
    assert (bench.sink.made, bench.sink.closed) == (2, 1)


def test_a_record_that_is_refused_is_found_kept_and_told_and_the_others_arrive(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, lines(*range(10)))
    bench.sink.poison = {6}
    bench.settle()
    assert sorted(bench.sink.taken) == [0, 1, 2, 3, 4, 5, 7, 8, 9]
    assert bench.spool.acked == 10
    assert len(bench.sink.batches) <= 10  # by halves, not one by one
    kept = json.loads((tmp_path / "refused/siem.ndjson").read_bytes())
    assert kept["refused"] == "HTTP 400: a field is wrong"
    assert kept["sink"] == "siem"
    assert kept["id"] == message(6).id
    assert json.loads(kept["record"])["seq"] == 6
    assert [(one.turn, one.count, one.because) for one in bench.told] == [
        (Turn.REFUSED, 1, "HTTP 400: a field is wrong")
    ]
    assert bench.worker.stats.refused == 1
    bench.assert_law()


def test_records_keep_their_order_around_a_refused_one(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lines(*range(10)))
    bench.sink.poison = {3}
    bench.settle()
    assert bench.sink.taken == [0, 1, 2, 4, 5, 6, 7, 8, 9]


def test_a_receiver_that_names_the_culprit_is_asked_three_times_and_not_more(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, lines(*range(10)))
    bench.sink.poison = {7}
    bench.sink.answers = [lambda _: _raise(Refused("HTTP 400: event 7", index=7))]
    bench.settle()
    assert bench.sink.batches == [list(range(10)), list(range(7)), [7], [8, 9]]
    assert bench.worker.stats.refused == 1


def test_every_record_of_a_batch_may_be_refused_and_shipping_goes_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lines(*range(20)))
    bench.sink.poison = set(range(10))
    bench.settle()
    assert bench.sink.taken == list(range(10, 20))
    assert bench.worker.stats.refused == 10
    bench.assert_law()


def test_of_a_batch_that_was_taken_in_part_only_the_rest_comes_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lines(*range(6)))
    bench.sink.answers = [lambda _: Outcome({1: "mapping"}, [3, 5], because="429")]
    bench.settle()
    assert bench.sink.batches == [[0, 1, 2, 3, 4, 5], [3, 5]]
    assert sorted(bench.sink.taken) == [0, 2, 3, 4, 5]
    assert bench.worker.stats.refused == 1
    assert bench.spool.acked == 6
    bench.assert_law()


def test_a_receiver_that_takes_nothing_of_a_batch_is_given_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lines(*range(3)))
    bench.sink.answers = [lambda batch: Outcome(again=range(len(batch)), because="429")]
    bench.worker.step()
    assert bench.worker.step() > 0
    assert bench.told[0].because == "429"
    bench.run(5)
    assert bench.sink.taken == [0, 1, 2]
    bench.assert_law()


def test_refusals_that_nobody_can_assign_are_counted_and_all_of_the_batch_is_kept(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, lines(*range(4)))
    bench.sink.answers = [lambda _: Outcome(unclear=3, because="too old")]
    bench.settle()
    stats = bench.worker.stats
    assert (stats.delivered, stats.refused) == (1, 3)
    kept = (tmp_path / "refused/siem.ndjson").read_bytes().splitlines()
    assert [json.loads(line)["refused"] for line in kept] == [
        "3 of these 4 records, nobody says which: too old"
    ] * 4
    bench.assert_law()


def test_a_refused_report_is_not_reported(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.own.stored = lines(5)
    bench.sink.poison = {5}
    bench.settle()
    assert bench.worker.stats.refused == 1
    assert bench.told == []


def test_the_shippers_own_records_go_first(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lines(*range(30)))
    bench.worker.step()
    bench.own.stored = lines(100)
    bench.settle()
    assert bench.sink.batches[1] == [100]
    assert bench.own.acked == 1


def test_refused_records_that_cannot_be_kept_are_not_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, lines(*range(4)))
    bench.sink.poison = {1}
    full = [True]
    put = bench.dead.put

    def on_a_full_disk(letters: list[tuple[Message, str]]) -> None:
        if full[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        put(letters)

    monkeypatch.setattr(bench.dead, "put", on_a_full_disk)
    bench.run(10)
    assert bench.spool.acked == 0
    assert bench.worker.stats.because == (
        "refused records cannot be kept: [Errno 28] No space left on device"
    )
    full[0] = False
    bench.run(60)
    assert bench.spool.acked == 4
    assert sorted(bench.sink.taken) == [0, 2, 3]
    bench.assert_law()


def test_a_cursor_that_cannot_be_written_is_tried_again_and_nothing_is_sent_twice(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, lines(*range(4)))
    bench.spool.ack_broken = "/spool: the cursor siem cannot be written: No space left on device"
    bench.run(30)
    assert bench.sink.taken == [0, 1, 2, 3]
    assert not bench.worker.stats.up
    bench.spool.ack_broken = ""
    bench.run(60)
    assert bench.sink.taken == [0, 1, 2, 3]
    assert bench.spool.acked == 4
    assert bench.turns() == [Turn.FAILING, Turn.RECOVERED]


def test_a_spool_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lines(0))
    bench.spool.broken = "/var/lib/guard/spool is no spool: it has no file 'format'"
    bench.run(100)
    assert bench.told[0].because == bench.spool.broken
    bench.spool.broken = ""
    bench.run(100)
    assert bench.sink.taken == [0]
    assert bench.turns() == [Turn.FAILING, Turn.RECOVERED]


def test_reports_that_arrive_while_the_spool_cannot_be_read_are_no_recovery(
    tmp_path: Path,
) -> None:
    """Each would be followed by a report of the next failure, for ever."""
    bench = Bench(tmp_path, lines(0))
    bench.spool.broken = "/spool: Permission denied"
    bench.run(1)
    bench.own.stored = lines(100)
    bench.run(300)
    assert bench.sink.taken == [100]
    assert bench.turns() == [Turn.FAILING] and not bench.worker.stats.up
    bench.spool.broken = ""
    bench.run(100)
    assert bench.sink.taken == [100, 0]
    assert bench.turns() == [Turn.FAILING, Turn.RECOVERED] and bench.worker.stats.up


def test_the_shippers_own_spool_may_break_and_records_are_delivered(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lines(*range(25)))
    bench.own.broken = "/state/own: Input/output error"
    bench.run(100)
    assert bench.sink.taken == list(range(25))
    assert bench.turns() == [Turn.FAILING]


def test_a_line_that_is_no_record_goes_to_the_refused_and_stops_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [lines(0)[0], b"{not json", b"[1]", b"\xff\xfe", lines(1)[0]])
    bench.settle()
    assert bench.sink.taken == [0, 1]
    assert bench.worker.stats.refused == 3
    kept = (tmp_path / "refused/siem.ndjson").read_bytes().splitlines()
    assert all(json.loads(line)["refused"].startswith("cannot be rendered: ") for line in kept)
    bench.assert_law()


def test_a_bug_in_a_sink_is_a_failure_of_that_sink(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lines(0))
    bench.sink.answers = [lambda _: _raise(ZeroDivisionError("division by zero"))]
    bench.run(10)
    assert bench.told[0].because == "a bug in guard: ZeroDivisionError('division by zero')"
    assert bench.sink.taken == [0]


def test_a_record_that_a_sink_stumbles_over_cannot_silence_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lines(*range(30)))

    def stumble(batch: Sequence[Message]) -> Outcome | None:
        bench.sink.answers.append(stumble)
        if any(one.record["seq"] == 13 for one in batch):
            raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")
        return None

    bench.sink.answers = [stumble]
    bench.run(60)
    assert sorted(bench.sink.taken) == [number for number in range(30) if number != 13]
    assert bench.spool.acked == 30
    kept = json.loads((tmp_path / "refused/siem.ndjson").read_bytes())
    assert kept["id"] == message(13).id
    assert kept["refused"].startswith("a bug in guard: UnicodeEncodeError('utf-8', ")
    assert [batch for batch in bench.sink.batches if 13 in batch][:3] == [list(range(10, 20))] * 3
    bench.assert_law()


def test_the_backlog_is_told_while_the_sink_is_down(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lines(*range(100)))
    bench.sink.down = "down"
    bench.run(60)
    assert bench.worker.stats.backlog_records == 90
    assert bench.worker.stats.in_hand == 10


@given(
    poison=st.sets(st.integers(0, 59)),
    script=st.lists(st.sampled_from(["cut", "none", "half", "bug", "ok"]), max_size=30),
    at_once=st.integers(1, 25),
)
@settings(max_examples=60, deadline=None)
def test_whatever_happens_every_record_is_delivered_or_kept_and_none_is_forgotten(
    tmp_path_factory: pytest.TempPathFactory, poison: set[int], script: list[str], at_once: int
) -> None:
    def act(word: str) -> object:
        def answer(batch: Sequence[Message]) -> Outcome | None:
            match word:
                case "cut":
                    raise Unavailable("cut")
                case "none":
                    return Outcome(again=range(len(batch)), because="busy")
                case "half":
                    bad = [at for at, one in enumerate(batch) if one.record["seq"] in poison]
                    rest = [at for at in range(0, len(batch), 2) if at not in bad]
                    return Outcome(dict.fromkeys(bad, "no"), rest, because="half")
                case "bug":
                    raise RuntimeError("bug")
            return None

        return answer

    tmp = tmp_path_factory.mktemp("w")
    bench = Bench(tmp, lines(*range(60)), Plan(records=at_once))
    bench.sink.poison = poison
    # More bugs than BUG_TRIES would make the records around them dead letters, rightly.
    script = [word if word != "bug" or at % 30 == 0 else "cut" for at, word in enumerate(script)]
    bench.sink.answers = [act(word) for word in script]  # type: ignore[misc]
    bench.run(3000)
    assert bench.spool.acked == 60
    bench.assert_law()
    dead = tmp / "refused/siem.ndjson"
    kept = dead.read_bytes().splitlines() if dead.exists() else []
    refused = sorted(json.loads(json.loads(line)["record"])["seq"] for line in kept)
    assert refused == sorted(poison)
    assert sorted(bench.sink.taken) == sorted(set(range(60)) - poison)


@given(size=st.integers(2, 50), index=st.none() | st.integers(-3, 60))
def test_splitting_keeps_every_record_and_makes_smaller_batches(
    size: int, index: int | None
) -> None:
    piece = [message(number) for number in range(size)]
    parts = split(piece, index)
    assert [one for part in reversed(parts) for one in part] == piece
    assert all(0 < len(part) < size for part in parts)


def _raise(error: Exception) -> Outcome:
    raise error
