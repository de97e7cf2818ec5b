# SPDX-License-Identifier: Apache-2.0
"""What a policy says, after parsing: frozen values, each with its place in the text.

Nothing here knows YAML, the kernel or this host.
"""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from guard.policy.source import Span
from guard.wire.layout import KernelOp, NetVerb, PathVerb

if TYPE_CHECKING:
    from guard.policy.ingress import IngressSection


class Mode(enum.Enum):
    """What a policy's denial does: refuse the operation, or only record it."""

    ENFORCE = "enforce"
    AUDIT = "audit"


class Effect(enum.Enum):
    """What a rule or a section's default gives."""

    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Pattern:
    """One glob over absolute paths, as the policy's author wrote it.

    ``text`` is the glob in the author's spelling; as bytes it is UTF-8.
    guard.policy.patterns gives it meaning.
    """

    text: str
    span: Span


class Errno(enum.Enum):
    """What a refused call may be told, errno(3)."""

    EACCES = "EACCES"
    EPERM = "EPERM"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What every rule has, whatever it is about.

    ``id`` is the author's, or ``SECTION.N`` with N counted from 1 in the section.
    ``errno`` is None where the section's own is wanted: EPERM for kernel
    operations, EACCES for all else. A rule is in force up to and including the
    day ``expires`` (UTC). ``tags`` are the author's words for records, such as
    ATT&CK techniques.
    """

    id: str
    effect: Effect
    span: Span
    audit: bool = False
    kill: bool = False
    errno: Errno | None = None
    why: str | None = None
    expires: dt.date | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PathRule(Rule):
    """Verbs on objects whose path matches one of ``paths`` and none of ``excepts``.

    ``verbs`` holds also what the author's verbs imply: write implies append.
    """

    verbs: tuple[PathVerb, ...]
    paths: tuple[Pattern, ...]
    excepts: tuple[Pattern, ...] = ()


@dataclass(frozen=True, slots=True)
class PathSection:
    """The file or the exec section. Deny beats allow; what no rule matches gets ``default``."""

    default: Effect
    rules: tuple[PathRule, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Prefix:
    """Addresses: the first ``length`` bits of ``address``, which is 4 or 16 bytes.

    An IPv4-mapped IPv6 prefix is held as its IPv4 prefix.
    """

    address: bytes
    length: int
    span: Span


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports ``first`` to ``last``, both included, 0 to 65535."""

    first: int
    last: int
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class NetRule(Rule):
    """Verbs on sockets and addresses.

    A rule matches an operation when each of the following that is not empty
    has a member that does: ``families`` (address families of the socket, AF_*
    numbers), ``types`` (SOCK_* numbers), ``protocols`` (IPPROTO_* numbers, the
    protocol that the socket really has: TCP for protocol 0 on an inet stream
    socket; netlink's own numbers for netlink), and one of the kinds of address
    if any is given: ``to``/``ports`` (internet), ``paths`` (named UNIX sockets),
    ``names`` (abstract UNIX sockets, globs over the name without its leading NUL).
    ``excepts`` are prefixes that the rule leaves alone.

    Which address: the local one for bind, listen and accept, the remote one for
    connect and send. create has no address, so a rule with create has none.
    """

    verbs: tuple[NetVerb, ...]
    families: tuple[int, ...] = ()
    types: tuple[int, ...] = ()
    protocols: tuple[int, ...] = ()
    to: tuple[Prefix, ...] = ()
    excepts: tuple[Prefix, ...] = ()
    ports: tuple[Ports, ...] = ()
    paths: tuple[Pattern, ...] = ()
    names: tuple[Pattern, ...] = ()


@dataclass(frozen=True, slots=True)
class NetSection:
    """The net section. Deny beats allow; what no rule matches gets ``default``."""

    default: Effect
    rules: tuple[NetRule, ...]
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRule(Rule):
    """Operations on the kernel itself, capabilities among them."""

    ops: tuple[KernelOp, ...]


@dataclass(frozen=True, slots=True)
class KernelSection:
    """The kernel section. Deny beats allow; what no rule matches gets ``default``."""

    default: Effect
    rules: tuple[KernelRule, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Subject:
    """Which tasks a policy applies to. Exactly one of these is given: tasks running an
    executable that matches one of ``exe``; tasks in a control group whose path in
    the cgroup v2 tree matches one of ``cgroups``, or below it; tasks of one of
    ``users`` or ``groups`` (names or numbers as text, looked up on the host);
    with ``host`` every task.

    ``units`` are systemd units, globs over a unit's name; they select control
    groups as a component of their path. With ``inherit``, only with exe,
    whatever these tasks fork and execute stays under the policy. ``contents``, only
    with exe, are the SHA-256 of what its files may hold, as 64 hexadecimal digits in
    lower case: a file with other contents is not started.
    """

    exe: tuple[Pattern, ...]
    host: bool
    inherit: bool
    span: Span
    units: tuple[Pattern, ...] = ()
    cgroups: tuple[Pattern, ...] = ()
    users: tuple[Pattern, ...] = ()
    groups: tuple[Pattern, ...] = ()
    contents: tuple[Pattern, ...] = ()


@dataclass(frozen=True, slots=True)
class PathOperation:
    """A verb on a canonical absolute path, as text; as bytes it is UTF-8."""

    verb: PathVerb
    path: str


@dataclass(frozen=True, slots=True)
class NetOperation:
    """A verb on a socket and an address, all as the kernel sees them.

    ``address`` is 4 or 16 bytes, canonical (never IPv4-mapped), None where the
    operation has no internet address; ``port`` likewise. ``name`` is an abstract
    UNIX socket's name. Named UNIX sockets are PathOperations.
    """

    verb: NetVerb
    family: int
    type: int
    protocol: int
    address: bytes | None = None
    port: int | None = None
    name: bytes | None = None


@dataclass(frozen=True, slots=True)
class KernelOperation:
    """One operation on the kernel."""

    op: KernelOp


Operation = PathOperation | NetOperation | KernelOperation


@dataclass(frozen=True, slots=True)
class Test:
    """What the policy, by itself, must decide about one operation.

    ``text`` is the operation as the author wrote it. ``rule`` is the id of a rule
    that must be among those that decide, None where any may.
    """

    operation: Operation
    text: str
    expect: Effect
    rule: str | None
    span: Span


@dataclass(frozen=True, slots=True)
class Policy:
    """One named document. A section that is None is not gated."""

    name: str
    mode: Mode
    subject: Subject
    file: PathSection | None
    source: str
    span: Span
    tests: tuple[Test, ...] = ()
    exec: PathSection | None = None
    net: NetSection | None = None
    kernel: KernelSection | None = None
    ingress: IngressSection | None = None

    @property
    def sections(
        self,
    ) -> tuple[PathSection | None, PathSection | None, NetSection | None, KernelSection | None]:
        """What processes are judged by, in the order of enum guard_section (lsm/wire.h)."""
        return self.file, self.exec, self.net, self.kernel
