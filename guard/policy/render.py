# SPDX-License-Identifier: Apache-2.0
"""Findings as text for people: the source line, the place underlined, what to do.

Pure: texts in, text out. Whatever a terminal would act on is shown as an
escape, so that a policy cannot write to the reader's screen.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from guard.policy.codes import Severity
from guard.policy.diagnostic import Diagnostic, printable
from guard.policy.source import Span

LINE_WIDTH = 110
"""Columns of a source line that are shown around a place; a longer line is cut."""

_BREAK = r"\r\n|\r|\n"


class Style(NamedTuple):
    """Terminal sequences; all empty when there is no terminal to colour."""

    error: str = ""
    warning: str = ""
    related: str = ""
    frame: str = ""
    bold: str = ""
    end: str = ""


PLAIN = Style()
COLOUR = Style("\033[1;31m", "\033[1;33m", "\033[1;34m", "\033[1;34m", "\033[1m", "\033[0m")


class _Mark(NamedTuple):
    span: Span
    label: str
    primary: bool


class Renderer:
    """Renders findings about some texts, which it splits into lines once."""

    def __init__(self, texts: Mapping[str, str], style: Style = PLAIN) -> None:
        """``texts`` has the text of every file that a finding may point into."""
        self._texts = texts
        self._lines: dict[str, list[str]] = {}
        self._style = style

    def render(self, found: Diagnostic) -> str:
        """One finding, ending in a newline."""
        style = self._style
        colour = style.error if found.severity is Severity.ERROR else style.warning
        head = (
            f"{colour}{found.severity.value}[{found.code.number}]{style.end}"
            f"{style.bold}: {printable(found.message)}{style.end}"
        )
        marks = [_Mark(found.span, found.label, True)]
        marks += [_Mark(each.span, each.label, False) for each in found.related]
        width = len(str(max(mark.span.line for mark in marks)))
        out = [head]
        files = dict.fromkeys(mark.span.file for mark in marks)
        for file in files:
            arrow = "-->" if file == found.span.file else ":::"
            here = sorted(
                (mark for mark in marks if mark.span.file == file),
                key=lambda mark: (mark.span.line, not mark.primary),
            )
            at = found.span if file == found.span.file else here[0].span
            out.append(
                f"{' ' * width}{style.frame}{arrow}{style.end}"
                f" {printable(file)}:{at.line}:{at.column}"
            )
            out += self._excerpt(file, here, width, colour)
        if found.help is not None:
            out.append(
                f"{' ' * width} {style.frame}={style.end} {style.bold}help{style.end}:"
                f" {printable(found.help)}"
            )
        return "\n".join(out) + "\n"

    def _excerpt(self, file: str, marks: list[_Mark], width: int, colour: str) -> Iterable[str]:
        style = self._style
        lines = self._lines_of(file)
        margin = f"{' ' * width} {style.frame}|{style.end}"
        if marks[0].span.line > len(lines) or not any(lines):
            return
        yield margin
        previous = None
        shown: int | None = None
        for mark in marks:
            number = mark.span.line
            if number > len(lines):
                continue
            if shown is not None and number > shown + 1:
                if number == shown + 2:
                    yield self._line(shown + 1, _cut(lines[shown], 0)[0], width)
                else:
                    yield f"{style.frame}...{style.end}"
            text, offset = _cut(lines[number - 1], mark.span.column - 1)
            if number != shown or offset != previous:
                yield self._line(number, text, width)
            shown, previous = number, offset
            yield margin + " " + self._underline(mark, lines[number - 1], offset, colour)

    def _line(self, number: int, text: str, width: int) -> str:
        style = self._style
        return f"{style.frame}{number:>{width}} |{style.end} {text}".rstrip()

    def _underline(self, mark: _Mark, line: str, offset: int, colour: str) -> str:
        """The carets of one mark under the excerpt of its line that starts at ``offset``."""
        start = mark.span.column - 1
        several = mark.span.end_line > mark.span.line
        end = len(line.rstrip()) if several else mark.span.end_column - 1
        end = max(start + 1, min(end, offset + LINE_WIDTH))
        lead = "…" if offset else ""
        indent = _columns(lead) + _columns(_all_shown(line[offset:start]))
        width = _columns(_all_shown(line[start:end])) or 1
        sign = "^" if mark.primary else "-"
        label = f" {printable(mark.label)}" if mark.label else ""
        if mark.primary:
            return f"{' ' * indent}{colour}{sign * width}{label}{self._style.end}"
        return f"{' ' * indent}{self._style.related}{sign * width}{label}{self._style.end}"

    def _lines_of(self, file: str) -> list[str]:
        lines = self._lines.get(file)
        if lines is None:
            lines = self._lines[file] = re.split(_BREAK, self._texts.get(file, ""))
        return lines


def _cut(line: str, column: int) -> tuple[str, int]:
    """What is shown of a line so that ``column`` is in it, and where that starts."""
    line = line.rstrip()
    offset = 0
    if len(line) > LINE_WIDTH and column > LINE_WIDTH * 2 // 3:
        offset = column - LINE_WIDTH // 3
    text = _all_shown(line[offset : offset + LINE_WIDTH])
    before = "…" if offset else ""
    after = "…" if offset + LINE_WIDTH < len(line) else ""
    return before + text + after, offset


def _all_shown(text: str) -> str:
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(char: str) -> str:
    """A character as it is shown in an excerpt."""
    return "    " if char == "\t" else printable(char)


def _columns(text: str) -> int:
    """How many columns of a terminal some shown text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.combining(char)
        else 2
        if unicodedata.east_asian_width(char) in ("W", "F")
        else 1
        for char in text
    )
