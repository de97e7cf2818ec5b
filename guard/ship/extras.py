# SPDX-License-Identifier: Apache-2.0
"""Libraries that only one kind of sink needs, imported when such a sink is made."""

from __future__ import annotations

import importlib
from typing import Any

from guard.errors import GuardError


class MissingExtra(GuardError):
    """A library that a sink needs is not installed; the remedy is the command that does it."""


def require_extra(module: str, extra: str) -> Any:
    """The module; MissingExtra, naming guard's extra that has it, if it is not there."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(
            f"{error.name or module} is not installed",
            remedy=f"pip install 'guard[{extra}]' into guard's environment",
        ) from None
