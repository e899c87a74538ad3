"""The lock that comes with the package, and the list of classes beside it."""

from __future__ import annotations

import gzip
import re

import pytest
from brokerlab.distribution.archive import CLASS_LIST
from brokerlab.distribution.classlist import join
from brokerlab.distribution.jars import (
    KAFKA_VERSION,
    KAFKA_VERSION_2018,
    LOCK,
    lock_text,
    locked,
    read_lock,
)
from brokerlab.distribution.lock import LEFT_OUT, ROOTS

NOT_PUBLISHED = "org.apache.kafka:connect-basic-auth-extension:3.9.1"
"""Not to be had of Kafka's version: the one before."""
LICENCES = {
    "Apache-2.0",
    "MIT",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "EPL-2.0",
    "CDDL-1.0",
    "CDDL-1.1",
}
"""Of these each jar has one at least to be taken under."""


def test_every_line_is_one_jar_with_a_digest_and_a_licence() -> None:
    jars = read_lock(LOCK)
    assert len({jar.path for jar in jars}) == len(jars)
    for jar in jars:
        assert re.fullmatch("[0-9a-f]{64}", jar.sha256)
        assert jar.size > 0
        assert LICENCES & set(jar.licence.split(" OR ")), jar


def test_the_lock_holds_the_roots_and_nothing_that_is_left_out() -> None:
    for group, roots in ROOTS.items():
        assert set(roots) <= {jar.coordinate for jar in locked(group)}
        present = {jar.coordinate.rpartition(":")[0] for jar in locked(group)}
        assert not present & set(LEFT_OUT[group])


def test_nothing_of_connect_is_on_kafkas_class_path_already() -> None:
    kafka, connect = (
        {jar.coordinate.rpartition(":")[0] for jar in locked(group)}
        for group in ("kafka", "connect")
    )
    assert not kafka & connect


def test_every_jar_of_kafka_has_kafkas_version() -> None:
    for group, version in (
        ("kafka", KAFKA_VERSION),
        ("2018", KAFKA_VERSION_2018),
        ("connect", KAFKA_VERSION),
    ):
        versions = {
            jar.coordinate.rpartition(":")[2]
            for jar in locked(group)
            if jar.coordinate.startswith("org.apache.kafka:") and jar.coordinate != NOT_PUBLISHED
        }
        assert versions == {version}
    assert NOT_PUBLISHED in {jar.coordinate for jar in locked("connect")}


def test_a_lock_reads_as_it_was_written() -> None:
    assert lock_text(read_lock(LOCK)) == LOCK.read_text("utf-8")


def test_a_jar_lies_where_maven_repositories_put_it() -> None:
    path = next(jar.path for jar in locked("kafka") if ":kafka_2.13:" in jar.coordinate)
    assert path == f"org/apache/kafka/kafka_2.13/{KAFKA_VERSION}/kafka_2.13-{KAFKA_VERSION}.jar"


def test_class_lists_are_joined_as_java_takes_them() -> None:
    first = "# note\njava/lang/Object id: 0\nkafka/Kafka id: 7 super: 0\n@lambda-proxy b x\n"
    second = (
        "kafka/Kafka id: 9\n@lambda-form-invoker [LF] z\n@lambda-proxy a y\n@lambda-proxy b x\n"
    )
    assert join([first, second]) == (
        "java/lang/Object\nkafka/Kafka\n@lambda-proxy a y\n@lambda-proxy b x\n"
    )


@pytest.mark.parametrize(
    "main_class",
    [
        "kafka/Kafka",
        "org/apache/zookeeper/server/quorum/QuorumPeerMain",
        "org/apache/kafka/tools/TopicCommand",
        "org/apache/kafka/tools/consumer/ConsoleConsumer",
        "kafka/server/ReplicaFetcherThread",
    ],
)
def test_the_class_list_has_what_a_lab_runs(main_class: str) -> None:
    assert main_class in gzip.decompress(CLASS_LIST.read_bytes()).decode().splitlines()
