"""The watch line: facts put on one clock, their picture, its controls, and a broker that is really killed."""

from __future__ import annotations

import re
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from brokerlab import observe
from brokerlab.errors import SettingError
from brokerlab.widgets import WatchLine
from brokerlab.widgets.base import PULSE
from brokerlab.widgets.scene import Element
from brokerlab.widgets.watch_history import Facts, History, Line, States
from confluent_kafka.admin import AdminClient, NewTopic
from widget_fakes import FakeLab, found, notice, until, words

NOW = time.time()
NAMES = ("zookeeper", "broker-1", "broker-2", "broker-3")


def states(**changed: str) -> States:
    """Return all running but for those named, as in ``broker_2="killed"``."""
    here = {name.replace("_", "-"): state for name, state in changed.items()}
    return tuple((name, here.get(name, "running")) for name in NAMES)


WHOLE = Facts(
    states=states(),
    answers=True,
    listed=frozenset({1, 2, 3}),
    controller=1,
    epoch=4,
    replicas=(2, 3, 1),
    leader=2,
    isr=(2, 3, 1),
)


def line(*changes: tuple[float, dict[str, Any]], problem: str = "") -> Line:
    """Return the line of a whole cluster after these changes, each so many seconds ago."""
    history = History(NOW - 60, WHOLE, "photos 0")
    for ago, facts in changes:
        history.note(NOW - ago, **facts)
    return history.line(NOW, problem)


KILLED = (20.0, {"states": states(broker_2="killed")})
DROPPED = (17.3, {"listed": frozenset({1, 3})})
ELECTED = (17.29, {"leader": 3, "isr": (3, 1)})
SILENT = (30.0, {"answers": False})
STOPPED = (30.0, {"states": states(zookeeper="stopped")})
BOTH_DOWN = (22.0, {"states": states(zookeeper="stopped", broker_2="killed")})

SCENES = {
    "whole": line(),
    "killed": line(KILLED),
    "elected": line(KILLED, DROPPED, ELECTED),
    "away": line(STOPPED, SILENT),
    "stuck": line(STOPPED, SILENT, BOTH_DOWN),
    "no controller": line(
        (9, {"states": states(broker_1="paused")}),
        (6, {"listed": frozenset({2, 3}), "controller": None}),
    ),
    "no topic": line((5, {"isr": (), "replicas": (), "leader": None})),
    "lost": line(KILLED, problem="No lab is running: start one with brokerlab.start()."),
}


class FakeWitness:
    """Shows the line that it is told to show."""

    def __init__(self, latest: Line) -> None:
        self.latest = latest
        self.listener: Callable[[], None] = lambda: None
        self.closed = False

    def subscribe(self, listener: Callable[[], None]) -> None:
        self.listener = listener

    def close(self) -> None:
        self.closed = True


Make = Callable[..., WatchLine]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[WatchLine] = []

    def one(seen: Line | None = None, topic: str | None = "photos", **options: Any) -> WatchLine:
        view = WatchLine(FakeLab(), topic, witness=FakeWitness(seen or line()), **options)
        made.append(view)
        return view

    yield one
    for view in made:
        view.close()


def lane(view: WatchLine, name: str) -> list[str]:
    """Return what the stretches of a lane say, from left to right."""
    (row,) = found(view.state["view"]["picture"], data_lane=name)
    stretches = [part for part in row[2:] if str(part[1].get("key", "")).startswith("s")]
    return [words(part[2]) for part in stretches]


def picture(view: WatchLine) -> Element:
    scene: Element = view.state["view"]["picture"]
    return scene


# Facts on one clock


def test_what_happened_is_told_in_its_order_with_the_time_since_the_act() -> None:
    told = [str(one) for one in line(KILLED, DROPPED, ELECTED).happenings]
    assert told == [
        "          broker 2 is killed",
        " +2.70 s  ZooKeeper dropped broker 2",
        " +2.71 s  photos 0: leader 3, ISR 1 3",
    ]


def test_an_end_that_is_known_late_is_dated_before_what_came_of_it() -> None:
    history = History(NOW - 60, WHOLE, "photos 0")
    history.note(NOW - 1.0, isr=(2, 3))  # long before
    history.note(NOW - 0.05, leader=3, isr=(3,))
    history.note_states(states(broker_2="ending"), NOW - 0.1, NOW)
    told = [(one.text, one.act) for one in history.line(NOW).happenings]
    assert told == [
        ("photos 0: ISR 2 3", False),
        ("broker 2 is told to end", True),
        ("photos 0: leader 3, ISR 3", False),
    ]


