# SPDX-License-Identifier: Apache-2.0
"""The command line as a whole: commands are found, failures have codes and words."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from guard.cli import main as main_module
from guard.cli.exits import Exit
from guard.cli.main import COMMANDS, Command, main
from guard.errors import HostError
from guard.policy.codes import Code
from guard.policy.schema import schema
from guard.version import VERSION

ROOT = Path(__file__).parents[2]


def with_command(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def run(_: object) -> int:
        raise error

    module = SimpleNamespace(add_arguments=lambda _: None, run=run)
    monkeypatch.setitem(COMMANDS, "fail", Command("nowhere", "fails"))
    monkeypatch.setattr(main_module.importlib, "import_module", lambda _: module)


def test_help_lists_every_command_and_fits_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == Exit.CLEAN
    out = capsys.readouterr().out
    assert [name for name in COMMANDS if not re.search(rf"^.* {name}\b", out, re.MULTILINE)] == []
    assert len(out.splitlines()) <= 24
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("command", COMMANDS)
def test_a_commands_help_has_an_example_and_fits_a_screen(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    out = capsys.readouterr().out
    assert caught.value.code == 0
    assert f"  guard {command}" in out
    assert len(out.splitlines()) <= 24
    assert max(map(len, out.splitlines())) <= 100


def test_no_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == Exit.USAGE
    assert "usage: guard COMMAND" in capsys.readouterr().err


def test_a_misspelt_command_is_a_usage_error_with_a_suggestion(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["chekc"]) == Exit.USAGE
    assert "did you mean 'guard check'?" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["check"], ["check", "--no-such-option", "x"]])
def test_a_wrong_argument_is_a_usage_error(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == Exit.USAGE


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == Exit.CLEAN
    assert capsys.readouterr().out == f"guard {VERSION}\n"


def test_what_a_host_cannot_do_is_one_sentence_and_its_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_command(monkeypatch, HostError("no BTF here", "boot a kernel with it"))
    assert main(["fail"]) == Exit.UNABLE
    assert capsys.readouterr().err == "guard: no BTF here\n  remedy: boot a kernel with it\n"


def test_a_bug_says_so_with_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_command(monkeypatch, ZeroDivisionError("oops"))
    assert main(["fail"]) == Exit.BUG
    err = capsys.readouterr().err
    assert "ZeroDivisionError: oops" in err
    assert "this is a bug in guard" in err


def test_an_interrupt_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_command(monkeypatch, KeyboardInterrupt())
    assert main(["fail"]) == Exit.INTERRUPTED
    assert capsys.readouterr().err == ""


def test_a_reader_that_goes_away_is_no_bug() -> None:
    # More than a pipe holds, to a reader that takes one line.
    with subprocess.Popen(
        [sys.executable, "-m", "guard.cli.main", "check", "tests/corpus/bad"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""


def test_explain_prints_a_codes_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "g101"]) == Exit.CLEAN
    assert capsys.readouterr().out.startswith("# G101 unknown verb\n")


def test_explain_without_a_code_lists_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == Exit.CLEAN
    assert len(capsys.readouterr().out.splitlines()) == len(Code)


def test_explain_knows_its_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "G999"]) == Exit.USAGE
    assert "no code 'G999'" in capsys.readouterr().err


def test_schema_prints_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == Exit.CLEAN
    assert json.loads(capsys.readouterr().out) == schema()


def test_exit_codes_are_what_the_manual_says() -> None:
    assert {each.name: int(each) for each in Exit} == {
        "CLEAN": 0,
        "FINDINGS": 1,
        "USAGE": 2,
        "UNABLE": 3,
        "NO_DAEMON": 4,
        "BUG": 70,
        "INTERRUPTED": 130,
    }
