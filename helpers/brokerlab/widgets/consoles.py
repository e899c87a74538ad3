"""Two terminals side by side: a real console producer to type into, a real console consumer that prints."""

from __future__ import annotations

import shlex
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brokerlab import tools
from brokerlab.errors import BrokerLabError
from brokerlab.observe import snapshot
from brokerlab.widgets.base import Command, LiveView, module, sheet
from brokerlab.widgets.scene import Element, box, group, picture, text

if TYPE_CHECKING:
    from brokerlab.lab import Lab

SHOWN_LINES = 200
STILL_LINES = 7
COMMAND_LINES = 4
COLUMNS = 44
WIDTH, PANE, PANE_HEIGHT, GAP, LINE = 880, 431, 264, 14, 20


@dataclass(frozen=True)
class Terminal:
    """One terminal: its command line, what it shows, and whether its process runs.

    Attributes
    ----------
    command : str
        The command line, as typed in a shell.
    lines : tuple of (str, str)
        What was ``"typed"`` and what was ``"printed"``, in order.
    state : str
        ``"waiting"`` (not started), ``"running"`` or ``"ended"``.
    """

    command: str
    lines: tuple[tuple[str, str], ...]
    state: str


@dataclass(frozen=True)
class Terminals:
    """Both terminals at one moment (unix time in seconds)."""

    taken: float
    producer: Terminal
    consumer: Terminal


class TwinConsoles(LiveView[Terminals]):
    """A console producer and a console consumer of one topic; both are the real tools.

    Parameters
    ----------
    lab : Lab
        The lab whose cluster they talk to.
    topic : str
        The topic; it must exist.
    from_beginning : bool
        Whether the consumer gets ``--from-beginning``.
    group : str, optional
        The consumer's ``--group``; the tool makes one up, if not given.
    """

    title = "Twin consoles"
    _esm = module("consoles.js")
    _css = sheet("consoles.css")

    def __init__(
        self, lab: Lab, topic: str, from_beginning: bool = True, group: str | None = None
    ) -> None:
        server = ["--bootstrap-server", lab.bootstrap_servers, "--topic", topic]
        self._lab = lab
        self._topic = topic
        self._group = group
        self._producing = _Console(["kafka-console-producer.sh", *server])
        self._consuming = _Console(
            [
                "kafka-console-consumer.sh",
                *server,
                *(["--from-beginning"] if from_beginning else []),
                *(["--group", group] if group else []),
            ]
        )
        super().__init__()
        self.start_consumer()

    # What a lesson calls.

    @property
    def produced(self) -> tuple[str, ...]:
        """Lines that were written to the producer."""
        return self._producing.typed

    @property
    def received(self) -> tuple[str, ...]:
        """Lines that the consumer printed since it was last started."""
        return self._consuming.printed

    def type(self, line: str) -> None:
        """Type `line` and Enter into the producer; several lines are typed one by one."""
        self.press("type", text=line)

    def start_consumer(self) -> None:
        """Start the consumer (and the producer) if it does not run."""
        self.press("start")

    def stop_consumer(self) -> None:
        """Stop the consumer, as Ctrl-C does."""
        self.press("stop")

    def wait_for(self, words: str, timeout: float = 20) -> None:
        """Wait until the consumer printed a line that holds `words`.

        Raises
        ------
        NodeFailedError
            It was not printed within `timeout` seconds.
        BrokerLabError
            The consumer does not run; the sentence says why.
        """

        def heard(_: Terminals) -> bool:
            if any(words in line for line in self.received):
                return True
            if self.problem and not self.pending and not self._consuming.running:
                raise BrokerLabError(f"The consumer does not run. {self.problem}")
            return False

        self.wait_until(heard, timeout, f"the consumer to print {words!r}")

    # What the base asks.

    @property
    def subject(self) -> str:
        return f"{self._topic} {self._group}" if self._group else self._topic

    def look(self) -> Terminals:
        return Terminals(time.time(), self._producing.terminal(), self._consuming.terminal())

    def view(self, seen: Terminals) -> dict[str, Any]:
        return {"producer": _pane(seen.producer), "consumer": _pane(seen.consumer)}

    def draw(self, seen: Terminals) -> Element:
        return picture(
            WIDTH,
            PANE_HEIGHT + 4,
            f"Console producer and console consumer of the topic {self._topic}",
            _still_pane("producer", seen.producer, 2),
            _still_pane("consumer", seen.consumer, 2 + PANE + GAP),
        )

    def describe(self, command: Command) -> str:
        return {"start": "starting …", "stop": "stopping the consumer …"}.get(
            command["kind"], "typing …"
        )

    def run(self, command: Command) -> str:
        match command["kind"]:
            case "type":
                if not self._producing.running:
                    self._demand_topic()
                    self._producing.start(self.touch)
                for line in str(command.get("text", "")).splitlines() or [""]:
                    self._producing.write(line)
                return ""
            case "start":
                self._demand_topic()
                for console in (self._producing, self._consuming):
                    console.start(self.touch)
                return "Both run: type a line and press Enter."
            case "stop":
                self._consuming.stop()
                return "The consumer was stopped; what is produced meanwhile stays in the topic."
        return super().run(command)

    def release(self) -> None:
        self._producing.stop()
        self._consuming.stop()

    def _demand_topic(self) -> None:
        seen = snapshot(self._lab)
        if not seen.reachable:
            raise BrokerLabError(
                f"The cluster does not answer. {seen.problem} Then press Start consumer."
            )
        if seen.topic(self._topic) is None:
            raise BrokerLabError(
                f"There is no topic {self._topic!r}: "
                "create it with kafka-topics.sh --create, then press Start consumer."
            )


