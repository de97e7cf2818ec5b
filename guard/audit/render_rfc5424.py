# SPDX-License-Identifier: Apache-2.0
"""Flat record → RFC 5424 syslog message with the whole record as structured data.

``<PRI>1 TIMESTAMP HOSTNAME guard - EVENT [origin …][guard@… name="value" …] summary``

Parameter names are the flat record's, joined by dots; a list of plain values
repeats its parameter (section 6.3.3 allows it), a list of objects is numbered.
Null members are left out. The framing (octet counting) is the sender's.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

from guard.audit.plaintext import exact_bytes, printable
from guard.audit.reading import Level, Record, level, record_id, summary
from guard.version import VERSION

# An SD-ID needs the number of an enterprise (section 6.3.2). guard has none;
# this one is for examples and documentation (RFC 5612), and a setting.
EXAMPLE_ENTERPRISE = 32473

# Facility 13, "log audit", and the severities: RFC 5424, section 6.2.1.
LOG_AUDIT = 13
_SEVERITIES = {Level.INFORMATION: 6, Level.NOTICE: 5, Level.WARNING: 4, Level.ERROR: 3}

# Sections 6.2.4 (HOSTNAME) and 6.2.7 (MSGID), in characters.
_HOSTNAME, _MSGID = 255, 32
# Section 6.3.3: a parameter's name has 1 to 32 characters of these.
_NAME = 32
_NOT_PRINTUSASCII = re.compile(r"[^!-~]")
_NOT_NAME = re.compile(r'[^!-~]|[="\]]')
_TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?Z")


def render_rfc5424(
    record: Record, facility: int = LOG_AUDIT, enterprise: int = EXAMPLE_ENTERPRISE
) -> bytes:
    """The message, UTF-8, without framing. ``facility``: 0 to 23; ``enterprise``: the
    private enterprise number that the SD-ID names.
    """
    priority = facility * 8 + _SEVERITIES[level(record)]
    time = str(record.get("time"))
    host = record.get("host")
    name = host.get("name") if isinstance(host, dict) else None
    head = [
        f"<{priority}>1",
        time if _TIMESTAMP.fullmatch(time) else "-",
        _token(name, _HOSTNAME),
        "guard",
        "-",
        _token(record.get("event"), _MSGID),
    ]
    parameters = "".join(f' {key}="{_escaped(value)}"' for key, value in _parameters(record))
    data = (
        f'[origin software="guard" swVersion="{_escaped(VERSION)}" enterpriseId="{enterprise}"]'
        f'[guard@{enterprise} id="{_escaped(record_id(record))}"{parameters}]'
    )
    # Not MSG-UTF8, whose byte order mark many receivers take for text.
    message = "".join(char if " " <= char <= "~" else "?" for char in summary(record))
    return f"{' '.join(head)} {data} {message}".encode()


def _parameters(group: Record, prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in group.items():
        yield from _member(f"{prefix}{name}", value)
        if isinstance(value, str) and f"{name}_hex" not in group:
            exact = exact_bytes(group, name)
            if exact is not None:
                yield _key(f"{prefix}{name}_hex"), exact


def _member(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    if isinstance(value, dict):
        yield from _parameters(value, f"{name}.")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            numbered = isinstance(item, dict | list)
            yield from _member(f"{name}.{number}" if numbered else name, item)
    elif isinstance(value, bool):
        yield _key(name), "true" if value else "false"
    else:
        yield _key(name), printable(str(value))


@functools.lru_cache(maxsize=1024)  # the members of records: some hundreds
def _key(name: str) -> str:
    return _NOT_NAME.sub("?", name)[:_NAME]


def _token(value: Any, most: int) -> str:
    """A header field: printable ASCII without spaces, ``-`` if there is nothing."""
    return _NOT_PRINTUSASCII.sub("?", str(value or ""))[:most] or "-"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")
