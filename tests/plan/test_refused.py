# SPDX-License-Identifier: Apache-2.0
"""What compiling refuses comes up at the check; and what is not compiled for it surely fits."""

from __future__ import annotations

import glob
import random
from pathlib import Path

import pytest

from guard.analysis import size
from guard.analysis.size import states, surely_fits
from guard.cli.check import with_refused
from guard.plan import encode, grouping, refused
from guard.plan.build import build_plan
from guard.policy.load import load
from guard.policy.model import Policy
from tests.plan.make_net import net_policies
from tests.policy.corpus import with_rules

ROOT = Path(__file__).parents[2]
READY = sorted(glob.glob(str(ROOT / "policies" / "*.yaml")))


def policies(text: str) -> tuple[Policy, ...]:
    loaded = load([("p.yaml", text.encode())])
    assert loaded.usable, loaded.diagnostics
    return loaded.policies


def rules(paths: list[str]) -> str:
    verbs = ["read", "write", "list", "delete", "rename", "link", "setattr"]
    return with_rules(
        "\n".join(
            f"- deny: {verbs[at % len(verbs)]}\n  path: '{path}'" for at, path in enumerate(paths)
        )
    )


def test_the_bound_is_the_compilers_own() -> None:
    assert size.STATES == grouping.STATES_BASE


def test_the_bound_is_never_below_what_is_built() -> None:
    chance = random.Random(11)  # noqa: S311 - the same policies in every run
    parts = ["a", "b", "ab", "*", "*b", "a*", "?", "[ab]", "**", "a*b", "{a,b}c", ".git", "a?b"]
    close = 0
    for _ in range(400):
        count = chance.randrange(1, 7)
        paths = [
            "/" + "/".join(chance.choice(parts) for _ in range(chance.randrange(1, 5)))
            for _ in range(count)
        ]
        loaded = load([("p.yaml", rules(paths).encode())])
        if not loaded.usable:
            continue
        bound = states(paths)
        built = sum(one.explored for one in build_plan(loaded.policies).sizes[:-3])
        assert built <= max(bound, 8), paths
        close += bound <= size.STATES
    assert close > 50


def test_the_bound_for_sockets_is_never_below_what_is_built() -> None:
    chance = random.Random(12)  # noqa: S311 - the same policies in every run
    for _ in range(300):
        made = net_policies(chance, chance.randrange(1, 3))
        sections = [each.net for each in made if each.net is not None]
        bound = size.operations(sections)
        assert build_plan(made).sizes[-2].explored <= bound, made


def test_patterns_with_many_different_beginnings_are_not_compiled() -> None:
    found = policies(rules([f"/etc/{at:03}/*.conf" for at in range(200)]))
    assert surely_fits(found) and list(refused.find(found)) == []


def test_nginx_is_not_compiled() -> None:
    assert surely_fits(policies((ROOT / "policies" / "nginx.yaml").read_text()))


@pytest.mark.parametrize("path", READY)
def test_a_ready_policy_is_found_to_fit_or_compiles(path: str) -> None:
    found = load([("p.yaml", Path(path).read_bytes())]).policies
    assert surely_fits(found) or list(refused.find(found)) == []


def test_a_policy_far_from_every_limit_is_not_compiled() -> None:
    assert surely_fits(policies(rules(["/etc/shadow", "/srv/**", "/home/*/.ssh/id_*"])))


def test_tables_that_are_too_large_are_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "DATA_BITS", (4, 8))
    found = list(refused.find(policies(rules(["/etc/shadow"]))))
    assert [each.code.number for each in found] == ["G332"]
    assert "at most 256 can be loaded" in found[0].message


def test_more_hashes_than_the_tables_hold_are_a_finding() -> None:
    hashes = ", ".join(f"'{number:064x}'" for number in range(65))
    subject = f"subject: {{exe: /bin/x, sha256: [{hashes}]}}"
    text = f"version: 1\nname: p\nmode: enforce\n{subject}\nfile: {{default: allow}}\n"
    found = with_refused(load([("p.yaml", text.encode())])).diagnostics
    assert [(each.code.number, each.span.line) for each in found] == [("G332", 4)]
    assert "more than 64 different sha256" in found[0].message


def test_a_pattern_that_multiplies_is_a_finding_at_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(grouping, "STATES_BASE", 30)
    monkeypatch.setattr(grouping, "STATES_PER_TOKEN", 0)
    monkeypatch.setattr(size, "STATES", 30)
    text = rules([f"/**/{letter}*{letter}x/**" for letter in "abcdefghijklmnop"])
    loaded = load([("p.yaml", text.encode())])
    found = with_refused(loaded).diagnostics
    assert [each.code.number for each in found] == ["G332"]
    assert found[0].message.startswith("pattern '/**/")
    assert found[0].span.line > 5
