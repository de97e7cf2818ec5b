# SPDX-License-Identifier: Apache-2.0
"""Event + what the policies say about it → Record: one decision, in words.

Knows the words (they are wire.h's enums in lower case) and asks an Index for
what only the loaded policies know. Does no input or output, renders nothing.

Record and Resolution are NamedTuples for the reason that Event is one.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import NamedTuple, Protocol

from guard.audit.clock import Clock
from guard.audit.decode import Event
from guard.audit.describe import Memo, Words, word
from guard.audit.objects import (
    Hash,
    Object,
    PacketObject,
    Stack,
    Target,
    Verdict,
)
from guard.wire.layout import EventFlag, Reason, Section


class Resolution(NamedTuple):
    """Which policy and rule an event is due to.

    ``policy`` and ``mode`` are None if no policy is behind it (tables missing,
    a canary). ``rule`` is None where a section's default decided; ``file`` and
    ``line`` are then the section's. ``others`` are the names of further
    policies that refuse it, those in mode audit too, or that want a record.
    ``tags`` are the rule's.
    """

    policy: str | None
    mode: str | None
    rule: str | None
    file: str | None
    line: int | None
    why: str | None
    others: tuple[str, ...]
    tags: tuple[str, ...] = ()


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
    """One decision about a task, complete. Renderers choose what to show and how to spell it.

    ``time`` is RFC 3339. The ``object``'s path is the host's, or the file
    system's own if ``foreign`` is among the flags; without a leading slash its
    beginning is missing (``path-cut``). The same holds for ``exe`` with
    ``exe-foreign`` and ``exe-cut``; a kernel thread has None (``no-exe``).
    ``error`` is the errno's name, None if the operation was let through.
    ``resolved`` is False if no index knew the event's generation, masks or
    classes: the numbers are in ``event``. ``suppressed``: like events that were
    counted since the last record of theirs. ``lasting``: another event with the
    same bytes, but for number, moment and processor, makes the same record, as
    long as the index is the same; False if files or processes were looked at.
    """

    event: Event
    kind: str
    time: str
    verdict: Verdict
    verbs: tuple[str, ...]
    reason: str
    error: str | None
    flags: tuple[str, ...]
    object: Object
    exe: bytes | None
    resolution: Resolution
    resolved: bool
    killed: bool = False
    suppressed: int = 0
    stack: Stack | None = None
    lasting: bool = True


class PacketRecord(NamedTuple):
    """One decision about a packet: no task is behind it. Members as in Record."""

    cpu: int
    sequence: int
    boot_ns: int
    generation: int
    kind: str
    time: str
    verdict: Verdict
    reason: str
    flags: tuple[str, ...]
    object: PacketObject
    resolution: Resolution
    suppressed: int = 0


class Hasher(Protocol):
    """Gives the hash of a program's file: guard.audit.hashes.Hashes."""

    def of(self, path: bytes, device: int, inode: int, boot_ns: int) -> Hash:
        """The hash of the file at the host's path, which must be that device and inode.

        ``boot_ns``: the moment whose content is asked for. Never raises.
        """


class Recorder:
    """Makes records.

    ``index_of`` gives the index of a generation, None if it is forgotten;
    ``hasher`` the hashes of programs, None if records go without; ``target_of``
    what is known of a process (its pid) that lived at a moment since boot.
    """

    def __init__(
        self,
        clock: Clock,
        index_of: Callable[[int], Index | None],
        hasher: Hasher | None = None,
        target_of: Callable[[int, int], Target] | None = None,
    ) -> None:
        self._clock = clock
        self._index_of = index_of
        self._hasher = hasher
        self._target_of = target_of
        # A handful of values each; remembered because they come with every event.
        self._words = Words()
        self._errors = Memo(_error)

    def host_path(self, generation: int, device: int, path: bytes) -> bytes | None:
        """Where the host has a path of a device, by a generation's index; None: nowhere."""
        index = self._index_of(generation)
        return None if index is None else index.host_path(device, path)

    def record(self, event: Event) -> Record:
        """The record of one event. Whatever the event holds, there is one."""
        index = self._index_of(event.generation)
        resolution = _resolved(index, event)
        bits = event.flags
        words = self._words
        flags = words.flags[bits]
        path = event.path
        if event.reason == _ANONYMOUS and not event.inode:
            path = MEMORY
        elif not bits & _NO_PATH and (event.section != _KERNEL or path != b"/"):
            placed = _placed(index, event.device, path, bits & _NOT_ON_HOST)
            if placed is not None:
                path = placed
            elif not bits & _NOT_ON_HOST:
                flags += (word(EventFlag.FOREIGN),)
        second = None
        if event.second:
            not_on_host = bits & (EventFlag.SECOND_CUT | EventFlag.FOREIGN)
            second = _placed(index, event.device, event.second, not_on_host) or event.second
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
        found = self._hash(event, path, flags)
        target = self._target(event)
        return Record(
            event,
            words.kind(event),
            self._clock.wall(event.boot_ns),
            verdict,
            words.verbs(event),
            words.reason[event.reason],
            self._errors[event.error],
            flags,
            words.object(event, path, second, found, target),
            exe,
            resolution or UNKNOWN,
            resolution is not None,
            bool(event.killed and event.error),
            event.suppressed,
            lasting=found is None and target is None,
        )

    def _hash(self, event: Event, path: bytes, flags: tuple[str, ...]) -> Hash | None:
        if event.section != _EXEC or self._hasher is None or path is MEMORY:
            return None
        if not _OWN_NAME.isdisjoint(flags):
            return None
        return self._hasher.of(path, event.device, event.inode, event.boot_ns)

    def _target(self, event: Event) -> Target | None:
        if not event.target:
            return None
        if self._target_of is None:
            return Target(event.target, None, None)
        return self._target_of(event.target, event.boot_ns)


# In place of a path where no file stands behind a mapping: the word that
# policies have for it, and no path, which would begin with a slash.
MEMORY = b"anonymous"

# Not in EventFlag: the kernel does not look up the executable's device.
EXE_FOREIGN = "exe-foreign"

# Plain integers and values: looking up an enum's member is dear in this place.
_NO_PATH = EventFlag.NET_OBJECT | EventFlag.ABSTRACT
_NOT_ON_HOST = EventFlag.PATH_CUT | EventFlag.FOREIGN
_NO_EXE = int(EventFlag.NO_EXE)
_EXE_CUT = int(EventFlag.EXE_CUT)
_DENIED, _WOULD_DENY, _ALLOWED = Verdict
_ANONYMOUS = int(Reason.ANONYMOUS)
_EXEC, _KERNEL = int(Section.EXEC), int(Section.KERNEL)

# With one of these the path is no name by which the host could find the file.
_OWN_NAME = frozenset(("foreign", "path-cut", "unlinked"))


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
