# SPDX-License-Identifier: Apache-2.0
"""Mount tables, start states, encoding and the index for records."""

from __future__ import annotations

import random
import struct

import pytest

from guard.plan.aliases import Alias
from guard.plan.encode import DATA_BITS, device_slot, encode, hash_devices, value_size
from guard.plan.errors import PlanError
from guard.plan.host import HostPlan, build_host_plan, device_names
from guard.plan.index import Asked, PlanIndex, index_plan
from guard.plan.mounts import Mount, parse_mountinfo
from guard.plan.plan import Verdict, subjects, verdict
from guard.wire.layout import (
    DEVICE,
    DEVICES,
    GATED,
    ROOT,
    ROW,
    Column,
    Limit,
    PathVerb,
    Section,
    State,
)
from tests.plan.make import ALLOW, DENY, READ, WRITE, policy, rule

TEXT = rb"""22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
23 22 0:21 / /proc rw - proc proc rw
24 22 0:30 /@home /home rw shared:2 master:1 - btrfs /dev/vdb rw
25 22 0:30 /@srv /srv rw - btrfs /dev/vdb rw
26 22 254:1 /srv/data /mnt/with\040space\134 rw - ext4 /dev/vda1 rw
27 22 0:31 / /tmp rw - tmpfs tmpfs rw
28 27 0:32 / /tmp rw - tmpfs tmpfs rw
29 22 0:4 net:[4026531840] /run/netns/x rw - nsfs nsfs rw
30 22 254:1 /old//deleted /gone rw - ext4 /dev/vda1 rw
"""


def dev(major: int, minor: int) -> int:
    return major << 20 | minor


def host_plan(*rules: object, default: object = DENY) -> HostPlan:
    return build_host_plan(
        [policy(*rules, default=default)],  # type: ignore[arg-type]
        parse_mountinfo(TEXT),
    )


def allowed(plan: HostPlan, device: int, path: bytes) -> bool:
    return not verdict(plan.plan, 1, READ, path, plan.start(device)).denied


def test_mountinfo_is_read_with_its_escapes_and_optional_fields() -> None:
    mounts = parse_mountinfo(TEXT)
    assert mounts[0] == Mount(dev(254, 1), b"/", b"/", b"ext4")
    assert mounts[4] == Mount(dev(254, 1), b"/srv/data", b"/mnt/with space\\", b"ext4")
    assert mounts[2].root == b"/@home"
    assert len(mounts) == 9


def test_a_line_of_another_form_is_an_error_with_its_number() -> None:
    with pytest.raises(ValueError, match="line 2"):
        parse_mountinfo(b"22 1 254:1 / / rw - ext4 a rw\nnonsense\n")


def test_roots_that_are_no_path_give_no_name_but_keep_the_device() -> None:
    names = device_names(parse_mountinfo(TEXT))
    assert names[dev(0, 4)] == ()
    assert Alias(b"/old//deleted", b"/gone") not in names[dev(254, 1)]


def test_a_mounted_file_system_is_judged_by_its_host_names() -> None:
    plan = host_plan(rule(ALLOW, [READ], ["/proc/cpuinfo", "/tmp/**"]))
    assert allowed(plan, dev(0, 21), b"/cpuinfo")
    assert not allowed(plan, dev(0, 21), b"/proc/cpuinfo")
    assert not allowed(plan, dev(254, 1), b"/cpuinfo")
    assert allowed(plan, dev(254, 1), b"/proc/cpuinfo")
    assert not allowed(plan, dev(0, 31), b"/")
    assert allowed(plan, dev(0, 31), b"/x")
    assert allowed(plan, dev(0, 32), b"/x")
    assert plan.start(dev(0, 31)).groups[0] & State.FINAL == 0
    assert host_plan(rule(ALLOW, [READ], "/**")).start(dev(0, 31)).groups[0] & State.FINAL


