# SPDX-License-Identifier: Apache-2.0
"""Every setting of the shipper's configuration: its name, form, default and meaning.

The parser, the JSON Schema, the messages and the manual's tables come from
here. Knows forms; neither YAML nor sinks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from guard.policy.vocabulary import Key, Kind, Shape
from guard.ship import forms
from guard.ship.formats import FORMATS, JSON_FORMATS
from guard.ship.forms import Form


class Group(NamedTuple):
    """A mapping of settings. ``title`` is what messages call it."""

    title: str
    meaning: str
    settings: tuple[Setting, ...]
    exactly_one: tuple[str, ...] = ()

    def shape(self) -> Shape:
        """The group as guard.policy.values reads mappings; the kind of a key is not looked at."""
        keys = tuple(
            Key(one.name, Kind.TEXT, one.meaning, one.required, one.example)
            for one in self.settings
        )
        return Shape(self.title, self.meaning, keys, exactly_one=self.exactly_one)


class Setting(NamedTuple):
    """One key. ``of``: the form of its value, or the group that it holds."""

    name: str
    of: Form | Group
    meaning: str
    default: Any = None
    required: bool = False
    example: str = ""
    shown: str = ""
    """The default as it would be written; empty: there is none."""


def _need(name: str, of: Form | Group, meaning: str, example: str) -> Setting:
    return Setting(name, of, meaning, None, True, example)


SECRET = Group(
    "secret",
    "Where a secret is. It is never in this file.",
    (
        Setting("file", forms.PATH, "A file that only root and the shipper can read."),
        Setting("credential", forms.WORD, "A credential of the unit (systemd's LoadCredential=)."),
    ),
    exactly_one=("file", "credential"),
)

TLS = Group(
    "tls section",
    "TLS 1.2 or newer. The receiver's certificate and name are always checked.",
    (
        Setting("ca", forms.PATH, "These CAs alone are trusted. Default: the system's."),
        Setting("certificate", forms.PATH, "The shipper's own certificate, with its chain."),
        Setting("key", SECRET, "The private key of it, without a passphrase."),
        Setting("name", forms.WORD, "The receiver's name in its certificate, if not the host."),
    ),
)

BATCH = Group(
    "batch section",
    "How records are put together.",
    (
        Setting(
            "records", forms.number(1, 10000), "Records in one request, at most.", 500, shown="500"
        ),
        Setting("bytes", forms.SIZE, "Bytes of flat records in it.", 1 << 20, shown="1MiB"),
        Setting(
            "wait", forms.DURATION, "How long to let records gather when idle.", 1.0, shown="1s"
        ),
    ),
)

RETRY = Group(
    "retry section",
    "How long to wait after a failure: twice as long each time, half of it random.",
    (
        Setting("first", forms.DURATION, "After the first one.", 1.0, shown="1s"),
        Setting("most", forms.DURATION, "At most.", 60.0, shown="1m"),
    ),
)

_TLS = Setting("tls", TLS, TLS.meaning)
_TIMEOUT = Setting("timeout", forms.DURATION, "How long to wait for an answer.", 30.0, shown="30s")
_GZIP = Setting(
    "compression", forms.choice("gzip", "none"), "Of request bodies.", "gzip", shown="gzip"
)


def _format(words: Iterable[str], default: str) -> Setting:
    meaning = "The records' format."
    return Setting("format", forms.choice(*words), meaning, default, shown=default)


def _sink(kind: str, meaning: str, formats: Setting, *own: Setting) -> Group:
    return Group(
        f"{kind} sink",
        meaning,
        (
            _need("name", forms.SINK_NAME, "What metrics, records and the cursor call it.", "siem"),
            _need("type", forms.choice(kind), "Which kind of sink this is.", kind),
            formats,
            *own,
            Setting("batch", BATCH, BATCH.meaning),
            Setting("retry", RETRY, RETRY.meaning),
        ),
    )


_ANY_FLAT = _format(FORMATS, "flat")
_JSON = _format(JSON_FORMATS, "flat")
_SYSLOG = _format(FORMATS, "rfc5424")
_TO = _need("to", forms.ADDRESS, "The receiver, host:port.", "siem.example:6514")
_STREAM = (_TO, _TIMEOUT)
_USER = Setting("user", forms.WORD, "The user's name, with a password.")
_PASSWORD = Setting("password", SECRET, "The user's password.")


def _url(example: str) -> Setting:
    return _need(
        "url", forms.url("http", "https"), "The receiver, without the API's path.", example
    )


SINKS: dict[str, Group] = {
    "file": _sink(
        "file",
        "A log file with rotation. On the disk before it counts as delivered.",
        _ANY_FLAT,
        _need("path", forms.PATH, "The file.", "/var/log/guard-ship/audit.ndjson"),
        Setting(
            "rotate-size", forms.SIZE, "Begin another at this size.", 100 << 20, shown="100MiB"
        ),
        Setting("rotate-after", forms.DURATION, "Begin another after this time as well."),
        Setting("keep", forms.number(0, 1000), "Old files that are kept.", 10, shown="10"),
        Setting(
            "compression",
            forms.choice("gzip", "zstd", "none"),
            "Of old files.",
            "gzip",
            shown="gzip",
        ),
    ),
    "stdout": _sink("stdout", "Standard output, one record a line.", _ANY_FLAT),
    "journald": _sink(
        "journald",
        "systemd's journal by its native protocol, with fields to search by.",
        _ANY_FLAT,
        Setting(
            "socket",
            forms.PATH,
            "The journal's socket.",
            "/run/systemd/journal/socket",
            shown="/run/systemd/journal/socket",
        ),
    ),
    "syslog-udp": _sink(
        "syslog-udp",
        "RFC 5424 in datagrams (RFC 5426). What the network loses is lost.",
        _SYSLOG,
        _TO,
    ),
    "syslog-tcp": _sink(
        "syslog-tcp", "RFC 5424 over TCP, octet counting (RFC 6587).", _SYSLOG, *_STREAM
    ),
    "syslog-tls": _sink("syslog-tls", "RFC 5424 over TLS (RFC 5425).", _SYSLOG, *_STREAM, _TLS),
    "relp": _sink(
        "relp",
        "RFC 5424 over RELP, which acknowledges each record; with TLS if tls is there.",
        _SYSLOG,
        *_STREAM,
        _TLS,
    ),
    "splunk": _sink(
        "splunk",
        "Splunk's HTTP Event Collector.",
        _ANY_FLAT,
        _url("https://splunk.example:8088"),
        _need("token", SECRET, "The collector's token.", "{credential: hec-token}"),
        Setting("index", forms.WORD, "The index. Default: the token's."),
        Setting("sourcetype", forms.WORD, "The source type.", "guard", shown="guard"),
        Setting("ack", forms.FLAG, "Wait until indexers acknowledge.", False, shown="false"),
        _GZIP,
        _TIMEOUT,
        _TLS,
    ),
    "elastic": _sink(
        "elastic",
        "Elasticsearch or OpenSearch, bulk interface; the id of a document is the record's.",
        _JSON,
        _url("https://elastic.example:9200"),
        _need("index", forms.WORD, "The index, alias or data stream.", "logs-guard-default"),
        Setting("api-key", SECRET, "An API key, encoded as Elasticsearch gives it."),
        _USER,
        _PASSWORD,
        _GZIP,
        _TIMEOUT,
        _TLS,
    ),
    "loki": _sink(
        "loki",
        "Grafana Loki's push interface.",
        _ANY_FLAT,
        _url("https://loki.example:3100"),
        Setting("tenant", forms.WORD, "X-Scope-OrgID."),
        Setting("token", SECRET, "A bearer token."),
        _USER,
        _PASSWORD,
        Setting(
            "metadata", forms.FLAG, "The id as structured metadata (Loki 3).", False, shown="false"
        ),
        _GZIP,
        _TIMEOUT,
        _TLS,
    ),
    "otlp": _sink(
        "otlp",
        "OpenTelemetry logs over HTTP.",
        _ANY_FLAT,
        _url("https://collector.example:4318"),
        Setting("token", SECRET, "A bearer token."),
        Setting(
            "compression",
            forms.choice("gzip", "zstd", "none"),
            "Of request bodies.",
            "gzip",
            shown="gzip",
        ),
        _TIMEOUT,
        _TLS,
    ),
    "kafka": _sink(
        "kafka",
        "Apache Kafka, acknowledged by all in-sync replicas.",
        _ANY_FLAT,
        _need("brokers", forms.many(forms.ADDRESS), "Brokers, host:port.", "[kafka.example:9093]"),
        _need("topic", forms.WORD, "The topic.", "guard-audit"),
        Setting(
            "compression",
            forms.choice("none", "gzip", "lz4", "snappy", "zstd"),
            "Of batches.",
            "zstd",
            shown="zstd",
        ),
        Setting(
            "mechanism",
            forms.choice("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
            "Of SASL, with user and password.",
            "SCRAM-SHA-512",
            shown="SCRAM-SHA-512",
        ),
        _USER,
        _PASSWORD,
        _TIMEOUT,
        _TLS,
    ),
    "nats": _sink(
        "nats",
        "NATS JetStream, acknowledged by the stream, which drops duplicates.",
        _ANY_FLAT,
        _need(
            "servers", forms.many(forms.url("nats", "tls")), "Servers.", "[tls://nats.example:4222]"
        ),
        _need("subject", forms.WORD, "A subject that a stream takes.", "guard.audit"),
        Setting("token", SECRET, "A token."),
        _USER,
        _PASSWORD,
        _TIMEOUT,
        _TLS,
    ),
}

METRICS = Group(
    "metrics section",
    "Where the shipper tells how it fares, in Prometheus' text form.",
    (
        Setting("file", forms.PATH, "A file for node_exporter's textfile collector: *.prom."),
        Setting("socket", forms.PATH, "A UNIX socket that answers HTTP GET."),
    ),
)

CONFIG = Group(
    "configuration",
    "What guard ship delivers, and where to.",
    (
        _need("version", forms.number(1, 1), "The version of this form: 1.", "1"),
        Setting(
            "spool",
            forms.PATH,
            "The collector's spool.",
            "/var/lib/guard/spool",
            shown="/var/lib/guard/spool",
        ),
        Setting(
            "state",
            forms.PATH,
            "The shipper's own directory: refused records, records about itself.",
            "/var/lib/guard-ship",
            shown="/var/lib/guard-ship",
        ),
        Setting("metrics", METRICS, METRICS.meaning),
        _need("sinks", forms.FLAG, "The sinks, a list of mappings.", "[]"),
    ),
)
