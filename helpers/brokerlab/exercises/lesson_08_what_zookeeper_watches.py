"""Exercises of lesson 08: a watch that logs who leaves and joins; how soon a broker's end is noticed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from brokerlab import topology
from brokerlab.errors import NodeFailedError
from brokerlab.exercises.engine import Exercise, Fact
from brokerlab.probes import registered_brokers

BROKER = 2
WANTED = [("left", BROKER), ("joined", BROKER)]
WATCH_SECONDS = 3.0
NOTICE_SECONDS = 15.0
SESSION = topology.ZOOKEEPER_SESSION_SECONDS
MARGIN = 5.0
POLL_SECONDS = 0.02

LEAST = {"stop": 0.005, "kill": SESSION / 3}
"""Verb -> seconds that its detection takes at least: a kill is noticed only when heartbeats stay away."""
SLACK = {"stop": 2.0, "kill": 1.0}
"""Verb -> seconds by which two measurements of it may differ in any case; beyond that, by a factor."""
FACTOR = 3.0


class LogWatch(Exercise):
    """The learner's list grows by one entry for each broker that leaves and joins."""

    title = "Log who leaves and who joins"
    hints = (
        "You logged cameras above with `zk.ChildrenWatch`; brokers are below `/brokers/ids`.",
        "A watch hands you all names there are now. Who left? Keep the names of last time, and compare two sets.",
        "Names are text: `{int(name) for name in names}`. `known - now` are those that left, `now - known` those that joined.",
        "`@zk.ChildrenWatch('/brokers/ids')` above `def log(names): ...` calls it at once, and again after every change.",
    )
    answer_type = list
    deadline = 75.0
    patience = 0.0

    def attempted(self, lab: Any, answer: list[Any]) -> bool:
        return True

    def facts(self, lab: Any, answer: list[Any]) -> Iterator[Fact]:
        yield (whole := _whole(lab))
        if not whole.ok:
            return
        begun = len(answer)
        broker = lab.brokers[BROKER]
        with _left_whole(lab):
            broker.kill(watch=False)
            _wait_until(lab, listed=False)
            _wait_for_entries(answer, begun + 1)
            broker.start()
            _wait_until(lab, listed=True)
            _wait_for_entries(answer, begun + 2)
        added = answer[begun:]
        yield Fact(
            f"your list grew when broker {BROKER} was killed and started again",
            bool(added),
            "Nothing was added. Is your client started, and not stopped since? Does the watch stand on "
            "/brokers/ids? On /brokers it never fires, because `ids` stays there whoever comes and goes. And give the "
            "check the very list that the watch appends to.",
        )
        if not added:
            return
        strange = [entry for entry in added if not _is_entry(entry)]
        yield Fact(
            'every new entry is a pair: "left" or "joined", and a number',
            not strange,
            f"{len(strange)} of {len(added)} new entries are not. {_why_strange(strange)}",
        )
        if not strange:
            yield Fact(
                f"the new entries are {WANTED}",
                added == WANTED,
                f"Seen: {added}. {_why_other(added)}",
            )


class MeasureDetection(Exercise):
    """Two times, measured by the learner, that agree with the check's own."""

    title = "How soon is it noticed?"
    hints = (
        "Take `time.monotonic()` before the verb, and again when the znode is gone. The difference is your answer.",
        f'A watch on `/brokers/ids` is told at once: let it note the time when "{BROKER}" is not among the names.',
        f"Do it twice: `lab.brokers[{BROKER}].stop()`, start it again, `lab.brokers[{BROKER}].kill()`, start it again.",
        '`seconds = {"stop": ..., "kill": ...}`, both in seconds.',
    )
    answer_type = dict
    deadline = 90.0
    patience = 0.0

    def attempted(self, lab: Any, answer: dict[Any, Any]) -> bool:
        return True

    def facts(self, lab: Any, answer: dict[Any, Any]) -> Iterator[Fact]:
        keys = sorted(map(str, answer))
        yield Fact(
            'it has the keys "stop" and "kill", and no other',
            keys == ["kill", "stop"],
            f'Seen: {", ".join(keys) or "none"}. Expected: {{"stop": seconds, "kill": seconds}}.',
        )
        if keys != ["kill", "stop"]:
            return
        odd = [verb for verb in ("stop", "kill") if not _is_seconds(answer[verb])]
        yield Fact(
            "both are numbers above 0",
            not odd,
            f"Not so: {', '.join(odd)}. Measure a difference of two `time.monotonic()`, the later minus the earlier.",
        )
        if odd:
            return
        stop, kill = answer["stop"], answer["kill"]
        yield Fact(
            f"after a kill it takes a session at most: {SESSION:g} s, and a little",
            kill <= SESSION + MARGIN,
            "Yours is longer. Is it in milliseconds? Does it hold the time to start the broker again? Stop the clock "
            "when the znode is gone.",
        )
        yield Fact(
            "a kill is not noticed at once",
            kill >= LEAST["kill"],
            "Yours is so short that ZooKeeper cannot have noticed: the process ends at once, its znode does not. "
            "Stop the clock when `/brokers/ids` no longer holds it.",
        )
        yield Fact(
            "an orderly stop is noticed sooner than a kill",
            stop < kill,
            "Yours are the other way round, or equal. SIGTERM lets the broker close its session itself; after "
            "SIGKILL ZooKeeper has to wait for it. Are the two mixed up?",
        )
        yield (whole := _whole(lab))
        if not whole.ok:
            return
        own = _measure(lab)
        for verb, name in (("stop", "the orderly stop"), ("kill", "the kill")):
            yield Fact(
                f"your time for {name} is like the one that the check has just measured",
                LEAST[verb] <= answer[verb] <= own[verb] * FACTOR + SLACK[verb],
                "The check did the same to the same broker, and its time is far from yours. Start your clock right "
                "before the verb, stop it when the znode is gone, and measure once more.",
            )


