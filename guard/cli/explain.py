# SPDX-License-Identifier: Apache-2.0
"""`guard explain CODE`: the page of one code of findings."""

from __future__ import annotations

import argparse
import sys

from guard.cli.exits import Exit
from guard.policy.codes import Code
from guard.policy.pages import pages


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `guard explain`."""
    parser.description = "What a finding's code means, why it matters, and an example."
    parser.epilog = "example:\n  guard explain G101\n\nWithout a code, all codes are listed."
    parser.add_argument("code", nargs="?", metavar="CODE", help="such as G101")


def run(arguments: argparse.Namespace) -> int:
    """Print the page, or the list of codes."""
    if arguments.code is None:
        for code in Code:
            print(f"{code.number}  {code.severity.value:7}  {code.title}")
        return Exit.CLEAN
    page = pages().get(arguments.code.upper())
    if page is None:
        print(
            f"guard: no code {arguments.code!a}; guard explain lists them",
            file=sys.stderr,
        )
        return Exit.USAGE
    print(page, end="")
    return Exit.CLEAN
