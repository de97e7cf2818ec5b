# SPDX-License-Identifier: Apache-2.0
"""Policy text to the policy model. The entry point of guard.policy.

Findings are collected in one run; a policy with an error is not returned, so a
returned policy can be enforced as it stands. Knows no kernel and no host.
"""

from __future__ import annotations

from guard.policy import limits, operations, read
from guard.policy.codes import Code
from guard.policy.diagnostic import Diagnostic, Fix, Related, quoted
from guard.policy.findings import Findings
from guard.policy.model import (
    Effect,
    PathRule,
    PathSection,
    Pattern,
    Policy,
    Subject,
)
from guard.policy.nodes import Broken, Node, Scalar, Sequence
from guard.policy.parse_tests import tests
from guard.policy.source import Span
from guard.policy.values import Field, Values, described, is_null
from guard.policy.vocabulary import (
    EFFECTS,
    FILE,
    FILE_RULE,
    LANGUAGE_VERSION,
    MODES,
    POLICY,
    SUBJECT,
    VERB_WORDS,
)
from guard.wire.layout import PathVerb


def parse_file(path: str) -> tuple[tuple[Policy, ...], list[Diagnostic]]:
    """The policies of one file and what was found in it. Raises OSError."""
    diagnostics: list[Diagnostic] = []
    with open(path, "rb") as file:
        data = file.read(limits.FILE_SIZE + 1)
    return parse_text(data, path, diagnostics), diagnostics


def parse_text(text: str | bytes, file: str, diagnostics: list[Diagnostic]) -> tuple[Policy, ...]:
    """The policies in ``text`` that have no error; findings go to ``diagnostics``.

    ``file`` is the name that findings and policies give as their source. Text
    that is not a policy never raises: it is a finding.
    """
    return tuple(policy for policy, _ in parse_named(text, file, diagnostics))


def parse_named(
    text: str | bytes, file: str, diagnostics: list[Diagnostic]
) -> tuple[tuple[Policy, Span], ...]:
    """As parse_text, each policy with the place of its name."""
    findings = Findings(diagnostics)
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    source = read.decode(data, file, findings)
    policies: list[tuple[Policy, Span]] = []
    if source is not None:
        values = Values(findings)
        for root in read.documents(source, findings):
            errors = findings.errors
            policy = _policy(root, values, file)
            if policy is not None and findings.errors == errors:
                policies.append(policy)
    findings.close()
    return tuple(policies)


def _policy(root: Node, values: Values, file: str) -> tuple[Policy, Span] | None:
    if is_null(root):
        values.findings.add(
            Code.EMPTY,
            "this document is empty",
            root.span,
            help="each '---' begins a policy; take away the one with nothing after it",
        )
        return None
    errors = values.findings.errors
    fields = values.mapping(root, POLICY, None)
    if fields is None:
        return None
    _version(fields.get("version"), values)
    name = values.name(fields["name"].value, "name") if "name" in fields else None
    mode = values.word(fields["mode"].value, "mode", MODES) if "mode" in fields else None
    subject = _subject(fields["subject"], values) if "subject" in fields else None
    section = _file_section(fields["file"], values) if "file" in fields else None
    # While a rule is in error, it is not known which ids there are.
    ids = None if section is None or values.findings.errors > errors else _ids(section)
    wanted = tests(fields["tests"], values, ids) if "tests" in fields else ()
    if name is None or mode is None or subject is None:
        return None
    return Policy(name.text, mode, subject, section, file, root.span, wanted), name.span


def _ids(section: PathSection) -> tuple[str, ...]:
    return tuple(rule.id for rule in section.rules)


def _version(field: Field | None, values: Values) -> None:
    if field is None:
        return
    scalar = values.scalar(field.value, "version")
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


def _subject(field: Field, values: Values) -> Subject | None:
    fields = values.mapping(field.value, SUBJECT, field.key.span)
    if fields is None:
        return None
    exe: tuple[Pattern, ...] = ()
    host = inherit = False
    if "exe" in fields:
        exe = values.patterns(fields["exe"].value, "exe")
    if "host" in fields:
        host = _host(fields["host"].value, values)
    if "inherit" in fields:
        inherit = values.flag(fields["inherit"].value, "inherit") or False
        if "host" in fields and "exe" not in fields:
            values.findings.add(
                Code.NOT_TOGETHER,
                "inherit has no meaning with host: every task is under the policy anyway",
                fields["inherit"].key.span,
                related=(Related(fields["host"].key.span, "the subject is the whole host"),),
                help="leave inherit out",
            )
    return Subject(exe, host, inherit, field.value.span)


