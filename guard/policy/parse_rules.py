# SPDX-License-Identifier: Apache-2.0
"""Rules about paths and the kernel, and what every rule has: nodes to the model.

Judges each rule by itself; what a rule does beside others is for guard.analysis.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, NamedTuple, TypedDict

from guard.policy import limits, operations
from guard.policy.codes import Code
from guard.policy.diagnostic import Fix, Related, quoted
from guard.policy.forms import TAG_FORM
from guard.policy.model import Effect, Errno, KernelRule, PathRule
from guard.policy.nodes import Node, Scalar
from guard.policy.scope import EXEC_PATHS, PATHS, Form, Scope
from guard.policy.source import Span
from guard.policy.values import Field, Values, is_null
from guard.policy.vocabulary import ERRNOS, EXEC_RULE, FILE_RULE, KERNEL_RULE, Shape
from guard.policy.words import EXEC, FILE, IMPLIED, KERNEL, Verbs
from guard.wire.layout import PathVerb

Fields = dict[str, Field]


class Reading:
    """What the rules of one policy are read with: its names, its ids, the day it is.

    Rules that expired before ``today`` are told and have no effect; None lets
    every rule live.
    """

    def __init__(self, values: Values, scope: Scope, today: dt.date | None) -> None:
        self.values = values
        self.findings = values.findings
        self.scope = scope
        self.today = today
        self.ids: dict[str, Scalar | None] = {}
        """Every rule's id; None for those that guard gave."""

    def note_id(self, scalar: Scalar) -> None:
        """Take an author's id, and tell if another rule of the policy has it."""
        first = self.ids.setdefault(scalar.text, scalar)
        if first is not scalar and first is not None:
            self.findings.add(
                Code.DUPLICATE_RULE_ID,
                f"two rules of this policy have the id {quoted(scalar.text)}",
                scalar.span,
                "again here",
                related=(Related(first.span, "first here"),),
                help="records name rules by id, so each has its own",
            )


class Head(TypedDict):
    """What guard.policy.model.Rule has, as keyword arguments."""

    id: str
    effect: Effect
    span: Span
    audit: bool
    kill: bool
    errno: Errno | None
    why: str | None
    expires: dt.date | None
    tags: tuple[str, ...]


class Begun(NamedTuple):
    """A rule's own entries, and what every rule has of them. ``verbs`` is the node after
    allow or deny.
    """

    fields: Fields
    head: Head
    verbs: Field | None
    alive: bool


def begin(item: Node, shape: Shape, generated: str, reading: Reading) -> Begun | None:
    """Read what every rule has; ``generated`` is its id if it has none of its own."""
    values = reading.values
    fields = values.mapping(item, shape, None)
    if fields is None:
        return None
    rule_id = generated
    if "id" in fields:
        scalar = values.name(fields["id"].value, "id", is_rule_id=True)
        if scalar is not None:
            rule_id = scalar.text
            reading.note_id(scalar)
    reading.ids.setdefault(rule_id, None)
    why = None
    if "why" in fields:
        text = values.text(fields["why"].value, "why", limits.TEXT_LENGTH)
        why = text.text if text is not None else None
    expires = _date(fields["expires"].value, values) if "expires" in fields else None
    errno = values.word(fields["errno"].value, "errno", ERRNOS) if "errno" in fields else None
    audit = values.flag(fields["audit"].value, "audit") if "audit" in fields else False
    kill = values.flag(fields["kill"].value, "kill") if "kill" in fields else False
    tags = _tags(fields["tags"].value, values) if "tags" in fields else ()
    effect = Effect.ALLOW if "allow" in fields else Effect.DENY
    alive = True
    if expires is not None and reading.today is not None and expires < reading.today:
        alive = False
        _tell_expired(rule_id, effect, expires, fields["expires"], reading)
    head = Head(
        id=rule_id,
        effect=effect,
        span=item.span,
        audit=audit or False,
        kill=kill or False,
        errno=errno,
        why=why,
        expires=expires,
        tags=tags,
    )
    return Begun(fields, head, fields.get("allow", fields.get("deny")), alive)


def _tell_expired(
    rule_id: str, effect: Effect, expires: dt.date, field: Field, reading: Reading
) -> None:
    verb = "allows" if effect is Effect.ALLOW else "denies"
    reading.findings.add(
        Code.EXPIRED,
        f"the rule {quoted(rule_id)} expired on {expires.isoformat()} and no longer {verb}",
        field.value.span,
        help="take the rule away, or give it a later day",
    )


