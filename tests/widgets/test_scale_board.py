"""The scale board: the sentence that it says, what it draws, and what its controls do to a real queue."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

import pytest
from brokerlab.errors import SettingError
from brokerlab.lab import Lab
from brokerlab.mlqueue import MLQueue
from brokerlab.pipeline.scenes import scene
from brokerlab.widgets import ScaleBoard
from brokerlab.widgets.scale_picture import AUTOSCALER, Pace, Sample, Scale, between, draw, verdict
from brokerlab.widgets.scene import to_svg
from widget_fakes import BEGIN, figure, found, until

PREFIX = "board"


def minute(came: float, did: float, lag: int | None = 0, workers: int = 2, **more: Any) -> Scale:
    """Return a minute in which so many came and were done each second, and the lag that it ended with."""
    refused = more.pop("refused", 0)
    samples = tuple(
        Sample(
            BEGIN + n,
            None if lag is None else max(0, round(lag - (60 - n) * (came - did))),
            round(came * n),
            round(did * n),
            refused * n,
            workers,
        )
        for n in range(61)
    )
    return Scale(BEGIN + 60, samples, **{"limit": 5000, **more})


@pytest.mark.parametrize(
    ("seen", "kind", "sentence"),
    [
        (Scale(BEGIN), "empty", "Looking …"),
        (minute(0, 0), "empty", "No pictures come: set how many, or send some at once."),
        (minute(109, 78, 300), "warned", "Lag grows by 31 a second: 2 workers do 78 of 109."),
        (minute(109, 78, 300, 1), "warned", "Lag grows by 31 a second: 1 worker does 78 of 109."),
        (
            minute(20, 80, 400),
            "fine",
            "Lag shrinks by 60 a second: 2 workers do 80, and 20 come.",
        ),
        (minute(40, 40, 5), "fine", "2 workers keep up: 40 a second."),
        (minute(40, 40, 5, 1), "fine", "1 worker keeps up: 40 a second."),
        (
            minute(40, 40, 900),
            "fine",
            "Lag stays: 2 workers do 40 a second, but 900 pictures wait.",
        ),
        (minute(0, 0, 70, 0), "warned", "Nobody works, and 70 pictures wait."),
        (
            minute(40, 40, 95, limit=100, refused=12),
            "warned",
            "Full: 100 pictures may wait; 12 times a second the answer is 429.",
        ),
        (minute(40, 40, None), "warned", "The cluster does not tell the lag now."),
        (minute(40, 40, problem="Something is wrong."), "warned", "Something is wrong."),
    ],
)
def test_the_sentence_says_what_to_notice(seen: Scale, kind: str, sentence: str) -> None:
    assert verdict(seen) == (kind, sentence)


def test_waiting_is_lag_by_throughput() -> None:
    assert minute(40, 40, 80).wait() == pytest.approx(2.0)
    assert figure(draw(minute(40, 40, 80)), "lag ÷ done") == "2.0 s"
    assert minute(0, 0, 0).wait() == 0.0
    assert minute(0, 0, 10).wait() is None


def test_a_server_that_starts_again_refused_nothing_less_than_nothing() -> None:
    before, after = Sample(BEGIN, 0, 10, 10, 50, 1), Sample(BEGIN + 2, 0, 30, 20, 0, 1)
    assert between(before, after) == Pace(10.0, 5.0, 0.0)


def test_figures_are_those_of_the_last_seconds() -> None:
    seen = minute(109, 78, 1234, 3, refused=4)
    names = ("lag", "come / s", "done / s", "workers", "429 / s")
    assert [figure(draw(seen), name) for name in names] == ["1,234", "109", "78", "3", "4"]
    assert [figure(draw(Scale(BEGIN)), name) for name in names] == ["–"] * 5


@pytest.mark.parametrize(
    "seen",
    [
        Scale(BEGIN),
        Scale(BEGIN, (Sample(BEGIN, 5, 5, 0, 0, 1),)),
        minute(0, 0),
        minute(200, 10, 9000, 6, refused=100, limit=9000, scaling=AUTOSCALER),
        minute(5, 5, None),
        minute(5, 5, 3, 0, limit=None),
    ],
)
def test_every_state_is_a_picture_of_the_same_size(seen: Scale) -> None:
    drawn = draw(seen)
    assert drawn[1]["viewBox"] == draw(Scale(0.0))[1]["viewBox"]
    ET.fromstring(to_svg(drawn))
    assert draw(seen) == drawn


def test_a_limit_near_the_lag_is_a_line_and_one_far_away_is_words() -> None:
    assert found(draw(minute(40, 40, 95, limit=100)), data_limit=100)
    far = draw(minute(40, 40, 95, limit=5000))
    assert not found(far, data_limit=5000)
    assert "backlog limit 5,000 (far above)" in to_svg(far)


def test_refusals_are_marked_on_the_clock() -> None:
    (marks,) = found(draw(minute(40, 40, 95, limit=100, refused=2)), data_marks="refused")
    assert marks[1]["d"].count("M") == 60
    assert "× answered with 429" in to_svg(draw(minute(40, 40, 95, limit=100, refused=2)))
    assert "429</text>" not in to_svg(draw(minute(40, 40, 95, limit=100)))


# On a real queue.

on_a_cluster = pytest.mark.cluster


@pytest.fixture
def queue(lab: Lab) -> Iterator[MLQueue]:
    with MLQueue(lab, PREFIX) as made:
        for part in ("relay", "collector"):
            made.start(part)
        made.start("api", backlog_limit=100)
        yield made


@pytest.fixture
def board(queue: MLQueue) -> Iterator[ScaleBoard]:
    picture = scene(15, 0, 320).picture
    one = ScaleBoard(queue, lambda number: picture)
    yield one
    one.close()


@on_a_cluster
def test_a_burst_fills_the_line_the_limit_holds_and_workers_drain_it(
    queue: MLQueue, board: ScaleBoard
) -> None:
    board.burst()
    full = board.wait_until(lambda seen: "Full" in verdict(seen)[1], 60, "429")
    assert full.limit == 100 and full.last is not None and full.last.workers == 0
    board.set(workers=2)
    calm = board.wait_until(
        lambda seen: seen.last is not None and seen.last.done == 150 and seen.lag == 0, 60, "calm"
    )
    assert calm.last is not None and (calm.last.accepted, calm.last.workers) == (150, 2)
    assert queue.workers == ("worker-1", "worker-2")


@on_a_cluster
def test_pictures_come_at_the_rate_that_is_set(board: ScaleBoard) -> None:
    board.set(rate=10, workers=1)
    board.wait_until(lambda seen: (pace := seen.pace()) is not None and pace.came > 5, 60, "some")
    board.set(rate=0)
    assert until(lambda: board.pending == (), 20)
    still = board.look().samples[-1].accepted
    board.wait_until(lambda seen: (pace := seen.pace()) is not None and pace.came == 0, 30, "none")
    assert board.look().samples[-1].accepted <= still + 10


@on_a_cluster
def test_the_autoscaler_follows_the_threshold_and_keeps_the_slider_out(
    queue: MLQueue, board: ScaleBoard
) -> None:
    board.set(scaling="autoscaler", per_worker=60)
    board.burst()
    board.wait_until(lambda seen: seen.last is not None and seen.last.workers >= 2, 60, "2 workers")
    board.set(workers=0)
    assert until(lambda: "choose 'by hand' first" in board.problem, 20)
    board.wait_until(lambda seen: seen.lag == 0 and len(queue.workers) == 1, 90, "1 worker again")
    board.set(scaling="by hand", workers=0)
    assert until(lambda: queue.workers == (), 20)


@on_a_cluster
def test_it_survives_a_server_and_a_queue_that_are_gone(queue: MLQueue, board: ScaleBoard) -> None:
    queue.kill("api")
    board.wait_until(lambda seen: "API server does not answer" in seen.problem, 20, "the sentence")
    queue.start("api")
    board.wait_until(lambda seen: not seen.problem and seen.limit == 5000, 20, "the new limit")
    queue.end()
    board.wait_until(lambda seen: "has the queue ended?" in seen.problem, 20, "the end")


@on_a_cluster
def test_what_cannot_be_is_a_sentence_and_every_control_is_a_line_of_python(
    queue: MLQueue, board: ScaleBoard
) -> None:
    for wrong in ({"rate": -1}, {"workers": 7}, {"scaling": "magic"}, {"speed": 1}):
        with pytest.raises(SettingError):
            board.set(**wrong)
    board.press("dance")
    assert until(lambda: board.problem == "ScaleBoard has no control 'dance'.")
    assert found(board.draw(board.look()), data_code="board.burst()")
    assert [one["code"] for one in board.state["inputs"]] == [
        f"board.set({name}={{}})" for name in ("rate", "scaling", "workers", "per_worker")
    ]
    assert repr(board) == "<ScaleBoard board>"
