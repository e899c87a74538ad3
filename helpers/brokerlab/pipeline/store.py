"""What the ML queue knows: every picture accepted, what is still to be published, and what became of each.

To accept a picture is one transaction: the job, its picture and its outbox row are in it together or not at all. So there is
no accepted picture that nobody will publish, and nothing published that was not accepted. To store an outcome is one
transaction too, and storing it again changes nothing: records may come twice, effects do not.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from brokerlab.pipeline.database import Database
from brokerlab.pipeline.errors import BacklogError, KeyReusedError
from brokerlab.pipeline.messages import DeadLetter, Found, Result

State = Literal["accepted", "queued", "done", "dead-lettered"]
STATES: tuple[State, ...] = ("accepted", "queued", "done", "dead-lettered")
"""In the outbox; published; with a result; given up, with a reason."""

_JOBS = """
SELECT jobs.id, jobs.state, jobs.round, jobs.accepted_at,
       results.detections, results.worker, results.milliseconds, results.attempts, results.stored_at,
       dead_letters.code, dead_letters.reason, dead_letters.attempts AS dead_attempts,
       dead_letters.stored_at AS dead_at
FROM jobs
LEFT JOIN results ON results.job_id = jobs.id
LEFT JOIN dead_letters ON dead_letters.job_id = jobs.id AND dead_letters.round = jobs.round
"""


@dataclass(frozen=True)
class Accepted:
    """The answer to a picture: its id, its state, and whether it is a new one (or came before under its key)."""

    id: str
    state: State
    new: bool


@dataclass(frozen=True)
class Job:
    """A picture and what became of it.

    Attributes
    ----------
    accepted_at
        In seconds since 1970.
    finished_at
        When its outcome was stored, in seconds since 1970; None before.
    detections
        None before it is done.
    attempts
        How often a worker tried, in the last round; None before the outcome is known.
    milliseconds
        How long the detector took; None unless done.
    code, reason
        Why it was given up; None unless dead-lettered.
    """

    id: str
    state: State
    round: int
    accepted_at: float
    finished_at: float | None
    detections: tuple[Found, ...] | None
    attempts: int | None
    worker: str | None
    milliseconds: float | None
    code: str | None
    reason: str | None


@dataclass(frozen=True)
class Standing:
    """Where the database says that a job is."""

    state: State
    round: int


@dataclass(frozen=True)
class Outgoing:
    """A row of the outbox."""

    seq: int
    id: str
    round: int


@dataclass(frozen=True)
class Stray:
    """A record that cannot be an outcome of any picture here; `topic` to `offset` say where it is."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    reason: str


@dataclass(frozen=True)
class Outcome:
    """A record of the results or dead letters: what it says, and the record itself should it be a stray one."""

    said: Result | DeadLetter | None
    record: Stray


@dataclass(frozen=True)
class Recorded:
    """How many outcomes took effect, came again, or belonged to nothing."""

    effective: int = 0
    duplicate: int = 0
    stray: int = 0


@dataclass(frozen=True)
class Counts:
    """How many pictures are in each state, and how many records of outcomes came in.

    Attributes
    ----------
    unpublished
        Rows of the outbox that wait.
    oldest_wait
        For how many seconds the oldest of them has; 0 when there is none.
    published_ago
        How many seconds ago a row was last published; None if never.
    duplicates
        Outcomes that came again and changed nothing.
    duplicate_effects
        Outcomes that were stored although there was one, as the database's own log says.
    strays
        Records that belong to no picture here.
    """

    accepted: int
    queued: int
    done: int
    dead_lettered: int
    unpublished: int
    oldest_wait: float
    published_ago: float | None
    duplicates: int
    duplicate_effects: int
    strays: int

    @property
    def backlog(self) -> int:
        """Pictures without an outcome."""
        return self.accepted + self.queued

    @property
    def total(self) -> int:
        """All pictures."""
        return self.backlog + self.done + self.dead_lettered


