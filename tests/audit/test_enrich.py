# SPDX-License-Identifier: Apache-2.0
"""The enrichment of this host, and of one that has nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

from guard.audit.clock import Clock
from guard.audit.enrich import enrichment
from guard.audit.objects import HashNote


def test_this_host_is_enough() -> None:
    found = enrichment(Clock())
    piece = found.identities.fragment(os.getpid(), 2**62, os.getppid(), 0, 0, 1, 1, 1)
    assert json.loads(b"{" + piece + b"}")["user"] == "root"
    found.settle()


def test_a_host_with_nothing_has_records_all_the_same(tmp_path: Path) -> None:
    found = enrichment(Clock(), tmp_path)
    piece = json.loads(b"{" + found.identities.fragment(1, 1, 1, 0, 0, 1, 1, 1) + b"}")
    assert (piece["cgroup_path"], piece["ancestors"]) == (None, [])
    assert found.hashes.of(b"/bin/sh", 1, 1, 0).note is HashNote.REMOTE
