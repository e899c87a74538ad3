"""What tests of a lab share: its folders, and one lab for those that leave it as they found it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from brokerlab import settings
from homes import fresh_home


@pytest.fixture(scope="session")
def cache() -> Path:
    """The folder of the jars: the machine's own, or BROKERLAB_CACHE."""
    return settings.read().cache


@pytest.fixture
def home() -> Iterator[Path]:
    """A fresh BROKERLAB_HOME for one test."""
    with fresh_home() as path:
        yield path


@pytest.fixture(scope="session")
def lab(cache: Path) -> Iterator[Any]:
    """A lab of three brokers for the whole session: leave it as you found it."""
    import brokerlab

    with fresh_home():
        started = brokerlab.start(brokers=3)
        yield started
        started.stop()
