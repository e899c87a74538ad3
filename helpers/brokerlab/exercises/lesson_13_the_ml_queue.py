"""Exercises of lesson 13: a door that never makes senders wait; a courier that loses nothing and brings nothing twice."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import httpx

from brokerlab import programs
from brokerlab.errors import BrokerLabError, NodeFailedError
from brokerlab.exercises.engine import Exercise, Fact
from brokerlab.mlqueue import MLQueue
from brokerlab.pipeline.audit import Audit
from brokerlab.pipeline.camera import Camera, Sent, percentile
from brokerlab.pipeline.scenes import scene

SEED = 1313

DOOR = "door.py"
BURST = 200
PER_SECOND = 100.0
P95_BELOW = 0.1
ROOM = 3
"""So many times longer than at the lesson's own server senders may wait, where the machine is too busy for less."""
DIFFERENT = 20
LARGE = 640
"""Px a side: the recogniser takes longer for one of these than the next needs to come."""

COURIER = "courier.py"
PICTURES = 40
SMALL = 128
KILLED_AT = 21
"""The request after which the courier is killed: the server has taken it, and the answer is lost."""

BEGIN = 20.0
RUN = 25.0
STALLED = 15.0
"""Seconds without a new result after which no more are expected."""


class _Trial:
    """A queue of its own for a program of the learner's.

    Attributes
    ----------
    idle
        Whether the program did nothing, as one does in which nothing is written yet.
    """

    def __init__(self) -> None:
        self._open = ExitStack()
        self.idle = False

    def begin(self) -> None:
        """Let the program run until it shows whether it does anything."""
        raise NotImplementedError

    def facts(self) -> Iterator[Fact]:
        """Yield what came of it."""
        raise NotImplementedError

    def close(self) -> None:
        self._open.close()


class _Tried(Exercise):
    """An exercise whose check lets the learner's program run."""

    deadline = 240.0
    patience = 0.0
    program: ClassVar[str]

    def trial(self, lab: Any) -> _Trial:
        """Make what the program is tried in."""
        raise NotImplementedError

    def attempted(self, lab: Any, answer: Any) -> bool:
        if not programs.written(self.program):
            return False
        self._trial = trial = self.trial(lab)
        try:
            trial.begin()
            if trial.idle:
                trial.close()
            return not trial.idle
        except BaseException:
            trial.close()
            raise

    def facts(self, lab: Any, answer: Any) -> Iterator[Fact]:
        trial = self._trial
        try:
            yield from trial.facts()
        finally:
            trial.close()


class NobodyWaits(_Tried):
    """The learner's server takes a burst; only then the workers start, and each picture gets its result."""

    title = f"POST p95 < {1000 * P95_BELOW:.0f} ms under a burst"
    hints = (
        "What must have happened before you may say *I have it*? And what can happen later?",
        "Looking at the picture can wait. Keeping it cannot: it belongs in the database, with its row in the outbox.",
        "`store.accept(picture, media_type)` is that transaction. It returns a job; the answer is its `id`.",
        '`job = store.accept(picture, "image/jpeg")`, then `return {"id": job.id}`. Leave the detector alone.',
    )
    program = DOOR

    def trial(self, lab: Any) -> _Trial:
        return _DoorTrial(lab)


def _door_facts(trial: _DoorTrial) -> Iterator[Fact]:
    yield Fact(f"{DOOR} answers a POST with an id", trial.first is not None, trial.why_not())
    if trial.first is None:
        return
    sent = trial.burst()
    taken = [one for one in sent if one.id is not None]
    yield Fact(
        f"it takes all {BURST} pictures of a burst, {PER_SECOND:.0f} a second",
        len(taken) == BURST,
        f"It took {len(taken)}. Status 202 means taken; the code of the refused ones and the last line of {DOOR} say more: "
        f"{trial.last_line()}",
    )
    yield Fact(
        f"p95 of their waits is below {1000 * P95_BELOW:.0f} ms or, where the machine is too busy for that, "
        "much like at the lesson's own API server",
        _p95(sent) < P95_BELOW or trial.as_fast_as_ours(sent),
        "They waited longer. Something slow happens before the answer: if it is detect(), leave it to "
        "the workers. A picture of this size takes the recogniser longer than the next one needs to come.",
    )
    ids = {one.id for one in taken if one.id} | {trial.first}
    known = trial.queue.store.places().keys()
    yield Fact(
        "every id that it gave out is a job in the database",
        ids <= known,
        f"{len(ids - known)} of {len(ids)} are not: whoever asks for them gets a 404, and no worker ever sees the picture. "
        "store.accept keeps the picture before you answer; a list or a background task in memory does not.",
    )
    if not ids <= known:
        return
    found = trial.work()
    yield Fact(
        "workers started now, and every picture has its result",
        found is not None and found.done == found.accepted and not found.missing,
        f"{trial.why_unfinished} A job without its row in the outbox is never published, and what is no picture becomes a "
        "dead letter: write both rows in one transaction, with the bytes as they came.",
    )


