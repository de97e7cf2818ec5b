# SPDX-License-Identifier: Apache-2.0
"""The loaded programs: open, load, attach and pin, all or nothing; adopt; switch.

Takes compiled tables as bytes and knows nothing of policies. Everything it
makes is pinned, so verdicts outlive the process.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from guard.errors import HostError
from guard.kernel import pins, repeats, tables
from guard.kernel.attachment import WATCHED, Attachment, security_function
from guard.kernel.fdinfo import fdinfo
from guard.kernel.features import BPF_REMEDY, Features
from guard.kernel.labels import Labels
from guard.kernel.libbpf import (
    MAP_TYPE_ARRAY,
    MAP_TYPE_RINGBUF,
    MODIFY_RETURN,
    TRACE_FENTRY,
    Libbpf,
    LibbpfError,
)
from guard.kernel.pins import Instance
from guard.kernel.repeats import EVERY, Merging
from guard.plan import gates, platform
from guard.plan.encode import DATA_BITS, Tables, value_size
from guard.plan.gates import SWEEP, Gate
from guard.policy.model import Policy
from guard.wire.check import mismatches
from guard.wire.layout import COUNTERS

OBJECTS = Path(__file__).parent.parent / "objects"

MAPS = {
    "current": "guard_current",
    "labels": "guard_labels",
    "rings": "guard_rings",
    "counters": "guard_counters",
    "gate": ".data.gate",
    "labels_id": ".data.labels",
    "net_marks": "guard_net_marks",
    "slots": repeats.SLOTS,
    "merging": repeats.SETTINGS,
    "allowed": repeats.ALLOWED,
}

# Rings, in the order of their slots (lsm/maps.h): what was refused, and all else.
RINGS = ("events", "audits")

# Bytes of the event ring: 8 MiB is about ten thousand denials with ordinary
# paths, several seconds of a fast attacker, before records are counted as lost.
RING_BYTES = 8 << 20

_ZERO = struct.pack("=I", 0)


@dataclass
class Engine:
    """One instance's kernel side, open for use. Close it; what is pinned stays."""

    libbpf: Libbpf
    instance: Instance
    bits: int
    maps: dict[str, int]
    host: int
    gates: tuple[Gate, ...]
    attachment: Attachment
    ring_bytes: int = RING_BYTES

    @property
    def labels(self) -> Labels:
        return Labels(self.libbpf, self.maps["labels"])

    def counters(self) -> list[bytes]:
        """struct guard_counters of each CPU, now."""
        size = COUNTERS.size * self.libbpf.possible_cpus()
        raw = self.libbpf.map_lookup(self.maps["counters"], _ZERO, size, "counters") or b""
        return [raw[at : at + COUNTERS.size] for at in range(0, len(raw), COUNTERS.size)]

    def misses(self) -> int:
        """How many calls passed a program by because it was being run on their CPU already.

        Always 0 for LSM programs, which have no such guard (bpf_prog_info's
        recursion_misses, by the programs' fdinfo).
        """
        missed = 0
        if self.attachment is Attachment.FMOD_RET:
            for gate in self.gates:
                fd = self.libbpf.open_pin(self.instance.program(gate.program))
                try:
                    missed += fdinfo(fd).get("recursion_misses", 0)
                finally:
                    os.close(fd)
        return missed

    def switch(self, generation: Tables) -> None:
        """Put another generation in force atomically.

        Raises HostError, and changes nothing, when it does not fit the size
        class that the programs were loaded for.
        """
        if len(generation.data) > 1 << self.bits:
            raise HostError(
                f"the new tables take {len(generation.data)} bytes and the loaded programs "
                f"were made for {1 << self.bits}",
                remedy="unload and run guard again with the new policies",
            )
        fd = tables.create(self.libbpf, generation, self.bits)
        try:
            hosts = (self.host, generation.host)
            tables.switch(self.libbpf, self.maps["current"], self.maps["gate"], fd, hosts)
            self.host = generation.host
        finally:
            os.close(fd)

    def sweep(self) -> None:
        """Label the tasks that run already; repeats until forks cannot have slipped by.

        A child forked between the sweep's visit of its parent's place and its
        own takes its parent's label if the parent had it; two passes reach the
        children of tasks that were not labelled yet.
        """
        fd = self.libbpf.open_pin(self.instance.link(SWEEP))
        try:
            for _ in range(2):
                self.libbpf.iterate(fd)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Close the descriptors. Enforcement goes on as long as the pins are there."""
        for fd in self.maps.values():
            os.close(fd)
        self.maps.clear()


def object_path(bits: int) -> Path:
    """The shipped object of a size class. Raises HostError when it was not built, or for another
    layout than this Python's.
    """
    path = OBJECTS / f"guard-{bits}.bpf.o"
    if not path.exists():
        raise HostError(
            f"guard's BPF object {path.name} is missing from the installation",
            remedy="in a source tree run `make objects`; otherwise install guard again",
        )
    wrong = mismatches(path.read_bytes())
    if wrong:
        raise HostError(
            f"{path.name} does not belong to this guard: {wrong[0]}",
            remedy="in a source tree run `make objects`; otherwise install guard again",
        )
    return path


def choose_gates(
    features: Features, policies: Sequence[Policy], attachment: Attachment = Attachment.LSM
) -> tuple[Gate, ...]:
    """The programs that these policies need on this kernel.

    Raises HostError, which names the first rule to need it, where the kernel lacks a hook.
    """
    needed = gates.needed(policies)
    if attachment is Attachment.FMOD_RET and any(gate.contents for gate in needed):
        asked = next(each for policy in policies for each in policy.subject.contents)
        raise HostError(
            f"{asked.span}: sha256 is for kernels with bpf among their LSMs: only there a program"
            " may ask for a file's hash",
            remedy=BPF_REMEDY,
        )
    choice = gates.choose(needed, features.parameters(attachment))
    if choice.missing:
        lacking = choice.missing[0]
        blamed = platform.blame(policies, lacking)
        place = f"{blamed.span}: " if blamed is not None else ""
        if attachment is Attachment.FMOD_RET and lacking.function in features.functions:
            raise HostError(
                f"{place}without bpf among its LSMs, kernel {features.release} offers no function"
                f" to stand in for the hook {lacking.hook.name.lower()}, which"
                f" {blamed.what if blamed is not None else 'guard'} needs",
                remedy=BPF_REMEDY,
            )
        raise HostError(
            place + platform.refusal(features.release, lacking, blamed),
            remedy="boot a kernel from 6.1 on with CONFIG_BPF_LSM=y, CONFIG_SECURITY_PATH=y and"
            " CONFIG_SECURITY_NETWORK=y, as Debian's are",
        )
    return choice.gates


def load(
    libbpf: Libbpf,
    features: Features,
    name: str,
    generation: Tables,
    bits: int,
    chosen: tuple[Gate, ...],
    attachment: Attachment = Attachment.LSM,
    ring_bytes: int = RING_BYTES,
    root: Path = pins.ROOT,
    merging: Merging = EVERY,
) -> Engine:
    """Load, fill, attach and pin a new instance below ``root``. A failure leaves nothing behind.

    The tables are in force before the first hook is attached. Raises HostError
    with a remedy, or LibbpfError with the log.
    """
    path = object_path(bits)
    with ExitStack() as undo:
        hidden = pins.begin(name, root)
        undo.callback(pins.remove, hidden)
        tables_fd = tables.create(libbpf, generation, bits)
        try:
            with loaded(libbpf, features, path, tables_fd, chosen, attachment) as handle:
                _fill(libbpf, handle, hidden, tables_fd, generation.host, ring_bytes)
                repeats.begin(libbpf, handle, hidden, merging)
                # Labels first, then the gates that read them.
                attach(libbpf, handle, hidden, (*(gate.program for gate in chosen), SWEEP))
        finally:
            os.close(tables_fd)
        instance = pins.publish(hidden)
        undo.callback(pins.remove, instance)
        engine = _open(libbpf, instance, bits, generation.host, chosen, attachment, ring_bytes)
        undo.pop_all()
    return engine


def _fill(
    libbpf: Libbpf, handle: int, into: Instance, tables_fd: int, host: int, ring_bytes: int
) -> None:
    """Pin the maps and the rings, and put the generation in its slot."""
    maps = {pin: libbpf.map_fd(libbpf.object_map(handle, name)) for pin, name in MAPS.items()}
    for pin, fd in maps.items():
        libbpf.pin(fd, into.map(pin))
    for slot, pin in enumerate(RINGS):
        fd = libbpf.map_create(MAP_TYPE_RINGBUF, f"guard_{pin}", 0, 0, ring_bytes)
        try:
            libbpf.pin(fd, into.map(pin))
            key = struct.pack("=I", slot)
            libbpf.map_update(maps["rings"], key, struct.pack("=I", fd), f"ring {pin}")
        finally:
            os.close(fd)
    labels_id = struct.pack("=I", fdinfo(maps["labels"])["map_id"])
    libbpf.map_update(maps["labels_id"], _ZERO, labels_id, "labels' id")
    tables.switch(libbpf, maps["current"], maps["gate"], tables_fd, (0, host))


def trial(libbpf: Libbpf, features: Features, attachment: Attachment = Attachment.LSM) -> None:
    """Load every program of the smallest object and let it go again, attaching nothing.

    Raises LibbpfError or HostError as ``load`` would.
    """
    bits = DATA_BITS[0]
    fd = libbpf.map_create(MAP_TYPE_ARRAY, "guard_trial", len(_ZERO), value_size(bits), 1)
    try:
        possible = [
            gate
            for gate in gates.GATES
            if not (gate.contents and attachment is Attachment.FMOD_RET)
        ]
        every = gates.choose(possible, features.parameters(attachment)).gates
        with loaded(libbpf, features, object_path(bits), fd, every, attachment):
            pass
    finally:
        os.close(fd)


@contextmanager
def loaded(
    libbpf: Libbpf,
    features: Features,
    path: Path,
    maps: int | Mapping[str, int],
    chosen: Sequence[Gate],
    attachment: Attachment = Attachment.LSM,
) -> Iterator[int]:
    """The object, loaded; closed at the end, when all that matters is pinned.

    ``maps``: those of a loaded instance by their pins' names, or a map of tables that new
    ones are to be made for.
    """
    handle = libbpf.object_open(str(path))
    try:
        rodata = libbpf.map_initial_value(libbpf.object_map(handle, ".rodata"))
        # guard_has_rdonly_cast, guard_has_sk_storage (lsm/maps.bpf.c).
        rodata[0] = bytes([features.rdonly_cast])
        rodata[1] = bytes([attachment is Attachment.LSM])
        if isinstance(maps, int):
            libbpf.map_set_inner(libbpf.object_map(handle, MAPS["current"]), maps)
        else:
            for pin, map_name in MAPS.items():
                libbpf.map_reuse(libbpf.object_map(handle, map_name), maps[pin])
        wanted = {gate.program for gate in chosen}
        for gate in gates.GATES:
            if gate.program not in wanted:
                libbpf.program_set_autoload(libbpf.object_program(handle, gate.program), False)
        if attachment is Attachment.FMOD_RET:
            for gate in chosen:
                _retarget(libbpf, handle, gate)
        libbpf.object_load(handle)
        yield handle
    finally:
        libbpf.object_close(handle)


def _retarget(libbpf: Libbpf, handle: int, gate: Gate) -> None:
    """Make a gate's program one for the security function instead of the hook."""
    program = libbpf.object_program(handle, gate.program)
    kind = TRACE_FENTRY if gate.hook in WATCHED else MODIFY_RETURN
    libbpf.program_retarget(program, kind, security_function(gate))


