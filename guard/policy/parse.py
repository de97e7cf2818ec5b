# SPDX-License-Identifier: Apache-2.0
"""Policy text to the policy model. The entry point of guard.policy.

Findings are collected in one run; a policy with an error is not returned, so a
returned policy can be enforced as it stands. Knows no kernel and no host.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from guard.policy import limits, read
from guard.policy.codes import Code
from guard.policy.diagnostic import Diagnostic, Fix
from guard.policy.findings import Findings
from guard.policy.include import Includer, Load, is_fragment, nothing_to_include
from guard.policy.model import Policy
from guard.policy.nodes import Node
from guard.policy.parse_rules import Reading
from guard.policy.parse_sections import Sections
from guard.policy.parse_subject import subject
from guard.policy.parse_tests import tests
from guard.policy.scope import Scope
from guard.policy.source import Span
from guard.policy.values import Field, Values, described, is_null
from guard.policy.vocabulary import FRAGMENT, LANGUAGE_VERSION, MODES, POLICY

if TYPE_CHECKING:
    from guard.policy.ingress import IngressSection


@dataclass(frozen=True)
class World:
    """What the parser cannot know by itself.

    ``today`` is the day (UTC) that `expires` is held against, None if nothing is
    to expire; ``load`` reads included files; ``texts`` gets their texts by name.
    """

    today: dt.date | None = None
    load: Load = nothing_to_include
    texts: dict[str, str] = field(default_factory=dict)


def parse_file(path: str) -> tuple[tuple[Policy, ...], list[Diagnostic]]:
    """The policies of one file and what was found in it. Raises OSError."""
    diagnostics: list[Diagnostic] = []
    with open(path, "rb") as file:
        data = file.read(limits.FILE_SIZE + 1)
    return parse_text(data, path, diagnostics), diagnostics


def parse_text(
    text: str | bytes, file: str, diagnostics: list[Diagnostic], world: World | None = None
) -> tuple[Policy, ...]:
    """The policies in ``text`` that have no error; findings go to ``diagnostics``.

    ``file`` is the name that findings and policies give as their source. Text
    that is not a policy never raises: it is a finding.
    """
    return tuple(policy for policy, _ in parse_named(text, file, diagnostics, world))


def parse_named(
    text: str | bytes, file: str, diagnostics: list[Diagnostic], world: World | None = None
) -> tuple[tuple[Policy, Span], ...]:
    """As parse_text, each policy with the place of its name."""
    findings = Findings(diagnostics)
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    source = read.decode(data, file, findings)
    policies: list[tuple[Policy, Span]] = []
    if source is not None:
        parser = _Parser(file, Values(findings), world or World())
        for root in read.documents(source, findings):
            errors = findings.errors
            policy = parser.document(root)
            if policy is not None and findings.errors == errors:
                policies.append(policy)
    findings.close()
    return tuple(policies)


class _Parser:
    """Reads the documents of one file."""

    def __init__(self, file: str, values: Values, world: World) -> None:
        self._file = file
        self._values = values
        self._findings = values.findings
        self._world = world
        self._includer = Includer(values, world.load, world.texts)

    def document(self, root: Node) -> tuple[Policy, Span] | None:
        """The policy of one document, with the place of its name; None of a fragment."""
        if is_null(root):
            self._findings.add(
                Code.EMPTY,
                "this document is empty",
                root.span,
                help="each '---' begins a policy; take away the one with nothing after it",
            )
            return None
        if is_fragment(root):
            self._fragment(root)
            return None
        return self._policy(root)

    def _policy(self, root: Node) -> tuple[Policy, Span] | None:
        values = self._values
        errors = self._findings.errors
        fields = values.mapping(root, POLICY, None)
        if fields is None:
            return None
        _version(fields.get("version"), values)
        name = values.name(fields["name"].value, "name") if "name" in fields else None
        mode = values.word(fields["mode"].value, "mode", MODES) if "mode" in fields else None
        fragments = self._includer.fragments(fields, self._file)
        reading = self._reading(fields, fragments)
        who = subject(fields["subject"], values, reading.scope) if "subject" in fields else None
        sections = Sections(fields, fragments, reading)
        file, code = sections.file(), sections.exec()
        # A fragment may have rules for a section that the policy lacks, which is told.
        given = set(fields).union(*fragments)
        net = sections.net() if "net" in given else None
        kernel = sections.kernel() if "kernel" in given else None
        packets = self._ingress(fields["ingress"], reading) if "ingress" in fields else None
        # While a rule is in error, it is not known which ids there are.
        ids = None if self._findings.errors > errors else reading.ids
        wanted = tests(fields["tests"], values, ids) if "tests" in fields else ()
        reading.scope.close()
        if name is None or mode is None or who is None:
            return None
        policy = Policy(
            name.text,
            mode,
            who,
            file,
            self._file,
            root.span,
            wanted,
            exec=code,
            net=net,
            kernel=kernel,
            ingress=packets,
        )
        return policy, name.span

    def _ingress(self, field: Field, reading: Reading) -> IngressSection | None:
        from guard.policy.parse_ingress import ingress_section  # noqa: PLC0415 - few have one

        return ingress_section(field, self._values, reading.note_id)

    def _reading(self, fields: dict[str, Field], fragments: list[dict[str, Field]]) -> Reading:
        scope = Scope(self._values)
        scope.define(fields, mine=True)
        for fragment in fragments:
            _version(fragment.get("version"), self._values)
            scope.define(fragment, mine=False)
        return Reading(self._values, scope, self._world.today)

    def _fragment(self, root: Node) -> None:
        """Judge a fragment by itself; names that it does not define may be its includers'."""
        values = self._values
        fields = values.mapping(root, FRAGMENT, None)
        if fields is None:
            return
        _version(fields.get("version"), values)
        if "fragment" in fields:
            values.name(fields["fragment"].value, "fragment")
        reading = self._reading(fields, self._includer.fragments(fields, self._file))
        reading.scope.lenient()
        Sections({}, (), reading).alone(fields)
        reading.scope.close()


def _version(found: Field | None, values: Values) -> None:
    if found is None:
        return
    scalar = values.scalar(found.value, "version")
    if scalar is None or (scalar.plain and scalar.text == str(LANGUAGE_VERSION)):
        return
    quotes = scalar.text == str(LANGUAGE_VERSION)
    values.findings.add(
        Code.BAD_VERSION,
        "version is a number, without quotes"
        if quotes
        else f"this guard knows version {LANGUAGE_VERSION}, not {described(scalar)}",
        scalar.span,
        help=f"write version: {LANGUAGE_VERSION}",
        fix=Fix(scalar.span, str(LANGUAGE_VERSION)) if quotes else None,
    )
