"""The migration line: what is known at each step, its picture, its buttons, and a lab that is really asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from brokerlab.errors import SettingError
from brokerlab.kraft import MIGRATION_STEPS
from brokerlab.widgets import MigrationLine
from brokerlab.widgets.migration_facts import Course, Facts, Moment
from brokerlab.widgets.migration_picture import WORDS, notice
from brokerlab.widgets.scene import Element
from widget_fakes import FakeLab, found, until, words
from widget_fakes import notice as said_by

NOW = time.time()
BEFORE = Facts(True, (1, 2, 3), 2)
WAITS = Facts(True, (1, 2, 3), 2, -1, 3001)
BOTH = Facts(True, (1, 2, 3), 3001, 3001, 3001, (1, 2, 3))
MOVED = Facts(True, (), 3001, 3001, 3001, (1, 2, 3))
ALONE = Facts(False, (), None, None, 3001, (1, 2, 3))

COURSES = {
    "before": (Course(NOW, (Moment(NOW - 9, BEFORE),)), "broker 2 is the controller"),
    "waits": (
        Course(NOW, (Moment(NOW - 9, WAITS),), "migrating", "start_controller"),
        "waits until every broker knows it; broker 2 still decides",
    ),
    "both": (
        Course(NOW, (Moment(NOW - 9, BOTH),), "migrating", "join_brokers"),
        "writes each change to ZooKeeper too",
    ),
    "moved": (
        Course(NOW, (Moment(NOW - 9, MOVED),), "migrating", "move_brokers"),
        "so there is a way back",
    ),
    "alone": (
        Course(NOW, (Moment(NOW - 9, ALONE),), "kraft", "stop_zookeeper"),
        "There is no ZooKeeper any more",
    ),
    "nobody leads": (
        Course(NOW, (Moment(NOW - 9, Facts()),), "kraft", "stop_zookeeper"),
        "nothing is repaired now",
    ),
    "silent": (
        Course(NOW, (Moment(NOW - 9, Facts()),), "zookeeper"),
        "ZooKeeper does not answer: lab.repair() starts it.",
    ),
    "lost": (Course(NOW, (Moment(NOW - 9, BOTH),), problem="No lab is running."), "No lab"),
}


class FakeWitness:
    def __init__(self, latest: Course) -> None:
        self.latest = latest
        self.closed = False

    def subscribe(self, listener: Callable[[], None]) -> None:
        self.listener = listener

    def close(self) -> None:
        self.closed = True


class FakeMigration:
    def __init__(self) -> None:
        self.taken: list[str] = []

    def __getattr__(self, step: str) -> Callable[[], str]:
        def take() -> str:
            self.taken.append(step)
            return f"{step}: done"

        return take


class MigratingLab(FakeLab):
    def __init__(self) -> None:
        super().__init__()
        self.migration = FakeMigration()


Make = Callable[..., MigrationLine]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[MigrationLine] = []

    def one(name: str = "before", **options: Any) -> MigrationLine:
        view = MigrationLine(MigratingLab(), witness=FakeWitness(COURSES[name][0]), **options)
        made.append(view)
        return view

    yield one
    for view in made:
        view.close()


def scene(view: MigrationLine) -> Element:
    picture: Element = view.state["view"]["picture"]
    return picture


@pytest.mark.parametrize("name", COURSES)
def test_one_sentence_says_where_it_is(name: str) -> None:
    course, said = COURSES[name]
    assert said in notice(course)[1]


@pytest.mark.parametrize("name", COURSES)
def test_its_height_never_changes_and_its_sentence_fits(make: Make, name: str) -> None:
    drawn = scene(make(name))
    assert drawn[1]["viewBox"] == scene(make("before"))[1]["viewBox"]
    assert "…" not in words(found(drawn, data_headline=notice(COURSES[name][0])[0])[0])


def test_the_lanes_say_whom_each_broker_follows(make: Make) -> None:
    told = {
        name: words(found(scene(make(name)), data_lane="broker 1")[0])
        for name in ("before", "both", "moved")
    }
    assert "znode" in told["before"] and "follows" not in told["before"]
    assert "znode, and follows" in told["both"]
    assert "follows" in told["moved"] and "znode" not in told["moved"]


def test_a_broker_is_not_called_away_while_nobody_can_tell(make: Make) -> None:
    told = words(found(scene(make("nobody leads")), data_lane="broker 1")[0])
    assert "not known" in told and "away" not in told


def test_what_changed_is_kept_on_the_lane(make: Make) -> None:
    moments = (Moment(NOW - 40, BEFORE), Moment(NOW - 30, WAITS), Moment(NOW - 10, BOTH))
    view = MigrationLine(MigratingLab(), witness=FakeWitness(Course(NOW, moments, "migrating")))
    lane = words(found(scene(view), data_lane="znode /controller")[0])
    assert lane.index("broker 2") < lane.index("controller 3001")
    assert view.past == (BEFORE, WAITS, BOTH)
    view.close()


def enabled(drawn: Element) -> list[str]:
    return [
        step
        for step in MIGRATION_STEPS
        for part in found(drawn, data_command=f'{{"kind": "{step}"}}')
        if part[1].get("aria-disabled") != "true"
    ]


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("before", ["start_controller"]),
        ("waits", ["join_brokers"]),
        ("both", ["move_brokers"]),
        ("moved", ["finalise"]),
        ("alone", []),
        ("lost", []),
    ],
)
def test_only_the_next_step_can_be_pressed(make: Make, name: str, steps: list[str]) -> None:
    drawn = scene(make(name))
    assert enabled(drawn) == steps
    assert all(word in words(drawn) for word in WORDS.values())


def test_a_button_takes_its_step(make: Make) -> None:
    view = make("waits")
    view.press("join_brokers")
    assert until(lambda: said_by(view)[1] == "join_brokers: done")
    assert view._lab.migration.taken == ["join_brokers"]
    view.press("dance")
    assert until(lambda: "has no control 'dance'" in view.problem)


def test_a_wrong_width_is_refused() -> None:
    with pytest.raises(SettingError):
        MigrationLine(FakeLab(), 7, witness=FakeWitness(COURSES["before"][0]))


@pytest.mark.cluster
def test_it_shows_what_a_lab_with_zookeeper_is(lab: Any) -> None:
    view = MigrationLine(lab)
    try:
        view.wait_until(
            lambda seen: seen.now.ids == (1, 2, 3) and seen.now.controller in lab.brokers,
            what="the brokers' znodes",
        )
        assert view.now.leader is None and not view.now.followers
        lab.zookeeper.stop()
        view.wait_until(lambda seen: not seen.now.answers, what="silence")
        lab.zookeeper.start()
        view.wait_until(lambda seen: seen.now.answers, what="ZooKeeper")
    finally:
        lab.repair()
        view.close()
