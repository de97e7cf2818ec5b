# SPDX-License-Identifier: Apache-2.0
"""Which programs a policy set needs, and what a kernel offers for them."""

from __future__ import annotations

import dataclasses

import pytest

from guard.errors import HostError
from guard.kernel import engine
from guard.kernel.attachment import Attachment
from guard.plan.gates import GATES, LABELS, Gate, choose, needed
from guard.policy.load import load
from guard.policy.model import Policy
from guard.wire.layout import Hook, Section
from tests.kernel_unit.fakes import FEATURES

HEAD = "version: 1\nname: p\nmode: enforce\nsubject: {host: true}\n"


def policies(text: str) -> tuple[Policy, ...]:
    """The policies of one text, which must be in order."""
    loaded = load([("p.yaml", (HEAD + text).encode())])
    assert loaded.usable, loaded.diagnostics
    return loaded.policies


def hooks(text: str) -> set[Hook]:
    """The hooks that a policy needs besides those that all need."""
    always = {gate.hook for gate in LABELS} | {Hook.FILE_OPEN}
    return {gate.hook for gate in needed(policies(text))} - always


def test_rules_that_name_operations_need_just_the_hooks_of_these() -> None:
    assert hooks("kernel: {deny: [syslog]}\n") == {Hook.SYSLOG}
    assert hooks("kernel: {deny: [ptrace, userns]}\n") == {
        Hook.PTRACE_ACCESS_CHECK,
        Hook.PTRACE_TRACEME,
        Hook.USERNS_CREATE,
    }


def test_a_default_that_denies_needs_every_hook_of_its_section() -> None:
    every = {gate.hook for gate in GATES if gate.section is Section.KERNEL}
    assert hooks("kernel: {default: deny}\n") == every


def test_a_section_that_is_absent_needs_nothing() -> None:
    # A further name for a file would be a way past what is denied of the first, and so
    # would a descriptor of it.
    always = {Hook.INODE_LINK, Hook.INODE_RENAME, Hook.FILE_RECEIVE}
    assert hooks("file: {default: allow, rules: [{deny: read, path: /x}]}\n") == always


def test_every_hook_has_one_gate_or_variants_that_kernels_tell_apart() -> None:
    for gate in GATES:
        twins = [other for other in GATES if other.hook is gate.hook and other is not gate]
        assert all(
            other.parameters != gate.parameters or other.program != gate.program for other in twins
        )
    assert len({gate.program for gate in GATES}) == len(GATES)


def test_the_variant_is_chosen_by_the_kernels_own_parameters() -> None:
    variants = [gate for gate in GATES if gate.hook is Hook.BPF]
    for count, program in ((3, "guard_bpf"), (4, "guard_bpf_kernel")):
        found = choose(variants, {"bpf_lsm_bpf": count})
        assert [gate.program for gate in found.gates] == [program]
        assert found.missing == ()
    strange = choose(variants, {"bpf_lsm_bpf": 5})
    assert strange.gates == () and [gate.hook for gate in strange.missing] == [Hook.BPF]


def test_a_hook_that_others_make_up_for_is_not_missed() -> None:
    spare = Gate(Hook.INODE_SET_ACL, "guard_x", Section.FILE, frozenset({8}), spare=True)
    assert choose([spare], {}).missing == ()
    assert choose([dataclasses.replace(spare, spare=False)], {}).missing != ()


def test_a_kernel_without_a_hook_is_refused_by_name() -> None:
    lacking = dict(FEATURES.functions)
    del lacking["bpf_lsm_syslog"]
    kernel = dataclasses.replace(FEATURES, functions=lacking)
    assert engine.choose_gates(kernel, policies("kernel: {deny: [reboot]}\n"))
    with pytest.raises(HostError) as caught:
        engine.choose_gates(kernel, policies("kernel: {deny: [syslog]}\n"))
    assert str(caught.value) == (
        "p.yaml:5:10: kernel 6.12.1 has no hook syslog, without which the rule 'kernel.1' cannot be"
        " enforced"
    )
    assert caught.value.remedy == (
        "boot a kernel from 6.1 on with CONFIG_BPF_LSM=y, CONFIG_SECURITY_PATH=y and"
        " CONFIG_SECURITY_NETWORK=y, as Debian's are"
    )


def test_a_security_function_that_takes_something_else_is_refused_by_name() -> None:
    with pytest.raises(HostError) as caught:
        engine.choose_gates(FEATURES, policies("kernel: {deny: [syslog]}\n"), Attachment.FMOD_RET)
    assert str(caught.value) == (
        "p.yaml:1:1: without bpf among its LSMs, kernel 6.12.1 offers no function to stand in for"
        " the hook task_alloc, which the policy 'p' needs"
    )
