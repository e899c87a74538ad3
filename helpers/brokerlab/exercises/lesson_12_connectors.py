"""Exercises of lesson 12: a sink that repeats harmlessly, and one that goes on where it was."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from brokerlab.connectors import Connector
from brokerlab.exercises.engine import Exercise, Fact
from brokerlab.records import texts

DATABASE = "shop.sqlite"
PARCELS, LEDGER = "parcels", "ledger"
PARCELS_OUT, LEDGER_OUT = "parcels-out", "ledger-out"


class _Sink(Exercise):
    """A sink that fills the table of its topic's name."""

    topic: str
    name: str
    patience = 6.0
    deadline = 20.0

    def attempted(self, lab: Any, answer: Any) -> bool:
        return bool(_sinks(lab, self.topic))

    def runs(self, lab: Any) -> Iterator[Fact]:
        """Yield whether the sink is there, alone, and whether its task runs."""
        sinks = _sinks(lab, self.topic)
        yield Fact(
            f"one sink reads {self.topic}, and it is {self.name}",
            [one.name for one in sinks] == [self.name],
            f"Seen: {', '.join(one.name for one in sinks) or 'none'}. A sink's name is its group, connect-NAME, and with it its place: "
            'another name begins at the topic\'s first record. connect.remove("NAME") ends one.',
        )
        problem = next((one.problem for one in sinks if one.problem), "")
        yield Fact(
            "its task runs",
            bool(sinks) and all(one.running for one in sinks),
            f"Connect says: {problem or 'no task runs'}. A task that has failed stays so until it is restarted: "
            "put the sink again with a statement that may run twice.",
        )


class EachRowOnce(_Sink):
    """The records of a topic that holds each twice are in the table once."""

    title = "Each row once"
    topic, name = PARCELS, PARCELS_OUT
    hints = (
        "What does a plain INSERT do with an id that is there already? Look at connect.connectors().",
        "`INSERT OR IGNORE INTO parcels VALUES (:#id, :#item)` may run twice.",
        'Then `connect.put("parcels-out", table_sink("parcels", statement))`.',
    )

    def facts(self, lab: Any, answer: Any) -> Iterator[Fact]:
        yield from self.runs(lab)
        yield from _arrived(lab, PARCELS)


class CatchesUp(_Sink):
    """A sink that was removed goes on where it was."""

    title = "The sink that was away"
    topic, name = LEDGER, LEDGER_OUT
    hints = (
        "A sink's place is the committed offset of a group. Which group?",
        "The group is called `connect-` and the sink's name: the same name goes on, another begins anew.",
        '`connect.put("ledger-out", ledger)`.',
    )

    def attempted(self, lab: Any, answer: Any) -> bool:
        return super().attempted(lab, answer) and len(texts(lab, LEDGER)) > 10

    def facts(self, lab: Any, answer: Any) -> Iterator[Fact]:
        yield from self.runs(lab)
        yield from _arrived(lab, LEDGER)


def _arrived(lab: Any, topic: str) -> Iterator[Fact]:
    sent = {json.loads(text)["id"] for text in texts(lab, topic)}
    seen = _ids(lab, topic)
    missing = sent - set(seen)
    yield Fact(
        f"every record of {topic} is in the table",
        bool(sent) and not missing,
        f"{len(missing)} of {len(sent)} are not: does the sink run, and has it had a moment?",
    )
    twice = [number for number, times in seen.items() if times > 1]
    yield Fact(
        "none is there twice",
        not twice,
        f"{len(twice)} of {len(seen)} are: a sink under another name has read the topic from its beginning. Remove it, then "
        f'database.execute("DELETE FROM {topic} WHERE rowid NOT IN (SELECT min(rowid) FROM {topic} GROUP BY id)") tidies up.',
    )


def _sinks(lab: Any, topic: str) -> list[Connector]:
    return [
        one
        for one in lab.connect.connectors().values()
        if one.kind == "sink" and one.topic == topic
    ]


def _ids(lab: Any, table: str) -> Counter[int]:
    file = lab.connect.folder / "files" / DATABASE
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)) as database:
            return Counter(number for (number,) in database.execute(f"SELECT id FROM {table}"))
    except sqlite3.Error:
        return Counter()


OWN_LAB = "runs Kafka Connect beside its brokers"
EXERCISES = [EachRowOnce(), CatchesUp()]
