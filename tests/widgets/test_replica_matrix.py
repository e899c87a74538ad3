from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import widget_fakes as fakes
from brokerlab.errors import SettingError
from brokerlab.observe import NodeView, PartitionView, Snapshot, TopicView, wait_until
from brokerlab.traffic import Ledger, Traffic
from brokerlab.widgets import ReplicaMatrix
from brokerlab.widgets.leadership import LED, NONE, SILENT, UNKNOWN, after, standing
from brokerlab.widgets.scene import Element
from confluent_kafka.admin import AdminClient, NewTopic
from widget_fakes import FakeLab, FakeObserver, found, notice, snapshot, topic, until, words

Make = Callable[..., ReplicaMatrix]
NOW = 1_700_000_100.0
UP = fakes.nodes()
DOWN_2 = fakes.nodes(brokers=("running", "killed", "running"))
FROZEN_2 = fakes.nodes(brokers=("running", "paused", "running"))
LEDGER = Ledger(900, tuple(range(820)), {"_MSG_TIMED_OUT": 3}, 0, 77, 2.9, {0: 2.9, 1: 4.1})


class FakeTraffic:
    ledger = LEDGER


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[ReplicaMatrix] = []

    def one(seen: Snapshot | None = None, name: str = "photos", **options: Any) -> ReplicaMatrix:
        observer = FakeObserver(seen or at(0))
        made.append(ReplicaMatrix(FakeLab(), name, observer=observer, **options))
        return made[-1]

    yield one
    for view in made:
        view.close()


def at(seconds: float, **changes: Any) -> Snapshot:
    return snapshot(taken=NOW + seconds, **changes)


def replaced(view: TopicView, *partitions: PartitionView) -> TopicView:
    changed = {partition.id: partition for partition in partitions}
    kept = tuple(changed.get(partition.id, partition) for partition in view.partitions)
    return dataclasses.replace(view, partitions=kept)


def without_leader() -> TopicView:
    """Photos, whose partition 1 waits for broker 2."""
    return replaced(topic("photos"), PartitionView("photos", 1, None, (2, 3, 1), (2,)))


def show(view: ReplicaMatrix, *seen: Snapshot) -> None:
    for one in seen:
        view._observer.show(one)


def drawn(view: ReplicaMatrix) -> Element:
    return view.draw(view.look())


def roles(view: ReplicaMatrix, broker: int) -> list[str]:
    (column,) = found(drawn(view), data_node=f"broker-{broker}")
    cells = [e for e in found(column, role="img") if "data-partition" in e[1]]
    return [cell[1]["data-role"] for cell in cells]


def clocks(view: ReplicaMatrix) -> list[str]:
    return [words(clock).strip() for clock in found(drawn(view), role="timer")]


def headline(view: ReplicaMatrix) -> str:
    (strip,) = [e for e in found(drawn(view)) if "data-headline" in e[1]]
    return f"{strip[1]['data-headline']}: {words(strip)}"


def test_each_cell_says_the_role_of_a_replica(make: Make) -> None:
    view = make()
    assert [roles(view, broker) for broker in (1, 2, 3)] == [
        ["leader", "follower", "follower"],
        ["follower", "leader", "follower"],
        ["follower", "follower", "leader"],
    ]
    assert clocks(view) == ["none so far"] * 3
    assert headline(view).startswith("fine: ")


@pytest.mark.parametrize("nodes", [DOWN_2, FROZEN_2])
def test_a_dead_leader_that_the_metadata_still_names_is_told_apart(
    make: Make, nodes: tuple[NodeView, ...]
) -> None:
    view = make()
    show(view, at(10, nodes=nodes), at(12.3, nodes=nodes))
    assert roles(view, 2) == ["silent-follower", "silent-leader", "silent-follower"]
    assert clocks(view) == ["none so far", "2.3 s", "none so far"]
    assert "Broker 2 does not answer, but ZooKeeper has not noticed" in headline(view)
    assert [reign.kind for reign in view.look().past[1].reigns] == [LED, SILENT]


def test_once_zookeeper_has_noticed_it_is_the_controllers_turn(make: Make) -> None:
    view = make(at(0, nodes=DOWN_2, registered=(1, 3)))
    assert "Broker 2: gone, says ZooKeeper" in headline(view)


def test_the_clock_stops_when_another_broker_leads_and_keeps_the_longest(make: Make) -> None:
    view = make()
    away = {"nodes": DOWN_2, "registered": (1, 3)}
    moved = (fakes.without(topic("photos"), 2),)
    show(view, at(10, nodes=DOWN_2), at(13, topics=moved, **away))
    assert clocks(view)[1] == "last 3.0 s"
    assert roles(view, 2) == ["out-of-sync"] * 3
    assert "3 of 9 replicas are out of sync" in headline(view)
    show(view, at(20), at(30, nodes=DOWN_2), at(31, topics=moved, **away))
    assert clocks(view)[1] == "last 1.0 s · most 3.0"
    assert view.longest == {1: 3.0}


