"""A load bench: real callers, a real front desk, real workers. `brokerlab.benchparts` are its processes."""

from __future__ import annotations

import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from brokerlab.background import Background
from brokerlab.errors import BrokerLabError, NodeFailedError
from brokerlab.frontdesk import LISTENING
from brokerlab.groups import GroupObserver, GroupView
from brokerlab.loadledger import KAFKA, WAIT, Ledger, Load, Run
from brokerlab.work import rounds_for

TOPIC = "load-bench"
PARTITIONS = 12
"""Can be shared evenly by 1, 2, 3, 4 and 6 workers."""
START_LIMIT = 40.0
LONGEST_DRAIN = 20.0
"""Seconds after the last call in which what is left is worked off."""
TICK = 0.05
ASK_LIMIT = 5.0
SPREAD_LIMIT = 15.0
"""Seconds in which every broker knows of a new topic, and of a deleted one no more."""
NOT_KNOWN_YET = (
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
)


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Bench:
    """One run: it begins when it is made, and ends by itself when all is done, or when it is closed.

    Parameters
    ----------
    lab : Lab or None
        The lab whose Kafka stands behind the desk; nothing is asked of it with another front.
    load : Load
        What is asked of it.
    changed : callable, optional
        Called when there is something new to see, on several threads.
    """

    def __init__(self, lab: Any, load: Load, changed: Callable[[], None] = lambda: None) -> None:
        self._lab, self._load = lab, load
        self._ledger = Ledger(load, changed)
        self._rounds = rounds_for(load.work)
        self._camera = 0
        self._port = 0
        self._group = f"{TOPIC}-{uuid.uuid4().hex[:8]}"
        self._watch: GroupObserver | None = None
        self._lock = threading.Lock()
        self._others: list[Background] = []
        self._crew: list[Background] = []
        self._hired = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._conduct, name="load bench", daemon=True)
        self._thread.start()

    @property
    def run(self) -> Run:
        """The run as it is now."""
        return self._ledger.run()

    @property
    def over(self) -> bool:
        """Whether it has ended and none of its processes is left."""
        return not self._thread.is_alive()

    def wait(self, timeout: float = 60.0) -> Run:
        """Wait until it is over and return what it came to.

        Raises
        ------
        NodeFailedError
            It was not over after `timeout` seconds, or it could not run; the sentence says why.
        """
        self._thread.join(timeout)
        if not self.over:
            raise NodeFailedError(
                f"The load bench still runs after {timeout:g} s; close() ends it."
            )
        run = self.run
        if run.problem:
            raise NodeFailedError(run.problem)
        return run

    def kill(self) -> str:
        """Kill one worker behind Kafka, else the service with all that it has in memory; start another in its place.

        Raises
        ------
        BrokerLabError
            There is nothing to kill: it has not begun, or is over.
        """
        self._demand_crew()
        with self._lock:
            self._demand_crew()
            self._crew.pop(0).kill()
            self._ledger.killed()
            if self._load.front == KAFKA:
                self._hire()
                return "A worker was killed (SIGKILL), and another started in its place."
            self._open_service()
            return "The service was killed (SIGKILL), and another started in its place."

    def _demand_crew(self) -> None:
        if not self._crew or self._closing.is_set() or self.run.phase in ("starting", "over"):
            raise BrokerLabError("Nothing runs that could be killed: start a run first.")

    def close(self) -> None:
        """End the run and all its processes."""
        self._closing.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(START_LIMIT)

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _conduct(self) -> None:
        problem = ""
        try:
            self._open()
            self._let_callers_come()
            self._drain()
        except BrokerLabError as error:
            problem = str(error)
        except KafkaException as error:
            problem = (
                f"Kafka does not answer the load bench ({error.args[0].name()}): "
                "is a broker down? lab.repair() brings it back; then run again."
            )
        finally:
            with self._lock:
                self._closing.set()
                for process in [*self._others, *self._crew]:
                    process.kill()
            if self._watch is not None:
                self._watch.close()
            self._ledger.enter("over", problem)

    def _open(self) -> None:
        if self._load.fetch:
            camera = self._start("camera", self._load.fetch)
            self._others.append(camera)
            self._camera = _port_of(camera)
        if self._load.front == KAFKA:
            self._open_kafka()
        else:
            with self._lock:
                self._open_service()

    def _open_service(self) -> None:
        waits = "waits" if self._load.front == WAIT else "queues"
        service = self._start(
            "service", waits, self._port, self._load.workers, self._rounds, self._camera
        )
        self._crew.append(service)
        self._port = _port_of(service)

    def _open_kafka(self) -> None:
        client = self._lab.client
        _demand_topic(client)
        desk = self._start("desk", self._lab.client_file, TOPIC, PARTITIONS)
        self._others.append(desk)
        # What earlier runs left is not this one's; a group takes such a commit only while it has no members.
        self._ledger.begin_at(_commit_ends(client, self._group))
        with self._lock:
            for _ in range(self._load.workers):
                self._hire()
        self._watch = GroupObserver(self._lab, self._group, [TOPIC], period=0.25)
        self._watch.subscribe(self._ledger.see)
        self._watch.wait_until(self._all_at_work, START_LIMIT, "the workers to join their group")
        self._port = _port_of(desk)

    def _hire(self) -> None:
        self._hired += 1
        self._crew.append(
            self._start(
                "worker",
                self._lab.client_file,
                TOPIC,
                self._group,
                f"worker-{self._hired}",
                self._rounds,
                self._camera,
            )
        )

    def _all_at_work(self, group: GroupView) -> bool:
        self._go_on()
        shared = sum(len(member.partitions) for member in group.members)
        return len(group.members) == self._load.workers and shared == PARTITIONS

    def _let_callers_come(self) -> None:
        load = self._load
        self._go_on()
        self._ledger.enter("arriving")
        callers = self._start("callers", self._port, load.rate, load.seconds, load.patience)
        self._others.append(callers)
        until = time.monotonic() + START_LIMIT + load.seconds
        while len(self.run.calls) < round(load.rate * load.seconds):
            self._go_on()
            if not callers.running or time.monotonic() > until:
                raise NodeFailedError(
                    "The callers did not come: the machine is too busy, try again."
                )
            self._closing.wait(TICK)

    def _drain(self) -> None:
        self._ledger.enter("draining")
        until = time.monotonic() + LONGEST_DRAIN
        while time.monotonic() < until and not self._closing.wait(TICK):
            if self._ledger.unanswered == 0 and self._nothing_waits():
                return

    def _nothing_waits(self) -> bool:
        if self._watch is None:
            return self.run.waiting == 0
        # Only a look that began after the last answer knows of the last photo.
        with suppress(NodeFailedError):
            self._watch.wait_until(lambda group: bool(group.spans), 1.0)
        return self.run.waiting == 0

    def _go_on(self) -> None:
        if self._closing.is_set():
            raise BrokerLabError("The run was ended before it was over.")

    def _start(self, part: str, *arguments: object) -> Background:
        argv = [sys.executable, "-m", "brokerlab.benchparts", part, *map(str, arguments)]
        process = Background(argv, name=f"the bench's {part}", keep=20)
        process.subscribe(self._ledger.hear)
        return process