def _whole(lab: Any) -> Fact:
    down = [
        f"{node.name} is {state}"
        for node in lab.nodes.values()
        if (state := node.state) != "running"
    ]
    return Fact(
        "ZooKeeper and all brokers run, before the check begins",
        not down,
        f"{', '.join(down)}: lab.repair() brings back what is down, then check again.",
    )


@contextmanager
def _left_whole(lab: Any) -> Iterator[None]:
    try:
        yield
    finally:
        broker = lab.brokers[BROKER]
        if broker.state in ("killed", "stopped", "died"):
            broker.start()


def _measure(lab: Any) -> dict[str, float]:
    """Measure how soon each end of the broker is noticed, in seconds."""
    broker = lab.brokers[BROKER]
    seconds = {}
    with _left_whole(lab):
        for verb in ("stop", "kill"):
            seconds[verb] = getattr(broker, verb)().noticed or NOTICE_SECONDS
            broker.start()
    return seconds


def _wait_until(lab: Any, *, listed: bool) -> None:
    deadline = time.monotonic() + NOTICE_SECONDS
    while (ids := registered_brokers(lab.zookeeper_port)) is None or (BROKER in ids) != listed:
        if time.monotonic() > deadline:
            raise NodeFailedError(
                f"ZooKeeper did not {'list' if listed else 'drop'} broker {BROKER} within {NOTICE_SECONDS:g} s: "
                "lab.status() shows what runs. Then check again."
            )
        time.sleep(POLL_SECONDS)


def _wait_for_entries(answer: list[Any], count: int) -> None:
    """Give the learner's watch a moment to be called, and another for an entry too many."""
    deadline = time.monotonic() + WATCH_SECONDS
    while len(answer) < count and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    time.sleep(5 * POLL_SECONDS)


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, tuple)
        and len(entry) == 2
        and entry[0] in ("left", "joined")
        and type(entry[1]) is int
    )


def _why_strange(strange: list[Any]) -> str:
    first = strange[0] if strange else None
    if isinstance(first, (list, set, frozenset)):
        return (
            "They hold all brokers that there are: that is what a watch tells. Compare it with what it told last time, "
            "and log the difference."
        )
    if isinstance(first, tuple) and len(first) == 2 and isinstance(first[1], str):
        return f'The number is text, as ZooKeeper\'s names are: int(name) makes ("left", {BROKER}) of it.'
    if hasattr(first, "path"):
        return (
            "They are the watch's own events, which say that something changed, not what: ask for the names, and compare "
            "them with those of last time."
        )
    return f'Write them as ("left", {BROKER}), a tuple of a word and a number.'


def _why_other(added: list[Any]) -> str:
    if added == WANTED[:1]:
        return "The watch fired once and was used up: leave it again each time it fires, as `ChildrenWatch` does by itself."
    if added == WANTED[1:]:
        return "It logs who joins, and not who leaves: `known - now` are those that left."
    if added == [entry for entry in WANTED for _ in (0, 1)]:
        return "Everything twice: two of your watches are alive. Stop the older client, or restart the kernel."
    if added == WANTED[::-1]:
        return "The words are the wrong way round: who is not among the names any more has left."
    others = sorted({number for _, number in added} - {BROKER})
    if others:
        return (
            f"Broker {', '.join(map(str, others))} did not move. Keep the names of last time, outside the function, and "
            "renew them at its end."
        )
    return "After each change, replace the names that you know by those of now."


def _is_seconds(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0


OWN_LAB = "watches ZooKeeper while brokers die"
EXERCISES = [LogWatch(), MeasureDetection()]
