# SPDX-License-Identifier: Apache-2.0
"""One sink's worker: takes records from spools, has them delivered, acknowledges them.

Knows the order of these steps and what to do about each failure; no protocol,
no thread and no timer: ``step`` does a little and says when to call it again.
Nothing that happens to this sink is another worker's business.

The law, asserted in tests under injected faults:

    read = delivered + refused + in hand
    acknowledged ⊆ delivered + refused: never before, and never instead

A record that a receiver refuses is found by halving the batch, kept in the
dead-letter file, counted, and told. A receiver that cannot be reached is tried
again for ever, and everything stays in the spool meanwhile, which is bounded.
"""

from __future__ import annotations

import enum
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from guard.audit.reading import record_id
from guard.audit.spool_cursor import Position
from guard.ship.backoff import Backoff
from guard.ship.deadletter import DeadLetters
from guard.ship.sink import Message, Outcome, Refused, Sink, Unavailable
from guard.ship.source import NoSpool, Source
from guard.ship.stats import Stats

# How often a batch may fail for a reason that no sink foresaw, before it is
# treated like one that the receiver refuses: whoever finds a record that a
# sink stumbles over must not be able to silence it.
BUG_TRIES = 3

# How often the backlog is looked at, which is two listings of a directory.
LOOK_SECONDS = 10.0


