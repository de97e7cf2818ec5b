# SPDX-License-Identifier: Apache-2.0
"""Links on real interfaces: modes demanded and verified, refusals in words, nothing half done."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from guard.errors import HostError
from guard.kernel import xdp
from guard.kernel.libbpf import Libbpf
from guard.kernel.netlink import LinkWatch, XdpMode, interfaces
from guard.kernel.xdp import Wanted
from tests.ingress_front.lab import HOST_4, HOST_IF, PEER_4, PEER_IF, TRIVIAL, Lab, compiled

pytestmark = pytest.mark.netns


@pytest.fixture(scope="module")
def trivial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(TRIVIAL, tmp_path_factory.mktemp("xdp"))


@pytest.fixture
def lab() -> Iterator[Lab]:
    made = Lab()
    yield made
    made.close()


class Programs:
    """The two programs, loaded in the process that asks."""

    def __init__(self, path: Path) -> None:
        self.libbpf = Libbpf()
        self._object = self.libbpf.object_open(str(path))
        self.libbpf.object_load(self._object)
        self.passes, self.drops = (
            self.libbpf.program_fd(self.libbpf.object_program(self._object, name))
            for name in ("pass", "drop")
        )


def reachable(lab: Lab) -> bool:
    """Whether the peer can connect to a listener on the host."""
    source = f"""
import socket
listener = socket.create_server(("{HOST_4}", 7000))
listener.settimeout(1)
print("ready", flush=True)
try:
    listener.accept()
    print("yes")
except TimeoutError:
    print("no")
