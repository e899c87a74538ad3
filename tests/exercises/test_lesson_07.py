"""Exercises of lesson 07 on a real cluster: untouched, the typical mistakes, the solution."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from brokerlab.exercises import lesson_07_replication_and_failover, load
from brokerlab.exercises.engine import Exercise
from brokerlab.observe import Snapshot, wait_until
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

pytestmark = pytest.mark.cluster

LESSON = "07_replication_and_failover"
SAFE = {"acks": "all"}


@pytest.fixture
def q(lab: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(Exercise, "patience", 0.2)
    monkeypatch.setattr(lesson_07_replication_and_failover, "GOES_ON_WITHIN", 6.0)
    lab.delete_topics("vault", "gamble")
    before = own_topics(lab)
    yield load(LESSON, lab)
    lab.repair()
    lab.delete_topics("vault", "gamble")
    assert own_topics(lab) == before
    assert lab.state == "usable"


def own_topics(lab: Any) -> set[str]:
    return {name for name in lab.topics() if not name.startswith("__")}


def create(
    lab: Any, name: str, replicas: int = 3, partitions: int = 1, **settings: str
) -> Snapshot:
    config = {key.replace("_", "."): value for key, value in settings.items()}
    admin = AdminClient({**lab.client, "log_level": 0})
    admin.create_topics([NewTopic(name, partitions, replicas, config=config)])[name].result(10)
    return wait_until(lab, lambda now: whole(now, name, replicas), what=f"all of {name}")


def whole(now: Snapshot, name: str, replicas: int) -> bool:
    found = now.topic(name)
    return found is not None and all(len(p.isr) == replicas for p in found.partitions)


def write(lab: Any, texts: list[str]) -> None:
    refused = []
    producer = Producer({**lab.client, "log_level": 0})
    for text in texts:
        producer.produce("gamble", text, on_delivery=lambda e, _: refused.append(e) if e else None)
    assert producer.flush(20) == 0
    assert refused == []


def photos(first: int, beyond: int) -> list[str]:
    return [f"photo {number}" for number in range(first, beyond)]


def advice(report: Any) -> list[str]:
    return [fact.advice for fact in report.facts if not fact.ok]


# The vault


def test_the_vault_untouched(q: Any) -> None:
    assert q[1].check(...).status == "not attempted"
    assert q[1].check(SAFE).status == "not attempted"


def test_the_vault_as_it_should_be(q: Any, lab: Any) -> None:
    create(lab, "vault", partitions=3, min_insync_replicas="2")
    q[1].assert_passed(SAFE)
    q[1].assert_passed({"acks": "-1", "enable.idempotence": True})


def test_the_vault_with_one_copy(q: Any, lab: Any) -> None:
    create(lab, "vault", replicas=1)
    report = q[1].check({})
    assert report.status == "not yet"
    told = advice(report)
    assert "Seen 1. With one copy there is nobody to take over" in told[0]
    assert "Seen 1. A write then counts with one copy" in told[1]
    assert "Nothing was acknowledged for 6 s after the loss" in told[2]
    assert lab.state == "usable", "the check leaves the lab whole"


def test_the_vault_whose_leader_alone_acknowledges(q: Any, lab: Any) -> None:
    create(lab, "vault", min_insync_replicas="1")
    report = q[1].check({"acks": 1})
    assert report.status == "not yet", "refused even if nothing was lost"
    said = repr(report)
    assert "A write then counts with one copy" in said
    assert "Seen acks=1. The leader alone acknowledges" in said
    assert "✓ with the leader killed, writing goes on" in said


def test_the_vault_that_demands_every_copy(q: Any, lab: Any) -> None:
    create(lab, "vault", min_insync_replicas="3")
    report = q[1].check(SAFE)
    told = advice(report)
    assert report.status == "not yet" and len(told) == 2
    assert "Seen 3. With one broker down two replicas are left" in told[0]
    assert "does min.insync.replicas leave room for one loss" in told[1]


def test_the_vault_that_asks_for_no_answer(q: Any, lab: Any) -> None:
    create(lab, "vault", min_insync_replicas="2")
    report = q[1].check({"acks": "0"})
    assert report.status == "not yet"
    assert "Seen acks=0. The producer asks for no answer at all" in advice(report)[0]


def test_the_vault_of_an_impatient_producer(q: Any, lab: Any) -> None:
    create(lab, "vault", min_insync_replicas="2")
    report = q[1].check({"acks": "all", "message.timeout.ms": 1000})
    (told,) = advice(report)
    assert "with _MSG_TIMED_OUT" in told and "A failover takes some seconds" in told


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"acks": "many"}, "A producer cannot be made with these settings"),
        ({"no.such.setting": 1}, "A producer cannot be made with these settings"),
        ({"acks": "1", "enable.idempotence": True}, "A producer cannot be made with these"),
        ({"acks": None}, "A producer's settings are names with text or numbers"),
        ({"transactional.id": "t"}, "Leave out transactional.id"),
    ],
)
def test_the_vault_with_settings_that_no_producer_takes(
    q: Any, lab: Any, settings: dict[str, Any], sentence: str
) -> None:
    create(lab, "vault", min_insync_replicas="2")
    report = q[1].check(settings)
    assert report.status == "not yet"
    assert sentence in repr(report)


def test_a_check_while_a_broker_is_down_says_so(q: Any, lab: Any) -> None:
    create(lab, "vault", min_insync_replicas="2")
    create(lab, "gamble")
    lab.brokers[2].stop()
    for report in (q[1].check(SAFE), q[2].check([1])):
        assert report.status == "not yet"
        assert "Down: broker-2. lab.repair() brings back what is down" in repr(report)


# The gamble


@pytest.fixture
def gambled(q: Any, lab: Any) -> Any:
    """Photos 40 to 64 were acknowledged, and lost."""
    create(lab, "gamble", unclean_leader_election_enable="true")
    write(lab, photos(0, 40))
    one, two, three = lab.brokers.values()
    one.stop()
    two.stop()
    write(lab, photos(40, 65))
    three.kill()
    one.start()
    wait_until(lab, leads, what="a leader")
    write(lab, photos(65, 70))
    lab.repair()
    return q


def leads(now: Snapshot) -> bool:
    found = now.topic("gamble")
    return found is not None and found.partitions[0].leader is not None


def test_the_gamble_untouched(q: Any, lab: Any) -> None:
    assert q[2].check(...).status == "not attempted"
    assert q[2].check([1]).status == "not attempted"
    assert q[2].check("40-64").status == "not yet"


def test_the_gamble_won_and_its_typical_mistakes(gambled: Any) -> None:
    question = gambled[2]
    question.assert_passed(list(range(40, 65)))
    question.assert_passed(list(range(64, 39, -1)))
    for answer, told in (
        (list(range(40, 66)), "the end offset of a log is where the next message will stand"),
        (list(range(39, 65)), "the first on your list was copied before"),
        (list(range(65, 70)), "These photos were written after the loss"),
        (list(range(50, 65)), "10 lost offset(s) are not on your list, and 0 on it were not lost"),
        (photos(40, 65), "It holds something else than int"),
        ([], "25 lost offset(s) are not on your list"),
    ):
        report = question.check(answer)
        assert report.status == "not yet"
        assert told in repr(report)


def test_the_gamble_that_kafka_refused(q: Any, lab: Any) -> None:
    create(lab, "gamble")
    write(lab, photos(0, 50))
    report = q[2].check([40])
    assert "unclean.leader.election.enable is false for it" in repr(report)


def test_the_gamble_without_a_loss_or_without_a_trace(q: Any, lab: Any) -> None:
    create(lab, "gamble", unclean_leader_election_enable="true")
    write(lab, photos(0, 50))
    assert "a loss shows only when more photos were written after it" in repr(q[2].check([40]))


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        ([], 'Write to it with write("gamble", ...) only'),
        (["photo 0", "selfie"], 'Write to it with write("gamble", ...) only'),
        ([*photos(0, 5), *photos(0, 5)], "After a kernel restart the numbers begin at 0 again"),
        ([*photos(0, 5), *photos(7, 9), "photo 12"], "There are several gaps"),
    ],
)
def test_a_gamble_that_cannot_be_judged(q: Any, lab: Any, texts: list[str], told: str) -> None:
    create(lab, "gamble", unclean_leader_election_enable="true")
    write(lab, texts)
    report = q[2].check([5])
    assert report.status == "not yet"
    assert told in repr(report)
