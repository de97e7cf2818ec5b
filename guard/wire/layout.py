# SPDX-License-Identifier: Apache-2.0
"""Generated from lsm/wire.h by `make wire`: the layout of what crosses the kernel border.

Do not edit: tests/wire regenerates this file and compares.
"""

from __future__ import annotations

from enum import IntEnum

from guard.wire.structure import Field, Struct


class Abi(IntEnum):
    # enum guard_abi
    VERSION = 3


class Limit(IntEnum):
    # enum guard_limit
    POLICIES = 64
    GROUPS = 4
    VERBS = 22
    SECTIONS = 4
    KERNEL_OPS = 96
    DEVICE_SLOTS = 1024
    DEVICES = 512
    DEVICE_PROBES = 4
    ID_SLOTS = 256
    IDS = 128
    ID_PROBES = 4
    CONTENTS = 64
    DIGEST = 32
    DEPTH = 256
    COMM = 16
    PATHS_SHORT = 512
    PATHS_LONG = 8192


class Section(IntEnum):
    # enum guard_section
    FILE = 0
    EXEC = 1
    NET = 2
    KERNEL = 3


class PathVerb(IntEnum):
    # enum guard_path_verb
    READ = 0
    WRITE = 1
    LIST = 2
    APPEND = 3
    CREATE = 4
    DELETE = 5
    RENAME = 6
    LINK = 7
    SETATTR = 8
    LOCK = 9
    IOCTL = 10
    MKDEV = 11
    MKFIFO = 12
    MKSOCK = 13
    EXEC = 14
    MAP = 15
    BIND = 16
    CONNECT = 17
    SEND = 18


class NetVerb(IntEnum):
    # enum guard_net_verb
    BIND = 16
    CONNECT = 17
    SEND = 18
    LISTEN = 19
    ACCEPT = 20
    CREATE = 21


class KernelOp(IntEnum):
    # enum guard_kernel_op
    CAP_CHOWN = 0
    CAP_DAC_OVERRIDE = 1
    CAP_DAC_READ_SEARCH = 2
    CAP_FOWNER = 3
    CAP_FSETID = 4
    CAP_KILL = 5
    CAP_SETGID = 6
    CAP_SETUID = 7
    CAP_SETPCAP = 8
    CAP_LINUX_IMMUTABLE = 9
    CAP_NET_BIND_SERVICE = 10
    CAP_NET_BROADCAST = 11
    CAP_NET_ADMIN = 12
    CAP_NET_RAW = 13
    CAP_IPC_LOCK = 14
    CAP_IPC_OWNER = 15
    CAP_SYS_MODULE = 16
    CAP_SYS_RAWIO = 17
    CAP_SYS_CHROOT = 18
    CAP_SYS_PTRACE = 19
    CAP_SYS_PACCT = 20
    CAP_SYS_ADMIN = 21
    CAP_SYS_BOOT = 22
    CAP_SYS_NICE = 23
    CAP_SYS_RESOURCE = 24
    CAP_SYS_TIME = 25
    CAP_SYS_TTY_CONFIG = 26
    CAP_MKNOD = 27
    CAP_LEASE = 28
    CAP_AUDIT_WRITE = 29
    CAP_AUDIT_CONTROL = 30
    CAP_SETFCAP = 31
    CAP_MAC_OVERRIDE = 32
    CAP_MAC_ADMIN = 33
    CAP_SYSLOG = 34
    CAP_WAKE_ALARM = 35
    CAP_BLOCK_SUSPEND = 36
    CAP_AUDIT_READ = 37
    CAP_PERFMON = 38
    CAP_BPF = 39
    CAP_CHECKPOINT_RESTORE = 40
    PTRACE = 64
    SIGNAL = 65
    MOUNT = 66
    UMOUNT = 67
    PIVOT_ROOT = 68
    CHROOT = 69
    MODULE = 70
    FIRMWARE = 71
    KEXEC = 72
    BPF = 73
    PERF = 74
    USERNS = 75
    TIME = 76
    KEYS = 77
    IO_URING = 78
    SWAP = 79
    REBOOT = 80
    SYSLOG = 81


class IdKind(IntEnum):
    # enum guard_id_kind
    NONE = 0
    USER = 1
    GROUP = 2


