"""Exercises of lesson 07: settings that survive a broker, and the offsets that an unclean election lost."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from brokerlab.errors import SettingError
from brokerlab.exercises.engine import Exercise, Fact
from brokerlab.exercises.lesson_04_topics import min_insync
from brokerlab.records import records
from brokerlab.traffic import Traffic

SECONDS = 5.0

VAULT = "vault"
COPIES = 3
LEAST = "2"
PER_SECOND = 200
ENOUGH = 100
TAKES_MESSAGES_WITHIN = 8.0
GOES_ON_WITHIN = 12.0

GAMBLE = "gamble"
PHOTO = re.compile(r"photo (\d+)")


@dataclass(frozen=True)
class _Trial:
    """What a stream met while the leader was killed."""

    acknowledged: int
    went_on: bool
    lost: int
    given_up: dict[str, int]


class SurviveABroker(Exercise):
    """A topic and a producer that lose no acknowledged message with a broker, and go on; tried out by killing one."""

    title = "The vault"
    hints = (
        "Three settings decide: how many copies there are, how many must have a message, and what the producer waits for. "
        "Two belong to the topic, one to the producer.",
        "One broker down must leave enough replicas to write: with three copies, how many may be demanded?",
        'As above: `create("vault", 3, {...})` with `min.insync.replicas`; the producer\'s setting is called `acks`.',
    )
    answer_type = dict
    deadline = 90.0
    patience = 0.0

    def attempted(self, lab: Any, answer: Any) -> bool:
        return VAULT in lab.topics()

    def facts(self, lab: Any, answer: Any) -> Iterator[Fact]:
        up = _all_brokers_up(lab)
        yield up
        if not up.ok:
            return
        copies = min(len(partition.replicas) for partition in _partitions(lab, VAULT))
        yield Fact(
            f"every partition of {VAULT} has {COPIES} replicas",
            copies == COPIES,
            f"Seen {copies}. {_why_copies(copies)}",
        )
        least, _ = min_insync(lab, VAULT)
        yield Fact(
            f"min.insync.replicas of {VAULT} is {LEAST}",
            least == LEAST,
            f"Seen {least}. {_why_least(least)}",
        )
        acks = str(answer.get("acks", answer.get("request.required.acks", "all")))
        yield Fact(
            "the producer waits for every replica in sync",
            acks in ("all", "-1"),
            f"Seen acks={acks}. {_why_acks(acks)}",
        )
        trial = _try_out(lab, _plain(answer))
        yield Fact(
            "messages are acknowledged while all brokers are up",
            trial.acknowledged > 0,
            f"None was, within {TAKES_MESSAGES_WITHIN:g} s: no broker was killed. Does min.insync.replicas ask for more "
            "replicas than there are? Is a time-out of the producer very short?",
        )
        yield Fact(
            "with the leader killed, writing goes on",
            trial.went_on,
            f"Nothing was acknowledged for {GOES_ON_WITHIN:g} s after the loss. Is there another replica to lead, and "
            "does min.insync.replicas leave room for one loss?",
        )
        yield Fact(
            "every acknowledged message is in the log",
            trial.lost == 0,
            f"{trial.lost} of {trial.acknowledged} are not: they were acknowledged before a live replica had them.",
        )
        yield Fact(
            "no message was given up",
            not trial.given_up,
            f"Given up: {_counts(trial.given_up)}. A failover takes some seconds: leave the producer's retries and "
            "message.timeout.ms as they are, and it waits for the new leader.",
        )


def _why_copies(copies: int) -> str:
    if copies == 1:
        return "With one copy there is nobody to take over: the partition is away as long as its broker is."
    return (
        f"With {copies} copies, one loss leaves {copies - 1}: demand two and nothing can be written, demand one and "
        "the next acknowledged message may have a single copy."
    )


def _why_least(least: str) -> str:
    if least == "1":
        return (
            "A write then counts with one copy. Even if nothing was lost this time, since every replica was in sync "
            "when the leader died: while followers lag, acks=all waits for the leader alone, and what it "
            "acknowledges dies with it."
        )
    return "With one broker down two replicas are left: more than that cannot be demanded, or every write is refused."


def _why_acks(acks: str) -> str:
    if acks == "0":
        return "The producer asks for no answer at all and calls a message acknowledged when it has left."
    return (
        "The leader alone acknowledges: what its followers have not copied when it dies is lost. Even if none was "
        "lost this time, that was luck."
    )


def _plain(settings: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the settings, if they can be a producer's.

    Raises
    ------
    SettingError
        They cannot.
    """
    for key, value in settings.items():
        if not isinstance(key, str) or not isinstance(value, str | int | float):
            raise SettingError(
                f"A producer's settings are names with text or numbers, and {key!r}: {value!r} is not."
            )
    if "transactional.id" in settings:
        raise SettingError("Leave out transactional.id: this producer sends without transactions.")
    return dict(settings)


def _try_out(lab: Any, settings: Mapping[str, Any]) -> _Trial:
    """Send to partition 0, kill its leader, see whether it goes on; leave the lab whole."""
    everywhere = {**settings, **lab.client}
    name = f"check-{uuid.uuid4().hex}"
    stream = Traffic(lab, VAULT, PER_SECOND, everywhere, partition=0, name=name)

    def acknowledged() -> int:
        return len(stream.ledger.acknowledged)

    went_on = False
    try:
        if _within(TAKES_MESSAGES_WITHIN, lambda: acknowledged() >= ENOUGH):
            leader = next(p.leader for p in _partitions(lab, VAULT) if p.id == 0)
            if leader is not None:
                lab.brokers[leader].kill()
                goal = acknowledged() + ENOUGH
                went_on = _within(GOES_ON_WITHIN, lambda: acknowledged() >= goal)
    finally:
        lab.repair()
        ledger = stream.stop()
    outcome = stream.outcome()
    refused = {"refused by the producer": ledger.refused} if ledger.refused else {}
    return _Trial(outcome.acknowledged, went_on, len(outcome.lost), {**ledger.failed, **refused})


