"""From an empty cache to a full one, and everything that may come in between."""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from brokerlab.distribution import installation, transfer
from brokerlab.distribution.installation import (
    installed,
    lacks_extras,
    prefetch,
    prefetch_2018,
    prefetch_connect,
)
from brokerlab.distribution.jars import Jar
from brokerlab.errors import DownloadError, NotFetchedError, ResourceError, SettingError
from brokerlab.progress import Progress, Step
from brokerlab.settings import Settings
from maven_repository import Answer, Handler, MavenServer, cut, flipped, page, refused, whole
from mounts import read_only, small_disk

Lock = dict[str, tuple[Jar, ...]]


def partial_files(settings: Settings) -> list[Path]:
    return list(settings.cache.rglob(".*"))


def fetched(settings: Settings, lock: Lock) -> set[str]:
    """Names of the jars in the cache, each of which must be whole."""
    paths = {jar: settings.cache / "maven" / jar.path for group in lock.values() for jar in group}
    present = {jar for jar, path in paths.items() if path.exists()}
    assert all(jar.is_whole(paths[jar], verify=True) for jar in present)
    return {jar.name for jar in present}


def names(lock: Lock) -> set[str]:
    return {jar.name for jar in lock["kafka"]}


def steps(progress: Progress) -> list[str]:
    return [step.text for step in progress.steps]


class Watched(Progress):
    """Hands the step under way to a function at every change."""

    def __init__(self, seen: Callable[[Step], object]) -> None:
        super().__init__()
        self.seen = seen

    def show(self) -> None:
        self.seen(self.steps[-1])


def test_everything_is_fetched_once(
    settings: Settings, repository: MavenServer, jars: Lock, archives: list[Path]
) -> None:
    progress = Progress()
    first = prefetch(settings, progress)
    assert [path.name for path in first.jars] == [jar.name for jar in jars["kafka"]]
    assert fetched(settings, jars) == names(jars)
    assert first.archive == archives[0]
    assert steps(progress) == ["Fetching 1 MB of jars", "Making the class-data archive"]
    assert repository.request_count == len(jars["kafka"])

    again = Progress()
    assert prefetch(settings, again) == first == installed(settings, verify=True)
    assert (repository.request_count, len(archives), again.steps) == (6, 1, [])
    assert not partial_files(settings)


def test_progress_grows_to_one(settings: Settings) -> None:
    seen: list[float] = []
    prefetch(settings, Watched(lambda step: seen.append(step.fraction) if step.fraction else None))
    assert seen == sorted(seen) and seen[-1] == 1.0


def test_an_empty_cache_is_said_without_network(settings: Settings) -> None:
    with pytest.raises(NotFetchedError, match=r"6 of Kafka's 6 jars.*`brokerlab prefetch`"):
        installed(settings)
    assert not settings.cache.exists()


def test_a_cut_connection_is_tried_again(
    settings: Settings, repository: MavenServer, jars: Lock
) -> None:
    repository.answers["zookeeper-3.8.4.jar"] = [cut, cut, whole]
    prefetch(settings, Progress())
    assert len(repository.requests["zookeeper-3.8.4.jar"]) == 3
    assert fetched(settings, jars) == names(jars)


def test_a_connection_that_is_always_cut_ends_in_a_sentence(
    settings: Settings, repository: MavenServer, jars: Lock
) -> None:
    repository.answers["commons-cli-1.4.jar"] = [cut]
    with pytest.raises(DownloadError, match=r"cut.*commons-cli-1\.4\.jar.*`brokerlab prefetch`"):
        prefetch(settings, Progress())
    assert len(repository.requests["commons-cli-1.4.jar"]) == transfer.TRIES["cut"]
    kept = fetched(settings, jars)
    assert kept == names(jars) - {"commons-cli-1.4.jar"}
    assert not partial_files(settings)

    repository.answers["commons-cli-1.4.jar"] = [whole]
    before = repository.request_count
    prefetch(settings, Progress())
    assert repository.request_count == before + 1


@pytest.mark.parametrize("wrong", [flipped, page])
def test_wrong_content_is_fetched_once_more(
    settings: Settings, repository: MavenServer, jars: Lock, wrong: Answer
) -> None:
    repository.answers["scala-library-2.13.15.jar"] = [wrong, whole]
    prefetch(settings, Progress())
    assert fetched(settings, jars) == names(jars)


