"""Exercises of lesson 05: read one partition, rewind a consumer group."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from brokerlab.exercises.engine import Exercise, Fact
from brokerlab.records import records

SECONDS = 5.0

CAMERAS = "cameras"
PARTITIONS = 3
PARTITION = 1

GALLERY = "gallery"
GROUP = "curators"


class ReadOnePartition(Exercise):
    """The learner's list is what one partition holds."""

    title = f"Read only partition {PARTITION}"
    hints = (
        "You read one message of partition 0 above: a partition has a number, a place in it an offset.",
        "`--offset` also takes the word `earliest`.",
        "How many there are, you do not know: leave `--max-messages` out, and let `--timeout-ms 5000` end the tool.",
        'The messages go to standard output, all else to standard error: `getoutput("... 2>/dev/null").splitlines()`.',
    )
    answer_type = list

    def attempted(self, lab: Any, answer: Any) -> bool:
        return True

    def facts(self, lab: Any, answer: Any) -> Iterator[Fact]:
        cameras = lab.topic(CAMERAS)
        seen = records(lab, cameras)
        log = {
            number: [(r.value or b"").decode() for r in seen if r.partition == number]
            for number in range(PARTITIONS)
        }
        wanted = log[PARTITION]
        yield Fact(
            f"partition {PARTITION} of {cameras} holds messages",
            bool(wanted),
            f"It holds none, so there is nothing to read: run the cell that fills {cameras}.",
        )
        yield Fact(
            "your list holds text",
            all(isinstance(item, str) for item in answer),
            "It holds something else than str. In Python a message's value is bytes: decode() makes text of it.",
        )
        lines = [
            item.decode("utf-8", "replace") if isinstance(item, bytes) else item for item in answer
        ]
        strange = [line for line in lines if not any(line in values for values in log.values())]
        yield Fact(
            "every item is the text of a message",
            not strange,
            f"{len(strange)} item(s) are not, the first is {strange[:1]}. 'Processed a total of ...' and the error at "
            "the time-out are the tool talking: they go to standard error, and 2>/dev/null leaves them out. "
            "A key in front comes from print.key: leave that out too.",
        )
        elsewhere = {
            number: count
            for number, values in log.items()
            if number != PARTITION and (count := sum(line in values for line in lines))
        }
        others = ", ".join(f"{count} of partition {number}" for number, count in elsewhere.items())
        all_read = len(elsewhere) == PARTITIONS - 1 and any(line in wanted for line in lines)
        yield Fact(
            f"none comes from another partition than {PARTITION}",
            not elsewhere,
            f"Seen: {others}. "
            + (
                f"That is the whole topic: --partition {PARTITION} reads one partition of it."
                if all_read
                else f"Look at the number after --partition: the first partition is 0, you need {PARTITION}."
            ),
        )
        ours = [line for line in lines if line in wanted]
        yield Fact(
            f"partition {PARTITION} is there as a whole, once, in order",
            bool(wanted) and ours == wanted,
            f"Expected {len(wanted)} message(s) of it in the log's order, seen {len(ours)}. Too few: begin at "
            "--offset earliest, and do not stop early with --max-messages. Too many: start with an empty list.",
        )


