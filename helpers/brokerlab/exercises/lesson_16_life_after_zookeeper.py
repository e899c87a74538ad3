"""Exercises of lesson 16: a producer that loses nothing in a migration; who leads the controllers now."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import FunctionType
from typing import Any

from brokerlab import kraft
from brokerlab.errors import NodeFailedError
from brokerlab.exercises.engine import Exercise, Fact, demand_whole
from brokerlab.kraft import MIGRATION_STEPS
from brokerlab.lab import start
from brokerlab.progress import Progress
from brokerlab.records import Record, records

TOPIC = "photos"
LAB = "exercise"
LEAST = 100
STOP_SECONDS = 60.0
BEGIN_SECONDS = 15.0
ANSWER_SECONDS = 30.0


class WriteThrough(Exercise):
    """The learner's function writes while a lab of one broker is migrated."""

    title = "Write through a migration"
    hints = (
        "That `produce()` returns says nothing. Who tells you that the cluster has a photo?",
        "`producer.produce(..., on_delivery=delivered)`: in `delivered(error, message)` append the text when `error` is None.",
        "`delivered` is called inside `producer.poll()` and `producer.flush()`: poll in the loop, flush before you return.",
        "Leave `message.timeout.ms` as it is: 5 minutes are enough for a broker that restarts. `acks=all` and `enable.idempotence`.",
    )
    answer_type = FunctionType
    deadline = 240.0
    patience = 0.0

    def attempted(self, lab: Any, answer: Callable[..., Any]) -> bool:
        return True

    def facts(self, lab: Any, answer: Callable[..., Any]) -> Iterator[Fact]:
        with _throw_away() as own:
            stop = threading.Event()
            with ThreadPoolExecutor(1) as worker:
                writing = worker.submit(answer, own.client, stop)
                try:
                    begun = _wait_for_photos(own, writing)
                    if begun and not writing.done():
                        for step in MIGRATION_STEPS:
                            getattr(own.migration, step)()
                    early = writing.done()
                    after = _first_after(own)
                finally:
                    stop.set()
                yield from self._judge(own, writing, begun, early, after)

    def _judge(
        self, own: Any, writing: Future[Any], begun: bool, early: bool, after: int
    ) -> Iterator[Fact]:
        try:
            said = writing.result(STOP_SECONDS)
            problem = ""
        except TimeoutError:
            said, problem = None, f"It was still running {STOP_SECONDS:g} s after `stop` was set"
        except Exception as error:
            said, problem = None, f"It ended with {type(error).__name__}: {error}"
        yield Fact(
            "your function runs until it is told to stop, and then returns",
            not problem and not early,
            f"{problem or 'It returned while the lab was being migrated'}. Loop `while not stop.is_set()`, and let errors "
            "of single photos be told to `on_delivery`.",
        )
        yield Fact(
            f"photos arrive in the topic {TOPIC}",
            begun,
            f"Nothing came within {BEGIN_SECONDS:g} s. `producer.produce('{TOPIC}', f'photo {{number}}', ...)`, and call "
            "`producer.poll(0)` in the loop.",
        )
        if problem or not begun:
            return
        texts = said if isinstance(said, (list, tuple, set)) else []
        odd = [one for one in texts if not isinstance(one, str)]
        yield Fact(
            f"it returns a list of {LEAST} texts or more",
            len(texts) >= LEAST and not odd,
            f"Seen: {type(said).__name__}, {len(texts)} entries, {len(odd)} of them no text. `message.value().decode()` is one.",
        )
        if odd or not texts:
            return
        held = records(own, TOPIC)
        in_log = Counter(record.text for record in held)
        lost = sorted(set(texts) - in_log.keys())
        yield Fact(
            "every text that you say was acknowledged is in the log",
            not lost,
            f"{len(lost)} are not. Did you note them when they were sent? Only `on_delivery` with `error` None tells that the "
            "cluster has one; with `acks=0` not even that.",
        )
        unsaid = in_log.keys() - set(texts)
        yield Fact(
            "every photo in the log is in your list",
            not unsaid,
            f"{len(unsaid)} photos are in the log, and not in your list: their reports came after you returned, or "
            "never. Call `producer.flush()` before `return`.",
        )
        moved = [record for record in held if _at(record) > after]
        yield Fact(
            "photos were written before the migration and after it",
            bool(moved),
            "None came after it: the producer gave up. Leave its time-outs as they are.",
        )


