"""ZooKeeper's tree as it is now: which brokers are registered, who is the controller, which topics there are."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.retry import KazooRetry

from brokerlab.widgets.base import LiveView
from brokerlab.widgets.scene import Element, box, element, group, icon, picture, shortened, text

if TYPE_CHECKING:
    from brokerlab.lab import Lab

PERIOD = 0.25
ANSWER_SECONDS = 1.0
CONNECT_SECONDS = 2.0

WIDTH = 880
BAR = 50
ROW = 28
INDENT = 30
KIND_LEFT, SAYS_LEFT = 330, 470
MOST_BROKERS, MOST_TOPICS = 4, 3
LEGEND = 54

FOLDERS = {
    "/brokers": "",
    "/brokers/ids": "one znode for each living broker",
    "/brokers/topics": "one for each topic",
}
"""Znodes that only hold others -> what for."""

_SILENT = logging.getLogger("brokerlab.widgets.znode_tree")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


@dataclass(frozen=True)
class Znode:
    """One entry of ZooKeeper's tree.

    Attributes
    ----------
    path : str
    says : str
        What its data says, in a few words.
    session : int
        The session that it lives with if it is ephemeral; 0 if it is persistent.
    """

    path: str
    says: str
    session: int

    @property
    def ephemeral(self) -> bool:
        """Whether it goes when its session ends."""
        return self.session != 0


@dataclass(frozen=True)
class Tree:
    """The part of ZooKeeper's tree that the view shows, at one moment.

    Attributes
    ----------
    taken : float
        Seconds since 1970.
    answers : bool
        Whether ZooKeeper answered; if not, the rest is as last seen.
    znodes : tuple of Znode
        By path.
    gone : tuple of Znode
        Ephemeral znodes that were there since the view began, and are not there now.
    """

    taken: float
    answers: bool = False
    znodes: tuple[Znode, ...] = ()
    gone: tuple[Znode, ...] = ()

    def __contains__(self, path: object) -> bool:
        return self.answers and any(znode.path == path for znode in self.znodes)

    def below(self, folder: str) -> list[str]:
        """Return the names of the znodes directly below a path."""
        start = f"{folder}/"
        names = [
            znode.path.removeprefix(start) for znode in self.znodes if znode.path.startswith(start)
        ]
        return [name for name in names if "/" not in name]


class ZnodeTree(LiveView[Tree]):
    """A live picture of what the brokers keep in ZooKeeper; it also shows what has just gone.

    Parameters
    ----------
    of : Lab or str
        A lab, or the address of a ZooKeeper as ``host:port``; nothing needs to listen there yet.
    """

    title = "ZooKeeper's tree"

    def __init__(self, of: Lab | str) -> None:
        where = {"hosts": of} if isinstance(of, str) else of.zookeeper_client
        self._address: str = where["hosts"]
        self._latest = Tree(time.time())
        self._over = threading.Event()
        self._client = KazooClient(
            **where,
            timeout=CONNECT_SECONDS * 2,
            connection_retry=KazooRetry(max_tries=-1, delay=0.1, backoff=1, max_delay=0.3),
            logger=_SILENT,
        )
        self._client.start_async().wait(CONNECT_SECONDS)
        self._latest = self._read()
        super().__init__()
        self._reader = threading.Thread(target=self._keep_reading, name=f"{self!r} reader")
        self._reader.daemon = True
        self._reader.start()

    @property
    def subject(self) -> str:
        return self._address

    def look(self) -> Tree:
        return self._latest

    def draw(self, seen: Tree) -> Element:
        return _Drawing(seen, self._address).picture()

    def release(self) -> None:
        self._over.set()
        self._reader.join(CONNECT_SECONDS)
        self._client.stop()
        self._client.close()

    def _keep_reading(self) -> None:
        while not self._over.wait(PERIOD):
            self._latest = self._read()
            self.touch()

    def _read(self) -> Tree:
        now = time.time()
        before = self._latest
        if not self._client.connected:
            return replace(before, taken=now, answers=False)
        try:
            znodes = tuple(
                znode
                for path in (
                    *FOLDERS,
                    *self._children("/brokers/ids"),
                    *self._children("/brokers/topics"),
                    "/controller",
                    "/controller_epoch",
                )
                if (znode := self._znode(path))
            )
        except (KazooException, KazooTimeoutError):
            return replace(before, taken=now, answers=False)
        there = {znode.path for znode in znodes}
        left = [z for z in (*before.gone, *before.znodes) if z.ephemeral and z.path not in there]
        gone = {znode.path: znode for znode in left}
        return Tree(now, True, znodes, tuple(gone[path] for path in sorted(gone)))

    def _children(self, folder: str) -> list[str]:
        try:
            names = self._client.get_children_async(folder).get(timeout=ANSWER_SECONDS)
        except NoNodeError:
            return []
        return [f"{folder}/{name}" for name in sorted(names)]

    def _znode(self, path: str) -> Znode | None:
        try:
            data, stat = self._client.get_async(path).get(timeout=ANSWER_SECONDS)
        except NoNodeError:
            return None
        return Znode(path, _in_words(path, data or b""), stat.ephemeralOwner)


def _in_words(path: str, data: bytes) -> str:
    """Say what Kafka wrote into a znode; a stranger's znode may hold anything."""
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        found: Any = json.loads(data)
        if path.startswith("/brokers/ids/"):
            return ", ".join(found["endpoints"])
        if path.startswith("/brokers/topics/"):
            count = len(found["partitions"])
            return f"{count} partition{'' if count == 1 else 's'}"
        if path == "/controller":
            return f"broker {found['brokerid']}"
        if path == "/controller_epoch":
            return f"elections so far: {found}"
    return f"{len(data)} bytes"