class Turn(enum.Enum):
    """A change in how a sink fares: what reports and logs are made of."""

    FAILING = "failing"
    RECOVERED = "recovered"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Happening:
    """Something to be told about a sink. ``count``: failed tries, or refused records."""

    sink: str
    turn: Turn
    because: str
    count: int
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How a sink is fed: most records and bytes at once, and seconds to wait for a batch to fill.

    ``first`` and ``most``: seconds to wait after a first failure, and at most.
    """

    records: int = 500
    bytes: int = 1 << 20
    wait: float = 1.0
    first: float = 1.0
    most: float = 60.0


@dataclass(slots=True)
class _Hand:
    """What was read and is not acknowledged: the rest of a batch, in pieces still to be sent."""

    source: Source
    end: Position
    own: bool
    pieces: list[list[Message]]
    letters: list[tuple[Message, str]]
    uncounted: int = 0
    stumbles: int = 0


class Worker:
    """Feeds one sink.

    ``sources``: the collector's spool and, second, the shipper's own, which
    goes first as it holds little. ``render`` makes a body of a decoded record
    and its line. ``make`` makes the sink, at first and after every failure.
    ``tell`` is told of every turn; it must not raise. ``clock`` is monotonic,
    ``wall`` since the epoch, both in seconds.
    """

    def __init__(
        self,
        name: str,
        sources: tuple[Source, Source],
        render: Callable[[dict[str, object], bytes], bytes],
        make: Callable[[], Sink],
        dead: DeadLetters,
        plan: Plan,
        tell: Callable[[Happening], None],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self._sources = sources
        self._render = render
        self._make = make
        self._dead = dead
        self._plan = plan
        self._tell = tell
        self._clock = clock
        self._wall = wall
        self._backoff = Backoff(plan.first, plan.most, chance)
        self._sink: Sink | None = None
        self._hand: _Hand | None = None
        self._failing_since: float | None = None
        self._blind: set[Source] = set()  # spools that could not be read when last tried
        self._looked = -LOOK_SECONDS
        self.stats = Stats()

    def step(self) -> float:
        """Does one thing, at most one delivery; returns seconds until there is more to do.

        Raises nothing that a sink, a receiver or a disk can cause.
        """
        self._look()
        try:
            if self._hand is None:
                return self._take()
            return self._deliver(self._hand)
        except NoSpool as error:
            return self._failed(str(error))
        except Unavailable as error:
            self._drop_sink()
            return self._failed(str(error), error.retry_after)
        except Exception as error:  # a bug in a sink or renderer must not end the other sinks
            self._drop_sink()
            return self._failed(f"a bug in guard: {error!r}")

    def close(self) -> None:
        """Ends. What is in hand was not acknowledged, and comes again to a successor."""
        self._drop_sink()
        self._dead.close()
        for source in self._sources:
            source.close()
        self.stats.up = False

    def _take(self) -> float:
        """Gets a batch in hand."""
        trouble: NoSpool | None = None
        spool, own = self._sources
        for source in (own, spool):
            try:
                batch = source.read(self._plan.records, self._plan.bytes)
                if not batch.records:
                    source.ack(batch.end)  # something may have expired
            except NoSpool as error:
                self._blind.add(source)
                trouble = error  # the other spool is read all the same
                continue
            self._blind.discard(source)
            if not batch.records:
                continue
            pieces, letters = self._messages(batch.records)
            self._hand = _Hand(source, batch.end, source is own, pieces, letters, len(letters))
            self.stats.read += len(batch.records)
            self._count()
            return 0.0
        if trouble is not None:
            raise trouble
        if self._sink is None or self._failing_since is not None:
            self._connect()  # so that an idle sink's state is known too
            self._well()
        return self._plan.wait

    def _messages(
        self, lines: Sequence[bytes]
    ) -> tuple[list[list[Message]], list[tuple[Message, str]]]:
        good, bad = [], []
        for line in lines:
            try:
                record = json.loads(line)
                message = Message(record_id(record), record, line, self._render(record, line))
            except Exception as error:  # what no renderer takes is like what no receiver takes
                bad.append((Message("-", {}, line, b""), f"cannot be rendered: {error!r}"))
            else:
                good.append(message)
        return ([good] if good else []), bad

    def _deliver(self, hand: _Hand) -> float:
        if hand.letters:
            self._bury(hand)
            return 0.0
        if not hand.pieces:
            return self._finish(hand)
        piece = hand.pieces[-1]
        sink = self._connect()
        try:
            outcome = sink.send(piece)
        except Unavailable:
            raise
        except Refused as error:
            self.stats.sends += 1
            self._divide(hand, str(error), error.index)
            return 0.0
        except Exception as error:
            hand.stumbles += 1
            if hand.stumbles < BUG_TRIES:
                raise
            self._drop_sink()
            self._divide(hand, f"a bug in guard: {error!r}", None)
            return 0.0
        self.stats.sends += 1
        hand.pieces.pop()
        return self._sent(hand, piece, outcome)

    def _sent(self, hand: _Hand, piece: list[Message], outcome: Outcome) -> float:
        if outcome.again:
            hand.pieces.append([piece[at] for at in sorted(outcome.again)])
        refused = [(piece[at], why) for at, why in sorted(outcome.refused.items())]
        count = len(refused)
        if outcome.unclear:
            count = outcome.unclear
            why = f"{count} of these {len(piece)} records, nobody says which: {outcome.because}"
            refused = [(message, why) for message in piece]
        delivered = len(piece) - len(outcome.again) - count
        self.stats.delivered += delivered
        self.stats.bytes += sum(len(message.body) for message in piece)
        if refused:
            self._refuse(hand, refused, count)
        self._count()
        if outcome.again and not delivered:
            raise Unavailable(outcome.because)
        if delivered:
            self.stats.last_success = self._wall()
            self._well()
        if hand.pieces or hand.letters:
            return 0.0
        return self._finish(hand)  # at once: what is not acknowledged comes again after a crash

    def _divide(self, hand: _Hand, because: str, index: int | None) -> None:
        """Goes on with parts of the piece that was refused; one record alone is the culprit."""
        piece = hand.pieces.pop()
        if len(piece) == 1:
            self._refuse(hand, [(piece[0], because)], 1)
        else:
            hand.pieces += split(piece, index)

    def _refuse(self, hand: _Hand, letters: list[tuple[Message, str]], count: int) -> None:
        hand.letters += letters
        hand.uncounted += count

    def _bury(self, hand: _Hand) -> None:
        """Puts what was refused into the dead-letter file; it stays in hand until it is there."""
        try:
            self._dead.put(hand.letters)
        except OSError as error:
            raise Unavailable(f"refused records cannot be kept: {error}") from None
        why, count = hand.letters[0][1], hand.uncounted
        hand.letters, hand.uncounted = [], 0
        self.stats.refused += count
        self.stats.dropped = self._dead.dropped
        self._count()
        # A report that was refused is not reported: it would be refused as well.
        if not hand.own:
            self._tell(Happening(self.name, Turn.REFUSED, why, count))

    def _finish(self, hand: _Hand) -> float:
        hand.source.ack(hand.end)
        self._hand = None
        self._count()
        return 0.0

    def _connect(self) -> Sink:
        if self._sink is None:
            self._sink = self._make()
        return self._sink

    def _drop_sink(self) -> None:
        if self._sink is not None:
            sink, self._sink = self._sink, None
            try:
                sink.close()
            except Exception as error:  # as in step
                self.stats.because = f"while closing: {error!r}"

    def _well(self) -> None:
        if self._blind:
            return  # a report that arrives does not mean that the records do
        stats = self.stats
        stats.up = True
        if self._failing_since is not None:
            seconds = self._clock() - self._failing_since
            tries, because = self._backoff.failures, stats.because
            self._failing_since = None
            stats.failing_since, stats.because = 0.0, ""
            self._backoff.succeeded()
            self._tell(Happening(self.name, Turn.RECOVERED, because, tries, seconds))

    def _failed(self, because: str, asked: float | None = None) -> float:
        stats = self.stats
        stats.up = False
        stats.failures += 1
        stats.because = because
        wait = self._backoff.failed(asked)
        if self._failing_since is None:
            self._failing_since = self._clock()
            stats.failing_since = self._wall()
            self._tell(Happening(self.name, Turn.FAILING, because, 1))
        return wait

    def _count(self) -> None:
        hand, stats = self._hand, self.stats
        stats.in_hand = stats.read - stats.delivered - stats.refused
        assert hand is not None or not stats.in_hand

    def _look(self) -> None:
        now = self._clock()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        spool = self._sources[0]
        try:
            self.stats.backlog_records, self.stats.backlog_bytes = spool.backlog()
            self.stats.expired, self.stats.damaged = spool.losses()
        except NoSpool:
            pass  # told by the next read


def split(piece: list[Message], index: int | None) -> list[list[Message]]:
    """A refused batch as smaller ones, the last to be sent first; the culprit alone, if known."""
    if index is not None and 0 <= index < len(piece):
        parts = [piece[index + 1 :], [piece[index]], piece[:index]]
    else:
        half = len(piece) // 2
        parts = [piece[half:], piece[:half]]
    return [part for part in parts if part]
