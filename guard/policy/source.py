# SPDX-License-Identifier: Apache-2.0
"""Places in a policy's text. Knows nothing of YAML or of policies."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one file's text.

    Lines and columns count from 1 and columns count characters, as editors
    show them; the end is exclusive. A span may cover several lines.
    """

    file: str
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"
