# SPDX-License-Identifier: Apache-2.0
"""Which program gates which verbs, on which kernel: the one table of hooks.

The loader attaches what a policy set needs and refuses a set that this kernel
cannot enforce; ``guard check --kernel`` asks the same table about kernels that
it does not run on. Knows no libbpf.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from guard.policy.model import Effect, KernelRule, NetRule, PathRule, Policy
from guard.wire.layout import Hook, KernelOp, NetVerb, PathVerb, Section

Release = tuple[int, int]
"""A kernel's version, such as (6, 1)."""

_FIRST: Release = (5, 7)
# The first release with BPF programs on LSM hooks; a hook that is not below is as old.

_SINCE: dict[Hook, Release] = {
    Hook.BPRM_CREDS_FOR_EXEC: (5, 8),
    # The hook is of 5.12; io_uring asks it from 5.16 on.
    Hook.INODE_INIT_SECURITY_ANON: (5, 16),
    Hook.USERNS_CREATE: (6, 1),
    Hook.INODE_SET_ACL: (6, 2),
    Hook.INODE_REMOVE_ACL: (6, 2),
    Hook.FILE_IOCTL_COMPAT: (6, 8),
    Hook.INODE_FILE_SETATTR: (6, 17),
}
"""For kernels that cannot be asked. Distributions may have taken a hook into an older one."""

EVERY: frozenset[int] = frozenset()
"""Verbs of a gate that all rules of its section need."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One program on one hook.

    ``section`` is None for what every policy set needs. ``verbs`` are the verbs
    (kernel section: operations) that cannot be enforced without it; EVERY: all of the
    section. ``parameters`` is how many the kernel's function must have for this
    program, 0 where that never differed. ``spare``: a kernel without the hook loses
    nothing, because others see the same there. ``contents``: needed where a subject has
    sha256, whatever the sections, and only an LSM program can do it.
    """

    hook: Hook
    program: str
    section: Section | None = None
    verbs: frozenset[int] = EVERY
    parameters: int = 0
    spare: bool = False
    contents: bool = False

    @property
    def since(self) -> Release:
        """The first release whose kernel asks this hook what the gate is to decide."""
        return _SINCE.get(self.hook, _FIRST)

    @property
    def function(self) -> str:
        """The kernel's function that the program is attached to."""
        return f"bpf_lsm_{self.hook.name.lower()}"


LABELS = (
    Gate(Hook.TASK_ALLOC, "guard_task_alloc"),
    Gate(Hook.BPRM_CREDS_FOR_EXEC, "guard_exec_begin"),
    Gate(Hook.BPRM_CHECK_SECURITY, "guard_exec_check"),
    Gate(Hook.BPRM_COMMITTED_CREDS, "guard_exec_commit"),
)
"""Attached first: gates read the labels that these keep."""


CONTENTS = Gate(Hook.BPRM_CHECK_SECURITY, "guard_exec_contents", contents=True)
"""For subjects with sha256 (lsm/contents.bpf.c). It asks a helper of 5.18 for the hash, which
tracing programs may not ask (kernel/trace/bpf_trace.c has no case for it)."""


def _operation(hook: Hook, *ops: KernelOp, program: str = "", parameters: int = 0) -> Gate:
    name = program or f"guard_{hook.name.lower()}"
    return Gate(hook, name, Section.KERNEL, frozenset(ops), parameters)


_CAPABILITIES = tuple(op for op in KernelOp if op.name.startswith("CAP_"))

OPERATIONS = (
    _operation(Hook.PTRACE_ACCESS_CHECK, KernelOp.PTRACE),
    _operation(Hook.PTRACE_TRACEME, KernelOp.PTRACE),
    _operation(Hook.TASK_KILL, KernelOp.SIGNAL),
    _operation(Hook.SB_MOUNT, KernelOp.MOUNT),
    _operation(Hook.MOVE_MOUNT, KernelOp.MOUNT),
    _operation(Hook.SB_REMOUNT, KernelOp.MOUNT),
    _operation(Hook.SB_UMOUNT, KernelOp.UMOUNT),
    _operation(Hook.SB_PIVOTROOT, KernelOp.PIVOT_ROOT),
    _operation(Hook.PATH_CHROOT, KernelOp.CHROOT),
    _operation(Hook.KERNEL_MODULE_REQUEST, KernelOp.MODULE),
    _operation(Hook.KERNEL_READ_FILE, KernelOp.MODULE, KernelOp.FIRMWARE, KernelOp.KEXEC),
    _operation(Hook.KERNEL_LOAD_DATA, KernelOp.MODULE, KernelOp.FIRMWARE, KernelOp.KEXEC),
    _operation(Hook.BPF, KernelOp.BPF, parameters=3),
    _operation(Hook.BPF, KernelOp.BPF, program="guard_bpf_kernel", parameters=4),
    _operation(Hook.PERF_EVENT_OPEN, KernelOp.PERF, parameters=2),
    _operation(Hook.PERF_EVENT_OPEN, KernelOp.PERF, program="guard_perf_event_type", parameters=1),
    _operation(Hook.USERNS_CREATE, KernelOp.USERNS),
    _operation(Hook.SETTIME, KernelOp.TIME),
    _operation(Hook.KEY_ALLOC, KernelOp.KEYS),
    _operation(Hook.KEY_PERMISSION, KernelOp.KEYS),
    _operation(Hook.SYSLOG, KernelOp.SYSLOG),
    _operation(Hook.INODE_INIT_SECURITY_ANON, KernelOp.IO_URING, program="guard_io_uring"),
    _operation(
        Hook.CAPABLE,
        *_CAPABILITIES,
        KernelOp.TIME,
        KernelOp.MODULE,
        KernelOp.MOUNT,
        KernelOp.KEXEC,
        KernelOp.SWAP,
        KernelOp.REBOOT,
    ),
)
"""The kernel section's (lsm/ops.bpf.c)."""


