# SPDX-License-Identifier: Apache-2.0
"""What a kernel cannot enforce of policies: by its release alone, or by what it was found to have.

`guard check --kernel` asks about kernels that it does not run on; the loader, which
asks the kernel itself, takes from here the rule to blame and the words. Knows no
libbpf. The hooks are in guard.plan.gates; what else differs is here.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from guard.plan.gates import EVERY, GATES, Gate, Release, needed, wanted_verbs
from guard.policy.codes import Code
from guard.policy.diagnostic import Diagnostic, quoted
from guard.policy.ingress import Action, IngressSection
from guard.policy.model import (
    Effect,
    KernelRule,
    KernelSection,
    NetSection,
    PathSection,
    Policy,
)
from guard.policy.source import Span
from guard.wire.layout import Hook, PathVerb, Section

OLDEST: Release = (6, 1)
"""The oldest release that guard's programs are made for and tested on."""

TCX: Release = (6, 6)
"""Programs beside XDP on an interface, in a chain with others' (e420bed02507, 6.6)."""

SOCKETS_BY_SENDMSG: Release = (6, 5)
"""From here on sendfile and splice go through sendmsg and its hook (dc97391e6610, 6.5)."""

APPEND_UNDONE: Release = (6, 9)
"""From here on RWF_NOAPPEND passes O_APPEND by, and no hook is told (73fa7547c70b, 6.9)."""


class BadRelease(ValueError):
    """A text that is no kernel's release."""


def read_release(text: str) -> Release:
    """The release in a text such as "6.1" or "6.1.0-50-amd64". Raises BadRelease."""
    match = re.fullmatch(r"v?([1-9][0-9]?)\.([0-9]{1,3})(?:[.~+-].{0,80})?", text, re.ASCII)
    if match is None:
        raise BadRelease(f"{text!a} is no kernel release, such as 6.1 or 6.12.107")
    return int(match[1]), int(match[2])


def shown(release: Release) -> str:
    """A release as people write it."""
    return f"{release[0]}.{release[1]}"


class Blamed(NamedTuple):
    """The first of what needs something, and how a message calls it."""

    span: Span
    what: str


_Section = PathSection | NetSection | KernelSection


def blame(policies: Sequence[Policy], gate: Gate) -> Blamed | None:
    """The first rule, or section by its default, that a gate is needed for; None: no one's."""
    for policy in policies:
        found = _blame(policy, gate)
        if found is not None:
            return found
    return None


def _blame(policy: Policy, gate: Gate) -> Blamed | None:
    if gate.section is None:
        return Blamed(policy.span, f"the policy {quoted(policy.name)}")
    section = policy.sections[gate.section]
    if section is None:
        return None
    for rule in section.rules:
        if rule.effect is Effect.DENY or rule.audit or section.default is Effect.DENY:
            verbs = rule.ops if isinstance(rule, KernelRule) else rule.verbs
            if gate.verbs == EVERY or gate.verbs & {int(verb) for verb in verbs}:
                return Blamed(rule.span, f"the rule {quoted(rule.id)}")
    if section.default is Effect.DENY:
        word = gate.section.name.lower()
        return Blamed(section.span, f"the default of the {word} section of {quoted(policy.name)}")
    return None


def refusal(kernel: str, gate: Gate, blamed: Blamed | None) -> str:
    """That a kernel has not what a gate needs, in the words of check and loader."""
    what = "the policies" if blamed is None else blamed.what
    return (
        f"kernel {kernel} has no hook {gate.hook.name.lower()}, without which {what} cannot be"
        " enforced"
    )


def find(policies: Sequence[Policy], releases: Sequence[Release]) -> Iterator[Diagnostic]:
    """What kernels of these releases cannot enforce, each rule and release once."""
    for release in dict.fromkeys(releases):
        for policy in policies:
            if release < OLDEST:
                yield Diagnostic(
                    Code.NOT_ON_KERNEL,
                    f"kernel {shown(release)} is older than {shown(OLDEST)}, the oldest that guard"
                    f" can enforce the policy {quoted(policy.name)} on",
                    policy.span,
                    help=f"use a kernel from {shown(OLDEST)} on, as Debian 12 has",
                )
            yield from _hooks(policy, release)
            if policy.ingress is not None and release < TCX:
                yield from _ingress(policy.ingress, release)
            if release >= OLDEST:
                yield from _weaker(policy, release)


