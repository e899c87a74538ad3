"""How the scale board is drawn: a sentence, figures, and three charts over the last minute."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from brokerlab.widgets.charts import cross, frame, nice
from brokerlab.widgets.figures import HEIGHT as TILES
from brokerlab.widgets.figures import Figure, figures
from brokerlab.widgets.headline import HEIGHT as SENTENCE
from brokerlab.widgets.headline import headline
from brokerlab.widgets.scene import Element, button, element, group, picture, text

WIDTH = 880
LEFT, ROOM = 52, 824
SECONDS = 60.0
LATELY = 5.0
"""Seconds over which rates are taken."""
LAG, PACE, CREW = 112, 84, 52
GAP = 42
BURST = 150
BUTTONS = 166
EVENLY = 0.1
"""A share of what comes, within which what comes counts as what is done."""
LITTLE = 2.0
"""Pictures a second that are too few to speak of."""
SHORT = 2.0
"""Seconds of waiting that are no backlog."""

BY_HAND, AUTOSCALER = "by hand", "autoscaler"


@dataclass(frozen=True)
class Sample:
    """How things stood at one moment.

    Attributes
    ----------
    at
        In seconds since 1970.
    lag
        Of the workers' group; None if the cluster did not tell.
    accepted, done
        Pictures, ever; given up counts as done.
    refused
        Pictures that were turned away because the backlog was full, ever.
    workers
        How many ran.
    """

    at: float
    lag: int | None
    accepted: int
    done: int
    refused: int
    workers: int


@dataclass(frozen=True)
class Pace:
    """How fast things went over a few seconds: pictures a second that were accepted, done and refused."""

    came: float
    done: float
    refused: float

    @property
    def growth(self) -> float:
        """By how many pictures a second the backlog grew."""
        return self.came - self.done


@dataclass(frozen=True)
class Scale:
    """The last minute, and what is set.

    Attributes
    ----------
    samples
        The oldest first.
    limit
        Pictures that may wait; None while no API server tells.
    scaling
        ``by hand`` or ``autoscaler``.
    problem
        What is wrong with the queue or the autoscaler, in a sentence; empty if nothing is.
    """

    taken: float
    samples: tuple[Sample, ...] = ()
    limit: int | None = None
    scaling: str = BY_HAND
    problem: str = ""

    @property
    def last(self) -> Sample | None:
        """The newest sample."""
        return self.samples[-1] if self.samples else None

    @property
    def lag(self) -> int | None:
        """The newest lag that is known; None if none of this minute is."""
        return next((one.lag for one in reversed(self.samples) if one.lag is not None), None)

    def pace(self) -> Pace | None:
        """Return how fast things went lately; None before there are two samples."""
        if len(self.samples) < 2:
            return None
        last = self.samples[-1]
        lately = [one for one in self.samples[:-1] if last.at - one.at <= LATELY]
        return between(lately[0] if lately else self.samples[-2], last)

    def wait(self) -> float | None:
        """Return for how many seconds the last picture in line will wait, by Little's law; None if nothing is done."""
        pace, lag = self.pace(), self.lag
        if pace is None or lag is None:
            return None
        if lag == 0:
            return 0.0
        return lag / pace.done if pace.done > 0 else None


def between(first: Sample, second: Sample) -> Pace:
    """Return how fast things went from one sample to a later one."""
    seconds = max(second.at - first.at, 0.001)
    # A server that is started again counts what it refused from nothing.
    refused = max(0, second.refused - first.refused)
    return Pace(
        (second.accepted - first.accepted) / seconds,
        (second.done - first.done) / seconds,
        refused / seconds,
    )


