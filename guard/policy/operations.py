# SPDX-License-Identifier: Apache-2.0
"""Operations in words, such as ``read /etc/shadow``: verbs, and a verb with its object.

One reading for rules' verbs, for tests and for command lines. Knows nothing of
YAML and nothing of what a policy decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from guard.policy import limits
from guard.policy.codes import Code
from guard.policy.diagnostic import quoted
from guard.policy.findings import certainly
from guard.policy.vocabulary import OBJECT_FORM, PLANNED_FILE_VERBS, VERB_HINTS, VERB_WORDS
from guard.wire.layout import PathVerb

Suggest = Callable[[str, Iterable[str]], str | None]
"""Gives the known word that a word was probably meant to be: Findings.suggest."""


class Operation(NamedTuple):
    """A verb and the canonical absolute path that it is done to, as text."""

    verb: PathVerb
    path: str

    def __str__(self) -> str:
        return f"{self.verb.name.lower()} {self.path}"


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


def all_verbs() -> str:
    """The verbs there are, in a sentence."""
    return f"the verbs are {', '.join(VERB_WORDS)}"


def unknown_verb(word: str, suggest: Suggest) -> Complaint:
    """What to say about a word that is not one of the verbs."""
    if word in PLANNED_FILE_VERBS:
        return Complaint(
            Code.NOT_ENFORCED,
            f"the verb '{word}' is not enforced by this version of guard",
            0,
            len(word),
            help=f"leave it out: guard refuses what it would not enforce; {all_verbs()}",
        )
    hint = VERB_HINTS.get(word.lower())
    parts = word.replace(",", " ").split()
    if all(part in VERB_WORDS for part in parts):
        hint = ", ".join(parts)
    close = None if hint else suggest(word, VERB_WORDS)
    help = f"did you mean '{close}'?" if close else all_verbs()
    if hint:
        help = f"{quoted(word)} is written [{hint}]"
    return Complaint(
        Code.UNKNOWN_VERB,
        f"{quoted(word)} is not a verb of the file section",
        0,
        len(word),
        "unknown verb",
        help,
        certainly(word, close, VERB_WORDS),
    )


def operation(text: str, suggest: Suggest) -> Operation | Complaint:
    """Read ``VERB PATH``: one verb, one space, one canonical absolute path."""
    word, space, path = text.partition(" ")
    verb = VERB_WORDS.get(word)
    if verb is None and word and not word.startswith("/"):
        complaint = unknown_verb(word, suggest)
        hint = VERB_HINTS.get(word.lower())
        # An operation has one verb, where a rule may have a list of them.
        return complaint._replace(help=f"write {hint}") if hint else complaint
    start = len(word) + 1 if space else 0
    if verb is None or not path:
        message = "an operation is a verb and a path, such as 'read /etc/shadow'"
        return Complaint(Code.BAD_OPERATION, message, 0, len(text), help=all_verbs())
    if not path.startswith("/"):
        meant = f"{word} /{path.lstrip(' ./')}"
        return Complaint(
            Code.BAD_OPERATION,
            "the path of an operation starts with '/', one space after the verb",
            start,
            len(text),
            help=f"did you mean {quoted(meant)}?",
        )
    if not re.fullmatch(OBJECT_FORM, path) or len(path) > limits.PATTERN_LENGTH:
        return Complaint(
            Code.BAD_OPERATION,
            f"no object has the path {quoted(path)}",
            start,
            len(text),
            help="write it as the kernel resolves it: no '//', no component '.' or '..',"
            f" no '/' at the end, at most {limits.PATTERN_LENGTH} characters",
        )
    return Operation(verb, path)
