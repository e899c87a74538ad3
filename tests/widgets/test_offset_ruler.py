from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from brokerlab import programs
from brokerlab.errors import NodeFailedError, SettingError
from brokerlab.groups import GroupView, Member, Span
from brokerlab.widgets import OffsetRuler
from brokerlab.widgets.offset_ledger import Run, Track, work_of
from brokerlab.widgets.scene import Element
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from test_cluster_map import found, words
from widget_fakes import FakeLab, FakeObserver, notice, snapshot, topic, until

ME = Member("worker-1", "worker", (("desk", 0),))


def group_view(*spans: tuple[int, int, int | None], **changes: Any) -> GroupView:
    """Return a view of a group; a span is low, high, committed."""
    whole: dict[str, Any] = {
        "taken": time.time(),
        "group": "night",
        "state": "EMPTY",
        "members": (),
        "spans": tuple(Span("desk", n, *span) for n, span in enumerate(spans)),
        "problem": None,
    }
    return GroupView(**(whole | changes))


class FakeProgram:
    """A worker that takes one record after the other, from an offset on, each until Enter."""

    begin = 0

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments
        self.offset = FakeProgram.begin
        self.lines: tuple[str, ...] = ("hello",)
        self.running = True
        self.exit_code: int | None = None
        self.ended = ""
        self.listeners: list[Callable[[str], None]] = []
        self.take()

    def say(self, line: str) -> None:
        self.lines += (line,)
        for listener in self.listeners:
            listener(line)

    def take(self) -> None:
        self.say(f"working 0 {self.offset} photo {self.offset}")

    def write(self, _: str) -> None:
        self.say(f"done 0 {self.offset} photo {self.offset}")
        self.offset += 1
        self.take()

    def subscribe(self, listener: Callable[[str], None]) -> None:
        self.listeners.append(listener)

    def kill(self) -> None:
        self.running, self.ended = False, "killed"

    def stop(self) -> None:
        self.running, self.ended = False, "stopped"


Make = Callable[..., OffsetRuler]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[FakeProgram]:
    workers: list[FakeProgram] = []

    def run(*arguments: object) -> FakeProgram:
        workers.append(FakeProgram(*arguments))
        return workers[-1]

    monkeypatch.setattr(FakeProgram, "begin", 0)
    monkeypatch.setattr("brokerlab.widgets.offset_ruler.programs.run", run)
    return workers


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch, started: list[FakeProgram]) -> Iterator[Make]:
    made: list[OffsetRuler] = []

    def one(seen: GroupView | None = None, partitions: int = 1) -> OffsetRuler:
        known = snapshot(topics=(topic("desk", partitions),) if partitions else ())
        monkeypatch.setattr("brokerlab.widgets.offset_ruler.snapshot", lambda _: known)
        observer: Any = FakeObserver(seen or group_view((0, 20, None)))
        made.append(OffsetRuler(FakeLab(), "desk", "night", observer=observer))  # type: ignore[arg-type]
        return made[-1]

    yield one
    for view in made:
        view.close()


def picture(view: OffsetRuler) -> Element:
    return view.draw(view.look())


def states(view: OffsetRuler, partition: int = 0) -> dict[str, str]:
    (ruler,) = found(picture(view), data_partition=partition)
    return {e[1]["data-run"]: e[1]["data-state"] for e in _runs(ruler)}


def _runs(scene: Element) -> list[Element]:
    here = [scene] if "data-run" in scene[1] else []
    return here + [hit for child in scene[2:] if isinstance(child, list) for hit in _runs(child)]


def show(view: OffsetRuler, seen: GroupView) -> None:
    view._observer.show(seen)  # type: ignore[attr-defined]


def at_work(view: OffsetRuler, records: int = 0) -> None:
    view.start_worker()
    for _ in range(records):
        view.next_record()
    assert until(lambda: not view.pending)


# What is counted.


def test_the_lines_of_a_worker_are_read_and_others_passed_over() -> None:
    lines = ["hello", "working 0 3 photo 3", "done 0 3 photo 3", "working 1 0", "working x"]
    work = work_of(lines)
    assert dict(work.done) == {(0, 3): 1}
    assert work.working == (1, 0)
    assert work.positions == {0: 4, 1: 1}
    again = work_of(["working 0 3 a", "done 0 3 a"], before=work)
    assert dict(again.done) == {(0, 3): 2}
    assert again.working is None


def track(**changes: Any) -> Track:
    whole: dict[str, Any] = {
        "partition": 0,
        "low": 0,
        "high": 10,
        "committed": None,
        "position": None,
        "since": 0,
        "done": {},
        "working": None,
    }
    return Track(**(whole | changes))


