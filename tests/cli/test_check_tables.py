# SPDX-License-Identifier: Apache-2.0
"""`guard check` tells what only tables can prove, and builds none where rules cannot meet."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.cli.exits import Exit
from guard.cli.main import main
from guard.plan import shadowed

CORPUS = Path(__file__).parent.parent / "corpus"


def test_a_shadowed_rule_is_a_warning_with_its_example(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(CORPUS / "bad" / "G304-allow.yaml")
    assert main(["check", path]) == Exit.FINDINGS
    assert "warning[G304]: the rule 'certificates' changes nothing" in capsys.readouterr().out
    assert main(["check", "--fail-on", "error", path]) == Exit.CLEAN


def test_no_table_is_built_where_no_two_rules_can_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    monkeypatch.setattr(shadowed, "add_shadowed", lambda loaded: built.append(1) or loaded)
    assert main(["check", str(CORPUS / "good" / "everything.yaml")]) == Exit.CLEAN
    assert built == []
    main(["check", str(CORPUS / "bad" / "G304-allow.yaml")])
    assert built == [1]
