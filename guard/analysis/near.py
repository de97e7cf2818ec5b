# SPDX-License-Identifier: Apache-2.0
"""Which rules of a section may match one operation, found without asking each of them.

A sieve for the evaluator, for whoever asks about many operations: rules that it leaves
out do not match; those that it gives may. It must not know automata or tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from guard.analysis.overlap import starts
from guard.policy.model import Effect, NetOperation, NetRule, Operation, PathOperation, PathRule
from guard.wire.layout import NetVerb

_LOCAL = frozenset((NetVerb.BIND, NetVerb.LISTEN, NetVerb.ACCEPT))

_Network = tuple[int, int, int]
"""Bytes of an address, bits of its prefix, and the prefix as a number."""


class Near:
    """Rules of one section on paths or sockets, by what an operation must have to match."""

    def __init__(self, rules: Sequence[PathRule | NetRule]) -> None:
        self._rules = rules
        self._starts: dict[bytes, list[int]] = {}
        self._networks: dict[_Network, list[int]] = {}
        self._ports: dict[int, list[int]] = {}
        self._any_path: list[int] = []
        self._any_socket: list[int] = []
        for number, rule in enumerate(rules):
            if isinstance(rule, PathRule):
                self._add_paths(number, rule)
            else:
                self._add_net(number, rule)
        self._lengths = sorted({(size, bits) for size, bits, _ in self._networks})

    def rules(self, operation: Operation) -> list[PathRule | NetRule]:
        """The rules that may match an operation, in their order."""
        numbers: set[int] = set()
        if isinstance(operation, PathOperation):
            numbers.update(self._any_path)
            path = operation.path.encode("utf-8", "surrogateescape")
            for end in range(len(path) + 1):
                numbers.update(self._starts.get(path[:end], ()))
        elif isinstance(operation, NetOperation):
            numbers.update(self._any_socket)
            numbers.update(self._ports.get(operation.port or 0, ()))
            if operation.address is not None:
                numbers.update(self._of_address(operation.address))
        return [self._rules[number] for number in sorted(numbers)]

    def _of_address(self, address: bytes) -> Iterable[int]:
        value = int.from_bytes(address, "big")
        for size, bits in self._lengths:
            if size == len(address):
                yield from self._networks.get((size, bits, value >> (8 * size - bits)), ())

    def _add_paths(self, number: int, rule: PathRule | NetRule) -> None:
        for start in {start for pattern in rule.paths for start, _ in starts(pattern.text)}:
            self._starts.setdefault(start, []).append(number)

    def _add_net(self, number: int, rule: NetRule) -> None:
        if rule.paths:
            self._add_paths(number, rule)
        elif not (rule.to or rule.ports or rule.names):
            self._any_path.append(number)
        # A denial at the task's own end is of wildcard addresses and of port 0 too.
        widened = rule.effect is Effect.DENY and bool(_LOCAL & set(rule.verbs))
        if rule.names or rule.paths or widened:
            self._any_socket.append(number)
        elif rule.to:
            for each in rule.to:
                size = len(each.address)
                value = int.from_bytes(each.address, "big") >> (8 * size - each.length)
                self._networks.setdefault((size, each.length, value), []).append(number)
        elif rule.ports and all(each.first == each.last for each in rule.ports):
            for ports in rule.ports:
                self._ports.setdefault(ports.first, []).append(number)
        else:
            self._any_socket.append(number)