@pytest.mark.parametrize(
    ("seen", "missing", "lag", "runs"),
    [
        (track(), 0, 10, [(0, 10, "waiting")]),
        (
            track(done={0: 1, 1: 1}, committed=1, working=2),
            0,
            9,
            [(0, 1, "done"), (1, 2, "again"), (2, 3, "working"), (3, 10, "waiting")],
        ),
        (
            track(done={0: 1}, committed=2, working=1),
            0,
            8,
            [(0, 1, "done"), (1, 2, "risk"), (2, 10, "waiting")],
        ),
        (
            track(done={0: 1, 2: 1}, committed=3),
            1,
            7,
            [(0, 1, "done"), (1, 2, "missing"), (2, 3, "done"), (3, 10, "waiting")],
        ),
        (track(committed=4, since=4), 0, 6, [(0, 4, "before"), (4, 10, "waiting")]),
        (track(low=4, committed=4, done={0: 1}), 3, 6, [(4, 10, "waiting")]),
        (track(low=10), 0, 0, []),
    ],
)
def test_what_becomes_of_the_records(
    seen: Track, missing: int, lag: int, runs: list[tuple[int, int, str]]
) -> None:
    assert seen.missing == missing
    assert seen.lag == lag
    assert [(run.begin, run.end, run.state) for run in seen.runs()] == runs


def test_a_repeated_record_is_a_run_of_its_own() -> None:
    assert Run(1, 2, "done", 2) in track(done={0: 1, 1: 2}, committed=2).runs()


# What is shown.


def test_the_four_places_are_on_the_ruler(make: Make) -> None:
    view = make(group_view((0, 20, 2)))
    at_work(view, 3)
    (ruler,) = found(picture(view), data_partition=0)
    attributes = ruler[1]
    assert (attributes["data-low"], attributes["data-high"]) == (0, 20)
    assert (attributes["data-committed"], attributes["data-position"]) == (2, 4)
    assert attributes["data-lag"] == 18
    said = words(ruler)
    for mark in (
        "log start",
        "committed 2 (the group's)",
        "position 4 (the worker's)",
        "high watermark",
        "lag 18",
    ):
        assert mark in said


def test_nothing_committed_and_no_worker_are_said_in_words(make: Make) -> None:
    said = words(picture(make()))
    assert "nothing committed yet: auto.offset.reset decides" in said
    assert "no position: no worker runs" in said
    assert "No worker runs. Press Start worker." in said


def test_a_crash_with_auto_commit_loses_the_record_in_its_hands(make: Make) -> None:
    view = make()
    at_work(view, 3)
    show(view, group_view((0, 20, 4), state="STABLE", members=(ME,)))
    assert states(view) == {"0-3": "done", "3-4": "risk", "4-20": "waiting"}
    view.crash()
    assert until(lambda: states(view)["3-4"] == "missing")
    said = ("done", "Killed with record 3 of partition 0 in its hands.")
    assert until(lambda: notice(view) == said)
    assert view.look().missing == 1
    assert "the group still counts the dead one" in words(picture(view))
    show(view, group_view((0, 20, 4)))
    assert "No worker runs. Press Start worker." in words(picture(view))


def test_what_is_not_committed_would_be_read_again(make: Make) -> None:
    view = make()
    at_work(view, 3)
    show(view, group_view((0, 20, 2), state="STABLE", members=(ME,)))
    assert states(view) == {"0-2": "done", "2-3": "again", "3-4": "working", "4-20": "waiting"}
    view.crash()
    FakeProgram.begin = 2
    at_work(view, 1)
    seen = view.look()
    assert (seen.once, seen.more, seen.missing) == (2, 1, 0)


def test_the_worker_gets_the_mode_that_is_chosen(make: Make, started: list[FakeProgram]) -> None:
    view = make()
    at_work(view)
    view.set(commit="after the work")
    assert until(lambda: notice(view)[1].startswith("The worker that runs keeps its way"))
    view.close_worker()
    at_work(view)
    common = ("worker.py", FakeLab.client_file, "desk", "night")
    assert [worker.arguments for worker in started] == [(*common, "auto"), (*common, "after")]
    assert started[0].ended == "stopped"
    assert "the worker commits: after the work" in words(picture(view))


@pytest.mark.parametrize(
    ("running", "possible"),
    [
        (False, {"start", "send", "rewind", "reset"}),
        (True, {"next", "crash", "close", "send"}),
    ],
)
def test_the_buttons_fit_the_worker_and_carry_their_line_of_python(
    make: Make, running: bool, possible: set[str]
) -> None:
    view = make()
    if running:
        at_work(view)
    buttons = found(picture(view), role="button")
    enabled = {b[1]["data-command"].split('"')[3] for b in buttons if "aria-disabled" not in b[1]}
    assert enabled == possible
    for one in buttons:
        name = one[1]["data-code"].removeprefix("ruler.").partition("(")[0]
        assert callable(getattr(view, name))


