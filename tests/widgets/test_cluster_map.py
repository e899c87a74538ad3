from __future__ import annotations

import dataclasses
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import widget_fakes as fakes
from brokerlab.errors import NodeFailedError
from brokerlab.flow import FlowView
from brokerlab.observe import Snapshot
from brokerlab.widgets import ClusterMap
from brokerlab.widgets.scene import Element
from widget_fakes import FakeLab, FakeObserver, found, nodes, notice, snapshot, topic, until, words

Make = Callable[..., ClusterMap]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[ClusterMap] = []

    def one(seen: Snapshot | None = None, **options: Any) -> ClusterMap:
        view = ClusterMap(FakeLab(), observer=FakeObserver(seen or snapshot()), **options)
        made.append(view)
        return view

    yield one
    for view in made:
        view.close()


def roles(view: ClusterMap, broker: str) -> dict[str, str]:
    (node,) = found(view.state["view"]["picture"], data_node=broker)
    chips = [e for e in found(node, role="img") if "data-partition" in e[1]]
    return {chip[1]["data-partition"]: chip[1]["data-role"] for chip in chips}


def test_each_broker_shows_its_replicas_with_their_roles(make: Make) -> None:
    view = make()
    assert roles(view, "broker-1") == {
        "photos-0": "leader",
        "photos-1": "follower",
        "photos-2": "follower",
    }
    assert roles(view, "broker-2")["photos-1"] == "leader"


def test_a_replica_out_of_the_isr_and_a_partition_without_leader(make: Make) -> None:
    view = make(fakes.broker_2_killed())
    assert set(roles(view, "broker-2").values()) == {"out-of-sync"}
    gone = fakes.without(topic("solo", 1, 1), 1)
    view = make(snapshot(topics=(gone,)))
    assert roles(view, "broker-1") == {"solo-0": "leaderless"}
    (headline,) = found(view.state["view"]["picture"], data_headline="leaderless")
    assert "No leader: solo 0." in words(headline)


@pytest.mark.parametrize("state", ["killed", "died", "paused"])
def test_a_broker_that_is_down_leads_nothing_though_the_cluster_still_names_it(
    make: Make, state: str
) -> None:
    view = make(snapshot(nodes=nodes(brokers=("running", state, "running"))))
    assert roles(view, "broker-2") == {
        "photos-0": "follower",
        "photos-1": "silent-leader",
        "photos-2": "follower",
    }
    (warned,) = found(view.state["view"]["picture"], data_headline="warned")
    assert "Broker 2 does not answer, but ZooKeeper has not noticed" in words(warned)


@pytest.mark.parametrize(
    ("seen", "link"),
    [
        (snapshot(), "whole"),
        (snapshot(registered=(1, 3)), "broken"),
        (snapshot(nodes=nodes(brokers=("running", "killed", "running"))), "waiting"),
        (snapshot(nodes=nodes(zookeeper="stopped")), "unknown"),
    ],
)
def test_the_link_says_what_zookeeper_knows_of_broker_2(
    make: Make, seen: Snapshot, link: str
) -> None:
    (drawn,) = found(make(seen).state["view"]["picture"], data_link="broker-2")
    assert drawn[1]["data-state"] == link


@pytest.mark.parametrize(
    ("state", "verbs"),
    [
        ("running", ["kill", "stop", "pause"]),
        ("paused", ["resume", "kill"]),
        ("stopped", ["start"]),
        ("killed", ["start"]),
        ("died", ["start"]),
        ("starting", []),
    ],
)
def test_the_buttons_fit_the_state(make: Make, state: str, verbs: list[str]) -> None:
    view = make(snapshot(nodes=nodes(brokers=("running", state))))
    (node,) = found(view.state["view"]["picture"], data_node="broker-2")
    controls = found(node, role="button")
    assert [words(control).strip() for control in controls] == verbs
    assert [control[1]["data-code"] for control in controls] == [
        f"lab.brokers[2].{verb}()" for verb in verbs
    ]


def test_without_controls_there_are_no_buttons(make: Make) -> None:
    assert found(make(controls=False).state["view"]["picture"], role="button") == []


