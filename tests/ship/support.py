# SPDX-License-Identifier: Apache-2.0
"""What the shipper's tests share: records, a spool in memory, a sink and a clock to order about."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from guard.audit.reading import record_id
from guard.audit.spool_cursor import Place, Position
from guard.audit.spool_reader import Batch
from guard.ship.config import Config, parse
from guard.ship.deadletter import DeadLetters
from guard.ship.sink import DELIVERED, Message, Outcome, Refused, Sink, Unavailable
from guard.ship.source import NoSpool
from guard.ship.worker import Happening, Plan, Turn, Worker

HOST = {"name": "web-1", "id": "0123456789abcdef0123456789abcdef", "boot": "b0071d"}


def record(number: int, **more: Any) -> dict[str, Any]:
    """A flat record of a denial, as far as a sink looks at one."""
    return {
        "schema": 2,
        "event": "file.open",
        "time": f"2026-11-23T20:03:{number % 60:02}.514199Z",
        "boot_ns": "16913595702",
        "host": HOST,
        "epoch": "host@16503381797",
        "cpu": 0,
        "seq": number,
        "verdict": "denied",
        "error": "EACCES",
        "reason": "policy",
        "verbs": ["read"],
        "policy": {"name": "web", "mode": "enforce", "generation": 1},
        "rule": {
            "id": "no-shadow",
            "file": "web.yaml",
            "line": 10,
            "why": "credential theft",
            "tags": ["T1003.008"],
        },
        "others": [],
        "object": {"kind": "file", "path": "/etc/shadow", "device": "8:1", "inode": "6"},
        "process": {
            "pid": 186,
            "tid": 186,
            "parent": 184,
            "start_ns": "16879231367",
            "exe": "/usr/bin/cat",
            "exe_device": "8:1",
            "exe_inode": "520265",
            "uid": 0,
            "gid": 0,
            "cgroup": "1",
            "comm": "cat",
            "user": "root",
            "group": "root",
            "cgroup_path": "/system.slice/nginx.service",
            "unit": "nginx.service",
            "user_unit": None,
            "container": None,
            "ancestors": [],
        },
        "flags": [],
        "killed": False,
        "suppressed": 0,
        **more,
    }


def lines(*numbers: int, **more: Any) -> list[bytes]:
    """Lines of the spool, one for each number."""
    return [
        json.dumps(record(number, **more), separators=(",", ":")).encode() for number in numbers
    ]


def message(number: int, body: bytes | None = None, **more: Any) -> Message:
    """A message as a worker makes it; the body is the flat line."""
    told = record(number, **more)
    line = json.dumps(told, separators=(",", ":")).encode()
    return Message(record_id(told), told, line, line if body is None else body)


def messages(count: int, **more: Any) -> list[Message]:
    """That many messages, numbered from 0."""
    return [message(number, **more) for number in range(count)]


def seq(line: bytes) -> int:
    """A record's number."""
    return int(json.loads(line)["seq"])


class MemorySource:
    """A spool in memory. Positions count records. ``broken``: why it cannot be read."""

    def __init__(self, stored: Sequence[bytes] = ()) -> None:
        self.stored = list(stored)
        self.at = 0
        self.acked = 0
        self.broken = ""
        self.ack_broken = ""

    def read(self, max_records: int, max_bytes: int) -> Batch:
        self._require()
        end = self.at
        size = 0
        while end < len(self.stored) and end - self.at < max_records:
            size += len(self.stored[end])
            if end > self.at and size > max_bytes:
                break
            end += 1
        found = self.stored[self.at : end]
        self.at = end
        return Batch(found, Position(Place(next=end), Place()))

    def ack(self, end: Position) -> None:
        if self.ack_broken:
            raise NoSpool(self.ack_broken)
        self.acked = max(self.acked, end.denials.next)

    def backlog(self) -> tuple[int, int]:
        self._require()
        rest = self.stored[self.at :]
        return len(rest), sum(map(len, rest))

    def losses(self) -> tuple[int, int]:
        return 0, 0

    def close(self) -> None:
        self.at = self.acked

    def _require(self) -> None:
        if self.broken:
            raise NoSpool(self.broken)


