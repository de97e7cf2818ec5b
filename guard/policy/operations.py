# SPDX-License-Identifier: Apache-2.0
"""Operations in words, such as ``read /etc/shadow``: verbs, and a verb with its object.

One reading for rules' verbs, for tests and for command lines. Operations on
sockets are in guard.policy.operations_net. Knows nothing of YAML and nothing of
what a policy decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Any, NamedTuple

from guard.policy import limits
from guard.policy.codes import Code
from guard.policy.diagnostic import quoted
from guard.policy.findings import certainly
from guard.policy.forms import OBJECT_FORM
from guard.policy.model import KernelOperation, Operation, PathOperation
from guard.policy.words import EXEC, FILE, KERNEL, NET, Verbs
from guard.wire.layout import PathVerb

Suggest = Callable[[str, Iterable[str]], str | None]
"""Gives the known word that a word was probably meant to be: Findings.suggest."""

ANONYMOUS = "anonymous"
"""In place of a path: memory without a file, and files without a name."""


class Complaint(NamedTuple):
    """Why some words are no verb or no operation: characters ``start`` to ``end`` of them.

    ``replacement`` is what they certainly should be, if that is known.
    """

    code: Code
    message: str
    start: int
    end: int
    label: str = ""
    help: str | None = None
    replacement: str | None = None


def all_verbs(table: Verbs[Any]) -> str:
    """The words of a section, in a sentence; of the kernel's many the ones in common use."""
    words = [word for word in table.words if not word.startswith("cap_")]
    more = ", and capabilities such as cap_net_admin" if len(words) < len(table.words) else ""
    return f"the {table.noun}s are {', '.join(words)}{more}"


def unknown_verb(word: str, table: Verbs[Any], suggest: Suggest) -> Complaint:
    """What to say about a word that is not one of the section's."""
    if word in table.planned:
        return Complaint(
            Code.NOT_ENFORCED,
            f"the {table.noun} '{word}' is not enforced by this version of guard",
            0,
            len(word),
            help=f"leave it out: guard refuses what it would not enforce; {all_verbs(table)}",
        )
    hint = table.hints.get(word.lower())
    parts = word.replace(",", " ").split()
    if parts and all(part in table.words for part in parts):
        hint = ", ".join(parts)
    close = None if hint else suggest(word, table.words)
    other = None if hint or close else _elsewhere(word, table)
    help = f"did you mean '{close}'?" if close else other or all_verbs(table)
    if hint:
        help = f"{quoted(word)} is written [{hint}]"
    article = "an" if table.noun[0] in "aeiou" else "a"
    return Complaint(
        Code.UNKNOWN_VERB,
        f"{quoted(word)} is not {article} {table.noun} of the {table.section} section",
        0,
        len(word),
        f"unknown {table.noun}",
        help,
        certainly(word, close, table.words),
    )


def _elsewhere(word: str, table: Verbs[Any]) -> str | None:
    """Where else a word belongs."""
    for other in (FILE, EXEC, NET, KERNEL):
        if other is not table and word in other.words:
            article = "an" if other.noun[0] in "aeiou" else "a"
            return f"'{word}' is {article} {other.noun} of the {other.section} section"
    return None


def operation(text: str, suggest: Suggest) -> Operation | Complaint:
    """Read one operation in words.

    ``VERB PATH`` for files and code, ``VERB PROTOCOL ADDRESS:PORT`` and the like
    for sockets, the operation's word alone for the kernel; one space between words.
    """
    word, space, rest = text.partition(" ")
    if word in KERNEL.words:
        if not space:
            return KernelOperation(KERNEL.words[word])
        message = f"the operation {word} stands alone: rules say nothing about its object"
        return Complaint(Code.BAD_OPERATION, message, len(word), len(text), help=f"write {word}")
    if word in NET.words and not (word in FILE.words and (not rest or rest.startswith("/"))):
        from guard.policy import operations_net  # noqa: PLC0415 - most policies test none

        return operations_net.operation(text, suggest)
    verb = FILE.words.get(word, EXEC.words.get(word))
    if verb is None and word and not word.startswith("/"):
        return _no_verb(word, suggest)
    start = len(word) + 1 if space else 0
    if verb is None or not rest:
        message = "an operation is a verb and a path, such as 'read /etc/shadow'"
        return Complaint(Code.BAD_OPERATION, message, 0, len(text), help=all_verbs(FILE))
    return _on_path(verb, word, rest, start)


def _on_path(verb: PathVerb, word: str, path: str, start: int) -> PathOperation | Complaint:
    end = start + len(path)
    if path == ANONYMOUS and word in EXEC.words:
        return PathOperation(verb, path)
    if not path.startswith("/"):
        meant = f"{word} /{path.lstrip(' ./')}"
        return Complaint(
            Code.BAD_OPERATION,
            "the path of an operation starts with '/', one space after the verb",
            start,
            end,
            help=f"did you mean {quoted(meant)}?",
        )
    if not re.fullmatch(OBJECT_FORM, path) or len(path) > limits.PATTERN_LENGTH:
        return Complaint(
            Code.BAD_OPERATION,
            f"no object has the path {quoted(path)}",
            start,
            end,
            help="write it as the kernel resolves it: no '//', no component '.' or '..',"
            f" no '/' at the end, at most {limits.PATTERN_LENGTH} characters",
        )
    return PathOperation(verb, path)


_EVERY: Verbs[IntEnum] = Verbs(
    "",
    "operation",
    {**KERNEL.words, **NET.words, **EXEC.words, **FILE.words},
    {},
    {**KERNEL.hints, **NET.hints, **EXEC.hints, **FILE.hints},
    NET.planned | FILE.planned,
)


def _no_verb(word: str, suggest: Suggest) -> Complaint:
    """What to say about an operation that begins with no word of any section."""
    complaint = unknown_verb(word, _EVERY, suggest)
    if complaint.code is not Code.UNKNOWN_VERB:
        return complaint._replace(help="leave the test out: guard tests what it enforces")
    complaint = complaint._replace(message=f"{quoted(word)} is no operation that guard knows")
    hint = _EVERY.hints.get(word.lower())
    # An operation has one verb, where a rule may have a list of them.
    if hint:
        return complaint._replace(help=f"{quoted(word)} is written '{hint}'")
    close = suggest(word, _EVERY.words)
    return complaint if close else complaint._replace(help=all_verbs(FILE))
