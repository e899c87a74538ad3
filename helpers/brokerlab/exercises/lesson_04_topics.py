"""Exercises of lesson 04: create a topic that survives a broker, translate four commands of 2018."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from brokerlab.exercises.engine import Exercise, Fact
from brokerlab.probes import Partition
from brokerlab.tools import TOOLS

TOPIC = "photos"
COPIES = 3
SECONDS = 4.0


def _partitions(lab: Any, topic: str) -> list[Partition]:
    metadata = lab.probe.metadata(SECONDS)
    if metadata is None:
        raise TimeoutError("no broker answered")
    return [partition for partition in metadata.partitions if partition.topic == topic]


def _admin(lab: Any) -> AdminClient:
    """Return an admin client; keep it in a variable until it has answered, or its answers die with it."""
    return AdminClient({**lab.client, "log_level": 0})


def min_insync(lab: Any, topic: str) -> tuple[str, bool]:
    """Return min.insync.replicas of a topic, and whether it is only the default."""
    resource = ConfigResource(ResourceType.TOPIC, topic)
    admin = _admin(lab)
    answers = admin.describe_configs([resource], request_timeout=SECONDS)
    entry = answers[resource].result(SECONDS)["min.insync.replicas"]
    return str(entry.value), bool(entry.is_default)


class CreatePhotos(Exercise):
    """The topic photos is there, in the shape that survives a broker."""

    title = "Create the topic photos"
    hints = (
        "One command does it all: `kafka-topics.sh --create`, with today's address option.",
        "It takes `--partitions` and `--replication-factor`; without them the brokers' defaults count.",
        "A topic's own settings are given as `--config name=value`.",
        "Created it wrongly? `--delete` it, and create it again.",
    )

    def attempted(self, lab: Any, answer: Any) -> bool:
        return lab.topic(TOPIC) in lab.topics()

    def facts(self, lab: Any, answer: Any) -> Iterator[Fact]:
        topic = lab.topic(TOPIC)
        partitions = _partitions(lab, topic)
        seen = len(partitions)
        yield Fact(
            f"{topic} has {COPIES} partitions",
            seen == COPIES,
            f"Expected {COPIES}, seen {seen}. {_on_partitions(seen)}",
        )
        brokers = sorted({len(set(partition.replicas)) for partition in partitions})
        yield Fact(
            "each partition has replicas on three brokers",
            brokers == [COPIES],
            f"Expected {COPIES} replicas of each partition, seen {', '.join(map(str, brokers)) or 'none'}. "
            "Without --replication-factor there is 1 copy, and --alter cannot add any: delete the topic "
            f"and create it again with --replication-factor {COPIES}.",
        )
        value, default = min_insync(lab, topic)
        where = "the default, so the setting was forgotten" if default else "set on the topic"
        yield Fact(
            "min.insync.replicas is 2",
            value == "2",
            f"Expected 2, seen {value} ({where}). Give --config min.insync.replicas=2 to --create; "
            "--describe shows what a topic has under Configs.",
        )


def _on_partitions(seen: int) -> str:
    if seen > COPIES:
        return "Partitions can be added, not removed: delete the topic and create it again."
    return (
        f"Without --partitions the default is 1. `--alter --partitions {COPIES}` adds the missing."
    )


COMMANDS_OF_2018 = {
    "create": "sh kafka-topics.sh --create --zookeeper localhost:2181 "
    "--replication-factor 1 --partitions 1 --topic {topic}",
    "describe": "sh kafka-topics.sh --describe --zookeeper localhost:2181 --topic {topic}",
    "alter": "sh kafka-topics.sh --zookeeper localhost:2181 --alter --topic {topic} --partitions 3",
    "offsets": "sh kafka-run-class.sh kafka.tools.GetOffsetShell --broker-list localhost:9092 "
    "--topic {topic} --time -1",
}

PLACEHOLDER = "{topic}"
TOOL_SECONDS = 20.0

TOPICS, OFFSETS, RUN_CLASS = "kafka-topics.sh", "kafka-get-offsets.sh", "kafka-run-class.sh"
OFFSET_CLASSES = ("kafka.tools.GetOffsetShell", "org.apache.kafka.tools.GetOffsetShell")
ALLOWED_TOOLS = {
    "create": (TOPICS,),
    "describe": (TOPICS,),
    "alter": (TOPICS,),
    "offsets": (OFFSETS, RUN_CLASS),
}
ADDRESSES = ("--bootstrap-server", "--broker-list")
WITH_VALUE = {*ADDRESSES, "--zookeeper", "--topic", "--partitions", "--replication-factor"}
# Whole names only: Kafka's parser also takes the beginning of a name, --del for --delete.
OPTIONS = {
    "create": (WITH_VALUE | {"--config"}, {"--create", "--if-not-exists"}),
    "describe": (WITH_VALUE, {"--describe"}),
    "alter": (WITH_VALUE, {"--alter", "--if-exists"}),
    "offsets": ({*ADDRESSES, "--topic", "--time"}, set[str]()),
}


@dataclass(frozen=True)
class Ran:
    """How a command went: its exit code, None if it was not run or not to the end, and what it said."""

    exit_code: int | None
    lines: tuple[str, ...]

    @property
    def said(self) -> str:
        return self.lines[0] if self.lines else "nothing"


class NotRun(Exception):
    """The check does not run this command; the sentence says why."""


class Translate(Exercise):
    """Each of the learner's commands is executed on a topic of the check's own, which is deleted again."""

    title = "Translate four commands of 2018"
    hints = (
        "Three of the four need one option changed: who is asked, and at which address?",
        "`--zookeeper localhost:2181` becomes `--bootstrap-server localhost:9092`.",
        "The class of the fourth has a script of its own now, and its name says what it gets.",
        "Leave `{topic}` as it is: the check puts in the name of a topic of its own.",
    )
    answer_type = dict
    patience = 0.0
    deadline = 90.0

    def attempted(self, lab: Any, answer: Any) -> bool:
        return any(
            answer.get(name, ...) not in (..., command)
            for name, command in COMMANDS_OF_2018.items()
        )

    def facts(self, lab: Any, answer: Any) -> Iterator[Fact]:
        topic = lab.topic(f"translated-{uuid.uuid4().hex[:8]}")
        admin = _admin(lab)
        try:
            for name, text, judge in STEPS:
                if name != "create" and not _partitions(lab, topic):
                    # A create that failed must not fail the other three.
                    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(SECONDS)
                    _wait_for_partitions(lab, topic, 1)
                yield _fact(lab, topic, answer, name, text, judge)
        finally:
            lab.delete_topics(topic)


def _fact(
    lab: Any, topic: str, commands: Mapping[Any, Any], name: str, text: str, judge: Judge
) -> Fact:
    try:
        ran = _run(lab, name, commands.get(name, ...), topic)
    except NotRun as refusal:
        return Fact(text, False, str(refusal))
    if ran.exit_code != 0:
        return Fact(text, False, _advice(ran, name, commands[name]))
    ok, advice = judge(lab, topic, ran)
    return Fact(text, ok, f"It ran, but {advice}")


def _judge_created(lab: Any, topic: str, ran: Ran) -> tuple[bool, str]:
    partitions = _wait_for_partitions(lab, topic, 1)
    replicas = len(partitions[0].replicas) if partitions else 0
    return (len(partitions), replicas) == (1, 1), (
        f"the topic has {len(partitions)} partition(s) with {replicas} replica(s) each: "
        "a translation keeps the numbers, 1 and 1."
    )


def _judge_described(lab: Any, topic: str, ran: Ran) -> tuple[bool, str]:
    told = any(line.startswith(f"Topic: {PLACEHOLDER}\t") for line in ran.lines)
    return told, "no line begins with the topic's name: is --describe there?"


def _judge_altered(lab: Any, topic: str, ran: Ran) -> tuple[bool, str]:
    seen = len(_wait_for_partitions(lab, topic, 3))
    return seen == 3, f"the topic has {seen} partition(s), not 3: is --partitions 3 there?"


def _judge_offsets(lab: Any, topic: str, ran: Ran) -> tuple[bool, str]:
    lines = {f"{PLACEHOLDER}:{partition.id}:0" for partition in _partitions(lab, topic)}
    return set(ran.lines) == lines, (
        f"it printed {len(ran.lines)} line(s) instead of {len(lines)}, one a partition, such as "
        f"{PLACEHOLDER}:0:0."
    )


Judge = Callable[[Any, str, Ran], tuple[bool, str]]
"""Looks at the cluster and at what a command said: is it as it should be, and if not, what is wrong."""

STEPS: tuple[tuple[str, str, Judge], ...] = (
    ("create", "create makes a topic with 1 partition and 1 replica", _judge_created),
    ("describe", "describe tells the topic's partitions", _judge_described),
    ("alter", "alter leaves the topic with 3 partitions", _judge_altered),
    ("offsets", "offsets prints one line for each partition", _judge_offsets),
)


def _advice(ran: Ran, name: str, command: str) -> str:
    """Say what was wrong with a command that did not end well."""
    if ran.exit_code is None:
        return f"It had not ended after {TOOL_SECONDS:g} s: is the address a broker's?"
    said = f"It ended with exit code {ran.exit_code} and said: {ran.said}."
    words = _words(command)
    if "--zookeeper" in words:
        return (
            f"{said} Kafka 3.0 removed --zookeeper from its tools (KIP-604): they ask a broker, "
            "with --bootstrap-server and a broker's address."
        )
    if OFFSET_CLASSES[0] in words:
        return f"{said} The class has moved, and has a script of its own now: {OFFSETS}."
    return f"{said} `{ALLOWED_TOOLS[name][0]} --help` lists the options."


def _wait_for_partitions(lab: Any, topic: str, count: int) -> list[Partition]:
    """Return the topic's partitions, after a moment at most in which its metadata can spread."""
    limit = time.monotonic() + SECONDS
    while len(seen := _partitions(lab, topic)) < count and time.monotonic() < limit:
        time.sleep(0.05)
    return seen


