from __future__ import annotations

import contextlib
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from brokerlab.errors import NodeFailedError, SettingError
from brokerlab.observe import Snapshot
from brokerlab.records import Record, records
from brokerlab.widgets import PartitionLanes
from brokerlab.widgets.partition_layout import lay_out
from brokerlab.widgets.partition_log import KEPT, Tail
from brokerlab.widgets.partition_picture import tag
from brokerlab.widgets.scene import Element
from confluent_kafka import KafkaException, Producer, consistent
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic
from widget_fakes import FakeLab, FakeObserver, lost, notice, snapshot, topic, until, without

PHOTOS = "photos"


def record(partition: int, offset: int, key: str | None, number: int) -> Record:
    return Record(
        partition, offset, key.encode() if key else None, f"photo {number}".encode(), 1000 + number
    )


def sent(keys: list[str], partitions: int = 3, first: int = 1) -> list[Record]:
    """Return what librdkafka makes of photos with these keys."""
    offsets = [0] * partitions
    found = []
    for number, key in enumerate(keys, start=first):
        place = consistent(key.encode(), partitions)
        found.append(record(place, offsets[place], key, number))
        offsets[place] += 1
    return found


CAMERAS = [f"cam-{number}" for number in range(5)]


class FakeLog:
    """Holds the records it is told to hold."""

    def __init__(self, held: list[Record], older: int = 0) -> None:
        self.held = held
        self.older = older
        self.followed: list[list[int]] = []
        self.closed = False

    def follow(self, partitions: Any) -> None:
        self.followed.append(list(partitions))

    def tail(self, partition: int) -> Tail:
        here = tuple(one for one in self.held if one.partition == partition)
        return Tail(here, len(here) + self.older)

    def close(self) -> None:
        self.closed = True


class FakeProducer:
    """Acknowledges all, by turns over three partitions; a message is (topic, value, key)."""

    made: list[FakeProducer]
    fails = False

    def __init__(self, settings: dict[str, Any], logger: Any) -> None:
        self.sent: list[tuple[str, str, str | None]] = []
        self.waiting: list[Callable[[], None]] = []
        FakeProducer.made.append(self)

    def produce(self, name: str, value: str, key: str | None, on_delivery: Any) -> None:
        place = len(self.sent) % 3
        error = type("Error", (), {"name": lambda _: "_MSG_TIMED_OUT"})() if self.fails else None
        message = type("Message", (), {"partition": lambda _: place})()
        self.sent.append((name, value, key))
        self.waiting.append(lambda: on_delivery(error, message))

    def poll(self, _: float) -> None:
        while self.waiting:
            self.waiting.pop(0)()

    def flush(self, _: float) -> int:
        self.poll(0)
        return 0


Make = Callable[..., tuple[PartitionLanes, FakeObserver, FakeLog]]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    made: list[PartitionLanes] = []
    FakeProducer.made = []
    monkeypatch.setattr("brokerlab.widgets.partition_lanes.Producer", FakeProducer)

    def one(
        held: list[Record] | None = None, seen: Snapshot | None = None, older: int = 0
    ) -> tuple[PartitionLanes, FakeObserver, FakeLog]:
        observer, log = FakeObserver(seen or snapshot()), FakeLog(held or [], older)
        view = PartitionLanes(FakeLab(), PHOTOS, observer=observer, log=log)  # type: ignore[arg-type]
        made.append(view)
        return view, observer, log

    yield one
    for view in made:
        view.close()


def with_topic(partitions: int) -> Snapshot:
    return snapshot(topics=(topic(PHOTOS, partitions=partitions),))


def drawn(view: PartitionLanes) -> Element:
    return view.draw(view.look())


def words(scene: Element | str) -> str:
    if isinstance(scene, str):
        return scene
    return " ".join(words(child) for child in scene[2:])


def found(scene: Element, name: str) -> list[Element]:
    """Return the elements that carry the attribute `name`, in the order in which they are drawn."""
    here = [scene] if name in scene[1] else []
    children = (child for child in scene[2:] if not isinstance(child, str))
    return here + [one for child in children for one in found(child, name)]


