# SPDX-License-Identifier: Apache-2.0
"""`guard confirm`: keep an ingress policy that `guard run --confirm` put in force."""

from __future__ import annotations

import argparse

from guard.cli.exits import Exit
from guard.daemon import confirm, ingress

CHANGES_GUARD = True
"""A record tells that somebody did this."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "Say so from a new connection: then it is certain that you still get in.\n\n"
        "example:\n  guard run --persist --confirm 30s edge.yaml\n  guard confirm\n\n"
        "exit code: 0 kept, 3 nothing waits, or it was too late"
    )


def run(_: argparse.Namespace) -> int:
    """Do the job; the result is the exit code."""
    ingress.require_root()
    confirm.confirm(ingress.require_running())
    print("confirmed: the ingress policy stays in force")
    return Exit.CLEAN
