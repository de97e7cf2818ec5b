# SPDX-License-Identifier: Apache-2.0
"""Mounts that the kernel tests make and take away again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.kernel import calls


@contextlib.contextmanager
def mounted(kind: str, target: Path, source: str = "none", options: str = "") -> Iterator[None]:
    """A mount in this name space; ``kind`` may be "bind"."""
    target.mkdir(exist_ok=True)
    calls.mount(source, target, kind, options)
    try:
        yield
    finally:
        calls.unmount(target)