def _hooks(policy: Policy, release: Release) -> Iterator[Diagnostic]:
    gates = needed([policy])
    has = {gate.hook for gate in gates if gate.since <= release}
    told: set[Span] = set()
    for gate in gates:
        if gate.spare or gate.hook in has:
            continue
        blamed = _blame(policy, gate)
        if blamed is None or blamed.span in told:
            continue
        told.add(blamed.span)
        also = sorted(
            other.hook.name.lower()
            for other in gates
            if other.section is gate.section and other.since <= release
        )
        yield Diagnostic(
            Code.NOT_ON_KERNEL,
            refusal(shown(release), gate, blamed),
            blamed.span,
            help=f"the hook comes with {shown(gate.since)}; take the operation out for older"
            " kernels" + (f"; of what the section needs, this one has {_some(also)}" * bool(also)),
        )


_TOLD_HOOKS = 4


def _some(names: Sequence[str]) -> str:
    names = list(dict.fromkeys(names))
    more = len(names) - _TOLD_HOOKS
    return ", ".join(names[:_TOLD_HOOKS]) + (f" and {more} more" if more > 0 else "")


class _Return(enum.Enum):
    """Kinds of return traffic that are known by what was seen to leave."""

    UDP = "udp"
    ICMP = "icmp"
    FORWARDED = "forwarded"


class Tcx(NamedTuple):
    """What of an ingress section needs tcx, and what does without it."""

    span: Span
    what: str
    instead: str


def needs_tcx(section: IngressSection) -> list[Tcx]:
    """What has to see packets leave, or copies them; none: XDP is enough."""
    known = section.established
    kinds = [each.value for each in _Return if known is not None and getattr(known, each.value)]
    found = []
    if kinds:
        found.append(
            Tcx(
                section.span,
                f"return traffic of {' and '.join(kinds)} is not known",
                "TCP's return traffic, from the host's own sockets. Say established:"
                f" {{{': false, '.join(kinds)}: false}} and let answers in by rules",
            )
        )
    found += [
        Tcx(
            rule.span,
            f"the rule {quoted(rule.id)} cannot copy packets",
            "redirect, which moves packets and copies none",
        )
        for rule in section.rules
        if rule.action is Action.MIRROR
    ]
    return found


def tcx_refusal(kernel: str, need: Tcx) -> str:
    """That a kernel has no tcx, in the words of check and loader."""
    return f"kernel {kernel} has no tcx, without which {need.what}"


def tcx_help(need: Tcx) -> str:
    """What to do without tcx."""
    return f"tcx comes with {shown(TCX)}. What there is without it: {need.instead}"


def _ingress(section: IngressSection, release: Release) -> Iterator[Diagnostic]:
    for need in needs_tcx(section):
        yield Diagnostic(
            Code.NOT_ON_KERNEL,
            tcx_refusal(shown(release), need),
            need.span,
            help=tcx_help(need),
        )


def _weaker(policy: Policy, release: Release) -> Iterator[Diagnostic]:
    """What the kernel enforces, and not to the letter: docs/manual/bypasses.md, B-15, B-25."""
    if policy.net is not None and release < SOCKETS_BY_SENDMSG and _sends(policy):
        yield Diagnostic(
            Code.WEAKER_ON_KERNEL,
            f"on kernel {shown(release)}, what sendfile or splice moves into a socket from before"
            " the policy is not judged",
            policy.net.span,
            help="start services anew after loading the policy: their own sockets are judged; or"
            f" use a kernel from {shown(SOCKETS_BY_SENDMSG)} on",
        )
    if policy.file is None or policy.file.default is Effect.ALLOW or release < APPEND_UNDONE:
        return
    for rule in policy.file.rules:
        if (
            rule.effect is Effect.ALLOW
            and PathVerb.APPEND in rule.verbs
            and PathVerb.WRITE not in rule.verbs
        ):
            yield Diagnostic(
                Code.WEAKER_ON_KERNEL,
                f"on kernel {shown(release)}, whoever may append by the rule {quoted(rule.id)} may"
                " also write over what is there",
                rule.span,
                help="by pwritev2 with RWF_NOAPPEND, which no hook is told about; the file's own"
                " flag holds: chattr +a",
            )
            return  # the others are the same mistake


def _sends(policy: Policy) -> bool:
    wanted = wanted_verbs([policy]).get(Section.NET, frozenset())
    gate = next(gate for gate in GATES if gate.hook is Hook.SOCKET_SENDMSG)
    return wanted is None or bool(wanted & gate.verbs)
