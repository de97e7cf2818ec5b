# SPDX-License-Identifier: Apache-2.0
"""The filter, loaded once for a module's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ingress.native import Filter


@pytest.fixture(scope="module")
def loaded() -> Iterator[Filter]:
    """A filter with tables of the smallest size, and nothing in it yet."""
    made = Filter(20)
    yield made
    made.close()
