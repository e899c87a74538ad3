from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from brokerlab import programs
from brokerlab.errors import NodeFailedError, SettingError
from brokerlab.groups import GroupView
from brokerlab.widgets import AssignmentBoard, assignment_board
from brokerlab.widgets.assignment_board import MOST
from brokerlab.widgets.assignment_facts import Assignment, Card
from brokerlab.widgets.assignment_history import AssignmentHistory
from brokerlab.widgets.assignment_picture import AssignmentPicture
from brokerlab.widgets.scene import Element
from confluent_kafka.admin import AdminClient, NewTopic
from group_fakes import GROUP, NOW, TOPIC, FakeGroupObserver, FakeProgram, view
from widget_fakes import FakeLab, lost, notice, snapshot, topic, until

REBALANCING = "PREPARING_REBALANCING"


# What a group went through


def history(*views: GroupView, **extra: Any) -> AssignmentHistory:
    seen = AssignmentHistory(TOPIC, 40)
    for one in views:
        seen.see(one, **extra)
    return seen


def test_a_rebalance_lasts_from_not_stable_to_every_partition_owned() -> None:
    seen = history(
        view("STABLE", {"a": [0, 1, 2]}),
        view(REBALANCING, {"a": [], "b": []}, at=1),
        view("STABLE", {"a": [0, 1], "b": []}, at=2),
        view(REBALANCING, {"a": [], "b": []}, at=3),
    )
    assert seen.rebalancing_since == NOW + 1
    seen.see(view("STABLE", {"a": [0, 1], "b": [2]}, at=4))
    assert seen.rebalances == (pytest.approx(3),)
    assert seen.rebalancing_since is None


def test_a_rebalance_between_two_looks_counts_as_the_time_between_them() -> None:
    seen = history(
        view("STABLE", {"a": [0, 1, 2]}), view("STABLE", {"a": [0, 1], "b": [2]}, at=0.2)
    )
    assert seen.rebalances == (pytest.approx(0.2),)


def test_nothing_happened_while_nothing_changed() -> None:
    stable = [view("STABLE", {"a": [0, 1, 2]}, at=at) for at in range(4)]
    assert history(*stable).rebalances == ()
    assert history(*stable).unread == 0
    assert len(history(*stable).phases) == 1


def test_when_the_last_member_leaves_nothing_is_timed() -> None:
    seen = history(view("STABLE", {"a": [0, 1, 2]}), view(REBALANCING, at=1), view("EMPTY", at=2))
    seen.see(view("EMPTY", at=60))
    assert (seen.rebalances, seen.rebalancing_since) == ((), None)
    assert seen.unread == 0, "nobody wants to read an empty group's partitions"


def test_a_coordinator_that_does_not_answer_is_no_rebalance() -> None:
    stable = {"a": [0, 1, 2]}
    seen = history(view("STABLE", stable), view(None, at=1), view("STABLE", stable, at=9))
    assert (seen.rebalances, seen.unread) == ((), 0)
    assert [phase.state for phase in seen.phases] == ["STABLE", "UNKNOWN", "STABLE"]


def test_a_dead_owner_leaves_its_partition_unread_until_another_has_it() -> None:
    seen = history(view("STABLE", {"a": [0], "b": [1, 2]}))
    seen.see(view("STABLE", {"a": [0], "b": [1, 2]}, at=1), dead={"b"})
    assert [h.how for h in seen.holds if h.end is None] == ["assigned", "dead", "dead"]
    seen.see(view("STABLE", {"a": [0], "b": [1, 2]}, at=6), dead={"b"})
    assert seen.unread == pytest.approx(5)
    seen.see(view("STABLE", {"a": [0, 1, 2]}, at=7), dead={"b"})
    seen.see(view("STABLE", {"a": [0, 1, 2]}, at=20), dead={"b"})
    assert seen.unread == pytest.approx(6)
    assert {(h.partition, h.member) for h in seen.holds if h.end is None} == {
        (0, "a"),
        (1, "a"),
        (2, "a"),
    }


