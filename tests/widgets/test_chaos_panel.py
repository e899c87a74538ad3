"""The chaos panel: what it draws, what its controls do, and a real queue whose parts die under it."""

from __future__ import annotations

import dataclasses
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import widget_fakes as fakes
from brokerlab.errors import NodeFailedError, SettingError
from brokerlab.lab import Lab
from brokerlab.mlqueue import MLQueue
from brokerlab.observe import Snapshot
from brokerlab.pipeline.audit import Audit
from brokerlab.pipeline.errors import UnreachableError
from brokerlab.pipeline.messages import Names
from brokerlab.pipeline.store import Counts
from brokerlab.widgets import ChaosPanel, chaos_panel
from brokerlab.widgets.buttons import Verb
from brokerlab.widgets.chaos_picture import NO_COUNTS, Chaos, PartView, Sending, draw, verdict
from brokerlab.widgets.scene import Element, to_svg
from widget_fakes import FakeObserver, figure, found, notice, snapshot, until, words

PARTS = tuple(
    PartView(name, "running") for name in ("api", "relay", "worker-1", "worker-2", "collector")
)
SETTLED = Audit(200, 0, 0, 0, 198, 2, (), 1, 0, 0, 0)
ALL_DONE = dataclasses.replace(NO_COUNTS, done=198, dead_lettered=2, duplicates=1)
CALM = Chaos(fakes.BEGIN, "photo", PARTS, fakes.nodes(), ALL_DONE, SETTLED, 3)


def chaos(**changes: Any) -> Chaos:
    return dataclasses.replace(CALM, **changes)


def shown(seen: Chaos, *, free: bool = True, busy: frozenset[str] = frozenset()) -> Element:
    return draw(seen, (Verb("storm", "storm", "panel.storm()", 120, free),), busy, free)


def parts(**states: str) -> tuple[PartView, ...]:
    return tuple(
        dataclasses.replace(one, state=states.get(one.name.replace("-", "_"), one.state))
        for one in PARTS
    )


def controls(scene: Element, name: str) -> list[str]:
    return [words(one).strip() for one in found(scene, data_group=name)]


# What it draws.


def test_every_part_has_a_box_with_its_controls() -> None:
    scene = shown(CALM)
    assert [one[1]["data-part"] for one in found(scene) if "data-part" in one[1]] == [
        one.name for one in PARTS
    ]
    assert {one[1]["data-node"] for one in found(scene) if "data-node" in one[1]} == {
        "zookeeper",
        "broker-1",
        "broker-2",
        "broker-3",
    }
    assert controls(scene, "relay") == ["kill", "freeze"]
    (kill,) = found(scene, aria_label="kill relay")
    assert kill[1]["data-code"] == 'queue.kill("relay")'
    (freeze,) = found(scene, aria_label="freeze broker-2")
    assert freeze[1]["data-code"] == "lab.brokers[2].pause()"


def test_what_is_down_can_be_started_and_what_is_frozen_can_go_on() -> None:
    scene = shown(chaos(parts=parts(relay="killed", worker_1="paused", collector="died")))
    assert controls(scene, "relay") == controls(scene, "collector") == ["start"]
    assert controls(scene, "worker-1") == ["go on", "kill"]
    assert "killed" in words(found(scene, data_part="relay")[0])


def test_the_audit_stands_in_figures() -> None:
    scene = shown(chaos(counts=dataclasses.replace(ALL_DONE, accepted=7, queued=30)))
    assert [figure(scene, name) for name in ("accepted", "waiting", "queued", "done")] == [
        "237",
        "7",
        "30",
        "198",
    ]
    assert figure(scene, "dead-lettered") == "2" and figure(scene, "came twice") == "1"
    assert figure(scene, "effects twice") == figure(scene, "missing") == "0"
    assert figure(scene, "last audit") == "3 s ago"
    assert figure(shown(chaos(audit=None)), "missing") == "…"


