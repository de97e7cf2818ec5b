# SPDX-License-Identifier: Apache-2.0
"""libbpf through ctypes: the only file of guard that calls into C.

Typed wrappers of the functions that guard uses, from the stable 1.x interface
(libbpf.h, bpf.h). Every failure is a LibbpfError that carries the errno and
what libbpf and the verifier logged meanwhile. Knows nothing of guard's
programs or policies.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Iterable
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any, NamedTuple

from guard.errors import HostError
from guard.kernel.libbpf_types import BtfType, LinkCreate, MapCreate, TestRunOptions

# libbpf keeps the interface stable within a major version.
LIBRARY = "libbpf.so.1"

# enum bpf_map_type and flags, include/uapi/linux/bpf.h
MAP_TYPE_ARRAY = 2
MAP_TYPE_RINGBUF = 27
F_MMAPABLE = 1 << 10

# enum bpf_prog_type, include/uapi/linux/bpf.h
PROG_TRACING = 26

# enum bpf_attach_type, include/uapi/linux/bpf.h
TRACE_FENTRY = 24
MODIFY_RETURN = 26
BPF_XDP, BPF_TCX_INGRESS, BPF_TCX_EGRESS = 37, 46, 47

# include/uapi/linux/if_link.h: how an XDP program is to be attached.
XDP_GENERIC = 1 << 1
XDP_NATIVE = 1 << 2

# enum btf_kind, include/uapi/linux/btf.h
BTF_KIND_FUNC = 12

# Messages of this level are kept only for an error's log (enum libbpf_print_level).
_LEVEL_DEBUG = 2

# A verifier log can be megabytes; its end says what went wrong.
LOG_LINES_KEPT = 200
LOG_BYTES = 16 << 20

_PRINT = ctypes.CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)


# What a program may add before or after a packet (bpf_xdp_adjust_head, _tail).
_TEST_RUN_ROOM = 512


class TestRun(NamedTuple):
    """What a program returned for a packet, and the packet as it left it."""

    verdict: int
    packet: bytes


class LibbpfError(HostError):
    """A libbpf call failed. ``errno`` is positive; ``log`` holds libbpf's messages."""

    def __init__(self, what: str, number: int, log: list[str]) -> None:
        self.errno = number
        self.log = tuple(log[-LOG_LINES_KEPT:])
        name = errno.errorcode.get(number, str(number))
        super().__init__(f"{what}: {os.strerror(number)} ({name})")