class _Console:
    """One tool and what was typed into it; lines typed remember after how many printed lines they came."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = list(argv)
        self._tool: tools.BackgroundTool | None = None
        self._typed: tuple[tuple[int, str], ...] = ()

    @property
    def running(self) -> bool:
        return self._tool is not None and self._tool.running

    @property
    def typed(self) -> tuple[str, ...]:
        return tuple(line for _, line in self._typed)

    @property
    def printed(self) -> tuple[str, ...]:
        return self._tool.lines if self._tool else ()

    def start(self, changed: Callable[..., None]) -> None:
        if not self.running:
            self._typed = ()
            self._tool = tools.background(self._argv)
            self._tool.subscribe(changed)

    def write(self, line: str) -> None:
        assert self._tool is not None
        self._tool.write(line)
        self._typed += ((len(self._tool.lines), line),)

    def stop(self) -> None:
        if self._tool is not None:
            self._tool.stop()

    def terminal(self) -> Terminal:
        tool, waiting = self._tool, list(self._typed)
        lines: list[tuple[str, str]] = []
        for number, line in enumerate(tool.lines if tool else ()):
            while waiting and waiting[0][0] <= number:
                lines.append(("typed", waiting.pop(0)[1]))
            if line.strip("> "):
                lines.append(("printed", line))
        lines += [("typed", line) for _, line in waiting]
        state = "waiting" if tool is None else "running" if tool.running else "ended"
        return Terminal(shlex.join(self._argv), tuple(lines), state)


def _pane(terminal: Terminal) -> dict[str, Any]:
    return {
        "command": terminal.command,
        "lines": [list(line) for line in terminal.lines[-SHOWN_LINES:]],
        "hidden": max(0, len(terminal.lines) - SHOWN_LINES),
        "state": terminal.state,
    }


def _still_pane(name: str, terminal: Terminal, x: float) -> Element:
    command = textwrap.wrap(f"$ {terminal.command}", COLUMNS, break_on_hyphens=False)[
        :COMMAND_LINES
    ]
    lines = [(line, "soft-terminal") for line in command]
    lines += [("", "on-terminal")] * (COMMAND_LINES + 1 - len(lines))
    for kind, line in terminal.lines[-STILL_LINES:]:
        typed = kind == "typed"
        said = textwrap.shorten(f"> {line}" if typed else line, COLUMNS, placeholder="…")
        lines.append((said, "typed" if typed else "on-terminal"))
    return group(
        name,
        box(0, 0, PANE, PANE_HEIGHT, "terminal"),
        *(
            text(14, 28 + i * LINE, line, f"small mono {ink}")
            for i, (line, ink) in enumerate(lines)
        ),
        x=x,
        y=2,
    )