def test_a_missing_picture_is_an_alarm() -> None:
    lost = dataclasses.replace(SETTLED, done=196, missing=("a", "b"))
    scene = shown(chaos(audit=lost))
    assert figure(scene, "missing") == "2"
    assert found(scene, data_headline="lost")
    (tile,) = found(scene, data_figure="missing")
    assert any(one[1].get("class") == "bl-alarm" for one in found(tile))


@pytest.mark.parametrize(
    ("seen", "kind", "begin"),
    [
        (chaos(), "fine", "Each of 200 pictures has its outcome."),
        (chaos(counts=NO_COUNTS, audit=None), "empty", "Nothing was accepted yet"),
        (
            chaos(counts=dataclasses.replace(ALL_DONE, queued=1)),
            "empty",
            "1 picture on the way to an outcome.",
        ),
        (
            chaos(parts=parts(relay="killed"), counts=dataclasses.replace(ALL_DONE, accepted=60)),
            "warned",
            "relay is down. 60 pictures without an outcome yet",
        ),
        (chaos(parts=parts(relay="killed")), "warned", "relay is down."),
        (
            chaos(counts=dataclasses.replace(ALL_DONE, duplicate_effects=1)),
            "lost",
            "1 picture took effect twice.",
        ),
        (
            chaos(storm=(3, 8), log=((fakes.BEGIN, "kill broker-3"),)),
            "warned",
            "Storm: 3 of 8 faults have come. Now: kill broker-3.",
        ),
        (chaos(problem="No broker answers."), "warned", "No broker answers."),
    ],
)
def test_the_headline_says_what_to_notice(seen: Chaos, kind: str, begin: str) -> None:
    assert verdict(seen)[0] == kind
    assert verdict(seen)[1].startswith(begin)


def test_settled_means_that_the_audit_has_seen_all() -> None:
    assert CALM.settled
    assert not chaos(counts=dataclasses.replace(ALL_DONE, queued=1)).settled
    assert not chaos(sending=Sending(100, 5, 0, False)).settled
    assert not chaos(storm=(1, 8)).settled
    assert not chaos(counts=NO_COUNTS, audit=None).settled


@pytest.mark.parametrize(
    ("sending", "said"),
    [
        (None, "camera at rest"),
        (Sending(3000, 1226, 49, False), "camera 1,226 sent of 3,000 49 again"),
        (Sending(None, 99, 0, False), "camera 99 sent"),
        (Sending(1226, 1226, 0, True), "camera 1,226 sent"),
    ],
)
def test_the_camera_says_how_far_it_is(sending: Sending | None, said: str) -> None:
    (box,) = found(shown(chaos(sending=sending)), key="camera")
    assert words(box).split() == said.split()


def test_a_careless_queue_has_no_relay_and_the_server_publishes() -> None:
    scene = shown(chaos(parts=tuple(one for one in PARTS if one.name != "relay")))
    assert not found(scene, data_part="relay")
    assert found(scene, key="api-publishes") and not found(shown(CALM), key="api-publishes")


def test_of_many_workers_some_are_only_counted() -> None:
    many = tuple(PartView(f"worker-{n}", "running") for n in range(1, 6))
    scene = shown(chaos(parts=(*PARTS[:2], *many, PARTS[4])))
    assert found(scene, data_part="worker-3") and not found(scene, data_part="worker-4")
    assert "+ 2 more workers" in words(scene)


def test_the_height_never_changes_and_the_still_is_well_formed() -> None:
    cases = [
        CALM,
        chaos(parts=(), nodes=(), counts=NO_COUNTS, audit=None),
        chaos(log=tuple((fakes.BEGIN + n, f"<{n}> & so on") for n in range(9)), storm=(1, 8)),
        chaos(sending=Sending(None, 12_345, 678, False), problem="x" * 300),
    ]
    assert len({shown(seen)[1]["viewBox"] for seen in cases}) == 1
    for seen in cases:
        still = to_svg(shown(seen))
        ET.fromstring(still)
        assert "var(" not in still and "class=" not in still


