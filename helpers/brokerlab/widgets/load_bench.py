"""A bench for load: callers, a front desk and workers, all real, with what they came to."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from brokerlab.errors import BrokerLabError
from brokerlab.loadbench import Bench, cores
from brokerlab.loadledger import FRONTS, Load, Run
from brokerlab.widgets.base import Command, LiveView
from brokerlab.widgets.inputs import Choice, Input, Slider
from brokerlab.widgets.load_picture import IDLE, draw
from brokerlab.widgets.scene import Element

if TYPE_CHECKING:
    from brokerlab.lab import Lab

MS = 1000


class LoadBench(LiveView[Run]):
    """Lets callers come at a chosen rate to a front desk with a chosen number of workers behind it.

    Parameters
    ----------
    lab : Lab
        The lab whose Kafka stands behind the desk, where that is chosen.
    seconds : float
        For how long callers come in one run.
    """

    title = "Load bench"
    variable = "bench"

    def __init__(self, lab: Lab, seconds: float = 8.0) -> None:
        self._lab = lab
        self._load = Load(seconds=seconds)
        self._bench: Bench | None = None
        super().__init__()

    # What a lesson calls.

    def start(self) -> None:
        """Begin a run with what is set now."""
        self.press("start")

    def stop(self) -> None:
        """End the run before its time."""
        self.press("stop")

    def kill(self) -> None:
        """Kill a worker behind Kafka, else the service; another is started in its place."""
        self.press("kill")

    # What the base asks.

    def inputs(self) -> Sequence[Input]:
        load = self._load
        return (
            Choice("front", "the desk", FRONTS, load.front),
            Slider("rate", "photos come", 1, 40, 1, load.rate, "a second"),
            Slider("work", "recognising", 10, 200, 10, round(load.work * MS), "ms of a core"),
            Slider("fetch", "fetching first", 0, 500, 50, round(load.fetch * MS), "ms of waiting"),
            Slider("workers", "workers", 1, 6, 1, load.workers),
        )

    def change(self, name: str, value: Any) -> str:
        in_seconds = name in ("work", "fetch")
        self._load = replace(self._load, **{name: value / MS if in_seconds else value})
        return "It counts from the next run." if self._going else ""

    def look(self) -> Run:
        if self._bench is None:
            return Run(time.time(), self._load, IDLE, 0.0)
        return self._bench.run

    def draw(self, seen: Run) -> Element:
        return draw(seen, cores())

    def describe(self, command: Command) -> str:
        return {"start": "starting …", "stop": "ending the run …", "kill": "killing …"}.get(
            command["kind"], ""
        )

    def run(self, command: Command) -> str:
        match command["kind"]:
            case "start":
                if self._going:
                    raise BrokerLabError("A run is going on: wait for its end, or press Stop.")
                if self._bench is not None:
                    self._bench.close()
                self._bench = Bench(self._lab, self._load, self.touch)
                return f"A run has begun: callers come for {self._load.seconds:g} s."
            case "stop":
                if self._bench is not None:
                    self._bench.close()
                return "The run is over, and its processes are gone."
            case "kill":
                if self._bench is None:
                    raise BrokerLabError("Nothing runs that could be killed: press Run first.")
                return self._bench.kill()
        return super().run(command)

    def release(self) -> None:
        if self._bench is not None:
            self._bench.close()

    @property
    def _going(self) -> bool:
        return self._bench is not None and not self._bench.over
