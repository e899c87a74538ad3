"""An ML queue on a lab: its parts as processes of a notebook, that can be killed one by one and started again."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from itertools import count, islice
from typing import Any, ClassVar

from brokerlab import scratch
from brokerlab.background import Background
from brokerlab.errors import NodeFailedError, SettingError
from brokerlab.lab import Lab
from brokerlab.pipeline.audit import Audit, audit
from brokerlab.pipeline.clients import Cluster, ensure_topics
from brokerlab.pipeline.messages import Names
from brokerlab.pipeline.store import Store

PARTS = ("api", "relay", "collector", "worker")
READY_SECONDS = 60.0
STOP_SECONDS = 20.0
GONE_SECONDS = 60.0
"""Brokers that were frozen a moment ago take their time to delete."""
_CAREFUL, _CARELESS = "brokerlab.pipeline", "brokerlab.pipeline.careless"
_KEPT_LINES = 20_000


class Part(Background):
    """A part of the queue as a process; see `Background` for what can be done with it.

    Attributes
    ----------
    began : float
        When it was started, in seconds since 1970.
    """

    def __init__(self, argv: Sequence[str], name: str) -> None:
        super().__init__(argv, name=name, keep=_KEPT_LINES)
        self.began = time.time()

    @property
    def events(self) -> list[dict[str, Any]]:
        """What it has said so far: each with its name as ``event``."""
        return [json.loads(line) for line in self.lines if line.startswith("{")]


class MLQueue:
    """A queue that begins empty: an earlier one of this prefix is ended, and what it left is removed.

    Parameters
    ----------
    lab : Lab
    prefix : str
        What its topics and groups begin with.
    careless : bool
        With the API server and the workers that lose pictures, and without a relay; see `pipeline.careless`.

    Attributes
    ----------
    parts : dict of str to Part
        By name, ``api`` or ``worker-2``; the latest of each, also when it has ended.
    former : list of (str, Part)
        With their names, those that were followed by a new one, in that order.
    ended : bool
        Whether its parts, topics and database are gone.
    cluster, names
        How its parts reach Kafka, and what its topics and groups are called.
    store : Store
        Its database, opened by this process too.
    """

    _latest: ClassVar[dict[str, MLQueue]] = {}

    def __init__(self, lab: Lab, prefix: str = "photo", *, careless: bool = False) -> None:
        if (earlier := self._latest.pop(prefix, None)) is not None:
            earlier._end_parts()
        self.lab = lab
        self.careless = careless
        self.cluster, self.names = Cluster.of(lab.bootstrap_servers, lab.client_file), Names(prefix)
        self.parts: dict[str, Part] = {}
        self.former: list[tuple[str, Part]] = []
        self.ended = False
        self._port = 0
        lab.delete_topics(*self.names.topics, timeout=GONE_SECONDS)
        ensure_topics(self.cluster, self.names)
        self._file = scratch.made("queues") / f"{prefix}-{time.monotonic_ns()}.sqlite"
        self.store = Store(self._file)
        self._latest[prefix] = self

    @property
    def url(self) -> str:
        """The API server's address; it keeps it when it is started again.

        Raises
        ------
        SettingError
            The API server was not started yet.
        """
        if "api" not in self.parts:
            raise SettingError("The queue has no API server yet: queue.start('api') starts it.")
        return f"http://127.0.0.1:{self._port}"

    @property
    def workers(self) -> tuple[str, ...]:
        """The names of the workers that run, in order."""
        # A copy: an autoscaler may start one meanwhile.
        running = [name for name, part in list(self.parts.items()) if part.running]
        return tuple(sorted((one for one in running if one.startswith("worker-")), key=_number))

    def begin(self, workers: int = 2, **options: object) -> None:
        """Start every part; `options` are for the workers, as in `start`."""
        for name in ("api", "relay", "collector"):
            if not (self.careless and name == "relay"):
                self.start(name)
        self.scale(workers, **options)

    def scale(self, workers: int, **options: object) -> None:
        """Start workers, or stop those of the highest numbers, until so many run; `options` are for new ones.

        Raises
        ------
        SettingError
            There cannot be so many.
        """
        if workers < 0:
            raise SettingError(f"A queue has 0 workers or more, and {workers} is not that.")
        running = self.workers
        for name in reversed(running[workers:]):
            self.stop(name)
        free = (one for number in count(1) if (one := f"worker-{number}") not in running)
        for name in islice(free, max(0, workers - len(running))):
            self.start(name, **options)

    def start(self, name: str, **options: object) -> Part:
        """Start a part, or start it again; return when it is ready.

        Parameters
        ----------
        name : str
            ``api``, ``relay``, ``collector``, or ``worker-`` and a number.
        **options : object
            As on its command line: ``attempts=2`` is ``--attempts 2``; True is an option without a value.

        Raises
        ------
        SettingError
            There is no such part, or it runs.
        NodeFailedError
            It ended, or was not ready in time; the sentence holds what it said last.
        """
        kind, _, number = name.partition("-")
        if kind not in PARTS or (kind == "worker") != number.isdecimal():
            raise SettingError(
                f"The queue has no part {name!r}: start api, relay, collector, or worker-1, worker-2 and so on."
            )
        if name in self.parts and self.parts[name].running:
            raise SettingError(f"{name} runs already: kill() or stop() it first.")
        if name in self.parts:
            self.former.append((name, self.parts[name]))
        part = Part(self._command(kind, name, options), name)
        self.parts[name] = part
        try:
            ready = json.loads(part.wait_for('"ready"', READY_SECONDS))
        except NodeFailedError:
            part.kill()
            raise
        if kind == "api":
            self._port = int(ready["url"].rpartition(":")[2])
        return part

    def kill(self, name: str) -> None:
        """End a part as a crash would (SIGKILL)."""
        self._running(name).kill()

    def pause(self, name: str) -> None:
        """Freeze a part (SIGSTOP): it neither works nor answers, and has not ended."""
        self._running(name).pause()

    def resume(self, name: str) -> None:
        """Let a frozen part go on (SIGCONT)."""
        self._running(name).resume()

    def stop(self, name: str) -> int:
        """End a part in an orderly way (SIGTERM), after the work at hand; return its exit code."""
        return self._running(name).stop(STOP_SECONDS)

    def audit(self) -> Audit:
        """Return where every accepted picture is, as the database and the topics say."""
        return audit(self.store, self.cluster, self.names)

    def settle(self, timeout: float = 120.0) -> Audit:
        """Wait until every accepted picture has its outcome; return the audit.

        Raises
        ------
        NodeFailedError
            Some had none after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while (left := self.store.counts().backlog) > 0:
            if time.monotonic() > deadline:
                raise NodeFailedError(
                    f"After {timeout:.0f} s this many pictures have no outcome: {left:,}. Do relay, collector and a worker run?"
                )
            time.sleep(0.05)
        return self.audit()

    def end(self) -> None:
        """End every part at once, and delete topics and database; to end twice does nothing."""
        if self.ended:
            return
        self._end_parts()
        self.lab.delete_topics(*self.names.topics, timeout=GONE_SECONDS)

    def _end_parts(self) -> None:
        self.ended = True
        for part in self.parts.values():
            part.kill()
        self.store.close()
        for left in self._file.parent.glob(f"{self._file.name}*"):
            left.unlink(missing_ok=True)

    def __enter__(self) -> MLQueue:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def __repr__(self) -> str:
        running = [name for name, part in self.parts.items() if part.running]
        return f"<ML queue {self.names.prefix!r}: {', '.join(running) or 'nothing'} runs>"

    def _running(self, name: str) -> Part:
        part = self.parts.get(name)
        if part is None or not part.running:
            raise SettingError(f"{name} does not run: queue.start({name!r}) starts it.")
        return part

    def _command(self, kind: str, name: str, options: dict[str, object]) -> list[str]:
        careless = self.careless and kind in ("api", "worker")
        line = [sys.executable, "-m", _CARELESS if careless else _CAREFUL, kind]
        if kind != "api" or careless:
            line += ["--bootstrap-servers", self.cluster.bootstrap_servers]
            line += ["--client-properties", str(self.lab.client_file)]
            line += ["--prefix", self.names.prefix]
        if kind != "worker":
            line += ["--database", str(self._file)]
        if kind == "api":
            line += ["--port", str(self._port)]
        if kind == "worker" and not careless:
            line += ["--name", name]
        for option, value in options.items():
            line.append(f"--{option.replace('_', '-')}")
            if value is not True:
                line.append(str(value))
        return line


def _number(worker: str) -> int:
    return int(worker.removeprefix("worker-"))
