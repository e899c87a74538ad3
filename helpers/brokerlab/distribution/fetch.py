"""Fetching: from a Maven repository into the cache, each jar whole and verified or not at all."""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from urllib.parse import urlsplit

import requests
from jgo.constants import MAVEN_CENTRAL_URL

from brokerlab.distribution.files import scratch_file, writing
from brokerlab.distribution.jars import Jar
from brokerlab.errors import DownloadError

STREAMS = 4
CHUNK = 1 << 16
CONNECT_SECONDS = 3.0
SILENCE_SECONDS = 10.0
UNREACHABLE_SECONDS = 12.0
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 20.0

TRIES = {"unreachable": 3, "busy": 5, "cut": 5, "unlike": 2}
"""How often each kind of passing failure is met by one jar before it is final."""

_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})


class _PassingError(Exception):
    """A failure that may pass: its kind, the sentence if it does not, and the pause it asks for."""

    def __init__(self, kind: str, sentence: str, pause: float | None = None) -> None:
        super().__init__(sentence)
        self.kind = kind
        self.pause = pause


class _CancelledError(Exception):
    """Another stream failed for good, or the user interrupted."""


class Repository:
    """A Maven repository: Maven Central, or the mirror that the settings name.

    Parameters
    ----------
    mirror : str or None
        Base address; None is Maven Central.
    """

    def __init__(self, mirror: str | None) -> None:
        self.address = mirror or MAVEN_CENTRAL_URL
        self._mirror = mirror

    @property
    def name(self) -> str:
        """How sentences call it; never with the password that an address may hold."""
        if self._mirror is None:
            return "Maven Central"
        parts = urlsplit(self._mirror)
        return f"the mirror {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    @property
    def advice(self) -> str:
        """What to try when this repository does not do."""
        if self._mirror is None:
            return "set BROKERLAB_MIRROR to a Maven repository that does"
        return "check BROKERLAB_MIRROR, or unset it to use Maven Central"

    @property
    def unreachable(self) -> str:
        """The sentence for no answer at all."""
        return (
            f"The jars are not in the cache and {self.name} cannot be reached: connect to the "
            "network once and run `brokerlab prefetch`, or point BROKERLAB_MIRROR at a Maven "
            "repository within reach, or BROKERLAB_CACHE at a copy of a filled cache."
        )


