# SPDX-License-Identifier: Apache-2.0
"""The subject of a policy: nodes to the model. Looks up no user and no group."""

from __future__ import annotations

import re
from collections.abc import Callable

from guard.policy import limits
from guard.policy.codes import Code
from guard.policy.diagnostic import Fix, Related, quoted
from guard.policy.forms import ACCOUNT_FORM, DIGEST_FORM
from guard.policy.model import Pattern, Subject
from guard.policy.nodes import Node, Scalar
from guard.policy.scope import CGROUPS, UNITS, Scope
from guard.policy.values import Field, Values, double_quoted
from guard.policy.vocabulary import SUBJECT

MOST_ID = 4294967294
"""The largest user or group number; the next one means 'none' to system calls."""


def subject(field: Field, values: Values, scope: Scope) -> Subject | None:
    """The subject, or None after what is wrong with it was recorded."""
    fields = values.mapping(field.value, SUBJECT, field.key.span)
    if fields is None:
        return None
    exe: tuple[Pattern, ...] = ()
    units: tuple[Pattern, ...] = ()
    cgroups: tuple[Pattern, ...] = ()
    users: tuple[Pattern, ...] = ()
    groups: tuple[Pattern, ...] = ()
    contents: tuple[Pattern, ...] = ()
    host = inherit = False
    if "exe" in fields:
        exe = scope.patterns(fields["exe"].value, "exe")
    if "sha256" in fields:
        contents = _contents(fields["sha256"].value, values)
    if "unit" in fields:
        units = scope.patterns(fields["unit"].value, "unit", UNITS)
    if "cgroup" in fields:
        cgroups = scope.patterns(fields["cgroup"].value, "cgroup", CGROUPS)
    if "user" in fields:
        users = _accounts(fields["user"].value, "user", values)
    if "group" in fields:
        groups = _accounts(fields["group"].value, "group", values)
    if "host" in fields:
        host = _host(fields["host"].value, values)
    if "inherit" in fields:
        inherit = values.flag(fields["inherit"].value, "inherit") or False
    return Subject(exe, host, inherit, field.value.span, units, cgroups, users, groups, contents)


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


def _accounts(node: Node, what: str, values: Values) -> tuple[Pattern, ...]:
    """Users or groups: names, or numbers without quotes."""

    def allowed(scalar: Scalar) -> bool:
        return _is_number(scalar) or _is_name(scalar, what, values)

    return _members(node, what, values, allowed)


def _contents(node: Node, values: Values) -> tuple[Pattern, ...]:
    """SHA-256 of executables, as text."""

    def allowed(scalar: Scalar) -> bool:
        if values.text(scalar, "a sha256", limits.DIGEST_LENGTH) is None:
            return False
        if re.fullmatch(DIGEST_FORM, scalar.text):
            return True
        lower = scalar.text.lower()
        certain = re.fullmatch(DIGEST_FORM, lower) is not None
        values.findings.add(
            Code.BAD_VALUE,
            f"{quoted(scalar.text)} is no SHA-256: 64 digits, 0 to 9 and a to f",
            scalar.span,
            help="write it as sha256sum prints it",
            fix=Fix(scalar.span, double_quoted(lower)) if certain else None,
        )
        return False

    return _members(node, "sha256", values, allowed)


def _members(
    node: Node, what: str, values: Values, allowed: Callable[[Scalar], bool]
) -> tuple[Pattern, ...]:
    """One scalar or several, each once; those that are not allowed have a finding already."""
    found: dict[str, Pattern] = {}
    for scalar in values.one_or_more(node, what):
        if not allowed(scalar):
            continue
        first = found.get(scalar.text)
        if first is not None:
            values.findings.add(
                Code.REPEATED,
                f"the {what} {quoted(scalar.text)} is listed twice",
                scalar.span,
                "again here",
                related=(Related(first.span, "first here"),),
            )
            continue
        found[scalar.text] = Pattern(scalar.text, scalar.span)
    return tuple(found.values())


def _is_number(scalar: Scalar) -> bool:
    number = scalar.plain and re.fullmatch(r"0|[1-9][0-9]{0,9}", scalar.text) is not None
    return number and int(scalar.text) <= MOST_ID


def _is_name(scalar: Scalar, what: str, values: Values) -> bool:
    number = scalar.plain and re.fullmatch(r"[0-9]{1,20}", scalar.text)
    if not number and values.text(scalar, f"a {what}", limits.NAME_LENGTH) is None:
        return False
    if re.fullmatch(ACCOUNT_FORM, scalar.text):
        return True
    values.findings.add(
        Code.BAD_VALUE,
        f"{quoted(scalar.text)} is no {what}",
        scalar.span,
        help=f"write its name, or its number from 0 to {MOST_ID} without quotes",
    )
    return False
