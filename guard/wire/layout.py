# SPDX-License-Identifier: Apache-2.0
"""Generated from lsm/wire.h by `make wire`: the layout of what crosses the kernel border.

Do not edit: tests/wire regenerates this file and compares.
"""

from __future__ import annotations

from enum import IntEnum

from guard.wire.structure import Field, Struct


class Abi(IntEnum):
    # enum guard_abi
    VERSION = 1


class Limit(IntEnum):
    # enum guard_limit
    POLICIES = 64
    GROUPS = 4
    VERBS = 16
    DEVICE_SLOTS = 1024
    DEVICES = 512
    DEVICE_PROBES = 4
    DEPTH = 256
    COMM = 16
    PATHS_SHORT = 512
    PATHS_LONG = 8192


class PathVerb(IntEnum):
    # enum guard_path_verb
    READ = 0
    WRITE = 1
    LIST = 2


class Hook(IntEnum):
    # enum guard_hook
    FILE_OPEN = 0
    TASK_ALLOC = 1
    BPRM_CREDS_FOR_EXEC = 2
    BPRM_CHECK_SECURITY = 3
    BPRM_COMMITTED_CREDS = 4


class Reason(IntEnum):
    # enum guard_reason
    POLICY = 0
    TOO_DEEP = 1
    RENAME_RACE = 2
    NO_TABLES = 3
    STACKED = 4
    CANARY = 5
    DISCONNECTED = 6


class TaskFlag(IntEnum):
    # enum guard_task_flag
    EXEMPT = 1
    CANARY = 2


class EventFlag(IntEnum):
    # enum guard_event_flag
    PATH_CUT = 1
    EXE_CUT = 2
    FOREIGN = 4
    NO_EXE = 8
    UNLINKED = 16


class State(IntEnum):
    # enum guard_state
    FINAL = 1


class Column(IntEnum):
    # enum guard_column
    ROW = 0
    CLASS = 1
    SLASH = 2
    FIRST = 3


VERB_ROW = Struct(
    "guard_verb_row",
    32,
    {
        "allow": Field(0, 8, 1, "Q"),
        "deny": Field(8, 8, 1, "Q"),
        "audit": Field(16, 8, 1, "Q"),
        "kill": Field(24, 8, 1, "Q"),
    },
)
ROW = Struct(
    "guard_row",
    512,
    {
        "verb": Field(0, 512, 16, "guard_verb_row"),
    },
)
DEVICE = Struct(
    "guard_device",
    32,
    {
        "device": Field(0, 4, 1, "I"),
        "subject": Field(4, 4, 1, "I"),
        "start": Field(8, 16, 4, "I"),
        "reserved": Field(24, 8, 2, "I"),
    },
)
ROOT = Struct(
    "guard_root",
    616,
    {
        "abi": Field(0, 4, 1, "I"),
        "generation": Field(4, 4, 1, "I"),
        "enforce": Field(8, 8, 1, "Q"),
        "host": Field(16, 8, 1, "Q"),
        "inherit": Field(24, 8, 1, "Q"),
        "exe": Field(32, 8, 1, "Q"),
        "file": Field(40, 8, 1, "Q"),
        "file_default_deny": Field(48, 8, 1, "Q"),
        "group_mask": Field(56, 32, 4, "Q"),
        "groups": Field(88, 4, 1, "I"),
        "device_multiplier": Field(92, 4, 1, "I"),
        "zero": Field(96, 8, 1, "Q"),
        "column": Field(104, 512, 256, "H"),
    },
)
DEVICES = Struct(
    "guard_devices",
    32800,
    {
        "foreign": Field(0, 32, 1, "guard_device"),
        "slot": Field(32, 32768, 1024, "guard_device"),
    },
)
TASK = Struct(
    "guard_task",
    32,
    {
        "mask": Field(0, 8, 1, "Q"),
        "pending": Field(8, 8, 1, "Q"),
        "flags": Field(16, 4, 1, "I"),
        "canary_class": Field(20, 4, 1, "I"),
        "exec_generation": Field(24, 4, 1, "I"),
        "check_generation": Field(28, 4, 1, "I"),
    },
)
COUNTERS = Struct(
    "guard_counters",
    48,
    {
        "attempts": Field(0, 8, 1, "Q"),
        "dropped": Field(8, 8, 1, "Q"),
        "denied": Field(16, 8, 1, "Q"),
        "audited": Field(24, 8, 1, "Q"),
        "unclassified": Field(32, 8, 1, "Q"),
        "label_failed": Field(40, 8, 1, "Q"),
    },
)
EVENT = Struct(
    "guard_event",
    184,
    {
        "sequence": Field(0, 8, 1, "Q"),
        "boot_ns": Field(8, 8, 1, "Q"),
        "policies": Field(16, 8, 1, "Q"),
        "denied": Field(24, 8, 1, "Q"),
        "by_rule": Field(32, 8, 1, "Q"),
        "enforced": Field(40, 8, 1, "Q"),
        "audited": Field(48, 8, 1, "Q"),
        "inode": Field(56, 8, 1, "Q"),
        "exe_inode": Field(64, 8, 1, "Q"),
        "cgroup": Field(72, 8, 1, "Q"),
        "start_ns": Field(80, 8, 1, "Q"),
        "generation": Field(88, 4, 1, "I"),
        "hook": Field(92, 4, 1, "I"),
        "verbs": Field(96, 4, 1, "I"),
        "reason": Field(100, 4, 1, "I"),
        "cpu": Field(104, 4, 1, "I"),
        "flags": Field(108, 4, 1, "I"),
        "error": Field(112, 4, 1, "i"),
        "device": Field(116, 4, 1, "I"),
        "exe_device": Field(120, 4, 1, "I"),
        "pid": Field(124, 4, 1, "I"),
        "tid": Field(128, 4, 1, "I"),
        "parent": Field(132, 4, 1, "I"),
        "uid": Field(136, 4, 1, "I"),
        "gid": Field(140, 4, 1, "I"),
        "class_id": Field(144, 16, 4, "I"),
        "path_size": Field(160, 4, 1, "I"),
        "exe_size": Field(164, 4, 1, "I"),
        "comm": Field(168, 16, 16, "c"),
    },
)

STRUCTS = (VERB_ROW, ROW, DEVICE, ROOT, DEVICES, TASK, COUNTERS, EVENT)
