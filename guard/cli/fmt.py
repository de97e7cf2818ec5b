# SPDX-License-Identifier: Apache-2.0
"""`guard fmt`: policies in their canonical form, comments kept."""

from __future__ import annotations

import argparse
import sys

from guard.cli.check import print_findings
from guard.cli.exits import Exit
from guard.cli.inputs import STDIN, read_inputs
from guard.cli.rewrite import rewrite
from guard.policy.canonical import NotFormatted, canonical
from guard.policy.load import load

_EPILOG = """\
examples:
  guard fmt policies/            write every file below in canonical form
  guard fmt --check policies/    write nothing; exit with 1 if a file would change
  guard fmt - <nginx.yaml        from standard input to standard output

Comments stay, and so does the meaning: what was written is read again and
compared before the file is replaced. A file with an error is left as it is.

exit code: 0 done, 1 a file has an error or would change, 2 usage, 3 unable"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `guard fmt`."""
    parser.description = "Write policies in their canonical form, comments kept."
    parser.epilog = _EPILOG
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="a policy file, a directory of them, or -"
    )
    parser.add_argument("--check", action="store_true", help="tell what would change, no more")


def run(arguments: argparse.Namespace) -> int:
    """Form each file by itself, and tell by the exit code."""
    if STDIN in arguments.paths and len(arguments.paths) > 1:
        print("guard fmt: - stands alone", file=sys.stderr)
        return Exit.USAGE
    inputs = read_inputs(arguments.paths)
    findings = False
    for name, data in inputs.files:
        loaded = load([(name, data)], inputs.include)
        if not loaded.usable:
            print_findings(loaded, sys.stderr)
            findings = True
            continue
        try:
            formed = canonical(data, name, inputs.include).encode()
        except NotFormatted as reason:
            inputs.problems.append(f"{name!a} is left as it is: {reason}")
            continue
        if name in inputs.paths:
            findings |= _write(
                name, data, formed, inputs.paths[name], arguments.check, inputs.problems
            )
        elif arguments.check:
            findings |= formed != data
        else:
            sys.stdout.write(formed.decode())
    for problem in inputs.problems:
        print(f"guard: {problem}", file=sys.stderr)
    if inputs.problems:
        return Exit.UNABLE
    return Exit.FINDINGS if findings else Exit.CLEAN


def _write(
    name: str, data: bytes, formed: bytes, path: str, only_check: bool, problems: list[str]
) -> bool:
    """Replace a file's content where it differs; True where --check has something to tell."""
    if formed == data:
        return False
    if only_check:
        print(f"would change {name}")
        return True
    try:
        rewrite(path, data, formed)
    except OSError as error:
        problems.append(f"cannot write {name!a}: {error.strerror}")
        return False
    print(f"changed {name}")
    return False