class _Drawing:
    """One picture of one tree; its height is always the same."""

    def __init__(self, seen: Tree, address: str) -> None:
        self.seen = seen
        self.address = address
        self.rows: list[Element] = []
        self.above: dict[int, int] = {}

    def picture(self) -> Element:
        self._row("/", 0, text(0, 19, "/", "text mono"))
        self._folder("/brokers")
        self._folder("/brokers/ids")
        self._branch("/brokers/ids/", MOST_BROKERS)
        self._folder("/brokers/topics")
        self._branch("/brokers/topics/", MOST_TOPICS)
        self._branch("/controller", 2, depth=1)
        most = 1 + len(FOLDERS) + MOST_BROKERS + MOST_TOPICS + 2
        top = BAR + 14
        dim = "" if self.seen.answers else "dim"
        return picture(
            WIDTH,
            top + most * ROW + LEGEND,
            self._summary(),
            self._bar(),
            group("rows", *self.rows, x=16, y=top, classes=dim),
            self._legend(top + most * ROW + 12),
        )

    def _summary(self) -> str:
        if not self.seen.answers:
            return f"No ZooKeeper answers on {self.address}."
        said = [
            f"{znode.path}, {_kind(znode)}: {znode.says}"
            for znode in self.seen.znodes
            if not (_internal(znode) or znode.path in FOLDERS)
        ]
        said += [f"{znode.path} is gone" for znode in self.seen.gone]
        return (
            f"ZooKeeper's tree on {self.address}. {'; '.join(said) or 'No broker is registered'}."
        )

    def _bar(self) -> Element:
        answers = self.seen.answers
        ids = len(self.seen.below("/brokers/ids"))
        silent = "nobody answers" + ("; this is as last seen" if self.seen.znodes else " here")
        known = f"{ids} broker{'' if ids == 1 else 's'} registered"
        return group(
            "bar",
            box(2, 2, WIDTH - 4, BAR, "zookeeper" if answers else "down"),
            text(18, 34, "ZooKeeper", "heading"),
            text(152, 34, self.address, "text soft mono"),
            icon("dot" if answers else "ring", KIND_LEFT + 16, 19, "zookeeper-ink"),
            text(KIND_LEFT + 40, 33, known if answers else silent, "text"),
            data_answers=str(answers).lower(),
        )

    def _folder(self, path: str) -> None:
        paths = [znode.path for znode in (*self.seen.znodes, *self.seen.gone)]
        if not any(f"{known}/".startswith(f"{path}/") for known in paths):
            return
        depth = path.count("/")
        self._row(
            path,
            depth,
            text(0, 19, path.rpartition("/")[2], "text mono"),
            text(KIND_LEFT - depth * INDENT, 19, FOLDERS[path], "text soft small"),
        )

    def _branch(self, start: str, most: int, depth: int = 3) -> None:
        here = [(znode, False) for znode in self.seen.znodes if not _internal(znode)]
        here += [(znode, True) for znode in self.seen.gone]
        branch = sorted(
            (entry for entry in here if entry[0].path.startswith(start)),
            key=lambda entry: entry[0].path,
        )
        shown = branch if len(branch) <= most else branch[: most - 1]
        for znode, gone in shown:
            self._znode(znode, depth, gone)
        if len(shown) < len(branch):
            more = f"+ {len(branch) - len(shown)} more"
            self._row(f"{start}more", depth, text(0, 19, more, "text soft small"))

    def _znode(self, znode: Znode, depth: int, gone: bool) -> None:
        name = znode.path.rpartition("/")[2]
        left = depth * INDENT
        kind, mark, ink, frame = {
            "gone": ("gone", "cross", "alarm-ink", "down"),
            "ephemeral": ("ephemeral", "dot", "zookeeper-ink", "zookeeper"),
            "persistent": ("persistent", "square", "soft", "node"),
        }["gone" if gone else _kind(znode)]
        if gone:
            says = "its session has ended"
        elif znode.ephemeral:
            says = f"{znode.says} · session …{znode.session & 0xFFFF:04x}"
        else:
            says = znode.says
        self._row(
            znode.path,
            depth,
            text(0, 19, shortened(name, KIND_LEFT - left - 24), "text mono"),
            group(
                "kind",
                box(0, 2, 124, 24, frame, 12),
                icon(mark, 10, 6, ink),
                text(32, 19, kind, "text small"),
                x=KIND_LEFT - left,
            ),
            text(
                SAYS_LEFT - left,
                19,
                shortened(says, WIDTH - SAYS_LEFT - 30, 15),
                "text soft small" if gone else "text small",
            ),
            data_znode=znode.path,
            data_kind=kind,
        )

    def _row(self, key: str, depth: int, *parts: Element, **attributes: str) -> None:
        line = len(self.rows)
        lines = line - max(self.above.get(depth, 0), self.above.get(depth - 1, 0))
        self.above[depth] = line
        if depth:
            reach = f"M{8 - INDENT} {24 - lines * ROW}V14H-6"
            parts = (element("path", "shade", d=reach), *parts)
        self.rows.append(group(key, *parts, x=depth * INDENT, y=line * ROW, **attributes))

    def _legend(self, top: float) -> Element:
        lines = [
            (
                "dot",
                "zookeeper-ink",
                "ephemeral: ZooKeeper removes it when its owner's session ends",
            ),
            ("square", "soft", "persistent: it stays until somebody deletes it"),
        ]
        return group(
            "legend",
            *(
                group(mark, icon(mark, 0, 0, ink), text(24, 13, words, "text soft small"), y=i * 22)
                for i, (mark, ink, words) in enumerate(lines)
            ),
            x=16,
            y=top,
        )


def _kind(znode: Znode) -> str:
    return "ephemeral" if znode.ephemeral else "persistent"


def _internal(znode: Znode) -> bool:
    return znode.path.startswith("/brokers/topics/__")
