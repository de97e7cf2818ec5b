# SPDX-License-Identifier: Apache-2.0
"""An XDP program on interfaces: attached by pinned links, its mode demanded and verified.

Takes a loaded program's descriptor and knows nothing of what it filters. A
link that is pinned keeps the program on the interface when this process ends.
"""

from __future__ import annotations

import enum
import errno
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from guard.errors import HostError
from guard.kernel.fdinfo import fdinfo
from guard.kernel.libbpf import XDP_GENERIC, XDP_NATIVE, Libbpf, LibbpfError
from guard.kernel.netlink import Interface, XdpFeature, XdpMode, interfaces, xdp_features

# Bytes of a page that native XDP on most drivers keeps for itself: XDP_PACKET_HEADROOM,
# NET_IP_ALIGN, struct skb_shared_info and the header. The largest MTU is what is left.
_PAGE_OVERHEAD = 256 + 2 + 320 + 14


class Wanted(enum.Enum):
    """The mode that a policy asks for."""

    NATIVE = "native"
    GENERIC = "generic"
    AUTO = "auto"


class Attached(NamedTuple):
    """A program that is on an interface: the link's descriptor, the mode and its reason."""

    interface: str
    ifindex: int
    link: int
    mode: XdpMode
    reason: str


@dataclass(frozen=True, slots=True)
class Host:
    """How the host is asked about its interfaces; tests give other answers."""

    interfaces: Callable[[], dict[str, Interface]] = interfaces
    features: Callable[[int], XdpFeature | None] = xdp_features


HOST = Host()


