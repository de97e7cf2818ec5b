# SPDX-License-Identifier: Apache-2.0
"""The list of bypasses names tests that exist, and the manual has what is left open."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.kernel.bypasses.__main__ import ended, line, read_results
from tests.kernel.bypasses.rows import ROWS, Row, Status

KERNEL = Path(__file__).parents[1] / "kernel"
MANUAL = Path(__file__).parents[2] / "docs" / "manual" / "bypasses.md"


@pytest.mark.parametrize("number", ROWS)
def test_a_rows_tests_exist(number: str) -> None:
    for test in ROWS[number].tests:
        file, function = test.split("::")
        tree = ast.parse((KERNEL / file).read_text())
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("number", ROWS)
def test_what_is_left_open_is_said_and_what_is_closed_is_tested(number: str) -> None:
    row = ROWS[number]
    assert (row.status is Status.CLOSED) == (not row.left)
    assert row.tests or row.status is not Status.CLOSED
    assert (f"**{number}, " in MANUAL.read_text()) == (row.status is not Status.CLOSED)


def test_a_row_is_printed_with_what_is_left() -> None:
    row = Row("a way", ("a.py::test_it",), Status.PARTLY, "much")
    assert line("B-2", row) == "B-2   partly  a way\n      left: much\n      a.py::test_it"


OUTPUT = """\
tests/kernel/a.py::test_one[an exchange] PASSED    [ 10%]
tests/kernel/a.py::test_one[b] a line of its own
PASSED [ 20%]
tests/kernel/bypasses/b.py::test_two FAILED [ 30%]
tests/kernel/bypasses/b.py::test_three[x] PASSED [ 40%]
tests/kernel/bypasses/b.py::test_three[y] ERROR [ 50%]
"""


def test_a_run_is_read_by_function_and_one_failed_case_fails_it() -> None:
    assert read_results(OUTPUT) == {
        "a.py::test_one": True,
        "bypasses/b.py::test_two": False,
        "bypasses/b.py::test_three": False,
    }


@pytest.mark.parametrize(
    ("tests", "said"),
    [
        (("a.py::test_one",), "passed"),
        (
            ("a.py::test_one", "bypasses/b.py::test_two"),
            "FAILED: bypasses/b.py::test_two",
        ),
        (("a.py::test_one", "a.py::test_gone"), "NOT RUN: a.py::test_gone"),
        ((), "no test"),
    ],
)
def test_a_row_is_held_on_a_kernel_if_all_its_tests_passed(
    tests: tuple[str, ...], said: str
) -> None:
    assert ended(Row("a way", tests), read_results(OUTPUT)) == said


def test_the_numbers_have_no_gap_but_the_one_of_self_protection() -> None:
    """B-34 is guard against root: its row comes with that."""
    assert {f"B-{number}" for number in range(1, 42)} - set(ROWS) <= {"B-34"}
