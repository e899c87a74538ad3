"""Exercises of lesson 06: an order for each camera, and two clients that agree on partitions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from confluent_kafka import consistent, murmur2

from brokerlab.exercises.engine import Exercise, Fact
from brokerlab.observe import snapshot
from brokerlab.records import Record, records

SECONDS = 4.0

GATES = "gates"
CAMERAS = tuple(f"cam-{number}" for number in range(1, 6))
PHOTOS = 20

FROM_PYTHON = "from-python"
FROM_CONSOLE = "from-console"
KEYS = frozenset(f"member-{number}".encode() for number in range(200))
FEWEST = 3


class KeepOrderPerCamera(Exercise):
    """Each camera's photos are in one partition, in order; the cameras are not all in the same one."""

    title = "Keep each camera's order"
    hints = (
        "Order holds within a partition. So what must be true of all photos of one camera?",
        "The client chooses the partition by the key. What do the photos of a camera have in common?",
        'Create the topic first, then `producer.produce("gates", f"{camera} photo {number}", key=camera)` for each shot.',
        'Already sent something else? A log cannot be edited: `lab.delete_topics("gates")`, and once more from the start.',
    )

    def attempted(self, lab: Any, answer: Any) -> bool:
        return lab.topic(GATES) in lab.topics()

    def facts(self, lab: Any, answer: Any) -> Iterator[Fact]:
        gates = lab.topic(GATES)
        partitions = _partitions(lab, gates)
        seen = records(lab, gates, SECONDS)
        photos = [(found, record) for record in seen if (found := _shot(record.text))]
        yield Fact(
            f"{gates} has {FEWEST} partitions or more",
            partitions >= FEWEST,
            f"Seen: {partitions}. A topic that nobody creates gets the broker's default, which is 1: create it with "
            "kafka-topics.sh --partitions 3 before you send.",
        )
        yield _all_there(gates, seen, Counter(shot for shot, _ in photos))
        spread = {
            camera: sorted(
                {record.partition or 0 for (name, _), record in photos if name == camera}
            )
            for camera in CAMERAS
        }
        torn = [camera for camera, places in spread.items() if len(places) > 1]
        yield Fact(
            "the photos of a camera are all in one partition",
            bool(photos) and not torn,
            _why_torn(torn, spread, photos) if torn else "There are no photos yet.",
        )
        used = {record.partition for _, record in photos}
        yield Fact(
            "more than one partition holds photos",
            len(used) > 1,
            f"Seen: {len(used)}. With one key for all, or with a fixed partition=, the order is kept, but all the work "
            "lies in one place and cannot be split: only the photos of one camera belong together.",
        )
        turned = _turned(photos)
        yield Fact(
            "in its partition, each camera's photos are in the order in which they were taken",
            bool(photos) and not turned,
            f"{turned or 'There are no photos yet.'} Send them in the order of shots, with one producer; what was sent "
            "twice is in the log twice.",
        )


class AgreeWithTheConsole(Exercise):
    """The same keys lie in the same partitions, whichever of two clients sent them."""

    title = "Python and the console producer agree"
    hints = (
        "Three things decide on the partition: the key, the number of partitions, and the client's partitioner.",
        "Create both topics with 6 partitions. For the console: "
        "`seq -f 'member-%g:hello' 0 199 | kafka-console-producer.sh ...` with the two properties of the lesson.",
        'The console producer is Java. A Python producer does as Java does with `"partitioner": "murmur2_random"`.',
        'Sent with the wrong one before? `lab.delete_topics("from-python")`, create it again, send again.',
    )

    def attempted(self, lab: Any, answer: Any) -> bool:
        return bool({lab.topic(FROM_PYTHON), lab.topic(FROM_CONSOLE)} & lab.topics())

    def facts(self, lab: Any, answer: Any) -> Iterator[Fact]:
        from_python, from_console = lab.topic(FROM_PYTHON), lab.topic(FROM_CONSOLE)
        counts = {topic: _partitions(lab, topic) for topic in (from_python, from_console)}
        python, console = (records(lab, topic, SECONDS) for topic in counts)
        seen = " and ".join(f"{topic} {count or 'not there'}" for topic, count in counts.items())
        yield Fact(
            f"both topics have the same number of partitions, {FEWEST} or more",
            len(set(counts.values())) == 1 and min(counts.values()) >= FEWEST,
            f"Seen: {seen}. The partition is the key's hash modulo the number of partitions: with different numbers two "
            "clients cannot agree. Delete, and create both with --partitions 6.",
        )
        yield _keys_there(
            from_python, python, "Give produce() the key, key=..., and flush() at the end."
        )
        yield _keys_there(
            from_console,
            console,
            "The console producer takes keys only with --property parse.key=true, and with "
            "--property key.separator=: it ends them at the colon.",
        )
        by_java = _share(console, murmur2, counts[from_console])
        yield Fact(
            f"{from_console} is laid out as Java's producer does it",
            by_java == 1,
            f"Seen: {by_java:.0%} of its records. Fill it with kafka-console-producer.sh, and leave that tool's "
            "partitioner as it is: it is Python that shall give way.",
        )
        lies, there = _places(python), _places(console)
        agreed = sum(1 for key in KEYS if key in lies and lies[key] == there.get(key))
        yield Fact(
            f"all {len(KEYS)} keys are in the same partition in both topics",
            agreed == len(KEYS) and all(len(places) == 1 for places in lies.values()),
            f"Seen: {agreed} of {len(KEYS)}. {_why_elsewhere(python, counts[from_python])}",
        )


