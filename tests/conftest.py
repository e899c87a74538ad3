"""What tests of a lab share: its folders, and one lab for those that leave it as they found it."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import chromium
import pytest
from accounts import python_for_all
from brokerlab import settings
from brokerlab.topology import ARTICLE_ZOOKEEPER_PORT
from homes import fresh_home


@pytest.fixture(scope="session")
def cache() -> Path:
    """The folder of the jars: the machine's own, or BROKERLAB_CACHE."""
    return settings.read().cache


@pytest.fixture
def their_python() -> list[str]:
    """A Python of this version that another account may run; skips where there is none."""
    return python_for_all()


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that every account may enter, and only this one may write."""
    with tempfile.TemporaryDirectory(prefix="bl-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def image() -> str:
    """The image of containers: apache/kafka where it can be had, else a stand-in that is built."""
    import standin

    return standin.image()


@pytest.fixture(scope="module")
def runtime(request: pytest.FixtureRequest) -> Iterator[str]:
    """How nodes run; a test asks for others with the decorator or the list in runtimes.py."""
    name: str = getattr(request, "param", "local")
    with pytest.MonkeyPatch.context() as patch:
        if name == "containers":
            patch.setenv("BROKERLAB_IMAGE", request.getfixturevalue("image"))
        yield name


@pytest.fixture
def home(runtime: str) -> Iterator[Path]:
    """A fresh BROKERLAB_HOME for one test."""
    with fresh_home(runtime) as path:
        yield path


@pytest.fixture(scope="module")
def lab(session_lab: Any) -> Iterator[Any]:
    """The session's lab, whole and without topics when a module begins: leave it as you found it."""
    yield session_lab
    session_lab.repair()
    session_lab.delete_topics(*(name for name in session_lab.topics() if not name.startswith("__")))


@pytest.fixture(scope="session")
def session_lab(cache: Path) -> Iterator[Any]:
    """A lab of three brokers for the whole session."""
    import brokerlab

    with fresh_home():
        # Lessons need the article's ports while this lab runs, so it is sent elsewhere.
        with closing(socket.socket()) as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                taken.bind(("127.0.0.1", ARTICLE_ZOOKEEPER_PORT))
                taken.listen()
            started = brokerlab.start(brokers=3)
        yield started
        started.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium, for the whole session: there can be only one Playwright in a process."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium.PATH, args=chromium.FLAGS)
        yield started
        started.close()
