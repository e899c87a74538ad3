"""The nodes of a lab, as a notebook holds them: how each stands, and its verbs with what was measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brokerlab import control, kraft, topology
from brokerlab.probes import Partition, heard_from
from brokerlab.report import Report

if TYPE_CHECKING:
    from brokerlab.lab import Lab

POLL_SECONDS = 0.02
QUORUM_SECONDS = 15.0


def what_runs(node: Mapping[str, Any]) -> str:
    """Say which process or container a node of a lab's status is at the moment, or why it is none."""
    if node["container"]:
        return f"container {node['container']}"
    return f"pid {node['pid']}" if node["pid"] else node["cause"] or "no process"


class LabNode:
    """ZooKeeper, a controller or a broker of a lab: how it stands, and what can be done to it.

    Attributes
    ----------
    name : str
        ``zookeeper``, ``controller-1`` or ``broker-2``.
    """

    def __init__(self, lab: Lab, name: str) -> None:
        self._lab = lab
        self.name = name

    def _now(self) -> dict[str, Any]:
        return next(node for node in self._lab.status()["nodes"] if node["name"] == self.name)

    @property
    def state(self) -> str:
        """``running``, ``paused``, ``stopped``, ``killed`` or ``died``."""
        state: str = self._now()["state"]
        return state

    @property
    def cause(self) -> str:
        """Why it died; empty unless it has."""
        cause: str = self._now()["cause"]
        return cause

    @property
    def pid(self) -> int | None:
        """The process id, or None while there is no process, or none of this system."""
        pid: int | None = self._now()["pid"]
        return pid

    @property
    def port(self) -> int:
        """The port, which the node keeps for life."""
        port: int = self._now()["port"]
        return port

    @property
    def address(self) -> str:
        """Where clients reach it, as ``host:port``."""
        return f"{topology.HOST}:{self.port}"

    @property
    def properties_file(self) -> Path:
        """The properties file that the process reads."""
        role = self.name.partition("-")[0]
        return self._lab.folder.node(self.name) / topology.PROPERTIES_FILES[role]

    @property
    def properties(self) -> str:
        """The text of the properties file that the process reads."""
        return self.properties_file.read_text(encoding="ascii")

    @property
    def data(self) -> Path:
        """The folder of its data, to be read only; that of a container is copied to this machine each time."""
        return Path(control.ask(self._lab.folder, self._lab.progress(), "data", name=self.name))

    def log(self, lines: int = 20, containing: str = "") -> str:
        """Return the last `lines` lines of the node's log that hold the text `containing`."""
        text = (self._lab.folder.node(self.name) / "node.log").read_text("utf-8", "replace")
        return "\n".join([line for line in text.splitlines() if containing in line][-lines:])

    def stop(self) -> Report:
        """Shut it down in an orderly way (SIGTERM): a broker hands its leaders over first."""
        return self._leave("stop", "stopped")

    def kill(self, watch: bool = True) -> Report:
        """End it as a crash would (SIGKILL): nobody is told.

        Without `watch` it returns at once, and does not wait until the cluster has noticed.
        """
        return self._leave("kill", "killed", watch)

    def pause(self, watch: bool = True) -> Report:
        """Freeze it (SIGSTOP): its connections stay open and nothing answers; `watch` as for `kill`."""
        return self._leave("pause", "paused", watch)

    def resume(self) -> Report:
        """Let a frozen node go on (SIGCONT)."""
        return self._return("resume", "resumed")

    def start(self) -> Report:
        """Start it again, with its data, on its port; returns when it can be used."""
        return self._return("start", "started")

    def _leave(self, verb: str, done: str, watch: bool = True) -> Report:
        return Report(self.name, done, self._do(verb))

    def _return(self, verb: str, done: str) -> Report:
        return Report(self.name, done, self._do(verb))

    def _do(self, verb: str) -> float:
        answer = control.ask(
            self._lab.folder, self._lab.progress(), "node", name=self.name, verb=verb
        )
        seconds: float = answer["seconds"]
        return seconds

    def __repr__(self) -> str:
        node = self._now()
        return f"<{self.name} on port {node['port']}: {node['state']}>"


