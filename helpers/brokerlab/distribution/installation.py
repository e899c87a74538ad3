"""What is in the cache, and how it gets there."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from brokerlab.distribution.archive import SIZE as ARCHIVE_SIZE
from brokerlab.distribution.archive import archive_path, is_sound, make_archive
from brokerlab.distribution.files import remove_partial_files, require_space, writing
from brokerlab.distribution.jars import (
    KAFKA_VERSION,
    KAFKA_VERSION_2018,
    Jar,
    all_locked,
    locked,
)
from brokerlab.distribution.java import JAVA, Distribution
from brokerlab.errors import DownloadError, NotFetchedError, ResourceError, SettingError
from brokerlab.progress import Progress
from brokerlab.settings import Settings

if TYPE_CHECKING:
    from filelock import BaseFileLock

    from brokerlab.distribution.sources import Source

LOCK_SECONDS = 600.0


def installed(settings: Settings, verify: bool = False) -> Distribution:
    """Return what is in the cache, without the network and without writing.

    Parameters
    ----------
    settings : Settings
        Says where the cache is.
    verify : bool
        Hash every jar and the archive first, instead of trusting their sizes.

    Raises
    ------
    NotFetchedError
        A jar is missing, or is not the locked one.
    """
    jars = locked("kafka")
    unfit = _unfit(settings, jars, verify=verify)
    if unfit:
        raise NotFetchedError(
            f"{len(unfit)} of Kafka's {len(jars)} jars are missing or damaged in {settings.cache} "
            f"({unfit[0].name} is one): run `brokerlab prefetch` once, with a network."
        )
    return _kafka(settings, verify=verify)


def prefetch(settings: Settings, progress: Progress) -> Distribution:
    """Fetch the jars that a lab needs and that are missing or damaged; make the class-data archive.

    With a full and sound cache it hashes the files and does nothing else.

    Raises
    ------
    DownloadError
        A jar could not be fetched.
    ResourceError
        The disk is full or the cache cannot be written.
    """
    return _filled(settings, locked("kafka"), progress, None)


def prefetch_all(settings: Settings, progress: Progress, place: str | None = None) -> Distribution:
    """Do what `prefetch` does, and fetch the jars of every other tool of the course too.

    Parameters
    ----------
    settings : Settings
        Says where the cache is.
    progress : Progress
        Where the steps are shown.
    place : str, optional
        Take them from there: the path of a bundle or of a folder, or the address of a bundle or of a
        Maven repository. Without it, from the mirror of the settings or from Maven Central.

    Raises
    ------
    SettingError
        `place` is none of these.
    DownloadError
        A jar could not be had; what could is kept.
    ResourceError
        The disk is full or the cache cannot be written.
    """
    return _filled(settings, all_locked(), progress, _source(place) if place is not None else None)


def write_bundle(settings: Settings, progress: Progress, file: Path) -> int:
    """Write all jars of the course into one file, which `prefetch_all` takes; fetch first what is missing.

    Returns
    -------
    int
        How many jars it holds.

    Raises
    ------
    SettingError
        `file` cannot be the name of a bundle.
    DownloadError
        A jar could not be fetched.
    ResourceError
        A disk is full, or a folder cannot be written.
    """
    from brokerlab.distribution import bundle

    bundle.check_target(file)
    jars = all_locked()
    _fetch_what_is_unfit(settings, jars, progress, verify=True)
    with progress.step(f"Writing {bundle.bundle_size() / 1e6:.0f} MB to {file}") as advance:
        bundle.write_bundle(file, _repository(settings), advance)
    return len(jars)


def prefetch_2018(settings: Settings, progress: Progress) -> Distribution:
    """Fetch what the topics tool of Kafka 2.8.2 needs: three jars more than `prefetch`.

    Its own jars stand on the class path in place of those of the newer Kafka.

    Raises
    ------
    DownloadError
        A jar could not be fetched.
    ResourceError
        The disk is full or the cache cannot be written.
    """
    shared = [jar for jar in locked("kafka") if not jar.coordinate.startswith("org.apache.kafka:")]
    jars = [*locked("2018"), *shared]
    _fetch_what_is_unfit(settings, jars, progress, verify=False)
    return Distribution(KAFKA_VERSION_2018, JAVA, _paths(settings, jars), None)


def prefetch_connect(
    settings: Settings, progress: Progress
) -> tuple[Distribution, tuple[Path, ...]]:
    """Fetch what Kafka Connect and its plugin for databases need beside `prefetch`.

    Returns
    -------
    Distribution
        Connect's jars stand behind Kafka's on the class path, so that the class-data archive still fits.
    tuple of pathlib.Path
        The jars of the plugin.

    Raises
    ------
    DownloadError
        A jar could not be fetched.
    ResourceError
        The disk is full or the cache cannot be written.
    """
    jars = [*locked("kafka"), *locked("connect"), *locked("camel")]
    _fetch_what_is_unfit(settings, jars, progress, verify=False)
    kafka = _kafka(settings, verify=False)
    connect = replace(kafka, jars=(*kafka.jars, *_paths(settings, locked("connect"))))
    return connect, _paths(settings, locked("camel"))


def lacks_extras(settings: Settings) -> bool:
    """Tell whether a tool of the course (Kafka 2.8.2's, or Connect) would have to fetch jars of its own."""
    extras = [jar for jar in all_locked() if jar.group != "kafka"]
    return bool(_unfit(settings, extras, verify=False))


def _filled(
    settings: Settings, jars: Sequence[Jar], progress: Progress, source: Source | None
) -> Distribution:
    if not _unfit(settings, jars, verify=True):
        distribution = _kafka(settings, verify=True)
        if distribution.archive:
            return distribution
    try:
        with _cache_lock(settings, progress):
            _fetch_unfit(settings, jars, progress, source, room=ARCHIVE_SIZE)
            return _with_archive(settings, progress)
    except ResourceError:
        if unfit := _unfit(settings, jars, verify=True):
            _require_readable(settings, unfit)
            raise
        _do_without_archive(progress, "the cache takes no more")
        kafka = _paths(settings, locked("kafka"))
        return Distribution(KAFKA_VERSION, JAVA, kafka, None)


def _require_readable(settings: Settings, unfit: Sequence[Jar]) -> None:
    """Say so when a jar is there and this account may not read it."""
    for path in _paths(settings, unfit):
        try:
            path.open("rb").close()
        except PermissionError:
            raise ResourceError(
                f"This account may not read {path}: have the cache's owner run "
                f"`chmod -R a+rX {settings.cache}`, or set BROKERLAB_CACHE to a folder of yours."
            ) from None
        except OSError:
            continue


def _source(place: str) -> Source:
    # Not above, here and below: a console tool imports this module too and must not wait for an HTTP client.
    from brokerlab.distribution.sources import find

    return find(place)


def _repository(settings: Settings) -> Path:
    return settings.cache / "maven"


def _paths(settings: Settings, jars: Sequence[Jar]) -> tuple[Path, ...]:
    if os.pathsep in str(settings.cache):
        raise SettingError(
            f"BROKERLAB_CACHE is {str(settings.cache)!r}, and Java cannot take a path with "
            f"{os.pathsep!r} in it: choose another folder."
        )
    return tuple(_repository(settings) / jar.path for jar in jars)


def _unfit(settings: Settings, jars: Sequence[Jar], *, verify: bool) -> list[Jar]:
    return [
        jar
        for jar, path in zip(jars, _paths(settings, jars), strict=True)
        if not jar.is_whole(path, verify=verify)
    ]


def _kafka(settings: Settings, *, verify: bool) -> Distribution:
    jars = _paths(settings, locked("kafka"))
    archive = archive_path(settings.cache / "archive", jars)
    sound = is_sound(archive, verify=verify)
    return Distribution(KAFKA_VERSION, JAVA, jars, archive if sound else None)


def _fetch_what_is_unfit(
    settings: Settings, jars: Sequence[Jar], progress: Progress, *, verify: bool
) -> None:
    """Fetch what is missing or damaged; take the lock of the cache only if something is."""
    if _unfit(settings, jars, verify=verify):
        with _cache_lock(settings, progress):
            _fetch_unfit(settings, jars, progress)


def _fetch_unfit(
    settings: Settings,
    jars: Sequence[Jar],
    progress: Progress,
    source: Source | None = None,
    room: int = 0,
) -> None:
    unfit = _unfit(settings, jars, verify=True)
    if not unfit:
        return
    size = sum(jar.size for jar in unfit)
    require_space(settings.cache, size + room)
    if source is None:
        from brokerlab.distribution.fetch import maven_repository
        from brokerlab.distribution.sources import Repository

        source = Repository(maven_repository(settings.mirror))
    with progress.step(f"Fetching {size / 1e6:.0f} MB of jars{source.origin}") as advance:
        source.take(unfit, _repository(settings), advance)


def _with_archive(settings: Settings, progress: Progress) -> Distribution:
    distribution = _kafka(settings, verify=True)
    if distribution.archive:
        return distribution
    archive = archive_path(settings.cache / "archive", distribution.jars)
    with progress.step("Making the class-data archive"), writing(settings.cache):
        made = make_archive(archive, distribution.jars)
    if not made:
        _do_without_archive(progress, "Java could not make it")
        return distribution
    return replace(distribution, archive=archive)


def _do_without_archive(progress: Progress, reason: str) -> None:
    progress.begin(f"No class-data archive, as {reason}: starts are slower")
    progress.end(mark="✗")


@contextmanager
def _cache_lock(settings: Settings, progress: Progress) -> Iterator[None]:
    """Hold the cache's lock; while another process has it, say which."""
    from filelock import FileLock, Timeout

    note = settings.cache / "prefetch.owner"
    lock = FileLock(settings.cache / "prefetch.lock")
    with writing(settings.cache):
        settings.cache.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _wait_for_lock(lock, note, progress)
    try:
        with writing(settings.cache):
            note.write_text(f"process {os.getpid()} on {socket.gethostname()}", "utf-8")
            remove_partial_files(settings.cache)
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _wait_for_lock(lock: BaseFileLock, note: Path, progress: Progress) -> None:
    from filelock import Timeout

    try:
        owner = note.read_text("utf-8")
    except OSError:
        owner = "another process"
    with progress.step(f"Waiting for {owner}, which is filling the same cache"):
        try:
            lock.acquire(timeout=LOCK_SECONDS)
        except Timeout:
            raise DownloadError(
                f"{owner} has been filling {lock.lock_file} for more than "
                f"{LOCK_SECONDS / 60:.0f} minutes: end it, and try again."
            ) from None
