"""Exercises of lesson 11: a worker that loses nothing when it is killed; one partition, from a time on."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from brokerlab import programs
from brokerlab.errors import SettingError
from brokerlab.exercises.engine import Exercise, Fact
from brokerlab.records import Record, records
from brokerlab.widgets.offset_ledger import Work, work_of

PROGRAM = "careful.py"
TRIAL = "careful-trial"
PHOTOS = 8
SEED = 11

BEGIN = 15.0
"""Seconds for a worker to start and to begin its first photo."""

HELD = 3.0
"""Seconds that the worker holds a photo before it is killed: six commit intervals of `settings`."""

AGAIN = 20.0
"""Seconds for the second worker: the first one's session has to end, and all photos to be done."""

ANSWER = 5.0

ALBUM = "album"
PARTITION = 1
MINUTES = 40


class MissingZero(Exercise):
    """The learner's program is killed in the middle of a photo, and nothing is lost."""

    title = "Missing = 0 after a kill"
    hints = (
        "Look at `worker.py` and at what became of photo 3 in each of its two ways: what has to come first, the commit or the work?",
        "A loop: `photo = consumer.poll(1)`, `recognise(photo)`, then commit. `poll` returns None when nothing came.",
        '`Consumer(settings | {"enable.auto.commit": False})`, and after the work `consumer.commit(photo, asynchronous=False)`.',
        'Or let it commit by itself what you store: `"enable.auto.offset.store": False`, and after the work `consumer.store_offsets(photo)`.',
    )
    deadline = 60.0
    patience = 0.0

    def attempted(self, lab: Any, answer: Any) -> bool:
        self._trial = _Trial(lab)
        try:
            self._trial.begin()
        except SettingError:
            self._trial.end()
            return False
        except BaseException:
            self._trial.end()
            raise
        if self._trial.did_nothing():
            self._trial.end()
            return False
        return True

    def facts(self, lab: Any, answer: Any) -> Iterator[Fact]:
        trial = self._trial
        try:
            yield from _facts_of(trial)
        finally:
            trial.end()


def _facts_of(trial: _Trial) -> Iterator[Fact]:
    yield Fact(
        f"{PROGRAM} begins with the first photo",
        trial.work.working == (0, 0),
        f"{trial.why_not(BEGIN)} Each photo goes to recognise(photo). A new group begins at the log start only with "
        "auto.offset.reset earliest, as settings says: with latest it begins at the end.",
    )
    if trial.work.working != (0, 0):
        return
    victim = random.Random(SEED).randrange(2, PHOTOS - 2)
    reached = trial.go_on_to(victim)
    yield Fact(
        "it takes one photo after the other",
        reached,
        f"{trial.why_not(BEGIN)} recognise(photo) comes once for each photo, in a loop that never ends.",
    )
    if not reached:
        return
    committed = trial.hold()
    yield Fact(
        "while it works on a photo, this photo is not committed",
        committed <= victim,
        f"It had photo {victim} in its hands, and the group had committed {committed}: up to {victim}, including it. "
        "Either librdkafka did it, which stores each offset as it hands the message over and commits it in the "
        "background (enable.auto.offset.store), or your commit() or store_offsets() comes before recognise().",
    )
    finished = trial.kill_and_restart()
    yield Fact(
        "killed and started again, it goes on to the last photo",
        finished,
        f"{trial.why_not(AGAIN)} The session.timeout.ms of settings (3 s) lets the group forget a killed worker soon.",
    )
    if not finished:
        return
    lost = [n for n in range(PHOTOS) if (0, n) not in trial.work.done]
    twice = sum(times > 1 for times in trial.work.done.values())
    yield Fact(
        "missing: 0",
        not lost,
        f"Missing: {len(lost)}, photo {', '.join(map(str, lost))}. It was committed, so the second worker began after "
        "it; it was not done, because the first was killed. First the work, then the commit.",
    )
    yield Fact(
        f"done twice: 0, since it was quiet for {HELD:g} s before the kill",
        twice == 0,
        f"Done twice: {twice}. Nothing is lost so, but what was finished long before the kill need not be done again: "
        "commit it after each photo, or store it and leave enable.auto.commit on.",
    )


