"""What is known of a migration at each moment: ZooKeeper's znodes beside the controllers' quorum, on one clock."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError

from brokerlab.errors import BrokerLabError

if TYPE_CHECKING:
    from brokerlab.lab import Lab

PERIOD = 0.25
ASK_SECONDS = 0.5
FOLLOWS_SECONDS = 2.0
"""A broker that follows the controllers asks them at least twice a second."""

KEPT_SECONDS = 300.0

_SILENT = logging.getLogger("brokerlab.widgets.migration_line")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


@dataclass(frozen=True)
class Facts:
    """What holds at one moment.

    Attributes
    ----------
    answers : bool
        Whether ZooKeeper answers.
    ids : tuple of int
        Brokers that have a znode in ``/brokers/ids``.
    controller : int or None
        Whom ``/controller`` names: a broker, or a controller from 3001 on.
    taken_over : int or None
        What ``/migration`` names as the controller that has taken over; -1 while none has, None without this znode.
    leader : int or None
        Who leads the controllers' quorum.
    followers : tuple of int
        Brokers that have just asked that leader for what is new.
    """

    answers: bool = False
    ids: tuple[int, ...] = ()
    controller: int | None = None
    taken_over: int | None = None
    leader: int | None = None
    followers: tuple[int, ...] = ()


@dataclass(frozen=True)
class Moment:
    """Facts that held from `at` on, in seconds since 1970."""

    at: float
    facts: Facts


@dataclass(frozen=True)
class Course:
    """All that is shown.

    Attributes
    ----------
    taken : float
        Seconds since 1970.
    moments : tuple of Moment
        One at least, the newest last.
    mode, phase : str
        As in `brokerlab.lab.Lab.mode` and `brokerlab.migration.Migration.phase`.
    problem : str
        Why nothing is known any more, in a sentence; else empty.
    """

    taken: float
    moments: tuple[Moment, ...]
    mode: str = "zookeeper"
    phase: str = ""
    problem: str = ""

    @property
    def now(self) -> Facts:
        """The newest facts."""
        return self.moments[-1].facts


class Witness:
    """Asks ZooKeeper and the controllers four times a second, on a thread of its own.

    Parameters
    ----------
    lab : Lab
    """

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._listener: Callable[[], None] = lambda: None
        self._closing = threading.Event()
        self._client: KazooClient | None = None
        self._course = Course(time.time(), (Moment(time.time(), Facts()),))
        self._course = self._look(first=True)
        self._thread = threading.Thread(target=self._run, name="brokerlab-migration", daemon=True)
        self._thread.start()

    @property
    def latest(self) -> Course:
        """All that is known now."""
        return self._course

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every look, on the witness's thread."""
        self._listener = listener

    def close(self) -> None:
        """End the thread and the session."""
        self._closing.set()
        self._thread.join(5)
        self._leave()

    def _run(self) -> None:
        while not self._closing.wait(PERIOD):
            self._course = self._look()
            self._listener()

    def _look(self, first: bool = False) -> Course:
        now, before = time.time(), self._course
        try:
            status = self._lab.status()
        except BrokerLabError as error:
            self._leave()
            return Course(now, before.moments, before.mode, before.phase, str(error))
        facts = self._facts(status)
        moments = before.moments
        if first:
            moments = (Moment(now, facts),)
        elif facts != before.now:
            kept = [one for one in moments if one.at > now - KEPT_SECONDS]
            moments = (*(kept or moments[-1:]), Moment(now, facts))
        return Course(now, moments, status["mode"], status["phase"])

    def _facts(self, status: dict[str, Any]) -> Facts:
        known = self._in_zookeeper(status["zookeeper_connect"])
        addresses = [one for one in status["bootstrap_controllers"].split(",") if one]
        seen = self._lab.leader_among(addresses, ASK_SECONDS)
        if seen is None:
            return Facts(**known)
        fresh = (time.time() - FOLLOWS_SECONDS) * 1000
        followers = sorted(one.id for one in seen.observers if one.fetched > fresh)
        return Facts(**known, leader=seen.leader, followers=tuple(followers))

    def _in_zookeeper(self, address: str) -> dict[str, Any]:
        if not address:
            self._leave()
            return {}
        if self._client is None:
            self._client = KazooClient(**self._lab.zookeeper_client, timeout=2, logger=_SILENT)
            self._client.start_async().wait(2)
        try:
            if not self._client.connected:
                return {}
            names = self._client.get_children_async("/brokers/ids").get(timeout=ASK_SECONDS)
            chief, migration = self._read("/controller"), self._read("/migration")
        except (KazooException, KazooTimeoutError, ValueError):
            return {}
        return {
            "answers": True,
            "ids": tuple(sorted(int(name) for name in names)),
            "controller": chief["brokerid"] if chief else None,
            "taken_over": migration["kraft_controller_id"] if migration else None,
        }

    def _read(self, path: str) -> dict[str, Any] | None:
        assert self._client is not None
        try:
            data, _ = self._client.get_async(path).get(timeout=ASK_SECONDS)
        except NoNodeError:
            return None
        read: dict[str, Any] = json.loads(data)
        return read

    def _leave(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.stop()
            client.close()