class _Download:
    """What the streams of one fetch share."""

    def __init__(self, session: requests.Session, repository: Repository, folder: Path) -> None:
        self.session = session
        self.repository = repository
        self.folder = folder
        self.begun = time.monotonic()
        self.answered = threading.Event()
        self.cancelled = threading.Event()
        self.arrived: Counter[Jar] = Counter()

    def check_answered(self) -> None:
        """Give up when nothing has answered at all, whatever a stream still waits for."""
        waited = time.monotonic() - self.begun
        if waited > UNREACHABLE_SECONDS and not self.answered.is_set():
            raise DownloadError(self.repository.unreachable)

    def run(self, jar: Jar) -> None:
        """Fetch one jar; try again, after growing pauses, what may pass."""
        met: Counter[str] = Counter()
        while True:
            try:
                return self._attempt(jar)
            except _PassingError as failure:
                met[failure.kind] += 1
                if met[failure.kind] >= TRIES[failure.kind]:
                    raise DownloadError(str(failure)) from failure
                pause = failure.pause
                if pause is None:
                    pause = FIRST_PAUSE * 2 ** (met.total() - 1) * random.uniform(0.8, 1.2)
            if self.cancelled.wait(min(pause, LONGEST_PAUSE)):
                raise _CancelledError

    def _attempt(self, jar: Jar) -> None:
        self.arrived[jar] = 0
        with self._open(jar) as response:
            target = self.folder / jar.path
            with writing(self.folder):
                target.parent.mkdir(parents=True, exist_ok=True)
                with scratch_file(target) as partial:
                    self._receive(jar, response, partial)
                    partial.replace(target)

    def _open(self, jar: Jar) -> requests.Response:
        name = self.repository.name
        try:
            response = self.session.get(
                f"{self.repository.address}/{jar.path}",
                stream=True,
                timeout=(CONNECT_SECONDS, SILENCE_SECONDS),
            )
        except requests.exceptions.SSLError as failure:
            raise DownloadError(
                f"The certificate of {name} is not trusted: if your network puts its own in front, "
                "set REQUESTS_CA_BUNDLE to the file that holds it."
            ) from failure
        except (requests.ConnectionError, requests.Timeout) as failure:
            raise _PassingError("unreachable", self.repository.unreachable) from failure
        except requests.RequestException as failure:
            raise DownloadError(
                f"{jar.name} could not be asked for at {name}: {self.repository.advice}."
            ) from failure
        self.answered.set()
        if response.status_code == 200:
            return response
        response.close()
        if response.status_code in _BUSY:
            raise _PassingError(
                "busy",
                f"Only HTTP {response.status_code} came from {name} for {jar.name}: wait some "
                f"minutes and run `brokerlab prefetch` again (what was fetched is kept), or "
                f"{self.repository.advice}.",
                _retry_after(response),
            )
        raise DownloadError(
            f"HTTP {response.status_code} came from {name} for {jar.name}: {self.repository.advice}."
        )

    def _receive(self, jar: Jar, response: requests.Response, partial: Path) -> None:
        digest = hashlib.sha256()
        with partial.open("wb") as file:
            try:
                for chunk in response.iter_content(CHUNK):
                    if self.cancelled.is_set():
                        raise _CancelledError
                    digest.update(chunk)
                    file.write(chunk)
                    self.arrived[jar] += len(chunk)
                    if self.arrived[jar] > jar.size:
                        break
            except requests.RequestException as failure:
                raise _PassingError(
                    "cut",
                    f"The connection to {self.repository.name} was cut or fell silent again and "
                    f"again while {jar.name} arrived: run `brokerlab prefetch` when the network is "
                    "better (what was fetched is kept).",
                ) from failure
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != jar.sha256:
            raise _PassingError(
                "unlike",
                f"What {self.repository.name} sent twice as {jar.name} is not the jar that was "
                "locked (its SHA-256 differs), so it was thrown away: a log-in page or a proxy may "
                f"stand in between; open a web page once and try again, or {self.repository.advice}.",
            )


def fetch(
    jars: Sequence[Jar], folder: Path, mirror: str | None, advance: Callable[[float], None]
) -> None:
    """Fetch `jars` into `folder`, laid out as a Maven repository, over four streams.

    What arrived whole before a failure or an interrupt stays; nothing half-written does.

    Parameters
    ----------
    jars : sequence of Jar
        What is missing.
    folder : pathlib.Path
        The cache's repository.
    mirror : str or None
        Base address of the repository; None is Maven Central.
    advance : callable
        Takes the fraction of the bytes that has arrived, 0 to 1; called from this thread.

    Raises
    ------
    DownloadError
        The repository cannot be reached, refuses, or sends something else than what is locked.
    ResourceError
        The disk is full or the folder cannot be written.
    """
    total = sum(jar.size for jar in jars)
    streams = ThreadPoolExecutor(STREAMS, thread_name_prefix="fetch")
    with requests.Session() as session:
        session.headers["Accept-Encoding"] = "identity"
        download = _Download(session, Repository(mirror), folder)
        # The largest first: the last stream to end is then a short one.
        ordered = sorted(jars, key=lambda jar: -jar.size)
        pending: set[Future[None]] = {streams.submit(download.run, jar) for jar in ordered}
        try:
            while pending:
                finished, pending = wait(pending, timeout=0.1, return_when=FIRST_COMPLETED)
                for stream in finished:
                    stream.result()
                download.check_answered()
                advance(download.arrived.total() / total)
        finally:
            download.cancelled.set()
            streams.shutdown(wait=False, cancel_futures=True)
            # A stream that is stuck in a name look-up is not waited for; it writes nothing more.
            wait([stream for stream in pending if not stream.cancelled()], timeout=2)


def _retry_after(response: requests.Response) -> float | None:
    """Return the seconds that the server asks to wait; a date is not worth reading."""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else None
