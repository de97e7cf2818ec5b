# SPDX-License-Identifier: Apache-2.0
"""Set files: a prefix a line, read exactly, and a million of them in well under a second.

The quick reading takes lines of one form by numpy and leaves every other line
to the exact one, so that both give the same. Opens no file.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from guard.errors import GuardError
from guard.policy import prefixes
from guard.policy.diagnostic import quoted
from guard.policy.ingress import Prefix
from guard.policy.limits_ingress import SET_FILE_SIZE, SET_PREFIXES
from guard.policy.prefixes import Unread

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# What follows one of these on a line is for people: blocklists use either.
_COMMENT = re.compile(rb"[#;]")

_SLASH, _DOT, _NEWLINE, _ZERO = ord("/"), ord("."), ord("\n"), ord("0")

_HALF = (1 << 64) - 1

# Wrong lines that one error names.
_TOLD = 5


class BadLine(NamedTuple):
    """A line that is no prefix; ``line`` and ``column`` count from 1."""

    line: int
    column: int
    message: str
    help: str | None


class SetFileError(GuardError):
    """A set that cannot be used as it stands; the message names file, line and column."""

    def __init__(self, file: str, bad: Sequence[BadLine]) -> None:
        self.bad = tuple(bad)
        first = bad[0]
        told = [f"{file}:{one.line}:{one.column}: {one.message}" for one in bad[:_TOLD]]
        if len(bad) > _TOLD:
            told.append(f"and {len(bad) - _TOLD} more lines")
        super().__init__("\n".join(told), remedy=first.help)


@dataclass(frozen=True, slots=True)
class Prefixes:
    """Prefixes in columns. IPv6 addresses are two halves of 64 bits; host order throughout."""

    v4: NDArray[np.uint32]
    v4_lengths: NDArray[np.uint8]
    v6_high: NDArray[np.uint64]
    v6_low: NDArray[np.uint64]
    v6_lengths: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.v4) + len(self.v6_high)

    def __iter__(self) -> Iterator[Prefix]:
        for address, length in zip(self.v4.tolist(), self.v4_lengths.tolist(), strict=True):
            yield Prefix(4, address, length)
        halves = (self.v6_high.tolist(), self.v6_low.tolist(), self.v6_lengths.tolist())
        for high, low, length in zip(*halves, strict=True):
            yield Prefix(6, high << 64 | low, length)


def columns(some: Sequence[Prefix]) -> Prefixes:
    """Prefixes, put into columns."""
    import numpy as np  # noqa: PLC0415 - whoever has no sets needs none

    four = [one for one in some if one.family == 4]
    six = [one for one in some if one.family == 6]
    return Prefixes(
        np.array([one.address for one in four], np.uint32),
        np.array([one.length for one in four], np.uint8),
        np.array([one.address >> 64 for one in six], np.uint64),
        np.array([one.address & (1 << 64) - 1 for one in six], np.uint64),
        np.array([one.length for one in six], np.uint8),
    )


def join(name: str, parts: Sequence[Prefixes]) -> Prefixes:
    """Several as one. Raises GuardError when a set would be too large."""
    import numpy as np  # noqa: PLC0415 - as above

    total = sum(map(len, parts))
    if total > SET_PREFIXES:
        raise GuardError(
            f"the set {quoted(name)} would have {total} prefixes; at most {SET_PREFIXES} fit",
            remedy="join neighbours to shorter prefixes, or spread them over several sets",
        )
    return Prefixes(
        np.concatenate([part.v4 for part in parts]),
        np.concatenate([part.v4_lengths for part in parts]),
        np.concatenate([part.v6_high for part in parts]),
        np.concatenate([part.v6_low for part in parts]),
        np.concatenate([part.v6_lengths for part in parts]),
    )


def read_set(data: bytes, file: str) -> Prefixes:
    """All prefixes of a set file's content. Raises SetFileError naming each wrong line's place."""
    import numpy as np  # noqa: PLC0415 - as above

    if len(data) > SET_FILE_SIZE:
        raise SetFileError(
            file,
            [BadLine(1, 1, f"a set file has at most {SET_FILE_SIZE >> 20} MiB", None)],
        )
    if data and not data.endswith(b"\n"):
        data += b"\n"
    v4, lengths, other = _quick(data)
    found: list[Prefix] = []
    bad: list[BadLine] = []
    # Numbers in arrays: a million small objects would cost ten times as much.
    high, low, sizes = array("Q"), array("Q"), array("B")
    for number, start, end in other:
        line = data[start:end]
        quick = _six(line)
        if quick >= 0:
            high.append(quick >> 72)
            low.append(quick >> 8 & _HALF)
            sizes.append(quick & 0xFF)
            continue
        one = _line(line, number)
        if isinstance(one, BadLine):
            bad.append(one)
        elif one is not None:
            found.append(one)
    if bad:
        raise SetFileError(file, bad)
    six = (np.array(high, np.uint64), np.array(low, np.uint64), np.array(sizes, np.uint8))
    return join(file, [Prefixes(v4, lengths, *six), columns(found)])


def exact(data: bytes, file: str) -> list[Prefix]:
    """As read_set, line by line and without numpy: the quick reading's oracle."""
    found: list[Prefix] = []
    bad: list[BadLine] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        one = _line(line, number)
        if isinstance(one, BadLine):
            bad.append(one)
        elif one is not None:
            found.append(one)
    if bad:
        raise SetFileError(file, bad)
    return found


