"""Somebody else on the machine: becomes another user, tries to get into a lab, and tells what became of it.

python stranger.py UID BOOTSTRAP_SERVERS ZOOKEEPER TOPIC FOLDER CONTROLLERS

ZOOKEEPER and CONTROLLERS are empty where there is none.
"""

from __future__ import annotations

# Loaded by name when a host is looked up, and this Python may lie where a stranger may not look.
import encodings.idna  # noqa: F401
import json
import os
import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

from brokerlab import quorum, wire
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.handlers.threading import KazooTimeoutError

SECONDS = 6
METADATA, FLEXIBLE = 3, 9
ALL_TOPICS = bytes(5)


def main() -> None:
    uid, servers, zookeeper, topic, folder, controllers = sys.argv[1:]
    os.setgroups([])
    os.setgid(int(uid))
    os.setuid(int(uid))
    client = {"bootstrap.servers": servers, "log_level": 0}

    def list_topics() -> None:
        Producer(client).list_topics(timeout=SECONDS)

    def read() -> None:
        with Consumer({**client, "group.id": "stranger"}) as consumer:
            consumer.assign([TopicPartition(topic, 0, 0)])
            if (message := consumer.poll(SECONDS)) is None or message.error():
                raise PermissionError

    def write() -> None:
        producer = Producer(client)
        said: list[object] = []
        producer.produce(
            topic, "a stranger was here", on_delivery=lambda error, _: said.append(error)
        )
        producer.flush(SECONDS)
        producer.purge()
        if said != [None]:
            raise PermissionError

    def with_zookeeper(do: Callable[[KazooClient], object]) -> Callable[[], None]:
        def session() -> None:
            keeper = KazooClient(zookeeper)
            try:
                keeper.start(SECONDS)
                do(keeper)
            finally:
                keeper.stop()

        return session

    def read_files() -> None:
        for file in Path(folder).iterdir():
            file.read_bytes()

    def four_letters() -> None:
        host, _, port = zookeeper.partition(":")
        with socket.create_connection((host, int(port)), SECONDS) as connection:
            connection.sendall(b"ruok")
            assert connection.recv(10) == b"imok"

    def ask_brokers() -> None:
        if not any(broker_answers(address) for address in servers.split(",")):
            raise PermissionError

    def ask_controllers(how: Callable[[str], object]) -> Callable[[], None]:
        def ask() -> None:
            if not any(how(address) for address in controllers.split(",")):
                raise PermissionError

        return ask

    attempts: dict[str, Callable[[], None]] = {
        "list topics": list_topics,
        "read": read,
        "write": write,
        "ask a broker": ask_brokers,
        "read files": read_files,
    }
    if zookeeper:
        attempts |= {
            "read znodes": with_zookeeper(lambda keeper: keeper.get_children("/brokers/ids")),
            "write a znode": with_zookeeper(
                lambda keeper: keeper.create("/stranger", ephemeral=True)
            ),
            "four letters": four_letters,
        }
    if controllers:
        attempts |= {
            "ask a controller": ask_controllers(lambda where: quorum.ask(where, SECONDS)),
            "ask it by TLS": ask_controllers(answers_somebody_else),
        }
    print(json.dumps({what: _became(attempt) for what, attempt in attempts.items()}))
    sys.stdout.flush()
    # Not by way of the clients' destructors, which wait for what never comes.
    os._exit(0)


def broker_answers(address: str) -> bool:
    """Whether a broker tells its topics to who just asks."""
    return wire.exchange(address, METADATA, FLEXIBLE, ALL_TOPICS, SECONDS) is not None


def answers_somebody_else(address: str, certificate: Path | None = None) -> bool:
    """Whether a controller answers who speaks TLS with another certificate than the lab's, or with none."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(certificate)
    host, _, port = address.rpartition(":")
    try:
        with (
            socket.create_connection((host, int(port)), SECONDS) as plain,
            context.wrap_socket(plain) as connection,
        ):
            connection.sendall(wire.framed(quorum.DESCRIBE_QUORUM, quorum.VERSION, quorum.QUESTION))
            return bool(connection.recv(4))
    except OSError:
        return False


def _became(attempt: Callable[[], None]) -> str:
    try:
        attempt()
    except (KafkaException, KazooException, KazooTimeoutError, PermissionError):
        return "refused"
    return "got in"


if __name__ == "__main__":
    main()
