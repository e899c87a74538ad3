"""From ZooKeeper to controllers, step by step, while messages flow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import brokerlab
import pytest
from brokerlab import observe
from brokerlab.errors import NodeFailedError
from brokerlab.progress import Progress
from brokerlab.traffic import Traffic
from confluent_kafka.admin import AdminClient, NewTopic
from homes import fresh_home

pytestmark = pytest.mark.cluster

LATER = ("join_brokers", "move_brokers", "finalise", "stop_zookeeper")


@pytest.fixture(scope="module")
def old_lab() -> Iterator[Any]:
    with fresh_home():
        lab = brokerlab.start(brokers=3, name="old", runtime="local", progress=Progress())
        yield lab
        lab.stop()


def test_the_lab_of_the_other_lessons_is_not_migrated(lab: Any) -> None:
    with pytest.raises(NodeFailedError, match="Only a lab of its own"):
        lab.migration.start_controller()
    assert lab.mode == "zookeeper"


def test_steps_keep_their_order(old_lab: Any) -> None:
    for step in LATER:
        with pytest.raises(NodeFailedError, match=r"turn of lab\.migration\.start_controller\(\)"):
            getattr(old_lab.migration, step)()


def test_nothing_is_lost_on_the_way(old_lab: Any) -> None:
    admin = AdminClient({**old_lab.client, "log_level": 0})
    admin.create_topics([NewTopic("photos", 3, 3)])["photos"].result(15)
    safe = {"acks": "all", "enable.idempotence": True}
    traffic = Traffic(old_lab, "photos", 200, settings=safe)
    migration = old_lab.migration
    assert "+ process.roles=controller" in migration.start_controller().lines()
    assert old_lab.mode == "migrating" and old_lab.state == "usable"

    old_lab.brokers[3].stop()
    with pytest.raises(NodeFailedError, match="broker-3 must run before the next step"):
        migration.join_brokers()
    old_lab.repair()

    assert list(migration.join_brokers().changes) == ["broker-1", "broker-2", "broker-3"]
    assert observe.snapshot(old_lab).controller == 3001
    with pytest.raises(NodeFailedError, match="No broker can join"):
        old_lab.add_broker()
    moved = migration.move_brokers()
    assert "- broker.id=1" in moved.lines() and "+ node.id=1" in moved.lines("node.id")
    migration.finalise()
    migration.stop_zookeeper()
    assert (old_lab.mode, old_lab.state) == ("kraft", "usable")
    assert "zookeeper" not in old_lab.nodes and not old_lab.zookeeper_connect

    old_lab.brokers[1].kill()
    old_lab.brokers[1].start()
    traffic.stop()
    outcome = traffic.outcome()
    assert outcome.acknowledged > 1000 and not outcome.lost
    with pytest.raises(NodeFailedError, match="nothing to migrate"):
        migration.finalise()
    joined = old_lab.add_broker()
    assert "process.roles=broker" in joined.properties
    assert old_lab.state == "usable"
