from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from brokerlab.errors import BrokerLabError, NodeFailedError
from brokerlab.widgets.base import Command, LiveView
from brokerlab.widgets.scene import Element, picture, text
from widget_fakes import notice, until


@dataclass(frozen=True)
class Count:
    taken: float
    value: int


class Counter(LiveView[Count]):
    title = "Counter"

    def __init__(self) -> None:
        self.value = 0
        self.hold = threading.Event()
        self.running = threading.Event()
        self.released = False
        self.ran: list[str] = []
        super().__init__()

    def look(self) -> Count:
        if self.value < 0:
            raise ValueError("below zero")
        return Count(time.time(), self.value)

    def draw(self, seen: Count) -> Element:
        return picture(100, 20, f"count {seen.value}", text(0, 15, f"<{seen.value}>"))

    def run(self, command: Command) -> str:
        self.ran.append(command["kind"])
        match command["kind"]:
            case "add":
                self.value += command.get("by", 1)
                return f"It is {self.value} now."
            case "refuse":
                raise BrokerLabError("No more: the counter is full.")
            case "break":
                raise ZeroDivisionError("division by zero")
            case "hold":
                self.running.set()
                self.hold.wait(10)
                return "let go"
        return super().run(command)

    def release(self) -> None:
        self.released = True


@pytest.fixture
def counter() -> Iterator[Counter]:
    view = Counter()
    yield view
    view.hold.set()
    view.close()


def test_a_view_has_a_state_before_anything_happens(counter: Counter) -> None:
    assert counter.state["title"] == "Counter"
    assert counter.state["view"]["picture"][1]["aria-label"] == "count 0"


def test_a_command_runs_and_its_sentence_shows(counter: Counter) -> None:
    counter.press("add", by=3)
    assert until(lambda: notice(counter) == ("done", "It is 3 now."))
    assert counter.state["view"]["picture"][1]["aria-label"] == "count 3"


def test_what_the_browser_sends_is_queued_like_press(counter: Counter) -> None:
    counter._hear(counter, {"kind": "add", "by": 2}, [])
    counter._hear(counter, {"no": "kind"}, [])
    counter._hear(counter, "nonsense", [])
    assert until(lambda: counter.value == 2)
    assert until(lambda: counter.state["accepted"] == 1)


def test_commands_run_one_by_one_and_a_caller_never_waits(counter: Counter) -> None:
    counter.press("hold")
    assert counter.running.wait(5)
    counter.press("add")
    assert counter.ran == ["hold"]
    assert [command["kind"] for command in counter.pending] == ["hold", "add"]
    counter.hold.set()
    assert until(lambda: counter.ran == ["hold", "add"] and counter.pending == ())


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("refuse", "No more: the counter is full."),
        ("break", "ZeroDivisionError: division by zero"),
        ("fly", "Counter has no control 'fly'."),
    ],
)
def test_an_error_shows_in_the_view_and_the_next_command_runs(
    counter: Counter, kind: str, sentence: str
) -> None:
    counter.press(kind)
    assert until(lambda: notice(counter) == ("error", sentence))
    assert counter.problem == sentence
    counter.press("add")
    assert until(lambda: notice(counter)[0] == "done")
    assert counter.problem == ""


def test_a_look_that_fails_shows_and_the_last_view_stays(counter: Counter) -> None:
    before = counter.state["view"]
    counter.value = -1
    counter.touch()
    assert until(lambda: notice(counter) == ("error", "ValueError: below zero"))
    assert counter.state["view"] == before
    age = counter.pulse["age"]
    counter.touch()
    assert until(lambda: counter.pulse["age"] > age)


