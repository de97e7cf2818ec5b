# SPDX-License-Identifier: Apache-2.0
"""Units and containers by the names that systemd and the runtimes give control groups."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.audit.cgroup_names import Container, place

ID = "0123456789abcdef" * 4
OTHER = "f" * 64
POD = "12345678-1234-1234-1234-123456789abc"
DOTTED = POD.replace("-", "_")


@pytest.mark.parametrize(
    ("path", "unit", "user_unit"),
    [
        ("/", None, None),
        ("/init.scope", "init.scope", None),
        ("/system.slice/nginx.service", "nginx.service", None),
        ("/system.slice", "system.slice", None),
        ("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service", None),
        ("/system.slice/_tasks.service", "tasks.service", None),
        ("/system.slice/a.service/b.service", "a.service", None),
        ("/user.slice/user-1000.slice/session-3.scope", "session-3.scope", None),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/evil.service",
            "user@1000.service",
            "evil.service",
        ),
        ("/user.slice/user-1.slice/user@1.service/init.scope", "user@1.service", "init.scope"),
        (f"/docker/{ID}", None, None),
        ("/evil/nginx.service", None, None),
        ("/system.slice/evil name.service", "system.slice", None),
    ],
)
def test_units(path: str, unit: str | None, user_unit: str | None) -> None:
    found = place(path.encode())
    assert found.unit == (unit.encode() if unit else None)
    assert found.user_unit == (user_unit.encode() if user_unit else None)


MANAGER = "/user.slice/user-1000.slice/user@1000.service"


@pytest.mark.parametrize(
    ("path", "container"),
    [
        (f"/system.slice/docker-{ID}.scope", Container(ID, "docker", None, False)),
        (f"/docker/{ID}", Container(ID, "docker", None, False)),
        (f"/machine.slice/libpod-{ID}.scope/container", Container(ID, "podman", None, False)),
        (f"/libpod_parent/libpod-{ID}", Container(ID, "podman", None, False)),
        (f"{MANAGER}/user.slice/libpod-{ID}.scope", Container(ID, "podman", None, True)),
        (f"/default/{ID}", Container(ID, "containerd", None, False)),
        (f"/system.slice/nerdctl-{ID}.scope", Container(ID, "containerd", None, False)),
        (
            (
                f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{DOTTED}.slice/"
                f"cri-containerd-{ID}.scope"
            ),
            Container(ID, "containerd", POD, False),
        ),
        (
            f"/kubepods.slice/kubepods-pod{DOTTED}.slice/crio-{ID}.scope",
            Container(ID, "cri-o", POD, False),
        ),
        (f"/kubepods/besteffort/pod{POD}/{ID}", Container(ID, "kubernetes", POD, False)),
        (
            f"/kubepods/podffffffffffffffffffffffffffffffff/{ID}",
            Container(ID, "kubernetes", "f" * 32, False),
        ),
        ("/lxc.payload.web", Container("web", "lxc", None, False)),
        (r"/machine.slice/machine-a\x2db.scope", Container("a-b", "nspawn", None, False)),
        ("/machine.slice/systemd-nspawn@web.service", Container("web", "nspawn", None, False)),
        # No containers.
        (f"/machine.slice/libpod-conmon-{ID}.scope", None),
        (f"/kubepods/pod{POD}", None),
        (r"/machine.slice/machine-qemu\x2d1\x2dvm.scope", None),
        (f"/system.slice/docker-{ID[:-1]}.scope", None),
        (f"/system.slice/docker-{ID}.scope.x", None),
        ("/system.slice/docker.service", None),
        ("/", None),
    ],
)
def test_containers(path: str, container: Container | None) -> None:
    assert place(path.encode()).container == container


def test_what_is_inside_a_container_cannot_pass_for_another() -> None:
    path = f"/system.slice/docker-{ID}.scope/docker-{OTHER}.scope"
    assert place(path.encode()).container == Container(ID, "docker", None, False)


def test_a_user_who_makes_up_a_container_is_marked() -> None:
    found = place(f"{MANAGER}/app.slice/docker-{ID}.scope".encode())
    assert found.container == Container(ID, "docker", None, True)
    assert found.unit == b"user@1000.service"


@given(st.lists(st.binary(max_size=12), max_size=5).map(b"/".join))
def test_any_bytes_are_a_path(path: bytes) -> None:
    place(path)
