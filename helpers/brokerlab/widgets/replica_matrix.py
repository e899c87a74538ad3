"""One topic's replicas, broker by broker, with a clock that counts the seconds without a leader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brokerlab.errors import SettingError
from brokerlab.observe import Observer, Snapshot
from brokerlab.traffic import Traffic
from brokerlab.widgets.base import Command, LiveView
from brokerlab.widgets.cluster_map import as_last_seen, busy_nodes, do_to_node
from brokerlab.widgets.leadership import Leadership, after, standing
from brokerlab.widgets.replica_picture import SECONDS, Matrix, ReplicaPicture
from brokerlab.widgets.scene import Element

if TYPE_CHECKING:
    from brokerlab.lab import Lab

ROWS = 3
MOST_ROWS = 6


class ReplicaMatrix(LiveView[Matrix]):
    """Partitions by brokers: who leads, who is in sync, and for how long a partition has nobody to write to.

    What it shows is the cluster's metadata beside the state of the processes, asked about six times a second.

    Parameters
    ----------
    lab : Lab
        The lab to show.
    topic : str
        The topic, which may come later.
    traffic : Traffic, optional
        A stream of messages whose figures are shown as well; it is not stopped with the view.
    observer : Observer, optional
        Who looks at the cluster; the view makes (and closes) one of its own, if not given.

    Raises
    ------
    SettingError
        `topic` is not a name.
    """

    title = "Replicas"
    variable = "matrix"

    def __init__(
        self,
        lab: Lab,
        topic: str,
        traffic: Traffic | None = None,
        observer: Observer | None = None,
    ) -> None:
        if not isinstance(topic, str) or not topic:
            raise SettingError(f"ReplicaMatrix shows one topic: give its name, not {topic!r}.")
        self._lab = lab
        self._topic = topic
        self._traffic = traffic
        self._observer = observer or Observer(lab)
        self._own_observer = observer is None
        self._past: dict[int, Leadership] = {}
        first = self._observer.latest
        self._answered = first
        self._snapshot = self._fold(first)
        found = first.topic(topic)
        self._rows = min(max(len(found.partitions), 1), MOST_ROWS) if found else ROWS
        super().__init__()
        self._unsubscribe = self._observer.subscribe(self._see)

    @property
    def subject(self) -> str:
        return self._topic

    @property
    def longest(self) -> dict[int, float]:
        """Partition -> seconds of the longest time without a leader that answers; those that had none are left out."""
        past = self._past.items()
        return {number: p.longest for number, p in past if p.longest is not None}

    def look(self) -> Matrix:
        return Matrix(
            snapshot=self._snapshot,
            topic=self._topic,
            past=dict(self._past),
            ledger=self._traffic.ledger if self._traffic else None,
        )

    def draw(self, seen: Matrix) -> Element:
        busy = busy_nodes(self.pending)
        return ReplicaPicture(seen, self._rows, busy).picture()

    def run(self, command: Command) -> str:
        return do_to_node(self._lab, command)

    def describe(self, command: Command) -> str:
        return f"{command['kind']} {command.get('node')} …"

    def release(self) -> None:
        self._unsubscribe()
        if self._own_observer:
            self._observer.close()

    def _see(self, seen: Snapshot) -> None:
        self._snapshot = self._fold(seen)
        self.touch()

    def _fold(self, seen: Snapshot) -> Snapshot:
        """Take the snapshot into the past of each partition; return it, filled up where nobody answered."""
        if seen.reachable:
            self._answered = seen
        else:
            seen = as_last_seen(seen, self._answered)
        topic = seen.topic(self._topic)
        self._past = {
            partition.id: after(
                self._past.get(partition.id),
                standing(partition, seen.nodes, seen.reachable),
                seen.taken,
                SECONDS,
            )
            for partition in (topic.partitions if topic else ())
        }
        return seen
