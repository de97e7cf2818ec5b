# SPDX-License-Identifier: Apache-2.0
"""The formats in which a sink can have its records, by name.

Knows where the renderers are; imports one only when a sink wants it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

Render: TypeAlias = Callable[[dict[str, Any], bytes], bytes]
"""Makes a body (no newline at its end, none within) of a decoded record and its line."""

JSON_FORMATS = ("flat", "ocsf", "ecs")
FORMATS = (*JSON_FORMATS, "cef", "rfc5424")


def renderer(name: str) -> Render:
    """The renderer of a format; LookupError for a name that is none."""
    match name:
        case "flat":
            return _flat
        case "ocsf":
            from guard.audit.render_ocsf import render_ocsf  # noqa: PLC0415

            return lambda record, _line: render_ocsf(record)
        case "ecs":
            from guard.audit.render_ecs import render_ecs  # noqa: PLC0415

            return lambda record, _line: render_ecs(record)
        case "cef":
            from guard.audit.render_cef import render_cef  # noqa: PLC0415

            return lambda record, _line: render_cef(record)
        case "rfc5424":
            from guard.audit.render_rfc5424 import render_rfc5424  # noqa: PLC0415

            return lambda record, _line: render_rfc5424(record)
        case _:
            raise LookupError(name)


def _flat(_record: dict[str, Any], line: bytes) -> bytes:
    """As it lies in the spool, the chain's seal with it."""
    return line
