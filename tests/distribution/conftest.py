"""A lock of small jars, the repository that has them, and an empty cache."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from brokerlab.distribution import installation, transfer
from brokerlab.distribution import jars as lock
from brokerlab.distribution.jars import Jar
from brokerlab.settings import Settings
from maven_repository import MavenServer, content_of

COORDINATES = {
    "kafka": (
        "org.apache.kafka:kafka_2.13:3.9.2",
        "org.apache.kafka:kafka-clients:3.9.2",
        "org.scala-lang:scala-library:2.13.15",
        "org.slf4j:slf4j-api:1.7.36",
        "org.apache.zookeeper:zookeeper:3.8.4",
        "commons-cli:commons-cli:1.4",
    ),
    "2018": (
        "org.apache.kafka:kafka_2.13:2.8.2",
        "org.apache.kafka:kafka-clients:2.8.2",
    ),
    "connect": ("org.apache.kafka:connect-runtime:3.9.2",),
    "camel": ("org.xerial:sqlite-jdbc:3.46.1.3",),
}


@pytest.fixture
def jars(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, tuple[Jar, ...]]]:
    """A lock of small jars in place of the real one; pauses between tries are short."""
    locked = {
        group: tuple(
            Jar(group, coordinate, len(content), hashlib.sha256(content).hexdigest(), "MIT")
            for coordinate in coordinates
            for content in [content_of(coordinate)]
        )
        for group, coordinates in COORDINATES.items()
    }
    file = tmp_path / "jars.txt"
    file.write_text(lock.lock_text(jar for group in locked.values() for jar in group), "utf-8")
    monkeypatch.setattr(lock, "LOCK", file)
    monkeypatch.setattr(transfer, "FIRST_PAUSE", 0.01)
    lock.locked.cache_clear()
    yield locked
    lock.locked.cache_clear()


@pytest.fixture
def archives(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Stand in for the making of the class-data archive; lists what was made."""
    made: list[Path] = []

    def make(archive: Path, jars: object) -> bool:
        archive.parent.mkdir(exist_ok=True)
        archive.write_bytes(b"archive")
        archive.with_suffix(".sha256").write_text(hashlib.sha256(b"archive").hexdigest())
        made.append(archive)
        return True

    monkeypatch.setattr(installation, "make_archive", make)
    return made


@pytest.fixture
def repository(jars: dict[str, tuple[Jar, ...]]) -> Iterator[MavenServer]:
    """A running repository that holds the jars of the lock."""
    everything = [jar for group in jars.values() for jar in group]
    server = MavenServer({f"/{jar.path}": content_of(jar.coordinate) for jar in everything})
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def settings(tmp_path: Path, repository: MavenServer, archives: list[Path]) -> Settings:
    """Settings with an empty cache and the repository as mirror."""
    return Settings(
        home=tmp_path / "home",
        cache=tmp_path / "cache",
        runtime="local",
        image="none",
        auth="off",
        linger=1.0,
        mirror=repository.address,
    )
