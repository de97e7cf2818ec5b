# SPDX-License-Identifier: Apache-2.0
"""`guard test`: what fails says so, by text, by JUnit and by exit code."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from guard.cli.exits import Exit
from guard.cli.main import main
from guard.plan import agree
from guard.plan.agree import Disagreement
from guard.plan.plan import verdict
from guard.plan.trial import run_tests
from guard.policy.parse import parse_text

ROOT = Path(__file__).parents[2]

POLICY = """\
version: 1
name: demo
mode: audit
subject: {host: true}
file:
  default: allow
  rules:
    - {id: hashes, deny: read, path: "/etc/{,g}shadow"}
    - {id: tmp, deny: [write, list], path: "/tmp/**"}
tests:
  - {do: read /etc/shadow, expect: deny, rule: hashes}
"""


def written(tmp_path: Path, more: str = "", text: str = POLICY) -> str:
    path = tmp_path / "p.yaml"
    path.write_text(text + more, "utf-8")
    return str(path)


def test_the_ready_policies_hold_their_tests_and_test_every_rule(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["test", "--require-coverage", "100", str(ROOT / "policies")]) == Exit.CLEAN
    assert "secrets: 12 of 12 tests hold, 4 of 4 rules tested" in capsys.readouterr().out


def test_a_rule_that_no_test_reached_is_told_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path)
    assert main(["test", path]) == Exit.CLEAN
    out = capsys.readouterr().out
    assert "demo: 1 of 1 tests hold, 1 of 2 rules tested" in out
    assert f"no test is decided by the rule tmp ({path}:9:7)" in out
    assert main(["test", "--require-coverage", "50", path]) == Exit.CLEAN
    assert main(["test", "--require-coverage", "51", path]) == Exit.FINDINGS


@pytest.mark.parametrize(
    ("test", "because"),
    [
        ("{do: write /etc/shadow, expect: deny}", "expected deny, and it is allow by default"),
        ("{do: list /tmp/x, expect: allow}", "expected allow, and it is deny by the rule tmp"),
        (
            "{do: list /tmp/x, expect: deny, rule: hashes}",
            "expected deny by the rule hashes, and it is by the rule tmp",
        ),
        (
            "{do: read /tmp/x, expect: allow, rule: hashes}",
            "expected allow by the rule hashes, and it is by default",
        ),
    ],
)
def test_a_test_that_does_not_hold_fails_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], test: str, because: str
) -> None:
    path = written(tmp_path, f"  - {test}\n")
    assert main(["test", path]) == Exit.FINDINGS
    out = capsys.readouterr().out
    assert because in out
    assert f"{path}:12:5: " in out
    assert "2 tests, 1 failed" in out


def test_junit_has_a_case_for_each_test_and_one_for_missing_coverage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = '  - {do: "read /a<&\\"b", expect: deny}\n'
    path = written(tmp_path, more)
    assert main(["test", "--format", "junit", "--require-coverage", "100", path]) == 1
    root = ET.fromstring(capsys.readouterr().out)  # noqa: S314 - guard's own
    assert (root.get("tests"), root.get("failures")) == ("3", "2")
    cases = root.findall("./testsuite[@name='demo']/testcase")
    assert [case.get("name") for case in cases] == [
        "read /etc/shadow: deny",
        'read /a<&"b: deny',
        "coverage",
    ]
    assert [case.find("failure") is not None for case in cases] == [False, True, True]
    assert (cases[0].get("file"), cases[0].get("line")) == (path, "11")


def test_a_refused_policy_and_an_unreadable_file_have_their_own_codes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = written(tmp_path, text=POLICY.replace("deny: read", "deny: raed"))
    assert main(["test", bad]) == Exit.FINDINGS
    assert "error[G101]" in capsys.readouterr().err
    assert main(["test", str(tmp_path / "nowhere.yaml")]) == Exit.UNABLE
    with pytest.raises(SystemExit) as caught:
        main(["test", "--require-coverage", "101", bad])
    assert caught.value.code == Exit.USAGE


def test_tables_that_decide_otherwise_are_a_bug_and_said_to_be_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        agree, "verdict", lambda *about: dataclasses.replace(verdict(*about), denied=0, by_rule=0)
    )
    assert main(["test", written(tmp_path)]) == Exit.BUG
    err = capsys.readouterr().err
    assert "path='/etc/shadow'): the tables allow" in err
    assert "this is a bug in guard" in err


def test_tables_that_name_a_rule_which_does_not_decide_are_a_bug(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policies = parse_text(POLICY, "p.yaml", [])
    monkeypatch.setattr(
        agree, "verdict", lambda *about: dataclasses.replace(verdict(*about), class_ids=(0,))
    )
    with pytest.raises(Disagreement, match="name other rules"):
        run_tests(policies)
