# SPDX-License-Identifier: Apache-2.0
"""Secrets of sinks: read from files or systemd's credentials, when they are needed.

Knows files, their owners and modes, and $CREDENTIALS_DIRECTORY (systemd.exec(5),
LoadCredential=). A secret is read again for every connection, so a new one
is in use after the next failure, and none is kept in the configuration.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass

# Longer than any token or password; a key file is not read here but named to the TLS library.
LIMIT = 16384

# What a secret's file must not allow: writing by a group, anything by others.
# A group may read it, as root:guard-ship 0640 is how a service's secret lies.
FORBIDDEN = stat.S_IWGRP | stat.S_IRWXO


class SecretError(Exception):
    """A secret that cannot be had, or that others can read; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret is: one of ``file`` (a path) and ``credential`` (a name) is set."""

    file: str | None = None
    credential: str | None = None

    def path(self, environment: Mapping[str, str] = os.environ) -> str:
        """The file that holds it. Raises SecretError outside of a unit with credentials."""
        if self.file is not None:
            return self.file
        directory = environment.get("CREDENTIALS_DIRECTORY")
        if directory is None:
            raise SecretError(
                f"the credential {self.credential} needs a systemd unit: $CREDENTIALS_DIRECTORY "
                f"is not set; LoadCredential={self.credential}:/path in the unit sets it"
            )
        return os.path.join(directory, str(self.credential))

    def checked(self, environment: Mapping[str, str] = os.environ) -> str:
        """The file's path, after its owner and mode were found to keep it secret."""
        path = self.path(environment)
        os.close(_open(path))
        return path

    def text(self, environment: Mapping[str, str] = os.environ) -> str:
        """The secret: the file's text without white space around it. Raises SecretError."""
        path = self.path(environment)
        file = _open(path)
        try:
            data = os.read(file, LIMIT + 1)
        except OSError as error:
            raise SecretError(f"the secret {path} cannot be read: {error.strerror}") from None
        finally:
            os.close(file)
        if len(data) > LIMIT:
            raise SecretError(f"the secret {path} has more than {LIMIT} bytes")
        try:
            text = data.decode("ascii").strip()
        except UnicodeDecodeError:
            raise SecretError(f"the secret {path} is not ASCII text") from None
        if not text:
            raise SecretError(f"the secret {path} is empty")
        if not text.isprintable():  # a newline would begin another header
            raise SecretError(f"the secret {path} has more than one line, or control characters")
        return text


def _open(path: str) -> int:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SecretError(f"the secret {path} cannot be read: {error.strerror}") from None
    status = os.fstat(file)
    problem = _problem(status)
    if problem is None:
        return file
    os.close(file)
    raise SecretError(f"the secret {path} {problem}")


def _problem(status: os.stat_result) -> str | None:
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file"
    if status.st_uid not in (0, os.geteuid()):
        return (
            f"belongs to user {status.st_uid}, who can change it; "
            f"it must belong to root or to user {os.geteuid()}"
        )
    if mode & FORBIDDEN:
        return f"has mode {mode:04o}, so others can get at it; chmod 0640 or 0600 it"
    return None
