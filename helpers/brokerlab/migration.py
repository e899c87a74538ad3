"""The steps from ZooKeeper to controllers, as a notebook takes them on a lab of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from brokerlab import control

if TYPE_CHECKING:
    from brokerlab.lab import Lab


@dataclass(frozen=True)
class Step:
    """What one step did.

    Attributes
    ----------
    name : str
        The verb: ``join_brokers``.
    seconds : float
        How long it took.
    changes : dict of str to tuple of str
        Node -> how its properties file differs from the one before: ``+ key=value``, ``- key=value``.
    """

    name: str
    seconds: float
    changes: dict[str, tuple[str, ...]]

    def lines(self, *words: str) -> str:
        """Return what changed in the first node's file, in lines that hold one of these words; all, if none is given."""
        first: Sequence[str] = next(iter(self.changes.values()), ())
        chosen = [line for line in first if not words or any(word in line for word in words)]
        return "\n".join(chosen)

    def __str__(self) -> str:
        nodes = ", ".join(self.changes) or "ZooKeeper"
        return f"{self.name}: {nodes}, in {self.seconds:.1f} s"

    __repr__ = __str__


class Migration:
    """The verbs of a migration; each returns when it is done, and refuses when it is not its turn.

    Attributes
    ----------
    phase : str
        The last step that was taken; empty before the first.
    """

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    @property
    def phase(self) -> str:
        phase: str = self._lab.status()["phase"]
        return phase

    def start_controller(self) -> Step:
        """Start a controller that waits to take over: it knows ZooKeeper and the migration's flag."""
        return self._take("start_controller")

    def join_brokers(self) -> Step:
        """Restart each broker so that it knows the controller; the controller then copies what ZooKeeper knows."""
        return self._take("join_brokers")

    def move_brokers(self) -> Step:
        """Restart each broker without ZooKeeper; what changes is written to both until the last step but one."""
        return self._take("move_brokers")

    def finalise(self) -> Step:
        """Restart the controller without ZooKeeper: from here there is no way back."""
        return self._take("finalise")

    def stop_zookeeper(self) -> Step:
        """Stop ZooKeeper, for good."""
        return self._take("stop_zookeeper")

    def _take(self, step: str) -> Step:
        lab = self._lab
        answer = control.ask(lab.folder, lab.progress(), "migrate", step=step)
        lab.refresh()
        changes = {one["node"]: tuple(one["lines"]) for one in answer["changes"]}
        return Step(step, answer["seconds"], changes)

    def __repr__(self) -> str:
        return f"<Migration: {self.phase or 'not begun'}>"
