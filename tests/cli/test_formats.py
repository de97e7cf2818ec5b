# SPDX-License-Identifier: Apache-2.0
"""What `guard check` tells programs: SARIF, GitHub's annotations, JUnit XML.

schemas/sarif-2.1.0-rtm.5.json is the OASIS schema of SARIF 2.1.0 as SchemaStore
publishes it, taken unchanged from the MIT-licensed npm package @microsoft/jest-sarif.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from guard.cli.exits import Exit
from guard.cli.main import main
from guard.policy.codes import Code
from tests.policy.corpus import BAD, CORPUS, options, with_rules

SCHEMA = json.loads(
    (Path(__file__).parent / "schemas" / "sarif-2.1.0-rtm.5.json").read_text("utf-8")
)
SARIF = jsonschema.Draft4Validator(SCHEMA)

WRONG_VERB = with_rules("- deny: raed\n  path: /etc/shadow")
WARNING = with_rules("- deny: read\n  path: /etc/ssh**")
TWICE = with_rules("- deny: read\n  path: /a\n- deny: read\n  path: /a\n- deny: read\n  path: /a")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    return tmp_path


def output(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(["check", *words])
    return code, capsys.readouterr().out


def sarif(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """The one run of a log that keeps to the schema."""
    _, out = output(capsys, "--format", "sarif", *words)
    log = json.loads(out)
    SARIF.validate(log)
    return log["runs"][0]


def test_the_schema_is_one_and_refuses_a_line_that_cannot_be() -> None:
    jsonschema.Draft4Validator.check_schema(SCHEMA)
    region = {"artifactLocation": {"uri": "p.yaml"}, "region": {"startLine": 0}}
    result = {"message": {"text": "x"}, "locations": [{"physicalLocation": region}]}
    driver = {"driver": {"name": "guard"}}
    log = {"version": "2.1.0", "runs": [{"tool": driver, "results": [result]}]}
    assert not SARIF.is_valid(log)
    region["region"] = {"startLine": 1}
    SARIF.validate(log)


def test_sarif_of_the_whole_corpus_keeps_to_the_schema(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = sarif(capsys, *map(str, BAD), str(CORPUS / "good"))
    found = {result["ruleId"] for result in run["results"]}
    # The set is refused before the analyses of rules run.
    assert found >= {code.number for code in Code if "G003" <= code.number < "G122"} - {"G002"}
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == sorted(found)


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_sarif_of_each_bad_policy_has_its_code_and_its_page(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = sarif(capsys, *options(path))
    rules = run["tool"]["driver"]["rules"]
    assert path.name[:4] in {rule["id"] for rule in rules}
    for result in run["results"]:
        rule = rules[result["ruleIndex"]]
        assert rule["id"] == result["ruleId"]
        assert rule["help"]["markdown"].startswith(f"# {rule['id']} ")
        assert result["level"] == rule["defaultConfiguration"]["level"]


def test_sarif_of_nothing_wrong_has_no_results(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "p.yaml").write_text(WRONG_VERB.replace("raed", "read"))
    run = sarif(capsys, "p.yaml")
    assert (run["results"], run["tool"]["driver"]["rules"]) == ([], [])
    assert run["invocations"][0]["executionSuccessful"] is True


def test_sarif_has_the_place_the_related_places_and_the_edit(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "verb.yaml").write_text(WRONG_VERB)
    (here / "other.yaml").write_text(WRONG_VERB.replace("raed", "read"))
    (here / "third.yaml").write_text(WRONG_VERB.replace("raed", "read"))
    run = sarif(capsys, "verb.yaml", "other.yaml", "third.yaml")
    verb, name = run["results"]
    region = {"startLine": 8, "startColumn": 13, "endLine": 8, "endColumn": 17}
    place = {"artifactLocation": {"uri": "verb.yaml"}, "region": region}
    assert verb["locations"] == [{"physicalLocation": place}]
    change = verb["fixes"][0]["artifactChanges"][0]
    assert change["artifactLocation"] == {"uri": "verb.yaml"}
    assert change["replacements"] == [
        {"deletedRegion": region, "insertedContent": {"text": "read"}}
    ]
    assert name["relatedLocations"][0]["message"] == {"text": "first here"}
    related = name["relatedLocations"][0]["physicalLocation"]
    assert related["artifactLocation"] == {"uri": "other.yaml"}


def test_a_file_that_cannot_be_read_makes_the_run_unsuccessful(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["check", "--format", "sarif", "missing.yaml"]) == Exit.UNABLE
    log = json.loads(capsys.readouterr().out)
    SARIF.validate(log)
    invocation = log["runs"][0]["invocations"][0]
    assert invocation["executionSuccessful"] is False
    assert "missing.yaml" in invocation["toolExecutionNotifications"][0]["message"]["text"]


def fingerprints(capsys: pytest.CaptureFixture[str], name: str) -> list[Any]:
    return [result["partialFingerprints"] for result in sarif(capsys, name)["results"]]


def test_fingerprints_stay_when_lines_are_put_above(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "p.yaml").write_text(TWICE)
    before = fingerprints(capsys, "p.yaml")
    (here / "p.yaml").write_text("# a line\n\n" + TWICE)
    assert fingerprints(capsys, "p.yaml") == before
    (here / "p.yaml").write_text(TWICE.replace("/a", "/b"))
    # The rules' first lines are the same; only the file and code tell more.
    assert fingerprints(capsys, "p.yaml") == before


def test_fingerprints_tell_findings_lines_and_files_apart(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("p.yaml", "q.yaml"):
        (here / name).write_text(TWICE)
    (here / "r.yaml").write_text(TWICE.replace("deny: read", "deny: list"))
    every = [
        tuple(each.values())
        for name in ("p.yaml", "q.yaml", "r.yaml")
        for each in fingerprints(capsys, name)
    ]
    assert len(every) == 6
    assert len(set(every)) == 6
    assert len({first for first, _ in every}) == 6


def test_names_are_relative_to_the_checkout_however_they_were_given(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "sub dir").mkdir()
    (here / "sub dir" / "p.yaml").write_text(WRONG_VERB)
    monkeypatch.setenv("GITHUB_WORKSPACE", str(here))
    monkeypatch.chdir(here / "sub dir")
    for name in ("p.yaml", "../sub dir/p.yaml", str(here / "sub dir" / "p.yaml")):
        place = sarif(capsys, name)["results"][0]["locations"][0]["physicalLocation"]
        assert place["artifactLocation"] == {"uri": "sub%20dir/p.yaml"}
        assert "file=sub dir/p.yaml," in output(capsys, "--format", "github", name)[1]


def test_a_name_outside_the_checkout_is_absolute(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "inner").mkdir()
    (here / "p.yaml").write_text(WRONG_VERB)
    monkeypatch.chdir(here / "inner")
    place = sarif(capsys, "../p.yaml")["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": f"file://{here}/p.yaml"}


def test_github_gets_one_command_for_each_finding(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "verb.yaml").write_text(WRONG_VERB)
    code, out = output(capsys, "--format", "github", "verb.yaml")
    assert code == Exit.FINDINGS
    assert out == (
        "::error title=guard G101%3A unknown verb,file=verb.yaml,line=8,endLine=8,col=13,"
        "endColumn=17::'raed' is not a verb of the file section%0Ahelp: did you mean 'read'?\n"
        "1 error in 1 file\n"
    )


def test_github_warnings_are_warnings_and_several_lines_have_no_columns(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "a,b:c%.yaml").write_text(WARNING)
    _, out = output(capsys, "--format", "github", "a,b:c%.yaml")
    assert out.startswith("::warning title=guard G310%3A ")
    assert ",file=a%2Cb%3Ac%25.yaml,line=" in out
    (here / "twice.yaml").write_text(TWICE)
    _, out = output(capsys, "--format", "github", "twice.yaml")
    assert ",line=10,endLine=11::" in out
    assert "%0Afirst here: twice.yaml:8%0A" in out


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_github_commands_are_a_line_each_and_safe(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    *commands, _ = output(capsys, "--format", "github", *options(path))[1].splitlines()
    command = re.compile(r"::(error|warning) title=[^:]+::(?:[^%\r]|%25|%0A|%0D)+")
    assert commands
    assert [line for line in commands if command.fullmatch(line) is None] == []


def test_github_is_told_of_a_file_that_was_not_read(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = output(capsys, "--format", "github", "missing.yaml")
    assert code == Exit.UNABLE
    assert out.startswith("::error title=guard check::cannot read 'missing.yaml': No such file")


def junit(capsys: pytest.CaptureFixture[str], *words: str) -> ET.Element:
    _, out = output(capsys, "--format", "junit", *words)
    return ET.fromstring(out)  # noqa: S314 - guard's own output


def test_junit_has_a_suite_for_each_file_and_a_failure_for_each_finding(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "bad.yaml").write_text(WRONG_VERB.replace("/etc/shadow", "'/a<&\">'\n      wy: x"))
    (here / "good.yaml").write_text(WRONG_VERB.replace("raed", "read").replace("demo", "good"))
    bad, good, unread = junit(capsys, "bad.yaml", "good.yaml", "missing.yaml")
    assert (bad.get("name"), bad.get("tests"), bad.get("failures")) == ("bad.yaml", "2", "2")
    failures = bad.findall("./testcase/failure")
    assert [each.get("type") for each in failures] == ["G101", "G100"]
    assert "did you mean 'read'?" in str(failures[0].text)
    assert (good.get("tests"), good.get("failures")) == ("1", "0")
    assert len(good[0]) == 0
    assert (unread.get("errors"), unread[0][0].tag) == ("1", "error")


def test_junit_failures_are_what_the_exit_code_counts(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "p.yaml").write_text(WARNING)
    assert junit(capsys, "p.yaml")[0].get("failures") == "1"
    (suite,) = junit(capsys, "--fail-on", "error", "p.yaml")
    assert suite.get("failures") == "0"
    assert "G310" in str(suite[0].findtext("system-out"))


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_junit_of_each_bad_policy_is_xml(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suites = list(junit(capsys, *options(path)))  # the file's, and those of what it includes
    failures = [int(suite.get("failures", "0")) for suite in suites]
    assert sum(failures) > 0
    assert all(len(suite) == max(count, 1) for suite, count in zip(suites, failures, strict=True))


@pytest.mark.parametrize("form", ["sarif", "github", "junit"])
def test_the_same_texts_give_the_same_bytes(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    names = [str(path) for path in BAD[:20]]
    assert output(capsys, "--format", form, *names) == output(capsys, "--format", form, *names)
