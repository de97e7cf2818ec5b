# SPDX-License-Identifier: Apache-2.0
"""sd_notify(3): tells systemd that the shipper runs, and in one line how it fares."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping


def notify(*lines: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Sends the lines (``READY=1``, ``STATUS=…``); False if nobody asked to be told.

    Never raises: a manager that does not listen is no reason to stop.
    """
    address = environment.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):  # an abstract name
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
        to.sendto("\n".join(lines).encode(), address)
        return True
    return False
