# SPDX-License-Identifier: Apache-2.0
"""Random policy sets with every section and every kind of subject, and the tasks and
operations that meet them or nearly do.

Everything comes from a random.Random that the caller seeds. Knows no kernel.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from guard.plan.units import ANONYMOUS_WORD as ANONYMOUS
from guard.policy.model import (
    Effect,
    KernelOperation,
    KernelRule,
    KernelSection,
    Mode,
    NetRule,
    NetSection,
    Operation,
    PathOperation,
    PathRule,
    PathSection,
    Policy,
    Subject,
)
from guard.wire.layout import KernelOp, NetVerb, PathVerb
from tests.kernel.lab_objects import glob_near
from tests.plan.make import patterns, span
from tests.plan.make_net import net_rule, operations_near

FILE_VERBS = tuple(verb for verb in PathVerb if verb < PathVerb.EXEC)
EXEC_VERBS = (PathVerb.EXEC, PathVerb.MAP)
UNIX_VERBS = (PathVerb.BIND, PathVerb.CONNECT, PathVerb.SEND)

# Few and short, so that rules meet and their patterns do not multiply each other's states.
NAMES = (b"a", b"b", b"ab", b"etc", b"log", b"secret", b"x.conf", "ä".encode(), b"[x]", b"\xff")

_UNITS = ("nginx.service", "nginx*.service", "a@*.service", "*", "user-?.slice")
_CGROUPS = ("/system.slice", "/system.slice/*", "/user.slice/**", "/a/b", "/**/x", "/**")
_CGROUP_PARTS = ("system.slice", "nginx.service", "nginx-2.service", "user.slice", "user-1.slice")
_OTHER_PARTS = ("a", "b", "x", "a@7.service")
_IDS = ("0", "33", "1000", "65534")


@dataclass(frozen=True, slots=True)
class Task:
    """Who asks: the executable's host path, the cgroup v2 path, the ids that it has."""

    exe: bytes
    cgroup: bytes
    users: tuple[int, ...]
    groups: tuple[int, ...]


def random_paths(rng: random.Random, number: int) -> list[bytes]:
    """Canonical paths of up to eight components, many of them below one another."""
    found = [b"/a", b"/etc/secret"]
    while len(found) < number:
        parent = rng.choice([b"", *found[:40], rng.choice(found)])
        if parent.count(b"/") < 8:
            found.append(parent + b"/" + rng.choice(NAMES))
    return found


def policy_set(rng: random.Random, number: int, paths: Sequence[bytes]) -> list[Policy]:
    """``number`` policies, each with some sections and one kind of subject."""
    return [_policy(rng, place, paths) for place in range(number)]


def _policy(rng: random.Random, place: int, paths: Sequence[bytes]) -> Policy:
    has = [rng.random() < 0.8 for _ in range(4)]
    return Policy(
        f"p{place}",
        rng.choice((Mode.ENFORCE, Mode.ENFORCE, Mode.AUDIT)),
        _subject(rng, paths),
        path_section(rng, FILE_VERBS, paths) if has[0] else None,
        "test.yaml",
        span(),
        exec=path_section(rng, EXEC_VERBS, paths) if has[1] else None,
        net=net_section(rng, paths) if has[2] else None,
        kernel=kernel_section(rng, tuple(KernelOp)) if has[3] else None,
    )


def _subject(rng: random.Random, paths: Sequence[bytes]) -> Subject:
    kind = rng.randrange(6)
    some = rng.randint(1, 2)
    return Subject(
        patterns([glob_near(rng, "", rng.choice(paths)) for _ in range(some)] * (kind < 2)),
        kind == 2,
        kind < 2 and rng.random() < 0.3,
        span(),
        units=patterns(rng.sample(_UNITS, some) * (kind == 3)),
        cgroups=patterns(rng.sample(_CGROUPS, some) * (kind in (3, 4))),
        users=patterns(rng.sample(_IDS, some) * (kind == 5 and rng.random() < 0.6)),
        groups=patterns(rng.sample(_IDS, some) * (kind == 5)),
    )


def path_section(
    rng: random.Random, verbs: Sequence[PathVerb], paths: Sequence[bytes], top: str = ""
) -> PathSection:
    """A file or exec section, by its verbs. Globs are about ``paths`` below ``top``."""
    default = rng.choice(tuple(Effect))
    rules = [path_rule(rng, verbs, paths, line, top) for line in range(2, rng.randint(3, 7))]
    if default is Effect.DENY and rng.random() < 0.5:
        rules.insert(
            0,
            PathRule(
                id="most",
                effect=Effect.ALLOW,
                span=span(),
                verbs=tuple(verbs),
                paths=patterns((rng.choice(("/**/?*[^a]", f"{top}/**")),)),
            ),
        )
    return PathSection(default, tuple(rules), span())


