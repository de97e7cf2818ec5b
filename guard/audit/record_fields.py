# SPDX-License-Identifier: Apache-2.0
"""Every member of every record, once: the JSON Schema and the manual are made of this.

Says what records look like; knows nothing of how one is made. Renderers to
other formats read records by these names.
"""

from __future__ import annotations

from guard.audit.fields import (
    SCHEMA,
    Big,
    Field,
    Flag,
    Kinds,
    Many,
    Name,
    Number,
    Shape,
    Text,
    part,
)
from guard.audit.objects import ANCESTORS, HashNote, Verdict
from guard.audit.own_fields import OWN

_U32 = Number(0, 2**32 - 1)
_PORT = Number(0, 65535)
_DEVICE = Text(pattern="^[0-9]+:[0-9]+$")
_SHA256 = Text(pattern="^[0-9a-f]{64}$")
_HEX = Text(pattern="^[0-9a-f]+$")

HEAD = (
    Field("schema", Number(SCHEMA, SCHEMA), "version of this description of records"),
    Field("event", Text(), "what happened: the gate and the operation, or one of guard's own"),
    Field(
        "time",
        Text(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$"),
        "when, by the wall clock: UTC, RFC 3339, microseconds",
    ),
    Field("boot_ns", Big(), "when, in nanoseconds since boot (CLOCK_BOOTTIME), which never steps"),
    Field(
        "host",
        part(
            [
                Field("name", Text(), "the host's name"),
                Field("id", Text(), "derived from the machine id, as systemd does for programs"),
                Field(
                    "boot", Text(), "the kernel's boot id: with pid and start_ns, who a process is"
                ),
            ]
        ),
        "where",
    ),
    Field("epoch", Text(), "which run of counters `seq` belongs to"),
    Field("cpu", _U32, "the processor that counted `seq`; null for guard's own records", null=True),
    Field("seq", Number(0, 2**64 - 1), "number of the record within host, boot, epoch and cpu"),
)

CHAIN = Field(
    "chain",
    part(
        [
            Field("series", Text(), "the chain's name"),
            Field("n", Number(), "the batch's number in the chain"),
            Field("first", Number(), "number of the batch's first record in the chain"),
            Field("records", Number(), "records in the batch"),
            Field("crc", Text(pattern="^[0-9a-f]*$"), "CRC-32 of each record"),
            Field("prev", _SHA256, "hash of the batch before"),
            Field("hash", _SHA256, "SHA-256 over the batch and what stands above"),
        ]
    ),
    "seal of the batch that this record is the last of",
    always=False,
)

_POLICY = Field(
    "policy",
    part(
        [
            Field("name", Text(), "null: no policy is behind it", null=True),
            Field("mode", Text(("enforce", "audit")), "the policy's mode", null=True),
            Field("generation", _U32, "of the tables that decided"),
        ]
    ),
    "the policy that the verdict is due to",
)

_RULE = Field(
    "rule",
    part(
        [
            Field("id", Text(), "null: the section's default decided", null=True),
            Field("file", Text(), "the policy's file", null=True),
            Field("line", Number(), "the rule's line in it", null=True),
            Field("why", Text(), "the author's reason", null=True),
            Field("tags", Many(Text()), "the rule's tags, as ATT&CK techniques (T1003.008)"),
        ]
    ),
    "the rule that decided; of several that match, one",
)

_CONTAINER = part(
    [
        Field("id", Text(), "the container's id, or its name where there is none"),
        Field(
            "runtime",
            Text(("docker", "podman", "containerd", "cri-o", "lxc", "nspawn", "kubernetes")),
            "whose pattern the cgroup's name has",
        ),
        Field("pod", Text(), "the Kubernetes pod's uid", null=True),
        Field(
            "delegated",
            Flag(),
            "the name stands below a user's own service manager, so the user may have chosen it",
        ),
    ]
)

_ANCESTOR = part(
    [
        Field("pid", _U32, "process id"),
        Field("start_ns", Big(), "its start, rounded down to 10 ms", null=True),
        Field("exe", Name(), "its executable when it was looked up", null=True),
        Field("comm", Name(), "its name when it was looked up", null=True),
    ]
)

IDENTITY = (
    Field("user", Name(), "the host's name of `uid`", null=True),
    Field("group", Name(), "the host's name of `gid`", null=True),
    Field("cgroup_path", Name(), "path of the cgroup in the host's hierarchy", null=True),
    Field("unit", Name(), "systemd's unit", null=True),
    Field("user_unit", Name(), "the unit inside a user's service manager", null=True),
    Field("container", _CONTAINER, "the container", null=True),
    Field(
        "ancestors",
        Many(_ANCESTOR, ANCESTORS),
        f"parent first, {ANCESTORS} at most, as found when the process was first recorded;"
        " null: not looked up",
        null=True,
    ),
)

PROCESS = part(
    [
        Field("pid", _U32, "process id (thread group)"),
        Field("tid", _U32, "thread id"),
        Field("parent", _U32, "process id of the parent"),
        Field("start_ns", Big(), "the process's start since boot: a pid used again has another"),
        Field("exe", Name(), "executable, the host's path; null: a kernel thread", null=True),
        Field("exe_device", _DEVICE, "its file system's device, major:minor"),
        Field("exe_inode", Big(), "its inode"),
        Field("uid", _U32, "user id, as the host counts"),
        Field("gid", _U32, "group id, as the host counts"),
        Field("cgroup", Big(), "cgroup v2 id"),
        Field("comm", Name(), "the thread's own name for itself"),
        *IDENTITY,
    ]
)

_FILE = (
    Field("path", Name(), "the host's path, after all symbolic links; `anonymous`: memory"),
    Field("device", _DEVICE, "its file system's device, major:minor"),
    Field("inode", Big(), "its inode"),
)

_END = part(
    [
        Field("address", Text(), "IP address", null=True),
        Field("port", _PORT, "port; null: the protocol has none", null=True),
    ]
)

OBJECT = Kinds(
    (
        (
            "file",
            "files and directories",
            part(
                [*_FILE, Field("to", Name(), "the second path, of rename and link", always=False)]
            ),
        ),
        (
            "exec",
            "a program to execute",
            part(
                [
                    *_FILE,
                    Field(
                        "hash",
                        part(
                            [
                                Field("sha256", _SHA256, "of the file's content", null=True),
                                Field(
                                    "note",
                                    Text(tuple(note.value for note in HashNote)),
                                    "what is to be known about it, or why there is none",
                                    null=True,
                                ),
                            ]
                        ),
                        "the content; absent where hashing is off",
                        always=False,
                    ),
                ]
            ),
        ),
        (
            "net",
            "a socket operation",
            part(
                [
                    Field("family", Text(), "inet, inet6, unix, netlink, packet, vsock, …"),
                    Field("type", Text(), "stream, dgram, raw, seqpacket, …", null=True),
                    Field("protocol", Text(), "tcp, udp, … or a number", null=True),
                    Field("address", Text(), "IP address, canonical: never ::ffff:…", null=True),
                    Field("port", _PORT, "port", null=True),
                    Field("path", Name(), "path of a UNIX socket", always=False),
                    Field("device", _DEVICE, "of that path's file system", always=False),
                    Field("inode", Big(), "of that path", always=False),
                    Field("abstract", Name(), "abstract name of a UNIX socket", always=False),
                ]
            ),
        ),
        (
            "kernel",
            "an operation on the kernel or on another process",
            part(
                [
                    Field("operation", Text(), "ptrace, mount, module, cap-sys-admin, …"),
                    Field(
                        "target",
                        part(
                            [
                                Field("pid", _U32, "process id"),
                                Field("start_ns", Big(), "its start, rounded down", null=True),
                                Field("exe", Name(), "its executable, as found", null=True),
                            ]
                        ),
                        "the process that it is done to",
                        null=True,
                    ),
                    Field("path", Name(), "mount point, module or other file", always=False),
                ]
            ),
        ),
        (
            "packet",
            "a packet at an interface",
            part(
                [
                    Field("interface", Name(), "the interface that it came in by"),
                    Field("protocol", Text(), "tcp, udp, icmp, … or a number", null=True),
                    Field("source", _END, "where it says that it comes from"),
                    Field("destination", _END, "where it was to go"),
                    Field("icmp_type", Number(0, 255), "ICMP's type", null=True),
                    Field("tcp_flags", Many(Text()), "fin, syn, rst, psh, ack, …", null=True),
                    Field("vlan", Number(0, 4095), "the outermost VLAN's id", null=True),
                    Field("fragment", Text(("first", "later")), "which fragment it is", null=True),
                    Field("length", _U32, "bytes of the frame"),
                    Field("head", Text(pattern="^([0-9a-f]{2})*$"), "its first bytes"),
                ]
            ),
        ),
    )
)

_FRAME = part(
    [
        Field("address", _HEX, "return address, hexadecimal"),
        Field("symbol", Name(), "function; null: not resolved", null=True),
        Field("offset", Number(), "bytes into it", null=True),
        Field("module", Name(), "file or kernel module", null=True),
    ]
)

DECISION = Shape(
    "decision",
    (r"^(file|exec|net|kernel|packet|task|hook)\.[a-z0-9_-]+$",),
    "a decision about an operation",
    (
        Field("verdict", Text(tuple(Verdict)), "what happened to the operation"),
        Field("error", Text(), "the errno's name that the caller got; null: it went on", null=True),
        Field("reason", Text(), "`policy`, or why no policy could decide"),
        Field("verbs", Many(Text()), "what the operation asked for"),
        _POLICY,
        _RULE,
        Field("others", Many(Text()), "names of further policies that refuse it or want a record"),
        Field(
            "masks",
            part([Field("denied", _HEX, "policies, as bits"), Field("audited", _HEX, "the same")]),
            "the kernel's own bits, only where the policy could not be told",
            always=False,
        ),
        Field("object", OBJECT, "what it was done to"),
        Field("process", PROCESS, "who did it; null: a packet, which nobody here sent", null=True),
        Field("flags", Many(Text()), "what is special about it"),
        Field("killed", Flag(), "the rule ends the process as well"),
        Field(
            "suppressed",
            Number(0, 2**64 - 1),
            "like events since the last record of theirs, counted instead of recorded",
        ),
        Field(
            "stack",
            part(
                [
                    Field("kernel", Many(_FRAME), "innermost first"),
                    Field("user", Many(_FRAME), "innermost first"),
                ]
            ),
            "where the call was made, only where a rule asks for it",
            always=False,
        ),
    ),
    pattern=True,
)

SHAPES = (DECISION, *OWN)
