"""Who reads which partition: a consumer group, and the processes that are its members."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import psutil

from brokerlab import programs
from brokerlab.errors import BrokerLabError
from brokerlab.groups import GroupObserver, GroupView
from brokerlab.observe import snapshot
from brokerlab.widgets.assignment_facts import Assignment, Card
from brokerlab.widgets.assignment_history import AssignmentHistory
from brokerlab.widgets.assignment_picture import MOST_LANES, SECONDS, AssignmentPicture
from brokerlab.widgets.base import Command, LiveView
from brokerlab.widgets.inputs import Choice, Input
from brokerlab.widgets.scene import Element

if TYPE_CHECKING:
    from brokerlab.lab import Lab

MOST = 8
"""Members that can run at once."""

ASSIGNORS = ("range", "roundrobin", "cooperative-sticky")
UNKNOWN_LANES = 3
LAST_WORDS = 3.0
"""Seconds for a member to close when the board ends."""

FIRST_LOOK = 3.0
"""Seconds that a new board waits for the cluster's first answer."""


class AssignmentBoard(LiveView[Assignment]):
    """A live board of a consumer group: its partitions and who owns them, its members and what they do.

    The members are processes of a program of the learner's. Its command line is *client file, topic, group,
    name, assignor*; the name must be its ``client.id``, by which the group knows it. It prints lines
    ``assigned 0 2``, ``revoked 0 2``, ``lost 0 2`` (partitions), ``read 0 17`` (partition and offset) and may
    print others. SIGTERM asks it to close. All members end with the view.

    Parameters
    ----------
    lab : Lab
        The lab whose cluster they talk to.
    topic : str
        The topic that the members read.
    group : str
        Their group.
    program : str
        The program, as given to ``%%program``.
    assignor : str
        How members share, for those that are added next: one of `ASSIGNORS`.
    observer : GroupObserver, optional
        Who looks at the group; the board makes (and closes) one of its own, if not given.
    """

    title = "Consumer group"
    variable: ClassVar[str] = "board"

    def __init__(
        self,
        lab: Lab,
        topic: str,
        group: str,
        program: str = "member.py",
        assignor: str = "range",
        observer: GroupObserver | None = None,
    ) -> None:
        self._lab = lab
        self._topic = topic
        self._group = group
        self._program = program
        self._assignor = self._choice(assignor).check(assignor)
        self._members: tuple[_Member, ...] = ()
        found = snapshot(lab).topic(topic)
        self._lanes = min(len(found.partitions), MOST_LANES) if found else UNKNOWN_LANES
        self._observer = observer or _watch(lab, group, topic)
        self._own_observer = observer is None
        self._history = AssignmentHistory(topic, SECONDS)
        self._changing = threading.Lock()
        self._latest = self._assignment(self._observer.latest)
        super().__init__()
        self._unsubscribe = self._observer.subscribe(self._see)

    # What a lesson calls.

    @property
    def programs(self) -> dict[int, programs.Program]:
        """Number of a member -> its process, for all that were started, ended ones too."""
        return {member.number: member.program for member in self._members}

    def add(self, members: int = 1) -> None:
        """Start so many more members, with the assignor that is chosen when they start."""
        for _ in range(members):
            self.press("add")

    def close_member(self, number: int) -> None:
        """Ask a member to close (SIGTERM)."""
        self.press("close", number=number)

    def kill(self, number: int) -> None:
        """Kill a member's process (SIGKILL), as a crash would."""
        self.press("kill", number=number)

    def pause(self, number: int) -> None:
        """Freeze a member's process (SIGSTOP)."""
        self.press("pause", number=number)

    def resume(self, number: int) -> None:
        """Let a frozen member go on (SIGCONT)."""
        self.press("resume", number=number)

    def settle(self, members: int | None = None, timeout: float = 30.0) -> Assignment:
        """Wait until all that was pressed is done and the group is settled; return that look.

        Parameters
        ----------
        members : int, optional
            How many members it must have; as many as it has, if not given.
        timeout : float
            Seconds to wait at most.

        Raises
        ------
        NodeFailedError
            It was not within `timeout` seconds.
        """
        called = time.time()

        def there(now: Assignment) -> bool:
            fresh = now.taken >= called and not self.pending
            return fresh and now.settled and members in (None, len(now.group.members))

        many = "" if members is None else f" with {members} members"
        return self.wait_until(there, timeout, f"the group {self._group} to be stable{many}")

    # What the base asks.

    @property
    def subject(self) -> str:
        return f"{self._topic} {self._group}"

    def look(self) -> Assignment:
        return self._latest

    def draw(self, seen: Assignment) -> Element:
        return AssignmentPicture(seen, self._lanes, self.variable, self._busy()).picture()

    def inputs(self) -> Sequence[Input]:
        return (self._choice(self._assignor),)

    def change(self, name: str, value: Any) -> str:
        self._assignor = value
        return f"Members added from now on share by {value}."

    def describe(self, command: Command) -> str:
        if command["kind"] == "add":
            return "starting a member …"
        return f"{command['kind']} member {command.get('number')} …"

    def run(self, command: Command) -> str:
        kind = command["kind"]
        if kind == "add":
            return self._add()
        if kind not in ("close", "kill", "pause", "resume"):
            return super().run(command)
        member = self._member(command.get("number"))
        if not member.program.running:
            raise BrokerLabError(f"{member.name} has ended already: press add for a new one.")
        self._do(kind, member)
        return f"{member.name}: {_DONE[kind]}"

    def release(self) -> None:
        self._unsubscribe()
        endings = [threading.Thread(target=member.end) for member in self._members]
        for ending in endings:
            ending.start()
        for ending in endings:
            ending.join()
        if self._own_observer:
            self._observer.close()

    def _add(self) -> str:
        if sum(member.program.running for member in self._members) >= MOST:
            raise BrokerLabError(
                f"{MOST} members run, and there is room for no more: close or kill one first."
            )
        seen = snapshot(self._lab)
        if not seen.reachable:
            raise BrokerLabError(f"The cluster does not answer. {seen.problem} Then press add.")
        if seen.topic(self._topic) is None:
            raise BrokerLabError(
                f"There is no topic {self._topic!r}: create it with kafka-topics.sh --create, then press add."
            )
        number = len(self._members) + 1
        name = f"member-{number}"
        program = programs.run(
            self._program,
            self._lab.client_file,
            self._topic,
            self._group,
            name,
            self._assignor,
        )
        with self._changing:
            self._members += (_Member(number, name, self._assignor, program),)
        self._refresh()
        return f"{name} was started ({self._assignor}); it joins when the group lets it in."

    def _do(self, kind: str, member: _Member) -> None:
        program = member.program
        {
            "close": program.stop,
            "kill": program.kill,
            "pause": program.pause,
            "resume": program.resume,
        }[kind]()
        self._refresh()

    def _member(self, number: Any) -> _Member:
        for member in self._members:
            if member.number == number:
                return member
        known = ", ".join(str(member.number) for member in self._members) or "none yet"
        raise BrokerLabError(f"There is no member {number!r} here: there are {known}.")

    def _busy(self) -> frozenset[int]:
        return frozenset(c["number"] for c in self.pending if isinstance(c.get("number"), int))

    def _choice(self, value: str) -> Choice:
        return Choice("assignor", "assignor of members added next", ASSIGNORS, value)

    def _see(self, view: GroupView) -> None:
        with self._changing:
            members = self._members
            kept = {
                number: member.name
                for member in members
                if _state(member.program) == "running"
                for number in member.keeps
            }
            dead = {member.name for member in members if not member.program.running}
            self._history.see(view, kept, dead)
        self._refresh(view)

    def _refresh(self, view: GroupView | None = None) -> None:
        with self._changing:
            self._latest = self._assignment(view or self._latest.group)
        self.touch()

    def _assignment(self, view: GroupView) -> Assignment:
        history = self._history
        return Assignment(
            self._topic,
            view,
            _latest_cards([member.card() for member in self._members]),
            history.phases,
            history.holds,
            history.rebalances,
            history.rebalancing_since,
            history.unread,
        )


