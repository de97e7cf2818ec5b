# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: where a chain stood at a moment, and who vouches for it.

Knows their records and what of them is signed; holds no key and judges nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple


class Line(NamedTuple):
    """A line of a trail, without its newline, and where it stands (line numbers from 1)."""

    file: str
    number: int
    text: bytes


class Checkpoint(NamedTuple):
    """A checkpoint record: the chain's head when it was made, and who says so."""

    series: str
    n: int
    records: int
    head: str
    key: str | None
    signature: str | None
    time: str
    line: Line

    def text(self) -> bytes:
        """What is signed."""
        return checkpoint_text(self.series, self.n, self.records, self.head)


def checkpoint_text(series: str, n: int, records: int, head: str) -> bytes:
    """What the signature of a checkpoint covers."""
    return f"guard checkpoint 1\n{series}\n{n}\n{records}\n{head}\n".encode("ascii")


def checkpoints(lines: Iterable[Line]) -> Iterator[Checkpoint]:
    """The checkpoint records among the lines."""
    for line in lines:
        if b'"event":"audit.checkpoint"' not in line.text:
            continue
        told = parsed(line.text)
        said = told.get("checkpoint") if isinstance(told, dict) else None
        if not isinstance(said, dict):
            continue
        try:
            yield Checkpoint(
                str(said["series"]),
                int(said["n"]),
                int(said["records"]),
                str(said["head"]),
                said["key"],
                said["signature"],
                str(told.get("time")),
                line,
            )
        except (KeyError, TypeError, ValueError):
            continue


def parsed(text: bytes) -> Any:
    """The JSON of a line; None if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def line_id(text: bytes) -> str | None:
    """The id of the record in a line, as ``spool_reader.record_id``; None if it has none."""
    told = parsed(text)
    try:
        cpu = "-" if told["cpu"] is None else told["cpu"]
        host = told["host"]
        return f"{host['id']}/{host['boot']}/{told['epoch']}/{cpu}/{told['seq']}"
    except (TypeError, KeyError):
        return None
