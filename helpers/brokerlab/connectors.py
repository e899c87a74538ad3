"""What Kafka Connect says of its connectors, in its answers and in Java's traces, as a learner reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Task:
    """A task of a connector: the thread that moves records.

    Attributes
    ----------
    number : int
        From 0.
    state : str
        ``RUNNING``, ``PAUSED``, ``FAILED``, ``STOPPED`` or ``UNASSIGNED``, as Connect says.
    trace : str
        Why it failed, in one line; empty unless it has.
    """

    number: int
    state: str
    trace: str = ""


@dataclass(frozen=True)
class Connector:
    """A connector, as Connect describes it.

    Attributes
    ----------
    name, state : str
        For the states see `Task`.
    kind : str
        ``source`` (from outside into a topic) or ``sink`` (from a topic to the outside).
    topic : str
        What it writes to or reads from, as it was put.
    tasks : tuple of Task
    trace : str
        Why it failed, in one line; empty unless it has.
    """

    name: str
    kind: str
    state: str
    topic: str = ""
    tasks: tuple[Task, ...] = ()
    trace: str = ""

    @property
    def problem(self) -> str:
        """Why it, or one of its tasks, failed; empty unless one has."""
        return self.trace or next((task.trace for task in self.tasks if task.trace), "")

    @property
    def running(self) -> bool:
        """Whether it runs, and every task of it, of which there is one at least."""
        return self.is_wholly("RUNNING")

    def is_wholly(self, state: str) -> bool:
        """Whether it is in this state, and every task of it, of which there is one at least."""
        states = {self.state, *(task.state for task in self.tasks)}
        return bool(self.tasks) and states == {state}

    def __str__(self) -> str:
        tasks = ", ".join(f"task {task.number} {task.state}" for task in self.tasks) or "no task"
        trouble = f": {self.problem}" if self.problem else ""
        return f"{self.kind} {self.name} {self.state}, {tasks}{trouble}"

    __repr__ = __str__


def described(told: Mapping[str, Any], config: Mapping[str, str]) -> Connector:
    """Return a connector as Connect told of its status and its config."""
    tasks = tuple(
        Task(task["id"], task["state"], first_line(task.get("trace", ""))) for task in told["tasks"]
    )
    connector = told["connector"]
    return Connector(
        told["name"],
        told["type"],
        connector["state"],
        config.get("topics") or config.get("topic", ""),
        tasks,
        first_line(connector.get("trace", "")),
    )


def first_line(trace: str) -> str:
    """Return what a Java trace says in one line: its first sentence, and the deepest cause's."""
    lines = [line.strip() for line in trace.splitlines() if line.strip()]
    if not lines:
        return ""
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    said = [_message(line) for line in (lines[0], *causes[-1:])]
    return "; ".join(dict.fromkeys(said))


def _message(line: str) -> str:
    name, colon, words = line.partition(": ")
    return words if colon and words and "." in name and " " not in name else line


def why_refused(message: str) -> str:
    """Return what Connect's refusal says in one sentence: what is wrong, without what it would take."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    if lines and lines[0].startswith("Connector configuration is invalid"):
        wrong = [line for line in lines[1:] if not line.startswith("You can also find")]
        return " ".join(wrong)
    return lines[0].partition(", available connectors are")[0] if lines else "it gives no reason."
