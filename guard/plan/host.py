# SPDX-License-Identifier: Apache-2.0
"""Plan + mount table → HostPlan: where walks start for each mounted device.

Objects are judged by what they are: the path inside their file system, as
the host mounts it. A file system seen at several places gives its objects
several names, and a pattern that matches one of them matches the object. A
mount that another one hides keeps its name: descriptors into it may be open.
Objects on devices that are not in the table have no name at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from guard.plan.aliases import HOST, Alias, Start
from guard.plan.build import build_plan
from guard.plan.errors import PlanError
from guard.plan.ids import NOBODY, HostNames, Key, resolve
from guard.plan.mounts import Mount, reachable
from guard.plan.plan import Plan, StartStates
from guard.policy.model import Policy
from guard.wire.layout import Limit


@dataclass(frozen=True, slots=True)
class Device:
    """One mounted device: kernel's dev_t, its places in the host, its start states."""

    device: int
    names: Start
    start: StartStates


@dataclass(frozen=True, slots=True)
class HostPlan:
    """A plan for one host's mount table and users. ``devices`` are in the table's order;
    ``ids`` have the policies of each user and group, as bits.
    """

    plan: Plan
    devices: tuple[Device, ...]
    ids: dict[Key, int] = field(hash=False, default_factory=dict)

    def host_path(self, device: int, path: bytes) -> bytes | None:
        """The host's name of a path inside a device; None if the host gives it none."""
        for one in self.devices:
            if one.device == device:
                return host_name(one.names, path)
        return None

    def start(self, device: int) -> StartStates:
        """Where a walk on a device begins; the foreign state for unknown ones."""
        for one in self.devices:
            if one.device == device:
                return one.start
        return self.plan.foreign


def host_name(names: Start, path: bytes) -> bytes | None:
    """The first of a file system's places that holds the path, as a host path."""
    return next((name for alias in names if (name := alias.name(path)) is not None), None)


def build_host_plan(
    policies: Sequence[Policy], mounts: Sequence[Mount], names: HostNames = NOBODY
) -> HostPlan:
    """Compile policies for a host. Raises PlanError, also for too many devices and for
    users and groups that the host does not have.
    """
    ids = resolve(policies, names)
    places = device_names(mounts)
    if len(places) > Limit.DEVICES:
        raise PlanError(
            f"{len(places)} devices are mounted, and the tables hold {Limit.DEVICES.value}"
            " (GUARD_LIMIT_DEVICES)",
            help="unmount file systems that are not in use",
        )
    starts = tuple(dict.fromkeys(place for place in places.values() if place != HOST))
    plan = build_plan(policies, starts)
    by_names = dict(zip(plan.names, plan.starts, strict=True))
    return HostPlan(
        plan,
        tuple(Device(device, place, by_names[place]) for device, place in places.items()),
        ids,
    )


def device_names(mounts: Sequence[Mount]) -> dict[int, Start]:
    """Every device's places: those of its whole file system first, else as in the table."""
    places: dict[int, dict[Alias, None]] = {}
    for mount in mounts:
        aliases = places.setdefault(mount.device, {})
        if reachable(mount):
            aliases[Alias(mount.root, mount.mountpoint)] = None
    return {
        device: tuple(sorted(aliases, key=lambda alias: alias.root != b"/"))
        for device, aliases in places.items()
    }
