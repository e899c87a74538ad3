"""What every view stands on: one state, one writer, one worker, errors shown in place.

A subclass sets its own fields, then calls ``super().__init__()``, and says three things: `look` (what is
there now), `draw` (its picture) and `run` (what a control does).
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import anywidget
import traitlets

from brokerlab.errors import BrokerLabError, NodeFailedError, SettingError
from brokerlab.widgets.inputs import Input
from brokerlab.widgets.scene import Element, to_svg
from brokerlab.widgets.style import style_sheet

SHORTEST_BETWEEN_UPDATES = 0.15
"""Seconds: at most about 7 updates a second, however fast things change."""

REST = 0.02
"""Seconds between two updates at least, however long one takes: a busy cell makes each step of it wait."""

PULSE = 1.0
"""Seconds between two signs of life when nothing changes."""

STALE_AFTER = 5.0
"""Seconds without a new look after which a view says that it no longer knows."""

END_LIMIT = 15.0
"""Seconds that `LiveView.close` waits for what is under way."""


class Seen(Protocol):
    """What a view looks at: immutable, and it knows when it was taken."""

    @property
    def taken(self) -> float:
        """Unix time in seconds."""


S = TypeVar("S", bound=Seen)
Command = dict[str, Any]
"""What a control sends: ``kind``, and what it is about."""


def module(*names: str) -> str:
    """Join ES modules of this package, after those of the base, into one, which imports nothing."""
    return "\n".join(_resource(name) for name in ("base.js", "inputs.js", *names))


def sheet(*names: str) -> str:
    """Join style sheets of this package after the ones of all marks and of the base."""
    return "\n".join([style_sheet(), *(_resource(name) for name in ("base.css", *names))])


def _resource(name: str) -> str:
    return files("brokerlab.widgets").joinpath(name).read_text(encoding="utf-8")


class LiveView(anywidget.AnyWidget, Generic[S]):
    """A view that keeps itself up to date.

    A writer thread, and nobody else, replaces `state` as a whole. Controls only queue a command; a worker
    thread runs commands one by one and shows in the view how each ended.

    Attributes
    ----------
    state : dict
        All that the browser shows: ``title``, ``inputs``, ``view``, ``notice``, ``accepted``, ``ended``.
    pulse : dict
        ``n``, and ``age``: seconds since the last look, when the pulse was sent.
    """

    title: ClassVar[str] = ""
    variable: ClassVar[str] = "view"
    """What the lessons call such a view, for the line of Python that a control shows."""

    _esm = module("picture.js")
    _css = sheet()

    state = traitlets.Dict().tag(sync=True)
    pulse = traitlets.Dict().tag(sync=True)

    _shown: ClassVar[dict[str, LiveView[Any]]] = {}
    _begun = False

    def __init__(self) -> None:
        super().__init__()
        self._dirty = threading.Event()
        self._ended = threading.Event()
        self._news = threading.Condition()
        self._commands: queue.Queue[Command | None] = queue.Queue()
        self._pending: tuple[Command, ...] = ()
        self._running: Command | None = None
        self._accepted = 0
        self._notice: dict[str, str] = {"kind": "none", "text": ""}
        self._ending = ""
        self._begun = True
        self._write_once()
        self.on_msg(self._hear)
        self._writer = threading.Thread(target=self._write, name=f"{self!r} writer", daemon=True)
        self._worker = threading.Thread(target=self._work, name=f"{self!r} worker", daemon=True)
        self._take_over()
        self._writer.start()
        self._worker.start()

    # What a subclass says.

    def look(self) -> S:
        """Return what is there now; called from several threads, so it must be quick and must not change anything."""
        raise NotImplementedError

    def draw(self, seen: S) -> Element:
        """Return the picture of `seen`: equal for equal `seen` and `pending`."""
        raise NotImplementedError

    def view(self, seen: S) -> dict[str, Any]:
        """Return what the browser gets to show; a view that is more than a picture says it here."""
        return {"picture": self.draw(seen)}

    def run(self, command: Command) -> str:
        """Do what a control asks and return how it went in one sentence; may take its time and may raise."""
        raise BrokerLabError(f"{type(self).__name__} has no control {command['kind']!r}.")

    def describe(self, command: Command) -> str:
        """Return what is shown while `command` runs."""
        return f"{command['kind']} …"

    def release(self) -> None:
        """Let go of what the view holds; the worker calls it last."""

    def inputs(self) -> Sequence[Input]:
        """Return the sliders and lists, with the values that hold now."""
        return ()

    def change(self, name: str, value: Any) -> str:
        """Set the input `name` to `value`, which was checked; return what to say of it, or nothing."""
        raise NotImplementedError

    @property
    def subject(self) -> str:
        """What tells two views of one class apart; of each subject only the newest view lives."""
        return ""

    # What a subclass and a lesson call.

    @property
    def pending(self) -> tuple[Command, ...]:
        """Commands that wait or run."""
        return self._pending

    @property
    def problem(self) -> str:
        """What went wrong with the last command, in a sentence; empty if nothing did."""
        notice = self._notice
        return notice["text"] if notice["kind"] == "error" else ""

    def touch(self, *_: Any) -> None:
        """Say that there is something new to look at; fits as a subscriber's callback."""
        self._dirty.set()
        with self._news:
            self._news.notify_all()

    def press(self, kind: str, **details: Any) -> None:
        """Do what pressing a control in the browser does: queue its command.

        Parameters
        ----------
        kind : str
            The command, for example ``"kill"``.
        **details : Any
            What it is about, for example ``node="broker-2"``.
        """
        self._accept({"kind": kind, **details})

    def set(self, **values: Any) -> None:
        """Set inputs by name, as their sliders and lists do.

        Raises
        ------
        SettingError
            There is no such input, or it cannot have this value. Nothing is set then.
        """
        checked = {name: self._input(name).check(value) for name, value in values.items()}
        for name, value in checked.items():
            self.press("set", name=name, value=value)

    def _input(self, name: Any) -> Input:
        inputs = self.inputs()
        for found in inputs:
            if found.name == name:
                return found
        known = ", ".join(one.name for one in inputs) or "none"
        raise SettingError(f"{type(self).__name__} has no input {name!r}: there are {known}.")

    def wait_until(
        self, predicate: Callable[[S], bool], timeout: float = 20.0, what: str = "this"
    ) -> S:
        """Wait until `predicate` holds for what the view looks at; return the look that it holds for.

        Parameters
        ----------
        predicate : callable
            Takes a look (for a cluster map a `Snapshot`), returns whether it is there.
        timeout : float
            Seconds to wait at most.
        what : str
            What is waited for, to be read in a sentence: ``"a new leader for photos 0"``.

        Raises
        ------
        NodeFailedError
            It did not come in time, or the view was closed meanwhile.
        """
        limit = time.monotonic() + timeout
        while not predicate(seen := self.look()):
            left = limit - time.monotonic()
            if left <= 0:
                raise NodeFailedError(
                    f"Waited {timeout:g} s for {what}, and it did not come.{self._hint()}"
                )
            if self._ended.is_set():
                raise NodeFailedError(
                    f"Waited for {what}, but {self!r} was closed: make a new one and wait again."
                )
            with self._news:
                self._news.wait(min(left, 0.25))
        return seen

    def _hint(self) -> str:
        return f" {self.problem or 'Look at the view for what there is instead.'}"

    def still(self) -> str:
        """Return the picture of now as the text of an SVG."""
        return to_svg(self.draw(self.look()))

    def close(self) -> None:
        """End the view: its threads stop, its last picture stays on the page and says that it is over."""
        if not self._begun:
            return
        self._end("closed")
        limit = time.monotonic() + END_LIMIT
        for thread in (self._writer, self._worker):
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join(max(0.0, limit - time.monotonic()))

    def __repr__(self) -> str:
        """Return a short text without addresses or times."""
        return f"<{' '.join(filter(None, [type(self).__name__, self.subject]))}>"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle
        return {**data, "image/svg+xml": self.still()}, metadata

    def send_state(self, key: Any = None) -> None:
        """Send what is set, as JSON: there are no bytes in a picture that would have to be looked for."""
        if state := self.get_state(key=key):
            self._send({"method": "update", "state": state, "buffer_paths": []})

    # The threads.

    def _take_over(self) -> None:
        earlier = LiveView._shown.get(repr(self))
        LiveView._shown[repr(self)] = self
        if earlier is not None:
            earlier._end("a newer one took over")

    def _end(self, why: str) -> None:
        with self._news:
            if self._ended.is_set():
                return
            self._ending = why
            self._ended.set()
            self._commands.put(None)
        if LiveView._shown.get(repr(self)) is self:
            del LiveView._shown[repr(self)]
        self.touch()

    def _write(self) -> None:
        while not self._ended.is_set():
            self._dirty.wait(PULSE)
            began = time.monotonic()
            self._dirty.clear()
            self._write_once()
            self._ended.wait(max(REST, SHORTEST_BETWEEN_UPDATES - (time.monotonic() - began)))
        self._write_once()

    def _write_once(self) -> None:
        notice, accepted = self._notice, self._accepted
        try:
            seen = self.look()
            view, age = self.view(seen), max(0.0, time.time() - seen.taken)
            inputs = self._inputs_now()
        except Exception as error:
            notice = {"kind": "error", "text": _sentence(error)}
            view, age = self.state.get("view", {}), self.pulse.get("age", 0.0) + PULSE
            inputs = self.state.get("inputs", [])
        # In one message: each wakes the kernel's sending thread, which waits its turn while a cell computes.
        with self.hold_sync():
            self.state = {
                "title": self.title,
                "inputs": inputs,
                "view": view,
                "notice": notice,
                "accepted": accepted,
                "ended": self._ending,
                "stale_after": STALE_AFTER,
            }
            self.pulse = {"n": self.pulse.get("n", 0) + 1, "age": round(age, 2)}

    def _inputs_now(self) -> list[dict[str, Any]]:
        """Return the inputs, with the values that have been asked for where they do not hold yet."""
        return [
            one.plain()
            | {"code": f"{self.variable}.set({one.name}={{}})"}
            | {"value": self._asked(one)}
            for one in self.inputs()
        ]

    def _asked(self, one: Input) -> Any:
        """Return the last value that was asked for and can be set, or the one that holds."""
        for command in reversed(self._pending):
            if command["kind"] == "set" and command.get("name") == one.name:
                with contextlib.suppress(SettingError):
                    return one.check(command.get("value"))
        return one.value

    def _hear(self, _: Any, content: Any, __: Any) -> None:
        if isinstance(content, dict) and isinstance(content.get("kind"), str):
            self._accept(content)

    def _accept(self, command: Command) -> None:
        with self._news:
            if not self._ended.is_set():
                earlier = self._waiting_like(command)
                if earlier is None:
                    self._pending += (command,)
                    self._commands.put(command)
                else:
                    earlier["value"] = command.get("value")
            self._accepted += 1
        self.touch()

    def _waiting_like(self, command: Command) -> Command | None:
        """Return a command that waits and sets the same input: of these only the last counts.

        Not across another command: what is asked for is done in its order.
        """
        if command["kind"] != "set":
            return None
        for earlier in reversed(self._pending):
            if earlier is self._running or earlier["kind"] != "set":
                return None
            if earlier.get("name") == command.get("name"):
                return earlier
        return None

    def _work(self) -> None:
        try:
            while (command := self._commands.get()) is not None and not self._ended.is_set():
                with self._news:
                    self._running = command
                try:
                    self._say("busy", self.describe(command) if command["kind"] != "set" else "")
                    said = self._set(command) if command["kind"] == "set" else self.run(command)
                except Exception as error:
                    self._done(command, "error", _sentence(error))
                else:
                    self._done(command, "done", said)
        finally:
            self.release()

    def _set(self, command: Command) -> str:
        found = self._input(command.get("name"))
        return self.change(found.name, found.check(command.get("value")))

    def _done(self, command: Command, kind: str, said: str) -> None:
        with self._news:
            self._running = None
            self._pending = tuple(c for c in self._pending if c is not command)
        self._say(kind, said)

    def _say(self, kind: str, words: str) -> None:
        self._notice = {"kind": kind, "text": words}
        self.touch()


def _sentence(error: Exception) -> str:
    return str(error) if isinstance(error, BrokerLabError) else f"{type(error).__name__}: {error}"
