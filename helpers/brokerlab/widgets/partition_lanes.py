"""A topic as what it is, a few logs side by side; and the same records with another number of partitions."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from confluent_kafka import KafkaError, Message, Producer

from brokerlab.errors import BrokerLabError, SettingError
from brokerlab.observe import Observer, Snapshot
from brokerlab.widgets.base import Command, LiveView
from brokerlab.widgets.inputs import Choice, Input, Slider
from brokerlab.widgets.partition_layout import PARTITIONERS, lay_out
from brokerlab.widgets.partition_log import PartitionLog, Tail
from brokerlab.widgets.partition_picture import BURST, Lane, Lanes, lanes_picture
from brokerlab.widgets.scene import Element

if TYPE_CHECKING:
    from brokerlab.lab import Lab

AS_IT_IS = "as it is"
CAMERAS = 5
MOST_PARTITIONS = 12
MOST_PHOTOS = 500
PACE = 0.03
LONGEST_BURST = 2.0
SEND_SECONDS = 8

_SILENT = logging.getLogger("brokerlab.clients")


class Log(Protocol):
    """Who reads the partitions."""

    def follow(self, partitions: Sequence[int]) -> None:
        """Read these partitions from now on."""

    def tail(self, partition: int) -> Tail:
        """Return the end of one partition's log."""

    def close(self) -> None:
        """Let go of the cluster."""


class PartitionLanes(LiveView[Lanes]):
    """A topic's partitions as lanes, its records as chips in the order of their offsets, coloured by key.

    ``set(partitions=6, partitioner="murmur2")`` lays the same records out as that many partitions and that
    partitioner would; ``set(partitioner="as it is")`` goes back to the log.

    Parameters
    ----------
    lab : Lab
        The lab to show.
    topic : str
        The topic; it may come later.
    observer : Observer, optional
        Who looks at the cluster; the view makes (and closes) one of its own, if not given.
    log : Log, optional
        Who reads the topic; a client of the view's own, if not given.
    """

    title = "Partition lanes"
    variable = "lanes"

    def __init__(
        self,
        lab: Lab,
        topic: str,
        observer: Observer | None = None,
        log: Log | None = None,
    ) -> None:
        self._client = lab.client
        self._topic = topic
        self._partitions: int | None = None
        self._partitioner = AS_IT_IS
        self._observer = observer or Observer(lab)
        self._own_observer = observer is None
        self._last_sent = 0
        self._known: tuple[tuple[int, int | None], ...] = ()
        self._log = log or PartitionLog(
            self._client, topic, self.touch, lab.group("brokerlab-lanes")
        )
        super().__init__()
        self._see(self._observer.latest)
        self._unsubscribe = self._observer.subscribe(self._see)

    def send(self, count: int = BURST, keyed: bool = True) -> None:
        """Send photos, one after the other: with the key of one of five cameras, or without a key.

        Parameters
        ----------
        count : int
            1 to 500.
        keyed : bool
            Whether they carry their camera as key.

        Raises
        ------
        SettingError
            `count` is out of range.
        """
        self.press("send", count=_checked(count), keyed=keyed)

    @property
    def subject(self) -> str:
        return self._topic

    def inputs(self) -> Sequence[Input]:
        real = min(max(len(self._known), 1), MOST_PARTITIONS)
        partitions = self._partitions or real
        return (
            Slider("partitions", "if it had so many partitions", 1, MOST_PARTITIONS, 1, partitions),
            Choice("partitioner", "laid out", (AS_IT_IS, *PARTITIONERS), self._partitioner),
        )

    def change(self, name: str, value: Any) -> str:
        if name == "partitions":
            self._partitions = value
            if self._partitioner == AS_IT_IS:
                self._partitioner = next(iter(PARTITIONERS))
        else:
            self._partitioner = value
            if value == AS_IT_IS:
                self._partitions = None
        return ""

    def look(self) -> Lanes:
        seen = self._observer.latest
        lanes = tuple(
            Lane(number, leader, tail.records, tail.count)
            for number, leader in self._known
            for tail in [self._log.tail(number)]
        )
        what_if = None
        if self._partitioner != AS_IT_IS and lanes:
            kept = (record for lane in lanes for record in lane.records)
            what_if = lay_out(kept, self._partitions or len(lanes), self._partitioner)
        return Lanes(seen.taken, self._topic, lanes, what_if, seen.reachable, seen.problem or "")

    def draw(self, seen: Lanes) -> Element:
        sending = any(command["kind"] == "send" for command in self.pending)
        return lanes_picture(seen, self.variable, sending)

    def describe(self, command: Command) -> str:
        return f"sending {command.get('count')} photos …"

    def run(self, command: Command) -> str:
        if command["kind"] != "send":
            return super().run(command)
        self._demand_topic()
        return self._burst(_checked(command.get("count")), command.get("keyed") is True)

    def release(self) -> None:
        self._unsubscribe()
        if self._own_observer:
            self._observer.close()
        self._log.close()

    def _see(self, seen: Snapshot) -> None:
        if seen.reachable:
            topic = seen.topic(self._topic)
            self._known = tuple((p.id, p.leader) for p in topic.partitions) if topic else ()
            self._log.follow([number for number, _ in self._known])
            if topic is None:
                self._last_sent = 0
        self.touch()

    def _demand_topic(self) -> None:
        seen = self._observer.latest
        if not seen.reachable:
            raise BrokerLabError(f"The cluster does not answer. {seen.problem}")
        if seen.topic(self._topic) is None:
            # Sending would make one, with the broker's default of one partition.
            raise BrokerLabError(
                f"There is no topic {self._topic!r}: create it with kafka-topics.sh --create, then send."
            )

    def _burst(self, count: int, keyed: bool) -> str:
        where: Counter[int] = Counter()
        failed: Counter[str] = Counter()

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                failed[error.name()] += 1
            else:
                where[message.partition() or 0] += 1

        # A new producer knows how many partitions there are now; one that stays learns of new ones late.
        producer = Producer(
            {
                **self._client,
                "message.timeout.ms": SEND_SECONDS * 1000,
                "log_level": 0,
            },
            logger=_SILENT,
        )
        # The log shows a burst a moment later, and the next one may be waiting already.
        first = max(self._last_sent, self._last_photo()) + 1
        for number in range(first, first + count):
            if self._ended.is_set():
                break
            self._last_sent = number
            key = f"cam-{number % CAMERAS}" if keyed else None
            producer.produce(self._topic, f"photo {number}", key=key, on_delivery=delivered)
            producer.poll(min(PACE, LONGEST_BURST / count))
        producer.flush(SEND_SECONDS + 1)
        if failed:
            why = ", ".join(sorted(failed))
            raise BrokerLabError(
                f"{sum(failed.values())} of {count} photos were not acknowledged within {SEND_SECONDS} s "
                f"({why}): is a broker down? lab.repair() starts it."
            )
        got = ", ".join(f"{n} in partition {p}" for p, n in sorted(where.items()))
        return f"{sum(where.values())} photos {'with' if keyed else 'without a'} key acknowledged: {got}."

    def _last_photo(self) -> int:
        numbers = [
            int(found[1])
            for number, _ in self._known
            for record in self._log.tail(number).records
            if (found := re.fullmatch(r"photo (\d+)", record.text))
        ]
        return max(numbers, default=0)


def _checked(count: Any) -> int:
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST_PHOTOS:
        raise SettingError(f"So many photos cannot be sent: {count!r}. Choose 1 to {MOST_PHOTOS}.")
    return count
