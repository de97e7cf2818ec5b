# SPDX-License-Identifier: Apache-2.0
"""An operation that a rule matches, to show what a finding about the rule is about.

Most rules have one that can be read off them; for the others it is looked for in
the rule's own tables, which also prove it where there is none. Every one is checked
by the evaluator before it is given.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from guard.analysis.evaluate import decide, net_matches, rule_matches
from guard.plan.agree import Disagreement
from guard.plan.build import build_plan
from guard.plan.compare_operations import easier, operation_of, path_or_net
from guard.plan.languages import PATHS, net
from guard.plan.plan import Plan, state_class
from guard.plan.product import Product, TooLarge
from guard.plan.units import ANONYMOUS_WORD
from guard.policy.diagnostic import quoted
from guard.policy.model import (
    NetOperation,
    NetRule,
    Operation,
    PathOperation,
    PathRule,
    Policy,
    Subject,
)
from guard.policy.networds import AF_INET, AF_INET6
from guard.policy.operation_text import words
from guard.policy.patterns import SLASH, Token, Wild, expand
from guard.wire.layout import NetVerb, PathVerb, Section

ObjectRule = PathRule | NetRule
"""Rules about objects that automata classify."""

_NAMED = (NetVerb.BIND, NetVerb.CONNECT, NetVerb.SEND)


_NEVER = (b"", b".", b"..")
"""Components that no canonical path has; only the root's own is empty."""


def with_rules(policy: Policy, section: Section, rules: Sequence[ObjectRule]) -> Policy:
    """The policy with these rules alone, for a subject that costs nothing to compile."""
    found = path_or_net(policy, section)
    assert found is not None, "only a policy with the section has rules"
    changed: Any = dataclasses.replace(found, rules=tuple(rules))  # type: ignore[arg-type]
    return dataclasses.replace(
        policy,
        subject=Subject((), True, False, policy.subject.span),
        file=changed if section is Section.FILE else None,
        exec=changed if section is Section.EXEC else None,
        net=changed if section is Section.NET else None,
        kernel=None,
    )


def shown(operation: Operation) -> str:
    """An operation in a finding's words."""
    if isinstance(operation, PathOperation) and operation.path.startswith("/"):
        verb, path = words(operation).rsplit(operation.path, 1)[0].rstrip(), operation.path
        return f"{verb} {quoted(path)}"
    return words(operation)


def example(policy: Policy, section: Section, rule: ObjectRule) -> Operation | None:
    """An operation that a rule matches, easy to read; None if it is proved that there is none.

    ``policy`` has the section. Raises PlanError, and Disagreement, which is a bug.
    """
    alone = with_rules(policy, section, [rule])
    operation = _read_off(rule) or _looked_for(alone, section, rule)
    if operation is None:
        return None
    if not decide(alone, operation).rules:
        raise Disagreement(f"the rule {rule.id!r} does not match {operation}")
    if isinstance(operation, NetOperation):
        assert isinstance(rule, NetRule), "only these match such"
        return next(one for one in easier(operation) if net_matches(rule, one))
    return operation


def _read_off(rule: ObjectRule) -> Operation | None:
    """An operation for the simplest rules; None tells nothing."""
    if isinstance(rule, NetRule):
        return next(_sockets_of(rule), None)
    if any(path.text == ANONYMOUS_WORD for path in rule.paths):
        return None
    found = [_shortest(tokens) for path in rule.paths for tokens in expand(path.text)]
    path = min(found, key=len)
    if any(name in _NEVER for name in path.split(b"/")[1:]):
        return None
    text = path.decode("utf-8", "surrogateescape")
    operation = PathOperation(PathVerb(rule.verbs[0]), text)
    return operation if rule_matches(rule, [path]) else None


def _shortest(tokens: Sequence[Token]) -> bytes:
    """A short path of one alternative of a pattern."""
    found = bytearray()
    for at, token in enumerate(tokens):
        if isinstance(token, int):
            found.append(token)
        elif isinstance(token, frozenset):
            found.append(next(byte for byte in PATHS.liked if byte in token))
        elif token is not Wild.DIRS:
            name = found[found.rindex(SLASH) + 1 :]
            ends = at + 1 == len(tokens) or tokens[at + 1] == SLASH
            if ends and not name.strip(b"."):
                found += b"a"
    return bytes(found)


def _sockets_of(rule: NetRule) -> Iterator[NetOperation]:
    """Operations with the first address of one of a rule's networks."""
    if rule.excepts:
        return
    verbs = [verb for verb in rule.verbs if verb is not NetVerb.CREATE]
    port = rule.ports[0].first if rule.ports else 0
    for each in rule.to if verbs else ():
        # What is beyond the first of all is an address like others: neither the wildcard,
        # nor one of IPv4 in IPv6's clothes.
        if each.address[0] == 0:
            continue
        family = AF_INET if len(each.address) == 4 else AF_INET6
        if rule.families and family not in rule.families:
            continue
        yield NetOperation(
            NetVerb(verbs[0]),
            family,
            rule.types[0] if rule.types else 1,
            rule.protocols[0] if rule.protocols else 6,
            each.address,
            port,
        )


def _looked_for(alone: Policy, section: Section, rule: ObjectRule) -> Operation | None:
    """A shortest operation, from the rule's tables."""
    plan = build_plan([alone])
    names = [rule.verbs[0]] if section is not Section.NET else rule.verbs
    for verb in names:
        if any(path.text == ANONYMOUS_WORD for path in getattr(rule, "paths", ())):
            return PathOperation(PathVerb(verb), ANONYMOUS_WORD)
        if section is not Section.NET or verb in _NAMED:
            found = _path(plan, rule)
            if found is not None:
                return PathOperation(PathVerb(verb), found.decode("utf-8", "surrogateescape"))
    return None if section is not Section.NET else _socket(plan, rule)


def _path(plan: Plan, rule: ObjectRule) -> bytes | None:
    product = Product([(plan, state) for state in plan.starts[0].groups])
    try:
        for states, key in product.reachable():
            if any(plan.classes[state_class(plan, state)] for state in states):
                return product.path(key)
    except TooLarge as error:  # one rule is far from so many combinations
        raise Disagreement(f"the rule {rule.id!r} has no end") from error
    return None


def _socket(plan: Plan, rule: ObjectRule) -> Operation | None:
    language, ends = net()
    product = Product([(plan, plan.net)], language)
    vague: Operation | None = None
    for states, key in product.reachable():
        if not plan.classes[state_class(plan, states[0])]:
            continue
        end = ends[key[-1]]
        for verb in rule.verbs:
            if verb not in end.verbs:
                continue
            operation = operation_of(NetVerb(verb), product.path(key))
            if not end.vague or verb is NetVerb.CREATE:
                return operation
            vague = vague or operation
    return vague
