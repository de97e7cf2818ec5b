# SPDX-License-Identifier: Apache-2.0
"""One lab and one filter for many tests: loading takes a second, new tables milliseconds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from guard.daemon import ingress
from guard.daemon.ingress import Filter
from guard.daemon.ingress_state import State
from guard.kernel.libbpf import Libbpf
from guard.kernel.timed import Timed
from tests.ingress_front.lab import HOST_4, Lab
from tests.ingress_front.runs import POLICY, Run

_T = TypeVar("_T")


class Running:
    """A lab whose host has a filter."""

    def __init__(self) -> None:
        self.lab = Lab()

    def put(self, state: State) -> None:
        """Put this policy in force, whatever was, with no entries of run time."""

        def do() -> None:
            instance = ingress.running()
            if instance is None:
                ingress.start(Libbpf(), state).close()
                return
            found = ingress.adopt(Libbpf(), instance)
            timed = Timed(found.kernel)
            for bit in range(6):
                timed.clear(bit)
            timed.close()
            found.kernel.set_probes(b"")
            found.state = replace(found.state, timed=(), expired={})
            found.replace(state)
            found.close()

        self.lab.host.call(do)

    def with_filter(self, do: Callable[[Filter], _T]) -> _T:
        """What a function gives that is called with the filter, under its lock."""

        def inside() -> _T:
            instance = ingress.require_running()
            with ingress.locked(instance):
                return do(ingress.adopt(Libbpf(), instance))

        return self.lab.host.call(inside)

    def guard(self, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run the guard command on the host."""
        return self.lab.host.run(
            sys.executable, "-m", "guard.cli.main", *words, check=False, **more
        )

    def counts(self) -> dict[str, int]:
        """Packets by rule id, and by reason."""

        def count(found: Filter) -> dict[str, int]:
            from guard.wire.ingress import Reason

            slots = {name.split("/")[1]: slot for name, slot in found.state.slots.items()}
            names = {one.name.lower(): int(one) for one in Reason if one.name != "COUNT"}
            counted = found.kernel.counts([*slots.values(), *names.values()])
            return {name: counted[slot]["packets"] for name, slot in (names | slots).items()}

        return self.with_filter(count)

    def connects(self, port: int, address: str = HOST_4, source: str | None = None) -> bool:
        """Whether a TCP connection from the peer comes about."""
        return bool(self.ask("connect", port, address, source))

    def ask(self, what: str, port: int, address: str, source: str | None) -> Any:
        """An exchange between a server on the host and a client on the peer."""
        six = "6" if ":" in address else ""
        server = self.lab.host.start(
            sys.executable, "-c", _SERVER, address, str(port), what, stdout=subprocess.PIPE
        )
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n", six
        try:
            said = self.lab.peer.python(_CLIENT, address, str(port), what, source or "").stdout
        finally:
            server.kill()
            server.wait()
            server.stdout.close()
        return json.loads(said)

    def close(self) -> None:
        """End the lab, and the filter with it."""
        self.lab.close()


_SERVER = """
import socket, sys
address, port, what = sys.argv[1], int(sys.argv[2]), sys.argv[3]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
if what == "udp":
    server = socket.socket(family, socket.SOCK_DGRAM); server.bind((address, port))
    print("ready", flush=True)
    while True:
        data, peer = server.recvfrom(70000); server.sendto(data, peer)
else:
    server = socket.create_server((address, port), family=family)
    print("ready", flush=True)
    while True:
        one, _ = server.accept(); one.sendall(b"hello"); one.close()
"""

_CLIENT = """
import json, socket, sys
address, port, what, source = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
kind = socket.SOCK_DGRAM if what == "udp" else socket.SOCK_STREAM
client = socket.socket(family, kind); client.settimeout(0.4)
if source: client.bind((source, 0))
try:
    client.connect((address, port))
    # Long enough that what a rejection quotes fits into its place.
    if what == "udp": client.send(b"hello" * 20)
    print(json.dumps(client.recv(100)[:5] == b"hello"))
except ConnectionRefusedError: print('"refused"' if what != "connect" else "false")
except TimeoutError: print("false")
except OSError as error: print("false" if what == "connect" else f'"{error.strerror}"')
"""


@pytest.fixture(scope="package")
def host() -> Iterator[Running]:
    made = Running()
    yield made
    made.close()


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    (tmp_path / "bad.txt").write_text("198.51.100.0/24\n")
    path = tmp_path / "edge.yaml"
    path.write_text(POLICY)
    return path


@pytest.fixture
def fresh() -> Iterator[Running]:
    """A lab without a filter."""
    made = Running.__new__(Running)
    made.lab = Lab()
    yield made
    for one in Run.started:
        one.kill()  # what a failed test left behind; ended ones are told no more
    Run.started.clear()
    made.close()
