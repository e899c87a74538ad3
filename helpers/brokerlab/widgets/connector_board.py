"""What connectors there are, how their tasks do, and what has gone in and come out; the worker is stopped and killed here."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from confluent_kafka import Consumer, KafkaException, TopicPartition

from brokerlab.connect import Connect
from brokerlab.connectors import Connector
from brokerlab.errors import BrokerLabError
from brokerlab.lab import Lab
from brokerlab.widgets.base import Command, LiveView
from brokerlab.widgets.connector_picture import Board, Moved, draw
from brokerlab.widgets.scene import Element

EVERY = 1.0
"""Seconds between two looks."""
ANSWER = 2.0
"""Seconds for the cluster's answer."""
_DONE = {
    "start": "Kafka Connect runs again.",
    "stop": "Kafka Connect was asked to end, and has ended.",
    "kill": "Kafka Connect is dead: nobody was told.",
}


class ConnectorBoard(LiveView[Board]):
    """Shows every connector of a lab's Kafka Connect, and starts, stops, kills, pauses and resumes.

    Parameters
    ----------
    lab : Lab
    outside : mapping of str to callable, optional
        By a connector's name what counts the lines or rows on its other end.
    """

    title = "Connector board"
    variable = "board"

    def __init__(self, lab: Lab, outside: Mapping[str, Callable[[], int]] | None = None) -> None:
        self._lab = lab
        self._connect: Connect = lab.connect
        self._outside = dict(outside or {})
        self._seen = Board(time.time(), self._connect.state)
        self._reader = self._client("connector-board")
        self._groups: dict[str, Consumer] = {}
        super().__init__()
        self._sampler = threading.Thread(target=self._sample, name=f"{self!r} looks", daemon=True)
        self._sampler.start()

    # What the base asks.

    @property
    def subject(self) -> str:
        return self._lab.name

    def look(self) -> Board:
        return self._seen

    def draw(self, seen: Board) -> Element:
        return draw(seen, [command["kind"] for command in self.pending])

    def run(self, command: Command) -> str:
        kind = command["kind"]
        match kind:
            case "start" | "stop" | "kill":
                getattr(self._connect, kind)()
                said = _DONE[kind]
            case "pause" | "resume":
                said = f"{getattr(self._connect, kind)(command['name'])}."
            case _:
                return super().run(command)
        self._look_now()
        return said

    def release(self) -> None:
        self._sampler.join(EVERY + 3 * ANSWER)
        for client in (self._reader, *self._groups.values()):
            client.close()

    # What a lesson calls.

    def start(self) -> None:
        """Start the worker."""
        self.press("start")

    def stop(self) -> None:
        """Stop the worker in an orderly way."""
        self.press("stop")

    def kill(self) -> None:
        """Kill the worker."""
        self.press("kill")

    # Looking.

    def _client(self, group: str) -> Consumer:
        """Return a client that asks about a group, and never joins it."""
        return Consumer({**self._lab.client, "group.id": group, "log_level": 0})

    def _sample(self) -> None:
        while not self._ended.is_set():
            try:
                self._look_now()
            except Exception as error:
                # A bug is shown in its place, as in every view, and the next look may go well.
                problem = f"{type(error).__name__}: {error}"
                self._seen = replace(self._seen, taken=time.time(), problem=problem)
                self.touch()
            self._ended.wait(EVERY)

    def _look_now(self) -> None:
        state, problem = self._connect.state, ""
        connectors = [one.connector for one in self._seen.moved]
        if state == "running":
            try:
                connectors = list(self._connect.connectors().values())
            except BrokerLabError as error:
                problem = str(error)
        moved = tuple(self._moved(one, state) for one in connectors)
        self._seen = Board(time.time(), self._connect.state, moved, problem)
        self.touch()

    def _moved(self, connector: Connector, state: str) -> Moved:
        outside = None
        if (count := self._outside.get(connector.name)) is not None:
            with suppress(OSError, sqlite3.Error, BrokerLabError):
                outside = count()
        before = self._seen.of(connector.name)
        place = before.place if before else ""
        if state == "running":
            with suppress(BrokerLabError, KafkaException):
                place = self._place(connector)
        return Moved(connector, outside, self._records(connector.topic), place)

    def _places(self, topic: str) -> list[TopicPartition]:
        told = self._reader.list_topics(topic, timeout=ANSWER).topics.get(topic)
        return [TopicPartition(topic, number) for number in told.partitions] if told else []

    def _records(self, topic: str) -> int | None:
        with suppress(KafkaException):
            ends = (
                self._reader.get_watermark_offsets(one, timeout=ANSWER)
                for one in self._places(topic)
            )
            return sum(high - low for low, high in ends)
        return None

    def _place(self, connector: Connector) -> str:
        """Return how far a connector is: what a sink's group has committed, whatever a source has noted."""
        if connector.kind == "sink":
            group = self._groups.get(connector.name)
            if group is None:
                group = self._groups[connector.name] = self._client(f"connect-{connector.name}")
            committed = group.committed(self._places(connector.topic), timeout=ANSWER)
            known = [one.offset for one in committed if one.offset >= 0]
            return f"offset {sum(known):,}" if known else ""
        told = self._connect.offsets(connector.name)
        noted = [pair for one in told for pair in (one["offset"] or {}).items()]
        return ", ".join(f"{key} {value}" for key, value in noted)