class Libbpf:
    """The loaded library. One instance may serve many objects; not thread-safe."""

    def __init__(self) -> None:
        """Load libbpf. Raises HostError, with the remedy, when it is not there."""
        try:
            self._c = ctypes.CDLL(LIBRARY, use_errno=True)
        except OSError:
            raise HostError(
                f"{LIBRARY} is not installed",
                remedy="install the libbpf 1.x shared library (Debian: apt-get install libbpf1)",
            ) from None
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.log: list[str] = []
        self._print = _PRINT(self._on_print)
        self._c.libbpf_set_print.argtypes = [_PRINT]
        self._c.libbpf_set_print.restype = c_void_p
        self._c.libbpf_set_print(self._print)
        self._functions: dict[str, Callable[..., int]] = {}

    def _on_print(self, level: int, form: bytes, arguments: int) -> int:
        if level < _LEVEL_DEBUG:
            buffer = ctypes.create_string_buffer(LOG_BYTES)
            self._libc.vsnprintf(buffer, c_size_t(len(buffer)), form, c_void_p(arguments))
            self.log.extend(buffer.value.decode(errors="replace").rstrip("\n").split("\n"))
        return 0

    def _function(
        self, name: str, result: type | None, *arguments: type | None
    ) -> Callable[..., int]:
        function = self._functions.get(name)
        if function is None:
            made = getattr(self._c, name)
            made.restype, made.argtypes = result, list(arguments)
            function = self._functions[name] = made
        return function

    def _check(self, what: str, result: int) -> int:
        """``result`` where it is not negative; raises LibbpfError otherwise."""
        if result < 0:
            raise self._error(what, -result if result != -1 else ctypes.get_errno())
        return result

    def _pointer(self, what: str, result: int | None) -> int:
        """A pointer that is not NULL; raises LibbpfError otherwise."""
        if not result:
            raise self._error(what, ctypes.get_errno())
        return result

    def _error(self, what: str, number: int) -> LibbpfError:
        log, self.log = self.log, []
        return LibbpfError(what, number, log)

    # Objects

    def object_open(self, path: str) -> int:
        """Open a BPF ELF object; returns its handle. Raises LibbpfError."""
        function = self._function("bpf_object__open_file", c_void_p, c_char_p, c_void_p)
        return self._pointer(f"open {path}", function(path.encode(), None))

    def object_load(self, handle: int) -> None:
        """Create the object's maps and load its programs. Raises LibbpfError."""
        self._check("load", self._function("bpf_object__load", c_int, c_void_p)(handle))

    def object_close(self, handle: int) -> None:
        """Free the object and its descriptors; what is pinned stays."""
        self._function("bpf_object__close", None, c_void_p)(handle)

    def object_program(self, handle: int, name: str) -> int:
        """The program called ``name``. Raises LibbpfError."""
        function = self._function("bpf_object__find_program_by_name", c_void_p, c_void_p, c_char_p)
        return self._pointer(f"program {name}", function(handle, name.encode()))

    def object_map(self, handle: int, name: str) -> int:
        """The map called ``name``. Raises LibbpfError."""
        function = self._function("bpf_object__find_map_by_name", c_void_p, c_void_p, c_char_p)
        return self._pointer(f"map {name}", function(handle, name.encode()))

    # Maps of an object

    def map_set_max_entries(self, map_: int, entries: int) -> None:
        """Set before load how many entries the map has (bytes, for a ring buffer)."""
        function = self._function("bpf_map__set_max_entries", c_int, c_void_p, c_uint32)
        self._check("map size", function(map_, entries))

    def map_set_inner(self, map_: int, fd: int) -> None:
        """Set before load the map that an array of maps takes its inner type from."""
        function = self._function("bpf_map__set_inner_map_fd", c_int, c_void_p, c_int)
        self._check("inner map", function(map_, fd))

    def map_reuse(self, map_: int, fd: int) -> None:
        """Say before load that the map is to be one that there is already."""
        function = self._function("bpf_map__reuse_fd", c_int, c_void_p, c_int)
        self._check("reuse map", function(map_, fd))

    def map_initial_value(self, map_: int) -> ctypes.Array[ctypes.c_char]:
        """The bytes that a data section will start with; writable until load."""
        size = c_size_t()
        function = self._function("bpf_map__initial_value", c_void_p, c_void_p, POINTER(c_size_t))
        address = self._pointer("initial value", function(map_, byref(size)))
        return (ctypes.c_char * size.value).from_address(address)

    def map_fd(self, map_: int) -> int:
        """The loaded map's descriptor; belongs to the object."""
        return self._check("map fd", self._function("bpf_map__fd", c_int, c_void_p)(map_))

    # Programs and links

    def program_set_autoload(self, program: int, load: bool) -> None:
        """Say before load whether this program is to be loaded."""
        function = self._function("bpf_program__set_autoload", c_int, c_void_p, ctypes.c_bool)
        self._check("autoload", function(program, load))

    def program_retarget(self, program: int, attach_type: int, function: str) -> None:
        """Make a program, before load, a tracing program on a kernel function."""
        self._check(
            "program type",
            self._function("bpf_program__set_type", c_int, c_void_p, c_int)(program, PROG_TRACING),
        )
        set_attach_type = self._function(
            "bpf_program__set_expected_attach_type", c_int, c_void_p, c_int
        )
        self._check("attach type", set_attach_type(program, attach_type))
        set_target = self._function(
            "bpf_program__set_attach_target", c_int, c_void_p, c_int, c_char_p
        )
        self._check(f"target {function}", set_target(program, 0, function.encode()))

    def program_fd(self, program: int) -> int:
        """The loaded program's descriptor; belongs to the object."""
        return self._check(
            "program fd", self._function("bpf_program__fd", c_int, c_void_p)(program)
        )

    def program_attach(self, program: int, name: str) -> int:
        """Attach as the program's section says; returns the link. Raises LibbpfError."""
        function = self._function("bpf_program__attach", c_void_p, c_void_p)
        return self._pointer(f"attach {name}", function(program))

    def program_attach_iterator(self, program: int, name: str) -> int:
        """Attach an iterator program; returns the link. Raises LibbpfError."""
        function = self._function("bpf_program__attach_iter", c_void_p, c_void_p, c_void_p)
        return self._pointer(f"attach {name}", function(program, None))

    def link_fd(self, link: int) -> int:
        """The link's descriptor; belongs to the link."""
        return self._check("link fd", self._function("bpf_link__fd", c_int, c_void_p)(link))

    def link_destroy(self, link: int) -> None:
        """Close the link: detaches it unless it is pinned."""
        self._function("bpf_link__destroy", c_int, c_void_p)(link)

    # System calls

    def iterate(self, link_fd: int) -> bytes:
        """Run an iterator to its end; returns what it printed. Raises LibbpfError."""
        function = self._function("bpf_iter_create", c_int, c_int)
        fd = self._check("iterator", function(link_fd))
        with os.fdopen(fd, "rb", buffering=0) as stream:
            return stream.read()

    def map_create(
        self, kind: int, name: str, key: int, value: int, entries: int, flags: int = 0
    ) -> int:
        """Create a map; ``key`` and ``value`` are sizes in bytes. Returns a descriptor."""
        options = MapCreate(sz=ctypes.sizeof(MapCreate), map_flags=flags)
        function = self._function(
            "bpf_map_create", c_int, c_int, c_char_p, c_uint32, c_uint32, c_uint32, c_void_p
        )
        return self._check(
            f"create map {name}",
            function(kind, name.encode(), key, value, entries, byref(options)),
        )

    def map_update(self, fd: int, key: bytes, value: bytes, what: str) -> None:
        """Set one element. Raises LibbpfError naming ``what``."""
        function = self._function("bpf_map_update_elem", c_int, c_int, c_char_p, c_char_p, c_uint64)
        self._check(what, function(fd, key, value, 0))

    def map_lookup(self, fd: int, key: bytes, size: int, what: str) -> bytes | None:
        """One element's ``size`` bytes, or None when there is none. Raises LibbpfError."""
        function = self._function("bpf_map_lookup_elem", c_int, c_int, c_char_p, c_void_p)
        value = ctypes.create_string_buffer(size)
        result = function(fd, key, value)
        if result == -errno.ENOENT:
            return None
        self._check(what, result)
        return value.raw

    def map_delete(self, fd: int, key: bytes, what: str) -> bool:
        """Remove one element; whether there was one. Raises LibbpfError naming ``what``."""
        function = self._function("bpf_map_delete_elem", c_int, c_int, c_char_p)
        result = function(fd, key)
        if result == -errno.ENOENT:
            return False
        self._check(what, result)
        return True

    def map_keys(self, fd: int, size: int) -> list[bytes]:
        """The keys (of ``size`` bytes) of a map that nobody takes any out of meanwhile."""
        function = self._function("bpf_map_get_next_key", c_int, c_int, c_void_p, c_void_p)
        found: list[bytes] = []
        after = ctypes.create_string_buffer(size)
        while True:
            before = ctypes.create_string_buffer(found[-1], size) if found else None
            result = function(fd, before, after)
            if result == -errno.ENOENT:
                return found
            self._check("keys", result)
            found.append(after.raw)

    def map_update_batch(self, fd: int, keys: bytes, values: bytes, count: int, what: str) -> int:
        """Set ``count`` elements in one call; how many were set. Raises LibbpfError.

        ``keys`` and ``values`` are the elements' bytes one after another.
        """
        function = self._function(
            "bpf_map_update_batch", c_int, c_int, c_char_p, c_char_p, POINTER(c_uint32), c_void_p
        )
        done = c_uint32(count)
        self._check(what, function(fd, keys, values, byref(done), None))
        return done.value

    def map_freeze(self, fd: int) -> None:
        """Forbid further changes of the map from user space."""
        self._check("freeze map", self._function("bpf_map_freeze", c_int, c_int)(fd))

    def pin(self, fd: int, path: str) -> None:
        """Give a map, program or link a name under bpffs. Raises LibbpfError."""
        function = self._function("bpf_obj_pin", c_int, c_int, c_char_p)
        self._check(f"pin {path}", function(fd, path.encode()))

    def open_pin(self, path: str) -> int:
        """A descriptor for what is pinned at ``path``. Raises LibbpfError."""
        function = self._function("bpf_obj_get", c_int, c_char_p)
        return self._check(f"open pin {path}", function(path.encode()))

    def xdp_attach(self, program_fd: int, interface: int, mode: int, what: str) -> int:
        """A link that holds the program on the interface of that index. Raises LibbpfError.

        ``mode``: XDP_NATIVE, XDP_GENERIC, or 0 for whichever the kernel chooses.
        """
        options = LinkCreate(sz=ctypes.sizeof(LinkCreate), flags=mode)
        function = self._function(
            "bpf_link_create", c_int, c_int, c_int, c_int, POINTER(LinkCreate)
        )
        return self._check(what, function(program_fd, interface, BPF_XDP, byref(options)))

    def tcx_attach(self, program_fd: int, interface: int, kind: int, what: str) -> int:
        """A link that adds a program to what an interface's packets pass. Raises LibbpfError.

        ``kind``: BPF_TCX_INGRESS or BPF_TCX_EGRESS; kernels before 6.6 have neither (EINVAL).
        """
        function = self._function(
            "bpf_link_create", c_int, c_int, c_int, c_int, POINTER(LinkCreate)
        )
        return self._check(what, function(program_fd, interface, kind, None))

    def link_update(self, link_fd: int, program_fd: int, what: str) -> None:
        """Put another program in a link's place atomically. Raises LibbpfError."""
        function = self._function("bpf_link_update", c_int, c_int, c_int, c_void_p)
        self._check(what, function(link_fd, program_fd, None))

    def program_by_id(self, number: int) -> int:
        """A descriptor for the loaded program of that id. Raises LibbpfError."""
        function = self._function("bpf_prog_get_fd_by_id", c_int, c_uint32)
        return self._check(f"program {number}", function(number))

    def map_by_id(self, number: int) -> int:
        """A descriptor for the map of that id. Raises LibbpfError."""
        function = self._function("bpf_map_get_fd_by_id", c_int, c_uint32)
        return self._check(f"map {number}", function(number))

    def test_run(self, program_fd: int, packet: bytes, context: bytes | None = None) -> TestRun:
        """Run an XDP program once on a packet; nothing is sent. Raises LibbpfError.

        ``context``: struct xdp_md, whose ingress_ifindex the kernel then believes.
        """
        out = ctypes.create_string_buffer(len(packet) + _TEST_RUN_ROOM)
        options = TestRunOptions(
            sz=ctypes.sizeof(TestRunOptions),
            data_in=ctypes.cast(c_char_p(packet), c_void_p),
            data_out=ctypes.cast(out, c_void_p),
            data_size_in=len(packet),
            data_size_out=len(out),
            repeat=1,
        )
        if context is not None:
            options.ctx_in = ctypes.cast(c_char_p(context), c_void_p)
            options.ctx_size_in = len(context)
        function = self._function("bpf_prog_test_run_opts", c_int, c_int, POINTER(TestRunOptions))
        self._check("test run", function(program_fd, byref(options)))
        return TestRun(options.retval, out.raw[: options.data_size_out])

    def run(self, program_fd: int, what: str) -> None:
        """Run a SYSCALL program once. Raises LibbpfError."""
        options = TestRunOptions(sz=ctypes.sizeof(TestRunOptions))
        function = self._function("bpf_prog_test_run_opts", c_int, c_int, POINTER(TestRunOptions))
        self._check(what, function(program_fd, byref(options)))

    def possible_cpus(self) -> int:
        """How many CPUs a per-CPU map has values for."""
        return self._check("CPUs", self._function("libbpf_num_possible_cpus", c_int)())

    def kernel_functions(self, names: Iterable[str]) -> dict[str, int]:
        """Those of the named functions that this kernel's BTF has, and how many parameters
        each takes. Raises LibbpfError without BTF.
        """
        load = self._function("btf__load_vmlinux_btf", c_void_p)
        btf = self._pointer("kernel BTF", load())
        find = self._function(
            "btf__find_by_name_kind", ctypes.c_int32, c_void_p, c_char_p, c_uint32
        )
        type_by_id = self._function("btf__type_by_id", POINTER(BtfType), c_void_p, c_uint32)
        found = {}
        for name in names:
            number = find(btf, name.encode(), BTF_KIND_FUNC)
            if number > 0:
                function: Any = type_by_id(btf, number)
                prototype: Any = type_by_id(btf, function.contents.type)
                found[name] = prototype.contents.info & 0xFFFF
        self._function("btf__free", None, c_void_p)(btf)
        return found
