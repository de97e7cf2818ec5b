# SPDX-License-Identifier: Apache-2.0
"""The ingress section: nodes to the model. Reads no file and knows no interface."""

from __future__ import annotations

from collections.abc import Callable

from guard.policy import limits, limits_ingress
from guard.policy.codes import Code
from guard.policy.diagnostic import Related, quoted
from guard.policy.ingress import (
    ETHERTYPE_ARP,
    Action,
    AddressSet,
    Established,
    FlowMatch,
    Fragments,
    IngressRule,
    IngressSection,
    Limit,
    Per,
    Prefix,
    Target,
    Tunnels,
    Unreadable,
)
from guard.policy.nodes import Broken, Mapping, Node, Scalar, Sequence
from guard.policy.parse_ingress_possible import require_possible
from guard.policy.parse_ingress_values import Readings
from guard.policy.source import Span
from guard.policy.values import Field, Values, described, is_null
from guard.policy.vocabulary_ingress import (
    ACTIONS,
    DEFAULTS,
    ESTABLISHED,
    FAMILIES,
    FRAGMENTS,
    ICMP6_TYPES,
    ICMP_TYPES,
    INGRESS,
    INGRESS_LIMIT,
    INGRESS_RULE,
    INGRESS_SET,
    MODES,
    PERS,
    TUNNELS,
    UNREADABLE,
)

NoteId = Callable[[Scalar], None]
"""Told each id that an author gave, so that two rules of a policy never share one."""

_Fields = dict[str, Field]


def ingress_section(field: Field, values: Values, note_id: NoteId) -> IngressSection | None:
    """The section, or None after what is wrong with it was recorded."""
    fields = values.mapping(field.value, INGRESS, field.key.span)
    if fields is None:
        return None
    return _Section(values, note_id, fields).read(field.value.span)