def _partitions(lab: Any, topic: str) -> int:
    found = snapshot(lab).topic(topic)
    return len(found.partitions) if found else 0


def _shot(text: str) -> tuple[str, int] | None:
    found = re.fullmatch(r"(cam-[1-5]) photo (\d+)", text)
    return (found[1], int(found[2])) if found else None


def _all_there(gates: str, seen: Sequence[Record], shots: Counter[tuple[str, int]]) -> Fact:
    wanted = {(camera, number) for camera in CAMERAS for number in range(1, PHOTOS + 1)}
    missing, twice = len(wanted - shots.keys()), sum(1 for count in shots.values() if count > 1)
    strange = len(seen) - sum(count for shot, count in shots.items() if shot in wanted)
    found = ", ".join(
        f"{count} {what}"
        for count, what in ((missing, "missing"), (twice, "more than once"), (strange, "strange"))
        if count
    )
    return Fact(
        f"each of the {len(wanted)} photos is in {gates}, once",
        not found,
        f"Seen: {found}. Missing: is there a flush() at the end? More than once: the cell ran twice; "
        f'lab.delete_topics("{GATES}") and start anew. Strange: the value is to be like "cam-3 photo 17".',
    )


def _why_torn(
    torn: Sequence[str],
    spread: Mapping[str, list[int]],
    photos: Sequence[tuple[tuple[str, int], Record]],
) -> str:
    camera = torn[0]
    places = " and ".join(map(str, spread[camera]))
    keys = {record.key for (name, _), record in photos if name == camera}
    where = f"{camera} is in partitions {places}"
    if keys == {None}:
        return (
            f"{where}, and its photos have no key: then chance chooses. Send them with key=camera."
        )
    if len(keys) > 1:
        return (
            f"{where}, and its photos carry {len(keys)} different keys: the key is not the photo, it is what belongs "
            "together, the camera."
        )
    return (
        f"{where}, though its key is always the same: producers with different partitioners have sent it, or the number "
        f'of partitions changed in between. lab.delete_topics("{GATES}"), and send all with one producer.'
    )


def _turned(photos: Sequence[tuple[tuple[str, int], Record]]) -> str:
    for camera in CAMERAS:
        lanes: dict[int | None, list[int]] = {}
        for (name, number), record in photos:
            if name == camera:
                lanes.setdefault(record.partition, []).append(number)
        for partition, numbers in lanes.items():
            for earlier, later in pairwise(numbers):
                if later <= earlier:
                    return f"In partition {partition}, photo {later} of {camera} stands behind photo {earlier}."
    return ""


def _keys_there(topic: str, seen: Sequence[Record], how: str) -> Fact:
    keys = {record.key for record in seen}
    missing, strange = len(KEYS - keys), len(keys - KEYS - {None})
    bare = sum(1 for record in seen if record.key is None)
    return Fact(
        f"{topic} holds the {len(KEYS)} keys member-0 to member-{len(KEYS) - 1}, and nothing else",
        not (missing or strange or bare),
        f"Seen: {missing} missing, {bare} record(s) without a key, {strange} other key(s). {how}",
    )


def _places(seen: Sequence[Record]) -> dict[bytes, set[int | None]]:
    places: dict[bytes, set[int | None]] = {}
    for record in seen:
        if record.key is not None:
            places.setdefault(record.key, set()).add(record.partition)
    return places


def _share(seen: Sequence[Record], partitioner: Any, partitions: int) -> float:
    """Return which part of the records with a key lies where a partitioner puts them; 0 if there is none."""
    keyed = [record for record in seen if record.key]
    if not keyed or not partitions:
        return 0.0
    return sum(partitioner(r.key, partitions) == r.partition for r in keyed) / len(keyed)


def _why_elsewhere(python: Sequence[Record], partitions: int) -> str:
    if any(len(places) > 1 for places in _places(python).values()):
        return (
            f"In {FROM_PYTHON} the same key lies in two partitions: it was sent with two partitioners. "
            f'lab.delete_topics("{FROM_PYTHON}"), and send once more.'
        )
    if _share(python, murmur2, partitions) == 1:
        return f"Python hashes as Java does; so the difference is in the number of partitions, or in {FROM_CONSOLE}."
    if _share(python, consistent, partitions) == 1:
        return (
            "Python put them where CRC32 does, librdkafka's default: the producer's setting partitioner decides, "
            "and it must be given when the producer is made."
        )
    return (
        "Python put them neither where CRC32 nor where murmur2 does: choose murmur2_random, Java's; "
        "random and fnv1a are others. And a record without a key goes anywhere."
    )


EXERCISES = [KeepOrderPerCamera(), AgreeWithTheConsole()]
