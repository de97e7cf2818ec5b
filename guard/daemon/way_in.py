# SPDX-License-Identifier: Apache-2.0
"""The way that whoever runs guard came in by, and whether a policy would shut it."""

from __future__ import annotations

import contextlib
import ipaddress
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from guard.analysis.ingress import Verdict, World, decide
from guard.analysis.ingress_packet import Packet
from guard.kernel.tcp_sockets import ESTABLISHED, tcp_sockets
from guard.plan.set_file import Prefixes
from guard.policy.ingress import IngressSection

_TCP, _SYN = 6, 0x02
_SERVERS = frozenset({"sshd", "sshd-session", "dropbear"})

# A chain of parents longer than this is a circle, or nobody's login.
_ANCESTORS = 64


class Peer(NamedTuple):
    """One end of a connection and the other: addresses and ports."""

    address: str
    port: int
    local: str
    local_port: int


def session_peer(
    environment: Mapping[str, str], pid: int, proc: Path = Path("/proc")
) -> Peer | None:
    """Who this process's SSH session is with; None: nobody's, or it cannot be told.

    SSH_CONNECTION says it (ssh(1)); sudo takes that away, and then the SSH
    server among this process's ancestors has the connection.
    """
    words = environment.get("SSH_CONNECTION", "").split()
    if len(words) == 4:
        with contextlib.suppress(ValueError):
            return Peer(words[0], int(words[1]), words[2], int(words[3]))
    inodes: set[str] = set()
    for ancestor in _ancestors(pid, proc):
        with contextlib.suppress(OSError):
            if (proc / str(ancestor) / "comm").read_text().strip() in _SERVERS:
                inodes.update(_sockets(proc / str(ancestor) / "fd"))
    return next(_connections(inodes, proc), None) if inodes else None


def _ancestors(pid: int, proc: Path) -> Iterator[int]:
    for _ in range(_ANCESTORS):
        try:
            stat = (proc / str(pid) / "stat").read_text(errors="replace")
        except OSError:
            return
        pid = int(stat.rsplit(")", 1)[1].split()[1])
        if pid <= 1:
            return
        yield pid


def _sockets(directory: Path) -> Iterator[str]:
    for one in directory.iterdir():
        with contextlib.suppress(OSError):
            target = os.readlink(one)
            if target.startswith("socket:["):
                yield target[len("socket:[") : -1]


def _connections(inodes: set[str], proc: Path) -> Iterator[Peer]:
    """Established TCP connections that have these sockets."""
    for one in tcp_sockets(proc):
        if one.state == ESTABLISHED and one.inode in inodes:
            yield Peer(one.remote, one.remote_port, one.local, one.local_port)


def shut(
    section: IngressSection, sets: Mapping[str, Prefixes], peer: Peer, interface: str = ""
) -> str | None:
    """Why the peer could not connect again under a section; None: it could.

    Judged for a new connection: one that is open stays while ``established`` is on.
    """
    source, destination = _canonical(peer.address), _canonical(peer.local)
    if source is None or destination is None or source.version != destination.version:
        return None
    packet = Packet(
        ethertype=0x0800 if source.version == 4 else 0x86DD,
        family=source.version,
        source=int(source),
        destination=int(destination),
        protocol=_TCP,
        length=60,
        hops=64,
        transport=True,
        source_port=peer.port,
        destination_port=peer.local_port,
        tcp_flags=_SYN,
    )
    named = {name: list(some) for name, some in sets.items()}
    decision = decide(section, packet, World(named, interface or section.interfaces[0]))
    if decision.verdict is Verdict.ALLOW:
        return None
    what = f"a connection from {peer.address} to port {peer.local_port}"
    if decision.rules:
        rule = decision.rules[0]
        return f"{what} would be dropped by rule {rule.id} ({rule.span})"
    return f"{what} would be dropped by default: {section.default.value} ({section.span})"


def _canonical(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped if mapped is not None else address
