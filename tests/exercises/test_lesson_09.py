"""Exercises of lesson 09 on a real cluster: untouched, the typical mistakes, the solution; and the lesson's table."""

from __future__ import annotations

import contextlib
import ctypes
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest
from brokerlab import programs, scratch
from brokerlab.exercises import lesson_09_producing_safely as lesson
from brokerlab.exercises import load

LESSON = "09_producing_safely"
SOURCE = Path(__file__).parents[2] / "lessons" / f"{LESSON}.py"

SENDER = """
import sys, time
from brokerlab.access import read_client
from confluent_kafka import Producer

client_file, topic = sys.argv[1:]
producer = Producer({{**read_client(client_file), "socket.timeout.ms": 500, {settings}}})
def report(error, message):
    print(error or f"{{message.value().decode()}} at {{message.offset()}}")
for number in range({photos}):
    producer.produce(topic, f"photo {{number}}", on_delivery={report})
    {each}
    if number % 10 == 0: time.sleep({pause})
{end}
"""


def sender(
    settings: str = '"enable.idempotence": True',
    photos: int = 5000,
    report: str = "report",
    each: str = "producer.poll(0)",
    pause: float = 0.01,
    end: str = "producer.flush()",
) -> str:
    return SENDER.format(
        settings=settings, photos=photos, report=report, each=each, pause=pause, end=end
    )


@pytest.fixture
def q(lab: Any) -> Iterator[Any]:
    yield load(LESSON, lab)
    lab.repair()
    lab.delete_topics(lesson.THROUGH, lesson.FLOOD)
    (scratch.folder("programs") / lesson.PROGRAM).unlink(missing_ok=True)


@pytest.mark.cluster
def test_sender_untouched(q):
    assert "There is no program 'sender.py' yet" in repr(q[1].check())
    programs.write(lesson.PROGRAM, "for number in range(5000):\n    ...\n")
    assert q[1].check().status == "not attempted"


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("source", "advice"),
    [
        (sender(end=""), "flush() at the end those that are still to come"),
        (sender(settings=""), "An idempotent producer numbers what it sends"),
        (sender(settings='"message.timeout.ms": 1000'), "message.timeout.ms"),
        (sender(settings='"acks": 0'), "with acks=0 a report is none either"),
        (sender(report="None"), "One line for each delivery report without an error"),
        (
            sender(
                report="None",
                each='print(f"photo {number} at {number}")',
                end="",
            ),
            "A produce() that returned is no acknowledgement",
        ),
        (sender(pause=0), "keep the pause after every tenth photo"),
        (sender(each="raise OSError('no camera')"), "Its last line: OSError: no camera"),
    ],
)
def test_sender_mistaken(q, lab, source, advice):
    programs.write(lesson.PROGRAM, source)
    report = q[1].check()
    assert report.status == "not yet"
    assert advice in repr(report)
    assert lab.state == "usable"


@pytest.mark.cluster
def test_sender_without_an_end(q, lab, monkeypatch):
    monkeypatch.setattr(lesson, "RUN_SECONDS", 4.0)
    programs.write(lesson.PROGRAM, sender(photos=10, end="while True: time.sleep(1)"))
    assert "After 4 s it still ran" in repr(q[1].check())


@pytest.mark.cluster
def test_sender_solved(q, lab):
    programs.write(lesson.PROGRAM, solution(1))
    q[1].assert_passed()
    assert lab.state == "usable"


@pytest.mark.cluster
def test_flood_untouched(q):
    assert q[2].check(...).status == "not attempted"


def swallows(producer, topic, photos):
    for photo in photos:
        with contextlib.suppress(BufferError):
            producer.produce(topic, photo)
    producer.flush()


def skips_the_refused(producer, topic, photos):
    for photo in photos:
        try:
            producer.produce(topic, photo)
        except BufferError:
            producer.poll(0.5)
    producer.flush()


def crashes(producer, topic, photos):
    for photo in photos:
        producer.produce(topic, photo)


