"""A steady stream of numbered messages, with a ledger of what became of each.

It is the measuring instrument of the lessons that break something: what was acknowledged, what is in the log,
and for how long nothing was acknowledged.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from brokerlab.errors import NodeFailedError, SettingError
from brokerlab.records import records

FASTEST = 2000
TICK = 0.01
REMEMBERED = 2000
"""Latencies: enough for a percentile, and no more after an hour than after a minute."""
_SILENT = logging.getLogger("brokerlab.clients")


@dataclass(frozen=True)
class Ledger:
    """What became of the messages so far.

    Attributes
    ----------
    sent : int
        Handed to the producer.
    acknowledged : tuple of int
        Numbers that the cluster acknowledged, in that order.
    failed : dict of str to int
        Error name -> how many were given up with it.
    refused : int
        Not taken by the producer: its local queue was full.
    waiting : int
        Neither acknowledged nor given up yet.
    gap : float
        Seconds of the longest pause between two acknowledgements; one that still lasts counts.
    gaps : dict of int to float
        The same for each partition.
    p99 : float
        Seconds within which 99 of 100 acknowledgements came, of the latest 2,000.
    """

    sent: int
    acknowledged: tuple[int, ...]
    failed: dict[str, int]
    refused: int
    waiting: int
    gap: float
    gaps: dict[int, float]
    p99: float = 0.0

    def __str__(self) -> str:
        failed = ", ".join(f"{count} {name}" for name, count in sorted(self.failed.items()))
        return (
            f"{self.sent} sent, {len(self.acknowledged)} acknowledged, {self.waiting} waiting, "
            f"{failed or 'none failed'}; longest pause {self.gap:.1f} s"
        )

    __repr__ = __str__


@dataclass(frozen=True)
class Outcome:
    """The ledger beside the log.

    Attributes
    ----------
    acknowledged : int
        Messages that the cluster acknowledged.
    in_log : int
        Messages of the stream that the topic holds, each counted once.
    lost : tuple of int
        Acknowledged, and not in the log.
    duplicated : tuple of int
        In the log more than once.
    surprises : tuple of int
        In the log, and not acknowledged.
    """

    acknowledged: int
    in_log: int
    lost: tuple[int, ...]
    duplicated: tuple[int, ...]
    surprises: tuple[int, ...]

    def __str__(self) -> str:
        return (
            f"{self.acknowledged} acknowledged, {self.in_log} in the log, {len(self.lost)} lost, "
            f"{len(self.duplicated)} duplicated, {len(self.surprises)} in the log but not acknowledged"
        )

    __repr__ = __str__


class Traffic:
    """Sends numbered messages at a steady rate until it is stopped.

    Parameters
    ----------
    lab : Lab
        Anything with `Lab.client`.
    topic : str
        Where to.
    per_second : float
        Messages a second, 1 to 2000.
    settings : mapping, optional
        Of the producer, for example ``{"acks": "all", "enable.idempotence": True}``.
    partition : int, optional
        Send all to this partition; the producer chooses, if not given.
    name : str
        Tells streams in one topic apart; a message's text is ``"name number"``.
    count : int, optional
        Send no more than so many.
    """

    def __init__(
        self,
        lab: Any,
        topic: str,
        per_second: float = 100,
        settings: Mapping[str, Any] | None = None,
        partition: int | None = None,
        name: str = "photo",
        count: int | None = None,
    ) -> None:
        if not 1 <= per_second <= FASTEST:
            raise SettingError(
                f"Traffic of {per_second} messages a second is not possible here: "
                f"choose from 1 to {FASTEST}."
            )
        self._lab = lab
        self.topic = topic
        self._name = name
        self._rate = per_second
        self._most = count
        self._place: dict[str, Any] = {} if partition is None else {"partition": partition}
        defaults = {**lab.client, "log_level": 0}
        try:
            self._producer = Producer({**defaults, **(settings or {})}, logger=_SILENT)
        except KafkaException as error:
            raise SettingError(
                f"A producer cannot be made with these settings: {error.args[0].str()}"
            ) from None
        self._lock = threading.Lock()
        self._sent = self._refused = 0
        self._acknowledged: list[int] = []
        self._latencies: deque[float] = deque(maxlen=REMEMBERED)
        self._failed: Counter[str] = Counter()
        self._began = time.monotonic()
        self._last: dict[int | None, float] = {None: self._began}
        self._gaps: dict[int | None, float] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"traffic {topic}", daemon=True)
        self._thread.start()

    @property
    def ledger(self) -> Ledger:
        """What became of the messages so far."""
        with self._lock:
            now = time.monotonic()
            gaps = dict(self._gaps)
            if self._sent > len(self._acknowledged) + sum(self._failed.values()):
                for place, last in self._last.items():
                    gaps[place] = max(gaps.get(place, 0.0), now - last)
            return Ledger(
                self._sent,
                tuple(self._acknowledged),
                dict(self._failed),
                self._refused,
                self._sent - len(self._acknowledged) - sum(self._failed.values()),
                gaps.pop(None, 0.0),
                {place: gap for place, gap in gaps.items() if place is not None},
                _p99(self._latencies),
            )

    @property
    def running(self) -> bool:
        """Whether it still sends."""
        return not self._stopped.is_set()

    def stop(self, timeout: float = 30.0) -> Ledger:
        """Send no more, wait until every message is acknowledged or given up, and return the ledger.

        Raises
        ------
        NodeFailedError
            Messages were still waiting after `timeout` seconds.
        """
        self._stopped.set()
        self._thread.join(timeout)
        left = self._producer.flush(timeout)
        if left:
            raise NodeFailedError(
                f"After {timeout:g} s {left} messages for {self.topic} still wait to be acknowledged: "
                "is a broker down? lab.repair() brings it back; then stop() again."
            )
        return self.ledger

    def outcome(self, seconds: float = 10.0) -> Outcome:
        """Stop, and compare the ledger with what the topic holds."""
        ledger = self.stop()
        prefix = f"{self._name} "
        found = Counter(
            int(record.text.removeprefix(prefix))
            for record in records(self._lab, self.topic, seconds)
            if record.text.startswith(prefix)
        )
        acknowledged = set(ledger.acknowledged)
        return Outcome(
            len(acknowledged),
            len(found),
            tuple(sorted(acknowledged - found.keys())),
            tuple(sorted(number for number, times in found.items() if times > 1)),
            tuple(sorted(found.keys() - acknowledged)),
        )

    def _run(self) -> None:
        begun = time.monotonic()
        number = 0
        while not self._stopped.is_set():
            due = int((time.monotonic() - begun) * self._rate)
            if self._most is not None:
                due = min(due, self._most)
            while number < due and not self._stopped.is_set():
                self._send(number)
                number += 1
            self._producer.poll(TICK)

    def _send(self, number: int) -> None:
        def delivered(error: KafkaError | None, message: Message) -> None:
            self._deliver(number, error, message)

        try:
            self._producer.produce(
                self.topic, f"{self._name} {number}", on_delivery=delivered, **self._place
            )
        except BufferError:
            with self._lock:
                self._refused += 1
            return
        with self._lock:
            self._sent += 1

    def _deliver(self, number: int, error: KafkaError | None, message: Message) -> None:
        now = time.monotonic()
        with self._lock:
            for place in (None, message.partition()):
                pause = now - self._last.get(place, now)
                self._gaps[place] = max(self._gaps.get(place, 0.0), pause)
                if error is None:
                    self._last[place] = now
            if error is None:
                self._acknowledged.append(number)
                self._latencies.append(message.latency() or 0.0)
            else:
                self._failed[error.name()] += 1

    def __repr__(self) -> str:
        return f"<Traffic to {self.topic}: {'sending' if self.running else 'stopped'}>"


def _p99(latencies: Iterable[float]) -> float:
    ordered = sorted(latencies)
    return ordered[int(0.99 * (len(ordered) - 1))] if ordered else 0.0
