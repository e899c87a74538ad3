from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from brokerlab.observe import Snapshot, TopicView
from brokerlab.widgets import TopicBoard
from brokerlab.widgets.scene import Element
from brokerlab.widgets.topic_board import NEWS_SECONDS
from widget_fakes import FakeLab, FakeObserver, lost, snapshot, topic, until, without, words


class FakeSettings:
    def __init__(self) -> None:
        self.known: dict[str, Mapping[str, str] | None] = {}
        self.closed = False

    def of(self, name: str) -> Mapping[str, str] | None:
        return self.known.get(name, {})

    def close(self) -> None:
        self.closed = True


Make = Callable[..., tuple[TopicBoard, FakeObserver, FakeSettings]]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[TopicBoard] = []

    def one(*topics: TopicView, **options: Any) -> tuple[TopicBoard, FakeObserver, FakeSettings]:
        observer, settings = FakeObserver(with_topics(*topics)), FakeSettings()
        lab: Any = FakeLab()
        made.append(TopicBoard(lab, observer=observer, settings=settings, **options))  # type: ignore[arg-type]
        return made[-1], observer, settings

    yield one
    for board in made:
        board.close()


def with_topics(*topics: TopicView, after: float = 0) -> Snapshot:
    return snapshot(topics=topics, taken=time.time() + after)


def found(scene: Element, attribute: str) -> dict[str, Element]:
    _, attributes, *children = scene
    here = {attributes[attribute]: scene} if attribute in attributes else {}
    for child in children:
        if isinstance(child, list):
            here |= found(child, attribute)
    return here


def drawn(board: TopicBoard) -> Element:
    return board.draw(board.look())


def news(board: TopicBoard) -> dict[str, str | None]:
    return {n: e[1].get("data-news") for n, e in found(drawn(board), "data-topic").items()}


def test_a_topic_shows_its_shape_and_its_partitions(make: Make) -> None:
    board, _, _ = make(topic("photos"), topic("__consumer_offsets", internal=True))
    rows = found(drawn(board), "data-topic")
    assert list(rows) == ["photos"]
    assert "3 partitions · RF 3" in words(rows["photos"])
    assert "photos 1: leader 2, ISR 1 2 3" in words(rows["photos"])
    assert "new" not in words(rows["photos"]).split()
    assert board.names == ("photos",)


def test_what_comes_is_new_for_some_seconds(make: Make) -> None:
    board, observer, _ = make(topic("photos"))
    observer.show(with_topics(topic("photos"), topic("photoz", 1, 1)))
    assert news(board) == {"photos": None, "photoz": "new"}
    observer.show(with_topics(topic("photos"), topic("photoz", 1, 1), after=NEWS_SECONDS - 1))
    assert news(board)["photoz"] == "new"
    observer.show(with_topics(topic("photos"), topic("photoz", 1, 1), after=NEWS_SECONDS + 1))
    assert news(board) == {"photos": None, "photoz": None}


def test_what_goes_stays_for_some_seconds_without_partitions(make: Make) -> None:
    board, observer, _ = make(topic("photos"), topic("videos"))
    observer.show(with_topics(topic("videos")))
    assert news(board) == {"photos": "gone", "videos": None}
    assert not [name for name in found(drawn(board), "data-partition") if "photos" in name]
    assert board.names == ("videos",)
    observer.show(with_topics(topic("videos"), after=NEWS_SECONDS + 1))
    assert news(board) == {"videos": None}


def test_what_was_gone_and_comes_back_is_new_once(make: Make) -> None:
    board, observer, _ = make(topic("photos"))
    observer.show(with_topics())
    observer.show(with_topics(topic("photos", 1)))
    assert news(board) == {"photos": "new"}
    assert "1 partition · RF 3" in words(drawn(board))


def test_min_insync_replicas_is_shown_if_set_and_kept_while_nobody_can_be_asked(make: Make) -> None:
    board, observer, settings = make(topic("photos"))
    assert "min ISR" not in words(drawn(board))
    settings.known["photos"] = {"min.insync.replicas": "2"}
    observer.show(with_topics(topic("photos")))
    assert "RF 3 · min ISR 2" in words(drawn(board))
    settings.known["photos"] = None
    observer.show(with_topics(topic("photos")))
    assert "RF 3 · min ISR 2" in words(drawn(board))


def test_trouble_of_a_partition_is_told_by_more_than_colour(make: Make) -> None:
    board, observer, _ = make(topic("photos"), topic("single", 1, 1))
    observer.show(with_topics(without(topic("photos"), 2), without(topic("single", 1, 1), 1)))
    tiles = found(drawn(board), "data-partition")
    assert tiles["photos-1"][1]["data-role"] == "out-of-sync"
    assert "ISR 1 3" in words(tiles["photos-1"])
    assert tiles["single-0"][1]["data-role"] == "leaderless"
    assert "no leader" in words(tiles["single-0"])


def test_the_picture_keeps_its_size_whatever_there_is(make: Make) -> None:
    board, observer, _ = make(rows=3)
    empty = drawn(board)
    assert "no topics yet" in words(empty)
    observer.show(with_topics(*(topic(f"t{number}", partitions=9) for number in range(5))))
    full = drawn(board)
    assert full[1]["viewBox"] == empty[1]["viewBox"]
    assert list(found(full, "data-topic")) == ["t0", "t1", "t2"]
    assert "and 2 more" in words(full)
    assert "+5 more" in words(full)


def test_a_lost_cluster_keeps_the_last_topics_and_says_so(make: Make) -> None:
    board, observer, _ = make(topic("photos"))
    observer.show(lost())
    assert news(board) == {"photos": None}
    assert "no broker answers" in words(drawn(board))
    observer.show(with_topics(topic("photos")))
    assert news(board) == {"photos": None}


def test_the_browser_gets_what_was_drawn_and_the_still_is_xml(make: Make) -> None:
    board, observer, _ = make()
    observer.show(with_topics(topic("a & b")))
    assert until(lambda: "a & b" in words(board.state["view"]["picture"]))
    assert "a & b" in "".join(ET.fromstring(board.still()).itertext())


def test_a_closed_board_lets_go(make: Make) -> None:
    board, observer, settings = make(topic("photos"))
    board.close()
    assert settings.closed
    assert not observer.callbacks
    assert not observer.closed
