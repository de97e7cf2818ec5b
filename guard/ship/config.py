# SPDX-License-Identifier: Apache-2.0
"""The shipper's configuration: text to values, with the place of every mistake.

Reads with the modules that policies are read with, so that findings look and
read the same. Pure: whether files are there and libraries are installed is
found out by build.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from guard.policy import read
from guard.policy.codes import Code
from guard.policy.diagnostic import Diagnostic, Fix, Related, has_errors, quoted
from guard.policy.findings import Findings
from guard.policy.nodes import Broken, Node, Scalar, Sequence
from guard.policy.nodes import Mapping as MappingNode
from guard.policy.source import Span
from guard.policy.values import Values
from guard.ship.formats import JSON_FORMATS
from guard.ship.forms import holds_secret, unreadable
from guard.ship.secrets import Secret
from guard.ship.settings import CONFIG, SECRET, SINKS, Group, Setting
from guard.ship.worker import Plan

_N = TypeVar("_N", int, float)

# Each has a thread, a cursor and buffers; more is a relay's work.
SINKS_LIMIT = 32

_EXAMPLE = "sinks: [{name: local, type: file, path: /var/log/guard-ship/audit.ndjson}]"


@dataclass(frozen=True, slots=True)
class SinkConfig:
    """One sink. ``options`` has every setting of its kind but name and type, None if unset."""

    name: str
    type: str
    format: str
    plan: Plan
    options: Mapping[str, Any]
    span: Span

    @property
    def is_json(self) -> bool:
        """Whether bodies are JSON objects."""
        return self.format in JSON_FORMATS


@dataclass(frozen=True, slots=True)
class Config:
    """All of it. Paths are as written."""

    spool: str
    state: str
    metrics_file: str | None
    metrics_socket: str | None
    sinks: tuple[SinkConfig, ...]


class Parsed(NamedTuple):
    """``config`` is None if there is an error among the findings.

    ``text`` is what findings are shown with: where somebody wrote a secret into
    the file it has stars, as findings of a service go to a log.
    """

    config: Config | None
    diagnostics: list[Diagnostic]
    text: str


def parse(data: bytes, file: str) -> Parsed:
    """The configuration in a file's content."""
    diagnostics: list[Diagnostic] = []
    findings = _Findings(diagnostics)
    masked: list[Scalar] = []
    config = _parse(data, file, findings, masked)
    findings.close()
    text = data.decode("utf-8-sig", "replace")
    for scalar in masked:
        text = _without(text, scalar)
    return Parsed(None if has_errors(diagnostics) else config, diagnostics, text)


class _Findings(Findings):
    """Says configuration where the modules that read policies would say policy."""

    def add(
        self,
        code: Code,
        message: str,
        span: Span,
        label: str = "",
        *,
        related: tuple[Related, ...] = (),
        help: str | None = None,
        fix: Fix | None = None,
    ) -> None:
        """As in Findings."""
        if code is Code.EMPTY:
            message, help = (
                "this file holds no configuration",
                f"at the least version: 1 and {_EXAMPLE}",
            )
        if code in (Code.ALIAS, Code.TAG, Code.MERGE_KEY, Code.BAD_CHARACTER):
            message = message.replace("policies do", "this configuration does")
            message = message.replace("part of a policy", "part of a configuration")
            help = None
        super().add(code, message, span, label, related=related, help=help, fix=fix)


def _without(text: str, scalar: Scalar) -> str:
    if scalar.line == scalar.end_line:
        end = scalar.start + scalar.end_column - scalar.column
        return text[: scalar.start] + "*" * (end - scalar.start) + text[end:]
    return text[: scalar.start]  # over several lines: nothing of what follows is shown


def _parse(data: bytes, file: str, findings: _Findings, masked: list[Scalar]) -> Config | None:
    source = read.decode(data, file, findings)
    if source is None:
        return None
    roots = list(read.documents(source, findings))
    if not roots:
        return None
    if len(roots) > 1:
        findings.add(
            Code.TOO_MANY_DOCUMENTS, "a configuration is one document", roots[1].span, "the second"
        )
        return None
    masked += _with_passwords(roots[0])
    return _Reader(Values(findings), masked).config(roots[0])


def _with_passwords(node: Node) -> list[Scalar]:
    """URLs with a password in them, wherever they stand."""
    if isinstance(node, Scalar):
        return [node] if holds_secret(node) else []
    inner: list[Node] = []
    if isinstance(node, Sequence):
        inner = node.items
    elif isinstance(node, MappingNode):
        inner = [value for _, value in node.entries]
    return [scalar for one in inner for scalar in _with_passwords(one)]