def path_rule(
    rng: random.Random, verbs: Sequence[PathVerb], paths: Sequence[bytes], line: int, top: str = ""
) -> PathRule:
    """One rule; now and then about what has no name (exec alone), or with exceptions."""

    def globs(most: int) -> list[str]:
        return [glob_near(rng, top, rng.choice(paths)) for _ in range(rng.randint(1, most))]

    about = globs(3)
    if PathVerb.EXEC in verbs and rng.random() < 0.2:
        about.append(ANONYMOUS)
    return PathRule(
        id=f"r{line}",
        effect=rng.choice(tuple(Effect)),
        span=span(line),
        audit=rng.random() < 0.1,
        verbs=tuple(rng.sample(list(verbs), rng.randint(1, min(6, len(verbs))))),
        paths=patterns(about, line),
        excepts=patterns(globs(2), line) if rng.random() < 0.25 else (),
    )


def net_section(rng: random.Random, paths: Sequence[bytes], top: str = "") -> NetSection:
    """Rules on sockets; some on named UNIX sockets."""
    rules = [net_rule(rng, line) for line in range(2, rng.randint(4, 10))]
    if rng.random() < 0.5:
        rules.append(
            NetRule(
                id="unix",
                effect=rng.choice(tuple(Effect)),
                span=span(),
                verbs=tuple(rng.sample([NetVerb(one) for one in UNIX_VERBS], 2)),
                families=(1,) if rng.random() < 0.5 else (),
                paths=patterns([glob_near(rng, top, rng.choice(paths)) for _ in range(2)]),
            )
        )
    return NetSection(rng.choice(tuple(Effect)), tuple(rules), span())


def kernel_section(
    rng: random.Random, ops: Sequence[KernelOp], always: Sequence[KernelOp] = ()
) -> KernelSection:
    """Rules about some of ``ops``; ``always`` are allowed whatever the default is."""
    rules = [
        KernelRule(
            id=f"r{line}",
            effect=rng.choice(tuple(Effect)),
            span=span(line),
            audit=rng.random() < 0.1,
            ops=tuple(rng.sample(list(ops), rng.randint(1, max(1, len(ops) // 3)))),
        )
        for line in range(2, rng.randint(3, 6))
    ]
    if always:
        rules.append(KernelRule(id="always", effect=Effect.ALLOW, span=span(), ops=tuple(always)))
    return KernelSection(rng.choice(tuple(Effect)), tuple(rules), span())


def task_near(rng: random.Random, paths: Sequence[bytes]) -> Task:
    """A task that some subjects may mean."""
    parts = rng.choices((*_CGROUP_PARTS, *_OTHER_PARTS), k=rng.randint(0, 3))
    ids = [int(one) for one in (*_IDS, "1", "12345")]
    return Task(
        rng.choice(paths),
        ("/" + "/".join(parts)).encode(),
        tuple(rng.choices(ids, k=rng.choice((1, 1, 4)))),
        tuple(rng.choices(ids, k=rng.randint(1, 5))),
    )


def operations(
    rng: random.Random, policies: Sequence[Policy], paths: Sequence[bytes], number: int
) -> list[Operation]:
    """Operations of every section, most with objects that the rules are about."""
    sockets = iter(operations_near(rng, policies, number))
    return [_operation(rng, paths) or next(sockets) for _ in range(number)]


def _operation(rng: random.Random, paths: Sequence[bytes]) -> Operation | None:
    kind = rng.random()
    if kind < 0.25:
        return None
    if kind < 0.4:
        return KernelOperation(rng.choice(tuple(KernelOp)))
    verbs = FILE_VERBS if kind < 0.7 else EXEC_VERBS if kind < 0.9 else UNIX_VERBS
    if verbs is EXEC_VERBS and rng.random() < 0.1:
        return PathOperation(rng.choice(verbs), ANONYMOUS)
    path = rng.choice(paths)
    if rng.random() < 0.2:
        path = path.rpartition(b"/")[0] or b"/"
    elif rng.random() < 0.2:
        path += b"/" + rng.choice(NAMES)
    return PathOperation(rng.choice(verbs), path.decode("utf-8", "surrogateescape"))