def test_while_the_group_rebalances_a_member_keeps_what_it_says() -> None:
    seen = history(view("STABLE", {"a": [0], "b": [1, 2]}))
    seen.see(view(REBALANCING, {"a": [], "b": []}, at=1), kept={0: "a", 1: "b"})
    now = {(h.partition, h.member, h.how) for h in seen.holds if h.end is None}
    assert now == {(0, "a", "kept"), (1, "b", "kept")}
    seen.see(view(REBALANCING, {"a": [], "b": []}, at=3), kept={0: "a", 1: "b"})
    assert seen.unread == pytest.approx(2), "partition 2 was given back"


def test_what_is_older_than_the_time_line_is_forgotten() -> None:
    seen = history(
        view("STABLE", {"a": [0, 1, 2]}),
        view("EMPTY", at=1),
        view("STABLE", {"b": [0, 1, 2]}, at=30),
        view("STABLE", {"b": [0, 1, 2]}, at=50),
    )
    assert {h.member for h in seen.holds} == {"b"}
    assert [phase.state for phase in seen.phases] == ["EMPTY", "STABLE"]


# The picture


def card(number: int, state: str = "running", **changes: Any) -> Card:
    code = {"running": None, "paused": None, "closed": 0, "killed": -9, "failed": 1}[state]
    whole: dict[str, Any] = {
        "number": number,
        "name": f"member-{number}",
        "assignor": "range",
        "state": state,
        "exit_code": code,
        "records": 0,
        "keeps": (),
        "said": "",
    }
    return Card(**(whole | changes))


def scene(
    group: GroupView, *cards: Card, lanes: int = 3, busy: frozenset[int] = frozenset()
) -> Element:
    past = history(group, dead={one.name for one in cards if not one.alive})
    seen = Assignment(
        TOPIC, group, cards, past.phases, past.holds, past.rebalances, past.rebalancing_since, 0.0
    )
    return AssignmentPicture(seen, lanes, "board", busy).picture()


def found(drawn: Element, attribute: str) -> dict[str, Element]:
    _, attributes, *children = drawn
    here = {attributes[attribute]: drawn} if attribute in attributes else {}
    for child in children:
        if isinstance(child, list):
            here |= found(child, attribute)
    return here


def words(drawn: Element) -> str:
    return " ".join(child if isinstance(child, str) else words(child) for child in drawn[2:])


def buttons(drawn: Element) -> dict[str, str]:
    """Label of a control -> its line of Python."""
    return {e[1]["aria-label"]: e[1]["data-code"] for e in found(drawn, "data-command").values()}


def test_a_member_shows_what_it_owns_and_an_idle_one_that_it_idles() -> None:
    shares = {"member-1": [0, 2], "member-2": [1], "member-3": []}
    drawn = scene(view("STABLE", shares), card(1, records=1234), card(2), card(3))
    cards = found(drawn, "data-member")
    assert "member-1 · 1,234 read" in words(cards["member-1"])
    assert [one[1]["data-words"] for one in cards.values()] == [
        "owns 0 2",
        "owns 1",
        "idle: nothing to read",
    ]
    assert found(drawn, "data-figure")["idle"][1]["data-value"] == "1"
    owners = found(drawn, "data-partition")
    assert [owners[n][1]["data-owner"] for n in "012"] == ["member-1", "member-2", "member-1"]
    assert "lag 20" in words(drawn)


def test_a_killed_member_says_what_waits_for_its_session() -> None:
    dead = scene(view("STABLE", {"member-1": [0], "member-2": [1, 2]}), card(1), card(2, "killed"))
    killed = found(dead, "data-member")["member-2"]
    assert killed[1]["data-words"] == "killed, its session goes on: 1 2 unread"
    assert "2 is dead" in words(dead)
    gone = scene(view("STABLE", {"member-1": [0, 1, 2]}), card(1), card(2, "killed"))
    assert found(gone, "data-member")["member-2"][1]["data-words"] == "killed"


@pytest.mark.parametrize(
    ("group", "one", "said"),
    [
        (view("STABLE"), card(1), "joining … "),
        (view(REBALANCING, {"member-1": []}), card(1, keeps=(0, 1)), "waiting, reads 0 1"),
        (view(REBALANCING, {"member-1": []}), card(1), "waiting"),
        (view("STABLE", {"member-1": [0]}), card(1, "paused"), "frozen, owns 0"),
        (view("EMPTY"), card(1, "closed"), "closed"),
        (view("EMPTY"), card(1, "failed", said="KeyError: 7"), "ended, exit code 1: KeyError: 7"),
        (view(None, problem="nobody answers"), card(1), "running"),
    ],
)
def test_each_state_of_a_member_has_its_words(group: GroupView, one: Card, said: str) -> None:
    drawn = scene(group, one)
    assert found(drawn, "data-member")["member-1"][1]["data-words"] == said


