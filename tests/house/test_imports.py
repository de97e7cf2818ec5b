# SPDX-License-Identifier: Apache-2.0
"""Imports go one way: text to tables to kernel, with the daemon and the commands on top."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "guard"

# What each package may import of guard, besides itself.
ALLOWED = {
    "wire": set(),
    "policy": {"wire"},
    "analysis": {"wire", "policy"},
    "convert": {"policy", "analysis"},
    "plan": {"wire", "policy", "analysis"},
    "kernel": {"wire", "policy", "analysis", "plan"},
    "audit": {"wire", "policy", "plan"},
    "ship": {"policy", "audit"},
    "daemon": {"wire", "policy", "analysis", "plan", "kernel", "audit"},
    "cli": {"wire", "policy", "analysis", "convert", "plan", "kernel", "audit", "ship", "daemon"},
}
# Modules beside the packages: anyone may import them, and they import nobody.
COMMON = {"errors", "version"}

# Runs on any system, with no kernel behind it.
PURE = ("wire", "policy", "analysis", "convert", "plan", "audit/decode.py")
IMPURE_MODULES = {"ctypes", "os", "socket", "subprocess"}


def _imports(path: Path) -> Iterator[str]:
    """The full names of all modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides the direction"
            assert node.module is not None
            if node.module == "guard":
                yield from (f"guard.{name.name}" for name in node.names)
            else:
                yield node.module


def _modules(where: str) -> list[Path]:
    path = PACKAGE / where
    return [path] if path.suffix else sorted(path.rglob("*.py"))


def test_every_package_has_a_place_in_the_order() -> None:
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages == set(ALLOWED)
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    assert modules <= COMMON | {"__init__"}


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_what_stands_below_it(package: str) -> None:
    allowed = ALLOWED[package] | COMMON | {package}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in _modules(package)
        for name in _imports(path)
        if name.split(".")[0] == "guard" and name.split(".")[1] not in allowed
    ]
    assert wrong == []


def test_the_common_modules_import_nothing_of_guard() -> None:
    wrong = [
        f"guard/{module}.py imports {name}"
        for module in COMMON
        for name in _imports(PACKAGE / f"{module}.py")
        if name.split(".")[0] == "guard"
    ]
    assert wrong == []


@pytest.mark.parametrize("where", PURE)
def test_what_needs_no_kernel_cannot_reach_one(where: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in _modules(where)
        for name in _imports(path)
        if name.split(".")[0] in IMPURE_MODULES
    ]
    assert wrong == []


def test_the_shipper_takes_of_policies_only_how_their_text_is_read() -> None:
    text = {"codes", "diagnostic", "findings", "nodes", "read", "source", "values", "vocabulary"}
    taken = {
        name.split(".")[2]
        for path in _modules("ship")
        for name in _imports(path)
        if name.startswith("guard.policy.")
    }
    assert taken <= text


def test_few_files_call_into_c() -> None:
    users = {
        str(path.relative_to(ROOT))
        for path in PACKAGE.rglob("*.py")
        if "ctypes" in {name.split(".")[0] for name in _imports(path)}
    }
    assert users <= {
        "guard/kernel/libbpf.py",
        "guard/kernel/libbpf_types.py",
        "guard/kernel/syscalls.py",
        "guard/audit/native.py",
    }
