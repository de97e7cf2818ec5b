# SPDX-License-Identifier: Apache-2.0
"""`guard flows`: what the filter lets in because this host asked for it."""

from __future__ import annotations

import argparse
import json
import sys

from guard.cli.exits import Exit
from guard.daemon import ingress
from guard.kernel import flows
from guard.kernel.flows import Flow
from guard.kernel.libbpf import Libbpf
from guard.policy import packet_words
from guard.policy.vocabulary_ingress import ICMP, ICMP6, TCP

EPILOG = """examples:
  guard flows                                        how full the table is, and how old
  guard flows "udp 192.0.2.53:53 > 10.0.0.5:40000"   would this packet come in as an answer?

The table has no addresses, only fingerprints of flows that were seen to leave:
it can be asked and not listed. TCP of this host's own is not in it: there the
kernel's sockets are the table (`ss -t`), and nobody outside can fill it.

exit code: 0 answered, 1 the packet would not come in as an answer"""


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
            return _fill(flows.fill(found.kernel), arguments)
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


def _fill(fill: flows.Fill, arguments: argparse.Namespace) -> int:
    if arguments.json:
        print(json.dumps(fill._asdict()))
        return Exit.CLEAN
    print(f"{fill.fresh} flows of the last two minutes; room for {fill.places}")
    for number, count in enumerate(fill.ages):
        if count:
            print(f"  {number * 10:3}-{number * 10 + 10} s ago  {count}")
    return Exit.CLEAN
