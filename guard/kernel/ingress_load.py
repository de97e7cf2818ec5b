# SPDX-License-Identifier: Apache-2.0
"""Loading the ingress filter's programs: with their constants, maps and first tables, pinned.

A failure leaves nothing behind, and what filtered before goes on.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from guard.errors import HostError
from guard.kernel import ingress_control, pins, timed, xdp
from guard.kernel.engine import OBJECTS
from guard.kernel.ingress import (
    CLOCK,
    CONSTANTS,
    CURRENT,
    FILTER,
    LASTING,
    LEAVES,
    MIRROR,
    OWN,
    PROGRAMS,
    REPLY,
    ROOT,
    SLACK,
    SYN_COOKIE,
    WORDS,
    Constants,
    Ingress,
    clock,
    table,
)
from guard.kernel.libbpf import MAP_TYPE_ARRAY, Libbpf
from guard.kernel.pins import Instance
from guard.wire import ingress as wire
from guard.wire.check import Ours, mismatches

OBJECT = "ingress.bpf.o"
_OURS = Ours(wire.STRUCTS, "ingress_abi", "INGRESS_ABI_VERSION", int(wire.Abi.VERSION))

# Slots of the programs' array, enum part in lsm/xdp/maps.h.
_PARTS = {REPLY: 0, SYN_COOKIE: 1}

# Sizes of a generation: a power of two, and small enough for one allocation of a map.
LEAST_BITS, MOST_BITS = 20, 29
# A generation is loaded into room for one twice its size, so that policies may grow.
ROOM = 2

EVENT_RING = 1 << 20
"""Bytes of the ring: five thousand drops, several seconds of what sampling lets through."""

FLOW_SECONDS, FRAGMENT_SECONDS = 120, 30
"""RFC 4787 REQ-5's two minutes; RFC 1122's and RFC 8200's reassembly time, rounded."""
FLOW_SHIFT = 8  # lsm/xdp/flows.h


_ZERO = struct.pack("=I", 0)
_HERTZ = (100, 250, 300, 1000)
_CLOCK_NS = 60_000_000


def bits_for(size: int) -> int:
    """The size class for a generation of ``size`` bytes, with room. Raises HostError."""
    bits = max(LEAST_BITS, (size * ROOM - 1).bit_length())
    if size > 1 << MOST_BITS:
        raise HostError(f"the tables take {size} bytes; at most {1 << MOST_BITS} can be loaded")
    return min(bits, MOST_BITS)


def hertz(libbpf: Libbpf) -> int:
    """How many jiffies this kernel has in a second, measured. Raises LibbpfError."""
    handle = libbpf.object_open(str(_object()))
    try:
        for name in (FILTER, REPLY, SYN_COOKIE, LEAVES, MIRROR):
            libbpf.program_set_autoload(libbpf.object_program(handle, name), False)
        inner = libbpf.map_create(MAP_TYPE_ARRAY, "guard_trial", 4, (1 << LEAST_BITS) + SLACK, 1)
        try:
            libbpf.map_set_inner(libbpf.object_map(handle, CURRENT), inner)
            libbpf.object_load(handle)
        finally:
            os.close(inner)
        fd = libbpf.program_fd(libbpf.object_program(handle, CLOCK))
        jiffies, began = clock(libbpf, fd)
        while True:
            time.sleep(_CLOCK_NS / 1e9)
            later, now = clock(libbpf, fd)
            if now - began >= _CLOCK_NS:
                break
    finally:
        libbpf.object_close(handle)
    seen = (later - jiffies) * 1e9 / (now - began)
    return min(_HERTZ, key=lambda rate: abs(rate - seen) / rate)


def load(
    libbpf: Libbpf, name: str, generation: bytes, ticks: int, root: Path = ROOT
) -> tuple[Ingress, Instance]:
    """Load and pin a new filter with its tables, attached to nothing and not visible yet.

    ``publish`` gives the instance its name once the interfaces are attached.
    Raises HostError, or LibbpfError with the log; then nothing is left.
    """
    with ExitStack() as undo:
        hidden = pins.begin(name, root)
        undo.callback(pins.remove, hidden)
        first, second = struct.unpack("=QQ", os.urandom(16))
        constants = Constants(bits_for(len(generation)), ticks, (first, second))
        made = _make(libbpf, hidden, generation, constants, {})
        timed.create(made)
        undo.pop_all()
    return made, hidden


def publish(ingress: Ingress) -> None:
    """Give a filled instance its visible name, in one rename."""
    ingress.instance = pins.publish(ingress.instance)


