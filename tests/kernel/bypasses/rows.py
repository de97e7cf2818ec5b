# SPDX-License-Identifier: Apache-2.0
"""Ways past a policy that are known to have worked against somebody, and what holds them here.

One row, one bypass. A row that is not held says so and why; docs/manual/bypasses.md
has the same in prose. Knows no kernel: tests are named by file and function.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """Whether a bypass is held."""

    CLOSED = "closed"
    PARTLY = "partly"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Row:
    """A bypass; ``tests`` are FILE::FUNCTION below tests/kernel; ``left`` is what stays open."""

    title: str
    tests: tuple[str, ...]
    status: Status = Status.CLOSED
    left: str = ""


_NAMES = "bypasses/test_names.py::"
_CODE = "bypasses/test_code.py::"
_NET = "bypasses/test_net.py::"
_TASKS = "bypasses/test_tasks.py::"

ROWS: dict[str, Row] = {
    "B-1": Row("a hard link to a protected file", (f"{_NAMES}test_b01_a_hard_link",)),
    "B-2": Row(
        "a hard link made before the policy was loaded",
        (),
        Status.OPEN,
        "a file is judged by the name that it is reached by",
    ),
    "B-3": Row(
        "a protected file renamed away, replaced or exchanged",
        (f"{_NAMES}test_b03_renames",),
    ),
    "B-4": Row("a symlink to a protected file", ("test_routes.py::test_a_file_is_denied",)),
    "B-5": Row(
        "a directory above a protected file renamed", (f"{_NAMES}test_b05_a_parent_is_renamed",)
    ),
    "B-6": Row(
        "another path by mounting, pivoting or a name space",
        ("test_routes.py::test_a_file_is_denied",),
    ),
    "B-7": Row(
        "/proc's links root, cwd and fd, and path descriptors",
        ("test_routes.py::test_a_file_is_denied",),
    ),
    "B-8": Row(
        "overlays: layers, and copies up into them",
        (
            "test_overlay.py::test_what_the_policy_denies_by_the_merged_path_is_not_done",
            "test_overlay.py::test_an_overlay_of_the_callers_own_gives_nothing_in_its_layers",
        ),
        Status.PARTLY,
        "a layer that is opened directly is judged by its own path only",
    ),
    "B-9": Row(
        "open_by_handle_at, openat2, io_uring",
        (
            "test_routes.py::test_a_file_is_denied",
            "test_routes.py::test_a_file_is_denied_to_io_uring",
        ),
    ),
    "B-10": Row(
        "a path too deep or too long to match",
        (
            "test_file_open.py::test_a_file_is_denied_at_a_depth_of",
            "test_file_open.py::test_a_path_of_more_than_four_kilobytes_is_denied",
            "test_file_open.py::test_a_file_too_deep_to_classify_is_denied_whatever_the_rules",
        ),
    ),
    "B-20": Row(
        "code in a memfd, an O_TMPFILE or a deleted file", (f"{_CODE}test_b20_nameless_code",)
    ),
    "B-21": Row("a program run by the loader, a library preloaded", (f"{_CODE}test_b21_loader",)),
    "B-22": Row(
        "a script, and its interpreter by either name",
        (f"{_CODE}test_b22_interpreters",),
        Status.PARTLY,
        "an interpreter that may be executed runs what it reads: deny it read of the script",
    ),
    "B-23": Row(
        "memory written and then executed",
        (f"{_CODE}test_b23_written_memory",),
        Status.PARTLY,
        "brk and stacks under personality(READ_IMPLIES_EXEC): no hook is asked",
    ),
    "B-24": Row(
        "descriptors from before the policy, inherited or received",
        ("test_descriptors.py::test_a_denied_file_is_not_received",),
        Status.PARTLY,
        "received ones are judged; those inherited or opened before the policy are not",
    ),
    "B-25": Row(
        "truncating and changing attributes",
        (f"{_NAMES}test_b25_changes_without_opening",),
        Status.PARTLY,
        "who may append can punch holes by fallocate, and write by RWF_NOAPPEND from 6.9 on",
    ),
    "B-26": Row("deleting a protected file", (f"{_NAMES}test_b26_deletion",)),
    "B-27": Row("a protected name that is not there yet", (f"{_NAMES}test_b27_an_absent_name",)),
    "B-30": Row("a copy of a denied program", (f"{_CODE}test_b30_a_copy",)),
    "B-39": Row(
        "names with bytes that matchers trip over",
        (
            "test_file_open.py::test_a_denied_name_may_be",
            "test_file_open.py::test_a_file_named_deleted_is_another_than_a_deleted_one",
        ),
    ),
    "B-40": Row("a prefix that is no directory", (f"{_CODE}test_b40_a_prefix",)),
    "B-11": Row(
        "an address of no family (AF_UNSPEC) on an IPv4 socket",
        (f"{_NET}test_b11_an_address_of_no_family_is_the_sockets_own",),
    ),
    "B-12": Row(
        "other forms of one address",
        (f"{_NET}test_b12_every_form_of_an_address_is_the_address",),
        Status.PARTLY,
        "NAT64 stays IPv6: only the network knows its prefix",
    ),
    "B-13": Row(
        "0.0.0.0, :: and all of 127/8 for loopback",
        (f"{_NET}test_b13_no_address_in_particular_is_loopback",),
    ),
    "B-14": Row("TCP fast open", (f"{_NET}test_b14_fast_open_connects",)),
    "B-15": Row(
        "datagrams without connect, sendmmsg, raw sockets, sockets made before or passed",
        (
            f"{_NET}test_b15_each_message_of_many_is_judged",
            f"{_NET}test_b15_what_sends_datagrams_is_judged",
            "test_net_use.py::test_a_connection_made_before_the_policy_is_judged_when_it_is_used",
            "test_net_use.py::test_a_socket_passed_by_another_process_is_judged",
        ),
        Status.PARTLY,
        "connected UNIX sockets that a task was given; on 6.1, sendfile and splice into a socket",
    ),
    "B-16": Row(
        "MPTCP, SCTP and families nobody thought of",
        (
            f"{_NET}test_b16_families_nobody_named_are_denied_by_default",
            "test_net_sctp.py::test_an_address_is_judged_in_every_way_that_sctp_has",
        ),
    ),
    "B-17": Row(
        "listening without bind, port 0",
        (
            f"{_NET}test_b17_listening_without_bind_is_listening_on_any_port",
            f"{_NET}test_b17_port_0_is_judged_by_what_it_may_become",
        ),
    ),
    "B-32": Row(
        "a service asked by its UNIX socket",
        (
            f"{_NET}test_b32_a_socket_reached_by_another_path_is_the_same",
            "test_net_unix.py::test_a_path_is_not_connected_to",
            "test_net_unix.py::test_an_abstract_name_is_not_connected_to",
        ),
    ),
    "B-18": Row(
        "the kernel's workers for a task (io_uring, SQPOLL)",
        ("test_routes.py::test_a_file_is_denied_to_io_uring",),
    ),
    "B-19": Row(
        "so many tasks that a label is evicted, pids used again",
        (f"{_TASKS}test_b19_what_many_others_did_makes_no_difference",),
    ),
    "B-28": Row("name spaces of one's own", (f"{_TASKS}test_b28_name_spaces_of_ones_own",)),
    "B-29": Row(
        "a name that a process gives itself (comm)",
        (f"{_TASKS}test_b29_a_name_that_one_gives_oneself",),
    ),
    "B-31": Row(
        "reaching into a process that is trusted more",
        (f"{_TASKS}test_b31_reaching_into_another_process",),
    ),
    "B-33": Row(
        "devices that hold files and memory, and modules",
        (f"{_TASKS}test_b33_devices_that_hold_files_and_memory",),
        Status.PARTLY,
        "by rules: nothing is denied that no policy names (mkdev, /dev/**, module, bpf)",
    ),
    "B-35": Row(
        "a flood of records that hides one, or opens the gate",
        ("test_events.py::test_a_full_ring_changes_no_verdict_and_every_loss_is_counted",),
    ),
    "B-36": Row(
        "arguments changed after they were checked",
        (
            f"{_TASKS}test_b36_a_path_changed_under_the_call_is_never_reached",
            f"{_NET}test_b36_an_address_changed_under_the_call_is_never_reached",
        ),
    ),
    "B-37": Row(
        "the moment in which policies change",
        ("test_switch.py::test_a_thousand_swaps_deny_nothing_falsely_and_let_nothing_through",),
    ),
    "B-38": Row(
        "an exploit of the kernel itself",
        (),
        Status.OPEN,
        "what runs in the kernel can take any program out of it",
    ),
    "B-41": Row(
        "threads that preempt each other inside a program",
        ("test_races.py::test_threads_that_preempt_each_other_on_one_processor_are_all_denied",),
        Status.PARTLY,
        "without bpf among the LSMs, on a kernel that preempts itself, calls pass by: degraded",
    ),
}
"""By number; those of other gates belong here too."""
