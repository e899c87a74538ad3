"""Where a group is on a topic: log start, committed, position and high watermark, with a worker that can be crashed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from brokerlab import programs
from brokerlab.errors import BrokerLabError, NodeFailedError
from brokerlab.groups import GroupObserver, GroupView, Span
from brokerlab.observe import snapshot
from brokerlab.widgets.base import Command, LiveView
from brokerlab.widgets.inputs import Choice, Input, Slider
from brokerlab.widgets.offset_ledger import Track, Work, work_of
from brokerlab.widgets.offset_picture import MOST_ROWS, OffsetPicture, RulerView
from brokerlab.widgets.scene import Element

if TYPE_CHECKING:
    from brokerlab.lab import Lab

COMMITS = {"auto": "auto", "after the work": "after"}
"""What the list shows -> the worker's last argument."""

FREE = ("EMPTY", "DEAD")
ANSWER = 10.0
"""Seconds for the cluster's answer to a command."""

MEMBER_GONE = 12.0
"""Seconds to wait for the end of a dead member's session."""

NEXT = 20.0
"""Seconds for a worker to begin a record, and to finish it after Enter."""

NEW_LEADER_KNOWS = 3.0
"""Seconds after which a new leader's high watermark is the right one."""

_SILENT = logging.getLogger("brokerlab.clients")


@dataclass(frozen=True, eq=False)
class _Shift:
    """A worker, how it commits, what earlier ones have done, and how many of its lines are of a topic that is gone."""

    process: programs.Program | None = None
    commits: str = ""
    before: Work = field(default_factory=Work)
    skip: int = 0


