"""What is possible with a lab: everything with one's own, less with a cluster that others run."""

from __future__ import annotations

from dataclasses import dataclass

WHY_NOT = {
    "is_own": "it needs a cluster of one's own, where every name is free and nobody else is disturbed",
    "can_kill": "it stops brokers, and this cluster's are its owner's",
    "can_add_broker": "it adds a broker, and this cluster's are its owner's",
    "has_zookeeper": "it asks ZooKeeper, and this lab has none that it knows of",
    "sees_files": "it opens a broker's files, and they are on its owner's machines",
    "can_create_topics": "it creates topics, and this user may not",
}
"""Capability -> why a step that needs it is left out."""


@dataclass(frozen=True)
class Capabilities:
    """What is possible with a lab.

    Attributes
    ----------
    is_own : bool
        Whether the whole cluster is the learner's: every name is free, on the addresses that a lab has.
    can_kill : bool
        Whether nodes can be stopped, killed, frozen and started.
    can_add_broker : bool
        Whether a broker can join.
    has_zookeeper : bool
        Whether there is a ZooKeeper that may be asked.
    sees_files : bool
        Whether the nodes' properties, logs and data can be read as files.
    can_create_topics : bool
        Whether topics with the learner's names can be created.
    """

    is_own: bool = True
    can_kill: bool = True
    can_add_broker: bool = True
    has_zookeeper: bool = True
    sees_files: bool = True
    can_create_topics: bool = True
