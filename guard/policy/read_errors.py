# SPDX-License-Identifier: Apache-2.0
"""The YAML library's complaints, said in the words of someone who writes a policy."""

from __future__ import annotations

import re
from typing import Any

from guard.policy.codes import Code
from guard.policy.diagnostic import Related, printable
from guard.policy.findings import Findings
from guard.policy.nodes import Scalar, Text
from guard.policy.source import Span

_FLOW_HINT = "inside [ ] and { }, a pattern that itself holds [ ] { } or ',' needs quotes"
_COLON_HINT = "check the indentation; text that contains ': ' needs quotes"

STAR_HINT = "a pattern starts with '/': for a name anywhere write /**/*.key, for example"

# What the library says -> what guard says, with a hint. libyaml's wording first,
# then that of the Python scanner where it differs.
_WORDS: tuple[tuple[str, str, str | None], ...] = (
    ("mapping values are not allowed", "a ':' where no key can stand", _COLON_HINT),
    ("did not find expected ',' or ']'", "this '[' list goes wrong here", _FLOW_HINT),
    ("expected ',' or ']'", "this '[' list goes wrong here", _FLOW_HINT),
    ("did not find expected ',' or '}'", "this '{' mapping goes wrong here", _FLOW_HINT),
    ("expected ',' or '}'", "this '{' mapping goes wrong here", _FLOW_HINT),
    (
        "did not find expected '-' indicator",
        "expected a further '- ' entry or less indentation",
        "entries of one list start in the same column",
    ),
    (
        "expected <block end>",
        "this line does not fit the indentation around it",
        "keys of one mapping, and entries of one list, start in the same column",
    ),
    (
        "did not find expected key",
        "this line does not fit the indentation around it",
        "keys of one mapping start in the same column",
    ),
    (
        "could not find expected ':'",
        "a key without its ':'",
        "a key ends in ': ' and its value follows; longer text goes into quotes",
    ),
    ("found unexpected end of stream", "these quotes are never closed", None),
    ("did not find expected node content", "expected a value here", _FLOW_HINT),
    ("expected the node content", "expected a value here", _FLOW_HINT),
    ("found undefined alias", "text that starts with '*' needs quotes", None),
    (
        "found unknown escape character",
        "no such escape in double quotes",
        "single quotes take a backslash as it is",
    ),
    ("block sequence entries are not allowed", "a '-' where no list can begin", _COLON_HINT),
    ("found incompatible YAML document", "an unknown version of YAML", "leave the directive out"),
)


def report(
    error: Exception, source: Text, findings: Findings, quotes: Scalar | None = None
) -> None:
    """Add the finding for an error of the YAML library.

    ``quotes`` is the last quoted text before the error that runs over several lines.
    """
    problem = str(getattr(error, "problem", None) or error).partition("\n")[0]
    mark: Any = getattr(error, "problem_mark", None)
    context: Any = getattr(error, "context_mark", None)
    span = _span(source, mark or context)
    related: tuple[Related, ...] = ()
    help: str | None = None
    code = Code.YAML_SYNTAX
    for known, words, hint in _WORDS:
        if known in problem:
            message, help = words, hint
            break
    else:
        message = printable(problem)
    if "expected alphabetic or numeric" in problem and context is not None:
        code, span = Code.ALIAS, _one_character(_span(source, context))
        char = source.text[context.index]
        message = f"unquoted text that starts with '{char}' is a YAML alias or anchor"
        help = STAR_HINT
    elif "',' or '" in problem and context is not None and context.line < span.line - 1:
        related = (Related(_one_character(span), "this cannot be part of it"),)
        span = _one_character(_span(source, context))
        message, help = f"this '{source.text[context.index]}' is not closed", None
    elif quotes is not None and quotes.end_line == span.line - 1:
        # The quotes that close it were meant to open another text on this line.
        ends = Span(span.file, span.line, quotes.end_column, span.line, quotes.end_column + 1)
        related = (Related(ends, "they end only here"),)
        span = _one_character(quotes.span)
        message, help = "these quotes are not closed in their line", None
    elif "expected ':'" in problem and context is not None:
        # The library says so where the next line begins.
        begin = _span(source, context)
        line = re.split(r"\r\n|\r|\n", source.text)[begin.line - 1]
        end = max(len(line.rstrip()), begin.column) + 1
        span = Span(begin.file, begin.line, begin.column, begin.line, end)
    elif "cannot start any token" in problem or "tab character" in problem:
        code, message, help = _bad_start(source, mark)
        span = _one_character(span)
    elif "end of stream" in problem and context is not None:
        span = _one_character(_span(source, context))
    elif context is not None and (context.line, context.column) != (
        span.line - 1,
        span.column - 1,
    ):
        opened = _one_character(_span(source, context))
        if source.text[context.index : context.index + 1] in ("[", "{", '"', "'"):
            related = (Related(opened, "opened here"),)
        elif "'-' indicator" in problem:
            related = (Related(opened, "this began here"),)
    elif "mapping values" in problem:
        related = _without_colon(source, span)
    findings.add(code, message, span, related=related, help=help)


def _without_colon(source: Text, span: Span) -> tuple[Related, ...]:
    """The line above, if it looks as though its key lacks a ':'."""
    above = re.split(r"\r\n|\r|\n", source.text)[span.line - 2] if span.line > 1 else ""
    words = re.match(r"\s*(?:- +)*(\w+)(?= |$)", above)
    if words is None:
        return ()
    start, end = words.span(1)
    place = Span(span.file, span.line - 1, start + 1, span.line - 1, end + 1)
    return (Related(place, "is a ':' missing after this?"),)


def _bad_start(source: Text, mark: Any) -> tuple[Code, str, str]:
    char = source.text[mark.index : mark.index + 1]
    if char == "\t":
        return Code.TAB, "a tab cannot indent YAML", "indent with spaces"
    return (
        Code.YAML_SYNTAX,
        f"unquoted text cannot start with '{char}'",
        "put the text in quotes",
    )


def _one_character(span: Span) -> Span:
    return Span(span.file, span.line, span.column, span.line, span.column + 1)


def _span(source: Text, mark: Any) -> Span:
    """A mark's place; one past the last line is moved to the end of what was written."""
    if mark is None:
        return Span(source.file, 1, 1, 1, 1)
    lines = re.split(r"\r\n|\r|\n", source.text)
    line, column = mark.line, mark.column
    if line >= len(lines) or (line == len(lines) - 1 and not lines[line]):
        line = len(lines) - 1
        while line > 0 and not lines[line].strip():
            line -= 1
        column = len(lines[line])
    return Span(source.file, line + 1, column + 1, line + 1, column + 1)
