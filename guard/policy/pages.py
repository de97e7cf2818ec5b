# SPDX-License-Identifier: Apache-2.0
"""The manual's pages about codes: codes.md, which is shipped beside this module."""

from __future__ import annotations

import re
from pathlib import Path


def pages() -> dict[str, str]:
    """Every code's page as Markdown, by the code's number."""
    text = Path(__file__).with_name("codes.md").read_text("utf-8")
    found = {}
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        found[section.split(" ", 1)[0]] = f"# {section.rstrip()}\n"
    return found
