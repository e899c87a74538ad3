"""How the offset ruler is drawn: a ruler a partition, the worker's controls, the counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from brokerlab.groups import GroupView
from brokerlab.widgets.figures import Figure, figures
from brokerlab.widgets.offset_ledger import Place, Run, Track
from brokerlab.widgets.scene import (
    Element,
    box,
    button,
    element,
    group,
    hatch,
    icon,
    picture,
    shortened,
    text,
    width_of,
)

WIDTH = 880
STRIP = 62
BUTTONS_TOP, BUTTON = STRIP + 10, 34
ROWS_TOP = BUTTONS_TOP + BUTTON + 16
ROW = 124
MOST_ROWS = 4
BAR_LEFT, BAR_RIGHT, BAR_TOP, BAR = 126, 738, 50, 30
FIGURES_GAP = 8
LEGEND_LINE = 26
LEGEND = 4 * LEGEND_LINE + 4
NUMBERED = 24
MARKED = 15

Scale = Callable[[int], float]
"""Where on the picture an offset is, in px."""

RUNS = {
    "waiting": ("node", "not read yet"),
    "working": ("frozen", "in the worker's hands"),
    "done": ("series-3", "processed, and committed"),
    "again": ("again", "processed, not committed: a restart repeats it"),
    "risk": ("frozen", "in its hands, but committed: a crash now loses it"),
    "missing": ("alarm", "committed, never processed: lost"),
    "before": ("down", "committed before this view"),
}
"""State of a run -> class of its box, what the legend says."""

GROUP_STATES = {
    "STABLE": "stable",
    "PREPARING_REBALANCING": "rebalancing",
    "COMPLETING_REBALANCING": "rebalancing",
    "EMPTY": "empty: no member",
    "DEAD": "not there yet",
    None: "unknown",
}


@dataclass(frozen=True)
class RulerView:
    """A group's places on one topic, and its worker, at one moment.

    Attributes
    ----------
    taken : float
        Unix time in seconds.
    group : GroupView
        What the cluster says of the group.
    tracks : tuple of Track
        By partition; as last seen, while the cluster does not answer.
    running : bool
        Whether the worker's process runs.
    working : (int, int) or None
        Partition and offset of the record in its hands.
    commits : str
        How the worker that runs commits: ``auto`` or ``after the work``; empty when none runs.
    ended : str
        What the worker said last, if it ended by itself.
    once, more, missing : int
        Records processed once; more than once; committed past, but never processed.
    """

    taken: float
    group: GroupView
    tracks: tuple[Track, ...]
    running: bool
    working: Place | None
    commits: str
    ended: str
    once: int
    more: int
    missing: int

    def track(self, partition: int) -> Track | None:
        """Return a partition's track, or None if it is not known."""
        return next((track for track in self.tracks if track.partition == partition), None)

    def committed(self, partition: int = 0) -> int | None:
        """Return what the group committed for a partition, or None."""
        track = self.track(partition)
        return track.committed if track else None


