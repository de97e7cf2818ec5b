# SPDX-License-Identifier: Apache-2.0
"""Exceptions for people: what went wrong, and what to do about it."""

from __future__ import annotations


class GuardError(Exception):
    """An error to be shown in one sentence; ``remedy`` says what to do."""

    def __init__(self, message: str, remedy: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy


class HostError(GuardError):
    """This host, kernel or installation cannot do what was asked."""