def test_what_cannot_have_come_of_an_end_stays_before_it() -> None:
    history = History(NOW - 60, WHOLE, "photos 0")
    history.note(NOW - 1.0, isr=(2, 3))
    history.note(NOW - 0.05, isr=(2, 3, 1))  # broker 1 has caught up
    history.note_states(states(broker_2="killed"), NOW - 0.1, NOW)
    assert [one.text for one in history.line(NOW).happenings][-2:] == [
        "photos 0: ISR 1 2 3",
        "broker 2 is killed",
    ]


def test_a_kill_that_was_met_in_the_middle_is_a_kill() -> None:
    history = History(NOW - 60, WHOLE, "photos 0")
    for ago, state in ((3.0, "ending"), (2.8, "stopped"), (2.0, "starting"), (1.5, "running")):
        history.note_states(states(broker_2=state), NOW - ago - 0.1, NOW - ago)
    history.note_states(states(broker_2="ending"), NOW - 1.0, NOW - 0.9)
    history.note(NOW - 0.85, controller=3)
    history.note_states(states(broker_2="killed"), NOW - 0.9, NOW - 0.8)
    assert [one.text for one in history.line(NOW).happenings] == [
        "broker 2 is told to end",
        "broker 2 has ended",
        "broker 2 is started",
        "broker 2 is ready",
        "broker 2 is killed",
        "/controller names broker 3",
    ]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("running", "ending", [("broker 2 is told to end", True)]),
        ("ending", "stopped", [("broker 2 has ended", False)]),
        ("running", "killed", [("broker 2 is killed", True)]),
        ("running", "paused", [("broker 2 is frozen", True)]),
        ("paused", "running", [("broker 2 is resumed", True)]),
        ("killed", "starting", [("broker 2 is started", True)]),
        ("starting", "running", [("broker 2 is ready", False)]),
        ("stopped", "running", [("broker 2 is started", True)]),
        ("running", "died", [("broker 2 has died", True)]),
        ("running", "running", []),
    ],
)
def test_a_process_is_told_of_in_words(before: str, after: str, said: list[Any]) -> None:
    history = History(NOW - 60, WHOLE, "photos 0")
    history.note(NOW - 2, states=states(broker_2=before))
    count = len(history.line(NOW).happenings)
    history.note(NOW - 1, states=states(broker_2=after))
    assert [(one.text, one.act) for one in history.line(NOW).happenings[count:]] == said


def test_what_came_of_an_earlier_act_is_told_before_a_new_one() -> None:
    history = History(NOW - 60, WHOLE, "photos 0")
    history.note(NOW - 2, states=states(broker_3="starting"))
    history.note(NOW - 1, states=states(broker_1="paused"))
    assert [one.text for one in history.line(NOW).happenings][-2:] == [
        "broker 3 is ready",
        "broker 1 is frozen",
    ]


def test_a_broker_that_is_new_did_not_begin_anything() -> None:
    history = History(NOW - 60, WHOLE, "photos 0")
    history.note(NOW, states=(*states(), ("broker-4", "running")))
    assert history.line(NOW).happenings == ()


def test_what_is_old_is_forgotten_and_its_facts_are_kept() -> None:
    history = History(NOW - 60, WHOLE, "photos 0")
    history.note(NOW - 1000, controller=3)
    history.note(NOW - 900, controller=2)
    history.note(NOW, epoch=5)
    seen = history.line(NOW)
    assert len(seen.moments) == 2
    assert (seen.now.controller, seen.now.epoch) == (2, 5)


def test_nothing_new_is_no_change() -> None:
    history = History(NOW - 60, WHOLE, "photos 0")
    assert not history.note(NOW, controller=1)
    assert history.note(NOW, controller=2)


# The picture


def test_the_lanes_tell_a_kill_from_the_znode_to_the_isr(make: Make) -> None:
    view = make(SCENES["elected"])
    assert lane(view, "/brokers/ids/2") == ["listed", "dead, but listed", "no znode"]
    assert lane(view, "/brokers/ids/1") == ["listed"]
    assert lane(view, "photos 0: leader") == ["broker 2", "none", "broker 3"]
    assert lane(view, "photos 0: ISR") == ["1 2 3", "1 3"]
    assert lane(view, "/controller") == ["broker 1"]