def test_subvolumes_are_seen_where_they_are_mounted_and_nowhere_else() -> None:
    plan = host_plan(rule(ALLOW, [READ], ["/home/me/**", "/srv", "/@home/me/**"]))
    device = dev(0, 30)
    assert allowed(plan, device, b"/@home/me/x")
    assert allowed(plan, device, b"/@srv")
    assert not allowed(plan, device, b"/@srv/x")
    assert not allowed(plan, device, b"/@homes/me/x")
    assert not allowed(plan, device, b"/home/me/x")
    assert not allowed(plan, device, b"/@home/@home/me/x")


def test_a_bind_mount_gives_a_second_name() -> None:
    plan = host_plan(
        rule(ALLOW, [READ], ["/srv/data/a", "/mnt/with space\\\\/b/**"]),
        rule(DENY, [READ], "/mnt/**/secret"),
    )
    device = dev(254, 1)
    assert allowed(plan, device, b"/srv/data/a")
    assert allowed(plan, device, b"/srv/data/b/x")
    assert not allowed(plan, device, b"/srv/data/b/secret")
    assert not allowed(plan, device, b"/srv/datab/x")
    assert not allowed(plan, device, b"/srv/other/b/x")


def test_objects_of_unknown_devices_get_the_default_and_no_subject() -> None:
    plan = host_plan(rule(DENY, [READ], "/**"), default=ALLOW)
    assert allowed(plan, dev(0, 99), b"/etc/shadow")
    assert not allowed(plan, dev(254, 1), b"/etc/shadow")
    assert not allowed(host_plan(rule(ALLOW, [READ], "/**")), dev(0, 99), b"/etc/shadow")
    every = build_host_plan([policy(exe=["/**"])], parse_mountinfo(TEXT))
    assert subjects(every.plan, b"/bin/x", every.start(dev(0, 99))) == 0
    assert subjects(every.plan, b"/bin/x", every.start(dev(254, 1))) == 1


def test_paths_are_turned_back_into_host_paths() -> None:
    plan = host_plan()
    for path in (plan.host_path, index_plan(plan).host_path):
        assert path(dev(254, 1), b"/srv/data/x") == b"/srv/data/x"
        assert path(dev(0, 21), b"/") == b"/proc"
        assert path(dev(0, 30), b"/@home/me") == b"/home/me"
        assert path(dev(0, 30), b"/@srv") == b"/srv"
        assert path(dev(0, 30), b"/@other") is None
        assert path(dev(0, 99), b"/x") is None


def test_more_devices_than_slots_are_an_error_that_names_the_limit() -> None:
    mounts = [Mount(dev(0, n + 1), b"/", b"/m%d" % n, b"tmpfs") for n in range(513)]
    with pytest.raises(PlanError, match="GUARD_LIMIT_DEVICES"):
        build_host_plan([policy()], mounts)
    plan = build_host_plan([policy(rule(ALLOW, [READ], "/m7/**"))], mounts[:512])
    assert allowed(plan, dev(0, 8), b"/x")
    assert not allowed(plan, dev(0, 9), b"/x")


def test_every_device_is_found_within_the_probes() -> None:
    source = random.Random(2)  # noqa: S311 - the same each time, no secret
    for devices in (
        [dev(0, n) for n in range(1, 513)],
        [dev(253, n * 16) for n in range(512)],
        [dev(source.randrange(4096), source.randrange(1 << 20)) for _ in range(512)],
    ):
        multiplier, slots = hash_devices(devices)
        assert sorted(slots.values()) == sorted(devices)
        for slot, device in slots.items():
            first = device_slot(device, multiplier)
            assert (slot - first) % Limit.DEVICE_SLOTS < Limit.DEVICE_PROBES


def field(root: bytes, name: str) -> tuple[int, ...]:
    one = ROOT.fields[name]
    return struct.unpack_from(f"<{one.count}{one.code}", root, one.offset)