def test_a_member_with_another_assignor_than_the_group_reads_why_it_is_not_in() -> None:
    drawn = scene(
        view("STABLE", {"member-1": [0, 1, 2]}), card(1), card(2, assignor="cooperative-sticky")
    )
    assert found(drawn, "data-member")["member-2"][1]["data-words"] == "not in: group uses range"


@pytest.mark.parametrize(
    ("group", "said"),
    [
        (view("STABLE", {"member-1": [0, 1, 2]}), "stable"),
        (view(REBALANCING, {"member-1": []}), "rebalancing"),
        (view("EMPTY"), "empty"),
        (view("DEAD"), "no group yet"),
        (view(None, problem="the coordinator does not answer"), "not known"),
        (view("EMPTY", partitions=0), "is there such a topic?"),
        (view("STABLE", {"console": [0, 1, 2]}), "Members that were not started here: console"),
    ],
)
def test_each_state_of_the_group_has_its_words(group: GroupView, said: str) -> None:
    assert said in words(scene(group))


def test_the_picture_keeps_its_size_and_is_well_formed() -> None:
    many = scene(
        view("STABLE", {f"member-{n}": [n] for n in range(1, 9)}, partitions=9),
        *(card(n) for n in range(1, 9)),
    )
    empty = scene(view(None, problem="nobody & nothing <answers>"))
    assert many[1]["viewBox"] == empty[1]["viewBox"]
    assert "press add a member" in words(empty)
    assert "and 6 more partitions" in words(many)


def test_every_control_shows_its_line_of_python() -> None:
    drawn = scene(
        view("STABLE", {"member-1": [0], "member-2": [1]}),
        card(1),
        card(2, "paused"),
        card(3, "killed"),
    )
    assert buttons(drawn) == {
        "add a member": "board.add()",
        "close member-1": "board.close_member(1)",
        "kill member-1": "board.kill(1)",
        "pause member-1": "board.pause(1)",
        "resume member-2": "board.resume(2)",
        "kill member-2": "board.kill(2)",
    }
    for code in buttons(drawn).values():
        assert hasattr(AssignmentBoard, code.split(".")[1].split("(")[0])


def test_a_member_that_is_being_closed_cannot_be_pressed_again() -> None:
    drawn = scene(view("STABLE", {"member-1": [0]}), card(1), busy=frozenset({1}))
    controls = found(drawn, "data-command").values()
    assert {c[1]["aria-label"]: c[1].get("aria-disabled") for c in controls} == {
        "add a member": None,
        "close member-1": "true",
        "kill member-1": "true",
        "pause member-1": "true",
    }


# The live part, without a cluster


