# SPDX-License-Identifier: Apache-2.0
"""Bytes of the ring → Event: what the kernel said, in Python's types.

Knows the wire layout only: no policies, no host, no rendering, no system calls.

Event is a NamedTuple and not a dataclass because one is made per event: a
frozen dataclass of this many fields costs about ten times as much to build.
"""

from __future__ import annotations

import struct
from operator import itemgetter
from typing import NamedTuple

from guard.wire.layout import COUNTERS, EVENT, EventFlag


class Event(NamedTuple):
    """One struct guard_event, fields as in lsm/wire.h, numbers uninterpreted.

    ``path``, ``second`` (the other path of a rename or link, or b"") and ``exe``
    are the names inside their file systems, root first: ``/`` or ``/a/b``. Where
    the flag PATH_CUT (SECOND_CUT, EXE_CUT) says that the names nearest the root
    are missing, the rest has no leading slash: ``b/c``. With ABSTRACT ``path``
    is the name of a UNIX socket as it is. ``address`` has 0, 4 or 16 bytes.
    ``comm`` ends before its first NUL.
    """

    sequence: int
    boot_ns: int
    policies: int
    denied: int
    by_rule: int
    enforced: int
    audited: int
    killed: int
    inode: int
    generation: int
    section: int
    hook: int
    verbs: int
    operation: int
    reason: int
    cpu: int
    flags: int
    error: int
    device: int
    target: int
    suppressed: int
    class_id: tuple[int, ...]
    path: bytes
    second: bytes
    exe: bytes
    family: int
    type: int
    protocol: int
    port: int
    address: bytes
    exe_inode: int
    cgroup: int
    start_ns: int
    exe_device: int
    pid: int
    tid: int
    parent: int
    uid: int
    gid: int
    comm: bytes


class Counters(NamedTuple):
    """One CPU's struct guard_counters, members as in lsm/wire.h."""

    attempts: int
    dropped: int
    denied: int
    audited: int
    unclassified: int
    label_failed: int
    killed: int


class DecodeError(Exception):
    """A record that is not an event.

    ``cpu`` and ``sequence`` are known if at least the fixed part was there,
    else None: with them the record's number is not taken for a hole.
    """

    def __init__(self, because: str, cpu: int | None = None, sequence: int | None = None) -> None:
        super().__init__(because)
        self.cpu = cpu
        self.sequence = sequence


# Members of the struct that Event has in another form.
_CHANGED = ("class_id", "path", "second", "exe", "address", "comm")
_SIZES = ("path_size", "second_size", "exe_size", "address_size", "flags", "address", "comm")
_SLASH = ord("/")
_SIZE = EVENT.size
# Plain integers: looking up an enum's member costs as much as the rest of a check.
_PATH_CUT = int(EventFlag.PATH_CUT)
_SECOND_CUT = int(EventFlag.SECOND_CUT)
_EXE_CUT = int(EventFlag.EXE_CUT)
_ABSTRACT = int(EventFlag.ABSTRACT)


class Decoder:
    """Decodes records of the layout that this build was generated from."""

    def __init__(self) -> None:
        # One name a value, as unpacking gives them; the order is the wire's business.
        names: list[str] = []
        for name, field in EVENT.fields.items():
            names += [name] * (1 if field.code == "c" else field.count)
        unread = set(names) ^ set(Event._fields)
        if unread != {"path", "second", "exe", *_SIZES[:4], "reserved"}:
            raise AssertionError("struct guard_event has changed: Event must follow it")
        self._unpack = struct.Struct(EVENT.format()).unpack_from
        self._sizes = itemgetter(*map(names.index, _SIZES))
        group = names.index("class_id")
        self._groups = slice(group, group + EVENT.fields["class_id"].count)
        changed = {name: len(names) + at for at, name in enumerate(_CHANGED)}
        self._values = itemgetter(
            *(changed[name] if name in changed else names.index(name) for name in Event._fields)
        )
        self._place = itemgetter(names.index("cpu"), names.index("sequence"))

    def event(self, record: bytes) -> Event:
        """The event in one ring record, which may be longer than the event.

        Raises DecodeError if the record is too short for the fixed part or for
        the paths it announces, or if a path's last name has no '/' behind it
        although nothing was cut. Never raises anything else.
        """
        size = len(record)
        if size < _SIZE:
            raise DecodeError(f"{size} bytes; an event has at least {EVENT.size}")
        values = self._unpack(record)
        path_size, second_size, exe_size, address_size, flags, address, comm = self._sizes(values)
        second_at = _SIZE + path_size
        exe_at = second_at + second_size
        end = exe_at + exe_size
        if end > size or address_size > len(address):
            because = f"names of {path_size}, {second_size} and {exe_size} bytes in {size}"
            raise DecodeError(because, *self._place(values))
        try:
            path = record[_SIZE:second_at]
            if not flags & _ABSTRACT:
                path = rooted(path, flags & _PATH_CUT)
            second = b""
            if second_size:
                second = rooted(record[second_at:exe_at], flags & _SECOND_CUT)
            exe = rooted(record[exe_at:end], flags & _EXE_CUT)
        except ValueError as error:
            raise DecodeError(str(error), *self._place(values)) from None
        groups = values[self._groups]
        name = comm.partition(b"\0")[0]
        return Event._make(
            self._values((*values, groups, path, second, exe, address[:address_size], name))
        )


def counters(value: bytes) -> Counters:
    """One CPU's counters from its struct guard_counters.

    Raises DecodeError if the size is not the struct's.
    """
    if len(value) != COUNTERS.size:
        raise DecodeError(f"{len(value)} bytes of counters, not {COUNTERS.size}")
    return Counters(*struct.unpack(COUNTERS.format(), value))


def rooted(names: bytes, cut: int) -> bytes:
    """Names from the leaf up, each followed by '/', as a path from the root down.

    Empty names are kept: what a hostile file system calls its files must not
    be able to make a record undecodable.
    """
    if not cut:
        if names and names[-1] != _SLASH:
            raise ValueError("a name without its '/'")
        return b"/".join(names.split(b"/")[::-1]) or b"/"
    # The name nearest the root may itself be cut short; a part of a name would mislead.
    return b"/".join(names.split(b"/")[-2::-1])
