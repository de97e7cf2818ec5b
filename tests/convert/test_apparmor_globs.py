# SPDX-License-Identifier: Apache-2.0
"""AppArmor's globs and guard's patterns made of them match the same files and directories."""

from __future__ import annotations

import re
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.analysis.evaluate import matches as guard_matches
from guard.convert import limits
from guard.convert.apparmor_globs import expand, meaning, tidied
from guard.convert.model import Inexact
from guard.policy.patterns import expand as guard_expand
from tests.convert import oracle

PIECES = ["/", "/", "a", "b", ".", "*", "**", "?", "[ab]", "[^a]", "{a,b}", "{,/a}", "{*,b}"]
PIECES += ["{**,a}", "{/**,}", "{,*/}", "{a/,b{,/}}", "\\*", "[a-c/]"]
GLOBS = st.lists(st.sampled_from(PIECES), max_size=7).map(lambda pieces: "/" + "".join(pieces))
COMPONENTS = st.text("ab*.c", min_size=1, max_size=3).filter(lambda name: name not in (".", ".."))
PATHS = st.lists(COMPONENTS, max_size=4).map(lambda names: "/" + "/".join(names))


def every_path() -> list[str]:
    """All canonical paths of three components at most, of a few names."""
    names = ["a", "b", "ab", "aa", "*", ".a"]
    one = [f"/{name}" for name in names]
    two = [f"{path}/{name}" for path in one for name in names]
    three = [f"{path}/{name}" for path in two for name in ("a", "b", "ab")]
    return ["/", *one, *two, *three]


EVERY_PATH = every_path()


def agree(glob: str, paths: list[str]) -> None:
    found = meaning([glob])
    for path in paths:
        raw = path.encode()
        is_file = any(guard_matches(pattern, raw) for pattern in found.files)
        is_directory = any(guard_matches(pattern, raw) for pattern in found.directories)
        if path != "/":
            assert is_file == oracle.matches(glob, path, False), (glob, path, found.files)
        assert is_directory == oracle.matches(glob, path, True), (glob, path, found.directories)


@pytest.mark.parametrize(
    "glob",
    [
        "/a",
        "/a/",
        "/",
        "/*",
        "/**",
        "/{,**}",
        "/{*,a}",
        "/a/*",
        "/a/**",
        "/a/**/",
        "/a/*/",
        "/a/**/b",
        "/a/*/b",
        "/a/{,**}",
        "/a/{*,b}",
        "/a{/**,}",
        "/a**/b",
        "/**b",
        "/a/[^b]b",
        "/a[^b]b",
        "/a//b",
        "//a",
        "///a",
        "/a***",
        "/**{,b}",
        "/?",
        "/a/.{,a}",
        "/a/{**/,*}b",
        "/a\\*",
        "/{a,b}{,/}{a,b}",
    ],
)
def test_a_glob_and_its_patterns_match_the_same_paths(glob: str) -> None:
    agree(glob, EVERY_PATH)


@settings(max_examples=400, deadline=None)
@given(glob=GLOBS, paths=st.lists(PATHS, min_size=1, max_size=12))
def test_any_glob_and_its_patterns_match_the_same_paths(glob: str, paths: list[str]) -> None:
    try:
        expand(glob)
    except Inexact:
        return
    agree(glob, [*paths, *EVERY_PATH[::7]])


@settings(max_examples=200, deadline=None)
@given(glob=GLOBS)
def test_fewer_patterns_with_braces_are_the_same_patterns(glob: str) -> None:
    try:
        found = meaning([glob])
    except Inexact:
        return
    for wanted in found:
        few = tidied(wanted, [glob])
        assert {each for text in few for each in guard_expand(text)} == {
            each for text in wanted for each in guard_expand(text)
        }


def test_braces_stay_braces_where_guard_reads_them_alike() -> None:
    glob = "/etc/{,g}shadow{,-}"
    assert tidied(meaning([glob]).files, [glob]) == (glob,)
    assert tidied(meaning(["/a/{,**}"]).directories, ["/a/{,**}"]) == ("/a{,/**}",)


@pytest.mark.parametrize(
    ("glob", "reason"),
    [
        ("a", "the path does not start with '/'"),
        ("/{a", "braces that are not closed or hold one alternative: AppArmor refuses"),
        ("/{a}", "braces that are not closed or hold one alternative: AppArmor refuses"),
        ("/a}", "a '}' that closes nothing, which AppArmor refuses"),
        ("/[a", "a '[' without its ']', or with nothing in it"),
        ("/[a^]", "a class in '[]' whose characters AppArmor's versions read differently"),
        ("/[a-]", "a class in '[]' whose characters AppArmor's versions read differently"),
        ("/a\\", "a backslash before a letter, a digit, '/' or nothing"),
        ("/a\0", "a character in the path that cannot be shown"),
        ("/" + "{a,b}" * 30, f"the path stands for more than {limits.ALTERNATIVES} alternatives"),
        ("/" + "[^a]" * 30, f"the path stands for more than {limits.ALTERNATIVES} alternatives"),
        ("/" + "{" * 900, f"braces nested more than {limits.BRACE_DEPTH} deep"),
        ("/" + "a" * 5000, f"the path has more than {limits.PATH_LENGTH} characters"),
    ],
)
def test_a_glob_that_has_no_certain_meaning_is_refused_with_a_reason(
    glob: str, reason: str
) -> None:
    with pytest.raises(Inexact, match=f"^{re.escape(reason)}$"):
        meaning([glob])


@pytest.mark.parametrize(
    ("glob", "expression"),
    [
        ("/a/*", r"/a/[^/\x00][^/\x00]*"),
        ("/a/**", r"/a/[^/\x00][^\x00]*"),
        ("/a/**/x", r"/a/[^/\x00][^\x00]*/x"),
        ("/a/{*,y}", r"/a/([^/\x00]*|y)"),
        ("/a/{,**}", r"/a/(|[^\x00]*)"),
        ("/a/*{x,y}", r"/a/[^/\x00]*(x|y)"),
        ("/a/**b", r"/a/[^\x00]*b"),
        ("/a/x[^a]y", r"/a/x[^a]y"),
        ("/a//b", r"/a/b"),
        ("//a", r"//a"),
        ("///a", r"/a"),
    ],
)
def test_the_oracle_reads_globs_as_apparmors_own_parser_does(glob: str, expression: str) -> None:
    made = subprocess.run(
        ["apparmor_parser", "-QT", "-D", "rule-exprs"],
        input=f"profile t {{\n  {glob} r,\n}}\n",
        capture_output=True,
        text=True,
        check=True,
    )
    said = re.findall(r"^aare: (\S+) +-> +(\S+)$", made.stdout + made.stderr, re.MULTILINE)
    assert said[-1][1] == expression
    theirs = re.compile(expression.replace("\\x00", "\0"))
    for path in EVERY_PATH:
        for each in (path, path + "/"):
            assert bool(theirs.fullmatch(each)) == bool(oracle.regex(glob).fullmatch(each))
