# SPDX-License-Identifier: Apache-2.0
"""More programs for a loaded instance, on the maps that it has, before policies need them.

The programs that are attached stay as they are. Knows no tables: what the new
programs judge by is the generation in force, in which their sections say nothing yet.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from contextlib import ExitStack

from guard.kernel.engine import Engine, attach, choose_gates, loaded, object_path
from guard.kernel.features import Features, refusal
from guard.kernel.libbpf import LibbpfError
from guard.plan.gates import GATES, Gate
from guard.policy.model import Policy


def lacking(engine: Engine, features: Features, policies: Sequence[Policy]) -> tuple[Gate, ...]:
    """The gates that these policies need and the instance has not attached.

    By program and not by hook: several sections have one on the same hook. Raises
    HostError where this kernel has no such hook.
    """
    attached = {gate.program for gate in engine.gates}
    chosen = choose_gates(features, policies, engine.attachment)
    return tuple(gate for gate in chosen if gate.program not in attached)


def grow(engine: Engine, features: Features, policies: Sequence[Policy]) -> tuple[Gate, ...]:
    """Attach what these policies need; returns what was attached for them.

    Raises HostError, with everything as it was before.
    """
    fresh = lacking(engine, features, policies)
    if not fresh:
        return ()
    names = [gate.program for gate in fresh]
    instance, libbpf = engine.instance, engine.libbpf
    with ExitStack() as undo:
        # Links before programs, as pins.remove does.
        for pin in [*map(instance.program, names), *map(instance.link, names)]:
            undo.callback(_unpin, pin)
        path = object_path(engine.bits)
        try:
            with loaded(libbpf, features, path, engine.maps, fresh, engine.attachment) as handle:
                attach(libbpf, handle, instance, names)
        except LibbpfError as error:
            raise refusal(error, features) from error
        undo.pop_all()
    have = {gate.program for gate in (*engine.gates, *fresh)}
    engine.gates = tuple(gate for gate in GATES if gate.program in have)
    return fresh


def _unpin(pin: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(pin)
