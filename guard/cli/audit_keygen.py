# SPDX-License-Identifier: Apache-2.0
"""`guard audit keygen`: the key pair of checkpoints."""

from __future__ import annotations

import argparse
from pathlib import Path

from guard.audit.keys import generate
from guard.cli.exits import Exit

EPILOG = """example:
  guard audit keygen /etc/guard/audit.key

Writes FILE, readable by its owner alone, and FILE.pub for whoever is to judge
the trail. Nothing is overwritten."""


def add_arguments(parser: argparse.ArgumentParser, _action: str) -> None:
    """Declare the arguments."""
    parser.epilog = EPILOG
    parser.add_argument("file", type=Path, metavar="FILE", help="the private key's file")


def run(arguments: argparse.Namespace) -> int:
    """Do the job; the result is the exit code."""
    key = generate(arguments.file)
    print(f"key {key}: {arguments.file} signs, {arguments.file}.pub checks")
    return Exit.CLEAN
