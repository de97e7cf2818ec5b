# SPDX-License-Identifier: Apache-2.0
"""`guard ship`: deliver the spool's records to the sinks of a configuration."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from guard.audit.oplog import make_logger
from guard.audit.sink_file import StdoutSink
from guard.cli.exits import Exit
from guard.errors import GuardError
from guard.policy import limits
from guard.policy.render import Renderer
from guard.ship import build, config, privileges, schema, service
from guard.ship.config import Config, Parsed
from guard.ship.formats import renderer

_STDERR = 2

EPILOG = """examples:
  guard ship --config /etc/guard/ship.yaml --user guard-ship
  guard ship --config ship.yaml --check    judge the configuration; deliver nothing
  guard ship --schema                      its JSON Schema, for editors

Reads the spool that the collector writes, and needs no privilege: started as
root it becomes the user of --user first. How it fares goes to standard error.

exit code: 0 stopped or clean, 1 findings, 2 usage, 3 it cannot be done here"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = EPILOG
    parser.add_argument("--config", metavar="FILE", help="what to deliver, and where to")
    parser.add_argument(
        "--check",
        action="store_true",
        help="judge the configuration, its secrets and libraries; contact nobody",
    )
    parser.add_argument("--user", metavar="NAME", help="become this user first (as root only)")
    parser.add_argument(
        "--schema", action="store_true", help="print the configuration's JSON Schema"
    )


def run(arguments: argparse.Namespace) -> int:
    """Do the job; the result is the exit code."""
    if arguments.schema:
        print(json.dumps(schema.schema(), indent=2))
        return Exit.CLEAN
    if arguments.config is None:
        print("guard ship: --config FILE is needed", file=sys.stderr)
        return Exit.USAGE
    parsed = _read(arguments.config)
    stream = sys.stdout if arguments.check else sys.stderr
    shown = Renderer({arguments.config: parsed.text})
    for found in parsed.diagnostics:
        print(shown.render(found), file=stream)
    if parsed.config is None:
        count = len(parsed.diagnostics)
        print(f"{count} finding{'s' if count > 1 else ''} in {arguments.config}", file=stream)
        return Exit.FINDINGS
    if not arguments.check:
        for sink in parsed.config.sinks:
            # Imported while whoever starts this can still read where guard is installed.
            build.require(sink)
            build.maker(sink)
            renderer(sink.format)
    if arguments.user is not None:
        privileges.drop_to(arguments.user)
    if arguments.check:
        return _check(parsed.config, arguments.config)
    privileges.require_unprivileged()
    os.umask(0o077)
    begun = service.Service(parsed.config, make_logger(StdoutSink(_STDERR)))
    # Whoever watches it on a terminal has gone when that hangs up.
    watched = os.isatty(_STDERR)
    service.serve(begun, None if watched else lambda: _reread(arguments.config))
    return Exit.CLEAN


def _reread(name: str) -> Config:
    """The configuration as it is now. Raises GuardError if it cannot be used."""
    parsed = _read(name)
    if parsed.config is None:
        first = parsed.diagnostics[0]
        more = len(parsed.diagnostics) - 1
        raise GuardError(f"{first.span}: {first.message}" + (f" (and {more} more)" if more else ""))
    for sink in parsed.config.sinks:
        build.require(sink)
        build.maker(sink)
        renderer(sink.format)
    return parsed.config


def _read(name: str) -> Parsed:
    try:
        with open(name, "rb") as file:
            data = file.read(limits.FILE_SIZE + 1)
    except OSError as error:
        raise GuardError(f"cannot read {name!a}: {error.strerror}") from None
    return config.parse(data, name)


def _check(judged: Config, name: str) -> int:
    """What is wrong on this host, as whoever runs this sees it."""
    wrong = []
    for sink in judged.sinks:
        where = f"{sink.span}: sink {sink.name}"
        try:
            build.require(sink)
        except GuardError as error:
            wrong.append(f"{where}: {error}; {error.remedy}")
        wrong += [f"{where}: {problem}" for problem in build.problems(sink)]
    if not Path(judged.spool).is_dir():
        # No finding: the collector makes it, and shipping waits for it.
        print(f"note: {judged.spool} is not there yet; shipping waits for it")
    for problem in wrong:
        print(problem)
    count = len(judged.sinks)
    told = f"{name}: {count} sink{'s' if count > 1 else ''}"
    print(
        f"{told}, {len(wrong)} problem{'s' if len(wrong) > 1 else ''}" if wrong else f"{told}: ok"
    )
    return Exit.UNABLE if wrong else Exit.CLEAN
