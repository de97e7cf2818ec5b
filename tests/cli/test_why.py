# SPDX-License-Identifier: Apache-2.0
"""`guard why`: the verdict, and everything that leads to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from guard.cli.exits import Exit
from guard.cli.main import main

POLICIES = """\
version: 1
name: web
mode: enforce
subject: {exe: "/usr/sbin/{nginx,httpd}", inherit: true}
file:
  default: deny
  rules:
    - allow: [read, list]
      path: ["/srv/**", "/etc/**"]
    - {id: keys, deny: read, path: "/etc/ssl/**", why: keys are secret}
---
version: 1
name: watch
mode: audit
subject: {host: true}
file:
  default: allow
  rules:
    - {id: srv, deny: write, path: "/srv/**"}
    - {id: seen, allow: read, path: /etc/passwd, audit: true}
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "p.yaml"
    path.write_text(POLICIES, "utf-8")
    return str(path)


def asked(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main(["why", "--json", *words]) == Exit.CLEAN
    return json.loads(capsys.readouterr().out)


def test_the_answer_names_rule_place_reason_and_what_was_beaten(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["why", file, "read /etc/ssl/site.key", "--as", "/usr/sbin/nginx"]) == Exit.CLEAN
    out = capsys.readouterr().out
    assert out.startswith("read /etc/ssl/site.key as /usr/sbin/nginx: denied\n")
    assert f"web (enforce): denied\n  subject     exe /usr/sbin/{{nginx,httpd}} ({file}:4:" in out
    assert f"  decided by  deny rule keys: /etc/ssl/** ({file}:10:" in out
    assert "              why: keys are secret\n" in out
    assert f"  beaten      allow rule file.1: /etc/** ({file}:9:" in out
    assert f"  not used    default: deny ({file}:6:" in out
    assert f"watch (audit): allowed\n  subject     the whole host ({file}:15:" in out
    assert f"  decided by  default: allow ({file}:17:" in out
    assert "deny web" in out.partition("in the kernel's tables:")[2]


@pytest.mark.parametrize(
    ("words", "exe", "verdict", "policies"),
    [
        ("read /srv/x", "/usr/sbin/httpd", "allowed", ["web", "watch"]),
        ("write /srv/x", "/usr/sbin/httpd", "denied", ["web", "watch"]),
        ("write /srv/x", "/usr/bin/vi", "recorded", ["watch"]),
        ("read /srv/x", "/usr/bin/vi", "allowed", ["watch"]),
        ("write /tmp", None, "denied", ["web", "watch"]),
    ],
)
def test_only_the_policies_of_the_executable_decide(
    file: str,
    capsys: pytest.CaptureFixture[str],
    words: str,
    exe: str | None,
    verdict: str,
    policies: list[str],
) -> None:
    told = asked(capsys, file, words, *(["--as", exe] if exe else []))
    assert told["verdict"] == verdict
    assert [each["name"] for each in told["policies"]] == policies
    assert told["inherited"] == ([] if "web" in policies else ["web"])


def test_a_program_gets_all_matching_rules_in_order(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = asked(capsys, file, "read /etc/ssl/x")
    web = told["policies"][0]
    assert [(each["id"], each["effect"], each["line"]) for each in web["matching"]] == [
        ("file.1", "allow", 8),
        ("keys", "deny", 10),
    ]
    assert (web["deciding"], web["default_used"], web["allowed"]) == (["keys"], False, False)
    assert {name for step in told["tables"] for name in step["deny"]} == {"web"}
    passwd = asked(capsys, file, "read /etc/passwd")["policies"][1]
    assert passwd["audit"] and passwd["allowed"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["raed /etc/shadow"], "did you mean 'read'?"),
        (["stat /etc/shadow"], "not enforced by this version"),
        (["open /etc/shadow"], "'open' is written 'read'"),
        (["read etc/shadow"], "did you mean 'read /etc/shadow'?"),
        (["/etc/shadow"], "an operation is a verb and a path"),
        (["read /x", "--as", "nginx"], "--as takes an executable's absolute path"),
    ],
)
def test_an_operation_that_makes_no_sense_is_a_usage_error_with_a_way_out(
    file: str, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(["why", file, *words]) == Exit.USAGE
    assert said in capsys.readouterr().err


def test_policies_are_wanted_and_have_to_be_good(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["why", "read /etc/shadow"]) == Exit.USAGE
    assert main(["why", str(tmp_path / "none.yaml"), "read /x"]) == Exit.UNABLE
    Path(file).write_text(POLICIES.replace("deny: read", "deny: raed"), "utf-8")
    assert main(["why", file, "read /x"]) == Exit.FINDINGS
    assert "error[G101]" in capsys.readouterr().err


def test_a_path_that_is_not_utf_8_is_judged_and_shown_safely(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["why", file, "read /srv/\udcff\x1b"]) == Exit.CLEAN
    out = capsys.readouterr().out
    assert out.startswith("read /srv/\\udcff\\x1b under every policy given: allowed\n")
