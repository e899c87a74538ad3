"""What the lab's tests share beside tests/conftest.py: a lab that they may break."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import brokerlab
import pytest
from brokerlab.lab import Lab
from brokerlab.progress import Progress
from homes import fresh_home


@pytest.fixture(scope="module")
def module_home(runtime: str) -> Iterator[Path]:
    """A fresh BROKERLAB_HOME for one module."""
    with fresh_home(runtime) as path:
        yield path


@pytest.fixture(scope="module")
def breakable_lab(module_home: Path) -> Iterator[Lab]:
    """A lab of three brokers for one module."""
    lab = brokerlab.start(
        brokers=3, broker_properties={"message.max.bytes": 2_000_000}, progress=Progress()
    )
    yield lab
    lab.stop()


@pytest.fixture
def nodes(breakable_lab: Lab) -> Iterator[Lab]:
    """The module's lab, whole before the test and repaired after it."""
    yield breakable_lab
    breakable_lab.repair()
    assert breakable_lab.state == "usable"
