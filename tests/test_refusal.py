"""A refusal is demanded: nothing raised, or another error, fails."""

import pytest
from brokerlab.refusal import refused
from confluent_kafka import KafkaError, KafkaException


def test_the_error_that_is_demanded_prints_one_line(capsys):
    with refused(KafkaException, "INVALID_REPLICATION_FACTOR") as refusal:
        raise KafkaException(
            KafkaError(KafkaError.INVALID_REPLICATION_FACTOR, "Only 3 brokers are there.")
        )
    assert capsys.readouterr().out == (
        "Refused, as it should be: INVALID_REPLICATION_FACTOR: Only 3 brokers are there.\n"
    )
    assert isinstance(refusal.error, KafkaException)


def test_one_of_several_kinds_and_only_the_first_line(capsys):
    with refused((KeyError, ValueError)):
        raise ValueError("too long\nand more")
    assert capsys.readouterr().out == "Refused, as it should be: ValueError: too long\n"


def test_nothing_raised_fails(capsys):
    with (
        pytest.raises(AssertionError, match="refused with ValueError, and it went through"),
        refused(ValueError),
    ):
        pass
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("error", [TypeError("no"), ValueError("another text")])
def test_another_error_fails_and_is_the_cause(error):
    with (
        pytest.raises(AssertionError, match="refused with ValueError with 'the text'") as raised,
        refused(ValueError, "the text"),
    ):
        raise error
    assert raised.value.__cause__ is error


def test_an_interrupt_stays_an_interrupt():
    with pytest.raises(KeyboardInterrupt), refused(ValueError):
        raise KeyboardInterrupt
