"""Who sees it happen: watches in ZooKeeper, and the supervisor asked ten times a second."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import KazooState
from kazoo.retry import KazooRetry

from brokerlab.errors import BrokerLabError
from brokerlab.widgets.watch_history import Facts, History, Line

if TYPE_CHECKING:
    from brokerlab.lab import Lab

PERIOD = 0.1
SESSION_SECONDS = 2.0
FIRST_LOOK_SECONDS = 2.0

_SILENT = logging.getLogger("brokerlab.widgets.watch_line")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


class Witness:
    """Puts on one clock what ZooKeeper's watches tell and which processes run.

    A watch tells of a change within milliseconds. A process is asked about every `PERIOD` seconds, so what was done to
    it is known to that; it is dated so that a cause never seems later than its effect.

    Parameters
    ----------
    lab : Lab
    topic : str or None
        Whose partition to watch; None for none.
    partition : int
    """

    def __init__(self, lab: Lab, topic: str | None, partition: int) -> None:
        self._lab = lab
        self._topic, self._partition = topic, partition
        self._listener: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._known = threading.Event()
        self._asked, self._problem = time.time(), ""
        self._history = History(time.time(), Facts(), "")
        self._client = KazooClient(
            **lab.zookeeper_client,
            timeout=SESSION_SECONDS,
            connection_retry=KazooRetry(max_tries=-1, delay=0.1, backoff=1, max_delay=0.3),
            logger=_SILENT,
        )
        self._client.add_listener(self._connection)
        self._client.start_async()
        self._threads = [
            threading.Thread(target=work, name=f"brokerlab-witness {name}", daemon=True)
            for name, work in (("watches", self._leave_watches), ("processes", self._ask))
        ]
        for thread in self._threads:
            thread.start()
        self._known.wait(FIRST_LOOK_SECONDS)
        with self._lock:
            begun = time.time()
            first = self._history.line(begun).now
            self._history = History(begun, first, "" if topic is None else f"{topic} {partition}")

    @property
    def latest(self) -> Line:
        """All that is known now."""
        with self._lock:
            return self._history.line(self._asked, self._problem)

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener` at every change and after every look, on a thread of the witness."""
        self._listener = listener

    def close(self) -> None:
        """End the threads and the session."""
        self._closing.set()
        for thread in self._threads:
            thread.join(SESSION_SECONDS)
        self._client.stop()
        self._client.close()

    def _note(self, at: float, **facts: Any) -> None:
        with self._lock:
            new = self._history.note(at, **facts)
        if new:
            self._listener()

    # ZooKeeper

    def _connection(self, state: str) -> None:
        self._note(time.time(), answers=state == KazooState.CONNECTED)

    def _leave_watches(self) -> None:
        """Leave the watches once ZooKeeper answers; kazoo renews them from then on."""
        while not self._closing.wait(PERIOD / 10):
            if not self._client.connected:
                continue
            try:
                self._client.ChildrenWatch("/brokers/ids", self._ids)
                self._client.DataWatch("/controller", self._controller)
                self._client.DataWatch("/controller_epoch", self._epoch)
                if self._topic is not None:
                    topic = f"/brokers/topics/{self._topic}"
                    self._client.DataWatch(topic, self._assignment)
                    self._client.DataWatch(f"{topic}/partitions/{self._partition}/state", self._led)
            except (KazooException, KazooTimeoutError):
                continue
            self._known.set()
            return

    def _ids(self, names: list[str]) -> None:
        self._note(time.time(), listed=frozenset(int(name) for name in names if name.isdigit()))

    def _controller(self, data: bytes | None, _: Any) -> None:
        self._note(time.time(), controller=json.loads(data)["brokerid"] if data else None)

    def _epoch(self, data: bytes | None, _: Any) -> None:
        self._note(time.time(), epoch=int(data) if data else None)

    def _assignment(self, data: bytes | None, _: Any) -> None:
        assigned = json.loads(data)["partitions"] if data else {}
        self._note(time.time(), replicas=tuple(assigned.get(str(self._partition), ())))

    def _led(self, data: bytes | None, _: Any) -> None:
        state: dict[str, Any] = json.loads(data) if data else {"leader": -1, "isr": []}
        leader = state["leader"] if state["leader"] >= 0 else None
        self._note(time.time(), leader=leader, isr=tuple(state["isr"]))

    # Processes

    def _ask(self) -> None:
        while not self._closing.is_set():
            before, now = self._asked, time.time()
            try:
                nodes = self._lab.status()["nodes"]
                self._problem = ""
            except BrokerLabError as error:
                nodes, self._problem = [], str(error)
            if nodes:
                states = tuple((node["name"], node["state"]) for node in nodes)
                with self._lock:
                    self._history.note_states(states, before, time.time())
            self._asked = now
            self._listener()
            self._closing.wait(PERIOD)
