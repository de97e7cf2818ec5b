# SPDX-License-Identifier: Apache-2.0
"""Applying the edits that findings are certain of to a file's text.

Nothing but the edited words changes: comments, line ends and layout stay as
they are. Knows text only; who calls reads and writes the files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from guard.policy.codes import Severity
from guard.policy.diagnostic import Diagnostic
from guard.policy.findings import further
from guard.policy.include import Load, nothing_to_include
from guard.policy.load import load
from guard.policy.source import Span

MOST_ROUNDS = 16
"""An edit can bring another to light, a word at a time; a mend of its own file ends long before."""


class Mended(NamedTuple):
    """A file's new content, and the findings that are gone from it."""

    data: bytes
    done: tuple[Diagnostic, ...]


class _Edit(NamedTuple):
    """Characters ``start`` to ``end`` become ``text``."""

    start: int
    end: int
    text: str
    found: Diagnostic


def mend(name: str, data: bytes, include: Load = nothing_to_include) -> Mended:
    """Apply certain edits to the content of the file ``name``, until none is left.

    Edits are kept only when each takes its finding away and brings no other:
    the content that comes back parses with fewer errors than ``data``, or is
    ``data`` itself. Findings of the analyses, which judge only what parses
    without an error, may show where errors hid them before.
    """
    done: list[Diagnostic] = []
    findings = _findings(name, data, include)
    for _ in range(MOST_ROUNDS):
        edits = _edits(data, findings)
        mended, applied = _apply(name, data, edits, findings, include) if edits else (data, [])
        if not applied:
            break
        data = mended
        done += [edit.found for edit in applied]
        findings = _findings(name, data, include)
    return Mended(data, tuple(done))


def _findings(name: str, data: bytes, include: Load) -> list[Diagnostic]:
    """The findings in the file itself; what it includes is mended by itself."""
    found = load([(name, data)], include).diagnostics
    return [each for each in found if each.span.file == name]


def _errors(findings: Sequence[Diagnostic]) -> int:
    return sum(further(found) for found in findings if found.severity is Severity.ERROR)


def _apply(
    name: str,
    data: bytes,
    edits: list[_Edit],
    findings: Sequence[Diagnostic],
    include: Load,
) -> tuple[bytes, list[_Edit]]:
    """The edits that make it better: all of them, else of each half what does."""
    mended = _replace(data, edits)
    after = _findings(name, mended, include)
    if _errors(after) <= _errors(findings) - len(edits):
        return mended, edits
    if len(edits) == 1:
        return data, []
    # The later half first: what stands before it keeps its place.
    middle = len(edits) // 2
    applied: list[_Edit] = []
    for half in (edits[middle:], edits[:middle]):
        data, some = _apply(name, data, half, findings, include)
        if some:
            findings = _findings(name, data, include)
        applied = some + applied
    return data, applied


def _edits(data: bytes, findings: Sequence[Diagnostic]) -> list[_Edit]:
    """The findings' edits in the order of the text; of two that touch, the first."""
    if not any(found.fix for found in findings):
        return []
    text = data.decode("utf-8-sig")
    lines = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", text))]
    every = sorted(
        _Edit(*_indices(found.fix.span, lines), found.fix.replacement, found)
        for found in findings
        if found.fix is not None
    )
    kept: list[_Edit] = []
    for edit in every:
        if not kept or edit.start >= kept[-1].end:
            kept.append(edit)
    return kept


def _indices(span: Span, lines: list[int]) -> tuple[int, int]:
    return lines[span.line - 1] + span.column - 1, lines[span.end_line - 1] + span.end_column - 1


def _replace(data: bytes, edits: list[_Edit]) -> bytes:
    """The content with the edits made; a byte order mark stays."""
    text = data.decode("utf-8-sig")
    mark = data[: len(data) - len(text.encode())]
    parts = []
    at = 0
    for edit in edits:
        parts += [text[at : edit.start], edit.text]
        at = edit.end
    return mark + "".join([*parts, text[at:]]).encode()
