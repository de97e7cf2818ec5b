# SPDX-License-Identifier: Apache-2.0
"""The words for sockets: families, types, protocols and the sets of addresses that guard knows.

Numbers are the kernel's. Knows nothing of YAML and nothing of rules.
"""

from __future__ import annotations

AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
INTERNET = (AF_INET, AF_INET6)

# fmt: off
FAMILIES: dict[str, int] = {
    "unix": 1, "inet": 2, "ax25": 3, "ipx": 4, "appletalk": 5, "netrom": 6, "bridge": 7,
    "atmpvc": 8, "x25": 9, "inet6": 10, "rose": 11, "decnet": 12, "netbeui": 13, "security": 14,
    "key": 15, "netlink": 16, "packet": 17, "ash": 18, "econet": 19, "atmsvc": 20, "rds": 21,
    "sna": 22, "irda": 23, "pppox": 24, "wanpipe": 25, "llc": 26, "ib": 27, "mpls": 28,
    "can": 29, "tipc": 30, "bluetooth": 31, "iucv": 32, "rxrpc": 33, "isdn": 34, "phonet": 35,
    "ieee802154": 36, "caif": 37, "alg": 38, "nfc": 39, "vsock": 40, "kcm": 41, "qipcrtr": 42,
    "smc": 43, "xdp": 44, "mctp": 45,
}
# fmt: on
"""AF_* by their lower-case names: include/linux/socket.h."""

STREAM, DGRAM, RAW, RDM, SEQPACKET, DCCP, PACKET = 1, 2, 3, 4, 5, 6, 10

TYPES: dict[str, int] = {
    "stream": STREAM,
    "dgram": DGRAM,
    "raw": RAW,
    "rdm": RDM,
    "seqpacket": SEQPACKET,
    "dccp": DCCP,
    "packet": PACKET,
}
"""SOCK_*: include/linux/net.h."""

PROTOCOLS: dict[str, int] = {
    "tcp": 6,
    "udp": 17,
    "icmp": 1,
    "icmpv6": 58,
    "sctp": 132,
    "mptcp": 262,
    "udplite": 136,
    "dccp": 33,
    "igmp": 2,
    "ipip": 4,
    "rsvp": 46,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "pim": 103,
    "comp": 108,
    "l2tp": 115,
}
"""IPPROTO_*: include/uapi/linux/in.h."""

PORT_TYPES: dict[str, tuple[int, ...]] = {
    "tcp": (STREAM,),
    "udp": (DGRAM,),
    "sctp": (STREAM, SEQPACKET),
    "mptcp": (STREAM,),
    "udplite": (DGRAM,),
    "dccp": (DCCP,),
}
"""The protocols that have ports, and the types of their sockets besides raw ones."""

PORT_PROTOCOLS = frozenset(PROTOCOLS[name] for name in PORT_TYPES)

NETLINK_PROTOCOLS: dict[str, int] = {
    "route": 0,
    "usersock": 2,
    "sock_diag": 4,
    "nflog": 5,
    "xfrm": 6,
    "selinux": 7,
    "iscsi": 8,
    "audit": 9,
    "fib_lookup": 10,
    "connector": 11,
    "netfilter": 12,
    "ip6_fw": 13,
    "dnrtmsg": 14,
    "kobject_uevent": 15,
    "generic": 16,
    "scsitransport": 18,
    "ecryptfs": 19,
    "rdma": 20,
    "crypto": 21,
    "smc": 22,
}
"""NETLINK_*: include/uapi/linux/netlink.h."""

MOST_PROTOCOL = 65535
"""What a rule's tables hold; protocols of packet sockets are Ethernet's, of 16 bits."""

KNOWN_SETS: dict[str, tuple[str, ...]] = {
    "loopback": ("127.0.0.0/8", "::1"),
    "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
    "link-local": ("169.254.0.0/16", "fe80::/10"),
    "multicast": ("224.0.0.0/4", "ff00::/8"),
}
"""Sets that every policy has: RFC 1122, RFC 1918 and 4193, RFC 3927 and 4291, RFC 5771."""