class Store:
    """The database of one ML queue, for any number of threads and programs.

    Parameters
    ----------
    file
        Made where there is none.

    Raises
    ------
    StoreError
        The file cannot be made or opened, or is no database of this version.
    """

    def __init__(self, file: Path | str) -> None:
        self.database = Database(Path(file))
        self.file = self.database.file

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({str(self.file)!r})"

    def close(self) -> None:
        """Close the connections of all threads."""
        self.database.close()

    def accept(
        self, picture: bytes, content_type: str, key: str | None = None, limit: int | None = None
    ) -> Accepted:
        """Keep a picture and promise to publish it, in one transaction that reaches the disk.

        Parameters
        ----------
        key
            An idempotency key: the same key with the same picture is the same job.
        limit
            How many pictures may wait; more are refused.

        Raises
        ------
        KeyReusedError
        BacklogError
        StoreError
            And its kinds; nothing is kept then.
        """
        digest = hashlib.sha256(picture).digest()
        with self.database.writing() as connection:
            if key is not None and (known := _by_key(connection, key)):
                if known["digest"] != digest:
                    raise KeyReusedError(
                        f"The idempotency key {key!r} came before with another picture: give each picture a key of its own."
                    )
                return Accepted(known["id"], known["state"], new=False)
            if limit is not None and _backlog_reaches(connection, limit):
                raise BacklogError(
                    f"{limit} pictures wait already, and that is the limit: send again later."
                )
            job = Accepted(str(uuid.uuid4()), "accepted", new=True)
            now = time.time()
            connection.execute(
                "INSERT INTO jobs (id, idempotency_key, digest, accepted_at, state) VALUES (?, ?, ?, ?, ?)",
                (job.id, key, digest, now, job.state),
            )
            connection.execute(
                "INSERT INTO pictures VALUES (?, ?, ?)", (job.id, content_type, picture)
            )
            _promise(connection, job.id, 0, now)
        return job

    def job(self, id: str) -> Job | None:
        """Return a picture's job, or None if there is none of this id."""
        with self.database.reading() as connection:
            row = connection.execute(f"{_JOBS} WHERE jobs.id = ?", (id,)).fetchone()
        return _job(row) if row else None

    def jobs(self, state: State | None = None, limit: int = 100) -> list[Job]:
        """Return jobs, the newest first, of one state or all."""
        where = "" if state is None else "WHERE jobs.state = ?"
        values: list[Any] = [] if state is None else [state]
        with self.database.reading() as connection:
            rows = connection.execute(
                f"{_JOBS} {where} ORDER BY jobs.number DESC LIMIT ?", [*values, limit]
            ).fetchall()
        return [_job(row) for row in rows]

    def places(self) -> dict[str, Standing]:
        """Return the state and round of every job, the oldest first."""
        with self.database.reading() as connection:
            rows = connection.execute("SELECT id, state, round FROM jobs ORDER BY number")
            return {row["id"]: Standing(row["state"], row["round"]) for row in rows}

    def picture(self, id: str) -> tuple[str, bytes] | None:
        """Return a picture's content type and bytes, or None if there is none of this id."""
        with self.database.reading() as connection:
            row = connection.execute(
                "SELECT content_type, picture FROM pictures WHERE job_id = ?", (id,)
            ).fetchone()
        return (row["content_type"], row["picture"]) if row else None

    def waits(self, limit: int = 1000) -> list[float]:
        """Return for how many seconds each of the newest pictures that are done waited for its result."""
        with self.database.reading() as connection:
            rows = connection.execute(
                "SELECT results.stored_at - jobs.accepted_at FROM jobs JOIN results ON results.job_id = jobs.id"
                " WHERE jobs.state = 'done' ORDER BY jobs.number DESC LIMIT ?",
                (limit,),
            )
            return [seconds for (seconds,) in rows]

    def counts(self) -> Counts:
        """Count everything, at one moment."""
        with self.database.reading() as connection:
            states = dict(
                tuple(row)
                for row in connection.execute("SELECT state, count(*) FROM jobs GROUP BY state")
            )
            waiting, oldest = connection.execute(
                "SELECT count(*), min(written_at) FROM outbox WHERE published_at IS NULL"
            ).fetchone()
            (published,) = connection.execute("SELECT max(published_at) FROM outbox").fetchone()
            deliveries = dict(tuple(row) for row in connection.execute("SELECT * FROM deliveries"))
            (repeated,) = connection.execute(
                "SELECT coalesce(sum(times - 1), 0) FROM"
                " (SELECT count(*) AS times FROM effects GROUP BY job_id, round HAVING times > 1)"
            ).fetchone()
        now = time.time()
        return Counts(
            accepted=states.get("accepted", 0),
            queued=states.get("queued", 0),
            done=states.get("done", 0),
            dead_lettered=states.get("dead-lettered", 0),
            unpublished=waiting,
            oldest_wait=max(0.0, now - oldest) if oldest is not None else 0.0,
            published_ago=max(0.0, now - published) if published is not None else None,
            duplicates=deliveries["duplicate"],
            duplicate_effects=repeated,
            strays=deliveries["stray"],
        )

    def unpublished(self, after: int = 0, limit: int = 1000) -> list[Outgoing]:
        """Return rows of the outbox that wait, in order, from the one after `after`.

        SQLite lets one transaction write at a time, so a row never appears before one that was there.
        """
        with self.database.reading() as connection:
            rows = connection.execute(
                "SELECT seq, job_id, round FROM outbox WHERE published_at IS NULL AND seq > ?"
                " ORDER BY seq LIMIT ?",
                (after, limit),
            ).fetchall()
        return [Outgoing(*row) for row in rows]

    def mark_published(self, rows: Iterable[Outgoing]) -> None:
        """Note that these rows are in the topic, as the brokers have confirmed."""
        now = time.time()
        with self.database.writing() as connection:
            for row in rows:
                connection.execute(
                    "UPDATE outbox SET published_at = ? WHERE seq = ?", (now, row.seq)
                )
                # The outcome may have come first.
                connection.execute(
                    "UPDATE jobs SET state = 'queued' WHERE id = ? AND round = ? AND state = 'accepted'",
                    (row.id, row.round),
                )

    def record(self, outcomes: Sequence[Outcome]) -> Recorded:
        """Store what became of pictures, in one transaction; what is stored already stays as it is."""
        counted = {"effective": 0, "duplicate": 0, "stray": 0}
        with self.database.writing() as connection:
            for outcome in outcomes:
                counted[_record(connection, outcome)] += 1
            for kind, records in counted.items():
                connection.execute(
                    "UPDATE deliveries SET records = records + ? WHERE kind = ?", (records, kind)
                )
        return Recorded(**counted)

    def redrive(self, ids: Iterable[str] | None = None, code: str | None = None) -> list[str]:
        """Send pictures that were given up through the queue once more; return their ids.

        Each begins a new round, by way of the outbox. To ask twice does not send twice: after the first time
        the picture is no longer given up.

        Parameters
        ----------
        ids
            Only these; all, if None.
        code
            Only those given up for this reason.
        """
        wanted = None if ids is None else set(ids)
        now = time.time()
        with self.database.writing() as connection:
            rows = connection.execute(
                "SELECT jobs.id, jobs.round FROM jobs"
                " JOIN dead_letters ON dead_letters.job_id = jobs.id AND dead_letters.round = jobs.round"
                " WHERE jobs.state = 'dead-lettered' AND (? IS NULL OR dead_letters.code = ?)"
                " ORDER BY jobs.number",
                (code, code),
            ).fetchall()
            chosen = [row for row in rows if wanted is None or row["id"] in wanted]
            for row in chosen:
                connection.execute(
                    "UPDATE jobs SET state = 'accepted', round = round + 1 WHERE id = ?",
                    (row["id"],),
                )
                _promise(connection, row["id"], row["round"] + 1, now)
        return [row["id"] for row in chosen]

    def probe(self) -> None:
        """Write, and take it back: raises what `accept` would raise now.

        Raises
        ------
        StoreError
            And its kinds.
        """
        with self.database.writing() as connection:
            connection.execute("INSERT INTO probe VALUES (zeroblob(16384))")
            connection.execute("DELETE FROM probe")


