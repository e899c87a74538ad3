"""Bad luck with a real cluster under live views: many at once, two kernels, a lab that stops, a topic that is not there."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import brokerlab
import psutil
import pytest
from brokerlab.lab import Lab
from brokerlab.observe import snapshot
from brokerlab.progress import Progress
from brokerlab.widgets import ClusterMap, LiveView, TopicBoard, ZnodeTree
from confluent_kafka.admin import AdminClient, NewTopic
from widget_fakes import notice, until

pytestmark = pytest.mark.cluster

TOPIC = "robust"
SILENT = logging.getLogger("brokerlab.clients")
SLOW = 30.0
"""Seconds for what takes one or two on a quiet machine."""

Make = Callable[..., LiveView[Any]]


class Map(ClusterMap):
    """A cluster map of which there can be several."""

    def __init__(self, lab: Lab, name: str, **options: Any) -> None:
        self.name = name
        super().__init__(lab, **options)

    @property
    def subject(self) -> str:
        return self.name


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[LiveView[Any]] = []

    def one(view: LiveView[Any]) -> LiveView[Any]:
        made.append(view)
        return view

    yield one
    for view in made:
        view.close()


@pytest.fixture
def topic(lab: Lab) -> Iterator[str]:
    lab.delete_topics(TOPIC)
    yield TOPIC
    lab.delete_topics(TOPIC)


def create(lab: Lab, name: str) -> None:
    admin = AdminClient({**lab.client, "log_level": 0}, logger=SILENT)
    admin.create_topics([NewTopic(name, 3, 1)])[name].result(SLOW)


def shows(view: LiveView[Any], text: str) -> bool:
    return f'"{text}"' in json.dumps(view.state["view"])


def headline(view: LiveView[Any]) -> str:
    said = json.dumps(view.state["view"]).partition('"data-headline": "')[2]
    return said.partition('"')[0]


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_ten_views_at_once_all_live_and_all_end(lab: Lab, topic: str, make: Make) -> None:
    before, kin = threading.active_count(), children()
    views = [make(Map(lab, f"map {n}", flow=n < 2)) for n in range(8)]
    views += [make(TopicBoard(lab)), make(ZnodeTree(lab))]
    create(lab, topic)
    for view in views[:9]:
        assert until(lambda view=view: shows(view, topic), SLOW), f"{view!r} does not show it"
    assert "/brokers" in json.dumps(views[9].state["view"])
    assert until(lambda: all(view.pulse["age"] < 2 for view in views), SLOW), "none lags behind"
    assert {view.state["ended"] for view in views} == {""}
    assert {notice(view)[0] for view in views} == {"none"}
    for view in views:
        view.close()
    assert until(lambda: threading.active_count() <= before + 1, SLOW), threading.enumerate()
    assert until(lambda: children() <= kin, SLOW)


def test_of_ten_maps_of_one_lab_the_newest_lives(lab: Lab, make: Make) -> None:
    views = [make(ClusterMap(lab)) for _ in range(10)]
    assert until(lambda: all(view.state["ended"] for view in views[:9]), SLOW)
    assert {view.state["ended"] for view in views[:9]} == {"a newer one took over"}
    assert views[9].state["ended"] == ""


def test_twenty_views_opened_and_closed_leave_nothing_behind(lab: Lab, topic: str) -> None:
    create(lab, topic)

    def once() -> None:
        view = ClusterMap(lab, flow=True)
        assert until(lambda: bool(view.rates), SLOW), "it lives"
        view.close()

    once()
    this = psutil.Process()
    threads, natives, files, kin = (
        {thread.ident for thread in threading.enumerate()},
        this.num_threads(),
        this.num_fds(),
        children(),
    )
    for _ in range(20):
        once()
    assert until(lambda: {t.ident for t in threading.enumerate()} <= threads, SLOW)
    assert until(lambda: children() <= kin, SLOW)
    assert until(lambda: this.num_threads() <= natives, SLOW), "threads of a client are left"
    assert until(lambda: this.num_fds() <= files + 2, SLOW), "files are left open"


def test_closing_in_the_middle_of_things_ends_all(lab: Lab) -> None:
    """At once after opening, twice, and from two threads."""
    before, kin = {t.ident for t in threading.enumerate()}, children()
    for _ in range(5):
        view = ClusterMap(lab, flow=True)
        closers = [threading.Thread(target=view.close) for _ in range(2)]
        for closer in closers:
            closer.start()
        for closer in closers:
            closer.join(SLOW)
            assert not closer.is_alive()
    assert until(lambda: {t.ident for t in threading.enumerate()} <= before, SLOW)
    assert until(lambda: children() <= kin, SLOW)


@pytest.mark.parametrize("flow", [False, True])
def test_a_topic_that_does_not_exist_is_a_sentence_and_is_not_made(
    lab: Lab, topic: str, make: Make, flow: bool
) -> None:
    view = make(ClusterMap(lab, topics=[topic], flow=flow))
    words = "There is no topic robust yet; what is shown here appears with it."
    assert shows(view, words) and notice(view)[0] == "none"
    beats = view.pulse["n"]
    assert until(lambda: view.pulse["n"] > beats + 8, SLOW)
    assert snapshot(lab).topic(topic) is None, "looking must not create it"
    create(lab, topic)
    assert until(lambda: not shows(view, words) and shows(view, f"{topic}-2"), SLOW)
    if flow:
        assert until(lambda: (topic, 2) in view.rates, SLOW)
    lab.delete_topics(topic)
    assert until(lambda: shows(view, words), SLOW)


SECOND = """
import json, sys, time, brokerlab
from brokerlab.progress import Progress
from brokerlab.widgets import ClusterMap
lab = brokerlab.start(brokers=3, progress=Progress())
view = ClusterMap(lab, flow=True)
view.wait_until(lambda seen: ("robust", 2) in view.rates, 30, "the topic")
print(json.dumps({"attached": True, "ended": view.state["ended"]}), flush=True)
time.sleep(600)
"""


def test_a_second_kernel_shows_the_same_cluster_and_may_die(
    lab: Lab, topic: str, make: Make
) -> None:
    first = make(ClusterMap(lab, flow=True))
    before = {node.name: node.pid for node in snapshot(lab).nodes}
    second = subprocess.Popen([sys.executable, "-c", SECOND], stdout=subprocess.PIPE, text=True)
    try:
        create(lab, topic)
        assert second.stdout is not None
        said = second.stdout.readline()
        assert json.loads(said) == {"attached": True, "ended": ""}
        watchers = psutil.Process(second.pid).children(recursive=True)
        assert any("brokerlab.flowwatch" in child.cmdline() for child in watchers)
        assert until(lambda: shows(first, topic), SLOW) and first.state["ended"] == ""
    finally:
        second.kill()
        second.wait(SLOW)
    assert until(lambda: not any(child.is_running() for child in watchers), SLOW)
    lab.delete_topics(topic)
    assert until(lambda: not shows(first, topic), SLOW), "the first one goes on"
    assert {node.name: node.pid for node in snapshot(lab).nodes} == before


def test_a_lab_that_stops_under_a_view_shows_as_lost_and_comes_back(home: Path, make: Make) -> None:
    lab = brokerlab.start(brokers=1, progress=Progress())
    view = make(Map(lab, "stopping", flow=True))
    create(lab, TOPIC)
    assert until(lambda: shows(view, TOPIC) and headline(view) == "fine", SLOW)
    lab.stop()
    assert until(lambda: headline(view) == "lost", SLOW)
    assert shows(view, f"{TOPIC}-2"), "what was last seen stays"
    assert until(lambda: "No lab is running: start one" in json.dumps(view.state["view"]), SLOW)
    assert view.rates == {} or set(view.rates.values()) == {None}
    assert notice(view)[0] == "none" and view.state["ended"] == ""
    for _ in range(10):
        view.press("kill", node="broker-1")
    assert until(lambda: view.pending == () and notice(view)[0] == "error", SLOW)
    assert notice(view)[1].startswith("No lab is running: start one")
    begun = time.monotonic()
    assert view.still().startswith("<svg") and time.monotonic() - begun < 5
    lab = brokerlab.start(brokers=1, progress=Progress())
    assert until(lambda: headline(view) == "empty", SLOW), "a new lab has no topics"
    create(lab, TOPIC)
    assert until(lambda: headline(view) == "fine", SLOW)
    assert until(lambda: set(view.rates.values()) == {0.0}, SLOW)
    view.press("kill", node="broker-1")
    assert until(lambda: notice(view)[0] == "done", SLOW)
