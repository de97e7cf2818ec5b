# SPDX-License-Identifier: Apache-2.0
"""`guard schema`: the JSON Schema of policies, for editors and other tools."""

from __future__ import annotations

import argparse
import json

from guard.cli.exits import Exit
from guard.policy.schema import schema


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `guard schema`: there are none."""
    parser.description = "Print the JSON Schema (draft 2020-12) of one policy document."
    parser.epilog = (
        "example:\n  guard schema > guard.schema.json\n\n"
        "and as a policy's first line, for yaml-language-server:\n"
        "  # yaml-language-server: $schema=guard.schema.json"
    )


def run(arguments: argparse.Namespace) -> int:  # noqa: ARG001 - every command has this form
    """Print the schema."""
    print(json.dumps(schema(), indent=2))
    return Exit.CLEAN
