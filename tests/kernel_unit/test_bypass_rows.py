# SPDX-License-Identifier: Apache-2.0
"""The list of bypasses names tests that exist, and the manual has what is left open."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.kernel.bypasses.__main__ import line
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
