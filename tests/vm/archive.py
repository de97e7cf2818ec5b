# SPDX-License-Identifier: Apache-2.0
"""Packages from the Debian archive that this machine's own apt is set up for.

apt itself does the work, with a state directory of its own: it verifies the
signature of the suite and the hash of each package, and the machine's own
package state is neither read nor changed. Knows nothing about kernels.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)

# Suites of Debian proper; with "-security" and the like they live on other sites.
_DEBIAN_SUITE = re.compile(
    r"(bookworm|trixie|forky|sid|stable|testing|unstable|oldstable)(-updates|-backports)?"
)


class ArchiveError(Exception):
    """The archive is unknown, out of reach, or does not hold what was asked for."""


class Archive:
    """Some suites of the Debian archive, as apt sees them from ``state``."""

    def __init__(self, state: Path, suites: Sequence[str]) -> None:
        self._state = state
        self._suites = tuple(suites)

    def update(self) -> None:
        """Fetch the suites' signed package indices. Raises ArchiveError."""
        if shutil.which("apt-get") is None:
            raise ArchiveError("apt-get is not here: kernels come from a Debian archive by apt")
        keyring = next((path for path in KEYRINGS if path.exists()), None)
        if keyring is None:
            raise ArchiveError("no Debian keyring: install the package debian-archive-keyring")
        site = _site()
        for directory in ("state/lists/partial", "cache/archives/partial"):
            (self._state / directory).mkdir(parents=True, exist_ok=True)
        lines = [f"deb [signed-by={keyring}] {site} {suite} main" for suite in self._suites]
        (self._state / "sources.list").write_text("\n".join(lines) + "\n")
        done = self._apt("apt-get", "--error-on=any", "update")
        if done.returncode:
            raise ArchiveError(f"the Debian archive cannot be read: {_first_error(done.stderr)}")

    def names(self, prefixes: Iterable[str]) -> list[str]:
        """The names of all packages that start with one of ``prefixes``."""
        found: list[str] = []
        for prefix in prefixes:
            done = self._apt("apt-cache", "pkgnames", prefix)
            if done.returncode:
                raise ArchiveError(f"apt-cache failed: {_first_error(done.stderr)}")
            found += done.stdout.split()
        return found

    def version(self, name: str) -> str:
        """The version of ``name`` that ``download`` would get."""
        done = self._apt("apt-cache", "show", "--no-all-versions", name)
        for line in done.stdout.splitlines():
            if line.startswith("Version: "):
                return line.removeprefix("Version: ")
        raise ArchiveError(f"the archive has no package {name}")

    def download(self, names: Sequence[str], into: Path) -> list[Path]:
        """Fetch the packages, verified by apt, into an empty directory."""
        into.mkdir(parents=True)
        done = self._apt("apt-get", "-q", "download", *names, cwd=into)
        files = sorted(into.glob("*.deb"))
        if done.returncode or len(files) != len(names):
            raise ArchiveError(f"{' '.join(names)} not fetched: {_first_error(done.stderr)}")
        return files

    def _apt(
        self, tool: str, *arguments: str, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        options = {
            "Dir::Etc::sourcelist": self._state / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Dir::State": self._state / "state",
            "Dir::State::status": "/dev/null",
            "Dir::Cache": self._state / "cache",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "APT::Architecture": "amd64",
            "APT::Architectures": "amd64",
            # The cache is this user's: apt's own download user may not enter it.
            "APT::Sandbox::User": "root",
        }
        spelled = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        return subprocess.run(
            [tool, *spelled, *arguments],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )


def _site() -> str:
    """The address of the Debian archive in this machine's apt configuration.

    ``GUARD_ARCHIVE`` in the environment overrides it.
    """
    if chosen := os.environ.get("GUARD_ARCHIVE"):
        return chosen
    # What apt has already fetched says what it is by its label ...
    known = _lines(
        "apt-get", "indextargets", "--format", "$(LABEL) $(SITE)", "Created-By: Packages"
    )
    for line in known:
        label, _, site = line.rpartition(" ")
        if label == "Debian":
            return site
    # ... and what it has not fetched yet, only by the name of its suite.
    for line in _lines("apt-get", "--print-uris", "update"):
        found = re.match(r"'([^']+)/dists/([^/']+)/", line)
        if found and _DEBIAN_SUITE.fullmatch(found[2]):
            return found[1]
    raise ArchiveError(
        "no Debian archive in this machine's apt configuration: "
        "put one there, or its address in GUARD_ARCHIVE"
    )


def _lines(*command: str) -> list[str]:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return done.stdout.splitlines()


def _first_error(text: str) -> str:
    lines = [line for line in text.splitlines() if line.startswith(("E: ", "Err:"))]
    return lines[0] if lines else "apt did not say why"
