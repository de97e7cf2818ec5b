# SPDX-License-Identifier: Apache-2.0
"""`guard pcap`: a capture through the compiled filter, in the kernel, attached to nothing."""

from __future__ import annotations

import argparse
import json
import os
import struct
import sys
from collections import Counter

from guard.cli.exits import Exit
from guard.cli.usable import usable_policies
from guard.daemon import ingress, ingress_state
from guard.errors import HostError
from guard.kernel import ingress_load, pins
from guard.kernel.ingress import FILTER, SCRATCH, Ingress
from guard.kernel.libbpf import Libbpf, LibbpfError
from guard.plan.capture import Packet, packets
from guard.wire.ingress import DECISION, Reason, Verdict

EPILOG = """example:
  guard pcap edge.yaml monday.pcap       verdicts by rule and reason, before it is enforced

The policy's tables are loaded, and each packet runs through the real program by
the kernel's test run: no interface is touched. Whether a packet answers
something that this host sent cannot be told from a capture: such packets are
counted under `default`. Limits see all packets at once.

exit code: 0 done, 1 the policy is refused, 3 a file cannot be read"""

# A packet must fit beside headroom and tailroom in one page (bpf_prog_test_run_xdp).
_LARGEST = 3300
_SMALLEST = 14
_MOST_FILE = 1 << 32

_WORDS = {
    Verdict.ABORTED: "aborted",
    Verdict.DROP: "drop",
    Verdict.PASS: "allow",
    Verdict.TX: "reject",
    Verdict.REDIRECT: "redirect",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = EPILOG
    parser.add_argument("policy", metavar="POLICY", help="a policy with an ingress section")
    parser.add_argument("capture", metavar="FILE", help="pcap or pcapng, as tcpdump -w writes")
    parser.add_argument("--each", action="store_true", help="a line for each packet")
    parser.add_argument("--json", action="store_true", help="for a program")


def run(arguments: argparse.Namespace) -> int:
    """Do the job; the result is the exit code."""
    policies = usable_policies([arguments.policy])
    if isinstance(policies, Exit):
        return policies
    having = [policy for policy in policies if policy.ingress is not None]
    if len(having) != 1:
        print("guard pcap: one policy with an ingress section is wanted", file=sys.stderr)
        return Exit.USAGE
    try:
        with open(arguments.capture, "rb") as file:
            data = file.read(_MOST_FILE)
    except OSError as error:
        raise HostError(f"cannot read {arguments.capture!a}: {error.strerror}") from None
    ingress.require_root()
    state = ingress_state.of_policy(having[0])
    libbpf = Libbpf()
    ticks = ingress_load.hertz(libbpf)
    plan = ingress.compiled(state, ticks, {})
    # One CPU: what the program leaves behind is found where it ran.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    loaded, hidden = ingress_load.load(libbpf, f"pcap-{os.getpid()}", plan.numbered(1), ticks)
    try:
        slots = {slot: name.partition("/")[2] for name, slot in plan.slots.items()}
        return _report(arguments, _Judge(loaded, slots), data)
    finally:
        loaded.close()
        pins.remove(hidden)


class _Judge:
    """Runs frames through a loaded filter and reads what it decided."""

    def __init__(self, loaded: Ingress, slots: dict[int, str]) -> None:
        self._loaded = loaded
        self._slots = slots
        self._cpus = loaded.libbpf.possible_cpus()
        self._cpu = min(os.sched_getaffinity(0))
        self._unpack = struct.Struct(DECISION.format()).unpack_from
        self._size = _value_size(loaded)

    def decide(self, frame: bytes) -> tuple[str, str]:
        """The verdict, and the rule's id or the reason."""
        libbpf = self._loaded.libbpf
        verdict = libbpf.test_run(self._loaded.programs[FILTER], frame).verdict
        raw = libbpf.map_lookup(
            self._loaded.maps[SCRATCH], bytes(4), self._size * self._cpus, "decision"
        )
        values = dict(
            zip(DECISION.fields, self._unpack(raw or b"", self._size * self._cpu), strict=True)
        )
        reason = Reason(values["reason"])
        by = self._slots.get(values["slot"]) if reason in (Reason.RULE, Reason.RATE) else None
        return _WORDS[Verdict(verdict)], by or reason.name.lower().replace("_", "-")


def _value_size(loaded: Ingress) -> int:
    from guard.kernel.fdinfo import fdinfo  # noqa: PLC0415 - this line only

    return (fdinfo(loaded.maps[SCRATCH])["value_size"] + 7) // 8 * 8


def _report(arguments: argparse.Namespace, judge: _Judge, data: bytes) -> int:
    counted: Counter[tuple[str, str]] = Counter()
    sizes: Counter[tuple[str, str]] = Counter()
    left_out: Counter[str] = Counter()
    for packet in packets(data):
        problem = _unfit(packet)
        if problem is not None:
            left_out[problem] += 1
            continue
        try:
            answer = judge.decide(packet.data)
        except LibbpfError as error:
            left_out[f"refused by the kernel's test run ({error})"] += 1
            continue
        counted[answer] += 1
        sizes[answer] += packet.size
        if arguments.each and not arguments.json:
            print(f"{packet.number:8}  {answer[0]:8}  {answer[1]}")
    if arguments.json:
        rows = [
            {"verdict": verdict, "by": by, "packets": count, "bytes": sizes[verdict, by]}
            for (verdict, by), count in counted.most_common()
        ]
        print(json.dumps({"format": 1, "verdicts": rows, "left_out": dict(left_out)}))
        return Exit.CLEAN
    for (verdict, by), count in counted.most_common():
        print(f"{verdict:8}  {by:24}  {count} packets, {sizes[verdict, by]} bytes")
    for problem, count in left_out.items():
        print(f"left out  {count} packets: {problem}")
    if not counted and not left_out:
        print("the capture holds no packets")
    return Exit.CLEAN


def _unfit(packet: Packet) -> str | None:
    if len(packet.data) < packet.size:
        return "cut by the capture; take it with tcpdump -s 0"
    if len(packet.data) > _LARGEST:
        return f"larger than {_LARGEST} bytes, which a test run does not take"
    if len(packet.data) < _SMALLEST:
        return "shorter than an Ethernet header"
    return None
