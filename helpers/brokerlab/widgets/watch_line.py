"""Who notices that a broker is gone, and who acts: processes, znodes, controller and ISR on one clock."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from brokerlab.errors import SettingError
from brokerlab.widgets.base import Command, LiveView
from brokerlab.widgets.cluster_map import busy_nodes, do_to_node
from brokerlab.widgets.inputs import Slider
from brokerlab.widgets.scene import Element
from brokerlab.widgets.watch_history import Facts, Happening, Line
from brokerlab.widgets.watch_picture import WatchPicture
from brokerlab.widgets.watch_witness import Witness

if TYPE_CHECKING:
    from brokerlab.lab import Lab

TOPIC_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")


class WatchLine(LiveView[Line]):
    """A live time line of ZooKeeper, its znodes and one partition, with a button for what can happen to a node.

    Znodes are told by ZooKeeper's watches, within milliseconds; processes are asked about ten times a second.

    Parameters
    ----------
    lab : Lab
        The lab to show, with the brokers that it has now.
    topic : str, optional
        Whose leader and ISR to show; none, if not given. It need not exist yet.
    partition : int
        Which partition of it.
    seconds : int
        How much of the past is shown, 20 to 60.
    witness : Witness, optional
        Who looks; the view makes (and closes) one of its own, if not given.
    """

    title = "Who notices, who acts"
    variable = "watch"

    def __init__(
        self,
        lab: Lab,
        topic: str | None = None,
        partition: int = 0,
        seconds: int = 40,
        witness: Witness | None = None,
    ) -> None:
        if topic is not None and not (isinstance(topic, str) and TOPIC_NAME.fullmatch(topic)):
            raise SettingError(f"No topic can be called {topic!r}: give the name of one, or None.")
        if isinstance(partition, bool) or not isinstance(partition, int) or partition < 0:
            raise SettingError(f"A partition is a number from 0, and {partition!r} is not.")
        self._lab = lab
        self._topic = topic
        self._partition = "" if topic is None else f"{topic} {partition}"
        self._brokers = tuple(lab.brokers)
        self._seconds = seconds
        (slider,) = self.inputs()
        self._seconds = int(slider.check(seconds))
        self._own_witness = witness is None
        self._witness = witness or Witness(lab, topic, partition)
        super().__init__()
        self._witness.subscribe(self.touch)

    @property
    def subject(self) -> str:
        return self._partition

    @property
    def now(self) -> Facts:
        """What holds now."""
        return self._witness.latest.now

    def happened(self) -> tuple[Happening, ...]:
        """Return the last act, and what came of it so far."""
        all_of_it = self._witness.latest.happenings
        last = max((i for i, one in enumerate(all_of_it) if one.act), default=0)
        return all_of_it[last:]

    def look(self) -> Line:
        return self._witness.latest

    def draw(self, seen: Line) -> Element:
        busy = busy_nodes(self.pending)
        return WatchPicture(seen, self._brokers, self._partition, self._seconds, busy).picture()

    def inputs(self) -> Sequence[Slider]:
        return (Slider("seconds", "Show the last", 20, 60, 10, self._seconds, " s"),)

    def change(self, name: str, value: Any) -> str:
        self._seconds = value
        return ""

    def run(self, command: Command) -> str:
        return do_to_node(self._lab, command)

    def describe(self, command: Command) -> str:
        return f"{command['kind']} {command.get('node')} …"

    def release(self) -> None:
        if self._own_witness:
            self._witness.close()
