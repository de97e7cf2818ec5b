# SPDX-License-Identifier: Apache-2.0
"""`guard check`: all findings about some policies, with no root and no kernel."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Sequence
from typing import TextIO

from guard.analysis.overlap import any_clash, meeting
from guard.analysis.passes import analyse
from guard.analysis.size import surely_fits
from guard.cli.exits import Exit
from guard.cli.inputs import STDIN, read_inputs
from guard.policy.codes import Severity
from guard.policy.diagnostic import Diagnostic
from guard.policy.load import Loaded
from guard.policy.render import COLOUR, PLAIN, Renderer, Style

_EPILOG = """\
examples:
  guard check policies/              every .yaml and .yml file below
  guard check nginx.yaml ssh.yaml    judged together, as one host would load them
  guard check --format sarif -       standard input, findings for a program
  guard check --kernel 6.1 --kernel 6.12 policies/

exit code: 0 no findings, 1 findings, 2 usage, 3 a file could not be read
`guard explain CODE` tells more about a finding."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `guard check`."""
    parser.description = "Judge policies: no root, no kernel, nothing loaded."
    parser.usage = "guard check [OPTION...] PATH..."
    parser.epilog = _EPILOG
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="a policy file, a directory of them, or -"
    )
    parser.add_argument(
        "--format",
        choices=("text", "json", "sarif", "github", "junit"),
        default="text",
        metavar="FORM",
        help="how to tell it: text (default), json, sarif, github, junit",
    )
    parser.add_argument(
        "--fail-on",
        choices=("warning", "error"),
        default="warning",
        metavar="LEVEL",
        help="what makes the exit code 1: warning (default) or error",
    )
    parser.add_argument(
        "--fix", action="store_true", help="write the edits that are certain into the files first"
    )
    parser.add_argument(
        "--kernel",
        action="append",
        type=_release,
        default=[],
        metavar="N",
        help="also tell what this kernel, such as 6.1, cannot enforce",
    )
    parser.add_argument(
        "--host",
        action="store_true",
        help="look at this machine too: links, paths, users, units",
    )


def run(arguments: argparse.Namespace) -> int:
    """Check, print, and tell by the exit code."""
    if arguments.fix and STDIN in arguments.paths:
        print("guard check: --fix writes to files, and - is none", file=sys.stderr)
        return Exit.USAGE
    # Thousands of rules are millions of small objects, nearly all of which live to the end of
    # this short process and none of which makes cycles: looking for such is a fifth of the time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _checked(arguments)
    finally:
        if collecting:
            gc.enable()


def _checked(arguments: argparse.Namespace) -> int:
    inputs = read_inputs(arguments.paths)
    if arguments.fix:
        from guard.cli.fix import fix  # noqa: PLC0415 - only when asked for

        fix(inputs)
    for problem in inputs.problems:
        print(f"guard: {problem}", file=sys.stderr)
    loaded = with_tables(with_refused(analyse(inputs.load())))
    if arguments.kernel:
        from guard.plan import platform  # noqa: PLC0415 - only when asked for

        loaded = loaded.with_findings(platform.find(loaded.policies, arguments.kernel))
    if arguments.host:
        from guard.cli import check_host, host_machine  # noqa: PLC0415 - only when asked for

        found = check_host.find(loaded.policies, host_machine.this_machine())
        loaded = loaded.with_findings(found)
    counted = {Severity.ERROR}
    if arguments.fail_on == "warning":
        counted.add(Severity.WARNING)

    def counts(found: Diagnostic) -> bool:
        return found.severity in counted

    if arguments.format == "text":
        print_findings(loaded, sys.stdout)
    else:
        print(_as_format(arguments.format, loaded, inputs.problems, counts))
    if inputs.problems:
        return Exit.UNABLE
    return Exit.FINDINGS if any(map(counts, loaded.diagnostics)) else Exit.CLEAN


def _release(text: str) -> tuple[int, int]:
    from guard.plan.platform import BadRelease, read_release  # noqa: PLC0415 - only with --kernel

    try:
        return read_release(text)
    except BadRelease as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def with_refused(loaded: Loaded) -> Loaded:
    """The set with what compiling refuses of it."""
    if not loaded.usable or surely_fits(loaded.policies):
        return loaded
    from guard.plan import refused  # noqa: PLC0415 - only where a limit may be near

    return loaded.with_findings(refused.find(loaded.policies))


def with_tables(loaded: Loaded) -> Loaded:
    """The set with what only tables can prove; most policies do without, and start quicker."""
    if not any(map(meeting, loaded.policies)) and not any_clash(loaded.policies):
        return loaded
    from guard.plan.shadowed import add_shadowed  # noqa: PLC0415 - only when rules may meet

    return add_shadowed(loaded)


def _as_format(
    name: str, loaded: Loaded, problems: Sequence[str], counts: Callable[[Diagnostic], bool]
) -> str:
    """The findings for a program. Each form is imported only when it is asked for."""
    match name:
        case "json":
            from guard.cli.check_json import as_json  # noqa: PLC0415

            return as_json(loaded)
        case "sarif":
            from guard.cli.check_sarif import as_sarif  # noqa: PLC0415

            return as_sarif(loaded, problems)
        case "github":
            from guard.cli.check_github import as_github  # noqa: PLC0415

            return "\n".join(filter(None, (as_github(loaded, problems), summary(loaded))))
        case _:
            from guard.cli.check_junit import as_junit  # noqa: PLC0415

            return as_junit(loaded, problems, counts)


def print_findings(loaded: Loaded, stream: TextIO) -> None:
    """All findings for people, and the line that sums them up."""
    renderer = Renderer(loaded.texts, _style(stream))
    for found in loaded.diagnostics:
        print(renderer.render(found), file=stream)
    print(summary(loaded), file=stream)


def _style(stream: TextIO) -> Style:
    """Colour on a terminal that can show it, unless NO_COLOR says otherwise."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return PLAIN if plain or not stream.isatty() else COLOUR


def summary(loaded: Loaded) -> str:
    """The last line: what was found, in how many files, or how much was clean."""
    findings = loaded.diagnostics
    if not findings:
        rules = sum(
            len(section.rules)
            for policy in loaded.policies
            for section in (*policy.sections, policy.ingress)
            if section is not None
        )
        return f"{_count(len(loaded.policies), 'policy')}, {_count(rules, 'rule')}: no findings"
    errors = sum(found.severity is Severity.ERROR for found in findings)
    parts = [
        _count(number, word)
        for number, word in ((errors, "error"), (len(findings) - errors, "warning"))
        if number
    ]
    files = len({found.span.file for found in findings})
    return f"{', '.join(parts)} in {_count(files, 'file')}"


def _count(number: int, word: str) -> str:
    if number == 1:
        return f"1 {word}"
    return f"{number} {word[:-1]}ies" if word.endswith("y") else f"{number} {word}s"
