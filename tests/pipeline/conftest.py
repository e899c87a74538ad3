"""What tests of the ML queue share: a store, a picture, and a queue of a test's own on the lab."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from brokerlab.pipeline.scenes import scene
from brokerlab.pipeline.store import Store
from queues import Queue


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "queue.sqlite") as opened:
        yield opened


@pytest.fixture(scope="session")
def jpeg() -> bytes:
    return scene(seed=3, index=0, size=128).picture


@pytest.fixture
def queue(lab: Any, tmp_path: Path) -> Iterator[Queue]:
    made = Queue(lab, tmp_path / "queue.sqlite")
    yield made
    made.end()
    lab.delete_topics(*made.names.topics)
