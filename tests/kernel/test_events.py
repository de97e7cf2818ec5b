# SPDX-License-Identifier: Apache-2.0
"""The event ring of a real kernel: full, unread, and filled with hostile names."""

from __future__ import annotations

import errno
import json
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from guard.audit.clock import Clock
from guard.audit.collect import Collector
from guard.audit.decode import Event
from guard.audit.lifecycle import Lifecycle
from guard.audit.origin import Origin
from guard.audit.record import Recorder
from guard.audit.render_json import JsonRenderer
from guard.audit.sequence import Sequences
from guard.audit.sinks import FanOut
from guard.daemon.index import GenerationIndex
from guard.plan.index import index_plan
from guard.policy.model import Effect, Policy
from guard.wire.layout import PathVerb
from tests.kernel.lab import Attempts, Lab, compile_program, host_plan, loaded
from tests.kernel.lab_objects import name
from tests.plan.make import policy, rule

pytestmark = pytest.mark.kernel

RING = 64 << 10
"""Bytes: some sixty short records, so that a few hundred denials overflow it."""

FLOOD = 400
ORIGIN = Origin("guest", "0" * 32, "boot", "epoch")


@dataclass
class Kept:
    """A sink that keeps its lines."""

    lines: list[bytes] = field(default_factory=list)

    def emit(self, batch: Sequence[bytes]) -> None:
        self.lines += batch

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def records(self, kind: str) -> list[dict[str, object]]:
        made = [json.loads(line) for line in self.lines]
        return [one for one in made if one["event"] == kind]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with loaded("events", ring_bytes=RING) as lab:
        yield lab


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_program("attempts", tmp_path_factory.mktemp("program"))


@pytest.fixture
def opens(program: Path) -> Iterator[Attempts]:
    with Attempts(program) as opens:
        yield opens


def nothing_below(place: Path) -> Policy:
    return policy(
        rule(Effect.DENY, [PathVerb.READ], f"{place}/**", id="all"),
        default=Effect.ALLOW,
        exe=["/nowhere"],
    )


def sums(lab: Lab) -> tuple[int, int, int]:
    """Attempts, dropped and denied of all processors."""
    counters = lab.counters()
    return (
        sum(one.attempts for one in counters),
        sum(one.dropped for one in counters),
        sum(one.denied for one in counters),
    )


def collector(lab: Lab, sink: Kept) -> Collector:
    clock = Clock()
    assert lab.plan is not None
    indexes = {lab.generation: GenerationIndex(index_plan(lab.plan))}
    return Collector(
        lab.ring,
        Recorder(clock, indexes.get),
        JsonRenderer(ORIGIN).line,
        FanOut({"kept": sink}),
        Lifecycle(ORIGIN, clock),
        clock,
        Sequences(lab.counters()),
    )


def test_a_full_ring_changes_no_verdict_and_every_loss_is_counted(
    lab: Lab, opens: Attempts, tmp_path: Path
) -> None:
    secret, neighbour = tmp_path / "secret", tmp_path.with_name("neighbour")
    secret.write_text("x")
    neighbour.write_text("x")
    lab.put(host_plan([nothing_below(tmp_path)]))
    wanted = [(os.O_RDONLY, os.fsencode(secret)), (os.O_RDONLY, os.fsencode(neighbour))] * FLOOD
    assert set(opens.open_all(wanted)) == {0}, "denied without a label"
    assert lab.events() == []
    before = sums(lab)
    numbers = [one.attempts for one in lab.counters()]
    lab.label(opens.pid, 1)

    # Nobody reads: the first denials fill the ring, all others find it full.
    errors = opens.open_all(wanted)
    assert errors == [errno.EACCES, 0] * FLOOD
    attempts, dropped, denied = (now - then for now, then in zip(sums(lab), before, strict=True))
    assert attempts == denied == FLOOD
    assert 0 < dropped < FLOOD
    received = lab.events()
    assert len(received) == FLOOD - dropped
    assert_in_sequence(received, numbers)
    # What arrived are the oldest: a full ring loses what is new.
    reached = [one.attempts for one in lab.counters()]
    for event in received:
        assert event.sequence - numbers[event.cpu] <= len(received)
        assert event.sequence < reached[event.cpu]

    # With room again, records come again.
    assert opens.open_all(wanted[:20]) == [errno.EACCES, 0] * 10
    assert len(lab.events()) == 10


