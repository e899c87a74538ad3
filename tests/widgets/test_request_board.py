"""The request board: what it draws, what its controls send, and a real queue behind it."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from brokerlab.errors import NodeFailedError, SettingError
from brokerlab.mlqueue import MLQueue
from brokerlab.pipeline.api import create_app
from brokerlab.pipeline.messages import MOST_BYTES, DeadLetter, Names, Result
from brokerlab.pipeline.scenes import LABELS, compose, scene
from brokerlab.pipeline.server import Server, serve
from brokerlab.pipeline.store import Outcome, Store, Stray
from brokerlab.widgets import RequestBoard
from brokerlab.widgets.request_picture import (
    THUMBS,
    Palette,
    Requests,
    Shot,
    Times,
    answer,
    board,
    verdict,
)
from brokerlab.widgets.request_shots import palette, thumbnail
from brokerlab.widgets.scene import Element, to_svg
from widget_fakes import figure, found, notice, until, words

CAT = {"label": "cat", "confidence": 0.93, "left": 10.0, "top": 40.0, "width": 60.0, "height": 30.0}
JPEG = scene(3, 0, 128).picture
PALETTE = Palette(LABELS, b"webp", "cat")
RUNNING = (("api", "running"), ("relay", "running"), ("worker-1", "running"))
SHOT = Shot("1", "done", JPEG, 128, 128, (CAT,))
BUSY = Requests(
    100.0,
    {"accepted": 3, "queued": 40, "done": 1957, "dead-lettered": 2},
    Times(0.006, 0.025),
    Times(1.5, 4.25),
    RUNNING,
    (SHOT, Shot("2", "dead-lettered", None, 160, 160, (), "The picture breaks off.")),
    SHOT,
    JPEG,
    2,
)


def draw(seen: Requests, *busy: str) -> Element:
    return board(seen, PALETTE, 200, frozenset(busy))


# What it draws.


def test_it_counts_states_and_tells_both_waits() -> None:
    drawn = draw(BUSY)
    names = ("in outbox", "in queue", "done", "given up")
    assert [figure(drawn, name) for name in names] == ["3", "40", "1,957", "2"]
    assert figure(drawn, "to 202: p50 / p95") == "6 ms / 25 ms"
    assert figure(drawn, "to the result") == "1.5 s / 4.2 s"
    assert figure(draw(Requests(1.0)), "to 202: p50 / p95") == "…"


def test_the_headline_says_what_matters_most() -> None:
    assert verdict(Requests(1.0, parts=RUNNING)) == ("empty", "No picture was sent yet.")
    assert verdict(BUSY)[1] == "43 of 2,002 accepted pictures wait for their turn."
    settled = replace(BUSY, states={"done": 5})
    assert verdict(settled) == ("fine", "Every one of 5 accepted pictures has its outcome.")
    killed = replace(BUSY, parts=(("api", "running"), ("worker-1", "killed")))
    assert verdict(killed)[0] == "warned" and verdict(killed)[1].startswith("worker-1 does not run")
    assert verdict(replace(BUSY, problem="The database is gone."))[0] == "lost"


def test_boxes_lie_where_the_objects_are_and_carry_their_names() -> None:
    (back,) = found(draw(BUSY), key="back")
    (one,) = [e for e in found(back, data_found="cat") if e[1]["class"] == "bl-found"]
    scale = 224 / 128
    assert one[1]["x"] == pytest.approx(10 * scale, abs=0.01)
    assert one[1]["height"] == pytest.approx(30 * scale, abs=0.01)
    assert "cat 0.93" in words(back)
    tall = replace(SHOT, width=64, height=128)
    (drawn,) = found(draw(replace(BUSY, mine=tall)), key="back")
    (one,) = [e for e in found(drawn, data_found="cat") if e[1]["class"] == "bl-found"]
    assert one[1]["x"] == pytest.approx(32 * scale + 10 * scale, abs=0.01), "in the middle"


def test_a_dead_letter_shows_its_reason_and_no_picture() -> None:
    (dead,) = found(draw(BUSY), data_shot="dead-lettered")
    assert "The picture breaks off." in words(dead) and not found(dead, role="img")


def test_its_size_never_changes_and_stills_are_well_formed() -> None:
    cases = [Requests(1.0), BUSY, replace(BUSY, latest=(SHOT,) * THUMBS, scene=None, problem="<&>")]
    assert len({draw(seen)[1]["viewBox"] for seen in cases}) == 1
    for seen in cases:
        still = to_svg(draw(seen))
        ET.fromstring(still)
        assert "var(" not in still and "class=" not in still


def test_every_object_and_every_place_is_a_control_with_its_line() -> None:
    controls = found(draw(BUSY), role="button")
    lines = [one[1]["data-code"] for one in controls]
    assert len(set(lines)) == len(lines) == 32 + 3 + 25
    assert 'board.choose("teddy bear")' in lines and 'board.place("cat", 32, 288)' in lines
    for one in controls:
        method = one[1]["data-code"].removeprefix("board.").partition("(")[0]
        assert callable(getattr(RequestBoard, method))


def test_what_runs_cannot_be_pressed_again() -> None:
    def pressable(drawn: Element) -> set[str]:
        (desk,) = found(drawn, key="palette")
        return {
            e[1]["data-code"] for e in found(desk, data_group="desk") if "aria-disabled" not in e[1]
        }

    assert pressable(draw(BUSY)) == {"board.send()", "board.clear()", "board.burst()"}
    assert pressable(draw(BUSY, "burst", "send")) == {"board.clear()"}
    assert pressable(draw(replace(BUSY, objects=0))) == {"board.burst()"}


def test_thumbnails_are_small_and_bombs_are_none() -> None:
    data, width, height = thumbnail(scene(1, 1, 640).picture, 160)
    assert data is not None and len(data) < 12_000 and (width, height) == (640, 640)
    assert thumbnail(JPEG[: len(JPEG) // 2], 160)[0] is None
    assert thumbnail(b"hello", 160)[0] is None
    assert len(palette()) < 40_000
    ET.fromstring(answer(JPEG, [SimpleNamespace(**CAT)], 128, "a cat")._repr_svg_())


# What its controls send: a real API server and database, and no Kafka behind them.


class Held:
    """What the board needs of an `MLQueue`."""

    def __init__(self, store: Store, server: Server) -> None:
        self.store, self._server = store, server
        self.names = Names("board")
        self.ended = False
        self.parts = {"api": SimpleNamespace(state="running")}

    @property
    def url(self) -> str:
        return self._server.url

    def finish(self) -> None:
        """Give every picture that waits a result, as relay, worker and collector would."""
        rows = self.store.unpublished()
        self.store.mark_published(rows)
        for row in rows:
            said = Result(row.id, (CAT,), 0, 1, "worker-1", 1.0)
            self.store.record([Outcome(said, Stray("r", 0, 0, None, None, ""))])


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    with Store(tmp_path / "queue.sqlite") as store, serve(create_app(store)) as server:
        yield Held(store, server)


@pytest.fixture
def view(held: Held) -> Iterator[RequestBoard]:
    made = RequestBoard(held)  # type: ignore[arg-type]
    yield made
    made.close()


def idle(view: RequestBoard) -> bool:
    return until(lambda: not view.pending and notice(view)[0] != "busy")


def test_a_scene_is_composed_sent_and_comes_back(view: RequestBoard, held: Held) -> None:
    view.set(length=96, tilt=10)
    view.place("cat", 100, 100)
    view.place("dog", 220, 200)
    view.send()
    assert until(lambda: notice(view)[1].startswith("202, id "))
    assert until(lambda: view.look().mine is not None)
    (job,) = held.store.jobs()
    placed = view._objects
    assert [(one.label, one.left, one.width, one.tilt) for one in placed] == [
        ("cat", 52, 96, 10),
        ("dog", 172, 96, 10),
    ]
    assert held.store.picture(job.id) == ("image/jpeg", compose(placed).picture)
    held.finish()
    seen = view.results(10)
    assert seen.mine is not None and seen.mine.found == (CAT,) and seen.answered is not None
    view.clear()
    assert idle(view) and until(lambda: view.look().scene is None)
    view.send()
    assert until(lambda: view.problem.startswith("The scene is empty"))


def test_a_click_puts_the_chosen_object(view: RequestBoard) -> None:
    view.choose("teddy bear")
    assert idle(view)
    (place,) = found(view.draw(view.look()), aria_label="put teddy bear at 160, 160")
    assert place[1]["data-code"] == 'board.place("teddy bear", 160, 160)'
    view.choose("unicorn")
    assert until(lambda: view.problem.startswith("There is no object 'unicorn': choose one of car"))


@pytest.mark.parametrize(
    ("press", "said"),
    [
        ({"label": "unicorn", "x": 9, "y": 9}, "There is no object named 'unicorn'"),
        ({"label": "cat", "x": "a", "y": 9}, "An object is put at two numbers"),
        ({"label": "cat", "x": float("nan"), "y": 9}, "is no number"),
        ({"label": "cat", "x": 9000, "y": 9}, "lies outside the picture"),
        ({}, "An object is put at two numbers"),
    ],
)
def test_what_cannot_be_put_there_changes_nothing(
    view: RequestBoard, press: dict[str, Any], said: str
) -> None:
    view.place("cat", 100, 100)
    view.press("place", **press)
    assert until(lambda: said in view.problem), view.problem
    assert len(view._objects) == 1


@pytest.mark.parametrize(
    ("data", "kind", "said"),
    [
        (b"hello", "image/jpeg", "422: This is no JPEG"),
        (b"", "image/jpeg", "422: There is nothing in the file"),
        (b"hello", "text/plain", "415: Content-Type is text/plain"),
        (JPEG, "image/png", "415: Content-Type is image/png and the picture is image/jpeg"),
        (JPEG, "", "415: Content-Type is unknown"),
        (JPEG + bytes(MOST_BYTES), "image/jpeg", "413: A picture may have 5,000,000 bytes at most"),
    ],
    ids=["no picture", "empty", "text", "wrong type", "no type", "too large"],
)
def test_what_the_server_refuses_is_told_in_its_own_words(
    view: RequestBoard, data: bytes, kind: str, said: str
) -> None:
    view.press("upload", base64=b64encode(data).decode(), type=kind)
    assert until(lambda: view.problem.startswith(said)), view.problem


def test_files_and_bytes_can_be_sent_from_python(
    view: RequestBoard, held: Held, tmp_path: Path
) -> None:
    file = tmp_path / "picture.jpg"
    file.write_bytes(JPEG)
    view.upload(file)
    view.upload(JPEG)
    assert idle(view) and held.store.counts().total == 2
    with pytest.raises(SettingError, match=r"none\.jpg cannot be read"):
        view.upload(tmp_path / "none.jpg")
    view.press("upload", base64="%%%", type="image/jpeg")
    assert until(lambda: view.problem.startswith("The file did not arrive whole"))


def test_a_burst_is_sent_under_keys_of_its_own(view: RequestBoard, held: Held) -> None:
    view.set(count=50, rate=250)
    view.burst()
    assert until(lambda: held.store.counts().total == 50, 20)
    held.finish()
    seen = view.results(20)
    assert seen.states["done"] == 50 and seen.posted is not None
    assert until(lambda: len(view.look().latest) == THUMBS), (
        "thumbnails are drawn when there is time"
    )
    view.burst()
    assert until(lambda: held.store.counts().total == 100, 20), "the same pictures, other keys"


def test_a_second_burst_waits_for_the_first(view: RequestBoard, held: Held) -> None:
    view.set(count=50, rate=10)
    view.burst()
    view.burst()
    assert until(lambda: view.problem.startswith("A burst is on its way"))


def test_results_has_a_limit(view: RequestBoard) -> None:
    view.upload(JPEG)
    with pytest.raises(NodeFailedError, match="every picture to have its outcome"):
        view.results(0.5)


def test_results_waits_as_long_as_pictures_come(view: RequestBoard, held: Held) -> None:
    view.set(count=50, rate=20)
    view.burst()
    assert until(lambda: view._camera is not None and view._camera.done, 20) is True
    held.finish()
    view.set(rate=10)
    view.burst()
    with pytest.raises(NodeFailedError):
        view.results(0.8)
    assert view._camera is not None and view._camera.done, "it outlasted 5 s of sending"


def test_dead_letters_and_results_are_among_the_latest(view: RequestBoard, held: Held) -> None:
    view.upload(JPEG[:2000])
    assert idle(view)
    (row,) = held.store.unpublished()
    letter = DeadLetter(row.id, "truncated", "It breaks off.", "NotAPicture", 0, 1, "r[0]@0")
    held.store.record([Outcome(letter, Stray("d", 0, 0, None, None, ""))])
    assert until(lambda: len(view.look().latest) == 1, 10)
    (shot,) = view.look().latest
    assert (shot.state, shot.reason, shot.data) == ("dead-lettered", "It breaks off.", None)


def test_a_server_that_is_gone_and_a_part_that_was_killed(view: RequestBoard, held: Held) -> None:
    held._server.stop()
    held.parts["worker-1"] = SimpleNamespace(state="killed")
    view.upload(JPEG)
    assert until(lambda: view.problem.startswith("The API server does not answer"), 15)
    assert until(lambda: ("worker-1", "killed") in view.look().parts)
    assert "worker-1 does not run" in words(view.draw(view.look()))


def test_a_queue_that_has_ended_is_a_sentence_and_pictures_stay(
    view: RequestBoard, held: Held
) -> None:
    view.upload(JPEG)
    assert idle(view)
    held.finish()
    view.results(10)
    held.ended = True
    assert until(lambda: view.look().problem.startswith("This queue has ended"), 10)
    with pytest.raises(SettingError, match="make a new one"):
        view.results(5)
    assert view.look().states["done"] == 1 and verdict(view.look())[0] == "lost"


def test_a_database_that_is_damaged_is_a_sentence(view: RequestBoard, held: Held) -> None:
    held.store.close()
    held.store.file.write_bytes(b"no database" * 100)
    for wal in held.store.file.parent.glob("*-wal"):
        wal.unlink()
    assert until(lambda: "is no SQLite database" in view.look().problem, 10), view.look()


def test_looking_costs_little(view: RequestBoard, held: Held) -> None:
    view.set(count=200, rate=250)
    view.burst()
    assert until(lambda: held.store.counts().total == 200, 30)
    held.finish()
    view.results(20)
    begun = time.thread_time()
    for _ in range(20):
        view._ask()
        view.view(view.look())
    assert (time.thread_time() - begun) / 20 < 0.02, "at 2.5 looks a second, 5 % of a core"


def test_closing_ends_its_threads(held: Held) -> None:
    view = RequestBoard(held)  # type: ignore[arg-type]
    view.set(count=2000, rate=10)
    view.burst()
    assert until(lambda: held.store.counts().total > 0, 10)
    view.close()
    assert not view._watcher.is_alive() and view._camera is not None and view._camera.done
    assert repr(view) == "<RequestBoard board>"


# On a real queue.


@pytest.mark.cluster
def test_a_real_queue_answers_what_was_composed(lab: Any) -> None:
    with MLQueue(lab, "request-board") as queue:
        queue.begin(workers=1)
        view = RequestBoard(queue)
        try:
            view.place("cat", 80, 80)
            view.place("umbrella", 220, 220)
            view.send()
            view.set(count=100, rate=100)
            view.burst()
            seen = view.results(60)
            assert seen.mine is not None
            assert {one["label"] for one in seen.mine.found} == {"cat", "umbrella"}
            assert seen.states == {"accepted": 0, "queued": 0, "done": 101, "dead-lettered": 0}
            view.upload(JPEG[: len(JPEG) // 2])
            seen = view.results(60)
            assert seen.mine is not None and seen.mine.state == "dead-lettered"
            assert seen.mine.reason.startswith("The picture breaks off before its end")
            queue.kill("worker-1")
            view.wait_until(lambda now: ("worker-1", "killed") in now.parts, 10, "the kill")
        finally:
            view.close()
