"""The picture of a load bench: a sentence, two bars to compare, figures, and two charts over one clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from brokerlab.loadledger import KAFKA, MEMORY, WAIT, Call, Load, Run
from brokerlab.widgets.charts import NICE, cross, frame, nice
from brokerlab.widgets.figures import HEIGHT as TILES
from brokerlab.widgets.figures import Figure, figures
from brokerlab.widgets.scene import (
    Element,
    box,
    button,
    element,
    group,
    icon,
    picture,
    shortened,
    text,
)

WIDTH = 880
NAMES, BAR, BAR_HEIGHT, ROW = 158, 190, 18, 30
CONTROLS = 668
LEFT, ROOM = 44, 832
TALL, LOW, GAP = 128, 96, 44
AT_LEAST, EVENLY = 0.02, 0.05

IDLE = "idle"
"""The phase of a bench that has not run yet."""


def verdict(run: Run, cores: int) -> tuple[str, str, str]:
    """Return what is to be seen: a mark of `scene.ICONS`, one sentence, and one more."""
    if run.problem:
        return "warning", run.problem, ""
    if run.phase == IDLE:
        callers = f"Press Run: real callers come for {run.load.seconds:g} seconds."
        return "ring", callers, _of_cores(run.load, cores)
    if run.phase == "starting":
        return "ring", "The desk, the workers and the callers start …", _of_cores(run.load, cores)
    mark, sentence = _balance(run)
    sharing = _of_cores(run.load, cores)
    if run.phase != "over":
        return mark, sentence, _after_a_kill(run) or sharing or _measured(run)
    mark, ending = _ending(run)
    measured = "" if run.kills else _measured(run)
    return mark, ending, sharing or f"{sentence} {measured}".strip()


def _balance(run: Run) -> tuple[str, str]:
    rate, capacity = run.arrival_rate, run.capacity
    if rate is None or capacity is None:
        return "ring", "No photo is done yet."
    over = rate - capacity
    if over > EVENLY * rate:
        return (
            "warning",
            f"Photos come faster than they can be done: the backlog grows by {over:.1f} a second.",
        )
    if over > -EVENLY * rate:
        return "warning", "Photos come just as fast as they can be done: no room for a bad moment."
    return "tick", f"The workers keep up: they are busy {rate / capacity:.0%} of the time."


def _after_a_kill(run: Run) -> str:
    if not run.kills or not run.waiting:
        return ""
    if run.load.front == KAFKA:
        return (
            "A worker was killed: its photos wait in Kafka until its group notices, in about 3 s."
        )
    return "The service was killed: what it had in its memory is gone."


def _measured(run: Run) -> str:
    if run.growth is None or run.service_time is None:
        return ""
    tenths = round(run.growth * 10)
    return f"Measured: {f'{tenths / 10:+.1f}' if tenths else 'no growth'}{' a second' if tenths else ''}."


def _of_cores(load: Load, cores: int) -> str:
    if load.workers <= cores:
        return ""
    share = f"{load.workers} workers share {cores} core{'s' if cores > 1 else ''}: "
    if load.fetch > load.work:
        return share + "more of them help while they wait for the camera, not while they recognise."
    return share + "each photo takes longer, and more workers do not help."


def _ending(run: Run) -> tuple[str, str]:
    without = run.count("timed out") + run.count("failed")
    if run.lost:
        where = (
            "they were in the memory of a service that was killed"
            if run.load.front == MEMORY
            else "they were committed before they were done"
        )
        return "warning", f"Over: {run.lost} accepted photos are lost; {where}."
    left = f", {run.waiting} still wait" if run.waiting else ""
    if without:
        vain = f"; {run.in_vain} photos were done for callers who had left" if run.in_vain else ""
        return "warning", f"Over: {without} of {len(run.calls)} callers got no answer{vain}{left}."
    again = f", {run.twice} of them twice" if run.twice else ""
    return "tick", f"Over: {run.accepted} accepted, {run.done} done{again}, none lost{left}."


def draw(run: Run, cores: int) -> Element:
    """Draw a run; `cores` is how many this machine has for it."""
    mark, first, second = verdict(run, cores)
    ink = {"warning": "alarm-ink", "tick": "zookeeper-ink"}.get(mark, "soft")
    charts = _Clock(run)
    top = 58 + 2 * ROW + 20
    below = top + TILES + 38
    return picture(
        WIDTH,
        below + TALL + GAP + LOW + 26,
        f"Load bench. {first} {second}",
        group(
            "verdict",
            icon(mark, 2, 5, ink),
            text(28, 20, shortened(first, WIDTH - 30, 17), "text strong", data_verdict=mark),
            text(28, 43, shortened(second, WIDTH - 30, 15), "text soft small"),
        ),
        group("balance", *_bars(run), y=58),
        group("controls", *_controls(run), x=CONTROLS, y=60),
        figures(_figures(run), width=WIDTH - 4, y=top),
        group("calls", *charts.calls(), y=below),
        group("backlog", *charts.backlog(), y=below + TALL + GAP),
    )


def _bars(run: Run) -> Iterator[Element]:
    load = run.load
    rate = run.arrival_rate if run.arrival_rate is not None else load.rate
    can = run.capacity
    workers = f"{load.workers} worker{'s' if load.workers > 1 else ''}"
    rows = [
        ("photos come", rate, f"{rate:.1f} a second", "frozen"),
        (
            "photos can be done",
            can,
            "not measured yet"
            if can is None
            else f"{can:.1f} a second = {workers} ÷ {run.service_time:.3f} s",
            "leader",
        ),
    ]
    longest = max(rate, can or 0)
    for number, (name, value, words, classes) in enumerate(rows):
        long = 0 if value is None else max(2, BAR * value / longest)
        yield group(
            name,
            text(2, 17, name, "text small"),
            box(NAMES, 3, long, BAR_HEIGHT, classes, 3),
            text(NAMES + BAR + 12, 17, words, "text small"),
            y=number * ROW,
            data_bar=name,
        )


def _controls(run: Run) -> Iterator[Element]:
    going = run.phase in ("starting", "arriving", "draining")
    killable = run.phase in ("arriving", "draining")
    victim = "Kill a worker" if run.load.front == KAFKA else "Kill the service"
    run_words = f"Run {run.load.seconds:g} s"
    yield button(
        run_words, {"kind": "start"}, "bench.start()", x=0, y=0, width=100, enabled=not going
    )
    yield button("Stop", {"kind": "stop"}, "bench.stop()", x=110, y=0, width=100, enabled=going)
    yield button(victim, {"kind": "kill"}, "bench.kill()", x=0, y=36, width=210, enabled=killable)


def _figures(run: Run) -> Sequence[Figure]:
    without = run.count("timed out") + run.count("failed")
    settled = run.phase == "over" and not run.problem and run.accepted > 0
    lost = "bad" if run.lost else "good" if settled and not run.waiting else "plain"
    return (
        Figure("called", str(len(run.calls))),
        Figure("answered" if run.load.front == WAIT else "accepted", str(run.accepted)),
        Figure("no answer", str(without), "bad" if without else "plain"),
        Figure("done", str(run.done)),
        Figure("waiting", str(run.waiting), "waiting" if run.waiting else "plain"),
        Figure("lost", str(run.lost), lost),
    )


class _Clock:
    """Both charts over the time of one run."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._until = nice(max(run.load.seconds, run.at, 10))

    def calls(self) -> Iterator[Element]:
        run = self._run
        waits = [call.seconds for call in run.calls if call.seconds is not None]
        results = [call.done_after for call in run.calls if call.done_after is not None]
        top = nice(max([run.load.patience * 1.2, *waits, *results]))
        yield from self._frame(TALL, top, "seconds after the call")
        patience = TALL * (1 - run.load.patience / top)
        yield element("path", "what-if dim", d=f"M{LEFT} {patience:.1f}h{ROOM}")
        words = f"callers give up: {run.load.patience:.1f} s"
        yield text(LEFT + ROOM, patience - 6, words, "text soft small end halo")
        marks = (
            ("done", "again", _ring, [(c.at, c.done_after) for c in run.calls]),
            ("answered", "flow", _dot, [(c.at, c.seconds) for c in self._with("answered")]),
            (
                "gave-up",
                "link-broken",
                cross,
                [(c.at, c.seconds) for c in (*self._with("timed out"), *self._with("failed"))],
            ),
        )
        for name, classes, shape, points in marks:
            placed = [
                shape(self._x(at), TALL * (1 - min(seconds, top) / top))
                for at, seconds in points
                if seconds is not None
            ]
            yield element("path", classes, key=name, d="".join(placed) or "M0 0", data_marks=name)
        yield from self._kills(TALL)
        yield from _legend()

    def backlog(self) -> Iterator[Element]:
        run = self._run
        highest = max((count for _, count in run.backlog), default=0)
        top = 2 * nice(max(2, highest * 0.55))
        yield from self._frame(LOW, top, "photos in line or at work" + self._source())
        steps = [f"M{LEFT} {LOW}"]
        for at, count in run.backlog:
            steps.append(f"H{self._x(at):.1f}V{LOW * (1 - count / top):.1f}")
        steps.append(f"H{self._x(run.at):.1f}V{LOW}")
        yield element("path", "heap", key="heap", d="".join(steps), data_marks="backlog")
        yield from self._computed(top)
        yield from self._kills(LOW)
        step = next(step for step in NICE if self._until / step <= 10)
        for seconds in range(0, int(self._until) + 1, step):
            place = "end" if seconds == self._until else "middle"
            words = f"{seconds} s"
            yield text(
                self._x(seconds), LOW + 20, words, f"text soft small {place}", key=f"t{seconds}"
            )

    def _computed(self, top: float) -> Iterator[Element]:
        """Draw how the backlog should grow while callers come, by the measured rate and service time."""
        run = self._run
        rate, capacity = run.arrival_rate, run.capacity
        if rate is None or capacity is None or rate <= capacity or run.kills:
            return
        end = min(run.load.seconds, run.at)
        high = end * (rate - capacity)
        slope = f"M{LEFT} {LOW}L{self._x(end):.1f} {LOW * (1 - min(high / top, 1)):.1f}"
        yield element("path", "what-if", d=slope, key="computed", data_marks="computed")
        words = "dashed: as computed from the two bars above"
        yield text(LEFT + ROOM, -9, words, "text soft small end", key="computed-words")

    def _source(self) -> str:
        return ": the lag of the workers' group" if self._run.load.front == KAFKA else ""

    def _with(self, status: str) -> list[Call]:
        return [call for call in self._run.calls if call.status == status]

    def _x(self, at: float) -> float:
        return LEFT + ROOM * min(max(at, 0), self._until) / self._until

    def _frame(self, height: float, top: float, title: str) -> Iterator[Element]:
        return frame(height, top, title, left=LEFT, room=ROOM)

    def _kills(self, height: float) -> Iterator[Element]:
        for number, at in enumerate(self._run.kills):
            x = self._x(at)
            yield element("path", "link-broken", d=f"M{x:.1f} 0V{height}", key=f"kill-{number}")
            yield icon("cross", x - 8, -8, "alarm")


def _legend() -> Iterator[Element]:
    shown: tuple[tuple[str, str, Callable[[float, float], str], float], ...] = (
        ("answered", "flow", _dot, 420),
        ("photo done", "again", _ring, 540),
        ("no answer", "link-broken", cross, 680),
        ("killed", "", _dot, 802),
    )
    for words, classes, shape, x in shown:
        if classes:
            yield element("path", classes, d=shape(x, -14), key=f"mark-{words}")
        else:
            yield element("path", "link-broken", d=f"M{x} -24V-4", key="mark-killed")
            yield icon("cross", x - 8, -22, "alarm")
        yield text(x + 14, -9, words, "text small", key=f"legend-{words}")


def _dot(x: float, y: float) -> str:
    return f"M{x:.1f} {y:.1f}h0"


def _ring(x: float, y: float) -> str:
    return f"M{x - 4:.1f} {y:.1f}a4 4 0 1 0 8 0a4 4 0 1 0-8 0"
