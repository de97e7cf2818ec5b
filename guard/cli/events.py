# SPDX-License-Identifier: Apache-2.0
"""`guard events`: the ingress filter's records, as they come."""

from __future__ import annotations

import argparse
import json
import select
import sys
from collections.abc import Iterator
from typing import Any

from guard.audit.reading import get, is_decision, summary
from guard.audit.ring import map_ring
from guard.cli.exits import Exit
from guard.daemon import ingress, ingress_feed, ingress_state
from guard.daemon.ingress import Filter
from guard.daemon.ingress_events import Lines, generation_of
from guard.daemon.session import process_start
from guard.errors import HostError
from guard.kernel.ingress_load import EVENT_RING
from guard.kernel.libbpf import Libbpf
from guard.policy.diagnostic import printable

EPILOG = """examples:
  guard events --drops --follow     every drop that is recorded, with rule, file and line
  guard events --json               what nobody has taken from the kernel yet

Records are sampled in the kernel, by rule and by reason: each says how many
were left out since the one before. While `guard run` attends the filter, its
log has them all, and --follow is shown them as they come. They are the records
of docs/manual/records.md: `guard schema --records` is their JSON Schema."""

_REFUSED = frozenset({"denied", "would-deny"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = EPILOG
    parser.add_argument("--drops", action="store_true", help="only packets that were refused")
    parser.add_argument("--follow", action="store_true", help="go on until interrupted")
    parser.add_argument("--json", action="store_true", help="a JSON object a line")


def run(arguments: argparse.Namespace) -> int:
    """Do the job; the result is the exit code."""
    ingress.require_root()
    instance = ingress.require_running()
    found = ingress.adopt(Libbpf(), instance)
    try:
        for record in records(found, arguments.follow):
            if arguments.drops and record.get("verdict") not in _REFUSED:
                continue
            shown = json.dumps(record) if arguments.json else printable(sentence(record))
            print(shown, flush=arguments.follow)
    finally:
        found.close()
    return Exit.CLEAN


def records(found: Filter, follow: bool) -> Iterator[dict[str, Any]]:
    """Records from whoever attends the filter, or from the kernel itself. Raises HostError."""
    pid, started = found.state.attendant
    if pid and process_start(pid) == started:
        if not follow:
            raise HostError(
                f"process {pid} attends the filter and takes its records",
                remedy="its log has them; --follow shows those that come from now on",
            )
        yield from ingress_feed.subscribe(found.kernel.instance.name, pid)
        return
    yield from _from_ring(found, follow)


def sentence(record: dict[str, Any]) -> str:
    """A record for people: a packet with its rule's place and what was not recorded."""
    moment = str(record.get("time"))
    if not is_decision(record):
        return f"{moment} {summary(record)}"
    told = f"{moment} {get(record, 'object', 'interface')} {summary(record)}"
    reason = record.get("reason")
    if reason != "policy":
        told += f", {reason}"
    if get(record, "rule", "file") is not None:
        told += f" ({get(record, 'rule', 'file')}:{get(record, 'rule', 'line')})"
    if record.get("suppressed"):
        told += f"; {record['suppressed']} more before it were not recorded"
    return told


def _from_ring(found: Filter, follow: bool) -> Iterator[dict[str, Any]]:
    lines = Lines(found.state, found.kernel.numbered())
    ring = map_ring(found.kernel.maps["ingress_events"], EVENT_RING)
    poll = select.poll()
    poll.register(ring.fileno(), select.POLLIN)
    try:
        while True:
            for raw in ring.drain(1024):
                if generation_of(raw) > lines.generation:
                    lines.know(ingress_state.read(found.libbpf, found.kernel.instance))
                made = lines.packet(raw)
                if made is not None:
                    yield json.loads(made)
            ring.release()
            for made in lines.settle(found.kernel.numbered()):
                yield json.loads(made)
            if not follow:
                return
            sys.stdout.flush()
            poll.poll(1000)
    finally:
        ring.close()
