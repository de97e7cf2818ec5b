# SPDX-License-Identifier: Apache-2.0
"""What every source file of the project keeps to: size, licence line, nobody's machine."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_LINES = 400
GENERATED = {Path("guard/wire/layout.py"), Path("guard/wire/ingress.py")}

_SKIPPED = {".git", ".venv", "build", "objects", "__pycache__"}
_SOURCE_SUFFIXES = {".py", ".c", ".h", ".sh", ".mk"}


def _files() -> Iterator[Path]:
    """All files that belong to the project, relative to its top."""
    for directory, directories, names in os.walk(ROOT):
        directories[:] = [
            name
            for name in directories
            if name not in _SKIPPED and not name.endswith(("_cache", ".egg-info", ".hypothesis"))
        ]
        for name in names:
            yield Path(directory, name).relative_to(ROOT)


def _text(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


def _is_source(path: Path) -> bool:
    """By its name, or because a script's first line says so."""
    if path.suffix in _SOURCE_SUFFIXES:
        return True
    with (ROOT / path).open("rb") as file:
        return file.read(2) == b"#!"


SOURCES = sorted(path for path in _files() if _is_source(path))


def test_there_are_sources_to_judge() -> None:
    assert len(SOURCES) > 50


def test_no_source_file_is_longer_than_a_reader_can_hold() -> None:
    long = {
        str(path): lines
        for path in SOURCES
        if path not in GENERATED and (lines := len(_text(path).splitlines())) > MOST_LINES
    }
    assert long == {}


def test_every_source_file_names_its_licence_at_its_head() -> None:
    wrong = []
    for path in SOURCES:
        kernel_side = path.parts[0] == "lsm" and path.suffix in {".c", ".h"}
        licence = "GPL-2.0-only OR BSD-2-Clause" if kernel_side else "Apache-2.0"
        head = _text(path).splitlines()[:2]
        if not any(f"SPDX-License-Identifier: {licence}" in line for line in head):
            wrong.append(str(path))
    assert wrong == []


def test_an_init_file_holds_no_code() -> None:
    with_code = [
        str(path) for path in SOURCES if path.name == "__init__.py" and ast.parse(_text(path)).body
    ]
    assert with_code == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path)
        for path in SOURCES
        if path.suffix == ".py"
        and path.name != "__init__.py"
        and path.parts[0] == "guard"
        and not ast.get_docstring(ast.parse(_text(path)))
    ]
    assert silent == []


def test_no_file_names_a_registry_or_the_place_of_a_checkout() -> None:
    registry = re.compile(r"https?://[\w.-]*(?:pypi|pythonhosted|debian|npmjs|crates)[\w.-]*")
    place = str(ROOT)
    named = []
    for path in _files():
        text = _text(path)
        if registry.search(text) or (len(ROOT.parts) > 2 and place in text):
            named.append(str(path))
    assert named == []
