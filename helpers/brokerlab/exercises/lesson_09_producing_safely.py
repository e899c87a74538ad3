"""Exercises of lesson 09: through a frozen broker without loss or duplicate, past a full local queue."""

from __future__ import annotations

import contextlib
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from brokerlab import programs
from brokerlab.errors import NodeFailedError
from brokerlab.exercises.engine import Exercise, Fact, demand_whole
from brokerlab.programs import Program
from brokerlab.records import records

SECONDS = 5.0

PROGRAM = "sender.py"
THROUGH = "through-the-freeze"
PHOTOS = 5000
EARLIER = 25
"""Test pictures that the topic holds already: so an offset cannot be guessed from a number."""
FREEZES = 3
FROZEN_SECONDS = 1.5
"""Longer than the program's patience with a silent broker, shorter than ZooKeeper's."""
BETWEEN = 300
"""New photos in the log before the next freeze."""
RUN_SECONDS = 30.0
ASK_AGAIN_AFTER = 0.01

FLOOD = "past-the-queue"
QUEUE = 1000
FLOOD_SECONDS = 8.0


class ThroughTheFreeze(Exercise):
    """The learner's program sends while the check freezes the leader: acknowledged = in the log, each once."""

    title = f"{PHOTOS:,} acknowledged = {PHOTOS:,} in the log"
    hints = (
        "Who may say that a photo is acknowledged? Only its delivery report: print in there, and nowhere else.",
        "Delivery reports are served by `poll` and `flush`: `producer.poll(0)` after each photo, `producer.flush()` at the end.",
        "The leader freezes for longer than `socket.timeout.ms`, so your producer sends again what the leader may have already. "
        "Which setting makes the broker notice?",
        'Add `"enable.idempotence": True`, and `on_delivery=report` to `produce`; '
        'the report prints `f"{message.value().decode()} at {message.offset()}"` if `error is None`.',
    )
    deadline = 50.0
    patience = 0.0

    def __init__(self) -> None:
        self._seen = _Sending()

    def attempted(self, lab: Any, answer: Any) -> bool:
        demand_whole(lab)
        self._seen = _watch_it_send(lab)
        return self._seen.did_something

    def facts(self, lab: Any, answer: Any) -> Iterator[Fact]:
        seen = self._seen
        log, ledger = seen.log, seen.ledger
        wanted = {f"photo {number}" for number in range(PHOTOS)}
        missing = len(wanted - log.keys())
        twice = sum(len(offsets) > 1 for offsets in log.values())
        yield Fact(
            f"{PROGRAM} comes to its end",
            seen.exit_code == 0,
            f"After {RUN_SECONDS:.0f} s it still ran: a loop without an end?"
            if seen.exit_code is None
            else f"It ended with an error. Its last line: {seen.last_line}",
        )
        yield Fact(
            "the leader froze while it sent",
            seen.freezes > 0,
            "All was sent before the leader could be frozen: keep the pause after every tenth "
            "photo, time.sleep(0.01).",
        )
        yield Fact(
            f"the log holds photo 0 to photo {PHOTOS - 1}",
            missing == 0,
            f"{missing:,} are missing. {_why_missing(seen)}",
        )
        yield Fact(
            "each is there once",
            twice == 0,
            f"{twice:,} are there more than once: the leader had stored them, but was frozen before it could say so, "
            "and the producer sent them again. An idempotent producer numbers what it sends, so that the broker notices.",
        )
        yield Fact(
            f"your ledger says that {PHOTOS:,} are acknowledged",
            len(ledger) == PHOTOS,
            f"It has {len(ledger):,} lines like 'photo 17 at 42'. One line for each delivery report without an "
            "error: poll() serves them, and flush() at the end those that are still to come.",
        )
        wrong = sum(offset not in log.get(photo, ()) for photo, offset in ledger.items())
        yield Fact(
            "and each of them is in the log, where the ledger says",
            wrong == 0,
            f"{wrong:,} are not. A produce() that returned is no acknowledgement, and with acks=0 a report is none either: "
            "no broker answered, so there is no offset to tell.",
        )


def _why_missing(seen: _Sending) -> str:
    if any("still in queue or transit" in line for line in seen.lines):
        return "The program ended while photos were waiting in its local queue: flush() before the end."
    return (
        "Either the program ended before they were sent: flush() before the end. Or the producer gave them up: is "
        "message.timeout.ms (delivery.timeout.ms is its other name) shorter than "
        f"the {FROZEN_SECONDS:g} s of a freeze, or retries 0?"
    )


