# SPDX-License-Identifier: Apache-2.0
"""The compiler's promises besides meaning: small, the same each time, bounded, named refusals."""

from __future__ import annotations

import itertools
import random
import string
import time

import pytest

from guard.plan import grouping
from guard.plan.build import build_plan
from guard.plan.errors import PlanError
from guard.plan.plan import CELL, Plan, state_class, subjects, verdict, walk
from guard.policy.model import Policy
from guard.wire.layout import ROW, Column, Limit, Section, State
from tests.plan.make import ALLOW, DENY, LIST, READ, WRITE, policy, rule
from tests.plan.test_differential import compare


def word(source: random.Random, size: int = 8) -> str:
    return "".join(source.choice(string.ascii_lowercase + string.digits) for _ in range(size))


def distinct_states(plan: Plan) -> int:
    """How many states the packed cells have when equal ones are merged, by brute force."""
    first = plan.rows * ROW.size
    count = (len(plan.data) - first) // plan.stride
    rows = []
    for at in range(first, len(plan.data), plan.stride):
        cells = memoryview(plan.data)[at : at + plan.stride].cast("I").tolist()
        rows.append((cells[Column.CLASS], [(c & ~State.FINAL) - first for c in cells[2:]]))
    block = [one[0] for one in rows]
    while True:
        numbers: dict[object, int] = {}
        following = [
            numbers.setdefault((block[i], *(block[t // plan.stride] for t in cells)), len(numbers))
            for i, (_, cells) in enumerate(rows)
        ]
        if len(set(following)) == len(set(block)):
            break
        block = following
    assert count == len(rows)
    return len(set(block))


def test_equal_states_are_merged() -> None:
    source = random.Random(3)  # noqa: S311 - the same each time, no secret
    paths = [
        f"/srv/{word(source, 3)}/{word(source, 4)}{end}"
        for end in ("", "/**", "/*.c")
        for _ in range(40)
    ]
    plan = build_plan([policy(rule(ALLOW, [READ], [*paths, "/**/x/*.d", "/usr/**/lib/**"]))])
    states = sum(size.states for size in plan.sizes)
    # The two automata of the table share no states, so a few are there twice.
    assert distinct_states(plan) <= states <= distinct_states(plan) + 3
    assert states < sum(size.explored for size in plan.sizes)


def test_the_same_policies_give_the_same_bytes() -> None:
    def compiled() -> Plan:
        texts = ["/**/a/**", "/*b*", "/c/{d,e}/**", "/**/f*g"]
        return build_plan(
            [policy(*[rule(DENY, [READ], t, "/c/d/x", line=i + 1) for i, t in enumerate(texts)])]
        )

    assert compiled() == compiled()


def test_a_list_of_paths_costs_one_state_per_byte_at_most() -> None:
    source = random.Random(5)  # noqa: S311 - the same each time, no secret
    paths = [f"/srv/{word(source)}/{word(source)}/**" for _ in range(300)]
    rules = [rule(ALLOW, [READ], path, line=at + 1) for at, path in enumerate(paths)]
    plan = build_plan([policy(*rules)])
    assert plan.sizes[0].states <= sum(map(len, paths))
    assert len(plan.classes) == len(paths) + 2  # no rule, every rule, and the subject
    assert plan.rows == 2  # nothing, and what every rule gives
    for at in range(0, 300, 37):
        inside = paths[at].removesuffix("**").encode() + b"x/y"
        ids = verdict(plan, 1, READ, inside).class_ids
        assert [ref.rule for ref in plan.classes[ids[0]]] == [at]


def test_a_matched_subtree_is_final_and_so_is_what_can_never_match() -> None:
    plan = build_plan([policy(rule(ALLOW, [READ], "/srv/**"))])
    start = plan.starts[0].groups[0]
    assert not start & State.FINAL
    assert not walk(plan, start, b"/srv") & State.FINAL
    assert walk(plan, start, b"/srv/") & State.FINAL
    assert walk(plan, start, b"/x") & State.FINAL
    assert state_class(plan, walk(plan, start, b"/srv/a/b")) != 0
    everything = build_plan([policy(rule(ALLOW, [READ], "/**"))])
    assert everything.starts[0].groups[0] & State.FINAL


def test_final_states_loop_so_reading_on_changes_nothing() -> None:
    plan = build_plan([policy(rule(ALLOW, [READ], ["/srv/**", "/a/*b*", "/**/x/**"]))])
    first = plan.rows * ROW.size
    finals = 0
    for at in range(first, len(plan.data), plan.stride):
        cells = memoryview(plan.data)[at : at + plan.stride].cast("I").tolist()
        for target in cells[2:]:
            assert first <= (target & ~State.FINAL) < len(plan.data)
            if target & State.FINAL:
                row = memoryview(plan.data)[target & ~State.FINAL :][: plan.stride].cast("I")
                assert set(row.tolist()[2:]) == {target}
                finals += 1
    assert finals


def test_patterns_of_one_effect_stay_linear() -> None:
    letters = string.ascii_lowercase
    for form in ("/x/*{}*", "/**/{}/**", "/**/*{}*/**"):
        rules = [rule(DENY, [READ], form.format(c), line=i + 1) for i, c in enumerate(letters)]
        plan = build_plan([policy(*rules)])
        assert plan.sizes[0].explored < 40 * len(letters), form


def test_excepts_do_not_bring_the_product_back() -> None:
    letters = string.ascii_lowercase
    rules = rule(DENY, [READ], [f"/**/{c}{c}/**" for c in letters], "/home/*/{cache,tmp}/**")
    assert build_plan([policy(rules)]).sizes[0].explored < 2000


def test_a_long_list_of_paths_with_one_loose_pattern_is_one_automaton(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(grouping, "STATES_BASE", 100)
    source = random.Random(6)  # noqa: S311 - the same each time, no secret
    paths = [f"/srv/{word(source)}/{word(source)}/**" for _ in range(30)]
    plan = build_plan([policy(rule(ALLOW, [READ], [*paths, "/run/**/*.conf"]))])
    assert len(plan.group_mask) == 1


def hopeless() -> list[Policy]:
    return [
        policy(rule(ALLOW, [READ], f"/x/*{c}*", line=at + 1), name=c)
        for at, c in enumerate(string.ascii_letters)
    ]


def test_a_pattern_that_multiplies_states_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(grouping, "STATES_BASE", 300)
    monkeypatch.setattr(grouping, "STATES_TOTAL", 20_000)
    with pytest.raises(PlanError) as caught:
        build_plan(hopeless())
    span = caught.value.span
    assert span is not None
    blamed = string.ascii_letters[span.line - 1]
    assert f"'/x/*{blamed}*'" in caught.value.message
    assert "beyond" in caught.value.message
    assert caught.value.help


def test_one_pattern_alone_can_be_refused() -> None:
    with pytest.raises(PlanError) as caught:
        build_plan([policy(rule(ALLOW, [READ], "/**a" + "?" * 24 + "/x", line=9))])
    assert caught.value.span is not None
    assert caught.value.span.line == 9


def test_refusal_explores_a_bounded_number_of_states(monkeypatch: pytest.MonkeyPatch) -> None:
    explored = []
    explore = grouping.explore

    def counted(*args: object) -> object:
        explored.append(args[-1])
        return explore(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(grouping, "STATES_BASE", 500)
    monkeypatch.setattr(grouping, "STATES_TOTAL", 4_000)
    monkeypatch.setattr(grouping, "explore", counted)
    with pytest.raises(PlanError):
        build_plan(hopeless())
    assert sum(explored) < 60_000  # type: ignore[arg-type]


def test_policies_that_multiply_in_one_automaton_are_spread_over_several() -> None:
    policies = [
        policy(
            rule(DENY, [READ, WRITE], f"/**/.git{n}/**", line=1),
            rule(DENY, [READ], f"/**/*.pem{n}", line=2),
            rule(ALLOW, [READ, LIST], [f"/srv/{n}/**", f"/etc/{n}.conf"], line=3),
            name=f"p{n}",
        )
        for n in string.ascii_lowercase[:16]
    ]
    plan = build_plan(policies)
    assert 1 < len(plan.group_mask) <= Limit.GROUPS
    assert len(plan.data) < 1 << 26
    for n, path in itertools.product(
        "abcp",
        ["/srv/{}/.git{}/x", "/a/.gita/.git{}/x.pem", "/k.pem{}", "/etc/{}.conf"],
    ):
        name = path.format(n, n).encode()
        compare(plan, name, [name])


def test_more_policies_than_bits_are_refused() -> None:
    with pytest.raises(PlanError, match="65 policies"):
        build_plan([policy(name=f"p{n}") for n in range(65)])


def test_no_rules_at_all_still_make_tables() -> None:
    plan = build_plan([policy(default=DENY, host=True), policy(default=None)])
    assert verdict(plan, 0b11, READ, b"/a").denied == 0b01
    assert plan.masks.sections[Section.FILE].policies == 0b01
    assert plan.masks.host == 0b01
    assert plan.masks.exe == 0b10
    assert subjects(plan, b"/usr/bin/x") == 0b10
    assert build_plan([]).policies == ()


def test_ten_thousand_rules_compile_in_time() -> None:
    source = random.Random(1)  # noqa: S311 - the same each time, no secret
    paths = [f"/srv/{word(source)}/{word(source)}/**" for _ in range(10_000)]
    rules = [rule(ALLOW, [READ], path, line=at + 1) for at, path in enumerate(paths)]
    began = time.process_time()
    plan = build_plan([policy(*rules)])
    # The budget is 1.5 s of an idle machine; CPU time, with room for a slow one.
    assert time.process_time() - began < 6
    assert (len(plan.data) - plan.rows * ROW.size) % (plan.stride // CELL) == 0
