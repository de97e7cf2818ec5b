# SPDX-License-Identifier: Apache-2.0
"""`guard diff`: what changed, in words, as JSON and by exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guard.cli.exits import Exit
from guard.cli.main import main
from guard.plan import product

OLD = """\
version: 1
name: demo
mode: enforce
subject: {exe: /usr/bin/demo}
file:
  default: allow
  rules:
    - {id: hashes, deny: read, path: "/etc/{,g}shadow"}
"""
LOOSE = OLD.replace("{,g}shadow", "shadow")


def paths(tmp_path: Path, old: str, new: str) -> list[str]:
    made = [tmp_path / "old.yaml", tmp_path / "new.yaml"]
    for path, text in zip(made, (old, new), strict=True):
        path.write_text(text, "utf-8")
    return [str(path) for path in made]


def test_a_file_and_itself_have_no_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", "--fail-on", "any", *paths(tmp_path, OLD, OLD)]) == Exit.CLEAN
    assert capsys.readouterr().out == "no decision changed\n"


def test_a_loosened_rule_is_told_with_both_reasons(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = paths(tmp_path, OLD, LOOSE)
    assert main(["diff", old, new]) == Exit.CLEAN
    assert capsys.readouterr().out == (
        "demo: loosens: read /etc/gshadow is allowed now\n"
        f"  before: denied by the rule hashes ({old}:8)\n"
        "  now:    allowed by default\n"
        "1 loosened, 0 tightened\n"
    )


@pytest.mark.parametrize(
    ("fail_on", "forwards", "backwards"),
    [("loosen", 1, 0), ("tighten", 0, 1), ("any", 1, 1)],
)
def test_the_exit_code_is_1_for_what_fail_on_names(
    tmp_path: Path, fail_on: str, forwards: int, backwards: int
) -> None:
    old, new = paths(tmp_path, OLD, LOOSE)
    assert main(["diff", "--fail-on", fail_on, old, new]) == forwards
    assert main(["diff", "--fail-on", fail_on, new, old]) == backwards


def test_a_program_gets_every_kind_of_change(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = LOOSE.replace("enforce", "audit").replace("bin/demo", "bin/other")
    old_path, new_path = paths(tmp_path, OLD, new)
    assert main(["diff", "--json", old_path, new_path]) == Exit.CLEAN
    told = json.loads(capsys.readouterr().out)
    assert told["format"] == 1
    assert [(each["kind"], each["direction"]) for each in told["changes"]] == [
        ("policy", "loosens"),
        ("subject", "loosens"),
        ("subject", "tightens"),
        ("file", "loosens"),
    ]
    assert told["changes"][1]["exe"] == "/usr/bin/demo"
    last = told["changes"][3]
    assert (last["verb"], last["path"]) == ("read", "/etc/gshadow")
    assert last["old"] == {
        "allowed": False,
        "default": False,
        "rules": [{"id": "hashes", "file": old_path, "line": 8}],
    }
    assert last["new"] == {"allowed": True, "default": True, "rules": []}


def test_a_policy_that_is_gone_loosens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    renamed = OLD.replace("name: demo", "name: other")
    assert main(["diff", "--fail-on", "loosen", *paths(tmp_path, OLD, renamed)]) == 1
    out = capsys.readouterr().out
    assert "demo: loosens: this policy is gone" in out
    assert "other: tightens: read /etc/shadow is denied now\n  before: allowed: no such" in out


def test_what_cannot_be_compared_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = paths(tmp_path, OLD, OLD.replace("deny: read", "deny: raed"))
    assert main(["diff", old, new]) == Exit.FINDINGS
    assert "error[G101]" in capsys.readouterr().err
    assert main(["diff", old, "nowhere.yaml"]) == Exit.UNABLE
    monkeypatch.setattr(product, "MOST", 5)
    assert main(["diff", *paths(tmp_path, OLD, LOOSE)]) == Exit.UNABLE
    assert "too large to be compared" in capsys.readouterr().err
