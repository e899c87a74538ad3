"""The observer's beat."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import brokerlab
import brokerlab.observe
import pytest
from brokerlab import control, settings
from brokerlab.observe import Observer, Snapshot, snapshot
from brokerlab.progress import Progress


@pytest.mark.parametrize("lasts", [0.0, 0.06])
def test_the_time_that_a_snapshot_takes_is_part_of_the_period(
    monkeypatch: pytest.MonkeyPatch, lasts: float
) -> None:
    taken: list[float] = []
    enough = threading.Event()

    def slow(_: Any) -> Snapshot:
        taken.append(time.monotonic())
        if len(taken) == 12:
            enough.set()
        time.sleep(lasts)
        return Snapshot(time.time(), True, None, None, (), (), (), (), None)

    monkeypatch.setattr(brokerlab.observe, "snapshot", slow)
    observer = Observer(lab=None, period=0.1)  # type: ignore[arg-type]
    try:
        assert enough.wait(30)
    finally:
        observer.close()
    shortest = min(after - before for before, after in pairwise(taken[1:]))
    assert 0.09 <= shortest < 0.1 + max(lasts, 0.03), "the wait and the work are not added up"


def test_a_snapshot_that_takes_longer_than_the_period_leaves_a_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended: list[float] = []
    rests: list[float] = []
    enough = threading.Event()

    def slow(_: Any) -> Snapshot:
        if ended:
            rests.append(time.monotonic() - ended[-1])
        time.sleep(0.05)
        ended.append(time.monotonic())
        if len(ended) == 5:
            enough.set()
        return Snapshot(time.time(), True, None, None, (), (), (), (), None)

    monkeypatch.setattr(brokerlab.observe, "snapshot", slow)
    observer = Observer(lab=None, period=0.01)  # type: ignore[arg-type]
    try:
        assert enough.wait(30)
    finally:
        observer.close()
    assert min(rests) >= 0.9 * brokerlab.observe.REST


@pytest.mark.cluster
def test_a_supervisor_that_has_no_nodes_yet_is_a_lab_that_does_not_answer(home: Path) -> None:
    lab = brokerlab.start(brokers=1, progress=Progress())
    assert snapshot(lab).problem is None
    lab.stop()
    control._spawn(lab.folder, settings.read(), Progress())
    seen = snapshot(lab)
    assert not seen.reachable and seen.nodes == ()
    assert seen.problem is not None
    assert seen.problem.startswith("ZooKeeper does not answer and no broker answers")
