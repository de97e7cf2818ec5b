# SPDX-License-Identifier: Apache-2.0
"""The canonical form: idempotent, of the same meaning, and no comment is lost.

The meaning is judged by the YAML library's own loader, of which the formatter
knows nothing, beside the comparison that the formatter makes by itself.
"""

from __future__ import annotations

import random
import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.policy.canonical import NotFormatted, canonical
from tests.policy.corpus import CORPUS, GOOD, codes, judge

READY = sorted((CORPUS.parent.parent / "policies").glob("*.yaml"))

HEAD = "version: 1\nname: x\nmode: audit\nsubject: {host: true}\nfile:\n"


def meaning(text: str) -> object:
    return list(yaml.safe_load_all(text))


@pytest.mark.parametrize("path", READY, ids=lambda path: path.name)
def test_the_ready_policies_mean_the_same_in_their_canonical_form(path: object) -> None:
    text = path.read_text("utf-8")  # type: ignore[attr-defined]
    formed = canonical(text.encode())
    assert meaning(formed) == meaning(text)
    assert canonical(formed.encode()) == formed


RULES = "  default: allow\n  rules:\n"
READ_X = "    - deny: read\n      path: /x"

FORMS = {
    "nothing to do": ("  default: deny", "  default: deny"),
    "spaces": ("   default:    deny   ", "  default: deny"),
    "quotes": ("  'default': \"deny\"", "  default: deny"),
    "order": (
        "    rules: [{path: '/x', deny: read}]\n    default: allow",
        "  default: allow\n  rules: [{deny: read, path: /x}]",
    ),
    "indentation": (
        f"{RULES}  - path: /x\n    deny:\n    - read",
        f"{RULES}    - deny:\n        - read\n      path: /x",
    ),
    "comments": ("  # a\n  default: deny # b\n  # c", "  # a\n  default: deny  # b\n  # c"),
    "comments in a rule": (
        f"{RULES}  # one\n  - path: /x # two\n    # three\n    deny: read",
        f"{RULES}    # one\n    # three\n    - deny: read\n      path: /x  # two",
    ),
    "comment after a dash": (
        f"{RULES}    - # one\n      deny: read\n      path: /x",
        f"{RULES}    # one\n{READ_X}",
    ),
    "comment in brackets": (
        f"{RULES}    - deny: [read, # one\n        write]\n      path: /x",
        f"{RULES}    - deny:\n        - read  # one\n        - write\n      path: /x",
    ),
    "empty lines": (
        f"  default: allow\n\n\n\n  rules:\n\n{READ_X}",
        f"  default: allow\n\n  rules:\n\n{READ_X}",
    ),
    "rule in a comment": (f"{RULES}{READ_X}\n    # - x", f"{RULES}{READ_X}\n    # - x"),
    "text in lines": (
        f"{RULES}{READ_X}\n      why: | # c\n       a # b\n\n       c\n",
        f"{RULES}{READ_X}\n      why: |  # c\n        a # b\n\n        c\n",
    ),
    "folded text": (
        f"{RULES}{READ_X}\n      why: >-\n        a\n        b",
        f"{RULES}{READ_X}\n      why: a b",
    ),
    "texts over two lines": (
        (
            f"{RULES}    - {{deny: read, path: /a, why: x\n        y}}\n"
            f"{READ_X}\n      why: x'\n        y"
        ),
        f'{RULES}    - {{deny: read, path: /a, why: x y}}\n{READ_X}\n      why: "x\' y"',
    ),
    "quotes that are needed": (
        f"{RULES}    - {{deny: read, path: '/a b', why: '0644'}}",
        f"{RULES}    - {{deny: read, path: /a b, why: '0644'}}",
    ),
}


@pytest.mark.parametrize(("text", "formed"), FORMS.values(), ids=FORMS)
def test_the_form_of_each_thing(text: str, formed: str) -> None:
    assert canonical((HEAD + text).encode()).rstrip("\n") == HEAD + formed.rstrip("\n")


