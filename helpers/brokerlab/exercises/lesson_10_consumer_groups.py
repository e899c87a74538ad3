"""Exercises of lesson 10: nobody idle, no photo twice when a group rebalances."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from confluent_kafka.admin import AdminClient, NewTopic

from brokerlab import programs
from brokerlab.errors import BrokerLabError
from brokerlab.exercises.engine import Exercise, Fact
from brokerlab.groups import GroupObserver, GroupView
from brokerlab.traffic import Traffic

SECONDS = 6.0

ALBUMS = "albums"
PARTITIONS = 6
GROUP = "indexers"

PHOTOS_PER_SECOND = 200
FIRST_SIGN = 12.0
"""Seconds in which a program must have recognised its first photo."""
ORDERLY = 6.0
"""Seconds in which a program must have ended after SIGTERM."""
LEFT_AT_ONCE = 3.0
"""Seconds after which a group still counts on a member that did not say that it leaves."""
ACKNOWLEDGED = 20.0
"""Seconds for the photos that were sent to be in the log."""
CAUGHT_UP = 10.0
"""Seconds for the rest; longer than the session of a member that died."""


class NobodyIdle(Exercise):
    """A group whose members share six partitions evenly."""

    title = "Nobody idle"
    hints = (
        "Six partitions, each with one owner: how many can each of 2, 3, 4, 5, 6, 7 members have?",
        "The board's figure *idle* must be 0, and every member must own as many partitions as the others.",
        "`board.add()` starts one more member; `board.close_member(1)` takes one away.",
    )
    deadline = 20.0
    patience = 5.0

    def attempted(self, lab: Any, answer: Any) -> bool:
        return bool(_look(lab).members)

    def facts(self, lab: Any, answer: Any) -> Iterator[Fact]:
        seen = _look(lab)
        shares = {m.id: [n for t, n in m.partitions if t == ALBUMS] for m in seen.members}
        counts = sorted((len(share) for share in shares.values()), reverse=True)
        idle = counts.count(0)
        yield Fact(
            f"{ALBUMS} has {PARTITIONS} partitions",
            len(seen.spans) == PARTITIONS,
            f"Seen: {len(seen.spans)}. Run the cell that creates {ALBUMS}, and start the members again.",
        )
        yield Fact(
            f"the group {GROUP} is stable",
            seen.state == "STABLE",
            f"It is {seen.state}: its members are still sharing out. Wait a moment, then check again.",
        )
        yield Fact(
            "every partition has an owner",
            sum(counts) == PARTITIONS,
            f"{sum(counts)} of {PARTITIONS} have one. Do the members subscribe to {ALBUMS}?",
        )
        yield Fact(
            "more than one member shares the work",
            len(counts) > 1,
            f"The group {GROUP} has one member. If you started more, they are in another group: members share only "
            f"under one and the same name, {GROUP}.",
        )
        elsewhere = any(t != ALBUMS for m in seen.members for t, _ in m.partitions)
        yield Fact(
            "nobody is idle",
            not idle,
            f"{len(counts)} members on {PARTITIONS} partitions, and {idle} of them have none. "
            + (
                f"Some read another topic than {ALBUMS}."
                if elsewhere
                else "A partition is never split between two members: close those that are too many."
            ),
        )
        yield Fact(
            "all have the same number of partitions",
            len(set(counts)) <= 1,
            f"Seen: {', '.join(map(str, counts))}. {PARTITIONS} must divide by the number of members.",
        )


def _look(lab: Any) -> GroupView:
    """Return the group, stable if it becomes so within a moment."""
    with GroupObserver(lab, GROUP, [ALBUMS]) as watch:
        seen = watch.wait_until(
            lambda now: now.state is not None and not now.problem, SECONDS, f"the group {GROUP}"
        )
        if seen.members:
            with contextlib.suppress(BrokerLabError):
                return watch.wait_until(lambda now: now.state == "STABLE", 2, "a stable group")
        return watch.latest


@dataclass(frozen=True)
class _Run:
    """What two members of a program did; exit codes are None for one that had to be killed."""

    codes: tuple[int | None, int | None]
    left_at_once: bool
    wanted: frozenset[str]
    done: Counter[str]
    started: tuple[bool, bool]
    last_line: str


class CleanRebalance(Exercise):
    """Two members of the learner's program in turn: each photo is recognised exactly once."""

    title = "No photo twice"
    hints = (
        "The group's next owner of a partition begins at the committed offset. What has the first one done since it "
        "last committed?",
        "There is a moment to commit before the partitions are gone: `subscribe([topic], on_revoke=...)`.",
        "`on_revoke` is called with the consumer and its partitions, inside `poll` and inside `close`; between two "
        "photos, so all that `poll` has handed out is done.",
        "`consumer.commit()` commits what was handed out so far, and does not mind if there is nothing new. "
        "(`asynchronous=False` raises `_NO_OFFSET` then.)",
    )
    answer_type = str
    deadline = 90.0
    patience = 0.0

    def attempted(self, lab: Any, answer: Any) -> bool:
        return True

    def facts(self, lab: Any, answer: Any) -> Iterator[Fact]:
        run = _rebalance(lab, answer)
        said = f"Its last line: {run.last_line}"
        yield Fact(
            "both members recognised photos",
            all(run.started),
            f"{'The first' if not run.started[0] else 'The second'} printed no line 'done photo N'. {said}",
        )
        if not all(run.started):
            return
        yield Fact(
            "both ended by themselves when they were asked to (SIGTERM)",
            run.codes == (0, 0),
            f"Exit codes {run.codes[0]} and {run.codes[1]}, expected 0 and 0. {_why(run.codes)} {said}",
        )
        yield Fact(
            "the first told the group that it left",
            run.left_at_once,
            "The group went on counting on it until its session was over, and so long nobody read its partitions: "
            "the last thing that a member does is close().",
        )
        missing = len(run.wanted - run.done.keys())
        yield Fact(
            "no photo is missing",
            not missing,
            f"{missing} of {len(run.wanted)} were never recognised. A photo that is committed before it is "
            "recognised is lost when its member goes: recognise first, then commit.",
        )
        twice = sum(times > 1 for times in run.done.values())
        yield Fact(
            "no photo was recognised twice",
            not twice,
            f"{twice} of {len(run.wanted)} were. Their next owner began at the committed offset, and that was "
            "behind what had been recognised: commit when the partitions are taken away, in on_revoke, and end "
            "with close().",
        )


