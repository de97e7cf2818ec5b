# SPDX-License-Identifier: Apache-2.0
"""`guard reload`: have a running guard read its policies again."""

from __future__ import annotations

import argparse
import sys

from guard.cli.exits import Exit
from guard.daemon import reload
from guard.daemon.session import require_root
from guard.errors import HostError
from guard.kernel import pins
from guard.kernel.libbpf import Libbpf

HOST_INSTANCE = "host"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "The files that guard was started with are read again. The new policies take the\n"
        "place of the old ones in one step; if anything is wrong with them, the old ones stay.\n\n"
        "example:\n  guard reload\n\n"
        "exit code: 0 done, 1 the new policies were refused, 4 no guard attends the instance"
    )
    parser.add_argument(
        "name", nargs="?", default=HOST_INSTANCE, metavar="NAME", help="an instance (host)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Do the job; the result is the exit code."""
    require_root()
    found = [one for one in pins.instances() if one.name == arguments.name]
    if not found:
        raise HostError(
            f"no guard instance {arguments.name!r} is loaded",
            remedy="`guard status` lists what is loaded",
        )
    try:
        told = reload.ask(Libbpf(), found[0])
    except HostError as error:
        print(f"guard: {error}", file=sys.stderr)
        if error.remedy:
            print(f"  remedy: {error.remedy}", file=sys.stderr)
        return Exit.NO_DAEMON
    if told["reload_problem"] is not None:
        print(f"guard: {told['reload_problem']}", file=sys.stderr)
        print("guard: the policies that were in force stay", file=sys.stderr)
        return Exit.FINDINGS
    count = len(told["policies"])
    print(
        f"guard: {count} {'policy' if count == 1 else 'policies'} in force, generation"
        f" {told['generation']}"
    )
    return Exit.CLEAN
