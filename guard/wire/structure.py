# SPDX-License-Identifier: Apache-2.0
"""How one C struct lies in memory: the types that the generated layout is made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Field:
    """One member of a C struct.

    ``offset`` and ``size`` are bytes, ``size`` of the whole member; ``count``
    is the number of elements, 1 for a scalar. ``code`` is the struct-module
    letter of an element, or the name of the C struct that each element is.
    """

    offset: int
    size: int
    count: int
    code: str


@dataclass(frozen=True, slots=True)
class Struct:
    """A C struct: its tag, its size in bytes, and its members in order of offset."""

    name: str
    size: int
    fields: dict[str, Field]

    def format(self) -> str:
        """A struct-module format for the whole, little-endian and unpadded.

        Members that are structs themselves become that many bytes (``s``), and
        so do character arrays. wire.h has no holes, which generation checks, so
        the members follow one another.
        """
        parts = ["<"]
        for field in self.fields.values():
            if len(field.code) > 1 or field.code == "c":
                parts.append(f"{field.size}s")
            else:
                parts.append(field.code if field.count == 1 else f"{field.count}{field.code}")
        return "".join(parts)
