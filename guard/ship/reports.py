# SPDX-License-Identifier: Apache-2.0
"""Records that the shipper makes about itself, kept in a small spool of its own.

Knows the form of guard's own records and the spool's writer; nothing of sinks.

A record that a sink fails must not depend on that sink, and the shipper cannot
write to the collector's spool. So it has one in its state directory, of the
same form (chained, bounded, read with a cursor per sink), and every worker
delivers both: the records of one sink's failure reach all the others at once,
and the failed one when it works again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from guard.audit.clock import Clock
from guard.audit.lifecycle import Lifecycle
from guard.audit.loss import LossCause
from guard.audit.origin import Origin
from guard.audit.spool import Limits, Spool
from guard.audit.spool_files import OTHERS
from guard.audit.spool_losses import SpoolCause, SpoolLoss

# Some 10 000 reports: with the longest wait between tries, more than a week of
# a sink that fails and recovers all the time.
LIMITS = Limits(bytes=4 << 20, segment_bytes=1 << 20, sync_each=True)

# Characters of a reason: it may quote a receiver, which may say anything.
REASON_LIMIT = 500


_CAUSES = {
    SpoolCause.EXPIRED: LossCause.EXPIRED,
    SpoolCause.TOO_OLD: LossCause.EXPIRED,
    SpoolCause.FULL: LossCause.SPOOL,
    SpoolCause.TORN: LossCause.CORRUPT,
    SpoolCause.DAMAGED: LossCause.CORRUPT,
}


class ShipRecords(Lifecycle):
    """Makes the lines; they have the form of guard's other records about itself."""

    def started(self, version: str, adopted: bool = False) -> bytes:
        """The shipper runs."""
        return self._line("ship.started", {"version": version, "adopted": adopted})

    def ended(self, because: str) -> bytes:
        """The shipper ends."""
        return self._line("ship.stopped", {"because": because})

    def sink_turned(
        self, event: str, sink: str, because: str, count: int, milliseconds: int
    ) -> bytes:
        """A sink is ``sink.failing``, ``sink.recovered`` or has refused records (``sink.refused``).

        ``count``: tries that failed, or records refused; ``milliseconds``: how long it failed.
        """
        members = {
            "sink": sink,
            "because": because[:REASON_LIMIT],
            "count": count,
            "milliseconds": milliseconds,
        }
        return self._line(event, members)


class Reports:
    """The shipper's own spool. ``put`` may be called by any thread.

    Raises OSError if the directory cannot be had, SpoolBusy if another shipper
    uses it.
    """

    def __init__(self, directory: Path, origin: Origin, clock: Clock) -> None:
        self._lock = threading.Lock()
        self._records = ShipRecords(origin, clock)
        self._spool = Spool(directory, LIMITS)

    def put(self, make: Callable[[ShipRecords], bytes]) -> None:
        """Stores a record. If there is no room, the spool counts it and says so later."""
        with self._lock:
            self._spool.append(OTHERS, [make(self._records)])

    def tick(self) -> None:
        """The spool's own upkeep, about once a second."""
        with self._lock:
            self._spool.tick(self._lost)

    def close(self) -> None:
        """Closes the spool; it stays for the next run."""
        with self._lock:
            self._spool.close()

    def _lost(self, loss: SpoolLoss) -> bytes:
        detail = f"the shipper's own spool: {loss.cause.value}"
        return self._records.lost(
            _CAUSES[loss.cause], loss.records, sink=loss.cursor, detail=detail
        )
