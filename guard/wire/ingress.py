# SPDX-License-Identifier: Apache-2.0
"""Generated from lsm/xdp/wire.h by `make wire-ingress`: what crosses the border to XDP.

Do not edit: tests/ingress regenerates this file and compares.
"""

from __future__ import annotations

from enum import IntEnum

from guard.wire.structure import Field, Struct


class Abi(IntEnum):
    # enum ingress_abi
    VERSION = 2


class Action(IntEnum):
    # enum ingress_action
    DENY = 0
    REJECT = 1
    REDIRECT = 2
    ALLOW = 3
    LIMIT = 4
    AUDIT = 5
    MIRROR = 6


class Class(IntEnum):
    # enum ingress_class
    FINE = 1073741824


class Column(IntEnum):
    # enum ingress_column
    SOURCE_PORT = 0
    TCP_FLAGS = 1
    FRAGMENT = 2
    VLAN = 3
    LENGTH = 4
    INTERFACE = 5
    COUNT = 6


class Final(IntEnum):
    # enum ingress_final
    OPEN = 0
    NOBODY = -1


class Flag(IntEnum):
    # enum ingress_flag
    EMPTY = 1
    DROP = 2
    AUDIT = 4
    NEXT = 8
    SOURCE4 = 16
    SOURCE6 = 32
    DESTINATION4 = 64
    DESTINATION6 = 128
    SERVICE = 256
    OBSERVERS = 512
    RATES = 1024
    TCP_SOCKETS = 2048
    UDP_FLOWS = 4096
    ICMP = 8192
    TCP_FLOWS = 16384
    NEIGHBOURS = 32768
    DROP_FRAGMENTS = 65536
    MATCH_UNREADABLE = 131072
    SYN_COOKIES = 262144
    TIMED = 524288
    NAMED_TUNNELS = 1048576
    WIDE = 2097152
    TRIAL = 4194304


class Fragment(IntEnum):
    # enum ingress_fragment
    WHOLE = 0
    FIRST = 1
    LATER = 2


class Limit(IntEnum):
    # enum ingress_limit
    SUMMARIES = 4
    WORDS = 256
    OBSERVERS = 64
    RATES = 64
    SHAPES = 3
    EXTENSIONS = 6
    TAGS = 2
    SLOTS = 32768
    FIRST_RULE_SLOT = 64
    INTERFACES = 256
    TIMED_SETS = 6
    PROBES = 16
    TIMED_BUCKETS = 65536
    FLOW_BUCKETS = 16384
    SOURCE_BUCKETS = 65536
    EVENTS_PER_TICK = 8
    PACKED = 4
    ETHERTYPES = 16
    FRESH = 32
    TOP = 16384
    TARGETS = 64
    HEAD = 128


class Reason(IntEnum):
    # enum ingress_reason
    RULE = 0
    DEFAULT = 1
    ESTABLISHED = 2
    NEIGHBOUR = 3
    ETHERTYPE = 4
    NOT_IP = 5
    TRUNCATED = 6
    MALFORMED = 7
    TAGS = 8
    EXTENSIONS = 9
    TINY_FRAGMENT = 10
    FRAGMENT = 11
    TRACKED = 12
    TUNNEL = 13
    RATE = 14
    SYN_COOKIE = 15
    NO_TABLES = 16
    NO_TARGET = 17
    NO_REPLY = 18
    EMPTY = 19
    UNCONFIRMED = 20
    COUNT = 21


class ServiceKind(IntEnum):
    # enum ingress_service_kind
    PLAIN = 0
    PORT = 1
    TYPE = 2


class Unread(IntEnum):
    # enum ingress_unread
    UNREADABLE = 0
    TRACKED = 1
    ABSENT = 2
    COUNT = 3


class Verdict(IntEnum):
    # enum ingress_verdict
    ABORTED = 0
    DROP = 1
    PASS = 2
    TX = 3
    REDIRECT = 4


