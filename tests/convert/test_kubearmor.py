# SPDX-License-Identifier: Apache-2.0
"""What KubeArmor's policies become, and that every line that is not the same is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.analysis.evaluate import decide
from guard.convert.model import Change, NotConverted
from tests.convert.samples import allowed, converted, operation, policies, socket, told

SAMPLE = (Path(__file__).parent / "golden/kubearmor.yaml").read_text()
HEAD = """\
apiVersion: security.kubearmor.com/v1
kind: KubeArmorHostPolicy
metadata: {name: p}
spec:
"""


def host(spec: str) -> str:
    return HEAD + "".join(f"  {line}\n" for line in spec.splitlines())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("write", "/etc/passwd"), False),
        (("read", "/etc/passwd"), True),
        (("read", "/etc/ssl/private/key"), False),
        (("read", "/etc/sslx"), True),
        (("list", "/etc/ssl"), True),
        (("read", "/home/u/.ssh/id"), False),
        (("read", "/home/u/.ssh/d/id"), True),
        (("exec", "/tmp/x"), False),
        (("exec", "/tmp/d/x"), True),
        (("exec", "/usr/bin/wget"), True),
        (("cap_sys_admin",), False),
        (("cap_net_raw",), True),
    ],
)
def test_the_host_policy_decides_as_the_source_does(words: tuple[str, ...], expected: bool) -> None:
    policy = policies(converted(SAMPLE, "kubearmor"))[0]
    assert decide(policy, operation(*words)).allowed is expected


def test_a_source_of_operations_is_a_policy_of_its_own() -> None:
    _, cat = policies(converted(SAMPLE, "kubearmor"))
    assert [each.text for each in cat.subject.exe] == ["/usr/bin/cat"]
    assert not cat.subject.inherit
    assert not decide(cat, operation("read", "/etc/shadow")).allowed
    assert decide(cat, operation("read", "/etc/passwd")).allowed


def test_an_audited_program_is_allowed_and_recorded() -> None:
    decision = decide(
        policies(converted(SAMPLE, "kubearmor"))[0], operation("exec", "/usr/bin/wget")
    )
    assert (decision.allowed, decision.audit) == (True, True)


@pytest.mark.parametrize(
    ("protocol", "denied", "others"),
    [
        ("tcp", (2, 1, 6), (2, 2, 17)),
        ("udp", (10, 2, 17), (2, 1, 6)),
        ("raw", (2, 3, 1), (2, 2, 17)),
    ],
)
def test_a_protocol_is_denied_and_no_other(
    protocol: str, denied: tuple[int, int, int], others: tuple[int, int, int]
) -> None:
    written = converted(
        host(f"network:\n  matchProtocols:\n    - protocol: {protocol}"), "kubearmor"
    )
    (policy,) = policies(written)
    for verb in ("create", "connect"):
        assert not decide(policy, socket(verb, *denied)).allowed
        assert decide(policy, socket(verb, *others)).allowed
    assert told(written) == []


def test_a_policy_for_pods_is_lost_without_a_subject_and_kept_with_one() -> None:
    text = host("selector: {matchLabels: {app: x}}\nprocess: {matchPaths: [{path: /bin/x}]}")
    text = text.replace("KubeArmorHostPolicy", "KubeArmorPolicy")
    lost = converted(text, "kubearmor")
    assert lost.text == ""
    assert told(lost, Change.LOOSER) == [
        (1, "the whole policy is lost: guard knows no pods; name a subject with --subject")
    ]
    kept = converted(text, "kubearmor", ("exe", ("/usr/bin/x",)))
    assert not allowed(kept, "exec", "/bin/x")
    assert policies(kept)[0].subject.inherit
    assert [change.change for change in kept.converted.losses] == [Change.EITHER]


@pytest.mark.parametrize(
    ("spec", "change", "reason"),
    [
        ("action: Allow\nfile: {matchPaths: [{path: /x}]}", Change.LOOSER, "action Allow: "),
        ("file: {matchPaths: [{path: /x, ownerOnly: true}]}", Change.LOOSER, "ownerOnly: "),
        ("file: {matchDirectories: [{dir: /x}]}", Change.LOOSER, "dir: KubeArmor wants"),
        ("file: {matchPaths: [{path: x}]}", Change.LOOSER, "'x' is no path of a file"),
        ("file: {matchPaths: [{}]}", Change.LOOSER, "'' is no path of a file"),
        ("capabilities: {matchCapabilities: [{capability: q}]}", Change.LOOSER, "guard knows no"),
        ("network: {matchProtocols: [{protocol: q}]}", Change.LOOSER, "'q' is no protocol"),
        ("file: {what: 1}", Change.LOOSER, "what: guard has no words for it"),
        ("apparmor: p", Change.EITHER, "apparmor: guard has no words for it"),
        ("file: {matchPaths: [{path: /x, new: 1}]}", Change.EITHER, "new: guard has no words"),
        (
            "process: {matchPaths: [{path: /x, fromSource: [{dir: /y/}]}]}",
            Change.LOOSER,
            "fromSource: only the paths of programs carry over",
        ),
        ("syscalls: {matchSyscalls: []}", Change.RECORDS, "syscalls: "),
    ],
)
def test_a_line_that_is_not_the_same_is_told_with_its_direction(
    spec: str, change: Change, reason: str
) -> None:
    found = told(converted(host(spec), "kubearmor"), change)
    assert found
    assert found[0][1].startswith(reason)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [1]\nb: *a\n",
        "kind: KubeArmorPolicy\nkind: KubeArmorPolicy\n",
        "[" * 1000,
        "\0",
        "a: [",
    ],
)
def test_yaml_that_is_refused_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(NotConverted, match=r"^src:\d+:\d+: "):
        converted(text, "kubearmor")


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
        converted(SAMPLE[:at] + text + SAMPLE[at + size :], "kubearmor")
    except NotConverted:
        return
