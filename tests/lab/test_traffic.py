"""A steady stream with a ledger, and the ledger beside the log."""

from __future__ import annotations

import time

import pytest
from brokerlab.errors import SettingError
from brokerlab.records import records
from brokerlab.traffic import Traffic
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

pytestmark = pytest.mark.cluster
TOPIC = "traffic-test"


@pytest.fixture
def topic(lab):
    lab.delete_topics(TOPIC)
    admin = AdminClient(lab.client)
    admin.create_topics([NewTopic(TOPIC, 3, 3)])[TOPIC].result(10)
    yield TOPIC
    lab.delete_topics(TOPIC)


def test_everything_that_was_acknowledged_is_in_the_log(lab, topic):
    traffic = Traffic(lab, topic, per_second=500)
    until(lambda: len(traffic.ledger.acknowledged) >= 300)
    outcome = traffic.outcome()
    ledger = traffic.ledger
    assert ledger.sent == len(ledger.acknowledged) == outcome.in_log >= 300
    assert (outcome.lost, outcome.duplicated, outcome.surprises) == ((), (), ())
    assert not traffic.running and ledger.waiting == 0
    assert len(records(lab, topic)) == ledger.sent


def test_the_outcome_finds_what_is_missing_and_what_is_twice(lab, topic):
    """The negative control: the ledger is told of messages that the log does not hold."""
    traffic = Traffic(lab, topic, per_second=200)
    until(lambda: len(traffic.ledger.acknowledged) >= 50)
    traffic.stop()
    traffic._acknowledged += [1_000_001, 1_000_002]
    again = Producer(lab.client)
    for text in ("photo 7", "photo 2000000", "someone else's 7"):
        again.produce(topic, text)
    assert again.flush(10) == 0
    outcome = traffic.outcome()
    assert outcome.lost == (1_000_001, 1_000_002)
    assert outcome.duplicated == (7,)
    assert outcome.surprises == (2_000_000,)


def test_a_topic_that_is_being_written_can_be_read(lab, topic):
    traffic = Traffic(lab, topic, per_second=1000)
    until(lambda: len(traffic.ledger.acknowledged) >= 300)
    before = len(traffic.ledger.acknowledged)
    seen = records(lab, topic, seconds=5)
    assert traffic.running and len(seen) >= before
    traffic.stop()


def test_a_stream_of_so_many_ends_by_itself_and_tells_how_long_acknowledgements_took(lab, topic):
    traffic = Traffic(lab, topic, per_second=1000, count=250)
    until(lambda: len(traffic.ledger.acknowledged) == 250)
    assert 0 < traffic.ledger.p99 < 60
    assert traffic.outcome().in_log == traffic.ledger.sent == 250


def test_one_partition_only(lab, topic):
    traffic = Traffic(lab, topic, per_second=200, partition=2)
    until(lambda: len(traffic.ledger.acknowledged) >= 20)
    assert traffic.outcome().lost == ()
    assert {record.partition for record in records(lab, topic)} == {2}
    assert set(traffic.ledger.gaps) == {2}


def test_messages_that_cannot_be_delivered_are_counted_with_their_error(lab, topic):
    settings = {"bootstrap.servers": "127.0.0.1:1", "message.timeout.ms": 500}
    traffic = Traffic(lab, topic, per_second=100, settings=settings)
    until(lambda: bool(traffic.ledger.failed))
    ledger = traffic.stop()
    assert ledger.acknowledged == () and ledger.gap > 0
    assert sum(ledger.failed.values()) == ledger.sent
    assert set(ledger.failed) == {"_MSG_TIMED_OUT"}


def test_a_full_local_queue_is_counted(lab, topic):
    settings = {
        "bootstrap.servers": "127.0.0.1:1",
        "message.timeout.ms": 2000,
        "queue.buffering.max.messages": 10,
    }
    traffic = Traffic(lab, topic, per_second=200, settings=settings)
    until(lambda: traffic.ledger.refused > 0)
    assert traffic.ledger.waiting <= 10
    traffic.stop()


@pytest.mark.parametrize("rate", [0, -5, 1e9, float("nan")])
def test_an_impossible_rate_is_refused(lab, rate):
    with pytest.raises(SettingError, match="choose from 1 to 2000"):
        Traffic(lab, TOPIC, per_second=rate)


def test_settings_that_no_producer_takes_are_refused(lab):
    with pytest.raises(SettingError, match="A producer cannot be made with these settings"):
        Traffic(lab, TOPIC, settings={"akcs": "all"})


def until(true, limit=20.0):
    end = time.monotonic() + limit
    while not true():
        assert time.monotonic() < end, f"not true within {limit} s"
        time.sleep(0.02)