def test_a_worker_that_ends_by_itself_says_why(make: Make, started: list[FakeProgram]) -> None:
    view = make()
    at_work(view)
    started[0].say("KafkaException: boom")
    started[0].running = False
    view.touch()
    assert "The worker ended by itself: KafkaException: boom" in words(picture(view))


def test_a_lost_cluster_shows_what_was_seen_last(make: Make) -> None:
    view = make(group_view((0, 20, 3)))
    show(
        view, group_view(state=None, problem="the group's coordinator does not answer (timed out)")
    )
    (headline,) = found(picture(view), data_headline="lost")
    assert "the group's coordinator does not answer" in words(headline)
    assert states(view) == {"0-3": "before", "3-20": "waiting"}


def test_a_topic_that_does_not_exist_is_a_sentence(make: Make) -> None:
    view = make(group_view(), partitions=0)
    assert "There is no topic desk yet" in words(picture(view))
    view.send_more()
    assert until(lambda: notice(view)[0] == "error")
    assert notice(view)[1] == "There is no topic desk yet: create it first."


def lost_one(make: Make) -> OffsetRuler:
    view = make()
    at_work(view, 3)
    view.crash()
    show(view, group_view((0, 20, 4), taken=100.0))
    assert until(lambda: view.look().missing == 1)
    return view


def counts(view: OffsetRuler) -> tuple[int, int]:
    seen = view.look()
    return seen.once, seen.missing


def test_a_new_topic_of_that_name_begins_without_a_past(make: Make) -> None:
    view = lost_one(make)
    show(view, group_view(taken=101.0))
    show(view, group_view((0, 30, None), taken=102.0))
    assert counts(view) == (0, 0), "it was gone in between"
    view = lost_one(make)
    show(view, group_view((0, 5, None), taken=101.0))
    show(view, group_view((0, 5, None), taken=105.0))
    assert counts(view) == (0, 0), "its high watermark stays lower"


def test_a_new_leader_may_know_an_older_high_watermark_for_a_moment(make: Make) -> None:
    view = lost_one(make)
    show(view, group_view((0, 18, 4), taken=101.0))
    show(view, group_view((0, 20, 4), taken=102.0))
    show(view, group_view((0, 18, 4), taken=109.0))
    assert counts(view) == (3, 1)


@pytest.mark.parametrize(
    ("press", "sentence"),
    [
        ({"kind": "next"}, "No worker runs: press Start worker first."),
        ({"kind": "crash"}, "No worker runs: press Start worker first."),
        ({"kind": "close"}, "No worker runs: press Start worker first."),
        ({"kind": "send", "count": 0}, "A count is a whole number from 1 to 1000, and 0 is not."),
        ({"kind": "dance"}, "OffsetRuler has no control 'dance'."),
        ({"kind": "set", "name": "commit", "value": "never"}, "commit can be 'auto', 'after the "),
    ],
)
def test_what_cannot_be_done_is_a_sentence(
    make: Make, press: dict[str, Any], sentence: str
) -> None:
    view = make()
    view.press(**press)
    assert until(lambda: notice(view)[0] == "error")
    assert notice(view)[1].startswith(sentence)


def test_offsets_are_not_moved_while_the_worker_runs(make: Make) -> None:
    view = make()
    at_work(view)
    view.rewind()
    assert until(lambda: notice(view)[0] == "error")
    assert "Kafka moves its offsets only while it is empty" in notice(view)[1]
    view.start_worker()
    assert until(lambda: "A worker runs already" in notice(view)[1])


