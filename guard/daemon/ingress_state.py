# SPDX-License-Identifier: Apache-2.0
"""What a filter knows of itself, kept in the kernel beside its tables.

Whoever comes next - a command, a new daemon - builds the next generation from
it, without the policy's files. Set files and set contents are read here.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

from guard.errors import HostError
from guard.kernel import about
from guard.kernel.libbpf import Libbpf
from guard.kernel.pins import Instance
from guard.plan.set_file import Prefixes, columns, join, read_set
from guard.policy.ingress import IngressSection
from guard.policy.ingress_json import Unfit, section_json, section_of
from guard.policy.limits_ingress import SET_FILE_SIZE
from guard.policy.model import Policy

# Changes whenever a member below changes its meaning.
FORMAT = 2

_COLUMNS = {
    "v4": "<u4",
    "v4_lengths": "<u1",
    "v6_high": "<u8",
    "v6_low": "<u8",
    "v6_lengths": "<u1",
}


@dataclass(frozen=True)
class State:
    """One filter's policy and what became of it.

    ``sets``: what each set holds besides timed entries. ``timed``: the sets that
    take such entries; a set's place there is its bit. ``attached``: interfaces
    by name, with index, mode and the reason for the mode. ``attendant``: the
    process that follows interfaces and records, as pid and start time. ``revision``
    is one policy's, as it was loaded once: changes of sets leave it. ``reload``: how
    often the attendant was asked to read its policy again, and what was wrong with it last.
    ``deadline``: the second since boot that a policy on trial holds until; 0: it is on none.
    """

    policy: str
    mode: str
    source: str
    section: IngressSection
    sets: Mapping[str, Prefixes]
    generation: int = 0
    timed: tuple[str, ...] = ()
    slots: Mapping[str, int] = field(default_factory=dict)
    attached: Mapping[str, tuple[int, str, str]] = field(default_factory=dict)
    next_program: str | None = None
    attendant: tuple[int, str | None] = (0, None)
    started: float = 0.0
    expired: Mapping[str, int] = field(default_factory=dict)
    revision: str = ""
    deadline: float = 0.0
    reload: tuple[int, str | None] = (0, None)


def require_numpy() -> None:
    """Raise HostError where numpy is not installed: sets and tables are made with it."""
    if find_spec("numpy") is None:
        raise HostError(
            "an ingress filter needs numpy, which is not installed",
            remedy="install guard[ingress], or Debian's python3-numpy",
        )


def of_policy(policy: Policy) -> State:
    """The state that a policy asks for; its set files are read. Raises GuardError."""
    require_numpy()
    assert policy.ingress is not None, "only a policy with an ingress section has a filter"
    sets = read_sets(policy.ingress, policy.source)
    name, mode = policy.name, policy.mode.value
    revision = secrets.token_hex(8)
    return State(name, mode, policy.source, policy.ingress, sets, revision=revision)


def read_sets(section: IngressSection, source: str) -> dict[str, Prefixes]:
    """Every set's content: what stands in the policy, and its file's.

    Files are relative to the policy's. Raises SetFileError with place, or HostError.
    """
    found = {}
    for one in section.sets:
        parts = [columns(one.prefixes)]
        if one.file is not None:
            path = os.path.join(os.path.dirname(source), one.file)
            parts.append(read_file(path, f"{one.span}: the set '{one.name}': "))
        found[one.name] = join(one.name, parts)
    return found


def read_file(path: str, who: str = "") -> Prefixes:
    """A set file's content. Raises SetFileError with place, or HostError."""
    try:
        with open(path, "rb") as file:
            data = file.read(SET_FILE_SIZE + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise HostError(
            f"{who}cannot read {path!a}: {reason}",
            remedy="an empty file is an empty set",
        ) from None
    return read_set(data, path)


def write(libbpf: Libbpf, instance: Instance, state: State) -> None:
    """Keep the state with the instance; what was there is replaced in one step."""
    about.write(libbpf, instance, to_json(state))


def read(libbpf: Libbpf, instance: Instance) -> State:
    """The state of an instance. Raises HostError."""
    return of_json(about.read(libbpf, instance), instance.name)


def to_json(state: State) -> dict[str, Any]:
    """The state as JSON holds it."""
    made = {name: getattr(state, name) for name in _PLAIN}
    made["format"] = FORMAT
    made["section"] = section_json(state.section)
    made["sets"] = {name: _packed(some) for name, some in state.sets.items()}
    return made


def of_json(told: Mapping[str, Any], name: str) -> State:
    """The state that ``to_json`` gave. Raises HostError."""
    try:
        if told["format"] != FORMAT:
            raise ValueError(f"its format is {told['format']}")
        plain = {one: told[one] for one in _PLAIN if one in told}
        section = section_of(told["section"])
        sets = {one: _unpacked(some) for one, some in told["sets"].items()}
        state = State(section=section, sets=sets, **plain)
        return replace(
            state,
            timed=tuple(state.timed),
            # JSON has lists where these have tuples.
            attached={one: (index, *rest) for one, (index, *rest) in state.attached.items()},  # type: ignore[misc]
            attendant=(state.attendant[0], state.attendant[1]),
            reload=(state.reload[0], state.reload[1]),
        )
    except (KeyError, TypeError, ValueError, Unfit) as error:
        raise HostError(
            f"the ingress filter {name!r} does not describe itself: {error}",
            remedy="it was made by another version of guard; `guard unload` removes it",
        ) from None


_PLAIN = (
    "policy",
    "mode",
    "source",
    "generation",
    "timed",
    "slots",
    "attached",
    "next_program",
    "attendant",
    "started",
    "expired",
    "revision",
    "deadline",
    "reload",
)


def _packed(some: Prefixes) -> dict[str, str]:
    return {
        name: base64.b64encode(getattr(some, name).astype(kind).tobytes()).decode()
        for name, kind in _COLUMNS.items()
    }


def _unpacked(told: Mapping[str, str]) -> Prefixes:
    import numpy as np  # noqa: PLC0415 - whoever has no sets needs none

    return Prefixes(
        *(np.frombuffer(base64.b64decode(told[name]), kind) for name, kind in _COLUMNS.items())
    )
