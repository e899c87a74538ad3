"""Thousands of pictures through a storm: none missing, none twice; and a careless queue in the same storm, which loses some."""

from __future__ import annotations

import pytest
from brokerlab.lab import Lab
from brokerlab.mlqueue import MLQueue
from brokerlab.pipeline.camera import Camera
from brokerlab.storm import Storm, is_poison, picture

pytestmark = [pytest.mark.cluster, pytest.mark.faults, pytest.mark.slow]

COUNT = 3_000
PER_SECOND = 40
SETTLE = 180.0


def send_through_a_storm(queue: MLQueue) -> Camera:
    queue.begin(workers=2)
    with Camera(lambda: queue.url, picture, None, PER_SECOND) as camera:
        Storm(queue).run(camera, COUNT)
    return camera


@pytest.mark.timeout(900)
def test_nothing_is_missing_after_the_storm(lab: Lab) -> None:
    with MLQueue(lab, "storm") as queue:
        camera = send_through_a_storm(queue)
        found = queue.settle(SETTLE)
        assert found.missing == () and found.duplicate_effects == 0 and found.sound, found
        sent = camera.count or 0
        assert found.settled and found.accepted == sent >= COUNT
        jobs = {job.id: job for job in queue.store.jobs(limit=2 * sent)}
    assert camera.ids.keys() == set(range(sent))
    assert jobs.keys() == set(camera.ids.values()), "no picture has two ids, and no two have one"
    poison = {camera.ids[number] for number in range(sent) if is_poison(number)}
    given_up = {id: (job.code, job.reason) for id, job in jobs.items() if job.state != "done"}
    assert given_up.keys() == poison
    assert all(code == "truncated" and reason for code, reason in given_up.values())
    assert any(one.tries > 1 for one in camera.sent), "the API server was away for a while"


@pytest.mark.timeout(900)
def test_the_careless_queue_loses_pictures_in_the_same_storm(lab: Lab) -> None:
    with MLQueue(lab, "careless-storm", careless=True) as queue:
        camera = send_through_a_storm(queue)
        # What it dropped is missing at once. Some of the rest stays in flight for ever, so that is not waited for.
        found = queue.audit()
    assert len(camera.ids) == camera.count == found.accepted >= COUNT
    assert found.missing, found
