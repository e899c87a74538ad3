"""Exercises of lesson 02: how many workers are enough, and a worker that loses nothing when it is killed."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from brokerlab import programs
from brokerlab.background import Background
from brokerlab.errors import NodeFailedError
from brokerlab.exercises.engine import Exercise, Fact
from brokerlab.loadbench import Bench
from brokerlab.loadledger import MEMORY, Load, Run
from brokerlab.work import recognise, rounds_for

RATE = 5
FETCH, WORK = 0.45, 0.01
ARRIVALS = 8.0
GROWS = 0.3
"""Photos a second: with one worker too few it is at least 0.6, with enough it is about 0."""
MOST_WORKERS = 12
DISTURBED = 1.25
TRIES = 2

WORKER = "my_worker.py"
PHOTOS = 12
BEFORE_THE_KILL = 2
LATEST_KILL = 6
"""Photos that a worker has done at most when it is killed: more seconds than lie between two automatic commits."""
LOOK, AGAIN = 0.1, 2
"""Seconds between two looks at what is committed, and how many must agree."""
LONG, SHORT = 1.0, 0.02
"""Seconds of work for a photo, before and after the kill."""
FIRST_LINE = 25.0
QUIET = 4.0
SLOWER = 10
"""Times that a busy machine may need longer."""


class FewestWorkers(Exercise):
    """The check runs two desks side by side, with the number given and with one fewer."""

    title = "The fewest workers that keep up"
    answer_type = int
    deadline = 60.0
    patience = 0.0
    hints = (
        "A worker is occupied with each photo for its whole service time: waiting for the camera counts too. "
        "The bench measures it: set fetching and recognising as in the exercise and look at the second bar.",
        "Little's law: photos a second × seconds a photo = workers that are busy, on average.",
        "A worker is there or not: the next whole number above that average is enough, and one fewer is not.",
    )

    def attempted(self, lab: Any, answer: Any) -> bool:
        return True

    def facts(self, lab: Any, answer: Any) -> Iterator[Fact]:
        if not 1 <= answer <= MOST_WORKERS:
            yield Fact(
                f"a number of workers from 1 to {MOST_WORKERS}",
                False,
                "Somebody has to work, and a dozen is far more than these photos need: multiply photos a second by "
                "seconds a photo.",
            )
            return
        with_it, with_fewer = _measured_twice(answer)
        calm = with_it.service_time is not None and with_it.service_time < DISTURBED * (
            FETCH + WORK
        )
        yield Fact(
            f"with {answer} the backlog does not grow",
            _growth(with_it) < GROWS,
            "It grows: photos a second × seconds a photo is how many workers are busy on average (Little's law), and "
            "these are fewer."
            if calm
            else "It grew, but each photo took much longer than it should: something else keeps this machine busy. "
            "Check again when it is quiet.",
        )
        fewer = answer - 1
        yield Fact(
            f"with {fewer} it grows",
            with_fewer is None or _growth(with_fewer) >= GROWS,
            f"It does not: {fewer} keep up as well, so {answer} are not the fewest. Take the next whole number above "
            "photos a second × seconds a photo, and no more.",
        )


def _measured_twice(workers: int) -> tuple[Run, Run | None]:
    """Run with `workers` and with one fewer; once more if the machine was busy with something else."""
    for _ in range(TRIES):
        numbers = [number for number in (workers, workers - 1) if number]
        benches = [
            Bench(None, Load(MEMORY, RATE, WORK, FETCH, number, ARRIVALS)) for number in numbers
        ]
        try:
            runs = _both_measured(benches)
        finally:
            for bench in benches:
                bench.close()
        if all((run.service_time or 0) < DISTURBED * (FETCH + WORK) for run in runs):
            break
    return runs[0], runs[1] if len(runs) > 1 else None


def _both_measured(benches: list[Bench]) -> list[Run]:
    """Wait until all callers have come; what is still in line then need not be waited for."""
    deadline = time.monotonic() + FIRST_LINE + ARRIVALS
    while any(bench.run.phase in ("starting", "arriving") for bench in benches):
        if time.monotonic() > deadline:
            raise NodeFailedError(
                "The callers did not come in time: this machine is too busy, check again."
            )
        time.sleep(0.05)
    runs = [bench.run for bench in benches]
    for run in runs:
        if run.problem:
            raise NodeFailedError(run.problem)
    return runs


def _growth(run: Run) -> float:
    return run.growth or 0.0


@dataclass(frozen=True)
class _Outcome:
    """What came of the photos: how often each was done, how many before the kill, and the last words."""

    done: Counter[str]
    before: int
    last_words: str

    @property
    def lost(self) -> int:
        return PHOTOS - len(self.done)

    @property
    def again(self) -> int:
        return self.done.total() - len(self.done)


class NothingLost(Exercise):
    """The check starts the learner's worker, kills it in the middle of a photo, and starts it again."""

    title = "A worker that may be killed"
    deadline = 90.0
    patience = 0.0
    hints = (
        "What does a commit say? *All before this place needs no further work, whoever asks.* When is that true?",
        "The check kills your worker while it works on a photo. Was that photo committed by then?",
        "First `recognise`, then `print`, and `consumer.commit(message=message, asynchronous=False)` last, for each "
        "photo; automatic commits stay off.",
    )

    def attempted(self, lab: Any, answer: Any) -> bool:
        return programs.written(WORKER)

    def facts(self, lab: Any, answer: Any) -> Iterator[Fact]:
        outcome = _killed_in_the_middle(lab)
        yield Fact(
            f"it was killed in the middle of a photo, after it had done {BEFORE_THE_KILL}",
            outcome.before >= BEFORE_THE_KILL,
            _why_nothing_was_done(outcome),
        )
        if outcome.before < BEFORE_THE_KILL:
            return
        yield Fact(
            f"of {PHOTOS} accepted photos none is lost",
            outcome.lost == 0,
            "The photo that it was killed with was never done: it was committed before the work, so the next worker "
            "was not given it again. First the work, then the commit; automatic commits do not know when you are done."
            if outcome.lost < PHOTOS - BEFORE_THE_KILL
            else "After the kill nothing was done any more: without a commit a group begins where auto.offset.reset "
            "says, and only earliest goes back; a commit of the last offset skips all.",
        )
        yield Fact(
            "at most one photo was done twice",
            outcome.again <= 1,
            "The second worker did all of the first one's work again, because nothing was committed: commit each photo "
            "when it is done, commit(message=message, asynchronous=False). Automatic commits come every 5 s only.",
        )


