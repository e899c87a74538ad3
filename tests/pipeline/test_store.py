"""The store: one transaction to accept, one effect per outcome, and what a sick database does."""

from __future__ import annotations

import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from brokerlab.pipeline import database
from brokerlab.pipeline.errors import (
    BacklogError,
    KeyReusedError,
    StoreBusyError,
    StoreError,
    StoreFullError,
)
from brokerlab.pipeline.messages import DeadLetter, Result
from brokerlab.pipeline.store import Outcome, Recorded, Store, Stray


def result(id: str, round: int = 0) -> Outcome:
    said = Result(id, ({"label": "cat"},), round, 1, "w", 8.0)
    return Outcome(said, Stray("results", 0, 0, id.encode(), said.encoded(), ""))


def letter(id: str, round: int = 0, code: str = "truncated") -> Outcome:
    said = DeadLetter(id, code, "It breaks off.", "NotAPicture", round, 1, "requests[0]@0")
    return Outcome(said, Stray("dead", 0, 0, id.encode(), b"", ""))


def accept(store: Store, picture: bytes = b"picture", **options: object) -> str:
    return store.accept(picture, "image/jpeg", **options).id  # type: ignore[arg-type]


def test_an_accepted_picture_is_a_job_a_picture_and_an_outbox_row(store: Store) -> None:
    id = accept(store)
    job = store.job(id)
    assert job is not None and (job.state, job.detections, job.finished_at) == (
        "accepted",
        None,
        None,
    )
    assert store.picture(id) == ("image/jpeg", b"picture")
    assert [row.id for row in store.unpublished()] == [id]


def test_all_that_is_accepted_outlives_the_process(store: Store) -> None:
    id = accept(store)
    store.close()
    with Store(store.file) as again:
        assert again.job(id) is not None
        assert [row.id for row in again.unpublished()] == [id]


def test_the_same_key_and_picture_are_one_job(store: Store) -> None:
    first = store.accept(b"a", "image/jpeg", key="k")
    second = store.accept(b"a", "image/jpeg", key="k")
    assert first.new and not second.new and first.id == second.id
    assert len(store.unpublished()) == 1


def test_the_same_key_with_another_picture_is_refused(store: Store) -> None:
    accept(store, b"a", key="k")
    with pytest.raises(KeyReusedError, match="'k'"):
        accept(store, b"b", key="k")
    assert len(store.jobs()) == 1


def test_many_at_once_with_one_key_are_one_job(store: Store) -> None:
    with ThreadPoolExecutor(8) as threads:
        ids = set(threads.map(lambda _: accept(store, key="k"), range(40)))
    assert len(ids) == 1 and store.counts().total == 1


def test_a_limit_refuses_new_pictures_but_not_known_ones(store: Store) -> None:
    known = accept(store, key="k", limit=1)
    with pytest.raises(BacklogError):
        accept(store, b"new", limit=1)
    assert accept(store, key="k", limit=1) == known
    store.record([result(known)])
    accept(store, b"new", limit=1)


def test_rows_are_published_in_order_and_once(store: Store) -> None:
    ids = [accept(store) for _ in range(3)]
    rows = store.unpublished()
    assert [row.id for row in rows] == ids
    store.mark_published(rows[:2])
    assert [row.id for row in store.unpublished()] == ids[2:]
    assert store.unpublished(after=rows[2].seq) == []
    assert [store.job(id).state for id in ids] == ["queued", "queued", "accepted"]  # type: ignore[union-attr]


def test_a_mark_that_comes_after_the_result_does_not_undo_it(store: Store) -> None:
    id = accept(store)
    rows = store.unpublished()
    store.record([result(id)])
    store.mark_published(rows)
    assert store.job(id).state == "done"  # type: ignore[union-attr]


def test_an_outcome_takes_effect_once(store: Store) -> None:
    id = accept(store)
    assert store.record([result(id), result(id)]) == Recorded(1, 1, 0)
    assert store.record([result(id), letter(id)]) == Recorded(0, 2, 0)
    counts = store.counts()
    assert (counts.done, counts.duplicates, counts.duplicate_effects) == (1, 3, 0)


def test_waits_are_of_what_is_done_the_newest_first(store: Store) -> None:
    ids = [accept(store) for _ in range(3)]
    store.record([result(ids[0]), result(ids[2]), letter(ids[1])])
    assert len(store.waits()) == 2 and all(0 <= seconds < 10 for seconds in store.waits())
    known = {id: store.job(id) for id in ids}
    newest = known[ids[2]]
    assert newest is not None and newest.finished_at is not None
    assert store.waits(limit=1) == [newest.finished_at - newest.accepted_at]


