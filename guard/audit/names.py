# SPDX-License-Identifier: Apache-2.0
"""Users' and groups' numbers → names, without ever waiting.

/etc/passwd and /etc/group are read here. What they do not have (LDAP, SSSD,
systemd's dynamic users) is asked of the C library in a thread of its own,
because such a question may hang as long as a directory server does; the
answer is there for the records that come later.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

from guard.audit.memory import Generations

# Names remembered (twice this many at most), known and unknown ones.
SIZE = 2048
# Bytes read of a file: a hundred thousand users. What is beyond is asked of the C library.
FILE_LIMIT = 8 << 20
# Questions that may wait for the thread; more are asked again when they come up again.
QUESTIONS = 256
# Questions in a second: whoever may make users up must not make a directory server busy.
QUESTIONS_A_SECOND = 20
# A name that was unknown, or known, is asked for again after so many seconds.
UNKNOWN_SECONDS, KNOWN_SECONDS = 60.0, 600.0
# How often a file's time is looked at.
LOOK_SECONDS = 1.0

Lookup = Callable[[int], str]


def nss_user(uid: int) -> str:
    """The C library's name for a user. Raises KeyError if there is none."""
    return pwd.getpwuid(uid).pw_name


def nss_group(gid: int) -> str:
    """The C library's name for a group. Raises KeyError if there is none."""
    return grp.getgrgid(gid).gr_name


class Names:
    """One kind of names. ``lookup`` None: the file alone decides.

    ``version`` counts up when an answer given before would be another now.
    """

    def __init__(
        self,
        path: Path,
        lookup: Lookup | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.version = 0
        self._path = path
        self._clock = clock
        self._look_at = float("-inf")
        self._stamp: tuple[int, int, int] | None = None
        self._listed: dict[int, bytes] = {}
        self._asked = _Asked(lookup, clock) if lookup is not None else None

    def name(self, number: int) -> bytes | None:
        """The name, None if there is none or it is not known yet. Never waits, never raises."""
        now = self._clock()
        if now >= self._look_at:
            first = self._look_at == float("-inf")
            self._look_at = now + LOOK_SECONDS
            if self._look() and not first:
                self.version += 1
        found = self._listed.get(number)
        if found is None and self._asked is not None:
            found = self._asked.name(number)
        return found

    def settle(self) -> None:
        """Takes over what the thread has learned; to be called at intervals of a second or so."""
        if self._asked is not None and self._asked.learned():
            self.version += 1

    def _look(self) -> bool:
        """Reads the file if it is another one now; whether it was."""
        try:
            status = os.stat(self._path)
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
            if stamp == self._stamp:
                return False
            with open(self._path, "rb") as file:
                self._listed = parse(file.read(FILE_LIMIT))
        except OSError:
            return False  # what was known stays known
        self._stamp = stamp
        return True


def parse(text: bytes) -> dict[int, bytes]:
    """The numbers and names of passwd(5) or group(5); of two names, the first counts."""
    found: dict[int, bytes] = {}
    for line in text.split(b"\n"):
        fields = line.split(b":")
        if len(fields) > 2 and fields[0] and fields[2].isdigit() and len(fields[2]) <= 10:
            found.setdefault(int(fields[2]), fields[0])
    return found


class _Asked:
    """Answers of the C library. Only the thread waits for them."""

    def __init__(self, lookup: Lookup, clock: Callable[[], float]) -> None:
        self._lookup = lookup
        self._clock = clock
        self._questions: queue.Queue[int] = queue.Queue(QUESTIONS)
        self._answers: queue.SimpleQueue[tuple[int, bytes | None]] = queue.SimpleQueue()
        # A name or None, and when to ask again. A question under way is an unknown name.
        self._known: Generations[int, tuple[bytes | None, float]] = Generations(SIZE)
        self._thread: threading.Thread | None = None
        self._second, self._in_second = float("-inf"), 0
        self._postponed = False

    def name(self, number: int) -> bytes | None:
        known = self._known.get(number)
        now = self._clock()
        if known is not None and now < known[1]:
            return known[0]
        before = known[0] if known is not None else None
        if self._may_ask(now):
            self._ask(number)
            self._known.put(number, (before, now + UNKNOWN_SECONDS))
        else:
            self._postponed = True
        return before

    def _may_ask(self, now: float) -> bool:
        if now - self._second >= 1.0:
            self._second, self._in_second = now, 0
        self._in_second += 1
        return self._in_second <= QUESTIONS_A_SECOND

    def learned(self) -> bool:
        """Whether an answer came that is another than the one before, or a question may be asked
        now that might not.
        """
        fresh, self._postponed = self._postponed, False
        while True:
            try:
                number, name = self._answers.get_nowait()
            except queue.Empty:
                return fresh
            before = self._known.get(number)
            fresh |= name != (before[0] if before is not None else None)
            seconds = UNKNOWN_SECONDS if name is None else KNOWN_SECONDS
            self._known.put(number, (name, self._clock() + seconds))

    def _ask(self, number: int) -> None:
        if self._thread is None:
            # A daemon: a directory server that never answers must not hold up the end.
            self._thread = threading.Thread(target=self._answer, name="names", daemon=True)
            self._thread.start()
        with contextlib.suppress(queue.Full):
            self._questions.put_nowait(number)

    def _answer(self) -> None:
        while True:
            number = self._questions.get()
            try:
                name = os.fsencode(self._lookup(number))
            except (KeyError, OSError, ValueError, OverflowError):
                self._answers.put((number, None))
            else:
                self._answers.put((number, name))
