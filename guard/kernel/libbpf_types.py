# SPDX-License-Identifier: Apache-2.0
"""C structures that libbpf's functions take and give. Types only."""

from __future__ import annotations

import ctypes
from ctypes import c_int, c_size_t, c_uint32, c_void_p


class BtfType(ctypes.Structure):
    """struct btf_type, include/uapi/linux/btf.h; ``info``'s low half counts members."""

    _fields_ = (("name_off", c_uint32), ("info", c_uint32), ("type", c_uint32))


class LinkCreate(ctypes.Structure):
    """struct bpf_link_create_opts up to what every kind of link has."""

    _fields_ = (("sz", c_size_t), ("flags", c_uint32))


class MapCreate(ctypes.Structure):
    """struct bpf_map_create_opts up to its flags."""

    _fields_ = (("sz", c_size_t), ("_btf", c_uint32 * 5), ("map_flags", c_uint32))


class TestRunOptions(ctypes.Structure):
    """struct bpf_test_run_opts."""

    _fields_ = (
        ("sz", c_size_t),
        ("data_in", c_void_p),
        ("data_out", c_void_p),
        ("data_size_in", c_uint32),
        ("data_size_out", c_uint32),
        ("ctx_in", c_void_p),
        ("ctx_out", c_void_p),
        ("ctx_size_in", c_uint32),
        ("ctx_size_out", c_uint32),
        ("retval", c_uint32),
        ("repeat", c_int),
        ("duration", c_uint32),
        ("flags", c_uint32),
        ("cpu", c_uint32),
        ("batch_size", c_uint32),
    )