def _host(node: Node, values: Values) -> bool:
    """True, or False with a finding: `host: false` would select nothing."""
    flag = values.flag(node, "host")
    if flag is False:
        values.findings.add(
            Code.BAD_VALUE,
            "host is true, or is left out",
            node.span,
            help="name the subject by exe when it is not the whole host",
        )
    return flag or False


def _file_section(field: Field, values: Values) -> PathSection | None:
    fields = values.mapping(field.value, FILE, field.key.span)
    if fields is None:
        return None
    default = (
        values.word(fields["default"].value, "default", EFFECTS) if "default" in fields else None
    )
    rules: list[PathRule] = []
    if "rules" in fields:
        rules = _file_rules(fields["rules"], values)
    if default is None:
        return None
    return PathSection(default, tuple(rules), field.value.span)


def _file_rules(field: Field, values: Values) -> list[PathRule]:
    node = field.value
    if not isinstance(node, Sequence):
        if not isinstance(node, Broken):
            values.findings.add(
                Code.EMPTY_VALUE if is_null(node) else Code.WRONG_KIND,
                "rules is a list: each rule starts with '- '",
                field.key.span if is_null(node) else node.span,
                "nothing follows" if is_null(node) else f"this is {described(node)}",
            )
        return []
    if not node.items:
        values.findings.add(
            Code.EMPTY_VALUE,
            "rules is an empty list",
            node.span,
            help="leave the key out when there are no rules",
        )
    rules: list[PathRule] = []
    ids: dict[str, Scalar] = {}
    for number, item in enumerate(node.items, 1):
        rule = _file_rule(item, number, values, ids)
        if rule is not None:
            rules.append(rule)
    return rules


def _file_rule(item: Node, number: int, values: Values, ids: dict[str, Scalar]) -> PathRule | None:
    fields = values.mapping(item, FILE_RULE, None)
    if fields is None:
        return None
    rule_id = f"file.{number}"
    if "id" in fields:
        scalar = values.name(fields["id"].value, "id", is_rule_id=True)
        if scalar is not None:
            rule_id = scalar.text
            _note_id(scalar, ids, values)
    why = None
    if "why" in fields:
        text = values.text(fields["why"].value, "why", limits.TEXT_LENGTH)
        why = text.text if text is not None else None
    effect = Effect.ALLOW if "allow" in fields else Effect.DENY
    verbs: tuple[PathVerb, ...] = ()
    for word in ("allow", "deny"):
        if word in fields:
            verbs = _verbs(fields[word].value, word, values)
    paths = values.patterns(fields["path"].value, "path") if "path" in fields else ()
    excepts = values.patterns(fields["except"].value, "except") if "except" in fields else ()
    audit = values.flag(fields["audit"].value, "audit") if "audit" in fields else False
    return PathRule(rule_id, effect, verbs, paths, excepts, audit or False, why, item.span)


def _note_id(scalar: Scalar, ids: dict[str, Scalar], values: Values) -> None:
    first = ids.setdefault(scalar.text, scalar)
    if first is not scalar:
        values.findings.add(
            Code.DUPLICATE_RULE_ID,
            f"two rules of this policy have the id {quoted(scalar.text)}",
            scalar.span,
            "again here",
            related=(Related(first.span, "first here"),),
            help="records name rules by id, so each has its own",
        )


def _verbs(node: Node, key: str, values: Values) -> tuple[PathVerb, ...]:
    verbs: dict[PathVerb, Span] = {}
    for scalar in values.one_or_more(node, key):
        verb = VERB_WORDS.get(scalar.text)
        if verb is None:
            _unknown_verb(scalar, values)
        elif verb in verbs:
            values.findings.add(
                Code.REPEATED,
                f"the verb '{scalar.text}' is listed twice",
                scalar.span,
                "again here",
                related=(Related(verbs[verb], "first here"),),
            )
        else:
            verbs[verb] = scalar.span
    return tuple(verbs)


def _unknown_verb(scalar: Scalar, values: Values) -> None:
    findings = values.findings
    if is_null(scalar):
        findings.add(
            Code.EMPTY_VALUE, "a verb is wanted here", scalar.span, help=operations.all_verbs()
        )
        return
    found = operations.unknown_verb(scalar.text, findings.suggest)
    fix = Fix(scalar.span, found.replacement) if found.replacement else None
    findings.add(found.code, found.message, scalar.span, found.label, help=found.help, fix=fix)
