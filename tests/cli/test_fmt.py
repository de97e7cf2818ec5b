# SPDX-License-Identifier: Apache-2.0
"""`guard fmt` as its user meets it: what it writes, leaves alone and exits with."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from guard.cli.exits import Exit
from guard.cli.main import main
from guard.policy.canonical import NotFormatted
from tests.policy.corpus import with_rules

FORMED = with_rules("# why not\n- deny: read  # it\n  path: /etc/shadow")
LOOSE = FORMED.replace("  # it", "     # it").replace("/etc/shadow", "'/etc/shadow'")
BROKEN = FORMED.replace("read", "raed")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.yaml").write_text(LOOSE)
    return tmp_path


def test_a_file_is_written_in_its_form_and_then_left_alone(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "p.yaml").chmod(0o640)
    assert main(["fmt", "p.yaml"]) == Exit.CLEAN
    assert capsys.readouterr() == ("changed p.yaml\n", "")
    assert (here / "p.yaml").read_text() == FORMED
    before = (here / "p.yaml").stat()
    assert before.st_mode & 0o777 == 0o640
    assert main(["fmt", "."]) == Exit.CLEAN
    assert capsys.readouterr() == ("", "")
    assert (here / "p.yaml").stat().st_ino == before.st_ino


def test_check_tells_and_writes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fmt", "--check", "p.yaml"]) == Exit.FINDINGS
    assert capsys.readouterr().out == "would change p.yaml\n"
    assert (here / "p.yaml").read_text() == LOOSE
    (here / "p.yaml").write_text(FORMED)
    assert main(["fmt", "--check", "p.yaml"]) == Exit.CLEAN
    assert capsys.readouterr().out == ""


def test_a_file_with_an_error_is_left_alone_and_the_rest_is_formed(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "broken.yaml").write_text(BROKEN)
    assert main(["fmt", "broken.yaml", "p.yaml"]) == Exit.FINDINGS
    out, err = capsys.readouterr()
    assert (here / "broken.yaml").read_text() == BROKEN
    assert (here / "p.yaml").read_text() == FORMED
    assert "did you mean 'read'?" in err
    assert out == "changed p.yaml\n"


def formed_from_stdin(monkeypatch: pytest.MonkeyPatch, text: str, *words: str) -> int:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    return main(["fmt", *words, "-"])


def test_standard_input_goes_to_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert formed_from_stdin(monkeypatch, LOOSE) == Exit.CLEAN
    assert capsys.readouterr() == (FORMED, "")
    assert formed_from_stdin(monkeypatch, LOOSE, "--check") == Exit.FINDINGS
    assert formed_from_stdin(monkeypatch, FORMED, "--check") == Exit.CLEAN
    assert formed_from_stdin(monkeypatch, FORMED, "x.yaml") == Exit.USAGE


def test_a_file_that_is_not_there_is_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fmt", "missing.yaml", "p.yaml"]) == Exit.UNABLE
    assert "cannot read 'missing.yaml'" in capsys.readouterr().err
    assert (here / "p.yaml").read_text() == FORMED


def test_a_layout_that_cannot_be_kept_is_told_and_left(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> str:
        raise NotFormatted("an odd layout")

    monkeypatch.setattr("guard.cli.fmt.canonical", refuse)
    assert main(["fmt", "p.yaml"]) == Exit.UNABLE
    assert "'p.yaml' is left as it is: an odd layout" in capsys.readouterr().err
    assert (here / "p.yaml").read_text() == LOOSE


def test_two_policies_of_one_name_in_two_files_are_formed_all_the_same(here: Path) -> None:
    (here / "q.yaml").write_text(LOOSE)
    assert main(["fmt", "p.yaml", "q.yaml"]) == Exit.CLEAN
    assert (here / "q.yaml").read_text() == FORMED
