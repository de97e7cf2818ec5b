# SPDX-License-Identifier: Apache-2.0
"""`guard unload`: take what guard loaded off the kernel, whoever loaded it."""

from __future__ import annotations

import argparse
import sys

from guard.cli.exits import Exit
from guard.daemon import ingress
from guard.daemon.session import require_root
from guard.errors import HostError
from guard.kernel import ingress as kernel_ingress
from guard.kernel import pins
from guard.kernel.libbpf import Libbpf
from guard.kernel.unload import unload

CHANGES_GUARD = True
"""A record tells that somebody did this."""

FILTER = "ingress"
"""What the ingress filter is called on the command line."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "examples:\n  guard unload            everything\n  guard unload run-4711   one instance\n"
        "  guard unload ingress    the ingress filter"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="instances, as guard status names")


def run(arguments: argparse.Namespace) -> int:
    """Do the job; the result is the exit code."""
    require_root()
    there = {one.name: one for one in pins.instances()}
    filter_ = ingress.running()
    unknown = [
        name for name in arguments.names if name not in there and not (name == FILTER and filter_)
    ]
    if unknown:
        raise HostError(
            f"no guard instance {unknown[0]!r} is loaded",
            remedy=f"loaded now: {', '.join([*there, *[FILTER] * bool(filter_)]) or 'nothing'}",
        )
    if filter_ is not None and (not arguments.names or FILTER in arguments.names):
        ingress.remove(filter_)
        print("unloaded the ingress filter")
    for name in [one for one in arguments.names if one in there] or (
        [] if arguments.names else list(there)
    ):
        unload(Libbpf(), there[name])
        print(f"unloaded {name}")
    # What a guard that was killed while loading has left; some of its hooks may act.
    unfinished = (
        () if arguments.names else (*pins.unfinished(), *pins.unfinished(kernel_ingress.ROOT))
    )
    for hidden in unfinished:
        pins.remove(hidden)
        print(f"removed what was left of loading {hidden.name}")
    if not there and not unfinished and filter_ is None:
        print("nothing was loaded", file=sys.stderr)
    return Exit.CLEAN
