# SPDX-License-Identifier: Apache-2.0
"""What of a flat record OCSF 1.8.0 has no place for, and the hash chain's seal.

The seal has the shape that OCSF's profile record_integrity has; it was merged
after 1.8.0. Fingerprints are over guard's own lines, which are what is
signed, and not over a rendering of them.
"""

from __future__ import annotations

from typing import Any

from guard.audit.ocsf_objects import fingerprint
from guard.audit.reading import Record, get, is_decision, part

# What has a place of its own in OCSF and is not repeated below unmapped.guard.
_MAPPED = frozenset(("schema", "time", "host", "verdict", "error", "policy", "chain"))
_MAPPED_PROCESS = frozenset(
    ("pid", "tid", "start_ns", "exe", "exe_device", "exe_inode", "uid", "gid", "user", "group")
) | {"comm", "ancestors"}
_MAPPED_OBJECT = frozenset(
    ("kind", "path", "device", "inode", "hash", "address", "port", "source", "destination")
)


def unmapped(record: Record) -> dict[str, Any]:
    """What goes below OCSF's ``unmapped``."""
    made: dict[str, Any] = {"guard": _rest(record)}
    chain = part(record, "chain")
    if chain:
        made["record_integrity"] = {"attestation_list": [_attestation(record, chain)]}
    return made


def _rest(record: Record) -> dict[str, Any]:
    """The members that have no place of their own, under their own names."""
    rest = {name: value for name, value in record.items() if name not in _MAPPED}
    if isinstance(rest.get("process"), dict):
        rest["process"] = _without(rest["process"], _MAPPED_PROCESS)
        # Which ancestors' names were hostile is seen only in full.
        ancestors = part(record, "process").get("ancestors") or []
        if any(name.endswith("_hex") for one in ancestors for name in one):
            rest["process"]["ancestors"] = ancestors
    if isinstance(rest.get("object"), dict):
        rest["object"] = _without(rest["object"], _MAPPED_OBJECT)
    if not is_decision(record) and "policy" in record:
        rest["policy"] = record["policy"]
    return rest


def _without(value: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: item for name, item in value.items() if name not in names}


def _attestation(record: Record, chain: Record) -> dict[str, Any]:
    """A batch's seal, in the shape of OCSF's attestation object."""
    series, n = chain.get("series"), chain.get("n")
    chain_uid = f"{get(record, 'host', 'id')}/{series}"
    made = {
        "uid": f"{chain_uid}/{n}",
        "chain_uid": chain_uid,
        "authority_uid": get(record, "host", "id"),
        "fingerprint": fingerprint(str(chain.get("hash"))),
    }
    if isinstance(n, int) and n > 0:
        before = {"uid": f"{chain_uid}/{n - 1}"}
        made["prev_event"] = before | {"fingerprint": fingerprint(str(chain.get("prev")))}
    return made
