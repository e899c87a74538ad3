"""A load bench with its real processes; those behind Kafka need a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from brokerlab.background import Background
from brokerlab.errors import BrokerLabError, NodeFailedError
from brokerlab.frontdesk import Answer, ask, crowd
from brokerlab.loadbench import PARTITIONS, TOPIC, Bench, cores
from brokerlab.loadledger import KAFKA, MEMORY, WAIT, Load, Run
from brokerlab.work import recognise, rounds_for
from confluent_kafka.admin import AdminClient
from nowhere import Nowhere

LIMIT = 120.0


def parts() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "brokerlab.benchparts" in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


def until(bench: Bench, true: Callable[[Run], bool]) -> Run:
    end = time.monotonic() + LIMIT
    while not true(run := bench.run):
        assert time.monotonic() < end, run
        assert not bench.over, run
        time.sleep(0.02)
    return run


def test_the_work_is_real_and_cannot_be_guessed() -> None:
    assert recognise("17", 1000) == recognise("17", 1000)
    assert len({recognise("17", 1000), recognise("18", 1000), recognise("17", 1001)}) == 3
    assert rounds_for(0.2) == pytest.approx(2 * rounds_for(0.1), rel=0.01)
    begun = time.process_time()
    recognise("17", rounds_for(0.2))
    assert time.process_time() - begun > 0.05


def test_a_desk_without_callers_is_no_answer() -> None:
    assert ask(1, "17", patience=1).status == "failed"


def test_callers_beyond_the_capacity_give_up_and_are_worked_for_in_vain() -> None:
    with Bench(None, Load(WAIT, rate=20, work=0.1, seconds=3)) as bench:
        run = bench.wait(LIMIT)
    assert run.count("timed out") > 0
    assert run.in_vain > 0
    assert run.lost == 0
    assert len(run.calls) == run.accepted + run.count("timed out") + run.count("failed") == 60
    assert run.capacity is not None and run.arrival_rate is not None
    assert run.capacity < run.arrival_rate
    assert run.growth is not None and run.growth > 2
    assert parts() == []


def test_a_queue_in_memory_accepts_at_once_and_loses_with_its_process() -> None:
    with Bench(None, Load(MEMORY, rate=20, work=0.1, seconds=4)) as bench:
        until(bench, lambda run: run.accepted > 20 and run.waiting > 5)
        assert "service was killed" in bench.kill()
        run = bench.wait(LIMIT)
    assert run.lost > 0
    assert run.accepted == run.done + run.lost + run.waiting - _done_unanswered(run)
    assert len(run.kills) == 1


def _done_unanswered(run: Run) -> int:
    return sum(call.done_after is not None and call.status != "answered" for call in run.calls)


def test_waiting_for_the_camera_needs_no_core() -> None:
    load = Load(MEMORY, rate=5, work=0.01, fetch=0.3, workers=4 * cores(), seconds=3)
    with Bench(None, load) as bench:
        run = bench.wait(LIMIT)
    assert run.service_time is not None and run.service_time >= 0.29
    assert run.done == run.accepted == 15


def test_closing_in_the_middle_leaves_no_process() -> None:
    bench = Bench(None, Load(MEMORY, rate=10, work=0.05, seconds=30))
    until(bench, lambda run: len(run.calls) > 3)
    bench.close()
    assert bench.over and parts() == []
    assert bench.run.phase == "over"


def test_nothing_can_be_killed_before_and_after() -> None:
    bench = Bench(None, Load(MEMORY, rate=2, work=0.01, seconds=1))
    with pytest.raises(BrokerLabError, match="start a run first"):
        bench.kill()
    bench.wait(LIMIT)
    with pytest.raises(BrokerLabError, match="start a run first"):
        bench.kill()


def test_wait_has_a_limit() -> None:
    with (
        Bench(None, Load(MEMORY, rate=2, seconds=30)) as bench,
        pytest.raises(NodeFailedError, match="still runs after"),
    ):
        bench.wait(0.1)


def test_crowd_calls_at_once(tmp_path: Any) -> None:
    import sys

    program = tmp_path / "desk.py"
    program.write_text(
        "from brokerlab.frontdesk import serve\n"
        "def accept(photo):\n"
        "    if photo == '3':\n"
        "        raise ValueError\n"
        "serve(accept)\n"
    )
    desk = Background([sys.executable, str(program)], name="desk")
    try:
        port = int(desk.wait_for("listening").split()[-1])
        answers: list[Answer] = crowd(port, callers=6, patience=30)
    finally:
        desk.kill()
    statuses = {answer.photo: answer.status for answer in answers}
    assert statuses.pop("3") == "failed", "who was not accepted is not answered"
    assert set(statuses.values()) == {"answered"}
    assert len(desk.lines) == 1, "no traceback"


@pytest.mark.cluster
def test_behind_kafka_nothing_is_lost_when_a_worker_is_killed(lab: Any) -> None:
    try:
        with Bench(lab, Load(KAFKA, rate=8, work=0.05, workers=2, seconds=5)) as bench:
            until(bench, lambda run: run.done > 5)
            assert "worker was killed" in bench.kill()
            run = bench.wait(LIMIT)
        assert run.accepted == 40
        assert (run.lost, run.waiting) == (0, 0)
        assert run.done == 40 and run.twice <= 2
        assert parts() == []
        admin = AdminClient({**lab.client, "log_level": 0})
        assert len(admin.list_topics(timeout=10).topics[TOPIC].partitions) == PARTITIONS
        with Bench(lab, Load(KAFKA, rate=4, work=0.01, workers=1, seconds=1)) as again:
            assert again.wait(LIMIT).done == 4, "what earlier runs left is not done again"
    finally:
        lab.delete_topics(TOPIC)


@pytest.mark.cluster
def test_a_cluster_that_does_not_answer_is_a_sentence(tmp_path: Path) -> None:
    with (
        Bench(Nowhere(tmp_path), Load(KAFKA, seconds=1)) as bench,
        pytest.raises(NodeFailedError, match=r"Kafka does not answer the load bench"),
    ):
        bench.wait(LIMIT)
    assert parts() == []
