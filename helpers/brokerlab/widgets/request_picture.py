"""How the request board is drawn: where the requests are, a scene to compose, what came back, the latest pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from brokerlab.widgets.figures import HEIGHT as TILES
from brokerlab.widgets.figures import Figure, figures
from brokerlab.widgets.headline import HEIGHT as HEADLINE
from brokerlab.widgets.headline import headline
from brokerlab.widgets.latency_picture import in_time
from brokerlab.widgets.scene import (
    Element,
    Still,
    box,
    button,
    control,
    element,
    group,
    icon,
    image,
    picture,
    shortened,
    text,
    width_of,
)

WIDTH = 880
TILES_TOP = HEADLINE + 12
PARTS_TOP = TILES_TOP + TILES + 12
DESK_TOP = PARTS_TOP + 38
COUNTS = 506
"""Px of the width for counts; the rest is for times."""
CELL, ACROSS = 40, 8
DESK = 224
"""Px a side of the scene and of what came back."""
SCENE_LEFT, BACK_LEFT = 372, 640
SCENE = 320
"""Px a side of the picture that is composed."""
PLACES = 5
"""A click puts an object into one of so many columns and rows."""
THUMBS_TOP = DESK_TOP + DESK + 62
THUMBS, THUMB, THUMB_GAP = 7, 115, 11
NAMED = {"accepted": "in outbox", "queued": "in queue"}


@dataclass(frozen=True)
class Shot:
    """A picture that was sent, and what became of it.

    Attributes
    ----------
    data
        A small JPEG of it; None if nothing can be shown.
    width, height
        Of the picture itself, in px.
    found
        What was found, as the API tells it.
    reason
        Why it was given up; empty if it was not.
    """

    id: str
    state: str
    data: bytes | None
    width: int
    height: int
    found: tuple[Mapping[str, Any], ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Times:
    """How long pictures waited, in seconds, for half and for 95 of a hundred."""

    p50: float
    p95: float

    def __str__(self) -> str:
        return f"{in_time(self.p50)} / {in_time(self.p95)}"


@dataclass(frozen=True)
class Requests:
    """What the board shows, as it was at one moment (unix time in seconds).

    Attributes
    ----------
    states
        State -> how many pictures.
    posted, answered
        How long senders waited for 202, and pictures for their result; None before the first.
    parts
        Name and state of each part of the queue.
    latest
        Pictures that have their outcome, the newest first.
    mine
        The one that was sent from here last.
    scene
        The scene that is being composed, as a JPEG, and how many objects it holds.
    problem
        Why nothing newer is known; empty if all is well.
    """

    taken: float
    states: Mapping[str, int] = field(default_factory=dict)
    posted: Times | None = None
    answered: Times | None = None
    parts: tuple[tuple[str, str], ...] = ()
    latest: tuple[Shot, ...] = ()
    mine: Shot | None = None
    scene: bytes | None = None
    objects: int = 0
    problem: str = ""


@dataclass(frozen=True)
class Palette:
    """The objects to choose from: their names in order, one picture of all, and which is chosen."""

    labels: tuple[str, ...]
    data: bytes
    chosen: str


def board(seen: Requests, palette: Palette, burst: int, busy: frozenset[str]) -> Element:
    """Draw the board; `busy` are the kinds of commands that wait or run."""
    kind, words = verdict(seen)
    return picture(
        WIDTH,
        THUMBS_TOP + THUMB + 28,
        f"Request board. {words}",
        headline(kind, words, y=2, width=WIDTH - 4, room=WIDTH - 60),
        group("counts", figures(_counts(seen), width=COUNTS), y=TILES_TOP),
        group(
            "times", figures(_waits(seen), width=WIDTH - COUNTS - 14), x=COUNTS + 10, y=TILES_TOP
        ),
        group("parts", *_parts(seen.parts), y=PARTS_TOP),
        group("palette", *_palette(palette), *_buttons(seen, burst, busy), x=2, y=DESK_TOP),
        group("scene", *_scene(seen, palette), x=SCENE_LEFT, y=DESK_TOP),
        group("back", *_back(seen.mine), x=BACK_LEFT, y=DESK_TOP),
        group("latest", *_latest(seen.latest), x=2, y=THUMBS_TOP),
    )


def verdict(seen: Requests) -> tuple[str, str]:
    """Return the headline's kind and its sentence."""
    if seen.problem:
        return "lost", seen.problem
    down = [name for name, state in seen.parts if state != "running"]
    if down:
        verb = "does" if len(down) == 1 else "do"
        return "warned", f"{', '.join(down)} {verb} not run; what was accepted waits for it."
    total = sum(seen.states.values())
    waiting = seen.states.get("accepted", 0) + seen.states.get("queued", 0)
    if not total:
        return "empty", "No picture was sent yet."
    if waiting:
        return "fine", f"{waiting:,} of {total:,} accepted pictures wait for their turn."
    return "fine", f"Every one of {total:,} accepted pictures has its outcome."


