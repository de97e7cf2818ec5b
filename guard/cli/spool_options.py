# SPDX-License-Identifier: Apache-2.0
"""What a command line says about a spool: where it is, what it keeps, how well. Opens nothing."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from guard.audit.spool import Limits
from guard.daemon.ingress_sets import parse_seconds
from guard.daemon.stream import Spooled

_UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_SIZE = re.compile(r"([0-9]{1,15})(KiB|MiB|GiB|TiB)?")

# A block of the longest records is some 4 MiB, and both series write a segment.
LEAST_BYTES = 16 << 20

# What is spent goes a segment at a time: this many of them at least, of 8 MiB at most.
_SEGMENTS = 32

# A record that nobody had a minute's time to fetch was not kept.
LEAST_SECONDS = 60

SYNCS = ("second", "batch")

_ABOUT_A_SPOOL = ("key", "spool_size", "spool_age", "spool_sync")


def add_arguments(
    parser: argparse.ArgumentParser, output: argparse._MutuallyExclusiveGroup
) -> None:
    """Declare the options; ``--spool`` is one of the places where records may go (``output``)."""
    output.add_argument(
        "--spool", metavar="DIR", type=Path, help="keep audit records there for guard ship"
    )
    # The manual tells these: with them, help would not fit a screen.
    for name, kind in (("size", _size), ("age", _age)):
        parser.add_argument(f"--spool-{name}", type=kind, help=argparse.SUPPRESS)
    parser.add_argument("--spool-sync", choices=SYNCS, help=argparse.SUPPRESS)
    parser.add_argument("--key", metavar="FILE", type=Path, help=argparse.SUPPRESS)


def misplaced(arguments: argparse.Namespace) -> str | None:
    """The option that is about a spool where there is none; None: there is no such option."""
    if arguments.spool:
        return None
    for name in _ABOUT_A_SPOOL:
        if getattr(arguments, name) is not None:
            return "--" + name.replace("_", "-")
    return None


def spooled(arguments: argparse.Namespace) -> Spooled | None:
    """The spool that was asked for; None: none was."""
    if not arguments.spool:
        return None
    usual = Limits()
    size = arguments.spool_size or usual.bytes
    return Spooled(
        arguments.spool,
        arguments.key,
        Limits(
            bytes=size,
            age=arguments.spool_age or usual.age,
            segment_bytes=min(usual.segment_bytes, size // _SEGMENTS),
            sync_each=arguments.spool_sync == "batch",
        ),
    )


def _size(text: str) -> int:
    found = _SIZE.fullmatch(text)
    size = int(found[1]) * _UNITS[found[2] or ""] if found else 0
    if size < LEAST_BYTES:
        raise argparse.ArgumentTypeError(
            f"{text!a} is no size of a spool: bytes, or a number with KiB, MiB, GiB or TiB,"
            f" from {LEAST_BYTES >> 20}MiB"
        )
    return size


def _age(text: str) -> float:
    seconds = parse_seconds(text)
    if seconds is None or seconds < LEAST_SECONDS:
        raise argparse.ArgumentTypeError(
            f"{text!a} is no age of records: a number with s, m, h or d, from {LEAST_SECONDS}s"
        )
    return float(seconds)
