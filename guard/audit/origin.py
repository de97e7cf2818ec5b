# SPDX-License-Identifier: Apache-2.0
"""Which host, boot and run a record comes from.

Knows /etc/machine-id and /proc; nothing of records.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from dataclasses import dataclass
from pathlib import Path

# Ours, made once with uuid4; changing it would rename every host.
APPLICATION = uuid.UUID("984c8de5-cca6-4b2c-9783-3f8a4943c747")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where sequence numbers have their meaning: (id, boot, epoch, cpu, seq) is unique.

    ``id`` is 32 hexadecimal digits, or the host's name where there is no
    machine id; ``boot`` the kernel's boot id; ``epoch`` tells apart the times
    that the counters began at 0 within one boot, in the caller's own words.
    """

    name: str
    id: str
    boot: str
    epoch: str


def read_origin(epoch: str, root: Path = Path("/")) -> Origin:
    """This host's origin. Raises OSError if /proc does not tell the boot id or host name."""
    kernel = root / "proc/sys/kernel"
    name = (kernel / "hostname").read_text(errors="replace").strip()
    boot = (kernel / "random/boot_id").read_text().strip()
    try:
        machine = uuid.UUID((root / "etc/machine-id").read_text().strip())
    except (OSError, ValueError):
        # A container or an image before its first boot ("uninitialized").
        return Origin(name, name, boot, epoch)
    return Origin(name, application_id(machine), boot, epoch)


def application_id(machine: uuid.UUID) -> str:
    """The id that guard shows for a machine id, which itself is not to be shown.

    systemd's derivation (sd_id128_get_machine_app_specific), so that
    ``systemd-id128 machine-id --app-specific=…`` finds the host of a record.
    """
    digest = bytearray(hmac.digest(machine.bytes, APPLICATION.bytes, hashlib.sha256)[:16])
    digest[6] = digest[6] & 0x0F | 0x40
    digest[8] = digest[8] & 0x3F | 0x80
    return digest.hex()
