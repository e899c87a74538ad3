"""What to run without ZooKeeper: controllers that agree by themselves (KRaft), and brokers that follow them.

Controllers are nodes of their own and not a second job of the brokers: only such a one can take a cluster over from
ZooKeeper, it stands where ZooKeeper stood, and it can be killed without killing a broker.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from brokerlab.access import CONTROLLER_KEY
from brokerlab.errors import SettingError
from brokerlab.topology import (
    CLOSED,
    DATA,
    HOST,
    MOST_CONTROLLERS,
    PROTOCOLS,
    NodeSpec,
    Ports,
    Setting,
    broker_settings,
    check_overrides,
    listeners,
    render,
)

MODES = ("zookeeper", "kraft")
FIRST_ID = 3000
"""Controller 1 is node 3001: the ids of controllers and brokers must differ, for good."""

SESSION_SECONDS = 3.0
KEY_SEEN_FROM_A_NODE = f"../../{CONTROLLER_KEY}"
"""Relative to the folder that a node runs in."""

NO_ZOOKEEPER = (
    "This lab has no ZooKeeper: lab.controllers holds what does its work, and brokerlab.start(mode='zookeeper', "
    "name='other') starts a lab that has one."
)

FLAG = "zookeeper.metadata.migration.enable"

MIGRATION_STEPS = (
    "start_controller",
    "join_brokers",
    "move_brokers",
    "finalise",
    "stop_zookeeper",
)
"""The way of a lab from ZooKeeper to controllers, in this order; each is a verb of `brokerlab.migration.Migration`."""

HEARTBEAT = Setting(
    "broker.heartbeat.interval.ms",
    "500",
    "2000",
    "How often a broker tells the controller that it lives: short sessions need frequent heartbeats.",
)
SESSION = Setting(
    "broker.session.timeout.ms",
    str(int(SESSION_SECONDS * 1000)),
    "9000",
    "How long the controller waits for a silent broker before it fences it: after a kill this is the failover time.",
)


def check_mode(mode: object) -> str | None:
    """Return the mode asked for, None for whatever there is.

    Raises
    ------
    SettingError
        There is no such mode.
    """
    if mode is not None and mode not in MODES:
        raise SettingError(f"mode={mode!r} is none there is: choose 'zookeeper' or 'kraft'.")
    return mode


def check_controller_count(controllers: object) -> int:
    """Return the number of controllers asked for.

    Raises
    ------
    SettingError
        It is neither 1 nor 3: two can lose no more than one can.
    """
    if isinstance(controllers, bool) or controllers not in (1, MOST_CONTROLLERS):
        raise SettingError(
            f"controllers={controllers!r} is no quorum of a lab: give 1, or {MOST_CONTROLLERS}, of which one may die."
        )
    return int(str(controllers))


def new_cluster_id() -> str:
    """Return an id as ``kafka-storage.sh random-uuid`` makes one: 16 bytes in 22 characters."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # Kafka's tools would take a leading hyphen for an option.
        if not text.startswith("-"):
            return text


def controller_settings(brokers: int) -> tuple[Setting, ...]:
    """Return a controller's settings in a cluster that starts with this many brokers."""
    decides = {"auto.leader.rebalance.enable", "num.network.threads", "num.io.threads"}
    return (SESSION, *(s for s in broker_settings(brokers) if s.key in decides))


def kraft_broker_settings(brokers: int) -> tuple[Setting, ...]:
    """Return a broker's settings where there is no ZooKeeper."""
    gone = ("zookeeper.", "controlled.shutdown.", "auto.leader.")
    return (HEARTBEAT, *(s for s in broker_settings(brokers) if not s.key.startswith(gone)))


