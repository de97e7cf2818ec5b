# SPDX-License-Identifier: Apache-2.0
"""The key that signs checkpoints, and its other half that checks them.

Knows files and Ed25519 (through ``cryptography``, an extra: without it there
are checkpoints, unsigned). Knows nothing of what is signed.

Private: PKCS #8 in PEM, mode 0600, the reader's own. Public: SubjectPublicKeyInfo
in PEM, for whoever judges a trail. ``openssl pkey`` reads both.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guard.errors import GuardError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

# Longer than any key in PEM: what is not a key file is not read into memory.
_FILE_LIMIT = 16_384


class KeyProblem(GuardError):
    """A key file cannot be used or made; the message says why and the remedy what to do."""


class Signer:
    """Signs; ``key`` is the id under which the public half is known."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.key = _key_id(private.public_key())

    def sign(self, text: bytes) -> str:
        """The signature in hexadecimal."""
        return self._private.sign(text).hex()


class Checker:
    """Checks signatures of one key."""

    def __init__(self, public: Ed25519PublicKey) -> None:
        self._public = public
        self.key = _key_id(public)

    def holds(self, text: bytes, signature: str) -> bool:
        """Whether the signature (hexadecimal) is this key's for the text. Never raises."""
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - optional

        try:
            self._public.verify(bytes.fromhex(signature), text)
        except (InvalidSignature, ValueError):
            return False
        return True


def generate(path: Path) -> str:
    """Makes a key pair, ``path`` and ``path``.pub; returns its id. Overwrites nothing.

    Raises KeyProblem.
    """
    crypto = _cryptography()
    private = crypto.ed25519.Ed25519PrivateKey.generate()
    encoding = crypto.serialization.Encoding.PEM
    secret = private.private_bytes(
        encoding, crypto.serialization.PrivateFormat.PKCS8, crypto.serialization.NoEncryption()
    )
    public = private.public_key().public_bytes(
        encoding, crypto.serialization.PublicFormat.SubjectPublicKeyInfo
    )
    _create(path, secret, 0o600)
    try:
        _create(path.with_name(f"{path.name}.pub"), public, 0o644)
    except KeyProblem:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    return _key_id(private.public_key())


def load_signer(path: Path) -> Signer:
    """The private key of a file that only its owner, the caller or root, can read.

    Raises KeyProblem.
    """
    crypto = _cryptography()
    data = _read(path, private=True)
    try:
        key = crypto.serialization.load_pem_private_key(data, None)
    except (ValueError, TypeError) as error:
        raise KeyProblem(f"{path} holds no private key: {error}", remedy=_MAKE) from None
    if not isinstance(key, crypto.ed25519.Ed25519PrivateKey):
        raise KeyProblem(f"{path} holds a key that is not Ed25519", remedy=_MAKE)
    return Signer(key)


def load_checker(path: Path) -> Checker:
    """The public key of a file, which may also be the private one's. Raises KeyProblem."""
    crypto = _cryptography()
    data = _read(path, private=False)
    try:
        if b"PRIVATE KEY" in data:
            key = crypto.serialization.load_pem_private_key(data, None).public_key()
        else:
            key = crypto.serialization.load_pem_public_key(data)
    except (ValueError, TypeError) as error:
        raise KeyProblem(
            f"{path} holds no public key: {error}",
            remedy="give the .pub file that `guard audit keygen` wrote",
        ) from None
    if not isinstance(key, crypto.ed25519.Ed25519PublicKey):
        raise KeyProblem(f"{path} holds a key that is not Ed25519", remedy=_MAKE)
    return Checker(key)


_MAKE = "make one with `guard audit keygen FILE`"


def _read(path: Path, private: bool) -> bytes:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise KeyProblem(f"{path}: {error.strerror}", remedy=_MAKE) from None
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise KeyProblem(f"{path} is not a regular file")
        if private:
            _require_secret(path, status)
        return os.read(file, _FILE_LIMIT)
    finally:
        os.close(file)


def _require_secret(path: Path, status: os.stat_result) -> None:
    if status.st_uid not in (0, os.geteuid()):
        raise KeyProblem(
            f"{path} belongs to user {status.st_uid}, who could replace it",
            remedy=f"chown root {path}",
        )
    if status.st_mode & 0o077:
        raise KeyProblem(
            f"{path} has mode {status.st_mode & 0o7777:04o}: others than its owner can get at it",
            remedy=f"chmod 600 {path}; and make a new key if others may have read it",
        )


def _create(path: Path, data: bytes, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        file = os.open(path, flags, mode)
    except FileExistsError:
        raise KeyProblem(
            f"{path} is there already and stays as it is",
            remedy="name another file; checkpoints signed so far need the old public key",
        ) from None
    except OSError as error:
        raise KeyProblem(f"{path}: {error.strerror}") from None
    try:
        os.fchmod(file, mode)
        while data:
            data = data[os.write(file, data) :]
        os.fsync(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink()
        raise KeyProblem(f"{path}: {error.strerror}") from None
    finally:
        os.close(file)


def _key_id(public: Any) -> str:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - optional

    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


class _Cryptography:
    """The modules in use, imported when a key is."""

    def __init__(self) -> None:
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - optional
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415

        self.serialization = serialization
        self.ed25519 = ed25519


def _cryptography() -> _Cryptography:
    try:
        return _Cryptography()
    except ImportError:
        raise KeyProblem(
            "signing needs the Python package cryptography, which is not installed",
            remedy="pip install 'guard[sign]', or Debian's python3-cryptography",
        ) from None