class OffsetPicture:
    """One picture of one `RulerView`; its height depends on `rows` alone."""

    def __init__(
        self, seen: RulerView, topic: str, rows: int, minutes: float, busy: frozenset[str]
    ) -> None:
        self.seen = seen
        self.topic = topic
        self.rows = rows
        self.minutes = minutes
        self.busy = busy

    def picture(self) -> Element:
        figures_top = ROWS_TOP + self.rows * ROW + FIGURES_GAP
        legend_top = figures_top + 66 + 14
        shown = self.seen.tracks[: self.rows]
        kind, words = self._headline()
        return picture(
            WIDTH,
            legend_top + LEGEND,
            f"Offsets of group {self.seen.group.group} on topic {self.topic}. {words}",
            self._strip(kind, words),
            self._buttons(),
            group(
                "rulers",
                *(_ruler(track, i * ROW, self.seen.running) for i, track in enumerate(shown)),
                *([] if shown else [_empty(self.topic, self.seen)]),
                y=ROWS_TOP,
                classes="dim" if kind == "lost" else "",
            ),
            self._figures(figures_top),
            _legend(legend_top),
        )

    def _strip(self, kind: str, words: str) -> Element:
        frame, ink, mark, mark_ink = {
            "lost": ("alarm", "on-alarm", "cross", "on-alarm"),
            "bad": ("alarm", "on-alarm", "warning", "on-alarm"),
            "warned": ("warned", "text strong", "warning", "alarm-ink"),
            "working": ("calm", "text", "dot", "paused-ink"),
            "calm": ("calm", "text", "dot", "soft"),
        }[kind]
        view = self.seen.group
        members = {1: "1 member"}.get(len(view.members), f"{len(view.members)} members")
        state = GROUP_STATES.get(view.state, str(view.state).lower())
        said = f"group {view.group}: {state}" + (f", {members}" if view.members else "")
        worker = f" · the worker commits: {self.seen.commits}" if self.seen.commits else ""
        more = len(self.seen.tracks) - self.rows
        left_out = f" · {more} more partitions are not shown" if more > 0 else ""
        return group(
            "headline",
            element("title", "", words),
            box(0, 0, WIDTH - 4, STRIP, frame),
            icon(mark, 14, 11, mark_ink),
            text(40, 25, shortened(words, WIDTH - 64, 16), ink),
            text(
                40,
                49,
                shortened(f"topic {self.topic} · {said}{worker}{left_out}", WIDTH - 64, 15),
                f"{'on-alarm' if frame == 'alarm' else 'text soft'} small",
            ),
            x=2,
            y=2,
            data_headline=kind,
            data_group_state=view.state or "",
        )

    def _headline(self) -> tuple[str, str]:
        seen = self.seen
        if seen.group.problem:
            return "lost", f"The cluster does not tell: {seen.group.problem}."
        if not seen.tracks:
            return "warned", f"There is no topic {self.topic} yet: create it, and it shows here."
        if seen.running and seen.working is not None:
            partition, offset = seen.working
            words = (
                f"The worker has record {offset} of partition {partition} in its hands, "
                "until you press Next record."
            )
            return "working", words
        if seen.running:
            if not seen.group.members:
                return "calm", "The worker starts, and asks to be let into the group …"
            return "calm", "The worker waits for a record from the cluster …"
        if seen.ended:
            return "bad", f"The worker ended by itself: {seen.ended}"
        if seen.group.members:
            return "warned", (
                "No worker runs, but the group still counts the dead one: until its session is over."
            )
        return "calm", "No worker runs. Press Start worker."

    def _buttons(self) -> Element:
        running = self.seen.running
        verbs = [
            ("Start worker", "start", "start_worker()", not running),
            ("Next record", "next", "next_record()", running),
            ("Crash", "crash", "crash()", running),
            ("Close", "close", "close_worker()", running),
            ("Send 20 more", "send", "send_more(20)", True),
            ("Rewind", "rewind", "rewind()", not running),
            ("Reset to time", "reset", "reset_to_time()", not running),
        ]
        spoken = {
            "crash": "crash the worker (SIGKILL)",
            "close": "close the worker (SIGTERM)",
            "rewind": "rewind the group to the log start",
            "reset": f"reset the group to {self.minutes:g} minutes ago",
        }
        gap = 8.0
        width = (WIDTH - 4 - gap * (len(verbs) - 1)) / len(verbs)
        return group(
            "buttons",
            *(
                button(
                    words,
                    {"kind": kind},
                    f"ruler.{code}",
                    x=i * (width + gap),
                    y=0,
                    width=width,
                    height=BUTTON,
                    group_name="worker",
                    label=spoken.get(kind, words),
                    enabled=possible and kind not in self.busy,
                )
                for i, (words, kind, code, possible) in enumerate(verbs)
            ),
            x=2,
            y=BUTTONS_TOP,
        )

    def _figures(self, y: float) -> Element:
        seen = self.seen
        lag = sum(track.lag for track in seen.tracks)
        shown = [
            Figure("processed once", f"{seen.once:,}"),
            Figure("more than once", f"{seen.more:,}", "waiting" if seen.more else "plain"),
            Figure("missing", f"{seen.missing:,}", "bad" if seen.missing else "plain"),
            Figure("lag of the group", f"{lag:,}"),
        ]
        return figures(shown, width=WIDTH - 4, y=y)


def _empty(topic: str, seen: RulerView) -> Element:
    words = (
        f"nothing is known of {topic} yet"
        if seen.group.problem
        else f"{topic} has no partition to show"
    )
    return text(WIDTH / 2, ROW / 2, words, "text soft middle")


def _ruler(track: Track, y: float, running: bool) -> Element:
    scale = (BAR_RIGHT - BAR_LEFT) / max(1, track.high - track.low)

    def place(offset: int) -> float:
        return BAR_LEFT + scale * (min(max(offset, track.low), track.high) - track.low)

    return group(
        f"partition-{track.partition}",
        text(0, 22, f"partition {track.partition}", "text strong"),
        text(BAR_LEFT - 8, BAR_TOP + 12, "log start", "text small end"),
        text(BAR_LEFT - 8, BAR_TOP + 30, f"{track.low:,}", "text strong end"),
        text(BAR_RIGHT + 10, BAR_TOP + 12, "high watermark", "text small"),
        text(BAR_RIGHT + 10, BAR_TOP + 30, f"{track.high:,}", "text strong"),
        *_bar(track, place, scale),
        *_committed(track, place),
        *_position(track, place, running),
        x=2,
        y=y,
        data_partition=track.partition,
        data_low=track.low,
        data_high=track.high,
        data_committed="" if track.committed is None else track.committed,
        data_position="" if track.position is None else track.position,
        data_lag=track.lag,
    )


