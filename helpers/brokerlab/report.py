"""What a verb did to a node, and what was measured meanwhile."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Report:
    """What a verb did, and what was measured while it did it.

    Attributes
    ----------
    node, verb : str
        ``broker-2``, ``killed``.
    seconds : float
        How long the verb itself took.
    noticed : float or None
        Seconds from the start of the verb until the broker was no longer listed (or listed again) by `keeper`.
    led : int
        How many partitions the broker led before.
    new_leaders : float or None
        Seconds until each of these had another leader; None if some have not found one.
    without_leader : tuple of str
        Partitions that have no leader now.
    notes : tuple of str
        What did not happen in time, or happened beside it.
    keeper : str
        Who keeps the list of the brokers: ``ZooKeeper`` or ``the controller``.
    """

    node: str
    verb: str
    seconds: float
    noticed: float | None = None
    led: int = 0
    new_leaders: float | None = None
    without_leader: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    keeper: str = "ZooKeeper"

    def __str__(self) -> str:
        parts = [f"{self.node} {self.verb} in {self.seconds:.1f} s"]
        if self.noticed is not None:
            gone = "listed it again" if self.verb in ("started", "resumed") else "noticed"
            parts.append(f"{self.keeper} {gone} after {self.noticed:.1f} s")
        if self.new_leaders is not None:
            plural = (
                "partition has a new leader" if self.led == 1 else "partitions have new leaders"
            )
            parts.append(f"its {self.led} {plural} after {self.new_leaders:.1f} s")
        if self.without_leader:
            parts.append(f"without a leader: {', '.join(self.without_leader)}")
        return "; ".join([*parts, *self.notes])

    __repr__ = __str__
