# SPDX-License-Identifier: Apache-2.0
"""Which kernel a short name stands for, and what of a package is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vm.kernels import _target, newest_release, release_key

PACKAGES = [
    "linux-image-6.1.0-9-amd64",
    "linux-image-6.1.0-50-amd64",
    "linux-image-6.1.0-50-amd64-dbg",
    "linux-image-6.1.0-51-cloud-amd64",
    "linux-image-6.1.0-51-rt-amd64",
    "linux-image-6.12.9+deb13-amd64",
    "linux-image-6.12.117+deb13-amd64",
    "linux-image-6.12.118+deb13-amd64-unsigned",
    "linux-image-6.16.3+deb13-amd64",
    "linux-image-7.3.4+deb13-amd64",
    "linux-image-7.3.4+deb14.1-amd64",
    "linux-image-amd64",
    "linux-modules-7.9.1+deb13-amd64",
]


@pytest.mark.parametrize(
    ("name", "release"),
    [
        ("6.1", "6.1.0-50-amd64"),
        ("6.12", "6.12.117+deb13-amd64"),
        ("newest", "7.3.4+deb14.1-amd64"),
        ("5.10", None),
    ],
)
def test_a_name_stands_for_the_newest_ordinary_image(name: str, release: str | None) -> None:
    assert newest_release(name, PACKAGES) == release


def test_releases_are_ordered_by_number_and_not_as_text() -> None:
    assert release_key("7.10.1+deb13-amd64") > release_key("7.9.2+deb13-amd64")


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("./boot/vmlinuz-7.3-amd64", "vmlinuz"),
        ("./usr/lib/modules/7.3-amd64/vmlinuz", "vmlinuz"),
        ("./lib/modules/7.3-amd64/modules.builtin", "lib/modules/7.3-amd64/modules.builtin"),
        (
            "./lib/modules/7.3-amd64/kernel/fs/ext4/ext4.ko",
            "lib/modules/7.3-amd64/kernel/fs/ext4/ext4.ko",
        ),
        (
            "./lib/modules/7.3-amd64/kernel/drivers/net/veth.ko",
            "lib/modules/7.3-amd64/kernel/drivers/net/veth.ko",
        ),
        ("./lib/modules/7.3-amd64/kernel/drivers/net/ethernet/intel/e1000/e1000.ko", None),
        ("./lib/modules/7.3-amd64/kernel/drivers/gpu/drm/drm.ko", None),
        ("./boot/config-7.3-amd64", None),
    ],
)
def test_a_package_keeps_its_image_and_the_modules_a_guest_can_use(
    name: str, target: str | None
) -> None:
    root = Path("/cache")
    assert _target(name, "7.3-amd64", root) == (root / target if target else None)
