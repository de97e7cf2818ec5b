# SPDX-License-Identifier: Apache-2.0
"""What a rule does besides its verdict: its record in the tables, and where it sends packets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guard.plan.ingress.errors import IngressError
from guard.plan.ingress.order import WORD, Order
from guard.policy.ingress import Action, IngressRule, Target
from guard.wire import ingress as wire
from guard.wire.ingress import Limit

# struct ingress_rule
_RULE = np.dtype(
    [
        ("slot", "<u4"),
        ("sample", "<u4"),
        ("action", "<u2"),
        ("target", "<u2"),
        ("to_cpu", "<u2"),
        ("reserved", "<u2"),
    ]
)


def targets(
    rules: Sequence[IngressRule],
) -> tuple[tuple[str, ...], tuple[int, ...], tuple[str, ...]]:
    """Interfaces and CPUs of redirects, and interfaces of mirrors.

    Interfaces stand at their index in the maps, CPUs at their own number.

    Raises IngressError when there are too many, or a mirror names a CPU.
    """

    def every(action: Action, what: Callable[[Target], str | int | None]) -> set[str | int]:
        some = (rule.target for rule in rules if rule.action is action)
        return {value for t in some if t is not None and (value := what(t)) is not None}

    devices = sorted(str(name) for name in every(Action.REDIRECT, lambda t: t.interface))
    cpus = sorted(int(cpu) for cpu in every(Action.REDIRECT, lambda t: t.cpu))
    mirrors = sorted(str(name) for name in every(Action.MIRROR, lambda t: t.interface))
    for some in (devices, cpus, mirrors):
        if len(some) > int(Limit.TARGETS):
            raise IngressError(f"rules name more than {int(Limit.TARGETS)} targets of a kind")
    if cpus and cpus[-1] >= int(Limit.TARGETS):
        raise IngressError(f"a rule can redirect to CPUs 0 to {int(Limit.TARGETS) - 1}")
    for rule in rules:
        if rule.action is Action.MIRROR and (not rule.target or not rule.target.interface):
            raise IngressError("a mirror rule copies to an interface, not to a CPU")
    return tuple(devices), tuple(cpus), tuple(mirrors)


def records(
    rules: Sequence[IngressRule],
    order: Order,
    slots: Sequence[int],
    devices: Sequence[str],
    mirrors: Sequence[str],
) -> NDArray[Any]:
    """struct ingress_rule by bit: observers, then deciding rules; limits are elsewhere."""
    out = np.zeros((order.words + 1) * WORD, dtype=_RULE)
    for rule, bit, slot in zip(rules, order.bits, slots, strict=True):
        if rule.action is Action.LIMIT:
            continue
        target, to_cpu = 0, 0
        if rule.target is not None and rule.action is Action.MIRROR:
            target = mirrors.index(str(rule.target.interface))
        elif rule.target is not None and rule.target.cpu is not None:
            # A CPU map's key is the CPU's number (cpu_map_update_elem, kernel/bpf/cpumap.c).
            target, to_cpu = rule.target.cpu, 1
        elif rule.target is not None:
            target = devices.index(str(rule.target.interface))
        # Limits have a table of their own: the rest closes up.
        at = bit if bit < WORD else bit - WORD
        out[at] = (slot, rule.sample, int(wire.Action[rule.action.name]), target, to_cpu, 0)
    return out.view(np.uint8)
