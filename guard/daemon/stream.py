# SPDX-License-Identifier: Apache-2.0
"""A host's audit stream, composed: rings → lines → spool.

Knows which parts there are; found by session.py, which has the rings.
"""

from __future__ import annotations

import contextlib
import grp
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from guard.audit.clock import Clock
from guard.audit.decode import Counters
from guard.audit.fast import Fast, slowly
from guard.audit.gather import Gatherer, Inlet, SpoolOutlet
from guard.audit.keys import load_signer
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

# Who may read the spool, where the host has such a group (packaging/systemd).
GROUP = "guard"


@dataclass(frozen=True, slots=True)
class Spooled:
    """Where a host's records go: the spool's directory, its limits, and the key that signs."""

    directory: Path
    key: Path | None = None
    limits: Limits = field(default_factory=Limits)


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


def open_trail(where: Spooled, lifecycle: Lifecycle) -> Trail:
    """The spool of this host, taken over or made. Raises HostError or KeyProblem with a remedy."""
    signer = load_signer(where.key) if where.key is not None else None
    group = None
    with contextlib.suppress(KeyError):
        group = grp.getgrnam(GROUP).gr_gid
    try:
        spool = Spool(where.directory, where.limits, clock=_boot_seconds, group=group)
    except SpoolBusy as error:
        raise HostError(str(error), remedy="stop the other guard, or name another spool") from None
    except OSError as error:
        raise HostError(
            f"the spool {where.directory} cannot be opened: {error.strerror}",
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
    told: Sequence[Counters] | None = None,
) -> Gatherer:
    """Rings (denials first, then what is only recorded) to the trail's series of that name.

    ``version`` gives something else whenever the same events get other lines:
    the identities' version. ``told``: losses that an earlier guard told of (Sequences).
    """
    inlets = [
        Inlet(ring, SpoolOutlet(trail.spool, series))
        for ring, series in zip(rings, SERIES, strict=True)
    ]
    fast = formatter(recorder, render, clock, version)
    return Gatherer(inlets, fast, lifecycle, clock, Sequences(told), trail.tick)


def _boot_seconds() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
