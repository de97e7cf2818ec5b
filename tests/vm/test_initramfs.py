# SPDX-License-Identifier: Apache-2.0
"""What goes into a guest's initial file system, and in which order."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.vm.initramfs import InitramfsError, _entry, load_order

DEPENDENCIES = """\
kernel/fs/9p/9p.ko.xz: kernel/net/9p/9pnet.ko.xz kernel/fs/netfs/netfs.ko.xz
kernel/net/9p/9pnet.ko.xz: kernel/fs/netfs/netfs.ko.xz
kernel/net/9p/9pnet_virtio.ko.xz: kernel/net/9p/9pnet.ko.xz kernel/fs/netfs/netfs.ko.xz
kernel/fs/netfs/netfs.ko.xz:
"""
BUILTIN = "kernel/drivers/virtio/virtio_pci.ko\nkernel/drivers/char/virtio-console.ko\n"


def test_a_module_comes_after_what_it_needs_and_once() -> None:
    order = load_order(DEPENDENCIES, BUILTIN, ("9pnet_virtio", "9p"))
    assert order == [
        "kernel/fs/netfs/netfs.ko.xz",
        "kernel/net/9p/9pnet.ko.xz",
        "kernel/net/9p/9pnet_virtio.ko.xz",
        "kernel/fs/9p/9p.ko.xz",
    ]


def test_a_module_in_the_kernel_itself_needs_no_file() -> None:
    assert load_order(DEPENDENCIES, BUILTIN, ("virtio_pci", "virtio_console")) == []


def test_a_kernel_without_a_needed_module_is_refused() -> None:
    with pytest.raises(InitramfsError, match="no module overlay"):
        load_order(DEPENDENCIES, BUILTIN, ("overlay",))


@pytest.mark.skipif(shutil.which("busybox") is None, reason="no busybox to read cpio with")
@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5])
def test_an_archive_is_what_cpio_reads(size: int, tmp_path: Path) -> None:
    content = bytes(range(size))
    archive = _entry("a" * (size + 1), 0o100644, content) + _entry("TRAILER!!!", 0, b"")
    subprocess.run(
        ["busybox", "cpio", "-i"], input=archive, cwd=tmp_path, check=True, capture_output=True
    )
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [content]
