# SPDX-License-Identifier: Apache-2.0
"""Set files: the quick reading is the exact one; a wrong line is named and nothing is kept."""

from __future__ import annotations

import ipaddress
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.errors import GuardError
from guard.plan import set_file
from guard.plan.set_file import BadLine, SetFileError, exact, read_set
from guard.policy.ingress import Prefix
from guard.policy.limits_ingress import SET_PREFIXES


def both(data: bytes) -> list[Prefix] | tuple[BadLine, ...]:
    """What the quick reading gives, which must be what the exact one gives."""
    try:
        wanted: list[Prefix] | tuple[BadLine, ...] = sorted(exact(data, "f"))
    except SetFileError as error:
        wanted = error.bad
    try:
        got: list[Prefix] | tuple[BadLine, ...] = sorted(read_set(data, "f"))
    except SetFileError as error:
        got = error.bad
    assert got == wanted, data
    return got


def test_addresses_prefixes_comments_and_both_families() -> None:
    data = (
        b"# a blocklist\n192.0.2.1\n198.51.100.0/24\n\n  10.0.0.0/8   # with words\r\n"
        b"2001:db8::/32\n2001:db8::1 ; and others\n0.0.0.0/0\n255.255.255.255"
    )
    assert both(data) == sorted(
        [
            Prefix(4, 0xC0000201, 32),
            Prefix(4, 0xC6336400, 24),
            Prefix(4, 0x0A000000, 8),
            Prefix(6, 0x20010DB8 << 96, 32),
            Prefix(6, (0x20010DB8 << 96) + 1, 128),
            Prefix(4, 0, 0),
            Prefix(4, 0xFFFFFFFF, 32),
        ]
    )


EDGES = (
    b"0:0:0:0:0:ffff::/96 0::/1 0::/8 2001::/3 2000::/3 1:2:3:4:5:6:7::/112 1:2:3:4:5:6:7::/111"
    b" g::/16 12345::/32 a_b::/32 a::/016 1::/128"
)


@pytest.mark.parametrize("data", EDGES.split())
def test_ipv6_networks_at_the_edges_are_read_alike(data: bytes) -> None:
    both(data)


@pytest.mark.parametrize("data", [b"", b"\n", b"\n\n\n", b"# only words\n", b" \t\r\n", b"#"])
def test_a_file_without_a_prefix_is_an_empty_set(data: bytes) -> None:
    assert both(data) == []


_PIECES = st.sampled_from(
    b"1,0,00,255,256,10,.,/,\n, ,:,::,a,#,192.0.2.1,10.0.0.0/8,10.0.0.1/8,2001:db8::/32,"
    b"::ffff:1.2.3.4,\xff,/32,/33,/0,/08,-,\r\n,\0,0.0.0.0,999,1.2.3.4/,;,\t".split(b",")
)


@settings(deadline=None)
@given(st.lists(_PIECES, max_size=24).map(b"".join))
def test_the_quick_reading_is_the_exact_one(data: bytes) -> None:
    both(data)


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(
            st.integers(0, 2**32 - 1).map(lambda n: str(ipaddress.IPv4Address(n))),
            st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(
                lambda t: str(ipaddress.IPv4Network(t, strict=False))
            ),
            st.tuples(st.integers(0, 2**128 - 1), st.integers(0, 128)).map(
                lambda t: str(ipaddress.IPv6Network(t, strict=False))
            ),
        ),
        max_size=30,
    )
)
def test_what_ipaddress_writes_is_read_as_it_means(texts: list[str]) -> None:
    mapped = ipaddress.ip_network("::ffff:0:0/96")
    wanted = [ipaddress.ip_network(text) for text in texts]
    if any(net.version == 6 and net.subnet_of(mapped) for net in wanted):
        return
    got = both("\n".join(texts).encode())
    assert got == sorted(
        Prefix(net.version, int(net.network_address), net.prefixlen) for net in wanted
    )


def told(data: bytes) -> tuple[str, str | None]:
    with pytest.raises(SetFileError) as caught:
        read_set(data, "lists/bad.txt")
    return str(caught.value), caught.value.remedy


def test_a_wrong_line_is_named_with_its_column_and_what_to_write() -> None:
    assert told(b"192.0.2.0/24\n\n  10.0.0.1/8\n") == (
        "lists/bad.txt:3:3: '10.0.0.1/8' has bits beyond its length of 8",
        "write 10.0.0.0/8 for all of them, 10.0.0.1 for the one",
    )
    assert told(b"192.0.2.0/33") == (
        "lists/bad.txt:1:11: an IPv4 prefix has a length of 0 to 32, not '33'",
        None,
    )
    assert told(b"example.org\n") == (
        "lists/bad.txt:1:1: 'example.org' is no IP address or prefix",
        "for example 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32; names of hosts are not looked up",
    )
    assert told(b"10.0.0.0/255.0.0.0") == (
        "lists/bad.txt:1:10: '10.0.0.0/255.0.0.0' has a mask where the length belongs",
        "write 10.0.0.0/8",
    )
    assert told(b"10.0.0.0-10.0.0.9") == (
        "lists/bad.txt:1:1: '10.0.0.0-10.0.0.9' is a range, not a prefix",
        "write 10.0.0.0/29, 10.0.0.8/31",
    )
    assert told(b"010.0.0.1") == (
        (
            "lists/bad.txt:1:1: '010.0.0.1' has a number with a leading zero, which some programs"
            " read as octal"
        ),
        "write it without the zero",
    )
    assert told(b"::ffff:10.0.0.0/104") == (
        (
            "lists/bad.txt:1:1: '::ffff:10.0.0.0/104' is an IPv4 address, which no IPv6 packet"
            " comes from"
        ),
        "write 10.0.0.0/8",
    )
    assert told(b"fe80::1%eth0") == (
        "lists/bad.txt:1:8: 'fe80::1%eth0' names an interface, which a packet's address has not",
        "leave out '%' and what follows",
    )


def test_of_many_wrong_lines_a_few_are_shown_and_all_are_counted() -> None:
    text, _ = told(b"x\n" * 12)
    assert text.splitlines()[-1] == "and 7 more lines"
    assert len(text.splitlines()) == 6


def test_a_line_for_a_terminal_is_shown_as_escapes() -> None:
    text, _ = told(b"\x1b[2J\n")
    assert text == "lists/bad.txt:1:1: '\\x1b[2J' is no IP address or prefix"


def test_more_prefixes_than_a_set_holds_are_refused_with_the_number() -> None:
    line = b"10.0.0.0\n"
    assert len(read_set(line * SET_PREFIXES, "f")) == SET_PREFIXES
    with pytest.raises(GuardError, match=r"^the set 'f' would have 1000001 prefixes"):
        read_set(line * (SET_PREFIXES + 1), "f")


def test_a_file_larger_than_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(set_file, "SET_FILE_SIZE", 1 << 20)
    with pytest.raises(SetFileError, match=r"^f:1:1: a set file has at most 1 MiB$"):
        read_set(b"\n" * ((1 << 20) + 1), "f")


def test_a_large_random_file_is_read_as_it_was_written() -> None:
    chance = random.Random(5)  # noqa: S311 - the same in every run
    nets = [(chance.getrandbits(32), chance.randint(8, 32)) for _ in range(20000)]
    wanted = [Prefix(4, a >> 32 - n << 32 - n, n) for a, n in nets]
    text = "\n".join(f"{ipaddress.IPv4Address(p.address)}/{p.length}" for p in wanted)
    assert list(read_set(text.encode(), "f")) == wanted
