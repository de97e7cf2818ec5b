# SPDX-License-Identifier: Apache-2.0
"""`guard audit verify`: is the trail what guard wrote?"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from guard.audit.checkpoint import Checkpoint, Line, checkpoints
from guard.audit.keys import Checker, load_checker
from guard.audit.spool_reader import SpoolError
from guard.audit.trail_lines import file_lines, stored
from guard.audit.verify import Report, verify
from guard.cli.audit_show import SPOOL
from guard.cli.exits import Exit
from guard.errors import GuardError
from guard.policy.diagnostic import printable

EPILOG = """examples:
  guard audit verify --key audit.key.pub                    this host's spool
  guard audit verify --key audit.key.pub audit.log.1 audit.log    logs, oldest first
  guard audit verify --checkpoint from-the-siem.ndjson      against what left the host

Whoever is root on a host can cut the trail off behind the last checkpoint that
left it: checkpoints (audit.checkpoint records) belong where he cannot reach.

exit code: 0 no flaw, 1 flaws, 3 cannot read"""


def add_arguments(parser: argparse.ArgumentParser, _action: str) -> None:
    """Declare the arguments."""
    parser.epilog = EPILOG
    parser.add_argument("files", nargs="*", metavar="FILE", help="a spool, or logs, oldest first")
    parser.add_argument("--key", type=Path, metavar="FILE", help="the public key of checkpoints")
    parser.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="records, of which the checkpoints were kept elsewhere",
    )
    parser.add_argument(
        "--whole", action="store_true", help="the beginning has to be there, too: nothing expired"
    )
    parser.add_argument("--json", action="store_true", help="for a program")


def run(arguments: argparse.Namespace) -> int:
    """Do the job; the result is the exit code."""
    checker = load_checker(arguments.key) if arguments.key else None

    def is_signed(one: Checkpoint) -> bool | None:
        if checker is None:
            return None
        return one.signature is not None and checker.holds(one.text(), one.signature)

    files = arguments.files or [str(SPOOL)]
    try:
        known = [
            one
            for lines in (_lines(files), _lines([str(path) for path in arguments.checkpoint]))
            for one in checkpoints(lines)
        ]
        report = verify(_lines(files), known, is_signed, arguments.whole)
    except SpoolError as error:
        raise GuardError(str(error), remedy="name a spool's directory or a log") from None
    except OSError as error:
        raise GuardError(f"{error.filename}: {error.strerror}") from None
    if arguments.json:
        print(json.dumps(_told(report), indent=2))
    else:
        _print(report, checker)
    return Exit.FINDINGS if report.findings else Exit.CLEAN


def _lines(files: list[str]) -> Iterator[Line]:
    for name in files:
        path = Path(name)
        yield from stored(path) if path.is_dir() else file_lines(path)


def _told(report: Report) -> dict[str, Any]:
    return {
        "records": report.records,
        "batches": report.batches,
        "checkpoints": report.checkpoints,
        "series": {
            name: {
                "first": report.begins[name].first,
                "records": head.first,
                "batches": head.n,
                "head": head.hash,
                "signed_up_to": report.signed[name].records if name in report.signed else None,
            }
            for name, head in report.heads.items()
        },
        "findings": [one._asdict() for one in report.findings],
    }


def _print(report: Report, checker: Checker | None) -> None:
    for one in report.findings:
        print(printable(f"{one.file}:{one.number}: {one.flaw}: {one.message}"))
    flaws = len(report.findings)
    print(
        f"{report.records} records in {report.batches} batches: "
        f"{'no flaw' if not flaws else '1 flaw' if flaws == 1 else f'{flaws} flaws'}"
    )
    for name, head in sorted(report.heads.items()):
        begin = report.begins[name].first
        print(f"  {name}: records {begin} to {head.first - 1}, head {head.hash}")
        if begin:
            print(f"    what came before record {begin} has expired or is elsewhere")
        signed = report.signed.get(name)
        if signed is not None:
            print(f"    signed up to record {signed.records - 1}, {signed.time}")
        elif checker is not None:
            print("    no checkpoint of it is signed by this key", file=sys.stderr)
    if checker is None:
        print("  without --key nobody vouches for the checkpoints", file=sys.stderr)
