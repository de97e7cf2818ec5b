# SPDX-License-Identifier: Apache-2.0
"""The shipper's configuration: what it takes, and what it says about everything else."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.policy.render import Renderer
from guard.ship.config import SINKS_LIMIT, Config, parse
from guard.ship.forms import Address
from guard.ship.schema import schema
from guard.ship.secrets import Secret
from guard.ship.settings import CONFIG, SINKS, Group, Setting

CORPUS = Path(__file__).parent / "corpus"
BAD = sorted(path.stem for path in CORPUS.glob("*.yaml"))

SMALLEST = "version: 1\nsinks:\n  - {name: out, type: stdout}\n"


def _good(text: str) -> Config:
    parsed = parse(text.encode(), "ship.yaml")
    shown = Renderer({"ship.yaml": parsed.text})
    assert parsed.diagnostics == [], "".join(map(shown.render, parsed.diagnostics))
    assert parsed.config is not None
    jsonschema.validate(yaml.safe_load(text), schema())
    return parsed.config


def _findings(text: str) -> str:
    parsed = parse(text.encode(), "ship.yaml")
    assert parsed.config is None
    shown = Renderer({"ship.yaml": parsed.text})
    return "\n".join(map(shown.render, parsed.diagnostics))


def _sink(text: str) -> str:
    return f"version: 1\nsinks:\n  - {{{text}}}\n"


def test_the_smallest_configuration_has_all_defaults() -> None:
    config = _good(SMALLEST)
    assert (config.spool, config.state) == ("/var/lib/guard/spool", "/var/lib/guard-ship")
    assert (config.metrics_file, config.metrics_socket) == (None, None)
    (sink,) = config.sinks
    assert (sink.name, sink.type, sink.format, sink.is_json) == ("out", "stdout", "flat", True)
    assert (sink.plan.records, sink.plan.bytes) == (500, 1 << 20)
    assert (sink.plan.wait, sink.plan.first, sink.plan.most) == (1.0, 1.0, 60.0)


def test_everything_can_be_said() -> None:
    config = _good(
        """\
version: 1
spool: /srv/spool
state: /srv/state
metrics: {file: /srv/guard.prom, socket: /run/guard-ship/metrics.sock}
sinks:
  - name: siem
    type: syslog-tls
    format: cef
    to: "[2001:db8::1]:6514"
    timeout: 10s
    tls:
      ca: /etc/guard/ca.pem
      certificate: /etc/guard/ship.pem
      key: {credential: ship-key}
      name: siem.example
    batch: {records: 50, bytes: 64KiB, wait: 250ms}
    retry: {first: 2s, most: 5m}
  - name: hec
    type: splunk
    url: https://splunk.example:8088
    token: {file: /etc/guard/token}
    ack: true
"""
    )
    assert (config.metrics_file, config.metrics_socket) == (
        "/srv/guard.prom",
        "/run/guard-ship/metrics.sock",
    )
    siem, hec = config.sinks
    assert siem.options["to"] == Address("2001:db8::1", 6514)
    assert siem.options["timeout"] == 10.0
    assert siem.options["tls"] == {
        "ca": "/etc/guard/ca.pem",
        "certificate": "/etc/guard/ship.pem",
        "key": Secret(credential="ship-key"),
        "name": "siem.example",
    }
    assert siem.plan.records == 50 and siem.plan.bytes == 65536
    assert (siem.plan.wait, siem.plan.first, siem.plan.most) == (0.25, 2.0, 300.0)
    assert not siem.is_json
    assert hec.options["token"] == Secret(file="/etc/guard/token")
    assert hec.options["ack"] is True and hec.options["compression"] == "gzip"


_EXAMPLES = {
    "name": "name: one",
    "path": "path: /var/log/guard-ship/audit.ndjson",
    "to": "to: siem.example:6514",
    "token": "token: {credential: token}",
    "index": "index: guard",
    "brokers": "brokers: [kafka.example:9093]",
    "topic": "topic: guard-audit",
    "servers": "servers: nats://nats.example:4222",
    "subject": "subject: guard.audit",
    "url": "url: https://siem.example:8088",
}


@pytest.mark.parametrize("kind", SINKS)
def test_each_kind_of_sink_is_content_with_what_it_needs(kind: str) -> None:
    needed = [one.name for one in SINKS[kind].settings if one.required and one.name != "type"]
    text = ", ".join([f"type: {kind}", *(_EXAMPLES[name] for name in needed)])
    (sink,) = _good(_sink(text)).sinks
    assert sink.type == kind


@pytest.mark.parametrize("kind", SINKS)
def test_each_kind_of_sink_says_what_it_lacks(kind: str) -> None:
    needed = {one.name for one in SINKS[kind].settings if one.required and one.name != "type"}
    told = _findings(_sink(f"type: {kind}"))
    assert all(f"this {kind} sink has no '{name}'" in told for name in needed)


# What only the parser sees: text of the file, and what a schema cannot say.
PARSER_ALONE = {
    "two-sinks-of-one-name",
    "two-documents",
    "an-alias",
    "a-secret-over-http",
    "no-such-port",
}

FOLDED = """\
version: 1
sinks:
- name: h
  type: splunk
  url: https://s:8088
  token: >
    hunter2
    hunter2
  batch: {records: 0}