def tries_for_ever(producer, topic, photos):
    for photo in photos:
        while True:
            try:
                producer.produce(topic, photo)
                break
            except BufferError:
                continue


def does_not_flush(producer, topic, photos):
    for photo in photos:
        while True:
            try:
                producer.produce(topic, photo)
                break
            except BufferError:
                producer.poll(0.1)


def sends_again(producer, topic, photos):
    does_not_flush(producer, topic, photos)
    does_not_flush(producer, topic, photos[:5])
    producer.flush()


def takes_nothing():
    pass


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("send_all", "advice"),
    [
        (swallows, "said that a photo was not taken: poll() to make room"),
        (skips_the_refused, "then hand over the same photo again"),
        (crashes, "The queue holds 1,000: catch it, and make room with poll()"),
        (tries_for_ever, "trying again makes no room"),
        (does_not_flush, "A program that ended now would lose them: flush() at the end"),
        (sends_again, "5 are there more than once"),
        (takes_nothing, "It is called as send_all(producer, topic, photos)"),
    ],
)
def test_flood_mistaken(q, monkeypatch, send_all, advice):
    monkeypatch.setattr(lesson, "FLOOD_SECONDS", 4.0)
    report = q[2].check(send_all)
    assert report.status == "not yet"
    assert advice in repr(report)


@pytest.mark.cluster
def test_flood_solved(q):
    made: dict[str, Any] = {}
    exec(solution(2), made)
    q[2].assert_passed(made["send_all"])


@pytest.mark.cluster
def test_a_broker_that_is_down_is_named(q, lab):
    programs.write(lesson.PROGRAM, solution(1))
    lab.brokers[3].kill(watch=False)
    for report in (q[1].check(), q[2].check(does_not_flush)):
        assert report.status == "not yet"
        assert "broker-3 is down: lab.repair() brings it back" in repr(report)


def solution(number: int) -> str:
    """Return the code of the lesson's cells that are tagged as this exercise's solution."""
    cells = re.split(r"^# %%(?: |$)", SOURCE.read_text(encoding="utf-8"), flags=re.M)
    (found,) = [
        cell
        for cell in cells
        if cell.startswith("tags=") and f'"exercise-{number}"' in cell.partition("\n")[0]
    ]
    body = found.partition("\n")[2]
    if body.startswith("# %%program"):
        return re.sub(r"^# ?", "", body.partition("\n")[2], flags=re.M)
    return body


def test_the_lessons_table_of_defaults_is_what_the_client_says():
    """The column for Python, read from the C library that the package brings along."""
    default = _reader_of_defaults()
    rows = re.findall(
        r"^# \| `([\w.]+)`[^|]*\|[^|]*\| ([^|]+) \|$", SOURCE.read_text("utf-8"), re.M
    )
    assert len(rows) == 5
    assert default("socket.timeout.ms") == "60000", "the text says: a minute by default"
    assert {name: said.split()[0] for name, said in rows} == {
        name: default(name) for name, _ in rows
    }


def _reader_of_defaults() -> Callable[[str], str]:
    folder = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    files = sorted(folder.glob("librdkafka-*.so*"))
    if not files:
        pytest.skip("the C library is not where the Linux wheel has it")
    library = ctypes.CDLL(str(files[0]))
    for name in ("rd_kafka_conf_new", "rd_kafka_topic_conf_new"):
        getattr(library, name).restype = ctypes.c_void_p
    makers = {
        "rd_kafka_conf_get": library.rd_kafka_conf_new(),
        "rd_kafka_topic_conf_get": library.rd_kafka_topic_conf_new(),
    }

    def default(name: str) -> str:
        for getter, settings in makers.items():
            text, size = ctypes.create_string_buffer(512), ctypes.c_size_t(512)
            get = getattr(library, getter)
            if get(ctypes.c_void_p(settings), name.encode(), text, ctypes.byref(size)) == 0:
                return text.value.decode()
        raise LookupError(name)

    return default
