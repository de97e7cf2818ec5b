# SPDX-License-Identifier: Apache-2.0
"""The outcome of `guard test` as JUnit XML: a suite for each policy, a case for each test."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from guard.cli.test import failure_line
from guard.plan.trial import Outcome, Trial
from guard.policy.diagnostic import printable


def as_junit(trials: Sequence[Trial], required: float) -> str:
    """The document. Coverage below what is required is a failed case of its own."""
    tests = sum(len(_cases(trial, required)) for trial in trials)
    failures = sum(_failures(trial, required) for trial in trials)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuites name="guard test" tests="{tests}" failures="{failures}">',
    ]
    for trial in trials:
        cases = _cases(trial, required)
        lines.append(
            f'  <testsuite name={_attribute(trial.policy.name)} tests="{len(cases)}"'
            f' failures="{_failures(trial, required)}" errors="0" skipped="0">'
        )
        lines += cases
        lines.append("  </testsuite>")
    lines.append("</testsuites>\n")
    return "\n".join(lines)


def _failures(trial: Trial, required: float) -> int:
    return trial.failures + (trial.coverage < required)


def _cases(trial: Trial, required: float) -> list[str]:
    cases = [_case(trial, outcome) for outcome in trial.outcomes]
    if trial.coverage < required:
        untested = ", ".join(rule.id for rule in trial.untested)
        told = f"{trial.coverage:.1f} % of the rules tested, {required:g} % required: {untested}"
        head = f"    <testcase classname={_attribute(trial.policy.name)} name="
        cases.append(f'{head}"coverage">\n{_failure(told, told)}    </testcase>')
    return cases


def _case(trial: Trial, outcome: Outcome) -> str:
    test = outcome.test
    name = f"{test.text}: {test.expect.value}"
    head = (
        f"    <testcase classname={_attribute(trial.policy.name)} name={_attribute(name)}"
        f' file={_attribute(test.span.file)} line="{test.span.line}"'
    )
    if not outcome.failure:
        return f"{head}/>"
    return f"{head}>\n{_failure(outcome.failure, failure_line(outcome))}    </testcase>"


def _failure(message: str, text: str) -> str:
    shown = escape(printable(text))
    return f"      <failure message={_attribute(message)}>{shown}</failure>\n"


def _attribute(text: str) -> str:
    return quoteattr(printable(text))
