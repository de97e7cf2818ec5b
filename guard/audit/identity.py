# SPDX-License-Identifier: Apache-2.0
"""What this host knows of a process beyond its event: names, unit, container, ancestors.

Gives it as one piece of JSON, made once for a process and spliced into all of
its records. Looks things up in /proc and /sys; never waits, never raises.

A process is told by pid and start. The piece is made anew when anything that
it depends on differs: an exec (device and inode of the executable), new ids,
another cgroup, another parent. What is found under a pid in /proc may be
another process by then: a parent that began after its child is not taken for
one, and a cgroup's path is proved by its id.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from guard.audit.cgroup_names import Place, place
from guard.audit.cgroups import Cgroups
from guard.audit.memory import Generations
from guard.audit.names import Names
from guard.audit.objects import ANCESTORS, Target
from guard.audit.text import member, quoted

# Processes remembered, and parents' chains (twice this many at most): about 2 KB each.
SIZE = 1024
CHAINS = 256

# Processes looked up in a second, about 50 us each: a storm of short-lived ones
# costs a tenth of a core, and the records of the others say null.
LOOKUPS = 2000

# Bytes of an ancestor's executable; of longer ones the beginning is left out. Whoever
# makes deep directories is not to make every record of their children long.
PATH_LIMIT = 512

# An ancestor's name and executable are read again after so many seconds.
CHAIN_SECONDS = 1.0

_SECOND = 1_000_000_000
# proc(5): utime and the like are in these; start times are rounded down to them.
_TICK = _SECOND // os.sysconf("SC_CLK_TCK")


class Ancestor(NamedTuple):
    """A process above another one, as found. ``start_ns``: rounded down to a clock tick."""

    pid: int
    start_ns: int
    exe: bytes | None
    comm: bytes


class ProcessCache:
    """Implements guard.audit.render_json.Identities.

    For whoever splices the piece into records by themselves: it may be kept
    for as long as the arguments of ``fragment`` and ``version`` are the same.
    """

    def __init__(
        self,
        users: Names,
        groups: Names,
        cgroups: Cgroups | None,
        proc: Path = Path("/proc"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._users, self._groups, self._cgroups = users, groups, cgroups
        self._proc = os.fsencode(proc)
        self._clock = clock
        self._pieces: Generations[tuple[int, ...], bytes] = Generations(SIZE)
        self._places: Generations[bytes, Place] = Generations(SIZE)
        self._chains: Generations[tuple[int, int], tuple[float, tuple[Ancestor, ...]]] = (
            Generations(CHAINS)
        )
        self._named = 0
        self._second, self._lookups = float("-inf"), 0
        self._incomplete, self._made_good = False, 0

    @property
    def version(self) -> int:
        """Counts up when a piece given before would say something else or more now."""
        return self._users.version + self._groups.version + self._made_good

    def settle(self) -> None:
        """Takes over names that were learned, and gives what was left out another chance.

        To be called at intervals of a second or so.
        """
        self._users.settle()
        self._groups.settle()
        if self._incomplete:
            self._incomplete = False
            self._made_good += 1

    def fragment(
        self,
        pid: int,
        start_ns: int,
        parent: int,
        uid: int,
        gid: int,
        cgroup: int,
        exe_device: int,
        exe_inode: int,
    ) -> bytes:
        """The members of ``process`` from ``user`` on: ASCII, no comma at either end.

        Arguments are as in struct guard_event.
        """
        named = self._users.version + self._groups.version
        if named != self._named:
            self._named = named
            self._pieces.clear()
        key = (pid, start_ns, parent, uid, gid, cgroup, exe_device, exe_inode)
        piece = self._pieces.get(key)
        if piece is None:
            free = self._is_free()
            chain = self._chain(parent, start_ns) if free else None
            path = self._path(cgroup, pid, free)
            piece = _piece(
                self._users.name(uid), self._groups.name(gid), path, self._place(path), chain
            )
            if free and (path is not None or self._is_gone(cgroup)):
                self._pieces.put(key, piece)
            else:
                self._incomplete = True
        return piece

    def target(self, pid: int, boot_ns: int) -> Target:
        """What is known of a process that something was done to at that moment since boot.

        Of a process that began later, and so has only the same pid, nothing.
        """
        found = _read(self._proc, pid, boot_ns) if self._is_free() else None
        if found is None:
            return Target(pid, None, None)
        return Target(pid, found[0].start_ns, found[0].exe)

    def _is_free(self) -> bool:
        now = self._clock()
        if now - self._second >= 1.0:
            self._second, self._lookups = now, 0
        self._lookups += 1
        return self._lookups <= LOOKUPS

    def _path(self, cgroup: int, pid: int, free: bool) -> bytes | None:
        if self._cgroups is None:
            return None
        return self._cgroups.path(cgroup, pid) if free else self._cgroups.known(cgroup)

    def _is_gone(self, cgroup: int) -> bool:
        return self._cgroups is None or self._cgroups.is_gone(cgroup)

    def _place(self, path: bytes | None) -> Place:
        if path is None:
            return _NOWHERE
        found = self._places.get(path)
        if found is None:
            found = place(path)
            self._places.put(path, found)
        return found

    def _chain(self, parent: int, child_start_ns: int) -> tuple[Ancestor, ...]:
        """Parents, nearest first, as far as they are found."""
        first = _read(self._proc, parent, child_start_ns)
        if first is None:
            return ()
        own, above = first
        key = (own.pid, own.start_ns)
        now = self._clock()
        known = self._chains.get(key)
        if known is not None and now < known[0]:
            return known[1]
        found = [own]
        while len(found) < ANCESTORS:
            step = _read(self._proc, above, found[-1].start_ns)
            if step is None:
                break
            found.append(step[0])
            above = step[1]
        chain = tuple(found)
        self._chains.put(key, (now + CHAIN_SECONDS, chain))
        return chain


_NOWHERE = Place(None, None, None)


def _read(proc: bytes, pid: int, child_start_ns: int) -> tuple[Ancestor, int] | None:
    """A process and its parent's pid; None if it is gone, or began after its child."""
    if pid <= 0:
        return None
    try:
        with open(b"%b/%d/stat" % (proc, pid), "rb") as file:
            # The second field, the name, may hold spaces and parentheses itself.
            head, _, tail = file.read(4096).rpartition(b")")
        fields = tail.split()
        parent, start_ns = int(fields[1]), int(fields[19]) * _TICK
        comm = head.partition(b"(")[2]
    except (OSError, IndexError, ValueError):
        return None
    if start_ns > child_start_ns:
        return None
    try:
        exe: bytes | None = _cut(os.readlink(b"%b/%d/exe" % (proc, pid)))
    except OSError:
        exe = None  # a kernel thread, or it has just ended
    return Ancestor(pid, start_ns, exe, comm), parent


