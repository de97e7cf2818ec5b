# SPDX-License-Identifier: Apache-2.0
"""From a real denial to a judged trail: guard run --spool, guard audit."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from guard.audit.spool_reader import SpoolReader
from tests.kernel.command import guard, pinned, policy_file
from tests.kernel.harness import DRIVERS, literal, policy, rule

pytestmark = pytest.mark.kernel

OPEN = DRIVERS / "open"


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """Each test begins with nothing loaded and leaves nothing."""
    assert pinned() == []
    yield
    left = pinned()
    if left:
        guard("unload", *left)
    assert left == []


def test_denials_lie_chained_and_signed_in_the_spool_and_what_is_allowed_beside_them(
    tmp_path: Path,
) -> None:
    secret, public = tmp_path / "secret", tmp_path / "public"
    for path in (secret, public):
        path.write_text("contents")
    text = policy(
        rule("deny", "read", literal(secret)),
        rule("allow", "read", literal(public), more="audit: true", id="told"),
    )
    file = policy_file(tmp_path, text)
    spool, key = tmp_path / "spool", tmp_path / "k"
    assert guard("audit", "keygen", key).returncode == 0

    script = f"{OPEN} {public} || exit 99; {OPEN} {secret}; test $? = {errno.EACCES}"
    for _ in range(2):  # a second run takes the first one's spool over
        done = guard("run", "--spool", spool, "--key", key, file, "--", "/bin/sh", "-c", script)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr

    shown = guard("audit", "cat", "--json", spool)
    records = [json.loads(line) for line in shown.stdout.splitlines()]
    opened = [
        (one["verdict"], one["object"]["path"])
        for one in records
        if one["event"] == "file.open" and one["reason"] == "policy"
    ]
    assert [one for one in opened if one[1] == str(secret)] == [("denied", str(secret))] * 2
    assert [one for one in opened if one[1] == str(public)] == [("allowed", str(public))] * 2
    assert [one["event"] for one in records].count("guard.stopped") == 2
    assert "audit.lost" not in {one["event"] for one in records}

    judged = guard("audit", "verify", "--whole", "--key", f"{key}.pub", spool)
    assert judged.returncode == 0, judged.stdout
    assert "no flaw" in judged.stdout

    # The shipper's view: denials first, all of it, once.
    reader = SpoolReader(spool, "test")
    batch = reader.read(10_000, 1 << 24)
    assert len(batch.records) == len(records)
    reader.close()

    victim = next(iter(sorted(spool.glob("others-*.ndjson"))))
    victim.write_bytes(victim.read_bytes().replace(b'"verdict":"allowed"', b'"verdict":"denied" '))
    judged = guard("audit", "verify", spool)
    assert judged.returncode == 1
    assert "changed: record 0 of others" in judged.stdout