def test_a_press_calls_the_node_and_shows_its_report(make: Make) -> None:
    view = make()
    view.press("kill", node="broker-2")
    assert until(lambda: notice(view) == ("done", "broker-2 was killed."))
    assert view._lab.brokers[2].done == ["kill"]
    view.press("kill", node="zookeeper")
    assert until(lambda: view._lab.zookeeper.done == ["kill"])


@pytest.mark.parametrize(
    ("kind", "node", "sentence"),
    [
        ("stop", "broker-1", "broker-1 did not stop within 15 s: kill it instead."),
        ("pause", "broker-1", "OSError: no such process"),
        ("kill", "broker-9", "This lab has no node 'broker-9': lab.status() lists its nodes."),
        (
            "__init__",
            "broker-1",
            "A node has no control '__init__': use kill, stop, pause, resume or start.",
        ),
    ],
)
def test_what_goes_wrong_shows_in_the_map(make: Make, kind: str, node: str, sentence: str) -> None:
    view = make()
    view.press(kind, node=node)
    assert until(lambda: notice(view) == ("error", sentence))


def test_the_map_follows_the_observer(make: Make) -> None:
    view = make()
    view._observer.show(fakes.lost())
    view.wait_until(lambda seen: not seen.reachable, 5, "the cluster to be lost")
    assert until(lambda: bool(found(view.state["view"]["picture"], data_headline="lost")))


def test_a_lost_cluster_shows_what_was_last_seen_and_says_so(make: Make) -> None:
    view = make()
    view._observer.show(fakes.lost())
    assert until(lambda: bool(found(view.state["view"]["picture"], data_headline="lost")))
    assert roles(view, "broker-1")["photos-0"] == "leader"
    assert "as last seen" in words(view.state["view"]["picture"])
    view._observer.show(snapshot(reachable=False, nodes=(), topics=(), problem="There is no lab."))
    assert until(lambda: len(found(view.state["view"]["picture"], data_state="unknown")) > 3)
    assert found(view.state["view"]["picture"], role="button") == []


def test_a_zookeeper_that_does_not_answer_is_named(make: Make) -> None:
    problem = "ZooKeeper does not answer: lab.repair() starts what is down."
    view = make(snapshot(registered=(), listed=False, problem=problem))
    (drawn,) = found(view.state["view"]["picture"], data_link="broker-2")
    assert drawn[1]["data-state"] == "unknown"
    assert problem in words(view.state["view"]["picture"])


def test_wait_until_names_what_did_not_come(make: Make) -> None:
    with pytest.raises(NodeFailedError, match="a new leader for photos 0, and it did not come"):
        make().wait_until(lambda seen: seen.controller == 3, 0.1, "a new leader for photos 0")


def test_many_topics_are_capped_and_internal_ones_counted(make: Make) -> None:
    many = tuple(topic(f"t{n:02}", 6) for n in range(12))
    view = make(snapshot(topics=(*many, topic("__consumer_offsets", 3, internal=True))))
    said = words(view.state["view"]["picture"])
    assert "+ 9 more topics" in said and "__consumer_offsets ×3" in said
    assert "t02" in said and "t03" not in said


def test_more_partitions_than_fit_are_counted(make: Make) -> None:
    view = make(snapshot(topics=(topic("wide", 40),)))
    shown = len(roles(view, "broker-1"))
    assert 4 <= shown < 40
    assert f"+{40 - shown}" in words(view.state["view"]["picture"])


def test_the_topics_asked_for_are_shown_alone_even_if_internal(make: Make) -> None:
    seen = snapshot(topics=(topic("a"), topic("b"), topic("__consumer_offsets", 1, internal=True)))
    view = make(seen, topics=["b", "__consumer_offsets"])
    assert set(roles(view, "broker-1")) == {"b-0", "b-1", "b-2", "__consumer_offsets-0"}


