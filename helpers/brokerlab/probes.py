"""Questions to the cluster in its own protocols.

Whether a node is *usable* is decided by its answers alone: never by a log line, an open port or a pause.
"""

from __future__ import annotations

import logging
import re
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from brokerlab.topology import HOST

ASK_SECONDS = 0.5
GIVEN_UP_SECONDS = 2.1
"""Within these a client has given up a frozen broker: after its time-out of 1 s, which it looks at once a second."""

FREEZE_SECONDS = 3.0
"""Within these somebody has answered, even if a frozen broker was asked first."""

_SILENT = logging.getLogger("brokerlab.clients")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


def four_letter(port: int, command: str, timeout: float = 1.0) -> str | None:
    """Send ZooKeeper a four-letter command; return its answer, or None when there is none.

    Parameters
    ----------
    timeout : float
        Seconds.
    """
    try:
        with socket.create_connection((HOST, port), timeout=timeout) as connection:
            if connection.getsockname() == connection.getpeername():
                return None
            connection.sendall(command.encode())
            answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    except OSError:
        return None
    return answer.decode("utf-8", "replace") or None


def zookeeper_serves(port: int) -> bool:
    """Whether ZooKeeper on this port answers that it is serving."""
    return "Mode:" in (four_letter(port, "srvr") or "")


def registered_brokers(zookeeper_port: int) -> frozenset[int] | None:
    """Return the ids of the brokers that hold their ephemeral znode, or None when ZooKeeper is silent."""
    answer = four_letter(zookeeper_port, "dump")
    if answer is None:
        return None
    return frozenset(int(number) for number in re.findall(r"/brokers/ids/(\d+)\b", answer))


def heard_from(zookeeper_port: int, broker: int) -> frozenset[str]:
    """Return what ZooKeeper has heard so far through the session that holds the znode of a broker.

    Any text that is new since an earlier call is a sign of life: a znode alone is none, since it outlives its
    broker until the session has expired. Empty when there is no such znode, or nobody is connected for it.
    """
    owner = re.search(
        rf"(0x[0-9a-f]+):\n(?:\t.*\n)*?\t/brokers/ids/{broker}\n",
        four_letter(zookeeper_port, "dump") or "",
    )
    if owner is None:
        return frozenset()
    lines = re.findall(
        rf"^ (\S+)\[.*\brecved=(\d+).*\bsid={owner[1]},",
        four_letter(zookeeper_port, "cons") or "",
        re.MULTILINE,
    )
    return frozenset(f"{owner[1]} at {address}: {count}" for address, count in lines)


@dataclass(frozen=True)
class Partition:
    """A partition as the brokers describe it; `leader` is None while it has none."""

    topic: str
    id: int
    leader: int | None
    replicas: tuple[int, ...]
    isr: tuple[int, ...]


@dataclass(frozen=True)
class Metadata:
    """What the brokers say of the cluster: who is in it, who is controller, every partition.

    `addresses` tells where clients find each broker, as ``host:port`` by broker id.
    """

    cluster_id: str | None
    brokers: frozenset[int]
    controller: int | None
    partitions: tuple[Partition, ...]
    addresses: Mapping[int, str]


class KafkaProbe:
    """Asks the brokers, with clients that are kept.

    It asks by metadata request and by consumer only. The admin client's requests to a chosen broker
    (``describe_cluster``, ``list_consumer_group_offsets``) can abort the whole process, with an assertion
    in librdkafka, while brokers of a ZooKeeper-mode cluster come and go.
    """

    def __init__(self, client: Mapping[str, Any]) -> None:
        self.bootstrap_servers: str = client["bootstrap.servers"]
        self._settings: dict[str, Any] = {
            **client,
            # The client keeps asking the broker that answered last; a frozen one is given up after this.
            "socket.timeout.ms": 1000,
            "reconnect.backoff.ms": 20,
            "reconnect.backoff.max.ms": 200,
            "topic.metadata.refresh.interval.ms": -1,
            "log_level": 0,
        }

    @cached_property
    def _admin(self) -> Any:
        from confluent_kafka.admin import AdminClient

        return AdminClient(self._settings, logger=_SILENT)

    def metadata(self, timeout: float = 1.0) -> Metadata | None:
        """Return the cluster's metadata, or None when no broker answered in `timeout` seconds.

        When the broker that is asked has just been frozen, another one answers after `FREEZE_SECONDS` at most.
        """
        answer = self._ask(timeout)
        if answer is None:
            return None
        partitions = tuple(
            Partition(
                topic=name,
                id=number,
                leader=_known(partition.leader),
                replicas=tuple(partition.replicas),
                isr=tuple(partition.isrs),
            )
            for name, topic in sorted(answer.topics.items())
            for number, partition in sorted(topic.partitions.items())
        )
        return Metadata(
            cluster_id=answer.cluster_id,
            brokers=frozenset(answer.brokers),
            controller=_known(answer.controller_id),
            partitions=partitions,
            addresses={number: f"{b.host}:{b.port}" for number, b in answer.brokers.items()},
        )

    def _ask(self, timeout: float) -> Any:
        from confluent_kafka import KafkaException

        begun = time.monotonic()
        while (left := begun + timeout - time.monotonic()) > 0:
            # A question stays with its broker, whatever becomes of that: so it is asked anew, again and again.
            # Once a frozen one must have been given up, who has not answered is slow, and gets the time.
            frozen = time.monotonic() - begun < GIVEN_UP_SECONDS
            with suppress(KafkaException):
                return self._admin.list_topics(timeout=min(left, ASK_SECONDS) if frozen else left)
        return None

    def coordinator_answers(self, timeout: float = 0.3) -> bool:
        """Whether a group coordinator answers; asking makes Kafka create its offsets topic."""
        from confluent_kafka import Consumer, KafkaException, TopicPartition

        # A new client each time: one that has met a missing coordinator waits a second before it asks again.
        group = {"group.id": "brokerlab-ready", "enable.auto.commit": False}
        member = Consumer({**self._settings, **group}, logger=_SILENT)
        try:
            member.committed([TopicPartition("brokerlab-ready", 0)], timeout=timeout)
        except KafkaException:
            return False
        finally:
            member.close()
        return True

    def delete_topics(self, names: Iterable[str], timeout: float = 5.0) -> None:
        """Ask for the deletion of topics; those that do not exist are passed over.

        Deleting is not done when this returns: the cluster carries it out afterwards.
        """
        from confluent_kafka import KafkaException

        wanted = list(names)
        if not wanted:
            return
        asked = self._admin.delete_topics(
            wanted, operation_timeout=timeout, request_timeout=timeout
        )
        for future in asked.values():
            try:
                future.result(timeout + 1)
            except (KafkaException, TimeoutError):
                # Not there, or not yet: whoever asked looks at the topics and asks again.
                continue

    def names_are_free(self, names: Iterable[str], timeout: float = 5.0) -> bool:
        """Whether topics of these names could be created now.

        A name is free a moment later than the topic is gone from the metadata: the controller still has to
        finish the deletion. So the controller is asked, with a creation that it only checks.
        """
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import NewTopic

        wanted = [NewTopic(name, 1, 1) for name in names]
        if not wanted:
            return True
        answers = self._admin.create_topics(
            wanted, validate_only=True, operation_timeout=timeout, request_timeout=timeout
        )
        try:
            for future in answers.values():
                future.result(timeout + 1)
        except (KafkaException, TimeoutError):
            return False
        return True


def _known(broker_id: int | None) -> int | None:
    return broker_id if broker_id is not None and broker_id >= 0 else None