class _Trial:
    """A topic of its own, a group of its own, and the learner's program on them."""

    def __init__(self, lab: Any) -> None:
        self._lab = lab
        self._group = f"{TRIAL}-{time.time_ns()}"
        self._worker: programs.Program | None = None
        self._before = Work()

    @property
    def work(self) -> Work:
        """What its workers have said so far."""
        return work_of(self._worker.lines if self._worker else (), self._before)

    def begin(self) -> None:
        self._lab.delete_topics(TRIAL)
        settings = {**self._lab.client, "log_level": 0}
        admin = AdminClient(settings)
        admin.create_topics([NewTopic(TRIAL, 1, 3)])[TRIAL].result(ANSWER)
        producer = Producer(settings)
        for number in range(PHOTOS):
            producer.produce(TRIAL, f"photo {number}")
        if producer.flush(ANSWER):
            raise TimeoutError
        self._run()
        self._until(lambda work: work.working is not None, BEGIN)

    def did_nothing(self) -> bool:
        """Tell whether the program ended in peace without a word, as one does in which nothing is written yet."""
        worker = self._worker
        return worker is not None and worker.exit_code == 0 and not worker.lines

    def go_on_to(self, victim: int) -> bool:
        """Press Enter until `victim` is in the worker's hands."""
        for number in range(victim):
            self._enter()
            if not self._until(lambda work: work.working == (0, number + 1), BEGIN):  # noqa: B023
                return False
        return True

    def hold(self) -> int:
        """Leave the worker at its photo; return what the group has committed by then, 0 for nothing."""
        (_, at), committed = self.work.working or (0, 0), 0
        asking = Consumer(
            {
                **self._lab.client,
                "group.id": self._group,
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )
        deadline = time.monotonic() + HELD
        try:
            while committed <= at and time.monotonic() < deadline:
                (found,) = asking.committed([TopicPartition(TRIAL, 0)], timeout=ANSWER)
                if found.error is not None:
                    raise KafkaException(found.error)
                committed = max(found.offset, 0)
                time.sleep(0.05)
        finally:
            asking.close()
        return committed

    def kill_and_restart(self) -> bool:
        """Kill the worker in the middle of its photo, start another, and press Enter until the last is done."""
        assert self._worker is not None
        self._worker.kill()
        self._before = self.work
        self._run()
        for _ in range(PHOTOS):
            self._enter()
        return self._until(lambda work: (0, PHOTOS - 1) in work.done, AGAIN)

    def why_not(self, seconds: float) -> str:
        """Say what the worker did instead of what was waited for."""
        worker = self._worker
        if worker is not None and not worker.running:
            last = next((line for line in reversed(worker.lines) if line.strip()), "")
            return f"It ended by itself{f', its last line: {last.strip()}' if last else ''}."
        return f"It did not, within {seconds:g} s."

    def end(self) -> None:
        if self._worker is not None and self._worker.running:
            self._worker.kill()
        self._lab.delete_topics(TRIAL)

    def _run(self) -> None:
        # The last argument invites the mistake: who leaves the choice to it, commits too early.
        self._worker = programs.run(PROGRAM, self._lab.client_file, TRIAL, self._group, "auto")

    def _enter(self) -> None:
        assert self._worker is not None
        if self._worker.running:
            self._worker.write("")

    def _until(self, true: Callable[[Work], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not true(self.work):
            if time.monotonic() > deadline or self._worker is None or not self._worker.running:
                return true(self.work)
            time.sleep(0.02)
        return True


class ReplayFromTime(Exercise):
    """The learner's list is what one partition got from a moment on."""

    title = f"Replay partition {PARTITION} from minute {MINUTES}"
    hints = (
        "Ask the cluster first: which offset of this partition is the first at that time, or later?",
        f'`consumer.offsets_for_times([TopicPartition("album", {PARTITION}, since)], timeout=10)`: the third value is the time, in ms.',
        "It returns places with offsets. `consumer.assign(places)` begins to read exactly there, and joins no group.",
        'With `"enable.partition.eof": True` the end of the log comes as a message whose `error()` is not None, as in `read`.',
    )
    answer_type = list

    def attempted(self, lab: Any, answer: Any) -> bool:
        return True

    def facts(self, lab: Any, answer: Any) -> Iterator[Fact]:
        album = records(lab, ALBUM) if ALBUM in lab.topics() else []
        log = [record for record in album if record.partition == PARTITION]
        yield Fact(
            f"{ALBUM} holds photos",
            bool(log),
            f"It holds none in partition {PARTITION}: run the second cell of the lesson, which fills it.",
        )
        if not log:
            return
        since = min(record.timestamp or 0 for record in album) + MINUTES * 60_000
        wanted = [record.text for record in log if (record.timestamp or 0) >= since]
        yield Fact(
            "your list holds the texts of photos",
            all(any(item == record.text for record in album) for item in answer),
            "Something in it is none. A value is bytes: photo.value().decode() is its text; and the message that says "
            "'end of the log' is no photo.",
        )
        elsewhere = [r for r in album if r.partition != PARTITION and r.text in answer]
        others = sorted({record.partition or 0 for record in elsewhere})
        yield Fact(
            f"all are of partition {PARTITION}",
            not elsewhere,
            f"{len(elsewhere)} of them are of partition {', '.join(map(str, others))}. subscribe() takes the whole topic; "
            f'assign([TopicPartition("album", {PARTITION}, offset)]) takes one partition.',
        )
        ours = [item for item in answer if any(item == record.text for record in log)]
        yield Fact(
            f"the first is the first of minute {MINUTES} or later",
            bool(ours) and ours[0] == wanted[0],
            _why_not_first(ours, wanted, log, album, since),
        )
        yield Fact(
            "from there on all are there, once, in the log's order",
            ours == wanted,
            f"Expected {len(wanted)} photos, seen {len(ours)}. Too few: read until the end of the log. "
            "Too many: begin with an empty list.",
        )


def _why_not_first(
    ours: list[str], wanted: list[str], log: list[Record], album: list[Record], since: int
) -> str:
    if not ours:
        return "There is none of this partition in your list."
    begin = next(number for number, record in enumerate(log) if record.text == ours[0])
    right = len(log) - len(wanted)
    seen = f"It begins at offset {begin}, and offset {right} was expected. "
    others = {
        sum((r.timestamp or 0) < since for r in album if r.partition == number)
        for number in {record.partition for record in album} - {PARTITION}
    }
    if begin == 0:
        return (
            seen
            + "That is the log start: times are in milliseconds, and 1,000 times fewer seconds are long ago."
        )
    if begin in others:
        return (
            seen
            + f"That is the answer for another partition: ask for partition {PARTITION}, each has offsets of its own."
        )
    if begin == right + 1:
        return (
            seen
            + "A photo of exactly that time belongs to it: offsets_for_times finds the same time or later."
        )
    return seen + "Ask offsets_for_times with since, and assign what it returns."


OWN_LAB = "uses topics and groups whose names are fixed"
EXERCISES = [MissingZero(), ReplayFromTime()]