def chips(scene: Element) -> dict[int, list[str]]:
    """Return for each lane its records, as partition-offset."""
    return {
        lane[1]["data-lane"]: [one[1]["data-record"] for one in found(lane, "data-record")]
        for lane in found(scene, "data-lane")
    }


# What is drawn


def test_a_record_lies_in_its_lane_in_the_order_of_offsets(make: Make) -> None:
    view, _, log = make(sent(CAMERAS * 2))
    assert log.followed[-1] == [0, 1, 2]
    assert chips(drawn(view)) == {
        0: ["0-0", "0-1", "0-2", "0-3"],
        1: ["1-0", "1-1", "1-2", "1-3"],
        2: ["2-0", "2-1"],
    }
    assert "3 partitions" in words(drawn(view))
    assert "10 records" in words(drawn(view))
    assert "leader 1" in words(found(drawn(view), "data-lane")[0])


def test_one_key_has_one_colour_and_a_record_without_has_none(make: Make) -> None:
    view, _, _ = make([*sent(CAMERAS * 2), record(2, 2, None, 11)])
    colours: dict[str, set[str]] = {}
    for chip in found(drawn(view), "data-record"):
        classes = " ".join(part[1].get("class", "") for part in chip[2:])
        series = [name for name in classes.split() if name.startswith("bl-series")]
        colours.setdefault(chip[1]["data-key"], set()).add(" ".join(series))
    assert colours.pop("") == {""}
    assert all(len(shown) == 1 for shown in colours.values())
    assert len({next(iter(shown)) for shown in colours.values()}) == len(CAMERAS)


def test_a_long_lane_shows_the_newest_and_says_how_many_are_older(make: Make) -> None:
    held = [record(0, 100 + n, None, n) for n in range(KEPT)]
    view, _, _ = make(held, with_topic(6), older=5000)
    shown = chips(drawn(view))[0]
    assert shown[-1] == f"0-{100 + KEPT - 1}"
    lane = found(drawn(view), "data-lane")[0]
    assert f"{5000 + KEPT - len(shown):,} older" in words(lane)
    assert lane[1]["data-count"] == 5000 + KEPT


@pytest.mark.parametrize("partitions", [1, 3, 4, 6, 7, 12, 40])
def test_every_chip_is_inside_the_picture_and_the_height_never_changes(
    make: Make, partitions: int
) -> None:
    held = [record(p, n, f"cam-{n}", n) for p in range(partitions) for n in range(60)]
    view, _, _ = make(held, with_topic(partitions))
    scene = drawn(view)
    empty, _, _ = make([], with_topic(partitions))
    assert scene[1]["viewBox"] == drawn(empty)[1]["viewBox"]
    assert ("The first 12 partitions are shown" in words(scene)) == (partitions > 12)
    _, _, width, height = map(float, scene[1]["viewBox"].split())
    for x, y in places(scene):
        assert 0 <= x < width - 33
        assert 0 <= y < height - 60


def places(scene: Element, at: tuple[float, float] = (0, 0)) -> Iterator[tuple[float, float]]:
    """Yield where each chip is."""
    moved = scene[1].get("transform", "")
    if moved.startswith("translate("):
        x, y = map(float, moved.removeprefix("translate(").partition(")")[0].split(","))
        at = at[0] + x, at[1] + y
    if "data-record" in scene[1]:
        yield at
    for child in scene[2:]:
        if not isinstance(child, str):
            yield from places(child, at)


def test_a_chip_that_moves_on_is_not_drawn_again(make: Make) -> None:
    held = [record(0, n, "cam-1", n) for n in range(KEPT)]
    view, _, log = make(held, with_topic(6))
    before = found(drawn(view), "data-record")[-1]
    log.held = [*held, record(0, KEPT, "cam-1", KEPT)]
    after = found(drawn(view), "data-record")[-2]
    assert before[1]["data-record"] == after[1]["data-record"] == f"0-{KEPT - 1}"
    assert before[1]["transform"] != after[1]["transform"]
    assert all(one is other for one, other in zip(before[2:], after[2:], strict=True))


