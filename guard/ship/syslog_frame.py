# SPDX-License-Identifier: Apache-2.0
"""RFC 5424 messages for any format, and their framing on a stream.

Pure. A body that is no syslog message itself becomes the MSG of one whose
structured data holds the record's id.
"""

from __future__ import annotations

import re

from guard.audit.reading import Level, get, level
from guard.audit.render_rfc5424 import EXAMPLE_ENTERPRISE, LOG_AUDIT
from guard.ship.sink import Message

# RFC 5424, section 6.2.1.
_SEVERITIES = {Level.INFORMATION: 6, Level.NOTICE: 5, Level.WARNING: 4, Level.ERROR: 3}
_UNFIT = re.compile(r"[^!-~]")
_TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?Z")


def syslog_message(message: Message, is_syslog: bool) -> bytes:
    """The syslog message of a record, without framing."""
    if is_syslog:
        return message.body
    record = message.record
    time = str(record.get("time"))
    header = (
        f"<{LOG_AUDIT * 8 + _SEVERITIES[level(record)]}>1"
        f" {time if _TIMESTAMP.fullmatch(time) else '-'}"
        f" {_token(get(record, 'host', 'name'), 255)} guard - {_token(record.get('event'), 32)}"
        f' [guard@{EXAMPLE_ENTERPRISE} id="{_value(message.id)}"] '
    )
    return header.encode("ascii") + message.body


def octet_counted(data: bytes) -> bytes:
    """A message on a stream: RFC 6587, section 3.4.1, and RFC 5425, section 4.3."""
    return b"%d %b" % (len(data), data)


def _token(value: object, most: int) -> str:
    return _UNFIT.sub("?", str(value or ""))[:most] or "-"


def _value(text: str) -> str:
    return re.sub(r'(["\\\]])', r"\\\1", _UNFIT.sub("?", text))
