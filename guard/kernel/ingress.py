# SPDX-License-Identifier: Apache-2.0
"""The ingress filter's kernel side: load, attach and pin, all or nothing; adopt; switch.

Takes a generation as bytes and knows nothing of policies. Everything it makes
is pinned, so the filter stays when this process ends. Counters, flows and TTL
entries are maps of their own, which outlive generations and programs.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from guard.errors import HostError
from guard.kernel import pins, xdp
from guard.kernel.fdinfo import fdinfo
from guard.kernel.libbpf import (
    BPF_TCX_EGRESS,
    BPF_TCX_INGRESS,
    MAP_TYPE_ARRAY,
    Libbpf,
    LibbpfError,
)
from guard.kernel.netlink import Interface
from guard.kernel.pins import Instance
from guard.kernel.xdp import Attached, Wanted
from guard.wire.ingress import COUNT, PROBES

ROOT = pins.BPFFS / "guard_ingress"
"""Beside pins.ROOT: an ingress filter is an instance of its own, with other maps."""

FILTER, REPLY, SYN_COOKIE = "guard_ingress", "guard_ingress_reply", "guard_ingress_syn_cookie"
LEAVES, MIRROR, CLOCK = "guard_ingress_leaves", "guard_ingress_mirror", "guard_ingress_clock"

PROGRAMS = (FILTER, REPLY, SYN_COOKIE, LEAVES, MIRROR, CLOCK)

# Where the programs' array has the next one in the chain: PART_NEXT in lsm/xdp/maps.h.
_NEXT = 2

CURRENT = "ingress_current"
# What outlives a program: taken over by the next one.
LASTING = (
    "ingress_counts",
    "ingress_events",
    "ingress_rates",
    "ingress_sources",
    "ingress_flows",
    "ingress_ends",
    "ingress_control",
    "ingress_top",
    "ingress_timed",
    "ingress_probes",
    "ingress_devices",
    "ingress_cpus",
    "ingress_mirrors",
)
SCRATCH = "ingress_scratch"
OWN = (CURRENT, "ingress_parts", SCRATCH)

# What may be read past the last masked byte: TABLE_SLACK in lsm/xdp/maps.h.
SLACK = 8192
# Packets that wait for another CPU, at most.
_QUEUE = 2048

_ZERO = struct.pack("=I", 0)
WORDS = struct.Struct("=4Q")
CONSTANTS = "constants"


class Constants(NamedTuple):
    """What a program was loaded with; user space needs the same for tables and tags.

    ``bits``: the size class of generations. ``ticks``: jiffies a second.
    ``seed``: two random words that nobody outside can know.
    """

    bits: int
    ticks: int
    seed: tuple[int, int]


class Numbered(NamedTuple):
    """One CPU's events: how many there were, and how many of those were lost for want of room."""

    attempts: int
    dropped: int


