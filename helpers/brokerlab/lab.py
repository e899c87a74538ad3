"""What a notebook holds: a running lab, its nodes, and their verbs with what was measured."""

from __future__ import annotations

import contextlib
import copy
import html
import os
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brokerlab import access, control, kraft, machine, quorum, topology
from brokerlab import settings as _settings
from brokerlab.connect import Connect, connect_of
from brokerlab.errors import NodeFailedError, NoLabError, SettingError
from brokerlab.labfolder import LabFolder
from brokerlab.migration import Migration
from brokerlab.probes import KafkaProbe, Partition, heard_from, registered_brokers
from brokerlab.progress import Progress, in_notebook_or_terminal
from brokerlab.topology import Setting

POLL_SECONDS = 0.02
QUORUM_SECONDS = 15.0


def start(
    brokers: int = 3,
    *,
    name: str = "main",
    broker_properties: Mapping[str, Any] | None = None,
    zookeeper_properties: Mapping[str, Any] | None = None,
    keep: bool = False,
    runtime: str | None = None,
    mode: str | None = None,
    controllers: int = 1,
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
        Properties to add to the files, or to set otherwise than the lab does. Those of the brokers go to controllers too.
    keep : bool
        Keep the lab until it is stopped, even when no process uses it any more.
    runtime : str, optional
        How nodes run, instead of what BROKERLAB_RUNTIME says.
    mode : str, optional
        Who keeps the list of the brokers: ``zookeeper`` or, with local processes only, ``kraft``: Kafka's own controllers.
        By default ZooKeeper, or whoever does it in a lab that runs already.
    controllers : int
        How many controllers in mode ``kraft``, 1 or 3.
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
    if kraft.check_mode(mode) == "kraft" and overrides["zookeeper"]:
        raise SettingError("mode='kraft' has no ZooKeeper: leave out zookeeper_properties.")
    if kraft.check_controller_count(controllers) > 1 and mode != "kraft":
        raise SettingError(
            f"controllers={controllers} needs mode='kraft': ZooKeeper is in their place else."
        )
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
        mode=mode,
        controllers=controllers,
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
        Seconds from the start of the verb until the broker was no longer listed (or listed again) by `keeper`.
    led : int
        How many partitions the broker led before.
    new_leaders : float or None
        Seconds until each of these had another leader; None if some have not found one.
    without_leader : tuple of str
        Partitions that have no leader now.
    notes : tuple of str
        What did not happen in time, or happened beside it.
    keeper : str
        Who keeps the list of the brokers: ``ZooKeeper`` or ``the controller``.
    """

    node: str
    verb: str
    seconds: float
    noticed: float | None = None
    led: int = 0
    new_leaders: float | None = None
    without_leader: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    keeper: str = "ZooKeeper"

    def __str__(self) -> str:
        parts = [f"{self.node} {self.verb} in {self.seconds:.1f} s"]
        if self.noticed is not None:
            gone = "listed it again" if self.verb in ("started", "resumed") else "noticed"
            parts.append(f"{self.keeper} {gone} after {self.noticed:.1f} s")
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
            now = quorum.leader_of(up, 0.3)
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


class Lab:
    """A running ZooKeeper, or controllers in its place, and the brokers.

    Attributes
    ----------
    bootstrap_servers, zookeeper_connect, bootstrap_controllers : str
        What clients are given, as ``host:port`` (those of several nodes joined by commas); empty where there is none.
    mode : str
        ``zookeeper``, ``kraft``, or ``migrating`` while there are both ZooKeeper and a controller.
    brokers : dict of int to LabBroker
        By broker id, from 1.
    controllers : dict of int to LabController
        By number, from 1; empty in mode ``zookeeper``.
    migration : Migration
        The steps from ZooKeeper to controllers.
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
        self.mode: str = status["mode"]
        self.bootstrap_controllers: str = status["bootstrap_controllers"]
        self._zookeeper = LabNode(self, "zookeeper") if self.zookeeper_connect else None
        numbers = [node["id"] for node in status["nodes"] if node["role"] == "controller"]
        self.controllers = {
            number - kraft.FIRST_ID: LabController(self, number - kraft.FIRST_ID)
            for number in numbers
        }
        self.migration = Migration(self)
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
        if self._zookeeper is None:
            raise NodeFailedError(kraft.NO_ZOOKEEPER)
        return copy.deepcopy(self._zookeeper_client)

    @property
    def zookeeper_client_file(self) -> Path:
        """The same as a file, for `brokerlab.access.read_zookeeper`."""
        return self.folder.zookeeper_client_file

    @property
    def nodes(self) -> dict[str, LabNode]:
        """ZooKeeper, the controllers and the brokers by name, in this order."""
        keepers = [] if self._zookeeper is None else [self._zookeeper]
        return {n.name: n for n in (*keepers, *self.controllers.values(), *self.brokers.values())}

    @property
    def zookeeper(self) -> LabNode:
        """ZooKeeper.

        Raises
        ------
        NodeFailedError
            The lab has none.
        """
        if self._zookeeper is None:
            raise NodeFailedError(kraft.NO_ZOOKEEPER)
        return self._zookeeper

    def quorum(self) -> quorum.Quorum | None:
        """Return what the controllers' leader says of their quorum; None when nobody leads, or there are none."""
        return quorum.leader_of([one.address for one in self.controllers.values()], 0.3)

    def registered(self) -> frozenset[int] | None:
        """Return the ids of the brokers that belong to the cluster now; None when nobody can tell.

        ZooKeeper says it by their znodes; the controllers' list is told by the brokers, which follow it.
        """
        if self.mode == "zookeeper":
            return registered_brokers(self.zookeeper_port)
        seen = self.probe.metadata(1)
        return seen.brokers if seen else None

    def refresh(self) -> None:
        """Learn anew which nodes there are."""
        self._take(self.status())

    @property
    def zookeeper_port(self) -> int:
        if self._zookeeper is None:
            raise NodeFailedError(kraft.NO_ZOOKEEPER)
        return int(self.zookeeper_connect.rpartition(":")[2])

    @property
    def connect(self) -> Connect:
        """Kafka Connect beside this lab, as a process of this notebook; the same one however often it is asked for."""
        return connect_of(self.folder, self.client, self.cluster_id)

    @property
    def on_article_ports(self) -> bool:
        """Whether ZooKeeper and broker 1 have the ports of the article, 2181 and 9092."""
        return (
            self.zookeeper_connect.endswith(f":{topology.ARTICLE_ZOOKEEPER_PORT}")
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
        keepers = _keepers(nodes)
        return f"{keepers} and {count} {plural} on {_port_list(nodes, 'broker')}{trouble}"

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
        return Settings(len(self.brokers), self.mode)

    def __repr__(self) -> str:
        plural = "broker" if len(self.brokers) == 1 else "brokers"
        keepers = {"zookeeper": "ZooKeeper", "kraft": "KRaft"}.get(self.mode, "ZooKeeper, KRaft")
        return f"<Lab {self.name!r}: {keepers} and {len(self.brokers)} {plural}, {self.state}>"

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
        # Whoever has stopped it inside has what they wanted.
        with contextlib.suppress(NoLabError):
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


def _port_list(nodes: list[dict[str, Any]], role: str) -> str:
    return ", ".join(str(node["port"]) for node in nodes if node["role"] == role)


def _keepers(nodes: list[dict[str, Any]]) -> str:
    """Say who keeps the list of the brokers, and where."""
    said = []
    if zookeeper := _port_list(nodes, "zookeeper"):
        said.append(f"ZooKeeper on {zookeeper}")
    if controllers := _port_list(nodes, "controller"):
        plural = "controllers" if "," in controllers else "a controller"
        said.append(f"{plural} on {controllers}")
    return ", ".join(said)


class Settings:
    """The lab's settings beside production's, as a table."""

    def __init__(self, brokers: int, mode: str = "zookeeper") -> None:
        with_zookeeper, with_controllers = mode != "kraft", mode != "zookeeper"
        self.zookeeper = topology.ZOOKEEPER_SETTINGS if with_zookeeper else ()
        self.controller = kraft.controller_settings(brokers) if with_controllers else ()
        of_broker = topology.broker_settings if with_zookeeper else kraft.kraft_broker_settings
        self.broker = of_broker(brokers)

    def _files(self) -> Iterator[tuple[str, tuple[Setting, ...]]]:
        for role in topology.PROPERTIES_FILES:
            if settings := getattr(self, role):
                yield topology.PROPERTIES_FILES[role], settings

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
