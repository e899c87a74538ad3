"""A cluster on its way from ZooKeeper to its own controllers: both of them on one clock, a button for each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from brokerlab.errors import BrokerLabError
from brokerlab.kraft import MIGRATION_STEPS
from brokerlab.widgets.base import Command, LiveView
from brokerlab.widgets.inputs import Slider
from brokerlab.widgets.migration_facts import Course, Facts, Witness
from brokerlab.widgets.migration_picture import MigrationPicture
from brokerlab.widgets.scene import Element

if TYPE_CHECKING:
    from brokerlab.lab import Lab


class MigrationLine(LiveView[Course]):
    """A live time line of a migration; both sides are asked four times a second.

    Parameters
    ----------
    lab : Lab
        The lab to show, with the brokers that it has now.
    seconds : int
        How much of the past is shown, 60 to 240.
    witness : Witness, optional
        Who looks; the view makes (and closes) one of its own, if not given.
    """

    title = "From ZooKeeper to KRaft"
    variable = "line"

    def __init__(self, lab: Lab, seconds: int = 90, witness: Witness | None = None) -> None:
        self._lab = lab
        self._brokers = tuple(lab.brokers)
        self._seconds = seconds
        (slider,) = self.inputs()
        self._seconds = int(slider.check(seconds))
        self._own_witness = witness is None
        self._witness = witness or Witness(lab)
        super().__init__()
        self._witness.subscribe(self.touch)

    @property
    def now(self) -> Facts:
        """What holds now."""
        return self._witness.latest.now

    @property
    def past(self) -> tuple[Facts, ...]:
        """What has held so far, the oldest first."""
        return tuple(moment.facts for moment in self._witness.latest.moments)

    def look(self) -> Course:
        return self._witness.latest

    def draw(self, seen: Course) -> Element:
        busy = frozenset(command["kind"] for command in self.pending)
        return MigrationPicture(seen, self._brokers, self._seconds, busy).picture()

    def inputs(self) -> Sequence[Slider]:
        return (Slider("seconds", "Show the last", 60, 240, 30, self._seconds, " s"),)

    def change(self, name: str, value: Any) -> str:
        self._seconds = value
        return ""

    def run(self, command: Command) -> str:
        if command["kind"] not in MIGRATION_STEPS:
            raise BrokerLabError(
                f"A migration has no control {command['kind']!r}: it has {', '.join(MIGRATION_STEPS)}."
            )
        return str(getattr(self._lab.migration, command["kind"])())

    def describe(self, command: Command) -> str:
        return f"{command['kind']} …"

    def release(self) -> None:
        if self._own_witness:
            self._witness.close()