@pytest.mark.parametrize("wrong", [flipped, page])
def test_wrong_content_twice_names_the_jar(
    settings: Settings, repository: MavenServer, jars: Lock, wrong: Answer
) -> None:
    repository.answers["scala-library-2.13.15.jar"] = [wrong]
    with pytest.raises(DownloadError, match=r"scala-library-2\.13\.15\.jar.*SHA-256"):
        prefetch(settings, Progress())
    assert len(repository.requests["scala-library-2.13.15.jar"]) == 2
    assert "scala-library-2.13.15.jar" not in fetched(settings, jars)
    assert not partial_files(settings)


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_final(settings: Settings, repository: MavenServer, status: int) -> None:
    repository.answers["slf4j-api-1.7.36.jar"] = [refused(status)]
    told = rf"HTTP {status} .*mirror http://127\.0\.0\.1.*slf4j-api.*check BROKERLAB_MIRROR"
    with pytest.raises(DownloadError, match=told):
        prefetch(settings, Progress())
    assert len(repository.requests["slf4j-api-1.7.36.jar"]) == 1
    assert not partial_files(settings)


def test_a_refusal_stops_what_else_is_on_its_way(
    settings: Settings, repository: MavenServer, jars: Lock
) -> None:
    refusal_seen = threading.Event()

    def half_until_then(handler: Handler, content: bytes) -> None:
        handler.send(200, content, sent=len(content) // 2)
        assert refusal_seen.wait(10)
        handler.wfile.write(content[len(content) // 2 :])

    repository.answers["kafka-clients-3.9.2.jar"] = [half_until_then]
    repository.answers["slf4j-api-1.7.36.jar"] = [refused(404)]
    with pytest.raises(DownloadError, match="404"):
        prefetch(settings, Progress())
    refusal_seen.set()
    for thread in threading.enumerate():
        if thread.name.startswith("fetch"):
            thread.join(10)
    assert "kafka-clients-3.9.2.jar" not in fetched(settings, jars)
    assert not partial_files(settings)


def test_a_busy_server_is_given_the_time_it_asks_for(
    settings: Settings, repository: MavenServer, jars: Lock
) -> None:
    repository.answers["slf4j-api-1.7.36.jar"] = [refused(429, Retry_After="1"), whole]
    prefetch(settings, Progress())
    first, second = repository.requests["slf4j-api-1.7.36.jar"]
    assert second - first >= 1
    assert fetched(settings, jars) == names(jars)


def test_a_server_cannot_ask_for_an_hour(
    settings: Settings, repository: MavenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "LONGEST_PAUSE", 0.1)
    repository.answers["slf4j-api-1.7.36.jar"] = [refused(503, Retry_After="3600"), whole]
    prefetch(settings, Progress())
    assert len(repository.requests["slf4j-api-1.7.36.jar"]) == 2


def test_a_server_that_stays_busy_ends_in_a_sentence(
    settings: Settings, repository: MavenServer
) -> None:
    repository.answers["slf4j-api-1.7.36.jar"] = [refused(503)]
    with pytest.raises(DownloadError, match=r"HTTP 503.*wait some minutes"):
        prefetch(settings, Progress())
    assert len(repository.requests["slf4j-api-1.7.36.jar"]) == transfer.TRIES["busy"]
    assert not partial_files(settings)


def test_no_network_is_one_sentence_soon(settings: Settings) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = replace(settings, mirror=f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(DownloadError, match=r"cannot be reached.*BROKERLAB_MIRROR.*cache"):
            prefetch(nobody, Progress())
    assert not partial_files(settings)


def test_a_server_that_never_answers_is_given_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "UNREACHABLE_SECONDS", 0.5)
    monkeypatch.setattr(transfer, "SILENCE_SECONDS", 1.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mirror = f"http://127.0.0.1:{silent.getsockname()[1]}"
        begun = time.monotonic()
        with pytest.raises(DownloadError, match="cannot be reached"):
            prefetch(replace(settings, mirror=mirror), Progress())
        assert time.monotonic() - begun < 1.5 * transfer.TRIES["unreachable"]


def test_a_mirrors_password_is_not_shown(settings: Settings, repository: MavenServer) -> None:
    repository.answers["slf4j-api-1.7.36.jar"] = [refused(404)]
    address = repository.address.replace("http://", "http://teacher:secret@") + "/maven2"
    for content in list(repository.content):
        repository.content["/maven2" + content] = repository.content[content]
    with pytest.raises(DownloadError) as caught:
        prefetch(replace(settings, mirror=address), Progress())
    assert "secret" not in str(caught.value)
    assert "/maven2" in str(caught.value)


def test_a_disk_without_room_is_refused_before_anything_is_asked_for(
    settings: Settings, repository: MavenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")._replace(free=5_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ResourceError, match=r"71 MB more.*5 MB free.*BROKERLAB_CACHE"):
        prefetch(settings, Progress())
    assert repository.request_count == 0
    assert not partial_files(settings)


def test_a_disk_that_fills_up_keeps_what_was_fetched(
    settings: Settings, jars: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = iter(range(100))

    def full_after_three(descriptor: int) -> None:
        if next(synced) >= 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_after_three)
        with pytest.raises(ResourceError, match=r"is full: free some space"):
            prefetch(settings, Progress())
    assert len(fetched(settings, jars)) == 3
    assert not partial_files(settings)
    prefetch(settings, Progress())
    assert fetched(settings, jars) == names(jars)


def test_a_disk_that_is_really_full(
    settings: Settings, jars: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "require_space", lambda cache, needed: None)
    with small_disk(settings.cache, "500k"):
        with pytest.raises(ResourceError, match=r"is full: free some space"):
            prefetch(settings, Progress())
        assert 0 < len(fetched(settings, jars)) < len(names(jars))
        assert not partial_files(settings)


def test_a_full_cache_that_cannot_be_written_will_do(settings: Settings) -> None:
    distribution = prefetch(settings, Progress())
    prefetch_2018(settings, Progress())
    with read_only(settings.cache):
        assert prefetch(settings, Progress()) == distribution == installed(settings, verify=True)
        assert prefetch_2018(settings, Progress()).version == "2.8.2"


def test_a_cache_that_cannot_be_written_and_lacks_a_jar(settings: Settings) -> None:
    distribution = prefetch(settings, Progress())
    distribution.jars[2].unlink()
    with (
        read_only(settings.cache),
        pytest.raises(ResourceError, match=r"cannot be written.*BROKERLAB_CACHE"),
    ):
        prefetch(settings, Progress())


def test_a_cache_that_cannot_be_written_and_lacks_the_archive(settings: Settings) -> None:
    archive = prefetch(settings, Progress()).archive
    assert archive
    archive.unlink()
    progress = Progress()
    with read_only(settings.cache):
        assert prefetch(settings, progress).archive is None
        assert installed(settings).archive is None
    assert steps(progress) == [
        "No class-data archive, as the cache takes no more: starts are slower"
    ]


def test_a_file_in_the_place_of_the_cache(settings: Settings) -> None:
    settings.cache.write_text("not a folder")
    with pytest.raises(ResourceError, match=r"cannot be written.*BROKERLAB_CACHE"):
        prefetch(settings, Progress())


def test_spaces_and_letters_of_any_language(settings: Settings, jars: Lock) -> None:
    elsewhere = replace(settings, cache=settings.cache / "Größe 1 — 日本 кафка")
    distribution = prefetch(elsewhere, Progress())
    assert fetched(elsewhere, jars) == names(jars)
    assert all(path.exists() for path in distribution.jars)


def test_a_path_that_java_would_split_is_refused(settings: Settings) -> None:
    split = replace(settings, cache=settings.cache / "a:b")
    for call in (installed, lambda s: prefetch(s, Progress())):
        with pytest.raises(SettingError, match=r"':' in it: choose another folder"):
            call(split)


def test_two_at_once_fetch_once(
    settings: Settings, repository: MavenServer, jars: Lock, archives: list[Path]
) -> None:
    waiting = threading.Event()

    def held_until_the_other_waits(handler: Handler, content: bytes) -> None:
        assert waiting.wait(10)
        whole(handler, content)

    repository.answers["kafka_2.13-3.9.2.jar"] = [held_until_the_other_waits]
    first_asked = threading.Event()
    results = []

    def first() -> None:
        watched = Watched(lambda step: first_asked.set() if step.fraction else None)
        results.append(prefetch(settings, watched))

    fetching = threading.Thread(target=first)
    fetching.start()
    assert first_asked.wait(10)
    second = Watched(lambda step: waiting.set() if "Waiting" in step.text else None)
    results.append(prefetch(settings, second))
    fetching.join(10)

    assert results[0] == results[1]
    assert [len(asked) for asked in repository.requests.values()] == [1] * len(jars["kafka"])
    assert len(archives) == 1
    assert steps(second) == [
        f"Waiting for process {os.getpid()} on {socket.gethostname()}, "
        "which is filling the same cache"
    ]


def test_waiting_for_another_process_has_a_limit(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "LOCK_SECONDS", 0.2)
    with (
        installation._cache_lock(settings, Progress()),
        pytest.raises(DownloadError, match=rf"process {os.getpid()} .*end it, and try again"),
    ):
        prefetch(settings, Progress())
    prefetch(settings, Progress())


def test_an_interrupt_leaves_the_cache_consistent(settings: Settings, jars: Lock) -> None:
    def interrupt(step: Step) -> None:
        if step.fraction and step.fraction > 0.3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prefetch(settings, Watched(interrupt))
    assert fetched(settings, jars) <= names(jars)
    assert not partial_files(settings)
    prefetch(settings, Progress())
    assert fetched(settings, jars) == names(jars)


def test_what_a_killed_process_left_is_removed(settings: Settings) -> None:
    left = settings.cache / "maven" / "org" / ".kafka-clients-3.9.2.jar.1-00.part"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    prefetch(settings, Progress())
    assert not partial_files(settings)


def test_a_damaged_jar_is_found_and_fetched_again(
    settings: Settings, repository: MavenServer, jars: Lock
) -> None:
    damaged = prefetch(settings, Progress()).jars[1]
    damaged.write_bytes(bytes(damaged.stat().st_size))
    installed(settings)
    with pytest.raises(NotFetchedError, match=r"1 of Kafka's 6 .*kafka-clients-3\.9\.2\.jar"):
        installed(settings, verify=True)
    prefetch(settings, Progress())
    assert repository.request_count == len(names(jars)) + 1
    installed(settings, verify=True)


def test_a_damaged_archive_is_made_again(settings: Settings, archives: list[Path]) -> None:
    archive = prefetch(settings, Progress()).archive
    assert archive
    archive.write_bytes(b"Archive")
    assert installed(settings, verify=True).archive is None
    os.utime(installed(settings).jars[0], (0, 0))
    moved = prefetch(settings, Progress()).archive
    assert moved not in (None, archive)
    assert len(archives) == 2


def test_java_that_makes_no_archive_is_no_failure(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "make_archive", lambda archive, jars: False)
    progress = Progress()
    assert prefetch(settings, progress).archive is None
    assert re.fullmatch("No class-data archive, as Java .*", steps(progress)[-1])


def test_the_tool_of_2018_adds_its_own_jars_alone(
    settings: Settings, repository: MavenServer, jars: Lock
) -> None:
    prefetch(settings, Progress())
    before = repository.request_count
    progress = Progress()
    distribution = prefetch_2018(settings, progress)
    assert repository.request_count - before == len(jars["2018"])
    assert steps(progress) == ["Fetching 0 MB of jars"]
    assert [path.name for path in distribution.jars] == [
        "kafka_2.13-2.8.2.jar",
        "kafka-clients-2.8.2.jar",
        "scala-library-2.13.15.jar",
        "slf4j-api-1.7.36.jar",
        "zookeeper-3.8.4.jar",
        "commons-cli-1.4.jar",
    ]
    again = Progress()
    assert prefetch_2018(settings, again) == distribution
    assert (again.steps, repository.request_count) == ([], before + 2)


def test_connect_comes_behind_kafka_and_its_plugin_stands_apart(
    settings: Settings, repository: MavenServer, jars: Lock
) -> None:
    kafka = prefetch(settings, Progress())
    before = repository.request_count
    assert lacks_extras(settings)
    connect, plugin = prefetch_connect(settings, Progress())
    assert repository.request_count - before == len(jars["connect"]) + len(jars["camel"])
    assert connect.jars[: len(kafka.jars)] == kafka.jars
    assert [path.name for path in connect.jars[len(kafka.jars) :]] == ["connect-runtime-3.9.2.jar"]
    assert [path.name for path in plugin] == ["sqlite-jdbc-3.46.1.3.jar"]
    assert connect.archive == kafka.archive
    again = Progress()
    assert prefetch_connect(settings, again) == (connect, plugin)
    assert again.steps == []
    prefetch_2018(settings, Progress())
    assert not lacks_extras(settings)