class _Section:
    """Reads one section's entries; its interfaces and sets are known to its rules."""

    def __init__(self, values: Values, note_id: NoteId, fields: _Fields) -> None:
        self._values = values
        self._readings = Readings(values)
        self._note_id = note_id
        self._fields = fields
        self._interfaces: dict[str, Span] = {}
        self._sets: dict[str, AddressSet] = {}
        self._sets_known = True

    def read(self, span: Span) -> IngressSection | None:
        fields, values, readings = self._fields, self._values, self._readings
        if "interfaces" in fields:
            self._interfaces = readings.interfaces(fields["interfaces"].value, "interfaces")
        default = None
        if "default" in fields:
            default = values.word(fields["default"].value, "default", DEFAULTS)
        if "sets" in fields:
            self._read_sets(fields["sets"])
        rules = self._rules(fields["rules"]) if "rules" in fields else []
        established = self._established()
        ethertypes: tuple[int, ...] = (ETHERTYPE_ARP,)
        if "ethertypes" in fields:
            ethertypes = ()
            node = fields["ethertypes"].value
            if not (isinstance(node, Sequence) and not node.items):
                ethertypes = readings.ethertypes(node, "ethertypes")
        words = {
            name: values.word(fields[name].value, name, table) if name in fields else None
            for name, table in (
                ("mode", MODES),
                ("fragments", FRAGMENTS),
                ("unreadable", UNREADABLE),
                ("tunnels", TUNNELS),
            )
        }
        cookies = False
        if "syn-cookies" in fields:
            cookies = values.flag(fields["syn-cookies"].value, "syn-cookies") or False
        if default is None or not self._interfaces:
            return None
        mode = words["mode"] if isinstance(words["mode"], tuple) else (False, False)
        fragments, unreadable, tunnels = words["fragments"], words["unreadable"], words["tunnels"]
        return IngressSection(
            tuple(self._interfaces),
            default,
            tuple(rules),
            span,
            tuple(self._sets.values()),
            established,
            fragments if isinstance(fragments, Fragments) else Fragments.TRACK,
            unreadable if isinstance(unreadable, Unreadable) else Unreadable.DROP,
            tunnels if isinstance(tunnels, Tunnels) else Tunnels.NAMED,
            ethertypes,
            cookies,
            *mode,
        )

    def _established(self) -> Established | None:
        if "established" not in self._fields:
            return Established()
        key, node = self._fields["established"]
        if isinstance(node, Scalar):
            return Established() if self._values.flag(node, "established") else None
        fields = self._values.mapping(node, ESTABLISHED, key.span)
        if fields is None:
            return None
        given = {name: self._values.flag(one.value, name) or False for name, one in fields.items()}
        return Established(**given)

    def _read_sets(self, field: Field) -> None:
        node = field.value
        if not isinstance(node, Mapping):
            self._sets_known = False
            if not isinstance(node, Broken):
                self._values.findings.add(
                    Code.EMPTY_VALUE if is_null(node) else Code.WRONG_KIND,
                    "sets is a mapping of names to prefixes",
                    field.key.span if is_null(node) else node.span,
                    "nothing follows" if is_null(node) else f"this is {described(node)}",
                )
            return
        if not node.entries and not node.incomplete:
            self._values.findings.add(Code.EMPTY_VALUE, "sets is empty", node.span)
        self._sets_known = not node.incomplete
        for key, value in node.entries:
            errors = self._values.findings.errors
            name = self._values.name(key, "a set's name")
            made = self._set(key, value)
            if name is not None and made is not None:
                self._sets[name.text] = made
            if self._values.findings.errors > errors:
                # A set in error is there all the same: rules that name it are not told off.
                self._sets.setdefault(key.text, AddressSet(key.text, (), None, key.span))

    def _set(self, key: Scalar, value: Node) -> AddressSet | None:
        if isinstance(value, Sequence) and not value.items:
            # A set that is filled at run time.
            return AddressSet(key.text, (), None, key.span)
        if not isinstance(value, Mapping):
            prefixes = self._readings.prefixes(value, f"set {quoted(key.text)}")
            return AddressSet(key.text, prefixes, None, key.span)
        fields = self._values.mapping(value, INGRESS_SET, key.span)
        if fields is None:
            return None
        file = None
        if "file" in fields:
            file = self._values.text(fields["file"].value, "file", limits.PATTERN_LENGTH)
        prefixes = ()
        if "prefixes" in fields:
            prefixes = self._readings.prefixes(fields["prefixes"].value, "prefixes")
        return AddressSet(key.text, prefixes, file.text if file else None, key.span)

    def _rules(self, field: Field) -> list[IngressRule]:
        node = field.value
        if not isinstance(node, Sequence):
            if not isinstance(node, Broken):
                self._values.findings.add(
                    Code.EMPTY_VALUE if is_null(node) else Code.WRONG_KIND,
                    "rules is a list: each rule starts with '- '",
                    field.key.span if is_null(node) else node.span,
                    "nothing follows" if is_null(node) else f"this is {described(node)}",
                )
            return []
        if not node.items:
            self._values.findings.add(
                Code.EMPTY_VALUE,
                "rules is an empty list",
                node.span,
                help="leave the key out when there are no rules",
            )
        rules = []
        for number, item in enumerate(node.items, 1):
            rule = self._rule(item, number)
            if rule is not None:
                rules.append(rule)
        return rules

    def _rule(self, item: Node, number: int) -> IngressRule | None:
        values = self._values
        errors = values.findings.errors
        fields = values.mapping(item, INGRESS_RULE, None)
        if fields is None:
            return None
        rule_id, why = f"ingress.{number}", None
        if "id" in fields:
            scalar = values.name(fields["id"].value, "id", is_rule_id=True)
            if scalar is not None:
                rule_id = scalar.text
                self._note_id(scalar)
        if "why" in fields:
            text = values.text(fields["why"].value, "why", limits.TEXT_LENGTH)
            why = text.text if text is not None else None
        word = next((name for name in ACTIONS if name in fields), None)
        match = self._match(fields, word)
        sample = 1
        if "sample" in fields:
            sample = (
                self._readings.number(fields["sample"].value, "sample", 0, limits_ingress.SAMPLE)
                or 0
            )
        limit = self._limit(fields["limit"], word) if "limit" in fields else None
        target = self._target(fields, word)
        if word is None or values.findings.errors > errors:
            return None
        require_possible(match, fields, values.findings)
        action = Action.LIMIT if limit is not None else ACTIONS[word]
        return IngressRule(rule_id, action, match, item.span, limit, target, sample, why)

    def _match(self, fields: _Fields, word: str | None) -> FlowMatch:
        values, readings = self._values, self._readings
        family = None
        if "family" in fields:
            family = values.word(fields["family"].value, "family", FAMILIES)
        fragment = None
        if "fragment" in fields:
            fragment = values.flag(fields["fragment"].value, "fragment")
        sources, source_sets = self._addresses(fields, "from")
        destinations, destination_sets = self._addresses(fields, "to")
        interfaces = self._rule_interfaces(fields["interface"]) if "interface" in fields else ()
        return FlowMatch(
            family=family,
            sources=sources,
            source_sets=source_sets,
            source_excepts=self._excepts(fields, "not-from"),
            destinations=destinations,
            destination_sets=destination_sets,
            destination_excepts=self._excepts(fields, "not-to"),
            protocols=self._protocols(fields, word),
            source_ports=readings.ranges_of(fields, "sport", limits_ingress.PORT),
            destination_ports=readings.ranges_of(fields, "port", limits_ingress.PORT),
            tcp_flags=readings.tcp_flags(fields["flags"].value) if "flags" in fields else (),
            icmp_types=readings.types_of(fields, "icmp", ICMP_TYPES),
            icmp6_types=readings.types_of(fields, "icmp6", ICMP6_TYPES),
            fragment=fragment,
            vlans=readings.each_of(fields, "vlan", limits_ingress.VLAN),
            lengths=readings.ranges_of(fields, "length", limits_ingress.PORT),
            interfaces=interfaces,
        )

    def _protocols(self, fields: _Fields, word: str | None) -> tuple[int, ...]:
        """Of the action's own value, or of ``proto``; none where all are meant."""
        own = self._readings.protocols(fields[word].value, word) if word else ()
        if "proto" not in fields:
            return own
        if own and word is not None:
            self._values.findings.add(
                Code.NOT_TOGETHER,
                f"proto and {word} both name protocols",
                fields["proto"].key.span,
                related=(Related(fields[word].value.span, "and here"),),
                help=f"write {word}: all, or leave proto out",
            )
        return self._readings.protocols(fields["proto"].value, "proto")

    def _addresses(self, fields: _Fields, name: str) -> tuple[tuple[Prefix, ...], tuple[str, ...]]:
        if name not in fields:
            return (), ()
        known = self._sets if self._sets_known else None
        return self._readings.addresses(fields[name].value, name, known)

    def _excepts(self, fields: _Fields, name: str) -> tuple[Prefix, ...]:
        return self._readings.prefixes(fields[name].value, name) if name in fields else ()

    def _rule_interfaces(self, field: Field) -> tuple[str, ...]:
        found = self._readings.interfaces(field.value, "interface")
        for name, span in found.items():
            if self._interfaces and name not in self._interfaces:
                self._values.findings.add(
                    Code.NO_PACKET,
                    f"the filter is not on {quoted(name)}, so no packet comes in through it",
                    span,
                    related=(Related(self._fields["interfaces"].key.span, "it is on these"),),
                    help=f"add {quoted(name)} to interfaces, or name one of them",
                )
        return tuple(found)

    def _limit(self, field: Field, word: str | None) -> Limit | None:
        fields = self._values.mapping(field.value, INGRESS_LIMIT, field.key.span)
        if word is not None and word != "allow":
            self._values.findings.add(
                Code.NOT_TOGETHER,
                f"limit has no meaning with {word}: it says how much is let in",
                field.key.span,
                help="write allow instead; what exceeds the limit is dropped",
            )
        if fields is None:
            return None
        rate = self._readings.rate(fields["rate"].value) if "rate" in fields else None
        burst = None
        if "burst" in fields:
            burst = self._readings.number(fields["burst"].value, "burst", 1, limits_ingress.RATE)
        per = Per.RULE
        if "per" in fields:
            per = self._values.word(fields["per"].value, "per", PERS) or Per.RULE
        if rate is None:
            return None
        number, unit = rate
        return Limit(number, burst or number, per, unit)

    def _target(self, fields: _Fields, word: str | None) -> Target | None:
        given = [name for name in ("to-interface", "to-cpu") if name in fields]
        if word is not None and word not in ("redirect", "mirror"):
            for name in given:
                self._values.findings.add(
                    Code.NOT_TOGETHER,
                    f"{name} has no meaning with {word}",
                    fields[name].key.span,
                    help="it says where a redirect or mirror rule sends packets",
                )
            return None
        if word is None:
            return None
        if "to-cpu" in given and (word == "mirror" or len(given) > 1):
            self._values.findings.add(
                Code.NOT_TOGETHER,
                "a mirror rule sends to an interface, not to a CPU"
                if word == "mirror"
                else "a rule sends to an interface or to a CPU, not both",
                fields["to-cpu"].key.span,
            )
            return None
        if not given:
            self._values.findings.add(
                Code.MISSING_KEY,
                f"this {word} rule does not say where to",
                fields[word].key.span,
                help="add to-interface: eth1" + (", or to-cpu: 1" * (word == "redirect")),
            )
            return None
        node = fields[given[0]].value
        if given[0] == "to-cpu":
            cpu = self._readings.number(node, "to-cpu", 0, limits_ingress.CPU)
            return Target(cpu=cpu) if cpu is not None else None
        names = self._readings.interface(node, "to-interface")
        return Target(interface=names) if names is not None else None
