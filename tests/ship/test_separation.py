# SPDX-License-Identifier: Apache-2.0
"""The collector is privileged and talks to nobody; the shipper talks and is nobody."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "guard"
COLLECTOR = ("audit", "daemon", "kernel", "plan", "wire")

# Whatever speaks to other hosts, of Python's own and of the libraries that guard ship may use.
NETWORK = frozenset(
    [
        "aiohttp",
        "confluent_kafka",
        "ftplib",
        "http",
        "httpx",
        "imaplib",
        "nats",
        "poplib",
        "requests",
        "smtplib",
        "socketserver",
        "ssl",
        "urllib",
        "urllib3",
        "xmlrpc",
    ]
)

# Who may open sockets, and why none of them leaves the host.
SOCKETS = {
    "audit/describe.py": "names of families, types and protocols",
    "daemon/canary_files.py": "canaries, UNIX names",
    "daemon/canary_net.py": "canaries, on the loopback",
    "daemon/control.py": "a UNIX socket, for root",
    "daemon/ingress_events.py": "numbers and addresses as text",
    "daemon/ingress_feed.py": "a UNIX socket, for whoever watches",
    "kernel/netlink.py": "the kernel's own, by netlink",
    "kernel/tcp_sockets.py": "addresses as text",
}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{one.name}" for one in node.names)


def sources() -> list[Path]:
    found = [path for part in COLLECTOR for path in (ROOT / part).rglob("*.py")]
    return [*found, *ROOT.glob("cli/run*.py")]


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_of_the_collector_knows_a_network(path: Path) -> None:
    found = set(imports(path))
    assert not {one for one in found if one.split(".")[0] in NETWORK}
    assert not {one for one in found if one.startswith("guard.ship")}


def test_the_collectors_sockets_are_these() -> None:
    opening = {str(path.relative_to(ROOT)) for path in sources() if "socket" in set(imports(path))}
    assert opening <= set(SOCKETS), "say here why it does not leave the host"