def test_a_partition_without_a_leader_says_so(make: Make) -> None:
    gone = without(without(without(topic(PHOTOS), 1), 2), 3)
    view, _, _ = make(sent(CAMERAS), snapshot(topics=(gone,)))
    assert "no leader" in words(found(drawn(view), "data-lane")[0])


def test_no_topic_is_a_sentence_and_it_may_come_later(make: Make) -> None:
    view, observer, log = make([], snapshot(topics=()))
    assert "There is no topic 'photos' now" in words(drawn(view))
    log.held = sent(CAMERAS)
    observer.show(with_topic(3))
    assert len(found(drawn(view), "data-record")) == 5
    observer.show(snapshot(topics=()))
    assert log.followed[-1] == []
    assert "There is no topic" in words(drawn(view))


def test_a_lost_cluster_keeps_the_lanes_and_says_so(make: Make) -> None:
    view, observer, _ = make(sent(CAMERAS))
    observer.show(lost())
    assert len(found(drawn(view), "data-record")) == 5
    assert found(drawn(view), "data-headline")[0][1]["data-headline"] == "lost"
    assert "no broker answers" in words(drawn(view))


@pytest.mark.parametrize(
    ("given", "shown"),
    [("cam-3", "3"), ("member-199", "199"), ("photo 12345", "345"), ("alice", "ali"), ("", "")],
)
def test_what_fits_on_a_chip(given: str, shown: str) -> None:
    assert tag(given) == shown


def test_wide_letters_are_cut() -> None:
    assert tag("MWMW") in ("M", "MW")


def test_the_browser_gets_what_was_drawn_and_the_still_is_xml(make: Make) -> None:
    view, _, _ = make([record(0, 0, "a & <b>", 1), record(1, 0, None, 2)])
    assert until(lambda: found(view.state["view"]["picture"], "data-record") != [])
    text = "".join(ET.fromstring(view.still()).itertext())
    assert "a & <b>" in text
    assert "send 12" not in text


# What if


def test_more_partitions_move_the_keys_that_kafka_would_move(make: Make) -> None:
    keys = [f"cam-{number}" for number in range(100)]
    view, _, _ = make(sent(keys))
    view.set(partitions=6, partitioner="crc32")
    seen = view.wait_until(lambda now: now.what_if is not None, 5)
    assert seen.what_if is not None
    would_be = {one.key: one.partition for one in sent(keys, partitions=6)}
    assert {r.key: n for n, lane in enumerate(seen.what_if.lanes) for r in lane} == would_be
    assert len(seen.what_if.moved) == 43
    assert until(lambda: "43 of 100 keys would move" in words(view.state["view"]["picture"]))
    marked = found(drawn(view), "data-moved")
    assert {one[1]["data-key"].encode() for one in marked} <= seen.what_if.moved
    assert marked


def test_the_partitioner_in_use_moves_no_key(make: Make) -> None:
    view, _, _ = make(sent(CAMERAS))
    view.set(partitions=3)
    seen = view.wait_until(lambda now: now.what_if is not None, 5)
    assert seen.what_if is not None
    assert seen.what_if.partitioner == "crc32"
    assert not seen.what_if.moved
    view.set(partitioner="murmur2")
    seen = view.wait_until(lambda now: bool(now.what_if and now.what_if.moved), 5)
    assert seen.what_if is not None
    assert len(seen.what_if.lanes) == 3


def test_as_it_is_goes_back_to_the_log(make: Make) -> None:
    view, _, _ = make(sent(CAMERAS))
    view.set(partitions=12)
    view.wait_until(lambda now: now.what_if is not None, 5)
    assert len(found(drawn(view), "data-lane")) == 12
    view.set(partitioner="as it is")
    view.wait_until(lambda now: now.what_if is None, 5)
    assert len(found(drawn(view), "data-lane")) == 3
    assert [one.value for one in view.inputs()] == [3, "as it is"]


