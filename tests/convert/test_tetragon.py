# SPDX-License-Identifier: Apache-2.0
"""What TracingPolicies become, and that every line that is not the same is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.analysis.evaluate import decide
from guard.convert.model import Change, NotConverted
from guard.policy.load import load
from guard.policy.model import Errno
from tests.convert.samples import converted, operation, policies, told

SAMPLE = (Path(__file__).parent / "golden/tetragon.yaml").read_text()
HEAD = """\
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: p}
spec:
  lsmhooks:
    - hook: HOOK
      selectors:
        - """
DENY = "matchActions: [{action: Override, argError: -13}]"


def selector(text: str, hook: str = "file_open") -> str:
    return HEAD.replace("HOOK", hook) + text.replace("\n", "\n          ") + "\n"


def path(operator: str, *values: str) -> str:
    return f"matchArgs: [{{index: 0, operator: {operator}, values: [{', '.join(values)}]}}]\n{DENY}"


@pytest.mark.parametrize(
    ("operator", "value", "denied", "others"),
    [
        ("Equal", "/etc/a*", ["/etc/a*"], ["/etc/ab", "/etc/a"]),
        ("Prefix", "/etc/", ["/etc/a", "/etc/a/b"], ["/etc", "/etcx"]),
        ("Postfix", ".key", ["/a.key", "/a/b.key", "/.key"], ["/a.keys", "/akey"]),
        ("Postfix", "/x", ["/x", "/a/x", "/a/b/x"], ["/ax", "/x/a"]),
        ("NotPrefix", "/usr/", ["/etc/a", "/usr"], ["/usr/a"]),
        ("NotEqual", "/a", ["/b", "/a/b"], ["/a"]),
    ],
)
def test_a_path_is_matched_as_the_operator_says(
    operator: str, value: str, denied: list[str], others: list[str]
) -> None:
    written = converted(selector(path(operator, f'"{value}"')), "tetragon")
    (policy,) = policies(written)
    assert policy.subject.host
    for verb in ("read", "write", "list"):
        assert [decide(policy, operation(verb, each)).allowed for each in denied] == [False] * len(
            denied
        )
        assert [decide(policy, operation(verb, each)).allowed for each in others] == [True] * len(
            others
        )
    assert told(written) == [(8, "guard's write also covers truncating by path")]


def test_programs_are_the_subject_and_children_follow() -> None:
    first = load([("out", converted(SAMPLE, "tetragon").text.encode())]).policies[0]
    assert [each.text for each in first.subject.exe] == ["/usr/bin/cat", "/usr/bin/less"]
    assert first.subject.inherit
    assert first.file is not None
    assert first.file.rules[0].errno is Errno.EPERM


def test_a_program_is_denied_exactly() -> None:
    written = converted(selector(path("Equal", "/bin/nc"), "bprm_check_security"), "tetragon")
    (policy,) = policies(written)
    assert not decide(policy, operation("exec", "/bin/nc")).allowed
    assert decide(policy, operation("exec", "/bin/ncx")).allowed
    assert told(written) == []


def test_post_alone_records_and_allows() -> None:
    text = path("Equal", "/a").replace(DENY, "matchActions: [{action: Post}]")
    written = converted(selector(text), "tetragon")
    decision = decide(policies(written)[0], operation("read", "/a"))
    assert (decision.allowed, decision.audit) == (True, True)
    assert told(written) == []


@pytest.mark.parametrize(
    ("text", "change", "reason"),
    [
        (f"matchPIDs: []\n{DENY}", Change.LOOSER, "matchPIDs: guard's rules have no such"),
        (path("Mask", "4"), Change.LOOSER, "operator Mask: guard's patterns have no words"),
        (path("Equal", "x"), Change.LOOSER, "'x' is no path of a file"),
        (path("Prefix", '""'), Change.LOOSER, "'' is no part of a path"),
        (path("Equal"), Change.LOOSER, "matchArgs in a form"),
        ("matchActions: [{action: Signal, argSig: 9}]", Change.LOOSER, "action Signal: "),
        ("matchActions: [{action: Override, argError: -2}]", Change.RECORDS, "argError -2: "),
        (
            f"matchBinaries: [{{operator: NotIn, values: [/x]}}]\n{DENY}",
            Change.LOOSER,
            "matchBinaries NotIn: a subject names programs, not all but some",
        ),
        (
            f"matchArgs: [{{index: 1, operator: Equal, values: [4]}}]\n{DENY}",
            Change.LOOSER,
            "matchArgs on argument 1: guard has no words for it",
        ),
    ],
)
def test_a_selector_that_is_not_the_same_is_told_with_its_direction(
    text: str, change: Change, reason: str
) -> None:
    found = told(converted(selector(text), "tetragon"), change)
    assert found
    assert found[0][1].startswith(reason)


def test_selectors_that_do_different_things_are_told() -> None:
    text = selector(path("Equal", "/a")) + (
        "        - matchArgs: [{index: 0, operator: Prefix, values: [/]}]\n"
        "          matchActions: [{action: Post}]\n"
    )
    reasons = [reason for _, reason in told(converted(text, "tetragon"), Change.STRICTER)]
    assert "the first selector that matches decides; of guard's rules a deny does" in reasons


def test_a_policy_for_containers_is_lost_without_a_subject() -> None:
    text = selector(path("Equal", "/a")) + "  podSelector: {matchLabels: {a: b}}\n"
    assert converted(text, "tetragon").text == ""
    assert policies(converted(text, "tetragon", ("unit", ("a.service",))))[0].subject.units


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, len(SAMPLE)),
    st.integers(0, 25),
    st.sampled_from(["", "x", ":", "- ", "[", "\n"]),
)
def test_no_change_of_a_policy_is_more_than_a_policy_or_a_refusal(
    at: int, size: int, text: str
) -> None:
    try:
        converted(SAMPLE[:at] + text + SAMPLE[at + size :], "tetragon")
    except NotConverted:
        return
