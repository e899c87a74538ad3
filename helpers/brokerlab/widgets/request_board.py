"""A window on an ML queue: where its requests are, what senders wait, and pictures of one's own to send."""

from __future__ import annotations

import threading
import time
import uuid
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from brokerlab.errors import BrokerLabError, NodeFailedError, SettingError
from brokerlab.pipeline.camera import Camera, percentile
from brokerlab.pipeline.errors import PipelineError
from brokerlab.widgets.base import Command, LiveView, module, sheet
from brokerlab.widgets.inputs import Choice, Input, Slider
from brokerlab.widgets.request_picture import (
    SCENE,
    THUMBS,
    Palette,
    Requests,
    Shot,
    Times,
    board,
)
from brokerlab.widgets.scene import Element

if TYPE_CHECKING:
    from brokerlab.mlqueue import MLQueue
    from brokerlab.pipeline.scenes import Placed
    from brokerlab.pipeline.store import Store

LOOK_EVERY = 0.4
"""Seconds from one look at the database to the next."""
SHOTS_EVERY = 1.2
"""Seconds from one change of the latest pictures to the next: each has to be decoded."""
NEWEST = 1000
"""Of so many pictures the waiting times are told."""
ANSWER_SECONDS = 10.0
DIFFERENT = 24
"""How many different pictures a burst has; they come again and again, each time under another key."""
SIZES = ("128 px", "320 px", "640 px")