def test_records_without_a_key_are_left_out_and_counted() -> None:
    layout = lay_out([*sent(CAMERAS), record(0, 9, None, 9)], 3, "crc32")
    assert layout.keyless == 1
    assert sum(map(len, layout.lanes)) == 5


def test_a_key_that_has_moved_already_is_where_its_newest_record_is() -> None:
    grown = [*sent(["cam-1"]), *sent(["cam-1"], partitions=6, first=2)]
    assert {one.partition for one in grown} == {1, 4}
    assert not lay_out(grown, 6, "crc32").moved
    assert lay_out(grown, 3, "crc32").moved == {b"cam-1"}
    assert [one.text for one in lay_out(grown, 3, "crc32").lanes[1]] == ["photo 1", "photo 2"]


@pytest.mark.parametrize(
    "wrong", [{"partitions": 0}, {"partitions": 13}, {"partitions": "six"}, {"partitioner": "md5"}]
)
def test_a_wrong_what_if_is_refused(make: Make, wrong: dict[str, Any]) -> None:
    view, _, _ = make()
    with pytest.raises(SettingError, match=r"can be|must be"):
        view.set(**wrong)


# Sending


def test_a_press_sends_photos_with_the_key_of_their_camera(make: Make) -> None:
    view, _, _ = make(sent(CAMERAS))
    (button, _) = found(drawn(view), "data-command")
    assert button[1]["data-code"] == "lanes.send(12)"
    view.press("send", count=12, keyed=True)
    assert until(lambda: notice(view)[0] == "done")
    (producer,) = FakeProducer.made
    assert producer.sent[0] == (PHOTOS, "photo 6", "cam-1")
    assert len(producer.sent) == 12
    assert notice(view)[1] == (
        "12 photos with key acknowledged: 4 in partition 0, 4 in partition 1, 4 in partition 2."
    )


def test_without_a_key_there_is_none(make: Make) -> None:
    view, _, _ = make()
    view.send(3, keyed=False)
    assert until(lambda: notice(view)[0] == "done")
    assert FakeProducer.made[0].sent == [(PHOTOS, f"photo {n}", None) for n in (1, 2, 3)]


def test_ten_presses_at_once_are_done_one_by_one_and_no_number_is_sent_twice(make: Make) -> None:
    view, observer, _ = make()
    for _ in range(10):
        view.send(2)
    assert until(lambda: not view.pending)
    assert len(FakeProducer.made) == 10
    numbers = [value for made in FakeProducer.made for _, value, _ in made.sent]
    assert numbers == [f"photo {n}" for n in range(1, 21)], "though the log shows none of them yet"
    observer.show(snapshot(topics=()))
    observer.show(with_topic(3))
    view.send(1)
    assert until(lambda: not view.pending)
    assert FakeProducer.made[-1].sent[0][1] == "photo 1", "in a new topic of this name"


@pytest.mark.parametrize("count", [0, 501, 2.5, "12", True, None])
def test_so_many_cannot_be_sent(make: Make, count: Any) -> None:
    view, _, _ = make()
    with pytest.raises(SettingError, match="Choose 1 to 500"):
        view.send(count)
    view.press("send", count=count)
    assert until(lambda: "Choose 1 to 500" in view.problem)
    assert not FakeProducer.made


def test_to_no_topic_nothing_is_sent(make: Make) -> None:
    """A producer would make the topic, with one partition."""
    view, observer, _ = make([], snapshot(topics=()))
    view.send(3)
    assert until(lambda: "There is no topic 'photos': create it" in view.problem)
    observer.show(lost())
    view.send(3)
    assert until(lambda: "The cluster does not answer" in view.problem)
    assert not FakeProducer.made


def test_what_is_not_acknowledged_is_said(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeProducer, "fails", True)
    view, _, _ = make()
    view.send(2)
    assert until(lambda: "2 of 2 photos were not acknowledged" in view.problem)
    assert "_MSG_TIMED_OUT" in view.problem


