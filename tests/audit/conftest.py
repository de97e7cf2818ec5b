# SPDX-License-Identifier: Apache-2.0
"""Tests of the spool leave no descriptor and no thread behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.audit.spools import nothing_left


@pytest.fixture(autouse=True)
def spools_end() -> Iterator[None]:
    """Whatever a test left, as one of a killed collector does, is closed after it."""
    with nothing_left():
        yield