class RequestBoard(LiveView[Requests]):
    """Shows an ML queue at work, and sends it pictures: composed, uploaded, or many.

    Parameters
    ----------
    queue : MLQueue
        It stays the caller's to end.
    """

    title = "Request board"
    variable = "board"
    _esm = module("request_board.js")
    _css = sheet("request_board.css")

    def __init__(self, queue: MLQueue) -> None:
        # Loaded here: they bring NumPy and Pillow, which no other view needs.
        from brokerlab.pipeline import scenes
        from brokerlab.widgets import request_shots

        self._queue = queue
        self._scenes = scenes
        self._large = request_shots.LARGE
        self._shots = request_shots.Shots(queue.store)
        self._sheet = request_shots.palette()
        self._chosen = scenes.LABELS[1]
        self._length, self._tilt = 80, 0
        self._count, self._rate, self._size = 200, 100, SIZES[0]
        self._objects: tuple[Placed, ...] = ()
        self._scene: bytes | None = None
        self._mine: str | None = None
        self._camera: Camera | None = None
        self._latest: tuple[Shot, ...] = ()
        self._latest_at = 0.0
        self._seen = self._ask()
        super().__init__()
        self._watcher = threading.Thread(target=self._watch, name=f"{self!r} watcher", daemon=True)
        self._watcher.start()

    # What a lesson calls.

    def choose(self, label: str) -> None:
        """Choose the object that clicks on the scene put there."""
        self.press("choose", label=label)

    def place(self, label: str, x: float, y: float) -> None:
        """Put an object into the scene, its middle at (`x`, `y`) px of 320; length and tilt as the sliders say."""
        self.press("place", label=label, x=x, y=y)

    def clear(self) -> None:
        """Begin with an empty scene."""
        self.press("clear")

    def send(self) -> None:
        """Send the scene to the API server."""
        self.press("send")

    def upload(self, picture: bytes | str | Path, media_type: str = "image/jpeg") -> None:
        """Send a picture, or the file of one, to the API server.

        Raises
        ------
        SettingError
            The file cannot be read.
        """
        if not isinstance(picture, bytes):
            try:
                picture = Path(file := picture).read_bytes()
            except OSError as trouble:
                raise SettingError(
                    f"{file} cannot be read ({trouble.strerror}): give a picture's file."
                ) from None
        self.press("upload", bytes=picture, type=media_type)

    def burst(self) -> None:
        """Send as many pictures as the sliders say, at the rate and of the size that they say."""
        self.press("burst")

    def results(self, timeout: float = 60.0) -> Requests:
        """Wait until all that was pressed is done, sent and has its outcome; return what is seen then.

        Raises
        ------
        NodeFailedError
            It was not, and for `timeout` seconds nothing more was sent or done.
        """

        def settled(seen: Requests) -> bool:
            counts = self._store().counts()
            sent = self._camera is None or self._camera.done
            return (
                sent
                and not self.pending
                and counts.backlog == 0
                and sum(seen.states.values()) == counts.total
                and seen.states.get("accepted", 0) + seen.states.get("queued", 0) == 0
                and (seen.mine is None or seen.mine.id == self._mine)
            )

        while True:
            before = self._progress()
            try:
                return self.wait_until(settled, timeout, "every picture to have its outcome")
            except NodeFailedError:
                if self._ended.is_set() or self._progress() == before:
                    raise

    def _progress(self) -> tuple[int, int]:
        """Return how many pictures of the burst were sent, and how many of all have their outcome."""
        counts = self._store().counts()
        sent = 0 if self._camera is None else len(self._camera.sent)
        return sent, counts.total - counts.backlog

    # What the base asks.

    @property
    def subject(self) -> str:
        return self._queue.names.prefix

    def look(self) -> Requests:
        return self._seen

    def draw(self, seen: Requests) -> Element:
        busy = {command["kind"] for command in self.pending}
        if self._camera is not None and not self._camera.done:
            busy.add("burst")
        return board(seen, self._palette, self._count, frozenset(busy))

    def inputs(self) -> Sequence[Input]:
        return (
            Slider("length", "object's length", 16, 240, 8, self._length, "px"),
            Slider("tilt", "tilt", -90, 90, 5, self._tilt, "°"),
            Slider("count", "burst", 50, 2000, 50, self._count, "pictures"),
            Slider("rate", "rate", 10, 250, 10, self._rate, "a second"),
            Choice("size", "each", SIZES, self._size),
        )

    def change(self, name: str, value: Any) -> str:
        setattr(self, f"_{name}", value)
        return ""

    def describe(self, command: Command) -> str:
        return {"send": "sending …", "upload": "sending …", "burst": "sending …"}.get(
            command["kind"], ""
        )

    def run(self, command: Command) -> str:
        match command["kind"]:
            case "choose":
                return self._choose(command.get("label"))
            case "place":
                return self._place(command)
            case "clear":
                self._objects, self._scene = (), None
                said = "The scene is empty."
            case "send":
                if self._scene is None:
                    raise SettingError("The scene is empty: put something there first.")
                said = self._post(self._scene, "image/jpeg")
            case "upload":
                said = self._post(_bytes(command), str(command.get("type") or "unknown"))
            case "burst":
                said = self._burst()
            case _:
                return super().run(command)
        self._look_again()
        return said

    def release(self) -> None:
        self._watcher.join(ANSWER_SECONDS)
        if self._camera is not None:
            self._camera.stop()

    # Its work.

    @cached_property
    def _palettes(self) -> dict[str, Palette]:
        labels = self._scenes.LABELS
        return {label: Palette(labels, self._sheet, label) for label in labels}

    @property
    def _palette(self) -> Palette:
        return self._palettes[self._chosen]

    def _choose(self, label: Any) -> str:
        labels = self._scenes.LABELS
        if label not in labels:
            raise SettingError(f"There is no object {label!r}: choose one of {', '.join(labels)}.")
        self._chosen = label
        return f"Now click the scene: the {label} goes there."

    def _place(self, command: Command) -> str:
        label, x, y = command.get("label"), command.get("x"), command.get("y")
        if not isinstance(x, (int, float)) or not isinstance(y, (int, float)):
            raise SettingError(f"An object is put at two numbers, from 0 to {SCENE} px.")
        half = self._length / 2
        new = self._scenes.Placed(
            str(label), x - half, y - half, self._length, self._length, self._tilt
        )
        objects = (*self._objects, new)
        self._scene = self._scenes.compose(objects, SCENE).picture
        self._objects = objects
        self._look_again()
        return f"The {label} is at {x:g}, {y:g}."

    def _post(self, picture: bytes, media_type: str) -> str:
        try:
            answer = httpx.post(
                f"{self._queue.url}/images",
                content=picture,
                headers={"Content-Type": media_type, "Idempotency-Key": str(uuid.uuid4())},
                timeout=ANSWER_SECONDS,
                trust_env=False,
            )
        except httpx.TransportError:
            raise BrokerLabError(
                "The API server does not answer: queue.start('api') starts it, if it does not run."
            ) from None
        told = answer.json()
        if answer.status_code != httpx.codes.ACCEPTED:
            raise BrokerLabError(f"{answer.status_code}: {told['detail']}")
        self._mine = told["id"]
        return f"202, id {self._mine}"

    def _burst(self) -> str:
        if self._camera is not None:
            if not self._camera.done:
                raise BrokerLabError("A burst is on its way: wait until all its pictures are sent.")
            self._camera.stop()
        size = int(self._size.split()[0])
        different = min(DIFFERENT, self._count)
        pictures = [self._scenes.scene(13, number, size).picture for number in range(different)]
        self._camera = Camera(
            lambda: self._queue.url,
            lambda number: pictures[number % different],
            self._count,
            self._rate,
            key=str(uuid.uuid4()),
        )
        return f"{self._count:,} pictures of {size} px are on their way, {self._rate:g} a second."

    # Looking.

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_EVERY):
            self._look_again()

    def _look_again(self) -> None:
        try:
            self._seen = self._ask()
        except (PipelineError, SettingError) as trouble:
            self._seen = replace(self._seen, taken=time.time(), problem=str(trouble))
        self.touch()

    def _ask(self) -> Requests:
        store = self._store()
        counts, waits = store.counts(), store.waits(NEWEST)
        states = {
            "accepted": counts.accepted,
            "queued": counts.queued,
            "done": counts.done,
            "dead-lettered": counts.dead_lettered,
        }
        sent = [] if self._camera is None else [one.seconds for one in self._camera.sent[-NEWEST:]]
        mine = store.job(self._mine) if self._mine else None
        return Requests(
            taken=time.time(),
            states=states,
            posted=_times(sent),
            answered=_times(waits),
            parts=tuple((name, part.state) for name, part in list(self._queue.parts.items())),
            latest=self._newest(),
            mine=self._shots.shot(mine, self._large) if mine else None,
            scene=self._scene,
            objects=len(self._objects),
        )

    def _store(self) -> Store:
        if self._queue.ended:
            raise SettingError("This queue has ended: make a new one, and a new board for it.")
        return self._queue.store

    def _newest(self) -> tuple[Shot, ...]:
        now = time.monotonic()
        if self._latest_at and now - self._latest_at < SHOTS_EVERY:
            return self._latest
        store = self._queue.store
        jobs = store.jobs("done", THUMBS) + store.jobs("dead-lettered", THUMBS)
        newest = sorted(jobs, key=lambda job: job.finished_at or 0.0, reverse=True)[:THUMBS]
        self._latest = tuple(self._shots.shot(job) for job in newest)
        self._latest_at = now
        return self._latest


def _times(waits: list[float]) -> Times | None:
    return Times(percentile(waits, 50), percentile(waits, 95)) if waits else None


def _bytes(command: Command) -> bytes:
    """Return the bytes of an upload: as they are, or as a browser sends them."""
    data = command.get("bytes")
    if isinstance(data, bytes):
        return data
    try:
        return b64decode(str(command.get("base64", "")), validate=True)
    except Base64Error:
        raise SettingError("The file did not arrive whole: choose it again.") from None