"""


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_told_with_its_place(case: str) -> None:
    told = (CORPUS / f"{case}.out").read_text()
    assert _findings((CORPUS / f"{case}.yaml").read_text()) == told


@pytest.mark.parametrize("case", sorted(set(BAD) - PARSER_ALONE))
def test_the_schema_refuses_it_as_well(case: str) -> None:
    told = yaml.safe_load((CORPUS / f"{case}.yaml").read_text())
    assert not jsonschema.Draft202012Validator(schema()).is_valid(told)


@pytest.mark.parametrize(
    "text",
    [
        _sink("name: h, type: splunk, url: 'https://s:8088', token: 'hunter2 hunter2'"),
        _sink("name: e, type: elastic, index: g, url: 'https://hunter2:hunter2@s:9200'"),
        FOLDED,
        _sink("name: one, type: nats, subject: g, servers: ['nats://hunter2@s:4222']"),
        _sink("name: e, type: elastic, index: g, url: 'https://s', user: u, password: hunter2"),
    ],
)
def test_a_secret_that_somebody_wrote_into_the_file_is_not_shown_again(text: str) -> None:
    assert "hunter2" not in _findings(text)


def test_one_shipper_has_so_many_sinks_and_not_more() -> None:
    def with_sinks(count: int) -> str:
        rows = (f"  - {{name: s{number}, type: stdout}}\n" for number in range(count))
        return "version: 1\nsinks:\n" + "".join(rows)

    assert len(_good(with_sinks(SINKS_LIMIT)).sinks) == SINKS_LIMIT
    assert "33 sinks; one shipper has at most 32" in _findings(with_sinks(SINKS_LIMIT + 1))


def test_a_secret_over_http_is_fine_on_this_host() -> None:
    _good(_sink("name: o, type: otlp, url: 'http://127.0.0.1:4318', token: {credential: t}"))
    _good(_sink("name: o, type: otlp, url: 'http://[::1]:4318', token: {credential: t}"))


def test_bytes_that_are_no_text_are_told() -> None:
    assert parse(b"\xff", "ship.yaml").diagnostics[0].message == "the byte 0xff is not UTF-8"
    told = parse(b"version: 1\x1b", "ship.yaml").diagnostics[0]
    assert told.message == "the character U+001B cannot be part of a configuration"


def _settings(group: Group, where: str = "") -> list[tuple[str, Setting]]:
    found = []
    for one in group.settings:
        found.append((f"{where}{one.name}", one))
        if isinstance(one.of, Group):
            found += _settings(one.of, f"{where}{one.name}.")
    return found


def test_a_default_that_is_shown_is_the_default() -> None:
    groups = [CONFIG, *SINKS.values()]
    for _, one in itertools.chain.from_iterable(map(_settings, groups)):
        assert bool(one.shown) == (one.default is not None), one.name
        if not one.shown or isinstance(one.of, Group):
            continue
        text = f"version: 1\nsinks: [{{name: a, type: stdout}}]\nspool: {one.shown}\n"
        assert yaml.safe_load(text)["spool"] is not None


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_file_breaks_the_parser(data: bytes) -> None:
    parsed = parse(data, "ship.yaml")
    assert (parsed.config is None) == bool(parsed.diagnostics)
    shown = Renderer({"ship.yaml": parsed.text})
    assert all(map(shown.render, parsed.diagnostics))


_VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [
        "1",
        "30s",
        "/p",
        "a",
        "siem:1",
        "[siem:1]",
        "https://s",
        "{credential: c}",
        "true",
        "gzip",
        "''",
    ]
)


@settings(deadline=None, max_examples=50)
@given(
    kind=st.sampled_from(sorted(SINKS)),
    extra=st.dictionaries(
        st.sampled_from(
            ["to", "url", "path", "token", "user", "password", "timeout", "compression", "format"]
        ),
        _VALUES,
        max_size=3,
    ),
)
def test_the_schema_takes_whatever_the_parser_takes(kind: str, extra: dict[str, str]) -> None:
    needed = [one.name for one in SINKS[kind].settings if one.required and one.name != "type"]
    entries = {name: _EXAMPLES[name].partition(": ")[2] for name in needed} | extra
    text = _sink(
        ", ".join([f"type: {kind}", *(f"{key}: {value}" for key, value in entries.items())])
    )
    parsed = parse(text.encode(), "ship.yaml")
    if parsed.config is not None:
        jsonschema.validate(yaml.safe_load(text), schema())
