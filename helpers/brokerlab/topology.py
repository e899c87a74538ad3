"""What to run: the nodes, their ports, and every setting with the reason for it.

The same `.properties` come out for every runtime; what differs (listeners, folders) is passed in.
"""

from __future__ import annotations

import random
import re
import socket
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from brokerlab.access import MECHANISM
from brokerlab.errors import PortTakenError, SettingError
from brokerlab.processes import listener_on

HOST = "127.0.0.1"
EVERYWHERE = "0.0.0.0"
MOST_BROKERS = 8
MOST_CONTROLLERS = 3
ARTICLE_ZOOKEEPER_PORT = 2181
ARTICLE_BROKER_PORT = 9092
CONNECT_PORT = 8083
# The sample file of Kafka says 9093, which is the second broker's here.
CONTROLLER_PORT = 9193
# Below the ephemeral range of Linux, macOS and Windows: a client that keeps polling a dead broker on an
# ephemeral port can be given that very port, connect to itself, and keep the broker out for good.
BLOCKS = range(19_000, 29_984, 16)

# Among the nodes of a lab whose nodes have addresses of their own; no port of a lab on this machine.
INTERNAL_PORT = 9192

# Relative to the folder that a node runs in.
DATA = "data"

ZOOKEEPER_SESSION_SECONDS = 3.0


PROPERTIES_FILES = {
    "zookeeper": "zookeeper.properties",
    "controller": "controller.properties",
    "broker": "server.properties",
}
"""Role of a node -> the name of its file, as Kafka's own distribution calls it."""


@dataclass(frozen=True)
class Setting:
    """One line of a `.properties` file that the lab sets on purpose.

    Attributes
    ----------
    key, lab : str
        The property and the lab's value.
    production : str
        What a production cluster has: Kafka's or ZooKeeper's default, or what is usual there.
    reason : str
        Why the lab differs, or why it does not.
    """

    key: str
    lab: str
    production: str
    reason: str


ZOOKEEPER_SETTINGS = (
    Setting(
        "tickTime",
        "500",
        "2000–3000",
        "ZooKeeper's unit of time in ms: a session can be no shorter than two ticks, so short sessions need short ticks.",
    ),
    Setting(
        "maxClientCnxns",
        "0",
        "60",
        "No limit on connections from one address: the whole lab lives on one.",
    ),
    Setting(
        "admin.enableServer",
        "false",
        "true",
        "The admin web server would take port 8080; nothing here needs it.",
    ),
    Setting(
        "4lw.commands.whitelist",
        "srvr,stat,ruok,mntr,cons,dump,conf",
        "srvr",
        "The four-letter commands show a learner what ZooKeeper knows; in production they show it to everybody.",
    ),
    Setting(
        "forceSync",
        "no",
        "yes",
        "Skips the flush to disk before each answer: this data is thrown away, production's is not.",
    ),
)


