# SPDX-License-Identifier: Apache-2.0
"""Where records go that a receiver will never take: a file per sink, bounded, on the disk.

Knows files. What a receiver refuses is kept whole, with the reason, so that a
person can look at it; it must neither be lost in silence nor hold up the rest,
as whoever can cause one refused record could silence the sink otherwise.
"""

from __future__ import annotations

import os
from pathlib import Path

from guard.audit.sink_file import FileSink
from guard.audit.sinks import SinkError
from guard.audit.text import line
from guard.ship.sink import Message

# Bytes of one file; there are two, so the limit for a sink is twice that. Enough
# for some 50 000 records, and little beside the spool.
LIMIT = 32 << 20

# Characters of a receiver's own words that are kept.
REASON_LIMIT = 500


class DeadLetters:
    """The file of one sink, ``NAME.ndjson``, and its predecessor, ``NAME.1.ndjson``.

    One object a line: ``refused`` (the reason), ``sink``, ``id`` and ``record``,
    the line of the spool as text. ``dropped`` counts records whose file was
    removed to make room. Is opened by the first ``put``.
    """

    def __init__(self, directory: Path, sink: str, limit: int = LIMIT) -> None:
        self._path = directory / f"{sink}.ndjson"
        self._old = directory / f"{sink}.1.ndjson"
        self._sink = sink
        self._limit = limit
        self._file: FileSink | None = None
        self._size = 0
        self.dropped = 0

    def put(self, letters: list[tuple[Message, str]]) -> None:
        """Keeps the messages, each with its reason; on the disk when it returns. Raises OSError."""
        lines = [
            line(
                {
                    "refused": reason[:REASON_LIMIT],
                    "sink": self._sink,
                    "id": message.id,
                    "record": message.line,
                }
            )
            for message, reason in letters
        ]
        size = sum(map(len, lines)) + len(lines)
        if self._file is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = FileSink(self._path)
            self._size = self._path.stat().st_size
        try:
            if self._size and self._size + size > self._limit:
                self._rotate()
            self._file.emit(lines)
            self._file.flush()
        except SinkError as error:
            raise OSError(str(error)) from None
        self._size += size

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _rotate(self) -> None:
        assert self._file is not None
        gone = _lines(self._old)
        os.rename(self._path, self._old)
        self.dropped += gone
        self._file.reopen()
        self._size = 0


def _lines(path: Path) -> int:
    try:
        with open(path, "rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 16), b""))
    except FileNotFoundError:
        return 0
