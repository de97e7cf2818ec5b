# SPDX-License-Identifier: Apache-2.0
"""Hashes of programs' files, for records of exec: never late, never at the collector's cost.

Opening and reading a file can hang for as long as somebody likes: a file
system of a user's own (FUSE), a server that is away. So a thread does it, only
on file systems of local disks and memory, and a record waits for it for a
moment only; a hash that comes too late for one record is there for the next.

Hashes are remembered by device, inode, size, mtime and ctime: root alone can
change a file's content and keep its ctime.
"""

from __future__ import annotations

import errno
import hashlib
import os
import queue
import stat
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from guard.audit.memory import Generations
from guard.audit.objects import Hash, HashNote
from guard.audit.patience import Patience

# Bytes of the largest file that is hashed: 50 ms of work, and nearly all programs.
SIZE_LIMIT = 64 << 20
# Bytes hashed in a second: whoever starts many programs costs a tenth of a core.
BYTES_A_SECOND = 96 << 20
# Files remembered (twice this many at most).
FILES = 1024
# Seconds that one record waits, and that all records of a second wait together.
WAIT = 0.02
WAIT_A_SECOND = 0.05
# A thread that is busy with one file for longer is given up, and so many times only.
STUCK_SECONDS = 5.0
THREADS = 3
# File times are as fine as the kernel's tick: written within it of the event
# may be before or after.
TICK_NS = 10_000_000

_CHUNK = 1 << 20


class _Job(NamedTuple):
    path: bytes
    device: int
    inode: int
    moment: int
    done: threading.Event
    answer: list[Hash]


class Hashes:
    """Implements guard.audit.record.Hasher.

    ``wall_ns`` gives wall time of a moment since boot, ``is_local`` whether the
    kernel's dev_t is one that reading from cannot hang: guard.audit.devices.
    """

    def __init__(
        self,
        wall_ns: Callable[[int], int],
        is_local: Callable[[int], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall_ns = wall_ns
        self._is_local = is_local
        self._clock = clock
        self._worker: _Worker | None = None
        self._threads = 0
        self._patience = Patience(WAIT, WAIT_A_SECOND)

    def of(self, path: bytes, device: int, inode: int, boot_ns: int) -> Hash:
        """The hash of the file at ``path``, if that is this device and inode; or why not."""
        if not self._is_local(device):
            return Hash(None, HashNote.REMOTE)
        worker = self._free_worker()
        if worker is None:
            return Hash(None, HashNote.BUSY)
        job = _Job(path, device, inode, self._wall_ns(boot_ns), threading.Event(), [])
        if not worker.give(job):
            return Hash(None, HashNote.BUSY)
        if self._patience.wait(job.done):
            return job.answer[0]
        return Hash(None, HashNote.BUSY)

    def _free_worker(self) -> _Worker | None:
        """The thread to ask; a new one if it hangs, None if too many do."""
        if self._worker is not None and not self._worker.hangs():
            return self._worker
        if self._threads == THREADS:
            return None
        known = self._worker.known if self._worker is not None else Generations(FILES)
        self._threads += 1
        self._worker = _Worker(known, self._clock)
        return self._worker


_Key = tuple[int, int, int, int, int]


class _Worker:
    """One thread and what it knows. Jobs that nobody waits for any more are done too."""

    def __init__(self, known: Generations[_Key, str], clock: Callable[[], float]) -> None:
        self.known = known
        self._clock = clock
        self._jobs: queue.Queue[_Job] = queue.Queue(16)
        self._busy_since: float | None = None
        self._given_up = False
        self._second, self._bytes = float("-inf"), 0
        # A daemon: it may hang for ever, and must not hold up the end.
        threading.Thread(target=self._run, name="hashes", daemon=True).start()

    def give(self, job: _Job) -> bool:
        """Whether there was room for another job."""
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            return False
        return True

    def hangs(self) -> bool:
        """Whether it has been busy with one file for too long; then it is never used again."""
        since = self._busy_since
        if since is not None and self._clock() - since > STUCK_SECONDS:
            self._given_up = True
        return self._given_up

    def _run(self) -> None:
        while not self._given_up:
            job = self._jobs.get()
            self._busy_since = self._clock()
            job.answer.append(self._hash(job))
            self._busy_since = None
            job.done.set()

    def _hash(self, job: _Job) -> Hash:
        try:
            # O_NONBLOCK: a FIFO in the file's place would wait for a writer.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            file = os.open(job.path, flags)
        except OSError as error:
            return Hash(None, _NOTES.get(error.errno or 0, HashNote.UNREADABLE))
        except ValueError:
            return Hash(None, HashNote.GONE)  # a NUL is in no file's name
        try:
            return self._opened(job, file)
        except OSError:
            return Hash(None, HashNote.UNREADABLE)
        finally:
            os.close(file)

    def _opened(self, job: _Job, file: int) -> Hash:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            return Hash(None, HashNote.NOT_REGULAR)
        if status.st_ino != job.inode or _kernel_device(status.st_dev) != job.device:
            return Hash(None, HashNote.ANOTHER)
        if status.st_size > SIZE_LIMIT:
            return Hash(None, HashNote.TOO_LARGE)
        key = _key(status)
        digest = self.known.get(key)
        if digest is None:
            if not self._may_read(status.st_size):
                return Hash(None, HashNote.BUSY)
            digest = _digest(file, status.st_size)
            after = os.fstat(file)
            if digest is None or _key(after) != key:
                return Hash(None, HashNote.CHANGED)
            self.known.put(key, digest)
        changed = status.st_ctime_ns >= job.moment - TICK_NS
        return Hash(digest, HashNote.CHANGED if changed else None)

    def _may_read(self, size: int) -> bool:
        now = self._clock()
        if now - self._second >= 1.0:
            self._second, self._bytes = now, 0
        if self._bytes and self._bytes + size > BYTES_A_SECOND:
            return False
        self._bytes += size
        return True


_NOTES = {
    errno.ENOENT: HashNote.GONE,
    errno.ENOTDIR: HashNote.GONE,
    errno.ELOOP: HashNote.ANOTHER,  # a symbolic link has taken the file's place
    errno.ENXIO: HashNote.NOT_REGULAR,
}


def _key(status: os.stat_result) -> _Key:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _kernel_device(st_dev: int) -> int:
    """stat(2)'s device number as the kernel's own dev_t."""
    return os.major(st_dev) << 20 | os.minor(st_dev)


def _digest(file: int, size: int) -> str | None:
    """SHA-256 of the file, None if it has another size than it had."""
    hashed, left = hashlib.sha256(), size + 1
    while left > 0:
        chunk = os.read(file, min(_CHUNK, left))
        if not chunk:
            break
        hashed.update(chunk)
        left -= len(chunk)
    return hashed.hexdigest() if left == 1 else None
