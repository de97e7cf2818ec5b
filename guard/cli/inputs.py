# SPDX-License-Identifier: Apache-2.0
"""Policy files named on a command line: found, read and handed to the parser."""

from __future__ import annotations

import datetime as dt
import errno
import os
import stat
import sys
from collections.abc import Iterator, Sequence

from guard.policy import limits
from guard.policy.load import Loaded, load

STDIN = "-"
STDIN_NAME = "<stdin>"
SUFFIXES = (".yaml", ".yml")


class Inputs:
    """Names and contents of files, and one sentence for each that could not be read.

    ``paths`` has, for each name that is a file's, the path that opens it; what
    files include is added when it is read.
    """

    def __init__(self) -> None:
        self.files: list[tuple[str, bytes]] = []
        self.problems: list[str] = []
        self.paths: dict[str, str] = {}
        self._seen: set[tuple[int, int]] = set()

    def add(self, path: str) -> None:
        """Read a file; of a directory, every policy file below it, in order of name.

        ``-`` is standard input. A file that was read already is not read again.
        """
        try:
            if path == STDIN:
                self.files.append((STDIN_NAME, sys.stdin.buffer.read(limits.FILE_SIZE + 1)))
            elif os.path.isdir(path):
                before = len(self.files), len(self.problems)
                for name in self._below(path):
                    self._read(name)
                if before == (len(self.files), len(self.problems)):
                    self.problems.append(f"no {' or '.join(SUFFIXES)} file in {path!a}")
            else:
                self._read(path)
        except OSError as error:
            self._tell(path, error)

    def include(self, file: str, path: str) -> tuple[str, bytes]:
        """A fragment's name and content: ``path`` is relative to the directory of ``file``.

        Only regular files: nothing else ends for certain. Raises OSError.
        """
        path = os.path.join(os.path.dirname(self.paths.get(file, "")), path)
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
        with open(path, "rb", opener=lambda name, _: os.open(name, flags)) as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", path)
            data = opened.read(limits.FILE_SIZE + 1)
        name = _shown(path)
        self.paths.setdefault(name, path)
        return name, data

    def load(self) -> Loaded:
        """The files parsed and judged as one set, as of today (UTC)."""
        return load(self.files, self.include, today())

    def _read(self, path: str) -> None:
        try:
            with open(path, "rb") as file:
                status = os.fstat(file.fileno())
                identity = (status.st_dev, status.st_ino)
                if identity not in self._seen:
                    self._seen.add(identity)
                    self.files.append((path, file.read(limits.FILE_SIZE + 1)))
        except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
            self._tell(path, error)

    def _below(self, directory: str) -> Iterator[str]:
        for parent, directories, names in os.walk(
            directory, onerror=lambda error: self._tell(str(error.filename), error)
        ):
            directories[:] = sorted(name for name in directories if not name.startswith("."))
            for name in sorted(names):
                if name.endswith(SUFFIXES) and not name.startswith("."):
                    yield os.path.join(parent, name)

    def _tell(self, path: str, error: Exception) -> None:
        reason = error.strerror if isinstance(error, OSError) else error
        self.problems.append(f"cannot read {path!a}: {reason}")


def read_inputs(paths: Sequence[str]) -> Inputs:
    """Read all files that ``paths`` name."""
    inputs = Inputs()
    for path in paths:
        inputs.add(path)
    # Names that are not UTF-8 are kept apart by Python's surrogates, which no
    # output takes: they are shown as escapes.
    shown = [(_shown(path), path, data) for path, data in inputs.files]
    inputs.files = [(name, data) for name, _, data in shown]
    inputs.paths = {name: path for name, path, _ in shown if path != STDIN_NAME}
    return inputs


def today() -> dt.date:
    """The day that `expires` is held against."""
    return dt.datetime.now(dt.UTC).date()


def _shown(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode()
