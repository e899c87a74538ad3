"""Exercises of lesson 14: a storm of one's own that nothing is lost in; dead letters sent again, and only the right ones."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from kazoo.client import KazooClient

from brokerlab.exercises.engine import Exercise, Fact
from brokerlab.mlqueue import MLQueue
from brokerlab.pipeline.audit import Audit
from brokerlab.probes import four_letter

MINE = "mine-"
FEWEST = 200
VICTIMS = ("api", "relay", "worker-1", "worker-2")
REFUSED, POISON = "not-taken", "truncated"
ANSWER = 5.0
ENDED = "This queue has ended: run the second cell of the lesson, and begin again."


class YourStorm(Exercise):
    """Every kind of part dies while the learner's pictures come, and the audit finds them all."""

    title = "A storm of your own"
    hints = (
        "Look at `killed_between`: a camera without an end sends while something happens to the queue.",
        "`random.Random(seed).shuffle(victims)` puts them into an order that can be repeated. Between two of them let some pictures through: "
        "`camera.wait(60, len(camera.sent) + 35)`.",
        "`crash(queue, victim)` kills and starts again. In the end `camera.finish()`, `camera.wait(60)`, and `queue.settle()`.",
    )
    answer_type = MLQueue
    deadline = 45.0
    patience = 0.0

    def attempted(self, lab: Any, answer: Any) -> bool:
        return not answer.ended and bool(_accepted(answer, MINE))

    def facts(self, lab: Any, answer: Any) -> Iterator[Fact]:
        came = _accepted(answer, MINE)
        yield Fact(
            f"at least {FEWEST} pictures were accepted, under keys of their own",
            len(came) >= FEWEST,
            f"Seen: {len(came):,} with keys that begin with {MINE}. A key that came before brings back the old picture, not a new one: "
            'Camera(..., key="mine"). Let more of them through between two victims.',
        )
        window = _Window(min(came), max(came))
        for name in VICTIMS:
            yield Fact(
                f"{name} was killed while they came, and started again",
                window.holds(*_restarts(answer, name)),
                f"No process of {name} ended by SIGKILL and was followed by another between the first picture and the last. "
                f'crash(queue, "{name}") does both; pictures must come before it, and after it.',
            )
        yield Fact(
            "a broker was killed while they came, and is back",
            window.holds(*_registrations(lab)),
            'ZooKeeper says since when each broker is registered, and for none that was while your pictures came: crash(queue, "broker-2").',
        )
        yield Fact(
            "ZooKeeper was killed while they came, and is back",
            window.holds(_zookeeper_since(lab)),
            'ZooKeeper says how long it has been up, and that did not begin while your pictures came: crash(queue, "zookeeper").',
        )
        yield from _sound(answer.audit())


def _sound(found: Audit) -> Iterator[Fact]:
    yield Fact(
        "every picture has its outcome",
        found.in_flight == 0,
        f"{found.in_flight:,} are in flight: let all parts run, and wait with queue.settle().",
    )
    yield Fact(
        "missing: 0",
        not found.missing,
        f"Missing: {len(found.missing):,}. That must not be, whatever was killed: is this the careless queue?",
    )
    yield Fact(
        "effects that came twice: 0",
        found.duplicate_effects == 0 and found.unbacked == 0,
        f"Seen: {found.duplicate_effects:,} outcomes stored twice, {found.unbacked:,} that no topic knows. "
        "Does something but the collector write into the database?",
    )


