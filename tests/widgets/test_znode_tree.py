"""The picture of ZooKeeper's tree: drawn from trees made here, and read from a ZooKeeper of its own."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

import pytest
from brokerlab import tools, topology
from brokerlab.widgets import ZnodeTree
from brokerlab.widgets.scene import Element, to_svg
from brokerlab.widgets.znode_tree import FOLDERS, Tree, Znode
from kazoo.client import KazooClient
from widget_fakes import words

BROKERS = tuple(Znode(f"/brokers/ids/{n}", f"PLAINTEXT://127.0.0.1:{n}", n) for n in (1, 2, 3))
TOPICS = tuple(Znode(f"/brokers/topics/{name}", "3 partitions", 0) for name in ("a", "photos"))
CONTROLLER = (
    Znode("/controller", "broker 2", 2),
    Znode("/controller_epoch", "elections so far: 1", 0),
)


@pytest.fixture(scope="module")
def free_port() -> int:
    return topology.choose_ports(8, {topology.ARTICLE_ZOOKEEPER_PORT}).zookeeper


@pytest.fixture(scope="module")
def view(free_port: int) -> Iterator[ZnodeTree]:
    view = ZnodeTree(f"127.0.0.1:{free_port}")
    yield view
    view.close()


def rows(scene: Element) -> dict[str, str]:
    """Return what each znode's row says it is, by path."""
    here = {scene[1]["data-znode"]: scene[1]["data-kind"]} if "data-znode" in scene[1] else {}
    for child in scene[2:]:
        if isinstance(child, list):
            here |= rows(child)
    return here


def test_each_znode_has_a_row_that_says_whether_it_is_ephemeral(view: ZnodeTree) -> None:
    drawn = view.draw(Tree(0, True, BROKERS + TOPICS + CONTROLLER))
    assert rows(drawn) == {
        "/brokers/ids/1": "ephemeral",
        "/brokers/ids/2": "ephemeral",
        "/brokers/ids/3": "ephemeral",
        "/brokers/topics/a": "persistent",
        "/brokers/topics/photos": "persistent",
        "/controller": "ephemeral",
        "/controller_epoch": "persistent",
    }
    assert "3 brokers registered" in words(drawn) and "broker 2 · session …0002" in words(drawn)
    assert "/controller, ephemeral: broker 2" in drawn[1]["aria-label"]


def test_what_has_gone_keeps_its_place(view: ZnodeTree) -> None:
    drawn = view.draw(Tree(0, True, BROKERS[1:], (BROKERS[0],)))
    assert next(iter(rows(drawn).items())) == ("/brokers/ids/1", "gone")
    assert "2 brokers registered" in words(drawn)


def test_the_picture_never_changes_its_height(view: ZnodeTree) -> None:
    many = tuple(Znode(f"/brokers/ids/{n}", "x", n) for n in range(1, 9))
    topics = tuple(Znode(f"/brokers/topics/t{n}", "1 partition", 0) for n in range(9))
    trees = [Tree(0), Tree(0, True), Tree(0, True, BROKERS), Tree(0, True, many + topics)]
    assert len({view.draw(tree)[1]["viewBox"] for tree in trees}) == 1
    full = view.draw(trees[-1])
    assert len(rows(full)) == 5 and "+ 5 more" in words(full) and "+ 7 more" in words(full)


def test_nothing_is_drawn_that_is_not_there(view: ZnodeTree) -> None:
    assert "brokers ids" not in words(view.draw(Tree(0, True)))
    assert "brokers ids" in " ".join(words(view.draw(Tree(0, True, BROKERS))).split())


def test_kafkas_own_topics_are_left_out(view: ZnodeTree) -> None:
    internal = Znode("/brokers/topics/__consumer_offsets", "3 partitions", 0)
    assert rows(view.draw(Tree(0, True, (internal,)))) == {}


def test_names_are_escaped_in_the_still(view: ZnodeTree) -> None:
    ET.fromstring(to_svg(view.draw(Tree(0, True, (Znode("/brokers/topics/<&", "?", 0),)))))


def test_nobody_there_is_said(view: ZnodeTree) -> None:
    assert "nobody answers here" in words(view.draw(view.look()))
    assert "/controller" not in view.look()
    assert "as last seen" in words(view.draw(Tree(0, False, BROKERS)))


@pytest.mark.cluster
def test_a_real_zookeeper_comes_changes_and_goes(home: Any, free_port: int) -> None:
    config = tools.kafka_folder() / "config" / "own.properties"
    properties = topology.zookeeper(free_port, {}).properties
    config.write_text(properties.replace("dataDir=data", f"dataDir={home / 'own'}"))
    zookeeper = tools.background("sh zookeeper-server-start.sh ../config/own.properties")
    address = f"127.0.0.1:{free_port}"
    view = ZnodeTree(address)
    broker = KazooClient(address)
    try:
        assert view.wait_until(lambda now: now.answers, 30, "ZooKeeper").znodes == ()
        broker.start(timeout=20)
        endpoints = b'{"endpoints": ["PLAINTEXT://127.0.0.1:9095"]}'
        broker.create("/brokers", None)
        broker.create("/brokers/ids/7", endpoints, ephemeral=True, makepath=True)
        broker.create("/brokers/topics/odd", b"not what Kafka writes", makepath=True)
        broker.create("/controller", b'{"brokerid": 7}', ephemeral=True)
        there = view.wait_until(lambda now: "/controller" in now, 10, "the znodes")
        said = {znode.path: (znode.says, znode.ephemeral) for znode in there.znodes}
        assert {said.pop(folder) for folder in FOLDERS} == {("0 bytes", False)}
        assert said == {
            "/brokers/ids/7": ("PLAINTEXT://127.0.0.1:9095", True),
            "/brokers/topics/odd": ("21 bytes", False),
            "/controller": ("broker 7", True),
        }
        broker.stop()
        left = view.wait_until(lambda now: "/controller" not in now, 10, "the session to end")
        assert [znode.path for znode in left.gone] == ["/brokers/ids/7", "/controller"]
        assert left.below("/brokers/ids") == [] and left.below("/brokers/topics") == ["odd"]
        zookeeper.stop()
        lost = view.wait_until(lambda now: not now.answers, 10, "the silence")
        assert time.time() - lost.taken < 5 and lost.gone == left.gone
    finally:
        broker.stop()
        broker.close()
        view.close()
        zookeeper.stop()