def test_an_unknown_control_is_a_sentence(make: Make) -> None:
    view, _, _ = make()
    view.press("explode")
    assert until(lambda: view.problem == "PartitionLanes has no control 'explode'.")


def test_a_closed_view_lets_go_and_a_newer_one_takes_over(make: Make) -> None:
    view, observer, log = make()
    newer, _, _ = make()
    assert until(lambda: view.state["ended"] == "a newer one took over")
    assert until(lambda: log.closed and not observer.callbacks)
    assert not observer.closed
    assert repr(newer) == "<PartitionLanes photos>"


# On a real cluster

LANES = "lanes-test"


@pytest.fixture
def live(lab: Any) -> Iterator[PartitionLanes]:
    lab.delete_topics(LANES)
    create(lab, 3)
    view = PartitionLanes(lab, LANES)
    yield view
    view.close()
    lab.delete_topics(LANES)


def create(lab: Any, partitions: int) -> None:
    admin = AdminClient({**lab.client, "log_level": 0})
    deadline = time.monotonic() + 15
    while True:
        try:
            admin.create_topics([NewTopic(LANES, partitions, 3)])[LANES].result(15)
            return
        except KafkaException as refused:
            if "marked for deletion" not in str(refused) or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.mark.cluster
def test_a_press_sends_for_real_and_the_lanes_show_the_log(lab: Any, live: PartitionLanes) -> None:
    live.wait_until(lambda now: len(now.lanes) == 3, 20, "three lanes")
    live.press("send", count=12, keyed=True)
    live.press("send", count=6, keyed=False)
    seen = live.wait_until(lambda now: now.count == 18, 30, "18 records")
    assert [r for lane in seen.lanes for r in lane.records] == records(lab, LANES)
    assert all(lane.leader in lab.brokers for lane in seen.lanes)
    assert live.problem == ""
    live.set(partitions=3)
    what_if = live.wait_until(lambda now: now.what_if is not None, 10).what_if
    assert what_if is not None
    assert not what_if.moved, "librdkafka's own layout, computed again"
    assert what_if.keyless == 6


@pytest.mark.cluster
def test_a_topic_that_grows_or_begins_anew_shows_as_it_is(lab: Any, live: PartitionLanes) -> None:
    live.send(20)
    live.wait_until(lambda now: now.count == 20, 30, "20 records")
    admin = AdminClient({**lab.client, "log_level": 0})
    admin.create_partitions([NewPartitions(LANES, 6)])[LANES].result(15)
    live.wait_until(lambda now: len(now.lanes) == 6, 20, "six lanes")
    live.send(20)
    live.wait_until(lambda now: now.count == 40, 30, "40 records in six lanes")

    lab.delete_topics(LANES)
    create(lab, 2)
    with contextlib.suppress(NodeFailedError):
        live.wait_until(lambda now: not now.lanes, 2, "no topic")
    producer = Producer({**lab.client, "log_level": 0})
    producer.produce(LANES, "photo 1", key="cam-1")
    assert producer.flush(15) == 0
    seen = live.wait_until(
        lambda now: len(now.lanes) == 2 and now.count == 1, 30, "the new topic's record"
    )
    assert [r.text for lane in seen.lanes for r in lane.records] == ["photo 1"]


@pytest.mark.cluster
def test_a_leader_that_is_killed_leaves_the_lanes_readable(lab: Any, live: PartitionLanes) -> None:
    live.send(10)
    seen = live.wait_until(lambda now: now.count == 10, 30, "10 records")
    victim = seen.lanes[0].leader
    lab.brokers[victim].kill()
    try:
        live.wait_until(
            lambda now: all(lane.leader not in (None, victim) for lane in now.lanes),
            30,
            "other leaders",
        )
        live.send(10)
        live.wait_until(lambda now: now.count == 20, 40, "20 records")
    finally:
        lab.repair()
