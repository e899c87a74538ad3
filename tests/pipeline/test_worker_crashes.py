"""Workers on a real cluster that are killed, frozen and stopped in the middle of a picture, and pictures that kill them."""

from __future__ import annotations

import signal
import sys
from io import BytesIO
from typing import Any

import pytest
from brokerlab.background import Background
from brokerlab.pipeline.audit import Audit, audit
from brokerlab.pipeline.clients import PARTITIONS
from brokerlab.pipeline.scenes import scene
from brokerlab.pipeline.store import Store
from confluent_kafka import TopicPartition
from PIL import Image
from queues import Queue, until

pytestmark = pytest.mark.cluster


def heavy() -> bytes:
    """Return a picture of 100 kB that takes a good second: 24 million pixels, with alpha."""
    picture = Image.linear_gradient("L").resize((4900, 4900)).convert("RGBA")
    picture.putalpha(128)
    file = BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def begun(queue: Queue) -> bool:
    """Whether a worker has begun a picture, as its mark says, and not committed it."""
    reader = queue.cluster.consumer(queue.names.workers)
    try:
        places = [TopicPartition(queue.names.requests, number) for number in range(PARTITIONS)]
        return any(one.metadata == "1" for one in reader.committed(places, timeout=10))
    finally:
        reader.close()


def settled(queue: Queue, store: Store, seconds: float = 60.0) -> Audit:
    """Wait until every picture has its outcome; return the audit."""
    until(lambda: store.counts().backlog == 0, seconds)
    return audit(store, queue.cluster, queue.names)


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_worker_that_ends_in_the_middle_of_a_picture_loses_nothing(
    queue: Queue, store: Store, jpeg: bytes, end: str
) -> None:
    queue.start("relay")
    queue.start("collector")
    worker = queue.start("worker")
    worker.wait_for('"assigned"')
    store.accept(heavy(), "image/png")
    until(lambda: begun(queue))
    for number in range(20):
        store.accept(jpeg + bytes(number), "image/jpeg")
    code = worker.kill() if end == "kill" else worker.stop(20)
    assert code == (-signal.SIGKILL if end == "kill" else 0)
    queue.start("worker")
    found = settled(queue, store)
    assert (found.done, found.missing, found.duplicate_effects) == (21, (), 0), str(found)
    if end == "stop":
        assert found.duplicates == 0, str(found)
        assert any('"done"' in line for line in worker.lines), "the picture at hand was finished"


def test_a_worker_that_was_frozen_past_its_session_does_no_harm(
    queue: Queue, store: Store, jpeg: bytes
) -> None:
    queue.start("relay")
    queue.start("collector")
    frozen = queue.start("worker")
    frozen.wait_for('"assigned"')
    store.accept(heavy(), "image/png")
    until(lambda: begun(queue))
    frozen.pause()
    for number in range(30):
        store.accept(jpeg + bytes(number), "image/jpeg")
    queue.start("worker")
    found = settled(queue, store)
    frozen.resume()
    until(lambda: sum('"done"' in line for line in frozen.lines) or not frozen.running)
    assert frozen.stop(20) == 0
    found = audit(store, queue.cluster, queue.names)
    assert (found.done, found.missing, found.duplicate_effects) == (31, (), 0), str(found)


DEADLY = """
import os, signal, sys
from pathlib import Path
from brokerlab.pipeline.clients import Cluster
from brokerlab.pipeline.detector import Detector
from brokerlab.pipeline.messages import Names
from brokerlab.pipeline.worker import Worker

class Eyes(Detector):
    def detect(self, picture):
        if picture.endswith(b"deadly"):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().detect(picture)

Worker(Cluster.of(sys.argv[1], Path(sys.argv[2])), Eyes(), Names(sys.argv[3])).run()
"""


def test_a_picture_that_kills_its_workers_is_given_up_and_its_neighbours_are_not(
    lab: Any, queue: Queue, store: Store, jpeg: bytes
) -> None:
    queue.start("relay")
    queue.start("collector")
    ids = [store.accept(jpeg + bytes(number), "image/jpeg").id for number in range(40)]
    deadly = store.accept(jpeg + b"deadly", "image/jpeg").id
    ids += [store.accept(jpeg + bytes(40 + number), "image/jpeg").id for number in range(40)]
    deaths = 0
    where = [lab.bootstrap_servers, str(lab.client_file), queue.names.prefix]
    while store.counts().backlog:
        assert deaths < 8, "one deadly picture would otherwise kill for ever"
        part = Background([sys.executable, "-c", DEADLY, *where], name="worker")
        queue.parts.append(part)
        until(lambda part=part: not part.running or not store.counts().backlog)
        deaths += not part.running
    assert 3 <= deaths <= 5
    found = settled(queue, store)
    job = store.job(deadly)
    assert job is not None and (job.state, job.code) == ("dead-lettered", "crash")
    assert (found.done, found.dead_lettered, found.missing) == (80, 1, ()), str(found)


def test_work_is_shared_and_given_over_without_a_duplicate(queue: Queue, store: Store) -> None:
    picture = scene(seed=3, index=1).picture
    queue.start("relay")
    queue.start("collector")
    first = queue.start("worker")
    for number in range(500):
        store.accept(picture + bytes(number), "image/jpeg")
    first.wait_for('"done"')
    second = queue.start("worker")
    second.wait_for('"done"')
    assert first.stop(20) == 0
    found = settled(queue, store)
    assert (found.done, found.duplicates) == (500, 0), str(found)
    for worker in (first, second):
        assert sum('"done"' in line for line in worker.lines) > 20
