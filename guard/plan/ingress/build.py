# SPDX-License-Identifier: Apache-2.0
"""From an ingress section to one generation of the filter's tables.

Knows the layout of lsm/xdp/wire.h and nothing of how tables reach the kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from guard.plan.ingress import lists, rates, services, shapes, targets
from guard.plan.ingress.addresses import Addresses
from guard.plan.ingress.addresses import cut as cut_addresses
from guard.plan.ingress.blob import Blob
from guard.plan.ingress.classes import I64, U64, pack, rows
from guard.plan.ingress.errors import IngressError
from guard.plan.ingress.order import (
    OBSERVING,
    WORD,
    Order,
    allocate_slots,
    arrange,
    says_only_source,
)
from guard.plan.set_file import Prefixes
from guard.policy.ingress import (
    Action,
    Default,
    Fragments,
    IngressRule,
    IngressSection,
    Tunnels,
    Unreadable,
)
from guard.wire import ingress as wire
from guard.wire.ingress import Column, Final, Flag, Limit


@dataclass(frozen=True, slots=True)
class Host:
    """What the tables need to know of the host.

    ``interfaces``: index of every interface that the section or a rule names.
    ``ticks``: jiffies a second (CONFIG_HZ).
    """

    interfaces: Mapping[str, int]
    ticks: int


@dataclass(frozen=True, slots=True)
class Options:
    """How the tables are to be used.
    ``audit``: decide and record, let everything in. ``next_program``: what is let in
    goes on to it. ``trial``: they hold until a deadline. ``timed``: sets with TTL entries.
    The samples: one record in so many drops by default, by other reasons.
    """

    audit: bool = False
    next_program: bool = False
    trial: bool = False
    timed: tuple[str, ...] = ()
    default_sample: int = 1
    reason_sample: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """One generation: ``data`` for the map of ``bits`` size class.

    ``slots`` maps rule ids to counter slots. ``devices``, ``cpus`` and
    ``mirrors`` fill the target maps from index 0. ``facts`` says for people what
    was built: classes, bytes.
    """

    data: bytearray
    bits: int
    slots: dict[str, int]
    devices: tuple[str, ...]
    cpus: tuple[int, ...]
    mirrors: tuple[str, ...]
    facts: dict[str, int] = field(default_factory=dict)

    def numbered(self, generation: int) -> bytes:
        """The data with its generation number in it."""
        at = wire.ROOT.fields["generation"].offset
        out = bytearray(self.data)
        out[at : at + 4] = generation.to_bytes(4, "little")
        return bytes(out)


def uid(policy: str, rule: IngressRule) -> str:
    """The name under which a rule's counters live on over reloads."""
    return f"{policy}/{rule.id}"


def build(
    section: IngressSection,
    sets: Mapping[str, Prefixes],
    host: Host,
    options: Options | None = None,
    previous_slots: Mapping[str, int] | None = None,
    policy: str = "",
) -> Plan:
    """The tables of a section. ``sets`` has all sets that rules name.

    Raises IngressError for what the filter cannot enforce exactly.
    """
    options = options or Options()
    order = arrange(section.rules)
    uids = [uid(policy, rule) for rule in section.rules]
    if len(set(uids)) != len(uids):
        raise IngressError("two ingress rules have the same id")
    slots = allocate_slots(uids, previous_slots or {})
    builder = _Builder(section, sets, host, options, order, [slots[u] for u in uids])
    return builder.plan(slots)


