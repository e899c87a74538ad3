"""What goes over Kafka says the same on both ends, and what is something else is refused."""

from __future__ import annotations

import pytest
from brokerlab.pipeline.errors import PipelineError
from brokerlab.pipeline.messages import Attempt, DeadLetter, Names, Result

RESULT = Result("id", ({"label": "cat", "left": 1.5},), 0, 2, "worker-1", 8.125)
LETTER = DeadLetter("id-ü", "failed", "Zu groß: 学", "ValueError", 1, 3, "photo-requests[3]@17")


def test_names_are_all_different_and_begin_with_the_prefix() -> None:
    names = Names("cameras")
    every = {*names.topics, names.workers, names.collectors}
    assert len(every) == 6 and all(name.startswith("cameras-") for name in every)


@pytest.mark.parametrize("prefix", ["", "two words", "a/b", "ü", "x" * 201])
def test_a_prefix_that_kafka_would_not_take_is_refused(prefix: str) -> None:
    with pytest.raises(PipelineError, match="cannot begin the name of a topic"):
        Names(prefix)


def test_a_result_is_read_as_it_was_written() -> None:
    assert Result.decoded(RESULT.encoded()) == RESULT


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"17",
        b'{"id": "x"}',
        RESULT.encoded().replace(b'"id"', b"null", 1),
    ],
)
def test_what_is_no_result_is_refused(value: bytes | None) -> None:
    with pytest.raises(ValueError, match="no result"):
        Result.decoded(value)


def test_a_result_whose_fields_are_of_another_kind_is_refused() -> None:
    for field in (b'"id":5', b'"id":null', b'"id":["a"]'):
        with pytest.raises(ValueError, match="no result"):
            Result.decoded(RESULT.encoded().replace(b'"id":"id"', field))


def test_a_dead_letter_is_read_as_it_was_written() -> None:
    headers = [
        (name, value if isinstance(value, bytes) else None) for name, value in LETTER.headers()
    ]
    assert DeadLetter.of(LETTER.id.encode(), headers) == LETTER


def test_what_is_no_dead_letter_is_refused() -> None:
    headers = [
        (name, value if isinstance(value, bytes) else None) for name, value in LETTER.headers()
    ]
    for key, some in ((None, headers), (b"\xff", headers), (b"id", headers[1:]), (b"id", None)):
        with pytest.raises(ValueError):
            DeadLetter.of(key, some)


def test_an_attempt_is_read_as_it_was_written_and_is_the_first_where_nothing_is_said() -> None:
    again = Attempt(round=2, number=3, not_before=1795626872.125)
    headers = [
        (name, value if isinstance(value, bytes) else None) for name, value in again.headers()
    ]
    assert Attempt.of(headers) == again
    assert Attempt.of(None) == Attempt.of([("round", b"x")]) == Attempt()
