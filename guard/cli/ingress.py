# SPDX-License-Identifier: Apache-2.0
"""`guard ingress`: the filter in force, who sends most of what it refuses, the next program."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from guard.cli.exits import Exit
from guard.daemon import confirm, ingress, ingress_sets, ingress_state
from guard.daemon.ingress import Filter
from guard.daemon.session import process_start
from guard.errors import HostError
from guard.kernel import ingress_control
from guard.kernel.libbpf import Libbpf
from guard.wire.ingress import Reason

EPILOG = """examples:
  guard ingress status               mode, interfaces, packets and bytes by rule and reason
  guard ingress top --seconds 10     the sources of most refused packets, counted
  guard ingress next /sys/fs/bpf/x   what is let in runs through another XDP program, too
  guard ingress next none

top has the kernel count what is refused while it looks: no records are needed.

exit code: 0 all is well, 1 an interface is not filtered as the policy says, 3 cannot tell"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = EPILOG
    parser.add_argument("action", choices=("status", "top", "next"), help="what to do")
    parser.add_argument("program", nargs="?", help="next: a pinned XDP program, or none")
    parser.add_argument("--seconds", type=float, default=5.0, help="top: how long to look")
    parser.add_argument("--rows", type=int, default=20, help="top: how many sources to show")
    parser.add_argument("--json", action="store_true", help="for a program")


def run(arguments: argparse.Namespace) -> int:
    """Do the job; the result is the exit code."""
    if (arguments.program is not None) is not (arguments.action == "next"):
        print("guard ingress: next, and only next, takes a program", file=sys.stderr)
        return Exit.USAGE
    ingress.require_root()
    instance = ingress.require_running()
    confirm.settle(Libbpf(), instance)
    instance = ingress.require_running()
    with ingress.locked(instance):
        found = ingress.adopt(Libbpf(), instance)
        if arguments.action == "next":
            return _next(found, arguments.program)
        ingress_sets.tidy(found)
    try:
        return _top(found, arguments) if arguments.action == "top" else _status(found, arguments)
    finally:
        found.close()


def status(found: Filter) -> dict[str, Any]:
    """All that there is to say about a filter."""
    state = found.state
    reasons = {one.name.lower().replace("_", "-"): int(one) for one in Reason}
    reasons = {name: slot for name, slot in reasons.items() if name not in ("rule", "count")}
    counts = found.kernel.counts([*state.slots.values(), *reasons.values()])
    pid, started = state.attendant
    waits = confirm.pending(found.libbpf, found.kernel.instance)
    problems = ingress.degraded(found)
    rules = []
    for rule in state.section.rules:
        count = counts[state.slots[f"{state.policy}/{rule.id}"]]
        rules.append(
            {"id": rule.id, "action": rule.action.value, "line": rule.span.line, **_shown(count)}
        )
    return {
        "state": "degraded" if problems else ("auditing" if state.mode == "audit" else "enforcing"),
        "problems": problems,
        "policy": state.policy,
        "source": state.source,
        "generation": state.generation,
        "attendant": pid if pid and process_start(pid) == started else None,
        "confirm_within": None
        if waits is None
        else max(0, round(waits["deadline"] - confirm.now())),
        "next_program": state.next_program,
        "interfaces": [
            {"name": name, "index": index, "mode": mode, "reason": reason}
            for name, (index, mode, reason) in state.attached.items()
        ],
        "rules": rules,
        "reasons": {
            name: _shown(counts[slot]) for name, slot in reasons.items() if counts[slot]["packets"]
        },
        "sets": [
            {
                "name": one.name,
                "prefixes": len(state.sets[one.name]),
                "runtime": len(ingress_sets.entries(found, one.name)[1]),
                "expired": state.expired.get(one.name, 0),
            }
            for one in state.section.sets
        ],
    }


def _shown(count: dict[str, int]) -> dict[str, int]:
    names = ("packets", "bytes", "over_packets", "over_bytes", "recorded", "suppressed", "lost")
    return {name: count[name] for name in names}