def _by_key(connection: sqlite3.Connection, key: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute(
        "SELECT id, state, digest FROM jobs WHERE idempotency_key = ?", (key,)
    ).fetchone()
    return row


def _backlog_reaches(connection: sqlite3.Connection, limit: int) -> bool:
    # Counted no further than the limit, so that it costs the same however much was ever done.
    (waiting,) = connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state IN ('accepted', 'queued') LIMIT ?)",
        (limit,),
    ).fetchone()
    return bool(waiting >= limit)


def _promise(connection: sqlite3.Connection, id: str, round: int, now: float) -> None:
    connection.execute(
        "INSERT INTO outbox (job_id, round, written_at) VALUES (?, ?, ?)", (id, round, now)
    )


def _record(connection: sqlite3.Connection, outcome: Outcome) -> str:
    said, stray = outcome.said, outcome.record
    if said is None:
        return _set_aside(connection, stray, stray.reason)
    job = connection.execute("SELECT state, round FROM jobs WHERE id = ?", (said.id,)).fetchone()
    if job is None:
        return _set_aside(connection, stray, "no picture of this id was accepted here")
    if said.round != job["round"] or job["state"] in ("done", "dead-lettered"):
        return "duplicate"
    now = time.time()
    if isinstance(said, Result):
        values = (said.round, said.attempts, said.worker, said.milliseconds)
        connection.execute(
            "INSERT INTO results VALUES (?, ?, ?, ?, ?, ?, ?)",
            (said.id, *values, json.dumps(said.detections, separators=(",", ":")), now),
        )
    else:
        connection.execute(
            "INSERT INTO dead_letters VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                said.id,
                said.round,
                said.code,
                said.reason,
                said.error,
                said.attempts,
                said.came_from,
                now,
            ),
        )
    state = "done" if isinstance(said, Result) else "dead-lettered"
    connection.execute("UPDATE jobs SET state = ? WHERE id = ?", (state, said.id))
    return "effective"


def _set_aside(connection: sqlite3.Connection, stray: Stray, reason: str) -> str:
    connection.execute(
        "INSERT INTO strays VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (stray.topic, stray.partition, stray.offset, stray.key, stray.value, reason),
    )
    return "stray"


def _job(row: sqlite3.Row) -> Job:
    done = row["state"] == "done"
    dead = row["state"] == "dead-lettered"
    return Job(
        id=row["id"],
        state=row["state"],
        round=row["round"],
        accepted_at=row["accepted_at"],
        finished_at=row["stored_at"] if done else row["dead_at"],
        detections=tuple(json.loads(row["detections"])) if done else None,
        attempts=row["attempts"] if done else row["dead_attempts"],
        worker=row["worker"],
        milliseconds=row["milliseconds"],
        code=row["code"] if dead else None,
        reason=row["reason"] if dead else None,
    )