CONSTANTS = Struct(
    "ingress_constants",
    32,
    {
        "seed": Field(0, 16, 2, "Q"),
        "table_mask": Field(16, 4, 1, "I"),
        "flow_timeout": Field(20, 4, 1, "I"),
        "fragment_timeout": Field(24, 4, 1, "I"),
        "reserved": Field(28, 4, 1, "I"),
    },
)
CONTROL = Struct(
    "ingress_control",
    152,
    {
        "deadline": Field(0, 8, 1, "Q"),
        "unnamed": Field(8, 8, 1, "Q"),
        "top": Field(16, 4, 1, "I"),
        "reserved": Field(20, 4, 1, "I"),
        "fresh": Field(24, 128, 32, "I"),
    },
)
COUNT = Struct(
    "ingress_count",
    64,
    {
        "packets": Field(0, 8, 1, "Q"),
        "bytes": Field(8, 8, 1, "Q"),
        "over_packets": Field(16, 8, 1, "Q"),
        "over_bytes": Field(24, 8, 1, "Q"),
        "recorded": Field(32, 8, 1, "Q"),
        "suppressed": Field(40, 8, 1, "Q"),
        "lost": Field(48, 8, 1, "Q"),
        "turn": Field(56, 8, 1, "Q"),
    },
)
DECISION = Struct(
    "ingress_decision",
    24,
    {
        "slot": Field(0, 4, 1, "I"),
        "reason": Field(4, 4, 1, "I"),
        "verdict": Field(8, 4, 1, "I"),
        "sample": Field(12, 4, 1, "I"),
        "generation": Field(16, 4, 1, "I"),
        "audit": Field(20, 4, 1, "I"),
    },
)
ENDS = Struct(
    "ingress_ends",
    40,
    {
        "local": Field(0, 16, 2, "Q"),
        "remote": Field(16, 16, 2, "Q"),
        "local_port": Field(32, 2, 1, "H"),
        "remote_port": Field(34, 2, 1, "H"),
        "kind": Field(36, 4, 1, "I"),
    },
)
ENDS_BUCKET = Struct(
    "ingress_ends_bucket",
    320,
    {
        "way": Field(0, 320, 8, "ingress_ends"),
    },
)
EVENT = Struct(
    "ingress_event",
    224,
    {
        "boot_ns": Field(0, 8, 1, "Q"),
        "sequence": Field(8, 8, 1, "Q"),
        "suppressed": Field(16, 8, 1, "Q"),
        "source": Field(24, 16, 2, "Q"),
        "destination": Field(40, 16, 2, "Q"),
        "generation": Field(56, 4, 1, "I"),
        "slot": Field(60, 4, 1, "I"),
        "ifindex": Field(64, 4, 1, "I"),
        "cpu": Field(68, 4, 1, "I"),
        "length": Field(72, 4, 1, "I"),
        "source_port": Field(76, 2, 1, "H"),
        "destination_port": Field(78, 2, 1, "H"),
        "vlan": Field(80, 2, 1, "H"),
        "verdict": Field(82, 1, 1, "B"),
        "enforced": Field(83, 1, 1, "B"),
        "reason": Field(84, 1, 1, "B"),
        "family": Field(85, 1, 1, "B"),
        "protocol": Field(86, 1, 1, "B"),
        "tcp_flags": Field(87, 1, 1, "B"),
        "fragment": Field(88, 1, 1, "B"),
        "readable": Field(89, 1, 1, "B"),
        "head_size": Field(90, 2, 1, "H"),
        "reserved": Field(92, 4, 4, "B"),
        "head": Field(96, 128, 128, "B"),
    },
)
FIELD_TABLE = Struct(
    "ingress_field_table",
    8,
    {
        "table": Field(0, 4, 1, "I"),
        "stride": Field(4, 4, 1, "I"),
    },
)
FINE = Struct(
    "ingress_fine",
    8,
    {
        "first": Field(0, 4, 1, "I"),
        "count": Field(4, 4, 1, "I"),
    },
)
FLOW_BUCKET = Struct(
    "ingress_flow_bucket",
    64,
    {
        "way": Field(0, 64, 8, "Q"),
    },
)
INTERFACE = Struct(
    "ingress_interface",
    8,
    {
        "index": Field(0, 4, 1, "I"),
        "number": Field(4, 4, 1, "I"),
    },
)
INTERVALS = Struct(
    "ingress_intervals",
    56,
    {
        "base": Field(0, 8, 1, "Q"),
        "shift": Field(8, 4, 1, "I"),
        "cells": Field(12, 4, 1, "I"),
        "root": Field(16, 4, 1, "I"),
        "keys": Field(20, 4, 1, "I"),
        "classes": Field(24, 4, 1, "I"),
        "width": Field(28, 4, 1, "I"),
        "rows": Field(32, 4, 1, "I"),
        "stride": Field(36, 4, 1, "I"),
        "packed": Field(40, 4, 1, "I"),
        "fine": Field(44, 4, 1, "I"),
        "fine_keys": Field(48, 4, 1, "I"),
        "fine_classes": Field(52, 4, 1, "I"),
    },
)
PROBE = Struct(
    "ingress_probe",
    32,
    {
        "mask_high": Field(0, 8, 1, "Q"),
        "mask_low": Field(8, 8, 1, "Q"),
        "salt": Field(16, 8, 1, "Q"),
        "family": Field(24, 4, 1, "I"),
        "set": Field(28, 4, 1, "I"),
    },
)
PROBES = Struct(
    "ingress_probes",
    512,
    {
        "probe": Field(0, 512, 16, "ingress_probe"),
    },
)
RATE = Struct(
    "ingress_rate",
    24,
    {
        "multiplier": Field(0, 8, 1, "Q"),
        "tolerance": Field(8, 8, 1, "Q"),
        "slot": Field(16, 4, 1, "I"),
        "by_source": Field(20, 2, 1, "H"),
        "bytes": Field(22, 2, 1, "H"),
    },
)
ROOT = Struct(
    "ingress_root",
    6136,
    {
        "abi": Field(0, 4, 1, "I"),
        "generation": Field(4, 4, 1, "I"),
        "flags": Field(8, 4, 1, "I"),
        "summaries": Field(12, 4, 1, "I"),
        "words": Field(16, 4, 1, "I"),
        "stride": Field(20, 4, 1, "I"),
        "shapes": Field(24, 4, 1, "I"),
        "default_sample": Field(28, 4, 1, "I"),
        "reason_sample": Field(32, 4, 1, "I"),
        "service": Field(36, 4, 1, "I"),
        "service_rows": Field(40, 4, 1, "I"),
        "service_unknown": Field(44, 4, 1, "I"),
        "rules": Field(48, 4, 1, "I"),
        "timed_rows": Field(52, 4, 1, "I"),
        "interface_multiplier": Field(56, 4, 1, "I"),
        "ones": Field(60, 4, 1, "I"),
        "zero": Field(64, 8, 1, "Q"),
        "ethertypes": Field(72, 32, 16, "H"),
        "source4": Field(104, 56, 1, "ingress_intervals"),
        "source6": Field(160, 56, 1, "ingress_intervals"),
        "destination4": Field(216, 56, 1, "ingress_intervals"),
        "destination6": Field(272, 56, 1, "ingress_intervals"),
        "field": Field(328, 144, 18, "ingress_field_table"),
        "shape": Field(472, 32, 4, "ingress_shape"),
        "rate": Field(504, 1536, 64, "ingress_rate"),
        "services": Field(2040, 2048, 256, "ingress_service"),
        "interfaces": Field(4088, 2048, 256, "ingress_interface"),
    },
)
RULE = Struct(
    "ingress_rule",
    16,
    {
        "slot": Field(0, 4, 1, "I"),
        "sample": Field(4, 4, 1, "I"),
        "action": Field(8, 2, 1, "H"),
        "target": Field(10, 2, 1, "H"),
        "to_cpu": Field(12, 2, 1, "H"),
        "reserved": Field(14, 2, 1, "H"),
    },
)
SERVICE = Struct(
    "ingress_service",
    8,
    {
        "base": Field(0, 4, 1, "I"),
        "kind": Field(4, 2, 1, "H"),
        "tunnel": Field(6, 2, 1, "H"),
    },
)
SHAPE = Struct(
    "ingress_shape",
    8,
    {
        "table": Field(0, 4, 1, "I"),
        "rows": Field(4, 4, 1, "I"),
    },
)
SOURCE_BUCKET = Struct(
    "ingress_source_bucket",
    16,
    {
        "way": Field(0, 16, 2, "Q"),
    },
)
TIMED = Struct(
    "ingress_timed",
    16,
    {
        "tag": Field(0, 8, 1, "Q"),
        "expiry": Field(8, 8, 1, "Q"),
    },
)
TIMED_BUCKET = Struct(
    "ingress_timed_bucket",
    64,
    {
        "way": Field(0, 64, 4, "ingress_timed"),
    },
)
TOP_COUNT = Struct(
    "ingress_top_count",
    16,
    {
        "packets": Field(0, 8, 1, "Q"),
        "bytes": Field(8, 8, 1, "Q"),
    },
)
TOP_KEY = Struct(
    "ingress_top_key",
    24,
    {
        "source": Field(0, 16, 2, "Q"),
        "slot": Field(16, 4, 1, "I"),
        "family": Field(20, 4, 1, "I"),
    },
)

STRUCTS = (
    CONSTANTS,
    CONTROL,
    COUNT,
    DECISION,
    ENDS,
    ENDS_BUCKET,
    EVENT,
    FIELD_TABLE,
    FINE,
    FLOW_BUCKET,
    INTERFACE,
    INTERVALS,
    PROBE,
    PROBES,
    RATE,
    ROOT,
    RULE,
    SERVICE,
    SHAPE,
    SOURCE_BUCKET,
    TIMED,
    TIMED_BUCKET,
    TOP_COUNT,
    TOP_KEY,
)
