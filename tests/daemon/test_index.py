# SPDX-License-Identifier: Apache-2.0
"""What a record names as its cause, for each kind of event."""

from __future__ import annotations

import pytest

from guard.audit.decode import Decoder, Event
from guard.daemon.index import GenerationIndex
from guard.plan.host import HostPlan, build_host_plan
from guard.plan.index import PlanIndex, index_plan
from guard.plan.mounts import Mount
from guard.plan.plan import verdict
from guard.policy.model import Mode
from guard.wire.layout import PathVerb, Reason
from tests.audit.samples import wire_event
from tests.plan.make import ALLOW, DENY, READ, WRITE, policy, rule

ROOT_DEVICE = 8 << 20 | 1
MOUNTS = [
    Mount(ROOT_DEVICE, b"/", b"/", b"ext4"),
    Mount(0x15, b"/", b"/proc", b"proc"),
]
EACCES = -13


@pytest.fixture(scope="module")
def plan() -> HostPlan:
    return build_host_plan(
        [
            policy(
                rule(DENY, [READ], "/etc/shadow", id="watch", line=3),
                name="auditing",
                mode=Mode.AUDIT,
                default=ALLOW,
            ),
            policy(
                rule(DENY, [READ], "/etc/shadow", id="no-shadow", line=12),
                rule(ALLOW, [READ, WRITE], "/srv/**", audit=True, id="kept", line=13),
                name="enforcing",
                default=DENY,
            ),
            policy(rule(ALLOW, [READ], "/**"), name="bystander", default=DENY),
        ],
        MOUNTS,
    )


def event(plan: HostPlan, path: bytes, mask: int, verb: PathVerb = READ, **values: int) -> Event:
    """The event that the kernel makes of an open."""
    said = verdict(plan.plan, mask, verb, path, plan.start(ROOT_DEVICE))
    fields = {
        "policies": mask,
        "denied": said.denied,
        "by_rule": said.by_rule,
        "enforced": said.enforced,
        "audited": said.audited,
        "error": EACCES if said.enforced else 0,
        "verbs": 1 << verb,
        "reason": Reason.POLICY,
        "device": ROOT_DEVICE,
        **values,
    }
    classes = [*said.class_ids, 0, 0, 0, 0][:4]
    return Decoder().event(wire_event(path, class_id=classes, **fields))


@pytest.fixture(scope="module", params=["built", "read back"])
def index(plan: HostPlan, request: pytest.FixtureRequest) -> GenerationIndex:
    made = index_plan(plan)
    return GenerationIndex(
        made if request.param == "built" else PlanIndex.from_json(made.to_json())
    )


def test_a_denial_is_due_to_the_enforced_policys_rule(
    plan: HostPlan, index: GenerationIndex
) -> None:
    found = index.resolve(event(plan, b"/etc/shadow", 0b111))
    assert (found.policy, found.mode, found.rule) == ("enforcing", "enforce", "no-shadow")
    assert (found.file, found.line) == ("test.yaml", 12)
    assert found.others == ("auditing",)


def test_a_denial_by_default_names_the_section_and_no_rule(
    plan: HostPlan, index: GenerationIndex
) -> None:
    found = index.resolve(event(plan, b"/var/x", 0b111))
    assert (found.policy, found.rule, found.others) == ("enforcing", None, ())
    assert (found.file, found.line) == ("test.yaml", 1)


def test_what_only_an_audit_policy_denies_is_its_rules(
    plan: HostPlan, index: GenerationIndex
) -> None:
    one = event(plan, b"/etc/shadow", 0b101)
    assert one.error == 0 and one.denied
    found = index.resolve(one)
    assert (found.policy, found.mode, found.rule) == ("auditing", "audit", "watch")


def test_an_allowed_open_is_recorded_for_the_rule_that_says_audit(
    plan: HostPlan, index: GenerationIndex
) -> None:
    one = event(plan, b"/srv/a", 0b110)
    assert one.denied == 0 and one.audited
    found = index.resolve(one)
    assert (found.policy, found.rule, found.line) == ("enforcing", "kept", 13)


def test_a_canary_has_no_policy(plan: HostPlan, index: GenerationIndex) -> None:
    one = event(plan, b"/etc/shadow", 0, reason=Reason.CANARY, error=EACCES)
    found = index.resolve(one)
    assert (found.policy, found.rule, found.others) == (None, None, ())


@pytest.mark.parametrize(
    "values",
    [
        {"denied": 1 << 9, "enforced": 1 << 9, "error": EACCES},
        {"denied": 0, "audited": 0, "enforced": 0, "error": 0},
        {
            "denied": 0b010,
            "by_rule": 0b010,
            "enforced": 0b010,
            "error": EACCES,
            "verbs": 1 << WRITE,
        },
    ],
    ids=["policy of another generation", "no policy at all", "no rule for that verb"],
)
def test_an_event_that_the_tables_cannot_have_made_is_no_guess(
    plan: HostPlan, index: GenerationIndex, values: dict[str, int]
) -> None:
    with pytest.raises(LookupError):
        index.resolve(event(plan, b"/etc/shadow", 0b010, **values))


def test_paths_are_the_hosts(index: GenerationIndex) -> None:
    assert index.host_path(0x15, b"/1/status") == b"/proc/1/status"
    assert index.host_path(ROOT_DEVICE, b"/etc") == b"/etc"
    assert index.host_path(99, b"/etc") is None