def test_without_zookeeper_nobody_watches(make: Make) -> None:
    view = make(SCENES["stuck"])
    assert lane(view, "ZooKeeper itself")[-1] == "nobody watches now"
    assert lane(view, "/brokers/ids/2") == ["listed", "unwatched"]
    assert lane(view, "/controller")[-1] == "broker 1, as last seen"
    assert lane(view, "photos 0: leader") == ["broker 2", "none"]


@pytest.mark.parametrize(
    ("scene", "kind", "sentence"),
    [
        ("whole", "fine", "When that changes, broker 1 acts: it is the controller."),
        ("killed", "leaderless", "photos 0 has no leader: broker 2 is silent, but listed;"),
        ("elected", "warned", "Broker 1, the controller, has acted: broker 3 leads photos 0"),
        ("away", "warned", "nobody watches. Leaders that live go on working."),
        ("stuck", "leaderless", "photos 0 has no leader, and nobody watches"),
        ("no controller", "leaderless", "the brokers race to write /controller."),
        ("no topic", "empty", "There is no partition photos 0 yet."),
        ("lost", "lost", "No lab is running"),
    ],
)
def test_the_headline_says_what_to_notice(make: Make, scene: str, kind: str, sentence: str) -> None:
    (strip,) = found(picture(make(SCENES[scene])), data_headline=kind)
    assert sentence in words(strip)


def test_acts_and_what_came_of_them_look_different(make: Make) -> None:
    scene = picture(make(SCENES["elected"]))
    assert [words(e).split()[-3:] for e in found(scene, data_event="act")] == [
        ["2", "is", "killed"]
    ]
    assert len(found(scene, data_event="effect")) == 2


def test_without_a_topic_there_are_no_lanes_of_a_partition(make: Make) -> None:
    scene = picture(make(topic=None))
    (drawn,) = found(scene, data_timeline="")
    lanes = [part[1]["data-lane"] for part in drawn[2:] if "data-lane" in part[1]]
    assert lanes == ["ZooKeeper itself", *(f"/brokers/ids/{n}" for n in (1, 2, 3)), "/controller"]


def test_the_height_never_changes_and_every_still_stands_alone(make: Make) -> None:
    heights = set()
    for seen in SCENES.values():
        view = make(seen)
        heights.add(picture(view)[1]["viewBox"])
        still = view.still()
        assert ET.fromstring(still).tag == "{http://www.w3.org/2000/svg}svg"
        assert "var(" not in still and "data-" not in still and ">kill<" not in still
    assert len(heights) == 1


# Controls


def test_the_buttons_fit_the_state_and_show_their_python(make: Make) -> None:
    scene = picture(make(SCENES["stuck"]))
    codes = [control[1]["data-code"] for control in found(scene, role="button")]
    alive = [f"lab.brokers[{n}].{verb}()" for n in (1, 3) for verb in ("kill", "stop", "pause")]
    assert codes == [
        "lab.zookeeper.start()",
        *alive[:3],
        "lab.brokers[2].start()",
        *alive[3:],
    ]


def test_a_press_calls_the_node_and_shows_its_report(make: Make) -> None:
    view = make()
    view.press("kill", node="broker-2")
    assert until(lambda: notice(view) == ("done", "broker-2 was killed."))
    assert view._lab.brokers[2].done == ["kill"]


@pytest.mark.parametrize(
    ("kind", "node", "sentence"),
    [
        ("kill", "broker-9", "This lab has no node 'broker-9'"),
        ("close", "broker-1", "A node has no control 'close'"),
        ("stop", "broker-1", "did not stop within 15 s"),
    ],
)
def test_what_goes_wrong_is_a_sentence_in_place(
    make: Make, kind: str, node: str, sentence: str
) -> None:
    view = make()
    view.press(kind, node=node)
    assert until(lambda: notice(view)[0] == "error" and sentence in notice(view)[1])


def test_a_lost_lab_has_no_buttons(make: Make) -> None:
    assert found(picture(make(SCENES["lost"])), role="button") == []


