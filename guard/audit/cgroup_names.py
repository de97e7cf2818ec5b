# SPDX-License-Identifier: Apache-2.0
"""What a control group's path says: systemd's units, and the container.

Knows how systemd and container runtimes name control groups; asks nobody.

Whoever may make control groups below one that was delegated to them may give
them any name. So the unit is what stands first below the slices, and the
container is the outermost match: inside, both could be made up. Below a
user's own service manager all is that user's, and is marked as delegated.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Container(NamedTuple):
    """A container. ``id`` is its name where the runtime's groups have no id."""

    id: str
    runtime: str
    pod: str | None
    delegated: bool


class Place(NamedTuple):
    """Where a process runs, by its control group."""

    unit: bytes | None
    user_unit: bytes | None
    container: Container | None


# systemd.unit(5): the kinds of unit that have control groups.
_UNIT = re.compile(rb"[A-Za-z0-9:_.@\\-]+\.(service|scope|socket|mount|swap)")
_SLICE = re.compile(rb"[A-Za-z0-9:_.@\\-]+\.slice")
_USER_MANAGER = re.compile(rb"user@[0-9]+\.service")

_ID = rb"([0-9a-f]{64})"
_SCOPES = (
    (re.compile(rb"docker-" + _ID + rb"\.scope"), "docker"),
    (re.compile(rb"libpod-" + _ID + rb"(?:\.scope)?"), "podman"),
    (re.compile(rb"cri-containerd-" + _ID + rb"(?:\.scope)?"), "containerd"),
    (re.compile(rb"nerdctl-" + _ID + rb"(?:\.scope)?"), "containerd"),
    (re.compile(rb"crio-" + _ID + rb"(?:\.scope)?"), "cri-o"),
)
_BARE_ID = re.compile(_ID)
_POD = re.compile(
    rb"(?:.*-)?pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?"
)
_LXC = re.compile(rb"lxc\.payload\.(.+)")
# libvirt's virtual machines are called machine-qemu… and are no containers.
_MACHINE = re.compile(rb"machine-(?!qemu)(.+)\.scope|systemd-nspawn@(.+)\.service")
_ESCAPED = re.compile(r"\\x([0-9a-f]{2})")


def place(path: bytes) -> Place:
    """What the path of a control group (from the hierarchy's root) says."""
    names = path.strip(b"/").split(b"/") if path.strip(b"/") else []
    unit, rest = _unit(names)
    user_unit = None
    if unit is not None and _USER_MANAGER.fullmatch(unit):
        user_unit, _ = _unit(rest)
    return Place(unit, user_unit, _container(names))


def _unit(names: list[bytes]) -> tuple[bytes | None, list[bytes]]:
    """The unit below the slices (the last slice if there is none), and what is below it."""
    last = None
    for at, raw in enumerate(names):
        # systemd puts '_' before names that the kernel's own files could have.
        name = raw.removeprefix(b"_")
        if _SLICE.fullmatch(name):
            last = name
            continue
        if _UNIT.fullmatch(name):
            return name, names[at + 1 :]
        return last, names[at:]
    return last, []


def _container(names: list[bytes]) -> Container | None:
    delegated, pod = False, None
    for at, name in enumerate(names):
        delegated = delegated or _USER_MANAGER.fullmatch(name) is not None
        in_pod = _POD.fullmatch(name)
        if in_pod:
            pod = in_pod[1].decode().replace("_", "-")
            continue
        found = _match(name, names[at - 1] if at else b"", pod)
        if found is not None:
            return Container(*found, pod, delegated)
    return None


def _match(name: bytes, above: bytes, pod: str | None) -> tuple[str, str] | None:
    """The id and runtime that one name tells."""
    for pattern, runtime in _SCOPES:
        found = pattern.fullmatch(name)
        if found:
            return found[1].decode(), runtime
    if _BARE_ID.fullmatch(name):
        if pod is not None:
            return name.decode(), "kubernetes"
        if above == b"docker":
            return name.decode(), "docker"
        # /NAMESPACE/ID, as containerd's own clients do it.
        return name.decode(), "containerd"
    found = _LXC.fullmatch(name)
    if found:
        return _readable(found[1]), "lxc"
    if above == b"machine.slice":
        found = _MACHINE.fullmatch(name)
        if found:
            return _readable(found[1] or found[2]), "nspawn"
    return None


def _readable(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace")
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
