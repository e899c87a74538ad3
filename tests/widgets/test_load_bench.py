"""The load bench's view: what it draws of a run, and what its controls do."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from brokerlab.errors import BrokerLabError, SettingError
from brokerlab.loadledger import KAFKA, MEMORY, WAIT, Call, Load, Run
from brokerlab.widgets import LoadBench
from brokerlab.widgets.load_picture import IDLE, draw, verdict
from brokerlab.widgets.scene import to_svg
from widget_fakes import FakeLab, figure, found, notice, until


def calls(status: str, count: int, seconds: float = 0.1, done: float | None = 0.1) -> list[Call]:
    return [Call(n / 10, seconds, status, done) for n in range(count)]


def run(front: str = WAIT, phase: str = "over", **changes: Any) -> Run:
    load = changes.pop("load", None) or Load(front, rate=10)
    whole: dict[str, Any] = {
        "calls": tuple(calls("answered", 80)),
        "backlog": ((0.0, 1), (8.0, 0)),
        "done": 80,
        "service_time": 0.08,
    }
    return Run(time.time(), load, phase, 9.0, **(whole | changes))


def test_a_bench_that_has_not_run_says_what_to_press() -> None:
    idle = Run(time.time(), Load(), IDLE, 0.0)
    assert verdict(idle, 2)[1] == "Press Run: real callers come for 8 seconds."
    scene = draw(idle, 2)
    assert figure(scene, "called") == "0"
    assert "not measured yet" in to_svg(scene)


def test_what_comes_too_fast_makes_the_backlog_grow_by_the_difference() -> None:
    mark, sentence, _ = verdict(run(phase="arriving", service_time=0.2), 2)
    assert (mark, sentence) == (
        "warning",
        "Photos come faster than they can be done: the backlog grows by 5.0 a second.",
    )


def test_workers_that_keep_up_are_busy_for_a_part_of_the_time() -> None:
    mark, sentence, _ = verdict(run(phase="arriving", service_time=0.05), 2)
    assert (mark, sentence) == ("tick", "The workers keep up: they are busy 50% of the time.")


def test_just_enough_is_no_comfort() -> None:
    assert "no room for a bad moment" in verdict(run(phase="arriving", service_time=0.1), 2)[1]


def test_more_workers_than_cores_do_not_compute_faster() -> None:
    load = Load(workers=4)
    said = verdict(run(load=load, phase="arriving"), 2)[2]
    assert said == "4 workers share 2 cores: each photo takes longer, and more workers do not help."
    waiting = Load(workers=4, work=0.01, fetch=0.4)
    assert "while they wait for the camera" in verdict(run(load=waiting, phase="arriving"), 2)[2]
    assert "cores" not in verdict(run(load=load, phase="arriving"), 4)[2]


def test_the_end_of_call_and_wait_names_who_left_and_work_in_vain() -> None:
    ended = run(calls=tuple(calls("answered", 3) + calls("timed out", 5, 0.64, 2.0)))
    assert verdict(ended, 2)[1] == (
        "Over: 5 of 8 callers got no answer; 5 photos were done for callers who had left."
    )
    assert figure(draw(ended, 2), "answered") == "3"
    assert figure(draw(ended, 2), "no answer") == "5"


def test_the_end_of_a_killed_memory_says_what_is_lost() -> None:
    ended = run(MEMORY, lost=20, done=60, kills=(3.0,))
    mark, sentence, _ = verdict(ended, 2)
    assert mark == "warning"
    assert sentence.startswith("Over: 20 accepted photos are lost; they were in the memory")
    scene = draw(ended, 2)
    assert figure(scene, "lost") == "20"
    assert found(scene, key="kill-0")


def test_the_end_behind_kafka_is_nothing_lost_and_what_was_done_twice() -> None:
    assert verdict(run(KAFKA, twice=1, kills=(3.0,)), 2)[:2] == (
        "tick",
        "Over: 80 accepted, 80 done, 1 of them twice, none lost.",
    )


def test_after_a_kill_the_view_says_where_the_photos_are() -> None:
    killed: dict[str, Any] = {"kills": (3.0,), "backlog": ((0.0, 7),), "phase": "arriving"}
    assert "wait in Kafka until its group notices" in verdict(run(KAFKA, **killed), 2)[2]
    assert "its memory is gone" in verdict(run(MEMORY, **killed), 2)[2]


def test_a_run_that_could_not_be_says_why() -> None:
    said = verdict(run(problem="Kafka does not answer the load bench.", calls=()), 2)
    assert said == ("warning", "Kafka does not answer the load bench.", "")


@pytest.mark.parametrize("front", [WAIT, MEMORY, KAFKA])
@pytest.mark.parametrize("phase", [IDLE, "starting", "arriving", "draining", "over"])
def test_every_state_is_a_picture_of_the_same_size(front: str, phase: str) -> None:
    some = run(front, phase, calls=tuple(calls("waits", 2, None, None) + calls("failed", 3)))  # type: ignore[arg-type]
    scene = draw(some, 1)
    assert scene[1]["viewBox"] == draw(Run(0.0, Load(), IDLE, 0.0), 4)[1]["viewBox"]
    ET.fromstring(to_svg(scene))


class FakeBench:
    """A run that is told what to be."""

    made: list[FakeBench]

    def __init__(self, lab: Any, load: Load, changed: Callable[[], None]) -> None:
        self.load = load
        self.over = False
        self.killed = 0
        self.made.append(self)

    @property
    def run(self) -> Run:
        return Run(time.time(), self.load, "over" if self.over else "arriving", 1.0)

    def kill(self) -> str:
        self.killed += 1
        return "The service was killed (SIGKILL), and another started in its place."

    def close(self) -> None:
        self.over = True


@pytest.fixture
def view(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoadBench]:
    FakeBench.made = []
    monkeypatch.setattr("brokerlab.widgets.load_bench.Bench", FakeBench)
    one = LoadBench(FakeLab(), seconds=3)  # type: ignore[arg-type]
    yield one
    one.close()


def done(view: LoadBench) -> bool:
    return until(lambda: view.pending == ())


def test_run_begins_with_what_is_set(view: LoadBench) -> None:
    view.set(front="Kafka", rate=25, work=120, fetch=200, workers=3)
    view.start()
    assert done(view)
    assert [one.load for one in FakeBench.made] == [Load("Kafka", 25, 0.12, 0.2, 3, 3)]
    assert until(lambda: notice(view) == ("done", "A run has begun: callers come for 3 s."))


def test_one_run_at_a_time(view: LoadBench) -> None:
    for _ in range(10):
        view.start()
    assert done(view)
    assert len(FakeBench.made) == 1
    refusal = "A run is going on: wait for its end, or press Stop."
    assert until(lambda: notice(view) == ("error", refusal))


def test_stop_ends_a_run_and_another_can_begin(view: LoadBench) -> None:
    view.start()
    view.stop()
    view.start()
    assert done(view)
    assert [one.over for one in FakeBench.made] == [True, False]


def test_kill_reaches_the_run(view: LoadBench) -> None:
    view.kill()
    assert until(lambda: notice(view)[0] == "error")
    assert notice(view)[1] == "Nothing runs that could be killed: press Run first."
    view.start()
    view.kill()
    assert done(view)
    assert FakeBench.made[0].killed == 1


def test_a_setting_in_the_middle_counts_from_the_next_run(view: LoadBench) -> None:
    view.start()
    view.set(rate=3)
    assert until(lambda: notice(view)[1] == "It counts from the next run.")
    assert FakeBench.made[0].load.rate == 10
    assert view.look().load.rate == 10, "the picture stays that of the run"


@pytest.mark.parametrize(
    "wrong", [{"rate": 0}, {"rate": "fast"}, {"workers": 7}, {"front": "fax"}, {"speed": 1}]
)
def test_what_cannot_be_set_is_a_sentence(view: LoadBench, wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingError):
        view.set(**wrong)


def test_an_unknown_control_is_a_sentence(view: LoadBench) -> None:
    view.press("dance")
    assert until(lambda: notice(view) == ("error", "LoadBench has no control 'dance'."))


def test_closing_ends_the_run(view: LoadBench) -> None:
    view.start()
    assert done(view)
    view.close()
    assert FakeBench.made[0].over


def test_every_control_has_its_line_of_python(view: LoadBench) -> None:
    for name, code in (
        ("start", "bench.start()"),
        ("stop", "bench.stop()"),
        ("kill", "bench.kill()"),
    ):
        assert found(view.draw(view.look()), data_code=code), name
    assert view.state["inputs"][0]["code"] == "bench.set(front={})"


@pytest.mark.cluster
def test_a_press_runs_real_callers_and_the_view_shows_them(lab: Any) -> None:
    bench = LoadBench(lab, seconds=3)
    try:
        bench.set(front="Kafka", rate=6, work=20, workers=1)
        bench.start()
        bench.wait_until(lambda seen: seen.phase == "arriving" and seen.done > 2, 90, "some work")
        bench.kill()
        ended = bench.wait_until(lambda seen: seen.phase == "over", 120, "the end")
        assert (ended.accepted, ended.lost, ended.problem) == (18, 0, "")
        assert len(ended.kills) == 1
        assert until(lambda: "none lost" in str(bench.state["view"]))
        ET.fromstring(bench.still())
    except BrokerLabError as error:
        pytest.fail(f"{error} {bench.look()}")
    finally:
        bench.close()
        lab.delete_topics("load-bench")
