"""A worker: what it publishes, when it commits, and what it does about slow, broken and deadly pictures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import fakes
import pytest
from brokerlab.pipeline import worker as worker_module
from brokerlab.pipeline.commits import Commits
from brokerlab.pipeline.crashes import Suspects
from brokerlab.pipeline.detector import Detection
from brokerlab.pipeline.messages import Attempt, Names, Result
from brokerlab.pipeline.pictures import NotAPicture
from brokerlab.pipeline.worker import Worker
from confluent_kafka import KafkaError, TopicPartition
from queues import until

NAMES = Names("t")
ZERO, ONE = (NAMES.requests, 0), (NAMES.requests, 1)
LATER = (NAMES.retries, 0)
CAT = Detection("cat", 0.9, 1.0, 2.0, 3.0, 4.0)


class Eyes:
    """Sees a cat in everything, unless it was told what to do at some bytes."""

    def __init__(self) -> None:
        self.at: dict[bytes, Callable[[], Any]] = {}
        self.seen: list[bytes] = []

    def detect(self, picture: bytes) -> tuple[Detection, ...]:
        self.seen.append(picture)
        if picture in self.at:
            self.at[picture]()
        return (CAT,)


class Bench:
    """A worker on fake clients, in a thread."""

    def __init__(self, **options: Any) -> None:
        self.cluster = fakes.Cluster()
        self.eyes = Eyes()
        self.events: list[dict[str, Any]] = []
        self.stop = threading.Event()
        self.worker = Worker(
            self.cluster,  # type: ignore[arg-type]
            self.eyes,
            NAMES,
            name="w",
            stop=self.stop,
            say=lambda event, **details: self.events.append({"event": event, **details}),
            **options,
        )
        self._thread = threading.Thread(target=self.worker.run, daemon=True)

    def start(self) -> None:
        self._thread.start()
        until(lambda: self.cluster.consumers and self.consumer.polls)

    @property
    def consumer(self) -> fakes.Consumer:
        return self.cluster.consumers[-1]

    @property
    def producer(self) -> fakes.Producer:
        return self.cluster.producers[-1]

    def feed(
        self, place: tuple[str, int], *offsets: int, picture: bytes = b"p", **more: Any
    ) -> None:
        self.consumer.feed(
            *(
                fakes.Message(
                    *place, offset, key_=f"{place[1]}-{offset}".encode(), value_=picture, **more
                )
                for offset in offsets
            )
        )

    def end(self) -> None:
        self.stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(worker_module, "ensure_topics", lambda *_: [])
    made = Bench(retry_after=0.3)
    made.start()
    made.consumer.rebalance("assign", ZERO, ONE, LATER)
    yield made
    made.end()


def test_offsets_are_committed_up_to_the_first_that_is_not_finished() -> None:
    commits = Commits()
    for offset in (5, 6, 8):
        commits.take(ZERO, offset)
    commits.finish(ZERO, 6)
    assert commits.ready() == {} and commits.first(ZERO) == 5
    commits.finish(ZERO, 5)
    assert commits.ready() == {ZERO: 7} and commits.ready() == {}
    commits.finish(ZERO, 8)
    commits.again(ZERO, 7)
    assert commits.ready([ONE]) == {} and commits.ready([ZERO]) == {ZERO: 9}
    commits.again(ZERO, 9)
    assert commits.ready() == {ZERO: 9} and len(commits) == 0


def test_what_was_given_away_is_neither_finished_nor_committed() -> None:
    commits = Commits()
    commits.take(ZERO, 5)
    commits.take(ONE, 1)
    commits.forget([ZERO])
    commits.finish(ZERO, 5)
    commits.again(ZERO, 5)
    commits.finish(ONE, 1)
    assert commits.ready() == {ONE: 2}


def test_a_result_is_published_and_committed_when_it_is_confirmed(bench: Bench) -> None:
    bench.producer.confirming = False
    bench.feed(ZERO, 7, 8)
    until(lambda: len(bench.producer.sent) == 2)
    result = Result.decoded(bench.producer.sent[0].value)
    assert (result.id, result.worker, result.attempts) == ("0-7", "w", 1)
    assert result.detections[0]["label"] == "cat"
    assert bench.producer.sent[0].key == b"0-7"
    time.sleep(2 * worker_module.COMMIT_EVERY)
    assert {commit[2] for commit in bench.consumer.commits} == {7}, (
        "only the mark, which moves nothing"
    )
    assert not [event for event in bench.events if event["event"] == "done"]
    bench.producer.confirming = True
    until(lambda: bench.consumer.committed_to(*ZERO) == 9)
    assert [event["id"] for event in bench.events if event["event"] == "done"] == ["0-7", "0-8"]


def test_what_is_no_picture_goes_to_the_dead_letters_at_once(bench: Bench) -> None:
    def refuse() -> None:
        raise NotAPicture("truncated", "It breaks off.")

    bench.eyes.at[b"bad"] = refuse
    bench.feed(ZERO, 3, picture=b"bad")
    bench.feed(ZERO, 4)
    until(lambda: bench.consumer.committed_to(*ZERO) == 5)
    letter, result = bench.producer.sent
    assert (letter.topic, letter.value, result.topic) == (NAMES.dead_letters, b"bad", NAMES.results)
    assert letter.headers == {
        "code": "truncated",
        "reason": "It breaks off.",
        "error": "NotAPicture",
        "round": "0",
        "attempts": "1",
        "came-from": "t-requests[0]@3",
    }


def test_what_fails_is_tried_later_and_given_up_in_the_end(bench: Bench) -> None:
    def fail() -> None:
        raise MemoryError("no room")

    bench.eyes.at[b"odd"] = fail
    before = time.time()
    bench.feed(ZERO, 0, picture=b"odd")
    until(lambda: bench.producer.sent)
    again = bench.producer.sent[0]
    assert (again.topic, again.value, again.headers["attempt"]) == (NAMES.retries, b"odd", "2")
    assert float(again.headers["not-before"]) >= before + 0.3
    last = Attempt(number=3).headers()
    bench.feed(LATER, 0, picture=b"odd", headers_=last)
    until(lambda: len(bench.producer.sent) == 2)
    letter = bench.producer.sent[1]
    assert letter.topic == NAMES.dead_letters
    assert (letter.headers["code"], letter.headers["attempts"]) == ("failed", "3")
    assert letter.headers["reason"] == "The detector failed 3 times, last with MemoryError: no room"


def test_a_retry_waits_for_its_time_and_others_do_not_wait_for_it(bench: Bench) -> None:
    due = time.time() + 1.0
    bench.feed(LATER, 0, 1, picture=b"later", headers_=Attempt(0, 2, due).headers())
    until(lambda: LATER in bench.consumer.paused)
    bench.feed(ZERO, 0)
    until(lambda: bench.consumer.committed_to(*ZERO) == 1)
    assert bench.eyes.seen == [b"p"] and time.time() < due
    until(lambda: bench.consumer.committed_to(*LATER) == 2)
    assert time.time() >= due and bench.eyes.seen == [b"p", b"later", b"later"]
    assert LATER not in bench.consumer.paused


def test_a_slow_picture_does_not_stop_the_polling(bench: Bench) -> None:
    go = threading.Event()
    bench.eyes.at[b"slow"] = lambda: go.wait(30)
    bench.feed(ZERO, 0, picture=b"slow")
    bench.feed(ZERO, 1, 2, 3, 4)
    until(lambda: {ZERO, ONE, LATER} <= bench.consumer.paused)
    polls = bench.consumer.polls
    until(lambda: bench.consumer.polls > polls + 20)
    bench.consumer.rebalance("assign", (NAMES.requests, 2))
    assert (NAMES.requests, 2) in bench.consumer.paused, "what is new is paused like the rest"
    go.set()
    until(lambda: bench.consumer.committed_to(*ZERO) == 5)
    until(lambda: not bench.consumer.paused)


def test_quick_pictures_are_never_paused(bench: Bench) -> None:
    bench.feed(ZERO, *range(300))
    until(lambda: bench.consumer.committed_to(*ZERO) == 300)
    assert bench.consumer.pauses == 0


def test_unconfirmed_results_hold_back_new_work(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "UNCONFIRMED", 10)
    bench.producer.confirming = False
    bench.feed(ZERO, *range(30))
    until(lambda: bench.consumer.paused)
    assert len(bench.eyes.seen) <= 10
    bench.producer.confirming = True
    until(lambda: bench.consumer.committed_to(*ZERO) == 30)


def test_partitions_taken_away_are_committed_as_far_as_they_are_done(bench: Bench) -> None:
    go = threading.Event()
    bench.eyes.at[b"at hand"] = lambda: go.wait(30)
    bench.feed(ZERO, 0)
    bench.feed(ZERO, 1, picture=b"at hand")
    bench.feed(ZERO, 2, picture=b"dropped")
    until(lambda: b"at hand" in bench.eyes.seen)
    threading.Timer(0.3, go.set).start()
    bench.consumer.rebalance("revoke", ZERO)
    assert bench.consumer.committed_to(*ZERO) == 2
    bench.feed(ONE, 0)
    until(lambda: bench.consumer.committed_to(*ONE) == 1)
    assert b"dropped" not in bench.eyes.seen


def test_a_picture_that_outlasts_the_hand_over_is_left_to_the_next(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "HAND_OVER", 0.2)
    go = threading.Event()
    bench.eyes.at[b"slow"] = lambda: go.wait(30)
    bench.feed(ZERO, 0, picture=b"slow")
    until(lambda: b"slow" in bench.eyes.seen)
    bench.consumer.rebalance("revoke", ZERO)
    assert bench.consumer.commits[-1] == (*ZERO, 0, ""), "not moved, and not counted as a death"
    go.set()
    bench.feed(ONE, 0)
    until(lambda: bench.consumer.committed_to(*ONE) == 1)
    assert bench.consumer.committed_to(*ZERO) == 0


def test_of_partitions_that_are_lost_nothing_is_committed(bench: Bench) -> None:
    bench.producer.confirming = False
    bench.feed(ZERO, 0)
    until(lambda: bench.producer.sent)
    bench.consumer.rebalance("lost", ZERO)
    bench.producer.confirming = True
    bench.feed(ONE, 0)
    until(lambda: bench.consumer.committed_to(*ONE) == 1)
    assert bench.consumer.committed_to(*ZERO) == 0, "only the mark"


def test_a_commit_that_fails_is_made_again(bench: Bench) -> None:
    bench.feed(ZERO, 0)
    until(lambda: bench.consumer.committed_to(*ZERO) == 1)
    bench.consumer.refuse_commits = True
    bench.feed(ZERO, 1)
    until(lambda: len(bench.producer.sent) == 2)
    time.sleep(3 * worker_module.COMMIT_EVERY)
    assert bench.consumer.committed_to(*ZERO) == 1
    bench.consumer.refuse_commits = False
    until(lambda: bench.consumer.committed_to(*ZERO) == 2)


def test_an_answer_that_the_brokers_never_take_becomes_a_dead_letter_without_the_picture(
    bench: Bench,
) -> None:
    too_large = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
    bench.producer.verdict = lambda sent: too_large if sent.value else None
    bench.feed(ZERO, 0)
    until(lambda: bench.consumer.committed_to(*ZERO) == 1)
    letter = bench.producer.sent[-1]
    assert (letter.topic, letter.value) == (NAMES.dead_letters, b"")
    assert letter.headers["code"] == "not-taken"


def test_a_producer_that_cannot_go_on_is_replaced_and_nothing_is_committed_for_it(
    bench: Bench,
) -> None:
    bench.producer.verdict = lambda sent: KafkaError(KafkaError._FATAL)
    first = bench.consumer
    bench.feed(ZERO, 0)
    until(lambda: len(bench.cluster.consumers) == 2)
    assert first.closed and first.committed_to(*ZERO) == 0
    assert any(event["event"] == "trouble" for event in bench.events)
    until(lambda: bench.consumer.polls)
    bench.consumer.rebalance("assign", ZERO)
    bench.feed(ZERO, 0)
    until(lambda: bench.consumer.committed_to(*ZERO) == 1)


def test_told_to_stop_it_finishes_the_picture_at_hand_and_leaves(bench: Bench) -> None:
    go = threading.Event()
    bench.eyes.at[b"at hand"] = lambda: go.wait(30)
    bench.feed(ZERO, 0, picture=b"at hand")
    bench.feed(ZERO, 1, 2, picture=b"dropped")
    until(lambda: b"at hand" in bench.eyes.seen)
    bench.stop.set()
    threading.Timer(0.2, go.set).start()
    bench.end()
    assert bench.eyes.seen == [b"at hand"]
    assert bench.consumer.committed_to(*ZERO) == 1 and bench.consumer.closed
    assert bench.events[-1]["event"] == "stopped"


def test_the_first_picture_of_an_assignment_is_marked_and_no_other(bench: Bench) -> None:
    bench.feed(ZERO, 4, 5, 6)
    until(lambda: bench.consumer.committed_to(*ZERO) == 7)
    assert [commit for commit in bench.consumer.commits if commit[3]] == [(*ZERO, 4, "1")]


def test_where_workers_died_pictures_are_taken_singly_and_the_deadly_one_is_given_up(
    bench: Bench,
) -> None:
    bench.consumer.rebalance("revoke", ZERO)
    bench.consumer.marks[ZERO] = (8, "3")
    bench.consumer.rebalance("assign", ZERO)
    bench.feed(ZERO, 8, picture=b"deadly")
    bench.feed(ZERO, 9, 10)
    until(lambda: bench.consumer.committed_to(*ZERO) == 11)
    assert b"deadly" not in bench.eyes.seen
    assert (bench.producer.sent[0].topic, bench.producer.sent[0].headers["code"]) == (
        NAMES.dead_letters,
        "crash",
    )
    marked = [
        commit[2] for commit in bench.consumer.commits if commit[0] == ZERO[0] and commit[3] == "1"
    ]
    assert marked == [9, 10]


def test_a_mark_counts_only_for_the_picture_it_was_made_for() -> None:
    suspects = Suspects()
    suspects.assigned([TopicPartition(*ZERO, 5, "2"), TopicPartition(*ONE, 5, "junk")])
    assert suspects.singly(ZERO) and not suspects.singly(ONE)
    assert suspects.begin(ZERO, 6) == 0
    assert suspects.begin(ONE, 5) == 0 and suspects.begin(ONE, 6) is None