def assert_in_sequence(events: Sequence[Event], first: Sequence[int]) -> None:
    """Each processor's numbers grow, from ``first`` on."""
    for cpu, begin in enumerate(first):
        numbers = [event.sequence for event in events if event.cpu == cpu]
        assert numbers == sorted(set(numbers))
        assert all(number >= begin for number in numbers)


def test_the_audit_stream_says_how_many_records_were_lost(
    lab: Lab, opens: Attempts, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    lab.put(host_plan([nothing_below(tmp_path)]))
    lab.events()
    sink = Kept()
    collecting = collector(lab, sink)
    before = sums(lab)
    lab.label(opens.pid, 1)
    wanted = [(os.O_RDONLY, os.fsencode(secret))] * FLOOD
    for _ in range(2):
        assert opens.open_all(wanted) == [errno.EACCES] * FLOOD
        while collecting.collect():
            pass
        collecting.settle(lab.counters())
    attempts, dropped, _ = (now - then for now, then in zip(sums(lab), before, strict=True))
    counts = collecting.counts()
    assert attempts == 2 * FLOOD == counts.received + dropped
    assert counts.recorded == counts.received > 0
    assert counts.unresolved == counts.undecodable == counts.unexplained == 0
    losses = [one["lost"] for one in sink.records("audit.lost")]
    assert {one["cause"] for one in losses} == {"ring-full"}
    assert sum(one["count"] for one in losses) == dropped == counts.dropped > 0
    records = sink.records("file.open")
    assert len(records) == counts.received
    for record in records:
        assert record["verdict"] == "denied"
        assert record["error"] == "EACCES"
        assert record["rule"]["id"] == "all"
        assert record["process"]["pid"] == opens.pid
        assert record["object"]["path"] == str(secret)


def test_hostile_names_arrive_without_loss(lab: Lab, opens: Attempts, tmp_path: Path) -> None:
    rng = random.Random(7)  # noqa: S311 - tests want the same again
    names = {bytes(byte for byte in range(begin, begin + 64) if byte not in (0, 47))
             for begin in (0, 64, 128, 192)}  # fmt: skip
    names |= {b"\n", b'"', b"\\", b'{"a": 1}\n{"b": 2}', b"\x80", b"\xff" * 255, "\u2028".encode()}
    names |= {b"\xed\xa0\x80", b"a\x1b[31m", b" ", b"-", "\U0001f600".encode(), b"\xf0\x9f\x98"}
    while len(names) < 60:
        names.add(name(rng))
    top = os.fsencode(tmp_path)
    paths = []
    for depth, one in enumerate(sorted(names)):
        at = top + b"".join(b"/" + one for _ in range(1 if depth % 2 else 3))
        os.makedirs(os.path.dirname(at), exist_ok=True)
        if not os.path.isdir(at):
            os.close(os.open(at, os.O_CREAT | os.O_WRONLY))
            paths.append(at)
    # Three times three names of 255 bytes and the executable's do not fit a short record.
    long = top + b"/" + b"/".join([b"\xfe" * 255] * 12)
    os.makedirs(os.path.dirname(long))
    os.close(os.open(long, os.O_CREAT | os.O_WRONLY))
    paths.append(long)
    lab.put(host_plan([nothing_below(tmp_path)]))
    lab.events()
    lab.label(opens.pid, 1)
    sink = Kept()
    collecting = collector(lab, sink)
    for path in paths:
        assert opens.open_all([(os.O_RDONLY, path)]) == [errno.EACCES]
        assert collecting.collect() == 1
    collecting.settle(lab.counters())
    assert sink.records("audit.lost") == []
    for line, path in zip(sink.lines, paths, strict=True):
        assert b"\n" not in line and line.isascii()
        shown = json.loads(line)["object"]
        exact = bytes.fromhex(shown["path_hex"]) if "path_hex" in shown else shown["path"].encode()
        assert exact == path
    print(f"{len(paths)} names, the longest path {max(map(len, paths))} bytes")
