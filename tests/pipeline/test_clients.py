"""Client settings from a file, and topics that are made, found and looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from brokerlab.pipeline.clients import (
    PARTITIONS,
    Cluster,
    check_settings,
    ensure_topics,
    properties,
)
from brokerlab.pipeline.errors import PipelineError, UnreachableError
from brokerlab.pipeline.messages import Names
from confluent_kafka.admin import NewTopic
from queues import Queue


@pytest.mark.parametrize(
    "servers", ["", "localhost", "localhost:", ":9092", "a:0", "a:65536", "a:1,b"]
)
def test_what_is_no_address_is_refused(servers: str) -> None:
    with pytest.raises(PipelineError, match="give host:port"):
        Cluster(servers)


def test_a_properties_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "client.properties"
    file.write_text("# who we are\n\nsasl.username = me\nsasl.password=a=b#c\n! old\n")
    assert properties(file) == {"sasl.username": "me", "sasl.password": "a=b#c"}


def test_a_properties_file_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="cannot be read"):
        properties(tmp_path / "none")
    file = tmp_path / "client.properties"
    file.write_text("security.protocol\n")
    with pytest.raises(PipelineError, match=r"Line 1 of .* is no name=value"):
        properties(file)


def test_a_setting_that_the_client_does_not_know_is_one_sentence() -> None:
    with pytest.raises(PipelineError, match=r"no\.such\.setting.*client properties file"):
        Cluster("127.0.0.1:9092", {"no.such.setting": "x"}).producer()


def test_a_properties_file_cannot_weaken_the_promise() -> None:
    # acks=0 with idempotence would be refused by the client, had it got through.
    Cluster("127.0.0.1:9092", {"acks": "0", "enable.idempotence": "false"}).producer()


def test_nobody_there_is_one_sentence() -> None:
    with pytest.raises(UnreachableError, match=r"No broker of 127\.0\.0\.1:1 answers"):
        ensure_topics(Cluster("127.0.0.1:1"), Names(), patience=1)


@pytest.mark.cluster
def test_topics_are_made_safe_and_found_again(queue: Queue) -> None:
    assert ensure_topics(queue.cluster, queue.names) == []
    assert check_settings(queue.cluster, queue.names) == []
    topics = queue.cluster.admin().list_topics(timeout=10).topics
    names = queue.names
    for name, number in zip(names.topics, (PARTITIONS, PARTITIONS, 1, 1), strict=True):
        partitions = topics[name].partitions.values()
        assert len(partitions) == number
        assert all(len(one.replicas) == 3 for one in partitions)


@pytest.mark.cluster
def test_a_topic_with_few_partitions_or_copies_is_told_of(lab: Any) -> None:
    names, cluster = Names("odd"), Cluster.of(lab.bootstrap_servers, lab.client_file)
    admin = cluster.admin()
    admin.create_topics([NewTopic(names.requests, 2, 1)])[names.requests].result(10)
    try:
        odd = ensure_topics(cluster, names) + check_settings(cluster, names)
    finally:
        lab.delete_topics(*names.topics)
    assert [sentence.split(" so ")[0].split(":")[0] for sentence in odd] == [
        "odd-requests has 2 of 6 partitions,",
        "odd-requests keeps 1 of 3 copies,",
        "odd-requests has min.insync.replicas=1",
        "odd-requests takes records of 1048588 bytes at most,",
    ]
