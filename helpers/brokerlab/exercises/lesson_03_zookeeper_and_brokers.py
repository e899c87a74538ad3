"""Exercises of lesson 03: let a fourth broker join, find the controller."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kazoo.client import KazooClient

from brokerlab.exercises.engine import Exercise, Fact
from brokerlab.tools import BackgroundTool

SECONDS = 4.0

_SILENT = logging.getLogger("brokerlab.exercises.zookeeper")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False

REFUSALS = {
    "NodeExists": "Another broker holds the znode of this id: give `broker.id` a number of its own.",
    "already registered by broker": "Another broker has this address: give `listeners` and `advertised.listeners` a port of "
    "their own.",
    "failed to bind": "The port in `listeners` is taken by another program: give it another one.",
    "doesn't match previous node id": "`log.dirs` is the folder of another broker, and it says so: name a new folder.",
    "Failed to acquire lock": "`log.dirs` is a folder that another broker uses now: name a new folder.",
    "InconsistentClusterId": "`log.dirs` is a folder of an earlier cluster: name a new folder.",
    "ZooKeeperClientTimeout": "No ZooKeeper answered: `zookeeper.connect` must be the lab's, lab.zookeeper_connect.",
}
"""What stands in the log of a broker that refuses to start -> what to mend."""


class Join(Exercise):
    """A fourth broker, started by hand, is in ZooKeeper's list."""

    title = "Broker 4 joins"
    hints = (
        "A broker needs a file of its own. Start from one that works: `lab.brokers[3].properties` is text.",
        "Three things must differ from broker 3: `broker.id`, the port in both listeners, and `log.dirs`.",
        "`text.replace(old, new)`, then `(folder / 'config' / 'server-4.properties').write_text(text)`.",
        "`fourth = tools.background('sh kafka-server-start.sh ../config/server-4.properties')` starts it; `fourth.lines` "
        "is what it says.",
    )
    answer_type = BackgroundTool
    patience = 6.0

    def attempted(self, lab: Any, answer: BackgroundTool) -> bool:
        return True

    def facts(self, lab: Any, answer: BackgroundTool) -> Iterator[Fact]:
        yield Fact("your broker is running", answer.running, _refusal(answer.lines))
        with _zookeeper(lab) as client:
            brokers = _brokers(client)
        ids = ", ".join(sorted(brokers))
        yield Fact(
            "/brokers/ids lists 4 brokers",
            len(brokers) >= 4,
            f"Expected 4, seen {len(brokers)}: {ids}. Either yours is still starting, or its `zookeeper.connect` names "
            "another ZooKeeper than lab.zookeeper_connect.",
        )
        ports = [broker.port for broker in lab.brokers.values()]
        new = [port for port in brokers.values() if port not in ports]
        yield Fact(
            "one of them has a port that the lab's own brokers do not have",
            bool(new),
            "Every endpoint in /brokers/ids is one of the lab's: start the fourth broker from a file of its own.",
        )


class FindController(Exercise):
    """The id in /controller."""

    title = "Find the controller"
    hints = (
        "`/controller` is a znode like the others: `client.get(path)` returns its data and its state.",
        "The data is JSON: `json.loads(data)` makes a dictionary of it.",
        "The key is `brokerid`.",
    )
    answer_type = int

    def attempted(self, lab: Any, answer: int) -> bool:
        return True

    def facts(self, lab: Any, answer: int) -> Iterator[Fact]:
        with _zookeeper(lab) as client:
            brokers = _brokers(client)
            controller = json.loads(client.get("/controller")[0])
            elections = int(client.get("/controller_epoch")[0])
        yield Fact(
            "your answer is the id of a living broker",
            str(answer) in brokers,
            f"Expected one of {', '.join(sorted(brokers))}, seen {answer}.{_other_number(answer, elections)} Look at "
            "/brokers/ids.",
        )
        yield Fact(
            "it is the id in /controller",
            answer == controller["brokerid"],
            f"/controller names another broker than {answer}. A guess, or read before the last election? Read "
            "/controller again, and take `brokerid`, not `version`.",
        )


def _other_number(answer: int, elections: int) -> str:
    if answer == elections:
        return " That is the number in /controller_epoch, which counts elections."
    return " Broker 0 was the one that you started by hand." if answer == 0 else ""


def _refusal(lines: tuple[str, ...]) -> str:
    for sign, mend in REFUSALS.items():
        if any(sign in line for line in lines):
            return f"It has ended. {mend}"
    return "It has ended: look for ERROR in fourth.lines."


@contextmanager
def _zookeeper(lab: Any) -> Iterator[KazooClient]:
    client = KazooClient(**lab.zookeeper_client, timeout=SECONDS, logger=_SILENT)
    client.start(timeout=SECONDS)
    try:
        yield client
    finally:
        client.stop()
        client.close()


def _brokers(client: KazooClient) -> dict[str, int]:
    """Return the port of each registered broker, by id."""
    return {
        number: json.loads(client.get(f"/brokers/ids/{number}")[0])["port"]
        for number in client.get_children("/brokers/ids")
    }


EXERCISES = [Join(), FindController()]
