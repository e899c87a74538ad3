"""The record of what has passed: private, whole or not at all, and never in the way."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import stat
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from brokerlab.errors import ResourceError, SettingError
from brokerlab.exercises import passes


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("BROKERLAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "progress"


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_nothing_has_passed_and_looking_makes_no_folder(folder):
    assert passes.read() == passes.Passes({})
    assert not folder.parent.exists()


def test_a_pass_is_kept_with_its_time_for_its_owner_alone(folder):
    passes.record("04_topics", 2)
    (when,) = passes.read().times.values()
    assert timedelta(0) <= datetime.now(UTC) - when < timedelta(minutes=5)
    assert list(passes.read().times) == [("04_topics", 2)]
    file = folder / "04_topics-2"
    assert [stat.S_IMODE(p.stat().st_mode) for p in (file, folder)] == [0o600, 0o700]
    assert names(folder) == [file.name]


def test_the_first_time_counts(folder):
    passes.record("04_topics", 1)
    (folder / "04_topics-1").write_text("2018-05-04T10:00:00+00:00\n")
    passes.record("04_topics", 1)
    assert passes.read().times == {("04_topics", 1): datetime(2018, 5, 4, 10, tzinfo=UTC)}


@pytest.mark.parametrize("damage", ["", "yesterday", "2018-05-04T10:00:00", "\0" * 40, "ä"])
def test_a_damaged_record_is_one_sentence_spoils_no_other_and_is_written_anew(folder, damage):
    passes.record("04_topics", 1)
    passes.record("05_console", 1)
    (folder / "04_topics-1").write_text(damage, encoding="utf-8")
    seen = passes.read()
    assert list(seen.times) == [("05_console", 1)]
    assert seen.problem == "The record of exercise 1 of 04_topics is damaged: check it again."
    passes.record("04_topics", 1)
    assert len(passes.read().times) == 2 and not passes.read().problem


def test_what_is_no_record_is_left_alone(folder):
    passes.record("04_topics", 1)
    for name in (".left-over", "notes.txt", "04_topics-"):
        (folder / name).write_text("x")
    assert passes.read().problem == "" and len(passes.read().times) == 1


def test_a_folder_in_the_place_of_a_record_is_one_sentence(folder):
    (folder / "04_topics-1").mkdir(parents=True)
    with pytest.raises(ResourceError, match=r"04_topics-1 cannot be written .*: make room for it"):
        passes.record("04_topics", 1)
    assert "is damaged" in passes.read().problem
    assert names(folder) == ["04_topics-1"]


def test_a_file_in_the_place_of_the_folder_is_one_sentence(folder):
    folder.parent.mkdir()
    folder.write_text("x")
    with pytest.raises(ResourceError, match="set BROKERLAB_HOME to a folder that you may write"):
        passes.record("04_topics", 1)
    assert "What has passed cannot be read" in passes.read().problem


def test_a_folder_that_may_only_be_read_is_one_sentence(monkeypatch):
    with tempfile.TemporaryDirectory(prefix="bl-") as home:
        monkeypatch.setenv("BROKERLAB_HOME", home)
        passes.record("04_topics", 1)
        for place, mode in ((home, 0o755), (f"{home}/progress", 0o555)):
            Path(place).chmod(mode)
        with _as_nobody(), pytest.raises(ResourceError, match=r"set BROKERLAB_HOME to "):
            passes.record("04_topics", 2)
        assert list(passes.read().times) == [("04_topics", 1)]
        Path(home, "progress").chmod(0)
        with _as_nobody():
            problem = passes.read().problem
        Path(home, "progress").chmod(0o700)
        assert "(Permission denied): make it readable" in problem


@contextlib.contextmanager
def _as_nobody():
    """Give up root's right to write everywhere for a moment."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_disk_that_is_full_leaves_nothing_and_is_one_sentence(folder, monkeypatch):
    def full(descriptor, *_, **__):
        os.close(descriptor)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(passes.os, "fdopen", full)
    with pytest.raises(ResourceError, match="No space left on device"):
        passes.record("04_topics", 1)
    assert names(folder) == []


def test_a_setting_that_cannot_be_used_is_one_sentence(monkeypatch):
    monkeypatch.setenv("BROKERLAB_HOME", "two\nlines")
    with pytest.raises(SettingError):
        passes.record("04_topics", 1)
    assert "BROKERLAB_HOME holds a line break" in passes.read().problem


def _record_all(ready):
    ready.wait()
    for number in range(1, 30):
        passes.record("04_topics", number)


def test_kernels_that_pass_at_once_lose_nothing(folder):
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(3)
    kernels = [context.Process(target=_record_all, args=(ready,)) for _ in range(3)]
    for kernel in kernels:
        kernel.start()
    for kernel in kernels:
        kernel.join(60)
    assert [kernel.exitcode for kernel in kernels] == [0, 0, 0]
    assert sorted(number for _, number in passes.read().times) == list(range(1, 30))
    assert len(names(folder)) == 29
