# SPDX-License-Identifier: Apache-2.0
"""Receivers as processes: on loopback, with files of their own, ended by their pid."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from guard.ship.secrets import Secret
from guard.ship.tls import Tls

ROOT = Path(__file__).parents[3]
UNPACKED = ROOT / "build/receivers/root"
# Seconds for whatever a receiver does; on a busy machine it may take some.
PATIENCE = 30.0


def libraries() -> Path:
    """Where Debian's packages have their libraries."""
    return UNPACKED / "usr/lib" / str(sysconfig.get_config_var("MULTIARCH"))


def require_unpacked(program: str) -> Path:
    """The program's path; skips the test if the receivers were not unpacked."""
    path = UNPACKED / program
    if not path.exists():
        if os.environ.get("GUARD_REQUIRE_RECEIVERS"):
            pytest.fail(f"{path} is missing: packaging/setup/receivers unpacks it")
        pytest.skip("packaging/setup/receivers was not run")
    return path


def free_port() -> int:
    """A port of loopback that nobody had a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(true: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Waits for something to become true, and returns it."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        found = true()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {patience} s: {what}")


class Process:
    """A program that runs until it is stopped. ``ready``: whether it takes connections."""

    def __init__(
        self, command: Sequence[str | Path], log: Path, ready: Callable[[], bool], **more: Any
    ) -> None:
        self._command = [str(word) for word in command]
        self._log = log
        self._ready = ready
        self._more = more
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        with open(self._log, "ab") as log:
            self.process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._more
            )
        try:
            until(self._is_ready, f"{self._command[0]} takes connections")
        except BaseException:
            self.kill()
            raise

    def _is_ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"{self._command[0]} ended: {self._log.read_text()[-2000:]}")
        return self._ready()

    def stop(self) -> None:
        """As an administrator would."""
        assert self.process is not None
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """As a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()


def listens(port: int) -> bool:
    """Whether somebody takes connections on a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Certificates:
    """An authority, a receiver's certificate for loopback and a shipper's, as PEM files."""

    def __init__(self, directory: Path) -> None:
        import trustme

        directory.mkdir()
        self.authority = trustme.CA()
        self.ca = directory / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))
        self.server, self.server_key = self._issue(directory, "server", "localhost", "127.0.0.1")
        self.client, self.client_key = self._issue(directory, "client", "guard-ship.example")

    def tls(self, *, client: bool = True) -> Tls:
        """What a sink is told to use."""
        if not client:
            return Tls(ca=str(self.ca))
        return Tls(str(self.ca), str(self.client), Secret(file=str(self.client_key)))

    def _issue(self, directory: Path, name: str, *identities: str) -> tuple[Path, Path]:
        made = self.authority.issue_cert(*identities, common_name=identities[0])
        certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        key.touch(mode=0o600)
        made.private_key_pem.write_to_path(str(key))
        return certificate, key


@contextlib.contextmanager
def private_directory(prefix: str) -> Iterator[Path]:
    """A directory with a short name, as sockets need."""
    import tempfile

    path = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
