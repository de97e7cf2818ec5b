# SPDX-License-Identifier: Apache-2.0
"""Random globs, paths and policies over a small alphabet, so that they meet."""

from __future__ import annotations

import re

from hypothesis import strategies as st

from guard.policy.model import Effect, Mode, Policy
from guard.policy.patterns import PatternError, expand
from guard.wire.layout import PathVerb
from tests.plan.make import policy, rule

NAMES = st.text("ab", min_size=1, max_size=3)

_UNITS = st.sampled_from(
    ["a", "b", "ab", "*", "?", "[ab]", "[^a]", "[!b]", "**", "{a,b}", "{,a}", "{a,*b}", "\\*", "."]
)
_COMPONENT = st.one_of(
    NAMES,
    st.sampled_from(["**", "**", "*", "*a*", "b*", "{a,b/c}", "{**,a}", "*.a"]),
    st.lists(_UNITS, min_size=1, max_size=3).map("".join),
)


def _valid(text: str) -> bool:
    try:
        expand(text)
    except PatternError:
        return False
    return True


GLOBS = (
    st.tuples(st.lists(_COMPONENT, min_size=1, max_size=4), st.sampled_from(["", "", "/**"]))
    .map(lambda parts: "/" + "/".join(parts[0]) + parts[1])
    .filter(_valid)
)

NAME_BYTES = st.text("abc.*", min_size=1, max_size=4).filter(lambda name: name not in (".", ".."))
PATHS = st.lists(NAME_BYTES, max_size=5).map(lambda names: ("/" + "/".join(names)).encode())


def sample(glob: str) -> bytes:
    """Some path near a glob: its own text with the special characters filled in."""
    text = glob.replace("/**/", "/c/ab/").replace("**", "a/b").replace("*", "ca")
    text = text.replace("?", "a").replace("[ab]", "b").replace("[^a]", "c").replace("[!b]", "a")
    text = re.sub(r"\{([^,{}]*),[^{}]*\}", r"\1", text).replace("\\", "")
    names = [name for name in text.split("/") if name not in ("", ".", "..")]
    return ("/" + "/".join(names)).encode()


@st.composite
def mutated(draw: st.DrawFn, paths: list[bytes]) -> bytes:
    """One of the paths, perhaps cut, joined with another, or with a byte changed."""
    path = draw(st.sampled_from(paths))
    kind = draw(st.integers(0, 4))
    if kind == 1:
        path = b"/".join(path.split(b"/")[: draw(st.integers(1, 4))]) or b"/"
    elif kind == 2:
        path = (path.rstrip(b"/") + draw(st.sampled_from(paths))).rstrip(b"/") or b"/"
    elif kind == 3:
        path = path.rstrip(b"/") + draw(st.sampled_from([b"/a", b"/b/ab", b"a", b"b"]))
        path = b"/" + path.lstrip(b"/")
    elif kind == 4:
        path = draw(PATHS)
    return path


FILE_VERBS = [verb for verb in PathVerb if verb < PathVerb.EXEC]
"""The file section's: policies here have no other."""

VERBS = st.lists(st.sampled_from(FILE_VERBS), min_size=1, max_size=3, unique=True)


@st.composite
def policies(draw: st.DrawFn, most: int = 3) -> list[Policy]:
    """A few policies of a few rules."""
    result = []
    for number in range(draw(st.integers(1, most))):
        rules = [
            rule(
                draw(st.sampled_from(list(Effect))),
                draw(VERBS),
                draw(st.lists(GLOBS, min_size=1, max_size=3)),
                draw(st.lists(GLOBS, max_size=2)) if draw(st.booleans()) else (),
                audit=draw(st.integers(0, 4)) == 0,
                line=line + 1,
            )
            for line in range(draw(st.integers(0, 5)))
        ]
        result.append(
            policy(
                *rules,
                name=f"p{number}",
                default=draw(st.sampled_from([*Effect, *Effect, None])),
                mode=draw(st.sampled_from(Mode)),
                exe=draw(st.lists(GLOBS, min_size=1, max_size=2)),
            )
        )
    return result


def near(chosen: list[Policy]) -> list[bytes]:
    """Paths near the policies' globs."""
    texts = [pattern.text for one in chosen for pattern in one.subject.exe]
    for one in chosen:
        for each in one.file.rules if one.file else ():
            texts += [pattern.text for pattern in each.paths + each.excepts]
    return [sample(text) for text in texts]
