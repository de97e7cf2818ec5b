# SPDX-License-Identifier: Apache-2.0
"""Good policies are clean; bad ones get exactly the output that stands beside them.

After a wanted change of wording: `python -m tests.policy.test_corpus` writes the
expected output anew, for review in the diff.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.cli.check import summary
from guard.plan.trial import run_tests
from guard.policy.codes import Code
from guard.policy.load import Loaded
from guard.policy.render import Renderer
from tests.policy.corpus import BAD, CORPUS, GOOD, codes, judge, kernel_of

READY = sorted((CORPUS.parent.parent / "policies").glob("*.yaml"))


def rendered(path: Path) -> tuple[Loaded, str]:
    loaded = judge(path.read_bytes(), kernel=kernel_of(path))
    renderer = Renderer(loaded.texts)
    shown = "".join(renderer.render(found) + "\n" for found in loaded.diagnostics)
    return loaded, (shown + summary(loaded) + "\n").replace("0.yaml", path.name)


@pytest.mark.parametrize("path", GOOD + READY, ids=lambda path: path.name)
def test_a_good_policy_is_clean(path: Path) -> None:
    loaded, shown = rendered(path)
    assert loaded.policies
    assert loaded.diagnostics == (), shown


@pytest.mark.parametrize("path", GOOD + READY, ids=lambda path: path.name)
def test_the_tests_of_a_good_policy_hold_by_text_and_by_tables(path: Path) -> None:
    trials = run_tests(judge(path.read_bytes()).policies)
    assert [one.failure for trial in trials for one in trial.outcomes if one.failure] == []


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_policy_gets_the_whole_expected_output(path: Path) -> None:
    loaded, shown = rendered(path)
    assert path.name.split("-")[0] in codes(loaded)
    assert shown == path.with_suffix(".out").read_text("utf-8")


# A file over 4 MiB, and 65 files, are made by the tests of limits instead; a machine's
# files by those of --host.
MADE_BY_TESTS = {Code.TOO_LARGE, Code.TOO_MANY_POLICIES} | {
    code for code in Code if code.name.startswith("HOST_")
}


def test_every_code_has_a_bad_policy() -> None:
    have = {path.name.split("-")[0] for path in BAD}
    assert have == {code.number for code in Code if code not in MADE_BY_TESTS}


def test_no_expected_output_is_left_over() -> None:
    assert {path.stem for path in BAD} == {path.stem for path in (CORPUS / "bad").glob("*.out")}


if __name__ == "__main__":
    for bad in BAD:
        bad.with_suffix(".out").write_text(rendered(bad)[1], "utf-8")