class Bench:
    """A board on fakes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        self.started: list[FakeProgram] = []
        self.cluster = snapshot(topics=(topic(TOPIC),))
        monkeypatch.setattr(assignment_board, "snapshot", lambda lab: self.cluster)
        monkeypatch.setattr(programs, "run", self._run)
        self.observer = FakeGroupObserver()
        lab: Any = FakeLab()
        observer: Any = self.observer
        self.board = AssignmentBoard(lab, TOPIC, GROUP, observer=observer, **options)

    def _run(self, *given: Any) -> FakeProgram:
        self.started.append(FakeProgram(*given))
        return self.started[-1]

    def said(self, kind: str, words: str) -> bool:
        """Wait until nothing is pending and the notice is of this kind and holds these words."""

        def there() -> bool:
            now, text = notice(self.board)
            return not self.board.pending and now == kind and words in text

        return until(there)

    def idle(self) -> None:
        assert until(lambda: not self.board.pending)

    def cards(self) -> dict[int, str]:
        return {one.number: one.state for one in self.board.look().cards}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(monkeypatch)
    yield made
    made.board.close()


def test_add_starts_the_program_with_what_it_needs(bench: Bench) -> None:
    bench.board.set(assignor="cooperative-sticky")
    bench.board.add(2)
    assert bench.said("done", "member-2 was started (cooperative-sticky)")
    common = ("member.py", str(FakeLab.client_file), TOPIC, GROUP)
    assert [program.words for program in bench.started] == [
        (*common, "member-1", "cooperative-sticky"),
        (*common, "member-2", "cooperative-sticky"),
    ]


def test_members_are_counted_by_their_own_lines(bench: Bench) -> None:
    bench.board.add()
    bench.idle()
    bench.started[0].say(
        "assigned 0 1 2", "read 0 17", "read 2 4", "revoked 1", "%5|rdkafka| hm", ""
    )
    bench.observer.show(view(REBALANCING, {"member-1": []}))
    (seen,) = bench.board.look().cards
    assert (seen.records, seen.keeps, seen.said) == (2, (0, 2), "")
    bench.started[0].say("Traceback", "KeyError: 7", "lost 0 2")
    bench.observer.show(view(REBALANCING, {"member-1": []}, at=1))
    (seen,) = bench.board.look().cards
    assert (seen.keeps, seen.said) == ((), "KeyError: 7")


def test_each_verb_reaches_its_process(bench: Bench) -> None:
    bench.board.add(4)
    bench.board.close_member(1)
    bench.board.kill(2)
    bench.board.pause(3)
    bench.board.resume(3)
    bench.idle()
    assert [program.done for program in bench.started] == [
        ["stop"],
        ["kill"],
        ["pause", "resume"],
        [],
    ]
    assert bench.cards() == {1: "closed", 2: "killed", 3: "running", 4: "running"}


def test_what_cannot_be_done_is_said_in_place(bench: Bench) -> None:
    bench.board.kill(7)
    assert bench.said("error", "There is no member 7 here: there are none yet.")
    bench.board.add()
    bench.board.kill(1)
    bench.idle()
    bench.board.press("close", number="one")
    assert bench.said("error", "There is no member 'one'")
    bench.board.close_member(1)
    assert bench.said("error", "member-1 has ended already: press add for a new one.")
    bench.board.press("dance")
    assert bench.said("error", "no control 'dance'")


def test_ten_presses_at_once_start_eight_members(bench: Bench) -> None:
    bench.board.add(10)
    assert bench.said("error", "8 members run, and there is room for no more")
    assert len(bench.started) == MOST
    bench.board.kill(1)
    bench.board.add()
    assert bench.said("done", "member-9 was started")
    assert sorted(bench.cards()) == [2, 3, 4, 5, 6, 7, 8, 9], "the dead one makes room on the board"


def test_without_cluster_or_topic_no_member_starts(bench: Bench) -> None:
    bench.cluster = lost()
    bench.board.add()
    assert bench.said("error", "The cluster does not answer.")
    bench.cluster = snapshot(topics=())
    bench.board.add()
    assert bench.said("error", "There is no topic 'photos'")
    assert not bench.started


def test_an_assignor_must_be_one_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingError, match="'range', 'roundrobin', 'cooperative-sticky'"):
        Bench(monkeypatch, assignor="sticky")


def test_settle_waits_for_the_group_to_have_the_living(bench: Bench) -> None:
    bench.board.add(2)
    bench.idle()
    later = time.time() - NOW + 60

    def show(state: str, **shares: list[int]) -> None:
        named = {name.replace("_", "-"): share for name, share in shares.items()}
        bench.observer.show(view(state, named, at=later))

    show("STABLE", member_1=[0, 1, 2])
    assert not bench.board.look().settled, "member-2 has not joined"
    show(REBALANCING, member_1=[], member_2=[])
    assert not bench.board.look().settled
    show("STABLE", member_1=[0, 1], member_2=[])
    assert not bench.board.look().settled, "partition 2 has no owner"
    show("STABLE", member_1=[0, 1], member_2=[2])
    assert bench.board.settle(2, timeout=1).shares == {"member-1": (0, 1), "member-2": (2,)}
    bench.board.kill(2)
    bench.idle()
    assert not bench.board.look().settled, "the group still counts on a dead member"
    show("STABLE", member_1=[0, 1, 2])
    assert bench.board.settle(1, timeout=1).idle == ()
    with pytest.raises(NodeFailedError, match="to be stable with 5 members"):
        bench.board.settle(5, timeout=0.2)


def test_a_closed_board_ends_every_member(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    bench.board.add(3)
    bench.board.kill(2)
    bench.idle()
    bench.board.close()
    assert [program.done for program in bench.started] == [
        ["resume", "stop"],
        ["kill"],
        ["resume", "stop"],
    ]
    assert not bench.observer.callbacks
    assert not bench.observer.closed, "the observer was given, so it is not the board's"


def test_a_newer_board_of_the_same_group_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = Bench(monkeypatch)
    earlier.board.add()
    earlier.idle()
    later = Bench(monkeypatch)
    try:
        assert until(lambda: earlier.started[0].done == ["resume", "stop"])
        assert earlier.board.state["ended"]
    finally:
        later.board.close()


def test_the_still_is_xml_and_holds_no_control(bench: Bench) -> None:
    bench.board.add()
    bench.idle()
    bench.observer.show(view("STABLE", {"member-1": [0, 1, 2], "a & b": []}))
    text = "".join(ET.fromstring(bench.board.still()).itertext())
    assert "a & b" in text
    assert "add a member" not in text


# With a cluster

MEMBER = """
import signal, sys, threading
from brokerlab.access import read_client
from confluent_kafka import Consumer
client_file, topic, group, name, assignor = sys.argv[1:]
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
consumer = Consumer({**read_client(client_file), "group.id": group, "client.id": name,
    "partition.assignment.strategy": assignor, "session.timeout.ms": 4000, "heartbeat.interval.ms": 300,
    "auto.offset.reset": "earliest"})
