# SPDX-License-Identifier: Apache-2.0
"""Traffic that goes on while a test changes things: what must pass, and what must not."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator

from tests.ingress_front.conftest import Running
from tests.ingress_front.lab import HOST_4

STREAM = """
import socket, sys, time
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
if sys.argv[2]: other.bind((sys.argv[2], 0))
stop = time.monotonic() + 300
sent = 0
print("ready", flush=True)
while time.monotonic() < stop:
    try:
        sender.sendto(b"pass", (sys.argv[1], 9000)); other.sendto(b"drop", (sys.argv[1], 9001))
    except ConnectionRefusedError: continue
    sent += 1
    if not sent % 8: time.sleep(0.001)
"""


def listener(host: Running, port: int) -> subprocess.Popen[str]:
    """Counts datagrams until its standard input ends."""
    source = f"""
import select, socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); server.bind(("{HOST_4}", {port}))
server.setsockopt(socket.SOL_SOCKET, 33, 1 << 25)  # SO_RCVBUFFORCE
print("ready", flush=True)
count = 0
while True:
    ready, _, _ = select.select([server, sys.stdin], [], [])
    if server in ready: server.recv(100); count += 1
    elif sys.stdin in ready: print(count, flush=True); break
"""
    made = host.lab.host.start(
        sys.executable, "-c", source, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert made.stdout is not None and made.stdout.readline() == "ready\n"
    return made


def counted(one: subprocess.Popen[str]) -> int:
    return int(one.communicate("")[0])


@contextlib.contextmanager
def stream(host: Running, source: str = "") -> Iterator[None]:
    """Datagrams to port 9000 that must pass and to 9001 that must not, all the time.

    ``source``: what the second kind comes from, if not from the peer's own address.
    """
    sender = host.lab.peer.start(
        sys.executable, "-c", STREAM, HOST_4, source, stdout=subprocess.PIPE
    )
    assert sender.stdout is not None and sender.stdout.readline() == "ready\n"
    try:
        yield
    finally:
        sender.kill()
        sender.wait()
        sender.stdout.close()
        time.sleep(0.2)  # what is on its way arrives