class LabController(LabNode):
    """A controller of a lab without ZooKeeper."""

    def __init__(self, lab: Lab, number: int) -> None:
        super().__init__(lab, f"controller-{number}")
        self.id = kraft.FIRST_ID + number

    def _leave(self, verb: str, done: str, watch: bool = True) -> Report:
        """Do it, then watch until another controller leads, if this one did and there are others."""
        before = self._lab.quorum()
        begun = time.monotonic()
        seconds = self._do(verb)
        if not watch or before is None or before.leader != self.id:
            return Report(self.name, done, seconds)
        others = [one for one in self._lab.controllers.values() if one.id != self.id]
        up = [one.address for one in others if one.state == "running"]
        if len(up) <= len(self._lab.controllers) // 2:
            note = "no majority of the controllers is left, so nobody leads"
            return Report(self.name, done, seconds, notes=(note,))
        leads: list[int] = []

        def replaced() -> bool:
            now = self._lab.leader_among(up)
            if now is not None and now.leader is not None:
                leads.append(now.leader)
            return bool(leads)

        after = _seconds_until(replaced, begun, begun + QUORUM_SECONDS)
        if after is None:
            note = f"no other controller led within {QUORUM_SECONDS:.0f} s"
        else:
            note = f"controller {leads[0]} leads after {after:.1f} s"
        return Report(self.name, done, seconds, notes=(note,))


class LabBroker(LabNode):
    """A broker of a lab."""

    def __init__(self, lab: Lab, number: int) -> None:
        super().__init__(lab, f"broker-{number}")
        self.id = number

    def _leave(self, verb: str, done: str, watch: bool = True) -> Report:
        """Do it, then watch until the cluster has noticed and every partition it led has another leader."""
        if not watch:
            return super()._leave(verb, done)
        # A lab that is gone says so at once, not after its brokers have been asked in vain.
        self._lab.status()
        probe = self._lab.probe
        before = probe.metadata(5)
        led = [p for p in before.partitions if p.leader == self.id] if before else []
        begun = time.monotonic()
        seconds = self._do(verb)
        limit = begun + topology.ZOOKEEPER_SESSION_SECONDS + (10 if self._others_run() else 0)

        def dropped() -> bool:
            if self._registered() is False:
                return True
            # Asked meanwhile, the client has given up a frozen broker by the time its answer matters.
            probe.metadata(0.1)
            return False

        noticed = _seconds_until(dropped, begun, limit)
        if noticed is None:
            return Report(
                self.name,
                done,
                seconds,
                led=len(led),
                notes=(self._why_still_listed(limit - begun),),
            )
        # With nobody else in the ISR there is nobody to elect; all others find a leader, in a moment.
        hopeless = {(p.topic, p.id) for p in led if set(p.isr) <= {self.id}}
        waiting = {(p.topic, p.id) for p in led} - hopeless

        def settled() -> bool:
            now = self._metadata_without_me()
            if now is not None:
                leads = {(p.topic, p.id) for p in now if p.leader not in (None, self.id)}
                waiting.difference_update(leads)
            return not waiting

        new_leaders = _seconds_until(settled, begun, limit)
        return Report(
            self.name,
            done,
            seconds,
            noticed,
            len(led),
            new_leaders if led and not hopeless else None,
            tuple(f"{topic} {number}" for topic, number in sorted(hopeless | waiting)),
            keeper=self._keeper,
        )

    @property
    def _keeper(self) -> str:
        return "ZooKeeper" if self._lab.mode == "zookeeper" else "the controller"

    def _why_still_listed(self, seconds: float) -> str:
        if self._lab.mode != "zookeeper" and self._lab.probe.metadata(1) is None:
            return "no other broker is there to say what the controllers know"
        return f"{self._keeper} has not dropped it within {seconds:.0f} s"

    def _return(self, verb: str, done: str) -> Report:
        # A broker that was frozen is listed until its session has expired, which may be a moment from now.
        heard = self._heard()
        begun = time.monotonic()
        seconds = self._do(verb)
        limit = begun + seconds + topology.ZOOKEEPER_SESSION_SECONDS + 10

        def listed() -> bool:
            return bool(self._heard() - heard) and self._registered() is True

        after = _seconds_until(listed, begun, limit)
        return Report(self.name, done, seconds, after, keeper=self._keeper)

    def _heard(self) -> frozenset[str]:
        if self._lab.mode == "zookeeper":
            return heard_from(self._lab.zookeeper_port, self.id)
        now = self._lab.quorum()
        copies = now.observers if now else ()
        return frozenset(str(copy.fetched) for copy in copies if copy.id == self.id)

    def _registered(self) -> bool | None:
        ids = self._lab.registered()
        return None if ids is None else self.id in ids

    def _others_run(self) -> bool:
        others = (one for one in self._lab.brokers.values() if one.id != self.id)
        return self._lab.mode == "zookeeper" or any(one.state == "running" for one in others)

    def _metadata_without_me(self) -> tuple[Partition, ...] | None:
        now = self._lab.probe.metadata(1)
        # A broker that is leaving still answers for a moment, with what it knew.
        return None if now is None or self.id in now.brokers else now.partitions


def _seconds_until(true: Callable[[], bool], begun: float, limit: float) -> float | None:
    while not true():
        if time.monotonic() > limit:
            return None
        time.sleep(POLL_SECONDS)
    return time.monotonic() - begun
