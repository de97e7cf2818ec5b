# SPDX-License-Identifier: Apache-2.0
"""Kafka, against librdkafka's mock cluster: brokers on loopback within this process."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import confluent_kafka
import pytest

from guard.ship.sink import DELIVERED, Unavailable
from guard.ship.to_kafka import Kafka, KafkaSettings
from tests.ship.receivers.processes import PATIENCE, free_port
from tests.ship.support import message, messages

pytestmark = pytest.mark.receivers

TOPIC = "guard-audit"


@dataclass
class Cluster:
    """A mock cluster lives as long as the client that made it."""

    owner: Any
    brokers: list[str]

    def settings(self, compression: str = "none") -> KafkaSettings:
        return KafkaSettings(self.brokers, TOPIC, compression)

    def consumed(self, count: int) -> list[Any]:
        """The first messages of the topic."""
        consumer = confluent_kafka.Consumer(
            {
                "bootstrap.servers": ",".join(self.brokers),
                "group.id": "test",
                "auto.offset.reset": "earliest",
                "log_level": 0,
            }
        )
        consumer.subscribe([TOPIC])
        found: list[Any] = []
        deadline = time.monotonic() + PATIENCE
        while len(found) < count and time.monotonic() < deadline:
            one = consumer.poll(0.5)
            if one is not None and one.error() is None:
                found.append(one)
        consumer.close()
        return found


@pytest.fixture
def cluster() -> Cluster:
    owner = confluent_kafka.Producer({"test.mock.num.brokers": 3, "log_level": 0})
    brokers = owner.list_topics(timeout=PATIENCE).brokers.values()
    return Cluster(owner, [f"{broker.host}:{broker.port}" for broker in brokers])


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd", "lz4", "snappy"])
def test_records_arrive_in_order_with_their_ids(cluster: Cluster, compression: str) -> None:
    sink = Kafka(cluster.settings(compression), timeout=PATIENCE)
    assert sink.send(messages(500)) == DELIVERED
    sink.close()
    got = cluster.consumed(500)
    assert [json.loads(one.value())["seq"] for one in got] == list(range(500))
    wanted = [message(number).id.encode() for number in range(500)]
    assert [dict(one.headers())["guard-id"] for one in got] == wanted
    assert {one.key() for one in got} == {b"0123456789abcdef0123456789abcdef"}
    assert len({one.partition() for one in got}) == 1


def test_a_record_that_is_too_long_is_refused_and_the_others_arrive(cluster: Cluster) -> None:
    sink = Kafka(cluster.settings(), timeout=PATIENCE)
    outcome = sink.send([message(0), message(1, others=["x" * 2_000_000]), message(2)])
    sink.close()
    assert list(outcome.refused) == [1]
    assert outcome.refused[1].startswith("MSG_SIZE_TOO_LARGE: ")
    assert not outcome.again
    assert [json.loads(one.value())["seq"] for one in cluster.consumed(2)] == [0, 2]


def test_brokers_that_are_not_there_are_unavailable() -> None:
    with pytest.raises(Unavailable, match=r"^Kafka: "):
        Kafka(KafkaSettings([f"127.0.0.1:{free_port()}"], TOPIC, "none"), timeout=2.0)


def test_brokers_that_went_away_leave_every_record_to_be_sent_again() -> None:
    owner = confluent_kafka.Producer({"test.mock.num.brokers": 1, "log_level": 0})
    brokers = owner.list_topics(timeout=PATIENCE).brokers.values()
    here = Cluster(owner, [f"{broker.host}:{broker.port}" for broker in brokers])
    sink = Kafka(here.settings(), timeout=2.0)
    assert sink.send(messages(10)) == DELIVERED
    here.owner = owner = None
    outcome = sink.send(messages(10))
    sink.close()
    assert list(outcome.again) == list(range(10))
    assert outcome.because.startswith("Kafka: ")
