# SPDX-License-Identifier: Apache-2.0
"""The parser keeps what was written and where, bounds what it reads, and never crashes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.policy import limits, read
from guard.policy.diagnostic import Diagnostic
from guard.policy.load import load
from guard.policy.model import Effect, Mode, PathOperation
from guard.policy.parse import parse_file, parse_text
from guard.wire.layout import Limit, PathVerb
from tests.policy.corpus import BAD, GOOD, HEAD, codes, judge, with_rules

EVERYTHING = (Path(__file__).parent.parent / "corpus/good/everything.yaml").read_text("utf-8")


def parsed(text: str) -> tuple:
    diagnostics: list[Diagnostic] = []
    policies = parse_text(text, "p.yaml", diagnostics)
    assert diagnostics == []
    return policies


def test_a_policy_comes_back_as_it_was_written() -> None:
    web, host = parsed(EVERYTHING)
    assert (web.name, web.mode, web.source) == ("web.server_1-a", Mode.ENFORCE, "p.yaml")
    assert [each.text for each in web.subject.exe] == ["/usr/sbin/nginx", "/opt/*/bin/nginx"]
    assert web.subject.inherit and not web.subject.host
    first, key, shadow = web.file.rules
    assert web.file.default is Effect.DENY
    assert (first.id, key.id, shadow.id) == ("file.1", "tls-key", "no-shadow")
    assert first.verbs == (PathVerb.READ, PathVerb.LIST) and key.verbs == (PathVerb.READ,)
    assert key.audit and not first.audit
    assert [each.text for each in shadow.excepts] == ["/etc/shadow-"]
    assert shadow.effect is Effect.DENY and shadow.why == "credential theft, T1003.008"
    assert host.subject.host and host.mode is Mode.AUDIT


def test_a_test_comes_back_as_it_was_written() -> None:
    web, host = parsed(EVERYTHING)
    assert web.tests == ()
    first, second, listing = host.tests[:3]
    assert first.operation == PathOperation(PathVerb.WRITE, "/boot/vmlinuz")
    assert (first.text, first.rule) == ("write /boot/vmlinuz", "file.1")
    assert (first.expect, second.expect, second.rule) == (Effect.DENY, Effect.ALLOW, None)
    assert listing.operation == PathOperation(PathVerb.LIST, "/root/.ssh/id_rsa")
    line = EVERYTHING.splitlines()[first.span.line - 1]
    assert line[first.span.column - 1 :].startswith("{do: write /boot/vmlinuz")
    assert host.tests[-1].text == "write /srv/a file/..odd"


def test_every_pattern_keeps_its_place() -> None:
    lines = EVERYTHING.splitlines()
    for policy in parsed(EVERYTHING):
        for rule in policy.file.rules:
            for pattern in (*rule.paths, *rule.excepts):
                span = pattern.span
                raw = lines[span.line - 1][span.column - 1 : span.end_column - 1]
                assert raw.strip("\"'").replace("''", "'") == pattern.text


def test_text_and_its_bytes_are_the_same_policy() -> None:
    assert parse_text(EVERYTHING.encode(), "p.yaml", []) == parsed(EVERYTHING)


def test_a_byte_order_mark_moves_no_column() -> None:
    assert parsed("\ufeff" + EVERYTHING) == parsed(EVERYTHING)


def test_windows_line_ends_change_nothing() -> None:
    assert parsed(EVERYTHING.replace("\n", "\r\n")) == parsed(EVERYTHING)


def test_a_file_is_read_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(with_rules("- deny: read\n  path: /etc/shadow"))
    policies, diagnostics = parse_file(str(path))
    assert [policy.source for policy in policies] == [str(path)]
    assert diagnostics == []
    with pytest.raises(FileNotFoundError):
        parse_file(str(tmp_path / "none.yaml"))


def test_a_policy_with_an_error_is_not_returned_and_its_neighbour_is() -> None:
    good = HEAD + "file: {default: deny}\n"
    bad = good.replace("deny", "dney")
    diagnostics: list[Diagnostic] = []
    policies = parse_text(f"{bad}---\n{good.replace('demo', 'other')}", "p.yaml", diagnostics)
    assert [policy.name for policy in policies] == ["other"]
    assert [found.code.number for found in diagnostics] == ["G104"]


@pytest.mark.parametrize(
    ("spelling", "marked"),
    [
        ("/a//b", "//"),
        ("'/it''s//b'", "//"),
        ('"/a\\x41//b"', "//"),
        ('"/\\u00e9\\\\*/./b"', "."),
        ('"/\\U0001F600/../b"', ".."),
        ("/é//b", "//"),
        ('"/a/\\\n  /b"', '"/a/\\'),
    ],
)
def test_a_fault_in_a_pattern_is_marked_in_any_spelling(spelling: str, marked: str) -> None:
    text = with_rules(f"- deny: read\n  path: {spelling}")
    (found,) = judge(text).diagnostics
    span = found.span
    line = text.splitlines()[span.line - 1]
    end = span.end_column - 1 if span.end_line == span.line else len(line)
    assert found.code.number == "G202"
    assert line[span.column - 1 : end] == marked


def test_a_file_over_the_limit_is_refused_unread() -> None:
    text = with_rules("- deny: read\n  path: /etc/shadow")
    padded = text + "#" * (limits.FILE_SIZE - len(text))
    assert codes(judge(padded)) == []
    assert codes(judge(padded + "#")) == ["G002"]


def test_more_policies_than_a_mask_has_bits_are_refused() -> None:
    def files(count: int) -> list[str]:
        return [
            HEAD.replace("demo", f"p{number}") + "file: {default: deny}\n"
            for number in range(count)
        ]

    assert codes(judge(*files(Limit.POLICIES))) == []
    found = judge(*files(Limit.POLICIES + 1)).diagnostics
    assert [each.code.number for each in found] == ["G122"]
    assert found[0].span.file == f"{int(Limit.POLICIES)}.yaml"


def test_one_name_in_two_files_is_told_at_the_second_with_the_first() -> None:
    text = HEAD + "file: {default: deny}\n"
    (found,) = judge(text, text).diagnostics
    assert found.code.number == "G120"
    assert (found.span.file, found.related[0].span.file) == ("1.yaml", "0.yaml")


def test_all_alternatives_of_a_file_together_are_bounded() -> None:
    brace = "{a,b}" * 10
    rules = "".join(f"- deny: read\n  path: /{number}{brace}\n" for number in range(140))
    assert codes(judge(with_rules(rules))) == ["G203"]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 2_000_000,
        "[ " * 1_000_000,
        "- " * 1_000_000,
        "{a: " * 700_000,
        "? " * 1_000_000,
        "a: &x [*x, *x]\n" * 100_000,
        "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 50_000)),
        "---\n" * 700_000,
        "a" * 3_000_000,
        "a: " * 1_000_000,
        "x: 1\n" * 500_000,
        "'" + "a\n" * 1_000_000,
        "! " * 1_000_000,
        "%" * 1_000_000,
    ],
    ids=lambda text: text[:8].strip(),
)
def test_hostile_yaml_ends_with_findings(text: str) -> None:
    assert 1 <= len(judge(text).diagnostics) <= limits.DIAGNOSTICS + 1


SEEDS = [path.read_bytes() for path in (*GOOD, *BAD) if path.stat().st_size < 4000]
SNIPPETS = [
    b"\t",
    b"\n",
    b"- ",
    b": ",
    b"&a ",
    b"*a",
    b"!!x ",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"'",
    b'"',
    b"\\",
    b"|\n",
    b">",
    b"?",
    b"<<: ",
    b"\x00",
    b"\xff",
    b"\xc3",
    b"---\n",
    b"...",
    b"%YAML 1.1\n",
    b"#",
    b"\r",
    b"~",
    b"0644",
    b"yes",
    b"\xe2\x80\xa8",
    b"**",
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 12)))
        data[at:end] = draw(st.sampled_from(SNIPPETS) | st.binary(max_size=3))
    return bytes(data)


@settings(max_examples=1000, deadline=None)
@given(mutated())
def test_no_mutation_of_a_policy_crashes_check_or_its_output(data: bytes) -> None:
    from guard.policy.render import COLOUR, Renderer

    loaded = judge(data)
    renderer = Renderer(loaded.texts, COLOUR)
    for found in loaded.diagnostics:
        shown = renderer.render(found)
        assert found.code.number in shown
        shown.encode()
        plain = Renderer(loaded.texts).render(found)
        assert all(char.isprintable() or char == "\n" for char in plain)
    if not loaded.policies and b"fragment" not in data:
        assert loaded.diagnostics


@settings(max_examples=300, deadline=None)
@given(mutated())
def test_the_python_loader_judges_as_the_c_loader_does(data: bytes) -> None:
    fast = judge(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read, "_LOADER", yaml.SafeLoader)
        slow = judge(data)
    # Where a document breaks off, and why, the two loaders may see differently.
    if not {"G005", "G006", "G021"} & {*codes(fast), *codes(slow)}:
        assert slow.policies == fast.policies
        assert codes(slow) == codes(fast)
    # YAML's own scanner refuses a tab between a key and its ':'; libyaml takes it.
    if "G006" not in {*codes(fast), *codes(slow)}:
        assert slow.usable == fast.usable


def test_a_set_of_no_files_is_empty() -> None:
    assert load([]).policies == ()
