# SPDX-License-Identifier: Apache-2.0
"""The findings of `guard check` as JUnit XML: a suite for each file, a case for each finding.

A clean file is one case that passes. A finding that --fail-on lets pass is a
case that passes and tells it as its output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from guard.cli import places
from guard.policy.diagnostic import Diagnostic, printable
from guard.policy.load import Loaded
from guard.policy.render import Renderer


def as_junit(loaded: Loaded, problems: Sequence[str], counts: Callable[[Diagnostic], bool]) -> str:
    """The document. ``counts`` says whether a finding makes the check fail."""
    top = places.checkout()
    renderer = Renderer(loaded.texts)
    suites = []
    for file in loaded.texts:
        found = [each for each in loaded.diagnostics if each.span.file == file]
        name = places.relative(file, top)
        cases = [_case(each, name, renderer, counts(each)) for each in found]
        cases = cases or [f'    <testcase classname="{_text(name)}" name="guard check"/>']
        suites.append(_suite(name, cases, failures=sum(map(counts, found))))
    if problems:
        cases = [
            f'    <testcase classname="guard check" name="{_text(problem)}">\n'
            f'      <error message="{_text(problem)}"/>\n    </testcase>'
            for problem in problems
        ]
        suites.append(_suite("files that were not read", cases, errors=len(problems)))
    body = "\n".join(suites)
    head = '<?xml version="1.0" encoding="utf-8"?>\n<testsuites name="guard check">\n'
    return f"{head}{body}\n</testsuites>" if body else f"{head}</testsuites>"


def _suite(name: str, cases: list[str], failures: int = 0, errors: int = 0) -> str:
    body = "\n".join(cases)
    return (
        f'  <testsuite name="{_text(name)}" tests="{len(cases)}" failures="{failures}"'
        f' errors="{errors}">\n{body}\n  </testsuite>'
    )


def _case(found: Diagnostic, name: str, renderer: Renderer, counted: bool) -> str:
    code = found.code
    title = f"{code.number} {code.title}, line {found.span.line} column {found.span.column}"
    shown = _text(renderer.render(found), keep_lines=True)
    if counted:
        told = f'<failure type="{code.number}" message="{_text(found.message)}">{shown}</failure>'
    else:
        told = f"<system-out>{shown}</system-out>"
    return (
        f'    <testcase classname="{_text(name)}" name="{_text(title)}">\n'
        f"      {told}\n    </testcase>"
    )


def _text(text: str, keep_lines: bool = False) -> str:
    """Text as XML 1.0 can hold it: no control characters, and nothing that is markup."""
    if keep_lines:
        return "\n".join(escape(printable(line)) for line in text.split("\n"))
    return escape(printable(text))
