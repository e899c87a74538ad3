"""What is told of two snapshots that differ."""

from __future__ import annotations

from dataclasses import replace

import pytest
from brokerlab.observe import NodeView, PartitionView, Snapshot, TopicView, changes

NODES = (
    NodeView("zookeeper", "zookeeper", None, 2181, "running", 1),
    NodeView("broker-1", "broker", 1, 9092, "running", 2),
    NodeView("broker-2", "broker", 2, 9093, "running", 3),
)
PHOTOS = PartitionView("photos", 0, 1, (1, 2), (1, 2))
WHOLE = Snapshot(
    taken=100.0,
    reachable=True,
    cluster_id="c",
    controller=1,
    nodes=NODES,
    registered=(1, 2),
    topics=(TopicView("photos", False, (PHOTOS,)),),
    events=(),
    problem=None,
)
SILENT = "ZooKeeper does not answer: lab.repair() starts what is down."


def with_photos(*partitions: PartitionView) -> Snapshot:
    return replace(WHOLE, taken=101.0, topics=(TopicView("photos", False, partitions),))


def told(before: Snapshot, after: Snapshot) -> list[str]:
    return [event.text for event in changes(before, after)]


def test_nothing_changed_nothing_told() -> None:
    assert told(WHOLE, replace(WHOLE, taken=101.0)) == []
    # The order in which the ISR is listed has no meaning.
    assert told(WHOLE, with_photos(replace(PHOTOS, isr=(2, 1)))) == []


@pytest.mark.parametrize(
    "after, texts",
    [
        (
            replace(WHOLE, nodes=(*NODES[:2], replace(NODES[2], state="killed", pid=None))),
            ["broker-2 is killed"],
        ),
        (replace(WHOLE, registered=(1,)), ["ZooKeeper dropped broker 2"]),
        (replace(WHOLE, registered=(1, 2, 3)), ["ZooKeeper registered broker 3"]),
        (replace(WHOLE, registered=(), listed=False, problem=SILENT), []),
        (replace(WHOLE, controller=2), ["broker 2 is the controller"]),
        (replace(WHOLE, controller=None), []),
        (replace(WHOLE, topics=()), ["topic photos is gone"]),
        (
            replace(WHOLE, topics=(*WHOLE.topics, TopicView("new", False, ()))),
            ["topic new appeared"],
        ),
        (replace(WHOLE, topics=(*WHOLE.topics, TopicView("__new", True, ()))), []),
        (with_photos(replace(PHOTOS, leader=2)), ["photos 0 is led by broker 2"]),
        (with_photos(replace(PHOTOS, leader=None)), ["photos 0 has no leader"]),
        (with_photos(replace(PHOTOS, isr=(1,))), ["ISR of photos 0 is 1"]),
        (with_photos(PHOTOS, replace(PHOTOS, id=1)), ["photos 1 appeared"]),
        (replace(WHOLE, reachable=False, controller=None, topics=()), ["no broker answers"]),
    ],
)
def test_each_change_is_told_once(after: Snapshot, texts: list[str]) -> None:
    assert told(WHOLE, after) == texts


def test_after_silence_topics_are_not_taken_for_new() -> None:
    silent = replace(WHOLE, reachable=False, controller=None, topics=())
    assert told(silent, WHOLE) == ["the brokers answer again"]


def test_an_event_has_the_time_of_the_snapshot_that_showed_it() -> None:
    assert [event.at for event in changes(WHOLE, with_photos())] == []
    assert [e.at for e in changes(WHOLE, with_photos(replace(PHOTOS, leader=2)))] == [101.0]


def test_without_zookeeper_the_controller_is_who_lists() -> None:
    before = replace(WHOLE, mode="kraft", controller=3001)
    after = replace(before, registered=(1,), controller=3002)
    assert told(before, after) == [
        "the controller dropped broker 2",
        "controller 3002 leads the controllers",
    ]


def test_without_zookeeper_nobody_lists_while_no_broker_answers() -> None:
    before = replace(WHOLE, mode="kraft", controller=3001)
    after = replace(before, registered=(), listed=False, reachable=False)
    assert told(before, after) == ["no broker answers"]