def _status(found: Filter, arguments: argparse.Namespace) -> int:
    told = status(found)
    if arguments.json:
        print(json.dumps(told, indent=2))
    else:
        print("\n".join(lines(told)))
    return Exit.FINDINGS if told["problems"] else Exit.CLEAN


def lines(told: dict[str, Any]) -> list[str]:
    """A filter's status for people."""
    out = [f"ingress: {told['state']}"]
    out += [f"  problem     {one}" for one in told["problems"]]
    out.append(f"  policy      {told['policy']}, {told['source']}, generation {told['generation']}")
    attendant = told["attendant"]
    out.append(
        f"  daemon      pid {attendant}" if attendant else "  daemon      none; the kernel filters"
    )
    if told["confirm_within"] is not None:
        out.append(f"  on trial    {told['confirm_within']} s left to say `guard confirm`")
    for one in told["interfaces"]:
        out.append(f"  interface   {one['name']}: {one['mode']} ({one['reason']})")
    if told["next_program"]:
        out.append(f"  next        {told['next_program']}")
    for one in told["sets"]:
        out.append(
            f"  set         {one['name']}: {one['prefixes']} prefixes, {one['runtime']} more"
            f" of run time, {one['expired']} ended"
        )
    for one in told["rules"]:
        over = f", {one['over_packets']} over the limit" if one["over_packets"] else ""
        out.append(
            f"  rule        {one['id']} ({one['action']}, line {one['line']}):"
            f" {one['packets']} packets, {one['bytes']} bytes{over}"
        )
    for name, one in told["reasons"].items():
        out.append(f"  {name:11} {one['packets']} packets, {one['bytes']} bytes")
    return out


def _top(found: Filter, arguments: argparse.Namespace) -> int:
    """Sources by packets that were refused, counted in the kernel for as long as this looks.

    Exact for every source that is listed. When more sources than there is room for are
    refused meanwhile, the packets of the later ones are counted together.
    """
    with _locked(found):
        ingress_control.count_sources(found.kernel)
    with contextlib.suppress(KeyboardInterrupt):  # what was counted so far is the answer
        time.sleep(arguments.seconds)
    with _locked(found):
        refused, unnamed = ingress_control.counted_sources(found.kernel)
    state = ingress_state.read(found.libbpf, found.kernel.instance)
    names = {slot: name.removeprefix(f"{state.policy}/") for name, slot in state.slots.items()}
    names |= {int(one): one.name.lower().replace("_", "-") for one in Reason if one}
    rows = [
        {
            "source": one.source,
            "by": names.get(one.slot, f"slot {one.slot}"),
            "packets": one.packets,
            "bytes": one.bytes,
        }
        for one in refused
    ]
    packets = sum(one.packets for one in refused) + unnamed
    if arguments.json:
        told = {"seconds": arguments.seconds, "packets": packets, "unnamed": unnamed}
        print(json.dumps({**told, "sources": rows[: arguments.rows]}))
        return Exit.CLEAN
    for row in rows[: arguments.rows]:
        print(f"{row['packets']:10}  {row['bytes']:12}  {row['source']}  {row['by']}")
    more = f", and {unnamed} packets of others beyond that" if unnamed else ""
    print(
        f"{packets} packets refused in {arguments.seconds:g} s, of"
        f" {len({one.source for one in refused})} sources{more}"
    )
    return Exit.CLEAN


def _locked(found: Filter) -> AbstractContextManager[None]:
    return ingress.locked(found.kernel.instance)


def _next(found: Filter, program: str) -> int:
    try:
        if program == "none":
            found.apply(replace(found.state, next_program=None))
            found.kernel.set_next(None)
            print("what is let in goes to the kernel")
            return Exit.CLEAN
        try:
            fd = found.libbpf.open_pin(program)
            try:
                found.kernel.set_next(fd)
            finally:
                os.close(fd)
        except HostError as error:
            raise HostError(
                f"{program!a} cannot run after the filter: {error}",
                remedy="pin an XDP program in a bpf file system and name that file",
            ) from None
        found.apply(replace(found.state, next_program=program))
    finally:
        found.close()
    print(f"what is let in goes on to {program}")
    return Exit.CLEAN
