# SPDX-License-Identifier: Apache-2.0
"""The trail on this host: the spool, with guard's own records about it and its checkpoints.

Knows what a loss and a checkpoint are called in records; the spool knows
neither, and this knows no file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from guard.audit.checkpoint import checkpoint_text
from guard.audit.keys import Signer
from guard.audit.lifecycle import Checkpoint, Lifecycle
from guard.audit.loss import LossCause
from guard.audit.sinks import SinkError
from guard.audit.spool import Spool
from guard.audit.spool_files import DENIALS, SERIES
from guard.audit.spool_losses import SpoolCause, SpoolLoss

# What an attacker who becomes root can cut off unseen is what came after the
# last checkpoint that left the host.
CHECKPOINT_SECONDS = 60.0

_CAUSES = {
    SpoolCause.EXPIRED: (LossCause.EXPIRED, "evicted for room"),
    SpoolCause.TOO_OLD: (LossCause.EXPIRED, "evicted for age"),
    SpoolCause.FULL: (LossCause.SPOOL, "no room"),
    SpoolCause.TORN: (LossCause.SPOOL, "cut off after a crash; what the ring still had came again"),
    SpoolCause.DAMAGED: (LossCause.CORRUPT, "not what was written"),
}


class Trail:
    """Keeps a spool: gives it sinks, tells its losses, marks it with checkpoints.

    ``lifecycle`` makes the records, ``signer`` signs checkpoints (None: they
    are unsigned), ``clock`` gives seconds that never step.
    """

    def __init__(
        self,
        spool: Spool,
        lifecycle: Lifecycle,
        signer: Signer | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spool = spool
        self._lifecycle = lifecycle
        self._signer = signer
        self._clock = clock
        self._marked = {name: spool.head(name) for name in SERIES}
        self._due = clock() + CHECKPOINT_SECONDS
        self._unsafe = 0

    def sink(self, series: str) -> SpoolSink:
        """A sink that puts its lines into a series."""
        return SpoolSink(self.spool, series)

    def tick(self) -> None:
        """What is due: losses, flushing, ages, a checkpoint. About once a second."""
        self.spool.tick(self._loss)
        self._tell_unsafe()
        if self._clock() >= self._due:
            self.mark()

    def mark(self) -> None:
        """Puts a checkpoint for each series that has grown since its last one."""
        self._due = self._clock() + CHECKPOINT_SECONDS
        lines = [
            self._checkpoint(name) for name in SERIES if self.spool.head(name) != self._marked[name]
        ]
        if lines and not self.spool.append(DENIALS, lines):
            self._marked = {name: self.spool.head(name) for name in SERIES}

    def close(self) -> None:
        """Tells and marks what there is, and closes the spool."""
        self.spool.tell(self._loss)
        self.mark()
        self.spool.flush()
        self._tell_unsafe()
        self.spool.close()

    def _tell_unsafe(self) -> None:
        """A record of each time that the disk did not confirm, when there is room for it."""
        fresh = self.spool.unsafe() - self._unsafe
        if not fresh:
            return
        told = self._lifecycle.unsafe(fresh, self.spool.unsafe_because())
        if self.spool.offer(DENIALS, [told]):
            self._unsafe += fresh

    def _checkpoint(self, series: str) -> bytes:
        head = self.spool.head(series)
        key = signature = None
        if self._signer is not None:
            key = self._signer.key
            text = checkpoint_text(series, head.n, head.first, head.hash)
            signature = self._signer.sign(text)
        return self._lifecycle.checkpoint(
            Checkpoint(series, head.n, head.first, head.hash, key, signature)
        )

    def _loss(self, loss: SpoolLoss) -> bytes:
        cause, words = _CAUSES[loss.cause]
        detail = f"{loss.series}: {words}"
        if loss.detail:
            detail += f": {loss.detail}"
        return self._lifecycle.lost(cause, loss.records, sink=loss.cursor, detail=detail)


class SpoolSink:
    """One series of the spool as a sink (guard.audit.sinks.Sink)."""

    def __init__(self, spool: Spool, series: str) -> None:
        self._spool = spool
        self._series = series

    def emit(self, batch: Sequence[bytes]) -> None:
        """Appends the lines. Raises SinkError with the number for which there is no room."""
        if batch and (lost := self._spool.append(self._series, batch)):
            raise SinkError(f"spool: {self._spool.because}", lost)

    def flush(self) -> None:
        """The spool flushes by itself, by its own rule."""

    def close(self) -> None:
        """The spool is closed by who made it."""