def test_while_a_storm_goes_on_nothing_can_be_pressed() -> None:
    scene = shown(chaos(storm=(1, 8)), free=False)
    pressed = [one for one in found(scene) if "data-command" in one[1]]
    assert pressed and all(one[1].get("aria-disabled") == "true" for one in pressed)
    (kill,) = found(shown(CALM, busy=frozenset({"relay"})), aria_label="kill relay")
    assert kill[1]["aria-disabled"] == "true"


# What its controls do.


class FakePart:
    def __init__(self) -> None:
        self.state = "running"


class FakeStore:
    def __init__(self) -> None:
        self.now = ALL_DONE

    def counts(self) -> Counts:
        return self.now


class FakeQueue:
    """Does what it is told, and keeps a list of it."""

    def __init__(self) -> None:
        self.lab = FakeChaosLab()
        self.names, self.store = Names("photo"), FakeStore()
        self.parts = {one.name: FakePart() for one in PARTS}
        self.ended = False
        self.done: list[tuple[str, str]] = []
        self.audits: list[Audit | Exception] = [SETTLED]

    def kill(self, name: str) -> None:
        self._do("kill", name, "killed")

    def start(self, name: str) -> None:
        self._do("start", name, "running")

    def pause(self, name: str) -> None:
        self._do("pause", name, "paused")

    def resume(self, name: str) -> None:
        self._do("resume", name, "running")

    def audit(self) -> Audit:
        latest = self.audits[-1]
        if isinstance(latest, Exception):
            raise latest
        return latest

    def _do(self, verb: str, name: str, state: str) -> None:
        self.done.append((verb, name))
        self.parts[name].state = state


class FakeChaosLab(fakes.FakeLab):
    def repair(self) -> list[str]:
        return ["broker-2 started in 2.0 s"]


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> FakeQueue:
    monkeypatch.setattr(chaos_panel, "COUNT_EVERY", 0.02)
    monkeypatch.setattr(chaos_panel, "AUDIT_EVERY", 0.02)
    return FakeQueue()


Make = Callable[..., ChaosPanel]


@pytest.fixture
def make(queue: FakeQueue) -> Iterator[Make]:
    made: list[ChaosPanel] = []

    def one(seen: Snapshot | None = None) -> ChaosPanel:
        made.append(ChaosPanel(queue, FakeObserver(seen or snapshot())))  # type: ignore[arg-type]
        return made[-1]

    yield one
    for view in made:
        view.close()


def test_a_part_is_killed_and_started_again(make: Make, queue: FakeQueue) -> None:
    panel = make()
    panel.press("kill", part="relay")
    assert until(lambda: notice(panel) == ("done", "relay was killed (SIGKILL)"))
    panel.press("pause", part="worker-1")
    assert until(lambda: notice(panel) == ("done", "worker-1 is frozen"))
    panel.repair()
    assert until(lambda: "worker-1 goes on" in notice(panel)[1])
    assert queue.done == [
        ("kill", "relay"),
        ("pause", "worker-1"),
        ("start", "relay"),
        ("resume", "worker-1"),
    ]
    assert [said for _, said in panel.look().log][:2] == [
        "relay was killed (SIGKILL)",
        "worker-1 is frozen",
    ]


def test_a_node_of_the_lab_is_killed(make: Make, queue: FakeQueue) -> None:
    panel = make()
    panel.press("kill", part="broker-2")
    assert until(lambda: queue.lab.brokers[2].done == ["kill"])


def test_what_it_does_not_know_is_refused(make: Make) -> None:
    panel = make()
    panel.press("burn", part="relay")
    assert until(lambda: "no control 'burn'" in panel.problem)
    with pytest.raises(SettingError, match="seed can be 1 to 99"):
        panel.storm(seed=0)
    panel.press("send", count="many")
    assert until(lambda: "'many' is none" in panel.problem)


