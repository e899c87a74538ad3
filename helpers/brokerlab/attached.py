"""A lab on a cluster that exists: nothing is started, nothing of others is shown or touched."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from brokerlab import access, control, loginprobe
from brokerlab.capabilities import Capabilities
from brokerlab.connect import Connect
from brokerlab.errors import NodeFailedError, NotPossibleError, SettingError
from brokerlab.existing import ExistingCluster, described
from brokerlab.explanation import Settings as Explanation
from brokerlab.lab import Lab
from brokerlab.labfolder import LabFolder
from brokerlab.machine import write_private
from brokerlab.migration import Migration
from brokerlab.nodes import LabBroker, LabNode
from brokerlab.probes import KafkaProbe, Metadata
from brokerlab.progress import Progress
from brokerlab.report import Report
from brokerlab.settings import Settings
from brokerlab.topology import brokers_in_words

SECONDS = 5.0
"""How long the cluster has for an answer, beside a network and its other users."""

MOMENT = 0.05
"""Within these seconds an answer is not asked for again: one look at the cluster asks for it twice."""


def attach(asked: Settings, shown: Progress, brokers: int = 1) -> AttachedLab:
    """Attach to the cluster that the environment describes; nothing is started.

    Parameters
    ----------
    brokers : int
        How many brokers it must have at least.

    Raises
    ------
    BrokerLabError
        It cannot be used like this; the sentence says why.
    """
    begun = time.monotonic()
    cluster = described(asked)
    asking = loginprobe.demand_entry(cluster.client, str(cluster.properties_file or ""))
    # The console tools of the lessons need Kafka's jars here too, and never fetch.
    control.fetch_what_is_missing(asked, shown)
    folder = _folder(asked, cluster)
    folder.create()
    write_private(folder.client_file, access.properties(cluster.client))
    lab = AttachedLab(folder, cluster)
    if len(lab.brokers) < brokers:
        raise SettingError(
            f"The cluster at {cluster.servers} has {brokers_in_words(len(lab.brokers))} and {brokers} were asked for, since the lessons keep three copies of each partition: take a larger cluster, or brokerlab.start(brokers={len(lab.brokers)}) to look around."
        )
    lab.capabilities = replace(
        lab.capabilities,
        can_create_topics=loginprobe.may_create(asking, lab.topic("brokerlab-check")),
    )
    for remark in cluster.remarks:
        shown.begin(remark)
        shown.end(mark="!")
    if not lab.capabilities.can_create_topics:
        shown.begin(lab.why_no_topics())
        shown.end(mark="!")
    shown.done(f"attached to {lab.summary()}", time.monotonic() - begun)
    return lab


def forget(asked: Settings) -> None:
    """Remove the copy of the login that the cluster's programs are given."""
    shutil.rmtree(_folder(asked, described(asked)).path, ignore_errors=True)


def _folder(asked: Settings, cluster: ExistingCluster) -> LabFolder:
    return LabFolder(asked.home, f"attached-{_digest(cluster)}")


def _digest(cluster: ExistingCluster) -> str:
    told = f"{cluster.servers} {cluster.user} {cluster.prefix}"
    return hashlib.sha256(told.encode()).hexdigest()[:8]


class AttachedProbe(KafkaProbe):
    """Asks the brokers, and tells of topics only those whose names begin with the prefix."""

    def __init__(self, client: Mapping[str, Any], prefix: str) -> None:
        super().__init__(client)
        # The way to it may be long, unlike to a broker of this machine.
        self._settings |= {"socket.timeout.ms": int(SECONDS * 1000)}
        self._prefix = prefix
        self._last: tuple[float, Metadata] | None = None

    def metadata(self, timeout: float = SECONDS) -> Metadata | None:
        if self._last is not None and time.monotonic() - self._last[0] < MOMENT:
            return self._last[1]
        seen = super().metadata(max(timeout, SECONDS))
        if seen is None:
            return None
        own = tuple(p for p in seen.partitions if p.topic.startswith(self._prefix))
        seen = replace(seen, partitions=own)
        self._last = time.monotonic(), seen
        return seen


class AttachedBroker(LabBroker):
    """A broker of a cluster that exists: it can be looked at, and is its owner's."""

    @property
    def address(self) -> str:
        return f"{self._now()['host']}:{self.port}"

    @property
    def properties_file(self) -> Path:
        self._no_files()

    @property
    def data(self) -> Path:
        self._no_files()

    def log(self, lines: int = 20, containing: str = "") -> str:
        self._no_files()

    def _no_files(self) -> NoReturn:
        _not_possible(f"{self.name} runs on its owner's machine, and its files are there")

    def _leave(self, verb: str, done: str, watch: bool = True) -> Report:
        _not_possible(f"{self.name} is not this lab's to {verb}")

    def _return(self, verb: str, done: str) -> Report:
        _not_possible(f"{self.name} is not this lab's to {verb}")