def attach(libbpf: Libbpf, handle: int, into: Instance, chosen: Iterable[str]) -> None:
    """Attach programs in their order; pin each and its link."""
    for name in chosen:
        program = libbpf.object_program(handle, name)
        libbpf.pin(libbpf.program_fd(program), into.program(name))
        if name == SWEEP:
            link = libbpf.program_attach_iterator(program, name)
        else:
            link = libbpf.program_attach(program, name)
        try:
            libbpf.pin(libbpf.link_fd(link), into.link(name))
        finally:
            libbpf.link_destroy(link)


def adopt(
    libbpf: Libbpf,
    instance: Instance,
    bits: int,
    host: int,
    attachment: Attachment = Attachment.LSM,
) -> Engine:
    """Open what another process pinned; it stays in force throughout. Raises LibbpfError."""
    attached = set(instance.links())
    pinned = tuple(gate for gate in gates.GATES if gate.program in attached)
    adopted = _open(libbpf, instance, bits, host, pinned, attachment, RING_BYTES)
    # Another version may have made them larger or smaller.
    adopted.ring_bytes = fdinfo(adopted.maps[RINGS[0]]).get("max_entries", RING_BYTES)
    return adopted


def _open(
    libbpf: Libbpf,
    instance: Instance,
    bits: int,
    host: int,
    chosen: tuple[Gate, ...],
    attachment: Attachment,
    ring_bytes: int,
) -> Engine:
    maps: dict[str, int] = {}
    try:
        for pin in (*MAPS, *RINGS):
            maps[pin] = libbpf.open_pin(instance.map(pin))
    except LibbpfError:
        for fd in maps.values():
            os.close(fd)
        raise
    return Engine(libbpf, instance, bits, maps, host, chosen, attachment, ring_bytes)
