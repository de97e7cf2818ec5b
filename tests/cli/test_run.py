# SPDX-License-Identifier: Apache-2.0
"""`guard run` refuses before it touches the kernel what makes no sense."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.cli.exits import Exit
from guard.cli.main import main
from guard.daemon import session
from tests.policy.corpus import with_rules

GOOD = with_rules("- deny: read\n  path: /etc/shadow")
BAD = with_rules("- deny: raed\n  path: /etc/shadow")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with policies, in which nothing may be loaded."""

    def start(*_: object, **__: object) -> None:
        raise AssertionError("something was loaded")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(session, "start", start)
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "bad.yaml").write_text(BAD)
    return tmp_path


@pytest.mark.parametrize("name", ["", ".", "a.b", "../a", "_hidden", "a/b", "a" * 65])
def test_a_name_that_cannot_be_pinned_is_a_usage_error(
    here: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main(["run", "--name", name, "good.yaml"]) == Exit.USAGE
    assert "--name takes" in capsys.readouterr().err


def test_nothing_after_the_dashes_is_a_usage_error(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "good.yaml", "--"]) == Exit.USAGE
    assert "no command after --" in capsys.readouterr().err


def test_a_command_cannot_persist(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--persist", "good.yaml", "--", "true"]) == Exit.USAGE
    assert "--persist" in capsys.readouterr().err


def test_a_finding_is_shown_with_its_place_and_nothing_is_loaded(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "good.yaml", "bad.yaml"]) == Exit.FINDINGS
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "bad.yaml:" in captured.err and "'raed' is not a verb" in captured.err
    assert captured.err.endswith("guard: nothing was loaded\n")


def test_a_file_that_cannot_be_read_is_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "missing.yaml"]) == Exit.UNABLE
    assert "cannot read 'missing.yaml'" in capsys.readouterr().err
