"""What tests ask besides the lab itself: ZooKeeper, a fresh client, the system; and processes that start labs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from brokerlab import access
from brokerlab.lab import Lab
from brokerlab.labfolder import LabFolder
from brokerlab.processes import Identity
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic
from kazoo.client import KazooClient
from leftovers import processes_of

_STARTER = """
import json, sys
import brokerlab
from brokerlab import control
from brokerlab.progress import Progress

brokerlab.start
print("ready", flush=True)
for line in sys.stdin:
    wanted = json.loads(line)
    if wanted is None:
        control.release_lease(lab.folder)
        status = None
    else:
        lab = brokerlab.start(progress=Progress(), **wanted)
        status = lab.status()
    print(json.dumps(status), flush=True)
"""


class Starter:
    """A Python process that starts a lab each time it is told to, and prints the lab's status."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _STARTER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._line() == "ready\n"

    def ask(self, **wanted: Any) -> None:
        self._send(wanted)

    def release(self) -> None:
        self._send(None)
        assert self.answer() is None

    def answer(self) -> Any:
        return json.loads(self._line())

    def _send(self, wanted: Any) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(wanted) + "\n")
        self.process.stdin.flush()

    def _line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline()

    def __enter__(self) -> Starter:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def until(true: Callable[[], Any], seconds: float, what: str) -> float:
    """Wait until `true`, at most `seconds`; return how long it took."""
    begun = time.monotonic()
    assert comes_true(true, seconds), f"waited {seconds} s for {what}, in vain"
    return time.monotonic() - begun


def comes_true(true: Callable[[], Any], seconds: float = 30.0) -> bool:
    """Wait until `true`, at most `seconds`; return whether it was."""
    limit = time.monotonic() + seconds
    while not true():
        if time.monotonic() >= limit:
            return False
        time.sleep(0.02)
    return True


def pids(status: dict[str, Any]) -> dict[str, int]:
    return {node["name"]: node["pid"] for node in status["nodes"]}


def alive(numbers: Iterable[int]) -> list[int]:
    return [pid for pid in numbers if Identity.of(pid)]


def assert_nothing_half_done(home: Path, name: str = "main") -> None:
    """No process left, no lock held, no state: what must be true after a start that failed."""
    until(lambda: not processes_of(home), 10, "the processes of the failed start to end")
    folder = LabFolder(home, name)
    assert not folder.state_file.exists()
    assert folder.lease_holders() == []
    for lock in ("supervisor", "spawn"):
        if folder.path.is_dir():
            descriptor = folder.try_lock(lock)
            assert descriptor is not None, f"{lock}.lock is still held"
            os.close(descriptor)
    assert not list(folder.nodes.glob("*/data"))


def zookeeper_ids(arguments: Mapping[str, Any]) -> set[int]:
    """Return the broker ids that ZooKeeper lists, asked with kazoo."""
    with zookeeper(arguments) as client:
        return {int(name) for name in client.get_children("/brokers/ids")}


@contextmanager
def zookeeper(arguments: Mapping[str, Any]) -> Iterator[KazooClient]:
    client = KazooClient(**arguments)
    client.start(timeout=10)
    try:
        yield client
    finally:
        client.stop()
        client.close()


def metadata(client: Mapping[str, Any]) -> Any:
    """Return what a fresh client sees of the cluster."""
    return AdminClient(dict(client)).list_topics(timeout=10)


def led_by(client: Mapping[str, Any], broker: int) -> list[tuple[str, int]]:
    return [
        (topic.topic, number)
        for topic in metadata(client).topics.values()
        for number, partition in topic.partitions.items()
        if partition.leader == broker
    ]


