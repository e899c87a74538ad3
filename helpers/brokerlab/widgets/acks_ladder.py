"""What an acknowledgement is worth: three real producers, ``acks`` 0, 1 and all, through the same trouble."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException

from brokerlab.errors import BrokerLabError, SettingError
from brokerlab.observe import Observer, Snapshot, TopicView
from brokerlab.records import records
from brokerlab.traffic import Ledger, Traffic
from brokerlab.widgets.acks_picture import Climb, Replica, Rung, ladder
from brokerlab.widgets.base import Command, LiveView
from brokerlab.widgets.buttons import Verb, at_rest
from brokerlab.widgets.inputs import Choice, Input, Slider
from brokerlab.widgets.scene import Element

if TYPE_CHECKING:
    from brokerlab.lab import Lab
    from brokerlab.nodes import LabBroker

ACKS = ("0", "1", "all")
EACH = "each"
FROZEN_SECONDS = 1.5
"""Long enough for a producer to give up waiting, too short for ZooKeeper to give up the broker."""

BEHIND_SECONDS = 0.7
SOCKET_TIMEOUT_MS = 500
GIVE_UP_MS = 30_000
MOST = 5000
READ_EVERY = 0.5
READ_SECONDS = 3.0


class AcksLadder(LiveView[Climb]):
    """Sends numbered photos with each ``acks``, and counts what was acknowledged and what the log holds.

    Parameters
    ----------
    lab : Lab
        The lab to send to.
    topic : str
        A topic that exists; its partition 0 gets all photos.
    photos : int
        How many each press of *send* sends for each setting.
    observer : Observer, optional
        Who looks at the cluster; the ladder makes (and closes) one of its own, if not given.
    """

    title = "Acks ladder"
    variable = "ladder"

    def __init__(
        self, lab: Lab, topic: str, photos: int = 1000, observer: Observer | None = None
    ) -> None:
        if isinstance(photos, bool) or not isinstance(photos, int) or not 1 <= photos <= MOST:
            raise SettingError(
                f"The ladder sends 1 to {MOST} photos at a time, and {photos!r} is not."
            )
        self._lab = lab
        self._topic = topic
        self._photos = photos
        self._acks = EACH
        self._idempotence = "off"
        self._linger = 5
        self._rate = 500
        self._runs: dict[str, _Run] = {}
        self._observer = observer or Observer(lab)
        self._own_observer = observer is None
        self._sending = threading.Event()
        super().__init__()
        self._unsubscribe = self._observer.subscribe(self.touch)
        self._reader = threading.Thread(target=self._read, name=f"{self!r} reader", daemon=True)
        self._reader.start()

    # What it shows.

    @property
    def subject(self) -> str:
        return self._topic

    def look(self) -> Climb:
        seen = self._observer.latest
        topic = seen.topic(self._topic)
        problem = None
        if not seen.reachable:
            problem = seen.problem or "No broker answers."
        elif topic is None:
            problem = f"There is no topic {self._topic}: create it, with three replicas."
        leader, followers = _replicas(seen, topic)
        return Climb(
            seen.taken,
            self._topic,
            self._photos,
            tuple(self._runs[a].rung() if a in self._runs else Rung(a) for a in ACKS),
            leader,
            followers,
            problem,
        )

    def draw(self, seen: Climb) -> Element:
        busy = {command["kind"] for command in self.pending}
        ready = seen.problem is None
        led = ready and seen.leader is not None
        verbs = (
            Verb(f"send {self._photos:,}", "send", "ladder.send()", 130, ready),
            Verb("freeze the leader 1.5 s", "freeze", "ladder.freeze()", 196, led),
            Verb("kill the leader", "kill", "ladder.kill()", 140, led),
            Verb("kill it, followers behind", "behind", "ladder.kill_behind()", 210, led),
            Verb("restart", "restart", "ladder.restart()", 100, True),
        )
        return ladder(seen, at_rest(verbs, busy))

    def inputs(self) -> Sequence[Input]:
        return (
            Choice("acks", "acks", (EACH, *ACKS), self._acks),
            Choice("idempotence", "idempotence (acks=all)", ("off", "on"), self._idempotence),
            Slider("linger", "linger", 0, 200, 5, self._linger, "ms"),
            Slider("rate", "rate", 100, 2000, 100, self._rate, "a second"),
        )

    def change(self, name: str, value: Any) -> str:
        setattr(self, f"_{name}", value)
        return ""

    # What can be done.

    def send(self) -> None:
        """Send a run of photos with the chosen ``acks``; returns at once."""
        self.press("send")

    def freeze(self) -> None:
        """Freeze the leader for 1.5 s."""
        self.press("freeze")

    def kill(self) -> None:
        """Kill the leader."""
        self.press("kill")

    def kill_behind(self) -> None:
        """Freeze the followers for a moment, kill the leader, let the followers go on."""
        self.press("behind")

    def restart(self) -> None:
        """Start or resume every node that is down."""
        self.press("restart")

    def results(self, timeout: float = 45.0) -> dict[str, Rung]:
        """Wait until everything that was pressed is done and sent; return the rungs by ``acks``.

        Raises
        ------
        NodeFailedError
            It was not over after `timeout` seconds.
        """
        seen = self.wait_until(
            lambda now: now.done and not self.pending, timeout, "every photo to be accounted for"
        )
        return {rung.acks: rung for rung in seen.rungs}

    def run(self, command: Command) -> str:
        verbs = {
            "send": self._send_photos,
            "freeze": self._freeze_leader,
            "kill": self._kill_leader,
            "behind": self._kill_behind,
            "restart": self._restart,
        }
        verb = verbs.get(command["kind"])
        if verb is None:
            raise BrokerLabError(
                f"The ladder has no control {command['kind']!r}: use {', '.join(verbs)}."
            )
        return verb()

    def describe(self, command: Command) -> str:
        return {
            "send": "sending …",
            "freeze": f"the leader is frozen for {FROZEN_SECONDS:g} s …",
            "behind": "the followers are frozen, then the leader is killed …",
            "restart": "starting what is down …",
        }.get(command["kind"], f"{command['kind']} …")

    def _send_photos(self) -> str:
        problem = self.look().problem
        if problem:
            raise BrokerLabError(problem)
        wanted = ACKS if self._acks == EACH else (self._acks,)
        if busy := [acks for acks in wanted if acks in self._runs and not self._runs[acks].over]:
            raise BrokerLabError(
                f"acks={' and '.join(busy)} is still at work: wait until all is acknowledged or given up."
            )
        for acks in wanted:
            idempotent = acks == "all" and self._idempotence == "on"
            self._runs[acks] = _Run(
                self._lab, self._topic, acks, self._photos, self._rate, self._linger, idempotent
            )
        self._sending.set()
        return f"sending {self._photos:,} photos with acks={', '.join(wanted)}"

    def _freeze_leader(self) -> str:
        leader = self._leader()
        leader.pause(watch=False)
        try:
            self._ended.wait(FROZEN_SECONDS)
        finally:
            leader.resume()
        return f"{leader.name} was frozen for {FROZEN_SECONDS:g} s, and goes on"

    def _kill_leader(self) -> str:
        return (
            f"{self._leader().kill(watch=False)}; a follower takes over when ZooKeeper has noticed"
        )

    def _kill_behind(self) -> str:
        leader = self._leader()
        followers = [self._lab.brokers[one.broker] for one in self.look().followers]
        frozen = []
        try:
            for follower in followers:
                if follower.state == "running":
                    follower.pause(watch=False)
                    frozen.append(follower)
            self._ended.wait(BEHIND_SECONDS)
            leader.kill(watch=False)
        finally:
            for follower in frozen:
                follower.resume()
        return f"{leader.name} was killed while its followers were frozen; they go on, without its last photos"

    def _restart(self) -> str:
        return "; ".join(map(str, self._lab.repair())) or "every node is up"

    def _leader(self) -> LabBroker:
        leader = self.look().leader
        if leader is None:
            raise BrokerLabError(f"{self._topic} has no leader now: restart what is down.")
        return self._lab.brokers[leader.broker]

    # Reading the log.

    def _read(self) -> None:
        while not self._ended.is_set():
            if not self._sending.wait(READ_EVERY):
                continue
            runs = [run for run in self._runs.values() if not run.over]
            if not runs:
                self._sending.clear()
                continue
            for run in runs:
                run.look_at_the_ledger()
            with contextlib.suppress(KafkaException):  # no leader: what was read last still stands
                found = records(self._lab, self._topic, READ_SECONDS, [0])
                log = Counter(record.text for record in found)
                for run in runs:
                    run.compare(log)
            self.touch()
            self._ended.wait(READ_EVERY)

    def release(self) -> None:
        self._unsubscribe()
        self._sending.set()
        self._reader.join(10)
        for run in self._runs.values():
            run.stop()
        if self._own_observer:
            self._observer.close()


class _Run:
    """One producer's photos: its ledger, and what the log holds of them."""

    def __init__(
        self,
        lab: Any,
        topic: str,
        acks: str,
        photos: int,
        rate: float,
        linger: float,
        idempotent: bool,
    ) -> None:
        self.acks = acks
        self._photos = photos
        self._name = secrets.token_hex(4)
        self._settings = f"{'idempotent, ' if idempotent else ''}linger {linger:g} ms"
        self._found: int | None = None
        self._read_after = False
        self._final: Rung | None = None
        self._settled: float | None = None
        self._began = time.monotonic()
        self._traffic = Traffic(
            lab,
            topic,
            per_second=rate,
            settings={
                "acks": acks,
                "linger.ms": linger,
                "enable.idempotence": idempotent,
                "socket.timeout.ms": SOCKET_TIMEOUT_MS,
                "message.timeout.ms": GIVE_UP_MS,
            },
            partition=0,
            name=self._name,
            count=photos,
        )

    def look_at_the_ledger(self) -> None:
        """Notice when every photo is acknowledged or given up."""
        ledger = self._traffic.ledger
        if self._settled is None and self._all_sent(ledger) and ledger.waiting == 0:
            self._settled = time.monotonic()
            self._traffic.stop()

    def compare(self, log: Counter[str]) -> None:
        """Count this run's photos in the log.

        The last word is a count that did not change after all was settled: what acks=0 counts may still be
        on its way to the log.
        """
        prefix = f"{self._name} "
        mine = {value: times for value, times in log.items() if value.startswith(prefix)}
        before, self._found = self._found, len(mine)
        if self._settled is None:
            return
        if self._read_after and before == self._found:
            acknowledged = {f"{prefix}{number}" for number in self._traffic.ledger.acknowledged}
            lost = len(acknowledged - mine.keys())
            twice = sum(times > 1 for times in mine.values())
            self._final = replace(self.rung(), phase="done", lost=lost, twice=twice)
        self._read_after = True

    @property
    def over(self) -> bool:
        """Whether all is settled, and compared with the log."""
        return self._final is not None

    def _all_sent(self, ledger: Ledger) -> bool:
        return ledger.sent + ledger.refused >= self._photos

    def rung(self) -> Rung:
        """Return how it stands."""
        if self._final is not None:
            return self._final
        ledger = self._traffic.ledger
        acknowledged = len(ledger.acknowledged)
        elapsed = (self._settled or time.monotonic()) - self._began
        return Rung(
            self.acks,
            "waiting" if self._all_sent(ledger) else "sending",
            sent=ledger.sent,
            waiting=ledger.waiting,
            acknowledged=acknowledged,
            failed=sum(ledger.failed.values()) + ledger.refused,
            in_log=self._found,
            per_second=acknowledged / max(elapsed, 0.001),
            p99=ledger.p99,
            settings=self._settings,
        )

    def stop(self) -> None:
        """Send no more; what still waits is dropped."""
        with contextlib.suppress(BrokerLabError):
            self._traffic.stop(0.5)


def _replicas(
    seen: Snapshot, topic: TopicView | None
) -> tuple[Replica | None, tuple[Replica, ...]]:
    """Return the leader of partition 0 and its followers."""
    if topic is None or not topic.partitions:
        return None, ()
    partition = topic.partitions[0]
    states = {node.id: node.state for node in seen.nodes}
    replicas = [
        Replica(number, states.get(number, "unknown"), number in partition.isr)
        for number in sorted(partition.replicas)
    ]
    leader = next((one for one in replicas if one.broker == partition.leader), None)
    return leader, tuple(one for one in replicas if one is not leader)