def test_a_storm_needs_everything_to_run(make: Make, queue: FakeQueue) -> None:
    queue.parts["relay"].state = "killed"
    panel = make()
    panel.storm()
    assert until(lambda: "relay must run before a storm" in panel.problem)


def test_it_audits_by_itself_while_something_moves(make: Make, queue: FakeQueue) -> None:
    panel = make()
    assert panel.results(5) == SETTLED
    queue.store.now = dataclasses.replace(ALL_DONE, queued=2)
    queue.audits.append(dataclasses.replace(SETTLED, accepted=202, missing=("a", "b")))
    assert until(lambda: panel.look().missing == 2)
    assert verdict(panel.look())[0] == "lost"
    with pytest.raises(NodeFailedError, match="every picture's outcome"):
        panel.results(0.2)


def test_an_audit_that_cannot_be_made_is_told(make: Make, queue: FakeQueue) -> None:
    panel = make()
    panel.results(5)
    queue.audits.append(UnreachableError("away"))
    panel.audit()
    assert until(lambda: "nobody knows: start what is down" in panel.problem, 30)
    assert panel.look().audit == SETTLED, "what was found last still stands, with its age"


def test_a_queue_that_has_ended_is_told(make: Make, queue: FakeQueue) -> None:
    panel = make()
    queue.ended = True
    panel.press("kill", part="relay")
    assert until(lambda: panel.problem == chaos_panel.ENDED)
    assert panel.look().problem == chaos_panel.ENDED and queue.done == []


def test_a_lab_that_is_gone_is_told(make: Make) -> None:
    assert verdict(make(fakes.lost()).look()) == (
        "warned",
        "no broker answers: lab.repair() starts what is down.",
    )


# A real queue.


@pytest.mark.cluster
def test_a_real_relay_dies_and_nothing_is_missing(lab: Lab) -> None:
    with MLQueue(lab, "chaos") as queue:
        queue.begin(workers=1)
        panel = ChaosPanel(queue)
        try:
            panel.send(40)
            assert panel.results(60).accepted == 40
            panel.press("kill", part="relay")
            panel.send(30)
            waits = panel.wait_until(lambda now: now.counts.accepted == 30, 60, "30 in the outbox")
            assert waits.down == ("relay",) and verdict(waits)[0] == "warned"
            panel.press("start", part="relay")
            end = panel.results(60)
            assert (end.accepted, end.missing, end.duplicate_effects) == (70, (), 0)
        finally:
            panel.close()


@pytest.mark.cluster
@pytest.mark.faults
def test_a_storm_is_told_fault_by_fault(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chaos_panel, "ZOOKEEPER_AWAY", 1.0)
    with MLQueue(lab, "chaos") as queue:
        queue.begin(workers=2)
        panel = ChaosPanel(queue)
        try:
            panel.storm(seed=3, pictures=200)
            during = panel.wait_until(lambda now: bool(now.storm and now.storm[0]), 60, "a fault")
            assert during.storm is not None and during.storm[1] == 8
            panel.press("kill", part="relay")
            assert until(lambda: "A storm goes on" in panel.problem, 10)
            end = panel.results(180)
            assert end.accepted >= 200 and end.missing == () and end.duplicate_effects == 0
            said = [line for _, line in panel.look().log]
            assert said[0].startswith("storm of seed 3") and said[-1] == "the storm is over"
            assert len(said) == 10
        finally:
            panel.close()


@pytest.mark.cluster
@pytest.mark.faults
def test_closing_it_in_a_storm_puts_right_what_is_under_way(lab: Lab) -> None:
    with MLQueue(lab, "chaos") as queue:
        queue.begin(workers=1)
        panel = ChaosPanel(queue)
        panel.storm(seed=3, pictures=100)
        panel.wait_until(lambda now: bool(now.storm and now.storm[0]), 60, "a fault")
        panel.close()
        deadline = time.monotonic() + 30
        while lab.state != "usable" and time.monotonic() < deadline:
            time.sleep(0.1)
        assert lab.state == "usable"
        assert all(part.running for part in queue.parts.values())
