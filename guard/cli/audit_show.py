# SPDX-License-Identifier: Apache-2.0
"""`guard audit cat`, `grep`, `stats` and `export`: the trail for people and programs."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from guard.audit.checkpoint import Line
from guard.audit.reading import summary
from guard.audit.select import Selection, moment
from guard.audit.spool_reader import SpoolError
from guard.audit.statistics import Statistics
from guard.audit.trail_lines import (
    LOOK_SECONDS,
    Tail,
    bare,
    by_time,
    file_lines,
    follow_spool,
    stored,
    time_of,
)
from guard.cli.exits import Exit
from guard.errors import GuardError
from guard.policy.diagnostic import printable
from guard.ship.formats import FORMATS, renderer

SPOOL = Path("/var/lib/guard/spool")

# Makes what is printed of a record and its line.
Show = Callable[[dict[str, Any], bytes], bytes]

_EXAMPLES = {
    "cat": "guard audit cat -f --verdict denied",
    "grep": "guard audit grep '/etc/g?shadow' --since 2h",
    "stats": "guard audit stats --since 1d --json",
    "export": "guard audit export --format ocsf --since 1d > yesterday.ndjson",
}


def add_arguments(parser: argparse.ArgumentParser, action: str) -> None:
    """Declare the arguments of one of the actions."""
    parser.epilog = f"example:\n  {_EXAMPLES[action]}"
    if action == "grep":
        parser.add_argument("pattern", metavar="PATTERN", help="a regular expression")
    parser.add_argument("files", nargs="*", metavar="FILE", help="a spool, logs, or -")
    wanted = parser.add_argument_group("which records")
    wanted.add_argument("--policy", action="append", default=[], metavar="NAME")
    wanted.add_argument("--verb", action="append", default=[], help="read, connect, …")
    wanted.add_argument(
        "--verdict", action="append", default=[], choices=("denied", "would-deny", "allowed")
    )
    wanted.add_argument("--event", action="append", default=[], help="file.open, or file, …")
    wanted.add_argument("--pid", action="append", default=[], type=int)
    wanted.add_argument("--exe", metavar="GLOB", help="the program; * also matches /")
    wanted.add_argument("--path", metavar="GLOB", help="the object; * also matches /")
    wanted.add_argument("--since", metavar="TIME", help="10m (ago) or 2026-03-16T09:05:00Z")
    wanted.add_argument("--until", metavar="TIME", help="likewise; itself not included")
    if action != "stats":
        parser.add_argument("-f", "--follow", action="store_true", help="and what comes")
    if action == "export":
        parser.add_argument("--format", choices=FORMATS, default="flat")
    else:
        parser.add_argument("--json", action="store_true", help="for a program")
    if action == "cat":
        parser.add_argument(
            "--raw", action="store_true", help="the lines as they are stored, seals and all"
        )


def run(arguments: argparse.Namespace) -> int:
    """Do the job; the result is the exit code."""
    try:
        selection = _selection(arguments)
    except ValueError as error:
        print(f"guard audit {arguments.action}: {error}", file=sys.stderr)
        return Exit.USAGE
    try:
        if arguments.action == "stats":
            return _stats(arguments, selection)
        return _print(arguments, selection)
    except SpoolError as error:
        raise GuardError(str(error), remedy="name the spool or a log: guard audit … FILE") from None
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise GuardError(f"{error.filename}: {error.strerror}") from None


def _selection(arguments: argparse.Namespace) -> Selection:
    now = datetime.now(UTC)
    pattern = getattr(arguments, "pattern", None)
    try:
        compiled = None if pattern is None else re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!a} is no regular expression: {error}") from None
    return Selection(
        policies=frozenset(arguments.policy),
        verbs=frozenset(arguments.verb),
        verdicts=frozenset(arguments.verdict),
        events=frozenset(arguments.event),
        pids=frozenset(arguments.pid),
        exe=arguments.exe,
        path=arguments.path,
        since=arguments.since and moment(arguments.since, now),
        until=arguments.until and moment(arguments.until, now),
        pattern=compiled,
    )


def _stats(arguments: argparse.Namespace, selection: Selection) -> int:
    counted = Statistics()
    for line in _lines(arguments.files, raw=False):
        record = _record(line.text)
        if record is None:
            counted.unreadable += 1
        elif selection.takes(record):
            counted.add(record)
    told = counted.told()
    print(json.dumps(told, indent=2) if arguments.json else _table(told))
    return Exit.CLEAN


def _table(told: dict[str, Any]) -> str:
    lines = [f"{told['records']} records from {told['first']} to {told['last']}"]
    if told["unreadable"]:
        lines.append(f"{told['unreadable']} lines are no records")
    if told["suppressed"]:
        lines.append(f"{told['suppressed']} more of the same were counted by the kernel")
    for name, counts in told.items():
        if isinstance(counts, dict) and counts:
            lines.append(f"\n{name}")
            lines += [f"  {count:10,}  {printable(what)}" for what, count in counts.items()]
    return "\n".join(lines)


def _print(arguments: argparse.Namespace, selection: Selection) -> int:
    show = _shower(arguments)
    if arguments.follow:
        _follow([_tail(name) for name in arguments.files or [str(SPOOL)]], selection, show)
    shown = 0
    for line in _lines(arguments.files, getattr(arguments, "raw", False)):
        record = _record(line.text)
        if record is not None and selection.takes(record):
            sys.stdout.buffer.write(show(record, line.text) + b"\n")
            shown += 1
    return Exit.CLEAN if shown or arguments.action != "grep" else Exit.FINDINGS


def _follow(tails: list[Tail], selection: Selection, show: Show) -> NoReturn:
    while True:
        for tail in tails:
            taken = [
                (line, record)
                for line in tail.fresh()
                if (record := _record(line.text)) is not None and selection.takes(record)
            ]
            for line, record in sorted(taken, key=lambda pair: time_of(pair[0])):
                sys.stdout.buffer.write(show(record, line.text) + b"\n")
        sys.stdout.flush()
        time.sleep(LOOK_SECONDS)


def _shower(arguments: argparse.Namespace) -> Show:
    if getattr(arguments, "raw", False):
        return lambda _record, line: line
    if arguments.action == "export":
        render = renderer(arguments.format)
        return lambda record, line: render(record, bare(line))
    if arguments.json:
        return lambda _record, line: bare(line)
    return lambda record, _line: printable(f"{record.get('time')} {summary(record)}").encode()


def _lines(files: list[str], raw: bool) -> Iterator[Line]:
    for name in files or [str(SPOOL)]:
        path = Path(name)
        if name == "-":
            for number, text in enumerate(sys.stdin.buffer, 1):
                yield Line("-", number, text.rstrip(b"\n"))
        elif path.is_dir() or not files:
            yield from stored(path) if raw else by_time(path)
        else:
            yield from file_lines(path)


def _tail(name: str) -> Tail:
    path = Path(name)
    if name == "-":
        raise GuardError("standard input cannot be followed", remedy="leave out -f or name a file")
    return follow_spool(path) if path.is_dir() else Tail(lambda: [path])


def _record(text: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
