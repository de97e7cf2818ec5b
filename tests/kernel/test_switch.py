# SPDX-License-Identifier: Apache-2.0
"""Generations change under load, and every open is judged by one of the two."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from guard.errors import HostError
from guard.plan.encode import Tables, encode
from guard.policy.model import Effect, Policy
from guard.wire.layout import PathVerb
from tests.kernel.lab import Lab, Openers, compile_program, host_plan, loaded
from tests.plan.make import policy, rule

pytestmark = pytest.mark.kernel

SWAPS = 1000
FEWEST = 1000
"""Opens of each path, or the swaps went by unwatched."""

READ = [PathVerb.READ]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("switch")
    for name in ("denied", "allowed", "for-nobody"):
        (made / name).write_text("x")
    return made


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with loaded("switch", ring_bytes=1 << 20) as lab:
        yield lab


def labelled(directory: Path, *more: str) -> Policy:
    """The policy of the labelled openers; ``more`` patterns give it other states and classes."""
    return policy(
        rule(Effect.ALLOW, READ, [f"{directory}/allowed", "/usr/**"]),
        rule(Effect.DENY, READ, [f"{directory}/denied", *more]),
        name="labelled",
        default=Effect.DENY,
        exe=["/nowhere"],
    )


def for_everybody(directory: Path) -> Policy:
    return policy(
        rule(Effect.DENY, READ, f"{directory}/for-nobody"),
        name="for-everybody",
        default=Effect.ALLOW,
        host=True,
    )


def other(directory: Path) -> Policy:
    return policy(
        rule(Effect.DENY, READ, ["/**/nothing-*-here", "/**/x*y*z", f"{directory}/no{{1,2,3}}/**"]),
        name="other",
        default=Effect.ALLOW,
        exe=["/nowhere"],
    )


def two_generations(directory: Path) -> list[Tables]:
    """The second has a policy more, which shifts the host-wide one's bit, and other tables."""
    first = host_plan([labelled(directory), for_everybody(directory)])
    more = labelled(directory, "/etc/[a-m]*/**", "/opt/{a,b,c}*d")
    second = host_plan([more, other(directory), for_everybody(directory)])
    assert first.plan.data != second.plan.data
    assert first.start(0) != second.start(0)
    return [encode(first, 2), encode(second, 3)]


def test_a_thousand_swaps_deny_nothing_falsely_and_let_nothing_through(
    lab: Lab, directory: Path
) -> None:
    program = compile_program("openers", directory)
    generations = two_generations(directory)
    denied, allowed = directory / "denied", directory / "allowed"
    nobody = directory / "for-nobody"
    watch = f"{denied}:{allowed}"
    lab.engine.switch(generations[0])
    with (
        Openers(program, f"watch:0:{watch}", f"watch:1:{watch}", nice=10) as ours,
        Openers(program, f"watch:-:{nobody}:{allowed}", nice=15) as unlabelled,
    ):
        # Bit 1 is the other policy's where there is one, and nobody's or the host's where not.
        lab.label(ours.pid, 0b11)
        ours.go()
        unlabelled.go()
        for swap in range(1, SWAPS + 1):
            lab.engine.switch(generations[swap % 2])
        counts = [ours.stop(), unlabelled.stop()]
    print(f"{SWAPS} swaps, opens: {[[one.attempts for one in each] for each in counts]}")
    for refused, let_through in ((0, 1), (2, 3)):
        assert counts[0][refused].opened == 0, "a leak"
        assert counts[0][refused].denied == counts[0][refused].attempts
        assert counts[0][let_through].opened == counts[0][let_through].attempts, "a false denial"
    assert counts[1][0].denied == counts[1][0].attempts, "a leak of the host-wide policy"
    assert counts[1][1].opened == counts[1][1].attempts, "a false denial of the host-wide policy"
    # Both labelled openers together: a busy machine may hardly run one of them.
    assert counts[0][0].attempts + counts[0][2].attempts >= FEWEST


def test_a_policy_that_is_taken_away_denies_no_more(lab: Lab, directory: Path) -> None:
    program = compile_program("openers", directory)
    with_it, without_it = (
        encode(host_plan([labelled(directory)]), 4),
        encode(host_plan([other(directory)]), 5),
    )
    denied = directory / "denied"
    results = []
    for tables in (with_it, without_it):
        lab.engine.switch(tables)
        with Openers(program, f"storm:-:20:{denied}") as ours:
            lab.label(ours.pid, 0b1)
            ours.go()
            results.append(ours.stop()[0])
    assert (results[0].denied, results[0].opened) == (20, 0)
    assert (results[1].denied, results[1].opened) == (0, 20)


def test_tables_that_do_not_fit_the_programs_change_nothing(lab: Lab, directory: Path) -> None:
    program = compile_program("openers", directory)
    lab.engine.switch(encode(host_plan([labelled(directory)]), 6))
    huge = Tables(b"", b"\0" * (1 << lab.engine.bits | 4), b"", 22, 0)
    with pytest.raises(HostError, match="were made for"):
        lab.engine.switch(huge)
    with Openers(program, f"storm:-:5:{directory / 'denied'}") as ours:
        lab.label(ours.pid, 0b1)
        ours.go()
        assert ours.stop()[0].denied == 5
