"""A worker: takes pictures from the requests topic one by one, looks at each, and says what it found.

Process, publish the result, wait for the brokers' confirmation, commit: in this order, so that a worker that is killed
anywhere leaves its picture to the next. The detector runs in a thread of its own while this one keeps talking to the group:
a slow picture never costs the worker its partitions. A picture that can never be looked at goes to the dead letters at once;
one that failed for another reason is tried again later, by way of the retries topic, and given up after some attempts.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from brokerlab.pipeline.clients import HOPELESS, Cluster, ensure_topics, plain
from brokerlab.pipeline.commits import Commits, Place, places_of
from brokerlab.pipeline.crashes import Suspects
from brokerlab.pipeline.messages import Attempt, DeadLetter, Headers, Names, Result
from brokerlab.pipeline.pictures import NotAPicture
from brokerlab.pipeline.program import Patience, Say, say

AHEAD = 6
"""Pictures that wait in the worker beside the one it looks at; more are taken when half of them are gone."""
MANY = AHEAD // 2
HOLD = 0.2
"""Seconds that answers are held while many pictures wait, so that they go to the brokers together: each request is work for
three brokers. With few, as when workers keep up, an answer goes at once: its sender waits for it, not for a pile."""
UNCONFIRMED = 500
"""Pictures whose results the brokers may owe a confirmation for before no more are taken."""
SLOW = 0.25
"""Seconds without progress after which the partitions are paused, so that polling can go on."""
COMMIT_EVERY = 0.5
"""Seconds between commits: what was done within them is done again after a crash."""
HAND_OVER = 3.0
"""Seconds that partitions which are taken away wait for the picture at hand."""
LAST_CONFIRMATIONS = 10.0
"""Seconds that a worker which is to end waits for confirmations."""
COMMITTED = 5.0
"""Seconds that the group's coordinator may take to tell what was committed."""
ATTEMPTS = 3
RETRY_AFTER = 5.0
"""Seconds; the same for each attempt, since the retries topic is read in order."""
SESSION_SECONDS = 6.0
"""After so long without a heartbeat a worker counts as dead, and its pictures go to others."""


class Eyes(Protocol):
    """What looks at pictures: `Detector`, or a stand-in for it."""

    def detect(self, picture: bytes) -> tuple[Any, ...]: ...


@dataclass(frozen=True)
class Task:
    """A request that was taken: where it came from, and what it says."""

    place: Place
    offset: int
    key: bytes | None
    picture: bytes
    attempt: Attempt

    @property
    def id(self) -> str:
        """The picture's id."""
        return (self.key or b"").decode("utf-8", "replace")

    @property
    def came_from(self) -> str:
        """Topic, partition and offset, as text."""
        return f"{self.place[0]}[{self.place[1]}]@{self.offset}"

    @classmethod
    def of(cls, message: Any) -> Task:
        """Return what a message asks for."""
        return cls(
            (message.topic(), message.partition()),
            message.offset(),
            message.key(),
            message.value() or b"",
            Attempt.of(message.headers()),
        )


@dataclass(frozen=True)
class Answer:
    """The record that finishes a task, and the event that tells of it."""

    topic: str
    value: bytes
    headers: Headers
    event: dict[str, Any]