def test_an_empty_cluster_says_so(make: Make) -> None:
    assert "no topics yet" in words(make(snapshot(topics=())).state["view"]["picture"])


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (["nope"], "There is no topic nope yet"),
        (["a", "b", "c"], "There is no topic a, b and c yet"),
        (["photos", "nope"], "There is no topic nope yet"),
    ],
)
def test_a_topic_that_does_not_exist_is_named(make: Make, asked: list[str], sentence: str) -> None:
    picture = make(topics=asked).state["view"]["picture"]
    assert sentence in words(picture)
    assert ("no such topic yet" in words(picture)) is ("photos" not in asked)


def test_the_height_never_changes(make: Make) -> None:
    cases = [snapshot(), fakes.lost(), fakes.broker_2_killed(), snapshot(topics=(), events=())]
    cases.append(snapshot(topics=tuple(topic(f"t{n}", 6) for n in range(12))))
    cases.append(snapshot(nodes=nodes(brokers=("running",) * 5)))
    assert len({make(seen).state["view"]["picture"][1]["viewBox"] for seen in cases}) == 1


def test_the_still_is_equal_for_equal_snapshots_and_stands_alone(make: Make) -> None:
    seen = fakes.broker_2_killed()
    first, second = make(seen).still(), make(seen).still()
    assert first == second
    root = ET.fromstring(first)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "var(" not in first and "class=" not in first and "data-" not in first
    assert ">kill<" not in first


def test_a_topic_cannot_break_out_of_the_still(make: Make) -> None:
    ET.fromstring(make(snapshot(topics=(topic('a"<b>&c'),))).still())


def test_closing_lets_go_of_the_observer(make: Make) -> None:
    view = make()
    view.close()
    assert view._observer.callbacks == []
    assert not view._observer.closed, "the map closes only an observer of its own"