def test_how_much_is_shown_can_be_set(make: Make) -> None:
    view = make()
    view.set(seconds=20)
    assert until(lambda: "the last 20 s" in words(picture(view)))
    with pytest.raises(SettingError, match="seconds can be 20 to 60"):
        view.set(seconds=3)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"topic": ""}, "No topic can be called ''"),
        ({"topic": "a/b"}, "No topic can be called 'a/b'"),
        ({"topic": 3}, "No topic can be called 3"),
        ({"partition": -1}, "A partition is a number from 0, and -1 is not"),
        ({"partition": True}, "A partition is a number from 0"),
        ({"seconds": 600}, "seconds can be 20 to 60"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(
    make: Make, arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SettingError, match=re.escape(sentence)):
        make(**arguments)


def test_it_closes_only_a_witness_of_its_own(make: Make) -> None:
    view = make()
    view.close()
    assert not view._witness.closed


def test_happened_returns_the_last_act_and_what_came_of_it(make: Make) -> None:
    view = make(line((40, {"controller": 3}), KILLED, DROPPED, ELECTED))
    assert [one.text for one in view.happened()] == [
        "broker 2 is killed",
        "ZooKeeper dropped broker 2",
        "photos 0: leader 3, ISR 1 3",
    ]
    assert make(line()).happened() == ()


# A real cluster


@pytest.fixture
def photos(lab: Any) -> Iterator[int]:
    """A topic of one partition; the id of the broker that leads it, which is not the controller."""
    lab.delete_topics("photos")
    chief = observe.wait_until(lab, lambda now: now.controller, 20, "a controller").controller
    order = sorted(lab.brokers, key=lambda number: number == chief)
    admin = AdminClient({**lab.client, "log_level": 0})
    topic = NewTopic("photos", num_partitions=1, replica_assignment=[order])
    admin.create_topics([topic])["photos"].result(15)
    yield order[0]
    lab.repair()
    lab.delete_topics("photos")


@pytest.fixture
def live(lab: Any) -> Iterator[Make]:
    made: list[WatchLine] = []

    def one(topic: str | None = "photos") -> WatchLine:
        made.append(WatchLine(lab, topic))
        return made[-1]

    yield one
    for view in made:
        view.close()
    assert not [t.name for t in threading.enumerate() if t.name.startswith("brokerlab-witness")]


def whole(seen: Line) -> bool:
    return len(seen.now.isr) == len(seen.now.listed or ()) == 3


@pytest.mark.cluster
def test_a_press_kills_the_leader_and_the_line_tells_who_notices_and_who_acts(
    photos: int, live: Make
) -> None:
    view = live()
    view.wait_until(lambda seen: whole(seen) and seen.now.leader == photos, what="photos 0")
    chief = view.now.controller
    view.press("kill", node=f"broker-{photos}")
    view.wait_until(lambda seen: seen.now.of_broker(photos) == "killed", what="the kill")
    view.wait_until(lambda seen: seen.now.leader not in (None, photos), what="a new leader")
    happened = [one.text for one in view.happened()]
    act = next(i for i, text in enumerate(happened) if text == f"broker {photos} is killed")
    dropped = happened.index(f"ZooKeeper dropped broker {photos}")
    elected = next(i for i, text in enumerate(happened) if "leader" in text)
    assert act < dropped < elected
    assert view.now.controller == chief
    assert lane(view, f"/brokers/ids/{photos}")[-1] == "no znode" or until(
        lambda: lane(view, f"/brokers/ids/{photos}")[-1] == "no znode"
    )
    view.press("start", node=f"broker-{photos}")
    view.wait_until(whole, 30, "the ISR to be whole")


@pytest.mark.cluster
def test_the_line_moves_on_while_nothing_happens(photos: int, live: Make) -> None:
    view = live()
    view.wait_until(whole, what="photos 0")
    begun, beats = time.monotonic(), view.pulse["n"]
    assert until(lambda: view.pulse["n"] >= beats + 20, 20)
    assert time.monotonic() - begun < 20 * PULSE / 2, "a pulse alone comes once a second"


@pytest.mark.cluster
def test_without_zookeeper_it_says_so_and_recovers(lab: Any, photos: int, live: Make) -> None:
    view = live()
    view.wait_until(whole, what="photos 0")
    view.press("stop", node="zookeeper")
    view.wait_until(lambda seen: not seen.now.answers, what="ZooKeeper to go")
    assert until(lambda: "nobody watches now" in words(picture(view)))
    view.press("start", node="zookeeper")
    view.wait_until(lambda seen: seen.now.answers, 30, "ZooKeeper to return")
    assert whole(view.look())


@pytest.mark.cluster
def test_a_topic_that_comes_later_appears(lab: Any, live: Make) -> None:
    lab.delete_topics("late")
    view = live("late")
    assert "There is no partition late 0 yet." in words(picture(view))
    admin = AdminClient({**lab.client, "log_level": 0})
    admin.create_topics([NewTopic("late", 1, 3)])["late"].result(15)
    try:
        view.wait_until(lambda seen: seen.now.works, what="a leader for late 0")
    finally:
        lab.delete_topics("late")
    view.wait_until(lambda seen: not seen.now.isr, what="late 0 to go")
