# SPDX-License-Identifier: Apache-2.0
"""`guard flows`: what the filter lets in because this host asked for it."""

from __future__ import annotations

import argparse
import json
import sys
from ipaddress import IPv4Address, IPv6Address

from guard.cli.exits import Exit
from guard.daemon import ingress
from guard.daemon.ingress import Filter
from guard.kernel import flows
from guard.kernel.flows import Flow
from guard.kernel.ingress_load import FLOW_SECONDS
from guard.kernel.libbpf import Libbpf
from guard.kernel.tcp_sockets import LISTEN, tcp_sockets
from guard.policy import packet_words
from guard.policy.vocabulary_ingress import ICMP, ICMP6, PROTOCOLS, TCP

EPILOG = """examples:
  guard flows                                        what may come in as an answer, and how old
  guard flows --json                                 the same for a program
  guard flows "udp 192.0.2.53:53 > 10.0.0.5:40000"   would this packet come in as an answer?

Two tables make the answer: what was seen to leave in the last two minutes (UDP, ICMP
echo, and TCP where the policy says `forwarded`), and this host's own TCP sockets,
which the filter asks the kernel for and which nobody outside can fill.

exit code: 0 answered, 1 the packet would not come in as an answer"""

_ALL = "anybody"
_NAMES = {number: name for name, number in PROTOCOLS.items()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = EPILOG
    parser.add_argument(
        "packet", nargs="?", help="a packet that comes in: PROTO FROM:PORT > TO:PORT"
    )
    parser.add_argument("--json", action="store_true", help="for a program")


def run(arguments: argparse.Namespace) -> int:
    """Do the job; the result is the exit code."""
    words = packet_words.read(arguments.packet) if arguments.packet is not None else None
    ingress.require_root()
    found = ingress.adopt(Libbpf(), ingress.require_running())
    try:
        if words is None:
            return _list(found, arguments)
        if words.protocol in (ICMP, ICMP6):
            print(
                "guard flows: echo replies are known by their id; ask about ports", file=sys.stderr
            )
            return Exit.USAGE
        left = flows.seconds_left(
            found.kernel,
            Flow(
                words.destination,
                words.source,
                words.destination_port or 0,
                words.source_port or 0,
                words.protocol,
            ),
        )
    finally:
        found.close()
    if arguments.json:
        print(json.dumps({"packet": arguments.packet, "seconds_left": left}))
    elif left is None:
        hint = "; TCP of this host's own is known by its sockets" if words.protocol == TCP else ""
        print(f"not seen to leave in time: no answer of it comes in{hint}")
    else:
        print(f"comes in as an answer for {left} s more")
    return Exit.CLEAN if left is not None else Exit.FINDINGS


def _list(found: Filter, arguments: argparse.Namespace) -> int:
    seen, nameless = flows.listed(found.kernel)
    known = found.state.section.established
    rows: list[dict[str, object]] = [_row(one) for one in seen]
    if known is not None and known.tcp:
        for one in tcp_sockets():
            if one.state != LISTEN:
                rows.append(
                    {
                        "protocol": "tcp",
                        "local": {"address": one.local, "port": one.local_port},
                        "remote": {"address": one.remote, "port": one.remote_port},
                        "age": None,
                        "seconds_left": None,
                        "from": "socket",
                        "state": one.state,
                    }
                )
    if arguments.json:
        table = {"places": flows.PLACES, "used": len(seen) + nameless, "unlisted": nameless}
        print(json.dumps({"flows": rows, "table": table}))
        return Exit.CLEAN
    for row in rows:
        kept = row["state"] if row["age"] is None else f"{row['age']} s ago"
        print(f"{row['protocol']:8} {_shown(row['local'])} <- {_shown(row['remote'])}  {kept}")
    more = f", {nameless} more without ends (fragments that come in)" if nameless else ""
    sockets = len(rows) - len(seen)
    print(
        f"{len(seen)} flows of the last two minutes{more}; room for {flows.PLACES};"
        f" {sockets} TCP connections of this host"
    )
    return Exit.CLEAN


def _row(one: flows.Seen) -> dict[str, object]:
    flow = one.flow
    # An IPv6 flow of two addresses below 2^32 would be of the unspecified address or loopback.
    kind = IPv4Address if max(flow.local, flow.remote) < 1 << 32 else IPv6Address
    local, remote = str(kind(flow.local)), str(kind(flow.remote))
    return {
        "protocol": _NAMES.get(flow.kind, str(flow.kind)),
        "local": {"address": None if one.to_all else local, "port": flow.local_port},
        "remote": {"address": None if one.to_all else remote, "port": flow.remote_port},
        "age": one.age,
        "seconds_left": max(0, FLOW_SECONDS - one.age),
        "from": "table",
        "state": None,
    }


def _shown(end: object) -> str:
    assert isinstance(end, dict)
    address = end["address"] or _ALL
    return f"[{address}]:{end['port']}" if ":" in address else f"{address}:{end['port']}"
