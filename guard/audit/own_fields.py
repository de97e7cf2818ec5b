# SPDX-License-Identifier: Apache-2.0
"""Every member of the records that guard makes about itself.

The other half of record_fields.py.
"""

from __future__ import annotations

from guard.audit.fields import Field, Flag, Many, Name, Number, Shape, Text, part
from guard.audit.loss import LossCause

# Elements of a set that one record names.
ELEMENTS = 16

_U32 = Number(0, 2**32 - 1)
_SHA256 = Text(pattern="^[0-9a-f]{64}$")
_HEX = Text(pattern="^[0-9a-f]+$")

_NAMED = Field(
    "policy",
    part(
        [
            Field("name", Text(), "the policy"),
            Field("mode", Text(("enforce", "audit")), "its mode"),
            Field("generation", _U32, "the first that it is in force in"),
        ]
    ),
    "the policy",
)

_CALLER = Field(
    "caller",
    part(
        [
            Field("pid", _U32, "process id"),
            Field("uid", _U32, "user id"),
            Field("gid", _U32, "group id"),
            Field("user", Name(), "the host's name of `uid`", null=True),
            Field("exe", Name(), "its executable", null=True),
        ]
    ),
    "who asked, by the socket's credentials; null: guard itself",
    null=True,
)

_BECAUSE = Field("because", Text(), "the reason, for people")

OWN = (
    Shape(
        "guard.started",
        ("guard.started",),
        "guard runs",
        (
            Field("version", Text(), "guard's version"),
            Field("adopted", Flag(), "it took over what an earlier run had loaded"),
        ),
    ),
    Shape(
        "guard.adopted",
        ("guard.adopted",),
        "a new process serves what was loaded before",
        (
            Field("version", Text(), "guard's version"),
            Field("loaded_by", Text(), "the version that loaded it", null=True),
            Field("generation", _U32, "of the tables in force"),
        ),
    ),
    Shape(
        "guard.stopped",
        ("guard.stopped",),
        "guard ends",
        (_BECAUSE, Field("enforcing", Flag(), "the kernel goes on enforcing")),
    ),
    Shape(
        "policy.loaded",
        ("policy.loaded",),
        "a policy is in force; one record a policy",
        (
            _NAMED,
            Field("source", Text(), "its file"),
            Field("rules", Number(), "how many rules it has"),
        ),
    ),
    Shape(
        "policy.rejected",
        ("policy.rejected",),
        "policies were not put in force; what was before stays",
        (
            Field("sources", Many(Text()), "the files"),
            Field("generation", _U32, "what stays in force", null=True),
            _BECAUSE,
            Field(
                "findings",
                Many(
                    part(
                        [
                            Field("code", Text(), "the finding's code", null=True),
                            Field("file", Text(), "where", null=True),
                            Field("line", Number(), "where", null=True),
                            Field("message", Text(), "what"),
                        ]
                    )
                ),
                "the first errors",
            ),
            Field("more", Number(), "errors that are not among them"),
            _CALLER,
        ),
    ),
    Shape(
        "audit.lost",
        ("audit.lost",),
        "records are missing",
        (
            Field(
                "lost",
                part(
                    [
                        Field("cause", Text(tuple(LossCause)), "why"),
                        Field("count", Number(), "how many"),
                        Field("cpu", _U32, "of which processor", null=True),
                        Field("first_seq", Number(0, 2**64 - 1), "first hole seen", null=True),
                        Field("last_seq", Number(0, 2**64 - 1), "last hole seen", null=True),
                        Field("sink", Text(), "the sink that lost them", null=True),
                        Field("detail", Text(), "for people", null=True),
                    ]
                ),
                "what",
            ),
        ),
    ),
    Shape(
        "audit.unsafe",
        ("audit.unsafe",),
        "records are in the spool, and the disk did not confirm them: a power cut may take them",
        (Field("count", Number(), "how many times flushing failed"), _BECAUSE),
    ),
    Shape(
        "clock.stepped",
        ("clock.stepped",),
        "the wall clock was set: `time` jumps here, `boot_ns` does not",
        (
            Field(
                "milliseconds",
                Number(-(2**53) + 1, 2**53 - 1),
                "how far since the last such record or the start; negative: back",
            ),
        ),
    ),
    Shape(
        "audit.checkpoint",
        ("audit.checkpoint",),
        "a signed statement of how far a chain has come",
        (
            Field(
                "checkpoint",
                part(
                    [
                        Field("series", Text(), "the chain's name"),
                        Field("n", Number(), "batches so far"),
                        Field("records", Number(), "records so far"),
                        Field("head", _SHA256, "hash of the last batch"),
                        Field("key", Text(), "which key signed; null: unsigned", null=True),
                        Field("signature", _HEX, "Ed25519; null: unsigned", null=True),
                    ]
                ),
                "the statement",
            ),
        ),
    ),
    Shape(
        "set.expired",
        ("set.expired",),
        "elements of a set have reached their end",
        (
            Field(
                "set",
                part(
                    [
                        Field("policy", Text(), "the policy", null=True),
                        Field("name", Text(), "the set"),
                        Field("count", Number(), "how many elements ended together"),
                        Field("elements", Many(Text(), ELEMENTS), "the first of them"),
                        Field("total", Number(), "all that ended since the set was loaded"),
                    ]
                ),
                "what",
            ),
        ),
    ),
    Shape(
        "ingress.interface",
        ("ingress.interface",),
        "an interface came, went or changed under the ingress filter",
        (
            Field("policy", Text(), "the filter's policy"),
            Field("interface", Text(), "which; null: told by the reason", null=True),
            _BECAUSE,
        ),
    ),
    Shape(
        "control.called",
        ("control.called",),
        "a command changed a running guard, or was to",
        (
            Field("command", Text(), "what"),
            Field("arguments", Many(Text()), "with what"),
            _CALLER,
            Field("outcome", Text(("done", "refused", "failed")), "what came of it"),
            Field("detail", Text(), "for people", null=True),
        ),
    ),
    Shape(
        "ingress",
        ("ingress.confirmed", "ingress.rolled-back"),
        "an ingress policy on trial was kept, or taken back",
        (
            Field("policy", _NAMED.type, "the policy"),
            Field("interfaces", Many(Text()), "where"),
            _BECAUSE,
            _CALLER,
        ),
    ),
    Shape(
        "ship.started",
        ("ship.started",),
        "the shipper runs",
        (
            Field("version", Text(), "guard's version"),
            Field("adopted", Flag(), "always false"),
        ),
    ),
    Shape("ship.stopped", ("ship.stopped",), "the shipper ends", (_BECAUSE,)),
    Shape(
        "sink",
        ("sink.failing", "sink.recovered", "sink.refused"),
        "a sink began to fail, works again, or refused records for good",
        (
            Field("sink", Text(), "which"),
            _BECAUSE,
            Field("count", Number(), "tries that failed, or records refused"),
            Field("milliseconds", Number(), "how long it has failed"),
        ),
    ),
    Shape(
        "selfprotect.unlocked",
        ("selfprotect.unlocked",),
        "guard's protection of itself was opened",
        (
            Field("seconds", Number(), "for how long; null: until it is locked again", null=True),
            _BECAUSE,
            _CALLER,
        ),
    ),
)