@dataclass(frozen=True)
class _Sending:
    """What became of one run of the program."""

    exit_code: int | None = 0
    lines: tuple[str, ...] = ()
    freezes: int = 0
    places: tuple[tuple[str, int], ...] = ()

    @property
    def did_something(self) -> bool:
        return bool(self.places or self.lines or self.exit_code)

    @property
    def last_line(self) -> str:
        return self.lines[-1] if self.lines else "none"

    @property
    def log(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for photo, offset in self.places:
            found.setdefault(photo, []).append(offset)
        return found

    @property
    def ledger(self) -> dict[str, int]:
        entries = (re.fullmatch(r"(photo \d+) at (-?\d+|None)", line) for line in self.lines)
        return {e[1]: -1 if e[2] == "None" else int(e[2]) for e in entries if e}


def _watch_it_send(lab: Any) -> _Sending:
    leader = _fresh(lab, THROUGH)
    earlier = Producer(_client(lab))
    for number in range(EARLIER):
        earlier.produce(THROUGH, f"test picture {number}")
    earlier.flush(SECONDS)
    program = programs.run(PROGRAM, lab.client_file, THROUGH)
    limit = time.monotonic() + RUN_SECONDS
    try:
        freezes = _freeze_again_and_again(lab, lab.brokers[leader], program, limit)
        try:
            exit_code = program.wait(max(1.0, limit - time.monotonic()))
        except NodeFailedError:
            exit_code = None
    finally:
        program.kill()
    found = [r for r in records(lab, THROUGH, SECONDS) if not r.text.startswith("test picture")]
    return _Sending(
        exit_code, program.lines, freezes, tuple((r.text, r.offset or 0) for r in found)
    )


def _freeze_again_and_again(lab: Any, leader: Any, program: Program, limit: float) -> int:
    """Freeze the leader whenever enough new photos are in the log; return how often it was done."""
    asking = Consumer({**_client(lab), "group.id": "brokerlab-check"})
    try:
        done, due = 0, BETWEEN
        while done < FREEZES and program.running and time.monotonic() < limit:
            end = _end_of_log(asking)
            if not due <= end < PHOTOS - BETWEEN:
                time.sleep(ASK_AGAIN_AFTER)
                continue
            leader.pause(watch=False)
            try:
                time.sleep(FROZEN_SECONDS)
            finally:
                leader.resume()
            done, due = done + 1, end + BETWEEN
    finally:
        asking.close()
    return done


def _end_of_log(asking: Consumer) -> int:
    with contextlib.suppress(KafkaException):  # a topic is not known everywhere at once
        _, end = asking.get_watermark_offsets(TopicPartition(THROUGH, 0), timeout=SECONDS)
        return int(end)
    return 0


class PastTheFullQueue(Exercise):
    """The learner's function sends more photos than the local queue holds."""

    title = "Survive a full local queue"
    hints = (
        f"`produce` raises BufferError when {QUEUE:,} photos wait. What makes room again?",
        "Room is made when a delivery report is served: `producer.poll(0.1)` waits for some, and serves them.",
        "The photo that was refused is not in the queue: hand it over again after `poll`, until it is taken.",
        "A loop in a loop: `while True:`, in it `try: producer.produce(...)` and `break`, `except BufferError: producer.poll(0.1)`. "
        "And flush() when all are handed over.",
    )
    answer_type = FunctionType
    deadline = 30.0
    patience = 0.0

    def attempted(self, lab: Any, answer: Any) -> bool:
        return True

    def facts(self, lab: Any, answer: Any) -> Iterator[Fact]:
        demand_whole(lab)
        _fresh(lab, FLOOD)
        photos = [f"photo {number}" for number in range(PHOTOS)]
        producer = _Watched(_client(lab) | {"queue.buffering.max.messages": QUEUE})
        error = ""
        try:
            answer(producer, FLOOD, list(photos))
        except _OutOfTime:
            error = (
                f"After {FLOOD_SECONDS:.0f} s it was still at it, with {producer.taken:,} photos taken and the queue full: trying again "
                "makes no room, and sleeping does not either. poll() does."
            )
        except Exception as raised:
            error = f"It ended with {type(raised).__name__}: {raised}. {_why_raised(raised)}"
        left = len(producer)
        producer.flush(SECONDS)
        yield Fact("your function comes to its end", not error, error)
        log = Counter(record.text for record in records(lab, FLOOD, SECONDS))
        missing = sum(photo not in log for photo in photos)
        yield Fact(
            f"all {PHOTOS:,} photos are in the log",
            missing == 0,
            f"{missing:,} were skipped. {producer.refused:,} times BufferError said that a photo was not taken: poll() to make room, "
            "then hand over the same photo again.",
        )
        twice = sum(times > 1 for times in log.values())
        yield Fact(
            "each is there once",
            twice == 0,
            f"{twice:,} are there more than once: leave the loop (break) as soon as produce() took the photo.",
        )
        yield Fact(
            "nothing waits when your function returns",
            left == 0,
            f"{left:,} photos were still in the local queue. A program that ended now would lose them: flush() at the end.",
        )


def _why_raised(raised: Exception) -> str:
    if isinstance(raised, BufferError):
        return f"The queue holds {QUEUE:,}: catch it, and make room with poll()."
    return "It is called as send_all(producer, topic, photos)."


class _OutOfTime(BaseException):
    """Ends a function that tries for ever; no ``except Exception`` stops it."""


class _Watched(Producer):
    """A real producer that counts what is refused, and gives up after `FLOOD_SECONDS`."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self._limit = time.monotonic() + FLOOD_SECONDS
        self.taken = self.refused = 0

    def produce(self, *arguments: Any, **named: Any) -> None:
        if time.monotonic() > self._limit:
            raise _OutOfTime
        try:
            super().produce(*arguments, **named)
        except BufferError:
            self.refused += 1
            raise
        self.taken += 1


def _fresh(lab: Any, topic: str) -> int:
    """Make an empty topic whose leader is not the controller; return the leader."""
    lab.delete_topics(topic)
    admin = AdminClient(_client(lab))
    limit = time.monotonic() + SECONDS
    while True:
        controller = admin.list_topics(timeout=SECONDS).controller_id
        order = sorted(lab.brokers, key=lambda broker: broker == controller)
        try:
            admin.create_topics([NewTopic(topic, 1, replica_assignment=[order[:3]])])[topic].result(
                SECONDS
            )
        except KafkaException as refused:
            if refused.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                return int(order[0])
            if time.monotonic() > limit:
                raise
        else:
            return int(order[0])


def _client(lab: Any) -> dict[str, Any]:
    return {**lab.client, "log_level": 0}


OWN_LAB = "freezes brokers while it writes"
EXERCISES = [ThroughTheFreeze(), PastTheFullQueue()]