class AttachedLab(Lab):
    """A learner's part of a cluster that exists: the topics, groups and transactions whose names begin with a prefix."""

    def __init__(self, folder: LabFolder, cluster: ExistingCluster) -> None:
        self.cluster = cluster
        self.prefix = cluster.prefix
        self.probe = AttachedProbe(cluster.client, cluster.prefix)
        super().__init__(folder, self._status(folder.name, self.probe))
        self.capabilities = Capabilities(
            is_own=False,
            can_kill=False,
            can_add_broker=False,
            has_zookeeper=bool(cluster.zookeeper_connect),
            sees_files=False,
        )

    def _take(self, status: Mapping[str, Any]) -> None:
        self.bootstrap_servers = status["bootstrap_servers"]
        self.zookeeper_connect = status["zookeeper_connect"]
        self.cluster_id = status["cluster_id"]
        self.runtime = status["runtime"]
        self.mode = status["mode"]
        self.bootstrap_controllers = ""
        self.controllers = {}
        self.brokers = {node["id"]: AttachedBroker(self, node["id"]) for node in status["nodes"]}
        self._client = dict(self.cluster.client)
        self.migration = Migration(self)

    def why_no_topics(self) -> str:
        """Say that no topics can be created, and what to ask for."""
        return f"{self.cluster.user or 'This client'} may not create topics that begin with {self.prefix} on this cluster: ask who runs it for that right (docs/classroom.md has the commands), or set BROKERLAB_PREFIX to what you were given."

    def status(self) -> dict[str, Any]:
        """Return what `brokerlab status --json` prints; the cluster is asked."""
        return self._status(self.name, self.probe)

    def _status(self, name: str, probe: KafkaProbe) -> dict[str, Any]:
        seen = probe.metadata(SECONDS)
        cluster = self.cluster
        return {
            "lab": name,
            "runtime": "external",
            "why": "",
            "auth": bool(cluster.user),
            "auth_why": "as this cluster wants it",
            "state": "usable" if seen else "unreachable",
            "bootstrap_servers": cluster.servers,
            "zookeeper_connect": cluster.zookeeper_connect,
            "bootstrap_controllers": "",
            "mode": "external",
            "phase": "",
            "cluster_id": seen.cluster_id if seen else None,
            "prefix": cluster.prefix,
            "nodes": [_node(*item) for item in sorted(seen.addresses.items())] if seen else [],
            "leases": [],
        }

    def summary(self) -> str:
        return f"the cluster at {self.bootstrap_servers}, which has {brokers_in_words(len(self.brokers))}; your names on it begin with {self.prefix}"

    def topics(self) -> set[str]:
        seen = self.probe.metadata(SECONDS)
        if seen is None:
            raise NodeFailedError(
                f"The cluster at {self.bootstrap_servers} did not answer within {SECONDS:.0f} s: ask who runs it, and try again."
            )
        return {partition.topic for partition in seen.partitions}

    def delete_topics(self, *names: str, timeout: float = 15) -> None:
        try:
            super().delete_topics(*names, timeout=timeout)
        except NodeFailedError:
            raise NodeFailedError(
                f"After {timeout:.0f} s the cluster still has {', '.join(map(self.topic, names))}: ask who runs it whether {self.cluster.user or 'this client'} may delete topics."
            ) from None

    @property
    def zookeeper_client(self) -> dict[str, Any]:
        self._demand_zookeeper()
        return {"hosts": self.zookeeper_connect}

    @property
    def zookeeper_client_file(self) -> Path:
        self._demand_zookeeper()
        write_private(self.folder.zookeeper_client_file, json.dumps(self.zookeeper_client))
        return self.folder.zookeeper_client_file

    def _demand_zookeeper(self) -> None:
        if not self.zookeeper_connect:
            _not_possible(
                "nothing says where its ZooKeeper is (BROKERLAB_ZOOKEEPER_CONNECT), if it has one"
            )

    @property
    def nodes(self) -> dict[str, LabNode]:
        return {node.name: node for node in self.brokers.values()}

    @property
    def zookeeper(self) -> LabNode:
        _not_possible("its ZooKeeper is its owner's")

    @property
    def zookeeper_port(self) -> int:
        _not_possible("its ZooKeeper is its owner's")

    @property
    def connect(self) -> Connect:
        _not_possible("Kafka Connect beside it would need topics and groups without your prefix")

    def add_broker(self) -> LabBroker:
        _not_possible("only its owner adds brokers")

    def explain(self) -> Explanation:
        _not_possible("its settings are its owner's")

    def stop(self) -> None:
        _not_possible("nothing was started, so nothing is stopped")

    def __exit__(self, *_: object) -> None:
        """Leave the cluster as it is."""

    def __repr__(self) -> str:
        return f"<Lab on {self.bootstrap_servers}: {brokers_in_words(len(self.brokers))}, names begin with {self.prefix}, {self.state}>"


def _node(number: int, address: str) -> dict[str, Any]:
    host, _, port = address.rpartition(":")
    return {
        "name": f"broker-{number}",
        "role": "broker",
        "id": number,
        "host": host,
        "port": int(port),
        "state": "running",
        "pid": None,
        "container": None,
        "cause": "its owner's",
    }


def _not_possible(why: str) -> NoReturn:
    raise NotPossibleError(
        f"This cluster is one that exists already: {why}; brokerlab.start(runtime='local') starts a lab of your own beside it."
    )
