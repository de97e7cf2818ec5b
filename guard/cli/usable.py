# SPDX-License-Identifier: Apache-2.0
"""Policies that a command can work with, or its exit code and the reason on standard error."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from guard.cli.check import print_findings
from guard.cli.exits import Exit
from guard.cli.inputs import read_inputs
from guard.plan.errors import PlanError
from guard.policy.model import Policy


def usable_policies(paths: Sequence[str]) -> tuple[Policy, ...] | Exit:
    """The set that files and directories hold; warnings of `guard check` are not told."""
    inputs = read_inputs(paths)
    for problem in inputs.problems:
        print(f"guard: {problem}", file=sys.stderr)
    if inputs.problems:
        return Exit.UNABLE
    loaded = inputs.load()
    if not loaded.usable:
        print_findings(loaded, sys.stderr)
        return Exit.FINDINGS
    return loaded.policies


def refused(error: PlanError) -> Exit:
    """Tell why a set cannot become tables."""
    print(f"guard: {error}", file=sys.stderr)
    if error.help:
        print(f"  help: {error.help}", file=sys.stderr)
    return Exit.FINDINGS