def broker_settings(brokers: int) -> tuple[Setting, ...]:
    """Return the broker's settings for a cluster that starts with this many brokers."""
    copies = str(min(3, brokers))
    quorum = str(min(2, brokers))
    return (
        Setting(
            "zookeeper.session.timeout.ms",
            str(int(ZOOKEEPER_SESSION_SECONDS * 1000)),
            "18000",
            "How long ZooKeeper waits for a silent broker before it drops its znode: after a kill this is the failover time.",
        ),
        Setting(
            "zookeeper.connection.timeout.ms",
            "20000",
            "18000",
            "A slow start of ZooKeeper must not kill the brokers.",
        ),
        Setting(
            "replica.lag.time.max.ms",
            "5000",
            "30000",
            "How long a follower may lag before it leaves the ISR: 30 s is a long time to watch a screen.",
        ),
        Setting(
            "replica.fetch.backoff.ms",
            "100",
            "1000",
            "A follower that asks a moment too early for a new topic waits this long, and the first acks=all write with it.",
        ),
        Setting(
            "replica.socket.timeout.ms",
            "5000",
            "30000",
            "How soon a broker gives up on a frozen peer.",
        ),
        Setting(
            "controller.socket.timeout.ms",
            "5000",
            "30000",
            "How soon the controller gives up on a frozen broker.",
        ),
        Setting(
            "group.initial.rebalance.delay.ms",
            "0",
            "3000",
            "Production waits for more members before the first assignment; here the first consumer reads at once.",
        ),
        Setting(
            "group.min.session.timeout.ms",
            "1000",
            "6000",
            "Lets a lesson use short consumer sessions and see a crash noticed in seconds.",
        ),
        Setting(
            "offsets.topic.num.partitions",
            "3",
            "50",
            "Fifty partitions of committed offsets would cost more memory than the lessons do.",
        ),
        Setting(
            "offsets.topic.replication.factor",
            copies,
            "3",
            "Kafka's sample file says 1: killing the wrong broker would then stop every consumer group.",
        ),
        Setting(
            "transaction.state.log.num.partitions",
            "3",
            "50",
            "As for the offsets.",
        ),
        Setting(
            "transaction.state.log.replication.factor",
            copies,
            "3",
            "As for the offsets.",
        ),
        Setting(
            "transaction.state.log.min.isr",
            quorum,
            "2",
            "Two copies at least before a transaction counts, as in production.",
        ),
        Setting(
            "controlled.shutdown.max.retries",
            "1",
            "3",
            "The last broker has nobody to hand its leaders to: asking three times makes every stop wait 10 s.",
        ),
        Setting(
            "controlled.shutdown.retry.backoff.ms",
            "500",
            "5000",
            "As above.",
        ),
        Setting(
            "auto.leader.rebalance.enable",
            "false",
            "true",
            "Leaders move when you move them (kafka-leader-election.sh), so that what you see is what you did.",
        ),
        Setting(
            "log.initial.task.delay.ms",
            "100",
            "30000",
            "Retention, deletion and compaction begin when you look, not half a minute later.",
        ),
        Setting(
            "log.retention.check.interval.ms",
            "1000",
            "300000",
            "As above.",
        ),
        Setting(
            "log.cleaner.backoff.ms",
            "500",
            "15000",
            "As above.",
        ),
        Setting(
            "log.cleaner.dedupe.buffer.size",
            "2097152",
            "134217728",
            "128 MiB of heap for compaction does not fit a broker of 256 MB.",
        ),
        Setting(
            "num.network.threads",
            "2",
            "3",
            "Fewer threads, less memory; a busy broker has more.",
        ),
        Setting(
            "num.io.threads",
            "2",
            "8",
            "As above.",
        ),
        Setting(
            "background.threads",
            "2",
            "10",
            "As above.",
        ),
    )


@dataclass(frozen=True)
class NodeSpec:
    """One node: what it is called, its role, its port for life, and its properties file.

    Attributes
    ----------
    name : str
        ``zookeeper``, ``controller-1`` or ``broker-1``.
    role : str
        ``zookeeper``, ``controller`` or ``broker``.
    id : int or None
        The id in the cluster; None for ZooKeeper.
    port : int
    properties : str
        The text of the file that the process reads.
    formatted : str
        What ``meta.properties`` says before the first start; empty where the node writes it itself, as with ZooKeeper.
    """

    name: str
    role: str
    id: int | None
    port: int
    properties: str
    formatted: str = ""

    @property
    def properties_file(self) -> str:
        """The file's name, as Kafka's own distribution calls it."""
        return PROPERTIES_FILES[self.role]

    @property
    def kraft(self) -> bool:
        """Whether it takes its metadata from controllers and not from ZooKeeper: only such a one is formatted before."""
        return bool(self.formatted)


def brokers_in_words(count: int) -> str:
    """Return how many brokers there are, as in ``1 broker`` or ``3 brokers``."""
    return "1 broker" if count == 1 else f"{count} brokers"


def check_broker_count(brokers: object) -> int:
    """Return the number of brokers asked for, or say which numbers there are.

    Raises
    ------
    SettingError
        It is not a whole number from 1 to `MOST_BROKERS`.
    """
    if isinstance(brokers, bool) or not isinstance(brokers, int):
        raise SettingError(
            f"brokers={brokers!r} is not a number of brokers: give a whole number from 1 to {MOST_BROKERS}, such as brokers=3."
        )
    if not 1 <= brokers <= MOST_BROKERS:
        raise SettingError(
            f"brokers={brokers} is outside what a lab can hold: give a whole number from 1 to {MOST_BROKERS}, such as brokers=3."
        )
    return brokers


def zookeeper(
    port: int, overrides: Mapping[str, str], apart: bool = False, closed: bool = False
) -> NodeSpec:
    """Describe the ZooKeeper node; for `apart` and `closed` see `broker`."""
    lines = {
        "clientPort": str(port),
        "clientPortAddress": EVERYWHERE if apart else HOST,
        "dataDir": DATA,
        **{setting.key: setting.lab for setting in ZOOKEEPER_SETTINGS},
        **(CLOSED["zookeeper"] if closed else {}),
    }
    return NodeSpec(
        "zookeeper", "zookeeper", None, port, render(_override(lines, overrides, "zookeeper"))
    )


