from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from brokerlab.exercises import load
from brokerlab.exercises.lesson_04_topics import COMMANDS_OF_2018
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

pytestmark = pytest.mark.cluster

LESSON = "04_topics"


@pytest.fixture
def clean(lab: Any) -> Iterator[Any]:
    lab.delete_topics("photos")
    before = own_topics(lab)
    yield lab
    lab.delete_topics("photos")
    assert own_topics(lab) == before


def own_topics(lab: Any) -> set[str]:
    return {name for name in lab.topics() if not name.startswith("__")}


@pytest.fixture
def today(lab: Any) -> dict[str, str]:
    server = f"localhost:{lab.brokers[1].port}"
    asks = f"kafka-topics.sh --bootstrap-server {server} --topic {{topic}}"
    return {
        "create": f"{asks} --create --replication-factor 1 --partitions 1",
        "describe": f"sh {asks} --describe",
        "alter": f"{asks} --alter --partitions=3",
        "offsets": f"kafka-get-offsets.sh --bootstrap-server {server} --topic {{topic}} --time -1",
    }


def create(lab: Any, partitions: int, replicas: int, config: dict[str, str] | None = None) -> None:
    """Create photos; the cluster may still be busy forgetting the one before."""
    admin = AdminClient({**lab.client, "log_level": 0})
    limit = time.monotonic() + 15
    while True:
        try:
            topic = NewTopic("photos", partitions, replicas, config=config)
            admin.create_topics([topic])["photos"].result(10)
            return
        except KafkaException as error:
            if error.args[0].name() != "TOPIC_ALREADY_EXISTS" or time.monotonic() > limit:
                raise
            time.sleep(0.05)


def test_photos_untouched(clean: Any) -> None:
    assert load(LESSON, clean)[1].check().status == "not attempted"


@pytest.mark.parametrize(
    ("partitions", "replicas", "config", "advice"),
    [
        (1, 3, {"min.insync.replicas": "2"}, "`--alter --partitions 3` adds the missing"),
        (4, 3, {"min.insync.replicas": "2"}, "can be added, not removed"),
        (3, 1, {"min.insync.replicas": "2"}, "--replication-factor 3"),
        (3, 3, {}, "Expected 2, seen 1 (the default, so the setting was forgotten)"),
        (3, 3, {"min.insync.replicas": "3"}, "Expected 2, seen 3 (set on the topic)"),
    ],
)
def test_photos_with_one_mistake(
    clean: Any, partitions: int, replicas: int, config: dict[str, str], advice: str
) -> None:
    create(clean, partitions, replicas, config)
    report = load(LESSON, clean)[1].check()
    assert report.status == "not yet"
    assert [fact.ok for fact in report.facts].count(False) == 1
    assert advice in repr(report)


def test_photos_as_asked(clean: Any) -> None:
    create(clean, 3, 3, {"min.insync.replicas": "2"})
    question = load(LESSON, clean)[1]
    question.assert_passed()
    question.assert_passed()


@pytest.mark.parametrize("answer", [dict(COMMANDS_OF_2018), {}, {"create": ...}])
def test_commands_untouched(clean: Any, answer: dict[str, Any]) -> None:
    assert load(LESSON, clean)[2].check(answer).status == "not attempted"


def test_commands_translated_any_number_of_times(clean: Any, today: dict[str, str]) -> None:
    question = load(LESSON, clean)[2]
    question.assert_passed(today)
    question.assert_passed(today)


def test_commands_that_still_ask_zookeeper(clean: Any, today: dict[str, str]) -> None:
    answer = COMMANDS_OF_2018 | {"describe": today["describe"]}
    ports = {"2181": str(clean.zookeeper.port), "9092": str(clean.brokers[1].port)}
    for name, command in answer.items():
        for articles, labs in ports.items():
            command = command.replace(f"localhost:{articles}", f"localhost:{labs}")
        answer[name] = command
    report = load(LESSON, clean)[2].check(answer)
    assert report.status == "not yet"
    assert [fact.ok for fact in report.facts] == [False, True, False, False]
    said = repr(report)
    assert said.count("said: zookeeper is not a recognized option") == 2
    assert "Kafka 3.0 removed --zookeeper from its tools (KIP-604)" in said
    assert "has a script of its own now: kafka-get-offsets.sh" in said


def test_commands_that_do_something_else(clean: Any, today: dict[str, str]) -> None:
    answer = {
        "create": today["create"].replace("--partitions 1", "--partitions 2"),
        "describe": today["describe"].replace("--describe", ""),
        "alter": today["alter"].replace("=3", " 2"),
        "offsets": "kafka-run-class.sh org.apache.kafka.tools.GetOffsetShell "
        + today["offsets"].split(maxsplit=1)[1],
    }
    report = load(LESSON, clean)[2].check(answer)
    assert [fact.ok for fact in report.facts] == [False, False, False, True]
    assert "has 2 partition(s) with 1 replica(s) each" in report.facts[0].advice
    assert "exit code 1" in report.facts[1].advice
    assert "Topic already has 2 partitions" in report.facts[2].advice


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        ("kafka-topics.sh --bootstrap-server SERVER --delete --topic {topic}", "--delete would"),
        ("kafka-topics.sh --bootstrap-server SERVER --del --topic {topic}", "the option --del"),
        ("kafka-topics.sh --bootstrap-server SERVER --alter --topic photos", "touches no other"),
        ("kafka-topics.sh --bootstrap-server SERVER --alter --topic=.*", "touches no other"),
        ("kafka-topics.sh --bootstrap-server SERVER --alter", "write --topic {topic}"),
        (
            "kafka-topics.sh --alter --topic {topic} --topic photos --bootstrap-server SERVER",
            "--topic is there twice",
        ),
        ("kafka-topics.sh --bootstrap-server example.org:9092 --topic {topic}", "example.org:9092"),
        (
            "kafka-topics.sh --bootstrap-server SERVER --topic {topic} --alter | tee x",
            "the word | is not needed",
        ),
        (
            "kafka-topics-2.8.2.sh --zookeeper localhost:2181 --topic {topic} --alter",
            "is a tool, but not the one for this",
        ),
        ("rm -rf x", "rm is no tool of today's"),
        ("kafka-topics.sh --topic '{topic}", "A quotation mark is open"),
        ("sh", "Nothing is no tool of today's"),
        (7, "It is int, not text"),
    ],
)
def test_commands_that_are_not_run(
    clean: Any, today: dict[str, str], command: Any, advice: str
) -> None:
    if isinstance(command, str):
        command = command.replace("SERVER", f"localhost:{clean.brokers[1].port}")
    report = load(LESSON, clean)[2].check({"alter": command})
    assert report.status == "not yet"
    assert [fact.advice for fact in report.facts if "There is no command yet" in fact.advice]
    assert advice in report.facts[2].advice


def test_only_the_class_of_the_article_is_run(clean: Any, today: dict[str, str]) -> None:
    report = load(LESSON, clean)[2].check({"offsets": "kafka-run-class.sh kafka.Kafka"})
    assert "may only run org.apache.kafka.tools.GetOffsetShell" in report.facts[3].advice