class FindLeader(Exercise):
    """The learner's function names who leads, before the leader is killed and after."""

    title = "Find the new controller"
    hints = (
        "The tool's `describe --status` prints a line `LeaderId:`.",
        "`subprocess.run([...], capture_output=True, text=True).stdout` is what it prints; `re.search(r'LeaderId:\\s*(\\d+)', text)`.",
        "Give `--bootstrap-controller` all three addresses, `new.bootstrap_controllers`: one of them may be dead.",
        "Return `int(...)`, and ask anew each time the function is called.",
    )
    answer_type = FunctionType
    deadline = 150.0
    patience = 0.0

    def attempted(self, lab: Any, answer: Callable[[], Any]) -> bool:
        return True

    def facts(self, lab: Any, answer: Callable[[], Any]) -> Iterator[Fact]:
        if len(lab.controllers) < kraft.MOST_CONTROLLERS:
            raise NodeFailedError(
                "This check kills one of three controllers: brokerlab.start(brokers=1, controllers=3, mode='kraft', name='new')."
            )
        demand_whole(lab)
        leader = _leader(lab)
        said, problem = _ask(answer)
        yield Fact("it answers", not problem, problem)
        if problem:
            return
        yield Fact(
            "it names who leads the controllers",
            said == leader and type(said) is int,
            _why_wrong(lab, said, leader),
        )
        if said != leader:
            return
        node = lab.controllers[leader - kraft.FIRST_ID]
        node.kill()
        try:
            new = _leader(lab)
            said, problem = _ask(answer)
        finally:
            node.start()
        yield Fact(
            "it answers while the old leader is dead",
            not problem,
            f"{problem} Does it ask only one controller? That one may be the dead one: give all addresses.",
        )
        if not problem:
            yield Fact(
                "it names the new leader when the old one was killed",
                said == new,
                "It still names the old one: ask anew each time, and return what was answered."
                if said == leader
                else _why_wrong(lab, said, new),
            )


@contextmanager
def _throw_away() -> Iterator[Any]:
    lab = start(brokers=1, name=LAB, runtime="local", progress=Progress())
    try:
        if lab.mode != "zookeeper" or lab.migration.phase:
            raise NodeFailedError(
                f"A lab {LAB!r} of an earlier check was still there and has been stopped: check again."
            )
        lab.delete_topics(TOPIC)
        yield lab
    finally:
        lab.stop()


def _wait_for_photos(lab: Any, writing: Future[Any]) -> bool:
    deadline = time.monotonic() + BEGIN_SECONDS
    while time.monotonic() < deadline:
        if writing.done():
            return bool(TOPIC in lab.topics() and records(lab, TOPIC))
        if TOPIC in lab.topics() and records(lab, TOPIC):
            return True
        time.sleep(0.1)
    return False


def _first_after(lab: Any) -> int:
    """Return when the migration was over, in ms since 1970, and give the writer a moment from there."""
    over = int(time.time() * 1000)
    deadline = time.monotonic() + BEGIN_SECONDS
    while time.monotonic() < deadline and TOPIC in lab.topics():
        if any(_at(record) > over for record in records(lab, TOPIC)):
            break
        time.sleep(0.1)
    return over


def _at(record: Record) -> int:
    return record.timestamp or 0


def _leader(lab: Any) -> int:
    seen = lab.quorum()
    if seen is None or seen.leader is None:
        raise NodeFailedError(
            "No controller leads now: lab.repair() starts what is down. Check again."
        )
    leader: int = seen.leader
    return leader


def _ask(answer: Callable[[], Any]) -> tuple[Any, str]:
    """Call the learner's function; return what it says, and what was wrong."""
    with ThreadPoolExecutor(1) as worker:
        asked = worker.submit(answer)
        try:
            return asked.result(ANSWER_SECONDS), ""
        except TimeoutError:
            return (
                None,
                f"It took longer than {ANSWER_SECONDS:g} s: give `subprocess.run` a timeout.",
            )
        except Exception as error:
            return None, f"It ended with {type(error).__name__}."


def _why_wrong(lab: Any, said: Any, leader: int) -> str:
    if said in lab.brokers:
        return (
            "It names a broker. Clients of brokers are told any broker that passes on what they ask; who leads the "
            "controllers only the quorum tells."
        )
    if str(said) == str(leader):
        return "It is the right one, as text: return a number, int(...)."
    if said in (kraft.FIRST_ID + number for number in lab.controllers):
        return "It names another controller, a follower: the line is `LeaderId:`."
    return f"Seen: {type(said).__name__}. Expected: the id of a controller, from {kraft.FIRST_ID + 1} on."


EXERCISES = [WriteThrough(), FindLeader()]