class OffsetRuler(LiveView[RulerView]):
    """The offsets of a group on a topic, a ruler a partition, and one worker of the group to start and to crash.

    The worker is a program of the notebook (``%%program``). It is started with four arguments: bootstrap
    servers, topic, group, and ``auto`` or ``after``: when to commit. For each record it prints ``working
    PARTITION OFFSET ...``, waits for a line on its standard input, does its work, and prints ``done PARTITION
    OFFSET ...``. From these lines come the worker's position and what was processed; all else comes from the
    cluster.

    Parameters
    ----------
    lab : Lab
        The lab of the cluster.
    topic : str
        The topic; up to four of its partitions are shown.
    group : str
        The consumer group; it need not exist yet.
    program : str
        The worker's name, as given to ``%%program``.
    observer : GroupObserver, optional
        Who looks at the group; the ruler makes (and closes) one of its own, if not given.
    """

    title = "Offsets"
    variable = "ruler"

    def __init__(
        self,
        lab: Lab,
        topic: str,
        group: str,
        program: str = "worker.py",
        observer: GroupObserver | None = None,
    ) -> None:
        self._lab = lab
        self._topic = topic
        self._group = group
        self._program = program
        self._commit = "auto"
        self._minutes: float = 30
        known = snapshot(lab).topic(topic)
        self._rows = min(max(len(known.partitions) if known else 1, 1), MOST_ROWS)
        self._shift = _Shift()
        self._read: tuple[_Shift, int, Work] = (self._shift, 0, Work())
        self._ended_by_us = True
        self._spans: tuple[Span, ...] = ()
        self._since: dict[int, int] = {}
        self._highest: dict[int, int] = {}
        self._fell_at: float | None = None
        self._own_observer = observer is None
        self._observer = observer or GroupObserver(lab, group, [topic])
        self._remember(self._observer.latest)
        super().__init__()
        self._unsubscribe = self._observer.subscribe(self._see)

    # What a lesson calls.

    def start_worker(self) -> None:
        """Start the worker, which commits as the list says."""
        self.press("start")

    def next_record(self, count: int = 1) -> None:
        """Press Enter for the worker, `count` times, each time when it has a record in its hands."""
        self.press("next", count=count)

    def crash(self) -> None:
        """Kill the worker (SIGKILL)."""
        self.press("crash")

    def close_worker(self) -> None:
        """End the worker in an orderly way (SIGTERM)."""
        self.press("close")

    def send_more(self, count: int = 20) -> None:
        """Write `count` more records, to the partitions in turn."""
        self.press("send", count=count)

    def rewind(self) -> None:
        """Commit the log start for the group, which must be empty."""
        self.press("rewind")

    def reset_to_time(self) -> None:
        """Commit for the group, which must be empty, where the last minutes begin (`set(minutes=...)`)."""
        self.press("reset")

    @property
    def worker(self) -> programs.Program | None:
        """The worker that was started last."""
        return self._shift.process

    # What the base asks.

    @property
    def subject(self) -> str:
        return f"{self._topic} {self._group}"

    def inputs(self) -> Sequence[Input]:
        return (
            Choice("commit", "a worker is started to commit", tuple(COMMITS), self._commit),
            Slider("minutes", "reset to the last", 1, 120, 1, self._minutes, "min"),
        )

    def change(self, name: str, value: Any) -> str:
        if name == "minutes":
            self._minutes = value
            return ""
        self._commit = value
        return (
            "The worker that runs keeps its way; the next one takes this." if self._runs() else ""
        )

    def look(self) -> RulerView:
        view = self._observer.latest
        running, work = self._runs(), self._work_so_far()
        tracks = tuple(self._track(span, work, running) for span in self._spans)
        counts = [times for track in tracks for times in track.done.values()]
        worker = self._shift.process
        ended = "" if running or worker is None or self._ended_by_us else _last_words(worker)
        return RulerView(
            view.taken,
            view,
            tuple(track for track in tracks if track is not None),
            running,
            work.working if running else None,
            self._shift.commits if running else "",
            ended,
            sum(times == 1 for times in counts),
            sum(times > 1 for times in counts),
            sum(track.missing for track in tracks),
        )

    def draw(self, seen: RulerView) -> Element:
        busy = frozenset(str(command["kind"]) for command in self.pending)
        return OffsetPicture(seen, self._topic, self._rows, self._minutes, busy).picture()

    def describe(self, command: Command) -> str:
        return {
            "start": "starting the worker …",
            "next": "pressing Enter for the worker …",
            "crash": "killing the worker …",
            "close": "asking the worker to end …",
            "send": "sending …",
            "rewind": "waiting until the group is empty, to rewind it …",
            "reset": "waiting until the group is empty, to reset it …",
        }.get(command["kind"], "")

    def run(self, command: Command) -> str:
        match command["kind"]:
            case "start":
                return self._start()
            case "next":
                return self._next(_count(command, 1))
            case "crash":
                return self._crash()
            case "close":
                return self._close_worker()
            case "send":
                return self._send_more(_count(command, 20))
            case "rewind":
                return self._move(self._beginnings, "the log start")
            case "reset":
                when = f"the last {self._minutes:g} minutes"
                return self._move(self._first_of_the_last_minutes, when)
        return super().run(command)

    def release(self) -> None:
        self._unsubscribe()
        process = self._shift.process
        if process is not None and process.running:
            process.kill()
        if self._own_observer:
            self._observer.close()

    # What is seen.

    def _see(self, seen: GroupView) -> None:
        self._remember(seen)
        self.touch()

    def _remember(self, seen: GroupView) -> None:
        """Keep what was told last, and where the looking began: what was committed before is not ours to judge."""
        if seen.problem is not None:
            return
        spans = tuple(s for s in seen.spans if s.low is not None and s.high is not None)
        if self._is_another_topic(seen, spans):
            self._forget()
        for span in spans:
            begin = (span.committed if span.committed is not None else span.low) or 0
            self._since[span.partition] = min(begin, self._since.get(span.partition, begin))
            highest = self._highest.get(span.partition, 0)
            self._highest[span.partition] = max(highest, span.high or 0)
        self._spans = spans

    def _is_another_topic(self, seen: GroupView, spans: tuple[Span, ...]) -> bool:
        """Tell whether the topic was deleted, and perhaps made again, since the last look.

        A high watermark that fell is no proof at once: a new leader may know an older one for a moment.
        """
        if not seen.spans:
            return True
        if all((s.high or 0) >= self._highest.get(s.partition, 0) for s in spans):
            self._fell_at = None
        elif self._fell_at is None:
            self._fell_at = seen.taken
        return self._fell_at is not None and seen.taken - self._fell_at >= NEW_LEADER_KNOWS

    def _forget(self) -> None:
        """Begin anew: the topic is another one than before, its offsets began at 0 again."""
        self._since.clear()
        self._highest.clear()
        self._fell_at = None
        process = self._shift.process
        self._shift = _Shift(
            process, self._shift.commits, skip=len(process.lines) if process else 0
        )

    def _track(self, span: Span, work: Work, running: bool) -> Track:
        number = span.partition
        return Track(
            number,
            span.low or 0,
            span.high or 0,
            span.committed,
            work.positions.get(number) if running else None,
            self._since.get(number, 0),
            {
                offset: times
                for (partition, offset), times in work.done.items()
                if partition == number
            },
            work.working[1] if running and work.working and work.working[0] == number else None,
        )

    def _work_so_far(self) -> Work:
        shift = self._shift
        lines = shift.process.lines if shift.process else ()
        read_shift, count, work = self._read
        if read_shift is not shift or count != len(lines):
            work = work_of(lines[shift.skip :], shift.before)
            self._read = (shift, len(lines), work)
        return work

    def _runs(self) -> bool:
        return self._shift.process is not None and self._shift.process.running

    # What the controls do.

    def _start(self) -> str:
        if self._runs():
            raise BrokerLabError("A worker runs already: crash it or close it first.")
        earlier = self._work_so_far()
        worker = programs.run(
            self._program,
            self._lab.client_file,
            self._topic,
            self._group,
            COMMITS[self._commit],
        )
        worker.subscribe(self.touch)
        self._shift, self._ended_by_us = _Shift(worker, self._commit, earlier), False
        return f"The worker runs and commits {self._way()}."

    def _way(self) -> str:
        return "by itself (auto)" if self._commit == "auto" else self._commit

    def _demand_worker(self) -> programs.Program:
        process = self._shift.process
        if process is None or not process.running:
            raise BrokerLabError("No worker runs: press Start worker first.")
        return process

    def _next(self, count: int) -> str:
        worker = self._demand_worker()
        for _ in range(count):
            held = self._await(
                lambda seen: seen.working is not None or not seen.running,
                NEXT,
                f"The worker has begun no record within {NEXT:g} s: "
                "send more if it has read all, or see lab.status() whether a broker is down.",
            ).working
            if held is None:
                break
            times = self._work_so_far().done.get(held, 0)
            worker.write("")
            self._await(
                lambda seen: self._work_so_far().done.get(held, 0) > times or not seen.running,  # noqa: B023
                NEXT,
                f"The worker has not said within {NEXT:g} s that its record is done: "
                "after Enter it prints 'done PARTITION OFFSET'.",
            )
        return ""

    def _await(
        self, true: Callable[[RulerView], bool], seconds: float, otherwise: str
    ) -> RulerView:
        try:
            return self.wait_until(true, seconds)
        except NodeFailedError:
            raise NodeFailedError(otherwise) from None

    def _crash(self) -> str:
        worker = self._demand_worker()
        held = self._work_so_far().working
        self._ended_by_us = True
        worker.kill()
        if held is None:
            return "Killed while it had no record in its hands."
        return f"Killed with record {held[1]} of partition {held[0]} in its hands."

    def _close_worker(self) -> str:
        worker = self._demand_worker()
        self._ended_by_us = True
        worker.stop()
        return "Closed: it committed what it had stored, and left the group."

    def _send_more(self, count: int) -> str:
        self._await(
            lambda seen: seen.group.problem is None,
            ANSWER,
            f"The cluster has not told within {ANSWER:g} s what the topic holds: lab.status() tells what is down.",
        )
        before = [span.high or 0 for span in self._spans]
        if not before:
            raise BrokerLabError(f"There is no topic {self._topic} yet: create it first.")
        producer = Producer(
            {**self._settings(), "delivery.timeout.ms": int(ANSWER * 1000)}, logger=_SILENT
        )
        for number in range(count):
            name = f"photo {sum(before) + number}"
            producer.produce(self._topic, name, partition=number % len(before))
        left = producer.flush(ANSWER)
        if left:
            raise NodeFailedError(
                f"{left} of {count} records were not acknowledged within {ANSWER:g} s: "
                "lab.status() shows whether a broker is down."
            )
        return f"{count} records were sent."

    def _move(self, wanted: Callable[[Consumer], list[TopicPartition]], where: str) -> str:
        if self._runs():
            raise BrokerLabError(
                "The group has a member: Kafka moves its offsets only while it is empty. Close the worker first."
            )
        self._await(
            lambda seen: seen.group.state in FREE and seen.tracks != (),
            MEMBER_GONE,
            f"After {MEMBER_GONE:g} s the group is not empty, or its topic not there "
            "(a killed member counts until its session is over): try again.",
        )
        with self._outsider() as consumer:
            places = wanted(consumer)
            # A commit of somebody who is no member is taken only while the group has none.
            consumer.commit(offsets=places, asynchronous=False)
        offsets = {place.partition: place.offset for place in places}
        self.wait_until(
            lambda seen: all(seen.committed(p) == offset for p, offset in offsets.items()),
            ANSWER,
            "the new offsets to show",
        )
        said = ", ".join(f"{offset} in partition {p}" for p, offset in sorted(offsets.items()))
        return f"The group goes on at {where}: {said}."

    def _beginnings(self, _: Consumer) -> list[TopicPartition]:
        return [TopicPartition(self._topic, s.partition, s.low or 0) for s in self._spans]

    def _first_of_the_last_minutes(self, consumer: Consumer) -> list[TopicPartition]:
        since = int((time.time() - self._minutes * 60) * 1000)
        asked = [TopicPartition(self._topic, s.partition, since) for s in self._spans]
        found = consumer.offsets_for_times(asked, timeout=ANSWER)
        ends = {span.partition: span.high or 0 for span in self._spans}
        return [
            TopicPartition(p.topic, p.partition, p.offset if p.offset >= 0 else ends[p.partition])
            for p in found
        ]

    @contextmanager
    def _outsider(self) -> Iterator[Consumer]:
        """Lend a client that knows the group but does not join it."""
        settings = {"group.id": self._group, "enable.auto.commit": False}
        consumer = Consumer({**self._settings(), **settings}, logger=_SILENT)
        try:
            yield consumer
        except KafkaException as error:
            raise NodeFailedError(
                f"The cluster refused or did not answer ({error.args[0].name()}): "
                "is the group empty, and is every broker up? lab.status() tells."
            ) from None
        finally:
            consumer.close()

    def _settings(self) -> dict[str, Any]:
        return {**self._lab.client, "log_level": 0}


def _count(command: Command, otherwise: int) -> int:
    count = command.get("count", otherwise)
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 1000:
        raise BrokerLabError(f"A count is a whole number from 1 to 1000, and {count!r} is not.")
    return count


def _last_words(worker: programs.Program) -> str:
    said = [line for line in worker.lines if line.strip()]
    return said[-1].strip() if said else f"it said nothing (exit code {worker.exit_code})"
