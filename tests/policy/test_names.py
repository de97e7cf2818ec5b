# SPDX-License-Identifier: Apache-2.0
"""Variables, lists, sets, includes and days: what they become, and what hostile ones cost."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pytest

from guard.cli.inputs import read_inputs
from guard.policy import limits
from guard.policy.load import Loaded, load
from guard.policy.model import Effect, Policy
from tests.policy.corpus import HEAD, codes, judge


def one(text: str) -> Policy:
    loaded = judge(text)
    assert codes(loaded) == []
    return loaded.policies[0]


def paths(text: str) -> list[str]:
    """The patterns of the first rule."""
    section = one(text).file
    assert section is not None
    return [pattern.text for pattern in section.rules[0].paths]


def rule(path: str, head: str = "") -> str:
    return f"{HEAD}{head}file:\n  default: deny\n  rules: [{{allow: read, path: {path}}}]\n"


@pytest.mark.parametrize(
    ("names", "path", "expected"),
    [
        ("vars: {A: /x}", '"${A}/y"', ["/x/y"]),
        ("vars: {A: [/x, /y/*]}", '"${A}/z"', ["{/x,/y/*}/z"]),
        ("vars: {A: [x, 'y,z']}", '"/${A}"', [r"/{x,y\,z}"]),
        ("vars: {A: [x, '{y,z}']}", '"/${A}"', ["/{x,{y,z}}"]),
        ("vars: {A: x, B: '${A}${A}'}", '"/${B}"', ["/xx"]),
        ("vars: {A: x}", "'/${A}[${A}]'", ["/x[${A}]"]),
        ("vars: {A: x}", r"'/${A}\${A,}'", [r"/x\${A,}"]),
        ("lists: {a: [/x, /y]}", '["@a", /z]', ["/x", "/y", "/z"]),
        ("lists: {a: [/x, /y]}", '["@a", /y]', ["/x", "/y"]),
        ("lists: {a: [/x, '@b'], b: /y}", '"@a"', ["/x", "/y"]),
    ],
)
def test_names_stand_for_what_they_are_defined_as(
    names: str, path: str, expected: list[str]
) -> None:
    assert paths(rule(path, names + "\n")) == expected


def test_a_pattern_of_a_list_keeps_its_place_in_the_list() -> None:
    section = one(rule('"@a"', "lists:\n  a:\n    - /x\n")).file
    assert section is not None
    assert section.rules[0].paths[0].span.line == HEAD.count("\n") + 3


def test_variables_that_double_at_every_step_end_with_a_finding() -> None:
    doubling = "".join(f'  A{n}: "${{A{n + 1}}}${{A{n + 1}}}"\n' for n in range(15))
    found = judge(rule('"/${A0}"', f"vars:\n{doubling}  A15: {'x' * 64}\n"))
    assert set(codes(found)) == {"G203"}


def test_a_chain_of_ten_thousand_definitions_ends_with_a_finding() -> None:
    chain = "".join(f'  a{n}: ["@a{n + 1}"]\n' for n in range(10_000))
    found = judge(rule('"@a0"', f"lists:\n{chain}  a10000: [/x]\n"))
    assert "G134" in codes(found)


def test_a_long_list_in_many_rules_ends_with_a_finding() -> None:
    entries = ", ".join(f"/x{n}" for n in range(2_000))
    rules = "".join('    - {allow: read, path: "@a"}\n' for _ in range(200))
    text = f"{HEAD}lists: {{a: [{entries}]}}\nfile:\n  default: deny\n  rules:\n{rules}"
    loaded = load([("p.yaml", text.encode())])
    assert codes(loaded) == ["G134", "G134", "G134"]
    assert "stand for more than 131072 entries" in loaded.diagnostics[0].message


def test_names_are_compared_with_a_bounded_number_of_others() -> None:
    names = "".join(f"  name{n}: [/x]\n" for n in range(20_000))
    rules = "".join(f'    - {{allow: read, path: "@nmae{n}"}}\n' for n in range(300))
    text = f"{HEAD}lists:\n{names}file:\n  default: deny\n  rules:\n{rules}"
    found = load([("p.yaml", text.encode())])
    assert {each.help for each in found.diagnostics[:200]} == {
        "define it under lists: at the top of the policy, or include it"
    }


def test_what_is_included_belongs_to_the_policy_with_its_own_places() -> None:
    text = f"{HEAD}include: include/rules.yaml\nfile: {{default: allow}}\n"
    policy = one(text)
    assert policy.file is not None
    (included,) = policy.file.rules
    assert included.id == "no-secrets"
    assert included.span.file.endswith("include/rules.yaml")
    assert included.paths[0].span.file.endswith("include/common.yaml")


def test_rules_of_fragments_are_numbered_after_the_policys_own() -> None:
    def fragment(_: str, __: str) -> tuple[str, bytes]:
        return "f.yaml", b"version: 1\nfragment: f\nfile:\n  rules: [{deny: read, path: /f}]\n"

    text = rule("/x", "include: f.yaml\n")
    loaded = load([("p.yaml", text.encode())], fragment)
    assert loaded.diagnostics == ()
    assert loaded.policies[0].file is not None
    assert [each.id for each in loaded.policies[0].file.rules] == ["file.1", "file.2"]


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("file", "{deny: read, path: /x}"),
        ("exec", "{deny: exec, path: /x}"),
        ("net", "{deny: create, family: packet}"),
        ("kernel", "{deny: ptrace}"),
    ],
)
def test_rules_for_a_section_that_the_policy_lacks_are_never_dropped_in_silence(
    name: str, rule: str
) -> None:
    def fragment(_: str, __: str) -> tuple[str, bytes]:
        return "f.yaml", f"version: 1\nfragment: f\n{name}:\n  rules: [{rule}]\n".encode()

    lacking = "file" if name != "file" else "exec"
    text = f"{HEAD}include: f.yaml\n{lacking}: {{default: deny}}\n"
    assert codes(load([("p.yaml", text.encode())], fragment)) == ["G010"]
    text = f"{HEAD}include: f.yaml\n{name}: {{default: allow}}\n"
    loaded = load([("p.yaml", text.encode())], fragment)
    assert loaded.diagnostics == ()
    section = getattr(loaded.policies[0], name)
    assert [each.id for each in section.rules] == [f"{name}.1"]


def test_a_fragment_of_another_version_is_refused() -> None:
    def fragment(_: str, __: str) -> tuple[str, bytes]:
        return "f.yaml", b"version: 2\nfragment: f\n"

    text = f"{HEAD}include: f.yaml\nfile: {{default: deny}}\n"
    assert codes(load([("p.yaml", text.encode())], fragment)) == ["G106"]


def test_more_fragments_than_the_limit_are_refused() -> None:
    def load_one(_: str, path: str) -> tuple[str, bytes]:
        return path, b"version: 1\nfragment: f\n"

    names = ", ".join(f"f{n}.yaml" for n in range(limits.INCLUDES + 1))
    text = f"{HEAD}include: [{names}]\nfile: {{default: deny}}\n"
    found = load([("p.yaml", text.encode())], load_one)
    assert [each.message for each in found.diagnostics] == ["more than 64 fragments for one policy"]


def test_fragments_that_are_large_together_are_refused() -> None:
    def load_one(_: str, path: str) -> tuple[str, bytes]:
        return path, b"version: 1\nfragment: f\n" + b"#" * 3 * 1024 * 1024

    text = f"{HEAD}include: [a.yaml, b.yaml]\nfile: {{default: deny}}\n"
    found = load([("p.yaml", text.encode())], load_one)
    assert [each.message for each in found.diagnostics] == [
        "the fragments of this file have together more than 4 MiB"
    ]


def test_a_finding_in_a_fragment_that_two_policies_include_is_told_once() -> None:
    def load_one(_: str, path: str) -> tuple[str, bytes]:
        return path, b"version: 1\nfragment: f\nfile:\n  rules: [{deny: raed, path: /x}]\n"

    first = f"{HEAD}include: f.yaml\nfile: {{default: deny}}\n"
    both = f"{first}---\n{first.replace('demo', 'other')}"
    found = load([("p.yaml", both.encode()), ("q.yaml", b"")], load_one)
    assert codes(found) == ["G101", "G003"] or codes(found) == ["G003", "G101"]


def test_a_fragment_by_itself_is_judged_and_names_may_be_its_includers() -> None:
    head = "version: 1\nfragment: f\n"
    good = f'{head}file:\n  rules: [{{deny: read, path: ["@theirs", "${{THEIRS}}/x"]}}]\n'
    bad = f"{head}file:\n  rules: [{{deny: raed, path: /x}}]\n"
    assert codes(judge(good)) == []
    assert judge(good).policies == ()
    assert codes(judge(bad)) == ["G101"]


@pytest.mark.parametrize(
    ("day", "rules", "warned"),
    [
        (dt.date(2026, 6, 29), ["gap"], []),
        (dt.date(2026, 6, 30), ["gap"], []),
        (dt.date(2026, 7, 1), [], ["G125"]),
        (None, ["gap"], []),
    ],
)
@pytest.mark.parametrize("effect", list(Effect))
def test_a_rule_lives_to_the_end_of_its_last_day(
    effect: Effect, day: dt.date | None, rules: list[str], warned: list[str]
) -> None:
    text = (
        f"{HEAD}file:\n  default: deny\n  rules:\n"
        f"    - {{id: gap, {effect.value}: read, path: /x, expires: 2026-06-30}}\n"
        "tests: [{do: read /x, expect: deny, rule: gap}]\n"
    )
    loaded = load([("p.yaml", text.encode())], today=day)
    assert codes(loaded) == warned
    assert loaded.usable
    assert loaded.policies[0].file is not None
    assert [each.id for each in loaded.policies[0].file.rules] == rules


def files(directory: Path) -> Loaded:
    return read_inputs([str(directory / "p.yaml")]).load()


def test_files_are_included_from_below_the_directory_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "p.yaml").write_text(f"{HEAD}include: lib/a.yaml\nfile: {{default: deny}}\n")
    (tmp_path / "lib/a.yaml").write_text("version: 1\nfragment: a\ninclude: b.yaml\n")
    (tmp_path / "lib/b.yaml").write_text("version: 1\nfragment: b\nvars: {A: x}\n")
    assert codes(files(tmp_path)) == []


@pytest.mark.parametrize("what", ["directory", "pipe", "unreadable", "large", "latin1"])
def test_an_include_that_is_no_readable_file_is_told_and_ends(tmp_path: Path, what: str) -> None:
    (tmp_path / "p.yaml").write_text(f"{HEAD}include: a.yaml\nfile: {{default: deny}}\n")
    target = tmp_path / "a.yaml"
    if what == "directory":
        target.mkdir()
    elif what == "pipe":
        os.mkfifo(target)
    elif what == "unreadable":
        target.symlink_to(target)
    elif what == "large":
        with target.open("wb") as file:
            file.truncate(50 * 1024 * 1024)
    else:
        target.write_bytes(b"version: 1\nfragment: \xe4\n")
    expected = {"large": ["G012"], "latin1": ["G001"]}.get(what, ["G010"])
    assert codes(files(tmp_path)) == expected


def test_a_file_of_50_megabytes_is_refused_after_its_first_4(tmp_path: Path) -> None:
    with (tmp_path / "p.yaml").open("wb") as file:
        file.truncate(50 * 1024 * 1024)
    inputs = read_inputs([str(tmp_path / "p.yaml")])
    assert len(inputs.files[0][1]) == limits.FILE_SIZE + 1
    assert codes(inputs.load()) == ["G002"]
