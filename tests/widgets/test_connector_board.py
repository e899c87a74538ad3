"""The connector board: its sentence, what it draws, and its buttons on a real worker."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

import pytest
from brokerlab.connectors import Connector, Task
from brokerlab.lab import Lab
from brokerlab.widgets import ConnectorBoard
from brokerlab.widgets.connector_picture import MOST, Board, Moved, draw, verdict
from brokerlab.widgets.scene import to_svg
from widget_fakes import BEGIN, found, until


def moved(
    name: str = "lines-in",
    state: str = "RUNNING",
    outside: int | None = None,
    records: int | None = None,
    kind: str = "source",
    trace: str = "",
) -> Moved:
    tasks = (Task(0, "FAILED" if trace else state, trace),)
    return Moved(Connector(name, kind, state, "lines", tasks), outside, records, "position 12")


def running(*lines: Moved, **more: Any) -> Board:
    return Board(BEGIN, "running", lines, **more)


@pytest.mark.parametrize(
    ("seen", "kind", "sentence"),
    [
        (Board(BEGIN), "warned", "Kafka Connect is stopped: nothing moves."),
        (Board(BEGIN, "killed"), "warned", "Kafka Connect is killed: nothing moves."),
        (running(), "empty", "Kafka Connect runs, and has no connector yet."),
        (running(moved(), problem="It does not answer."), "warned", "It does not answer."),
        (running(moved(trace="no such table")), "lost", "lines-in failed: no such table"),
        (
            running(moved("out", "PAUSED", 3, 10, "sink")),
            "warned",
            "out rests: 7 wait.",
        ),
        (running(moved("out", "PAUSED")), "warned", "out rests: nothing waits yet."),
        (
            running(moved(outside=200, records=302)),
            "warned",
            "lines-in: 102 more came out than went in.",
        ),
        (running(moved(outside=200, records=121)), "warned", "lines-in: 79 did not arrive so far."),
        (
            running(moved("out", "RUNNING", 12, 10, "sink")),
            "warned",
            "out: 2 more came out than went in.",
        ),
        (
            running(moved(outside=5, records=5)),
            "fine",
            "1 connector: what went in came out, once.",
        ),
        (running(moved(), moved("out")), "fine", "2 connectors: all tasks run."),
    ],
)
def test_the_sentence_says_what_to_notice(seen: Board, kind: str, sentence: str) -> None:
    assert verdict(seen) == (kind, sentence)


def test_a_source_that_repeats_and_a_sink_that_repeats_differ_by_more_than_nothing() -> None:
    board = running(moved(outside=3, records=5), moved("out", "RUNNING", 5, 3, "sink"))
    assert (board.difference("lines-in"), board.difference("out")) == (2, 2)
    assert board.difference("nobody") is None
    assert moved(records=5).difference is None


@pytest.mark.parametrize(
    "seen",
    [
        Board(BEGIN, "died", (moved(),)),
        running(),
        running(*(moved(f"connector-with-a-long-name-{n}", "PAUSED") for n in range(MOST + 2))),
        running(moved(outside=10**9, records=2, trace="x" * 400)),
    ],
)
def test_every_state_is_a_picture_of_the_same_size(seen: Board) -> None:
    drawn = draw(seen)
    assert drawn[1]["viewBox"] == draw(Board(0.0))[1]["viewBox"]
    ET.fromstring(to_svg(drawn))
    assert draw(seen) == drawn


def test_more_connectors_than_there_is_room_for_are_counted() -> None:
    many = running(*(moved(f"c{n}") for n in range(MOST + 2)))
    assert "and 2 more" in to_svg(draw(many))
    assert len(found(draw(many), data_state="RUNNING")) == MOST


def test_a_button_shows_its_line_of_python_and_can_be_pressed_when_it_makes_sense() -> None:
    drawn = draw(running(moved()))
    (pause,) = found(drawn, data_code='lab.connect.pause("lines-in")')
    (kill,) = found(drawn, data_code="lab.connect.kill()")
    (start,) = found(drawn, data_code="lab.connect.start()")
    assert "aria-disabled" not in pause[1]
    assert "aria-disabled" not in kill[1]
    assert start[1]["aria-disabled"] == "true"
    (resume,) = found(
        draw(running(moved(state="PAUSED"))), data_code='lab.connect.resume("lines-in")'
    )
    assert "aria-disabled" not in resume[1]
    (kill,) = found(draw(Board(BEGIN, "killed")), data_code="lab.connect.kill()")
    assert kill[1]["aria-disabled"] == "true"


@pytest.fixture
def board(lab: Lab) -> Iterator[ConnectorBoard]:
    connect = lab.connect
    connect.start()
    source = connect.files / "in.txt"
    source.write_text("one\ntwo\n")
    config: dict[str, object] = {"topic.creation.default.replication.factor": 3}
    config |= {"topic.creation.default.partitions": 1, "connector.class": "FileStreamSource"}
    connect.put("lines-in", config | {"file": source, "topic": "lines"})
    sink = {"connector.class": "FileStreamSink", "file": connect.files / "out.txt"}
    connect.put("lines-out", sink | {"topics": "lines"})
    one = ConnectorBoard(lab, {"lines-in": lambda: len(source.read_text().splitlines())})
    yield one
    one.close()
    connect.clear()
    lab.delete_topics("lines")


@pytest.mark.cluster
def test_it_shows_what_moves_and_its_buttons_do_what_they_say(
    lab: Lab, board: ConnectorBoard
) -> None:
    seen = board.wait_until(
        lambda seen: (
            seen.difference("lines-in") == 0
            and all(one.place for one in seen.moved)
            and len(seen.moved) == 2
        ),
        what="two lines and both places",
    )
    assert [one.place for one in seen.moved] == ["position 8", "offset 2"]
    board.press("pause", name="lines-in")
    board.wait_until(lambda seen: verdict(seen)[1].startswith("lines-in rests"), what="a pause")
    with (lab.connect.files / "in.txt").open("a") as more:
        more.write("three\n")
    board.wait_until(lambda seen: seen.difference("lines-in") == -1, what="a line that waits")
    board.press("resume", name="lines-in")
    board.wait_until(lambda seen: seen.difference("lines-in") == 0, what="the line")
    board.kill()
    board.wait_until(lambda seen: seen.state == "killed", what="a crash")
    assert [one.connector.name for one in board.look().moved] == ["lines-in", "lines-out"]
    board.start()
    board.wait_until(lambda seen: verdict(seen)[1] != "" and seen.state == "running", what="it")
    board.stop()
    board.wait_until(lambda seen: seen.state == "stopped", what="an end")
    assert board.problem == ""


@pytest.mark.cluster
def test_it_survives_a_worker_that_is_gone_and_says_so(lab: Lab, board: ConnectorBoard) -> None:
    lab.connect.clear()
    board.wait_until(lambda seen: seen.state == "killed", what="its end")
    board.press("pause", name="lines-in")
    assert until(lambda: "lab.connect.start() starts it" in board.problem)
    board.press("dance")
    assert until(lambda: board.problem == "ConnectorBoard has no control 'dance'.")
    assert repr(board) == f"<ConnectorBoard {lab.name}>"
