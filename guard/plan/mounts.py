# SPDX-License-Identifier: Apache-2.0
"""The mount table: from the text of /proc/<pid>/mountinfo to values. Reads no file."""

from __future__ import annotations

import re
from dataclasses import dataclass

_OCTAL = re.compile(rb"\\([0-7]{3})")

# What the kernel appends to a root that was removed while it is still mounted
# somewhere (seq_dentry, fs/d_path.c).
_DELETED = b"//deleted"


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo (proc(5)): ``root`` of the file system on ``device`` is
    mounted at ``mountpoint``. ``device`` is the kernel's dev_t, major << 20 | minor.
    """

    device: int
    root: bytes
    mountpoint: bytes
    fstype: bytes


def parse_mountinfo(text: bytes) -> tuple[Mount, ...]:
    """The mounts in the order of the table. Raises ValueError for a line of another form."""
    mounts: list[Mount] = []
    for number, line in enumerate(text.split(b"\n"), 1):
        if not line:
            continue
        fields = line.split(b" ")
        try:
            end = fields.index(b"-", 6)
            major, minor = fields[2].split(b":")
            mounts.append(
                Mount(
                    int(major) << 20 | int(minor),
                    _unescape(fields[3]),
                    _unescape(fields[4]),
                    _unescape(fields[end + 1]),
                )
            )
        except (ValueError, IndexError) as error:
            raise ValueError(f"mountinfo line {number} has an unknown form: {line!r}") from error
    return tuple(mounts)


def reachable(mount: Mount) -> bool:
    """Whether the mount gives objects of its device names in the host's tree.

    Roots that were removed, and those of name spaces (``net:[4026531840]``),
    are no path. A root above the mount name space's view begins with '/..'.
    """
    return (
        mount.root.startswith(b"/")
        and not mount.root.endswith(_DELETED)
        and not mount.root.startswith(b"/..")
        and mount.mountpoint.startswith(b"/")
    )


def _unescape(field: bytes) -> bytes:
    """The kernel writes space, tab, newline, backslash and '#' as three octal digits."""
    return _OCTAL.sub(lambda found: bytes((int(found[1], 8) & 0xFF,)), field)