def _cut(path: bytes) -> bytes:
    """The last names of a path that is too long, without a slash before them."""
    if len(path) <= PATH_LIMIT:
        return path
    return path[-PATH_LIMIT:].partition(b"/")[2]


def _piece(
    user: bytes | None,
    group: bytes | None,
    path: bytes | None,
    found: Place,
    chain: tuple[Ancestor, ...] | None,
) -> bytes:
    container = "null"
    if found.container is not None:
        one = found.container
        pod = "null" if one.pod is None else quoted(one.pod)
        container = (
            f'{{"id":{quoted(one.id)},"runtime":"{one.runtime}","pod":{pod},'
            f'"delegated":{"true" if one.delegated else "false"}}}'
        )
    ancestors = "null" if chain is None else f"[{','.join(map(_ancestor, chain))}]"
    return (
        f"{_name('user', user)},{_name('group', group)},{_name('cgroup_path', path)},"
        f"{_name('unit', found.unit)},{_name('user_unit', found.user_unit)},"
        f'"container":{container},"ancestors":{ancestors}'
    ).encode("ascii")


def _ancestor(one: Ancestor) -> str:
    return (
        f'{{"pid":{one.pid},"start_ns":"{one.start_ns}",{_name("exe", one.exe)},'
        f"{member('comm', one.comm)}}}"
    )


def _name(name: str, raw: bytes | None) -> str:
    return f'"{name}":null' if raw is None else member(name, raw)
