"""The SQLite file behind the store: its tables, connections and transactions, and what its errors mean.

Every writing transaction begins with BEGIN IMMEDIATE: one that begins with a read and writes later is refused at once when
another program writes, however patient the connection is. Every commit reaches the disk (`synchronous=FULL`): a picture is
acknowledged, and an offset committed, on the strength of it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from brokerlab.pipeline.errors import StoreBusyError, StoreError, StoreFullError

VERSION = 1
PATIENCE = 10.0
"""Seconds that a transaction waits for another program's."""

_SCHEMA = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    idempotency_key TEXT UNIQUE,
    digest BLOB NOT NULL,
    accepted_at REAL NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('accepted', 'queued', 'done', 'dead-lettered')),
    round INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX jobs_by_state ON jobs (state, number);

CREATE TABLE pictures (
    job_id TEXT PRIMARY KEY REFERENCES jobs (id),
    content_type TEXT NOT NULL,
    picture BLOB NOT NULL
) STRICT;

CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL REFERENCES jobs (id),
    round INTEGER NOT NULL,
    written_at REAL NOT NULL,
    published_at REAL
) STRICT;
CREATE INDEX outbox_unpublished ON outbox (seq) WHERE published_at IS NULL;

CREATE TABLE results (
    job_id TEXT PRIMARY KEY REFERENCES jobs (id),
    round INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    worker TEXT NOT NULL,
    milliseconds REAL NOT NULL,
    detections TEXT NOT NULL,
    stored_at REAL NOT NULL
) STRICT;

CREATE TABLE dead_letters (
    job_id TEXT NOT NULL REFERENCES jobs (id),
    round INTEGER NOT NULL,
    code TEXT NOT NULL,
    reason TEXT NOT NULL,
    error TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    came_from TEXT NOT NULL,
    stored_at REAL NOT NULL,
    PRIMARY KEY (job_id, round)
) STRICT;

-- Written by the database itself, so that whoever writes an outcome twice is found out.
CREATE TABLE effects (job_id TEXT NOT NULL, round INTEGER NOT NULL) STRICT;
CREATE INDEX effects_by_job ON effects (job_id, round);
CREATE TRIGGER result_stored AFTER INSERT ON results
    BEGIN INSERT INTO effects VALUES (NEW.job_id, NEW.round); END;
CREATE TRIGGER result_changed AFTER UPDATE ON results
    BEGIN INSERT INTO effects VALUES (NEW.job_id, NEW.round); END;
CREATE TRIGGER dead_letter_stored AFTER INSERT ON dead_letters
    BEGIN INSERT INTO effects VALUES (NEW.job_id, NEW.round); END;

CREATE TABLE deliveries (
    kind TEXT PRIMARY KEY CHECK (kind IN ('effective', 'duplicate', 'stray')),
    records INTEGER NOT NULL
) STRICT;
INSERT INTO deliveries VALUES ('effective', 0), ('duplicate', 0), ('stray', 0);

CREATE TABLE strays (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    key BLOB,
    value BLOB,
    reason TEXT NOT NULL,
    PRIMARY KEY (topic, partition, "offset")
) STRICT;

CREATE TABLE probe (room BLOB NOT NULL) STRICT;
"""

_FULL = {"SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"}


class Database:
    """One SQLite file, with a connection for each thread that asks; makes the file where there is none.

    Raises
    ------
    StoreError
        The file cannot be made or opened, or is no database of this version.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._mine = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._guard = threading.Lock()
        with self._meaning():
            self._prepare(self.connection())

    def connection(self) -> sqlite3.Connection:
        """Return this thread's connection."""
        found: sqlite3.Connection | None = getattr(self._mine, "connection", None)
        if found is None:
            found = sqlite3.connect(
                self.file, timeout=PATIENCE, isolation_level=None, check_same_thread=False
            )
            found.row_factory = sqlite3.Row
            found.execute("PRAGMA foreign_keys = ON")
            found.execute("PRAGMA synchronous = FULL")
            self._mine.connection = found
            with self._guard:
                self._all.append(found)
        return found

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend this thread's connection for queries that see one state of the database.

        Raises
        ------
        StoreError
        """
        with self._meaning():
            connection = self.connection()
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                with suppress(sqlite3.Error):
                    connection.execute("COMMIT")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Lend this thread's connection for a transaction: all of it is kept, or nothing.

        Raises
        ------
        StoreFullError
        StoreBusyError
        StoreError
        """
        with self._meaning():
            connection = self.connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # After some errors SQLite has rolled back by itself.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def changes(self) -> int:
        """Return a number that is another one after any other connection has written."""
        with self._meaning():
            number: int = self.connection().execute("PRAGMA data_version").fetchone()[0]
        return number

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._guard:
            for connection in self._all:
                connection.close()
            self._all.clear()
        self._mine = threading.local()

    def _prepare(self, connection: sqlite3.Connection) -> None:
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise StoreError(
                f"{self.file} is on a disk where SQLite cannot share a file: put it on a local disk."
            )
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if version == 0 and tables == 0:
                for statement in _statements(_SCHEMA):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {VERSION}")
            elif version == 0:
                raise StoreError(
                    f"{self.file} is a database of another program: give another file."
                )
            elif version != VERSION:
                raise StoreError(
                    f"{self.file} is a database of version {version}, and this program knows version {VERSION}: "
                    "give another file, or use the program that made it."
                )
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _meaning(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as trouble:
            name = getattr(trouble, "sqlite_errorname", "")
            if name in _FULL:
                raise StoreFullError(
                    f"There is no room left for {self.file}: free some, and send again."
                ) from trouble
            if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
                raise StoreBusyError(
                    f"{self.file} was held by another program for {PATIENCE:.0f} s: send again."
                ) from trouble
            if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
                raise StoreError(
                    f"{self.file} is no SQLite database, or a damaged one: give another file."
                ) from trouble
            if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
                raise StoreError(
                    f"{self.file} cannot be opened for writing: give a file in a folder that exists and is yours."
                ) from trouble
            raise StoreError(
                f"{self.file} cannot be used: {trouble} ({name}). Look after the disk, and try again."
            ) from trouble


def _statements(script: str) -> Iterator[str]:
    """Split a script, since `executescript` would commit first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
