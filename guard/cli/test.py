# SPDX-License-Identifier: Apache-2.0
"""`guard test`: the tests of policies, with no root and no kernel."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from guard.cli.exits import Exit
from guard.cli.usable import refused, usable_policies
from guard.plan.errors import PlanError
from guard.plan.trial import Outcome, Trial, run_tests
from guard.policy.diagnostic import printable

_EPILOG = """\
examples:
  guard test policies/                        every policy's tests
  guard test --require-coverage 100 web.yaml  and every rule must decide a test
  guard test --format junit policies/ > tests.xml

Each test is decided twice, by the policy's text and by the tables that the
kernel would get. If the two disagree, that is a bug in guard: exit code 70.

exit code: 0 all hold, 1 a test fails or a policy is refused, 2 usage, 3 unreadable"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `guard test`."""
    parser.description = "Run the tests of policies: no root, no kernel, nothing loaded."
    parser.epilog = _EPILOG
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="a policy file, a directory of them, or -"
    )
    parser.add_argument(
        "--format", choices=("text", "junit"), default="text", help="how to show the outcome"
    )
    parser.add_argument(
        "--require-coverage",
        type=percentage,
        metavar="N",
        help="fail if in a policy less than N %% of the rules decide a test",
    )


def percentage(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 100:
        raise ValueError
    return value


def run(arguments: argparse.Namespace) -> int:
    """Run the tests, print, and tell by the exit code."""
    policies = usable_policies(arguments.paths)
    if isinstance(policies, Exit):
        return policies
    try:
        trials = run_tests(policies)
    except PlanError as error:
        return refused(error)
    required: float = arguments.require_coverage or 0.0
    if arguments.format == "junit":
        from guard.cli.test_junit import as_junit  # noqa: PLC0415 - only when asked for

        sys.stdout.write(as_junit(trials, required))
    else:
        print(as_text(trials, required))
    failed = any(trial.failures or trial.coverage < required for trial in trials)
    return Exit.FINDINGS if failed else Exit.CLEAN


def as_text(trials: Sequence[Trial], required: float) -> str:
    """Every failure with its place, a line for each policy, and the sum."""
    lines = []
    for trial in trials:
        lines += [failure_line(one) for one in trial.outcomes if one.failure]
        covered = trial.rules - len(trial.untested)
        held = f"{len(trial.outcomes) - trial.failures} of {len(trial.outcomes)} tests hold"
        lines.append(
            f"{trial.policy.name}: {held if trial.outcomes else 'no tests'},"
            f" {covered} of {trial.rules} rules tested"
        )
        lines += [
            f"  no test is decided by the rule {rule.id} ({rule.span})" for rule in trial.untested
        ]
        if trial.coverage < required:
            lines.append(f"  {trial.coverage:.1f} % of the rules tested, {required:g} % required")
    tests = sum(len(trial.outcomes) for trial in trials)
    failures = sum(trial.failures for trial in trials)
    lines.append(f"{tests} test{'s' if tests != 1 else ''}, {failures or 'none'} failed")
    return "\n".join(map(printable, lines))


def failure_line(outcome: Outcome) -> str:
    """One failed test: its place, what was done, and what is not as expected."""
    test = outcome.test
    return f"{test.span}: {test.text}: {outcome.failure}"