class Worker:
    """One member of the workers' group.

    Parameters
    ----------
    eyes
        What looks at pictures.
    name
        Stands in the results.
    attempts
        How often a picture is tried that fails without being no picture.
    retry_after
        Seconds between two attempts.
    stop
        Ends `run` after the picture at hand when it is set.
    say
        Is told what happens: ``ready``, ``assigned``, ``done``, ``retry``, ``dead``, ``warning``, ``trouble``,
        ``stopped``.
    """

    def __init__(
        self,
        cluster: Cluster,
        eyes: Eyes,
        names: Names | None = None,
        *,
        name: str | None = None,
        attempts: int = ATTEMPTS,
        retry_after: float = RETRY_AFTER,
        stop: threading.Event | None = None,
        say: Say = say,
    ) -> None:
        self.cluster = cluster
        self.eyes = eyes
        self.names = names or Names()
        self.name = name or f"worker-{os.getpid()}"
        self.attempts = attempts
        self.retry_after = retry_after
        self.stop = stop or threading.Event()
        self.say = say

    def run(self) -> None:
        """Work until told to stop.

        Raises
        ------
        UnreachableError
            No broker answered at the beginning. Later it waits for them.
        TopicError
            A topic is missing and could not be made.
        """
        for oddity in ensure_topics(self.cluster, self.names):
            self.say("warning", text=oddity)
        self.say("ready", part="worker", worker=self.name)
        patience = Patience(self.stop)
        while not self.stop.is_set():
            try:
                Session(self).run()
            except KafkaException as trouble:
                # A new member begins at the last commit, so what was not confirmed is done again.
                self.say("trouble", text=f"The cluster said: {plain(trouble.args[0])}.")
                patience.wait()
        self.say("stopped", part="worker", worker=self.name)

    def look(self, task: Task) -> Answer:
        """Look at a picture, and return what is to be published of it."""
        begun = time.monotonic()
        try:
            found = self.eyes.detect(task.picture)
        except NotAPicture as trouble:
            return self._dead(task, trouble.code, str(trouble), "NotAPicture")
        except Exception as trouble:  # whatever it is, it may not happen the next time
            return self._failed(task, trouble)
        milliseconds = round((time.monotonic() - begun) * 1000, 3)
        result = Result(
            id=task.id,
            detections=tuple(vars(one) for one in found),
            round=task.attempt.round,
            attempts=task.attempt.number,
            worker=self.name,
            milliseconds=milliseconds,
        )
        event = {"event": "done", "id": task.id, "ms": milliseconds, "found": len(found)}
        return Answer(self.names.results, result.encoded(), task.attempt.headers(), event)

    def crash(self, task: Task, deaths: int) -> Answer:
        """Return what is to be published of a picture at which so many workers died."""
        reason = f"{deaths} workers died while they looked at the picture: look at it before you send it again."
        return self._dead(task, "crash", reason, "WorkerDied")

    def not_taken(self, task: Task, error: KafkaError) -> Answer:
        """Return what is to be published where the brokers refuse what should have been."""
        reason = f"The brokers do not take the answer ({plain(error)}): raise max.message.bytes."
        return self._dead(task, "not-taken", reason, error.name())

    def _failed(self, task: Task, trouble: Exception) -> Answer:
        kind, tried = type(trouble).__name__, task.attempt.number
        if tried >= self.attempts:
            reason = f"The detector failed {tried} times, last with {kind}: {trouble}"
            return self._dead(task, "failed", reason, kind)
        again = replace(task.attempt, number=tried + 1, not_before=time.time() + self.retry_after)
        event = {"event": "retry", "id": task.id, "attempt": tried, "reason": f"{kind}: {trouble}"}
        return Answer(self.names.retries, task.picture, again.headers(), event)

    def _dead(self, task: Task, code: str, reason: str, error: str) -> Answer:
        letter = DeadLetter(
            id=task.id,
            code=code,
            reason=reason,
            error=error,
            round=task.attempt.round,
            attempts=task.attempt.number,
            came_from=task.came_from,
        )
        event = {"event": "dead", "id": task.id, "code": code, "reason": reason}
        return Answer(self.names.dead_letters, task.picture, letter.headers(), event)


