# SPDX-License-Identifier: Apache-2.0
"""What all tests share: properties are not timed. A slow machine is no counter-example."""

from __future__ import annotations

from hypothesis import HealthCheck, settings


def pytest_configure() -> None:
    """Examples take as long as they take; tests that say otherwise have their own settings."""
    settings.register_profile(
        "untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("untimed")
