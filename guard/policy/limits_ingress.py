# SPDX-License-Identifier: Apache-2.0
"""How large the numbers of an ingress section may be: each with its reason."""

from __future__ import annotations

SAMPLE = 1_000_000_000
"""One in so many packets: a counter of 32 bits holds it."""

RATE = 1_000_000_000_000
"""Units a second, and at once: more than any interface carries."""

VLAN = 4094
"""The highest VLAN id, IEEE 802.1Q; 4095 is reserved."""

CPU = 4095
"""The highest CPU number of a kernel built for as many as kernels are: CONFIG_NR_CPUS."""

ETHERTYPES = 16
"""As many as the filter's tables hold: INGRESS_LIMIT_ETHERTYPES, lsm/xdp/wire.h."""

PORT = 65535
"""The highest port, and the greatest length of an IP packet: fields of 16 bits."""

SET_FILE_SIZE = 256 * 1024 * 1024
"""Bytes of one set file: a million prefixes of either family take 16 to 45 MB."""

SET_PREFIXES = 1_000_000
"""Prefixes in one set, inline, from its file and added at run time."""
