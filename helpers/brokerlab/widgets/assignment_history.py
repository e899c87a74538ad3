"""What a group went through: its states, who held each partition, and how long each rebalance took."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from brokerlab.groups import GroupView

STABLE = "STABLE"
REBALANCING = ("PREPARING_REBALANCING", "COMPLETING_REBALANCING")


@dataclass(frozen=True)
class Phase:
    """A group was in one state from `begin` to `end` (unix time in seconds); `end` is None while it lasts."""

    state: str
    begin: float
    end: float | None = None


@dataclass(frozen=True)
class Hold:
    """A member held a partition.

    Attributes
    ----------
    partition : int
    member : str
        Its ``client.id``.
    how : str
        ``"assigned"``: the stable group says so; ``"kept"``: the group rebalances and does not say, the member
        itself says that it still reads it; ``"dead"``: the group says so, but the member's process is gone.
    begin, end : float
        Unix time in seconds; `end` is None while it lasts.
    """

    partition: int
    member: str
    how: str
    begin: float
    end: float | None = None


class AssignmentHistory:
    """Follows a group from look to look; so all times are as fine as the time between two looks.

    Parameters
    ----------
    topic : str
        The topic whose partitions count.
    seconds : float
        How far back `phases` and `holds` go.
    """

    def __init__(self, topic: str, seconds: float) -> None:
        self._topic = topic
        self._seconds = seconds
        self._before: GroupView | None = None
        self._begun: float | None = None
        self._phases: list[Phase] = []
        self._holds: list[Hold] = []
        self.rebalances: tuple[float, ...] = ()
        """Seconds of each rebalance: from the first look that is not stable to the one in which it is stable and
        every partition is owned. One that happened between two looks counts as the time between them."""
        self._read: set[int] = set()
        self._unread_since: dict[int, float] = {}
        self._unread = 0.0

    @property
    def rebalancing_since(self) -> float | None:
        """When the rebalance that is under way began, in unix seconds; None if there is none."""
        return self._begun

    @property
    def unread(self) -> float:
        """Seconds of the longest time that a partition, once it was read, had no living member; up to now."""
        now = self._before.taken if self._before else 0.0
        return max([self._unread, *(now - since for since in self._unread_since.values())])

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The group's states, oldest first."""
        return tuple(self._phases)

    @property
    def holds(self) -> tuple[Hold, ...]:
        """Who held which partition, oldest first."""
        return tuple(self._holds)

    def see(
        self, view: GroupView, kept: Mapping[int, str] | None = None, dead: Collection[str] = ()
    ) -> None:
        """Take in the next look.

        Parameters
        ----------
        view : GroupView
            The group as it is.
        kept : mapping of int to str, optional
            Partition -> the member that says that it reads it.
        dead : collection of str
            Members whose process is gone.
        """
        self._time(view)
        self._phases = _continued(self._phases, view)
        now = self._held(view, kept or {}, dead)
        self._miss(view, {number for number, (_, how) in now.items() if how != "dead"})
        self._holds = [
            hold
            if hold.end is not None or now.get(hold.partition) == (hold.member, hold.how)
            else replace(hold, end=view.taken)
            for hold in self._holds
        ]
        lasting = {hold.partition for hold in self._holds if hold.end is None}
        self._holds += [
            Hold(number, member, how, view.taken)
            for number, (member, how) in sorted(now.items())
            if number not in lasting
        ]
        self._forget(view.taken - self._seconds)
        self._before = view

    def _held(
        self, view: GroupView, kept: Mapping[int, str], dead: Collection[str]
    ) -> dict[int, tuple[str, str]]:
        if view.state == STABLE:
            return {
                number: (member.client, "dead" if member.client in dead else "assigned")
                for member in view.members
                for topic, number in member.partitions
                if topic == self._topic
            }
        if view.state in REBALANCING:
            return {
                number: (member, "kept") for number, member in kept.items() if member not in dead
            }
        return {}

    def _time(self, view: GroupView) -> None:
        before = self._before
        if view.state in REBALANCING:
            self._begun = view.taken if self._begun is None else self._begun
        elif view.state == STABLE and view.members:
            whole = self._whole(view)
            if self._begun is None and (not whole or _changed(before, view)):
                self._begun = before.taken if before else view.taken
            if self._begun is not None and whole:
                self.rebalances += (view.taken - self._begun,)
                self._begun = None
        elif view.state is not None:
            self._begun = None

    def _miss(self, view: GroupView, living: set[int]) -> None:
        if view.state != STABLE and view.state not in REBALANCING:
            # Nobody wants to read, or nobody knows.
            self._read.clear()
            self._unread_since.clear()
        for number in living & self._unread_since.keys():
            self._unread = max(self._unread, view.taken - self._unread_since.pop(number))
        self._read |= living
        for number in self._read - living:
            self._unread_since.setdefault(number, view.taken)

    def _whole(self, view: GroupView) -> bool:
        mine = [span.partition for span in view.spans if span.topic == self._topic]
        return bool(mine) and all(view.owner(self._topic, number) for number in mine)

    def _forget(self, before: float) -> None:
        self._phases = [p for p in self._phases if p.end is None or p.end > before]
        self._holds = [h for h in self._holds if h.end is None or h.end > before]


def _continued(phases: list[Phase], view: GroupView) -> list[Phase]:
    state = view.state or "UNKNOWN"
    if phases and phases[-1].state == state:
        return phases
    if phases:
        phases = [*phases[:-1], replace(phases[-1], end=view.taken)]
    return [*phases, Phase(state, view.taken)]


def _changed(before: GroupView | None, view: GroupView) -> bool:
    """Tell whether members or their partitions are others than a look earlier."""
    return before is not None and before.state is not None and before.members != view.members
