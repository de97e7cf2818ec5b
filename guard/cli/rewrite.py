# SPDX-License-Identifier: Apache-2.0
"""Replacing a file's content so that at every moment the old or the new is there, whole."""

from __future__ import annotations

import contextlib
import errno
import os


class ChangedMeanwhile(OSError):
    """The file is not what it was when it was read."""


def rewrite(path: str, before: bytes, after: bytes) -> None:
    """Make ``after`` the content of a file whose content was ``before``.

    Mode, owner and extended attributes stay; a symlink goes on pointing to the
    file. Raises OSError, with the file as it was: ChangedMeanwhile if someone
    else wrote to it, PermissionError if it is not ours to write.
    """
    target = os.path.realpath(path)
    if not os.access(target, os.W_OK):
        # Its directory may be writable, and a rename would not ask the file.
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    with open(target, "rb") as file:
        status = os.fstat(file.fileno())
        if file.read(len(before) + 1) != before:
            raise ChangedMeanwhile(errno.EAGAIN, "it was changed meanwhile", path)
    new = os.path.join(os.path.dirname(target), f".guard-{os.getpid()}.tmp")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(after)
            file.flush()
            _like(target, status, descriptor)
            os.fsync(descriptor)
        os.replace(new, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(new)
        raise


def _like(target: str, status: os.stat_result, descriptor: int) -> None:
    """Give an open file the owner, attributes and mode of another."""
    own = os.fstat(descriptor)
    if (own.st_uid, own.st_gid) != (status.st_uid, status.st_gid):
        os.fchown(descriptor, status.st_uid, status.st_gid)
    try:
        names = os.listxattr(target)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        names = []
    for name in names:
        # The system sets some by itself, and not everyone may set them.
        with contextlib.suppress(PermissionError):
            os.setxattr(descriptor, name, os.getxattr(target, name))
    os.fchmod(descriptor, status.st_mode & 0o7777)  # last: a change of owner clears bits