@dataclass(frozen=True)
class Plan:
    """What the nodes of a lab have in common where controllers decide, or are about to.

    Attributes
    ----------
    ports : Ports
    controllers, brokers : int
        How many controllers vote, and how many brokers the cluster started with.
    cluster_id : str
    overrides : mapping
        Properties that were asked for.
    closed : bool
        Whether it lets in only who logs in: clients with a password, controllers and brokers among themselves with a key.
    """

    ports: Ports
    controllers: int
    brokers: int
    cluster_id: str
    overrides: Mapping[str, str]
    closed: bool = False

    def controller(self, number: int, migrating: bool = False) -> NodeSpec:
        """Describe controller `number`; while `migrating` it takes over from ZooKeeper."""
        port = self.ports.of_controller(number)
        takes_over = {
            FLAG: "true",
            "zookeeper.connect": f"{HOST}:{self.ports.zookeeper}",
            **(CLOSED["zookeeper client"] if self.closed else {}),
        }
        lines = {
            "listeners": f"CONTROLLER://{HOST}:{port}",
            **self._quorum(),
            "inter.broker.listener.name": PROTOCOLS[self.closed],
            **(CLOSED["broker"] if self.closed else {}),
            **(takes_over if migrating else {}),
        }
        settings = controller_settings(self.brokers)
        return self._node("controller", number, FIRST_ID + number, port, lines, settings)

    def broker(self, number: int) -> NodeSpec:
        """Describe broker `number`, which follows the controllers."""
        port = self.ports.of_broker(number)
        lines = {
            **listeners(port, self.closed),
            **(CLOSED["broker"] if self.closed else {}),
            **self._quorum(),
        }
        settings = kraft_broker_settings(self.brokers)
        return self._node("broker", number, number, port, lines, settings)

    def migrating_broker(self, old: NodeSpec) -> NodeSpec:
        """Return a broker of a ZooKeeper lab that knows the controllers too, and lets them take over."""
        if FLAG in old.properties:
            return old
        more = {**self._quorum(), FLAG: "true", "inter.broker.protocol.version": "3.9"}
        return replace(old, properties=old.properties + render(more))

    def _quorum(self) -> dict[str, str]:
        voters = ",".join(
            f"{FIRST_ID + number}@{HOST}:{self.ports.of_controller(number)}"
            for number in range(1, self.controllers + 1)
        )
        protocol = PROTOCOLS[self.closed]
        among_controllers = "SSL" if self.closed else "PLAINTEXT"
        return {
            "controller.quorum.voters": voters,
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": f"{protocol}:{protocol},CONTROLLER:{among_controllers}",
            **(_CLOSED_QUORUM if self.closed else {}),
        }

    def _node(
        self,
        role: str,
        number: int,
        id: int,
        port: int,
        lines: Mapping[str, str],
        settings: Sequence[Setting],
    ) -> NodeSpec:
        properties = {
            "process.roles": role,
            "node.id": str(id),
            **lines,
            "log.dirs": DATA,
            **{setting.key: setting.lab for setting in settings},
            **check_overrides(self.overrides, "broker"),
        }
        identity = {"version": "1", "cluster.id": self.cluster_id, "node.id": str(id)}
        return NodeSpec(
            f"{role}-{number}", role, id, port, render(properties), formatted=render(identity)
        )


def controller_client(key: str) -> str:
    """Return what Kafka's own tools read to ask the controllers of a lab that lets in only who has this key."""
    return render({"security.protocol": "SSL", **_tls("", key)})


def _tls(prefix: str, key: str) -> dict[str, str]:
    """Return how to show the key and its certificate, and to talk to nobody else who has not the same."""
    return {
        f"{prefix}ssl.keystore.type": "PEM",
        f"{prefix}ssl.keystore.location": key,
        f"{prefix}ssl.truststore.type": "PEM",
        f"{prefix}ssl.truststore.location": key,
    }


_ON_CONTROLLERS = "listener.name.controller."
_CLOSED_QUORUM = {
    **_tls(_ON_CONTROLLERS, KEY_SEEN_FROM_A_NODE),
    f"{_ON_CONTROLLERS}ssl.client.auth": "required",
}


def difference(before: str, after: str) -> tuple[str, ...]:
    """Return the lines by which two properties files differ: ``+ key=value`` and ``- key=value``."""
    old, new = before.splitlines(), after.splitlines()
    gone: Sequence[str] = [f"- {line}" for line in old if line not in new]
    come: Sequence[str] = [f"+ {line}" for line in new if line not in old]
    return (*gone, *come)