def test_no_leader_at_all_is_one_gap_with_the_silence_before_it(make: Make) -> None:
    view = make()
    gone = {"nodes": DOWN_2, "registered": (1, 3), "topics": (without_leader(),)}
    show(view, at(10, nodes=DOWN_2), at(13, **gone), at(15, **gone))
    assert clocks(view)[1] == "5.0 s"
    assert [reign.kind for reign in view.look().past[1].reigns] == [LED, SILENT, NONE]
    assert roles(view, 2)[1] == "last"
    assert roles(view, 1)[1] == "out-of-sync"
    assert "Partition 1 has no leader: only broker 2 surely has every message." in headline(view)
    show(view, at(20))
    assert clocks(view)[1] == "last 10.0 s"


def test_a_lost_cluster_keeps_counting_with_what_was_last_seen(make: Make) -> None:
    view = make()
    show(view, dataclasses.replace(fakes.lost(), taken=NOW + 5))
    show(view, dataclasses.replace(fakes.lost(), taken=NOW + 6.5))
    assert clocks(view) == ["1.5 s"] * 3
    assert headline(view).startswith("lost: Cluster lost: no broker answers")


def test_a_lab_that_is_gone_counts_nothing(make: Make) -> None:
    view = make()
    gone = {"reachable": False, "nodes": (), "topics": (), "problem": "There is no lab."}
    show(view, at(5, **gone), at(9, **gone))
    assert clocks(view) == ["none so far"] * 3
    assert view.look().past[0].now.kind == UNKNOWN
    assert "There is no lab." in headline(view)


def test_silence_of_the_cluster_is_no_news() -> None:
    partition = topic("photos").partitions[0]
    assert standing(partition, UP, reachable=False) is None
    before = after(None, (LED, 1), NOW, 60)
    assert after(before, None, NOW + 5, 60) is before