class Hook(IntEnum):
    # enum guard_hook
    FILE_OPEN = 0
    TASK_ALLOC = 1
    BPRM_CREDS_FOR_EXEC = 2
    BPRM_CHECK_SECURITY = 3
    BPRM_COMMITTED_CREDS = 4
    INODE_CREATE = 5
    INODE_MKDIR = 6
    INODE_SYMLINK = 7
    INODE_MKNOD = 8
    INODE_LINK = 9
    INODE_UNLINK = 10
    INODE_RMDIR = 11
    INODE_RENAME = 12
    INODE_SETATTR = 13
    INODE_SETXATTR = 14
    INODE_REMOVEXATTR = 15
    INODE_SET_ACL = 16
    INODE_REMOVE_ACL = 17
    FILE_LOCK = 18
    FILE_IOCTL = 19
    FILE_RECEIVE = 20
    FILE_FCNTL = 22
    MMAP_FILE = 25
    FILE_MPROTECT = 26
    SOCKET_CREATE = 27
    SOCKET_BIND = 28
    SOCKET_LISTEN = 29
    SOCKET_ACCEPT = 30
    SOCKET_CONNECT = 31
    SOCKET_SENDMSG = 32
    SOCKET_RECVMSG = 33
    UNIX_STREAM_CONNECT = 34
    UNIX_MAY_SEND = 35
    SCTP_BIND_CONNECT = 36
    PTRACE_ACCESS_CHECK = 37
    PTRACE_TRACEME = 38
    TASK_KILL = 39
    SB_MOUNT = 40
    MOVE_MOUNT = 41
    SB_UMOUNT = 42
    SB_REMOUNT = 43
    SB_PIVOTROOT = 44
    PATH_CHROOT = 45
    KERNEL_MODULE_REQUEST = 46
    KERNEL_READ_FILE = 47
    KERNEL_LOAD_DATA = 48
    BPF = 49
    PERF_EVENT_OPEN = 50
    USERNS_CREATE = 51
    SETTIME = 52
    KEY_ALLOC = 53
    KEY_PERMISSION = 54
    SYSLOG = 57
    CAPABLE = 58
    INODE_INIT_SECURITY_ANON = 64
    FILE_IOCTL_COMPAT = 65
    INODE_FILE_SETATTR = 66
    PATH_MKNOD = 67


class Reason(IntEnum):
    # enum guard_reason
    POLICY = 0
    TOO_DEEP = 1
    RENAME_RACE = 2
    NO_TABLES = 3
    STACKED = 4
    CANARY = 5
    DISCONNECTED = 6
    ANONYMOUS = 7
    ADDRESS = 8
    WIDENS = 11
    SUBTREE = 12
    CONTENTS = 13


class TaskFlag(IntEnum):
    # enum guard_task_flag
    EXEMPT = 1
    CANARY = 2
    CANARY_CONTENTS = 4