def test_offsets_are_not_moved_while_the_group_has_a_member(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brokerlab.widgets.offset_ruler.MEMBER_GONE", 0.1)
    view = make(group_view((0, 20, 4), state="STABLE", members=(ME,)))
    view.rewind()
    assert until(lambda: "a killed member counts until its session is over" in notice(view)[1])


def test_ten_presses_at_once_start_one_worker(make: Make, started: list[FakeProgram]) -> None:
    view = make()
    for _ in range(10):
        view.start_worker()
    assert until(lambda: not view.pending)
    assert len(started) == 1


def test_wrong_minutes_are_refused(make: Make) -> None:
    with pytest.raises(SettingError, match="minutes can be 1 to 120"):
        make().set(minutes=0)


def test_closing_the_view_ends_its_worker(make: Make, started: list[FakeProgram]) -> None:
    view = make()
    at_work(view)
    view.close()
    assert started[0].ended == "killed"


def test_the_height_depends_on_the_partitions_alone(make: Make) -> None:
    def height(view: OffsetRuler) -> str:
        return str(picture(view)[1]["viewBox"])

    view = make(group_view((0, 20, 3), (0, 0, None), (5, 900, 2)), partitions=3)
    before = height(view)
    at_work(view, 2)
    show(view, group_view(state=None, problem="nobody answers"))
    assert height(view) == before
    assert height(make()) != before


def test_more_partitions_than_fit_are_counted(make: Make) -> None:
    view = make(group_view(*[(0, 5, None)] * 6), partitions=6)
    assert "2 more partitions are not shown" in words(picture(view))


def test_the_still_stands_alone(make: Make) -> None:
    seen = replace(group_view((0, 20, 4)), taken=1.0)
    first, second = make(seen).still(), make(seen).still()
    assert first == second
    ET.fromstring(first)
    assert "var(" not in first and "class=" not in first and "Start worker<" not in first


# On a real cluster.

WORKER = """
import sys
from brokerlab.access import read_client
from confluent_kafka import Consumer

client_file, topic, group, commit = sys.argv[1:]
consumer = Consumer({
    **read_client(client_file), "group.id": group, "auto.offset.reset": "earliest",
    "session.timeout.ms": 3000, "heartbeat.interval.ms": 500, "auto.commit.interval.ms": 300,
    "enable.auto.offset.store": commit == "auto",
})
consumer.subscribe([topic])
while True:
    record = consumer.poll(1)
    if record and not record.error():
        print("working", record.partition(), record.offset())
        sys.stdin.readline()
        print("done", record.partition(), record.offset())
        if commit == "after":
            consumer.store_offsets(record)
"""


@pytest.fixture
def desk(lab: Any, home: Any) -> Iterator[str]:
    lab.delete_topics("ruler-desk")
    servers = {**lab.client, "log_level": 0}
    admin = AdminClient(servers)
    admin.create_topics([NewTopic("ruler-desk", 1, 3)])["ruler-desk"].result(15)
    producer = Producer(servers)
    for number in range(10):
        producer.produce("ruler-desk", f"photo {number}")
    assert producer.flush(15) == 0
    programs.write("ruler_worker.py", WORKER)
    yield "ruler-desk"
    lab.delete_topics("ruler-desk")


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("commit", "committed", "missing"), [("auto", 3, 1), ("after the work", 2, 0)]
)
def test_a_crash_on_a_real_cluster(
    lab: Any, desk: str, commit: str, committed: int, missing: int
) -> None:
    group = f"ruler-{commit.split()[0]}-{time.time_ns()}"
    ruler = OffsetRuler(lab, desk, group, program="ruler_worker.py")
    try:
        ruler.set(commit=commit)
        ruler.start_worker()
        ruler.next_record(2)
        ruler.wait_until(lambda seen: seen.working == (0, 2), 30, "record 2 in its hands")
        ruler.wait_until(lambda seen: seen.committed() == committed, 20, "the commit")
        ruler.crash()
        ruler.start_worker()
        ruler.wait_until(lambda seen: seen.working == (0, committed), 30, "the restart")
        assert ruler.look().missing == missing
        ruler.next_record(10 - committed)
        ruler.wait_until(lambda seen: seen.track(0).lag == 0, 30, "lag 0")
        seen = ruler.look()
        assert (seen.once, seen.more, seen.missing) == (10 - missing, 0, missing)
        ruler.close_worker()
        ruler.rewind()
        ruler.wait_until(lambda seen: seen.committed() == 0, 30, "the rewound offset")
        ruler.send_more(5)
        ruler.wait_until(lambda seen: seen.track(0).high == 15, 20, "five more")
        ruler.set(minutes=60)
        ruler.reset_to_time()
        assert until(lambda: not ruler.pending, 30)
        assert ruler.problem == ""
        assert ruler.look().committed() == 0
    finally:
        ruler.close()
    assert ruler.worker is not None and not ruler.worker.running


@pytest.mark.cluster
def test_a_topic_that_is_not_there_on_a_real_cluster(lab: Any, home: Any) -> None:
    ruler = OffsetRuler(lab, "no-such-topic", f"ruler-{time.time_ns()}", program="nobody.py")
    try:
        ruler.wait_until(lambda seen: seen.group.state is not None, 20, "a first look")
        assert "There is no topic no-such-topic yet" in words(picture(ruler))
        ruler.start_worker()
        assert until(lambda: "There is no program 'nobody.py' yet" in notice(ruler)[1])
        with pytest.raises(NodeFailedError, match="There is no program"):
            ruler.wait_until(lambda seen: seen.running, 0.1, "a worker")
    finally:
        ruler.close()
