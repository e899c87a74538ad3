"""The acks ladder: what it draws, what its controls do, and a real leader frozen and killed."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
import widget_fakes as fakes
from brokerlab.errors import NodeFailedError, SettingError
from brokerlab.observe import Snapshot
from brokerlab.traffic import Ledger
from brokerlab.widgets import AcksLadder, acks_ladder
from brokerlab.widgets.acks_picture import FLAG_AT, Climb, Replica, Rung, ladder
from brokerlab.widgets.scene import Element, to_svg
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from widget_fakes import FakeObserver, found, notice, snapshot, topic, until, words

TOPIC = "ladder"
LEADER = Replica(2, "running", True)
FOLLOWERS = (Replica(1, "running", True), Replica(3, "running", True))
DONE = Rung("1", "done", 1000, 0, 1000, 0, 700, 300, 12, 250.0, 1.25, "linger 5 ms")


def climb(*rungs: Rung, **changes: Any) -> Climb:
    shown = {rung.acks: rung for rung in rungs}
    whole = tuple(shown.get(acks, Rung(acks)) for acks in ("0", "1", "all"))
    return dataclasses.replace(Climb(fakes.BEGIN, TOPIC, 1000, whole, LEADER, FOLLOWERS), **changes)


def rung(scene: Element, acks: str) -> Element:
    (one,) = found(scene, data_rung=acks)
    return one


# What it draws.


def test_an_idle_ladder_explains_what_each_rung_counts() -> None:
    scene = ladder(climb(), ())
    assert "counts when it has left the program" in words(rung(scene, "0"))
    assert "counts when the leader has it" in words(rung(scene, "1"))
    assert "counts when the followers in sync have it too" in words(rung(scene, "all"))
    assert "sent" not in words(rung(scene, "all")).split()


def test_the_flags_stand_one_behind_the_other() -> None:
    assert FLAG_AT["0"] < FLAG_AT["1"] < FLAG_AT["all"]


def test_a_run_that_is_over_shows_its_figures_and_what_is_wrong() -> None:
    drawn = rung(ladder(climb(DONE), ()), "1")
    said = {e[1]["data-figure"]: e[1]["data-value"] for e in found(drawn) if "data-figure" in e[1]}
    assert said == {
        "sent": 1000,
        "waiting": 0,
        "acknowledged": 1000,
        "in the log": "700",
        "lost": "300",
        "twice": "12",
    }
    assert "99 % acknowledged in 1.2 s · 250 a second · linger 5 ms" in words(drawn)
    alarms = [e for e in found(drawn) if e[1].get("class") == "bl-alarm"]
    assert len(alarms) == 2


def test_what_is_not_known_yet_is_not_a_number() -> None:
    sending = Rung("all", "sending", 400, 30, 370, 0, None, None, None)
    drawn = rung(ladder(climb(sending), ()), "all")
    values = [e[1]["data-value"] for e in found(drawn, role="img")]
    assert values == ["…", "…", "…"]


def test_the_brokers_show_how_they_stand() -> None:
    gone = (Replica(1, "running", True), Replica(2, "killed", False))
    scene = ladder(climb(leader=Replica(3, "paused", True), followers=gone), ())
    assert found(scene, data_replica=3, data_state="paused")
    (killed,) = found(scene, data_replica=2)
    assert killed[1]["aria-label"] == "broker 2: killed, out of sync"
    assert "no leader" in words(ladder(climb(leader=None), ()))


def test_the_height_never_changes_and_the_still_is_well_formed() -> None:
    cases = [climb(), climb(DONE), climb(leader=None, followers=(), problem="No broker answers.")]
    assert len({ladder(seen, ())[1]["viewBox"] for seen in cases}) == 1
    for seen in cases:
        still = to_svg(ladder(seen, ()))
        ET.fromstring(still)
        assert "var(" not in still and "class=" not in still
    ET.fromstring(to_svg(ladder(climb(topic='a"<b>&c'), ())))


# What its controls do.


class FakeBroker:
    def __init__(self, lab: FakeLadderLab, number: int) -> None:
        self._lab = lab
        self.id, self.name, self.state = number, f"broker-{number}", "running"

    def pause(self, watch: bool = True) -> str:
        assert not watch, "a short freeze cannot wait until the cluster notices"
        return self._do("paused")

    def kill(self, watch: bool = True) -> str:
        assert not watch
        return self._do("killed")

    def resume(self) -> str:
        return self._do("running")

    def _do(self, state: str) -> str:
        self.state = state
        self._lab.done.append((self.id, state))
        return f"{self.name} {state} in 0.0 s"


class FakeLadderLab(fakes.FakeLab):
    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[int, str]] = []
        self.brokers = {n: FakeBroker(self, n) for n in (1, 2, 3)}  # type: ignore[assignment]
        self.repaired = ["broker-2 started in 2.0 s"]

    def repair(self) -> list[str]:
        return self.repaired


class FakeTraffic:
    """Acknowledges what it is told to, of all that it was asked to send."""

    made: ClassVar[list[FakeTraffic]] = []
    most: ClassVar[int] = 1000

    def __init__(self, lab: Any, topic: str, **options: Any) -> None:
        self.options = options
        self.stopped = False
        FakeTraffic.made.append(self)

    @property
    def ledger(self) -> Ledger:
        sent = self.options["count"]
        return Ledger(sent, tuple(range(self.most)), {}, 0, sent - self.most, 0, {})

    def stop(self, timeout: float = 30.0) -> Ledger:
        self.stopped = True
        return self.ledger


class FakeRecord:
    def __init__(self, text: str) -> None:
        self.text = text


Make = Callable[..., AcksLadder]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeTraffic], list[str]]:
    """Make senders and the log fakes: the function says what the log holds of each run."""
    FakeTraffic.made = []
    content: dict[str, Callable[[FakeTraffic], list[str]]] = {
        "of": lambda run: [f"{run.options['name']} {n}" for n in range(run.options["count"])]
    }

    def read(*_: Any) -> list[FakeRecord]:
        return [FakeRecord(text) for run in FakeTraffic.made for text in content["of"](run)]

    monkeypatch.setattr(acks_ladder, "Traffic", FakeTraffic)
    monkeypatch.setattr(acks_ladder, "records", read)
    monkeypatch.setattr(acks_ladder, "READ_EVERY", 0.01)
    monkeypatch.setattr(acks_ladder, "FROZEN_SECONDS", 0.01)
    monkeypatch.setattr(acks_ladder, "BEHIND_SECONDS", 0.01)
    return content  # type: ignore[return-value]


@pytest.fixture
def make(log: Any) -> Iterator[Make]:
    made: list[AcksLadder] = []

    def one(seen: Snapshot | None = None, **options: Any) -> AcksLadder:
        observer = FakeObserver(seen or snapshot(topics=(topic(TOPIC, 1),)))
        made.append(AcksLadder(FakeLadderLab(), TOPIC, observer=observer, **options))
        return made[-1]

    yield one
    for view in made:
        view.close()


def settings(run: FakeTraffic) -> dict[str, Any]:
    chosen: dict[str, Any] = run.options["settings"]
    return chosen


def test_send_makes_one_producer_for_each_acks(make: Make) -> None:
    view = make()
    view.set(idempotence="on", linger=50, rate=1000)
    view.send()
    rungs = view.results(10)
    assert {
        acks: (r.acknowledged, r.in_log, r.lost, r.twice) for acks, r in rungs.items()
    } == dict.fromkeys(("0", "1", "all"), (1000, 1000, 0, 0))
    made = {settings(run)["acks"]: run for run in FakeTraffic.made}
    assert {acks: settings(run)["enable.idempotence"] for acks, run in made.items()} == {
        "0": False,
        "1": False,
        "all": True,
    }
    assert {settings(run)["linger.ms"] for run in made.values()} == {50}
    assert {run.options["per_second"] for run in made.values()} == {1000}
    assert all(run.stopped for run in made.values())


def test_one_acks_alone(make: Make) -> None:
    view = make()
    view.set(acks="1")
    view.send()
    rungs = view.results(10)
    assert [rungs[acks].phase for acks in ("0", "1", "all")] == ["idle", "done", "idle"]


def test_lost_and_twice_are_what_the_log_says(make: Make, log: Any) -> None:
    def holds(run: FakeTraffic) -> list[str]:
        name = run.options["name"]
        return [f"{name} {n}" for n in range(10, 1000)] + [f"{name} 11", f"{name} 12"]

    log["of"] = holds
    view = make()
    view.send()
    one = view.results(10)["1"]
    assert (one.in_log, one.lost, one.twice) == (990, 10, 2)


def test_while_photos_wait_ten_presses_send_once_and_say_why(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeTraffic, "most", 400)
    view = make()
    view.set(acks="all")
    for _ in range(10):
        view.send()
    assert until(lambda: not view.pending and view.look().rung("all").in_log == 1000)
    assert len(FakeTraffic.made) == 1
    assert view.problem.startswith("acks=all is still at work")
    with pytest.raises(NodeFailedError, match="every photo to be accounted for"):
        view.results(0.3)
    monkeypatch.setattr(FakeTraffic, "most", 1000)
    assert view.results(10)["all"].phase == "done"


def test_freeze_pauses_the_leader_and_lets_it_go_on(make: Make) -> None:
    view = make()
    view.freeze()
    assert until(lambda: notice(view)[0] == "done")
    assert view._lab.done == [(1, "paused"), (1, "running")]


def test_kill_and_kill_behind(make: Make) -> None:
    view = make()
    view.kill()
    assert until(lambda: view._lab.done == [(1, "killed")])
    view._lab.done.clear()
    view.kill_behind()
    assert until(lambda: "its followers were frozen" in notice(view)[1])
    assert view._lab.done == [
        (2, "paused"),
        (3, "paused"),
        (1, "killed"),
        (2, "running"),
        (3, "running"),
    ]


def test_restart_tells_what_was_started(make: Make) -> None:
    view = make()
    view.restart()
    assert until(lambda: notice(view) == ("done", "broker-2 started in 2.0 s"))
    view._lab.repaired = []
    view.restart()
    assert until(lambda: notice(view) == ("done", "every node is up"))


def test_without_topic_leader_or_cluster_it_says_so(make: Make) -> None:
    view = make(snapshot())
    view.send()
    assert until(lambda: view.problem.startswith("There is no topic ladder: create it"))
    leaderless = fakes.without(topic(TOPIC, 1, 1), 1)
    view = make(snapshot(topics=(leaderless,)))
    view.kill()
    assert until(lambda: view.problem == "ladder has no leader now: restart what is down.")
    view = make(fakes.lost())
    view.send()
    assert until(lambda: view.problem == fakes.lost().problem)
    assert "no broker answers" in words(view.state["view"]["picture"])
    assert FakeTraffic.made == []


def test_bad_input_is_a_sentence(make: Make) -> None:
    view = make()
    with pytest.raises(SettingError, match="acks can be 'each', '0', '1', 'all', and '2' is not"):
        view.set(acks="2")
    with pytest.raises(SettingError, match="rate can be 100 to 2000"):
        view.set(rate=10**9)
    with pytest.raises(SettingError, match="sends 1 to 5000 photos at a time, and 0 is not"):
        make(photos=0)
    view.press("explode")
    assert until(lambda: "The ladder has no control 'explode'" in view.problem)


def test_every_control_has_its_line_of_python(make: Make) -> None:
    view = make()
    controls = found(view.state["view"]["picture"], role="button")
    assert [control[1]["data-code"] for control in controls] == [
        "ladder.send()",
        "ladder.freeze()",
        "ladder.kill()",
        "ladder.kill_behind()",
        "ladder.restart()",
    ]
    for control in controls:
        name = control[1]["data-code"].removeprefix("ladder.").removesuffix("()")
        assert callable(getattr(view, name))


def test_closing_ends_threads_senders_and_lets_go(make: Make) -> None:
    view = make()
    view.send()
    view.results(10)
    view.close()
    assert not view._reader.is_alive()
    assert view._observer.callbacks == []
    assert all(run.stopped for run in FakeTraffic.made)
    assert repr(view) == "<AcksLadder ladder>"


# On a real cluster.


@pytest.fixture
def real(lab: Any) -> Iterator[AcksLadder]:
    lab.delete_topics(TOPIC)
    client = {**lab.client, "log_level": 0}
    admin = AdminClient(client)
    controller = admin.list_topics(timeout=10).controller_id
    order = sorted(lab.brokers, key=lambda broker: broker == controller)
    admin.create_topics([NewTopic(TOPIC, 1, replica_assignment=[order])])[TOPIC].result(15)
    ready = Producer(client)
    ready.produce(TOPIC, "ready")
    assert ready.flush(15) == 0
    view = AcksLadder(lab, TOPIC)
    view.set(rate=200)
    yield view
    view.close()
    lab.repair()
    lab.delete_topics(TOPIC)


@pytest.mark.cluster
def test_a_frozen_leader_makes_duplicates_and_idempotence_none(real: AcksLadder) -> None:
    real.set(idempotence="on")
    real.send()
    real.wait_until(lambda seen: (seen.rung("all").in_log or 0) > 50, 20, "the first photos")
    leader = real.look().leader.broker
    real.freeze()
    seen = real.results(60)
    assert {r.acknowledged for r in seen.values()} == {1000}
    assert seen["all"].lost == 0
    assert seen["all"].p99 > 0.3, "the freeze shows in the time to acknowledgement"
    if real.look().leader.broker == leader:
        # On a machine that is short of breath a freeze can cost the session, and another leads: a real loss.
        assert (seen["0"].lost, seen["1"].lost) == (0, 0)
        assert (seen["1"].twice or 0) > 0 and seen["all"].twice == 0


@pytest.mark.cluster
def test_a_leader_killed_with_its_followers_behind_loses_what_it_alone_had(
    lab: Any, real: AcksLadder
) -> None:
    real.send()
    real.wait_until(lambda seen: (seen.rung("all").in_log or 0) > 50, 20, "the first photos")
    killed = real.look().leader
    real.kill_behind()
    seen = real.results(60)
    assert (seen["1"].lost or 0) > 0
    assert (seen["all"].acknowledged, seen["all"].lost) == (1000, 0)
    assert killed is not None and lab.brokers[killed.broker].state == "killed"
    assert real.look().leader != killed
    real.restart()
    real.wait_until(
        lambda now: len(now.followers) == 2 and all(one.in_sync for one in now.followers),
        30,
        "all replicas to be in sync",
    )