_DONE = {
    "close": "asked to close (SIGTERM), and it has ended.",
    "kill": "killed (SIGKILL). The group does not know: it waits until the member's session is over.",
    "pause": "frozen (SIGSTOP). It sends no heartbeats now.",
    "resume": "goes on (SIGCONT).",
}


def _latest_cards(cards: list[Card]) -> tuple[Card, ...]:
    """Return as many cards as there is room for: all that are alive, and of the others the latest."""
    ended = [card for card in cards if not card.alive]
    room = MOST - (len(cards) - len(ended))
    left_out = ended[: max(0, len(ended) - room)]
    return tuple(card for card in cards if card not in left_out)


def _watch(lab: Lab, group: str, topic: str) -> GroupObserver:
    """Return an observer that has looked at the group, if the cluster answers within a moment."""
    observer = GroupObserver(lab, group, [topic])
    with contextlib.suppress(BrokerLabError):
        observer.wait_until(lambda seen: True, FIRST_LOOK)
    return observer


class _Member:
    """A process, and what it said of itself."""

    def __init__(self, number: int, name: str, assignor: str, program: programs.Program) -> None:
        self.number, self.name, self.assignor, self.program = number, name, assignor, program
        self.keeps: frozenset[int] = frozenset()
        self._records = 0
        self._said = ""
        program.subscribe(self._hear)

    def card(self) -> Card:
        return Card(
            self.number,
            self.name,
            self.assignor,
            _state(self.program),
            self.program.exit_code,
            self._records,
            tuple(sorted(self.keeps)),
            self._said,
        )

    def end(self) -> None:
        if self.program.running:
            self.program.resume()
            self.program.stop(LAST_WORDS)

    def _hear(self, line: str) -> None:
        word, *rest = line.split() or [""]
        numbers = [int(part) for part in rest if part.isdecimal()]
        if word == "read":
            self._records += 1
        elif word == "assigned":
            self.keeps |= frozenset(numbers)
        elif word in ("revoked", "lost"):
            self.keeps -= frozenset(numbers)
        else:
            self._said = line


def _state(program: programs.Program) -> str:
    code = program.exit_code
    if code is None:
        try:
            frozen = psutil.Process(program.pid).status() == psutil.STATUS_STOPPED
        except psutil.NoSuchProcess:
            frozen = False
        return "paused" if frozen else "running"
    return {0: "closed", -signal.SIGKILL: "killed"}.get(code, "failed")