def create_topic(client: Mapping[str, Any], name: str, assignment: list[list[int]]) -> None:
    """Create a topic whose partitions have these replicas, the leader first, and wait until every broker knows it.

    The controller tells each broker by itself, so a lab that asks another one than a test did may hear
    of the topic a moment later.
    """
    admin = AdminClient(dict(client))
    topic = NewTopic(name, len(assignment), replica_assignment=assignment)
    admin.create_topics([topic])[name].result(15)
    leaders = [replicas[0] for replicas in assignment]
    for broker in admin.list_topics(timeout=10).brokers.values():
        only = {**client, "bootstrap.servers": f"{broker.host}:{broker.port}"}
        until(
            lambda only=only: leaders_of(only, name) == leaders,
            15,
            f"broker {broker.id} to know the leaders of topic {name}",
        )


def leaders_of(client: Mapping[str, Any], topic: str) -> list[int]:
    """Return the leader of each partition, none for a topic that is not known."""
    seen = metadata(client).topics.get(topic)
    return [p.leader for _, p in sorted(seen.partitions.items())] if seen else []


def broker_configs(client: Mapping[str, Any], broker: int) -> dict[str, str]:
    """Return the configuration that a broker says it has."""
    admin = AdminClient(dict(client))
    resource = ConfigResource(ConfigResource.Type.BROKER, str(broker))
    return {k: v.value for k, v in admin.describe_configs([resource])[resource].result(15).items()}


def produce(client: Mapping[str, Any], topic: str, values: Iterable[str], **settings: Any) -> None:
    producer = Producer({**client, **settings})
    failed: list[Any] = []
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, _: error and failed.append(error))
    assert producer.flush(30) == 0
    assert not failed


def read_all(client: Mapping[str, Any], topic: str) -> list[tuple[bytes | None, bytes]]:
    """Return key and value of every message of a topic, partition by partition."""
    settings = {**client, "group.id": "witness"}
    consumer = Consumer({**settings, "enable.auto.commit": False})
    messages = []
    try:
        for number in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
            low, end = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)
            if low == end:
                continue
            consumer.assign([TopicPartition(topic, number, 0)])
            limit = time.monotonic() + 30
            while consumer.position([TopicPartition(topic, number)])[0].offset < end:
                assert time.monotonic() < limit, f"could not read {topic} {number} to its end"
                message = consumer.poll(0.5)
                if message is not None and message.error() is None:
                    messages.append((message.key(), message.value()))
    finally:
        consumer.close()
    return messages


def listening(pid: int) -> list[str]:
    """Return the addresses on which a process listens."""
    return [
        connection.laddr.ip.removeprefix("::ffff:")
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]


def listeners_on(port: int) -> set[str]:
    """Return the addresses of this machine on which anybody listens at a port."""
    return {
        connection.laddr.ip.removeprefix("::ffff:")
        for connection in psutil.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
    }


def what_processes_show() -> Iterator[tuple[str, str]]:
    """Yield where it is read, and the text: every command line and environment of this machine."""
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            with suppress(OSError):
                yield f"{process.name}/{name}", (process / name).read_text("utf-8", "replace")


def secrets_of(lab: Lab) -> dict[str, str]:
    """Return what opens the lab: the password, and the first line of the key."""
    key = lab.folder.controller_key.read_text()
    return {
        "password": access.read_client(lab.client_file)["sasl.password"],
        "key": key.splitlines()[1],
    }


def files_with(text: str, folder: Path) -> set[Path]:
    """Return the files below a folder that hold this text."""
    found = set()
    for path in folder.rglob("*"):
        with suppress(OSError):
            if path.is_file() and text.encode() in path.read_bytes():
                found.add(path)
    return found


def is_frozen(pid: int) -> bool:
    """Whether the system gives a process no processor: it is stopped, or its control group is frozen."""
    if psutil.Process(pid).status() == psutil.STATUS_STOPPED:
        return True
    groups = Path(f"/proc/{pid}/cgroup")
    for line in groups.read_text().splitlines() if groups.exists() else ():
        _, controllers, path = line.split(":", 2)
        below = path.lstrip("/")
        if controllers == "freezer":
            state = Path("/sys/fs/cgroup/freezer", below, "freezer.state")
            return state.exists() and state.read_text().strip() == "FROZEN"
        events = Path("/sys/fs/cgroup", below, "cgroup.events")
        if not controllers and events.exists() and "frozen 1" in events.read_text():
            return True
    return False