def _within(seconds: float, true: Callable[[], bool]) -> bool:
    limit = time.monotonic() + seconds
    while not (found := true()) and time.monotonic() < limit:
        time.sleep(0.05)
    return found


class NameTheLost(Exercise):
    """The learner's list is the offsets whose photos an unclean election threw away."""

    title = "Name what was lost"
    hints = (
        "Kafka loses an acknowledged message only when a replica leads that never had it. How can a replica miss one "
        "that was acknowledged with acks=all?",
        "Stop two brokers, write: the third alone has those photos. Then it must die, and one of the others must lead.",
        'A replica that is not in sync may lead only with `unclean.leader.election.enable`: give it to `create("gamble", ...)`.',
        "The log ended at some offset before the two brokers stopped, and at another when the third one died: "
        "what was written in between is what you look for. Write a few photos after the election, then lab.repair().",
    )
    answer_type = list

    def attempted(self, lab: Any, answer: Any) -> bool:
        return GAMBLE in lab.topics()

    def facts(self, lab: Any, answer: Any) -> Iterator[Fact]:
        up = _all_brokers_up(lab)
        yield up
        if not up.ok:
            return
        numbers = [_number(record.text) for record in records(lab, GAMBLE)]
        known = [number for number in numbers if number is not None]
        in_order = len(known) == len(numbers) and all(a < b for a, b in pairwise(known))
        yield Fact(
            f"{GAMBLE} holds numbered photos, each once, in order",
            bool(known) and known[0] == 0 and in_order,
            f'Write to it with write("{GAMBLE}", ...) only. After a kernel restart the numbers begin at 0 again: then '
            f"begin anew, with create.",
        )
        if not (known and in_order):
            return
        missing = sorted(set(range(known[-1])) - set(known))
        yield Fact("acknowledged photos are missing", bool(missing), _why_complete(lab))
        if not missing:
            return
        yield Fact(
            "they were lost in one election",
            missing[-1] - missing[0] + 1 == len(missing),
            "There are several gaps. Offsets are given again after a loss, so begin anew, with create, and lose only once.",
        )
        yield Fact(
            "your list holds offsets",
            all(isinstance(offset, int) and not isinstance(offset, bool) for offset in answer),
            "It holds something else than int: give the offsets alone, as in list(range(5, 8)).",
        )
        yield Fact(
            "your list names the lost ones, and no other",
            sorted(answer, key=str) == sorted(missing, key=str),
            _why_not_these(answer, missing, known),
        )


def _why_complete(lab: Any) -> str:
    if not _unclean_allowed(lab):
        return (
            f"All that {GAMBLE} ever acknowledged is there, and unclean.leader.election.enable is false for it: Kafka "
            "waited for a replica that had everything. Create it with that setting, and lose again."
        )
    return (
        "There is no gap in the numbers. Did the two others stop before you wrote what was to be lost? Was the last "
        "broker still down when they came back? And a loss shows only when more photos were written after it: "
        f'write("{GAMBLE}", 5), then check again.'
    )


def _why_not_these(answer: list[Any], missing: list[int], known: list[int]) -> str:
    lost, named = set(missing), {offset for offset in answer if isinstance(offset, int)}
    if named == lost | {missing[-1] + 1}:
        return "One too many: the end offset of a log is where the next message will stand. Nothing was there."
    if named == lost | {missing[0] - 1}:
        return "One too many: the first on your list was copied before the two brokers stopped."
    if named and named <= set(known) - lost and min(named) > missing[-1]:
        return "These photos were written after the loss. Their numbers are not their offsets: the lost ones' are."
    return (
        f"{len(lost - named)} lost offset(s) are not on your list, and {len(named - lost)} on it were not lost. Until the "
        "loss a photo's number is its offset: which numbers does the log skip?"
    )


def _unclean_allowed(lab: Any) -> bool:
    resource = ConfigResource(ResourceType.TOPIC, GAMBLE)
    admin = AdminClient({**lab.client, "log_level": 0})
    answer = admin.describe_configs([resource], request_timeout=SECONDS)[resource].result(SECONDS)
    return str(answer["unclean.leader.election.enable"].value) == "true"


def _number(text: str) -> int | None:
    found = PHOTO.fullmatch(text)
    return int(found[1]) if found else None


def _all_brokers_up(lab: Any) -> Fact:
    down = [node["name"] for node in lab.status()["nodes"] if node["state"] != "running"]
    return Fact(
        "ZooKeeper and all brokers run",
        not down,
        f"Down: {', '.join(down)}. lab.repair() brings back what is down; then check again.",
    )


def _partitions(lab: Any, topic: str) -> list[Any]:
    metadata = lab.probe.metadata(SECONDS)
    if metadata is None:
        raise TimeoutError("no broker answered")
    found = [partition for partition in metadata.partitions if partition.topic == topic]
    if not found:
        raise SettingError(f"The topic {topic} is gone again: create it, then check.")
    return found


def _counts(given_up: Mapping[str, int]) -> str:
    return ", ".join(f"{count} with {name}" for name, count in sorted(given_up.items()))


OWN_LAB = "stops and kills brokers"
EXERCISES = [SurviveABroker(), NameTheLost()]