def require(names: Sequence[str], host: Host = HOST) -> tuple[Interface, ...]:
    """The interfaces of these names. Raises HostError naming all that are not there."""
    there = host.interfaces()
    missing = [name for name in names if name not in there]
    if missing:
        close = get_close_matches(missing[0], there, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        shown = ", ".join(repr(name) for name in missing)
        raise HostError(
            f"no interface {shown} on this host",
            remedy=f"{hint}interfaces here: {', '.join(sorted(there))}",
        )
    return tuple(there[name] for name in names)


def attach_all(
    libbpf: Libbpf, program: int, names: Sequence[str], wanted: Wanted, host: Host = HOST
) -> tuple[Attached, ...]:
    """The program on all these interfaces, or on none. Raises HostError with a remedy.

    The links' descriptors are the caller's: to close without pinning is to detach.
    """
    found = require(names, host)
    for one in found:
        _require_free(libbpf, one)
    with ExitStack() as undo:
        made = []
        for one in found:
            attached = attach(libbpf, program, one, wanted, host)
            undo.callback(os.close, attached.link)
            made.append(attached)
        undo.pop_all()
    return tuple(made)


def attach(
    libbpf: Libbpf, program: int, interface: Interface, wanted: Wanted, host: Host = HOST
) -> Attached:
    """The program on one interface, in the mode that was asked for and no other.

    Raises HostError with a remedy; then nothing is attached.
    """
    _require_free(libbpf, interface)
    what = f"attach to {interface.name}"
    reason = ""
    if wanted is not Wanted.GENERIC:
        try:
            link = libbpf.xdp_attach(program, interface.index, XDP_NATIVE, what)
        except LibbpfError as error:
            why, remedy = _native_refused(error, interface, host)
            if wanted is Wanted.NATIVE or error.errno in (errno.EBUSY, errno.EEXIST, errno.EPERM):
                raise HostError(
                    f"{interface.name} does not take the filter in native mode: {why}",
                    remedy=remedy,
                ) from error
            reason = f"native mode refused: {why}"
        else:
            return _verified(link, interface, XdpMode.NATIVE, "native mode, as demanded", host)
    try:
        link = libbpf.xdp_attach(program, interface.index, XDP_GENERIC, what)
    except LibbpfError as error:
        raise HostError(
            f"{interface.name} does not take the filter in generic mode: {error}",
            remedy=_busy_remedy(interface.name) if error.errno == errno.EBUSY else None,
        ) from error
    return _verified(
        link,
        interface,
        XdpMode.GENERIC,
        reason or "the policy says mode: generic",
        host,
    )


def replace(libbpf: Libbpf, links: Iterable[tuple[str, int]], program: int, old: int) -> None:
    """Put another program in the place of ``old`` on every link, each in one step.

    ``links`` are interfaces' names and descriptors. Raises HostError when one
    refuses; those that were changed before it then have ``old`` again. A link
    whose interface is gone is passed by.
    """
    done: list[tuple[str, int]] = []
    for name, link in links:
        try:
            libbpf.link_update(link, program, f"update {name}")
        except LibbpfError as error:
            if error.errno == errno.ENOLINK:
                continue
            for changed, fd in done:
                libbpf.link_update(fd, old, f"restore {changed}")
            raise
        done.append((name, link))


def alive(link: int) -> int | None:
    """The index of the interface that a link holds its program on; None when that is gone."""
    return fdinfo(link).get("ifindex") or None


def _verified(link: int, interface: Interface, mode: XdpMode, reason: str, host: Host) -> Attached:
    """The attachment, believed only when the interface itself shows it."""
    try:
        program = fdinfo(link).get("prog_id", 0)
        seen = next(
            (one for one in host.interfaces().values() if one.index == interface.index), None
        )
        if seen is None:
            raise HostError(f"interface {interface.name} went away while guard attached to it")
        if seen.mode is not mode or program not in seen.programs:
            raise HostError(
                f"the kernel took the filter for {interface.name} but shows it"
                f" in {seen.mode.name.lower()} mode, not {mode.name.lower()}",
                remedy="another XDP program on the interface may be in the way:"
                f" ip link show {interface.name}",
            )
    except BaseException:
        os.close(link)
        raise
    return Attached(interface.name, interface.index, link, mode, reason)


def _require_free(libbpf: Libbpf, interface: Interface) -> None:
    """Raise HostError when another XDP program is on the interface, and say which."""
    if not interface.programs:
        return
    number = interface.programs[0]
    try:
        fd = libbpf.program_by_id(number)
    except LibbpfError:
        name = "unknown"
    else:
        try:
            name = program_name(fd)
        finally:
            os.close(fd)
    raise HostError(
        f"{interface.name} has an XDP program already: id {number}, {name}",
        remedy=_busy_remedy(interface.name),
    )


def program_name(fd: int) -> str:
    """What a program calls itself, for people: its tag (the kernel's fdinfo has no name)."""
    for line in Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == "prog_tag":
            return f"tag {value.strip()}"
    return "unknown"


def _busy_remedy(name: str) -> str:
    return (
        f"is guard there already? see `guard ingress status`. Otherwise take it off"
        f" (ip link set {name} xdp off), start guard, and give it the other program"
        " to run after its own: `guard ingress next PINNED_PROGRAM`"
    )


def _native_refused(error: LibbpfError, interface: Interface, host: Host) -> tuple[str, str]:
    """Why a driver refuses, and what to do about it."""
    said = _said(error)
    match error.errno:
        case errno.ERANGE:
            most = os.sysconf("SC_PAGE_SIZE") - _PAGE_OVERHEAD
            return (
                f"its MTU of {interface.mtu}, or its peer's, is too large{said}",
                (
                    f"lower it (ip link set {interface.name} mtu {most} or less),"
                    " or allow the slower mode with `mode: auto` in the ingress section"
                ),
            )
        case errno.EINVAL if interface.mtu > os.sysconf("SC_PAGE_SIZE") - _PAGE_OVERHEAD:
            return (
                f"its MTU of {interface.mtu} is probably too large{said}",
                (
                    f"lower it (ip link set {interface.name} mtu 1500),"
                    " or allow the slower mode with `mode: auto` in the ingress section"
                ),
            )
        case errno.EOPNOTSUPP:
            features = host.features(interface.index)
            told = "" if features is None else " (it offers no XDP feature)" * (not features)
            return (
                f"its driver{_kind(interface)} has none{told}{said}",
                "say `mode: generic` in the ingress section to allow the slower mode",
            )
        case errno.EBUSY | errno.EEXIST:
            return f"another XDP program is attached{said}", _busy_remedy(interface.name)
        case errno.EPERM:
            return f"this process may not{said}", "run guard as root"
        case _:
            return (
                f"{os.strerror(error.errno)}{said}",
                "`mode: auto` in the ingress section allows the slower mode",
            )


def _said(error: LibbpfError) -> str:
    lines = [line.strip() for line in error.log if line.strip()]
    return f" ({lines[-1]})" if lines else ""


def _kind(interface: Interface) -> str:
    return f" ({interface.kind})" if interface.kind else ""