def test_what_is_older_than_the_time_line_is_dropped() -> None:
    past = after(None, (LED, 1), NOW, 60)
    for second in range(0, 200, 10):
        past = after(past, (LED, second // 10 % 2 + 1), NOW + second, 60)
    assert all(reign.end is None or reign.end > NOW + 190 - 60 for reign in past.reigns)
    assert len(past.reigns) == 7


def test_the_time_line_names_who_led(make: Make) -> None:
    view = make()
    moved = (fakes.without(topic("photos"), 2),)
    show(view, at(40, nodes=DOWN_2), at(43, nodes=DOWN_2, topics=moved), at(60))
    (lane,) = found(drawn(view), data_lane="partition 1")
    said = words(lane)
    assert "broker 2" in said and "broker 3" in said and "broker 2 does not answer" in said


def test_the_traffic_shows_its_figures(make: Make) -> None:
    scene = drawn(make(traffic=FakeTraffic()))
    figures = {
        e[1]["data-figure"]: e[1]["data-value"] for e in found(scene) if "data-figure" in e[1]
    }
    assert figures == {
        "acknowledged": "820",
        "waiting": "77",
        "failed": "3",
        "longest pause (p 1)": "4.1 s",
    }


@pytest.mark.parametrize(
    ("state", "verbs"),
    [
        ("running", ["kill", "stop", "pause"]),
        ("paused", ["resume", "kill"]),
        ("stopped", ["start"]),
        ("killed", ["start"]),
        ("starting", []),
    ],
)
def test_the_buttons_fit_the_state(make: Make, state: str, verbs: list[str]) -> None:
    view = make(at(0, nodes=fakes.nodes(brokers=("running", state, "running"))))
    (column,) = found(drawn(view), data_node="broker-2")
    controls = found(column, role="button")
    assert [words(control).strip() for control in controls] == verbs
    assert [control[1]["data-code"] for control in controls] == [
        f"lab.brokers[2].{verb}()" for verb in verbs
    ]


def test_a_press_does_it_to_the_broker_and_says_so(make: Make) -> None:
    view = make()
    view.press("kill", node="broker-2")
    assert until(lambda: notice(view) == ("done", "broker-2 was killed."))
    assert view._lab.brokers[2].done == ["kill"]


@pytest.mark.parametrize(
    ("kind", "node", "sentence"),
    [
        ("stop", "broker-1", "broker-1 did not stop within 15 s: kill it instead."),
        ("kill", "broker-9", "This lab has no node 'broker-9': lab.status() lists its nodes."),
        ("kill", None, "This lab has no node None: lab.status() lists its nodes."),
        ("run", "broker-1", "A node has no control 'run': use kill, stop, pause, resume or start."),
    ],
)
def test_what_goes_wrong_shows_in_place(make: Make, kind: str, node: Any, sentence: str) -> None:
    view = make()
    view.press(kind, node=node)
    assert until(lambda: notice(view) == ("error", sentence))


@pytest.mark.parametrize("name", ["", None, ["photos"]])
def test_a_topic_is_a_name(make: Make, name: Any) -> None:
    with pytest.raises(SettingError, match="ReplicaMatrix shows one topic: give its name"):
        make(name=name)


def test_a_topic_may_come_later_and_go(make: Make) -> None:
    view = make(name="vault")
    assert "There is no topic vault yet: create it, and it shows here." in headline(view)
    before = drawn(view)[1]["viewBox"]
    show(view, at(5, topics=(topic("vault", 2),)))
    assert roles(view, 1) == ["leader", "follower"]
    show(view, at(9))
    assert headline(view).startswith("empty: ") and view.longest == {}
    assert drawn(view)[1]["viewBox"] == before


def test_partitions_beyond_the_room_are_counted(make: Make) -> None:
    view = make(at(0, topics=(topic("photos", 9),)))
    assert len(roles(view, 1)) == 6
    assert "+ 3 more" in words(drawn(view))


def test_the_height_never_changes(make: Make) -> None:
    view = make(traffic=FakeTraffic())
    heights = {drawn(view)[1]["viewBox"]}
    five = ("running",) * 5
    cases = [
        at(1, nodes=DOWN_2),
        at(2, topics=(without_leader(),)),
        at(3, topics=()),
        at(4, topics=(topic("photos", 12),)),
        at(5, nodes=fakes.nodes(brokers=five), topics=(topic("photos", 3, 5),)),
        dataclasses.replace(fakes.lost(), taken=NOW + 6),
    ]
    for seen in cases:
        show(view, seen)
        heights.add(drawn(view)[1]["viewBox"])
    assert len(heights) == 1


@pytest.mark.parametrize("brokers", [1, 3, 5, 8])
def test_any_number_of_brokers_stays_inside_the_picture(make: Make, brokers: int) -> None:
    running = fakes.nodes(brokers=("running",) * brokers)
    view = make(at(0, nodes=running, topics=(topic("photos", 3, brokers),)))
    scene = drawn(view)
    for broker in range(1, brokers + 1):
        (column,) = found(scene, data_node=f"broker-{broker}")
        left = float(column[1]["transform"].partition("(")[2].partition(",")[0])
        frame = column[2][1]
        assert left + frame["width"] <= 880 - 170
        for control in found(column, role="button"):
            place = float(control[1]["transform"].partition("(")[2].partition(",")[0])
            assert place + control[2][1]["width"] <= frame["width"]


def test_the_still_is_well_formed_and_equal_for_equal_looks(make: Make) -> None:
    seen = at(0, nodes=DOWN_2, topics=(topic('a"<b>&c'),))
    first, second = make(seen, 'a"<b>&c').still(), make(seen, 'a"<b>&c').still()
    assert first == second
    ET.fromstring(first)
    assert "var(" not in first and "class=" not in first and ">start<" not in first


def test_closing_lets_go_of_the_observer_but_not_of_a_foreign_one(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = make()
    view.close()
    assert view._observer.callbacks == [] and not view._observer.closed
    own = FakeObserver(snapshot())
    monkeypatch.setattr("brokerlab.widgets.replica_matrix.Observer", lambda _: own)
    ReplicaMatrix(FakeLab(), "photos").close()
    assert own.closed


def test_the_repr_names_the_topic(make: Make) -> None:
    assert repr(make()) == "<ReplicaMatrix photos>"


@pytest.mark.cluster
def test_a_press_kills_the_real_leader_and_the_clock_runs_until_another_leads(lab: Any) -> None:
    name = "matrix-requests"
    lab.delete_topics(name)
    admin = AdminClient({**lab.client, "log_level": 0})
    admin.create_topics([NewTopic(name, 1, 3)])[name].result(10)
    wait_until(lab, lambda now: bool(now.topic(name)), what="the topic")
    traffic = Traffic(lab, name)
    view = ReplicaMatrix(lab, name, traffic=traffic)
    try:
        view.wait_until(lambda now: bool(now.partitions), what="the topic")
        leader = view.look().partitions[0].leader
        view.press("kill", node=f"broker-{leader}")
        silent = view.wait_until(
            lambda now: now.past[0].now.kind == SILENT, what="the leader to fall silent"
        )
        assert silent.partitions[0].leader == leader
        led = view.wait_until(
            lambda now: now.past[0].now.kind == LED and now.past[0].now.broker != leader,
            what="another leader",
        )
        assert led.past[0].last is not None and led.past[0].last > 0.5
        assert until(lambda: notice(view)[0] == "done", 15)
        assert f"broker-{leader} killed" in notice(view)[1]
        view.press("start", node=f"broker-{leader}")
        view.wait_until(lambda now: len(now.partitions[0].isr) == 3, 40, "three replicas in sync")
        acknowledged = len(traffic.ledger.acknowledged)
        assert until(lambda: len(traffic.ledger.acknowledged) > acknowledged, 20)
    finally:
        lab.repair()
        traffic.stop()
        view.close()
        lab.delete_topics(name)
