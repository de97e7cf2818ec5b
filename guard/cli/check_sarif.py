# SPDX-License-Identifier: Apache-2.0
"""The findings of `guard check` as a SARIF 2.1.0 log, for code scanning.

Two runs over the same texts give the same bytes: nothing of the time or the
machine is in it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from guard.cli import places
from guard.policy.codes import Code
from guard.policy.diagnostic import Diagnostic, Fix, printable
from guard.policy.load import Loaded
from guard.policy.pages import pages
from guard.policy.source import Span
from guard.version import VERSION

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"

FINGERPRINT = "guardFinding/v1"
"""Of code, file and line: the same when lines above come or go."""

LINE_FINGERPRINT = "primaryLocationLineHash"
"""The only one that GitHub's upload by API reads; it joins code and file by itself."""


def as_sarif(loaded: Loaded, problems: Sequence[str]) -> str:
    """All findings as one run; ``problems`` are sentences about files that were not read."""
    top = places.checkout()
    codes = sorted({found.code for found in loaded.diagnostics}, key=lambda code: code.number)
    texts = pages() if codes else {}
    lines = {file: re.split(r"\r\n|\r|\n", text) for file, text in loaded.texts.items()}
    seen: Counter[tuple[str, ...]] = Counter()
    results = []
    for found in loaded.diagnostics:
        result = _result(found, codes.index(found.code), top)
        place = lines[found.span.file][found.span.line - 1 : found.span.line]
        result["partialFingerprints"] = _fingerprints(found, "".join(place), top, seen)
        results.append(result)
    run = {
        "tool": {
            "driver": {
                "name": "guard",
                "semanticVersion": VERSION,
                "rules": [_rule(code, texts[code.number]) for code in codes],
            }
        },
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": not problems,
                "toolExecutionNotifications": [
                    {"level": "error", "message": {"text": printable(problem)}}
                    for problem in problems
                ],
            }
        ],
        "results": results,
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _rule(code: Code, page: str) -> dict[str, Any]:
    return {
        "id": code.number,
        "name": code.name.title().replace("_", ""),
        "shortDescription": {"text": code.title},
        "help": {"text": f"guard explain {code.number}", "markdown": page},
        "defaultConfiguration": {"level": code.severity.value},
    }


def _result(found: Diagnostic, index: int, top: str) -> dict[str, Any]:
    message = printable(found.message)
    if found.help is not None:
        message += f"; {printable(found.help)}"
    result: dict[str, Any] = {
        "ruleId": found.code.number,
        "ruleIndex": index,
        "level": found.severity.value,
        "message": {"text": message},
        "locations": [{"physicalLocation": _location(found.span, top)}],
    }
    if found.related:
        result["relatedLocations"] = [
            {
                "id": number,
                "physicalLocation": _location(each.span, top),
                "message": {"text": printable(each.label)},
            }
            for number, each in enumerate(found.related)
        ]
    if found.fix is not None:
        result["fixes"] = [_fix(found.fix, top)]
    return result


def _fix(fix: Fix, top: str) -> dict[str, Any]:
    edit = {
        "deletedRegion": _region(fix.span),
        "insertedContent": {"text": fix.replacement},
    }
    return {
        "description": {"text": f"write {printable(fix.replacement)}"},
        "artifactChanges": [
            {"artifactLocation": {"uri": places.uri(fix.span.file, top)}, "replacements": [edit]}
        ],
    }


def _location(span: Span, top: str) -> dict[str, Any]:
    return {
        "artifactLocation": {"uri": places.uri(span.file, top)},
        "region": _region(span),
    }


def _region(span: Span) -> dict[str, int]:
    return {
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
    }


def _fingerprints(
    found: Diagnostic, line: str, top: str, seen: Counter[tuple[str, ...]]
) -> dict[str, str]:
    """Hashes of what the finding is about, numbered where several are about the same."""
    words = " ".join(line.split())
    whole = (found.code.number, places.relative(found.span.file, top), words)
    made = {}
    for name, parts in ((FINGERPRINT, whole), (LINE_FINGERPRINT, (words,))):
        key = (name, *whole)
        seen[key] += 1
        digest = hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()
        made[name] = f"{digest[:32]}:{seen[key]}"
    return made