class _Builder:
    """The tables as they grow."""

    def __init__(
        self,
        section: IngressSection,
        sets: Mapping[str, Prefixes],
        host: Host,
        options: Options,
        order: Order,
        slots: Sequence[int],
    ) -> None:
        self.section, self.sets, self.host, self.options = section, sets, host, options
        self.order, self.slots = order, slots
        self.bits = np.array(order.bits, dtype=np.int64)
        self.words = order.words + 2
        self.every = self._row(self.bits)
        self.blob = Blob()
        self.flags = 0
        self.facts: dict[str, int] = {"rules": len(section.rules), "words": order.words}

    def _row(self, bits: I64) -> U64:
        row = np.zeros(self.words, dtype=np.uint64)
        np.bitwise_or.at(row, bits >> 6, np.uint64(1) << (bits & 63).astype(np.uint64))
        return row

    def plan(self, slots: dict[str, int]) -> Plan:
        """Everything, in the order of the root's members."""
        root = self.blob.root
        section, options = self.section, self.options
        devices, cpus, mirrors = targets.targets(section.rules)
        root["abi"] = int(wire.Abi.VERSION)
        root["summaries"] = self.order.summaries
        root["words"] = self.order.words
        root["stride"] = (1 + self.order.summaries + self.words) * 8
        root["default_sample"] = options.default_sample
        root["reason_sample"] = options.reason_sample
        if len(section.ethertypes) > int(Limit.ETHERTYPES):
            raise IngressError(f"more than {int(Limit.ETHERTYPES)} ethertypes")
        root["ethertypes"] = list(section.ethertypes)
        self._addresses()
        self._services()
        self._shapes()
        self._timed()
        root["rules"] = self.blob.place(
            targets.records(section.rules, self.order, self.slots, devices, mirrors)
        )
        for rule, bit, slot in zip(section.rules, self.order.bits, self.slots, strict=True):
            if rule.limit is not None:
                values = rates.rate(rule.limit, self.host.ticks)
                self.blob.element("rate", wire.RATE, bit - WORD, {"slot": slot, **values})
        root["flags"] = self.flags | self._flags()
        data, bits = self.blob.finish()
        self.facts["bytes"] = len(data)
        return Plan(data, bits, slots, devices, cpus, mirrors, self.facts)

    def _flags(self) -> int:
        section, flags = self.section, 0
        rules = section.rules
        established = section.established
        said: list[tuple[bool, Flag]] = [
            (not rules and section.default is Default.ALLOW, Flag.EMPTY),
            (section.default is Default.DROP, Flag.DROP),
            (self.options.audit, Flag.AUDIT),
            (self.options.next_program, Flag.NEXT),
            (self.options.trial, Flag.TRIAL),
            (any(r.action in OBSERVING for r in rules), Flag.OBSERVERS),
            (any(r.action is Action.LIMIT for r in rules), Flag.RATES),
            (section.fragments is Fragments.DROP, Flag.DROP_FRAGMENTS),
            (section.unreadable is Unreadable.MATCH, Flag.MATCH_UNREADABLE),
            (section.tunnels is Tunnels.NAMED, Flag.NAMED_TUNNELS),
            (section.syn_cookies, Flag.SYN_COOKIES),
        ]
        if established is not None:
            said += [
                (established.tcp, Flag.TCP_SOCKETS),
                (established.udp, Flag.UDP_FLOWS),
                (established.icmp, Flag.ICMP),
                (established.forwarded, Flag.TCP_FLOWS),
                (established.neighbours, Flag.NEIGHBOURS),
            ]
        for is_so, flag in said:
            flags |= int(flag) if is_so else 0
        return flags

    def _head(self, table: U64, final: I64 | None = None) -> U64:
        """What every row begins with: the final word, summaries, observers, limits."""
        used = table[:, 2:] != 0
        padded = np.zeros((len(table), self.order.summaries * WORD), dtype=bool)
        padded[:, : used.shape[1]] = used
        summary = np.packbits(padded, axis=1, bitorder="little").view(np.uint64)
        if final is None:
            final = np.zeros(len(table), dtype=np.int64)
        return np.concatenate((final.view(np.uint64)[:, None], summary, table[:, :2]), axis=1)

    def _place_rows(self, table: U64) -> int:
        """Put rows of observers, limits and deciding words down."""
        return self.blob.place(np.concatenate((self._head(table), table[:, 2:]), axis=1))

    def _place_addresses(self, table: U64, final: I64 | None) -> dict[str, int]:
        """Put an address's rows down, packed if that makes them smaller."""
        head, words = self._head(table, final), table[:, 2:]
        most = int(Limit.PACKED)
        packed = words.shape[1] > 2 * most and int((words != 0).sum(axis=1).max()) <= most
        tail = pack(words, most) if packed else words
        made = np.concatenate((head, tail), axis=1)
        return {
            "rows": self.blob.place(made),
            "stride": made.shape[1] * 8,
            "packed": int(packed),
        }

    def _addresses(self) -> None:
        sides: list[tuple[str, Callable[[IngressRule], Addresses]]] = [
            ("source", _source),
            ("destination", _destination),
        ]
        for side, said_by in sides:
            for family in (4, 6):
                by_said: dict[Addresses, list[int]] = {}
                everywhere: list[int] = []
                for rule, bit in zip(self.section.rules, self.order.bits, strict=True):
                    if rule.match.family not in {None, family}:
                        continue
                    said = said_by(rule)
                    if said.is_any():
                        everywhere.append(bit)
                    else:
                        by_said.setdefault(said, []).append(bit)
                self._address(f"{side}{family}", family, by_said, everywhere)

    def _address(
        self, name: str, family: int, by_said: dict[Addresses, list[int]], everywhere: list[int]
    ) -> None:
        base = self._row(np.array(everywhere, dtype=np.int64))
        own = [np.array(some, dtype=np.int64) for some in by_said.values()]
        line = cut_addresses(family, list(by_said), self.sets)
        table = rows(line.classes, line.ranges, own, base)
        final = self._final(table) if name.startswith("source") else None
        place = self._place_addresses(table, final)
        if len(line.low):
            packed = lists.pack4(line) if family == 4 else lists.pack6(line)
            place |= packed.numbers
            place |= {key: self.blob.place(array) for key, array in packed.arrays.items()}
            self.flags |= int(Flag[name.upper()])
        self.blob.nested(name, wire.INTERVALS, place)
        self.facts[f"{name}_classes"] = line.classes.count
        self.facts[f"{name}_intervals"] = len(line.low) + 1

    def _final(self, table: U64) -> I64:
        """What a source's class alone decides: nobody matches, or a denial by source does."""
        alone = [
            bit
            for rule, bit in zip(self.section.rules, self.order.bits, strict=True)
            if rule.action is Action.DENY and says_only_source(rule.match)
        ]
        final = np.where(
            (table[:, 1:] == 0).all(axis=1), int(Final.NOBODY), int(Final.OPEN)
        ).astype(np.int64)
        for bit in sorted(alone, reverse=True):
            has = table[:, bit >> 6] >> np.uint64(bit & 63) & np.uint64(1)
            final[has != 0] = bit - 2 * WORD + 1
        return final

    def _services(self) -> None:
        named = self.section.tunnels is Tunnels.NAMED
        by_said: dict[services.Said, list[int]] = {}
        for rule, bit in zip(self.section.rules, self.order.bits, strict=True):
            by_said.setdefault(services.said(rule, named), []).append(bit)
        cut = services.cut(list(by_said))
        own = [np.array(some, dtype=np.int64) for some in by_said.values()]
        nobody = np.zeros(self.words, dtype=np.uint64)
        if cut.used:
            self.flags |= int(Flag.SERVICE)
            table = rows(cut.classes, cut.ranges, own, nobody)
            self.blob.root["service"] = self.blob.place(cut.classes.of.astype(np.uint16))
        else:
            table = self.every[None, :]
        self.blob.root["service_rows"] = self._place_rows(table)
        self.blob.root["service_unknown"] = cut.unknown
        for protocol in range(256):
            self.blob.element(
                "services",
                wire.SERVICE,
                protocol,
                {
                    "base": cut.base[protocol],
                    "kind": int(cut.kind[protocol]),
                    "tunnel": int(protocol in services.TUNNELS),
                },
            )
        self.facts["service_classes"] = cut.classes.count

    def _shapes(self) -> None:
        named = {name for rule in self.section.rules for name in rule.match.interfaces}
        missing = sorted(named - set(self.host.interfaces))
        if missing:
            raise IngressError(
                f"there is no interface {missing[0]}",
                remedy="`ip link` lists the interfaces; a rule names one that is filtered",
            )
        numbers = {name: i + 1 for i, name in enumerate(sorted(named))}
        self._interfaces({self.host.interfaces[name]: n for name, n in numbers.items()})
        made = shapes.shapes(self.section.rules, self.order.bits, numbers, self.every)
        self.blob.root["shapes"] = len(made)
        self.blob.root["ones"] = self._place_rows(self.every[None, :])
        for i, shape in enumerate(made):
            self.flags |= int(Flag.WIDE)
            for column, stride in shape.strides.items():
                self.blob.element(
                    "field",
                    wire.FIELD_TABLE,
                    i * int(Column.COUNT) + int(column),
                    {"table": self.blob.place(shape.tables[column]), "stride": stride},
                )
            self.blob.element(
                "shape",
                wire.SHAPE,
                i,
                {"table": self.blob.place(shape.cells), "rows": self._place_rows(shape.rows)},
            )
            self.facts[f"shape{i}_rows"] = len(shape.rows)

    def _interfaces(self, numbers: dict[int, int]) -> None:
        """A perfect hash: the first multiplier under which no two meet."""
        slots = int(Limit.INTERFACES)
        for multiplier in range(0x9E3779B1, 0x9E3779B1 + (1 << 18), 2):
            placed = {(index * multiplier & 0xFFFFFFFF) >> 24: index for index in numbers}
            if len(placed) == len(numbers):
                break
        else:
            raise IngressError(f"rules name {len(numbers)} interfaces, too many of {slots}")
        self.blob.root["interface_multiplier"] = multiplier & 0xFFFFFFFF
        for slot, index in placed.items():
            self.blob.element(
                "interfaces", wire.INTERFACE, slot, {"index": index, "number": numbers[index]}
            )

    def _timed(self) -> None:
        names = self.options.timed
        if len(names) > int(Limit.TIMED_SETS):
            raise IngressError(
                f"TTL entries are for {int(Limit.TIMED_SETS)} sets at most, not {len(names)}",
                remedy="let fewer sets take TTL entries",
            )
        if names:
            self.flags |= int(Flag.TIMED | Flag.WIDE)
        table = np.zeros((1 << len(names), self.words), dtype=np.uint64)
        for i, name in enumerate(names):
            row = self._row(np.array(self._timed_bits(name), dtype=np.int64))
            table[np.flatnonzero(np.arange(len(table)) >> i & 1)] |= row
        self.blob.root["timed_rows"] = self._place_rows(table)

    def _timed_bits(self, name: str) -> list[int]:
        bits = []
        for rule, bit in zip(self.section.rules, self.order.bits, strict=True):
            if name in rule.match.destination_sets:
                raise IngressError(
                    f"{rule.span}: set {name} takes TTL entries, and those are of sources only",
                    remedy="use another set as the destination",
                )
            if name in rule.match.source_sets:
                if rule.match.source_excepts:
                    raise IngressError(
                        f"{rule.span}: set {name} takes TTL entries, which except cannot leave out",
                        remedy="take the exception out of the set, or make the set one without TTL",
                    )
                bits.append(bit)
        return bits


def _source(rule: IngressRule) -> Addresses:
    match = rule.match
    return Addresses(match.sources, match.source_sets, match.source_excepts)


def _destination(rule: IngressRule) -> Addresses:
    match = rule.match
    return Addresses(match.destinations, match.destination_sets, match.destination_excepts)