def _date(node: Node, values: Values) -> dt.date | None:
    scalar = values.scalar(node, "expires")
    if scalar is None:
        return None
    if is_null(scalar):
        values.findings.add(Code.EMPTY_VALUE, "expires is empty", scalar.span)
        return None
    try:
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", scalar.text, re.ASCII):
            raise ValueError
        return dt.date.fromisoformat(scalar.text)
    except ValueError:
        values.findings.add(
            Code.BAD_VALUE,
            f"expires cannot be {quoted(scalar.text)}",
            scalar.span,
            "a day is wanted",
            help="write it as YYYY-MM-DD, such as 2027-01-31",
        )
        return None


def _tags(node: Node, values: Values) -> tuple[str, ...]:
    found: dict[str, Scalar] = {}
    for scalar in values.one_or_more(node, "tags"):
        if values.text(scalar, "a tag", limits.NAME_LENGTH) is None:
            continue
        if not re.fullmatch(TAG_FORM, scalar.text):
            values.findings.add(
                Code.BAD_NAME,
                f"{quoted(scalar.text)} cannot be a tag",
                scalar.span,
                help="a tag is made of letters, digits, '.', '_', ':', '/' and '-'",
            )
            continue
        repeated(scalar, found, "tag", values)
    if len(found) > limits.TAGS:
        values.findings.add(
            Code.BAD_VALUE,
            f"{len(found)} tags; a rule has at most {limits.TAGS}",
            node.span,
            help="every record of the rule carries them all",
        )
    return tuple(found)


def repeated(scalar: Scalar, found: dict[str, Scalar], noun: str, values: Values) -> bool:
    """Note an entry of a list; True, with a finding, if it is there already."""
    first = found.setdefault(scalar.text, scalar)
    if first is scalar:
        return False
    values.findings.add(
        Code.REPEATED,
        f"the {noun} {quoted(scalar.text)} is listed twice",
        scalar.span,
        "again here",
        related=(Related(first.span, "first here"),),
    )
    return True


def verbs(field: Field | None, table: Verbs[Any], values: Values) -> tuple[Any, ...]:
    """The words after allow or deny, as the table's members."""
    if field is None:
        return ()
    found: dict[str, Scalar] = {}
    members = []
    for scalar in values.one_or_more(field.value, field.key.text):
        member = table.words.get(scalar.text)
        if member is None:
            _unknown(scalar, table, values)
        elif not repeated(scalar, found, table.noun, values):
            members.append(member)
    return tuple(members)


def _unknown(scalar: Scalar, table: Verbs[Any], values: Values) -> None:
    findings = values.findings
    if is_null(scalar):
        article = "an" if table.noun[0] in "aeiou" else "a"
        findings.add(
            Code.EMPTY_VALUE,
            f"{article} {table.noun} is wanted here",
            scalar.span,
            help=operations.all_verbs(table),
        )
        return
    found = operations.unknown_verb(scalar.text, table, findings.suggest)
    fix = Fix(scalar.span, found.replacement) if found.replacement else None
    findings.add(found.code, found.message, scalar.span, found.label, help=found.help, fix=fix)


def file_rule(item: Node, number: int, reading: Reading) -> PathRule | None:
    """A rule of the file section; None where it has no effect or cannot be read."""
    return _path_rule(item, FILE_RULE, FILE, PATHS, f"file.{number}", reading)


def exec_rule(item: Node, number: int, reading: Reading) -> PathRule | None:
    """A rule of the exec section; None where it has no effect or cannot be read."""
    return _path_rule(item, EXEC_RULE, EXEC, EXEC_PATHS, f"exec.{number}", reading)


def _path_rule(
    item: Node,
    shape: Shape,
    table: Verbs[PathVerb],
    form: Form,
    generated: str,
    reading: Reading,
) -> PathRule | None:
    begun = begin(item, shape, generated, reading)
    if begun is None:
        return None
    fields = begun.fields
    words: tuple[PathVerb, ...] = verbs(begun.verbs, table, reading.values)
    implied = [IMPLIED[verb] for verb in words if verb in IMPLIED and IMPLIED[verb] not in words]
    scope = reading.scope
    paths = scope.patterns(fields["path"].value, "path", form) if "path" in fields else ()
    excepts = scope.patterns(fields["except"].value, "except") if "except" in fields else ()
    if not begun.alive:
        return None
    return PathRule(**begun.head, verbs=(*words, *implied), paths=paths, excepts=excepts)


def kernel_rule(item: Node, number: int, reading: Reading) -> KernelRule | None:
    """A rule of the kernel section; None where it has no effect or cannot be read."""
    begun = begin(item, KERNEL_RULE, f"kernel.{number}", reading)
    if begun is None:
        return None
    ops = verbs(begun.verbs, KERNEL, reading.values)
    return KernelRule(**begun.head, ops=ops) if begun.alive else None
