# SPDX-License-Identifier: Apache-2.0
"""Names of users and groups: from the files at once, from the C library without waiting."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.audit import names as module
from guard.audit.names import Names, nss_group, nss_user, parse

PASSWD = b"root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\n\nbad\n:x:5:5::/:\nw\xff:x:33:33::/:\n"


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def passwd(tmp_path: Path, text: bytes = PASSWD) -> Path:
    path = tmp_path / "passwd"
    path.write_bytes(text)
    return path


def test_the_file_names_a_number_and_the_first_name_counts(tmp_path: Path) -> None:
    names = Names(passwd(tmp_path))
    assert names.name(0) == b"root"
    assert names.name(33) == b"w\xff"
    assert names.name(5) is None
    assert names.name(4711) is None


def test_a_change_of_the_file_is_noticed_and_counted(tmp_path: Path) -> None:
    time = Time()
    names = Names(path := passwd(tmp_path), clock=time)
    assert names.name(7) is None
    version = names.version
    passwd(tmp_path, PASSWD + b"new:x:7:7::/:\n")
    os.utime(path, ns=(1, 1))
    assert names.name(7) is None  # looked at a moment ago
    time.now += 2
    assert names.name(7) == b"new"
    assert names.version > version


def test_a_file_that_is_gone_leaves_what_was_known(tmp_path: Path) -> None:
    time = Time()
    names = Names(path := passwd(tmp_path), clock=time)
    assert names.name(0) == b"root"
    path.unlink()
    time.now += 2
    assert names.name(0) == b"root"
    assert Names(path).name(0) is None


@given(st.binary(max_size=60))
def test_any_bytes_are_a_file(text: bytes) -> None:
    assert all(isinstance(one, bytes) for one in parse(b"a:b:1:" + text).values())


class Slow:
    """A directory server that answers when it is let."""

    def __init__(self, **known: int) -> None:
        self.known = {number: name for name, number in known.items()}
        self.let = threading.Semaphore(0)
        self.asked: list[int] = []

    def __call__(self, number: int) -> str:
        self.asked.append(number)
        self.let.acquire()
        return self.known[number]


def settled(names: Names, number: int, wanted: bytes) -> bool:
    """Waits for the thread's answer, by events and not by the clock."""
    for _ in range(10_000):
        names.settle()
        if names.name(number) == wanted:
            return True
        threading.Event().wait(0.001)
    return False


def test_nobody_waits_for_a_slow_answer_and_it_counts_later(tmp_path: Path) -> None:
    slow = Slow(ldap=1000)
    names = Names(passwd(tmp_path), slow)
    assert names.name(1000) is None
    assert names.name(1000) is None
    before = names.version
    slow.let.release()
    assert settled(names, 1000, b"ldap")
    assert names.version == before + 1
    assert slow.asked == [1000]
    assert names.name(0) == b"root"


def test_a_number_without_a_name_is_not_asked_for_all_the_time(tmp_path: Path) -> None:
    time, slow = Time(), Slow(ldap=1000)
    names = Names(passwd(tmp_path), slow, time)
    slow.let.release(10)
    assert names.name(2000) is None
    assert names.name(1000) is None
    assert settled(names, 1000, b"ldap")  # by then 2000 was answered too
    assert names.name(2000) is None
    assert slow.asked == [2000, 1000]
    time.now += module.UNKNOWN_SECONDS + 1
    assert names.name(2000) is None
    assert names.name(1000) == b"ldap"  # known for longer, and kept while asked again
    time.now += module.KNOWN_SECONDS
    assert names.name(1000) == b"ldap"


def test_so_many_questions_a_second_and_no_more(tmp_path: Path) -> None:
    time, slow = Time(), Slow(ldap=1000)
    names = Names(passwd(tmp_path), slow, time)
    for number in range(100_000, 100_000 + module.QUESTIONS_A_SECOND):
        names.name(number)
    assert names.name(1000) is None
    slow.let.release(1000)
    time.now += 1
    version = names.version
    names.settle()
    assert names.version > version  # who keeps the answer is to ask again
    assert names.name(1000) is None  # only now it is asked for
    assert settled(names, 1000, b"ldap")
    assert len(slow.asked) == module.QUESTIONS_A_SECOND + 1


def test_a_server_that_hangs_holds_up_neither_names_nor_memory(tmp_path: Path) -> None:
    slow, time = Slow(), Time()
    names = Names(passwd(tmp_path), slow, time)
    for number in range(100_000, 120_000):
        time.now += 0.1
        assert names.name(number) is None
    assert names._asked is not None
    assert names._asked._questions.qsize() <= module.QUESTIONS
    assert len(names._asked._known) <= 2 * module.SIZE
    slow.let.release(2 * module.QUESTIONS)  # the thread comes to rest


@pytest.mark.parametrize("number", [-1, 2**32, 2**63])
def test_an_impossible_number_has_no_name(tmp_path: Path, number: int) -> None:
    names = Names(passwd(tmp_path), nss_user)
    assert names.name(number) is None


def test_the_c_library_knows_root() -> None:
    assert (nss_user(0), nss_group(0)) == ("root", "root")