def _bar(track: Track, place: Scale, scale: float) -> Iterator[Element]:
    if track.high == track.low:
        yield box(BAR_LEFT, BAR_TOP, BAR_RIGHT - BAR_LEFT, BAR, "down", 3)
        middle = (BAR_LEFT + BAR_RIGHT) / 2
        yield text(middle, BAR_TOP + 20, "the log is empty", "text soft small middle")
        return
    for run in track.runs():
        left, width = place(run.begin), place(run.end) - place(run.begin)
        yield group(
            f"run-{run.begin}",
            *_run(run, width),
            x=left,
            y=BAR_TOP,
            data_run=f"{run.begin}-{run.end}",
            data_state=run.state,
            data_times=run.times,
        )
    if scale >= 6:
        ticks = "".join(
            f"M{place(offset):g} {BAR_TOP}v{BAR}" for offset in range(track.low + 1, track.high)
        )
        yield element("path", "rule", d=ticks, key="cells")
    yield from _numbers(track, place, scale)


def _run(run: Run, width: float, height: float = BAR) -> Iterator[Element]:
    classes, words = RUNS[run.state]
    count = f", {run.times} times" if run.times > 1 else ""
    yield element("title", "", f"{run.begin} to {run.end - 1}: {words}{count}")
    yield box(0, 0, width, height, classes, 2)
    if run.state == "again":
        yield hatch(width, height, "hatch-again")
    if run.state == "risk":
        yield hatch(width, height)
    if run.times > 1 and width >= NUMBERED:
        ink = "on-series" if run.state == "done" else "text strong halo"
        yield text(width / 2, 21, f"×{run.times}", f"{ink} small middle")
    mark = {"missing": ("cross", "on-alarm"), "working": ("dot", "paused-ink")}.get(run.state)
    mark = ("warning", "alarm-ink") if run.state == "risk" else mark
    if mark and width >= MARKED:
        yield icon(mark[0], width / 2 - 7, height / 2 - 7, mark[1], 0.88)


def _numbers(track: Track, place: Scale, scale: float) -> Iterator[Element]:
    step = next(step for step in _steps() if step * scale >= 44)
    hidden = {track.position}
    for offset in range(-(-track.low // step) * step, track.high, step):
        at = place(offset) + (scale / 2 if scale >= NUMBERED else 0)
        if any(other is not None and abs(place(other) - at) < 22 for other in hidden):
            continue
        yield text(at, BAR_TOP + BAR + 17, f"{offset}", "text soft small middle", key=f"n-{offset}")


def _steps() -> Iterator[int]:
    power = 1
    while True:
        for base in (1, 2, 5):
            yield base * power
        power *= 10


def _committed(track: Track, place: Scale) -> Iterator[Element]:
    if track.committed is None:
        yield text(BAR_LEFT, 18, "nothing committed yet: auto.offset.reset decides", "text small")
        begin = place(track.low)
    else:
        begin = place(track.committed)
        gone = ", before the log start" if track.committed < track.low else ""
        words = f"committed {track.committed:,} (the group's){gone}"
        yield from _pole(begin, 10, BAR_TOP + BAR, "committed", words, 18, "leader")
    end = place(track.high)
    if end - begin > 3:
        bracket = f"M{begin + 3:g} 40v-7H{end:g}v7"
        yield element("path", "pole", d=bracket, key="lag")
    yield text(BAR_RIGHT + 10, 38, f"lag {track.lag:,}", "text strong", key="lag-words")


def _position(track: Track, place: Scale, running: bool) -> Iterator[Element]:
    low = BAR_TOP + BAR + 40
    if track.position is None:
        why = "the worker has read nothing here yet" if running else "no worker runs"
        yield text(BAR_LEFT, low, f"no position: {why}", "text soft small")
        return
    words = f"position {track.position:,} (the worker's)"
    yield from _pole(
        place(track.position), BAR_TOP, low - 8, "position", words, low, "controller", up=True
    )


def _pole(
    x: float,
    top: float,
    bottom: float,
    name: str,
    words: str,
    base: float,
    ink: str,
    *,
    up: bool = False,
) -> Iterator[Element]:
    """Draw a marker: a pole with a flag on top, or with an arrow that points up from below."""
    flag = f"M{x:g} {BAR_TOP + BAR}l7 12h-14z" if up else f"M{x:g} {top - 6:g}h13l-5 6l5 6h-13z"
    wide = width_of(words, 15) + 22
    to_left = x + wide > BAR_RIGHT + (0 if up else 8)
    at, anchor = (x - 8, " end") if to_left else (x + (10 if up else 18), "")
    yield group(
        name,
        element("path", "pole", d=f"M{x:g} {top:g}V{bottom:g}"),
        element("path", ink, d=flag),
        text(at, base, words, f"text strong small{anchor}"),
        data_mark=name,
    )


def _legend(y: float) -> Element:
    order: Sequence[str] = ("waiting", "working", "done", "again", "risk", "missing", "before")
    rows = []
    for i, state in enumerate(order):
        sample = Run(0, 1, state)
        rows.append(
            group(
                state,
                *list(_run(sample, 26, 20))[1:],
                text(36, 15, RUNS[state][1], "text soft small"),
                x=(i // 4) * 430,
                y=(i % 4) * LEGEND_LINE,
            )
        )
    return group("legend", *rows, x=4, y=y)
