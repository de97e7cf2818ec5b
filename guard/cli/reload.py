# SPDX-License-Identifier: Apache-2.0
"""`guard reload`: have a running guard read its policies again."""

from __future__ import annotations

import argparse
import sys

from guard.cli.exits import Exit
from guard.daemon import ingress, ingress_run, reload
from guard.daemon.session import require_root
from guard.errors import HostError
from guard.kernel import pins
from guard.kernel.libbpf import Libbpf
from guard.kernel.pins import HOST, Instance

CHANGES_GUARD = True
"""A record tells that somebody did this."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "The files that guard was started with are read again. The new policies take the\n"
        "place of the old ones in one step; if anything is wrong with them, the old ones stay.\n\n"
        "example:\n  guard reload\n\n"
        "exit code: 0 done, 1 the new policies were refused, 4 no guard attends the instance"
    )
    parser.add_argument("name", nargs="?", default=HOST, metavar="NAME", help="an instance (host)")


def run(arguments: argparse.Namespace) -> int:
    """Do the job; the result is the exit code."""
    require_root()
    found = [one for one in pins.instances() if one.name == arguments.name]
    packets = ingress.running() if arguments.name == HOST else None
    if not found and packets is None:
        raise HostError(
            f"no guard instance {arguments.name!r} is loaded",
            remedy="`guard status` lists what is loaded",
        )
    codes = [_gates(one) for one in found]
    if packets is not None:
        codes.append(_filter(packets))
    return max(codes)


def _filter(instance: Instance) -> int:
    """The ingress filter's policy."""
    try:
        state = ingress_run.ask_to_reload(instance)
    except HostError as error:
        print(f"guard: {error}", file=sys.stderr)
        if error.remedy:
            print(f"  remedy: {error.remedy}", file=sys.stderr)
        return Exit.NO_DAEMON
    if state.reload[1] is not None:
        print(f"guard: {state.reload[1]}", file=sys.stderr)
        print("guard: the ingress policy that was in force stays", file=sys.stderr)
        return Exit.FINDINGS
    print(f"guard: the ingress policy {state.policy!r} is in force, generation {state.generation}")
    return Exit.CLEAN


def _gates(instance: Instance) -> int:
    """What gates processes."""
    try:
        told = reload.ask(Libbpf(), instance)
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
