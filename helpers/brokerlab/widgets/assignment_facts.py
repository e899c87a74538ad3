"""A consumer group and the processes that were started as its members, at one moment."""

from __future__ import annotations

from dataclasses import dataclass

from brokerlab.groups import GroupView
from brokerlab.widgets.assignment_history import STABLE, Hold, Phase


@dataclass(frozen=True)
class Card:
    """A process that was started as a member.

    Attributes
    ----------
    number : int
    name : str
        Its ``client.id``.
    assignor : str
        What it was started with.
    state : str
        ``"running"``, ``"paused"``; ``"closed"`` (exit code 0), ``"killed"`` (SIGKILL), ``"failed"``.
    exit_code : int or None
        None while it runs.
    records : int
        How many it said that it read.
    keeps : tuple of int
        The partitions that it was assigned, by its own lines.
    said : str
        Its last line that is none of the contract's.
    """

    number: int
    name: str
    assignor: str
    state: str
    exit_code: int | None
    records: int
    keeps: tuple[int, ...]
    said: str

    @property
    def alive(self) -> bool:
        """Whether the process is there, running or paused."""
        return self.exit_code is None


@dataclass(frozen=True)
class Assignment:
    """A group and its members at one moment.

    Attributes
    ----------
    topic : str
    group : GroupView
        What the cluster says.
    cards : tuple of Card
        The processes in the order of their start; of those that ended the latest.
    phases, holds, rebalances, rebalancing_since, unread
        As in `AssignmentHistory`.
    """

    topic: str
    group: GroupView
    cards: tuple[Card, ...]
    phases: tuple[Phase, ...]
    holds: tuple[Hold, ...]
    rebalances: tuple[float, ...]
    rebalancing_since: float | None
    unread: float

    @property
    def taken(self) -> float:
        """Unix time in seconds of the look at the group."""
        return self.group.taken

    def partitions(self, name: str) -> tuple[int, ...]:
        """Return the partitions of the topic that the group gave to the member `name`."""
        return tuple(
            number
            for member in self.group.members
            if member.client == name
            for topic, number in member.partitions
            if topic == self.topic
        )

    @property
    def shares(self) -> dict[str, tuple[int, ...]]:
        """Member -> its partitions, by name; empty for one that idles."""
        return {m.client: self.partitions(m.client) for m in self.group.members}

    @property
    def idle(self) -> tuple[str, ...]:
        """Members of the stable group without a partition."""
        if self.group.state != STABLE:
            return ()
        return tuple(name for name, share in self.shares.items() if not share)

    @property
    def settled(self) -> bool:
        """Whether the group is stable, every partition owned, and the members are the processes that are alive."""
        members = {member.client for member in self.group.members}
        return (
            self.group.state == STABLE
            and self.rebalancing_since is None
            and all(card.alive == (card.name in members) for card in self.cards)
        )
