# SPDX-License-Identifier: Apache-2.0
"""Every code has a page, and the examples on it do what the page says."""

from __future__ import annotations

import re

import pytest

from guard.policy.codes import Code
from guard.policy.pages import pages
from tests.policy.corpus import codes, judge, with_rules

EXAMPLE = re.compile(r"^(Bad|Good):\n\n```yaml\n(.*?)```$", re.MULTILINE | re.DOTALL)
# What these are about cannot stand in a page: bytes that are no text, or a great deal of it.
WITHOUT_EXAMPLE = {
    Code.NOT_UTF8,
    Code.TOO_LARGE,
    Code.BAD_CHARACTER,
    Code.TOO_DEEP,
    Code.TOO_MANY_DOCUMENTS,
    Code.MORE_FINDINGS,
    Code.TOO_MANY_POLICIES,
    Code.INCLUDE_LIMIT,
    Code.TOO_MANY_ENTRIES,
}


def examples(code: Code) -> dict[str, str]:
    found = dict(EXAMPLE.findall(pages()[code.number]))
    return {
        which: with_rules(text) if text.startswith("- ") else text for which, text in found.items()
    }


def test_pages_and_codes_are_the_same_set() -> None:
    assert list(pages()) == [code.number for code in Code]


@pytest.mark.parametrize("code", Code)
def test_a_page_has_the_title_of_its_code_and_an_example(code: Code) -> None:
    page = pages()[code.number]
    assert page.startswith(f"# {code.number} {code.title}\n")
    assert "Bad:" in page
    assert "Good:" in page
    assert bool(examples(code)) is (code not in WITHOUT_EXAMPLE)


@pytest.mark.parametrize("code", [code for code in Code if code not in WITHOUT_EXAMPLE])
def test_the_bad_example_has_this_finding_alone_and_the_good_one_none(code: Code) -> None:
    shown = examples(code)
    assert codes(judge(shown["Bad"])) == [code.number]
    assert codes(judge(shown["Good"])) == []
