# SPDX-License-Identifier: Apache-2.0
"""Event + what the policies say about it → Record: one decision, in words.

Knows the words (they are wire.h's enums in lower case) and asks an Index for
what only the loaded policies know. Does no input or output, renders nothing.

Record and Resolution are NamedTuples for the reason that Event is one.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from enum import IntEnum, StrEnum
from typing import NamedTuple, Protocol, TypeVar

from guard.audit.clock import Clock
from guard.audit.decode import Event
from guard.wire.layout import EventFlag, Hook, PathVerb, Reason


class Verdict(StrEnum):
    """What happened to the operation."""

    DENIED = "denied"
    WOULD_DENY = "would-deny"  # only policies in mode audit refuse it
    ALLOWED = "allowed"  # recorded because a rule says audit: true


class Resolution(NamedTuple):
    """Which policy and rule an event is due to.

    ``policy`` and ``mode`` are None if no policy is behind it (tables missing,
    a canary). ``rule`` is None where a section's default decided; ``file`` and
    ``line`` are then the section's. ``others`` are the names of further
    policies that refuse it, those in mode audit too, or that want a record.
    """

    policy: str | None
    mode: str | None
    rule: str | None
    file: str | None
    line: int | None
    why: str | None
    others: tuple[str, ...]


UNKNOWN = Resolution(None, None, None, None, None, None, ())


class Index(Protocol):
    """What one generation knows about its policies and this host's file systems."""

    def resolve(self, event: Event) -> Resolution:
        """The policy and rule behind the event. LookupError if its masks or classes are unknown."""

    def host_path(self, device: int, path: bytes) -> bytes | None:
        """Where the host mounts a path of the file system on ``device`` (kernel's dev_t).

        None if the host does not mount it: the path stays the file system's own.
        """


class Record(NamedTuple):
    """One decision, complete. Renderers choose what to show and how to spell it.

    ``time`` is RFC 3339. ``path`` is the host's path of the object, or the
    file system's own if ``foreign`` is among the flags; without a leading
    slash its beginning is missing (``path-cut``). The same holds for ``exe``
    with ``exe-foreign`` and ``exe-cut``; a kernel thread has None
    (``no-exe``). ``error`` is the errno's name, None if the operation was let
    through. ``resolved`` is False if no index knew the event's generation,
    masks or classes: the numbers are in ``event``.
    """

    event: Event
    kind: str
    time: str
    verdict: Verdict
    verbs: tuple[str, ...]
    reason: str
    error: str | None
    flags: tuple[str, ...]
    path: bytes
    exe: bytes | None
    resolution: Resolution
    resolved: bool


class Recorder:
    """Makes records. ``index_of`` gives the index of a generation, None if it is forgotten."""

    def __init__(self, clock: Clock, index_of: Callable[[int], Index | None]) -> None:
        self._clock = clock
        self._index_of = index_of
        # A handful of values each; remembered because they come with every event.
        self._kinds = _Memo(_kind)
        self._verbs = _Memo(_verbs)
        self._reasons = _Memo(_reason)
        self._errors = _Memo(_error)
        self._flags = _Memo(_flags)

    def record(self, event: Event) -> Record:
        """The record of one event. Whatever the event holds, there is one."""
        index = self._index_of(event.generation)
        resolution = _resolved(index, event)
        bits = event.flags
        flags = self._flags[bits]
        path = _placed(index, event.device, event.path, bits & _NOT_ON_HOST)
        if path is None:
            path = event.path
            if not bits & _NOT_ON_HOST:
                flags += (_word(EventFlag.FOREIGN),)
        exe: bytes | None = None
        if not bits & _NO_EXE:
            exe = _placed(index, event.exe_device, event.exe, bits & _EXE_CUT)
            if exe is None:
                exe = event.exe
                if not bits & _EXE_CUT:
                    flags += (EXE_FOREIGN,)
        if event.error:
            verdict = _DENIED
        elif event.denied:
            verdict = _WOULD_DENY
        else:
            verdict = _ALLOWED
        return Record(
            event,
            self._kinds[event.hook],
            self._clock.wall(event.boot_ns),
            verdict,
            self._verbs[event.verbs],
            self._reasons[event.reason],
            self._errors[event.error],
            flags,
            path,
            exe,
            resolution or UNKNOWN,
            resolution is not None,
        )


# Not in EventFlag: the kernel does not look up the executable's device.
EXE_FOREIGN = "exe-foreign"

# Plain integers and values: looking up an enum's member is dear in this place.
_NOT_ON_HOST = EventFlag.PATH_CUT | EventFlag.FOREIGN
_NO_EXE = int(EventFlag.NO_EXE)
_EXE_CUT = int(EventFlag.EXE_CUT)
_DENIED, _WOULD_DENY, _ALLOWED = Verdict


_T = TypeVar("_T")
_MEMO_SIZE = 512


class _Memo(dict[int, _T]):
    """Remembers a function of integers that are few in practice; forgets if they are not."""

    def __init__(self, function: Callable[[int], _T]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, number: int) -> _T:
        if len(self) >= _MEMO_SIZE:
            self.clear()
        value = self[number] = self._function(number)
        return value


def _word(member: IntEnum) -> str:
    return member.name.lower().replace("_", "-")


def _kind(hook: int) -> str:
    """``file.open`` for FILE_OPEN: the gate, a dot, what it gates."""
    try:
        return Hook(hook).name.lower().replace("_", ".", 1).replace("_", "-")
    except ValueError:
        return f"hook.{hook}"


def _verbs(mask: int) -> tuple[str, ...]:
    return _bits(mask, {1 << verb: _word(verb) for verb in PathVerb})


def _flags(mask: int) -> tuple[str, ...]:
    return _bits(mask, {int(flag): _word(flag) for flag in EventFlag})


def _bits(mask: int, words: dict[int, str]) -> tuple[str, ...]:
    """The words of the bits that are set, lowest first; ``bit-N`` where there is no word."""
    bits = (bit for bit in range(mask.bit_length()) if mask >> bit & 1)
    return tuple(words.get(1 << bit, f"bit-{bit}") for bit in bits)


def _reason(number: int) -> str:
    try:
        return _word(Reason(number))
    except ValueError:
        return f"reason-{number}"


def _error(number: int) -> str | None:
    if number == 0:
        return None
    return errno.errorcode.get(-number, str(number))


def _resolved(index: Index | None, event: Event) -> Resolution | None:
    if index is None:
        return None
    try:
        return index.resolve(event)
    except LookupError:
        return None


def _placed(index: Index | None, device: int, path: bytes, known_not: int) -> bytes | None:
    """The host's path, None if there is none or the flags say that it cannot be known."""
    if index is None or known_not:
        return None
    return index.host_path(device, path)
