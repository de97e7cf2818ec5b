# SPDX-License-Identifier: Apache-2.0
"""Takes a spool's directory over: makes it, or finds out what an earlier run left there.

Knows the state that lies beside the segments. Decides nothing about records:
what follows the last sealed batch was never counted as written, and is cut off.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from guard.audit.chain import GENESIS, Head
from guard.audit.spool_disk import CURSORS_MODE, DIRECTORY_MODE, Disk
from guard.audit.spool_evict import Held
from guard.audit.spool_files import (
    AGES,
    ASIDE,
    CURSORS,
    FORMAT,
    FORMAT_FILE,
    HEADS,
    SERIES,
    Segment,
    segment_path,
    segments,
)
from guard.audit.spool_heads import encode_heads, read_heads
from guard.audit.spool_series import last_seal

# What a directory may hold that is not a spool yet: the pieces of one whose
# making was interrupted, and what mkfs puts into a file system of its own.
_HARMLESS = {CURSORS, ASIDE, "lost+found", f".{FORMAT_FILE}.new", HEADS}

_ASIDE_LIMIT = 10_000


class SpoolBusy(Exception):
    """Another collector writes to this spool."""


@dataclass(frozen=True, slots=True)
class Torn:
    """What was cut off a series' end: about so many records, and what became of them."""

    records: int
    detail: str


@dataclass(slots=True)
class Opened:
    """A spool as it was found. ``held`` are its segments, all closed; ``ran`` its clock."""

    lock: int
    held: list[Held] = field(default_factory=list)
    heads: dict[str, Head] = field(default_factory=dict)
    torn: dict[str, Torn] = field(default_factory=dict)
    put_aside: list[Path] = field(default_factory=list)
    ran: float = 0.0


def open_directory(directory: Path, disk: Disk, group: int | None) -> Opened:
    """Makes the directory a spool or takes the one there over. Raises OSError, SpoolBusy."""
    away = _foreign_away(directory, disk)
    disk.make_directory(directory, DIRECTORY_MODE, group)
    disk.make_directory(directory / CURSORS, CURSORS_MODE, group)
    disk.make_directory(directory / ASIDE, DIRECTORY_MODE, group)
    marker = directory / FORMAT_FILE
    if not marker.exists():
        disk.overwrite(directory / HEADS, encode_heads({}))
        disk.replace(marker, FORMAT)
        disk.sync_directory(directory)
    try:
        opened = Opened(disk.lock(marker))
    except BlockingIOError:
        raise SpoolBusy(f"{directory}: another guard writes to this spool") from None
    try:
        if away is not None:
            opened.put_aside.append(away)
        opened.ran, closed = _read_ages(directory / AGES)
        remembered = read_heads(directory)
        for series in SERIES:
            _take_over(directory, series, disk, opened, remembered, closed)
    except BaseException:
        disk.close(opened.lock)
        raise
    return opened


def keep_aside(directory: Path, path: Path, disk: Disk) -> Path:
    """Moves a file of the spool into ``aside/``; returns where it is. Raises OSError."""
    return _rename_free(path, directory / ASIDE / path.name, disk)


def encode_ages(ran: float, held: Sequence[Held]) -> bytes:
    """The file that says when segments were closed, by the spool's own clock."""
    closed = {f"{one.series}-{one.first}": one.closed for one in held if one.closed is not None}
    return json.dumps({"ran": ran, "closed": closed}).encode() + b"\n"


def _foreign_away(directory: Path, disk: Disk) -> Path | None:
    """Renames what is at the directory's place and not a spool of ours."""
    try:
        names = set(os.listdir(directory))
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        return _rename_free(directory, directory.with_name(f"{directory.name}.aside"), disk)
    if not names - _HARMLESS:
        return None
    with contextlib.suppress(OSError):
        if (directory / FORMAT_FILE).read_bytes() == FORMAT:
            return None
    return _rename_free(directory, directory.with_name(f"{directory.name}.aside"), disk)


def _rename_free(old: Path, new: Path, disk: Disk) -> Path:
    for number in range(1, _ASIDE_LIMIT):
        free = new.with_name(f"{new.name}-{number}")
        if not os.path.lexists(free):
            disk.rename(old, free)
            return free
    raise OSError(f"{new}-1 to -{_ASIDE_LIMIT - 1} are all there: look at them and remove some")


def _take_over(
    directory: Path,
    series: str,
    disk: Disk,
    opened: Opened,
    remembered: dict[str, Head],
    closed: dict[str, float],
) -> None:
    found = segments(directory, series)
    head: Head | None = None
    newest = len(found)
    # From the newest on, back to one that ends with a sealed batch.
    while newest and head is None:
        newest -= 1
        head = _mend(directory, found[newest], disk, opened)
    last = found[-1].first if found else 0
    if head is None:
        newest = -1
        head = remembered.get(series, Head())
        if head.first < last:  # the chain's last batch is gone: it begins anew, visibly
            head = Head(0, last, GENESIS)
    # An empty segment behind the newest tells by its name that there were more records.
    opened.heads[series] = head = head._replace(first=max(head.first, last))
    for empty in found[newest + 1 :]:
        with contextlib.suppress(FileNotFoundError):
            disk.unlink(empty.path)
    found = found[: newest + 1]
    ends = [segment.first for segment in found][1:] + [head.first][: len(found)]
    for segment, end in zip(found, ends, strict=True):
        when = closed.get(f"{series}-{segment.first}", opened.ran)
        size = segment.path.stat().st_size
        opened.held.append(Held(series, segment.first, end, size, when))


def _mend(directory: Path, segment: Segment, disk: Disk, opened: Opened) -> Head | None:
    """Cuts off what follows the last sealed batch; where the chain stands behind that."""
    try:
        file = disk.open_to_append(segment.path)
    except OSError:  # a link, a directory, a device: not what guard made
        opened.put_aside.append(keep_aside(directory, segment.path, disk))
        return None
    try:
        found = last_seal(segment.path)
        size = disk.size(file)
        if found is not None and (
            found.seal.series != segment.series or found.seal.first < segment.first
        ):
            opened.put_aside.append(keep_aside(directory, segment.path, disk))
            return None
        end = found.end if found is not None else 0
        if size > end:
            _cut(directory, segment, disk, opened, file, end)
        return found.seal.head() if found is not None else None
    finally:
        disk.close(file)


def _cut(
    directory: Path, segment: Segment, disk: Disk, opened: Opened, file: int, end: int
) -> None:
    with open(segment.path, "rb") as source:
        source.seek(end)
        tail = source.read()
    records = tail.count(b"\n") + (not tail.endswith(b"\n"))
    detail = f"{len(tail)} bytes behind {segment.path.name}:{end} were not a whole batch"
    copy = segment_path(directory / ASIDE, f"torn-{segment.series}", segment.first)
    try:
        if not copy.exists():
            disk.replace(copy, tail)
            opened.put_aside.append(copy)
    except OSError as error:
        detail += f"; they could not be kept: {error.strerror}"
    disk.truncate(file, end)
    disk.sync(file)
    before = opened.torn.get(segment.series)
    opened.torn[segment.series] = Torn(records + (before.records if before else 0), detail)


def _read_ages(path: Path) -> tuple[float, dict[str, float]]:
    """The spool's clock and when segments were closed; as if all were new if unreadable."""
    try:
        told = json.loads(path.read_bytes())
        ran = float(told["ran"])
        closed = {str(name): min(float(when), ran) for name, when in told["closed"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return 0.0, {}
    return ran, closed