def _why_nothing_was_done(outcome: _Outcome) -> str:
    if outcome.last_words:
        return f"The program ended or printed something else; its last words: {outcome.last_words}"
    return (
        "It printed no line `done PHOTO ANSWER` whose answer is recognise(photo, int(rounds)). The photos were there "
        "before the worker: does it say auto.offset.reset earliest, and does it print after the work?"
    )


def _killed_in_the_middle(lab: Any) -> _Outcome:
    topic = f"lost-and-done-{uuid.uuid4().hex[:6]}"
    crew: list[Background] = []
    long, short = rounds_for(LONG), rounds_for(SHORT)
    try:
        _fill(lab, topic)
        first = _hire(crew, lab, topic, long)
        _wait_for_a_bad_moment(first, lab, topic)
        alive = first.running
        first.kill()
        done = _answers(first, long)
        if done.total() < BEFORE_THE_KILL:
            return _Outcome(done, done.total(), _last_words(first, alive))
        second = _hire(crew, lab, topic, short)
        _wait_for_done(second, PHOTOS, SHORT)
        second.kill()
        return _Outcome(done + _answers(second, short), done.total(), "")
    finally:
        for process in crew:
            process.kill()
        lab.delete_topics(topic)


def _fill(lab: Any, topic: str) -> None:
    settings: dict[str, Any] = {**lab.client, "log_level": 0}
    admin = AdminClient(settings)
    brokers: Any = admin.list_topics(timeout=5).brokers
    one_partition = NewTopic(topic, 1, min(3, len(brokers)))
    admin.create_topics([one_partition], operation_timeout=5)[topic].result(10)
    producer = Producer({**settings, "acks": "all"})
    for number in range(PHOTOS):
        producer.produce(topic, str(number))
    if producer.flush(10):
        raise NodeFailedError(
            "The cluster did not take the photos of the check within 10 s: is a broker down? lab.repair() helps."
        )


def _hire(crew: list[Background], lab: Any, topic: str, rounds: int) -> Background:
    # The topic's name is the group's as well: both are new.
    crew.append(programs.run(WORKER, lab.client_file, topic, topic, rounds))
    return crew[-1]


def _wait_for_done(
    worker: Background,
    wanted: int,
    work: float,
    enough: Callable[[], bool] = lambda: False,
) -> None:
    """Wait for so many lines, until it is `enough`, or until there comes none for long.

    `work` is seconds for a photo on a quiet machine.
    """
    seen, deadline = 0, time.monotonic() + FIRST_LINE
    while worker.running and time.monotonic() < deadline:
        lines = _lines(worker)
        if lines >= wanted or enough():
            return
        if lines > seen:
            seen, deadline = lines, time.monotonic() + QUIET + SLOWER * work
        time.sleep(0.02)


def _wait_for_a_bad_moment(worker: Background, lab: Any, topic: str) -> None:
    """Wait for a moment in which a kill would lose a photo or repeat two; at last for the middle of any photo.

    At a moment of its own choice the check would sometimes meet automatic commits just after one, where they look right.
    """
    _wait_for_done(worker, BEFORE_THE_KILL, LONG)
    if _lines(worker) < BEFORE_THE_KILL:
        return
    bad = 0
    with closing(Consumer({**lab.client, "group.id": topic, "log_level": 0})) as asking:

        def is_bad() -> bool:
            nonlocal bad
            # Asked first: whoever commits after the work has printed by then.
            committed, done = _committed(asking, topic), _lines(worker)
            right = committed is None or done - 1 <= committed <= done
            # Once may be a line on its way.
            bad = 0 if right else bad + 1
            threading.Event().wait(LOOK)
            return bad == AGAIN

        _wait_for_done(worker, LATEST_KILL, LONG, is_bad)
    if bad < AGAIN:
        # The next photo's work takes twice as long, or longer.
        threading.Event().wait(LONG / 2)


def _committed(asking: Consumer, topic: str) -> int | None:
    """Return how many photos need no further work by the group's commit; None while nobody says."""
    try:
        (found,) = asking.committed([TopicPartition(topic, 0)], timeout=LONG / 4)
    except KafkaException:
        return None
    return max(found.offset, 0)


def _lines(worker: Background) -> int:
    return sum(line.startswith("done ") for line in worker.lines)


def _answers(worker: Background, rounds: int) -> Counter[str]:
    """Count the photos that were really done: who did not do the work cannot know the answer."""
    done: Counter[str] = Counter()
    for line in worker.lines:
        match line.split():
            case ["done", photo, answer] if photo.isdigit() and int(photo) < PHOTOS:
                done[photo] += answer == recognise(photo, rounds)
    return +done


def _last_words(worker: Background, alive: bool) -> str:
    said = [line for line in worker.lines if line and not line.startswith("done ")]
    return said[-1] if said and not alive else ""


OWN_LAB = "uses topics and groups whose names are fixed"
EXERCISES = [FewestWorkers(), NothingLost()]
