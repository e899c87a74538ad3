"""Who led a partition, and when: the past that a time line shows and the gaps that a clock counts."""

from __future__ import annotations

from dataclasses import dataclass, replace

from brokerlab.observe import NodeView, PartitionView, Snapshot

LED, SILENT, NONE, UNKNOWN = "led", "silent", "none", "unknown"
GAPS = (SILENT, NONE)


@dataclass(frozen=True)
class Reign:
    """A time in which a partition's leadership did not change.

    Attributes
    ----------
    begin, end : float
        Unix time in seconds; `end` is None while it lasts.
    kind : str
        ``led``; ``silent``: the metadata names a leader whose process does not run; ``none``: it names
        nobody; ``unknown``: nobody can be asked.
    broker : int or None
        The leader that the metadata names.
    """

    begin: float
    end: float | None
    kind: str
    broker: int | None = None


@dataclass(frozen=True)
class Leadership:
    """A partition's leadership now and lately; `gap_since` in unix time, `last` and `longest` in seconds."""

    reigns: tuple[Reign, ...]
    gap_since: float | None = None
    last: float | None = None
    longest: float | None = None

    @property
    def now(self) -> Reign:
        """What holds at present."""
        return self.reigns[-1]


def standing(
    partition: PartitionView, nodes: tuple[NodeView, ...], reachable: bool
) -> tuple[str, int | None] | None:
    """Return kind and leader of a partition, or None when there is no news of it."""
    states = {node.id: node.state for node in nodes if node.role == "broker"}
    if not states or "unknown" in states.values():
        return UNKNOWN, None
    if partition.leader is None:
        return NONE, None
    if states.get(partition.leader) != "running":
        return SILENT, partition.leader
    return (LED, partition.leader) if reachable else None


def after(
    before: Leadership | None, found: tuple[str, int | None] | None, at: float, keep: float
) -> Leadership:
    """Return the leadership with what was found at the time `at`; what ended `keep` s before is dropped."""
    if before is None:
        kind, broker = found or (UNKNOWN, None)
        return Leadership((Reign(at, None, kind, broker),), at if kind in GAPS else None)
    if found is None or found == (before.now.kind, before.now.broker):
        return before
    kind, broker = found
    ended = [*before.reigns[:-1], replace(before.now, end=at)]
    kept = [reign for reign in ended if reign.end is not None and reign.end > at - keep]
    reigns = (*kept, Reign(at, None, kind, broker))
    if kind in GAPS:
        return replace(before, reigns=reigns, gap_since=before.gap_since or at)
    if before.gap_since is None or kind == UNKNOWN:
        return replace(before, reigns=reigns, gap_since=None)
    last = at - before.gap_since
    return Leadership(reigns, None, last, max(last, before.longest or 0.0))


def why_silent(dead: list[int], seen: Snapshot) -> str:
    """Say what holds while the cluster still counts on brokers that are down, by their ids."""
    who = f"Broker {dead[0]}" if len(dead) == 1 else f"Brokers {', '.join(map(str, dead))}"
    keeper = "ZooKeeper" if seen.mode == "zookeeper" else "the controller"
    if not set(dead) <= set(seen.registered):
        return f"{who}: gone, says {keeper}. The controller takes over from here."
    verb = "does" if len(dead) == 1 else "do"
    return f"{who} {verb} not answer, but {keeper} has not noticed: acks=all still waits for it."