@dataclass
class Ingress:
    """One filter, open for use. Close it; what is pinned stays."""

    libbpf: Libbpf
    instance: Instance
    constants: Constants
    maps: dict[str, int]
    programs: dict[str, int]
    links: dict[str, int] = field(default_factory=dict)

    def switch(self, generation: bytes) -> bool:
        """Put another generation in force by one write; False: it needs larger programs."""
        if len(generation) > 1 << self.constants.bits:
            return False
        fd = table(self.libbpf, generation, self.constants.bits)
        try:
            self.libbpf.map_update(self.maps[CURRENT], _ZERO, _u32(fd), "switch")
        finally:
            os.close(fd)
        return True

    def counts(self, slots: Sequence[int]) -> dict[int, dict[str, int]]:
        """What was counted in these slots, all CPUs together."""
        cpus = self.libbpf.possible_cpus()
        unpack = struct.Struct(COUNT.format()).unpack_from
        fd = self.maps["ingress_counts"]
        found = {}
        for slot in slots:
            raw = self.libbpf.map_lookup(fd, _u32(slot), COUNT.size * cpus, "counts") or b""
            each = [unpack(raw, at) for at in _each(raw)]
            found[slot] = dict(zip(COUNT.fields, map(sum, zip(*each, strict=True)), strict=True))
        return found

    def numbered(self) -> list[Numbered]:
        """Each CPU's events so far, and how many of them the ring had no room for."""
        unpack = struct.Struct(COUNT.format()).unpack_from
        cpus = self.libbpf.possible_cpus()
        fd = self.maps["ingress_counts"]
        raw = self.libbpf.map_lookup(fd, _ZERO, COUNT.size * cpus, "counts") or b""
        each = (dict(zip(COUNT.fields, unpack(raw, at), strict=True)) for at in _each(raw))
        # Slot 0 numbers a CPU's events: lsm/xdp/record.h.
        return [Numbered(one["recorded"], one["lost"]) for one in each]

    def now(self) -> int:
        """The kernel's clock in jiffies, which the ends of timed entries are told in."""
        return clock(self.libbpf, self.programs[CLOCK])[0]

    def set_probes(self, probes: bytes) -> None:
        """Which sets and prefix lengths have TTL entries: struct ingress_probes."""
        padded = probes + bytes(PROBES.size - len(probes))
        self.libbpf.map_update(self.maps["ingress_probes"], _ZERO, padded, "probes")

    def set_next(self, program: int | None) -> None:
        """Give the slot for another XDP program one, or none. Raises LibbpfError."""
        if program is None:
            self.libbpf.map_delete(self.maps["ingress_parts"], _u32(_NEXT), "next program")
        else:
            self.libbpf.map_update(
                self.maps["ingress_parts"], _u32(_NEXT), _u32(program), "next program"
            )

    def set_targets(
        self, devices: Sequence[int], cpus: Sequence[int], mirrors: Sequence[int]
    ) -> None:
        """Where redirect and mirror rules send: interface indexes and CPUs, by target's number.

        An interface that is not there (index 0) is left out: what is sent to it is lost, and
        counted.
        """
        for name, some in (("ingress_devices", devices), ("ingress_mirrors", mirrors)):
            for number, index in enumerate(some):
                if index:
                    self.libbpf.map_update(self.maps[name], _u32(number), _u32(index), name)
        for cpu in cpus:
            # The key is the CPU, the value the queue's length: struct bpf_cpumap_val.
            self.libbpf.map_update(self.maps["ingress_cpus"], _u32(cpu), _u32(_QUEUE), f"cpu {cpu}")

    def attach(self, interface: Interface, wanted: Wanted) -> Attached:
        """Filter one more interface, and pin that. Raises HostError; then nothing is attached."""
        made = xdp.attach(self.libbpf, self.programs[FILTER], interface, wanted)
        self._keep(f"xdp_{interface.index}", made.link)
        return made

    def watch(self, interface: Interface) -> None:
        """See what leaves through an interface, and send copies. Raises HostError with a remedy."""
        for program, kind, name in (
            (LEAVES, BPF_TCX_EGRESS, f"leaves_{interface.index}"),
            (MIRROR, BPF_TCX_INGRESS, f"mirror_{interface.index}"),
        ):
            if name in self.links:
                continue
            what = f"attach beside {interface.name}"
            try:
                fd = self.libbpf.tcx_attach(self.programs[program], interface.index, kind, what)
            except LibbpfError as error:
                raise HostError(
                    f"{interface.name} cannot be watched for what leaves: {error}",
                    remedy="this needs tcx, a kernel from 6.6 on; without it say"
                    " `established: {udp: false, icmp: false}` and use no mirror rule",
                ) from error
            self._keep(name, fd)

    def _keep(self, name: str, fd: int) -> None:
        """Pin a link. Raises LibbpfError; then it is closed."""
        try:
            self.libbpf.pin(fd, self.instance.link(name))
        except LibbpfError:
            os.close(fd)
            raise
        self.links[name] = fd

    def detach(self, index: int) -> None:
        """Take the filter off an interface, or tidy up after one that is gone."""
        for kind in ("xdp", "leaves", "mirror"):
            name = f"{kind}_{index}"
            fd = self.links.pop(name, None)
            if fd is not None:
                Path(self.instance.link(name)).unlink(missing_ok=True)
                os.close(fd)

    def attached(self) -> dict[int, bool]:
        """Indexes of the interfaces that were attached to, and whether each is still there."""
        return {
            int(name.removeprefix("xdp_")): xdp.alive(fd) is not None
            for name, fd in self.links.items()
            if name.startswith("xdp_")
        }

    def close(self) -> None:
        """Close the descriptors. The filter goes on as long as the pins are there."""
        for some in (self.maps, self.programs, self.links):
            for fd in some.values():
                os.close(fd)
            some.clear()


def table(libbpf: Libbpf, generation: bytes, bits: int) -> int:
    """A frozen map that holds the generation. Returns its descriptor."""
    size = (1 << bits) + SLACK
    fd = libbpf.map_create(MAP_TYPE_ARRAY, "guard_ingress", len(_ZERO), size, 1)
    try:
        libbpf.map_update(fd, _ZERO, generation + bytes(size - len(generation)), "fill tables")
        libbpf.map_freeze(fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def clock(libbpf: Libbpf, program: int) -> tuple[int, int]:
    """Jiffies and nanoseconds (CLOCK_MONOTONIC) as the clock program tells them."""
    jiffies, nanoseconds = struct.unpack_from("=QQ", libbpf.test_run(program, bytes(64)).packet)
    return jiffies, nanoseconds


def adopt(libbpf: Libbpf, instance: Instance) -> Ingress:
    """Open what another process pinned; it stays in force throughout. Raises LibbpfError."""
    found = Ingress(libbpf, instance, Constants(0, 0, (0, 0)), {}, {})
    try:
        for name in (*LASTING, *OWN):
            found.maps[name] = libbpf.open_pin(instance.map(name))
        for name in PROGRAMS:
            found.programs[name] = libbpf.open_pin(instance.program(name))
        for name in instance.links():
            found.links[name] = libbpf.open_pin(instance.link(name))
        fd = libbpf.open_pin(instance.map(CONSTANTS))
        try:
            raw = libbpf.map_lookup(fd, _ZERO, WORDS.size, CONSTANTS) or bytes(WORDS.size)
        finally:
            os.close(fd)
        bits, ticks, first, second = WORDS.unpack(raw)
        found.constants = Constants(bits, ticks, (first, second))
    except BaseException:
        found.close()
        raise
    return found


def filter_id(ingress: Ingress) -> int:
    """The id of the filter's program, as `ip link` and bpftool show it."""
    return fdinfo(ingress.programs[FILTER])["prog_id"]


def _each(raw: bytes) -> range:
    """Where each CPU's counts begin."""
    return range(0, len(raw), COUNT.size)


def _u32(number: int) -> bytes:
    return struct.pack("=I", number)
