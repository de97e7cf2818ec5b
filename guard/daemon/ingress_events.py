# SPDX-License-Identifier: Apache-2.0
"""The filter's records: from the ring's bytes to lines of the audit stream.

Composes guard/audit's parts for one filter: its clock, origin, rules and
interfaces. What a record looks like is defined there, for all of guard.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Sequence

from guard.audit.clock import Clock
from guard.audit.decode import Counters, DecodeError
from guard.audit.lifecycle import Caller, Lifecycle, LoadedPolicy
from guard.audit.origin import read_origin
from guard.audit.packets import PacketRecorder
from guard.audit.render_json import JsonRenderer
from guard.audit.sequence import Sequences
from guard.audit.shortfall import Counts, Shortfall
from guard.daemon.ingress_state import State
from guard.daemon.packet_index import PacketStateIndex
from guard.kernel.ingress import Numbered
from guard.policy.ingress import Prefix
from guard.policy.prefixes import shown
from guard.wire.ingress import EVENT

# Generations whose rules are remembered: events of an older one than the one in
# force are as many as the ring holds, and a switch or two apart.
_REMEMBERED = 16

_GENERATION = EVENT.fields["generation"].offset


def generation_of(record: bytes) -> int:
    """The generation that an event is of; -1 for bytes that are no event."""
    if len(record) < EVENT.size:
        return -1
    return int(struct.unpack_from("=I", record, _GENERATION)[0])


class Lines:
    """Makes the lines of one filter's records; ``know`` tells of another policy.

    ``counters``: every CPU's attempts and losses now; numbers are followed from there.
    """

    def __init__(self, state: State, counters: Sequence[Numbered] = ()) -> None:
        self._clock = Clock()
        # The kernel's numbers begin with the filter and outlive guard; guard's own do not.
        epoch = f"ingress@{state.started:.6f}"
        self._render = JsonRenderer(read_origin(epoch)).packet
        own = f"{epoch}/guard@{self._clock.boot_ns()}"
        self.lifecycle = Lifecycle(read_origin(own), self._clock)
        self._indexes: dict[int, PacketStateIndex] = {}
        self._interfaces: dict[int, bytes] = {}
        self._recorder = PacketRecorder(self._clock, self._indexes.get, self._interface)
        self._sequences = Sequences(_counters(counters))
        self._counts = Counts()
        self._shortfall = Shortfall(self._sequences, self.lifecycle, self._counts)
        self.generation = -1
        self.state = state
        self.know(state)

    def know(self, state: State) -> None:
        """The policy that records are to be told by from now on."""
        if state.generation == self.generation and state.attached == self.state.attached:
            return
        self.state, self.generation = state, state.generation
        self._indexes[state.generation] = PacketStateIndex(state)
        while len(self._indexes) > _REMEMBERED:
            del self._indexes[min(self._indexes)]
        # Names of interfaces that went stay: records of theirs may still come.
        self._interfaces |= {
            index: os.fsencode(name) for name, (index, _, _) in state.attached.items()
        }

    def packet(self, raw: bytes) -> bytes | None:
        """The line of one event; None for bytes that are none, which ``settle`` tells of."""
        try:
            record = self._recorder.record(raw)
        except DecodeError as error:
            self._shortfall.undecodable(error, numbered=False)
            return None
        self._sequences.arrived(record.cpu, record.sequence)
        return self._render(record)

    def settle(self, counters: Sequence[Numbered]) -> list[bytes]:
        """What is newly known to be lost. ``counters``: read after the ring was drained."""
        self._clock.refresh()
        return self._shortfall.settle(_counters(counters))

    def loaded(self) -> bytes:
        """The policy is in force from this generation on."""
        state = self.state
        rules = len(state.section.rules)
        return self.lifecycle.policy_loaded(
            state.policy, state.mode, state.source, state.generation, rules
        )

    def rejected(self, because: str) -> bytes:
        """The policy was read again and not taken."""
        state = self.state
        return self.lifecycle.policy_rejected([state.source], because, (), state.generation)

    def ended(self, name: str, some: Sequence[Prefix], total: int) -> bytes:
        """One record for all entries of a set that ended together."""
        listed = [shown(one) for one in some]
        return self.lifecycle.set_expired(name, listed, total, self.state.policy)

    def interface(self, sentence: str, interface: str | None = None) -> bytes:
        """What became of an interface."""
        return self.lifecycle.ingress_interface(self.state.policy, interface, sentence)

    def confirmed(self, caller: Caller | None = None) -> bytes:
        """The policy on trial stays."""
        because = "guard confirm was said in time"
        return self.lifecycle.ingress_confirmed(*self._trial(self.state), because, caller)

    def rolled_back(self, tried: State, because: str) -> bytes:
        """The policy on trial was taken back."""
        return self.lifecycle.ingress_rolled_back(*self._trial(tried), because)

    def _trial(self, state: State) -> tuple[LoadedPolicy, list[str]]:
        policy = LoadedPolicy(state.policy, state.mode, state.generation)
        return policy, list(state.attached)

    def _interface(self, index: int) -> bytes | None:
        name = self._interfaces.get(index)
        if name is None:
            with contextlib.suppress(OSError):
                name = os.fsencode(socket.if_indextoname(index))
        return name


def _counters(numbered: Sequence[Numbered]) -> list[Counters]:
    """As the gates' counters are told; a filter has no others."""
    return [Counters(one.attempts, one.dropped, 0, 0, 0, 0, 0) for one in numbered]