def broker(
    number: int,
    port: int,
    zookeeper_port: int,
    brokers: int,
    overrides: Mapping[str, str],
    apart: bool = False,
    closed: bool = False,
) -> NodeSpec:
    """Describe broker `number` of a cluster that started with `brokers` brokers.

    Parameters
    ----------
    apart : bool
        Whether each node has addresses of its own, as a container has: then it listens on all of them, and
        the nodes find each other by name. Clients find them on this machine all the same.
    closed : bool
        Whether it lets in only who logs in; the secret is no part of the file.
    """
    name = f"broker-{number}"
    lines = {
        "broker.id": str(number),
        **(_listeners_apart(name, port, closed) if apart else listeners(port, closed)),
        "zookeeper.connect": f"{'zookeeper' if apart else HOST}:{zookeeper_port}",
        "log.dirs": DATA,
        **{setting.key: setting.lab for setting in broker_settings(brokers)},
        **({**CLOSED["broker"], **CLOSED["zookeeper client"]} if closed else {}),
    }
    return NodeSpec(name, "broker", number, port, render(_override(lines, overrides, "broker")))


def listeners(port: int, closed: bool) -> dict[str, str]:
    """Return where a broker listens, on the address of all nodes; for `closed` see `broker`."""
    protocol = PROTOCOLS[closed]
    return {
        "listeners": f"{protocol}://{HOST}:{port}",
        "advertised.listeners": f"{protocol}://{HOST}:{port}",
        **({"security.inter.broker.protocol": protocol} if closed else {}),
    }


def _listeners_apart(name: str, port: int, closed: bool) -> dict[str, str]:
    protocol = PROTOCOLS[closed]
    return {
        "listeners": f"{protocol}://{EVERYWHERE}:{port},INTERNAL://{EVERYWHERE}:{INTERNAL_PORT}",
        "advertised.listeners": f"{protocol}://{HOST}:{port},INTERNAL://{name}:{INTERNAL_PORT}",
        "listener.security.protocol.map": f"{protocol}:{protocol},INTERNAL:{protocol}",
        "inter.broker.listener.name": "INTERNAL",
    }


PROTOCOLS = {False: "PLAINTEXT", True: "SASL_PLAINTEXT"}

CLOSED = {
    "zookeeper": {
        "authProvider.sasl": "org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
        # Nobody reads or writes anything before he has logged in; the four-letter commands stay open to all.
        "enforce.auth.enabled": "true",
        "enforce.auth.schemes": "sasl",
    },
    "broker": {
        "sasl.enabled.mechanisms": MECHANISM,
        "sasl.mechanism.inter.broker.protocol": MECHANISM,
    },
    "zookeeper client": {"zookeeper.set.acl": "true"},
}
"""What a node that lets in only who logs in has in its file, by what it is."""


_OURS = {
    "zookeeper": {"clientPort", "clientPortAddress", "dataDir", *CLOSED["zookeeper"]},
    "broker": {
        "broker.id",
        "listeners",
        "advertised.listeners",
        "zookeeper.connect",
        "log.dirs",
        "port",
        "listener.security.protocol.map",
        "inter.broker.listener.name",
        "security.inter.broker.protocol",
        *CLOSED["broker"],
        *CLOSED["zookeeper client"],
    },
    "connector": {"name"},
}


def check_overrides(overrides: object, role: str) -> dict[str, str]:
    """Return property overrides as text, or say what is wrong with them.

    Raises
    ------
    SettingError
        Not a mapping of names to plain values, or a property that the lab itself must set.
    """
    example = "{'auto.create.topics.enable': 'false'}"
    if overrides is None:
        return {}
    if not isinstance(overrides, Mapping):
        raise SettingError(
            f"{role}_properties is {overrides!r}: give a dictionary such as {example}."
        )
    checked = {}
    for key, value in overrides.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if not isinstance(key, str) or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", key):
            raise SettingError(
                f"{key!r} is not the name of a property: give a dictionary such as {example}."
            )
        if not isinstance(value, str | int | float) or any(c in text for c in "\n\r\0"):
            raise SettingError(
                f"The value of {key} is {value!r}: give one line of text, a number, or True or False."
            )
        if key in _OURS[role]:
            raise SettingError(
                f"{key} is set by the lab itself, because ports, folders and logins must fit together: leave it out of {role}_properties."
            )
        checked[key] = text
    return checked


def _override(lines: dict[str, str], overrides: Mapping[str, str], role: str) -> dict[str, str]:
    return {**lines, **check_overrides(overrides, role)}


