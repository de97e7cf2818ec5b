# SPDX-License-Identifier: Apache-2.0
"""Records that guard makes about itself: started, stopped, policies loaded, records lost.

Knows the form they share with the kernel's records (schema, event, time,
boot_ns, host, epoch, cpu, seq); knows nothing of how any of it comes about.

They are numbered too: ``cpu`` is null and ``seq`` counts from 0 since this
object was made, so the origin's epoch must be this run's and not the kernel
counters', which outlive a run.
"""

from __future__ import annotations

from enum import StrEnum

from guard.audit.clock import Clock
from guard.audit.origin import Origin
from guard.audit.render_json import SCHEMA
from guard.audit.text import line


class LossCause(StrEnum):
    """Why a record that should exist was not delivered."""

    RING_FULL = "ring-full"  # the kernel had no room; the counters say so
    UNEXPLAINED = "unexplained"  # a hole in the sequence that no counter explains
    UNDECODABLE = "undecodable"  # a record in the ring that was not an event
    SINK = "sink"  # a sink refused it; others may have it


class Lifecycle:
    """Makes one line per call, to be given to a sink."""

    def __init__(self, origin: Origin, clock: Clock) -> None:
        self._origin = origin
        self._clock = clock
        self._made = 0

    def started(self, version: str, adopted: bool) -> bytes:
        """guard's daemon runs; ``adopted``: it took over what an earlier run had pinned."""
        return self._line("guard.started", {"version": version, "adopted": adopted})

    def stopped(self, because: str, enforcing: bool) -> bytes:
        """The daemon ends; ``enforcing``: the kernel side stays in force without it."""
        return self._line("guard.stopped", {"because": because, "enforcing": enforcing})

    def policy_loaded(
        self, name: str, mode: str, source: str, generation: int, rules: int
    ) -> bytes:
        """A policy is in force from this generation on. ``source`` is its file."""
        policy = {"name": name, "mode": mode, "generation": generation}
        return self._line("policy.loaded", {"policy": policy, "source": source, "rules": rules})

    def lost(
        self,
        cause: LossCause,
        count: int,
        cpu: int | None = None,
        between: tuple[int, int] | None = None,
        sink: str | None = None,
        detail: str | None = None,
    ) -> bytes:
        """``count`` records are missing since the last such line of this cause, CPU and sink.

        ``between``: first and last missing sequence number seen on that CPU;
        None if nothing came after them yet. Not every number between is missing.
        """
        first, last = between or (None, None)
        lost = {
            "cause": cause.value,
            "count": count,
            "cpu": cpu,
            "first_seq": first,
            "last_seq": last,
            "sink": sink,
            "detail": detail,
        }
        return self._line("audit.lost", {"lost": lost})

    def _line(self, kind: str, members: dict[str, object]) -> bytes:
        boot_ns = self._clock.boot_ns()
        sequence = self._made
        self._made += 1
        origin = self._origin
        return line(
            {
                "schema": SCHEMA,
                "event": kind,
                "time": self._clock.wall(boot_ns),
                "boot_ns": str(boot_ns),
                "host": {"name": origin.name, "id": origin.id, "boot": origin.boot},
                "epoch": origin.epoch,
                "cpu": None,
                "seq": sequence,
                **members,
            }
        )
