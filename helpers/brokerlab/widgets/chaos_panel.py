"""A panel from which the parts of an ML queue are killed one by one, with the audit of all pictures beside it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException

from brokerlab.errors import BrokerLabError, NodeFailedError, SettingError
from brokerlab.observe import Observer
from brokerlab.pipeline.audit import Audit
from brokerlab.pipeline.camera import Camera
from brokerlab.pipeline.store import Counts
from brokerlab.storm import Storm, picture
from brokerlab.widgets.base import Command, LiveView
from brokerlab.widgets.buttons import Verb, at_rest
from brokerlab.widgets.chaos_picture import NO_COUNTS, Chaos, PartView, Sending, draw
from brokerlab.widgets.inputs import Input, Slider
from brokerlab.widgets.scene import Element

if TYPE_CHECKING:
    from brokerlab.mlqueue import MLQueue

COUNT_EVERY = 0.5
AUDIT_EVERY = 5.0
"""Seconds between two audits, each of which reads topics: seldom enough to cost next to nothing."""
MOST_SHARE = 0.02
"""Of a core, that audits may take: where they cost more, they come less often."""
ZOOKEEPER_AWAY = 5.0
KEPT_LINES = 100
ORDER = ("api", "relay", "worker", "collector")
ENDED = "The queue has ended: make a new one, and a new panel."


class ChaosPanel(LiveView[Chaos]):
    """Shows where every accepted picture is, while the learner, or a storm, kills one part after the other.

    Parameters
    ----------
    queue : MLQueue
    observer : Observer, optional
        Who looks at the cluster; the panel makes (and closes) one of its own, if not given.
    """

    title = "Chaos panel"
    variable = "panel"

    def __init__(self, queue: MLQueue, observer: Observer | None = None) -> None:
        self._queue = queue
        self._settings: dict[str, float] = {"seed": 14, "pictures": 1000, "rate": 25}
        self._counts: Counts = NO_COUNTS
        self._audit: Audit | None = None
        self._audited = 0.0
        self._trouble: str | None = None
        self._said: list[tuple[float, str]] = []
        self._camera: Camera | None = None
        self._storm: _Running | None = None
        self._cameras = 0
        self._wanted = threading.Event()
        self._looks = threading.Condition()
        self._looked = 0
        self._observer = observer or Observer(queue.lab)
        self._own_observer = observer is None
        super().__init__()
        self._unsubscribe = self._observer.subscribe(self.touch)
        self._threads = [
            threading.Thread(target=work, name=f"{self!r} {name}", daemon=True)
            for name, work in (("counter", self._count), ("auditor", self._look_for_all))
        ]
        for thread in self._threads:
            thread.start()

    # What it shows.

    @property
    def subject(self) -> str:
        return self._queue.names.prefix

    def look(self) -> Chaos:
        seen = self._observer.latest
        problem = ENDED if self._queue.ended else self._trouble
        if problem is None and not seen.reachable:
            problem = seen.problem or "No broker answers."
        storm = self._storm
        log = [*self._said, *(storm.log if storm else ())]
        return Chaos(
            time.time() if self._queue.ended else seen.taken,
            self._queue.names.prefix,
            self._parts(),
            seen.nodes,
            self._counts,
            self._audit,
            int(time.monotonic() - self._audited) if self._audit else 0,
            tuple(sorted(log)[-KEPT_LINES:]),
            _sending(self._camera),
            storm.stage if storm and storm.going else None,
            problem,
        )

    def draw(self, seen: Chaos) -> Element:
        free = seen.storm is None and not self._queue.ended
        busy = frozenset(str(one.get("part")) for one in self.pending)
        at_work = {one["kind"] for one in self.pending}
        sends = seen.sending is not None and not seen.sending.over
        verbs = (
            Verb("storm", "storm", "panel.storm()", 120, free and not sends),
            Verb("send 200 pictures", "send", "panel.send(200)", 190, free and not sends),
            Verb("audit now", "audit", "panel.audit()", 130, not self._queue.ended),
            Verb("start what is down", "repair", "panel.repair()", 190, free),
        )
        return draw(seen, at_rest(verbs, at_work), busy, free)

    def inputs(self) -> Sequence[Input]:
        return (
            Slider("seed", "the storm's seed", 1, 99, 1, self._settings["seed"]),
            Slider("pictures", "pictures", 100, 3000, 100, self._settings["pictures"]),
            Slider("rate", "they come", 5, 60, 5, self._settings["rate"], "a second"),
        )

    def change(self, name: str, value: Any) -> str:
        self._settings[name] = value
        return ""

    def _parts(self) -> tuple[PartView, ...]:
        found = sorted(
            self._queue.parts.items(),
            key=lambda item: (ORDER.index(item[0].partition("-")[0]), len(item[0]), item[0]),
        )
        return tuple(PartView(name, part.state) for name, part in found)

    # What can be done.

    def storm(self, seed: int | None = None, pictures: int | None = None) -> None:
        """Let a storm come: every fault once while so many pictures are sent; returns at once."""
        asked = {"seed": seed, "pictures": pictures}
        self.set(**{name: value for name, value in asked.items() if value is not None})
        self.press("storm")

    def send(self, count: int = 200) -> None:
        """Send pictures; returns at once."""
        self.press("send", count=count)

    def audit(self) -> None:
        """Look for every picture now; returns at once."""
        self.press("audit")

    def repair(self) -> None:
        """Start or resume every part and node that is down."""
        self.press("repair")

    def results(self, timeout: float = 25.0) -> Audit:
        """Wait until nothing is sent any more and every accepted picture has its outcome; return the audit.

        Raises
        ------
        NodeFailedError
            It did not come in time; a picture that is missing never comes.
        """
        seen = self.wait_until(
            lambda now: now.settled and not self.pending, timeout, "every picture's outcome"
        )
        assert seen.audit is not None
        return seen.audit

    def run(self, command: Command) -> str:
        kind, part = command["kind"], command.get("part")
        if self._queue.ended:
            raise BrokerLabError(ENDED)
        if kind == "audit":
            return self._audit_now()
        if self._storm is not None and self._storm.going:
            raise BrokerLabError("A storm goes on: wait until it is over.")
        if kind == "storm":
            return self._let_storm()
        if kind == "send":
            return self._let_camera(command.get("count", 200))
        if kind == "repair":
            return self._note("; ".join(self._repaired()) or "everything runs")
        if kind in ("kill", "pause", "resume", "start") and isinstance(part, str):
            return self._note(self._do(kind, part))
        raise BrokerLabError(
            f"The panel has no control {kind!r}: use storm, send, audit, repair, kill, pause, resume or start."
        )

    def describe(self, command: Command) -> str:
        said = {
            "kill": "killing",
            "pause": "freezing",
            "resume": "letting go on",
            "start": "starting",
        }.get(command["kind"])
        if said is None:
            return {
                "audit": "looking for every picture …",
                "repair": "starting what is down …",
            }.get(command["kind"], "")
        return f"{said} {command.get('part')} …"

    def _do(self, kind: str, name: str) -> str:
        if (node := self._queue.lab.nodes.get(name)) is not None:
            return str(getattr(node, kind)())
        getattr(self._queue, kind)(name)
        return {
            "kill": f"{name} was killed (SIGKILL)",
            "pause": f"{name} is frozen",
            "resume": f"{name} goes on",
            "start": f"{name} runs again",
        }[kind]

    def _repaired(self) -> list[str]:
        done = [str(report) for report in self._queue.lab.repair()]
        for name, part in list(self._queue.parts.items()):
            verb = {"running": "", "paused": "resume"}.get(part.state, "start")
            if verb:
                done.append(self._do(verb, name))
        return done

    def _note(self, words: str) -> str:
        self._said.append((time.time(), words))
        return words

    # Pictures, and the storm.

    def _let_camera(self, count: Any) -> str:
        if isinstance(count, bool) or not isinstance(count, int):
            raise SettingError(f"The panel sends a number of pictures, and {count!r} is none.")
        self._aim(count)
        return self._note(f"sending {count:,} pictures")

    def _aim(self, count: int | None) -> Camera:
        """Let a new camera send `count` pictures, or as many as a storm lasts, under keys of its own."""
        if self._camera is not None and not self._camera.done:
            raise BrokerLabError("Pictures are being sent: wait until they are through.")
        self._cameras += 1
        key = f"panel-{time.time_ns()}-{self._cameras}"
        if self._camera is not None:
            self._camera.stop()
        queue = self._queue
        self._camera = Camera(lambda: queue.url, picture, count, self._settings["rate"], key=key)
        return self._camera

    def _let_storm(self) -> str:
        seed, count = int(self._settings["seed"]), int(self._settings["pictures"])
        if down := self.look().down:
            raise BrokerLabError(f"{', '.join(down)} must run before a storm: start what is down.")
        if self._storm is not None:
            self._said += self._storm.log
        storm = Storm(self._queue, seed, ZOOKEEPER_AWAY)
        self._storm = _Running(storm, self._aim(None), count, self.touch)
        return f"a storm of seed {seed} over {count:,} pictures has begun"

    # Counting, and the audit, each in a thread of its own.

    def _count(self) -> None:
        while not self._ended.wait(COUNT_EVERY):
            if self._queue.ended:
                self.touch()
                continue
            before = self._counts, self._trouble
            try:
                self._counts = self._queue.store.counts()
                self._trouble = None
            except BrokerLabError as trouble:
                if not self._queue.ended:
                    self._trouble = str(trouble)
            if (self._counts, self._trouble) != before:
                self.touch()

    def _look_for_all(self) -> None:
        """Audit, as long as there is something new to be found; now, where that is asked for."""
        pause = 0.0
        while not self._ended.is_set():
            asked = self._wanted.wait(pause)
            self._wanted.clear()
            if self._ended.is_set() or self._queue.ended:
                pause = AUDIT_EVERY
                continue
            pause = COUNT_EVERY
            if asked or self._news_since():
                begun = time.thread_time()
                self._take_audit()
                pause = max(AUDIT_EVERY, (time.thread_time() - begun) / MOST_SHARE)

    def _news_since(self) -> bool:
        """Tell whether the last audit may not be true any more."""
        counts, found = self._counts, self._audit
        if found is None:
            return counts.total > 0
        ended = (found.accepted, found.done, found.dead_lettered)
        now = (counts.total, counts.done, counts.dead_lettered)
        return ended != now or (counts.backlog > 0 and found.in_flight > 0)

    def _take_audit(self) -> None:
        begun = time.monotonic()
        # While brokers are away nothing is found out, and the age of the last audit says so.
        with suppress(BrokerLabError, KafkaException):
            self._audit, self._audited = self._queue.audit(), begun
        with self._looks:
            self._looked += 1
            self._looks.notify_all()
        self.touch()

    def _audit_now(self) -> str:
        before, asked = self._looked, time.monotonic()
        self._wanted.set()
        with self._looks:
            # One may have been under way, so that its beginning counts.
            if (
                not self._looks.wait_for(
                    lambda: self._audited >= asked or self._looked > before + 1, 20
                )
                or self._audited < asked
            ):
                raise NodeFailedError(
                    "The topics cannot be read now, so that nobody knows: start what is down, and ask again."
                )
        return str(self._audit)

    def release(self) -> None:
        self._unsubscribe()
        self._wanted.set()
        if self._storm is not None:
            self._storm.end()
        if self._camera is not None:
            self._camera.stop()
        for thread in self._threads:
            thread.join(10)
        if self._own_observer:
            self._observer.close()


class _Running:
    """A storm in a thread of its own."""

    def __init__(self, storm: Storm, camera: Camera, count: int, touch: Callable[[], None]) -> None:
        self._storm = storm
        self._camera = camera
        self._count = count
        self._touch = touch
        self._began = time.time()
        self._faults = len(storm.faults())
        self._last: list[tuple[float, str]] = [
            (self._began, f"storm of seed {storm.seed} over {count:,} pictures")
        ]
        self._thread = threading.Thread(target=self._run, name="storm", daemon=True)
        self._thread.start()

    @property
    def going(self) -> bool:
        """Whether it is not over."""
        return self._thread.is_alive()

    @property
    def stage(self) -> tuple[int, int]:
        """How many faults have come, of how many."""
        return len(self._storm.log), self._faults

    @property
    def log(self) -> list[tuple[float, str]]:
        """What was done, and when, in seconds since 1970."""
        return [*self._last, *((self._began + after, name) for after, name in self._storm.log)]

    def end(self) -> None:
        """Let no more faults come, and wait until what is under way is put right."""
        self._storm.end()
        self._thread.join(20)

    def _run(self) -> None:
        try:
            self._storm.run(self._camera, self._count)
            said = "the storm is over"
        except BrokerLabError as trouble:
            said = f"the storm broke off: {trouble}"
        self._last.append((time.time(), said))
        self._touch()


def _sending(camera: Camera | None) -> Sending | None:
    if camera is None:
        return None
    over, sent = camera.done, camera.sent
    again = sum(one.tries > 1 for one in sent)
    return Sending(camera.count, len(sent), again, over)
