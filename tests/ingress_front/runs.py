# SPDX-License-Identifier: Apache-2.0
"""`guard run` in the background of a lab, and the policy that it runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, ClassVar

from tests.ingress_front.lab import HOST_IF

if TYPE_CHECKING:
    from tests.ingress_front.conftest import Running

POLICY = f"""\
version: 1
name: edge
mode: enforce
subject: {{host: true}}
ingress:
  interfaces: [{HOST_IF}]
  default: drop
  sets: {{bad: {{file: bad.txt}}}}
  rules:
    - {{id: block, deny: all, from: "@bad", why: known}}
    - {{id: web, allow: tcp, port: [22, 80], limit: {{rate: 1000/s}}}}
    - {{id: dns, allow: udp, sport: 53, from: 192.0.2.0/24}}
"""


class Run:
    """`guard run`, in the background."""

    started: ClassVar[list[subprocess.Popen[str]]] = []

    def __init__(self, host: Running, *words: str, **environment: str) -> None:
        self.process = host.lab.host.start(
            sys.executable,
            *("-m", "guard.cli.main", "run", *words),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **environment},
        )
        self.started.append(self.process)

    def says(self) -> str:
        """The next line of standard error."""
        assert self.process.stderr is not None
        return self.process.stderr.readline()

    def end(self, number: int = signal.SIGTERM) -> tuple[int, list[dict[str, Any]], str]:
        """Its exit status, its records, and what else it said."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, [json.loads(one) for one in out.splitlines()], err
