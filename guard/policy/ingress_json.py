# SPDX-License-Identifier: Apache-2.0
"""An ingress section as JSON and back: what a filter keeps of its policy in the kernel.

Works on the model's own classes by their annotations, so a member that is
added there is carried along. Members that older JSON lacks get their defaults.
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from typing import Any

from guard.policy.ingress import IngressSection


class Unfit(ValueError):
    """JSON that is no section of this version's."""


def section_json(section: IngressSection) -> dict[str, Any]:
    """The section as JSON holds it."""
    made = _encode(section)
    assert isinstance(made, dict)
    return made


def section_of(data: Any) -> IngressSection:
    """The section that ``section_json`` gave. Raises Unfit."""
    try:
        made = _decode(IngressSection, data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unfit(f"{type(error).__name__}: {error}") from None
    assert isinstance(made, IngressSection)
    return made


def _encode(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: _encode(getattr(value, name)) for name in names}
    if isinstance(value, tuple):
        return [_encode(one) for one in value]
    return value


def _decode(kind: Any, data: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if data is None:
            return None
        (one,) = (each for each in arguments if each is not type(None))
        return _decode(one, data)
    if origin is tuple:
        return tuple(_decode(arguments[0], one) for one in data)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind(data)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{name: _decode(hints[name], one) for name, one in data.items()})  # type: ignore[operator]
    if isinstance(kind, type) and issubclass(kind, tuple):  # a NamedTuple
        each = zip(typing.get_type_hints(kind).values(), data, strict=True)
        return kind(*(_decode(hint, one) for hint, one in each))
    if not isinstance(data, kind) or isinstance(data, bool) is not (kind is bool):
        raise TypeError(f"{data!r} is no {kind.__name__}")
    return data