def _name(
    hook: Hook,
    *verbs: PathVerb,
    program: str = "",
    parameters: int = 0,
    spare: bool = False,
) -> Gate:
    name = program or f"guard_{hook.name.lower()}"
    return Gate(hook, name, Section.FILE, frozenset(verbs), parameters, spare)


NAMES = (
    _name(Hook.INODE_CREATE, PathVerb.CREATE),
    _name(Hook.INODE_MKDIR, PathVerb.CREATE),
    _name(Hook.INODE_SYMLINK, PathVerb.CREATE),
    _name(Hook.INODE_MKNOD, PathVerb.CREATE, PathVerb.MKDEV, PathVerb.MKFIFO, PathVerb.MKSOCK),
    _name(Hook.INODE_UNLINK, PathVerb.DELETE),
    _name(Hook.INODE_RMDIR, PathVerb.DELETE),
    # Whatever a rule denies, another name for the file would give.
    _name(Hook.INODE_RENAME, parameters=4),
    _name(Hook.INODE_RENAME, program="guard_security_inode_rename", parameters=5),
    _name(Hook.INODE_LINK),
    _name(
        Hook.INODE_SETATTR,
        PathVerb.SETATTR,
        PathVerb.WRITE,
        program="guard_inode_setattr_old",
        parameters=2,
    ),
    _name(Hook.INODE_SETATTR, PathVerb.SETATTR, PathVerb.WRITE, parameters=3),
    _name(Hook.INODE_SETXATTR, PathVerb.SETATTR),
    _name(Hook.INODE_REMOVEXATTR, PathVerb.SETATTR),
    # What a later kernel sees by these, an earlier one sees by another of the above.
    _name(Hook.INODE_SET_ACL, PathVerb.SETATTR, spare=True),
    _name(Hook.INODE_REMOVE_ACL, PathVerb.SETATTR, spare=True),
    _name(Hook.INODE_FILE_SETATTR, PathVerb.SETATTR, spare=True),
)
"""The file section's, for names and attributes (lsm/inode.bpf.c, lsm/twonames.bpf.c)."""


def _exec(hook: Hook, verb: PathVerb, program: str, parameters: int = 0) -> Gate:
    return Gate(hook, program, Section.EXEC, frozenset({verb}), parameters)


EXECUTION = (
    _exec(Hook.BPRM_CHECK_SECURITY, PathVerb.EXEC, "guard_exec_judge"),
    _exec(Hook.MMAP_FILE, PathVerb.MAP, "guard_mmap_exec", 4),
    _exec(Hook.MMAP_FILE, PathVerb.MAP, "guard_security_mmap_exec", 3),
    _exec(Hook.FILE_MPROTECT, PathVerb.MAP, "guard_mprotect_exec"),
)
"""The exec section's (lsm/exec.bpf.c)."""


def _file(hook: Hook, program: str, *verbs: PathVerb, parameters: int = 0) -> Gate:
    return Gate(hook, program, Section.FILE, frozenset(verbs), parameters)


DESCRIPTORS = (
    _file(Hook.FILE_LOCK, "guard_file_lock", PathVerb.LOCK),
    _file(Hook.FILE_IOCTL, "guard_file_ioctl", PathVerb.IOCTL, PathVerb.SETATTR),
    Gate(
        Hook.FILE_IOCTL_COMPAT,
        "guard_file_ioctl_compat",
        Section.FILE,
        frozenset({PathVerb.IOCTL, PathVerb.SETATTR}),
        spare=True,
    ),
    _file(Hook.FILE_FCNTL, "guard_file_fcntl", PathVerb.WRITE, PathVerb.APPEND),
    _file(Hook.MMAP_FILE, "guard_mmap_append", PathVerb.WRITE, PathVerb.APPEND, parameters=4),
    _file(
        Hook.MMAP_FILE,
        "guard_security_mmap_append",
        PathVerb.WRITE,
        PathVerb.APPEND,
        parameters=3,
    ),
    _file(Hook.FILE_RECEIVE, "guard_file_receive"),
)
"""The file section's, for open files (lsm/descriptor.bpf.c)."""


