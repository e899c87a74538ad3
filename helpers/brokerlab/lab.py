"""What a notebook holds: a running lab, its nodes, and their verbs with what was measured."""

from __future__ import annotations

import copy
import html
import os
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brokerlab import access, control, machine, topology
from brokerlab import settings as _settings
from brokerlab.connect import Connect, connect_of
from brokerlab.errors import NodeFailedError, NoLabError
from brokerlab.labfolder import LabFolder
from brokerlab.probes import KafkaProbe, Partition, heard_from, registered_brokers
from brokerlab.progress import Progress, in_notebook_or_terminal
from brokerlab.topology import Setting

POLL_SECONDS = 0.02


def start(
    brokers: int = 3,
    *,
    name: str = "main",
    broker_properties: Mapping[str, Any] | None = None,
    zookeeper_properties: Mapping[str, Any] | None = None,
    keep: bool = False,
    runtime: str | None = None,
    progress: Progress | None = None,
) -> Lab:
    """Start a lab, or attach to the one that runs, and return when it can be used.

    Parameters
    ----------
    brokers : int
        How many brokers, 1 to 8.
    name : str
        Which lab; nearly everybody needs only ``main``.
    broker_properties, zookeeper_properties : mapping, optional
        Properties to add to the files, or to set otherwise than the lab does.
    keep : bool
        Keep the lab until it is stopped, even when no process uses it any more.
    runtime : str, optional
        How nodes run, instead of what BROKERLAB_RUNTIME says.
    progress : Progress, optional
        Where to show the steps; by default in the notebook or on the terminal.

    Returns
    -------
    Lab

    Raises
    ------
    BrokerLabError
        The lab could not be started; the sentence says why and what to do. Nothing is left running.
    """
    machine.check_platform()
    wanted = topology.check_broker_count(brokers)
    overrides = {
        "broker": topology.check_overrides(broker_properties, "broker"),
        "zookeeper": topology.check_overrides(zookeeper_properties, "zookeeper"),
    }
    shown = progress or in_notebook_or_terminal()
    asked = _settings.read()
    how = asked.runtime if runtime is None else _settings.check_runtime(runtime, "runtime")
    folder = LabFolder(asked.home, name)
    begun = time.monotonic()
    status = control.up(
        folder,
        asked,
        shown,
        brokers=wanted,
        keep=keep,
        overrides=overrides,
        runtime=how,
        auth=asked.auth,
    )
    lab = Lab(folder, status)
    if status["attached"]:
        text = f"attached to the lab that is already running: {lab.summary()}"
    else:
        text = f"the lab is ready: {lab.summary()}"
    shown.done(text, time.monotonic() - begun)
    return lab


def attach(name: str = "main") -> Lab:
    """Attach to a lab that is running.

    Raises
    ------
    NoLabError
        There is none.
    """
    folder = LabFolder(_settings.read().home, name)
    status = control.status(folder)
    control.take_lease(folder)
    return Lab(folder, status)


@dataclass(frozen=True)
class Report:
    """What a verb did, and what was measured while it did it.

    Attributes
    ----------
    node, verb : str
        ``broker-2``, ``killed``.
    seconds : float
        How long the verb itself took.
    noticed : float or None
        Seconds from the start of the verb until ZooKeeper no longer listed the broker (or listed it again).
    led : int
        How many partitions the broker led before.
    new_leaders : float or None
        Seconds until each of these had another leader; None if some have not found one.
    without_leader : tuple of str
        Partitions that have no leader now.
    notes : tuple of str
        What did not happen in time.
    """

    node: str
    verb: str
    seconds: float
    noticed: float | None = None
    led: int = 0
    new_leaders: float | None = None
    without_leader: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"{self.node} {self.verb} in {self.seconds:.1f} s"]
        if self.noticed is not None:
            gone = "listed it again" if self.verb in ("started", "resumed") else "noticed"
            parts.append(f"ZooKeeper {gone} after {self.noticed:.1f} s")
        if self.new_leaders is not None:
            plural = (
                "partition has a new leader" if self.led == 1 else "partitions have new leaders"
            )
            parts.append(f"its {self.led} {plural} after {self.new_leaders:.1f} s")
        if self.without_leader:
            parts.append(f"without a leader: {', '.join(self.without_leader)}")
        return "; ".join([*parts, *self.notes])

    __repr__ = __str__


