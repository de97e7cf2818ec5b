# SPDX-License-Identifier: Apache-2.0
"""Random trees of hostile names, and random policies that meet them.

Everything comes from a random.Random that the caller seeds. Knows nothing of
kernels and tables.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path

from guard.policy.model import Effect, PathRule, Policy
from guard.policy.patterns import PatternError, expand
from guard.wire.layout import PathVerb
from tests.plan.make import policy, rule

# Around the sizes at which the kernel programs read a name in another way:
# 8-byte words of a short name, its end, 64-byte blocks, the longest name.
_SIZES = (1, 7, 8, 9, 16, 17, 24, 25, 31, 32, 33, 39, 40, 41, 63, 64, 65, 127, 128, 129, 254, 255)
_WORDS = (
    "a",
    "b",
    "ab",
    "etc",
    "key.pem",
    "x.conf",
    "secret",
    "log",
    "ä",
    "日本",
    "a b",
    "*",
    "[x]",
)
_FREE = bytes(byte for byte in range(1, 256) if byte != ord("/"))

# Beyond this open() itself refuses the path (PATH_MAX).
_PATH_BYTES = 3900

_SPECIAL = frozenset("\\*?[]{},^!-")


FILE_VERBS = [verb for verb in PathVerb if verb < PathVerb.EXEC]


def name(rng: random.Random) -> bytes:
    """One name of a file: a word, or bytes of any kind."""
    kind = rng.random()
    if kind < 0.6:
        return rng.choice(_WORDS).encode()
    size = rng.choice(_SIZES) if kind < 0.85 else rng.randint(1, 40)
    made = bytes(rng.choice(_FREE) for _ in range(size))
    return made if made not in (b".", b"..") else b"..."


def tree(
    rng: random.Random, root: Path, directories: int, files: int
) -> tuple[list[bytes], list[bytes]]:
    """Make a tree below ``root``; the paths inside it of its directories and its files.

    Depths from 1 to 40; two ways down to each depth have names of one and of many bytes.
    """
    top = os.fsencode(root)
    made: dict[bytes, None] = {}
    for sizes in ((1,), (20, 30, 40)):
        at = b""
        for _ in range(39):
            at += b"/" + bytes(rng.choices(b"ab", k=rng.choice(sizes)))
            made[at] = None
    while len(made) < directories:
        parent = rng.choice([b"", b"", *list(made)[78:], rng.choice(list(made))])
        inside = parent + b"/" + name(rng)
        if inside.count(b"/") < 40 and len(top + inside) < _PATH_BYTES - 256:
            made[inside] = None
    leaves: dict[bytes, None] = {}
    for at in list(made):
        leaves[at + b"/" + name(rng)] = None
    while len(leaves) < files:
        leaves[rng.choice([b"", *list(made)[78:]]) + b"/" + name(rng)] = None
    for one in made:
        os.makedirs(top + one, exist_ok=True)
    plain = [one for one in leaves if one not in made]
    for one in plain:
        os.close(os.open(top + one, os.O_CREAT | os.O_WRONLY, 0o644))
    return [b"/", *made], plain


def glob_near(rng: random.Random, top: str, path: bytes) -> str:
    """A valid glob that matches the path inside ``top``, or nearly does."""
    while True:
        text = _glob_near(rng, top, path.split(b"/")[1:])
        try:
            expand(text)
        except PatternError:
            continue
        return text


def _glob_near(rng: random.Random, top: str, names: Sequence[bytes]) -> str:
    parts = [_component(rng, one) for one in names]
    kind = rng.random()
    if kind < 0.3 and len(parts) > 2:
        parts = [*parts[: rng.randint(2, len(parts) - 1)], "**"]
    elif kind < 0.5 and len(parts) > 3:
        begin = rng.randint(1, len(parts) - 2)
        end = rng.randint(begin + 1, len(parts) - 1)
        parts = [*parts[:begin], "**", *parts[end:]]
    elif kind < 0.6 and parts[-1] != "*":
        return f"/**/{parts[-1]}"
    elif kind < 0.65:
        parts = [*parts[:-1], f"{{{parts[-1]},ab,x*}}"]
    return "/".join([top, *parts]) + ("{,/**}" if rng.random() < 0.1 else "")


def _component(rng: random.Random, raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return "*" if rng.random() < 0.8 else "?" * len(raw)
    kind = rng.random()
    if kind < 0.7:
        return _quoted(text)
    if kind < 0.8:
        return _quoted(text[:1]) + "*"
    if kind < 0.9:
        return "*" + _quoted(text[-1:])
    if kind < 0.95 and text[0].isascii() and text[0].isalpha():
        return "[" + text[0] + "q]" + _quoted(text[1:])
    return "[^b]" + _quoted(text[1:])


def _quoted(text: str) -> str:
    return "".join("\\" + char if char in _SPECIAL else char for char in text)


def policies(rng: random.Random, top: str, paths: Sequence[bytes], number: int) -> list[Policy]:
    """``number`` policies, enforced, of a few rules each, about some of the paths in ``top``.

    A third of them deny by default, and then begin with an allow for most.
    """
    return [_policy(rng, top, paths, place) for place in range(number)]


def unanchored() -> list[Policy]:
    """Policies whose patterns, taken together, multiply states: for several automata."""
    words = ("a", "b", "e", "k", "s")
    return [
        policy(
            *(
                rule(
                    Effect.DENY,
                    [PathVerb(line % 3)],
                    f"/**/*{one}?{two}*/**",
                    id=f"u{line}",
                    line=line,
                )
                for line, (one, two) in enumerate(zip(words[place:], words[1:], strict=False), 1)
            ),
            name=f"u{place}",
            default=Effect.ALLOW,
            exe=["/nowhere"],
        )
        for place in range(2)
    ]


def _policy(rng: random.Random, top: str, paths: Sequence[bytes], place: int) -> Policy:
    default = rng.choice([Effect.DENY, Effect.ALLOW, Effect.ALLOW])
    rules = [_rule(rng, top, paths, line) for line in range(2, rng.randint(5, 9))]
    if default is Effect.DENY:
        most = rng.choice(["/**/?*[^a]", f"{top}/**", f"{top}{{,/**}}"])
        rules.insert(0, rule(Effect.ALLOW, FILE_VERBS, most, id="r1"))
    return policy(*rules, name=f"p{place}", default=default, exe=["/nowhere"])


def _rule(rng: random.Random, top: str, paths: Sequence[bytes], line: int) -> PathRule:
    # Patterns as people write them are short; a few are not.
    short = [one for one in paths if len(one) < 80 and 1 < one.count(b"/") < 8]

    def some(most: int) -> list[str]:
        of = paths[1:] if rng.random() < 0.05 else short
        return [glob_near(rng, top, rng.choice(of)) for _ in range(rng.randint(1, most))]

    return rule(
        rng.choice(list(Effect)),
        rng.sample(FILE_VERBS, rng.randint(1, 3)),
        some(3),
        some(2) if rng.random() < 0.25 else (),
        audit=rng.random() < 0.1,
        id=f"r{line}",
        line=line,
    )