class _DoorTrial(_Trial):
    """A queue of its own with the learner's server for its door, and nobody yet who works."""

    def __init__(self, lab: Any) -> None:
        super().__init__()
        self.queue = self._open.enter_context(MLQueue(lab, "door"))
        self._pictures = [scene(SEED, n, LARGE).picture for n in range(DIFFERENT)]
        self._port = _free_port()
        self.first: str | None = None
        self.why_unfinished = ""
        self._said = "It did not answer."

    def begin(self) -> None:
        """Start the door and knock once; it is idle if it answers, and with no id."""
        self._door = programs.run(DOOR, self._port, self.queue.store.file)
        self._open.callback(self._door.kill)
        answer = self._knock()
        if answer is None:
            # A program that ends in peace without a word is one in which nothing is written yet.
            self.idle = self._door.exit_code == 0
            return
        told = _told(answer)
        if answer.is_success and isinstance(told, dict) and isinstance(told.get("id"), str):
            self.first = told["id"]
        else:
            self.idle = answer.is_success and told is None
            self._said = f"It answered with status {answer.status_code} and no id in JSON."

    def _knock(self) -> httpx.Response | None:
        deadline = time.monotonic() + BEGIN
        while time.monotonic() < deadline and self._door.running:
            with suppress(httpx.TransportError):
                return httpx.post(
                    f"{self._url}/images",
                    content=self._pictures[0],
                    headers={"Content-Type": "image/jpeg"},
                    timeout=BEGIN,
                    trust_env=False,
                )
            time.sleep(0.05)
        return None

    @property
    def _url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def burst(self) -> list[Sent]:
        """Send a burst through the door."""
        return _burst(self._url, self._pictures)

    def as_fast_as_ours(self, sent: list[Sent]) -> bool:
        """Send the same burst to the lesson's own API server; tell whether it was no better."""
        self.queue.start("api")
        ours = _burst(self.queue.url, self._pictures)
        self.queue.kill("api")
        return _p95(sent) < ROOM * _p95(ours)

    def work(self) -> Audit | None:
        """Start everything behind the door; return the audit when each picture has its outcome."""
        for name in ("relay", "collector", "worker-1", "worker-2"):
            self.queue.start(name)
        try:
            found = _settle(self.queue)
        except BrokerLabError as trouble:
            self.why_unfinished = str(trouble)
            return None
        self.why_unfinished = f"Accepted {found.accepted}, done {found.done}, given up {found.dead_lettered}, missing {len(found.missing)}."
        return found

    def why_not(self) -> str:
        if not self._door.running:
            return f"It ended by itself, its last line: {self.last_line()}"
        return f'{self._said} Return {{"id": ...}} from take().'

    def facts(self) -> Iterator[Fact]:
        return _door_facts(self)

    def last_line(self) -> str:
        return next((line for line in reversed(self._door.lines) if line.strip()), "none")


class OneResultForEachId(_Tried):
    """The learner's client sends numbered pictures over a bad line and is killed once: each is there, once."""

    title = f"{PICTURES} pictures over a bad line: one result for each"
    hints = (
        "An answer that does not come says nothing: was the picture taken or not? Only sending it again makes sure that it was.",
        "Around the POST: `while True`, `try`, and `except httpx.TransportError`. It is over when the status is 202.",
        "Sent again, it must be the same job. Which header says so? And what must its value be, after your program was killed "
        "and begins anew?",
        'The key must belong to the picture and not to the try: `headers={"Content-Type": "image/jpeg", "Idempotency-Key": file.name}`.',
    )
    program = COURIER

    def trial(self, lab: Any) -> _Trial:
        return _CourierTrial(lab)


def _courier_facts(trial: _CourierTrial) -> Iterator[Fact]:
    yield Fact(
        f"{COURIER} goes on when the line breaks",
        trial.survived,
        f"It ended by itself, its last line: {trial.last_line()} A line that breaks is an exception, "
        "httpx.TransportError: catch it, and send the picture again.",
    )
    yield Fact(
        "killed and started again, it comes to its end",
        trial.finished,
        f"{trial.why_unfinished} It must end when every picture was answered with 202, and with exit code 0.",
    )
    jobs = trial.jobs()
    yield Fact(
        f"each of the {PICTURES} pictures is in the database",
        len(jobs) == PICTURES,
        f"{PICTURES - len(jobs)} are not. Half of the losses on this line are pictures, the others are answers: without an "
        "answer you cannot tell, so send again until there is one.",
    )
    twice = sum(times > 1 for times in jobs.values())
    yield Fact(
        "none is there as two jobs",
        twice == 0,
        f"{twice} are: they were taken, the answer was lost, and they came again as something new. Without Idempotency-Key, "
        "or with a new key for each try or for each run of the program (uuid4), the server cannot know them: take a key that "
        "belongs to the picture, such as its file's name.",
    )
    found = _settle(trial.queue)
    yield Fact(
        "one result for each id, in the results topic and in the database",
        found.done == found.accepted and found.duplicates == 0 and found.sound,
        f"Accepted {found.accepted}, done {found.done}, records that came again {found.duplicates}: send the files as they are.",
    )


