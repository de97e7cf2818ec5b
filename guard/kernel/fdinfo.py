# SPDX-License-Identifier: Apache-2.0
"""What the kernel tells about a map by its descriptor."""

from __future__ import annotations

from pathlib import Path


def fdinfo(fd: int) -> dict[str, int]:
    """The numbers of a map's fdinfo: map_id, value_size and others.

    Source: bpf_map_show_fdinfo, kernel/bpf/syscall.c. Raises OSError.
    """
    fields = {}
    for line in Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines():
        name, _, value = line.partition(":")
        if value.strip().isdigit():
            fields[name] = int(value)
    return fields
