# SPDX-License-Identifier: Apache-2.0
"""What the documents show is what guard takes and says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from guard.analysis.passes import analyse
from guard.audit.decode import Decoder
from guard.audit.describe import Words
from guard.audit.loss import LossCause
from guard.audit.record import EXE_FOREIGN, Recorder
from guard.audit.render_json import JsonRenderer
from guard.cli.exits import Exit
from guard.cli.main import COMMANDS, main
from guard.policy.load import load
from guard.policy.vocabulary import FRAGMENT, POLICY
from guard.policy.vocabulary import SHAPES as BELOW
from guard.policy.words import EXEC, FILE, KERNEL, NET
from guard.policy.words_table import filled
from guard.wire import ingress
from guard.wire.layout import COUNTERS, EventFlag, Limit, Reason
from tests.audit.samples import ORIGIN, FakeIndex, fixed_clock, wire_event

ROOT = Path(__file__).parents[2]
MANUAL = ROOT / "docs/manual"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def _blocks(language: str) -> list[tuple[str, str]]:
    return [
        (str(path.relative_to(ROOT)), text)
        for path in DOCUMENTS
        for kind, text in _BLOCK.findall(path.read_text())
        if kind == language
    ]


@pytest.mark.parametrize(("where", "text"), _blocks("yaml"))
def test_a_policy_that_a_document_shows_is_clean(where: str, text: str) -> None:
    assert analyse(load([(where, text.encode())])).diagnostics == ()


@pytest.mark.parametrize(("where", "text"), _blocks("yaml"))
def test_the_tests_of_a_policy_that_a_document_shows_hold(
    where: str, text: str, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(text)
    assert "tests:" in text
    assert main(["test", str(policy)]) == Exit.CLEAN


def test_documents_show_policies() -> None:
    assert {where for where, _ in _blocks("yaml")} == {"README.md", "docs/manual/policies.md"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_documents_links_lead_somewhere(path: Path) -> None:
    links = _LINK.findall(path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_every_command_is_in_the_manual() -> None:
    text = (MANUAL / "commands.md").read_text()
    assert [name for name in COMMANDS if f"| `guard {name}" not in text] == []


def test_every_counter_is_in_the_manual() -> None:
    text = (MANUAL / "commands.md").read_text()
    assert [name for name in COUNTERS.fields if f"| `{name}` |" not in text] == []


def test_every_key_and_verb_is_in_the_manual() -> None:
    text = (MANUAL / "policies.md").read_text()
    shapes = (POLICY, FRAGMENT, *BELOW.values())
    keys = {key.name for shape in shapes for key in shape.keys} - {"ingress"}
    verbs = [word for table in (FILE, EXEC, NET, KERNEL) for word in table.words]
    words = [*keys, *(word for word in verbs if not word.startswith("cap_"))]
    assert [word for word in words if not re.search(rf"`{word}[:`]", text)] == []


def test_the_tables_of_verbs_are_those_of_the_language() -> None:
    text = (MANUAL / "policies.md").read_text()
    assert filled(text) == text, "python -m guard.policy.words_table docs/manual/policies.md"


def test_every_word_of_a_record_is_in_the_manual() -> None:
    text = (MANUAL / "records.md").read_text()
    reasons = [reason.name.lower().replace("_", "-") for reason in Reason]
    words = [*reasons, *Words().flags[sum(EventFlag)]]
    packets = [one.name.lower().replace("_", "-") for one in ingress.Reason]
    packets = [one for one in packets if one not in ("rule", "default", "count")]
    words += packets
    causes = [cause.value for cause in LossCause]
    assert [word for word in [*words, *causes, EXE_FOREIGN] if f"`{word}`" not in text] == []


def test_the_record_in_the_manual_has_the_members_of_a_real_one() -> None:
    ((_, text),) = _blocks("json")
    recorder = Recorder(fixed_clock(), lambda _: FakeIndex())
    line = JsonRenderer(ORIGIN).line(recorder.record(Decoder().event(wire_event())))
    shown, real = json.loads(text), json.loads(line)
    assert list(shown) == list(real)
    for part in ("host", "policy", "rule", "object", "process"):
        assert list(shown[part]) == list(real[part])


def test_the_limits_in_the_manual_are_those_of_the_tables() -> None:
    text = (MANUAL / "limits.md").read_text()
    for words, limit in (
        ("policies on one host", Limit.POLICIES),
        ("mounted devices", Limit.DEVICES),
        ("path components", Limit.DEPTH),
        ("automata that one open may step", Limit.GROUPS),
    ):
        assert re.search(rf"^\| {words}[^|]*\| {limit.value} \|$", text, re.MULTILINE), words
