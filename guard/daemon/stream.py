# SPDX-License-Identifier: Apache-2.0
"""A host's audit stream, composed: rings → lines → spool.

Knows which parts there are; found by session.py, which has the rings.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from guard.audit.clock import Clock
from guard.audit.fast import Fast, slowly
from guard.audit.gather import Gatherer, Inlet, SpoolOutlet
from guard.audit.keys import Signer
from guard.audit.lifecycle import Lifecycle
from guard.audit.native import NativeFast, NativeMissing
from guard.audit.record import Record, Recorder
from guard.audit.ring import RingReader
from guard.audit.sequence import Sequences
from guard.audit.spool import Limits, Spool
from guard.audit.spool_files import SERIES
from guard.audit.spool_open import SpoolBusy
from guard.audit.trail import Trail
from guard.errors import HostError


@dataclass(frozen=True, slots=True)
class Stream:
    """``gatherer`` has the face of guard.audit.collect.Collector; ``trail`` is closed last."""

    gatherer: Gatherer
    trail: Trail


def formatter(
    recorder: Recorder,
    render: Callable[[Record], bytes],
    clock: Clock,
    version: Callable[[], object],
) -> Fast:
    """The one in C where it was built, else the one in Python."""
    slow = slowly(recorder, render)
    try:
        return NativeFast(slow, clock, version, recorder.host_path)
    except NativeMissing:
        return Fast(slow, clock, version, recorder.host_path)


def open_trail(
    directory: Path,
    limits: Limits,
    lifecycle: Lifecycle,
    signer: Signer | None,
    group: int | None = None,
) -> Trail:
    """The spool of this host, taken over or made. Raises HostError with a remedy."""
    try:
        spool = Spool(directory, limits, clock=_boot_seconds, group=group)
    except SpoolBusy as error:
        raise HostError(str(error), remedy="stop the other guard, or name another spool") from None
    except OSError as error:
        raise HostError(
            f"the spool {directory} cannot be opened: {error.strerror}",
            remedy="records would be lost without it; see that its directory is there and writable",
        ) from None
    return Trail(spool, lifecycle, signer, _boot_seconds)


def open_stream(
    rings: Sequence[RingReader],
    recorder: Recorder,
    render: Callable[[Record], bytes],
    version: Callable[[], object],
    lifecycle: Lifecycle,
    clock: Clock,
    trail: Trail,
) -> Stream:
    """Rings (denials first, then what is only recorded) to the trail's series of that name.

    ``version`` gives something else whenever the same events get other lines:
    the identities' version.
    """
    inlets = [
        Inlet(ring, SpoolOutlet(trail.spool, series))
        for ring, series in zip(rings, SERIES, strict=True)
    ]
    fast = formatter(recorder, render, clock, version)
    return Stream(Gatherer(inlets, fast, lifecycle, clock, Sequences(), trail.tick), trail)


def _boot_seconds() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
