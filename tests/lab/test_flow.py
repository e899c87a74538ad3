"""Records per second, as the ends of the logs say."""

from __future__ import annotations

import json
import logging
import os
import signal
import time

import psutil
import pytest
from brokerlab.flow import FlowObserver, Gauge
from brokerlab.observe import PERIOD, snapshot, wait_until
from brokerlab.traffic import Traffic
from confluent_kafka.admin import AdminClient, NewTopic
from nowhere import Nowhere

TOPIC = "flow-test"
P = (TOPIC, 0)
SILENT = logging.getLogger("brokerlab.clients")


def rates(*reads: tuple[float, int | None]) -> list[float | None]:
    gauge = Gauge()
    return [gauge.read(clock, {P: end})[P] for clock, end in reads]


def test_a_rate_needs_two_looks():
    assert rates((10.0, 500), (10.5, 560)) == [None, 120.0]


def test_a_rate_is_that_of_the_last_second():
    reads = [(n / 4, 1000 + 10 * n) for n in range(8)] + [(2 + n / 4, 1070) for n in range(8)]
    seen = rates(*reads)
    assert seen[1:8] == [40.0] * 7
    assert seen[-3:] == [0.0] * 3, "nothing was written for a second"


def test_slow_looks_are_compared_with_the_one_before():
    assert rates((0.0, 0), (3.0, 30), (6.0, 90)) == [None, 10.0, 20.0]


def test_silence_forgets_what_was_before():
    assert rates((0.0, 0), (0.5, 50), (1.0, None), (1.5, 900), (2.0, 910)) == [
        None,
        100.0,
        None,
        None,
        20.0,
    ]


def test_a_log_that_got_shorter_begins_anew():
    assert rates((0.0, 1000), (0.5, 1100), (1.0, 3), (1.5, 8)) == [None, 200.0, None, 10.0]


def test_a_clock_that_stands_still_divides_nothing():
    assert rates((1.0, 5), (1.0, 9), (1.5, 10)) == [None, None, 2.0]


def test_partitions_that_are_gone_are_forgotten():
    gauge = Gauge()
    gauge.read(0.0, {P: 100})
    assert gauge.read(0.5, {}) == {}
    assert gauge.read(1.0, {P: 100}) == {P: None}


@pytest.mark.parametrize(
    "line", ["", "Traceback (most recent call last):", "{}", "[1]", "null", '{"ends": [[1]]}']
)
def test_lines_that_are_no_look_are_passed_over(line, tmp_path):
    observer = FlowObserver(Nowhere(tmp_path))
    try:
        assert observer.read(line) is None
        good = {"taken": 1.0, "clock": 2.0, "ends": [[TOPIC, 0, 7]], "problem": None}
        assert observer.read(json.dumps(good)).rates == {P: None}
    finally:
        observer.close()


def test_a_cluster_that_is_not_there_is_a_problem_not_an_error(tmp_path):
    observer = FlowObserver(Nowhere(tmp_path))
    try:
        seen = observer.wait_until(
            lambda view: "no broker" in (view.problem or ""), what="a problem"
        )
        assert seen.rates == {}
    finally:
        observer.close()
    assert _watchers() == set()


@pytest.fixture
def topic(lab):
    lab.delete_topics(TOPIC)
    admin = AdminClient({**lab.client, "log_level": 0}, logger=SILENT)
    admin.create_topics([NewTopic(TOPIC, 2, 3)])[TOPIC].result(10)
    yield TOPIC
    lab.delete_topics(TOPIC)


@pytest.fixture
def observer(lab, topic):
    watching = FlowObserver(lab, [topic])
    yield watching
    watching.close()


def total(view):
    known = [rate for rate in view.rates.values() if rate is not None]
    return sum(known) if len(known) == 2 else None


@pytest.mark.cluster
def test_the_rate_is_what_is_written_and_nothing_when_nothing_is(lab, observer):
    observer.wait_until(lambda view: total(view) == 0, what="a log that does not grow")
    traffic = Traffic(lab, TOPIC, 100)
    try:
        observer.wait_until(lambda view: (total(view) or 0) > 20, what="a log that grows")
        time_began, seen = time.monotonic(), []
        unsubscribe = observer.subscribe(lambda view: seen.append(total(view)))
        wait_until(lab, lambda _: len(seen) >= 12, 30, "twelve looks")
        unsubscribe()
        looks = (len(seen) - 1) / (time.monotonic() - time_began)
        assert looks <= 1 / PERIOD, "no more often than was asked for"
        known = [rate for rate in seen if rate is not None]
        assert 40 < sum(known) / len(known) < 250
    finally:
        traffic.stop()
    observer.wait_until(lambda view: total(view) == 0, what="a log that does not grow any more")


@pytest.mark.cluster
def test_a_dead_leader_does_not_tell_and_its_successor_does(lab, observer):
    observer.wait_until(lambda view: total(view) is not None, what="two rates")
    led = snapshot(lab).topic(TOPIC).partitions[0]
    # Hurried: with the default of 60 s the producer may wait longer for the frozen leader than this test for it.
    hurried = {"acks": "all", "socket.timeout.ms": 3000}
    traffic = Traffic(lab, TOPIC, 50, hurried, partition=0)
    try:
        observer.wait_until(lambda view: (view.rate(*P) or 0) > 0, what="a log that grows")
        lab.brokers[led.leader].pause(watch=False)
        observer.wait_until(lambda view: view.rate(*P) is None, what="silence of the leader")
        observer.wait_until(
            lambda view: (view.rate(*P) or 0) > 0, 40, what="a log that grows at the new leader"
        )
        assert snapshot(lab).topic(TOPIC).partitions[0].leader != led.leader
    finally:
        lab.brokers[led.leader].resume()
        traffic.stop()
    wait_until(lab, lambda now: len(now.topic(TOPIC).partitions[0].isr) == 3, 30, "the full ISR")


@pytest.mark.cluster
def test_all_topics_but_kafkas_own_are_watched_and_new_ones_join(lab, topic):
    watching = FlowObserver(lab)
    try:
        seen = watching.wait_until(lambda view: bool(view.rates), what="rates")
        assert {name for name, _ in seen.rates} >= {TOPIC}
        assert not any(name.startswith("__") for name, _ in seen.rates)
        lab.delete_topics(TOPIC)
        watching.wait_until(lambda view: (TOPIC, 0) not in view.rates, what="the topic to be gone")
    finally:
        watching.close()


@pytest.mark.cluster
def test_a_topic_that_does_not_exist_is_not_made_by_watching_it(lab):
    watching = FlowObserver(lab, ["flow-none"])
    try:
        seen = watching.wait_until(lambda view: view.problem is None, what="a look")
        assert seen.rates == {}
        assert snapshot(lab).topic("flow-none") is None
    finally:
        watching.close()


@pytest.mark.cluster
def test_the_watching_process_is_replaced_when_it_dies_and_ends_when_closed(lab, observer):
    observer.wait_until(lambda view: total(view) is not None, what="rates")
    killed = _watchers()
    assert killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    observer.wait_until(lambda view: total(view) is not None, what="rates again")
    assert not killed & _watchers()
    observer.close()
    assert _watchers() == set()


def _watchers() -> set[int]:
    found = set()
    for child in psutil.Process().children(recursive=True):
        try:
            if "brokerlab.flowwatch" in child.cmdline():
                found.add(child.pid)
        except psutil.Error:
            continue
    return found