def answer(shown: bytes, found: Sequence[Any], size: int, label: str) -> Still:
    """Return a square picture of `size` px with boxes around what was found in it."""
    side = 320
    told = tuple(one if isinstance(one, Mapping) else vars(one) for one in found)
    shot = Shot("", "done", shown, size, size, told)
    return Still(picture(side, side, label, *_boxed(shot, side, names=True)))


def _counts(seen: Requests) -> Sequence[Figure]:
    states = seen.states
    dead = states.get("dead-lettered", 0)
    return (
        *(Figure(words, f"{states.get(state, 0):,}") for state, words in NAMED.items()),
        Figure("done", f"{states.get('done', 0):,}"),
        Figure("given up", f"{dead:,}", "waiting" if dead else "plain"),
    )


def _waits(seen: Requests) -> Sequence[Figure]:
    return (
        Figure("to 202: p50 / p95", str(seen.posted or "…")),
        Figure("to the result", str(seen.answered or "…")),
    )


def _parts(parts: Sequence[tuple[str, str]]) -> Iterator[Element]:
    yield text(2, 19, "Running:", "text small soft")
    x = 74.0
    for name, state in parts:
        runs = state == "running"
        words = name if runs else f"{name} {state}"
        wide = width_of(words, 15) + 44
        yield group(
            f"part-{name}",
            box(0, 0, wide, 28, "node" if runs else "out-of-sync", 14),
            icon("dot" if runs else "cross", 10, 6, "zookeeper-ink" if runs else "alarm-ink"),
            text(32, 19, words, "text small"),
            x=x,
            data_part=name,
            data_state=state,
        )
        x += wide + 8


@cache
def _palette(palette: Palette) -> tuple[Element, ...]:
    return tuple(_objects(palette))


