# SPDX-License-Identifier: Apache-2.0
"""The initial file system of a guest: busybox, the first script, a few modules.

It holds only what is needed to reach the host's root file system over 9p.
Knows nothing about the command that the guest will run.
"""

from __future__ import annotations

import hashlib
import stat
import subprocess
from pathlib import Path

from tests.vm.kernels import Kernel, cache_directory

BUSYBOX = Path("/bin/busybox")
FIRST_SCRIPT = Path(__file__).with_name("initramfs.sh")

_MODULES = ("virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay")
_DIRECTORIES = ("bin", "dev", "proc", "modules", "lower", "upper", "keep", "new")
_COMMANDS = (
    *("ifconfig", "insmod", "ln", "mkdir", "mkfifo", "mount", "poweroff", "sh", "switch_root"),
)
_DECOMPRESSORS = {".xz": ("xz", "-dc"), ".zst": ("zstd", "-qdc"), ".gz": ("gzip", "-dc")}


class InitramfsError(Exception):
    """Something that the initial file system is made of is missing."""


def obtain(kernel: Kernel) -> Path:
    """The initial file system for ``kernel``, from the cache when nothing in it changed."""
    if not BUSYBOX.exists():
        raise InitramfsError("no /bin/busybox: install the package busybox-static")
    key = hashlib.sha256()
    for part in (Path(__file__), FIRST_SCRIPT, BUSYBOX, kernel.root / "package"):
        key.update(part.read_bytes())
    path = kernel.root / f"initramfs-{key.hexdigest()[:16]}"
    if not path.exists():
        content = _build(kernel)
        partial = cache_directory() / f"{path.name}.partial"
        partial.write_bytes(content)
        for old in kernel.root.glob("initramfs-*"):
            old.unlink(missing_ok=True)
        partial.rename(path)
    return path


def load_order(dependencies: str, builtin: str, wanted: tuple[str, ...]) -> list[str]:
    """The module files to insert for ``wanted``, each after what it needs.

    ``dependencies`` and ``builtin`` are the texts of ``modules.dep`` and
    ``modules.builtin``. A module that is part of the kernel needs no file; one
    that is neither raises InitramfsError.
    """
    needs: dict[str, list[str]] = {}
    files: dict[str, str] = {}
    for line in dependencies.splitlines():
        file, _, rest = line.partition(":")
        needs[file] = rest.split()
        files[_module_name(file)] = file
    part_of_kernel = {_module_name(file) for file in builtin.splitlines()}
    order: list[str] = []
    for name in wanted:
        if name in part_of_kernel:
            continue
        if name not in files:
            raise InitramfsError(f"the kernel has no module {name}")
        # modules.dep lists all that is needed, nearest first.
        for file in [*reversed(needs[files[name]]), files[name]]:
            if file not in order:
                order.append(file)
    return order


def _module_name(file: str) -> str:
    return file.rpartition("/")[2].partition(".")[0].replace("-", "_")


def _build(kernel: Kernel) -> bytes:
    modules = load_order(
        (kernel.modules / "modules.dep").read_text(),
        (kernel.modules / "modules.builtin").read_text(),
        _MODULES,
    )
    entries = [_entry(name, stat.S_IFDIR | 0o755, b"") for name in _DIRECTORIES]
    entries.append(_entry("init", stat.S_IFREG | 0o755, FIRST_SCRIPT.read_bytes()))
    entries.append(_entry("bin/busybox", stat.S_IFREG | 0o755, BUSYBOX.read_bytes()))
    for command in _COMMANDS:
        entries.append(_entry(f"bin/{command}", stat.S_IFLNK | 0o777, b"busybox"))
    for number, file in enumerate(modules):
        # The number keeps the order: the script inserts them by name.
        name = f"modules/{number:02}-{_module_name(file)}.ko"
        entries.append(_entry(name, stat.S_IFREG | 0o644, _read_module(kernel.modules / file)))
    entries.append(_entry("TRAILER!!!", 0, b""))
    return b"".join(entries)


def _read_module(path: Path) -> bytes:
    command = _DECOMPRESSORS.get(path.suffix)
    if command is None:
        return path.read_bytes()
    try:
        return subprocess.run([*command, path], check=True, stdout=subprocess.PIPE).stdout
    except FileNotFoundError as error:
        raise InitramfsError(f"{command[0]} is not here to unpack {path.name}") from error


def _entry(name: str, mode: int, content: bytes) -> bytes:
    """One member of a cpio archive in the "newc" form that the kernel reads.

    The fields are inode, mode, uid, gid, links, mtime, size, four device
    numbers, length of the name, checksum; name and content are padded to 4.
    """
    text = name.encode() + b"\0"
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(text), 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + text
    return head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)
