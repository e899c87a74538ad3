"""Workers that are killed between the work, its effect and the commit: each effect once, and none missing."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from brokerlab.background import Background
from brokerlab.lab import Lab
from history import Sender, Verdict, judge
from keeper import BATCH

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

KEEPER = Path(__file__).with_name("keeper.py")
COUNT = 2_000
SESSION = 6.0
KILLED_AT = ("handed over", "kept", "handed over", "kept", "kept")


class Keeper:
    """A keeper that is led from one halt to the next."""

    def __init__(self, lab: Lab, topic: str, database: Path) -> None:
        self._heard = 0
        self.begun = time.monotonic()
        self._process = Background(
            [
                *(sys.executable, "-u", str(KEEPER)),
                *(str(lab.client_file), topic, "keepers", str(database), str(int(SESSION * 1000))),
            ],
            name="keeper",
            keep=10_000,
        )

    def halt(self, seconds: float = 30.0) -> str:
        """Return where it halts next."""
        limit = time.monotonic() + seconds
        while len(self._process.lines) <= self._heard:
            assert self._process.running, self._process.lines[-3:]
            assert time.monotonic() < limit, f"it did not halt within {seconds:g} s"
            time.sleep(0.005)
        self._heard += 1
        return self._process.lines[self._heard - 1]

    def go_on_to(self, *places: str, seconds: float = 30.0) -> str:
        """Let it go on until it halts at one of these places."""
        limit = time.monotonic() + seconds
        while (place := self.halt(seconds)) not in places:
            assert time.monotonic() < limit, f"it did not come to {places} within {seconds:g} s"
            self._process.write("")
        return place

    def go_on(self) -> None:
        self._process.write("")

    def kill(self) -> None:
        self._process.kill()


def test_a_worker_is_killed_before_and_after_its_effect(
    lab: Lab, topic: str, seen: Callable[[], list[int]], tmp_path: Path
) -> None:
    history = Sender(lab.client, topic, 2_000, COUNT, acks="all").finish()
    assert judge(history, seen()) == Verdict((), (), ())
    database = tmp_path / "effects.sqlite"
    takeovers = []
    for place in KILLED_AT:
        keeper = Keeper(lab, topic, database)
        keeper.go_on_to("handed over")
        takeovers.append(time.monotonic() - keeper.begun)
        keeper.go_on()
        keeper.go_on_to("committed")
        keeper.go_on()
        keeper.go_on_to(place)
        keeper.kill()
    last = Keeper(lab, topic, database)
    while last.go_on_to("idle", "committed") != "idle" or kept(database) < COUNT:
        last.go_on()
    last.kill()

    assert max(takeovers) <= SESSION + 5
    with closing(sqlite3.connect(database)) as open_database:
        deliveries = [n for (n,) in open_database.execute("select number from deliveries")]
        effects = [n for (n,) in open_database.execute("select number from effects")]
    assert judge(history, effects) == Verdict((), (), ())
    repeated = len(deliveries) - COUNT
    kept_before_the_kill = KILLED_AT.count("kept")
    assert 0 < repeated <= kept_before_the_kill * BATCH


def kept(database: Path) -> int:
    with closing(sqlite3.connect(database)) as open_database:
        count: int = open_database.execute("select count(*) from effects").fetchone()[0]
    return count