def _objects(palette: Palette) -> Iterator[Element]:
    for number, label in enumerate(palette.labels):
        at = (CELL * (number % ACROSS), CELL * (number // ACROSS))
        chosen = label == palette.chosen
        yield control(
            label,
            {"kind": "choose", "label": label},
            f'board.choose("{label}")',
            element("title", "", label),
            box(1, 1, CELL - 2, CELL - 2, "chosen" if chosen else "anywhere", 6),
            x=at[0],
            y=at[1],
            group_name="palette",
            label=f"choose {label}",
        )
    rows = -(-len(palette.labels) // ACROSS)
    sheet = image(
        0, 0, CELL * ACROSS, CELL * rows, palette.data, "image/webp", "Objects drawn by OpenMoji"
    )
    sheet[1]["pointer-events"] = "none"
    yield sheet


def _buttons(seen: Requests, burst: int, busy: frozenset[str]) -> Iterator[Element]:
    rows = (
        ("Send it", "send", "board.send()", 0, 92, seen.objects > 0),
        ("Clear", "clear", "board.clear()", 100, 78, seen.objects > 0),
        (f"Send {burst:,} more", "burst", "board.burst()", 186, 134, True),
    )
    for words, kind, code, x, width, enabled in rows:
        yield button(
            words,
            {"kind": kind},
            code,
            x=x,
            y=CELL * 4 + 16,
            width=width,
            group_name="desk",
            enabled=enabled and kind not in busy,
        )


def _scene(seen: Requests, palette: Palette) -> Iterator[Element]:
    yield box(0, 0, DESK, DESK, "node", 4)
    if seen.scene is not None:
        yield image(0, 0, DESK, DESK, seen.scene, "image/jpeg", f"{seen.objects} objects")
    else:
        yield text(DESK / 2, DESK / 2, "click here", "text soft middle")
    yield from _places(palette.chosen)
    words = f"your scene: {seen.objects} object{'' if seen.objects == 1 else 's'}"
    yield text(0, DESK + 20, words, "text small")


@cache
def _places(chosen: str) -> tuple[Element, ...]:
    return tuple(_place(chosen, number) for number in range(PLACES * PLACES))


def _place(chosen: str, number: int) -> Element:
    step, side = SCENE / PLACES, DESK / PLACES
    x, y = (round(step * (at + 0.5)) for at in (number % PLACES, number // PLACES))
    return control(
        f"place {x} {y}",
        {"kind": "place", "label": chosen, "x": x, "y": y},
        f'board.place("{chosen}", {x}, {y})',
        box(0, 0, side, side, "anywhere", 0),
        x=side * (number % PLACES),
        y=side * (number // PLACES),
        group_name="scene",
        label=f"put {chosen} at {x}, {y}",
    )


def _back(mine: Shot | None) -> Iterator[Element]:
    yield box(0, 0, DESK, DESK, "node", 4)
    if mine is None:
        yield text(DESK / 2, DESK / 2, "what comes back", "text soft middle")
        return
    yield from _boxed(mine, DESK, names=True)
    words = f"{NAMED.get(mine.state, mine.state)}: {_told(mine)}" if _told(mine) else mine.state
    yield group(
        "told",
        element("title", "", words),
        text(0, DESK + 20, shortened(words, DESK, 15), "text small"),
        data_mine=mine.state,
    )


def _latest(latest: Sequence[Shot]) -> Iterator[Element]:
    yield text(0, -10, "The latest pictures, with what was found", "text small strong")
    for number in range(THUMBS):
        x = number * (THUMB + THUMB_GAP)
        if number >= len(latest):
            yield box(x, 0, THUMB, THUMB, "calm", 4, key=f"place-{number}")
            continue
        shot = latest[number]
        words = _told(shot)
        yield group(
            f"shot-{number}",
            element("title", "", words),
            box(0, 0, THUMB, THUMB, "node", 4),
            *_boxed(shot, THUMB, names=False),
            text(0, THUMB + 19, shortened(words, THUMB, 15), "text small"),
            x=x,
            data_shot=shot.state,
        )


def _told(shot: Shot) -> str:
    if shot.reason:
        return shot.reason
    names = [str(one["label"]) for one in shot.found]
    return ", ".join(names) or ("nothing found" if shot.state == "done" else "")


def _boxed(shot: Shot, side: float, *, names: bool) -> Iterator[Element]:
    """Draw a picture in a square of `side` px, with its boxes, and each one's name and confidence if wanted."""
    if shot.data is None:
        yield icon("cross", side / 2 - 8, side / 2 - 8, "alarm-ink")
        return
    yield image(0, 0, side, side, shot.data, "image/jpeg", _told(shot) or "a picture")
    scale = side / max(shot.width, shot.height)
    left, top = ((side - scale * length) / 2 for length in (shot.width, shot.height))
    for number, one in enumerate(shot.found):
        x, y = left + scale * one["left"], top + scale * one["top"]
        wide, high = scale * one["width"], scale * one["height"]
        for classes in ("found-halo", "found"):
            yield box(
                x, y, wide, high, classes, 2, key=f"{classes}-{number}", data_found=one["label"]
            )
        if names:
            words = f"{one['label']} {one['confidence']:.2f}"
            at = max(0.0, min(x, side - width_of(words, 17.5)))
            yield text(
                at,
                y - 5 if y > 20 else y + high + 16,
                words,
                "text small strong halo",
                key=f"name-{number}",
            )
