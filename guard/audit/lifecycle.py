# SPDX-License-Identifier: Apache-2.0
"""Records that guard makes about itself, its policies and its callers.

Knows the form they share with the kernel's records (schema, event, time,
boot_ns, host, epoch, cpu, seq); knows nothing of how any of it comes about.

They are numbered too: ``cpu`` is null and ``seq`` counts from 0 since this
object was made, so the origin's epoch must be this run's and not the kernel
counters', which outlive a run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from guard.audit.clock import Clock
from guard.audit.fields import SCHEMA
from guard.audit.loss import LossCause
from guard.audit.origin import Origin
from guard.audit.own_fields import ELEMENTS
from guard.audit.text import line, named

# Findings told in one policy.rejected: the first ones say what is wrong, and
# a record must not grow with somebody's file.
FINDINGS = 16


class LoadedPolicy(NamedTuple):
    """A policy and the generation that it is in force in, or was to be."""

    name: str
    mode: str
    generation: int


class Caller(NamedTuple):
    """Who asked something of guard, by the socket's credentials (SO_PEERCRED)."""

    pid: int
    uid: int
    gid: int
    user: bytes | None = None
    exe: bytes | None = None


class Finding(NamedTuple):
    """One reason why policies were rejected."""

    code: str | None
    file: str | None
    line: int | None
    message: str


class Checkpoint(NamedTuple):
    """How far a chain has come. ``key`` and ``signature`` (hexadecimal) are None if unsigned."""

    series: str
    n: int
    records: int
    head: str
    key: str | None
    signature: str | None


class Lifecycle:
    """Makes one line per call, to be given to a sink."""

    def __init__(self, origin: Origin, clock: Clock) -> None:
        self._origin = origin
        self._clock = clock
        self._made = 0

    def started(self, version: str, adopted: bool) -> bytes:
        """guard's daemon runs; ``adopted``: it took over what an earlier run had pinned."""
        return self._line("guard.started", {"version": version, "adopted": adopted})

    def adopted(self, version: str, loaded_by: str | None, generation: int) -> bytes:
        """A new process serves this generation, which guard ``loaded_by`` had loaded."""
        members = {"version": version, "loaded_by": loaded_by, "generation": generation}
        return self._line("guard.adopted", members)

    def stopped(self, because: str, enforcing: bool) -> bytes:
        """The daemon ends; ``enforcing``: the kernel side stays in force without it."""
        return self._line("guard.stopped", {"because": because, "enforcing": enforcing})

    def policy_loaded(
        self, name: str, mode: str, source: str, generation: int, rules: int
    ) -> bytes:
        """A policy is in force from this generation on. ``source`` is its file."""
        policy = _policy(LoadedPolicy(name, mode, generation))
        return self._line("policy.loaded", {"policy": policy, "source": source, "rules": rules})

    def policy_rejected(
        self,
        sources: Sequence[str],
        because: str,
        findings: Sequence[Finding] = (),
        kept: int | None = None,
        caller: Caller | None = None,
    ) -> bytes:
        """Policies from these files were not put in force; generation ``kept`` stays."""
        members = {
            "sources": list(sources),
            "generation": kept,
            "because": because,
            "findings": [one._asdict() for one in findings[:FINDINGS]],
            "more": max(0, len(findings) - FINDINGS),
            "caller": _caller(caller),
        }
        return self._line("policy.rejected", members)

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

    def unsafe(self, count: int, because: str) -> bytes:
        """So many times the disk did not confirm what was written, since the last such line."""
        return self._line("audit.unsafe", {"count": count, "because": because})

    def clock_stepped(self, milliseconds: int) -> bytes:
        """Wall time moved so far against boot time; negative: back."""
        return self._line("clock.stepped", {"milliseconds": milliseconds})

    def checkpoint(self, checkpoint: Checkpoint) -> bytes:
        """A chain has come this far."""
        return self._line("audit.checkpoint", {"checkpoint": checkpoint._asdict()})

    def set_expired(
        self, name: str, elements: Sequence[str], total: int, policy: str | None = None
    ) -> bytes:
        """Elements of a set have reached their end together; ``total``: all that ever did."""
        expired = {
            "policy": policy,
            "name": name,
            "count": len(elements),
            "elements": list(elements[:ELEMENTS]),
            "total": total,
        }
        return self._line("set.expired", {"set": expired})

    def ingress_interface(self, policy: str, interface: str | None, because: str) -> bytes:
        """An interface came, went or changed under the ingress filter of this policy."""
        members = {"policy": policy, "interface": interface, "because": because}
        return self._line("ingress.interface", members)

    def control_called(
        self,
        command: str,
        arguments: Sequence[str],
        caller: Caller,
        outcome: str,
        detail: str | None = None,
    ) -> bytes:
        """Somebody asked something of guard. ``outcome``: done, refused or failed."""
        members = {
            "command": command,
            "arguments": list(arguments),
            "caller": _caller(caller),
            "outcome": outcome,
            "detail": detail,
        }
        return self._line("control.called", members)

    def ingress_confirmed(
        self,
        policy: LoadedPolicy,
        interfaces: Sequence[str],
        because: str,
        caller: Caller | None = None,
    ) -> bytes:
        """An ingress policy on trial stays."""
        return self._ingress("ingress.confirmed", policy, interfaces, because, caller)

    def ingress_rolled_back(
        self,
        policy: LoadedPolicy,
        interfaces: Sequence[str],
        because: str,
        caller: Caller | None = None,
    ) -> bytes:
        """An ingress policy on trial was taken back, by ``caller`` or by time."""
        return self._ingress("ingress.rolled-back", policy, interfaces, because, caller)

    def unlocked(self, seconds: int | None, because: str, caller: Caller | None) -> bytes:
        """guard's protection of itself is open, for that long or until it is locked again."""
        members = {"seconds": seconds, "because": because, "caller": _caller(caller)}
        return self._line("selfprotect.unlocked", members)

    def _ingress(
        self,
        kind: str,
        policy: LoadedPolicy,
        interfaces: Sequence[str],
        because: str,
        caller: Caller | None,
    ) -> bytes:
        members = {
            "policy": _policy(policy),
            "interfaces": list(interfaces),
            "because": because,
            "caller": _caller(caller),
        }
        return self._line(kind, members)

    def _line(self, kind: str, members: Mapping[str, object]) -> bytes:
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


def _policy(policy: LoadedPolicy) -> dict[str, object]:
    return policy._asdict()


def _caller(caller: Caller | None) -> dict[str, object] | None:
    if caller is None:
        return None
    return {
        "pid": caller.pid,
        "uid": caller.uid,
        "gid": caller.gid,
        **named("user", caller.user),
        **named("exe", caller.exe),
    }
