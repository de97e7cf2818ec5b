# SPDX-License-Identifier: Apache-2.0
"""Stock Debian kernels for the guests: found in the archive, unpacked, cached.

A kernel is asked for by a short name ("6.1", "6.12", "newest"). It is never
installed: its image and the modules a guest can use are unpacked into a cache
directory (``GUARD_CACHE``, by default ``~/.cache/guard``). Knows nothing about
how a guest is started.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.vm.archive import Archive, ArchiveError

NEWEST = "newest"
_SUITES = {"6.1": ("bookworm",), "6.12": ("trixie",)}
_ALL_SUITES = ("bookworm", "trixie", "trixie-backports")

# linux-image-6.1.0-50-amd64, linux-image-6.12.117+deb13-amd64; no cloud, rt, dbg, unsigned.
_IMAGE = re.compile(r"linux-image-(\d+(?:\.\d+)+(?:-\d+|\+deb\d+(?:\.\d+)?)-amd64)")

_PARTS = ("base", "binary", "modules")

_WANTED_MODULES = re.compile(
    r"/kernel/(?:arch|block|crypto|fs|kernel|lib|mm|net|security"
    r"|drivers/(?:block|virtio|char|md|net/[^/]+$|net/(?:bonding|ipvlan|vxlan|wireguard)))"
)

_STALE_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Kernel:
    """One unpacked kernel."""

    release: str
    """What ``uname -r`` says in the guest."""
    root: Path
    """Its directory: ``vmlinuz`` and ``lib/modules/RELEASE``."""

    @property
    def image(self) -> Path:
        """The bootable image."""
        return self.root / "vmlinuz"

    @property
    def modules(self) -> Path:
        """The modules, with the files that depmod makes."""
        return self.root / "lib/modules" / self.release

    @property
    def version(self) -> tuple[int, int]:
        """Major and minor version."""
        return release_key(self.release)[:2]  # type: ignore[return-value]


def cache_directory() -> Path:
    """Where kernels and initial file systems are kept between runs."""
    chosen = os.environ.get("GUARD_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache/guard"


def release_key(release: str) -> tuple[int, ...]:
    """The numbers in a release, for ordering: 7.10.1 is newer than 7.9.2."""
    return tuple(int(number) for number in re.findall(r"\d+", release.removesuffix("-amd64")))


def newest_release(name: str, packages: Iterable[str]) -> str | None:
    """The newest release among package names that ``name`` stands for, if there is one."""
    releases = [found[1] for package in packages if (found := _IMAGE.fullmatch(package))]
    if name != NEWEST:
        releases = [release for release in releases if release.startswith(name + ".")]
    return max(releases, key=release_key, default=None)


def obtain(name: str, *, refresh: bool = False) -> Kernel:
    """The kernel that ``name`` stands for, from the cache or else from the archive.

    With ``refresh`` the archive is asked for a newer one when the last answer
    is a week old; if it cannot be reached, the cached one serves, and a line on
    stderr says so. Raises ArchiveError when there is neither.
    """
    kernels = cache_directory() / "kernels"
    kernels.mkdir(parents=True, exist_ok=True)
    with _locked(kernels / "lock"):
        cached = _cached(kernels, name)
        if cached and not (refresh and _is_stale(kernels / name)):
            return cached
        try:
            return _fetch(kernels, name)
        except ArchiveError as error:
            if cached is None:
                raise
            print(f"kernel {name}: using {cached.release} from the cache: {error}", file=sys.stderr)
            return cached


def _cached(kernels: Path, name: str) -> Kernel | None:
    link = kernels / name
    if not (link / "package").exists():
        return None
    root = link.resolve()
    return Kernel(release=root.name, root=root)


def _is_stale(link: Path) -> bool:
    return time.time() - link.lstat().st_mtime > _STALE_SECONDS


def _fetch(kernels: Path, name: str) -> Kernel:
    archive = Archive(kernels / "apt", _SUITES.get(name, _ALL_SUITES))
    archive.update()
    packages = set(archive.names([f"linux-{part}-" for part in ("image", *_PARTS)]))
    release = newest_release(name, packages)
    if release is None:
        raise ArchiveError(f"no kernel {name} in the archive")
    root = kernels / release
    version = archive.version(f"linux-image-{release}")
    package = root / "package"
    if not package.exists() or package.read_text().strip() != version:
        # From 7.2 on the image package is empty, and these hold what it held.
        split = [f"linux-{part}-{release}" for part in _PARTS]
        wanted = split if packages.issuperset(split) else [f"linux-image-{release}"]
        with tempfile.TemporaryDirectory(dir=kernels, prefix="fetch-") as directory:
            fetched = archive.download(wanted, Path(directory, "packages"))
            unpacked = Path(directory, "root")
            for file in fetched:
                _unpack(file, release, unpacked)
            _index_modules(unpacked, release)
            (unpacked / "package").write_text(version + "\n")
            shutil.rmtree(root, ignore_errors=True)
            unpacked.rename(root)
    link = kernels / name
    link.unlink(missing_ok=True)
    link.symlink_to(release)
    return Kernel(release=release, root=root)


def _unpack(package: Path, release: str, root: Path) -> None:
    """Take the image and the wanted modules out of a Debian package, without dpkg's state."""
    modules = root / "lib/modules" / release
    modules.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            for member in archive:
                target = _target(member.name, release, root)
                content = archive.extractfile(member) if member.isfile() and target else None
                if target is None or content is None:
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as file:
                    shutil.copyfileobj(content, file)
        process.stdout.read()
    if process.returncode:
        raise ArchiveError(f"{package.name} cannot be unpacked")


def _target(name: str, release: str, root: Path) -> Path | None:
    """Where a file of the package goes, or None when a guest has no use for it."""
    if name.endswith((f"/vmlinuz-{release}", f"/{release}/vmlinuz")):
        return root / "vmlinuz"
    _, found, inside = name.partition(f"lib/modules/{release}/")
    if not found or not (inside.startswith("modules.") or _WANTED_MODULES.search("/" + inside)):
        return None
    return root / "lib/modules" / release / inside


def _index_modules(root: Path, release: str) -> None:
    if not (root / "vmlinuz").exists():
        raise ArchiveError(f"the packages of {release} hold no image")
    depmod = shutil.which("depmod", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if depmod is None:
        raise ArchiveError("depmod is not here: install the package kmod")
    subprocess.run([depmod, "-b", root, release], check=True, stderr=subprocess.DEVNULL)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock, so that runs at the same time do not fetch the same thing twice."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