def test_only_the_writer_thread_writes_the_state(counter: Counter) -> None:
    writers: set[str] = set()
    counter.observe(lambda _: writers.add(threading.current_thread().name), "state")
    threads = [threading.Thread(target=counter.press, args=("add",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert until(lambda: counter.state["view"]["picture"][1]["aria-label"] == "count 8")
    assert writers == {"<Counter> writer"}


def test_updates_are_few_however_often_something_changes(counter: Counter) -> None:
    states: list[Any] = []
    counter.observe(states.append, "state")
    begun = time.monotonic()
    for _ in range(200):
        counter.value += 1
        counter.touch()
        time.sleep(0.002)
    last = f"count {counter.value}"
    assert until(lambda: counter.state["view"]["picture"][1]["aria-label"] == last)
    assert len(states) <= (time.monotonic() - begun) / 0.15 + 2


def test_the_state_is_sent_only_when_something_changed_but_the_pulse_goes_on(
    counter: Counter,
) -> None:
    states: list[Any] = []
    counter.observe(states.append, "state")
    beats = counter.pulse["n"]
    assert until(lambda: counter.pulse["n"] >= beats + 2)
    assert states == []


def test_a_look_and_its_picture_go_to_the_browser_in_one_message(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(Counter, "_send", lambda _, message, buffers=None: sent.append(message))
    counter.press("add")
    assert until(lambda: counter.state["view"]["picture"][1]["aria-label"] == "count 1")
    counter.close()
    assert {message["method"] for message in sent} == {"update"}
    assert all("pulse" in message["state"] for message in sent)
    pictures = [message["state"] for message in sent if "state" in message["state"]]
    assert pictures[-1]["state"] == counter.state and pictures[-1]["pulse"] == counter.pulse


def test_close_ends_the_threads_and_says_so(counter: Counter) -> None:
    counter.close()
    counter.close()
    assert not counter._writer.is_alive() and not counter._worker.is_alive()
    assert counter.released
    assert counter.state["ended"] == "closed"
    counter.press("add")
    assert counter.pending == () and counter.ran == []


def test_close_drops_what_was_queued(counter: Counter) -> None:
    counter.press("hold")
    assert counter.running.wait(5)
    counter.press("add")
    closing = threading.Thread(target=counter.close)
    closing.start()
    assert until(lambda: counter._ended.is_set())
    counter.hold.set()
    closing.join(5)
    assert counter.ran == ["hold"]


def test_a_second_view_of_the_same_subject_ends_the_first(counter: Counter) -> None:
    second = Counter()
    try:
        assert until(lambda: not counter._writer.is_alive() and not counter._worker.is_alive())
        assert counter.state["ended"] == "a newer one took over"
        assert second.state["ended"] == ""
    finally:
        second.close()


def test_threads_do_not_hold_the_kernel(counter: Counter) -> None:
    assert counter._writer.daemon and counter._worker.daemon


def test_the_text_is_stable_and_the_still_comes_along(counter: Counter) -> None:
    assert repr(counter) == "<Counter>"
    data, _ = counter._repr_mimebundle_()
    assert data["text/plain"] == "<Counter>"
    assert "application/vnd.jupyter.widget-view+json" in data
    assert data["image/svg+xml"] == counter.still()
    assert "&lt;0&gt;" in data["image/svg+xml"]


def test_wait_until_returns_once_it_is_there(counter: Counter) -> None:
    counter.press("add", by=5)
    counter.wait_until(lambda seen: seen.value == 5, 5, "the count of 5")


def test_wait_until_gives_up_with_a_sentence(counter: Counter) -> None:
    with pytest.raises(NodeFailedError) as told:
        counter.wait_until(lambda seen: seen.value == 5, 0.2, "the count of 5")
    assert str(told.value).startswith("Waited 0.2 s for the count of 5, and it did not come.")


def test_wait_until_ends_when_the_view_is_closed(counter: Counter) -> None:
    counter.close()
    with pytest.raises(NodeFailedError, match="was closed"):
        counter.wait_until(lambda seen: False, 30, "the end of time")


def test_a_view_whose_making_failed_can_be_thrown_away() -> None:
    view = Counter.__new__(Counter)
    view.close()