def _port_of(process: Background) -> int:
    return int(process.wait_for(LISTENING, START_LIMIT).rsplit(" ", 1)[1])


def _demand_topic(client: Mapping[str, Any]) -> None:
    """Ask the controller for the topic: another broker may not know yet what was made or deleted a moment ago."""
    admin = AdminClient({**client, "log_level": 0})
    cluster: Any = admin.list_topics(timeout=ASK_LIMIT)
    topic = NewTopic(TOPIC, PARTITIONS, min(3, len(cluster.brokers)))
    deadline = time.monotonic() + SPREAD_LIMIT
    while True:
        try:
            admin.create_topics([topic], operation_timeout=ASK_LIMIT)[TOPIC].result(ASK_LIMIT + 1)
            return
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
            if "marked for deletion" not in error.args[0].str():
                return
            if time.monotonic() > deadline:
                raise
        time.sleep(TICK)


def _commit_ends(client: Mapping[str, Any], group: str) -> dict[int, int]:
    """Let a new group begin where the topic ends now; return these offsets by partition."""
    asking = Consumer({**client, "group.id": group, "log_level": 0})
    deadline = time.monotonic() + SPREAD_LIMIT
    try:
        ends = [
            TopicPartition(TOPIC, number, _end(asking, number, deadline))
            for number in range(PARTITIONS)
        ]
        asking.commit(offsets=ends, asynchronous=False)
    finally:
        asking.close()
    return {place.partition: place.offset for place in ends}


def _end(asking: Consumer, partition: int, deadline: float) -> int:
    """Return where a partition ends, as soon as the broker that is asked knows of it."""
    while True:
        try:
            place = TopicPartition(TOPIC, partition)
            return asking.get_watermark_offsets(place, timeout=ASK_LIMIT)[1]
        except KafkaException as error:
            if error.args[0].code() not in NOT_KNOWN_YET or time.monotonic() > deadline:
                raise
        time.sleep(TICK)
