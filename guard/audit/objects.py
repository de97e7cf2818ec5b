# SPDX-License-Identifier: Apache-2.0
"""What operations are done to, and by whom, as values: the nouns of records.

Knows no bytes of the ring, no JSON and no host. NamedTuples, because one is
made per event.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, TypeAlias

# Longest parent chain in a record: a record stays of bounded size, and above
# eight generations stand service managers and login shells.
ANCESTORS = 8


class Verdict(StrEnum):
    """What happened to the operation."""

    DENIED = "denied"
    WOULD_DENY = "would-deny"  # only policies in mode audit refuse it
    ALLOWED = "allowed"  # recorded because a rule says audit: true


class HashNote(StrEnum):
    """What is to be known about a file's hash, or why there is none."""

    CHANGED = "changed-since"  # written around or after the event: maybe other content
    TOO_LARGE = "too-large"
    GONE = "gone"  # no file has the path any more
    ANOTHER = "another-file"  # a file has the path, but not that device and inode
    NOT_REGULAR = "not-regular"
    REMOTE = "not-local"  # on a file system that may make the reader wait for ever
    BUSY = "busy"  # more was to be hashed than the limit for a second allows
    UNREADABLE = "unreadable"


class Hash(NamedTuple):
    """A file's content, or why it is not known. ``sha256``: 64 hexadecimal digits."""

    sha256: str | None
    note: HashNote | None


class FileObject(NamedTuple):
    """A file. ``path`` as in Record; ``to`` is the second path of rename and link."""

    path: bytes
    device: int
    inode: int
    to: bytes | None = None


class ExecObject(NamedTuple):
    """A program to execute. ``hash`` is None where hashing is off."""

    path: bytes
    device: int
    inode: int
    hash: Hash | None = None


class NetObject(NamedTuple):
    """A socket operation, in words. ``address`` is canonical; UNIX sockets have
    a ``path`` or an ``abstract`` name (without its leading NUL), or neither.
    """

    family: str
    type: str | None
    protocol: str | None
    address: str | None
    port: int | None
    path: bytes | None = None
    device: int = 0
    inode: int = 0
    abstract: bytes | None = None


class Target(NamedTuple):
    """Another process that something is done to."""

    pid: int
    start_ns: int | None
    exe: bytes | None


class KernelObject(NamedTuple):
    """An operation on the kernel or on another process; ``path``: a mount point, a module…"""

    operation: str
    target: Target | None = None
    path: bytes | None = None


class PacketObject(NamedTuple):
    """A packet at an interface. What is None could not be read, or the protocol has none.

    ``protocol`` is a word or a number; ``fragment`` is ``first`` or ``later``;
    ``length`` counts the frame's bytes, of which ``head`` are the first.
    """

    interface: bytes
    protocol: str | None
    source: str | None
    source_port: int | None
    destination: str | None
    destination_port: int | None
    icmp_type: int | None = None
    tcp_flags: tuple[str, ...] | None = None
    vlan: int | None = None
    fragment: str | None = None
    length: int = 0
    head: bytes = b""


Object: TypeAlias = FileObject | ExecObject | NetObject | KernelObject | PacketObject


class Frame(NamedTuple):
    """One return address of a stack, and what it means if that is known."""

    address: int
    symbol: bytes | None = None
    offset: int | None = None
    module: bytes | None = None


class Stack(NamedTuple):
    """Where a call was made, innermost first."""

    kernel: tuple[Frame, ...]
    user: tuple[Frame, ...]
