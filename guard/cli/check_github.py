# SPDX-License-Identifier: Apache-2.0
"""The findings of `guard check` as workflow commands, which GitHub shows in a diff."""

from __future__ import annotations

from collections.abc import Sequence

from guard.cli import places
from guard.policy.diagnostic import Diagnostic, printable
from guard.policy.load import Loaded


def as_github(loaded: Loaded, problems: Sequence[str]) -> str:
    """One command a line: every finding, then every file that was not read."""
    top = places.checkout()
    lines = [_command(found, top) for found in loaded.diagnostics]
    lines += [f"::error title=guard check::{_data(problem)}" for problem in problems]
    return "\n".join(lines)


def _command(found: Diagnostic, top: str) -> str:
    span = found.span
    properties = {
        "title": f"guard {found.code.number}: {found.code.title}",
        "file": places.relative(span.file, top),
        "line": str(span.line),
        "endLine": str(span.end_line),
    }
    if span.line == span.end_line:  # GitHub refuses columns of several lines
        properties["col"] = str(span.column)
        properties["endColumn"] = str(span.end_column)
    sentences = [printable(found.message)]
    sentences += [
        f"{printable(each.label)}: {places.relative(each.span.file, top)}:{each.span.line}"
        for each in found.related
    ]
    if found.help is not None:
        sentences.append(f"help: {printable(found.help)}")
    given = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{found.severity.value} {given}::{_data(chr(10).join(sentences))}"


def _data(text: str) -> str:
    """A command's message: the runner decodes these three."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """A command's property, which also ends at ':' or ','."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