def render(lines: Mapping[str, str]) -> str:
    """Write properties as Java reads them: one a line, anything beyond ASCII escaped."""
    return "".join(f"{key}={_escape(value)}\n" for key, value in lines.items())


def _escape(value: str) -> str:
    text = value.replace("\\", "\\\\")
    units = text.encode("utf-16-be", "surrogatepass")
    pairs = (units[i] << 8 | units[i + 1] for i in range(0, len(units), 2))
    escaped = "".join(chr(unit) if 32 <= unit < 127 else f"\\u{unit:04x}" for unit in pairs)
    # Java skips blanks before a value unless the first is escaped.
    return f"\\{escaped}" if escaped.startswith(" ") else escaped


@dataclass(frozen=True)
class Ports:
    """The ports of a lab: one for ZooKeeper, one for each broker and each controller that may ever join."""

    zookeeper: int
    brokers: tuple[int, ...]
    controllers: tuple[int, ...] = ()

    def of_broker(self, number: int) -> int:
        return self.brokers[number - 1]

    def of_controller(self, number: int) -> int:
        return self.controllers[number - 1]


def choose_ports(brokers: int, reserved: Collection[int] = (), controllers: int = 0) -> Ports:
    """Choose ports that are free now: the article's if they are, else a block below the ephemeral range.

    Parameters
    ----------
    brokers : int
        How many must be free at once; the ports after these are for brokers that may join.
    reserved : collection of int
        Ports of other labs, which are theirs also while a node of theirs is down.
    controllers : int
        How many controllers must find theirs free at once.

    Raises
    ------
    PortTakenError
        No block is free, which takes some hundred listening programs.
    """
    article = Ports(
        ARTICLE_ZOOKEEPER_PORT,
        tuple(range(ARTICLE_BROKER_PORT, ARTICLE_BROKER_PORT + MOST_BROKERS)),
        tuple(range(CONTROLLER_PORT, CONTROLLER_PORT + MOST_CONTROLLERS)),
    )
    needed = (*article.brokers[:brokers], *article.controllers[:controllers])
    if _available((article.zookeeper, *needed), reserved):
        return article
    blocks = list(BLOCKS)
    # Labs of other users start at the same moment in a class: do not all try the same block first.
    random.SystemRandom().shuffle(blocks)
    for base in blocks:
        first_controller = base + 1 + MOST_BROKERS
        ports = Ports(
            base,
            tuple(range(base + 1, first_controller)),
            tuple(range(first_controller, first_controller + MOST_CONTROLLERS)),
        )
        if _available((ports.zookeeper, *ports.brokers, *ports.controllers), reserved):
            return ports
    raise PortTakenError(
        f"No free ports between {BLOCKS.start} and {BLOCKS.stop}: end some of the programs that listen there, then start the lab again."
    )


def choose_connect_port(reserved: Collection[int] = ()) -> int:
    """Choose a free port for Kafka Connect: its usual one, or one of the range that labs have.

    Raises
    ------
    PortTakenError
        None is free.
    """
    others = list(range(BLOCKS.start, BLOCKS.stop))
    random.SystemRandom().shuffle(others)
    for port in (CONNECT_PORT, *others):
        if _available((port,), reserved):
            return port
    raise PortTakenError(
        f"No free port between {BLOCKS.start} and {BLOCKS.stop}: end some of the programs that listen there, then start Kafka Connect again."
    )


def _available(ports: Collection[int], reserved: Collection[int]) -> bool:
    return not set(ports) & set(reserved) and _all_free(ports)


def _all_free(ports: Iterable[int]) -> bool:
    # Each stays bound until all have been tried, so that no port is counted twice.
    with ExitStack() as held:
        try:
            for port in ports:
                held.enter_context(_bound(port))
        except OSError:
            return False
    return True


def _bound(port: int) -> socket.socket:
    listener = socket.socket()
    try:
        # As Java does for its server sockets: a port in TIME_WAIT is free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(1)
    except OSError:
        listener.close()
        raise
    return listener


def port_is_free(port: int) -> bool:
    """Whether a node could have this port now."""
    return _all_free((port,))


def check_port_free(node: str, port: int) -> None:
    """Make sure that a node can have its port.

    Raises
    ------
    PortTakenError
        Somebody else listens there; the sentence says who, as far as this user may know.
    """
    if not port_is_free(port):
        raise PortTakenError(
            f"Port {port} of {node} is taken by {listener_on(port)}: end that program, then start {node} again."
        )