def _why(codes: tuple[int | None, int | None]) -> str:
    if None in codes:
        return f"None is one that did not end within {ORDERLY:g} s: the loop must look at `stop`, as photos() does."
    if any(code is not None and code < 0 for code in codes):
        return (
            "Below 0 is one that the signal ended where it stood: "
            "`from reading import photos` brings the handler of SIGTERM."
        )
    return "Above 0 is one that ended with an error."


def _rebalance(lab: Any, program: str) -> _Run:
    """Let one member read, let a second join, close the first, and count what both recognised."""
    name = f"rebalance-check-{uuid.uuid4().hex[:6]}"
    admin = AdminClient({**lab.client, "log_level": 0})
    admin.create_topics([NewTopic(name, 3, 3)])[name].result(SECONDS)
    traffic = Traffic(lab, name, per_second=PHOTOS_PER_SECOND)
    members: list[programs.Program] = []
    try:
        with GroupObserver(lab, name, [name]) as watch:
            started = []
            for called in ("first", "second"):
                running = programs.run(program, lab.client_file, name, name, called, "range")
                members.append(running)
                started.append(_recognises(running))
                if not started[-1]:
                    break
            first, *second = members
            codes = [_stop(first)]
            left = _left(watch)
            wanted = frozenset(f"photo {n}" for n in traffic.stop(ACKNOWLEDGED).acknowledged)
            _catch_up(members, wanted)
            codes += [_stop(member) for member in second]
        return _Run(
            (codes[0], codes[-1]),
            left,
            wanted,
            _done(members),
            (started[0], len(started) > 1 and started[1]),
            _last_line(members),
        )
    finally:
        for member in members:
            if member.running:
                member.kill()
        with contextlib.suppress(BrokerLabError):
            traffic.stop(1)
        lab.delete_topics(name)


def _last_line(members: list[programs.Program]) -> str:
    telling = [member for member in members if member.exit_code] or members
    return next(iter(telling[-1].lines[-1:]), "none")


def _recognises(member: programs.Program) -> bool:
    try:
        member.wait_for("done ", FIRST_SIGN)
    except BrokerLabError:
        return False
    return True


def _stop(member: programs.Program) -> int | None:
    """Ask a member to end; None if it had to be killed."""
    begun = time.monotonic()
    code = member.stop(ORDERLY)
    return None if time.monotonic() - begun >= ORDERLY else code


def _left(watch: GroupObserver) -> bool:
    try:
        watch.wait_until(
            lambda now: all(member.client != "first" for member in now.members), LEFT_AT_ONCE
        )
    except BrokerLabError:
        return False
    return True


def _catch_up(members: list[programs.Program], wanted: frozenset[str]) -> None:
    deadline = time.monotonic() + CAUGHT_UP
    while members[-1].running and wanted - _done(members).keys() and time.monotonic() < deadline:
        time.sleep(0.1)


def _done(members: list[programs.Program]) -> Counter[str]:
    return Counter(
        line.removeprefix("done ")
        for member in members
        for line in member.lines
        if line.startswith("done ")
    )


OWN_LAB = "uses topics and groups whose names are fixed"
EXERCISES = [NobodyIdle(), CleanRebalance()]
