# SPDX-License-Identifier: Apache-2.0
"""The installed `guard` command, run as its user runs it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.kernel.harness import SHARED

GUARD = Path(sys.executable).parent / "guard"
PINS = Path("/sys/fs/bpf/guard")


def policy_file(directory: Path, text: str, name: str = "policy.yaml") -> Path:
    """A file with a policy."""
    path = directory / name
    path.write_text(text)
    return path


def guard(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command line to its end."""
    return subprocess.run(
        [GUARD, *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def pinned() -> list[str]:
    """The names of everything that guard has pinned, but for what the suite itself shares."""
    return sorted(set(os.listdir(PINS)) - {SHARED}) if PINS.exists() else []


def only_instance(status: str) -> dict[str, Any]:
    """The only instance in what `guard status --json` printed, but for what the suite shares."""
    (one,) = (one for one in json.loads(status)["instances"] if one["name"] != SHARED)
    assert isinstance(one, dict)
    return one


@contextlib.contextmanager
def enforcing(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """`guard run` for the host, from when it says that it enforces; ended at the end."""
    process = subprocess.Popen(
        [GUARD, "run", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None and process.stdout is not None
    try:
        said = process.stderr.readline()
        assert "guard: enforcing" in said, said + process.stderr.read()
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        process.stderr.close()


def records(text: str, event: str = "file.open") -> list[dict[str, Any]]:
    """The audit records of one kind among lines of JSON; without the canaries'."""
    parsed = [json.loads(line) for line in text.splitlines()]
    return [one for one in parsed if one["event"] == event and one.get("reason") != "canary"]