class Rewind(Exercise):
    """A group has read a topic to its end, and its committed offset is back at 0."""

    title = "Rewind a group"
    hints = (
        "First a run as above, with `--group curators` and without `--max-messages`: it reads to the end and commits.",
        "A committed offset is moved by `kafka-consumer-groups.sh --reset-offsets`, while nobody in the group reads.",
        "`--group curators --topic gallery --reset-offsets --to-earliest`: read to the end of what the tool prints.",
        "Nothing moves without `--execute`. Then `--describe --group curators` shows the column LAG.",
    )
    answer_type = int

    def attempted(self, lab: Any, answer: Any) -> bool:
        return True

    def facts(self, lab: Any, answer: Any) -> Iterator[Fact]:
        gallery, group = lab.topic(GALLERY), lab.group(GROUP)
        there = gallery in lab.topics()
        end, committed = _offsets(lab) if there else (0, None)
        yield Fact(
            f"{gallery} holds messages",
            end > 0,
            f"It is empty, or not there: run the cell that fills {gallery}.",
        )
        yield Fact(
            f"{group} has committed an offset",
            committed is not None,
            f"Seen: none. Without --group {group} the tool invents a group of its own and commits nothing.",
        )
        # What a group did before is in a log of Kafka's own, which only the owner of a cluster may read.
        past = _history(lab) if lab.capabilities.is_own else None
        if past is not None:
            yield from _facts_of(past, end, gallery, group)
        yield Fact(
            "its committed offset is back at 0",
            committed == 0,
            f"Expected 0, seen {'none' if committed is None else committed}. {_why_not_0(past)}",
        )
        yield Fact(
            f"lag is what the next consumer of {group} will print",
            committed is not None and answer == end - committed,
            f"Your lag is {answer}. It is the end of the log, {end}, minus the group's committed offset: "
            "kafka-consumer-groups.sh --describe shows all three.",
        )


def _facts_of(past: _Past, end: int, gallery: str, group: str) -> Iterator[Fact]:
    furthest = max(past.commits, default=0)
    yield Fact(
        f"nobody in {group} is reading now",
        not past.occupied,
        "A consumer of the group is still running: while it does, its offset cannot be reset, and when it ends it "
        "commits where it stands. Stop it first.",
    )
    yield Fact(
        f"{group} has once read {gallery} to its end",
        0 < end <= furthest,
        f"Expected a commit of {end}, the furthest was {furthest}. Let the group read everything first: with "
        "--from-beginning, and without a --max-messages that stops it early.",
    )


def _why_not_0(past: _Past | None) -> str:
    if past and any(earlier > later for earlier, later in pairwise(past.commits)):
        return (
            "It was moved back, but not to the beginning, or the group read again afterwards: each run commits "
            "where it ends. Rewind it once more, and leave it."
        )
    return (
        "--reset-offsets alone only shows its plan (a dry run): --execute does it. --from-beginning does not move a "
        "group that has committed."
    )


def _offsets(lab: Any) -> tuple[int, int | None]:
    """Return where the log ends and what the group has committed; asking joins no group."""
    asking = Consumer(
        {
            **lab.client,
            "group.id": lab.group(GROUP),
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    try:
        place = TopicPartition(lab.topic(GALLERY), 0)
        _, end = asking.get_watermark_offsets(place, timeout=SECONDS)
        (found,) = asking.committed([place], timeout=SECONDS)
    finally:
        asking.close()
    if found.error is not None:
        raise KafkaException(found.error)
    return end, found.offset if found.offset >= 0 else None


@dataclass(frozen=True)
class _Past:
    """All that a group committed for a topic's partition 0, in order, and whether it has members now."""

    commits: list[int]
    occupied: bool


def _history(lab: Any) -> _Past:
    """Read what Kafka itself notes about the group, in its topic of offsets.

    A key is a format number, then names; there a commit is format 1, the state of a group is format 2.
    """
    of_commit = struct.pack(">h", 1) + _name(GROUP) + _name(GALLERY) + struct.pack(">i", 0)
    of_group = struct.pack(">h", 2) + _name(GROUP)
    commits: list[int] = []
    occupied = False
    for record in records(lab, "__consumer_offsets"):
        if record.key == of_commit:
            if record.value is None:  # forgotten, because the topic was deleted
                commits.clear()
            else:
                commits.append(struct.unpack_from(">q", record.value, 2)[0])
        elif record.key == of_group:
            occupied = record.value is not None and _has_assignor(record.value)
    return _Past(commits, occupied)


def _has_assignor(state: bytes) -> bool:
    """Tell whether the members of a group agreed on how to share partitions: an empty group has none."""
    (kind,) = struct.unpack_from(">h", state, 2)
    (length,) = struct.unpack_from(">h", state, 4 + kind + 4)
    return length >= 0


def _name(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


EXERCISES = [ReadOnePartition(), Rewind()]
