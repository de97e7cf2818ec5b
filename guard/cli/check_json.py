# SPDX-License-Identifier: Apache-2.0
"""The findings of `guard check` as one JSON object, for programs.

The form is kept: keys are added, never renamed. Lines and columns count from 1,
columns count characters, ends are exclusive.
"""

from __future__ import annotations

import json

from guard.policy.codes import Severity
from guard.policy.diagnostic import Diagnostic
from guard.policy.load import Loaded
from guard.policy.source import Span

FORMAT = 1


def as_json(loaded: Loaded) -> str:
    """All findings and their number by severity."""
    errors = sum(found.severity is Severity.ERROR for found in loaded.diagnostics)
    document = {
        "format": FORMAT,
        "policies": [policy.name for policy in loaded.policies],
        "errors": errors,
        "warnings": len(loaded.diagnostics) - errors,
        "findings": [_finding(found) for found in loaded.diagnostics],
    }
    return json.dumps(document, indent=2)


def _finding(found: Diagnostic) -> dict[str, object]:
    return {
        "code": found.code.number,
        "severity": found.severity.value,
        "title": found.code.title,
        "message": found.message,
        "place": _place(found.span),
        "label": found.label,
        "related": [{"place": _place(each.span), "label": each.label} for each in found.related],
        "help": found.help,
        "fix": None
        if found.fix is None
        else {"place": _place(found.fix.span), "replacement": found.fix.replacement},
    }


def _place(span: Span) -> dict[str, object]:
    return {
        "file": span.file,
        "line": span.line,
        "column": span.column,
        "end_line": span.end_line,
        "end_column": span.end_column,
    }
