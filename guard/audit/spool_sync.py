# SPDX-License-Identifier: Apache-2.0
"""Waits for the disk in a thread of its own, so that nobody else has to.

Knows file descriptors. Flushing a second's worth of a busy host blocks for
15 ms (measured): in the collector's own thread the ring would fill meanwhile.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable


class BackgroundSync:
    """Flushes files one after the other. ``sync`` flushes one and raises OSError."""

    def __init__(self, sync: Callable[[int], None]) -> None:
        self._sync = sync
        self._queue: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.failures = 0
        self.because = ""

    def submit(self, file: int) -> None:
        """Will flush the file, which may be closed meanwhile."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="guard-sync", daemon=True)
            self._thread.start()
        self._queue.put(os.dup(file))

    def busy(self) -> bool:
        """Whether the disk is behind: queueing more of the same would only make it slower."""
        return self._queue.qsize() > 1

    def close(self) -> None:
        """Returns when everything submitted is flushed."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while (file := self._queue.get()) is not None:
            try:
                self._sync(file)
            except OSError as error:
                self.failures += 1
                self.because = str(error)
            finally:
                os.close(file)