def test_the_encoded_root_says_what_the_plan_says() -> None:
    plan = host_plan(rule(DENY, [READ, WRITE], "/etc/shadow"), rule(ALLOW, [READ], "/**/x"))
    tables = encode(plan, 7)
    assert len(tables.root) == ROOT.size
    assert tables.bits == DATA_BITS[0]
    value = tables.value(tables.bits)
    assert len(value) == value_size(tables.bits)
    assert value.startswith(tables.root + plan.plan.data)
    assert value.endswith(b"\0" * ROW.size + tables.devices)
    assert field(tables.root, "generation") == (7,)
    assert field(tables.root, "groups") == (1,)
    section = ROOT.fields["section"].offset + Section.FILE * GATED.size
    assert struct.unpack_from(GATED.format(), tables.root, section) == (1, 1)
    other = ROOT.fields["section"].offset + Section.NET * GATED.size
    assert struct.unpack_from(GATED.format(), tables.root, other) == (0, 0)
    assert field(tables.root, "group_mask") == (1, 0, 0, 0)
    column = field(tables.root, "column")
    assert column[ord("/")] == Column.SLASH * 4
    assert min(column[byte] for byte in range(256) if byte != ord("/")) == Column.FIRST * 4
    (multiplier,) = field(tables.root, "device_multiplier")
    for device in plan.devices:
        slot = device_slot(device.device, multiplier)
        for probe in range(Limit.DEVICE_PROBES):
            at = DEVICES.fields["slot"].offset
            at += (slot + probe) % Limit.DEVICE_SLOTS * DEVICE.size
            number, subject, *starts = struct.unpack_from("<6I", tables.devices, at)
            if number == device.device:
                assert subject == device.start.subject
                assert starts[0] == device.start.groups[0]
                break
        else:
            pytest.fail(f"device {device.device} not found")
    foreign = struct.unpack_from("<6I", tables.devices, DEVICES.fields["foreign"].offset)
    assert foreign[1] == foreign[2] == plan.plan.foreign.groups[0]
    assert foreign[1] & State.FINAL
    assert encode(plan, 7) == tables


def asked(got: Verdict, verb: PathVerb) -> Asked:
    """What a verdict of the file section was about."""
    return Asked(Section.FILE, 1 << verb, got.class_ids)


def test_the_index_survives_json_and_explains_verdicts() -> None:
    plan = build_host_plan(
        [
            policy(
                rule(DENY, [READ], "/a", id="no-a", line=4),
                rule(ALLOW, [READ], "/b", audit=True, id="b", line=5),
                name="first",
            ),
            policy(default=None, name="second"),
        ],
        [Mount(5, b"/", b"/\xff\n", b"ext4"), Mount(6, b"/", b"/", b"ext4")],
    )
    index = PlanIndex.from_json(index_plan(plan).to_json())
    assert index == index_plan(plan)
    assert index.host_path(5, b"/x") == b"/\xff\n/x"
    got = verdict(plan.plan, 3, READ, b"/a")
    (cause,) = index.explain(asked(got, READ), got.denied, got.by_rule)
    assert cause.rule is not None
    assert (cause.policy.name, cause.rule.id, cause.rule.line) == ("first", "no-a", 4)
    got = verdict(plan.plan, 3, WRITE, b"/a")
    (cause,) = index.explain(asked(got, WRITE), got.denied, got.by_rule)
    assert (cause.rule, cause.policy.name) == (None, "first")
    got = verdict(plan.plan, 3, READ, b"/b")
    (cause,) = index.explain_audited(asked(got, READ), got.audited)
    assert cause.rule is not None
    assert cause.rule.id == "b"


def test_an_index_refuses_what_is_of_another_generation() -> None:
    index = index_plan(host_plan(rule(DENY, [READ], "/a")))
    with pytest.raises(LookupError):
        index.explain(Asked(Section.FILE, 1, [0]), 0b100, 0)
    with pytest.raises(LookupError):
        index.explain(Asked(Section.FILE, 1, [99]), 1, 1)
    with pytest.raises(LookupError):
        index.explain(Asked(Section.FILE, 1, [0]), 1, 1)
    for text in ("[]", "{}", '{"version":3}', "x"):
        with pytest.raises(ValueError):  # noqa: PT011 - one error for all that is no index
            PlanIndex.from_json(text)