_USES = (NetVerb.CREATE, NetVerb.BIND, NetVerb.ACCEPT, NetVerb.CONNECT)
# What a socket that was made otherwise is judged by when it is used.


def _socket(hook: Hook, *verbs: NetVerb, program: str = "") -> Gate:
    return Gate(hook, program or f"guard_{hook.name.lower()}", Section.NET, frozenset(verbs))


SOCKETS = (
    _socket(Hook.SOCKET_CREATE, NetVerb.CREATE),
    _socket(Hook.SOCKET_BIND, NetVerb.BIND),
    _socket(Hook.PATH_MKNOD, NetVerb.BIND, program="guard_unix_bind"),
    _socket(Hook.SOCKET_LISTEN, NetVerb.LISTEN),
    _socket(Hook.SOCKET_ACCEPT, NetVerb.ACCEPT),
    _socket(Hook.SOCKET_CONNECT, NetVerb.CONNECT, NetVerb.SEND),
    _socket(Hook.SOCKET_SENDMSG, *_USES, NetVerb.SEND),
    _socket(Hook.SOCKET_RECVMSG, *_USES),
    _socket(Hook.UNIX_STREAM_CONNECT, NetVerb.CONNECT),
    _socket(Hook.UNIX_MAY_SEND, NetVerb.CONNECT, NetVerb.SEND),
    _socket(Hook.SCTP_BIND_CONNECT, NetVerb.BIND, NetVerb.CONNECT),
)
"""The net section's (lsm/net.bpf.c, unix.bpf.c, sctp.bpf.c)."""

GATES: tuple[Gate, ...] = (
    *LABELS,
    CONTENTS,
    Gate(
        Hook.FILE_OPEN,
        "guard_file_open",
        Section.FILE,
        frozenset({PathVerb.READ, PathVerb.WRITE, PathVerb.LIST, PathVerb.APPEND}),
    ),
    *NAMES,
    *DESCRIPTORS,
    *EXECUTION,
    *SOCKETS,
    *OPERATIONS,
)
"""All gates, in the order in which they are attached."""

SWEEP = "guard_sweep"
"""The iterator that labels tasks that run already."""


def needed(policies: Iterable[Policy]) -> tuple[Gate, ...]:
    """The gates without which something that these policies say would not be enforced.

    The file gate is always among them: guard's own canary goes through it.
    """
    policies = tuple(policies)
    wanted = wanted_verbs(policies)
    contents = any(policy.subject.contents for policy in policies)
    return tuple(
        gate for gate in GATES if (contents if gate.contents else _is_needed(gate, wanted))
    )


def wanted_verbs(policies: Iterable[Policy]) -> dict[Section, frozenset[int] | None]:
    """Per section that is gated, the verbs that rules name; None where a default denies all."""
    found: dict[Section, frozenset[int] | None] = {}
    for policy in policies:
        sections = policy.sections
        for number, section in zip(Section, sections, strict=True):
            if section is None:
                continue
            named = found.get(number, frozenset())
            if section.default is Effect.DENY or named is None:
                found[number] = None
            else:
                found[number] = named.union(*(_verbs(rule) for rule in section.rules))
    return found


def _verbs(rule: PathRule | NetRule | KernelRule) -> Sequence[int]:
    return rule.ops if isinstance(rule, KernelRule) else rule.verbs


def _is_needed(gate: Gate, wanted: dict[Section, frozenset[int] | None]) -> bool:
    if gate.section is None or gate.hook is Hook.FILE_OPEN:
        return True
    if gate.section not in wanted:
        return False
    verbs = wanted[gate.section]
    return verbs is None or not gate.verbs or bool(verbs & gate.verbs)


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be loaded on one kernel, and what it lacks."""

    gates: tuple[Gate, ...]
    missing: tuple[Gate, ...]


def choose(gates: Iterable[Gate], parameters: dict[str, int]) -> Choice:
    """Of the programs for each hook and section, the one that fits a kernel.

    ``parameters`` has, for each function of the kernel among the gates', how many
    parameters it takes; a function that is not there, the kernel does not have.
    """
    by_hook: dict[tuple[Hook, Section | None, bool], list[Gate]] = {}
    for gate in gates:
        by_hook.setdefault((gate.hook, gate.section, gate.contents), []).append(gate)
    chosen: list[Gate] = []
    missing: list[Gate] = []
    for variants in by_hook.values():
        fitting = [
            gate
            for gate in variants
            if gate.function in parameters and gate.parameters in (0, parameters[gate.function])
        ]
        if fitting:
            chosen.append(fitting[0])
        elif not variants[0].spare:
            missing.append(variants[0])
    return Choice(tuple(chosen), tuple(missing))


def functions(gates: Iterable[Gate]) -> Collection[str]:
    """The kernel functions that are to be looked for."""
    return {gate.function for gate in gates}
