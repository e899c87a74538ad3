"""The topics as they are now: their partitions with leader and ISR, and what has just come or gone."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.handlers.threading import KazooTimeoutError

from brokerlab.observe import Observer, PartitionView, Snapshot, TopicView
from brokerlab.widgets.base import LiveView
from brokerlab.widgets.scene import Element, box, element, group, hatch, picture, shortened, text

if TYPE_CHECKING:
    from brokerlab.lab import Lab

WIDTH = 880
HEAD = 34
ROW = 62
NAMES = 276
TILE, TILE_HEIGHT, TILE_GAP = 112, 48, 8
DEFAULT_ROWS = 5
NEWS_SECONDS = 12.0
ASK_SECONDS = 0.5
ASK_AGAIN_SECONDS = 2.0

_SILENT = logging.getLogger("brokerlab.topic-board")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


@dataclass(frozen=True)
class Row:
    """A topic on the board; `news` is ``""``, ``"new"`` or ``"gone"``, `min_insync` empty if not set."""

    topic: TopicView
    min_insync: str = ""
    news: str = ""


@dataclass(frozen=True)
class Board:
    """What the board shows; `taken` in seconds since 1970."""

    taken: float
    rows: tuple[Row, ...]
    problem: str | None = None


class Settings(Protocol):
    """Who knows what is set on a topic itself."""

    def of(self, topic: str) -> Mapping[str, str] | None:
        """Return a topic's own settings, or None when they cannot be asked now."""

    def close(self) -> None:
        """Let go of the connection."""


class SettingsInZooKeeper:
    """Reads a topic's settings where a cluster with ZooKeeper keeps them."""

    def __init__(self, lab: Lab) -> None:
        self._client = KazooClient(**lab.zookeeper_client, logger=_SILENT)
        self._client.start_async()

    def of(self, topic: str) -> Mapping[str, str] | None:
        if not self._client.connected:
            return None
        try:
            raw, _ = self._client.get_async(f"/config/topics/{topic}").get(timeout=ASK_SECONDS)
        except (KazooException, KazooTimeoutError):
            return None
        settings: Mapping[str, str] = json.loads(raw).get("config", {})
        return settings

    def close(self) -> None:
        self._client.stop()
        self._client.close()


class SettingsFromBrokers:
    """Asks the brokers, where no ZooKeeper of the lab keeps the settings; a new topic's are known a moment later."""

    def __init__(self, lab: Lab) -> None:
        self._admin = AdminClient({**lab.client, "log_level": 0}, logger=_SILENT)
        self._asked: dict[str, tuple[float, Any]] = {}
        self._known: dict[str, Mapping[str, str]] = {}

    def of(self, topic: str) -> Mapping[str, str] | None:
        asked, answer = self._asked.get(topic, (0.0, None))
        if answer is not None and answer.done():
            with contextlib.suppress(KafkaException):
                entries = answer.result().values()
                self._known[topic] = {e.name: e.value for e in entries if not e.is_default}
        if time.monotonic() - asked > ASK_AGAIN_SECONDS:
            wanted = ConfigResource(ResourceType.TOPIC, topic)
            (answer,) = self._admin.describe_configs([wanted], request_timeout=5).values()
            self._asked[topic] = time.monotonic(), answer
        return self._known.get(topic)

    def close(self) -> None:
        self._asked.clear()


def settings_of(lab: Lab) -> Settings:
    """Return who knows the topics' own settings of a lab."""
    return SettingsInZooKeeper(lab) if lab.capabilities.is_own else SettingsFromBrokers(lab)


class TopicBoard(LiveView[Board]):
    """A live list of the topics: one tile a partition, with its leader and its ISR.

    What has just come is marked *new*, what has just gone stays for some seconds, marked *gone*.

    Parameters
    ----------
    lab : Lab
        The lab to show.
    rows : int
        How many topics there is room for; Kafka's own are left out.
    observer : Observer, optional
        Who looks at the cluster; the board makes (and closes) one of its own, if not given.
    settings : Settings, optional
        Who knows the topics' own settings; ZooKeeper, or brokers that are not the lab's own, if not given.
    """

    title = "Topics"

    def __init__(
        self,
        lab: Lab,
        rows: int = DEFAULT_ROWS,
        observer: Observer | None = None,
        settings: Settings | None = None,
    ) -> None:
        self._row_count = rows
        # First what may be refused, so that no thread of it is left.
        self._settings = settings or settings_of(lab)
        self._observer = observer or Observer(lab)
        self._own_observer = observer is None
        first = self._observer.latest
        self._latest = Board(first.taken, tuple(map(self._row, _own(first))), first.problem)
        self._came: dict[str, float] = {}
        self._went: dict[str, tuple[float, Row]] = {}
        super().__init__()
        self._unsubscribe = self._observer.subscribe(self._see)

    @property
    def names(self) -> tuple[str, ...]:
        """The topics that there are now."""
        return tuple(row.topic.name for row in self._latest.rows if row.news != "gone")

    def look(self) -> Board:
        return self._latest

    def draw(self, seen: Board) -> Element:
        height = HEAD + self._row_count * ROW + 26
        shown = seen.rows[: self._row_count]
        left = len(seen.rows) - len(shown)
        words = seen.problem or (f"and {left} more" if left else "" if shown else "no topics yet")
        return picture(
            WIDTH,
            height,
            f"Topic board. {_summary(seen)}",
            _heading(),
            *(_row(row, HEAD + i * ROW) for i, row in enumerate(shown)),
            text(14, height - 8, shortened(words, WIDTH - 28), "text soft", key="words"),
        )

    def release(self) -> None:
        self._unsubscribe()
        if self._own_observer:
            self._observer.close()
        self._settings.close()

    def _see(self, seen: Snapshot) -> None:
        before = self._latest
        if not seen.reachable:
            self._latest = replace(before, taken=seen.taken, problem=seen.problem)
            self.touch()
            return
        known = {row.topic.name: row for row in before.rows if row.news != "gone"}
        now = {topic.name: topic for topic in _own(seen)}
        self._came = {
            name: self._came.get(name, 0.0 if name in known else seen.taken) for name in now
        }
        self._went |= {name: (seen.taken, known[name]) for name in known.keys() - now.keys()}
        self._went = {
            name: (at, row)
            for name, (at, row) in self._went.items()
            if name not in now and seen.taken - at < NEWS_SECONDS
        }
        rows = [self._row(topic, seen.taken, known.get(topic.name)) for topic in now.values()]
        rows += [replace(row, news="gone") for _, row in self._went.values()]
        rows.sort(key=lambda row: row.topic.name)
        self._latest = Board(seen.taken, tuple(rows), seen.problem)
        self.touch()

    def _row(self, topic: TopicView, taken: float = 0.0, before: Row | None = None) -> Row:
        settings = self._settings.of(topic.name)
        if settings is None:
            min_insync = before.min_insync if before else ""
        else:
            min_insync = settings.get("min.insync.replicas", "")
        fresh = taken and taken - self._came[topic.name] < NEWS_SECONDS
        return Row(topic, min_insync, "new" if fresh else "")