class _CourierTrial(_Trial):
    """A queue of its own behind a bad line, a folder of pictures, and the learner's program."""

    def __init__(self, lab: Any) -> None:
        super().__init__()
        self._folder = Path(self._open.enter_context(TemporaryDirectory(prefix="courier-")))
        for number in range(PICTURES):
            picture = scene(SEED, number, SMALL).picture
            (self._folder / f"picture-{number:02}.jpg").write_bytes(picture)
        self.queue = self._open.enter_context(MLQueue(lab, "courier"))
        self.queue.begin(workers=1)
        self._line = self._open.enter_context(_BadLine(self.queue.url))
        self.survived = self.finished = False
        self.why_unfinished = ""

    def begin(self) -> None:
        """Let the courier run, kill it between a picture's acceptance and its answer, and let it run again."""
        courier = self._start()
        deadline = time.monotonic() + BEGIN
        while courier.running and not self._line.reached.wait(0.02):
            if time.monotonic() > deadline:
                break
        self.survived = self._line.reached.is_set() or courier.running
        self.idle = courier.exit_code == 0 and not self._line.requests
        courier.kill()
        self._line.killed.set()
        if self.idle:
            return
        self._first = courier
        courier = self._start()
        try:
            code = courier.wait(RUN)
        except BrokerLabError:
            courier.kill()
            self.why_unfinished = f"It still ran after {RUN:.0f} s. {self._line.refusal}".strip()
        else:
            self.finished = code == 0
            self.why_unfinished = f"It ended with exit code {code}."

    def _start(self) -> programs.Program:
        courier = programs.run(COURIER, self._line.url, self._folder)
        self._open.callback(courier.kill)
        return courier

    def jobs(self) -> Counter[bytes]:
        """Return how many jobs each of our pictures has."""
        ours = {hashlib.sha256(file.read_bytes()).digest() for file in self._folder.iterdir()}
        with self.queue.store.database.reading() as connection:
            rows = connection.execute("SELECT digest FROM jobs").fetchall()
        return Counter(row["digest"] for row in rows if row["digest"] in ours)

    def facts(self) -> Iterator[Fact]:
        return _courier_facts(self)

    def last_line(self) -> str:
        return next((line for line in reversed(self._first.lines) if line.strip()), "none")


class _BadLine:
    """A way to a server on which of four requests one is cut before it gets there, and one answer is lost.

    Attributes
    ----------
    requests
        How many came.
    reached
        Set when the one was taken before whose answer the courier is to be killed.
    killed
        To be set then: so long the answer is held back.
    refusal
        What the server said when it last refused a picture.
    """

    def __init__(self, server: str) -> None:
        self.requests = 0
        self.reached, self.killed = threading.Event(), threading.Event()
        self.refusal = ""
        self._server = server
        self._guard = threading.Lock()
        self._client = httpx.Client(timeout=BEGIN, trust_env=False)
        self._listener = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._listener.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._listener.server_port}"
        self._thread = threading.Thread(
            target=self._listener.serve_forever, args=(0.05,), name="bad line", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> _BadLine:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown()
        self._listener.server_close()
        self._client.close()

    def _pass_on(self, method: str, path: str, headers: Any, body: bytes) -> httpx.Response | None:
        """Return the server's answer, or None if the line breaks."""
        with self._guard:
            self.requests += 1
            number = self.requests
        if number % 4 == 3:
            return None
        kept = ("content-type", "idempotency-key")
        passed = {name: value for name, value in headers.items() if name.lower() in kept}
        answer = self._client.request(method, f"{self._server}{path}", content=body, headers=passed)
        if not answer.is_success:
            self.refusal = f"The API server's last refusal: {answer.json().get('detail', '')}"
        if number == KILLED_AT:
            self.reached.set()
            self.killed.wait(BEGIN)
        return None if number % 4 == 1 else answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        line = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with suppress(httpx.TransportError):
                    answer = line._pass_on(self.command, self.path, self.headers, body)
                    if answer is not None:
                        self.send_response(answer.status_code)
                        self.send_header("Content-Type", answer.headers.get("content-type", ""))
                        self.send_header("Content-Length", str(len(answer.content)))
                        self.end_headers()
                        self.wfile.write(answer.content)
                        return
                self.close_connection = True

            do_POST = do_GET = _serve

            def log_message(self, *_: Any) -> None:
                """Say nothing in the notebook."""

        return Handler


def _settle(queue: MLQueue) -> Audit:
    """Wait for every outcome, as long as outcomes come."""
    while True:
        before = queue.store.counts().backlog
        try:
            return queue.settle(STALLED)
        except NodeFailedError:
            if queue.store.counts().backlog == before:
                raise


def _burst(url: str, pictures: list[bytes]) -> list[Sent]:
    with Camera(
        lambda: url,
        lambda number: pictures[number % DIFFERENT],
        BURST,
        PER_SECOND,
        again=False,
        key=f"burst-{time.time_ns()}",
    ) as camera:
        return list(camera.wait(RUN))


def _p95(sent: list[Sent]) -> float:
    return percentile([one.seconds for one in sent], 95)


def _told(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return answer.text


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


OWN_LAB = "uses topics and groups whose names are fixed"
EXERCISES = [NobodyWaits(), OneResultForEachId()]