def tell(word):
    return lambda _, partitions: print(word, *(p.partition for p in partitions))
consumer.subscribe([topic], on_assign=tell("assigned"), on_revoke=tell("revoked"), on_lost=tell("lost"))
while not stop.is_set():
    message = consumer.poll(0.2)
    if message is not None and message.error() is None:
        print("read", message.partition(), message.offset())
consumer.close()
"""

Board = Callable[..., AssignmentBoard]


@pytest.fixture
def board(lab: Any) -> Iterator[Board]:
    made: list[AssignmentBoard] = []
    lab.delete_topics("shots")
    admin = AdminClient({**lab.client, "log_level": 0})
    admin.create_topics([NewTopic("shots", 3, 3)])["shots"].result(15)
    programs.write("shooter.py", MEMBER)

    def one(group: str, **options: Any) -> AssignmentBoard:
        made.append(AssignmentBoard(lab, "shots", group, program="shooter.py", **options))
        return made[-1]

    yield one
    for shown in made:
        shown.close()
    lab.delete_topics("shots")


@pytest.mark.cluster
def test_the_board_shows_what_its_members_are(board: Board) -> None:
    shown = board("shooters")
    shown.add(4)
    seen = shown.settle(4)
    assert sorted(map(len, seen.shares.values())) == [0, 1, 1, 1]
    assert len(seen.idle) == 1
    owner = next(one for one in seen.cards if seen.partitions(one.name))
    shown.close_member(owner.number)
    seen = shown.settle(3)
    assert seen.idle == ()
    at_the_close = seen.unread
    shown.kill(seen.cards[-1].number)
    dead = shown.wait_until(
        lambda now: any(hold.how == "dead" and hold.end is None for hold in now.holds),
        what="a dead owner",
    )
    assert dead.group.state == "STABLE", "the coordinator has not noticed"
    seen = shown.settle(2)
    assert at_the_close < seen.unread
    assert seen.unread > 3, "the session lasts 4 s, and its last heartbeat was at most 0.3 s old"


@pytest.mark.cluster
def test_a_lost_cluster_is_said_and_found_again(lab: Any, board: Board) -> None:
    shown = board("survivors")
    shown.add()
    shown.settle(1)
    for broker in lab.brokers.values():
        broker.kill()
    try:
        shown.wait_until(lambda now: now.group.state is None, 30, "the group to be unknown")
        assert "not known" in words(shown.draw(shown.look()))
        shown.add()
        assert until(lambda: "The cluster does not answer" in shown.problem, 20)
    finally:
        lab.repair()
    shown.wait_until(lambda now: now.group.state is not None, 60, "the group to be known again")


@pytest.mark.cluster
def test_all_processes_end_with_the_board(board: Board) -> None:
    shown = board("leavers")
    shown.add(2)
    shown.settle(2)
    shown.pause(2)
    running = list(shown.programs.values())
    assert until(lambda: not shown.pending)
    shown.close()
    assert not any(program.running for program in running)