class Session:
    """One membership: a consumer, a producer, and the thread that looks at pictures."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._producer = worker.cluster.producer()
        self._consumer = worker.cluster.consumer(
            worker.names.workers,
            {
                "client.id": worker.name,
                "session.timeout.ms": int(SESSION_SECONDS * 1000),
                "heartbeat.interval.ms": int(SESSION_SECONDS * 1000 / 3),
                "on_commit": self._was_committed,
            },
        )
        self._commits = Commits()
        self._suspects = Suspects()
        self._committed = 0.0
        self._parked: dict[Place, deque[Task]] = {}
        self._paused = False
        self._lost: KafkaError | None = None
        # Shared with the thread that looks.
        self._shared = threading.Lock()
        # One for each that waits, so that nobody wakes for nothing: every picture would be such a moment.
        self._begun = threading.Condition(self._shared)
        self._roomy = threading.Condition(self._shared)
        self._looked = threading.Condition(self._shared)
        self._queue: deque[Task] = deque()
        self._at_hand: Task | None = None
        self._held: list[tuple[Task, Answer]] = []
        self._published = 0.0
        self._closing = False

    def run(self) -> None:
        """Work until the worker is told to stop.

        Raises
        ------
        KafkaException
            The consumer or the producer cannot go on; new ones can.
        """
        looking = threading.Thread(target=self._look, name="detector", daemon=True)
        looking.start()
        try:
            self._consumer.subscribe(
                [self._worker.names.requests, self._worker.names.retries],
                on_assign=self._assigned,
                on_revoke=self._revoked,
                on_lost=self._given_away,
            )
            while not self._worker.stop.is_set():
                self._turn()
        finally:
            self._end(looking)

    def _turn(self) -> None:
        self._take_due()
        roomy = self._wait_for_room()
        if self._paused == roomy:
            self._pause(not roomy)
        message = self._consumer.poll(0.05)
        while message is not None:
            if message.error() is not None:
                raise KafkaException(message.error())
            self._take(Task.of(message))
            full = len(self._queue) >= AHEAD or len(self._commits) >= UNCONFIRMED
            message = None if full else self._consumer.poll(0)
        if self._held and self._held_for() > HOLD:
            self._publish_held()
        self._producer.poll(0)
        if self._lost is not None:
            raise KafkaException(self._lost)
        if time.monotonic() - self._committed >= COMMIT_EVERY:
            self._commit()

    def _wait_for_room(self) -> bool:
        if len(self._commits) >= UNCONFIRMED:
            return False
        with self._shared:
            return self._roomy.wait_for(self._has_room, 0 if self._paused else SLOW)

    def _has_room(self) -> bool:
        return len(self._queue) <= MANY

    def _pause(self, pause: bool) -> None:
        self._paused = pause
        assigned = self._consumer.assignment()
        if pause:
            self._consumer.pause(assigned)
        else:
            self._consumer.resume(
                [one for one in assigned if (one.topic, one.partition) not in self._parked]
            )

    def _take(self, task: Task) -> None:
        self._commits.take(task.place, task.offset)
        if task.place not in self._parked and self._due(task):
            self._begin(task)
        else:
            # It waits here, and those behind it in the topic.
            self._parked.setdefault(task.place, deque()).append(task)
            self._consumer.pause([TopicPartition(*task.place)])

    def _due(self, task: Task) -> bool:
        if self._suspects.singly(task.place) and self._commits.first(task.place) != task.offset:
            return False
        return task.attempt.not_before <= time.time()

    def _take_due(self) -> None:
        for place, tasks in list(self._parked.items()):
            while tasks and self._due(tasks[0]):
                self._begin(tasks.popleft())
            if not tasks:
                del self._parked[place]
                if not self._paused:
                    self._consumer.resume([TopicPartition(*place)])

    def _begin(self, task: Task) -> None:
        deaths = self._suspects.begin(task.place, task.offset)
        if deaths is not None and deaths >= self._worker.attempts:
            self._publish(task, self._worker.crash(task, deaths))
            return
        if deaths is not None:
            self._mark(task.place, task.offset, str(deaths + 1))
        with self._shared:
            self._queue.append(task)
            self._begun.notify()

    def _look(self) -> None:
        """Look at pictures, one after the other; runs in a thread of its own."""
        while True:
            with self._shared:
                self._at_hand = None
                self._looked.notify()
                self._begun.wait_for(lambda: self._queue or self._closing)
                if self._closing or self._worker.stop.is_set():
                    return
                task = self._at_hand = self._queue.popleft()
                if self._has_room():
                    self._roomy.notify()
            answer = self._worker.look(task)
            with self._shared:
                self._held.append((task, answer))
                few = len(self._queue) < MANY
            if few or self._held_for() > HOLD:
                self._publish_held()

    def _held_for(self) -> float:
        return time.monotonic() - self._published

    def _publish_held(self) -> None:
        """Publish the answers that were held together; either thread may do it."""
        with self._shared:
            held, self._held = self._held, []
            self._published = time.monotonic()
        for task, answer in held:
            self._publish(task, answer)

    def _publish(self, task: Task, answer: Answer) -> None:
        try:
            self._producer.produce(
                answer.topic,
                answer.value,
                task.key,
                headers=answer.headers,
                on_delivery=self._confirmation(task, answer),
            )
        except KafkaException as trouble:
            self._refused(task, answer, trouble.args[0])

    def _confirmation(self, task: Task, answer: Answer) -> Callable[[KafkaError | None, Any], None]:
        def heard(error: KafkaError | None, _: Any) -> None:
            if error is not None:
                self._refused(task, answer, error)
                return
            self._commits.finish(task.place, task.offset)
            self._worker.say(**answer.event)

        return heard

    def _refused(self, task: Task, answer: Answer, error: KafkaError) -> None:
        if error.code() not in HOPELESS or not answer.value:
            self._lost = error
            return
        letter = answer
        if answer.topic != self._worker.names.dead_letters:
            letter = self._worker.not_taken(task, error)
        self._publish(task, replace(letter, value=b""))

    def _commit(self) -> None:
        """Commit what is ready, without waiting; `_was_committed` hears of it."""
        self._committed = time.monotonic()
        if ready := self._ready():
            self._consumer.commit(offsets=ready, asynchronous=True)

    def _commit_now(self, places: list[Place] | None = None) -> None:
        """Commit what is ready, of these partitions or all, and wait; where it fails, it is done again by the next."""
        if ready := self._ready(places):
            with suppress(KafkaException):
                self._consumer.commit(offsets=ready, asynchronous=False)

    def _ready(self, places: list[Place] | None = None) -> list[TopicPartition]:
        ready = self._commits.ready(places)
        return [TopicPartition(*place, offset) for place, offset in ready.items()]

    def _mark(self, place: Place, offset: int, metadata: str) -> None:
        """Commit where the partition stands already, with a word beside it; only the word is new."""
        mark = TopicPartition(*place, offset, metadata)
        # Without a mark a death here is not counted, and nothing else is worse.
        with suppress(KafkaException):
            self._consumer.commit(offsets=[mark], asynchronous=False)

    def _was_committed(self, error: KafkaError | None, partitions: list[Any]) -> None:
        for one in partitions:
            if error is not None or one.error is not None:
                self._commits.again((one.topic, one.partition), one.offset)

    def _assigned(self, consumer: Any, partitions: list[Any]) -> None:
        consumer.assign(partitions)
        self._suspects.assigned(consumer.committed(partitions, timeout=COMMITTED))
        if self._paused:
            consumer.pause(partitions)
        self._worker.say(
            "assigned",
            worker=self._worker.name,
            partitions=[f"{one.topic}[{one.partition}]" for one in consumer.assignment()],
        )

    def _revoked(self, _: Any, partitions: list[Any]) -> None:
        """Finish what is at hand, commit it, and drop the rest: the next owner begins after it."""
        places = places_of(partitions)
        self._drop(places)
        with self._shared:
            self._looked.wait_for(
                lambda: self._at_hand is None or self._at_hand.place not in places, HAND_OVER
            )
        self._publish_held()
        self._producer.flush(HAND_OVER)
        self._commit_now(places)
        self._leave(places)

    def _leave(self, places: list[Place]) -> None:
        for place in places:
            marked = self._suspects.left(place)
            if marked is not None and marked == self._commits.first(place):
                # It was begun and dropped in good order, which is no death.
                self._mark(place, marked, "")
        self._commits.forget(places)

    def _given_away(self, _: Any, partitions: list[Any]) -> None:
        """Drop partitions that others have already: nothing can be committed for them."""
        places = places_of(partitions)
        self._drop(places)
        for place in places:
            self._suspects.left(place)
        self._commits.forget(places)

    def _drop(self, places: list[Place]) -> None:
        for place in places:
            self._parked.pop(place, None)
        with self._shared:
            self._queue = deque(task for task in self._queue if task.place not in places)

    def _end(self, looking: threading.Thread) -> None:
        """Finish the picture at hand, commit what is confirmed, and leave the group."""
        with self._shared:
            self._closing = True
            self._begun.notify()
        looking.join()
        self._publish_held()
        self._producer.flush(LAST_CONFIRMATIONS)
        self._commit_now()
        self._producer.purge()
        self._consumer.close()
