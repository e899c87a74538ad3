"""The queue that a notebook holds: begins empty, knows its parts, and leaves nothing."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import psutil
import pytest
from brokerlab.errors import NodeFailedError, SettingError
from brokerlab.lab import Lab
from brokerlab.mlqueue import MLQueue
from brokerlab.pipeline.camera import Camera
from queues import until

pytestmark = pytest.mark.cluster

PREFIX = "held"


@pytest.fixture
def held(lab: Lab) -> Iterator[MLQueue]:
    with MLQueue(lab, PREFIX) as made:
        yield made


def send(held: MLQueue, jpeg: bytes, count: int) -> None:
    with Camera(lambda: held.url, lambda number: jpeg, count, 100) as camera:
        camera.wait(30)


def test_pictures_go_through_and_the_audit_finds_each(held: MLQueue, jpeg: bytes) -> None:
    held.begin(workers=2)
    assert held.workers == ("worker-1", "worker-2")
    send(held, jpeg, 50)
    found = held.settle()
    assert (found.accepted, found.done, found.missing) == (50, 50, ())
    said = [event for name in held.workers for event in held.parts[name].events]
    assert sum(event["event"] == "done" for event in said) >= 50


def test_a_killed_part_comes_back_under_its_name_and_address(held: MLQueue, jpeg: bytes) -> None:
    held.begin(workers=1)
    url = held.url
    for name in ("api", "relay", "collector", "worker-1"):
        held.kill(name)
        assert held.parts[name].exit_code == -signal.SIGKILL
        assert name not in held.workers
        held.start(name)
    assert held.url == url
    send(held, jpeg, 10)
    assert held.settle().done == 10
    assert held.stop("worker-1") == 0 and held.workers == ()


def test_the_next_queue_of_this_prefix_begins_empty(lab: Lab, held: MLQueue, jpeg: bytes) -> None:
    held.begin(workers=1)
    send(held, jpeg, 20)
    held.settle()
    held.end()
    with MLQueue(lab, PREFIX) as next_one:
        assert next_one.audit().accepted == 0
        next_one.begin(workers=1)
        send(next_one, jpeg, 20)
        found = next_one.settle()
        assert (found.accepted, found.done, found.strays) == (20, 20, 0)


def test_a_cell_that_is_run_again_leaves_no_second_queue(lab: Lab, held: MLQueue) -> None:
    relay = held.start("relay")
    with MLQueue(lab, PREFIX) as again:
        assert held.ended and not relay.running and not held._file.exists()
        held.end()
        assert not again.ended and set(again.names.topics) <= lab.topics()


def test_options_are_those_of_the_command_line(held: MLQueue, jpeg: bytes) -> None:
    held.begin(workers=0)
    with pytest.raises(NodeFailedError, match=r"nowhere\.onnx"):
        held.start("worker-1", model="nowhere.onnx")
    assert held.workers == ()


def test_workers_step_back_where_they_are_told_to(held: MLQueue) -> None:
    held.begin(workers=1, nice=10)
    assert psutil.Process(held.parts["worker-1"].pid).nice() == psutil.Process().nice() + 10
    assert psutil.Process(held.parts["api"].pid).nice() == psutil.Process().nice()


def test_as_many_workers_run_as_are_asked_for(held: MLQueue) -> None:
    held.scale(3)
    assert held.workers == ("worker-1", "worker-2", "worker-3")
    held.kill("worker-2")
    held.scale(3)
    assert held.workers == ("worker-1", "worker-2", "worker-3")
    held.scale(1)
    assert held.workers == ("worker-1",)
    assert [held.parts[name].exit_code for name in ("worker-2", "worker-3")] == [0, 0]
    held.scale(1)
    held.scale(0)
    assert held.workers == ()


def test_what_cannot_be_done_is_one_sentence(held: MLQueue) -> None:
    with pytest.raises(SettingError, match="no API server yet"):
        _ = held.url
    for name in ("worker", "api-1", "worker-x", "broker-1", ""):
        with pytest.raises(SettingError, match="has no part"):
            held.start(name)
    with pytest.raises(SettingError, match="0 workers or more, and -1 is not"):
        held.scale(-1)
    with pytest.raises(SettingError, match=r"relay does not run: queue.start\('relay'\)"):
        held.kill("relay")
    held.start("relay")
    with pytest.raises(SettingError, match="relay runs already"):
        held.start("relay")


def test_pictures_that_wait_for_ever_are_told(held: MLQueue, jpeg: bytes) -> None:
    held.begin(workers=0)
    send(held, jpeg, 3)
    with pytest.raises(NodeFailedError, match="After 1 s this many pictures have no outcome: 3"):
        held.settle(1)
    assert held.audit().in_flight == 3


def test_nothing_is_left(lab: Lab, jpeg: bytes) -> None:
    with MLQueue(lab, PREFIX) as held:
        held.begin(workers=1)
        parts, file = list(held.parts.values()), held._file
        assert file.exists()
    held.end()
    assert not any(part.running for part in parts)
    assert not list(file.parent.glob(f"{file.name}*"))
    assert not {name for name in lab.topics() if name.startswith(PREFIX)}


def test_how_a_part_stands_is_what_its_process_does(held: MLQueue) -> None:
    first = held.start("relay")
    assert first.state == "running"
    held.pause("relay")
    until(lambda: first.state == "paused", 10)
    held.resume("relay")
    until(lambda: first.state == "running", 10)
    assert held.former == []
    held.kill("relay")
    assert first.state == "killed"
    second = held.start("relay")
    assert held.former == [("relay", first)] and held.parts["relay"] is second
    assert held.stop("relay") == 0 and second.state == "stopped"
    with pytest.raises(SettingError, match="relay does not run"):
        held.pause("relay")
    assert not held.ended