def _line(line: bytes, number: int) -> Prefix | BadLine | None:
    """One line's prefix; None when there is none on it."""
    comment = _COMMENT.search(line)
    content = line[: comment.start()] if comment else line
    stripped = content.strip(b" \t\r\v\f")
    if not stripped:
        return None
    text = stripped.decode("utf-8", "replace")
    one = prefixes.read(text)
    if isinstance(one, Unread):
        column = len(content) - len(content.lstrip(b" \t\r\v\f")) + 1
        return BadLine(number, column + one.start, one.message, one.help)
    return one


def _six(text: bytes) -> int:
    """The frequent form of an IPv6 network, ``a:b::/n``, as address << 8 | length.

    -1 leaves it to the exact reading.
    """
    head, colons, size = text.partition(b"::/")
    if not colons or not size.isdigit() or size[:1] == b"0" or len(size) > 3:
        return -1
    groups = head.split(b":")
    length = int(size)
    if len(groups) > 7 or length > 128 or 16 * len(groups) > length + 15:
        return -1
    address = 0
    for group in groups:
        if not 0 < len(group) <= 4 or not group.isalnum():
            return -1
        try:
            address = address << 16 | int(group, 16)
        except ValueError:
            return -1
    address <<= 128 - 16 * len(groups)
    if not address >> 112:  # IPv4's form, maybe
        return -1
    return -1 if address & ((1 << 128 - length) - 1) else address << 8 | length


def _quick(
    data: bytes,
) -> tuple[NDArray[np.uint32], NDArray[np.uint8], Iterable[tuple[int, int, int]]]:
    """Lines that are exactly an IPv4 address or prefix, and the others' numbers and places."""
    import numpy as np  # noqa: PLC0415 - as above

    text = np.frombuffer(data, np.uint8)
    digit = (text >= _ZERO) & (text <= _ZERO + 9)
    marks = np.flatnonzero(~digit)  # what ends a number, in order
    kinds = text[marks]
    ends = np.flatnonzero(kinds == _NEWLINE)  # of lines, as positions in marks
    if not len(ends):
        return np.empty(0, np.uint32), np.empty(0, np.uint8), []
    sizes = np.diff(marks, prepend=-1) - 1
    # A number's digits are the bytes before its mark; what lies before it is masked away.
    padded = np.concatenate([np.zeros(3, np.uint8), text])
    values = np.zeros(len(marks), np.uint32)
    for place, weight in ((1, 1), (2, 10), (3, 100)):
        values += np.where(sizes >= place, padded[marks + 3 - place] - np.uint8(_ZERO), 0) * (
            np.uint32(weight)
        )
    first_digit = padded[marks + 3 - np.clip(sizes, 1, 3)]
    whole = (sizes >= 1) & (sizes <= 3) & ((sizes == 1) | (first_digit != _ZERO))
    begins = np.concatenate([[0], ends[:-1] + 1])  # of lines, as positions in marks
    count = ends - begins + 1
    good = (count == 4) | (count == 5)
    at = np.where(good, begins, 0)
    # Positions past a short line's own marks are never believed: good says so.
    reach = np.minimum(at[:, None] + np.arange(5), len(marks) - 1)
    number, kind, fine = values[reach], kinds[reach], whole[reach]
    good &= (kind[:, :3] == _DOT).all(1) & fine[:, :4].all(1) & (number[:, :4] <= 255).all(1)
    sized = count == 5
    good &= ~sized | ((kind[:, 3] == _SLASH) & fine[:, 4] & (number[:, 4] <= 32))
    length = np.where(sized, number[:, 4], 32).astype(np.uint64)
    address = (number[:, 0] << 24) | (number[:, 1] << 16) | (number[:, 2] << 8) | number[:, 3]
    host = (np.uint64(1) << (np.uint64(32) - np.minimum(length, np.uint64(32)))) - np.uint64(1)
    good &= (address & host) == 0
    line_ends = marks[ends]
    line_starts = np.concatenate([[0], line_ends[:-1] + 1])
    rest = np.flatnonzero(~good & (line_ends > line_starts))
    places = zip(
        (rest + 1).tolist(), line_starts[rest].tolist(), line_ends[rest].tolist(), strict=True
    )
    return address[good].astype(np.uint32), length[good].astype(np.uint8), places