def _run(lab: Any, name: str, command: Any, topic: str) -> Ran:
    """Run one of the learner's commands on `topic`, whose name is not to be seen in what it says."""
    tool, arguments = _accepted(lab, name, command)
    python = [sys.executable, "-P", "-m", "brokerlab.tools", tool]
    try:
        done = subprocess.run(
            [*python, *(word.replace(PLACEHOLDER, topic) for word in arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=TOOL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return Ran(None, ())
    return Ran(done.returncode, tuple(done.stdout.replace(topic, PLACEHOLDER).splitlines()))


def _accepted(lab: Any, name: str, command: Any) -> tuple[str, list[str]]:
    """Return tool and arguments of a command that the check may run.

    Raises
    ------
    NotRun
        It is none of the lab's tools, or it could touch more than the check's own topic.
    """
    if command is ... or command == "":
        raise NotRun("There is no command yet.")
    if not isinstance(command, str):
        raise NotRun(f"It is {type(command).__name__}, not text: write the command in quotes.")
    words = _words(command)
    tool, arguments = (PurePosixPath(words[0]).name, words[1:]) if words else ("", [])
    if tool not in ALLOWED_TOOLS[name]:
        known = "is a tool, but not the one for this" if tool in TOOLS else "is no tool of today's"
        raise NotRun(f"{tool or 'Nothing'} {known}. Not run: begin with {ALLOWED_TOOLS[name][0]}.")
    rest = arguments
    if tool == RUN_CLASS:
        if arguments[:1] not in ([OFFSET_CLASSES[0]], [OFFSET_CLASSES[1]]):
            raise NotRun(f"Not run: {RUN_CLASS} may only run {OFFSET_CLASSES[1]} here.")
        rest = arguments[1:]
    _check_options(name, rest, _addresses(lab))
    return tool, arguments


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError:
        raise NotRun("A quotation mark is open. Not run: close it.") from None
    words = words[1:] if words[:1] == ["sh"] else words
    split: list[str] = []
    for word in words:
        split += word.split("=", 1) if word.startswith("--") else [word]
    return split


def _addresses(lab: Any) -> set[str]:
    given = lab.bootstrap_servers.split(",")
    return {*given, *(address.replace("127.0.0.1", "localhost") for address in given)}


def _check_options(name: str, words: Sequence[str], addresses: set[str]) -> None:
    with_value, alone = OPTIONS[name]
    given: dict[str, str] = {}
    left = iter(words)
    for word in left:
        if word in alone:
            continue
        if word == "--delete":
            raise NotRun("Not run: --delete would delete a topic, and none of the four does.")
        if word not in with_value:
            kind = "option" if word.startswith("-") else "word"
            raise NotRun(
                f"Not run: the {kind} {word} is not needed for {name}. One command, no shell around it."
            )
        if word in given:
            raise NotRun(f"Not run: {word} is there twice.")
        given[word] = next(left, "")
    if given.get("--topic") != PLACEHOLDER:
        raise NotRun(
            f"Not run: write --topic {PLACEHOLDER}, exactly so. The check puts in a topic of its own and touches no other."
        )
    for option in ADDRESSES:
        wrong = set(given.get(option, "").split(",")) - addresses - {""}
        if wrong:
            raise NotRun(
                f"Not run: {option} names {', '.join(sorted(wrong))}, where no broker of this lab is. "
                "lab.bootstrap_servers holds their addresses."
            )


EXERCISES = [CreatePhotos(), Translate()]