def verdict(seen: Scale) -> tuple[str, str]:
    """Return a kind of `headline.KINDS`, and one sentence."""
    last, pace, lag = seen.last, seen.pace(), seen.lag
    if seen.problem:
        return "warned", seen.problem
    if last is None or pace is None:
        return "empty", "Looking …"
    crew = _crew(last.workers)
    if pace.refused > 0 and seen.limit is not None:
        return (
            "warned",
            f"Full: {seen.limit:,} pictures may wait; {pace.refused:.0f} times a second the answer is 429.",
        )
    if lag is None:
        return "warned", "The cluster does not tell the lag now."
    if not last.workers and lag:
        return "warned", f"Nobody works, and {lag:,} pictures wait."
    if pace.growth > max(LITTLE, EVENLY * pace.came):
        return (
            "warned",
            f"Lag grows by {pace.growth:.0f} a second: {crew} {_do(last.workers)} {pace.done:.0f} of {pace.came:.0f}.",
        )
    wait = seen.wait()
    if lag and pace.growth < -LITTLE and wait is not None and wait > SHORT:
        return (
            "fine",
            f"Lag shrinks by {-pace.growth:.0f} a second: {crew} {_do(last.workers)} {pace.done:.0f}, and {pace.came:.0f} come.",
        )
    if pace.came < LITTLE and not lag:
        return "empty", "No pictures come: set how many, or send some at once."
    if wait is not None and wait > SHORT:
        return (
            "fine",
            f"Lag stays: {crew} {_do(last.workers)} {pace.done:.0f} a second, but {lag:,} pictures wait.",
        )
    return (
        "fine",
        f"{crew[0].upper()}{crew[1:]} {'keeps' if last.workers == 1 else 'keep'} up: {pace.done:.0f} a second.",
    )


def _crew(workers: int) -> str:
    return "1 worker" if workers == 1 else f"{workers} workers"


def _do(workers: int) -> str:
    return "does" if workers == 1 else "do"


def draw(seen: Scale, *, busy: bool = False) -> Element:
    """Draw the board; its size never changes. `busy` says that a burst is being sent."""
    kind, sentence = verdict(seen)
    tiles = SENTENCE + 16
    lag = tiles + TILES + GAP
    pace = lag + LAG + GAP
    crew = pace + PACE + GAP
    clock = _Clock(seen.samples)
    return picture(
        WIDTH,
        crew + CREW + 28,
        f"Scale board. {sentence}",
        headline(kind, sentence, y=2, width=WIDTH - BUTTONS - 14, room=WIDTH - BUTTONS - 70),
        button(
            f"{BURST} at once",
            {"kind": "burst"},
            "board.burst()",
            x=WIDTH - BUTTONS,
            y=4,
            width=BUTTONS - 4,
            height=32,
            group_name="scale",
            enabled=not busy,
        ),
        figures(_figures(seen), width=WIDTH - 4, y=tiles),
        group("lag", *clock.lag(seen.limit), y=lag),
        group("pace", *clock.pace(), y=pace),
        group("crew", *clock.crew(seen.scaling), y=crew),
    )


def _figures(seen: Scale) -> Sequence[Figure]:
    last, pace, wait = seen.last, seen.pace(), seen.wait()
    long = wait is not None and wait > SHORT
    return (
        Figure("lag", "–" if seen.lag is None else f"{seen.lag:,}"),
        Figure("come / s", "–" if pace is None else f"{pace.came:.0f}"),
        Figure("done / s", "–" if pace is None else f"{pace.done:.0f}"),
        Figure(
            "lag ÷ done", "–" if wait is None else f"{wait:.1f} s", "waiting" if long else "plain"
        ),
        Figure("workers", "–" if last is None else str(last.workers)),
        Figure(
            "429 / s",
            "–" if pace is None else f"{pace.refused:.0f}",
            "bad" if pace is not None and pace.refused > 0 else "plain",
        ),
    )


