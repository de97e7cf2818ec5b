# SPDX-License-Identifier: Apache-2.0
"""What all renderers have in common: a record of another version of guard gets through."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from guard.audit.reading import Record
from guard.audit.render_cef import render_cef
from guard.audit.render_ecs import render_ecs
from guard.audit.render_ocsf import render_ocsf
from guard.audit.render_rfc5424 import render_rfc5424
from tests.audit import strict_cef, strict_rfc5424
from tests.audit.records import everything
from tests.audit.test_schema import _members

EVERYTHING = everything()
RENDERERS: dict[str, Callable[[Record], bytes]] = {
    "ocsf": render_ocsf,
    "ecs": render_ecs,
    "cef": render_cef,
    "rfc5424": render_rfc5424,
}


@pytest.mark.parametrize("name", RENDERERS)
def test_a_member_that_a_record_does_not_have_is_no_reason_to_lose_it(name: str) -> None:
    render = RENDERERS[name]
    for record in EVERYTHING.values():
        for where in _members(record):
            less = copy.deepcopy(record)
            group = less
            for step in where[:-1]:
                group = group[step]
            del group[where[-1]]
            line = render(less)
            assert b"\n" not in line, where
            if name == "cef":
                strict_cef.parse(line)
            if name == "rfc5424":
                strict_rfc5424.parse(line)


@pytest.mark.parametrize("name", RENDERERS)
def test_a_member_that_is_not_known_yet_is_no_reason_to_lose_a_record(name: str) -> None:
    for record in EVERYTHING.values():
        for where in [(), *_members(record)]:
            more = copy.deepcopy(record)
            group = more
            for step in where:
                group = group[step]
            if isinstance(group, dict):
                group["new"] = {"deep": [1, None, {"er": "x"}]}
                assert b"\n" not in RENDERERS[name](more), where


@pytest.mark.parametrize("name", RENDERERS)
def test_a_member_that_is_not_known_yet_is_kept(name: str) -> None:
    for record in EVERYTHING.values():
        assert b"later-guard" in RENDERERS[name]({**record, "new": "later-guard"})


@pytest.mark.parametrize("name", RENDERERS)
def test_a_record_is_not_changed_by_rendering(name: str) -> None:
    for record in EVERYTHING.values():
        before = copy.deepcopy(record)
        RENDERERS[name](record)
        assert record == before
