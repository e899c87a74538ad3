"""What the cluster says of a consumer group: its members, what each was assigned, what was committed, the lag."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brokerlab.lookout import Lookout
from brokerlab.observe import PERIOD

if TYPE_CHECKING:
    from brokerlab.lab import Lab

NOT_YET = "nothing is known of the group yet"


@dataclass(frozen=True)
class Member:
    """A member of a group.

    Attributes
    ----------
    id : str
        What the coordinator calls it: `client`, a hyphen, and something unique.
    client : str
        Its ``client.id``.
    partitions : tuple of (str, int)
        What it was assigned: topic and partition.
    """

    id: str
    client: str
    partitions: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Span:
    """A partition as its group sees it; offsets are None where nobody told.

    Attributes
    ----------
    topic, partition
    low, high : int or None
        The first offset that the log still holds; the high watermark, where the next record will be.
    committed : int or None
        What the group committed: the next offset it will read after a restart.
    """

    topic: str
    partition: int
    low: int | None
    high: int | None
    committed: int | None

    @property
    def lag(self) -> int | None:
        """Records that are committed in the log, but not by the group; all that there are, without a commit."""
        if self.high is None:
            return None
        begin = self.committed if self.committed is not None else self.low
        return None if begin is None else max(0, self.high - begin)


@dataclass(frozen=True)
class GroupView:
    """A consumer group at one moment.

    Attributes
    ----------
    taken : float
        Seconds since 1970.
    group : str
    state : str or None
        As the coordinator says: ``STABLE``, ``PREPARING_REBALANCING``, ``COMPLETING_REBALANCING``, ``EMPTY``,
        ``DEAD`` (no such group); None when it did not answer.
    members : tuple of Member
        By id.
    spans : tuple of Span
        Every partition of the topics that were asked for.
    problem : str or None
        What could not be asked, in words.
    """

    taken: float
    group: str
    state: str | None
    members: tuple[Member, ...]
    spans: tuple[Span, ...]
    problem: str | None

    @property
    def lag(self) -> int:
        """Sum of the lags that are known."""
        return sum(span.lag or 0 for span in self.spans)

    def owner(self, topic: str, partition: int) -> Member | None:
        """Return the member that was assigned a partition, or None."""
        return next((m for m in self.members if (topic, partition) in m.partitions), None)

    def span(self, topic: str, partition: int) -> Span | None:
        """Return a partition, or None if it is not known."""
        return next(
            (s for s in self.spans if (s.topic, s.partition) == (topic, partition)),
            None,
        )


def parse(group: str, line: str) -> GroupView | None:
    """Read one line of `brokerlab.groupwatch`; None if it is none."""
    try:
        seen: dict[str, Any] = json.loads(line)
        members = [
            Member(
                m["id"], m["client"], tuple((topic, number) for topic, number in m["partitions"])
            )
            for m in seen["members"]
        ]
        return GroupView(
            seen["taken"],
            group,
            seen["state"],
            tuple(sorted(members, key=lambda member: member.id)),
            tuple(Span(*span) for span in seen["spans"]),
            seen["problem"],
        )
    except (ValueError, KeyError, TypeError):
        return None


class GroupObserver(Lookout[GroupView]):
    """Keeps looking at a group, through a process of its own, and tells its subscribers.

    Parameters
    ----------
    lab : Lab
        Anything with `Lab.client_file`.
    group : str
        The group; it need not exist yet.
    topics : sequence of str
        The topics whose partitions, offsets and lag are wanted.
    period : float
        Seconds from one look to the next.
    """

    def __init__(
        self, lab: Lab, group: str, topics: Sequence[str] = (), period: float = PERIOD
    ) -> None:
        topics = (topics,) if isinstance(topics, str) else tuple(topics)
        self._group = group
        super().__init__(
            "brokerlab.groupwatch",
            [str(lab.client_file), str(period), group, *topics],
            f"watch of {group}",
            GroupView(time.time(), group, None, (), (), NOT_YET),
        )

    def read(self, line: str) -> GroupView | None:
        return parse(self._group, line)

    def tell(self, seen: GroupView) -> str:
        return (
            f"group {self._group} is {seen.state or 'unknown'} with {len(seen.members)} members: "
            f"{seen.problem or 'lab.status() shows whether a broker is down'}"
        )

    def __enter__(self) -> GroupObserver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
