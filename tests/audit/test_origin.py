# SPDX-License-Identifier: Apache-2.0
"""Where records say they come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.audit.origin import Origin, read_origin

MACHINE = "4fb1b8a4fdd24eb6b5b2b6d5e0a5d2c1"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "proc/sys/kernel/random").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/hostname").write_text("web-1\n")
    (tmp_path / "proc/sys/kernel/random/boot_id").write_text("b0-07\n")
    (tmp_path / "etc").mkdir()
    return tmp_path


def test_a_host_is_known_by_systemds_application_id(root: Path) -> None:
    (root / "etc/machine-id").write_text(MACHINE + "\n")
    # systemd-id128 machine-id --app-specific=… on a host with this machine id
    assert read_origin("e", root) == Origin(
        "web-1", "4646349ad66b46c388a606c5c16f4c6f", "b0-07", "e"
    )


@pytest.mark.parametrize("content", ["", "uninitialized\n"])
def test_without_a_machine_id_the_name_is_the_id(root: Path, content: str) -> None:
    (root / "etc/machine-id").write_text(content)
    assert read_origin("e", root) == Origin("web-1", "web-1", "b0-07", "e")


def test_without_the_file_the_name_is_the_id(root: Path) -> None:
    assert read_origin("e", root).id == "web-1"