def test_what_stands_above_the_document_stays_above_it() -> None:
    text = "# licence\n\n# its name\nname: x\nversion: 1\n" + HEAD.partition("name: x\n")[2]
    formed = canonical((text + "  default: deny").encode())
    assert formed.startswith("# licence\nversion: 1\n\n# its name\nname: x\nmode: audit\n")


def test_each_document_keeps_its_own_comments() -> None:
    one = HEAD + "  default: deny\n"
    text = f"---\n# a\n{one}# b\n--- # c\n# d\n{one.replace('name: x', 'name: y')}# e\n"
    formed = canonical(text.encode())
    assert formed == f"# a\n{one}# b\n---\n# c\n# d\n{one.replace('name: x', 'name: y')}# e\n"


def test_a_list_too_long_for_a_line_becomes_lines() -> None:
    names = [f"/some/quite/long/name/{number}" for number in range(4)]
    fits = f"  default: allow\n  rules:\n    - deny: read\n      path: [{', '.join(names)}]"
    longest = max(map(len, fits.splitlines()))
    assert longest <= 120
    formed = canonical((HEAD + fits).encode())
    assert "        - /some/quite/long/name/0\n" in formed
    assert max(map(len, formed.splitlines())) <= 100


def test_line_ends_become_one_kind_and_a_byte_order_mark_goes() -> None:
    text = HEAD + "  default: deny\n"
    assert canonical(("\ufeff" + text).replace("\n", "\r\n").encode()) == text


def test_what_has_an_error_is_not_formed() -> None:
    with pytest.raises(NotFormatted):
        canonical(b"a: &b c")


COMMENTED = [*GOOD, *READY]


def with_comments(text: str, chance: random.Random) -> tuple[str, list[str]]:
    """Comments, each of its own, put into random lines: alone or at their end."""
    put: list[str] = []
    lines = []
    for line in text.splitlines():
        if chance.random() < 0.3:
            put.append(f"#{len(put)}#")
            lines.append(" " * chance.randrange(9) + put[-1])
        if chance.random() < 0.2:
            lines.append("")
        if chance.random() < 0.2 and "#" not in line:
            put.append(f"#{len(put)}#")
            lines.append(f"{line} {put[-1]}")
        else:
            lines.append(line)
    return "\n".join(lines), put


def loosened(text: str, chance: random.Random) -> str:
    """The same with brackets broken over lines here and there."""
    return re.sub(
        r", ", lambda match: ",\n            " if chance.random() < 0.2 else match[0], text
    )


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(COMMENTED))
def test_comments_anywhere_are_kept_once_and_the_form_settles(
    chance: random.Random, path: object
) -> None:
    plain = re.sub(r"^ *#.*\n", "", path.read_text("utf-8"), flags=re.MULTILINE)  # type: ignore[attr-defined]
    text, put = with_comments(loosened(plain, chance), chance)
    if codes(judge(text)):
        return  # a line that was broken was a text, or a comment came into one
    formed = canonical(text.encode())
    assert meaning(formed) == meaning(text)
    assert canonical(formed.encode()) == formed
    assert sorted(re.findall(r"#\d+#", formed)) == sorted(put)


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=12)


@settings(max_examples=200, deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=4, unique=True), NAMES)
def test_any_text_means_the_same_afterwards(names: list[str], why: str) -> None:
    rule = {"why": f"{why}\n{why}", "path": ["/" + name for name in names], "deny": "read"}
    document = {
        "version": 1, "name": "x", "mode": "audit", "subject": {"host": True},
        "file": {"rules": [rule], "default": "allow"},
    }  # fmt: skip
    for width in (20, 1000):
        text = yaml.safe_dump(document, allow_unicode=True, width=width, sort_keys=False)
        if any(code < "G3" for code in codes(judge(text))):
            continue
        assert meaning(canonical(text.encode())) == meaning(text)
