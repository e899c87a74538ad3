"""What a notebook holds: a running lab."""

from __future__ import annotations

import contextlib
import copy
import html
import os
import sysconfig
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from brokerlab import access, control, kraft, machine, quorum, topology
from brokerlab import settings as _settings
from brokerlab.capabilities import WHY_NOT, Capabilities
from brokerlab.connect import Connect, connect_of
from brokerlab.errors import NodeFailedError, NoLabError, SettingError
from brokerlab.explanation import Settings
from brokerlab.labfolder import LabFolder
from brokerlab.migration import Migration
from brokerlab.nodes import LabBroker, LabController, LabNode, what_runs
from brokerlab.probes import KafkaProbe, registered_brokers
from brokerlab.progress import Progress, in_notebook_or_terminal
from brokerlab.report import Report

POLL_SECONDS = 0.02


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
        How nodes run, instead of what BROKERLAB_RUNTIME says. With ``external`` nothing is started: the lab is a part of
        the cluster at BROKERLAB_BOOTSTRAP_SERVERS, which must have as many brokers at least.
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
    if how == "external":
        wishes = {
            "name": name != "main",
            "broker_properties": broker_properties,
            "zookeeper_properties": zookeeper_properties,
            "mode": mode,
        }
        return _attach_to_existing(asked, shown, wanted, [key for key in wishes if wishes[key]])
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
    asked = _settings.read()
    if asked.runtime == "external":
        return _attach_to_existing(asked, Progress(), 1, ["name"] if name != "main" else [])
    folder = LabFolder(asked.home, name)
    status = control.status(folder)
    control.take_lease(folder)
    return Lab(folder, status)


def _attach_to_existing(
    asked: _settings.Settings, shown: Progress, brokers: int, wishes: Sequence[str]
) -> Lab:
    # Not above: it is a kind of lab itself.
    from brokerlab import attached

    if wishes:
        raise SettingError(
            f"BROKERLAB_RUNTIME is external, so nothing is started and {' and '.join(wishes)} cannot be chosen: leave that out, or add runtime='local' for a lab of your own."
        )
    return attached.attach(asked, shown, brokers)


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
    capabilities : Capabilities
        What is possible with this lab.
    prefix : str
        What the names of topics, groups and transactions must begin with; empty on a cluster of one's own.
    """

    capabilities: Capabilities
    prefix: str = ""
    _controller_key: Path | None = None

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
        self._controller_key = self.folder.controller_key if status["auth"] else None
        self._zookeeper_client = access.read_zookeeper(self.zookeeper_client_file)
        self.probe = KafkaProbe(self._client)
        self.capabilities = Capabilities(has_zookeeper=bool(self.zookeeper_connect))

    def topic(self, name: str) -> str:
        """Return what a topic of yours is called on this cluster: `name`, behind the prefix where there is one."""
        return name if name.startswith(self.prefix) else f"{self.prefix}{name}"

    def group(self, name: str) -> str:
        """Return what a consumer group of yours is called on this cluster, as for `topic`."""
        return self.topic(name)

    def transactional_id(self, name: str) -> str:
        """Return what a transactional producer of yours is called on this cluster, as for `topic`."""
        return self.topic(name)

    def offers(self, *needs: str) -> bool:
        """Whether a step can be taken on this lab; where it cannot, print in a sentence why it is left out.

        Parameters
        ----------
        *needs : str
            Names of fields of `Capabilities`.
        """
        for need in needs:
            if not getattr(self.capabilities, need):
                print(f"Left out on this cluster: {WHY_NOT[need]}.")
                return False
        return True

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

    def leader_among(self, addresses: Sequence[str], timeout: float = 0.3) -> quorum.Quorum | None:
        """Ask these controllers of the lab which of them leads, as `quorum`, each for at most `timeout` seconds."""
        return quorum.leader_of(addresses, timeout, self._controller_key)

    def quorum(self) -> quorum.Quorum | None:
        """Return what the controllers' leader says of their quorum; None when nobody leads, or there are none."""
        return self.leader_among([one.address for one in self.controllers.values()])

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
        brokers = topology.brokers_in_words(len(self.brokers))
        trouble = f"; {', '.join(down)}, lab.repair() brings it back" if down else ""
        keepers = _keepers(nodes)
        return f"{keepers} and {brokers} on {_port_list(nodes, 'broker')}{trouble}"

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
        names = tuple(map(self.topic, names))
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
        brokers = topology.brokers_in_words(len(self.brokers))
        keepers = {"zookeeper": "ZooKeeper", "kraft": "KRaft"}.get(self.mode, "ZooKeeper, KRaft")
        return f"<Lab {self.name!r}: {keepers} and {brokers}, {self.state}>"

    def _repr_html_(self) -> str:
        try:
            status = self.status()
        except NoLabError:
            return f"<b>Lab {html.escape(self.name)}</b>: stopped. <code>brokerlab.start()</code> starts a new one."
        rows = "".join(
            f"<tr><td style='text-align:left'>{node['name']}</td>"
            f"<td style='text-align:left'>{node.get('host', topology.HOST)}:{node['port']}</td>"
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


def _tools_on_path() -> None:
    """Let shell cells of this kernel find the console tools, also when the environment is not activated."""
    folder = sysconfig.get_path("scripts")
    path = os.environ.get("PATH", "")
    if folder not in path.split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([folder, path])
