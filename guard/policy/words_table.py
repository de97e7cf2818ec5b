# SPDX-License-Identifier: Apache-2.0
"""The manual's tables of verbs, made from the words: `python -m guard.policy.words_table FILE`.

Knows Markdown, and where in a page a table belongs: between the comments
``<!-- verbs: SECTION -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from guard.policy.words import EXEC, FILE, KERNEL, NET, Verbs

_PLACE = re.compile(r"(<!-- verbs: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(verbs: Verbs[Any]) -> str:
    """One section's words and meanings; of capabilities none, their names say enough."""
    rows = [
        f"| `{word}` | {verbs.meanings[member]} |"
        for word, member in verbs.words.items()
        if not word.startswith("cap_")
    ]
    return "\n".join([f"| {verbs.noun} | covers |", "|---|---|", *rows])


def filled(page: str) -> str:
    """A page with its tables as they are to be."""
    every = {verbs.section: verbs for verbs in (FILE, EXEC, NET, KERNEL)}
    return _PLACE.sub(lambda place: f"{place[1]}\n{table(every[place[2]])}\n\n{place[3]}", page)


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(filled(page.read_text("utf-8")), "utf-8")