"""
    served = lab.host.start("python3", "-c", source, stdout=-1)
    assert served.stdout is not None
    served.stdout.readline()
    lab.peer.python(
        f'import socket\ntry: socket.create_connection(("{HOST_4}", 7000), 0.5)\n'
        "except OSError: pass"
    )
    answer = served.communicate()[0].strip()
    return answer == "yes"


def pin_and_close(libbpf: Libbpf, attached: xdp.Attached, path: str) -> None:
    libbpf.pin(attached.link, path)
    os.close(attached.link)


def test_a_pinned_link_in_native_mode_outlives_its_process(lab: Lab, trivial: Path) -> None:
    def attach() -> xdp.Attached:
        programs = Programs(trivial)
        (made,) = xdp.attach_all(programs.libbpf, programs.drops, [HOST_IF], Wanted.NATIVE)
        pin_and_close(programs.libbpf, made, "/sys/fs/bpf/link")
        return made

    assert reachable(lab)
    made = lab.host.call(attach)
    assert (made.mode, made.reason) == (XdpMode.NATIVE, "native mode, as demanded")
    assert lab.host.call(interfaces)[HOST_IF].mode is XdpMode.NATIVE
    assert not reachable(lab)
    lab.host.run("rm", "/sys/fs/bpf/link")
    assert reachable(lab)


def test_a_link_that_was_not_pinned_ends_with_its_process(lab: Lab, trivial: Path) -> None:
    def attach() -> None:
        programs = Programs(trivial)
        xdp.attach_all(programs.libbpf, programs.drops, [HOST_IF], Wanted.NATIVE)

    lab.host.call(attach)
    assert lab.host.call(interfaces)[HOST_IF].mode is XdpMode.NONE


def test_another_program_takes_the_place_in_one_step(lab: Lab, trivial: Path) -> None:
    def attach() -> int:
        programs = Programs(trivial)
        (made,) = xdp.attach_all(programs.libbpf, programs.drops, [HOST_IF], Wanted.NATIVE)
        before = interfaces()[HOST_IF].programs
        xdp.replace(programs.libbpf, [(HOST_IF, made.link)], programs.passes, programs.drops)
        assert interfaces()[HOST_IF].programs != before
        pin_and_close(programs.libbpf, made, "/sys/fs/bpf/link")
        return made.ifindex

    lab.host.call(attach)
    assert reachable(lab)


def refusal(lab: Lab, trivial: Path, names: list[str], wanted: Wanted) -> tuple[str, str | None]:
    def attach() -> tuple[str, str | None]:
        programs = Programs(trivial)
        try:
            xdp.attach_all(programs.libbpf, programs.drops, names, wanted)
        except HostError as error:
            return str(error), error.remedy
        return "none", None

    return lab.host.call(attach)


def test_an_unknown_interface_is_named_and_nothing_is_attached(lab: Lab, trivial: Path) -> None:
    told, remedy = refusal(lab, trivial, [HOST_IF, "gi1", "eth7"], Wanted.NATIVE)
    assert told == "no interface 'gi1', 'eth7' on this host"
    assert remedy == f"did you mean '{HOST_IF}'? interfaces here: {HOST_IF}, lo"
    assert lab.host.call(interfaces)[HOST_IF].mode is XdpMode.NONE


def test_an_interface_without_native_mode_is_refused_with_what_to_say(
    lab: Lab, trivial: Path
) -> None:
    told, remedy = refusal(lab, trivial, ["lo"], Wanted.NATIVE)
    assert told == (
        "lo does not take the filter in native mode: its driver has none (it offers no XDP feature)"
    )
    assert remedy == "say `mode: generic` in the ingress section to allow the slower mode"


def test_of_two_interfaces_none_is_filtered_when_the_second_refuses(
    lab: Lab, trivial: Path
) -> None:
    told, _ = refusal(lab, trivial, [HOST_IF, "lo"], Wanted.NATIVE)
    assert told.startswith("lo does not take")
    assert lab.host.call(interfaces)[HOST_IF].mode is XdpMode.NONE


def test_auto_takes_generic_mode_where_there_is_no_other_and_says_why(
    lab: Lab, trivial: Path
) -> None:
    def attach() -> list[tuple[str, XdpMode, str]]:
        programs = Programs(trivial)
        made = xdp.attach_all(programs.libbpf, programs.passes, [HOST_IF, "lo"], Wanted.AUTO)
        return [(one.interface, one.mode, one.reason) for one in made]

    assert lab.host.call(attach) == [
        (HOST_IF, XdpMode.NATIVE, "native mode, as demanded"),
        (
            "lo",
            XdpMode.GENERIC,
            "native mode refused: its driver has none (it offers no XDP feature)",
        ),
    ]


def test_generic_mode_is_taken_where_it_is_asked_for(lab: Lab, trivial: Path) -> None:
    def attach() -> tuple[XdpMode, str, XdpMode]:
        programs = Programs(trivial)
        (made,) = xdp.attach_all(programs.libbpf, programs.passes, [HOST_IF], Wanted.GENERIC)
        return made.mode, made.reason, interfaces()[HOST_IF].mode

    assert lab.host.call(attach) == (
        XdpMode.GENERIC,
        "the policy says mode: generic",
        XdpMode.GENERIC,
    )


def test_an_mtu_that_native_mode_cannot_take_is_told(trivial: Path) -> None:
    lab = Lab(mtu=9000)
    try:
        told, remedy = refusal(lab, trivial, [HOST_IF], Wanted.NATIVE)
        assert told == (
            f"{HOST_IF} does not take the filter in native mode: its MTU of 9000, or its peer's,"
            " is too large"
        )
        most = os.sysconf("SC_PAGE_SIZE") - 592
        assert remedy == (
            f"lower it (ip link set {HOST_IF} mtu {most} or less), or allow the slower mode"
            " with `mode: auto` in the ingress section"
        )
        assert lab.host.call(interfaces)[HOST_IF].mode is XdpMode.NONE
        lab.host.run("ip", "link", "set", HOST_IF, "mtu", str(most))
        lab.peer.run("ip", "link", "set", PEER_IF, "mtu", str(most))
        assert refusal(lab, trivial, [HOST_IF], Wanted.NATIVE) == ("none", None)
    finally:
        lab.close()


def test_another_xdp_program_on_the_interface_is_told_and_stays(lab: Lab, trivial: Path) -> None:
    lab.host.run("ip", "link", "set", HOST_IF, "xdp", "obj", str(trivial), "program", "pass")
    before = lab.host.call(interfaces)[HOST_IF]
    told, remedy = refusal(lab, trivial, [HOST_IF], Wanted.AUTO)
    number = before.programs[0]
    assert told.startswith(f"{HOST_IF} has an XDP program already: id {number}, tag ")
    assert remedy is not None and f"ip link set {HOST_IF} xdp off" in remedy
    assert lab.host.call(interfaces)[HOST_IF] == before


def test_a_change_of_an_interface_is_heard(lab: Lab) -> None:
    def watch() -> tuple[bool, bool]:
        heard = LinkWatch()
        before = heard.drain()
        os.system(f"ip link set {HOST_IF} mtu 1400")  # noqa: S605 - a fixed command
        return before, heard.drain()

    assert lab.host.call(watch) == (False, True)


def test_a_link_knows_that_its_interface_is_gone(lab: Lab, trivial: Path) -> None:
    def attach() -> tuple[int | None, int | None]:
        programs = Programs(trivial)
        (made,) = xdp.attach_all(programs.libbpf, programs.drops, [HOST_IF], Wanted.NATIVE)
        before = xdp.alive(made.link)
        os.system(f"ip link del {HOST_IF}")  # noqa: S605 - a fixed command
        links = [(HOST_IF, made.link)]
        xdp.replace(programs.libbpf, links, programs.passes, programs.drops)
        return before, xdp.alive(made.link)

    before, after = lab.host.call(attach)
    assert before is not None and after is None


def test_the_peer_answers_in_the_lab_itself(lab: Lab) -> None:
    source = f'import socket; socket.create_server(("{PEER_4}", 1)); print("bound")'
    assert lab.peer.python(source).stdout == "bound\n"
