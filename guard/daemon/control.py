# SPDX-License-Identifier: Apache-2.0
"""Commands that change a running guard tell it so, and it makes the record.

A datagram socket in a directory of root's: whoever gets there is root or was
let in by root, and the kernel says which process it was (unix(7),
SCM_CREDENTIALS). What is told is a statement, never a request: nothing is done
because of it, so a lie makes a record with the liar's name on it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from guard.audit.lifecycle import Caller

DIRECTORY = Path("/run/guard")
SUFFIX = ".control"

# Of a datagram: more than as many words, cut to their length, and the detail are,
# all of them in JSON's longest escapes.
LIMIT = 64 << 10
ARGUMENTS = 32
WORD = 128
DETAIL = 512

# Datagrams in a row before records get their turn.
AT_ONCE = 16

OUTCOMES = ("done", "refused", "failed")

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid

Record = Callable[[str, Sequence[str], Caller, str, str | None], bytes]
"""Lifecycle.control_called."""


class Listener:
    """The receiving end, of one instance. ``uid`` names a user, without waiting for anybody."""

    def __init__(
        self,
        name: str,
        user: Callable[[int], bytes | None] = lambda _: None,
        directory: Path = DIRECTORY,
    ) -> None:
        """Raises OSError if the socket cannot be had."""
        directory.mkdir(mode=0o700, exist_ok=True)
        self._path = directory / f"{name}{SUFFIX}"
        self._user = user
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()  # of a guard that was killed: an instance has one attendant
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            self._socket.bind(os.fspath(self._path))
            self._path.chmod(0o600)
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """Readable when somebody has said something."""
        return self._socket.fileno()

    def records(self, record: Record) -> list[bytes]:
        """A record for each call that was told since the last time."""
        lines = []
        space = socket.CMSG_SPACE(_CREDENTIALS.size)
        for _ in range(AT_ONCE):
            try:
                data, extra, flags, _ = self._socket.recvmsg(LIMIT, space)
            except OSError:
                break
            caller = self._caller(extra)
            command, arguments, outcome, detail = _read(data, bool(flags & socket.MSG_TRUNC))
            lines.append(record(command, arguments, caller, outcome, detail))
        return lines

    def close(self) -> None:
        """Ends it, and takes its name away."""
        self._socket.close()
        with contextlib.suppress(OSError):
            self._path.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _caller(self, extra: Sequence[tuple[int, int, bytes]]) -> Caller:
        for level, kind, data in extra:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                pid, uid, gid = _CREDENTIALS.unpack(data)
                exe = None
                with contextlib.suppress(OSError):  # it may have ended
                    exe = os.readlink(b"/proc/%d/exe" % pid)
                return Caller(pid, uid, gid, self._user(uid), exe)
        raise AssertionError("the kernel gives credentials with every datagram")


def tell(
    name: str,
    command: str,
    arguments: Sequence[str],
    outcome: str,
    detail: str | None = None,
    directory: Path = DIRECTORY,
) -> bool:
    """Tell the attendant of instance ``name`` what this process did; of any other if it has none.

    False: nobody listens, so there is no record. Never raises: the thing is done.
    """
    words = [_cut(word, WORD) for word in arguments[:ARGUMENTS]]
    told: dict[str, object] = {"command": command, "arguments": words, "outcome": outcome}
    told["detail"] = None if detail is None else _cut(detail, DETAIL)
    message = json.dumps(told).encode()
    own = directory / f"{name}{SUFFIX}"
    try:
        others = sorted(one for one in directory.glob(f"*{SUFFIX}") if one != own)
    except OSError:
        others = []
    for path in (own, *others):
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as to,
        ):
            to.sendto(message, os.fspath(path))
            return True
    return False


def _cut(word: str, size: int) -> str:
    return word if len(word) <= size else word[: size - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _read(data: bytes, cut: bool) -> tuple[str, list[str], str, str | None]:
    """The call that a datagram tells of; a call that cannot be read is one that failed."""
    try:
        told = json.loads(data)
        command, arguments = told["command"], told["arguments"]
        outcome, detail = told["outcome"], told["detail"]
        sound = (
            isinstance(command, str)
            and isinstance(arguments, list)
            and len(arguments) <= ARGUMENTS
            and all(isinstance(word, str) for word in arguments)
            and outcome in OUTCOMES
            and (detail is None or isinstance(detail, str))
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        sound = False
    if cut or not sound:
        return "unknown", [], "failed", "what was told cannot be read"
    return command, arguments, outcome, detail