class _Reader:
    """Reads groups of settings. ``masked`` gets what nobody should see again."""

    def __init__(self, values: Values, masked: list[Scalar]) -> None:
        self._values = values
        self._masked = masked
        self._findings = values.findings

    def config(self, root: Node) -> Config | None:
        options = self.group(root, CONFIG, None)
        if options is None:
            return None
        metrics = options["metrics"] or {}
        return Config(
            options["spool"],
            options["state"],
            metrics.get("file"),
            metrics.get("socket"),
            tuple(options["sinks"] or ()),
        )

    def group(self, node: Node, group: Group, place: Span | None) -> dict[str, Any] | None:
        """Every setting's value, defaults for those that are not there; None after a finding."""
        if group is SECRET and isinstance(node, Scalar):
            self._masked.append(node)
            self._findings.add(
                Code.WRONG_KIND,
                "a secret does not stand in the configuration, where others could read it",
                node.span,
                help="name where it is: {file: /path} or {credential: name}",
            )
            return None
        fields = self._values.mapping(node, group.shape(), place)
        if fields is None:
            return None
        found: dict[str, Any] = {}
        for setting in group.settings:
            field = fields.get(setting.name)
            if field is None:
                found[setting.name] = setting.default
            else:
                found[setting.name] = self._value(setting, field.value, field.key.span)
        if group is SECRET:
            return {"": Secret(found["file"], found["credential"])}
        self._together(node, group, found)
        return found

    def _value(self, setting: Setting, node: Node, place: Span) -> Any:
        if setting.name == "sinks":
            return self._sinks(node, place)
        if isinstance(setting.of, Group):
            value = self.group(node, setting.of, place)
            return value if setting.of is not SECRET or value is None else value[""]
        return setting.of.read(self._values, node, setting.name)

    def _together(self, node: Node, group: Group, found: dict[str, Any]) -> None:
        """Settings that have a meaning only beside another one."""
        assert isinstance(node, MappingNode)
        keys = {key.text: key for key, _ in node.entries}
        for one, other in (("certificate", "key"), ("user", "password")):
            names = {setting.name for setting in group.settings}
            if {one, other} <= names and (one in keys) != (other in keys):
                there, missing = (one, other) if one in keys else (other, one)
                self._findings.add(
                    Code.MISSING_KEY,
                    f"'{there}' has no meaning without '{missing}'",
                    keys[there].span,
                    f"'{missing}' is missing",
                )
        for first, second in (("token", "user"), ("api-key", "user")):
            if first in keys and second in keys:
                self._findings.add(
                    Code.NOT_TOGETHER,
                    f"'{first}' and '{second}' are two ways to log in; the receiver takes one",
                    keys[second].span,
                    related=(Related(keys[first].span, "the other here"),),
                )
        url = found.get("url")
        if url is not None and url.scheme == "http" and "tls" in keys:
            self._findings.add(
                Code.NOT_TOGETHER,
                "'tls' has no meaning for an http url",
                keys["tls"].span,
                related=(Related(keys["url"].span, "write https here"),),
            )
        secret = next((name for name in ("token", "password", "api-key") if name in keys), None)
        plain = url is not None and url.scheme == "http" and not _on_this_host(url.hostname)
        if plain and secret is not None:
            self._findings.add(
                Code.NOT_TOGETHER,
                f"over http everybody on the way can read '{secret}'",
                keys[secret].span,
                related=(Related(keys["url"].span, "write https here"),),
            )

    def _sinks(self, node: Node, place: Span) -> list[SinkConfig]:
        if isinstance(node, Broken):
            return []
        if not isinstance(node, Sequence):
            unreadable(self._values, node, "sinks is a list of mappings")
            return []
        if not node.items:
            self._findings.add(
                Code.EMPTY_VALUE, "there is no sink", place, help=f"for example {_EXAMPLE}"
            )
        if len(node.items) > SINKS_LIMIT:
            self._findings.add(
                Code.TOO_LARGE,
                f"{len(node.items)} sinks; one shipper has at most {SINKS_LIMIT}",
                node.items[SINKS_LIMIT].span,
                "the first one too many",
            )
            return []
        names: dict[str, Span] = {}
        found = []
        for item in node.items:
            sink = self._sink(item)
            if sink is None:
                continue
            first = names.setdefault(sink.name, sink.span)
            if first is not sink.span:
                self._findings.add(
                    Code.REPEATED,
                    f"two sinks have the name {quoted(sink.name)}",
                    sink.span,
                    "again here",
                    related=(Related(first, "first here"),),
                    help="the name is the cursor's too: with one name they would share the records",
                )
            found.append(sink)
        return found

    def _sink(self, node: Node) -> SinkConfig | None:
        kind = _entry(node, "type")
        if kind is None:
            # What it is decides which keys it has, so nothing else can be judged.
            if isinstance(node, MappingNode):
                self._findings.add(
                    Code.MISSING_KEY,
                    "this sink has no 'type'",
                    node.entries[0][0].span if node.entries else node.span,
                    "'type' is missing",
                    help=f"one of {', '.join(SINKS)}",
                )
            elif not isinstance(node, Broken):
                unreadable(self._values, node, "a sink is a mapping of keys and values")
            return None
        group = self._values.word(kind, "type", SINKS)
        if group is None:
            return None
        options = self.group(node, group, None)
        name_node = _entry(node, "name")
        if options is None or name_node is None:
            return None
        batch = options.pop("batch") or {}
        retry = options.pop("retry") or {}
        return SinkConfig(
            options.pop("name") or "",
            options.pop("type") or "",
            options.pop("format") or "",
            Plan(
                _or(batch.get("records"), 500),
                _or(batch.get("bytes"), 1 << 20),
                _or(batch.get("wait"), 1.0),
                _or(retry.get("first"), 1.0),
                _or(retry.get("most"), 60.0),
            ),
            options,
            name_node.span,
        )


def _or(value: _N | None, default: _N) -> _N:
    return default if value is None else value


def _on_this_host(host: str | None) -> bool:
    """Whether nobody but this host's own users is on the way."""
    return host in ("localhost", "::1") or (host or "").startswith("127.")


def _entry(node: Node, name: str) -> Node | None:
    if not isinstance(node, MappingNode):
        return None
    return next((value for key, value in node.entries if key.text == name), None)
