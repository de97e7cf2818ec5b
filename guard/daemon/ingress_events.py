# SPDX-License-Identifier: Apache-2.0
"""The filter's records: from the ring's bytes to JSON lines that name rule, file and line."""

from __future__ import annotations

import ipaddress
import json
import struct
import time
from collections.abc import Mapping
from typing import Any

from guard.daemon.ingress_state import State
from guard.policy.ingress import IngressRule
from guard.policy.prefixes import shown
from guard.policy.vocabulary_ingress import PROTOCOLS
from guard.wire.ingress import EVENT, Fragment, Reason, Verdict

_UNPACK = struct.Struct(EVENT.format()).unpack_from
_PROTOCOLS = {number: name for name, number in PROTOCOLS.items()}
_WORDS = {
    Verdict.ABORTED: "aborted",
    Verdict.DROP: "drop",
    Verdict.PASS: "allow",
    Verdict.TX: "reject",
    Verdict.REDIRECT: "redirect",
}

# Prefixes that a record of ended entries names.
_NAMED = 5


class Lines:
    """Makes JSON lines of one filter's records; ``know`` tells of another policy."""

    def __init__(self, state: State) -> None:
        # The two clocks' distance; a step of the wall clock moves later records with it.
        self._offset = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self.generation = -1
        self._rules: dict[int, IngressRule] = {}
        self._interfaces: dict[int, str] = {}
        self.state = state
        self.know(state)

    def know(self, state: State) -> None:
        """The policy that records are to be told by from now on."""
        self.state, self.generation = state, state.generation
        by_id = {f"{state.policy}/{rule.id}": rule for rule in state.section.rules}
        self._rules = {slot: by_id[name] for name, slot in state.slots.items() if name in by_id}
        self._interfaces = {index: name for name, (index, _, _) in state.attached.items()}

    def packet(self, record: bytes) -> dict[str, Any]:
        """One packet's record. Raises struct.error for bytes that are none."""
        values = dict(zip(EVENT.fields, _split(_UNPACK(record)), strict=True))
        reason = Reason(values["reason"])
        made: dict[str, Any] = {
            "kind": "packet",
            "time": (values["boot_ns"] + self._offset) / 1e9,
            "verdict": _WORDS.get(Verdict(values["verdict"]), "drop"),
            "enforced": bool(values["enforced"]),
            "reason": reason.name.lower().replace("_", "-"),
            "policy": self.state.policy,
            "interface": self._interfaces.get(values["ifindex"], str(values["ifindex"])),
        }
        rule = self._rules.get(values["slot"])
        if rule is not None:
            made["rule"] = {
                "id": rule.id,
                "file": rule.span.file,
                "line": rule.span.line,
                "why": rule.why,
            }
        made |= _ends(values)
        made |= {
            "length": values["length"],
            "vlan": values["vlan"],
            "fragment": Fragment(values["fragment"]).name.lower(),
            "sequence": values["sequence"],
            "cpu": values["cpu"],
            "suppressed": values["suppressed"],
            "head": bytes(values["head"][: values["head_size"]]).hex(),
        }
        return made

    def ended(self, name: str, some: list[Any], total: int) -> dict[str, Any]:
        """One record for all entries of a set that ended together."""
        return {
            "kind": "set.expired",
            "time": time.time(),
            "policy": self.state.policy,
            "set": name,
            "count": len(some),
            "total": total,
            "first": [shown(one) for one in some[:_NAMED]],
        }

    def interface(self, sentence: str) -> dict[str, Any]:
        """What became of an interface."""
        return {
            "kind": "ingress.interface",
            "time": time.time(),
            "policy": self.state.policy,
            "message": sentence,
        }


def line(record: Mapping[str, Any]) -> bytes:
    """A record as a line of JSON, without its end."""
    return json.dumps(record, separators=(",", ":")).encode()


def sentence(record: Mapping[str, Any]) -> str:
    """A packet's record for people."""
    moment = time.strftime("%H:%M:%S", time.localtime(record["time"]))
    if record["kind"] != "packet":
        text = record.get("message") or f"{record['count']} entries of {record['set']} ended"
        return f"{moment} {text}"
    ends = ""
    if "source" in record:
        ports = ("", "")
        if "source_port" in record:
            ports = (f":{record['source_port']}", f":{record['destination_port']}")
        source, destination = (
            f"[{one}]" if ":" in one and ports[0] else one
            for one in (record["source"], record["destination"])
        )
        ends = f" {source}{ports[0]} > {destination}{ports[1]}"
    rule = record.get("rule")
    by = f"rule {rule['id']} ({rule['file']}:{rule['line']})" if rule else record["reason"]
    if rule and record["reason"] != "rule":
        by += f", {record['reason']}"
    word = record["verdict"] if record["enforced"] else f"would {record['verdict']}"
    more = f", {record['suppressed']} more not shown" if record["suppressed"] else ""
    protocol = record.get("protocol", "frame")
    return f"{moment} {word} {record['interface']} {protocol}{ends}: {by}{more}"


def _split(flat: tuple[int, ...]) -> list[Any]:
    """Values by member: arrays as tuples."""
    made: list[Any] = []
    at = 0
    for field in EVENT.fields.values():
        made.append(flat[at] if field.count == 1 else flat[at : at + field.count])
        at += field.count
    return made


def _ends(values: Mapping[str, Any]) -> dict[str, Any]:
    """Addresses, protocol and ports, as far as they could be read."""
    if not values["readable"] & 1:
        return {}
    made: dict[str, Any] = {}
    for name in ("source", "destination"):
        high, low = values[name]
        kind = ipaddress.IPv4Address if values["family"] == 4 else ipaddress.IPv6Address
        made[name] = str(kind(low if values["family"] == 4 else high << 64 | low))
    if values["readable"] & 2:
        made["protocol"] = _PROTOCOLS.get(values["protocol"], str(values["protocol"]))
    if values["readable"] & 4:
        if values["protocol"] in (PROTOCOLS["icmp"], PROTOCOLS["icmp6"]):
            made["icmp_type"] = values["destination_port"]
        else:
            made["source_port"] = values["source_port"]
            made["destination_port"] = values["destination_port"]
        if values["protocol"] == PROTOCOLS["tcp"]:
            made["tcp_flags"] = values["tcp_flags"]
    return made
