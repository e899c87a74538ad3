"""How one node runs, behind one small protocol; the supervisor knows nothing else of a runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from brokerlab.processes import Identity
from brokerlab.topology import NodeSpec


class RunningNode(Protocol):
    """A node that has been started: its process, and what can be done to it."""

    @property
    def identity(self) -> Identity: ...

    def alive(self) -> bool:
        """Whether the node's process still runs (a paused one does)."""

    def terminate(self) -> None:
        """Ask for a controlled shutdown."""

    def kill(self) -> None:
        """End it as a crash would."""

    def pause(self) -> None:
        """Freeze it: its connections stay open and nothing answers."""

    def resume(self) -> None:
        """Let a frozen node go on."""


class Runtime(Protocol):
    """Starts nodes."""

    name: str

    def start(self, node: NodeSpec, folder: Path) -> RunningNode:
        """Start `node` with `folder` as its own; its log is `folder`/node.log.

        The call returns when the process exists, not when it is usable.
        """