def test_the_map_closes_its_own_observer(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[FakeObserver] = []

    def observer(_lab: Any) -> FakeObserver:
        made.append(FakeObserver(snapshot()))
        return made[-1]

    monkeypatch.setattr("brokerlab.widgets.cluster_map.Observer", observer)
    ClusterMap(FakeLab()).close()
    assert made[0].closed


def test_the_repr_is_short(make: Make) -> None:
    assert repr(make()) == "<ClusterMap>"


class FakeFlow:
    """Says that the logs grow as it is told."""

    def __init__(self, rates: dict[tuple[str, int], float | None], taken: float) -> None:
        self.latest = FlowView(taken, rates, None)
        self.closed = False

    def subscribe(self, callback: Callable[[FlowView], None]) -> Callable[[], None]:
        self.callback = callback
        return lambda: None

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def flowing(make: Make, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ClusterMap]:
    def one(
        seen: Snapshot | None = None,
        rates: dict[tuple[str, int], float | None] | None = None,
        age: float = 0.0,
        **options: Any,
    ) -> ClusterMap:
        known = {("photos", n): 40.0 for n in range(3)} if rates is None else rates
        flow = FakeFlow(known, time.time() - age)
        monkeypatch.setattr("brokerlab.widgets.cluster_map.FlowObserver", lambda *_: flow)
        return make(seen, flow=True, **options)

    return one


def ways(view: ClusterMap) -> dict[str, set[str]]:
    """Return partition -> where its dots go: ``in``, ``to-2`` ..."""
    groups = [e for e in walk(view.state["view"]["picture"]) if "data-flow" in e[1]]
    return {
        one[1]["data-flow"]: {
            leg[1]["key"] for leg in one[2:] if "bl-flow" in leg[1].get("class", "").split()
        }
        for one in groups
    }


def walk(scene: Element) -> Iterator[Element]:
    yield scene
    for child in scene[2:]:
        if isinstance(child, list):
            yield from walk(child)


def shown_rate(view: ClusterMap, broker: str, partition: str) -> str:
    (node,) = found(view.state["view"]["picture"], data_node=broker)
    (chip,) = found(node, data_partition=partition)
    return words(chip).split()[-1]


def test_without_flow_nothing_of_it_is_there(make: Make) -> None:
    view = make()
    assert ways(view) == {} and view.rates == {}
    assert "messages" not in words(view.state["view"]["picture"])


def test_messages_go_to_the_leader_and_on_to_the_followers(flowing: Make) -> None:
    view = flowing(rates={("photos", 0): 123.0, ("photos", 1): 4.0, ("photos", 2): 0.0})
    assert ways(view) == {"photos-0": {"in", "to-2", "to-3"}, "photos-1": {"in", "to-3", "to-1"}}
    assert shown_rate(view, "broker-1", "photos-0") == "120/s"
    assert shown_rate(view, "broker-2", "photos-1") == "4/s"
    assert shown_rate(view, "broker-3", "photos-2") == "0/s"
    assert shown_rate(view, "broker-1", "photos-1") == "1", "a follower has no rate"
    assert "messages: 130/s" in words(view.state["view"]["picture"])


def test_no_copy_goes_to_a_follower_that_is_out_of_sync(flowing: Make) -> None:
    view = flowing(fakes.broker_2_killed())
    assert ways(view)["photos-0"] == {"in", "to-3"}


def test_dots_stop_as_soon_as_the_leaders_process_is_gone(flowing: Make) -> None:
    seen = snapshot(nodes=nodes(brokers=("running", "killed", "running")))
    assert seen.topics[0].partitions[1].leader == 2, "the cluster has not noticed"
    view = flowing(seen)
    assert ways(view) == {"photos-0": {"in", "to-3"}, "photos-2": {"in", "to-1"}}
    assert shown_rate(view, "broker-2", "photos-1") == "–"


@pytest.mark.parametrize("state", ["paused", "starting", "stopped"])
def test_a_leader_that_does_not_run_takes_nothing(flowing: Make, state: str) -> None:
    assert "photos-0" not in ways(flowing(snapshot(nodes=nodes(brokers=(state,) * 3))))


def test_dots_resume_at_the_new_leader(flowing: Make) -> None:
    view = flowing(fakes.broker_2_killed())
    assert ways(view)["photos-1"] == {"in", "to-1"}
    assert shown_rate(view, "broker-3", "photos-1") == "40/s"


def test_what_nobody_tells_or_told_long_ago_does_not_flow(flowing: Make) -> None:
    assert ways(flowing(rates={("photos", 0): None})) == {}
    old = flowing(age=60.0)
    assert ways(old) == {} and old.rates == {}
    assert shown_rate(old, "broker-1", "photos-0") == "–"


def test_a_lost_cluster_and_a_leaderless_partition_do_not_flow(flowing: Make) -> None:
    view = flowing(dataclasses.replace(snapshot(), reachable=False, problem="no broker answers."))
    assert ways(view) == {}
    gone = fakes.without(topic("photos", 1, 1), 1)
    assert ways(flowing(snapshot(topics=(gone,)))) == {}


def test_flow_keeps_its_height_and_its_keys(flowing: Make) -> None:
    cases = [snapshot(), fakes.lost(), fakes.broker_2_killed(), snapshot(topics=(), events=())]
    cases.append(snapshot(topics=tuple(topic(f"t{n}", 40) for n in range(12))))
    assert len({flowing(seen).state["view"]["picture"][1]["viewBox"] for seen in cases}) == 1
    first, second = (flowing(rates={("photos", 0): rate}) for rate in (30.0, 31.0))
    (one,) = found(first.state["view"]["picture"], data_flow="photos-0")
    (other,) = found(second.state["view"]["picture"], data_flow="photos-0")
    assert one == other, "the dots' elements must not change while the rate hardly does"


def test_partitions_that_have_no_room_do_not_flow(flowing: Make) -> None:
    rates: dict[tuple[str, int], float | None] = {("wide", n): 5.0 for n in range(40)}
    view = flowing(snapshot(topics=(topic("wide", 40),)), rates)
    assert set(ways(view)) == {f"wide-{n}" for n in range(len(roles(view, "broker-1")))}
    assert "messages: 200/s" in words(view.state["view"]["picture"]), "but they count"


def test_the_still_shows_the_rates_and_is_well_formed(flowing: Make) -> None:
    still = flowing(rates={("photos", 0): 2345.6}).still()
    ET.fromstring(still)
    assert "2.3k/s" in still and "stroke-dasharray" in still


def test_closing_ends_the_flow(flowing: Make) -> None:
    view = flowing()
    view.close()
    assert view._flow is not None and view._flow.closed