def grow(ingress: Ingress, generation: bytes) -> None:
    """Put in force a generation that the loaded programs have no room for.

    New programs take over all lasting maps and then every link, each in one
    step. Raises HostError; then the old programs and tables go on.
    """
    libbpf, instance = ingress.libbpf, ingress.instance
    staged = Instance(instance.directory.with_name(f"{pins.HIDDEN}{instance.name}_grown"))
    pins.remove(staged)
    for part in ("maps", "links", "programs"):
        (staged.directory / part).mkdir(parents=True, mode=0o700)
    constants = ingress.constants._replace(bits=bits_for(len(generation)))
    lasting = {name: ingress.maps[name] for name in LASTING}
    with ExitStack() as undo:
        undo.callback(pins.remove, staged)
        made = _make(libbpf, staged, generation, constants, lasting)
        undo.callback(made.close)
        ingress_control.carry_over(ingress, made)
        for kind, program in (("xdp_", FILTER), ("leaves_", LEAVES), ("mirror_", MIRROR)):
            links = [(name, fd) for name, fd in ingress.links.items() if name.startswith(kind)]
            xdp.replace(libbpf, links, made.programs[program], ingress.programs[program])
        for pin in (*OWN, CONSTANTS):
            os.rename(staged.map(pin), instance.map(pin))
        for program in made.programs:
            os.rename(staged.program(program), instance.program(program))
        old_maps, old_programs = ingress.maps, ingress.programs
        ingress.maps, ingress.programs, ingress.constants = made.maps, made.programs, constants
        made.maps, made.programs = old_maps, old_programs


def _make(
    libbpf: Libbpf,
    into: Instance,
    generation: bytes,
    constants: Constants,
    lasting: dict[str, int],
) -> Ingress:
    """Programs with a generation in their slot, pinned below ``into``."""
    tables = table(libbpf, generation, constants.bits)
    maps: dict[str, int] = {}
    programs: dict[str, int] = {}
    try:
        with _loaded(libbpf, constants, tables, lasting) as handle:
            for name in (*LASTING, *OWN):
                libbpf.pin(libbpf.map_fd(libbpf.object_map(handle, name)), into.map(name))
                maps[name] = libbpf.open_pin(into.map(name))
            for name in PROGRAMS:
                fd = libbpf.program_fd(libbpf.object_program(handle, name))
                libbpf.pin(fd, into.program(name))
                programs[name] = libbpf.open_pin(into.program(name))
            for name, slot in _PARTS.items():
                libbpf.map_update(maps["ingress_parts"], _u32(slot), _u32(programs[name]), name)
            libbpf.map_update(maps[CURRENT], _ZERO, _u32(tables), "switch")
        _pin_constants(libbpf, into, constants)
    except BaseException:
        for fd in (*maps.values(), *programs.values()):
            os.close(fd)
        raise
    finally:
        os.close(tables)
    return Ingress(libbpf, into, constants, maps, programs)


def _pin_constants(libbpf: Libbpf, into: Instance, constants: Constants) -> None:
    """Beside the programs that were made with them: a successor reads them there."""
    fd = libbpf.map_create(MAP_TYPE_ARRAY, "guard_constants", len(_ZERO), WORDS.size, 1)
    try:
        words = WORDS.pack(constants.bits, constants.ticks, *constants.seed)
        libbpf.map_update(fd, _ZERO, words, CONSTANTS)
        libbpf.map_freeze(fd)
        libbpf.pin(fd, into.map(CONSTANTS))
    finally:
        os.close(fd)


@contextmanager
def _loaded(
    libbpf: Libbpf, constants: Constants, tables: int, lasting: dict[str, int]
) -> Iterator[int]:
    """The object, loaded with its constants; closed at the end, when all is pinned."""
    path = _object()
    handle = libbpf.object_open(str(path))
    try:
        shift = 1 << FLOW_SHIFT
        value: dict[str, int | tuple[int, ...]] = {
            "table_mask": (1 << constants.bits) - 1,
            "flow_timeout": -(-FLOW_SECONDS * constants.ticks // shift),
            "fragment_timeout": -(-FRAGMENT_SECONDS * constants.ticks // shift),
            "seed": constants.seed,
        }
        rodata = libbpf.map_initial_value(libbpf.object_map(handle, ".rodata.constants"))
        for at, byte in enumerate(_constants(value)):
            rodata[at] = bytes([byte])
        libbpf.map_set_inner(libbpf.object_map(handle, CURRENT), tables)
        libbpf.map_set_max_entries(libbpf.object_map(handle, "ingress_events"), EVENT_RING)
        for name, fd in lasting.items():
            libbpf.map_reuse(libbpf.object_map(handle, name), fd)
        libbpf.object_load(handle)
        yield handle
    finally:
        libbpf.object_close(handle)


def _constants(value: Mapping[str, int | tuple[int, ...]]) -> bytes:
    """struct ingress_constants; members that are not given are 0."""
    out = bytearray(wire.CONSTANTS.size)
    for name, given in value.items():
        field = wire.CONSTANTS.fields[name]
        numbers = given if isinstance(given, tuple) else (given,)
        struct.pack_into(f"={field.count}{field.code}", out, field.offset, *numbers)
    return bytes(out)


def _object() -> Path:
    path = OBJECTS / OBJECT
    if not path.exists():
        raise HostError(
            f"guard's BPF object {path.name} is missing from the installation",
            remedy="in a source tree run `make objects`; otherwise install guard again",
        )
    wrong = mismatches(path.read_bytes(), _OURS)
    if wrong:
        raise HostError(
            f"{path.name} does not belong to this guard: {wrong[0]}",
            remedy="in a source tree run `make objects`; otherwise install guard again",
        )
    return path


def _u32(number: int) -> bytes:
    return struct.pack("=I", number)