class LabNode:
    """ZooKeeper or a broker of a lab: how it stands, and what can be done to it.

    Attributes
    ----------
    name : str
        ``zookeeper`` or ``broker-2``.
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
        name = "zookeeper.properties" if self.name == "zookeeper" else "server.properties"
        return self._lab.folder.node(self.name) / name

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
        limit = begun + topology.ZOOKEEPER_SESSION_SECONDS + 10

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
                notes=(f"ZooKeeper has not dropped it within {limit - begun:.0f} s",),
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
        )

    def _return(self, verb: str, done: str) -> Report:
        # A broker that was frozen is listed until its session has expired, which may be a moment from now.
        heard = heard_from(self._lab.zookeeper_port, self.id)
        begun = time.monotonic()
        seconds = self._do(verb)
        limit = begun + seconds + topology.ZOOKEEPER_SESSION_SECONDS + 10

        def listed() -> bool:
            return bool(heard_from(self._lab.zookeeper_port, self.id) - heard)

        return Report(self.name, done, seconds, _seconds_until(listed, begun, limit))

    def _registered(self) -> bool | None:
        ids = registered_brokers(self._lab.zookeeper_port)
        return None if ids is None else self.id in ids

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


class Lab:
    """A running ZooKeeper and its brokers.

    Attributes
    ----------
    bootstrap_servers, zookeeper_connect : str
        What clients are given, as ``host:port`` (the brokers' joined by commas).
    zookeeper : LabNode
    brokers : dict of int to LabBroker
        By broker id, from 1.
    """

    def __init__(self, folder: LabFolder, status: Mapping[str, Any]) -> None:
        self.folder = folder
        self.name = folder.name
        self._take(status)
        _tools_on_path()

    def _take(self, status: Mapping[str, Any]) -> None:
        self.bootstrap_servers: str = status["bootstrap_servers"]
        self.zookeeper_connect: str = status["zookeeper_connect"]
        self.cluster_id: str | None = status["cluster_id"]
        self.runtime: str = status["runtime"]
        self.zookeeper = LabNode(self, "zookeeper")
        self.brokers = {
            node["id"]: LabBroker(self, node["id"])
            for node in status["nodes"]
            if node["role"] == "broker"
        }
        self._client = access.read_client(self.client_file)
        self._zookeeper_client = access.read_zookeeper(self.zookeeper_client_file)
        self.probe = KafkaProbe(self._client)

    @property
    def client(self) -> dict[str, Any]:
        """What every Kafka client needs to know of this lab: ``Producer(lab.client)``, ``{**lab.client, "group.id": "x"}``."""
        return dict(self._client)

    @property
    def client_file(self) -> Path:
        """The same as a properties file, for programs: only its path is for a command line."""
        return self.folder.client_file

    @property
    def zookeeper_client(self) -> dict[str, Any]:
        """What a ZooKeeper client needs to know of this lab: ``KazooClient(**lab.zookeeper_client)``."""
        return copy.deepcopy(self._zookeeper_client)

    @property
    def zookeeper_client_file(self) -> Path:
        """The same as a file, for `brokerlab.access.read_zookeeper`."""
        return self.folder.zookeeper_client_file

    @property
    def nodes(self) -> dict[str, LabNode]:
        """ZooKeeper and the brokers by name, in this order."""
        return {node.name: node for node in (self.zookeeper, *self.brokers.values())}

    @property
    def zookeeper_port(self) -> int:
        return int(self.zookeeper_connect.rpartition(":")[2])

    @property
    def connect(self) -> Connect:
        """Kafka Connect beside this lab, as a process of this notebook; the same one however often it is asked for."""
        return connect_of(self.folder, self.client, self.cluster_id)

    @property
    def on_article_ports(self) -> bool:
        """Whether ZooKeeper and broker 1 have the ports of the article, 2181 and 9092."""
        return (
            self.zookeeper_port == topology.ARTICLE_ZOOKEEPER_PORT
            and f":{topology.ARTICLE_BROKER_PORT}" in self.bootstrap_servers
        )

    @property
    def state(self) -> str:
        """``usable``, ``degraded`` (some node is down), ``starting``, ``stopping`` or ``stopped``."""
        try:
            state: str = self.status()["state"]
        except NoLabError:
            return "stopped"
        return state

    def status(self) -> dict[str, Any]:
        """Return what `brokerlab status --json` prints.

        Raises
        ------
        NoLabError
            The lab has stopped.
        """
        return control.status(self.folder)

    def summary(self) -> str:
        """Say in half a sentence what runs."""
        try:
            nodes = self.status()["nodes"]
        except NoLabError:
            return "stopped"
        down = [_what_is_wrong(node) for node in nodes if node["state"] != "running"]
        count = len(self.brokers)
        plural = "broker" if count == 1 else "brokers"
        trouble = f"; {', '.join(down)}, lab.repair() brings it back" if down else ""
        return f"ZooKeeper on {self.zookeeper_port} and {count} {plural} on {_port_list(nodes)}{trouble}"

    def progress(self) -> Progress:
        """Return a progress that shows nothing: a verb's report says it all."""
        return Progress()

    def add_broker(self) -> LabBroker:
        """Let one more broker join; it gets the next id and the next port.

        Raises
        ------
        BrokerLabError
            The lab is full, or the machine is.
        """
        node = control.ask(self.folder, self.progress(), "add_broker")
        self._take(self.status())
        return self.brokers[node["id"]]

    def repair(self) -> list[Report]:
        """Start or resume whatever is down; return a report for each."""
        reports = []
        for node in self.nodes.values():
            state = node.state
            if state == "paused":
                reports.append(node.resume())
            elif state in ("stopped", "killed", "died"):
                reports.append(node.start())
        return reports

    def stop(self) -> None:
        """Stop every node, for every notebook that uses the lab. Its topics are gone then."""
        self.connect.end()
        control.stop(self.folder)

    def delete_topics(self, *names: str, timeout: float = 15) -> None:
        """Delete topics where they exist, and return when their names are free again.

        Parameters
        ----------
        timeout : float
            Seconds.

        Raises
        ------
        NodeFailedError
            They were still there after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            # All of them, whatever the metadata says: a broker may not have heard yet of a new topic.
            self.probe.delete_topics(names)
            left = sorted(set(names) & self.topics())
            if not left and self.probe.names_are_free(names):
                return
            if time.monotonic() > deadline:
                raise NodeFailedError(
                    f"After {timeout:.0f} s the cluster still has {', '.join(left or names)}: is a broker that holds a replica down? lab.repair() brings it back."
                )
            time.sleep(POLL_SECONDS)

    def topics(self) -> set[str]:
        """Return the names of the topics, Kafka's own included."""
        metadata = self.probe.metadata(5)
        if metadata is None:
            raise NodeFailedError(
                "No broker answered within 5 s: lab.repair() starts those that are down."
            )
        return {partition.topic for partition in metadata.partitions}

    def explain(self) -> Settings:
        """Return the lab's settings beside production's, each with its reason."""
        return Settings(len(self.brokers))

    def __repr__(self) -> str:
        plural = "broker" if len(self.brokers) == 1 else "brokers"
        return f"<Lab {self.name!r}: ZooKeeper and {len(self.brokers)} {plural}, {self.state}>"

    def _repr_html_(self) -> str:
        try:
            status = self.status()
        except NoLabError:
            return f"<b>Lab {html.escape(self.name)}</b>: stopped. <code>brokerlab.start()</code> starts a new one."
        rows = "".join(
            f"<tr><td style='text-align:left'>{node['name']}</td>"
            f"<td style='text-align:left'>{topology.HOST}:{node['port']}</td>"
            f"<td style='text-align:left'>{_MARKS.get(node['state'], '○')} {node['state']}</td>"
            f"<td style='text-align:left'>{html.escape(what_runs(node))}</td></tr>"
            for node in status["nodes"]
        )
        heads = "".join(
            f"<th style='text-align:left'>{head}</th>"
            for head in ("node", "address", "state", "process")
        )
        return (
            f"<b>Lab {html.escape(self.name)}</b>: {status['state']}"
            f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
        )

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def what_runs(node: Mapping[str, Any]) -> str:
    """Say which process or container a node of a lab's status is at the moment, or why it is none."""
    if node["container"]:
        return f"container {node['container']}"
    return f"pid {node['pid']}" if node["pid"] else node["cause"] or "no process"


def _what_is_wrong(node: Mapping[str, Any]) -> str:
    if node["state"] == "died":
        return f"{node['name']} has died: {node['cause']}"
    return f"{node['name']} is {node['state']}"


_MARKS = {"running": "●", "paused": "◐", "starting": "◌"}


def _port_list(nodes: list[dict[str, Any]]) -> str:
    return ", ".join(str(node["port"]) for node in nodes if node["role"] == "broker")


class Settings:
    """The lab's settings beside production's, as a table."""

    def __init__(self, brokers: int) -> None:
        self.zookeeper = topology.ZOOKEEPER_SETTINGS
        self.broker = topology.broker_settings(brokers)

    def _files(self) -> Iterator[tuple[str, tuple[Setting, ...]]]:
        yield "zookeeper.properties", self.zookeeper
        yield "server.properties", self.broker

    def __repr__(self) -> str:
        lines = []
        for file, settings in self._files():
            lines.append(f"{file}: lab | production | why")
            lines += [f"  {s.key}: {s.lab} | {s.production} | {s.reason}" for s in settings]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        left = "style='text-align:left'"
        tables = []
        for file, settings in self._files():
            rows = "".join(
                f"<tr><td {left}><code>{s.key}</code></td><td>{html.escape(s.lab)}</td>"
                f"<td>{html.escape(s.production)}</td><td {left}>{html.escape(s.reason)}</td></tr>"
                for s in settings
            )
            heads = f"<th {left}>{file}</th><th>lab</th><th>production</th><th {left}>why</th>"
            tables.append(f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>")
        return "".join(tables)


def _tools_on_path() -> None:
    """Let shell cells of this kernel find the console tools, also when the environment is not activated."""
    folder = sysconfig.get_path("scripts")
    path = os.environ.get("PATH", "")
    if folder not in path.split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([folder, path])
