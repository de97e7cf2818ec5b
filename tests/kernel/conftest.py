# SPDX-License-Identifier: Apache-2.0
"""A kernel test that is skipped where the kernel was promised has failed; one load for all."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.kernel import calls
from tests.kernel.harness import SHARED, Enforcer, loaded

HERE = Path(__file__).parent
LSM_LIST = Path("/sys/kernel/security/lsm")


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


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Where bpf is not among the LSMs only what tests that is collected, elsewhere all else."""
    apart = HERE / "without_bpf"
    if HERE not in collection_path.parents:
        return None
    belongs = apart == collection_path or apart in collection_path.parents
    return belongs == _bpf_is_an_lsm() or None


def _bpf_is_an_lsm() -> bool:
    try:
        return "bpf" in LSM_LIST.read_text().strip().split(",")
    except OSError:
        return True  # not a machine for kernel tests


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """In a guest, where ``GUARD_REQUIRE_KERNEL`` is 1, nothing has a reason to be skipped."""
    if report.skipped and os.environ.get("GUARD_REQUIRE_KERNEL") == "1":
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} may not be skipped here: {report.longreprtext}"


@pytest.fixture(scope="session")
def instance() -> Iterator[Enforcer]:
    """The one instance that the tests share: to load another takes seconds."""
    with loaded(SHARED) as enforcer:
        yield enforcer


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system on a disk, whose dentries can be dropped."""
    top = tmp_path_factory.mktemp("disk")
    with (top / "image").open("wb") as image:
        image.truncate(16 << 20)
    for command in (
        ["mkfs.ext4", "-q", "-O", "^has_journal", top / "image"],
        ["modprobe", "-a", "loop", "ext4"],
    ):
        subprocess.run(command, check=True)
    (top / "disk").mkdir()
    subprocess.run(["mount", "-o", "loop", top / "image", top / "disk"], check=True)
    yield top / "disk"
    calls.unmount(top / "disk")


@pytest.fixture
def enforcer(instance: Enforcer) -> Enforcer:
    """The shared instance, without records of earlier tests."""
    instance.drain()
    return instance


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory ``top`` with a file to be protected and a neighbour."""
    (tmp_path / "top").mkdir()
    for name in ("secret", "other"):
        (tmp_path / "top" / name).write_text("contents")
    return tmp_path
