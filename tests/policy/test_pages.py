# SPDX-License-Identifier: Apache-2.0
"""Every code has a page, and the examples on it do what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from guard.cli.check_host import find
from guard.cli.host_machine import Machine
from guard.policy.codes import Code
from guard.policy.pages import pages
from tests.policy.corpus import codes, judge, with_rules

EXAMPLE = re.compile(r"^(Bad|Good)[^\n]*:\n\n```yaml\n(.*?)```$", re.MULTILINE | re.DOTALL)
# What these are about cannot stand in a page: bytes that are no text, or a great deal of it.
WITHOUT_EXAMPLE = {
    Code.NOT_UTF8,
    Code.TOO_LARGE,
    Code.BAD_CHARACTER,
    Code.TOO_MANY_DOCUMENTS,
    Code.MORE_FINDINGS,
    Code.TOO_MANY_POLICIES,
}
# What these are about is a kernel's or a machine's, and given.
KERNELS = {Code.NOT_ON_KERNEL: "6.1", Code.WEAKER_ON_KERNEL: "6.12"}
OF_A_HOST = {code for code in Code if code.name.startswith("HOST_")}


def all_codes(code: Code, text: str, tree: Path) -> list[str]:
    """What is found in an example, on the kernel or the machine that its page speaks of."""
    loaded = judge(text, kernel=KERNELS.get(code))
    if code in OF_A_HOST:
        loaded = loaded.with_findings(find(loaded.policies, machine(tree)))
    return codes(loaded)


def machine(tree: Path) -> Machine:
    """A machine that has what the pages speak of, in a directory."""
    for directory in ("etc/old", "usr/share/zoneinfo", "usr/sbin", "sys/class/net/eth0"):
        (tree / directory).mkdir(parents=True)
    for file in ("etc/shadow", "usr/share/zoneinfo/UTC", "usr/sbin/nginx", "etc/linked.key"):
        (tree / file).touch()
    (tree / "etc/localtime").symlink_to("/usr/share/zoneinfo/UTC")
    (tree / "etc/old/linked.key").hardlink_to(tree / "etc/linked.key")
    return Machine(str(tree))


def examples(code: Code) -> dict[str, str]:
    found = dict(EXAMPLE.findall(pages()[code.number]))
    # A page about what a section allows is about one that denies all else.
    default = "deny" if code is Code.WEAKER_ON_KERNEL else "allow"
    return {
        which: with_rules(text, default) if text.startswith("- ") else text
        for which, text in found.items()
    }


def test_pages_and_codes_are_the_same_set() -> None:
    assert list(pages()) == [code.number for code in Code]


@pytest.mark.parametrize("code", Code)
def test_a_page_has_the_title_of_its_code_and_an_example(code: Code) -> None:
    page = pages()[code.number]
    assert page.startswith(f"# {code.number} {code.title}\n")
    assert re.search("^Bad[^\n]*:", page, re.MULTILINE)
    assert re.search("^Good[^\n]*:", page, re.MULTILINE)
    assert bool(examples(code)) is (code not in WITHOUT_EXAMPLE)


@pytest.mark.parametrize("code", [code for code in Code if code not in WITHOUT_EXAMPLE])
def test_the_bad_example_has_this_finding_alone_and_the_good_one_none(
    code: Code, tmp_path: Path
) -> None:
    shown = examples(code)
    assert all_codes(code, shown["Bad"], tmp_path / "bad") == [code.number]
    assert all_codes(code, shown["Good"], tmp_path / "good") == []