class FakeClock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class ScriptedSink:
    """Takes records; ``answers`` are called first, one for each send, until none is left.

    ``poison``: numbers of records that it refuses a whole batch for.
    """

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.batches: list[list[int]] = []
        self.answers: list[Callable[[Sequence[Message]], Outcome | None]] = []
        self.poison: set[int] = set()
        self.down = ""
        self.made = 0
        self.closed = 0

    def make(self) -> Sink:
        self.made += 1
        if self.down:
            raise Unavailable(self.down)
        return self

    def send(self, batch: Sequence[Message]) -> Outcome:
        numbers = [int(one.record["seq"]) for one in batch]
        self.batches.append(numbers)
        if self.down:
            raise Unavailable(self.down)
        if self.answers:
            outcome = self.answers.pop(0)(batch)
            if outcome is not None:
                gone = {*outcome.again, *outcome.refused}
                self.taken += [one for at, one in enumerate(numbers) if at not in gone]
                return outcome
        if self.poison & set(numbers):
            raise Refused("HTTP 400: a field is wrong")
        self.taken += numbers
        return DELIVERED

    def close(self) -> None:
        self.closed += 1


class Bench:
    """A worker with everything around it made up."""

    def __init__(self, tmp: Path, stored: Sequence[bytes] = (), plan: Plan | None = None) -> None:
        self.clock = FakeClock()
        self.spool = MemorySource(stored)
        self.own = MemorySource()
        self.sink = ScriptedSink()
        self.told: list[Happening] = []
        self.dead = DeadLetters(tmp / "refused", "siem")
        self.worker = Worker(
            "siem",
            (self.spool, self.own),
            lambda _record, line: line,
            lambda: self.sink.make(),  # noqa: PLW0108 - tests replace it
            self.dead,
            plan or Plan(records=10),
            self.told.append,
            self.clock,
            lambda: 1_700_000_000.0 + self.clock.now,
            lambda: 0.5,
        )

    def run(self, seconds: float) -> None:
        """Steps the worker until so many seconds of the clock have passed."""
        until = self.clock.now + seconds
        while self.clock.now < until:
            self.clock.now += self.worker.step()

    def settle(self) -> None:
        """Steps until the worker wants to wait."""
        for _ in range(100_000):
            if self.worker.step():
                return
        raise AssertionError("the worker never waits")

    def turns(self) -> list[Turn]:
        return [one.turn for one in self.told]

    def assert_law(self) -> None:
        """read = delivered + refused + in hand, and what is acknowledged was one of the first."""
        stats = self.worker.stats
        assert stats.read == stats.delivered + stats.refused + stats.in_hand
        assert self.spool.acked + self.own.acked <= stats.delivered + stats.refused


def configured(directory: Path, sinks: str) -> Config:
    """A shipper's configuration with these sinks, over a spool in this directory."""
    text = f"version: 1\nspool: {directory}/spool\nstate: {directory}/state\nsinks:\n{sinks}"
    parsed = parse(text.encode(), "ship.yaml")
    assert parsed.config is not None, parsed.diagnostics
    return parsed.config


def file_sink(name: str, directory: Path) -> str:
    """A sink that writes quickly into a file of its name."""
    quick = "batch: {wait: 10ms, records: 20}, retry: {first: 10ms, most: 50ms}"
    return f"  - {{name: {name}, type: file, path: {directory}/{name}.ndjson, {quick}}}\n"


def whole_records(path: Path) -> list[dict[str, Any]]:
    """The whole records that a file sink has written."""
    if not path.exists():
        return []
    whole, _, _ = path.read_bytes().rpartition(b"\n")  # the last line may be under way
    return [json.loads(line) for line in whole.splitlines()]


def numbers_in(path: Path) -> list[int]:
    """The numbers of the denials among them."""
    return [one["seq"] for one in whole_records(path) if one["event"] == "file.open"]
