# SPDX-License-Identifier: Apache-2.0
"""What a worker of the shipper delivers per second: from a real spool, by format and sink.

    python -m tests.bench.ship

One thread, one sink; the receiver is in memory, or the file sink on a temporary
directory. Processor time of this process; three runs, the middle one and the spread.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from guard.audit.spool import Spool
from guard.audit.spool_files import DENIALS
from guard.ship.deadletter import DeadLetters
from guard.ship.formats import FORMATS, renderer
from guard.ship.sink import DELIVERED, Message, Outcome, Sink
from guard.ship.source import SpoolSource
from guard.ship.to_file import RotatedFile, Rotation
from guard.ship.worker import Plan, Worker
from tests.ship.support import lines

RECORDS = 20_000
RUNS = 3


class Memory:
    """Takes everything."""

    def send(self, _batch: Sequence[Message]) -> Outcome:
        return DELIVERED

    def close(self) -> None:
        pass


def measure(form: str, to_file: bool) -> tuple[float, float]:
    """Records per second of processor time, and of wall time."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        spool = Spool(place / "spool")
        for at in range(0, RECORDS, 1000):
            spool.append(DENIALS, lines(*range(at, at + 1000)))
        Spool(place / "own").close()

        def make() -> Sink:
            if to_file:
                return RotatedFile(place / "out", Rotation(), time.monotonic)
            return Memory()

        worker = Worker(
            "bench",
            (SpoolSource(place / "spool", "bench"), SpoolSource(place / "own", "bench")),
            renderer(form),
            make,
            DeadLetters(place / "refused", "bench"),
            Plan(),
            lambda _: None,
        )
        began, used = time.monotonic(), time.process_time()
        while worker.stats.delivered < RECORDS:
            worker.step()
        wall, cpu = time.monotonic() - began, time.process_time() - used
        worker.close()
        spool.close()
        return RECORDS / cpu, RECORDS / wall


def main() -> None:
    for to_file in (False, True):
        for form in FORMATS if not to_file else ("flat",):
            runs = sorted(measure(form, to_file) for _ in range(RUNS))
            low, middle, high = runs[0], runs[len(runs) // 2], runs[-1]
            print(
                f"{'file' if to_file else 'memory'} {form:8} {middle[0]:8.0f}/s of processor time"
                f" ({low[0]:.0f} to {high[0]:.0f}), {middle[1]:.0f}/s of wall time"
            )


if __name__ == "__main__":
    main()