class Redrive(Exercise):
    """Dead letters whose cause was cured are done now; those that never can be were left alone."""

    title = "Send the right dead letters again"
    hints = (
        "Each dead letter has a code. Which of the two codes names a cause that is gone?",
        "`queue.store.redrive(code=...)` begins a new round for the dead letters of one code, by way of the outbox.",
        '`queue.store.redrive(code="not-taken")`, then `queue.settle()`.',
    )
    answer_type = MLQueue
    deadline = 30.0

    def attempted(self, lab: Any, answer: Any) -> bool:
        return not answer.ended and any(one.round for one in _letters(answer))

    def facts(self, lab: Any, answer: Any) -> Iterator[Fact]:
        letters = _letters(answer)
        late = [one for one in letters if one.code == REFUSED]
        poison = [one for one in letters if one.code == POISON]
        yield Fact(
            "there are dead letters of both kinds",
            bool(late and poison),
            f"Seen: {len(late)} of code {REFUSED}, {len(poison)} of code {POISON}. Run the cell that lets the topic take 1,000 bytes.",
        )
        again = [one for one in late if one.round]
        given_up = [one for one in again if one.state == "dead-lettered"]
        yield Fact(
            f"every one of code {REFUSED} is done now",
            bool(late) and all(one.state == "done" for one in late),
            _why_not_done(late, again, given_up),
        )
        driven = [one for one in poison if one.round]
        yield Fact(
            f"none of code {POISON} was sent again",
            not driven,
            f"{len(driven)} of {len(poison)} were, in vain: they are broken, and each cost a worker its time. redrive() without a code takes "
            "all. What was done cannot be undone: run the second cell for a new queue, and the cell of the dead letters.",
        )
        found = answer.audit()
        yield Fact(
            "missing: 0",
            not found.missing,
            f"Missing: {len(found.missing):,}: look at queue.audit().",
        )


def _why_not_done(late: list[_Letter], again: list[_Letter], given_up: list[_Letter]) -> str:
    if given_up:
        return (
            f"{len(given_up)} were given up once more: cure the cause first. Does the topic still take 1,000 bytes a record? "
            "The cell of the dead letters ends with the cure; then redrive once more."
        )
    if len(again) < len(late):
        return f"{len(late) - len(again)} of {len(late)} were not sent again: redrive(code=...) takes all of one code."
    return (
        "They are on their way: do relay, workers and collector run? queue.settle() waits for them."
    )


@dataclass(frozen=True)
class _Window:
    """The time from the first picture to the last, in seconds since 1970."""

    begin: float
    end: float

    def holds(self, *moments: float) -> bool:
        return any(self.begin < one < self.end for one in moments)


def _accepted(queue: MLQueue, prefix: str) -> list[float]:
    """Return when the pictures of these keys were accepted, as the database says."""
    with queue.store.database.reading() as connection:
        rows = connection.execute(
            "SELECT accepted_at FROM jobs WHERE idempotency_key LIKE ?", (f"{prefix}%",)
        ).fetchall()
    return [row["accepted_at"] for row in rows]


def _restarts(queue: MLQueue, name: str) -> Iterator[float]:
    """Yield when a process of this name began whose forerunner the system says was killed."""
    lives = [part for one, part in queue.former if one == name]
    if name in queue.parts:
        lives.append(queue.parts[name])
    for before, after in pairwise(lives):
        if before.exit_code == -signal.SIGKILL:
            yield after.began


def _registrations(lab: Any) -> list[float]:
    """Return since when brokers are registered, as they wrote into ZooKeeper."""
    client = KazooClient(**lab.zookeeper_client, timeout=ANSWER)
    client.start(ANSWER)
    try:
        ids = client.get_children("/brokers/ids")
        found = [json.loads(client.get(f"/brokers/ids/{one}")[0]) for one in ids]
    finally:
        client.stop()
        client.close()
    return [int(one["timestamp"]) / 1000 for one in found]


def _zookeeper_since(lab: Any) -> float:
    answer = four_letter(lab.zookeeper_port, "mntr", ANSWER) or ""
    uptime = re.search(r"^zk_uptime\s+(\d+)", answer, re.MULTILINE)
    return time.time() - int(uptime[1]) / 1000 if uptime else 0.0


@dataclass(frozen=True)
class _Letter:
    """A picture that was given up in its first round: why, and how it stands."""

    code: str
    state: str
    round: int


def _letters(queue: MLQueue) -> list[_Letter]:
    with queue.store.database.reading() as connection:
        rows = connection.execute(
            "SELECT dead_letters.code, jobs.state, jobs.round FROM jobs"
            " JOIN dead_letters ON dead_letters.job_id = jobs.id AND dead_letters.round = 0"
        ).fetchall()
    return [_Letter(**row) for row in rows]


OWN_LAB = "kills every broker once"
EXERCISES = [YourStorm(), Redrive()]
