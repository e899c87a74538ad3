"""Thousands of pictures through a storm: none missing, none twice; and a careless queue in the same storm, which loses some."""

from __future__ import annotations

import pytest
from brokerlab.lab import Lab
from brokerlab.pipeline.audit import audit
from brokerlab.pipeline.store import Store
from queues import Queue, until
from storm import Storm, is_poison

pytestmark = [pytest.mark.cluster, pytest.mark.faults, pytest.mark.slow]

COUNT = 3_000
SETTLE = 180.0


@pytest.mark.timeout(900)
def test_nothing_is_missing_after_the_storm(lab: Lab, queue: Queue) -> None:
    storm = Storm(lab, queue)
    storm.begin()
    camera = storm.run(COUNT)
    with Store(queue.file) as store:
        until(lambda: store.counts().backlog == 0, SETTLE)
        found = audit(store, queue.cluster, queue.names)
        assert found.missing == () and found.duplicate_effects == 0 and found.sound, found
        assert found.settled and found.accepted == COUNT
        jobs = {job.id: job for job in store.jobs(limit=2 * COUNT)}
    assert camera.ids.keys() == set(range(COUNT))
    assert jobs.keys() == set(camera.ids.values()), "no picture has two ids, and no two have one"
    poison = {camera.ids[number] for number in range(COUNT) if is_poison(number)}
    given_up = {id: (job.code, job.reason) for id, job in jobs.items() if job.state != "done"}
    assert given_up.keys() == poison
    assert all(code == "truncated" and reason for code, reason in given_up.values())
    assert camera.sent_again > 0, "the API server was away for a while"


@pytest.mark.timeout(900)
def test_the_careless_queue_loses_pictures_in_the_same_storm(lab: Lab, queue: Queue) -> None:
    storm = Storm(lab, queue, module="brokerlab.pipeline.careless", careful=False)
    storm.begin()
    camera = storm.run(COUNT)
    with Store(queue.file) as store:
        # It never comes to its end, so that is not waited for: only until nothing moves any more.
        seen = [-1.0]

        def still() -> bool:
            seen.append(audit(store, queue.cluster, queue.names).in_flight)
            return seen[-1] == 0

        until(still, SETTLE)
        found = audit(store, queue.cluster, queue.names)
    assert len(camera.ids) == COUNT == found.accepted
    assert found.missing, found
