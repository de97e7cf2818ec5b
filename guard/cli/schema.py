# SPDX-License-Identifier: Apache-2.0
"""`guard schema`: the JSON Schema of policies or of audit records, for editors and other tools."""

from __future__ import annotations

import argparse
import json
import sys

from guard.cli.exits import Exit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `guard schema`."""
    parser.description = (
        "Print the JSON Schema (draft 2020-12) of one policy document, or of one audit record."
    )
    parser.add_argument(
        "--records", action="store_true", help="the schema of audit records instead"
    )
    parser.add_argument(
        "--markdown", action="store_true", help="with --records: their fields as in the manual"
    )
    parser.epilog = (
        "examples:\n  guard schema > guard.schema.json\n  guard schema --records\n\n"
        "and as a policy's first line, for yaml-language-server:\n"
        "  # yaml-language-server: $schema=guard.schema.json"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the schema. Each needs modules that the other does not."""
    if arguments.markdown:
        if not arguments.records:
            print("guard schema: --markdown goes with --records only", file=sys.stderr)
            return Exit.USAGE
        from guard.audit.schema_docs import field_lists  # noqa: PLC0415 - see above

        print(field_lists(), end="")
    elif arguments.records:
        from guard.audit.schema import record_schema  # noqa: PLC0415

        print(json.dumps(record_schema(), indent=2))
    else:
        from guard.policy.schema import schema  # noqa: PLC0415

        print(json.dumps(schema(), indent=2))
    return Exit.CLEAN
