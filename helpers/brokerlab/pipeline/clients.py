"""Kafka clients for any cluster: bootstrap servers, a client properties file, and the topics made and checked.

A properties file is what a cluster's owner hands out (`security.protocol`, `sasl.mechanism`, `sasl.username`, ...). It may
set anything but what the queue's promise rests on: acknowledgements, idempotence and commits are set here, and win.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from brokerlab.pipeline.errors import PipelineError, TopicError, UnreachableError
from brokerlab.pipeline.messages import MOST_BYTES, Names

PARTITIONS = 6
"""Requests are spread over six partitions: 2, 3 and 6 workers share them evenly, and a seventh would idle.

What comes back has one partition: one database takes it, and its batches stay whole."""
COPIES = 3
PATIENCE = 15.0
_ROOM = 250_000
"""Bytes for what a record carries beside the picture."""
LARGEST_RECORD = MOST_BYTES + _ROOM

HOPELESS = frozenset(
    {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE, KafkaError.INVALID_RECORD}
)
"""What is said of a record that the brokers will never take, however often it is sent."""

_SILENT = logging.getLogger("brokerlab.pipeline.clients")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Cluster:
    """How to reach a Kafka cluster.

    Attributes
    ----------
    bootstrap_servers
        ``host:port``, several with commas between.
    properties
        More client settings, as librdkafka names them; not shown, since a password may be among them.
    """

    bootstrap_servers: str
    properties: Settings = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for server in self.bootstrap_servers.split(","):
            host, _, port = server.strip().rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) < 65536:
                raise PipelineError(
                    f"{server.strip()!r} is no bootstrap server: give host:port, as in localhost:9092."
                )

    @classmethod
    def of(cls, bootstrap_servers: str, file: Path | None = None) -> Cluster:
        """Return a cluster with the settings of a client properties file.

        Raises
        ------
        PipelineError
            The file cannot be read, or the servers are no ``host:port``.
        """
        return cls(bootstrap_servers, properties(file) if file else {})

    def producer(self, settings: Settings | None = None) -> Producer:
        """Return a producer that loses nothing, sends nothing twice while it lives, and never gives up by itself."""
        return self._client(
            Producer,
            {
                "acks": "all",
                "enable.idempotence": True,
                # Without end: to give up on a record is to lose it.
                "message.timeout.ms": 0,
                "linger.ms": 1,
                "message.max.bytes": LARGEST_RECORD,
                **(settings or {}),
            },
        )

    def consumer(self, group: str, settings: Settings | None = None) -> Consumer:
        """Return a consumer that commits nothing by itself, reads from the beginning, and fetches little ahead."""
        return self._client(
            Consumer,
            {
                "group.id": group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                # Cooperative-sticky counts partitions and not topics: of two workers one may get every request,
                # and the other every retry. This one deals each topic out evenly.
                "partition.assignment.strategy": "roundrobin",
                "queued.min.messages": 50,
                "queued.max.messages.kbytes": 4096,
                # Once so many wait, the next fetch is put off: by a second, unless told otherwise, in which a fast
                # worker runs dry.
                "fetch.queue.backoff.ms": 20,
                "fetch.message.max.bytes": 1_048_576,
                **(settings or {}),
            },
        )

    def admin(self) -> AdminClient:
        """Return an admin client."""
        return self._client(AdminClient, {})

    def _client(self, kind: Callable[..., Any], settings: Settings) -> Any:
        try:
            return kind(
                {
                    **_QUICK,
                    **self.properties,
                    "bootstrap.servers": self.bootstrap_servers,
                    **settings,
                },
                logger=_SILENT,
            )
        except KafkaException as trouble:
            raise PipelineError(
                f"The Kafka client does not take its settings ({plain(trouble.args[0])}): correct the client properties file."
            ) from None


_QUICK: Settings = {
    # A broker that comes back is found within a fifth of a second instead of ten.
    "reconnect.backoff.ms": 20,
    "reconnect.backoff.max.ms": 200,
    "socket.timeout.ms": 10_000,
    "topic.metadata.refresh.interval.ms": 10_000,
    "log_level": 0,
}


def properties(file: Path) -> dict[str, str]:
    """Read a client properties file.

    Raises
    ------
    PipelineError
        It cannot be read, or a line of it is no ``name=value``.
    """
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise PipelineError(
            f"The client properties file {file} cannot be read: give one that exists and is text."
        ) from None
    found = {}
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text[0] in "#!":
            continue
        name, is_there, value = text.partition("=")
        if not is_there or not name.strip():
            raise PipelineError(f"Line {number} of {file} is no name=value: correct it.")
        found[name.strip()] = value.strip()
    return found


@dataclass(frozen=True)
class _Wanted:
    name: str
    partitions: int
    settings: Mapping[str, str]


def _wanted(names: Names) -> tuple[_Wanted, ...]:
    pictures = {"max.message.bytes": str(LARGEST_RECORD)}
    return (
        _Wanted(names.requests, PARTITIONS, pictures),
        _Wanted(names.retries, PARTITIONS, pictures),
        _Wanted(names.results, 1, {}),
        _Wanted(names.dead_letters, 1, pictures),
    )


def ensure_topics(cluster: Cluster, names: Names, patience: float = PATIENCE) -> list[str]:
    """Make the topics that are missing and look at those that are there; return what is odd, a sentence each.

    A topic with another number of partitions or copies than this would make still works, so that is said and not
    refused: it may be the owner's choice.

    Raises
    ------
    UnreachableError
        No broker answered within `patience` seconds.
    TopicError
        A topic is missing and could not be made.
    """
    admin = cluster.admin()
    deadline = time.monotonic() + patience
    while True:
        metadata = _metadata(admin, cluster, deadline)
        missing = [wanted for wanted in _wanted(names) if wanted.name not in metadata.topics]
        if not missing and (_led(names, metadata) or time.monotonic() >= deadline):
            return _oddities(names, metadata)
        refusal = _make(admin, missing, len(metadata.brokers), deadline) if missing else ""
        if missing and time.monotonic() >= deadline:
            raise TopicError(
                f"The topics {', '.join(one.name for one in missing)} are missing and could not be made"
                f" ({refusal}): let the cluster's owner make them."
            )
        time.sleep(0.05)  # a broker hears of a new topic a moment after it is made


def check_settings(cluster: Cluster, names: Names, patience: float = PATIENCE) -> list[str]:
    """Look at the topics' settings; return what endangers the promise, a sentence each.

    Raises
    ------
    UnreachableError
        They were not told within `patience` seconds.
    """
    admin = cluster.admin()
    asked = admin.describe_configs(
        [ConfigResource(ResourceType.TOPIC, name) for name in names.topics],
        request_timeout=patience,
    )
    odd = []
    for resource, answer in asked.items():
        try:
            found = {name: entry.value for name, entry in answer.result(patience + 1).items()}
        except (KafkaException, TimeoutError):
            raise UnreachableError(
                f"The settings of {resource.name} were not told: is every broker of {cluster.bootstrap_servers} running?"
            ) from None
        if int(found["min.insync.replicas"]) < 2:
            odd.append(
                f"{resource.name} has min.insync.replicas={found['min.insync.replicas']}: an acknowledged record is on one"
                " broker's disk only, and lost with it. Set 2."
            )
        if found["unclean.leader.election.enable"] == "true":
            odd.append(
                f"{resource.name} allows unclean leader elections, which lose acknowledged records. Set it to false."
            )
        if found["cleanup.policy"] != "delete":
            odd.append(
                f"{resource.name} has cleanup.policy={found['cleanup.policy']}: the audit needs every record. Set delete."
            )
        if resource.name != names.results and int(found["max.message.bytes"]) < LARGEST_RECORD:
            odd.append(
                f"{resource.name} takes records of {found['max.message.bytes']} bytes at most, so larger pictures become dead"
                f" letters. Set max.message.bytes={LARGEST_RECORD}."
            )
    return odd


def _metadata(admin: AdminClient, cluster: Cluster, deadline: float) -> Any:
    while True:
        try:
            # Without a name: to ask for a topic by name may make it, with the cluster's defaults.
            return admin.list_topics(timeout=max(0.5, min(3.0, deadline - time.monotonic())))
        except KafkaException as trouble:
            if time.monotonic() >= deadline:
                raise UnreachableError(
                    f"No broker of {cluster.bootstrap_servers} answers ({trouble.args[0].name()}):"
                    " start the cluster, or correct the address."
                ) from None


def _led(names: Names, metadata: Any) -> bool:
    return all(
        partition.leader >= 0
        for name in names.topics
        for partition in metadata.topics[name].partitions.values()
    )


def _make(admin: AdminClient, missing: list[_Wanted], brokers: int, deadline: float) -> str:
    copies = min(COPIES, brokers)
    news = [
        NewTopic(
            one.name,
            num_partitions=one.partitions,
            replication_factor=copies,
            config={"min.insync.replicas": str(max(1, copies - 1)), **one.settings},
        )
        for one in missing
    ]
    seconds = max(1.0, min(5.0, deadline - time.monotonic()))
    refusal = "they do not appear"
    for answer in admin.create_topics(
        news, operation_timeout=seconds, request_timeout=seconds
    ).values():
        try:
            answer.result(seconds + 1)
        except KafkaException as trouble:
            if trouble.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                refusal = plain(trouble.args[0])
        except TimeoutError:
            refusal = "no answer in time"
    return refusal


def _oddities(names: Names, metadata: Any) -> list[str]:
    odd = []
    copies = min(COPIES, len(metadata.brokers))
    for wanted in _wanted(names):
        partitions = metadata.topics[wanted.name].partitions
        if wanted.name in (names.requests, names.retries) and len(partitions) < wanted.partitions:
            odd.append(
                f"{wanted.name} has {len(partitions)} of {wanted.partitions} partitions, so no more workers than that can share"
                f" the work: kafka-topics.sh --alter --topic {wanted.name} --partitions {wanted.partitions} adds some."
            )
        fewest = min((len(one.replicas) for one in partitions.values()), default=0)
        if fewest < copies:
            odd.append(
                f"{wanted.name} keeps {fewest} of {copies} copies, so that losing a broker may lose pictures:"
                " make it anew, or let the cluster's owner reassign its replicas."
            )
    return odd


def plain(error: KafkaError) -> str:
    """Return what an error says, as the end of a sentence."""
    return re.sub(r"\s+", " ", error.str() or error.name()).strip(" .")
