# SPDX-License-Identifier: Apache-2.0
"""Where a file system is seen in the host's tree. Knows no mount table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Alias:
    """The directory ``root`` of a file system is seen at ``mountpoint``.

    Both are canonical absolute paths. A file system seen in several places
    has several, and one seen nowhere has none.
    """

    root: bytes
    mountpoint: bytes

    def name(self, path: bytes) -> bytes | None:
        """The host's name of an in-filesystem path, None if it is not below ``root``."""
        if self.root == b"/":
            rest = b"" if path == b"/" else path
        elif path == self.root or path.startswith(self.root + b"/"):
            rest = path[len(self.root) :]
        else:
            return None
        if self.mountpoint == b"/":
            return rest or b"/"
        return self.mountpoint + rest


Start = tuple[Alias, ...]
"""All places of one file system; the first names it in records."""

HOST: Start = (Alias(b"/", b"/"),)
"""The host's own tree: names inside are host names."""

ANONYMOUS: Start = (Alias(b"/", b"anonymous"),)
"""What has no name: it is matched by the word itself, which is no path."""
