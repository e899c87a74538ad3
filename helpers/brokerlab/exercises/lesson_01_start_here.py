"""Exercises of lesson 01: write one message, read it back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from brokerlab.exercises.engine import Exercise, Fact
from brokerlab.records import texts

TOPIC = "guestbook"


class Sign(Exercise):
    """A message with the learner's text is in the log."""

    title = "Sign the guestbook"
    hints = (
        "Three cells above, a producer wrote to another topic; only the topic and the text differ.",
        "`producer.produce(topic, value=text)` puts the message on a queue inside your program.",
        "`producer.flush(10)` waits until that queue is empty.",
    )
    answer_type = str

    def attempted(self, lab: Any, answer: Any) -> bool:
        return True

    def facts(self, lab: Any, answer: Any) -> Iterator[Fact]:
        log = texts(lab, TOPIC)
        yield Fact(
            f"{TOPIC} holds a message",
            bool(log),
            "The log is empty. Did you call flush() after produce()? Until then the message waits inside your program.",
        )
        near = " Look at spelling and spaces." if log else ""
        yield Fact(
            "one of its messages is your greeting",
            answer in log,
            f"Expected the text in `greeting`; the topic holds {len(log)} message(s), and none is that text.{near}",
        )


class ReadBack(Exercise):
    """The learner's list is what the log holds."""

    title = "Read the guestbook back"
    hints = (
        "The consumer above read one message; poll again until there is none.",
        "A group that has read the topic before goes on where it stopped: take a `group.id` that is new.",
        "`auto.offset.reset` must be `earliest`, or a new group starts at the end and waits.",
        "A message's value is bytes: `.value().decode()` makes it text.",
    )
    answer_type = list

    def attempted(self, lab: Any, answer: Any) -> bool:
        return True

    def facts(self, lab: Any, answer: Any) -> Iterator[Fact]:
        log = texts(lab, TOPIC)
        yield Fact(
            f"{TOPIC} holds a message to read",
            bool(log),
            "The log is empty: do exercise 1 first.",
        )
        yield Fact(
            "received holds text",
            all(isinstance(text, str) for text in answer),
            "It holds something else than str. A message's value is bytes: decode() makes text of it.",
        )
        yield Fact(
            "received holds every message of the log, once, in order",
            bool(answer) and [_text(item) for item in answer] == log,
            f"The log has {len(log)} message(s), your list {len(answer)}. None: is auto.offset.reset `earliest`, and the "
            "group.id new? Too few: poll until nothing comes. Too many: start with an empty list.",
        )


def _text(item: Any) -> Any:
    return item.decode("utf-8", "replace") if isinstance(item, bytes) else item


OWN_LAB = "kills a broker and stops its lab"
EXERCISES = [Sign(), ReadBack()]