def _own(seen: Snapshot) -> tuple[TopicView, ...]:
    return tuple(topic for topic in seen.topics if not topic.internal)


def _summary(seen: Board) -> str:
    return "; ".join(
        f"{row.topic.name}{', ' + row.news if row.news else ''}: {_shape(row)}" for row in seen.rows
    )


def _shape(row: Row) -> str:
    count = len(row.topic.partitions)
    copies = sorted({len(partition.replicas) for partition in row.topic.partitions})
    parts = [
        f"{count} partition{'s' if count != 1 else ''}",
        f"RF {', '.join(map(str, copies))}",
        f"min ISR {row.min_insync}" if row.min_insync else "",
    ]
    return " · ".join(filter(None, parts))


def _heading() -> Element:
    return group(
        "heading",
        text(14, 21, "topic", "text soft small"),
        text(NAMES, 21, "partitions: number, leader; ISR below", "text soft small"),
    )


def _row(row: Row, top: float) -> Element:
    gone = row.news == "gone"
    partitions = row.topic.partitions
    fitting = int((WIDTH - NAMES) // (TILE + TILE_GAP))
    if len(partitions) > fitting:
        partitions = partitions[: fitting - 1]
    left = len(row.topic.partitions) - len(partitions)
    tiles = [
        _tile(partition, NAMES + i * (TILE + TILE_GAP), 4) for i, partition in enumerate(partitions)
    ]
    more = NAMES + len(partitions) * (TILE + TILE_GAP)
    badge = 52 if row.news else 0
    return group(
        f"topic-{row.topic.name}",
        box(2, 0, WIDTH - 4, ROW - 6, "down" if gone else "node"),
        text(14, 25, shortened(row.topic.name, NAMES - 40 - badge, 18), "text strong"),
        *([_badge(row.news, NAMES - 66)] if row.news else []),
        text(14, 46, shortened(_shape(row), NAMES - 24, 15), "text soft small"),
        group("tiles", *([] if gone else tiles)),
        text(more, 34, f"+{left} more" if left and not gone else "", "text soft small"),
        y=top,
        data_topic=row.topic.name,
        data_news=row.news or None,
    )


def _badge(news: str, x: float) -> Element:
    frame, ink = ("zookeeper", "text") if news == "new" else ("warned", "alarm-ink")
    return group(
        "badge",
        box(0, 0, 52, 22, frame, 11),
        text(26, 16, news, f"{ink} small middle"),
        x=x,
        y=8,
    )


def _tile(partition: PartitionView, x: float, y: float) -> Element:
    behind = set(partition.replicas) - set(partition.isr)
    frame = "leaderless" if partition.leader is None else "out-of-sync" if behind else "follower"
    ink = "on-leaderless" if partition.leader is None else "text halo"
    leader = "no leader" if partition.leader is None else f"leader {partition.leader}"
    isr = f"ISR {' '.join(map(str, sorted(partition.isr))) or 'none'}"
    label = f"{partition.topic} {partition.id}: {leader}, {isr}"
    return group(
        f"tile-{partition.id}",
        element("title", "", label),
        box(0, 0, TILE, TILE_HEIGHT, frame, 7),
        *([hatch(TILE, TILE_HEIGHT)] if frame == "out-of-sync" else []),
        text(10, 20, str(partition.id), f"{ink} strong"),
        text(TILE - 8, 20, leader, f"{ink} small end"),
        text(10, 40, isr, f"{ink} small"),
        x=x,
        y=y,
        role="img",
        aria_label=label,
        data_partition=f"{partition.topic}-{partition.id}",
        data_role=frame,
    )