class _Clock:
    """Charts over the minute that ends with the last sample."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples
        self._now = samples[-1].at if samples else 0.0
        self._paces = [(two.at, between(one, two)) for one, two in pairwise(samples)]

    def lag(self, limit: int | None) -> Iterator[Element]:
        known = [(one.at, one.lag) for one in self._samples if one.lag is not None]
        highest = max([lag for _, lag in known], default=0)
        # A limit that is far away would make everything below it flat.
        near = limit is not None and limit <= 3 * max(highest, 20)
        top = nice(max(20, highest * 1.1, limit * 1.15 if near and limit else 0))
        yield from frame(LAG, top, "lag: pictures that wait for a worker", left=LEFT, room=ROOM)
        yield element("path", "heap", key="heap", d=self._area(known, LAG, top), data_marks="lag")
        if limit is not None and near:
            at = LAG * (1 - limit / top)
            yield element(
                "path", "link-broken", key="limit", d=f"M{LEFT} {at:.1f}h{ROOM}", data_limit=limit
            )
        beyond = "" if near else " (far above)"
        words = "" if limit is None else f"backlog limit {limit:,}{beyond}"
        yield text(LEFT + ROOM, -9, words, "text soft small end", key="limit-words")
        refused = [self._x(at) for at, pace in self._paces if pace.refused > 0]
        crosses = "".join(cross(x, 8) for x in refused) or "M0 0"
        yield element("path", "link-broken", key="refused", d=crosses, data_marks="refused")
        yield text(
            LEFT + 400, -9, "× answered with 429" if refused else "", "alarm-ink small", key="429"
        )

    def pace(self) -> Iterator[Element]:
        highest = max([max(pace.came, pace.done) for _, pace in self._paces], default=0)
        top = nice(max(10, highest * 1.05))
        yield from frame(PACE, top, "a second", left=LEFT, room=ROOM)
        done = [(at, pace.done) for at, pace in self._paces]
        came = [(at, pace.came) for at, pace in self._paces]
        yield element("path", "link", key="done", d=self._line(done, PACE, top), data_marks="done")
        yield element(
            "path", "what-if", key="came", d=self._line(came, PACE, top), data_marks="came"
        )
        yield element("path", "what-if", d=f"M{LEFT + 300} -14h34", key="sign-came")
        yield text(LEFT + 342, -9, "pictures come", "text small", key="words-came")
        yield element("path", "link", d=f"M{LEFT + 500} -14h34", key="sign-done")
        yield text(LEFT + 542, -9, "pictures are done", "text small", key="words-done")

    def crew(self, scaling: str) -> Iterator[Element]:
        most = max([one.workers for one in self._samples], default=0)
        top = max(4, most + most % 2)
        yield from frame(CREW, top, f"workers, {_said(scaling)}", left=LEFT, room=ROOM)
        steps: list[str] = []
        for one in self._samples:
            high = CREW * (1 - one.workers / top)
            steps.append(
                f"{'H' if steps else 'M'}{self._x(one.at):.1f}{'' if steps else f' {CREW}'}"
            )
            steps.append(f"V{high:.1f}")
        path = "".join([*steps, f"V{CREW}Z"]) if steps else "M0 0"
        yield element("path", "zookeeper", key="steps", d=path, data_marks="workers")
        for ago in range(0, int(SECONDS) + 1, 10):
            x = LEFT + ROOM * (1 - ago / SECONDS)
            words = f"−{ago} s" if ago else "now"
            yield text(
                x, CREW + 20, words, f"text soft small {'middle' if ago else 'end'}", key=f"t{ago}"
            )

    def _x(self, at: float) -> float:
        return LEFT + ROOM * (1 - min(max(self._now - at, 0), SECONDS) / SECONDS)

    def _points(self, values: Sequence[tuple[float, float]], height: float, top: float) -> str:
        return "L".join(
            f"{self._x(at):.1f} {height * (1 - min(value / top, 1)):.1f}" for at, value in values
        )

    def _line(self, values: Sequence[tuple[float, float]], height: float, top: float) -> str:
        return f"M{self._points(values, height, top)}" if values else "M0 0"

    def _area(self, values: Sequence[tuple[float, float]], height: float, top: float) -> str:
        if not values:
            return "M0 0"
        first, last = self._x(values[0][0]), self._x(values[-1][0])
        return f"M{first:.1f} {height}L{self._points(values, height, top)}L{last:.1f} {height}Z"


def _said(scaling: str) -> str:
    return "by the autoscaler" if scaling == AUTOSCALER else scaling
