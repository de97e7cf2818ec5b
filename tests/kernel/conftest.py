# SPDX-License-Identifier: Apache-2.0
"""A kernel test that is skipped where the kernel was promised has failed; one load a module."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import pytest

from tests.kernel.harness import Enforcer, loaded


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failure."""
    report = yield
    if not hasattr(report, "wasxfail"):
        _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn a skipped file into a failure."""
    report = yield
    _refuse_skip(report)
    return report


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """In a guest, where ``GUARD_REQUIRE_KERNEL`` is 1, nothing has a reason to be skipped."""
    if report.skipped and os.environ.get("GUARD_REQUIRE_KERNEL") == "1":
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} may not be skipped here: {report.longreprtext}"


@pytest.fixture(scope="module")
def instance(request: pytest.FixtureRequest) -> Iterator[Enforcer]:
    """The one instance that a module's tests share."""
    with loaded(f"suite-{request.module.__name__.rpartition('_')[2]}") as enforcer:
        yield enforcer


@pytest.fixture
def enforcer(instance: Enforcer) -> Enforcer:
    """The module's instance, without records of earlier tests."""
    instance.drain()
    return instance