class EventFlag(IntEnum):
    # enum guard_event_flag
    PATH_CUT = 1
    EXE_CUT = 2
    FOREIGN = 4
    NO_EXE = 8
    UNLINKED = 16
    NET_OBJECT = 32
    ABSTRACT = 64
    ANY_PORT = 128
    SECOND_CUT = 256


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
    40,
    {
        "allow": Field(0, 8, 1, "Q"),
        "deny": Field(8, 8, 1, "Q"),
        "audit": Field(16, 8, 1, "Q"),
        "kill": Field(24, 8, 1, "Q"),
        "other_errno": Field(32, 8, 1, "Q"),
    },
)
ROW = Struct(
    "guard_row",
    880,
    {
        "verb": Field(0, 880, 22, "guard_verb_row"),
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
ID = Struct(
    "guard_id",
    16,
    {
        "id": Field(0, 4, 1, "I"),
        "kind": Field(4, 4, 1, "I"),
        "policies": Field(8, 8, 1, "Q"),
    },
)
GATED = Struct(
    "guard_gated",
    16,
    {
        "policies": Field(0, 8, 1, "Q"),
        "default_deny": Field(8, 8, 1, "Q"),
    },
)
CONTENT = Struct(
    "guard_content",
    40,
    {
        "sha256": Field(0, 32, 4, "Q"),
        "policies": Field(32, 8, 1, "Q"),
    },
)
ROOT = Struct(
    "guard_root",
    11200,
    {
        "abi": Field(0, 4, 1, "I"),
        "generation": Field(4, 4, 1, "I"),
        "enforce": Field(8, 8, 1, "Q"),
        "host": Field(16, 8, 1, "Q"),
        "inherit": Field(24, 8, 1, "Q"),
        "exe": Field(32, 8, 1, "Q"),
        "cgroup": Field(40, 8, 1, "Q"),
        "ids": Field(48, 8, 1, "Q"),
        "contents": Field(56, 8, 1, "Q"),
        "section": Field(64, 64, 4, "guard_gated"),
        "group_mask": Field(128, 32, 4, "Q"),
        "groups": Field(160, 4, 1, "I"),
        "device_multiplier": Field(164, 4, 1, "I"),
        "net": Field(168, 4, 1, "I"),
        "cgroups": Field(172, 4, 1, "I"),
        "zero": Field(176, 8, 1, "Q"),
        "column": Field(184, 512, 256, "H"),
        "kernel": Field(696, 3840, 96, "guard_verb_row"),
        "id_multiplier": Field(4536, 4, 1, "I"),
        "reserved": Field(4540, 4, 1, "I"),
        "id": Field(4544, 4096, 256, "guard_id"),
        "content": Field(8640, 2560, 64, "guard_content"),
    },
)
DEVICES = Struct(
    "guard_devices",
    32832,
    {
        "foreign": Field(0, 32, 1, "guard_device"),
        "slot": Field(32, 32768, 1024, "guard_device"),
        "anonymous": Field(32800, 32, 1, "guard_device"),
    },
)
TASK = Struct(
    "guard_task",
    64,
    {
        "mask": Field(0, 8, 1, "Q"),
        "pending": Field(8, 8, 1, "Q"),
        "cgroup_id": Field(16, 8, 1, "Q"),
        "cgroup_mask": Field(24, 8, 1, "Q"),
        "cgroup_generation": Field(32, 4, 1, "I"),
        "canary_hook": Field(36, 4, 1, "I"),
        "flags": Field(40, 4, 1, "I"),
        "canary_class": Field(44, 4, 1, "I"),
        "exec_generation": Field(48, 4, 1, "I"),
        "check_generation": Field(52, 4, 1, "I"),
        "overlay": Field(56, 8, 1, "Q"),
    },
)
COUNTERS = Struct(
    "guard_counters",
    56,
    {
        "attempts": Field(0, 8, 1, "Q"),
        "dropped": Field(8, 8, 1, "Q"),
        "denied": Field(16, 8, 1, "Q"),
        "audited": Field(24, 8, 1, "Q"),
        "unclassified": Field(32, 8, 1, "Q"),
        "label_failed": Field(40, 8, 1, "Q"),
        "killed": Field(48, 8, 1, "Q"),
    },
)
MERGING = Struct(
    "guard_merging",
    40,
    {
        "secret": Field(0, 16, 2, "Q"),
        "interval_ns": Field(16, 8, 1, "Q"),
        "burst_ns": Field(24, 8, 1, "Q"),
        "merge": Field(32, 8, 1, "Q"),
    },
)
ALLOWANCE = Struct(
    "guard_allowance",
    16,
    {
        "due_ns": Field(0, 8, 1, "Q"),
        "limited": Field(8, 8, 1, "Q"),
    },
)
EVENT = Struct(
    "guard_event",
    240,
    {
        "sequence": Field(0, 8, 1, "Q"),
        "boot_ns": Field(8, 8, 1, "Q"),
        "cpu": Field(16, 4, 1, "I"),
        "suppressed": Field(20, 4, 1, "I"),
        "policies": Field(24, 8, 1, "Q"),
        "denied": Field(32, 8, 1, "Q"),
        "by_rule": Field(40, 8, 1, "Q"),
        "enforced": Field(48, 8, 1, "Q"),
        "audited": Field(56, 8, 1, "Q"),
        "killed": Field(64, 8, 1, "Q"),
        "generation": Field(72, 4, 1, "I"),
        "section": Field(76, 4, 1, "I"),
        "hook": Field(80, 4, 1, "I"),
        "verbs": Field(84, 4, 1, "I"),
        "operation": Field(88, 4, 1, "I"),
        "reason": Field(92, 4, 1, "I"),
        "flags": Field(96, 4, 1, "I"),
        "error": Field(100, 4, 1, "i"),
        "class_id": Field(104, 16, 4, "I"),
        "inode": Field(120, 8, 1, "Q"),
        "device": Field(128, 4, 1, "I"),
        "target": Field(132, 4, 1, "I"),
        "path_size": Field(136, 4, 1, "I"),
        "second_size": Field(140, 4, 1, "I"),
        "exe_size": Field(144, 4, 1, "I"),
        "family": Field(148, 2, 1, "H"),
        "type": Field(150, 2, 1, "H"),
        "protocol": Field(152, 2, 1, "H"),
        "port": Field(154, 2, 1, "H"),
        "address_size": Field(156, 1, 1, "B"),
        "reserved": Field(157, 3, 3, "B"),
        "address": Field(160, 16, 16, "c"),
        "exe_inode": Field(176, 8, 1, "Q"),
        "cgroup": Field(184, 8, 1, "Q"),
        "start_ns": Field(192, 8, 1, "Q"),
        "exe_device": Field(200, 4, 1, "I"),
        "pid": Field(204, 4, 1, "I"),
        "tid": Field(208, 4, 1, "I"),
        "parent": Field(212, 4, 1, "I"),
        "uid": Field(216, 4, 1, "I"),
        "gid": Field(220, 4, 1, "I"),
        "comm": Field(224, 16, 16, "c"),
    },
)

STRUCTS = (VERB_ROW, ROW, DEVICE, ID, GATED, CONTENT, ROOT, DEVICES, TASK, COUNTERS, MERGING, ALLOWANCE, EVENT)
