# SPDX-License-Identifier: Apache-2.0
"""HostPlan → the bytes of one generation: struct guard_root and what follows it.

Offsets come from guard.wire.layout alone. Same plan, same bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from guard.plan.contents import contents
from guard.plan.errors import PlanError
from guard.plan.hashing import hash_keys
from guard.plan.host import Device, HostPlan
from guard.plan.ids import Key, id_slot
from guard.plan.plan import Plan, StartStates
from guard.wire.layout import CONTENT, DEVICE, DEVICES, GATED, ID, ROOT, ROW, VERB_ROW, Abi, Limit

DATA_BITS = (18, 22, 26)
"""Size classes: the data of a generation is 2^bits bytes. Three, because kernels want
all maps in one slot to be of one size, and the programs come built for each."""


@dataclass(frozen=True, slots=True)
class Tables:
    """One generation, encoded: struct guard_root, the data (unpadded), struct guard_devices.

    ``bits`` is the smallest size class. ``host`` are the policies that tasks without a
    label may be under: host-wide ones, and those of control groups.
    """

    root: bytes
    data: bytes
    devices: bytes
    bits: int
    host: int

    def value(self, bits: int) -> bytes:
        """The map's value in size class ``bits``: struct tables of lsm/maps.h.

        Behind the data is room for a row, so that an offset that is masked to
        ``bits`` can always be read as one.
        """
        return self.root + self.data.ljust((1 << bits) + ROW.size, b"\0") + self.devices


def value_size(bits: int) -> int:
    """Bytes of a map's value in size class ``bits``."""
    return ROOT.size + (1 << bits) + ROW.size + DEVICES.size


def encode(host_plan: HostPlan, generation: int) -> Tables:
    """The tables of a generation. Raises PlanError if they fit into no size class."""
    plan = host_plan.plan
    bits = require_room(plan)
    multiplier, slots = hash_devices([one.device for one in host_plan.devices])
    root = bytearray(ROOT.size)
    masks = plan.masks
    _put(root, "abi", Abi.VERSION)
    _put(root, "generation", generation)
    _put(root, "enforce", masks.enforce)
    _put(root, "host", masks.host)
    _put(root, "inherit", masks.inherit)
    _put(root, "exe", masks.exe)
    _put(root, "cgroup", masks.cgroup)
    _put(root, "ids", masks.ids)
    _put(root, "contents", masks.contents)
    _put_ids(root, host_plan.ids)
    _put_contents(root, contents(plan.policies))
    for section, gated in enumerate(masks.sections):
        at = ROOT.fields["section"].offset + section * GATED.size
        struct.pack_into(GATED.format(), root, at, gated.policies, gated.default_deny)
    for op, row in enumerate(plan.kernel):
        at = ROOT.fields["kernel"].offset + op * VERB_ROW.size
        struct.pack_into(VERB_ROW.format(), root, at, *row)
    _put(root, "net", plan.net)
    _put(root, "cgroups", plan.cgroups)
    _put(root, "group_mask", *_padded(plan.group_mask, 0))
    _put(root, "groups", len(plan.group_mask))
    _put(root, "device_multiplier", multiplier)
    _put(root, "column", *plan.column)
    devices = bytearray(DEVICES.size)
    foreign = DEVICES.fields["foreign"].offset
    devices[foreign : foreign + DEVICE.size] = _device(0, plan.foreign, plan.foreign)
    anonymous = DEVICES.fields["anonymous"].offset
    devices[anonymous : anonymous + DEVICE.size] = _device(0, plan.anonymous, plan.foreign)
    by_number: dict[int, Device] = {one.device: one for one in host_plan.devices}
    first = DEVICES.fields["slot"].offset
    for slot, number in slots.items():
        at = first + slot * DEVICE.size
        devices[at : at + DEVICE.size] = _device(number, by_number[number].start, plan.foreign)
    return Tables(
        bytes(root), plan.data, bytes(devices), bits, masks.host | masks.cgroup | masks.ids
    )


def require_room(plan: Plan) -> int:
    """The smallest size class that a plan's data fits into. Raises PlanError if none."""
    size = len(plan.data)
    for bits in DATA_BITS:
        if size <= 1 << bits:
            return bits
    raise PlanError(
        f"the tables need {size} bytes, and at most {1 << DATA_BITS[-1]} can be loaded",
        help="use fewer patterns, or fewer that begin with '**'",
    )


def device_slot(device: int, multiplier: int) -> int:
    """The first slot that the kernel looks at for a device."""
    return ((device * multiplier & 0xFFFFFFFF) >> 16) % Limit.DEVICE_SLOTS


def hash_devices(devices: Sequence[int]) -> tuple[int, dict[int, int]]:
    """A multiplier, and each device's slot: within Limit.DEVICE_PROBES of its first."""
    return hash_keys(devices, device_slot, Limit.DEVICE_SLOTS, Limit.DEVICE_PROBES)


def _put_ids(root: bytearray, ids: dict[Key, int]) -> None:
    def first(key: Key, multiplier: int) -> int:
        return id_slot(key[1], multiplier)

    multiplier, slots = hash_keys(list(ids), first, Limit.ID_SLOTS, Limit.ID_PROBES)
    _put(root, "id_multiplier", multiplier)
    for slot, (kind, number) in slots.items():
        at = ROOT.fields["id"].offset + slot * ID.size
        struct.pack_into(ID.format(), root, at, number, kind, ids[kind, number])


def _put_contents(root: bytearray, digests: dict[bytes, int]) -> None:
    for place, (digest, policies) in enumerate(digests.items()):
        at = ROOT.fields["content"].offset + place * CONTENT.size
        root[at : at + Limit.DIGEST] = digest
        struct.pack_into("<Q", root, at + CONTENT.fields["policies"].offset, policies)


def _device(number: int, start: StartStates, unused: StartStates) -> bytes:
    record = bytearray(DEVICE.size)
    fields = DEVICE.fields
    struct.pack_into("<I", record, fields["device"].offset, number)
    struct.pack_into("<I", record, fields["subject"].offset, start.subject)
    # Automata that are not in use start, if ever, where nothing matches.
    struct.pack_into(
        f"<{Limit.GROUPS}I",
        record,
        fields["start"].offset,
        *_padded(start.groups, unused.groups[0]),
    )
    return bytes(record)


def _padded(values: Sequence[int], filler: int) -> list[int]:
    return [*values, *[filler] * (Limit.GROUPS - len(values))]


def _put(root: bytearray, name: str, *values: int) -> None:
    field = ROOT.fields[name]
    struct.pack_into(f"<{field.count}{field.code}", root, field.offset, *values)
