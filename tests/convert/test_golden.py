# SPDX-License-Identifier: Apache-2.0
"""One source of each kind through the command, with all that it writes and says."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.cli.exits import Exit
from guard.cli.main import main

GOLDEN = Path(__file__).parent / "golden"
SOURCES = ["apparmor.profile", "kubearmor.yaml", "tetragon.yaml"]


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_becomes_these_policies_with_this_report(
    source: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(GOLDEN)
    assert main(["convert", source]) == Exit.FINDINGS
    out, err = capsys.readouterr()
    stem = source.partition(".")[0]
    assert out == (GOLDEN / f"{stem}.policy").read_text()
    assert err == (GOLDEN / f"{stem}.report").read_text()


@pytest.mark.parametrize("source", SOURCES)
def test_what_is_written_has_no_errors_and_is_in_canonical_form(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.yaml"
    assert main(["convert", str(GOLDEN / source), "-o", str(out)]) == Exit.FINDINGS
    assert main(["check", "--fail-on", "error", str(out)]) == Exit.CLEAN
    assert main(["fmt", "--check", str(out)]) == Exit.CLEAN
    capsys.readouterr()
