"""How one node runs, behind one small protocol; the supervisor knows nothing else of a runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from brokerlab.topology import NodeSpec

HEAPS = {"zookeeper": ("64m", "16m"), "controller": ("128m", "32m"), "broker": ("256m", "64m")}
"""The largest and the first heap of a node, by its role."""


class RunningNode(Protocol):
    """A node that has been started, and what can be done to it.

    Everything but `alive` and `exit_code` may take a moment, and is called in a thread of its own.
    """

    def alive(self) -> bool:
        """Whether it still runs (a paused one does); answers at once."""

    def exit_code(self) -> int | None:
        """Return its process's exit code, a signal as a negative number; None while it runs, or where that is not known."""

    def describe(self) -> dict[str, Any]:
        """Return what the lab's state tells of it: ``pid``, ``born``, ``container``, each or None."""

    def terminate(self) -> None:
        """Ask for a controlled shutdown."""

    def kill(self) -> None:
        """End it as a crash would."""

    def pause(self) -> None:
        """Freeze it: its connections stay open and nothing answers."""

    def resume(self) -> None:
        """Let a frozen node go on; one that is not frozen does so anyway."""


class Runtime(Protocol):
    """Starts nodes.

    Attributes
    ----------
    name : str
    apart : bool
        Whether each node has addresses of its own (see `topology.broker`).
    clear_seconds : float
        How long `clear` may take.
    """

    name: str
    apart: bool
    clear_seconds: float

    def describe(self) -> dict[str, Any]:
        """Return what the lab's state tells of it, beside its name."""

    def start(self, node: NodeSpec, folder: Path, login: Path | None) -> RunningNode:
        """Start `node`, with the data it has if it ran before; its log is `folder`/node.log.

        In `login` is how Java logs in, where the lab asks for a password.

        The call returns when the node exists, not when it is usable.
        """

    def data(self, node: NodeSpec, folder: Path) -> Path:
        """Return a folder of this machine with the data of a node that was started: its own, or a copy made now."""

    def clear(self) -> None:
        """Remove what nodes that have ended leave outside their folders, and forget them."""