def test_an_effect_that_is_done_twice_is_counted(store: Store) -> None:
    id = accept(store)
    store.record([result(id)])
    with store.database.writing() as connection:
        connection.execute("UPDATE results SET worker = 'another'")
    assert store.counts().duplicate_effects == 1


def test_a_result_for_an_unknown_id_is_set_aside(store: Store) -> None:
    known = accept(store)
    unreadable = Outcome(None, Stray("results", 0, 7, None, b"{", "no result"))
    assert store.record([result("unknown"), unreadable, result(known)]) == Recorded(1, 0, 2)
    with store.database.reading() as connection:
        rows = connection.execute("SELECT reason FROM strays ORDER BY offset").fetchall()
    assert [row["reason"] for row in rows] == [
        "no picture of this id was accepted here",
        "no result",
    ]


def test_the_database_itself_refuses_a_result_for_nothing(store: Store) -> None:
    with pytest.raises(sqlite3.IntegrityError), store.database.writing() as connection:
        connection.execute("INSERT INTO results VALUES ('unknown', 0, 1, 'w', 1.0, '[]', 0.0)")


def test_a_dead_letter_can_be_sent_again_once(store: Store) -> None:
    first, second = accept(store, b"1"), accept(store, b"2")
    store.mark_published(store.unpublished())
    store.record([letter(first), letter(second, code="failed")])
    assert store.job(first).reason == "It breaks off."  # type: ignore[union-attr]
    assert store.redrive(code="failed") == [second]
    assert store.redrive(code="failed") == []
    assert [(row.id, row.round) for row in store.unpublished()] == [(second, 1)]
    assert store.redrive([first, "unknown"]) == [first]


def test_what_belongs_to_an_earlier_round_changes_nothing(store: Store) -> None:
    id = accept(store)
    store.record([letter(id)])
    store.redrive()
    assert store.record([letter(id)]) == Recorded(0, 1, 0)
    assert store.record([result(id, round=1)]) == Recorded(1, 0, 0)
    job = store.job(id)
    assert job is not None and (job.state, job.reason) == ("done", None)
    assert store.counts().duplicate_effects == 0


def test_a_full_database_takes_nothing_by_halves(store: Store) -> None:
    accept(store)
    pages = store.database.connection().execute("PRAGMA page_count").fetchone()[0]
    store.database.connection().execute(f"PRAGMA max_page_count = {pages + 10}")
    with pytest.raises(StoreFullError, match="no room left"):
        accept(store, bytes(1_000_000))
    with pytest.raises(StoreFullError):
        for _ in range(20):
            accept(store, bytes(20_000))
    jobs, waiting = len(store.jobs()), len(store.unpublished())
    assert jobs == waiting
    store.database.connection().execute("PRAGMA max_page_count = 100000")
    accept(store, bytes(1_000_000))
    store.probe()


def test_a_disk_that_is_really_full_takes_nothing_by_halves(tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    try:
        with Store(tmp_path / "queue.sqlite") as store:
            with pytest.raises(StoreFullError, match="no room left"):
                for n in range(100):
                    accept(store, bytes(50_000), key=str(n))
            assert 0 < len(store.jobs()) == len(store.unpublished()) < 20
            with pytest.raises(StoreFullError):
                store.probe()
            # What was accepted can still be read.
            assert all(store.picture(row.id) for row in store.unpublished())
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_database_that_is_held_says_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "PATIENCE", 0.1)
    with (
        Store(store.file) as other,
        store.database.writing(),
        pytest.raises(StoreBusyError, match="held by another program"),
    ):
        accept(other)
    assert store.jobs() == []


def test_a_database_of_another_version_is_refused(store: Store) -> None:
    store.database.connection().execute("PRAGMA user_version = 7")
    store.close()
    with pytest.raises(StoreError, match="of version 7, and this program knows version 1"):
        Store(store.file)


def test_what_is_no_database_of_ours_is_refused_and_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    with pytest.raises(StoreError, match="of another program"):
        Store(other)
    text = tmp_path / "text.sqlite"
    text.write_text("This is no database, and it is long enough to be told from one." * 20)
    with pytest.raises(StoreError, match="no SQLite database"):
        Store(text)
    assert text.read_text().startswith("This is no database")


def test_a_file_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="folder that exists"):
        Store(tmp_path / "no" / "such" / "folder.sqlite")
    with pytest.raises(StoreError):
        Store(tmp_path)


def test_every_commit_reaches_the_disk(store: Store) -> None:
    connection = store.database.connection()
    assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_writers_in_many_threads_all_succeed(store: Store) -> None:
    def write(n: int) -> str:
        id = accept(store, str(n).encode())
        store.mark_published([row for row in store.unpublished() if row.id == id])
        store.record([result(id)])
        return id

    with ThreadPoolExecutor(6) as threads:
        ids = list(threads.map(write, range(60)))
    assert len(set(ids)) == store.counts().done == 60
