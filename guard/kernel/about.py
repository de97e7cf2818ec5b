# SPDX-License-Identifier: Apache-2.0
"""What an instance says about itself, kept in the kernel beside what it loaded.

In a pinned map and not in a file: it lives exactly as long as the programs,
and needs the same privilege to change. JSON, compressed.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from typing import Any

from guard.errors import HostError
from guard.kernel.fdinfo import fdinfo
from guard.kernel.libbpf import MAP_TYPE_ARRAY, Libbpf
from guard.kernel.pins import Instance
from guard.version import VERSION
from guard.wire.fingerprint import fingerprint
from guard.wire.layout import Abi

PIN = "about"

PINS = 1
"""Changes whenever pins get other names or meanings, or the members of ``about`` do."""

_ZERO = struct.pack("=I", 0)


def write(libbpf: Libbpf, instance: Instance, about: dict[str, Any], pin: str = PIN) -> None:
    """Pin ``about``; what was there is replaced in one rename. Raises LibbpfError."""
    blob = zlib.compress(json.dumps(about, separators=(",", ":")).encode())
    fd = libbpf.map_create(MAP_TYPE_ARRAY, "guard_about", len(_ZERO), len(blob), 1)
    try:
        libbpf.map_update(fd, _ZERO, blob, "about")
        libbpf.map_freeze(fd)
        new = instance.map(f"{pin}_new")
        libbpf.pin(fd, new)
        os.rename(new, instance.map(pin))
    finally:
        os.close(fd)


def read(libbpf: Libbpf, instance: Instance, pin: str = PIN) -> dict[str, Any]:
    """What the instance says. Raises LibbpfError, or HostError when it makes no sense."""
    fd = libbpf.open_pin(instance.map(pin))
    try:
        size = fdinfo(fd)["value_size"]
        # Values are rounded up to eight bytes where they are read.
        blob = libbpf.map_lookup(fd, _ZERO, (size + 7) // 8 * 8, pin) or b""
        about = json.loads(zlib.decompressobj().decompress(blob))
    except (ValueError, KeyError, zlib.error) as error:
        raise HostError(
            f"guard instance {instance.name!r} does not describe itself: {error}",
            remedy="it was made by another version of guard; `guard unload` removes it",
        ) from None
    finally:
        os.close(fd)
    if not isinstance(about, dict):
        raise HostError(f"guard instance {instance.name!r} does not describe itself")
    return about


def layout() -> str:
    """The number of what this guard pins: of wire.h, of the pins, and a digest of wire.h."""
    return f"{int(Abi.VERSION)}.{PINS}-{fingerprint()}"


def require_layout(instance: Instance, about: dict[str, Any]) -> None:
    """Raise HostError where another guard's pins are not laid out as this one's are."""
    theirs, ours = about.get("layout", "unnumbered"), layout()
    if theirs != ours:
        raise HostError(
            f"the instance {instance.name!r} was loaded by guard {about.get('guard', '?')} in"
            f" layout {theirs}, and this is guard {VERSION}, which knows layout {ours} alone",
            remedy="what is loaded goes on enforcing; attend it with the guard that loaded it, or"
            f" `guard run --name NEW` with this one and then `guard unload {instance.name}`, which"
            " leaves no gap",
        )
