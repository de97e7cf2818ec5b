# SPDX-License-Identifier: Apache-2.0
"""Apache Kafka, by librdkafka (the extra ``kafka``).

A record counts as delivered when all in-sync replicas have it (acks=all). The
producer is idempotent within a session; across restarts the header
``guard-id`` tells a record that comes again. The key is the host's id, so one
host's records stay in order in one partition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from guard.audit.reading import get
from guard.ship.extras import require_extra
from guard.ship.secrets import Secret, SecretError
from guard.ship.sink import Message, Outcome, Unavailable
from guard.ship.tls import Tls

# Seconds that librdkafka itself tries to deliver a record before it gives up.
DELIVERY_SECONDS = 30.0

# What a single record can be refused for: names of librdkafka's errors.
_REFUSED = ("MSG_SIZE_TOO_LARGE", "INVALID_RECORD", "INVALID_MSG", "_INVALID_ARG")


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """``brokers`` are host:port; with ``user`` and ``password`` by SASL as ``mechanism`` says."""

    brokers: Sequence[str]
    topic: str
    compression: str
    tls: Tls | None = None
    mechanism: str = "SCRAM-SHA-512"
    user: str | None = None
    password: Secret | None = None


class Kafka:
    """Produces to a topic."""

    def __init__(self, settings: KafkaSettings, timeout: float = DELIVERY_SECONDS) -> None:
        self._kafka = require_extra("confluent_kafka", "kafka")
        self._topic = settings.topic
        self._timeout = timeout
        try:
            self._producer: Any = self._kafka.Producer(configuration(settings, timeout))
        except SecretError as error:
            raise Unavailable(str(error)) from None
        except self._kafka.KafkaException as error:
            raise Unavailable(f"Kafka: {error.args[0].str()}") from None
        try:
            self._producer.list_topics(self._topic, timeout)
        except self._kafka.KafkaException as error:
            raise Unavailable(f"Kafka: {error.args[0].str()}") from None

    def send(self, batch: Sequence[Message]) -> Outcome:
        """As in Sink."""
        refused: dict[int, str] = {}
        open_: dict[int, str] = dict.fromkeys(range(len(batch)), "no answer in time")

        def reported(at: int, error: Any) -> None:
            if error is None:
                open_.pop(at, None)
            elif error.name() in _REFUSED:
                open_.pop(at, None)
                refused[at] = f"{error.name()}: {error.str()}"
            else:
                open_[at] = f"{error.name()}: {error.str()}"

        for at, message in enumerate(batch):
            self._produce(message, lambda error, _message, at=at: reported(at, error), refused, at)
        for at in refused:
            open_.pop(at, None)
        # Longer than every record's own limit, so each has been reported on.
        self._producer.flush(self._timeout + 5.0)
        if not open_:
            return Outcome(refused)
        # What is still queued must not arrive after it was sent again by a successor.
        self._producer.purge()
        self._producer.flush(1.0)
        again = sorted(open_)
        if not again:
            return Outcome(refused)
        return Outcome(refused, again, because=f"Kafka: {open_[again[0]]}")

    def close(self) -> None:
        """As in Sink: everything sent was answered for."""
        self._producer.purge()
        self._producer.flush(1.0)

    def _produce(self, message: Message, done: Any, refused: dict[int, str], at: int) -> None:
        try:
            self._producer.produce(
                self._topic,
                value=message.body,
                key=str(get(message.record, "host", "id") or "-"),
                headers={"guard-id": message.id},
                on_delivery=done,
            )
        except self._kafka.KafkaException as error:
            name = error.args[0].name()
            if name in _REFUSED:
                refused[at] = f"{name}: {error.args[0].str()}"
            elif name != "_QUEUE_FULL":  # those stay open, and are sent again
                raise Unavailable(f"Kafka: {error.args[0].str()}") from None
        except BufferError:
            pass  # the queue is full: as above
        self._producer.poll(0)


def configuration(settings: KafkaSettings, timeout: float) -> dict[str, object]:
    """librdkafka's settings. Raises SecretError."""
    made: dict[str, object] = {
        "bootstrap.servers": ",".join(settings.brokers),
        "client.id": "guard-ship",
        "acks": "all",
        "enable.idempotence": True,
        "compression.type": settings.compression,
        "message.timeout.ms": int(timeout * 1000),
        "socket.keepalive.enable": True,
        "linger.ms": 5,
        "log_level": 0,  # librdkafka writes to standard error, which is not its own
    }
    protocol = "plaintext"
    if settings.tls is not None:
        protocol = "ssl"
        tls = settings.tls
        if tls.ca is not None:
            made["ssl.ca.location"] = tls.ca
        if tls.certificate is not None and tls.key is not None:
            made["ssl.certificate.location"] = tls.certificate
            made["ssl.key.location"] = tls.key.checked()
        made["ssl.endpoint.identification.algorithm"] = "https"
    if settings.user is not None and settings.password is not None:
        protocol = f"sasl_{protocol}"
        made["sasl.mechanism"] = settings.mechanism
        made["sasl.username"] = settings.user
        made["sasl.password"] = settings.password.text()
    made["security.protocol"] = protocol
    return made
