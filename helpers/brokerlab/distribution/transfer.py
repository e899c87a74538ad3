"""Fetching over HTTP: over a few streams, with the patience of a bad network, and refusals in sentences."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests

from brokerlab.errors import DownloadError

STREAMS = 4
CHUNK = 1 << 16
CONNECT_SECONDS = 3.0
SILENCE_SECONDS = 10.0
UNREACHABLE_SECONDS = 12.0
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 20.0

TRIES = {"unreachable": 3, "busy": 5, "cut": 5, "unlike": 2}
"""How often each kind of passing failure is met by one stream before it is final."""

_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})


class PassingError(Exception):
    """A failure that may pass: its kind, the sentence if it does not, and the pause it asks for."""

    def __init__(self, kind: str, sentence: str, pause: float | None = None) -> None:
        super().__init__(sentence)
        self.kind = kind
        self.pause = pause


class _CancelledError(Exception):
    """Another stream failed for good, or the user interrupted."""


@dataclass(frozen=True)
class Server:
    """Who is asked, and how sentences speak of it.

    Attributes
    ----------
    address : str
        What the path of every request is put behind.
    name : str
        How sentences call it.
    advice : str
        What to try when it does not do.
    unreachable : str
        The sentence for no answer at all.
    """

    address: str
    name: str
    advice: str
    unreachable: str


def shown(address: str) -> str:
    """Return an address without the password or the token that it may hold."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class Transfer:
    """What the streams that ask one server share."""

    def __init__(self, session: requests.Session, server: Server) -> None:
        self.server = server
        self.arrived: Counter[str] = Counter()
        self._session = session
        self._begun = time.monotonic()
        self._answered = threading.Event()
        self._cancelled = threading.Event()

    def open(self, path: str, what: str) -> requests.Response:
        """Ask for `path`, which sentences call `what`; its bytes are to be read with `chunks`."""
        name = self.server.name
        try:
            response = self._session.get(
                self.server.address + path,
                stream=True,
                timeout=(CONNECT_SECONDS, SILENCE_SECONDS),
            )
        except requests.exceptions.SSLError as failure:
            raise DownloadError(
                f"The certificate of {name} is not trusted: if your network puts its own in front, "
                "set REQUESTS_CA_BUNDLE to the file that holds it."
            ) from failure
        except (requests.ConnectionError, requests.Timeout) as failure:
            raise PassingError("unreachable", self.server.unreachable) from failure
        except requests.RequestException as failure:
            raise DownloadError(
                f"{what} could not be asked for at {name}: {self.server.advice}."
            ) from failure
        self._answered.set()
        if response.status_code == 200:
            return response
        response.close()
        if response.status_code in _BUSY:
            raise PassingError(
                "busy",
                f"Only HTTP {response.status_code} came from {name} for {what}: wait some "
                f"minutes and run `brokerlab prefetch` again (what was fetched is kept), or "
                f"{self.server.advice}.",
                _retry_after(response),
            )
        raise DownloadError(
            f"HTTP {response.status_code} came from {name} for {what}: {self.server.advice}."
        )

    def chunks(self, response: requests.Response, what: str) -> Iterator[bytes]:
        """Yield the bytes as they arrive, and count them."""
        self.arrived[what] = 0
        try:
            for chunk in response.iter_content(CHUNK):
                if self._cancelled.is_set():
                    raise _CancelledError
                self.arrived[what] += len(chunk)
                yield chunk
        except requests.RequestException as failure:
            raise PassingError(
                "cut",
                f"The connection to {self.server.name} was cut or fell silent again and again while "
                f"{what} arrived: run `brokerlab prefetch` when the network is better (what was "
                "fetched is kept).",
            ) from failure

    def run(self, attempt: Callable[[Transfer], None]) -> None:
        """Attempt something; try again, after growing pauses, what may pass."""
        met: Counter[str] = Counter()
        while True:
            try:
                return attempt(self)
            except PassingError as failure:
                met[failure.kind] += 1
                if met[failure.kind] >= TRIES[failure.kind]:
                    raise DownloadError(str(failure)) from failure
                pause = failure.pause
                if pause is None:
                    pause = FIRST_PAUSE * 2 ** (met.total() - 1) * random.uniform(0.8, 1.2)
            if self._cancelled.wait(min(pause, LONGEST_PAUSE)):
                raise _CancelledError

    def check_answered(self) -> None:
        """Give up when nothing has answered at all, whatever a stream still waits for."""
        waited = time.monotonic() - self._begun
        if waited > UNREACHABLE_SECONDS and not self._answered.is_set():
            raise DownloadError(self.server.unreachable)

    def cancel(self) -> None:
        """Have every stream end at its next chunk or pause."""
        self._cancelled.set()


def transfer(
    server: Server,
    attempts: Sequence[Callable[[Transfer], None]],
    size: int,
    advance: Callable[[float], None],
) -> None:
    """Make every attempt, over at most four streams, until each has done its work.

    Parameters
    ----------
    server : Server
        Who is asked.
    attempts : sequence of callable
        Each opens, reads and keeps something of its own; it is called again after a `PassingError`.
    size : int
        Bytes that arrive in all.
    advance : callable
        Takes the fraction of `size` that has arrived, 0 to 1; called from this thread.

    Raises
    ------
    DownloadError
        The server cannot be reached, or refuses.
    """
    streams = ThreadPoolExecutor(STREAMS, thread_name_prefix="fetch")
    with requests.Session() as session:
        session.headers["Accept-Encoding"] = "identity"
        shared = Transfer(session, server)
        pending: set[Future[None]] = {streams.submit(shared.run, attempt) for attempt in attempts}
        try:
            while pending:
                finished, pending = wait(pending, timeout=0.1, return_when=FIRST_COMPLETED)
                for stream in finished:
                    stream.result()
                shared.check_answered()
                advance(shared.arrived.total() / size)
        finally:
            shared.cancel()
            streams.shutdown(wait=False, cancel_futures=True)
            # A stream that is stuck in a name look-up is not waited for; it writes nothing more.
            wait([stream for stream in pending if not stream.cancelled()], timeout=2)


def _retry_after(response: requests.Response) -> float | None:
    """Return the seconds that the server asks to wait; a date is not worth reading."""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else None
